"""What a member answers to the check-ins that are open to them: all at once, on one page, and anew until they lapse."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from services.scheduling.domain import endings, misaligned
from services.scheduling.domain.check_ins import ABOUT_ONESELF, ON_OTHERS, CheckIn
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Meeting, Moment, Relationship
from shared.decisions import NOTHING, Outcome
from shared.events import CheckInAnswered, CheckInKind, EndReason, Fit, GoalKind, Role

OF_MENTORS = ("communication", "empathy", "expertise", "patience", "availability", "willingness_to_learn")
OF_MENTEES = ("commitment", "preparation")
STATEMENTS = 3
"""Of each scale."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was chosen on the page."""

    fit: Fit | None = None
    score: int | None = None
    strengths: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    first_goal: GoalKind | None = None
    differs: bool = False
    scales: Mapping[CheckInKind, tuple[int, ...]] = field(default_factory=dict)


def qualities(relationship: Relationship, person_id: UUID) -> tuple[str, ...]:
    """What this member may say something of: of mentors, or of mentees. Those of a group who mentor nobody speak of who does."""
    member = relationship.member(person_id)
    return OF_MENTEES if member is not None and member.role is Role.mentor else OF_MENTORS


def answer(
    relationship: Relationship,
    person_id: UUID,
    given: Given,
    check_ins: Iterable[UUID],
    goals: Iterable[UUID],
    moment: Moment,
) -> Outcome:
    """What a member says to each of these that is theirs and open, said again it counts instead. Then both sides' answers are compared.

    `check_ins` are all of the relationship, `goals` all in it.
    """
    if relationship.ended_at is not None:
        return NOTHING
    known = [one for key in check_ins if (one := moment.get(CheckIn, key)) is not None]
    aims = [goal for key in goals if (goal := moment.get(Goal, key)) is not None]
    others = [one for one in known if one.person_id != person_id]
    before, outcome = relationship, NOTHING
    for one in known:
        if one.person_id != person_id or not one.is_open(moment.now):
            continue
        after = _with(one, given, relationship)
        if after == one:
            continue
        after = replace(after, answered_at=moment.now, revision=one.revision + 1, seen_at=None)
        found = NOTHING
        if one.kind in ON_OTHERS:
            relationship, after, found = misaligned.compared(relationship, after, others, aims, moment)
        outcome = outcome.also(after).then(_answered(relationship, after)).plus(found)
    return outcome if relationship is before else outcome.also(relationship)


def _with(one: CheckIn, given: Given, relationship: Relationship) -> CheckIn:
    """With what was answered to this; unchanged where nothing was."""
    if one.kind in ABOUT_ONESELF:
        said = given.scales.get(one.kind, ())
        return replace(one, answers=said, score=_mean(said)) if len(said) == STATEMENTS else one
    if one.kind is CheckInKind.fit:
        one = replace(one, fit=given.fit or one.fit)
        answered = one.fit is not None
    else:
        may = qualities(relationship, one.person_id)
        tags = tuple(
            f"{what}:{tag}"
            for what, chosen in (("strength", given.strengths), ("wish", given.wishes))
            for tag in may
            if tag in chosen
        )
        one = replace(one, score=given.score or one.score, tags=tags if given.score else one.tags)
        answered = one.score is not None
    if not answered:
        return one
    return replace(one, first_goal=given.first_goal or one.first_goal, differs=given.differs)


def _mean(answers: tuple[int, ...]) -> int:
    """Rounded half up."""
    return (2 * sum(answers) + len(answers)) // (2 * len(answers))


def _answered(relationship: Relationship, one: CheckIn) -> CheckInAnswered:
    first = (f"first_goal:{one.first_goal}",) if one.first_goal else ()
    return CheckInAnswered(
        relationship_id=relationship.id,
        program=relationship.program,
        check_in_id=one.id,
        person_id=one.person_id,
        kind=one.kind,
        stage=one.stage,
        score=one.score,
        answers=one.answers,
        fit=one.fit,
        tags=(*one.tags, *first),
        revision=one.revision,
    )


def may_end(relationship: Relationship, fit: Fit | None) -> bool:
    """Whether this member, who says that it isn't a fit, is offered to end it; a group goes on without asking all."""
    return fit is Fit.not_a_fit and relationship.ended_at is None and len(relationship.members) == 2


def end_kindly(
    relationship: Relationship, meeting: Meeting | None, fit: CheckIn | None, person_id: UUID, moment: Moment, *, rematch: bool
) -> Outcome:
    """Whoever said that it isn't a fit ends it: nobody is blamed, and who wants a new partner goes first in the next match."""
    theirs = fit is not None and fit.relationship_id == relationship.id and fit.person_id == person_id
    if fit is None or not theirs or not may_end(relationship, fit.fit):
        return NOTHING
    return endings.end_by(relationship, meeting, person_id, EndReason.not_a_fit, moment, rematch=rematch)
