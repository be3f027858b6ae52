"""What people say of themselves: on which days their week doesn't hold, and where they meet others; by the rules, and through Kafka, HTTP
and PostgreSQL.
"""

import re
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduling.domain import away, changes, diaries, meetings, own, people, signs, silence
from services.scheduling.domain.addresses import https
from services.scheduling.domain.changes import DoesNotFit
from services.scheduling.domain.model import Days, MeetingStatus, Place, PlaceKind
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import PersonErased, PersonStatus, ProfileChanged, Role
from tests.scheduling.conftest import until
from tests.scheduling.examples import NOW, At, agreed, armed, names, person, took
from tests.scheduling.test_rules import scheduled

DAY = timedelta(days=1)
TODAY = NOW.date()
FORTNIGHT = Days(TODAY, TODAY + 13 * DAY)


def with_days(relationship, *days, which=1):
    members = list(relationship.members)
    members[which] = replace(members[which], days=days)
    return replace(relationship, members=tuple(members))


def told(relationship, meeting, *days, which=1, moment=None):
    """The outcome for a relationship of what a member said."""
    member = relationship.members[which]
    return people.days_told(relationship, meeting, replace(person(), id=member.person_id, days=days), moment or At())


# ---- what may be said


def test_days_are_kept_in_order_said_twice_they_are_once_and_they_can_be_taken_back():
    someone, clock = person(), At()
    for days in (Days(date(2026, 12, 24), date(2026, 12, 24)), FORTNIGHT, FORTNIGHT):
        outcome = own.say_days(someone, days, clock)
        assert armed(outcome) == ({own.DAYS: NOW} if outcome != NOTHING else {})
        someone = outcome.changed[0] if outcome.changed else someone
    assert [d.first for d in someone.days] == [TODAY, date(2026, 12, 24)]
    (after,) = own.take_back(someone, FORTNIGHT, clock).changed
    assert len(after.days) == 1
    assert own.take_back(after, FORTNIGHT, clock) == NOTHING
    (later,) = own.say_days(someone, Days(date(2028, 1, 1), date(2028, 1, 1)), At(NOW + 385 * DAY)).changed
    assert [d.first for d in later.days] == [date(2026, 12, 24), date(2028, 1, 1)], "older than a year is forgotten"


@pytest.mark.parametrize(
    ("days", "field"),
    [
        (Days(TODAY, TODAY - DAY), "last"),
        (Days(TODAY - 9 * DAY, TODAY - DAY), "first"),
        (Days(TODAY, TODAY + 400 * DAY), "last"),
        (Days(TODAY, TODAY, (16 * 60, 14 * 60)), "end"),
        (Days(TODAY, TODAY, (840, 840)), "end"),
    ],
)
def test_days_that_make_no_sense_are_refused_at_their_field(days, field):
    with pytest.raises(Rejected) as refused:
        own.say_days(person(), days, At())
    assert refused.value.field == field


def test_who_was_erased_says_nothing_more():
    for decided in (
        lambda: own.say_days(people.erased(person().id, None, 2), FORTNIGHT, At()),
        lambda: own.say_place(None, None),
    ):
        with pytest.raises(Rejected) as refused:
            decided()
        assert refused.value.status == 404


def test_fifty_are_enough():
    days = tuple(Days(TODAY + n * DAY, TODAY + n * DAY) for n in range(own.MOST_DAYS))
    with pytest.raises(Rejected) as refused:
        own.say_days(person(days=days), FORTNIGHT, At())
    assert refused.value.code == "too_many_days"


def test_a_link_is_one_of_at_most_500_characters_and_nothing_besides():
    long = "https://jobs.example/" + "a" * 479
    assert https(long) == long
    for wrong in (
        long + "a",
        "https://jobs.example/a b",
        "https://me@jobs.example/",
        "https://jobs.example/ https://other.example/",
    ):
        assert https(wrong) is None, wrong


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        ("room", " https://meet.example.org/ada-2 ", "https://meet.example.org/ada-2"),
        ("room", "https://MEET.example.org", "https://meet.example.org/"),
        ("room", "https://exämple.org/r?pwd=1#x", "https://xn--exmple-cua.org/r?pwd=1#x"),
        ("room", "http://meet.example.org/ada", None),
        ("room", "javascript:alert(1)", None),
        ("room", "https://ada:secret@meet.example.org", None),
        ("room", "https://localhost/room", None),
        ("room", "meet.example.org/ada", None),
        ("room", "https://meet.example.org/" + "a" * 300, None),
        ("address", "12  Marina Road,\n Lagos", "12 Marina Road, Lagos"),
        ("address", "\u202egroR\x00 aniraM", "groR aniraM"),
        ("address", "x" * 301, None),
        ("phone", "+234 1 234 5678", "+234 1 234 5678"),
        ("phone", "(0221) 47-11.22", "(0221) 47-11.22"),
        ("phone", "call me", None),
        ("castle", "Ithaca", None),
    ],
)
def test_where_is_a_safe_link_an_address_or_a_number(kind, text, kept):
    if kept is None:
        with pytest.raises(Rejected):
            own.place(kind, text)
    else:
        assert own.place(kind, text) == Place(PlaceKind(kind), kept)
    assert own.place(kind, "  ") is None


def test_the_mentors_place_holds_and_only_for_a_meeting_that_is_to_come():
    relationship, meeting = scheduled()
    mentor, mentee = (m.person_id for m in relationship.members)
    at = {p: replace(person(), id=p, place=Place(PlaceKind.room, f"https://{n}.example/")) for n, p in ((1, mentor), (2, mentee))}
    turned = replace(relationship, members=relationship.members[::-1])
    for known in (relationship, turned):
        member, place = own.where(known, meeting, at)
        assert (member.role, place.text) == (Role.mentor, "https://1.example/")
    assert own.where(relationship, meeting, {mentee: at[mentee]})[0].person_id == mentee
    assert own.where(relationship, meeting, {}) is None
    assert own.where(replace(relationship, ended_at=NOW), meeting, at) is None
    for status in set(MeetingStatus) - {MeetingStatus.scheduled}:
        assert own.where(relationship, replace(meeting, status=status), at) is None


def test_a_record_of_the_person_leaves_what_they_said_themselves():
    someone = person(days=(FORTNIGHT,), place=Place(PlaceKind.phone, "+234 1 234 5678"))
    record = ProfileChanged(
        person_id=someone.id,
        organization=someone.organization,
        own_id="x",
        profile={"time_zone": "Europe/London"},
        contact={"name": "X"},
        revision=2,
    )
    after = people.person_after(someone, record, left=False)
    assert (after.days, after.place, after.time_zone) == (someone.days, someone.place, "Europe/London")
    left = record.model_copy(update={"status": PersonStatus.withdrawn})
    for gone in (people.erased(someone.id, someone, 3), people.person_after(someone, left, left=True)):
        assert (gone.days, gone.place) == ((), None)


# ---- what comes of it


def test_times_offered_on_days_away_are_closed_and_new_ones_come_where_none_is_left():
    relationship, known = agreed()
    (meeting,) = known.values()
    one = meeting.slots[0].date()
    some = with_days(relationship, Days(one, one))
    assert diaries.still_open(some, meeting, NOW, At()) == list(meeting.slots[1:])
    assert names(told(relationship, meeting, Days(one, one))) == []
    with pytest.raises(Rejected) as refused:
        meetings.pick(some, meeting, some.members[0].person_id, meeting.slots[0], At())
    assert refused.value.code == "time_taken"
    for whose in (0, 1):
        with pytest.raises(DoesNotFit) as unfit:
            changes.suggest(some, meeting, some.members[whose].person_id, meeting.slots[0] + timedelta(minutes=30), At())
        assert unfit.value.who == (some.members[1].person_id,), "their own day off too"

    outcome = told(relationship, meeting, FORTNIGHT)
    assert names(outcome) == ["MeetingCancelled", "MeetingProposed"]
    assert all(slot.date() > FORTNIGHT.last for slot in outcome.events[1].slots)
    relationship, known = took(outcome, relationship, known)
    assert relationship.members[1].days == (FORTNIGHT,)
    assert told(relationship, known[relationship.meeting_id], FORTNIGHT) == NOTHING, "once"


def test_a_meeting_that_has_its_time_stays_and_hours_given_for_a_day_open_it():
    relationship, meeting = scheduled()
    assert names(told(relationship, meeting, FORTNIGHT)) == []
    sunday = Days(TODAY + 6 * DAY, TODAY + 6 * DAY, (14 * 60, 16 * 60))
    there = replace(sunday, hours=(10 * 60, 12 * 60))
    nowhere = with_days(replace(relationship, meeting_id=None), Days(TODAY, TODAY + 90 * DAY), which=0)
    assert names(told(nowhere, None, FORTNIGHT)) == []
    outcome = told(with_days(nowhere, sunday, *nowhere.members[0].days, which=0), None, there)
    assert {slot.date() for slot in outcome.events[-1].slots} == {sunday.first}


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), max_size=5)


@settings(deadline=None)
@given(spans, spans, st.integers(1, 30))
def test_a_deadline_is_later_by_each_day_on_which_somebody_is_away(mine, theirs, days):
    """Counted day by day; both live in UTC."""
    relationship, _ = agreed(people=[person("UTC"), person("UTC")])
    for which, said in enumerate((mine, theirs)):
        members = (Days(TODAY + first * DAY, TODAY + (first + length) * DAY) for first, length in said)
        relationship = with_days(relationship, *members, which=which)
    since = datetime.combine(TODAY, datetime.min.time(), NOW.tzinfo)
    off = {first + n for first, length in (*mine, *theirs) for n in range(length + 1)}
    day = counted = 0
    while counted < days:
        counted += day not in off
        day += 1
    last = away.later(relationship, since, days * DAY)
    assert since + (day - 1) * DAY <= last <= since + day * DAY
    assert away.is_away(relationship, since) == (0 in off)


def test_silence_and_an_answer_wait_for_whoever_is_away_and_a_meeting_then_is_no_miss_of_theirs():
    relationship, meeting = scheduled()
    outcome = told(relationship, meeting, FORTNIGHT)
    quiet = signs.due(relationship)
    assert armed(outcome)[signs.QUIET] - quiet > 12 * DAY
    missed = meetings.miss(with_days(relationship, FORTNIGHT), meeting, At(meeting.ends_at + DAY))
    assert names(missed)[0] == "MeetingMissed"
    assert took(missed, relationship)[0].misses == ()

    asked, _ = took(silence.say_silent(relationship, relationship.members[0].person_id, At()), relationship)
    outcome = told(asked, meeting, FORTNIGHT)
    assert armed(outcome)[signs.UNANSWERED] - (NOW + 3 * DAY) > 12 * DAY
    back = told(with_days(asked, FORTNIGHT), meeting, moment=At(NOW + 10 * DAY))
    assert armed(back)[signs.UNANSWERED] == NOW + 13 * DAY, "who comes back sooner has three days still"


# ---- through Kafka, HTTP and PostgreSQL


async def test_days_away_and_a_room_are_said_kept_heeded_and_told_to_nobody_else(scene):
    pair = await scene.pair()
    meeting = await pair.scheduled()
    day = meeting.starts_at.date()
    quiet = await scene.db.fetchval("select fire_at from scheduling.timers where kind = 'quiet' and owner = $1", str(pair.id))

    page = await scene.do("own", pair.mentee, pair.mentee, 1, act="away", first=f"{day}", last=f"{day + 9 * DAY}")
    assert "A meeting lies on these days" in page.text
    move = re.search(r'href="\.\./(pick/[^"]+)"', page.text)[1].replace("&amp;", "&")
    assert "Call this meeting off" in (await scene.http.get(f"/{move}")).text

    async def later():
        at = await scene.db.fetchval("select fire_at from scheduling.timers where kind = 'quiet' and owner = $1", str(pair.id))
        return at - quiet == 10 * DAY

    assert await until(later), "the relationship has taken it over, and waits"

    room = "https://meet.example.org/a-room-of-ones-own"
    nobody = await scene.see("where", meeting.meeting_id, pair.mentee, 1)
    assert "Nobody has said yet where you meet" in nobody.text
    page = await scene.do("own", pair.mentor, pair.mentor, 1, act="place", kind="room", text="http://meet.example.org/")
    assert (page.status_code, "begins with https://" in page.text) == (422, True)
    page = await scene.do("own", pair.mentor, pair.mentor, 1, act="place", kind="room", text=room)
    assert (page.status_code, room in page.text) == (200, True)
    for action, version in (("where", 1), ("pick", 1), ("met", 0)):
        assert f'href="{room}"' in (await scene.see(action, meeting.meeting_id, pair.mentee, version)).text
    stranger = scene.person("Europe/London")
    assert (await scene.see("where", meeting.meeting_id, stranger, 1)).status_code == 403
    for thing, who in ((stranger, stranger), (pair.mentor, pair.mentee)):
        assert (await scene.see("own", thing, who, 1)).status_code == 404

    # what is proposed next lies behind the days away, and says nothing of them
    page = await scene.do("pick", meeting.meeting_id, pair.mentor, 1, act="call_off", reason="asked")
    following = await scene.log.wait(pair.id, "MeetingProposed", 2)
    assert all(slot.date() > day + 9 * DAY for slot in following.slots)
    page = await scene.do("own", pair.mentee, pair.mentee, 1, act=f"{day} {day + 9 * DAY} None")
    assert "away" not in page.text.split("<details")[0].split("While you are away")[1]
    written = "".join(w.body for w in scene.log.of(pair.id))
    assert "meet.example" not in written
    assert f"{day + 9 * DAY}" not in written

    headers = await scene.key(scene.owner, "read")
    seen = await scene.http.get(f"/v1/relationships/{pair.id}", headers=headers)
    assert (seen.status_code, "meet.example" in seen.text) == (200, False)
    await scene.send(PersonErased(person_id=pair.mentor, organization=scene.owner, revision=2))
    await scene.log.wait(pair.id, "PairEnded")
    assert (await scene.see("own", pair.mentor, pair.mentor, 1)).status_code == 404
    assert not await scene.db.fetchval(
        "select place is not null or days <> '[]' from scheduling.people where id = $1", pair.mentor
    )
    assert room not in (await scene.see("where", meeting.meeting_id, pair.mentee, 1)).text
