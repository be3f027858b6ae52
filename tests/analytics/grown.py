"""A program whose people answer and grow: what one pair after another says and does."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from shared.events import (
    AgreementRevised,
    CheckInAnswered,
    CheckInAsked,
    CircleAgreed,
    ConcernRaised,
    Event,
    FeedbackAsked,
    FeedbackGiven,
    Format,
    GoalAttained,
    GoalDropped,
    GoalProgressed,
    GoalSet,
    GroupCreated,
    IntroductionMade,
    MeetingHeld,
    Member,
    MentorRecognised,
    MisalignmentDetected,
    OpportunityShared,
    OutcomeReported,
    PairEnded,
    PairFlagged,
    Role,
    SkillAssessed,
    Terms,
)
from tests.analytics.samples import DAY, Crossing

SPACE = UUID("01980000-0000-7000-8000-000000000001")


class Grown(Crossing):
    """Facts of pair `n`; an id is always the same of the same words."""

    def id(self, *words: object) -> UUID:
        return uuid5(SPACE, "/".join(map(str, (self.program, *words))))

    def check_in(self, n: int, kind: str, *, mentor: bool = False, stage: str | None = None, **answer: Any) -> list[Event]:
        """Asked and, where there is an answer, answered."""
        person = (self.mentors if mentor else self.mentees)[n]
        about = self.about(n, check_in_id=self.id(n, kind, mentor, stage, answer.pop("round", 1)), person_id=person, audience=())
        said = CheckInAnswered(**about, kind=kind, stage=stage, **answer) if answer else None
        return [CheckInAsked(**about, kind=kind, stage=stage), *([said] if said else [])]

    def skill(self, n: int, level: int, stage: str, *, mentor: bool = False, skill: str = "cloud") -> Event:
        by = (self.mentors if mentor else self.mentees)[n]
        about = self.about(n, person_id=self.mentees[n], audience=())
        return SkillAssessed(**about, assessed_by=by, skill=skill, level=level, stage=stage)

    def goal(self, n: int, kind: str = "technical", end: str = "") -> list[Event]:
        about = self.about(n, goal_id=self.id(n, "goal"), person_id=self.mentees[n])
        step = GoalProgressed(
            **about, step_id=self.id(n, "step"), kind="reading", said_by=self.mentees[n], done=True, steps=1, steps_done=1
        )
        ends: dict[str, list[Event]] = {
            "attained": [GoalAttained(**about)],
            "dropped": [GoalDropped(**about, said_by=self.mentees[n])],
        }
        return [GoalSet(**about, kind=kind), step, *ends.get(end, [])]

    def shared(self, n: int) -> list[Event]:
        """What a mentor passes on, taken up or not yet; and an introduction that is accepted."""
        opportunity = self.about(n, opportunity_id=self.id("letter"), shared_by=self.mentors[n], kind="recommendation")
        introduction = self.about(
            n, introduction_id=self.id(n, "introduction"), introduced_by=self.mentors[n], person_id=self.mentees[n]
        )
        return [
            OpportunityShared(**opportunity),
            *([OpportunityShared(**opportunity, taken_up=True)] if n % 2 else []),
            IntroductionMade(**introduction),
            IntroductionMade(**introduction, accepted=True),
        ]

    def feedback(self, n: int) -> list[Event]:
        about = self.about(n, feedback_id=self.id(n, "feedback"), person_id=self.mentors[n], audience=())
        given = about | {"person_id": self.mentees[n]}
        return [
            FeedbackAsked(**about, asked_by=self.mentees[n]),
            FeedbackGiven(**given, given_by=self.mentors[n], tags=("strength",), asked_for=True),
        ]

    def apart(self, n: int, kind: str = "scores") -> list[Event]:
        return [
            MisalignmentDetected(**self.about(n), kind=kind, apart=2),
            ConcernRaised(**self.about(n, audience=()), concern_id=self.id(n, "concern")),
        ]

    def flag(self, n: int, *signs: str) -> Event:
        return PairFlagged(**self.about(n, audience=(self.owner,)), signs=signs)

    def met(self, n: int, minutes: int = 60) -> Event:
        return MeetingHeld(
            **self.about(n, meeting_id=self.id(n, "meeting")),
            held_at=DAY + timedelta(days=9),
            minutes=minutes,
            attended=(self.mentees[n], self.mentors[n]),
        )

    def renewed(self, n: int) -> Event:
        return AgreementRevised(**self.about(n), version=2, terms=Terms(), reason="renewed")

    def gone(self, n: int, reason: str, side: str = "mentee") -> Event:
        return PairEnded(**self.about(n), reason=reason, side=side)

    def outcome(self, n: int, kind: str, **more: Any) -> Event:
        values: dict[str, Any] = {
            "report_id": f"outcome-{n}-{kind}",
            "report_source": f"/{self.owner}/hr",
            "organization": self.owner,
            "person_id": self.mentees[n],
            "at": DAY,
        }
        return OutcomeReported(**values | {"kind": kind} | more)

    def recognised(self, n: int) -> Event:
        return MentorRecognised(
            program=self.program,
            audience=(self.owner,),
            person_id=self.mentors[n],
            recognition_id=self.id(n, "year"),
            kind="year",
            year=2026,
        )

    def circle(self, n: int, *, begins: bool) -> list[Any]:
        """Three co-mentees of this mentor agree on one, and matching lets it begin or not."""
        people, key = tuple(self.mentees[:3]), self.id(n, "circle")
        common: dict[str, Any] = {"program": self.program, "audience": (self.owner,)}
        agreed = CircleAgreed(**common, mentor_id=self.mentors[n], circle_id=key, people=people)
        members = tuple(Member(person_id=one, role=Role.peer, organization=self.owner) for one in people)
        created = GroupCreated(**common, relationship_id=key, members=members, format=Format.circle, score=0)
        return [agreed, created] if begins else [agreed]
