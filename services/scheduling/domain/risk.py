"""Signs that often come before an early end: read from what is known anyway, weighed in points, told to the coordinator where they add up.

Nobody's answers are shown by it, and nothing follows from it by itself. The points were chosen on a simulated program and measured on
others of its kind: docs/relationship.md has what the flags catch, and what they can't see.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import groups, signs
from services.scheduling.domain.check_ins import Answers
from services.scheduling.domain.model import Moment, Relationship, Unsigned
from shared.decisions import NOTHING, Outcome
from shared.events import CheckInKind, Fit, Format, PairFlagged, RiskSign

TIMER = "risk"
EVERY = timedelta(days=1)
"""Each relationship is looked at so often, at a moment of its own."""
REMEMBERED = 8
"""Changes of meetings, and times picked or not."""
LATELY = timedelta(days=60)
"""Older changes of meetings say little."""
SAID_LATELY = timedelta(days=100)
"""A score holds until the next check-in was due, and some weeks more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A sign, how strong it is, and the number behind it."""

    sign: RiskSign
    level: int
    number: int = 0
    """Days, meetings, times or questions, as the sign has it; of scores none, which are for nobody's eyes."""

    @property
    def points(self) -> int:
        return POINTS[self.sign, self.level]


POINTS: Mapping[tuple[RiskSign, int], int] = {
    (RiskSign.unsigned, 1): 4,
    (RiskSign.unsigned, 2): 9,
    (RiskSign.no_first_meeting, 1): 1,
    (RiskSign.no_first_meeting, 2): 3,
    (RiskSign.misses, 1): 2,
    (RiskSign.misses, 2): 2,
    (RiskSign.misses, 3): 5,
    (RiskSign.quiet, 1): 1,
    (RiskSign.quiet, 2): 2,
    (RiskSign.quiet, 3): 9,
    (RiskSign.moved, 1): 0,
    (RiskSign.moved, 2): 1,
    (RiskSign.slow, 1): 0,
    (RiskSign.slow, 2): 1,
    (RiskSign.low_score, 1): 1,
    (RiskSign.low_score, 2): 2,
    (RiskSign.falling_score, 1): 0,
    (RiskSign.fit, 1): 1,
    (RiskSign.fit, 2): 2,
    (RiskSign.apart, 1): 0,
    (RiskSign.no_goals, 1): 0,
    (RiskSign.unanswered, 1): 2,
    (RiskSign.unanswered, 2): 4,
}
"""What each sign weighs, weaker and stronger. Those that weigh nothing foretold nothing; they say what to talk about with who is flagged."""
FLAGGED_FROM, WELL_UP_TO = 9, 1
"""Points from which a relationship is at risk, and with how few it isn't any more."""


# What is kept for it


def changed(relationship: Relationship, at: datetime) -> Relationship:
    """A member moved a meeting or called one off."""
    return replace(relationship, changes=(*relationship.changes, at)[-REMEMBERED:])


def offered(relationship: Relationship, *, picked: bool) -> Relationship:
    """Times were offered, and somebody picked one, or nobody did."""
    return replace(relationship, picks=(*relationship.picks, picked)[-REMEMBERED:])


# The signs


def findings(relationship: Relationship, answers: Answers, now: datetime) -> list[Finding]:
    """What is seen, the heaviest first."""
    found = [
        *_beginning(relationship, now),
        *_meeting(relationship, now),
        *_silence(relationship, now),
        *_said(relationship, answers, now),
    ]
    return sorted(found, key=lambda f: -f.points)


def _beginning(relationship: Relationship, now: datetime) -> Iterator[Finding]:
    if relationship.agreed_at is None:
        waits = relationship.unsigned or Unsigned(relationship.created_at)
        yield from _step(RiskSign.unsigned, ((waits.stopped_at or now) - waits.since).days, (4, 6))
        return
    days = (now - relationship.agreed_at).days
    if not relationship.held and not relationship.contacts and relationship.format is not Format.e_mentoring:
        yield from _step(RiskSign.no_first_meeting, days, (21, 35))
    if not relationship.goals:
        yield from _step(RiskSign.no_goals, days, (45,))


def _meeting(relationship: Relationship, now: datetime) -> Iterator[Finding]:
    missed = sum(not past.held for past in relationship.recent[-6:])
    if relationship.misses_in_a_row > 1:
        yield Finding(RiskSign.misses, 3, missed)
    elif relationship.misses_in_a_row:
        yield Finding(RiskSign.misses, 2, missed)
    elif missed > 2:
        yield Finding(RiskSign.misses, 1, missed)
    yield from _step(RiskSign.moved, sum(now - at <= LATELY for at in relationship.changes), (2, 3))
    yield from _step(RiskSign.slow, sum(not picked for picked in relationship.picks[-3:]), (1, 2))


def _silence(relationship: Relationship, now: datetime) -> Iterator[Finding]:
    if relationship.agreed_at is None:
        return
    heard = max(signs.last_sign(relationship) or relationship.agreed_at, relationship.agreed_at)
    quiet, interval = now - heard, timedelta(weeks=relationship.terms.every_weeks)
    if relationship.warned_at or (relationship.asked and not relationship.is_group):
        yield Finding(RiskSign.quiet, 3, quiet.days)
    elif relationship.stalled_at or quiet > 2 * interval:
        yield Finding(RiskSign.quiet, 2, quiet.days)
    elif quiet > 1.5 * interval:
        yield Finding(RiskSign.quiet, 1, quiet.days)


def _said(relationship: Relationship, answers: Answers, now: datetime) -> Iterator[Finding]:
    people = [m.person_id for m in relationship.members]
    scores = [_scores(answers, person, now) for person in people]
    lowest = min((said[-1] for said in scores if said), default=5)
    if lowest <= 3:
        yield Finding(RiskSign.low_score, 2 if lowest <= 2 else 1)
    if any(len(said) > 1 and said[-1] < said[-2] for said in scores):
        yield Finding(RiskSign.falling_score, 1)
    theirs = [one for one in answers.check_ins if one.person_id in people]
    fits = {one.fit for one in theirs if one.answered_at and now - one.answered_at <= SAID_LATELY}
    if Fit.not_a_fit in fits:
        yield Finding(RiskSign.fit, 2)
    elif Fit.unsure in fits:
        yield Finding(RiskSign.fit, 1)
    yield from _step(RiskSign.apart, len(relationship.apart), (1,))
    yield from _step(RiskSign.unanswered, max(answers.unanswered(person, now) for person in people), (1, 2))


def _scores(answers: Answers, person_id: UUID, now: datetime) -> list[int]:
    """How well they think that they are matched, in order; none where the last is too long ago."""
    said = [one for one in answers.of(person_id, CheckInKind.quality) if one.score is not None and one.answered_at is not None]
    lately = bool(said) and said[-1].answered_at is not None and now - said[-1].answered_at <= SAID_LATELY
    return [one.score for one in said if one.score is not None] if lately else []


def _step(sign: RiskSign, number: int, steps: tuple[int, ...]) -> Iterator[Finding]:
    """The sign as strong as how many of these steps are reached."""
    level = sum(number >= step for step in steps)
    if level:
        yield Finding(sign, level, number)


SAID = frozenset({RiskSign.low_score, RiskSign.falling_score, RiskSign.fit, RiskSign.apart, RiskSign.unanswered})
"""Signs in what people answered, or didn't."""


def seen_without_answers(relationship: Relationship, now: datetime) -> list[Finding]:
    """What can be seen without them, for a page that may not read them."""
    return findings(relationship, Answers(relationship.id), now)


# The flag


def points(found: Iterable[Finding]) -> int:
    return sum(finding.points for finding in found)


def look(relationship: Relationship, moment: Moment) -> Outcome:
    """Whether it is at risk now, by all that is seen."""
    answers = moment.get(Answers, relationship.id) or Answers(relationship.id)
    return judged(relationship, findings(relationship, answers, moment.now), moment)


def judged(relationship: Relationship, found: Sequence[Finding], moment: Moment) -> Outcome:
    """Whether what was found adds up; told with each change of the signs. In a break nobody is judged: it stays as it was."""
    if relationship.ended_at is not None or relationship.meets_once:
        return NOTHING
    outcome = watched(relationship, moment)
    if groups.stands_still(relationship):
        return outcome
    bound = FLAGGED_FROM if relationship.flagged_at is None else WELL_UP_TO + 1
    shown = tuple(f.sign.value for f in found) if points(found) >= bound else ()
    if set(shown) == set(relationship.risk):
        return outcome
    flagged = PairFlagged(
        relationship_id=relationship.id,
        program=relationship.program,
        audience=(relationship.organization,),
        signs=tuple(RiskSign(sign) for sign in shown),
    )
    relationship = replace(
        relationship,
        risk=shown,
        flagged_at=(relationship.flagged_at or moment.now) if shown else None,
        written_at=relationship.written_at if set(shown) < set(relationship.risk) and shown else None,
    )
    return outcome.then(flagged).also(relationship)


def watched(relationship: Relationship, moment: Moment) -> Outcome:
    """With the timer of its next look, at its own moment of each such span: those of one run of matching are spread."""
    first = relationship.created_at + timedelta(seconds=relationship.id.int % int(EVERY.total_seconds()))
    times = max(0, (moment.now - first) // EVERY + 1)
    return NOTHING.arm(TIMER, relationship.id, relationship.id, first + times * EVERY)


def soon(relationship: Relationship, moment: Moment) -> Outcome:
    """Where it is at risk and something has changed it is looked at now, so that a coordinator needn't write to those who have met."""
    if relationship.flagged_at is None or relationship.ended_at is not None:
        return NOTHING
    return NOTHING.arm(TIMER, relationship.id, relationship.id, moment.now)


def wrote(relationship: Relationship, moment: Moment) -> Outcome:
    """A coordinator has written to them: it rests until a sign more is seen."""
    if relationship.flagged_at is None or relationship.written_at is not None or relationship.ended_at is not None:
        return NOTHING
    return NOTHING.also(replace(relationship, written_at=moment.now))
