"""One conversation: times at once and no agreement, one meeting like any other, and then it is over by itself."""

from datetime import timedelta

import pytest

from services.scheduling.domain import agreement, endings, meetings, people, reports
from shared.decisions import NOTHING
from shared.events import (
    EndReason,
    Format,
    PersonEnrolled,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    PersonWithdrawn,
    Side,
)
from tests.scheduling.conftest import until
from tests.scheduling.examples import NOW, At, armed, cleared, names, pair, person, took, week
from tests.scheduling.test_rules import record, report

DAY = timedelta(days=1)
TALK = Format.conversation


def talk(**more):
    """(relationship, meeting) of two who are to talk once: times are proposed."""
    relationship, known = took(agreement.begun(pair(form=TALK, **more), At()), None)
    (meeting,) = known.values()
    return relationship, meeting


def scheduled(**more):
    relationship, meeting = talk(**more)
    outcome = meetings.pick(relationship, meeting, relationship.members[0].person_id, meeting.slots[0], At())
    relationship, known = took(outcome, relationship)
    return relationship, known[meeting.id]


def after(meeting, **by):
    return At(meeting.ends_at + timedelta(**by))


# ---- rules -------------------------------------------------------------------------------------------------------------


def test_it_begins_with_times_to_choose_from_and_nothing_to_sign():
    outcome = agreement.begun(pair(form=TALK), At())
    relationship, known = took(outcome, None)
    (meeting,) = known.values()
    assert names(outcome) == ["MeetingProposed"]
    assert (len(meeting.slots), meeting.number, meeting.minutes) == (3, 1, 30)
    assert armed(outcome) == {"end": relationship.until, "unpicked": NOW + 3 * DAY}
    assert (relationship.until.month, relationship.version, relationship.signatures) == (12, 0, ())


def test_a_pick_and_a_move_are_as_of_any_meeting():
    relationship, meeting = scheduled()
    moved = meetings.pick(relationship, meeting, relationship.members[1].person_id, meeting.slots[1], At())
    assert names(moved) == ["MeetingRescheduled"]
    assert armed(moved) == {
        "missed": meeting.slots[1] + timedelta(minutes=30) + DAY,
        "reminder": meeting.slots[1] - DAY,
    }


def test_once_they_have_met_nothing_more_is_proposed_or_celebrated_and_it_is_over():
    relationship, meeting = scheduled()
    later = after(meeting)
    outcome = meetings.say_met(relationship, meeting, relationship.members[0].person_id, 25, later)
    assert names(outcome) == ["MeetingHeld"]
    assert armed(outcome) == {"end": later.now}
    relationship, _ = took(outcome, relationship)
    assert relationship.meeting_id is None
    assert meetings.propose_again(relationship, later) == NOTHING
    outcome = endings.complete(relationship, None, later)
    (ended,) = outcome.events
    assert (ended.reason, ended.side, ended.meetings_held, ended.rematch_first) == (EndReason.completed, Side.platform, 1, ())
    assert cleared(outcome) >= {"end", "propose"}
    assert endings.complete(took(outcome, relationship)[0], None, later) == NOTHING


def test_one_that_was_missed_stalls_nothing_and_is_over_unless_somebody_puts_it_right():
    relationship, meeting = scheduled(misses_before_stalled=1)
    later = after(meeting, days=1)
    outcome = meetings.overdue(relationship, meeting, later)
    assert names(outcome) == ["MeetingMissed"]
    assert armed(outcome) == {"end": later.now + 7 * DAY}
    relationship, known = took(outcome, relationship)
    missed = known[meeting.id]
    over = endings.complete(relationship, None, later.later(days=7))
    assert (over.events[0].reason, over.events[0].meetings_held) == (EndReason.completed, 0)

    right = later.later(days=2)
    outcome = meetings.say_met(relationship, missed, relationship.members[1].person_id, 30, right)
    assert names(outcome) == ["MeetingHeld"]
    assert outcome.events[0].corrects_missed is True
    assert armed(outcome) == {"end": right.now}


def test_after_its_end_a_late_word_is_still_noted_and_begins_nothing():
    relationship, meeting = scheduled()
    relationship, known = took(meetings.overdue(relationship, meeting, after(meeting, days=1)), relationship)
    relationship, _ = took(endings.complete(relationship, None, after(meeting, days=8)), relationship)
    late = meetings.say_met(relationship, known[meeting.id], relationship.members[0].person_id, 30, after(meeting, days=9))
    assert (names(late), armed(late)) == (["MeetingHeld"], {})


@pytest.mark.parametrize("days", [-4, 0, 9])
def test_what_a_partner_reports_is_their_one_meeting_whatever_its_day(days):
    relationship, meeting = scheduled()
    held_at = meeting.starts_at + days * DAY
    now = At(max(held_at, meeting.ends_at) + DAY)
    outcome = reports.report(relationship, report(relationship, held_at), {meeting.id: meeting}.get, now)
    assert names(outcome) == ["MeetingHeld"]
    assert outcome.events[0].meeting_id == meeting.id
    assert armed(outcome) == {"end": now.now}
    assert cleared(outcome) >= {"missed", "reminder"}


@pytest.mark.parametrize("days", [-4, 0, 1])
def test_a_second_report_of_another_day_is_of_the_same_one_meeting(days):
    relationship, meeting = scheduled()
    later = after(meeting, days=2)
    outcome = meetings.say_met(relationship, meeting, relationship.members[0].person_id, 30, later)
    relationship, known = took(outcome, relationship)
    said = report(relationship, meeting.starts_at + days * DAY)
    assert reports.report(relationship, said, known.get, later).events == outcome.events


def test_a_report_where_no_time_was_found_yet_ends_it_too():
    apart = [person(availability=week("09:00", "10:00")), person(availability=week("15:00", "16:00"))]
    outcome = agreement.begun(pair(form=TALK, people=apart), At())
    assert names(outcome) == []
    assert armed(outcome).keys() == {"end", "propose"}
    relationship, _ = took(outcome, None)
    outcome = reports.report(relationship, report(relationship, NOW + DAY), {}.get, At(NOW + 2 * DAY))
    assert names(outcome) == ["MeetingHeld"]
    assert armed(outcome) == {"end": NOW + 2 * DAY}


def test_who_finds_no_time_within_a_month_is_told_kindly_that_it_is_over():
    apart = [person(availability=week("09:00", "10:00")), person(availability=week("15:00", "16:00"))]
    relationship, _ = took(agreement.begun(pair(form=TALK, people=apart), At()), None)
    (ended,) = endings.complete(relationship, None, At(relationship.until)).events
    assert (ended.reason, ended.side) == (EndReason.no_time, Side.platform)


def test_a_break_calls_it_off_and_the_end_of_the_break_proposes_new_times():
    someone = person()
    relationship, meeting = scheduled(people=[someone, person()])
    outcome = people.told(relationship, meeting, record(PersonPaused, someone, status=PersonStatus.paused), At())
    assert names(outcome) == ["MeetingCancelled"]
    relationship, _ = took(outcome, relationship)
    outcome = people.told(relationship, None, record(PersonResumed, someone, 3), At())
    assert names(outcome) == ["MeetingProposed"]


def test_a_member_calls_it_off_kindly_and_the_other_goes_first():
    relationship, meeting = scheduled()
    mentor, mentee = relationship.members
    outcome = endings.end_by(relationship, meeting, mentor.person_id, EndReason.no_time, At(), rematch=False)
    assert names(outcome) == ["MeetingCancelled", "PairEnded"]
    assert outcome.events[1].rematch_first == (mentee.person_id,)
    assert cleared(outcome) >= {"reminder", "missed", "end"}


# ---- over Kafka, HTTP and PostgreSQL -----------------------------------------------------------------------------------


@pytest.mark.platform
async def test_from_the_match_to_the_end_without_an_agreement(scene):
    pair = await scene.pair(TALK)
    proposed = await scene.log.wait(pair.id, "MeetingProposed")
    page = await scene.see("pick", proposed.meeting_id, pair.mentee, 0)
    assert "One conversation with your mentor, 30 minutes." in page.text
    await scene.do("pick", proposed.meeting_id, pair.mentee, 0, slot=proposed.slots[1].isoformat())
    await scene.do("pick", proposed.meeting_id, pair.mentor, 1, slot=proposed.slots[2].isoformat())
    moved = await scene.log.wait(pair.id, "MeetingRescheduled")
    await scene.clock_past(moved.starts_at - DAY)
    await scene.log.wait(pair.id, "ReminderDue")
    await scene.clock_past(moved.starts_at + timedelta(minutes=31))
    page = await scene.do("met", proposed.meeting_id, pair.mentor, 0, met="yes", minutes="35")
    assert "Thank you for the time you gave each other." in page.text
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.meetings_held) == (EndReason.completed, 1)
    assert scene.log.names(pair.id) == [
        "MeetingProposed",
        "MeetingScheduled",
        "MeetingRescheduled",
        "ReminderDue",
        "MeetingHeld",
        "PairEnded",
    ]
    assert not await scene.timers(pair.id)
    key = await scene.key(scene.owner, "read")
    seen = (await scene.http.get(f"/v1/relationships/{pair.id}", headers=key)).json()
    assert (seen["format"], seen["agreement"], seen["meetings_held"]) == ("conversation", None, 1)


@pytest.mark.platform
async def test_a_mentor_calls_it_off_by_the_link_of_the_mail(scene):
    pair = await scene.pair(TALK)
    page = await scene.see("end", pair.id, pair.mentor, 0)
    assert "Call off your conversation with your mentee?" in page.text
    assert "I don’t hear from the other side" not in page.text
    page = await scene.do("end", pair.id, pair.mentor, 0, reason="no_time")
    assert "This has ended" in page.text
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.no_time, Side.mentor, (pair.mentee,))
    await scene.do("end", pair.id, pair.mentee, 0, reason="not_a_fit")  # too late: nothing
    page = await scene.see("end", pair.id, pair.mentee, 0)
    assert "This has ended" in page.text
    assert scene.log.names(pair.id) == ["MeetingProposed", "MeetingCancelled", "PairEnded"]


@pytest.mark.platform
async def test_a_match_that_is_told_twice_proposes_once_and_one_whose_mentee_has_gone_ends_at_once(scene):
    mentor, mentee, gone = (scene.person(zone) for zone in ("Africa/Lagos", "America/Sao_Paulo", "Europe/London"))
    await scene.launch()
    await scene.send(*(scene.record(PersonEnrolled, one) for one in (mentor, mentee, gone)))
    await scene.send(scene.record(PersonWithdrawn, gone, 2, enrolments=(), program=scene.program, status="withdrawn"))
    match, other = scene.match(mentor, mentee, form=TALK), scene.match(mentor, gone, form=TALK)
    told = await scene.send(match, match, other)  # each with an id of its own, as from a database that was set back
    await scene.log.wait(other.relationship_id, "PairEnded")
    await scene.log.wait(match.relationship_id, "MeetingProposed")

    async def read():
        return await scene.db.fetchval("select count(*) from scheduling.inbox where event_id = any($1)", told) == len(told)

    assert await until(read)
    assert scene.log.names(other.relationship_id) == ["PairEnded"]
    assert scene.log.names(match.relationship_id) == ["MeetingProposed"]
    assert (
        await scene.db.fetchval("select count(*) from scheduling.meetings where relationship_id = $1", match.relationship_id) == 1
    )
