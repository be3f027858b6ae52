"""Being away: it explains silence, and who is away has missed nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduling.domain.model import Member, Relationship
from services.scheduling.domain.slots import Span, at_local


def spans(member: Member) -> Iterator[Span]:
    """When this member is away, from midnight to midnight on their own wall."""
    for days in member.days:
        if days.hours is None:
            zone = ZoneInfo(member.time_zone)
            yield at_local(days.first, 0, zone), at_local(days.last + timedelta(days=1), 0, zone)


def is_away(relationship: Relationship, at: datetime) -> bool:
    """Whether a member is away then."""
    return any(begins <= at < ends for member in relationship.members for begins, ends in spans(member))


def later(relationship: Relationship, since: datetime, wait: timedelta) -> datetime:
    """So long after `since`, and as much later as some member is away meanwhile."""
    at, covered = since + wait, since
    for begins, ends in sorted(span for member in relationship.members for span in spans(member)):
        if max(begins, covered) >= at:
            break
        if ends > covered:
            at += ends - max(begins, covered)
            covered = ends
    return at
