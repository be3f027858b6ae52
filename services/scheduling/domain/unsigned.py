"""An agreement that waits to be signed: those missing are reminded, then its coordinator is told, then it ends and nobody is blamed.

One timer goes from step to step; what it means is told by how many days were waited.
"""

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

from services.scheduling.domain import endings
from services.scheduling.domain.model import Moment, Relationship, Rules, Unsigned, side_of
from shared.decisions import NOTHING, Outcome
from shared.events import EndReason, PairRecovered, PairStalled, Side, SignaturesAwaited, StallReason

TIMER = "unsigned"


class Step(StrEnum):
    """What follows when an agreement has waited for some days."""

    remind = "remind"
    tell = "tell"
    """Its coordinator, that nothing goes on there."""
    end = "end"


def steps(rules: Rules, *, holds: bool) -> list[tuple[int, Step]]:
    """After how many days what follows, as far as it goes. Where a version before holds there are only reminders."""
    reminders = [(days, Step.remind) for days in rules.unsigned_reminder_days]
    if holds:
        return sorted(reminders)
    last = rules.unsigned_days_before_end
    told = (rules.unsigned_days_before_stalled, Step.tell)
    return [*sorted(step for step in (*reminders, told) if step[0] < last), (last, Step.end)]


def wait(relationship: Relationship, moment: Moment) -> tuple[Relationship, Outcome]:
    """The newest version waits for signatures from now on."""
    stopped = moment.now if _stands_still(relationship) else None
    relationship = replace(relationship, unsigned=Unsigned(moment.now, stopped))
    return relationship, armed(relationship)


def with_breaks(relationship: Relationship, moment: Moment) -> tuple[Relationship, Outcome]:
    """Time in which somebody who is to sign has a break, or the program asks nothing, isn't counted; afterwards it goes on from where it was."""
    waits = relationship.unsigned
    if waits is None or _stands_still(relationship) == (waits.stopped_at is not None):
        return relationship, NOTHING
    if waits.stopped_at is None:
        waits = replace(waits, stopped_at=moment.now)
    else:
        waits = replace(waits, since=waits.since + (moment.now - waits.stopped_at), stopped_at=None)
    relationship = replace(relationship, unsigned=waits)
    return relationship, armed(relationship)


def over(relationship: Relationship) -> tuple[Relationship, Outcome]:
    """All have signed: nobody waits any more, and a pair that stood still because of it is alive."""
    outcome = NOTHING.clear(TIMER, relationship.id)
    if relationship.agreed_at is None and relationship.stalled_at is not None:
        relationship = replace(relationship, stalled_at=None)
        outcome = outcome.then(PairRecovered(**relationship.about))
    return replace(relationship, unsigned=None), outcome


def armed(relationship: Relationship) -> Outcome:
    """The timer at the next step, or none."""
    waits, days = relationship.unsigned, _next(relationship)
    if waits is None or waits.stopped_at is not None or days is None:
        return NOTHING.clear(TIMER, relationship.id)
    return NOTHING.arm(TIMER, relationship.id, relationship.id, waits.since + _after(relationship, days))


def due(relationship: Relationship, moment: Moment) -> Outcome:
    """The next step. One that comes late, after an outage, puts off what follows by as much: no mail could be answered meanwhile."""
    waits = relationship.unsigned
    if relationship.ended_at is not None or not relationship.is_open:
        return NOTHING
    if waits is None:  # it was drafted before days were counted
        relationship, begun = wait(relationship, moment)
        return begun.also(relationship)
    days = _next(relationship)
    if days is None or waits.stopped_at is not None:
        return NOTHING
    if moment.now < waits.since + timedelta(days=days):
        return armed(relationship)  # the program has come to give more time
    taken = {step for after, step in _steps(relationship) if after == days}
    if Step.end in taken and not relationship.held:  # who meets is at it, signed or not
        return _never_signed(relationship, moment)
    waits = replace(waits, since=moment.now - _after(relationship, days), days=days)
    relationship, outcome = replace(relationship, unsigned=waits), NOTHING
    if Step.remind in taken:
        missing = tuple(m.person_id for m in relationship.members if not relationship.has_signed(m.person_id))
        reminded = SignaturesAwaited(**relationship.about, version=relationship.version, people=missing, days=days)
        outcome = outcome.then(reminded)
    if Step.tell in taken and relationship.stalled_at is None and not relationship.held:
        relationship = replace(relationship, stalled_at=moment.now)
        outcome = outcome.then(PairStalled(**relationship.about, reason=StallReason.unsigned, quiet_since=waits.since))
    return outcome.plus(armed(relationship)).also(relationship)


def _never_signed(relationship: Relationship, moment: Moment) -> Outcome:
    """It ends. Who did sign goes first in the next match."""
    signed = [m.person_id for m in relationship.members if relationship.has_signed(m.person_id)]
    sides = {side_of(m.role) for m in relationship.members if m.person_id not in signed}
    side = sides.pop() if signed and len(sides) == 1 else Side.both
    return endings.end(relationship, None, EndReason.never_signed, side, moment, rematch_first=signed)


def _steps(relationship: Relationship) -> list[tuple[int, Step]]:
    return steps(relationship.rules, holds=relationship.agreed_at is not None)


def _next(relationship: Relationship) -> int | None:
    """After how many days the next step comes."""
    so_far = relationship.unsigned.days if relationship.unsigned else 0
    return next((days for days, _ in _steps(relationship) if days > so_far), None)


def _after(relationship: Relationship, days: int) -> timedelta:
    return timedelta(days=days) + relationship.own_moment


def _stands_still(relationship: Relationship) -> bool:
    missing = (m for m in relationship.members if not relationship.has_signed(m.person_id))
    return not relationship.rules.asks or any(m.paused for m in missing)
