"""Signs of life: how long silence may last, what comes of it, and what a meeting, a contact or an answer undoes."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import groups
from services.scheduling.domain.away import later
from services.scheduling.domain.model import GUIDES, Moment, Relationship
from shared.decisions import NOTHING, Outcome
from shared.events import PairRecovered, PairStalled, StallReason

QUIET = "quiet"
"""The timer at which silence comes a step further."""
UNANSWERED = "unanswered"
"""The timer at which it ends where a member who was asked didn't answer."""


def due(relationship: Relationship) -> datetime | None:
    """When silence comes a step further, should nothing be heard until then; None where nobody counts: before all have signed, of one
    conversation, in a break, where the program asks nothing, while a member is asked whether they go on, and after the end.
    """
    if relationship.agreed_at is None or relationship.ended_at is not None or relationship.meets_once:
        return None
    if relationship.asked is not None or not relationship.rules.asks or groups.stands_still(relationship):
        return None
    rules, heard = relationship.rules, max(last_sign(relationship) or relationship.agreed_at, relationship.agreed_at)
    for since, days in (
        (relationship.frozen_at, rules.frozen_days_before_end),
        (relationship.warned_at, rules.warned_days_before_frozen),
        (relationship.stalled_at, rules.stalled_days_before_warned),
    ):
        if since is not None:
            return later(relationship, max(since, heard), timedelta(days=days))
    return later(relationship, heard, longest_silence(relationship))


def last_sign(relationship: Relationship) -> datetime | None:
    """The last sign of life; None since all have signed."""
    return relationship.heard_at or relationship.last_held_at


def longest_silence(relationship: Relationship) -> timedelta:
    """Between two signs of life: so many of the agreed intervals."""
    return relationship.rules.quiet_intervals_before_stalled * timedelta(weeks=relationship.terms.every_weeks)


def watched(relationship: Relationship) -> Outcome:
    """With the timer of its next step armed, or none where nobody counts."""
    at = due(relationship)
    if at is None:
        return NOTHING.clear(QUIET, relationship.id)
    return NOTHING.arm(QUIET, relationship.id, relationship.id, at)


def whom(relationship: Relationship, person_id: UUID) -> UUID | None:
    """The one on the other side whom this member may say they hear nothing from; None where it could be several."""
    member = relationship.member(person_id)
    others = [m for m in relationship.members if m.person_id != person_id]
    if len(others) > 1 and member is not None:
        others = [m for m in others if m.role in GUIDES and m.role is not member.role]
    return others[0].person_id if len(others) == 1 else None


def stall(relationship: Relationship, reason: StallReason, moment: Moment, misses: int = 0) -> tuple[Relationship, Outcome]:
    """It has gone quiet: said once, until something is heard again."""
    if relationship.stalled_at is not None:
        return relationship, NOTHING
    stalled = PairStalled(**relationship.about, reason=reason, misses=misses, quiet_since=last_sign(relationship))
    relationship = replace(relationship, stalled_at=moment.now)
    return relationship, NOTHING.then(stalled).plus(watched(relationship))


def heard(
    relationship: Relationship,
    at: datetime,
    moment: Moment,
    *,
    by: Collection[UUID],
    meeting_id: UUID | None = None,
    contact_id: UUID | None = None,
) -> tuple[Relationship, Outcome]:
    """A sign of life from this time. Silence is counted from it; what silence had led to is undone, unless the sign is an old one:
    from before a member was asked, or followed by as many missed meetings, or as long a silence, as stall a pair. `by`: those who gave it;
    for a member of a group who is asked nobody else answers, and what they are asked for stands.
    """
    relationship = replace(relationship, heard_at=max(at, last_sign(relationship) or at))
    if relationship.ended_at is not None:
        return relationship, NOTHING
    missed = meeting_id is not None and relationship.misses_in_a_row >= relationship.rules.misses_before_stalled
    asked_since = relationship.asked_at is not None and at < relationship.asked_at
    by_others = relationship.is_group and relationship.asked is not None and relationship.asked not in by
    if missed or asked_since or by_others or later(relationship, at, longest_silence(relationship)) <= moment.now:
        return relationship, watched(relationship)
    relationship, unasked = let_off(relationship)
    relationship, back = recovered(relationship, meeting_id=meeting_id, contact_id=contact_id)
    return relationship, unasked.plus(back)


def let_off(relationship: Relationship) -> tuple[Relationship, Outcome]:
    """Nobody is asked any more whether they go on."""
    if relationship.asked is None:
        return relationship, NOTHING
    return replace(relationship, asked=None, asked_at=None), NOTHING.clear(UNANSWERED, relationship.id)


def excused(relationship: Relationship) -> tuple[Relationship, Outcome]:
    """Whoever is asked has a break or has left, which is answer enough. A group is alive again where others gave a sign meanwhile."""
    asked_at, last = relationship.asked_at, last_sign(relationship)
    relationship, outcome = let_off(relationship)
    if relationship.is_group and asked_at is not None and last is not None and last > asked_at:
        relationship, back = recovered(relationship)
        outcome = outcome.plus(back)
    return relationship, outcome


def recovered(
    relationship: Relationship, *, meeting_id: UUID | None = None, contact_id: UUID | None = None, answered_by: UUID | None = None
) -> tuple[Relationship, Outcome]:
    """Alive again: it is said where it had been quiet."""
    outcome = NOTHING
    if relationship.stalled_at is not None:
        back = PairRecovered(**relationship.about, meeting_id=meeting_id, contact_id=contact_id, answered_by=answered_by)
        outcome = outcome.then(back)
    relationship = replace(relationship, stalled_at=None, warned_at=None, frozen_at=None)
    return relationship, outcome.plus(watched(relationship))
