"""Being away: it explains silence, and who is away has missed nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from services.scheduling.domain.groups import active, can_meet
from services.scheduling.domain.model import Member, Relationship
from services.scheduling.domain.slots import Span, at_local


def spans(member: Member) -> Iterator[Span]:
    """When this member is away, from midnight to midnight on their own wall."""
    for days in member.days:
        if days.hours is None:
            zone = ZoneInfo(member.time_zone)
            yield at_local(days.first, 0, zone), at_local(days.last + timedelta(days=1), 0, zone)


def gone(member: Member, at: datetime) -> bool:
    return any(begins <= at < ends for begins, ends in spans(member))


def there(relationship: Relationship, at: datetime) -> list[Member]:
    """Those who are neither in a break nor away then."""
    return [m for m in active(relationship) if not gone(m, at)]


def stops(relationship: Relationship) -> list[Span]:
    """When days away keep them from meeting, in order: of a pair any of either, of a group those on which too few are left to meet."""
    if not relationship.is_group:
        return sorted(span for member in relationship.members for span in spans(member))
    theirs = {member.person_id: list(spans(member)) for member in active(relationship)}
    changes = sorted({at for some in theirs.values() for span in some for at in span})
    return [
        (begins, ends)
        for begins, ends in pairwise(changes)
        if not can_meet(relationship, [who for who, some in theirs.items() if not any(f <= begins < t for f, t in some)])
    ]


def is_away(relationship: Relationship, at: datetime) -> bool:
    """Whether it couldn't meet then."""
    return any(begins <= at < ends for begins, ends in stops(relationship))


def later(relationship: Relationship, since: datetime, wait: timedelta, member: Member | None = None) -> datetime:
    """So long after `since`, and as much later as days away keep them from meeting meanwhile, or this member from answering."""
    at, covered = since + wait, since
    for begins, ends in stops(relationship) if member is None else sorted(spans(member)):
        if max(begins, covered) >= at:
            break
        if ends > covered:
            at += ends - max(begins, covered)
            covered = ends
    return at
