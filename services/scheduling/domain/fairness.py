"""Whose morning or evening it is: where zones are so far apart that every hour in common is early or late for someone, they take turns."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduling.domain.model import Member, Relationship

DAY = 9 * 60, 18 * 60
"""Between them nobody bears anything. Minutes since midnight on a member's own wall."""
AN_HOUR = 60
"""Before or after the day is reasonable still: nobody's hour moves about for that."""
A_WEEK = timedelta(days=7)
COUNTED = 6
"""Meetings looked back upon: of one more a sixty-fourth would count."""


def burden(member: Member, start: datetime, minutes: int) -> int:
    """Minutes by which a meeting begins before 9 or ends after 18 o'clock on this member's wall; the greater of the two."""
    wall = start.astimezone(ZoneInfo(member.time_zone))
    begins = wall.hour * 60 + wall.minute
    return max(0, DAY[0] - begins, begins + minutes - DAY[1])


def burdens(members: Sequence[Member], start: datetime, minutes: int) -> tuple[int, ...]:
    return tuple(burden(member, start, minutes) for member in members)


def reasonable(members: Sequence[Member], start: datetime, minutes: int) -> bool:
    """Whether nobody bears more than an hour."""
    return max(burdens(members, start, minutes)) <= AN_HOUR


def far_apart(members: Sequence[Member], starts: Iterable[datetime], minutes: int) -> bool:
    """Whether none of the times in common is reasonable for all, and it isn't always the same member who would bear the most: then they
    can take turns.
    """
    always: set[int] | None = None
    for start in starts:
        each = burdens(members, start, minutes)
        most = max(each)
        if most <= AN_HOUR:
            return False
        bear = {n for n, one in enumerate(each) if one == most}
        always = bear if always is None else always & bear
    return always is not None and not always


def in_turn(
    members: Sequence[Member], days: Sequence[Sequence[datetime]], count: int, minutes: int, borne: Sequence[float]
) -> list[datetime]:
    """Up to so many times on different days, each the one of its week after which whoever has borne the most has borne the least; of several the
    one with the least in all, and then the earliest.

    With B(m) borne so far and b(m, s) the burden of a time, the least max over m of B(m)/2 + b(m, s); that is then B(m) for the next one, as
    if they met each time. So the first time is for the one whose turn it is, and those behind it leave a choice.
    """
    each = {start: burdens(members, start, minutes) for day in days for start in day}
    chosen: list[datetime] = []
    before = list(borne) or [0.0] * len(members)
    while days and len(chosen) < count:
        earliest: dict[tuple[int, ...], datetime] = {}
        for start in (start for day in days if day[0] - days[0][0] < A_WEEK for start in day):
            earliest.setdefault(each[start], start)
        after = {start: added(before, burden) for burden, start in earliest.items()}
        best = min(after, key=lambda start: (max(after[start]), sum(after[start]), start))
        before = after[best]
        chosen.append(best)
        days = [day for day in days if day[0] > best]
    return chosen


def added(before: Iterable[float], more: Iterable[int]) -> list[float]:
    """What was borne before counts half once there is more."""
    return [b / 2 + m for b, m in zip(before, more, strict=True)]


def borne(relationship: Relationship) -> list[float]:
    """What each member has borne in the meetings held: the sum of b(m, k) / 2^k, k being 0 for the latest one, and 5 for the last that counts."""
    before = [0.0] * len(relationship.members)
    for at in [past.at for past in relationship.recent if past.held][-COUNTED:]:
        before = added(before, burdens(relationship.members, at, relationship.terms.minutes))
    return before
