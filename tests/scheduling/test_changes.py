"""What members want otherwise: another time suggested, a meeting called off; by the rules, and through Kafka, HTTP and PostgreSQL."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduling.domain import agreement, changes, meetings
from services.scheduling.domain.changes import DoesNotFit
from services.scheduling.domain.model import MeetingStatus
from services.scheduling.picking import Wish
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import ChangeReason, Format, PersonEnrolled
from tests.scheduling.conftest import Pair
from tests.scheduling.examples import NOW, At, agreed, armed, cleared, names, pair, person, took, week
from tests.scheduling.test_diaries import engaged
from tests.scheduling.test_rules import scheduled

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OTHER = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
"""A Friday within everyone's hours that isn't among the times proposed."""


def proposed(**more):
    relationship, known = agreed(**more)
    (meeting,) = known.values()
    return relationship, meeting, *(m.person_id for m in relationship.members)


# ---- another time


def test_a_time_suggested_stands_first_and_holds_once_somebody_else_takes_it():
    relationship, meeting, mentor, mentee = proposed()
    outcome = changes.suggest(relationship, meeting, mentee, OTHER, At(NOW + DAY))
    (event,) = outcome.events
    assert (names(outcome), event.proposed_by, event.slots) == (["MeetingProposed"], mentee, (OTHER, *meeting.slots))
    assert (event.meeting_id, event.number, event.sequence) == (meeting.id, 1, 0)
    assert armed(outcome) == {"unpicked": NOW + 4 * DAY}, "they have three days again"
    _, known = took(outcome, relationship)
    with pytest.raises(Rejected) as refused:
        meetings.pick(relationship, known[meeting.id], mentee, OTHER, At())
    assert refused.value.code == "own_suggestion"
    taken = meetings.pick(relationship, known[meeting.id], mentor, OTHER, At())
    assert (names(taken), taken.events[0].starts_at, taken.events[0].sequence) == (["MeetingScheduled"], OTHER, 1)
    by_itself = meetings.unpicked(relationship, known[meeting.id], At(NOW + 4 * DAY))
    assert by_itself.events[0].starts_at == (OTHER if NOW + 4 * DAY < OTHER else meeting.slots[-1])


def test_a_meeting_that_has_its_time_keeps_it_until_the_other_is_taken():
    relationship, meeting = scheduled()
    mentor, mentee = (m.person_id for m in relationship.members)
    outcome = changes.suggest(relationship, meeting, mentor, OTHER, At())
    assert (names(outcome), armed(outcome), cleared(outcome)) == (["MeetingProposed"], {}, set())
    assert outcome.events[0].sequence == meeting.sequence == 1
    _, known = took(outcome, relationship)
    assert known[meeting.id].starts_at == meeting.starts_at
    moved = meetings.pick(relationship, known[meeting.id], mentee, OTHER, At())
    assert (names(moved), moved.events[0].starts_at, moved.events[0].sequence) == (["MeetingRescheduled"], OTHER, 2)
    assert moved.events[0].rescheduled_by == mentee
    assert armed(moved) == {"reminder": OTHER - DAY, "missed": OTHER + timedelta(minutes=30) + DAY}


def test_where_ones_own_suggestion_was_taken_elsewhere_too_there_are_new_times():
    relationship, meeting, mentor, mentee = proposed()
    _, known = took(changes.suggest(relationship, meeting, mentee, OTHER, At()), relationship)
    meeting = known[meeting.id]
    taken = At(planned={mentor: [engaged(slot) for slot in meeting.slots]})
    assert names(meetings.pick(relationship, meeting, mentee, OTHER, taken)) == ["MeetingCancelled", "MeetingProposed"]


def test_who_suggests_what_stands_to_choice_picks_it_and_twice_is_once():
    relationship, meeting, mentor, mentee = proposed()
    assert names(changes.suggest(relationship, meeting, mentee, meeting.slots[1], At())) == ["MeetingScheduled"]
    _, known = took(changes.suggest(relationship, meeting, mentee, OTHER, At()), relationship)
    assert changes.suggest(relationship, known[meeting.id], mentee, OTHER, At()) == NOTHING
    assert names(changes.suggest(relationship, known[meeting.id], mentor, OTHER, At())) == ["MeetingScheduled"]


LAGOS, EVENINGS = person("Africa/Lagos"), person("Africa/Lagos", week("20:00", "21:00"))
CHRISTMAS = datetime(2026, 12, 25, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("other", "own", "at", "fits"),
    [
        (LAGOS, LAGOS, OTHER, True),
        (person("Africa/Lagos", week(days=[0])), LAGOS, OTHER, False),
        (person("Pacific/Auckland"), LAGOS, OTHER, False),
        (person("Africa/Lagos", country="NG"), LAGOS, CHRISTMAS, False),
        (LAGOS, person("Africa/Lagos", country="NG"), CHRISTMAS, True),
        (LAGOS, EVENINGS, OTHER, True),
        (EVENINGS, LAGOS, OTHER, False),
    ],
)
def test_it_must_fit_the_others_hours_while_ones_own_are_ones_own_business(other, own, at, fits):
    relationship, known = agreed()
    (meeting,) = known.values()
    members = tuple(
        replace(m, time_zone=p.time_zone, availability=p.availability, country=p.country)
        for m, p in zip(relationship.members, (other, own), strict=True)
    )
    relationship = replace(relationship, members=members)
    if fits:
        assert names(changes.suggest(relationship, meeting, members[1].person_id, at, At())) == ["MeetingProposed"]
        return
    with pytest.raises(DoesNotFit) as refused:
        changes.suggest(relationship, meeting, members[1].person_id, at, At())
    assert refused.value.who == (members[0].person_id,)


def test_nobody_is_asked_to_a_second_meeting_at_one_time_not_even_by_themselves():
    relationship, meeting, mentor, mentee = proposed()
    for busy in (mentor, mentee):
        moment = At(planned={busy: [engaged(OTHER - timedelta(minutes=15))]})
        with pytest.raises(DoesNotFit) as refused:
            changes.suggest(relationship, meeting, mentee, OTHER, moment)
        assert refused.value.who == (busy,)


@pytest.mark.parametrize(("at", "code"), [(NOW, "time_is_past"), (NOW + 57 * DAY, "too_far_ahead")])
def test_a_time_suggested_is_ahead_and_not_too_far(at, code):
    relationship, meeting, mentor, _ = proposed()
    with pytest.raises(Rejected) as refused:
        changes.suggest(relationship, meeting, mentor, at, At())
    assert refused.value.code == code
    with pytest.raises(Rejected):
        changes.suggest(replace(relationship, until=NOW + DAY), meeting, mentor, NOW + 2 * DAY, At())


def test_however_much_is_suggested_there_are_six_times_to_choose_from():
    relationship, meeting, mentor, _ = proposed()
    known = {meeting.id: meeting}
    for n in range(10):
        at = OTHER + n * timedelta(minutes=1)
        relationship, known = took(changes.suggest(relationship, known[meeting.id], mentor, at, At()), relationship, known)
    meeting = known[meeting.id]
    assert (len(meeting.slots), meeting.slots[0]) == (6, OTHER + 9 * timedelta(minutes=1))
    assert all(meeting.suggested_by(slot) == mentor for slot in meeting.slots)


def test_what_has_begun_was_called_off_or_has_ended_isnt_changed_any_more():
    relationship, meeting = scheduled()
    mentor = relationship.members[0].person_id
    begun = At(meeting.starts_at)
    over = replace(relationship, ended_at=NOW)
    off = replace(meeting, status=MeetingStatus.cancelled)
    for r, m, moment in ((relationship, meeting, begun), (over, meeting, At()), (relationship, off, At())):
        assert changes.suggest(r, m, mentor, OTHER + 7 * DAY, moment) == NOTHING
        assert changes.call_off(r, m, mentor, ChangeReason.ill, moment) == NOTHING


@pytest.mark.parametrize(
    ("date", "time", "zone", "at"),
    [
        ("2026-12-01", "14:30", "Africa/Lagos", "2026-12-01T13:30Z"),
        ("2026-12-01", " 9.05 ", "Asia/Kolkata", "2026-12-01T03:35Z"),
        ("2026-03-29", "01:30", "Europe/London", "2026-03-29T01:30Z"),  # the wall skips it: as much later
        ("2026-10-25", "01:30", "Europe/London", "2026-10-25T00:30Z"),  # of two the first
        ("1.12.2026", "14:30", "UTC", None),
        ("2026-12-01", "half past two", "UTC", None),
        ("2026-12-01", "24:00", "UTC", None),
        ("9999-12-31", "23:00", "America/New_York", None),
        ("0001-01-01", "00:00", "Asia/Tokyo", None),
        ("", "", "UTC", None),
    ],
)
def test_a_day_and_time_are_read_as_typed_on_ones_own_wall(date, time, zone, at):
    assert Wish("suggest", date=date, time=time).at(zone) == (at and datetime.fromisoformat(at))


# ---- calling it off


@pytest.mark.parametrize("reason", changes.BY_MEMBERS)
def test_a_meeting_called_off_makes_way_for_the_next_and_nothing_is_left_of_it(reason):
    relationship, meeting = scheduled()
    mentor = relationship.members[0].person_id
    outcome = changes.call_off(relationship, meeting, mentor, reason, At())
    cancelled, following = outcome.events
    assert names(outcome) == ["MeetingCancelled", "MeetingProposed"]
    assert (cancelled.cancelled_by, cancelled.reason, cancelled.sequence) == (mentor, reason, 2)
    assert {"reminder", "missed", "unpicked"} <= cleared(outcome)
    assert (following.number, following.sequence, following.proposed_by) == (meeting.number, 0, None)
    assert all(slot > meeting.starts_at + 7 * DAY for slot in following.slots)
    relationship, known = took(outcome, relationship)
    assert known[meeting.id].status is MeetingStatus.cancelled
    for late in (meetings.remind, meetings.overdue, meetings.unpicked):
        assert late(relationship, known[meeting.id], At(meeting.ends_at + 2 * DAY)) == NOTHING
    assert meetings.say_met(relationship, known[meeting.id], mentor, 30, At(meeting.ends_at)) == NOTHING


def test_a_series_goes_on_at_its_hour_after_one_that_was_called_off():
    relationship, meeting = scheduled()
    mentor = relationship.members[0].person_id
    relationship, known = took(meetings.say_met(relationship, meeting, mentor, 30, At(meeting.ends_at)), relationship)
    second = known[relationship.meeting_id]
    outcome = changes.call_off(relationship, second, mentor, ChangeReason.away, At(second.slots[0] - 3 * DAY))
    assert outcome.events[1].slots[0] == meeting.starts_at + 28 * DAY


def test_who_talk_once_find_another_day_before_long():
    relationship, known = took(agreement.begun(pair(form=Format.conversation), At()), None)
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    relationship, known = took(meetings.pick(relationship, meeting, mentor, meeting.slots[0], At()), relationship, known)
    outcome = changes.call_off(relationship, known[meeting.id], mentor, ChangeReason.ill, At())
    assert meeting.slots[0] < outcome.events[1].slots[0] < meeting.slots[0] + 3 * DAY


# ---- for real


def typed(at, zone):
    wall = at.astimezone(ZoneInfo(zone))
    return {"act": "suggest", "date": f"{wall:%Y-%m-%d}", "time": f"{wall:%H:%M}"}


async def test_another_time_is_suggested_taken_and_then_the_meeting_is_called_off(scene):
    pair = await scene.pair()
    proposed = await pair.signed()
    meeting = proposed.meeting_id
    other = proposed.slots[0] + timedelta(minutes=17)

    page = await scene.see("pick", meeting, pair.mentee, 0)
    assert "Suggest another time" in page.text
    page = await scene.do("pick", meeting, pair.mentee, 0, **typed(other, "America/Sao_Paulo"))
    assert "You suggested" in page.text
    assert f'value="{other.isoformat().replace("+00:00", "Z")}"' not in page.text, "it is for the other to take"
    suggested = await scene.log.wait(pair.id, "MeetingProposed", 2)
    assert (suggested.proposed_by, suggested.slots[0], suggested.meeting_id) == (pair.mentee, other, meeting)
    refused = await scene.do("pick", meeting, pair.mentee, 0, slot=other.isoformat())
    assert refused.status_code == 409
    assert "You suggested that time yourself" in refused.text
    page = await scene.see("pick", meeting, pair.mentor, 0)
    assert "suggested by your mentee" in page.text
    page = await scene.do("pick", meeting, pair.mentor, 0, slot=other.isoformat())
    assert "You meet on" in page.text

    later = other + timedelta(hours=1)
    page = await scene.do("pick", meeting, pair.mentor, 1, **typed(later, "Africa/Lagos"))
    assert "until then the meeting stays where it is" in page.text
    page = await scene.do("pick", meeting, pair.mentee, 1, slot=later.isoformat())
    moved = await scene.log.wait(pair.id, "MeetingRescheduled")
    assert (moved.sequence, moved.starts_at, moved.was_at) == (2, later, other)

    unsaid = await scene.do("pick", meeting, pair.mentee, 2, act="call_off")
    assert unsaid.status_code == 422
    assert "Please choose what comes closest" in unsaid.text
    page = await scene.do("pick", meeting, pair.mentee, 2, act="call_off", reason="ill")
    assert "This meeting was called off" in page.text
    cancelled = await scene.log.wait(pair.id, "MeetingCancelled")
    assert (cancelled.cancelled_by, cancelled.reason, cancelled.sequence) == (pair.mentee, "ill", 3)
    following = await scene.log.wait(pair.id, "MeetingProposed", 4)
    assert await scene.timers(pair.id) == {"unpicked", "end", "half_time", "renewal", "quiet", "check_in", "risk"}
    url = re.search(r'href="([^"]*/pick/[^"]+)"', page.text)[1].replace("&amp;", "&")
    page = await scene.http.get(page.url.join(url), headers={"Accept": "text/html"})
    assert str(following.meeting_id) in str(page.url)
    assert "When do you meet?" in page.text
    again = await scene.do("pick", meeting, pair.mentor, 2, act="call_off", reason="work")  # late: it shows how things stand
    assert "This meeting was called off" in again.text

    await scene.clock_past(later + timedelta(days=2))
    await scene.log.wait(pair.id, "MeetingScheduled", 2)
    told = [w for w in scene.log.of(pair.id) if getattr(w.event, "meeting_id", None) == meeting]
    assert [w.name for w in told] == [
        "MeetingProposed",
        "MeetingProposed",
        "MeetingScheduled",
        "MeetingProposed",
        "MeetingRescheduled",
        "MeetingCancelled",
    ], "neither a reminder nor a question comes of it any more"


async def test_a_time_that_doesnt_fit_is_refused_kindly_for_whom_and_not_why(scene):
    mentor, mentee = scene.person("Africa/Lagos"), scene.person("Africa/Lagos", scene.guest)
    third = scene.person("Africa/Lagos", scene.guest)
    await scene.launch()
    await scene.send(*(scene.record(PersonEnrolled, p) for p in (mentor, mentee, third)))
    first, second = scene.match(mentor, mentee), scene.match(mentor, third)
    await scene.send(first, second)
    pairs = [Pair(scene, m.relationship_id, mentor, who) for m, who in ((first, mentee), (second, third))]
    for one in pairs:
        await scene.log.wait(one.id, "AgreementProposed")
    taken = await pairs[0].scheduled()
    meeting = (await pairs[1].signed()).meeting_id
    refused = await scene.do("pick", meeting, third, 0, **typed(taken.starts_at, "Africa/Lagos"))
    assert refused.status_code == 409
    assert "That time doesn’t fit your mentor. Please try another one." in refused.text
    assert f'value="{typed(taken.starts_at, "Africa/Lagos")["time"]}"' in refused.text, "what was typed is still there"
    refused = await scene.do("pick", meeting, mentor, 0, **typed(taken.starts_at, "Africa/Lagos"))
    assert "That time doesn’t fit you. Please try another one." in refused.text
    for wrong in ({"date": "soon", "time": "14:30"}, {"date": "2030-01-01", "time": "tea time"}, {}):
        answer = await scene.do("pick", meeting, third, 0, act="suggest", **wrong)
        assert answer.status_code == 422
        assert "Please choose a day and a time" in answer.text
    past = await scene.do("pick", meeting, third, 0, act="suggest", date="2020-01-01", time="14:30")
    assert (past.status_code, "That time is past" in past.text) == (409, True)
    assert scene.log.names(pairs[1].id).count("MeetingProposed") == 1
