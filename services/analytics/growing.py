"""Which event changes what is known of growth: answers, and things that people did or had."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from services.analytics.domain import growth
from services.analytics.domain.growth import Answer, Thing
from shared.decisions import NOTHING, Context, Handler, Ids, Outcome, changed, new, on
from shared.events import (
    AgreementRevised,
    CheckInAnswered,
    CheckInAsked,
    CircleAgreed,
    ConcernRaised,
    Event,
    FeedbackAsked,
    FeedbackGiven,
    GoalAttained,
    GoalDropped,
    GoalProgressed,
    GoalSet,
    IntroductionMade,
    MentorRecognised,
    MisalignmentDetected,
    OpportunityShared,
    OutcomeReported,
    PairFlagged,
    RevisionReason,
    SkillAssessed,
)

# ---- answers -----------------------------------------------------------------------------------------------------------


def check_in(known: Answer | None, event: CheckInAsked | CheckInAnswered) -> Answer:
    if known is not None:
        return known
    stage = event.stage or ""
    return Answer(str(event.check_in_id), event.program, event.relationship_id, event.person_id, event.kind, stage)


def by_check_in(event: CheckInAsked | CheckInAnswered) -> tuple[str]:
    return (str(event.check_in_id),)


def asked(known: Answer | None, event: CheckInAsked, _: Context) -> Outcome:
    if known is not None and known.asked:
        return NOTHING
    return changed(check_in(known, event), asked=True)


def answered(known: Answer | None, event: CheckInAnswered, context: Context) -> Outcome:
    value = fmean(event.answers) if event.answers else event.score
    before = check_in(known, event)
    after = growth.answered(before, revision=event.revision, value=value, word=event.fit or "", at=context.time)
    return new(after) if after != known else NOTHING


def by_skill(event: SkillAssessed) -> tuple[str]:
    return ("/".join(map(str, (event.relationship_id, event.person_id, event.assessed_by, event.skill, event.stage))),)


def assessed(known: Answer | None, event: SkillAssessed, context: Context) -> Outcome:
    """Each skill at each stage by each who says so; the first level said counts."""
    (key,) = by_skill(event)
    before = known or Answer(key, event.program, event.relationship_id, event.assessed_by, "skill", event.stage, event.person_id)
    after = growth.answered(before, revision=1, value=event.level, word="", at=context.time)
    return new(after) if after != known else NOTHING


# ---- things ------------------------------------------------------------------------------------------------------------


def thing(
    subject: type[Event],
    kind: str,
    by: Callable[[Any], str],
    *,
    person: Callable[[Any], Any] = lambda event: getattr(event, "person_id", None),
    word: Callable[[Any], str] = lambda _: "",
    state: Callable[[Any], str] = lambda _: "",
    when: Callable[[Any], bool] = lambda _: True,
) -> Handler:
    """The handler by which an event tells of a thing of this kind: its id, whose it is, of which sort, and how it stands."""

    def ids(event: Any) -> tuple[str, ...]:
        return (f"{kind}/{by(event)}",) if when(event) else ()

    def told(known: Thing | None, event: Any, context: Context) -> Outcome:
        (key,), at = ids(event), context.time
        bond = getattr(event, "relationship_id", None)
        said = Thing(key, event.program, bond, person(event), kind, word(event), state(event), at, at)
        after = growth.stated(known, said)
        return new(after) if after != known else NOTHING

    named: Ids = ids
    return on(subject, Thing, by=named, do=told)


def by_goal(event: Any) -> str:
    return str(event.goal_id)


def answer(yes: str, no: str, open_: str) -> Callable[[bool | None], str]:
    return lambda said: open_ if said is None else yes if said else no


ACCEPTED, TAKEN_UP = answer("accepted", "declined", "made"), answer("taken_up", "left", "shared")

HANDLERS = [
    on(CheckInAsked, Answer, by=by_check_in, do=asked),
    on(CheckInAnswered, Answer, by=by_check_in, do=answered),
    on(SkillAssessed, Answer, by=by_skill, do=assessed),
    thing(GoalSet, "goal", by_goal, word=lambda e: e.kind, state=lambda _: "set"),
    thing(GoalDropped, "goal", by_goal, state=lambda _: "dropped"),
    thing(GoalAttained, "goal", by_goal, state=lambda _: "attained"),
    thing(GoalProgressed, "step", lambda e: str(e.step_id), word=lambda e: e.kind, state=lambda e: "done" if e.done else "open"),
    thing(FeedbackAsked, "feedback_asked", lambda e: str(e.feedback_id), person=lambda e: e.asked_by),
    thing(FeedbackGiven, "feedback_given", lambda e: str(e.feedback_id), person=lambda e: e.given_by),
    thing(
        IntroductionMade,
        "introduction",
        lambda e: str(e.introduction_id),
        person=lambda e: e.introduced_by,
        state=lambda e: ACCEPTED(e.accepted),
    ),
    thing(
        OpportunityShared,
        "opportunity",
        lambda e: f"{e.opportunity_id}/{e.relationship_id}",
        person=lambda e: e.shared_by,
        word=lambda e: e.kind,
        state=lambda e: TAKEN_UP(e.taken_up),
    ),
    thing(MisalignmentDetected, "misalignment", lambda e: f"{e.relationship_id}/{e.kind}", word=lambda e: e.kind),
    thing(ConcernRaised, "concern", lambda e: str(e.concern_id), word=lambda _: "raised"),
    thing(
        PairFlagged,
        "flag",
        lambda e: str(e.relationship_id),
        word=lambda e: e.signs[0] if e.signs else "",
        state=lambda e: "flagged" if e.signs else "clear",
    ),
    thing(
        AgreementRevised,
        "renewed",
        lambda e: f"{e.relationship_id}/{e.version}",
        when=lambda e: e.reason is RevisionReason.renewed,
    ),
    thing(CircleAgreed, "circle", lambda e: str(e.circle_id)),  # counts once the group of this id has begun
    thing(MentorRecognised, "recognition", lambda e: str(e.recognition_id), word=lambda e: e.kind),
    thing(OutcomeReported, "outcome", lambda e: f"{e.person_id}/{e.program or ''}/{e.kind}", word=lambda e: e.kind),
]
