"""A series keeps its hour on the wall over every change of the clocks, 2025 to 2028: London, New York, Kolkata, Lord Howe."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest

from services.scheduling.domain import meetings, slots
from services.scheduling.domain.model import Member
from shared.cloudevents import new_id
from shared.events import Role
from tests.scheduling.examples import At, agreed, person, took

LONDON, NEW_YORK, KOLKATA, LORD_HOWE = "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"
WEEK = timedelta(weeks=1)

CHANGES = {
    LONDON: (
        "2025-03-30 +00:00 +01:00", "2025-10-26 +01:00 +00:00", "2026-03-29 +00:00 +01:00", "2026-10-25 +01:00 +00:00",
        "2027-03-28 +00:00 +01:00", "2027-10-31 +01:00 +00:00", "2028-03-26 +00:00 +01:00", "2028-10-29 +01:00 +00:00",
    ),
    NEW_YORK: (
        "2025-03-09 -05:00 -04:00", "2025-11-02 -04:00 -05:00", "2026-03-08 -05:00 -04:00", "2026-11-01 -04:00 -05:00",
        "2027-03-14 -05:00 -04:00", "2027-11-07 -04:00 -05:00", "2028-03-12 -05:00 -04:00", "2028-11-05 -04:00 -05:00",
    ),
    LORD_HOWE: (  # half an hour, and the other way round
        "2025-04-06 +11:00 +10:30", "2025-10-05 +10:30 +11:00", "2026-04-05 +11:00 +10:30", "2026-10-04 +10:30 +11:00",
        "2027-04-04 +11:00 +10:30", "2027-10-03 +10:30 +11:00", "2028-04-02 +11:00 +10:30", "2028-10-01 +10:30 +11:00",
    ),
    KOLKATA: tuple(f"{year}-{month}-01 +05:30 +05:30" for year in range(2025, 2029) for month in ("04", "10")),
}  # fmt: skip
"""The Sundays on which the clocks change, with the zone's offset before and after; Kolkata's don't."""


@pytest.mark.parametrize(("zone", "change"), [(zone, change) for zone, changes in CHANGES.items() for change in changes])
@pytest.mark.parametrize("weeks", [1, 2, 4])
@pytest.mark.parametrize("hour", ["08:00", "10:30", "20:30"])
def test_the_instant_moves_and_not_the_hour_on_the_wall(zone, change, weeks, hour):
    day, before, after = change.split()
    first = date.fromisoformat(day) - timedelta(days=3)
    anchor = datetime.fromisoformat(f"{first} {hour}{before}")
    following = slots.in_rhythm(anchor.astimezone(UTC), zone, weeks, anchor + timedelta(minutes=1))
    assert following == datetime.fromisoformat(f"{first + weeks * WEEK} {hour}{after}")


def member(zone):
    return Member(new_id(), Role.mentor, "northwind", zone)


def series(zone, hour, other):
    """A weekly series of two on Wednesdays from 2025 to 2028, each meeting proposed after the one before was held."""
    people = [member(zone), member(other)]
    at = anchor = slots.at_local(date(2025, 1, 1), slots.minutes_of(hour), ZoneInfo(zone))
    found = []
    while at.year < 2029:
        found.append(at)
        now = at + timedelta(hours=1)
        at = slots.next_slots(people, zone, 30, 1, now, since=at, rhythm=anchor, lead=timedelta(days=2))[0]
    return found


def wednesdays(first, last):
    """`03-12` to `03-26`, each week."""
    day, end, found = date.fromisoformat(first), date.fromisoformat(last), []
    while day <= end:
        found.append(day)
        day += WEEK
    return found


BOTH = {
    # In between the changes of New York and London, and all winter or summer of Lord Howe, the other's wall shows another hour.
    (LONDON, "15:00", NEW_YORK, "10:00", "11:00"): (
        ("2025-03-12", "2025-03-26"), ("2025-10-29", "2025-10-29"), ("2026-03-11", "2026-03-25"), ("2026-10-28", "2026-10-28"),
        ("2027-03-17", "2027-03-24"), ("2027-11-03", "2027-11-03"), ("2028-03-15", "2028-03-22"), ("2028-11-01", "2028-11-01"),
    ),
    (NEW_YORK, "10:00", LONDON, "15:00", "14:00"): (
        ("2025-03-12", "2025-03-26"), ("2025-10-29", "2025-10-29"), ("2026-03-11", "2026-03-25"), ("2026-10-28", "2026-10-28"),
        ("2027-03-17", "2027-03-24"), ("2027-11-03", "2027-11-03"), ("2028-03-15", "2028-03-22"), ("2028-11-01", "2028-11-01"),
    ),
    (LONDON, "09:30", KOLKATA, "15:00", "14:00"): (
        ("2025-04-02", "2025-10-22"), ("2026-04-01", "2026-10-21"), ("2027-03-31", "2027-10-27"), ("2028-03-29", "2028-10-25"),
    ),
    (KOLKATA, "19:30", NEW_YORK, "09:00", "10:00"): (
        ("2025-03-12", "2025-10-29"), ("2026-03-11", "2026-10-28"), ("2027-03-17", "2027-11-03"), ("2028-03-15", "2028-11-01"),
    ),
    (LORD_HOWE, "16:00", KOLKATA, "10:30", "11:00"): (
        ("2025-04-09", "2025-10-01"), ("2026-04-08", "2026-09-30"), ("2027-04-07", "2027-09-29"), ("2028-04-05", "2028-09-27"),
    ),
    (KOLKATA, "11:00", LORD_HOWE, "16:30", "16:00"): (
        ("2025-04-09", "2025-10-01"), ("2026-04-08", "2026-09-30"), ("2027-04-07", "2027-09-29"), ("2028-04-05", "2028-09-27"),
    ),
}  # fmt: skip
"""(whose series, at what hour, for whom, at what hour theirs, and at what instead): the first and last Wednesday of each time when so."""


@pytest.mark.parametrize(("pair", "instead"), BOTH.items(), ids=lambda it: f"{it[0]}-{it[2]}" if isinstance(it[0], str) else "")
def test_two_zones_over_eight_changes_of_each(pair, instead):
    zone, hour, other, usually, otherwise = pair
    shifted = {day for first, last in instead for day in wednesdays(first, last)}
    found = series(zone, hour, other)
    assert [at.astimezone(ZoneInfo(zone)).date() for at in found] == wednesdays("2025-01-01", "2028-12-27")
    for at in found:
        here, there = at.astimezone(ZoneInfo(zone)), at.astimezone(ZoneInfo(other))
        assert f"{here:%H:%M}" == hour
        assert f"{there:%H:%M}" == (otherwise if here.date() in shifted else usually), here


@pytest.mark.parametrize(("zone", "other"), list(permutations(CHANGES, 2)))
def test_whatever_is_proposed_over_the_years_lies_in_everyones_waking_hours(zone, other):
    """Where the series' own hour falls into someone's night after a change, others are found, and nobody is asked to meet at night."""
    relationship, known = agreed(
        At(datetime(2025, 1, 6, 9, tzinfo=UTC)), people=[person(zone), person(other)], agreement={"months": 60, "every_weeks": 2}
    )
    count = 0
    while relationship.meeting_id is not None:
        meeting = known[relationship.meeting_id]
        for at in meeting.slots:
            assert all(slots.fits(m, at, meeting.minutes) for m in relationship.members), at
        if meeting.slots[0].year > 2028:
            break
        taken = meetings.unpicked(relationship, meeting, At(meeting.proposed_at + timedelta(days=3)))
        relationship, known = took(taken, relationship, known)
        meeting = known[meeting.id]
        held = meetings.say_met(relationship, meeting, relationship.members[0].person_id, 30, At(meeting.ends_at))
        relationship, known = took(held, relationship, known)
        count += 1
    assert count >= 100
