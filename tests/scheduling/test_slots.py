"""When people can meet."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduling.domain import slots
from services.scheduling.domain.model import Days, Member
from shared.cloudevents import new_id
from shared.events import Role
from tests.scheduling.examples import NOW, week, windows

ZONES = [
    "Africa/Lagos",
    "America/Sao_Paulo",
    "America/New_York",
    "Europe/London",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "UTC",
]


DAY, HALF = timedelta(days=1), timedelta(minutes=30)


def member(time_zone, availability=()):
    return Member(new_id(), Role.mentor, "northwind", time_zone, availability=availability)


def wall(at, zone):
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %H:%M}"


def test_three_days_and_three_hours_of_the_day_are_offered_where_nobody_said_anything():
    found = slots.find([member("Africa/Lagos"), member("America/Sao_Paulo")], "Africa/Lagos", 30, NOW + timedelta(days=2))
    assert [wall(at, "Africa/Lagos") for at in found] == ["Wed 25 Nov 13:00", "Thu 26 Nov 14:30", "Fri 27 Nov 16:30"]
    assert [wall(at, "America/Sao_Paulo") for at in found] == ["Wed 25 Nov 09:00", "Thu 26 Nov 10:30", "Fri 27 Nov 12:30"]


def test_said_hours_bind_and_unsaid_ones_widen_where_nothing_is_in_common():
    evening = member("Europe/London", windows((1, "18:00", "20:00")))
    anybody = member("Europe/London")
    found = slots.find([anybody, evening], "Europe/London", 60, NOW)
    assert [wall(at, "Europe/London") for at in found] == ["Tue 24 Nov 18:00", "Tue 01 Dec 18:30", "Tue 08 Dec 19:00"]


def test_hours_that_both_said_and_that_never_meet_give_nothing():
    assert slots.find([member("UTC", week("09:00", "10:00")), member("UTC", week("15:00", "16:00"))], "UTC", 30, NOW) == ()


def test_said_hours_at_night_are_not_offered():
    assert slots.find([member("UTC", week("21:00", "24:00"))], "UTC", 30, NOW) == ()
    assert slots.hours_of(windows((0, "06:00", "12:00"), (0, "12:00", "22:00"))) == ((0, 480, 1260),)


def test_one_day_a_week_gives_several_weeks():
    found = slots.find([member("UTC", windows((3, "10:00", "10:30")))], "UTC", 30, NOW)
    assert [wall(at, "UTC") for at in found] == ["Thu 26 Nov 10:00", "Thu 03 Dec 10:00", "Thu 10 Dec 10:00"]


@st.composite
def members(draw):
    zones = draw(st.lists(st.sampled_from(ZONES), min_size=2, max_size=3))
    found = []
    for zone in zones:
        hours = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 46), st.integers(1, 24)), max_size=6))
        said = windows(*((day, clock(start), clock(min(48, start + length))) for day, start, length in hours))
        found.append(member(zone, said))
    return found


def clock(halves):
    return f"{halves // 2:02d}:{halves % 2 * 30:02d}"


moments = st.integers(0, 4 * 365 * 24 * 12).map(lambda steps: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=5 * steps))


@settings(max_examples=300, deadline=None)
@given(members(), moments, st.sampled_from([15, 30, 45, 60, 90]))
def test_every_time_offered_suits_everybody_on_their_own_wall(people, now, minutes):
    found = slots.find(people, people[0].time_zone, minutes, now)
    assert list(found) == sorted(set(found))
    assert len(found) <= 3
    for at in found:
        assert now <= at <= now + timedelta(days=slots.HORIZON_DAYS)
        for someone in people:
            assert slots.fits(someone, at, minutes)
            zone = ZoneInfo(someone.time_zone)
            begins, ends = at.astimezone(zone), (at + timedelta(minutes=minutes)).astimezone(zone)
            assert (begins.hour, begins.minute) >= (8, 0)
            assert (ends.hour, ends.minute) <= (21, 0)
            assert begins.date() == ends.date()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ZONES), moments, st.integers(1, 8), st.integers(1, 200))
def test_a_series_keeps_its_hour_on_the_wall(zone, anchor, weeks, days):
    anchor = anchor.replace(hour=12, minute=30, second=0, microsecond=0)
    after = anchor + timedelta(days=days)
    at = slots.in_rhythm(anchor, zone, weeks, after)
    first, later = anchor.astimezone(ZoneInfo(zone)), at.astimezone(ZoneInfo(zone))
    assert at >= after
    assert at - after <= timedelta(weeks=weeks, hours=1)
    assert (first.hour, first.minute) == (later.hour, later.minute)
    assert (later.date() - first.date()).days % (7 * weeks) == 0


@pytest.mark.parametrize(
    ("anchor", "zone", "next_one"),
    [
        ("2026-03-18T14:00Z", "America/New_York", "2026-04-01T14:00Z"),  # both after the change of 8 March
        ("2026-02-25T15:00Z", "America/New_York", "2026-03-11T14:00Z"),  # 10:00 before and after it
        ("2026-10-21T09:00Z", "Europe/London", "2026-11-04T10:00Z"),
        ("2026-03-25T23:00Z", "Australia/Lord_Howe", "2026-04-08T23:30Z"),  # half an hour, the other way
        ("2026-03-25T10:00Z", "Asia/Kolkata", "2026-04-08T10:00Z"),
    ],
)
def test_summer_time_moves_the_instant(anchor, zone, next_one):
    start = datetime.fromisoformat(anchor)
    assert slots.in_rhythm(start, zone, 2, start + timedelta(days=1)) == datetime.fromisoformat(next_one)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-08-31T11:00Z", 6, "2027-02-28T12:00Z"),
        ("2026-01-15T12:00Z", 12, "2027-01-15T12:00Z"),
        ("2026-03-01T12:00Z", 1, "2026-04-01T11:00Z"),  # London's clock went forward
    ],
)
def test_months_are_the_calendars(start, months, end):
    assert slots.add_months(datetime.fromisoformat(start), months, "Europe/London") == datetime.fromisoformat(end)


def test_the_next_meeting_is_the_series_own_time_first():
    people = [member("Europe/London"), member("America/New_York")]
    anchor = datetime(2026, 10, 21, 14, 0, tzinfo=UTC)  # 15:00 in London, 10:00 in New York
    now = datetime(2026, 10, 21, 15, 0, tzinfo=UTC)
    found = slots.next_slots(people, "Europe/London", 30, 2, now, since=anchor, rhythm=anchor, lead=timedelta(days=2))
    assert wall(found[0], "Europe/London") == "Wed 04 Nov 15:00"
    assert found[0] == datetime(2026, 11, 4, 15, 0, tzinfo=UTC)
    assert len(found) == 3
    assert list(found) == sorted(found)


def test_a_series_whose_time_no_longer_suits_is_found_anew():
    anchor = datetime(2026, 10, 21, 14, 0, tzinfo=UTC)
    people = [member("Europe/London"), member("Europe/London", week("09:00", "11:00"))]
    found = slots.next_slots(
        people, "Europe/London", 30, 2, anchor + timedelta(hours=1), since=anchor, rhythm=anchor, lead=timedelta(days=2)
    )
    assert [wall(at, "Europe/London") for at in found] == ["Tue 03 Nov 09:00", "Wed 04 Nov 09:30", "Thu 05 Nov 10:30"]


# ---- days on which a week doesn't hold

exceptions = st.lists(
    st.tuples(
        st.integers(-3, 30),
        st.integers(0, 12),
        st.one_of(st.none(), st.tuples(st.integers(0, 94), st.integers(1, 95)).filter(lambda hours: hours[0] < hours[1])),
    ),
    max_size=6,
)


def said(today, exceptions):
    """Of some days ahead, in quarters of an hour."""
    return tuple(
        Days(today + n * DAY, today + (n + (0 if hours else length)) * DAY, hours and (hours[0] * 15, hours[1] * 15))
        for n, length, hours in exceptions
    )


def can(someone, minute):
    """Whether this minute is one of theirs, by what they said of the day, or else of their week; a plain account."""
    here = minute.astimezone(ZoneInfo(someone.time_zone))
    about = [said for said in someone.days if said.first <= here.date() <= said.last]
    now = here.hour * 60 + here.minute
    if about:
        return any(said.hours and said.hours[0] <= now < said.hours[1] for said in about)
    awake = 8 * 60 <= now < 21 * 60
    clock = f"{here:%H:%M}"
    return awake and (
        not someone.availability or any(w.weekday == here.weekday() and w.start <= clock < w.end for w in someone.availability)
    )


@settings(max_examples=200, deadline=None)
@given(members(), moments, st.sampled_from([15, 30, 60]), st.data())
def test_what_somebody_said_of_a_day_goes_before_their_week(people, now, minutes, data):
    people = [replace(one, days=said(now.date(), data.draw(exceptions))) for one in people]
    found = slots.find(people, people[0].time_zone, minutes, now)
    for at in found:
        for one in people:
            assert all(can(one, at + n * timedelta(minutes=5)) for n in range(minutes // 5)), (one, at)
            assert slots.suits(one, at, minutes)
            assert not slots.said_otherwise(one, at, minutes)
    away = replace(people[0], days=(Days(now.date() - DAY, now.date() + 99 * DAY),))
    assert slots.find([away, *people[1:]], people[0].time_zone, minutes, now) == ()


def test_hours_for_a_day_hold_as_they_stand_on_a_holiday_at_night_and_within_days_away():
    night = Days(date(2026, 12, 25), date(2026, 12, 25), (22 * 60, 23 * 60))
    people = [replace(member("Europe/London", week()), country="GB", days=(Days(date(2026, 12, 20), date(2027, 1, 3)), night))]
    found = slots.find(people, "Europe/London", 60, datetime(2026, 12, 21, tzinfo=UTC))
    assert [wall(at, "Europe/London") for at in found] == ["Fri 25 Dec 22:00", "Mon 04 Jan 12:30", "Tue 05 Jan 16:00"]


def test_a_series_makes_way_for_days_away_and_goes_on_at_its_own_hour():
    anchor = datetime(2026, 12, 1, 14, 0, tzinfo=UTC)
    people = [member("Europe/London", week()), member("Europe/London", week())]
    people[0] = replace(people[0], days=(Days(date(2026, 12, 10), date(2026, 12, 20)),))
    found = slots.next_slots(people, "Europe/London", 30, 2, anchor + HALF, since=anchor, rhythm=anchor, lead=2 * DAY)
    assert [wall(at, "Europe/London")[:10] for at in found] == ["Mon 21 Dec", "Tue 22 Dec", "Wed 23 Dec"]
    later = slots.next_slots(people, "Europe/London", 30, 2, found[0] + HALF, since=found[0], rhythm=anchor, lead=2 * DAY)
    assert wall(later[0], "Europe/London") == "Tue 29 Dec 14:00"


# ---- other meetings and public holidays

LONDON_HOURS = windows(*((day, start, end) for day in range(5) for start, end in (("09:00", "12:00"), ("13:00", "18:00"))))


spans_of_time = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 40)), max_size=12)


def spans(starts_and_lengths):
    """Half hours from NOW on."""
    return [(NOW + start * HALF, NOW + (start + length) * HALF) for start, length in starts_and_lengths]


@settings(deadline=None)
@given(spans_of_time, spans_of_time)
def test_what_is_left_beside_other_meetings_is_exactly_what_they_dont_cover(some, others):
    free, at = [], 0
    for gap, length in some:
        free.append((at + gap, length))
        at += gap + length
    left = slots.without(spans(free), spans(others))
    for n in range(at + 50):
        moment = NOW + n * HALF
        inside = any(start <= moment < end for start, end in spans(free))
        covered = any(start <= moment < end for start, end in spans(others))
        assert any(start <= moment < end for start, end in left) == (inside and not covered)
    assert all(start < end for start, end in left)
    assert all(one[1] <= two[0] for one, two in pairwise(left))


@settings(max_examples=100, deadline=None)
@given(members(), moments, st.sampled_from([15, 30, 90]), st.data())
def test_no_time_is_offered_in_which_somebody_is_in_another_meeting(people, now, minutes, data):
    length = timedelta(minutes=minutes)
    before = slots.find(people, people[0].time_zone, minutes, now)
    taken = [(at - timedelta(minutes=10), at + length) for at in before if data.draw(st.booleans())]
    offered = [(at, at + length) for at in before]
    found = slots.find(people, people[0].time_zone, minutes, now, busy=slots.Busy(taken, offered))
    assert all(at + length <= start or end <= at for at in found for start, end in taken)
    assert len(found) >= len(slots.find(people, people[0].time_zone, minutes, now, busy=slots.Busy([*taken, *offered])))


@pytest.mark.parametrize(
    ("country", "first_days"),
    [
        ("GB", ["Tue 22 Dec", "Wed 23 Dec", "Thu 24 Dec", "Tue 29 Dec", "Wed 30 Dec", "Thu 31 Dec", "Mon 04 Jan"]),
        ("US", ["Tue 22 Dec", "Wed 23 Dec", "Thu 24 Dec", "Mon 28 Dec", "Tue 29 Dec", "Wed 30 Dec", "Thu 31 Dec"]),
        (None, ["Tue 22 Dec", "Wed 23 Dec", "Thu 24 Dec", "Fri 25 Dec", "Mon 28 Dec", "Tue 29 Dec", "Wed 30 Dec"]),
        ("ZZ", ["Tue 22 Dec", "Wed 23 Dec", "Thu 24 Dec", "Fri 25 Dec", "Mon 28 Dec", "Tue 29 Dec", "Wed 30 Dec"]),
    ],
)
def test_nobody_is_asked_to_meet_on_a_public_holiday_of_their_country(country, first_days):
    """Over Christmas 2026 in London; of a country that isn't known, or unknown to the library, no day is one."""
    people = [member("Europe/London", week()), replace(member("Europe/London", week()), country=country)]
    found = slots.find(people, "Europe/London", 30, datetime(2026, 12, 22, tzinfo=UTC), 7)
    assert [wall(at, "Europe/London")[:10] for at in found] == first_days


def test_a_holiday_is_one_on_the_wall_of_whoever_has_it():
    """When it is Monday evening in New York it is the morning of Tuesday, New Zealand's day of Waitangi, in Auckland."""
    auckland = replace(member("Pacific/Auckland", windows((1, "08:00", "12:00"))), country="NZ")
    new_york = member("America/New_York", windows((0, "13:00", "20:00")))
    found = slots.find([auckland, new_york], "Pacific/Auckland", 30, datetime(2029, 2, 2, tzinfo=UTC))
    assert [wall(at, "Pacific/Auckland")[:10] for at in found] == ["Tue 13 Feb", "Tue 20 Feb", "Tue 27 Feb"]


def test_a_series_skips_a_holiday_and_keeps_its_hour():
    anchor = datetime(2026, 12, 11, 14, 0, tzinfo=UTC)
    people = [member("Europe/London", week()), replace(member("Europe/London", week()), country="GB")]
    found = slots.next_slots(people, "Europe/London", 30, 2, anchor + HALF, since=anchor, rhythm=anchor, lead=timedelta(days=2))
    assert [wall(at, "Europe/London")[:10] for at in found] == ["Wed 23 Dec", "Thu 24 Dec", "Tue 29 Dec"]
    later = slots.next_slots(
        people, "Europe/London", 30, 2, found[0] + HALF, since=found[0], rhythm=anchor, lead=timedelta(days=2)
    )
    assert wall(later[0], "Europe/London") == "Fri 08 Jan 14:00"


def test_two_busy_people_are_searched_for_eight_weeks_in_five_milliseconds():
    days = tuple(Days(day := NOW.date() + n * 2 * DAY, day, (n * 20, n * 20 + 300) if n % 2 else None) for n in range(28))
    london = replace(member("Europe/London", LONDON_HOURS), country="GB", days=days)
    new_york = replace(member("America/New_York", LONDON_HOURS), country="US")
    taken = [
        (NOW + timedelta(days=day, hours=hour), NOW + timedelta(days=day, hours=hour, minutes=45))
        for day in range(slots.HORIZON_DAYS)
        for hour in (4, 5, 6)
    ]
    nights = replace(member("America/New_York", windows(*((day, "18:00", "20:00") for day in range(5)))), country="US")
    far = replace(member("Asia/Tokyo"), country="JP"), replace(member("America/Sao_Paulo"), country="BR")
    pairs = ((london, new_york, 60), (london, nights, 60), (*far, 3))  # the second have no hour in common: everything is searched
    for one, other, count in pairs:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            slots.find([one, other], "Europe/London", 30, NOW, count, busy=slots.Busy(taken))
            took.append(time.perf_counter() - began)
        assert min(took) < 0.005, f"{min(took) * 1000:.1f} ms"
