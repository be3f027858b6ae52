"""When people can meet: hours on each one's own wall, compared in UTC; never in anyone's quiet hours, stable over summer time."""

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.scheduling.domain import fairness
from services.scheduling.domain.days_off import is_off
from services.scheduling.domain.model import Days, Member
from shared.events import Window

DAY_BEGINS, DAY_ENDS = 8 * 60, 21 * 60
"""Quiet hours are the others: nobody is asked to meet in them. Minutes since midnight on the person's own wall."""

OFFICE = tuple((day, 9 * 60, 17 * 60) for day in range(5))
"""What holds for someone who said no hours."""

AWAKE = tuple((day, DAY_BEGINS, DAY_ENDS) for day in range(7))
"""What holds for someone who said no hours, where office hours leave nothing in common."""

FIRST_LOOK_DAYS, HORIZON_DAYS = 7, 56
"""A week mostly has enough; what is found in it stays the same when eight are searched."""

GRID_MINUTES = 30

Hours = tuple[tuple[int, int, int], ...]
"""(weekday, from, to) in minutes since midnight, 0 is Monday."""

Span = tuple[datetime, datetime]


class Busy(NamedTuple):
    """When some of those who are to meet are in other meetings, and when they are only offered to be, in any order."""

    taken: Sequence[Span] = ()
    offered: Sequence[Span] = ()


FREE = Busy()


def minutes_of(clock: str) -> int:
    """Minutes since midnight of `HH:MM`."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def hours_of(windows: Iterable[Window]) -> Hours:
    """Weekly windows without the quiet hours, those that touch made one."""
    days: dict[int, list[tuple[int, int]]] = {}
    for window in windows:
        clipped = max(minutes_of(window.start), DAY_BEGINS), min(minutes_of(window.end), DAY_ENDS)
        days.setdefault(window.weekday, []).append(clipped)
    return tuple((day, *span) for day in sorted(days) for span in merged(days[day]))


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and found[-1][1] >= start:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif start < end:
            found.append((start, end))
    return found


def hours(member: Member, unsaid: Hours) -> Hours:
    """A member's own hours; `unsaid` where they said none."""
    return hours_of(member.availability) if member.availability else unsaid


def said_of(days: Iterable[Days], day: date) -> list[tuple[int, int]] | None:
    """The hours that somebody gave for this day, which go before being away on it; none where they are away, None where they said nothing."""
    about = [said for said in days if said.first <= day <= said.last]
    return merged(said.hours for said in about if said.hours) if about else None


def hours_on(member: Member, day: date, weekly: Hours) -> Iterable[tuple[int, int]]:
    """A member's hours on a day: those they gave for it, as they stand; else those of their week, unless it is a public holiday."""
    said = said_of(member.days, day) if member.days else None
    if said is not None:
        return said
    return () if is_off(member.country, day) else [(begins, ends) for on, begins, ends in weekly if on == day.weekday()]


def at_local(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The instant when the wall shows this; of two, the first; where summer time skips it, as much later."""
    return datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone).astimezone(UTC)


def free(member: Member, unsaid: Hours, start: datetime, end: datetime) -> list[Span]:
    """A member's hours between two instants, in UTC and in order."""
    zone, weekly = ZoneInfo(member.time_zone), hours(member, unsaid)
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    spans = []
    while day <= last:
        for begins, ends in hours_on(member, day, weekly):
            span = max(at_local(day, begins, zone), start), min(at_local(day, ends, zone), end)
            if span[0] < span[1]:
                spans.append(span)
        day += timedelta(days=1)
    return spans


def common(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """Where two ordered lists of spans overlap."""
    spans = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            spans.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return spans


def without(spans: Sequence[Span], taken: Iterable[Span]) -> list[Span]:
    """What an ordered list of spans leaves beside others, which may come in any order and overlap each other."""
    others, first, left = sorted(taken), 0, []
    for start, end in spans:
        while first < len(others) and others[first][1] <= start:
            first += 1
        at = start
        for begins, ends in islice(others, first, None):
            if begins >= end:
                break
            if begins > at:
                left.append((at, begins))
            at = max(at, ends)
        if at < end:
            left.append((at, end))
    return left


def shared_spans(members: Sequence[Member], unsaid: Hours, start: datetime, end: datetime) -> list[Span]:
    """When all of them are free."""
    spans = [(start, end)]
    for member in members:
        spans = common(spans, free(member, unsaid, start, end))
    return spans


def on_the_grid(moment: datetime, zone: ZoneInfo) -> datetime:
    """The next full or half hour on this zone's wall."""
    wall = moment.astimezone(zone)
    over = timedelta(minutes=wall.minute % GRID_MINUTES, seconds=wall.second, microseconds=wall.microsecond)
    return moment + timedelta(minutes=GRID_MINUTES) - over if over else moment


def starts_in(span: Span, minutes: int, zone: ZoneInfo) -> list[datetime]:
    """Good times to begin within a span, in order; its own beginning where no full or half hour fits."""
    last = span[1] - timedelta(minutes=minutes)
    if last < span[0]:
        return []
    starts = []
    at = on_the_grid(span[0], zone)
    while at <= last:
        starts.append(at)
        at += timedelta(minutes=GRID_MINUTES)
    return starts or [span[0]]


def find(
    members: Sequence[Member],
    time_zone: str,
    minutes: int,
    earliest: datetime,
    count: int = 3,
    *,
    busy: Busy = FREE,
    borne: Sequence[float] = (),
) -> tuple[datetime, ...]:
    """Up to so many times to meet, in order, from `earliest` on and within eight weeks: on different days and at different hours
    of the day where that can be. Inside everyone's own hours; who said none is free in office hours, or else while awake. Beside
    all other meetings, and beside those that are only offered where that leaves enough. Where zones are far apart members take turns in
    whose early or late hour it is; `borne` says how much of that each has had (`fairness`).
    """
    best: tuple[datetime, ...] = ()
    for taken in ([*busy.taken, *busy.offered], busy.taken) if busy.offered else (busy.taken,):
        days = _days(members, time_zone, minutes, earliest, count, taken)
        found = tuple(sorted(_chosen(members, days, count, minutes, borne)))
        if len(found) == count:
            return found
        best = max(best, found, key=len)
    return best


def take_turns(members: Sequence[Member], time_zone: str, minutes: int, earliest: datetime) -> bool:
    """Whether zones are so far apart from then on that members take turns."""
    days = _days(members, time_zone, minutes, earliest, 3, ())
    return fairness.far_apart(members, [start for day in days for start in day], minutes)


def _days(
    members: Sequence[Member], time_zone: str, minutes: int, earliest: datetime, count: int, taken: Sequence[Span]
) -> list[list[datetime]]:
    """Good times to begin, for each of the first days that have some: more than so many days where there are."""
    for unsaid in (OFFICE, AWAKE):
        for days_ahead in (FIRST_LOOK_DAYS, HORIZON_DAYS):
            within = earliest, earliest + timedelta(days=days_ahead)
            days = _by_day(members, unsaid, ZoneInfo(time_zone), minutes, within, taken)
            if len(days) > count:
                break
        if days:
            return days
    return []


def _by_day(
    members: Sequence[Member], unsaid: Hours, zone: ZoneInfo, minutes: int, within: Span, taken: Sequence[Span]
) -> list[list[datetime]]:
    """Good times to begin, for each day on this zone's wall that has some, in order."""
    days: dict[date, list[datetime]] = {}
    for span in without(shared_spans(members, unsaid, *within), taken):
        for start in starts_in(span, minutes, zone):
            days.setdefault(start.astimezone(zone).date(), []).append(start)
    return list(days.values())


def _chosen(
    members: Sequence[Member], days: list[list[datetime]], count: int, minutes: int, borne: Sequence[float]
) -> Iterator[datetime]:
    """A time on each of the first days, earlier and later, or fair, in turn; several of one day only where there are too few days."""
    if fairness.far_apart(members, [start for day in days for start in day], minutes):
        yield from fairness.in_turn(members, days, count, minutes, borne)
        return
    chosen = [day[(len(day) - 1) * n // max(1, count - 1)] for n, day in enumerate(days[:count])]
    yield from chosen
    more, length = count - len(chosen), timedelta(minutes=minutes)
    for start in (start for day in days for start in day):
        if not more:
            return
        if all(abs(start - other) >= length for other in chosen):
            chosen.append(start)
            more -= 1
            yield start


def on_wall(member: Member, start: datetime, minutes: int) -> tuple[date, int, int]:
    """(day, begin, end) of a meeting on this member's wall, in minutes since the day's midnight; beyond 1440 where it goes on after the next."""
    zone = ZoneInfo(member.time_zone)
    begins, ends = start.astimezone(zone), (start + timedelta(minutes=minutes)).astimezone(zone)
    nights = (ends.date() - begins.date()).days
    return begins.date(), begins.hour * 60 + begins.minute, nights * 1440 + ends.hour * 60 + ends.minute


def fits(member: Member, start: datetime, minutes: int) -> bool:
    """Whether a meeting lies within the hours of this member's week."""
    day, begins, ends = on_wall(member, start, minutes)
    return any(d == day.weekday() and f <= begins and ends <= t for d, f, t in hours(member, AWAKE))


def suits(member: Member, start: datetime, minutes: int) -> bool:
    """Whether it lies within the hours that this member has on that very day."""
    day, begins, ends = on_wall(member, start, minutes)
    return any(f <= begins and ends <= t for f, t in hours_on(member, day, hours(member, AWAKE)))


def said_otherwise(member: Member, start: datetime, minutes: int) -> bool:
    """Whether it lies on days of which this member said that they are away, or can at other hours."""
    if not member.days:
        return False
    day, begins, ends = on_wall(member, start, minutes)
    said = said_of(member.days, day)
    return said is not None and not any(f <= begins and ends <= t for f, t in said)


def in_rhythm(anchor: datetime, time_zone: str, every_weeks: int, not_before: datetime) -> datetime:
    """The first time of a series from `not_before` on: at the anchor's hour on the zone's wall, every so many weeks.

    Summer time moves the instant in UTC, not the hour on the wall.
    """
    zone = ZoneInfo(time_zone)
    wall = anchor.astimezone(zone)
    step = timedelta(weeks=every_weeks)
    times = max(0, (not_before - anchor) // step)
    while True:
        day = wall.date() + times * step
        at = at_local(day, wall.hour * 60 + wall.minute, zone)
        if at >= not_before and times:
            return at
        times += 1


def next_slots(
    members: Sequence[Member],
    time_zone: str,
    minutes: int,
    every_weeks: int,
    now: datetime,
    *,
    since: datetime | None,
    rhythm: datetime | None,
    lead: timedelta,
    busy: Busy = FREE,
    borne: Sequence[float] = (),
) -> tuple[datetime, ...]:
    """Times for the next meeting. After one at `since`: the series' own time first, two others behind it; anew where the series'
    time doesn't suit everybody any more, or where they take turns, and others for this once where it is a public holiday for somebody,
    they are away, or in another meeting then. At least `lead` from now.
    """
    if since is None:
        return find(members, time_zone, minutes, now + lead, busy=busy, borne=borne)
    interval = timedelta(weeks=every_weeks)
    if rhythm is not None:
        usual = in_rhythm(rhythm, time_zone, every_weeks, max(since + interval / 2, now + lead))
        whole = usual, usual + timedelta(minutes=minutes)
        stands = all(suits(member, usual, minutes) for member in members) and without([whole], busy.taken) == [whole]
        if stands and (fairness.reasonable(members, usual, minutes) or not take_turns(members, time_zone, minutes, usual)):
            others = find(members, time_zone, minutes, usual + timedelta(hours=12), 2, busy=busy)
            return (usual, *others)
    return find(members, time_zone, minutes, max(since + interval - timedelta(days=2), now + lead), busy=busy, borne=borne)


def add_months(moment: datetime, months: int, time_zone: str) -> datetime:
    """So many calendar months later, at the same hour on the wall; the month's last day where it has fewer."""
    wall = moment.astimezone(ZoneInfo(time_zone))
    year, month = divmod(wall.year * 12 + wall.month - 1 + months, 12)
    day = min(wall.day, monthrange(year, month + 1)[1])
    return wall.replace(year=year, month=month + 1, day=day).astimezone(UTC)
