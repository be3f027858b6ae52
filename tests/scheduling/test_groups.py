"""Groups and circles: who leads, when they meet and who came. The rules; who comes and goes is in `test_departures.py`, the way through in `test_gatherings.py`."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduling.domain import (
    changes,
    groups,
    hosts,
    meetings,
    people,
    polls,
    reports,
    rollcall,
)
from services.scheduling.domain.diaries import Engagement
from services.scheduling.domain.model import Days, Meeting, MeetingStatus, Relationship
from services.scheduling.domain.roll import Vote
from shared.cloudevents import new_id
from shared.errors import Rejected
from shared.events import (
    Absent,
    EndReason,
    Format,
    MeetingHeld,
    MeetingMissed,
    MeetingReported,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Role,
)
from tests.scheduling.examples import PROGRAM, At, agreed, names, person, took, week

MENTEES = (Role.mentor, *[Role.mentee] * 4)
PEERS = (Role.peer,) * 5
ALWAYS = week("08:00", "21:00", range(7))


def group(roles=MENTEES, hours=None, moment=None, **more):
    """All have signed; times for the first meeting are offered."""
    everyone = [person(availability=(hours or {}).get(n, ALWAYS)) for n in range(len(roles))]
    form = Format.group if Role.mentor in roles else Format.circle
    return agreed(moment, people=everyone, roles=roles, form=form, **more)


def ids(relationship):
    return [m.person_id for m in relationship.members]


def planned(relationship, known):
    return meetings.current(relationship, known.get)


def scheduled(roles=MENTEES, **more):
    """A group whose first meeting has its time, that meeting, and what is known."""
    relationship, known = group(roles, **more)
    meeting = planned(relationship, known)
    relationship, known = took(meetings.schedule(relationship, meeting, meeting.slots[0], At()), relationship, known)
    return relationship, planned(relationship, known), known


def over(meeting):
    return At(meeting.ends_at + timedelta(minutes=5))


def tell(relationship, meeting, who, came, moment=None):
    people_ = ids(relationship)
    return rollcall.tell(relationship, meeting, people_[who], [people_[n] for n in came], 60, moment or over(meeting))


def the(kind, outcome):
    return next(a for a in reversed(outcome.changed) if isinstance(a, kind))


def event(kind, outcome):
    return next(e for e in outcome.events if isinstance(e, kind))


def a_break(relationship, which, *, paused=True, revision=9):
    return (PersonPaused if paused else PersonResumed)(
        person_id=ids(relationship)[which], organization="northwind", own_id="x", revision=revision,
        status=PersonStatus.paused if paused else PersonStatus.active,
        profile={"time_zone": "Africa/Lagos", "availability": ALWAYS}, contact={"name": "X"},
    )  # fmt: skip


# ---- a quorum ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "quorum", "came", "enough"),
    [
        (MENTEES, 0.5, [0, 1, 2], True),
        (MENTEES, 0.5, [1, 2], True),
        (MENTEES, 0.5, [0, 1], False),
        (MENTEES, 0.5, [], False),
        (MENTEES, 0, [0, 1], True),
        (MENTEES, 0, [1], False),
        (MENTEES, 1, [0, 1, 2, 3], False),
        (MENTEES, 1, [1, 2, 3, 4], True),
        (PEERS, 0.5, [0, 1], False),
        (PEERS, 0.5, [0, 1, 2], True),
        (PEERS, 0.6, [2, 3, 4], True),
    ],
)
def test_a_meeting_is_one_from_the_quorum_on_the_mentor_aside_and_never_of_one_alone(roles, quorum, came, enough):
    relationship, _ = group(roles, quorum=quorum)
    assert groups.enough(relationship, [ids(relationship)[n] for n in came]) == enough


def test_one_who_tells_who_came_is_enough_and_the_event_says_how_many_could_have():
    relationship, meeting, _ = scheduled()
    outcome = tell(relationship, meeting, 1, [0, 1, 2])
    held = event(MeetingHeld, outcome)
    assert (held.attended, held.expected, held.said_by) == (tuple(ids(relationship)[:3]), 5, ids(relationship)[1])
    assert "MeetingProposed" in names(outcome)
    after, told = the(Relationship, outcome), the(Meeting, replace_last(outcome, meeting.id))
    assert tell(after, told, 1, [0, 1, 2]).changed == (), "the same form again"


def replace_last(outcome, meeting_id):
    """What is known of this meeting."""
    return outcome._replace(changed=tuple(a for a in outcome.changed if getattr(a, "id", None) == meeting_id))


def test_fewer_than_the_quorum_miss_it_without_blame_and_more_who_say_that_they_were_there_put_it_right():
    relationship, meeting, _ = scheduled()
    outcome = tell(relationship, meeting, 0, [0, 1])
    missed = event(MeetingMissed, outcome)
    assert (missed.absent, missed.misses_in_a_row) == (Absent.too_few, 1)
    relationship, meeting = the(Relationship, outcome), the(Meeting, replace_last(outcome, meeting.id))
    outcome = rollcall.attend(relationship, meeting, ids(relationship)[3], over(meeting), there=True)
    held = event(MeetingHeld, outcome)
    assert (held.corrects_missed, held.revision) == (True, 2)
    assert set(held.attended) == {ids(relationship)[n] for n in (0, 1, 3)}
    assert (the(Relationship, outcome).missed, the(Relationship, outcome).misses) == (0, ())


def test_each_ones_own_word_counts_for_themselves_alone_and_before_what_is_told_for_all():
    relationship, meeting, _ = scheduled()
    outcome = rollcall.attend(relationship, meeting, ids(relationship)[4], over(meeting), there=False)
    assert outcome.events == ()
    outcome = tell(relationship, the(Meeting, outcome), 0, range(5))
    assert event(MeetingHeld, outcome).attended == tuple(ids(relationship)[:4])
    relationship, meeting = the(Relationship, outcome), the(Meeting, replace_last(outcome, meeting.id))
    corrected = rollcall.attend(relationship, meeting, ids(relationship)[1], over(meeting), there=False)
    again = event(MeetingHeld, corrected)
    assert (again.revision, ids(relationship)[1] in again.attended, again.expected) == (2, False, 5)
    assert the(Relationship, corrected).recent[-1].absent == (ids(relationship)[1], ids(relationship)[4])
    assert tell(relationship, meeting, 2, [0]).changed == (), "the list is whoever leads' from then on"


def test_what_is_held_stays_held_though_members_take_themselves_off_the_list():
    relationship, meeting, _ = scheduled()
    outcome = tell(relationship, meeting, 0, [0, 1, 2])
    for n in (1, 2):
        relationship, meeting = the(Relationship, outcome), the(Meeting, replace_last(outcome, meeting.id))
        outcome = rollcall.attend(relationship, meeting, ids(relationship)[n], over(meeting), there=False)
        assert names(outcome) == ["MeetingHeld"]
    assert event(MeetingHeld, outcome).attended == (ids(relationship)[0],)
    assert the(Relationship, outcome).held == 1


def test_a_quorum_that_says_so_one_by_one_has_met():
    relationship, meeting, _ = scheduled()
    for n in (1, 0):
        outcome = rollcall.attend(relationship, meeting, ids(relationship)[n], over(meeting), there=True)
        assert outcome.events == ()
        meeting = the(Meeting, outcome)
    outcome = rollcall.attend(relationship, meeting, ids(relationship)[2], over(meeting), there=True)
    assert names(outcome)[0] == "MeetingHeld"


def test_two_in_a_row_to_which_too_few_came_stall_a_group_and_a_quorum_brings_it_back():
    relationship, meeting, _ = scheduled()
    for _ in range(2):
        moment = over(meeting)
        outcome = tell(relationship, meeting, 0, [0, 1], moment)
        relationship, known = took(outcome, relationship)
        following = planned(relationship, known)
        relationship, known = took(meetings.schedule(relationship, following, following.slots[0], moment), relationship, known)
        meeting = planned(relationship, known)
    assert "PairStalled" in names(outcome)
    assert "PairRecovered" in names(tell(relationship, meeting, 0, range(5)))


def test_a_leader_who_says_that_it_did_not_take_place_or_the_grace_without_a_word_miss_it():
    relationship, meeting, _ = scheduled()
    assert event(MeetingMissed, tell(relationship, meeting, 0, [])).absent is Absent.too_few
    late = At(meeting.ends_at + timedelta(hours=24))
    assert event(MeetingMissed, meetings.overdue(relationship, meeting, late)).absent is Absent.both_silent
    one = the(Meeting, rollcall.attend(relationship, meeting, ids(relationship)[2], over(meeting), there=True))
    assert event(MeetingMissed, meetings.overdue(relationship, one, late)).absent is Absent.too_few


def test_nobody_says_who_came_before_it_has_begun_or_after_it_was_called_off():
    relationship, meeting, _ = scheduled()
    assert tell(relationship, meeting, 0, range(5), At()).changed == ()
    off = replace(meeting, status=MeetingStatus.cancelled)
    assert tell(relationship, off, 0, range(5)).changed == ()


# ---- what partners report ------------------------------------------------------------------------------------------------


def report(relationship, came, held_at):
    return MeetingReported(
        relationship_id=relationship.id, program=PROGRAM, organization="northwind", report_id="r", report_source="/calendar",
        held_at=held_at, minutes=45, attended=[ids(relationship)[n] for n in came],
    )  # fmt: skip


def test_a_report_of_too_few_for_a_planned_meeting_is_answered_by_its_being_missed_and_again_by_the_same():
    relationship, meeting, known = scheduled()
    said = report(relationship, [0, 1], meeting.starts_at)
    outcome = reports.report(relationship, said, known.get, over(meeting))
    missed = event(MeetingMissed, outcome)
    assert missed.absent is Absent.too_few
    relationship, known = took(outcome, relationship, known)
    again = reports.report(relationship, said, known.get, over(meeting))
    assert again.events == (missed,)
    enough = reports.report(relationship, report(relationship, [0, 1, 2], meeting.starts_at), known.get, over(meeting))
    assert event(MeetingHeld, enough).corrects_missed


def test_a_report_of_too_few_for_what_was_never_planned_is_refused_so_that_nothing_is_missed():
    relationship, known = group()
    early = At().now - timedelta(days=1)
    with pytest.raises(Rejected, match="Fewer came"):
        reports.report(relationship, report(relationship, [0, 1], early), known.get, At())
    outcome = reports.report(relationship, report(relationship, [0, 1, 2], early), known.get, At())
    assert event(MeetingHeld, outcome).expected == 5


# ---- times ---------------------------------------------------------------------------------------------------------------


def test_where_no_hour_suits_all_those_at_which_most_can_come_are_offered_whoever_leads_among_them():
    hours = {1: week("08:00", "09:00"), 4: week("19:00", "21:00")}
    relationship, known = group(hours=hours)
    meeting = planned(relationship, known)
    assert meeting.slots
    zone = relationship.members[0].time_zone
    assert zone == "Africa/Lagos"
    for slot in meeting.slots:
        assert len([n for n in range(5) if n not in hours]) == 3
        assert 7 <= slot.hour <= 20
    led_early = {0: week("08:00", "09:00"), 4: week("19:00", "21:00")}
    relationship, known = group(hours=led_early)
    assert all(slot.hour == 7 for slot in planned(relationship, known).slots), "at 8 in Lagos, when the mentor can"
    nobody = {n: week(f"{8 + 2 * n:02}:00", f"{9 + 2 * n:02}:00") for n in range(5)}
    relationship, known = group(hours=nobody)
    assert (relationship.meeting_id, known) == (None, {})


def test_what_a_member_has_planned_elsewhere_takes_a_time_from_a_group_only_where_too_few_are_left():
    relationship, known = group()
    meeting = planned(relationship, known)
    slot = meeting.slots[0]

    def engaged(*which):
        other = Engagement(new_id(), new_id(), 60, slot)
        return At(planned={ids(relationship)[n]: [other] for n in which})

    assert names(meetings.pick(relationship, meeting, ids(relationship)[0], slot, engaged(1, 2))) == ["MeetingScheduled"]
    for too_many in ((0,), (1, 2, 3)):
        with pytest.raises(Rejected, match="can’t make"):
            meetings.pick(relationship, meeting, ids(relationship)[0], slot, engaged(*too_many))


def test_a_poll_is_over_when_all_have_said_and_the_time_most_can_come_to_holds():
    relationship, known = group()
    meeting = planned(relationship, known)
    first, second, third = meeting.slots
    votes = [[first, second, third], [second, third], [third, second], [second], [first, third]]
    for n, can in enumerate(votes):
        outcome = polls.say(relationship, meeting, ids(relationship)[n], can, At())
        assert polls.say(relationship, the(Meeting, outcome), ids(relationship)[n], can, At()).changed == ()
        assert names(outcome) == ([] if n < 4 else ["MeetingScheduled"])
        meeting = the(Meeting, outcome)
    assert meeting.starts_at == second, "of two with four each, the earlier one"


def test_who_says_nothing_is_waited_for_three_days():
    relationship, known = group()
    meeting = planned(relationship, known)
    meeting = the(Meeting, polls.say(relationship, meeting, ids(relationship)[2], [meeting.slots[2]], At()))
    outcome = polls.unpicked(relationship, meeting, At().later(days=3))
    assert the(Meeting, outcome).starts_at == meeting.slots[2]
    untouched = polls.unpicked(relationship, planned(relationship, known), At().later(days=3))
    assert the(Meeting, untouched).starts_at == meeting.slots[1], "the first is past by then"


@pytest.mark.parametrize("who", [(), (0, 1), (1, 2, 3, 4)], ids=["nobody", "fewer than the quorum", "all but the mentor"])
def test_where_too_few_for_a_meeting_can_at_any_time_later_ones_are_proposed(who):
    relationship, known = group()
    meeting = planned(relationship, known)
    for n in range(5):
        can = meeting.slots[:1] if n in who else []
        outcome = polls.say(relationship, meeting, ids(relationship)[n], can, At())
        meeting = the(Meeting, replace_last(outcome, meeting.id))
    assert names(outcome) == ["MeetingCancelled", "MeetingProposed"]
    assert min(outcome.events[1].slots) > max(meeting.slots)


def test_whoever_leads_sets_moves_and_calls_off_and_others_suggest():
    relationship, known = group()
    meeting = planned(relationship, known)
    other = meeting.slots[0] + timedelta(days=7)
    leader, member = ids(relationship)[0], ids(relationship)[3]
    suggested = changes.suggest(relationship, meeting, member, other, At())
    assert names(suggested) == ["MeetingProposed"]
    assert polls.count(relationship, the(Meeting, suggested))[other] == 1
    assert names(changes.suggest(relationship, meeting, leader, other, At())) == ["MeetingScheduled"]
    relationship, meeting, _ = scheduled()
    leader, member = ids(relationship)[0], ids(relationship)[3]
    assert names(changes.suggest(relationship, meeting, leader, other, At())) == ["MeetingRescheduled"]
    assert names(changes.suggest(relationship, meeting, member, other, At())) == ["MeetingProposed"]
    assert changes.call_off(relationship, meeting, member, changes.BY_MEMBERS[0], At()).changed == ()
    assert names(changes.call_off(relationship, meeting, leader, changes.BY_MEMBERS[0], At()))[0] == "MeetingCancelled"


def test_who_cannot_come_says_so_and_the_meeting_stays():
    relationship, meeting, _ = scheduled()
    member = ids(relationship)[3]
    assert polls.come(relationship, meeting, member, At(), can=True).changed == ()
    outcome = polls.come(relationship, meeting, member, At(), can=False)
    meeting = the(Meeting, outcome)
    assert (outcome.events, polls.cannot(relationship, meeting)) == ((), [member])
    assert polls.come(relationship, meeting, member, At(), can=False).changed == ()
    back = the(Meeting, polls.come(relationship, meeting, member, At(), can=True))
    assert polls.cannot(relationship, back) == []
    assert polls.come(relationship, meeting, member, over(meeting), can=True).changed == ()


@pytest.mark.parametrize("kept", [True, False], ids=["this release", "one that keeps only when they can"])
def test_of_a_time_that_was_offered_after_they_said_when_they_can_nobody_has_said_that_they_cannot(kept):
    relationship, known = group()
    meeting = planned(relationship, known)
    leader, one, other, third = ids(relationship)[:4]
    first, second, _ = meeting.slots
    for who, can in ((one, [first, second]), (other, [second]), (third, [])):
        meeting = the(Meeting, polls.say(relationship, meeting, who, can, At()))
    if not kept:
        meeting = replace(meeting, votes=tuple(Vote(vote.person_id, vote.slots) for vote in meeting.votes))
    moved = first + timedelta(days=7)

    def cannot(at, by, meeting=meeting):
        return polls.cannot(relationship, the(Meeting, changes.suggest(relationship, meeting, by, at, At())))

    assert cannot(first, leader) == [other, third]
    assert cannot(moved, leader) == [], "the leader's own time"
    at_first = the(Meeting, changes.suggest(relationship, meeting, leader, first, At()))
    assert cannot(moved, leader, at_first) == [], "and another one for what has its time"
    assert cannot(second, leader, at_first) == [third]
    suggested = the(Meeting, changes.suggest(relationship, meeting, one, moved, At()))
    assert cannot(moved, leader, suggested) == [], "a member's"
    assert cannot(first, leader, suggested) == [other, third]
    back = the(Meeting, polls.come(relationship, at_first, other, At(), can=True))
    assert cannot(second, leader, back) == [third], "what they said of other times stays"


def test_whether_anybody_says_when_they_can_is_counted_as_with_a_pair():
    relationship, known = group()
    meeting, later = planned(relationship, known), At().later(days=3)
    assert the(Relationship, polls.unpicked(relationship, meeting, later)).picks == (False,)
    voted = the(Meeting, polls.say(relationship, meeting, ids(relationship)[1], meeting.slots[1:], At()))
    assert the(Relationship, polls.unpicked(relationship, voted, later)).picks == (True,)
    for n in range(5):
        outcome = polls.say(relationship, meeting, ids(relationship)[n], [], At())
        meeting = the(Meeting, replace_last(outcome, meeting.id))
    assert the(Relationship, outcome).picks == (False,), "where all say that they can at none of them"


# ---- who leads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "which"),
    [(MENTEES, 0), ((Role.mentor, Role.facilitator, Role.mentee), 1), ((Role.peer, Role.peer, Role.facilitator), 2), (PEERS, 0)],
)
def test_a_facilitator_leads_or_the_mentor_or_the_first_in_turn(roles, which):
    relationship, meeting, _ = scheduled(roles)
    assert meeting.host == ids(relationship)[which]


def held_by(relationship, meeting):
    """The meeting is held by all, and the next one has its time."""
    moment = over(meeting)
    outcome = tell(relationship, meeting, 0, range(len(relationship.members)), moment)
    relationship, known = took(outcome, relationship)
    following = planned(relationship, known)
    relationship, known = took(meetings.schedule(relationship, following, following.slots[0], moment), relationship, known)
    return relationship, planned(relationship, known)


def test_in_a_circle_each_leads_in_turn_and_who_is_away_is_skipped_and_then_next():
    relationship, meeting, _ = scheduled(PEERS)
    led = [ids(relationship).index(meeting.host)]
    for n in range(6):
        away = n == 1
        if away:  # when the third is to be found, who would lead it is away
            at = meeting.starts_at + timedelta(days=7)
            days = (Days(at.date(), at.date() + timedelta(days=14)),)
            relationship = people.with_member(relationship, replace(relationship.members[2], days=days))
        relationship, meeting = held_by(relationship, meeting)
        led.append(ids(relationship).index(meeting.host))
        if away:
            relationship = people.with_member(relationship, replace(relationship.members[2], days=()))
    assert led == [0, 1, 3, 2, 4, 0, 1]


def test_the_lead_is_handed_on_in_one_tap_and_moves_on_where_its_host_leaves_or_has_a_break():
    relationship, meeting, _ = scheduled(PEERS)
    host, second, third = ids(relationship)[:3]
    outcome = hosts.hand_on(relationship, meeting, host, None, At().now)
    assert (names(outcome), outcome.events[0].host, outcome.events[0].handed_on_by) == (["HostNamed"], second, host)
    assert hosts.hand_on(relationship, the(Meeting, outcome), host, third, At().now).changed == (), "it isn't theirs any more"
    assert hosts.hand_on(relationship, meeting, second, third, At().now).changed == ()
    assert hosts.hand_on(relationship, meeting, host, third, At().now).events[0].host == third
    assert hosts.hand_on(relationship, meeting, host, third, meeting.starts_at).changed == ()

    left = people.leave(relationship, meeting, host, EndReason.moved_on, At())
    assert names(left) == ["MemberWentOut", "HostNamed"]
    assert left.events[1].host == second
    paused = people.told(relationship, meeting, a_break(relationship, 0), At())
    assert (names(paused), paused.events[0].host) == (["HostNamed"], second)
    relationship, meeting, _ = scheduled()
    given = hosts.hand_on(relationship, meeting, ids(relationship)[0], ids(relationship)[2], At().now)
    assert given.events[0].host == ids(relationship)[2]
