"""What it is worth: check-ins, goals, skills, milestones, what is passed on, recognition. All emitted by scheduling.

On the topic `scheduling`, as the facts of `relationship.py`. What people write to each other stays with scheduling: here are ids, codes,
numbers and times.
"""

from datetime import date
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import Code, Count, Event, Instant, ProgramId, Slug
from shared.events.relationship import Number, RelationshipEvent

Level = Annotated[int, Field(ge=1, le=5)]


class CheckInKind(Code):
    """What a check-in asks about."""

    fit = "fit"
    quality = "quality"
    confidence = "confidence"
    belonging = "belonging"
    skills = "skills"
    half_time = "half_time"
    end = "end"
    other = "other"


class Fit(Code):
    """The answer to a fit check after the first meeting."""

    good = "good"
    unsure = "unsure"
    not_a_fit = "not_a_fit"
    other = "other"


class Misalignment(Code):
    """In what the two sides are apart."""

    scores = "scores"
    first_goals = "first_goals"
    skill_levels = "skill_levels"
    said_so = "said_so"
    other = "other"


class GoalKind(Code):
    """What kind of growth a goal is about."""

    technical = "technical"
    interpersonal = "interpersonal"
    industry = "industry"
    other = "other"


class StepKind(Code):
    """What a step towards a goal is."""

    practice = "practice"
    project = "project"
    reading = "reading"
    conversation = "conversation"
    other = "other"


class Milestone(Code):
    """A step that is celebrated, once in each relationship."""

    first_meeting = "first_meeting"
    goals_set = "goals_set"
    first_step_done = "first_step_done"
    fifth_meeting = "fifth_meeting"
    half_time = "half_time"
    first_goal_attained = "first_goal_attained"
    completed = "completed"
    of_the_program = "of_the_program"
    other = "other"


class Stage(Code):
    """Where in the relationship something was measured."""

    start = "start"
    middle = "middle"
    end = "end"
    other = "other"


class FeedbackTag(Code):
    """What a piece of feedback is."""

    strength = "strength"
    to_improve = "to_improve"
    next_step = "next_step"
    other = "other"


class OpportunityKind(Code):
    """What a mentor passed on."""

    job = "job"
    project = "project"
    event = "event"
    course = "course"
    recommendation = "recommendation"
    other = "other"


class Recognition(Code):
    """What a mentor is recognised for."""

    year = "year"
    relationship = "relationship"
    people = "people"
    other = "other"


# Fit


class CheckInAsked(RelationshipEvent):
    """A question was put to one person, who has until `due_at`. Emitted by scheduling's timer, seldom more than one a week."""

    check_in_id: UUID
    person_id: UUID
    kind: CheckInKind
    stage: Stage | None = None
    """Of what is asked at the start, in the middle and at the end."""
    due_at: Instant | None = None


class CheckInAnswered(RelationshipEvent):
    """A person answered a check-in, or answered one again. Emitted by scheduling; no partner is in its audience."""

    check_in_id: UUID
    person_id: UUID
    kind: CheckInKind
    stage: Stage | None = None
    score: Level | None = None
    """Of a scale: the mean of its answers, rounded half up."""
    answers: tuple[Level, ...] = ()
    """Of a scale: one for each of its statements, in their order."""
    fit: Fit | None = None
    tags: tuple[Slug, ...] = ()
    """Codes from the form, such as `empathy` or `preparation`."""
    revision: Number = 1


class MisalignmentDetected(RelationshipEvent):
    """The two sides see it differently: a talking point for both, a line for the coordinator. Emitted by scheduling."""

    kind: Misalignment
    apart: Count | None = None
    """How many steps the answers are apart."""
    skill: Slug | None = None
    """Of which they see the level differently."""
    check_in_ids: tuple[UUID, ...] = ()


# Growth


class GoalSet(RelationshipEvent):
    """A goal was set, or set anew with a higher revision; its words stay with the pair. Emitted by scheduling."""

    goal_id: UUID
    person_id: UUID | None = None
    """Whose; none where it is the group's."""
    kind: GoalKind
    skills: tuple[Slug, ...] = ()
    steps: Count = 0
    due_on: date | None = None
    revision: Number = 1


class GoalProgressed(RelationshipEvent):
    """A step of a goal was done, or wasn't after all. What it is stays with the pair. Emitted by scheduling."""

    goal_id: UUID
    step_id: UUID
    kind: StepKind
    person_id: UUID | None = None
    """Whose goal."""
    said_by: UUID
    done: bool
    steps: Count
    steps_done: Count
    """Of them, with this."""


class GoalDropped(RelationshipEvent):
    """A goal was given up: it isn't worked on any more and isn't counted as attained. Emitted by scheduling."""

    goal_id: UUID
    person_id: UUID | None = None
    said_by: UUID


class AttainmentAsked(RelationshipEvent):
    """A member says that a goal is reached: these others are asked whether they see it so too. Emitted by scheduling; no partner is in its audience."""

    goal_id: UUID
    person_id: UUID | None = None
    """Whose goal."""
    said_by: UUID
    people: tuple[UUID, ...]


class GoalAttained(RelationshipEvent):
    """A goal is reached: both sides said so. Emitted by scheduling."""

    goal_id: UUID
    person_id: UUID | None = None


class MilestoneReached(RelationshipEvent):
    """A step worth celebrating, once for each milestone of a relationship. Emitted by scheduling."""

    milestone: Milestone
    own: Slug | None = None
    """Which of the program's own, with `of_the_program`."""
    meeting_id: UUID | None = None
    goal_id: UUID | None = None


class SkillAssessed(RelationshipEvent):
    """Mentee or mentor said at what level the mentee has a skill, 1 to 5. Emitted by scheduling; in no partner's audience."""

    person_id: UUID
    """Whose skill it is."""
    assessed_by: UUID
    skill: Slug
    level: Level
    stage: Stage


class FeedbackAsked(RelationshipEvent):
    """One asked another for feedback on a meeting, a goal or a step of one. Emitted by scheduling; no partner is in its audience."""

    feedback_id: UUID
    asked_by: UUID
    person_id: UUID
    """Who is asked."""
    meeting_id: UUID | None = None
    goal_id: UUID | None = None
    step_id: UUID | None = None


class FeedbackGiven(RelationshipEvent):
    """One gave the other feedback on a meeting, a goal or a step of one; its words are for the two alone. Emitted by scheduling; no partner is in its audience."""

    feedback_id: UUID
    given_by: UUID
    person_id: UUID
    """Who gets it."""
    tags: tuple[FeedbackTag, ...] = ()
    asked_for: bool = False
    meeting_id: UUID | None = None
    goal_id: UUID | None = None
    step_id: UUID | None = None


class IntroductionMade(RelationshipEvent):
    """A mentor brought the mentee together with someone, or that someone answered. Emitted by scheduling."""

    introduction_id: UUID
    introduced_by: UUID
    person_id: UUID
    to_person_id: UUID | None = None
    """None where it is someone who isn't on the platform."""
    accepted: bool | None = None
    """None until answered: it takes the yes of all who are asked."""


class OpportunityShared(RelationshipEvent):
    """A mentor passed on an opening, or what was passed on was taken up. Emitted by scheduling, for each relationship it goes to."""

    opportunity_id: UUID
    shared_by: UUID
    person_id: UUID | None = None
    """For whom; none where it is for all the others."""
    kind: OpportunityKind
    taken_up: bool | None = None
    """None until answered."""


class RecommendationAsked(RelationshipEvent):
    """A mentee asked their mentor for a letter of recommendation. Emitted by scheduling; no partner is in its audience."""

    asked_by: UUID
    person_id: UUID
    """Who is asked."""


# Co-mentees


class CircleProposed(Event):
    """A mentee would like to form a circle with the others of their mentor in a program: each of these is asked, once. Emitted by scheduling.

    It is about several relationships, so that its key is the mentor.
    """

    topic: ClassVar[str] = "scheduling"
    key_field: ClassVar[str] = "mentor_id"
    ordered: ClassVar[bool] = False

    mentor_id: UUID
    program: ProgramId
    circle_id: UUID
    proposed_by: UUID
    people: tuple[UUID, ...]
    """Those who are asked."""
    answer_by: Instant


class CircleAgreed(Event):
    """Co-mentees of one mentor want to form a circle, each of them by their own word. Emitted by scheduling; matching answers with
    GroupCreated, whose relationship has this circle's id.
    """

    topic: ClassVar[str] = "scheduling"
    key_field: ClassVar[str] = "mentor_id"
    ordered: ClassVar[bool] = False

    mentor_id: UUID
    program: ProgramId
    circle_id: UUID
    people: tuple[UUID, ...]


# At risk


class RiskSign(Code):
    """What often comes before an early end."""

    unsigned = "unsigned"
    no_first_meeting = "no_first_meeting"
    misses = "misses"
    moved = "moved"
    slow = "slow"
    low_score = "low_score"
    falling_score = "falling_score"
    fit = "fit"
    apart = "apart"
    no_goals = "no_goals"
    unanswered = "unanswered"
    quiet = "quiet"
    other = "other"


class PairFlagged(RelationshipEvent):
    """A relationship shows signs that often come before an early end, or with none it doesn't any more: a line for the coordinator.

    Emitted by scheduling, with each change of the signs; no partner but the program's owner is in its audience.
    """

    signs: tuple[RiskSign, ...] = ()
    """The heaviest first; none where all is well again."""


# Recognition


class MentorRecognised(Event):
    """A mentor's record for a year or a round number was made, unless they don't want it. Emitted by scheduling.

    It is about several relationships, so that its key is the person.
    """

    topic: ClassVar[str] = "scheduling"
    key_field: ClassVar[str] = "person_id"
    ordered: ClassVar[bool] = False

    person_id: UUID
    program: ProgramId
    recognition_id: UUID
    kind: Recognition
    year: Annotated[int, Field(ge=2000, le=2200)]
    meetings: Count = 0
    minutes: Count = 0
    people: Count = 0
    milestones: Count = 0
