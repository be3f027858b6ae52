"""What is decided about a relationship, without any platform."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduling.domain import agreement, endings, goals, meetings, people, reports
from services.scheduling.domain.model import MeetingStatus
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    Absent,
    EndReason,
    Format,
    GoalKind,
    MeetingReported,
    Milestone,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    ProfileChanged,
    ProgramChanged,
    Role,
    Side,
)
from tests.scheduling.examples import NOW, PROGRAM, At, agreed, armed, cleared, names, pair, person, took, week

DAY = timedelta(days=1)


def scheduled(moment=None, slot=0, **more):
    """(relationship, meeting) with the first meeting at its first slot."""
    moment = moment or At()
    relationship, known = agreed(moment, **more)
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    relationship, known = took(meetings.pick(relationship, meeting, mentor, meeting.slots[slot], moment), relationship, known)
    return relationship, known[meeting.id]


def after(meeting, **by):
    return At(meeting.ends_at + timedelta(**by))


def report(relationship, held_at, **more):
    said = {
        "relationship_id": relationship.id,
        "program": PROGRAM,
        "organization": "northwind",
        "report_id": "r1",
        "report_source": "/hr",
        "held_at": held_at,
        "minutes": 40,
        "attended": tuple(m.person_id for m in relationship.members),
    }
    return MeetingReported(**(said | more))


def record(kind, someone, revision=2, **more):
    said = {
        "person_id": someone.id,
        "organization": someone.organization,
        "own_id": "n1",
        "profile": {"time_zone": someone.time_zone, "availability": someone.availability},
        "contact": {"name": "N"},
        "revision": revision,
    }
    return kind(**(said | more))


# ---- the agreement


def test_the_agreement_holds_when_all_have_signed_and_the_first_meeting_is_proposed():
    moment, relationship = At(), pair()
    mentor, mentee = relationship.members
    first = agreement.sign(relationship, mentor.person_id, moment)
    assert names(first) == ["AgreementSigned"]
    assert first.events[0].complete is False
    relationship, _ = took(first, relationship)
    assert agreement.sign(relationship, mentor.person_id, moment) == NOTHING, "a second signature of the same is nothing"
    last = agreement.sign(relationship, mentee.person_id, moment)
    relationship, known = took(last, relationship)
    (meeting,) = known.values()
    assert names(last) == ["AgreementSigned", "MeetingProposed"]
    assert last.events[0].complete is True
    assert last.events[0].audience == ("kestrel", "northwind")
    assert len(meeting.slots) == 3
    assert armed(last).items() >= {"end": relationship.until, "unpicked": NOW + 3 * DAY}.items()
    assert relationship.until.month == 5


def test_those_who_write_to_each_other_are_proposed_no_meeting():
    moment, relationship = At(), replace(pair(), format=Format.e_mentoring)
    for member in relationship.members:
        outcome = agreement.sign(relationship, member.person_id, moment)
        relationship, _ = took(outcome, relationship)
    assert names(outcome) == ["AgreementSigned"]
    assert armed(outcome)["end"] == relationship.until
    assert "unpicked" not in armed(outcome)
    assert meetings.propose_again(relationship, moment).events == ()


# ---- a time


def test_a_pick_schedules_and_arms_what_hangs_on_it():
    relationship, known = agreed()
    (meeting,) = known.values()
    outcome = meetings.pick(relationship, meeting, relationship.members[1].person_id, meeting.slots[1], At())
    assert names(outcome) == ["MeetingScheduled"]
    assert outcome.events[0].sequence == 1
    at = meeting.slots[1]
    assert armed(outcome) == {"reminder": at - DAY, "missed": at + timedelta(minutes=30) + DAY}
    assert cleared(outcome) == {"unpicked"}


def test_another_pick_moves_it_with_its_reminder_and_question():
    relationship, meeting = scheduled()
    outcome = meetings.pick(relationship, meeting, relationship.members[1].person_id, meeting.slots[2], At())
    moved = outcome.events[0]
    assert names(outcome) == ["MeetingRescheduled"]
    assert (moved.sequence, moved.was_at, moved.starts_at) == (2, meeting.slots[0], meeting.slots[2])
    assert armed(outcome) == {"reminder": meeting.slots[2] - DAY, "missed": meeting.slots[2] + timedelta(minutes=30) + DAY}
    late = meetings.pick(relationship, meeting, relationship.members[1].person_id, meeting.slots[2], At(meeting.starts_at))
    assert late == NOTHING, "once begun it stays"


def test_a_reminder_for_the_past_is_dropped():
    relationship, meeting = scheduled()
    soon = At(meeting.slots[1] - timedelta(hours=3))
    outcome = meetings.pick(relationship, replace(meeting, starts_at=meeting.slots[2]), new_id(), meeting.slots[1], soon)
    assert "reminder" not in armed(outcome)
    assert "reminder" in cleared(outcome)


@pytest.mark.parametrize(("slot", "code"), [("nowhere", "not_offered"), ("past", "time_is_past")])
def test_only_a_time_that_was_offered_and_is_ahead_can_be_picked(slot, code):
    relationship, known = agreed()
    (meeting,) = known.values()
    at = meeting.slots[0] + timedelta(minutes=5) if slot == "nowhere" else meeting.slots[0]
    moment = At() if slot == "nowhere" else At(meeting.slots[0])
    with pytest.raises(Rejected) as refused:
        meetings.pick(relationship, meeting, relationship.members[0].person_id, at, moment)
    assert refused.value.code == code


def test_without_a_pick_the_first_time_that_is_ahead_holds():
    relationship, known = agreed()
    (meeting,) = known.values()
    outcome = meetings.unpicked(relationship, meeting, At(meeting.slots[0]))
    assert names(outcome) == ["MeetingScheduled"]
    assert outcome.events[0].starts_at == meeting.slots[1]


def test_where_no_time_is_ahead_any_more_new_ones_are_proposed():
    relationship, known = agreed()
    (meeting,) = known.values()
    outcome = meetings.unpicked(relationship, meeting, At(meeting.slots[-1]))
    assert names(outcome) == ["MeetingCancelled", "MeetingProposed"]
    assert outcome.events[1].number == 1
    after_it, known = took(outcome, relationship, known)
    assert after_it.meeting_id == outcome.events[1].meeting_id != meeting.id
    assert known[meeting.id].status is MeetingStatus.cancelled


# ---- what became of it


def test_the_first_yes_is_the_meeting_and_a_second_changes_nothing():
    relationship, meeting = scheduled()
    mentor, mentee = (m.person_id for m in relationship.members)
    outcome = meetings.say_met(relationship, meeting, mentor, 45, after(meeting))
    held = outcome.events[0]
    assert names(outcome) == ["MeetingHeld", "MilestoneReached", "MeetingProposed"]
    assert (held.minutes, held.said_by, held.revision, held.corrects_missed) == (45, mentor, 1, False)
    assert {"missed", "reminder"} <= cleared(outcome)
    relationship, known = took(outcome, relationship)
    assert (relationship.held, relationship.misses_in_a_row) == (1, 0)
    assert meetings.say_met(relationship, known[meeting.id], mentee, 30, after(meeting)) == NOTHING
    following = known[relationship.meeting_id]
    assert following.slots[0] - meeting.starts_at == 14 * DAY


def test_nobody_can_say_that_they_met_before_they_could_have():
    relationship, meeting = scheduled()
    before = At(meeting.starts_at - timedelta(minutes=1))
    assert meetings.say_met(relationship, meeting, relationship.members[0].person_id, 30, before) == NOTHING
    assert meetings.overdue(relationship, meeting, before) == NOTHING


def test_one_no_is_noted_and_two_are_a_miss_at_once():
    relationship, meeting = scheduled()
    mentor, mentee = (m.person_id for m in relationship.members)
    first = meetings.say_not_met(relationship, meeting, mentor, after(meeting))
    assert names(first) == []
    _, known = took(first, relationship)
    second = meetings.say_not_met(relationship, known[meeting.id], mentee, after(meeting))
    assert names(second) == ["MeetingMissed", "MeetingProposed"]
    assert second.events[0].absent is Absent.other


@pytest.mark.parametrize(
    ("said_no", "absent"), [((), Absent.both_silent), ((Role.mentee,), Absent.mentor), ((Role.mentor,), Absent.mentee)]
)
def test_who_was_absent_by_what_was_said(said_no, absent):
    relationship, meeting = scheduled()
    for member in relationship.members:
        if member.role in said_no:
            _, known = took(meetings.say_not_met(relationship, meeting, member.person_id, after(meeting)), relationship)
            meeting = known[meeting.id]
    missed = meetings.overdue(relationship, meeting, after(meeting, hours=24))
    assert missed.events[0].absent is absent


def test_two_misses_in_a_row_stall_once_and_a_meeting_recovers():
    relationship, meeting = scheduled()
    told = []
    for _ in range(3):
        outcome = meetings.overdue(relationship, meeting, after(meeting, hours=24))
        told.append(names(outcome))
        relationship, known = took(outcome, relationship)
        proposed = known[relationship.meeting_id]
        if relationship.stalled_at is None:
            chosen = meetings.unpicked(relationship, proposed, after(meeting, days=4))
        else:  # then nobody's time is taken for them
            mentee = relationship.members[1].person_id
            chosen = meetings.pick(relationship, proposed, mentee, proposed.slots[0], after(meeting, days=4))
        relationship, known = took(chosen, relationship)
        meeting = known[proposed.id]
    assert told == [
        ["MeetingMissed", "MeetingProposed"],
        ["MeetingMissed", "PairStalled", "MeetingProposed"],
        ["MeetingMissed", "MeetingProposed"],
    ]
    held = meetings.say_met(relationship, meeting, relationship.members[0].person_id, 30, after(meeting))
    assert names(held) == ["MeetingHeld", "MilestoneReached", "PairRecovered", "MeetingProposed"]
    relationship, _ = took(held, relationship)
    assert (relationship.missed, relationship.misses_in_a_row, relationship.stalled_at) == (3, 0, None)


def test_held_after_missed_corrects_it_and_undoes_the_miss():
    relationship, meeting = scheduled()
    relationship, known = took(meetings.overdue(relationship, meeting, after(meeting, hours=24)), relationship)
    assert relationship.misses_in_a_row == 1
    corrected = meetings.say_met(relationship, known[meeting.id], relationship.members[0].person_id, 30, after(meeting, days=2))
    assert names(corrected) == ["MeetingHeld", "MilestoneReached"], "the next one was proposed already"
    assert (corrected.events[0].revision, corrected.events[0].corrects_missed) == (2, True)
    again, _ = took(corrected, relationship)
    assert (again.held, again.missed, again.misses_in_a_row) == (1, 0, 0)
    assert again.meeting_id == relationship.meeting_id


# ---- what partners report


def test_a_report_is_of_the_planned_meeting_near_it():
    relationship, meeting = scheduled()
    at = meeting.starts_at + timedelta(hours=5)
    outcome = reports.report(relationship, report(relationship, at), {meeting.id: meeting}.get, At(at + DAY))
    held = outcome.events[0]
    assert (held.meeting_id, held.minutes, held.said_by, held.held_at) == (meeting.id, 40, None, at)


@pytest.mark.parametrize("hours", [-100, -13, 13, 100])
def test_a_repeat_of_a_report_of_another_day_than_planned_is_of_the_same_meeting(hours):
    relationship, meeting = scheduled()
    told = report(relationship, meeting.starts_at + timedelta(hours=hours))
    outcome = reports.report(relationship, told, {meeting.id: meeting}.get, At(meeting.starts_at + 5 * DAY))
    relationship, known = took(outcome, relationship, {meeting.id: meeting})
    again = reports.report(relationship, told, known.get, At(meeting.starts_at + 6 * DAY))
    assert (again.changed, again.events) == ((), (outcome.events[0],))


def test_a_report_of_what_is_known_is_answered_with_the_same_fact():
    relationship, meeting = scheduled()
    held = meetings.say_met(relationship, meeting, relationship.members[0].person_id, 30, after(meeting))
    relationship, known = took(held, relationship)
    again = reports.report(relationship, report(relationship, meeting.starts_at), known.get, after(meeting))
    assert again.events == (held.events[0],)
    assert again.changed == ()


def test_a_meeting_that_nobody_planned_is_entered_and_the_planned_one_stays():
    relationship, meeting = scheduled(slot=2)
    early = NOW - 30 * DAY
    outcome = reports.report(relationship, report(relationship, early), {meeting.id: meeting}.get, At())
    assert names(outcome) == ["MeetingHeld", "MilestoneReached"]
    assert outcome.events[0].number == 2
    relationship, _ = took(outcome, relationship)
    assert relationship.meeting_id == meeting.id


def test_a_report_takes_the_place_of_a_proposal_nobody_picked_from():
    relationship, known = agreed()
    (meeting,) = known.values()
    outcome = reports.report(relationship, report(relationship, NOW), known.get, At(NOW + DAY))
    assert outcome.events[0].meeting_id == meeting.id
    assert names(outcome)[-1] == "MeetingProposed"
    assert "unpicked" in cleared(outcome)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"organization": "stranger"}, "not_yours", "people"),
        ({"program": "northwind.other"}, "other_program", "program"),
        ({"held_at": NOW + 2 * DAY}, "in_the_future", "held_at"),
        ({"meeting_id": new_id()}, "unknown_meeting", "meeting"),
    ],
)
def test_a_wrong_report_says_what_is_wrong(change, code, field):
    relationship, meeting = scheduled()
    with pytest.raises(Rejected) as refused:
        reports.report(relationship, report(relationship, **({"held_at": NOW} | change)), {meeting.id: meeting}.get, At())
    assert (refused.value.code, refused.value.field) == (code, field)


def test_a_report_for_after_the_end_is_wrong_and_a_late_one_for_before_it_is_not():
    relationship, meeting = scheduled()
    relationship, known = took(
        endings.end(relationship, meeting, EndReason.no_time, Side.mentor, At()), relationship, {meeting.id: meeting}
    )
    with pytest.raises(Rejected) as refused:
        reports.report(relationship, report(relationship, NOW + DAY), known.get, At(NOW + 2 * DAY))
    assert refused.value.code == "relationship_ended"
    late = reports.report(relationship, report(relationship, NOW - 40 * DAY), known.get, At(NOW + 2 * DAY))
    assert names(late) == ["MeetingHeld", "MilestoneReached"]


def test_a_report_counts_whoever_of_them_has_left_since_or_isnt_read_to_have_joined():
    mentor, stays, goes, newcomer = (person() for _ in range(4))
    group = pair(people=[mentor, stays, goes], roles=(Role.mentor, Role.mentee, Role.mentee), form=Format.group)
    smaller, _ = took(people.leave(group, None, goes.id, EndReason.person_withdrawn, At()), group)
    assert smaller.member(goes.id) is None
    together = (mentor.id, goes.id, newcomer.id)
    held = reports.report(smaller, report(smaller, NOW - DAY, attended=together), {}.get, At()).events[0]
    assert held.attended == together


# ---- goals


def test_the_first_goal_is_a_milestone_and_its_words_are_in_no_event():
    relationship, _ = agreed()
    mentor, mentee = (m.person_id for m in relationship.members)
    first = goals.set_goal(relationship, mentee, goals.Draft("Learn to sail", GoalKind.technical), At())
    assert names(first) == ["GoalSet", "MilestoneReached"]
    assert first.events[1].milestone is Milestone.goals_set
    assert all("sail" not in event.model_dump_json() for event in first.events)
    relationship, _ = took(first, relationship)
    assert names(goals.set_goal(relationship, mentee, goals.Draft("More", GoalKind.industry), At())) == ["GoalSet"]
    with pytest.raises(Rejected):
        goals.set_goal(relationship, mentor, goals.Draft("Mine", GoalKind.industry), At())


# ---- people and programs


def test_a_break_calls_off_what_is_planned_and_its_end_proposes_anew():
    someone = person()
    relationship, meeting = scheduled(people=[person(), someone])
    paused = people.told(relationship, meeting, record(PersonPaused, someone, status=PersonStatus.paused), At())
    assert names(paused) == ["MeetingCancelled"]
    assert {"missed", "reminder"} <= cleared(paused)
    relationship, _ = took(paused, relationship)
    again = people.told(relationship, None, record(PersonResumed, someone, 3), At())
    assert names(again) == ["MeetingProposed"]


def test_hours_in_common_are_looked_for_again_when_they_change():
    early, late = person("UTC", week("09:00", "10:00")), person("UTC", week("15:00", "16:00"))
    relationship, known = agreed(people=[early, late])
    assert known == {}
    moved = record(ProfileChanged, late, profile={"time_zone": "UTC", "availability": week("09:00", "11:00")})
    outcome = people.told(relationship, None, moved, At())
    assert names(outcome) == ["MeetingProposed"]
    assert people.told(relationship, None, replace_revision(moved, 1), At()) == NOTHING, "old news"


def replace_revision(event, revision):
    return event.model_copy(update={"revision": revision})


@pytest.mark.parametrize(("leaver", "first"), [(0, [1]), (1, [])])
def test_a_pair_ends_when_someone_leaves_and_the_mentee_goes_first(leaver, first):
    relationship, meeting = scheduled()
    ids = [m.person_id for m in relationship.members]
    outcome = people.leave(relationship, meeting, ids[leaver], EndReason.person_withdrawn, At())
    assert names(outcome) == ["MeetingCancelled", "PairEnded"]
    assert outcome.events[1].rematch_first == tuple(ids[n] for n in first)
    assert outcome.events[1].side is (Side.mentor, Side.mentee)[leaver]
    assert {"missed", "reminder", "end", "propose", "unpicked"} <= cleared(outcome)
    assert people.leave(took(outcome, relationship)[0], None, ids[leaver], EndReason.person_withdrawn, At()).events == ()


def test_a_group_goes_on_without_one_and_begins_if_they_were_all_that_was_missing():
    trio = pair(people=[person(), person(), person()], roles=(Role.mentor, Role.mentee, Role.mentee))
    for member in trio.members[:2]:
        trio, _ = took(agreement.sign(trio, member.person_id, At()), trio)
    outcome = people.leave(trio, None, trio.members[2].person_id, EndReason.person_withdrawn, At())
    assert names(outcome) == ["MemberWentOut", "AgreementSigned", "MeetingProposed"]
    assert outcome.events[1].complete
    smaller, _ = took(outcome, trio)
    assert len(smaller.members) == len(smaller.people) == 2


def test_of_someone_erased_only_the_id_is_left():
    relationship, meeting = scheduled(people=[person(), person("Asia/Tokyo", week())])
    gone = relationship.members[1].person_id
    relationship, _ = took(people.leave(relationship, meeting, gone, EndReason.person_erased, At()), relationship)
    copy = relationship.member(gone)
    assert (copy.time_zone, copy.availability, copy.country) == ("UTC", (), None)


def test_a_program_hands_on_its_rules_and_its_end():
    relationship, meeting = scheduled()
    event = ProgramChanged(program=PROGRAM, organization="northwind", name="C", policy={"grace_hours": 72}, revision=2)
    program = people.program_after(None, event)
    relationship, _ = took(people.caught_up(relationship, meeting, program, At()), relationship)
    assert relationship.rules.grace_hours == 72
    assert people.caught_up(relationship, meeting, program, At()) == NOTHING
    outcome = people.caught_up(relationship, meeting, people.closed(program, NOW), At())
    assert names(outcome) == ["MeetingCancelled", "PairEnded"]


# ---- the end


def test_the_end_of_the_months_waits_for_the_last_meetings_answer():
    relationship, meeting = scheduled()
    begun = At(meeting.starts_at + timedelta(minutes=5))
    waiting = endings.complete(relationship, meeting, begun)
    assert names(waiting) == []
    assert armed(waiting)["end"] > meeting.ends_at + DAY
    outcome = endings.complete(relationship, None, begun)
    assert outcome.events[0].reason is EndReason.completed
    assert endings.complete(took(outcome, relationship)[0], None, begun) == NOTHING


def test_nothing_is_proposed_beyond_the_agreed_months():
    relationship, meeting = scheduled(agreement={"months": 1, "every_weeks": 5})
    outcome = meetings.say_met(relationship, meeting, relationship.members[0].person_id, 30, after(meeting))
    assert names(outcome) == ["MeetingHeld", "MilestoneReached"]
