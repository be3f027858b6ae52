"""Check-ins: what each member is asked at its time, in one tap or a few: does it fit, how good is it, how sure of themselves mentees are.

One timer a relationship goes from one time to the next; what is due at about the same time is asked together. Nobody is asked in a break,
while it is frozen, before all have signed, nor where the program asks nothing, and for what is long past nobody is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from services.scheduling.domain import groups, stages
from services.scheduling.domain.model import Member, Moment, Relationship, Rules
from shared.decisions import NOTHING, Outcome, new
from shared.events import CheckInAsked, CheckInKind, Fit, Format, GoalKind, Role, Stage

TIMER = "check_in"
DAY = timedelta(days=1)
BEFORE_MEETING = 14 * DAY
"""So long after all have signed mentees are asked how they feel at the start, should nobody have met; and how it fits those who write."""
GATHERED = 6 * DAY
"""What is due within this time goes along with what is asked."""
OPEN = 14 * DAY
"""The least for an answer, where rounds don't follow each other sooner."""
FIT_UNTIL, START_UNTIL = 21 * DAY, 45 * DAY
"""After which it isn't asked any more: it would be about something else."""
LOOK_AGAIN, SOON = 7 * DAY, 3 * DAY
ABOUT_ONESELF = (CheckInKind.confidence, CheckInKind.belonging)
"""Scales, for mentees."""
ON_OTHERS = (CheckInKind.fit, CheckInKind.quality)


@dataclass(frozen=True, slots=True)
class CheckIn:
    """One question to one person. What is answered is codes and numbers, for no member and no partner to see."""

    id: UUID
    relationship_id: UUID
    organization: str
    program: str
    person_id: UUID
    kind: CheckInKind
    number: int
    """Of the round of its kind."""
    stage: Stage | None
    asked_at: datetime
    due_at: datetime
    """Until when it can be answered, or answered again."""
    answered_at: datetime | None = None
    score: int | None = None
    answers: tuple[int, ...] = ()
    """Of a scale."""
    fit: Fit | None = None
    tags: tuple[str, ...] = ()
    first_goal: GoalKind | None = None
    """The kind of growth that comes first, as they see it."""
    differs: bool = False
    """They said that the two see something differently."""
    told: tuple[str, ...] = ()
    """In what this round was found to be apart."""
    revision: int = 0
    seen_at: datetime | None = None
    """When a coordinator said that they take care of it."""

    @property
    def round(self) -> tuple[CheckInKind, int, Stage | None]:
        return self.kind, self.number, self.stage

    def is_open(self, now: datetime) -> bool:
        return now < self.due_at


@dataclass(frozen=True, slots=True)
class Answer:
    """A check-in as others weigh it: rules, and whoever looks for signs of risk."""

    id: UUID
    person_id: UUID
    kind: CheckInKind
    number: int
    stage: Stage | None
    asked_at: datetime
    due_at: datetime
    answered_at: datetime | None = None
    score: int | None = None
    fit: Fit | None = None
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """All that was asked in a relationship, in its order, and what came of it. The id is the relationship's; read, never changed.

    Since when its sides see something differently stands on the relationship itself (`apart`).
    """

    id: UUID
    check_ins: tuple[Answer, ...] = ()

    def of(self, person_id: UUID, kind: CheckInKind) -> list[Answer]:
        return [one for one in self.check_ins if one.person_id == person_id and one.kind is kind]

    def scores(self, person_id: UUID) -> list[tuple[int, int]]:
        """(round, score 1 to 5) of the match's quality, in order."""
        return [(one.number, one.score) for one in self.of(person_id, CheckInKind.quality) if one.score is not None]

    def fit(self, person_id: UUID) -> Fit | None:
        return next((one.fit for one in reversed(self.of(person_id, CheckInKind.fit)) if one.fit is not None), None)

    def unanswered(self, person_id: UUID, now: datetime) -> int:
        """How many times in a row, up to now, this person let what was asked of them lapse. What was asked together counts once."""
        times: dict[datetime, bool] = {}
        for one in self.check_ins:
            if one.person_id == person_id and (one.answered_at is not None or one.due_at <= now):
                times[one.asked_at] = times.get(one.asked_at, False) or one.answered_at is not None
        lapsed = 0
        for asked_at in sorted(times, reverse=True):
            if times[asked_at]:
                break
            lapsed += 1
        return lapsed


@dataclass(frozen=True, slots=True)
class Round:
    """What is asked at one time of all whom it concerns."""

    kind: CheckInKind
    at: datetime
    due_at: datetime
    number: int = 1
    stage: Stage | None = None

    def key(self, person_id: UUID) -> str:
        return f"check-in {self.kind} {self.stage or ''} {self.number} {person_id}"


# When


def may_ask(relationship: Relationship) -> bool:
    running = relationship.agreed_at is not None and relationship.ended_at is None and not relationship.meets_once
    return running and relationship.rules.asks and not groups.stands_still(relationship)


def rounds(relationship: Relationship, now: datetime) -> Iterator[Round]:
    """Those that can be asked now or later: of those that go on for ever the one that is due at about now, and the one behind it."""
    agreed, until, met = relationship.agreed_at, relationship.until, first_met(relationship)
    assert agreed is not None
    later = now + OPEN
    begun = min(agreed + BEFORE_MEETING, met + DAY) if met else agreed + BEFORE_MEETING
    fit = agreed + BEFORE_MEETING if relationship.format is Format.e_mentoring else met + DAY if met else None
    if fit is not None and now < fit + FIT_UNTIL:
        yield Round(CheckInKind.fit, fit, later)
    if now < begun + START_UNTIL:
        yield from (Round(kind, begun, later, stage=Stage.start) for kind in ABOUT_ONESELF)
    for one in _quality(relationship, agreed, now):
        if until is None or one.at < until:
            yield one
    began = relationship.began
    if until is None or began is None:
        return
    long = until - began
    if now < until - long / 4:
        yield from (Round(kind, stages.middle(relationship), later, stage=Stage.middle) for kind in ABOUT_ONESELF)
    if now < until:
        last = until - min(stages.BEFORE_END, long / 6)
        yield from (Round(kind, last, later, relationship.renewals + 1, Stage.end) for kind in ABOUT_ONESELF)


def _quality(relationship: Relationship, agreed: datetime, now: datetime) -> Iterator[Round]:
    """The last one that is due by now, unless it comes so late that the next would follow at once, and the next."""
    first, every = _days(relationship.rules)
    so_far = (now + GATHERED - agreed - first) // every + 1
    following = agreed + first + max(0, so_far) * every
    if so_far > 0 and (following >= now + min(OPEN, every) or following - every > now - DAY):
        yield Round(CheckInKind.quality, following - every, max(following, now + min(OPEN, every)), so_far)
    yield Round(CheckInKind.quality, following, following + every, max(0, so_far) + 1)


def _days(rules: Rules) -> tuple[timedelta, timedelta]:
    return rules.first_check_in_days * DAY, rules.check_in_every_days * DAY


def first_met(relationship: Relationship) -> datetime | None:
    return min((past.at for past in relationship.recent if past.held), default=None)


def begun(relationship: Relationship) -> Outcome:
    """All have signed: with the timer of the first time."""
    if relationship.agreed_at is None or relationship.meets_once:
        return NOTHING
    first, _ = _days(relationship.rules)
    wait = DAY if relationship.held else min(first, BEFORE_MEETING)
    return _armed(relationship, relationship.agreed_at + wait)


def met(relationship: Relationship, at: datetime) -> Outcome:
    """They met for the first time: the day after, each says whether it fits."""
    running = relationship.agreed_at is not None and relationship.ended_at is None and not relationship.meets_once
    if relationship.held != 1 or not running:
        return NOTHING
    return _armed(relationship, at + DAY)


def look_soon(relationship: Relationship, moment: Moment) -> Outcome:
    """A break is over, or other days hold: some days later it is looked what is due, of all of a program not at one moment."""
    return _armed(relationship, moment.now + SOON + relationship.own_moment) if may_ask(relationship) else NOTHING


def other_days(before: Rules, after: Rules) -> bool:
    """Whether a program asks again, or at other times."""
    return (after.asks and not before.asks) or _days(before) != _days(after)


def _armed(relationship: Relationship, at: datetime) -> Outcome:
    return NOTHING.arm(TIMER, relationship.id, relationship.id, at)


# Asking


def due(relationship: Relationship, moment: Moment) -> Outcome:
    """What is due, and what is about to be, is asked of each whom it concerns and who wasn't asked it yet; the timer goes to the next time."""
    if not may_ask(relationship):
        return NOTHING
    if relationship.frozen_at is not None:
        return _armed(relationship, moment.now + LOOK_AGAIN)
    answers = moment.get(Answers, relationship.id) or Answers(relationship.id)
    asked, now = {one.id for one in answers.check_ins}, moment.now
    open_ones = [
        (_after_the_last(one, member, answers), member)
        for one in rounds(relationship, now)
        for member in _concerned(relationship, one)
        if uuid5(relationship.id, one.key(member.person_id)) not in asked
    ]
    is_time = any(one.at <= now for one, _ in open_ones)
    outcome = NOTHING
    for one, member in open_ones:
        if is_time and one.at <= now + GATHERED:
            outcome = outcome.plus(_ask(relationship, one, member, now))
    ahead = [one.at for one, _ in open_ones if one.at > (now + GATHERED if is_time else now)]
    return outcome.plus(_armed(relationship, min(ahead))) if ahead else outcome


def _after_the_last(one: Round, member: Member, answers: Answers) -> Round:
    """Where another of its kind was asked late, it waits until that one has lapsed."""
    lapses = max((known.due_at for known in answers.of(member.person_id, one.kind)), default=one.at)
    return replace(one, at=max(one.at, lapses))


def _concerned(relationship: Relationship, one: Round) -> Iterable[Member]:
    return (m for m in groups.active(relationship) if one.kind not in ABOUT_ONESELF or m.role is Role.mentee)


def _ask(relationship: Relationship, one: Round, member: Member, now: datetime) -> Outcome:
    check_in = CheckIn(
        uuid5(relationship.id, one.key(member.person_id)),
        relationship.id,
        relationship.organization,
        relationship.program,
        member.person_id,
        one.kind,
        one.number,
        one.stage,
        now,
        one.due_at,
    )
    told = CheckInAsked(
        **relationship.about,
        check_in_id=check_in.id,
        person_id=member.person_id,
        kind=one.kind,
        stage=one.stage,
        due_at=one.due_at,
    )
    return new(check_in).then(told)


# Afterwards


def see(check_in: CheckIn, at: datetime) -> Outcome:
    """A coordinator takes care of it."""
    return NOTHING if check_in.seen_at is not None else new(replace(check_in, seen_at=at))


def forget(check_in: CheckIn) -> Outcome:
    """Whoever was asked was erased: what they answered goes, what was counted stays."""
    return NOTHING.forget(check_in)
