"""The people of a run as the solver sees them, and when they are free."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.matching.domain.model import MONTH, Person, Personal, Program, role_in
from shared.events import Format, Profile, Role, Window

WEEK = 7 * 24 * 60
"""Minutes."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Someone who takes part, in one role. `places`: partners they may still get; `taken`: places that are taken already."""

    id: str
    organization: str
    role: Role
    profile: Profile
    places: int = 1
    taken: int = 0
    own_id: str = ""
    apart: frozenset[str] = frozenset()
    """Those with whom no pair is made: present and recent partners."""
    waited: int | None = None
    """Days on the waitlist; None where they don't wait."""
    first: bool = False
    """Released by the other side: they go first."""
    personal: Personal = field(default=(), repr=False)
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What they say to a policy's own parts, by the part's name."""

    @property
    def placed(self) -> bool:
        """Whether they have a partner already."""
        return self.taken > 0


def candidates(people: Iterable[Person], program: Program, now: datetime, form: Format = Format.one_to_one) -> list[Candidate]:
    """Those who take part in this format, as the solver sees them."""
    found = (candidate(person, program, now, form) for person in people if person.takes_part(program.id, form))
    return [one for one in found if one is not None]


def candidate(person: Person, program: Program, now: datetime, form: Format) -> Candidate | None:
    """Someone who is enrolled, whether they take part or not: partners of the program's last months without a repeat stay apart."""
    enrolment = person.enrolment(program.id)
    if enrolment is None or person.profile is None:
        return None
    since = now - program.policy.no_repeat_months * MONTH
    return Candidate(
        id=str(person.id),
        organization=person.organization,
        role=role_in(form, enrolment.role),
        profile=person.profile,
        places=person.room(program.id, program.policy, form, now),
        taken=person.taken_in(program.id, form, now),
        own_id=person.own_id,
        apart=frozenset(map(str, person.apart(program.id, since, form))),
        waited=next(((now - waiting.since).days for waiting in person.waiting if waiting.program == program.id), None),
        first=person.goes_first(program.id, form),
        personal=person.personal(program.id),
    )


def base_language(tag: str) -> str:
    """`pt` of `pt-BR`: a common language is one that both can speak, whatever the country."""
    return tag.partition("-")[0].lower()


def languages(profile: Profile) -> tuple[str, ...]:
    """The person's languages without countries, best first, each once."""
    return tuple(dict.fromkeys(map(base_language, profile.languages)))


def monday_of(now: datetime) -> date:
    """The first day of the reference week: the one that `now` lies in, so that offsets from UTC are today's."""
    day = now.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


@lru_cache(maxsize=2**16)
def _spans(time_zone: str, windows: tuple[Window, ...], monday: date) -> tuple[Span, ...]:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ()
    origin = datetime.combine(monday, time(), UTC)
    found: list[Span] = []
    for window in windows:
        day = monday + timedelta(days=window.weekday)
        start, end = _minute(day, window.start, zone, origin), _minute(day, window.end, zone, origin)
        if end <= start:
            continue
        begin, length = start % WEEK, min(end - start, WEEK)
        found.append((begin, min(begin + length, WEEK)))
        if begin + length > WEEK:  # the week is a ring
            found.append((0, begin + length - WEEK))
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _minute(day: date, local: str, zone: ZoneInfo, origin: datetime) -> int:
    """Minutes from `origin` to this local time."""
    hour, minute = int(local[:2]), int(local[3:])
    if hour == 24:
        day, hour = day + timedelta(days=1), 0
    moment = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
    return int((moment - origin).total_seconds()) // 60


def free_spans(profile: Profile, monday: date) -> tuple[Span, ...]:
    """When the person is free, as spans of minutes of the week in UTC: in order, apart from each other, 0 being Monday 00:00.

    Empty where they didn't say, or the time zone is one this machine doesn't know.
    """
    return _spans(profile.time_zone, profile.availability, monday) if profile.availability else ()


def spans_overlap(one: tuple[Span, ...], other: tuple[Span, ...]) -> int:
    """Minutes a week when these two are free."""
    return sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in one for b in other)
