"""Who comes into a group and who leaves it, has a break or isn't there any more: what that does to the others."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from services.scheduling.domain import agreement, check_ins, going, groups, meetings, people, risk, signs, silence
from services.scheduling.domain.check_ins import Answers
from services.scheduling.domain.model import Days, Meeting, MeetingStatus, Person, Relationship
from services.scheduling.handlers import member_joined
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.events import EndReason, Format, MeetingHeld, Member, MemberAsked, MemberJoined, PairRecovered, PersonStatus, Role
from tests.scheduling.examples import PROGRAM, At, agreed, armed, cleared, names, person, took
from tests.scheduling.test_groups import ALWAYS, PEERS, a_break, event, group, ids, over, planned, scheduled, tell, the


def test_a_members_break_stops_nothing_and_the_only_mentors_does():
    relationship, meeting, _ = scheduled()
    outcome = people.told(relationship, meeting, a_break(relationship, 3), At())
    assert outcome.events == ()
    relationship = the(Relationship, outcome)
    assert (groups.needed(relationship), signs.due(relationship) is not None) == (2, True)
    outcome = tell(relationship, meeting, 0, [0, 1, 2])
    assert event(MeetingHeld, outcome).expected == 4
    assert "MeetingProposed" in names(outcome)
    outcome = people.told(relationship, meeting, a_break(relationship, 0), At())
    assert names(outcome) == ["MeetingCancelled"]
    assert signs.due(the(Relationship, outcome)) is None
    back = people.told(the(Relationship, outcome), None, a_break(relationship, 0, paused=False, revision=10), At())
    assert "MeetingProposed" in names(back)


@pytest.mark.parametrize(
    ("roles", "paused", "leaves"),
    [((Role.mentor, Role.mentor, Role.mentee, Role.mentee), 1, 0), (PEERS[:3], 2, 1), (PEERS[:3], 1, 0)],
    ids=["the mentor who was there", "of two who were there one", "of two who were there the host"],
)
def test_where_those_who_are_left_have_a_break_it_stands_still_as_in_any(roles, paused, leaves):
    relationship, meeting, _ = scheduled(roles)
    relationship = the(Relationship, people.told(relationship, meeting, a_break(relationship, paused), At()))
    relationship = replace(relationship, asked=ids(relationship)[2], asked_at=At().now)
    outcome = people.leave(relationship, meeting, ids(relationship)[leaves], EndReason.moved_on, At())
    left = the(Relationship, outcome)
    assert groups.stands_still(left)
    assert names(outcome) == ["MemberWentOut", "MeetingCancelled"]
    assert (left.meeting_id, left.asked, the(Meeting, outcome).status) == (None, None, MeetingStatus.cancelled)
    assert "unanswered" in cleared(outcome)
    back = people.told(left, None, a_break(left, ids(left).index(ids(relationship)[paused]), paused=False, revision=10), At())
    assert "MeetingProposed" in names(back)


def test_where_several_become_two_nobody_leads():
    relationship, known = agreed(
        people=[person(availability=ALWAYS) for _ in range(3)],
        roles=(Role.mentor, Role.mentor, Role.mentee),
        form=Format.multi_mentor,
    )
    meeting = planned(relationship, known)
    relationship, known = took(meetings.schedule(relationship, meeting, meeting.slots[0], At()), relationship, known)
    meeting = planned(relationship, known)
    assert meeting.host == ids(relationship)[0]
    outcome = people.leave(relationship, meeting, meeting.host, EndReason.moved_on, At())
    assert (names(outcome), the(Meeting, outcome).host) == (["MemberWentOut"], None)


def test_a_newcomer_who_makes_it_go_on_and_a_member_who_is_back_are_asked_what_is_due():
    relationship, meeting, _ = scheduled(PEERS[:3])
    one = the(Relationship, people.told(relationship, meeting, a_break(relationship, 1), At()))
    back = people.told(one, meeting, a_break(one, 1, paused=False, revision=10), At())
    assert armed(back)["check_in"] == At().now + check_ins.SOON + one.own_moment
    still = the(Relationship, people.told(one, meeting, a_break(one, 2), At()))
    newcomer, later = replace(relationship.members[0], person_id=new_id()), At().later(days=90)
    outcome = people.join(still, newcomer, later)
    assert "MeetingProposed" in names(outcome)
    assert armed(outcome)["check_in"] == later.now + check_ins.SOON + still.own_moment
    assert the(Relationship, outcome).heard_at == later.now
    assert armed(outcome)["quiet"] > later.now, "the months in which nobody could be heard aren't silence"


def test_who_joins_in_mid_course_signs_what_holds_and_others_lose_nothing():
    relationship, meeting, _ = scheduled()
    newcomer = replace(relationship.members[1], person_id=new_id())
    (joined,) = people.join(relationship, newcomer, At()).changed
    assert (joined.version, joined.agreed_at, joined.meeting_id) == (1, relationship.agreed_at, meeting.id)
    outcome = agreement.sign(joined, newcomer.person_id, At())
    assert (names(outcome), outcome.events[0].complete) == (["AgreementSigned"], True)
    assert the(Relationship, outcome).until == relationship.until
    first = tell(joined, meeting, 0, [0, 1, 2, 5])
    assert newcomer.person_id in event(MeetingHeld, first).attended


@dataclass
class Known(At):
    """A moment at which this person is known."""

    person: Person | None = None

    def get(self, kind, key):
        return self.person if kind is Person else super().get(kind, key)


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ({"status": PersonStatus.withdrawn}, EndReason.person_withdrawn),
        ({"withdrawn_from": (PROGRAM,)}, EndReason.person_withdrawn),
        ({"erased": True}, EndReason.person_erased),
    ],
)
def test_who_has_gone_before_it_is_read_that_they_joined_is_told_of_as_leaving(gone, reason):
    relationship, meeting, _ = scheduled()
    newcomer = person(organization="orchard")
    coming = Member(person_id=newcomer.id, role=Role.mentee, organization="orchard")
    event = MemberJoined(relationship_id=relationship.id, program=PROGRAM, member=coming)
    outcome = member_joined(relationship, event, Known(person=replace(newcomer, **gone)))
    (went,) = outcome.events
    assert (names(outcome), went.person_id, went.role, went.reason) == (["MemberWentOut"], newcomer.id, Role.mentee, reason)
    assert (outcome.changed, went.meeting_id) == ((), meeting.id), "their calendar may have it"
    assert set(went.audience) == {*relationship.audience, "orchard"}
    over = replace(relationship, ended_at=At().now)
    assert member_joined(over, event, Known(person=replace(newcomer, **gone))) == NOTHING
    assert newcomer.id in ids(the(Relationship, member_joined(relationship, event, Known(person=newcomer))))


def test_who_leaves_by_their_own_wish_is_told_of_and_a_group_that_cannot_go_on_ends():
    relationship, meeting, _ = scheduled()
    member = ids(relationship)[2]
    outcome = going.go(relationship, meeting, member, EndReason.moved_on, At(), rematch=True)
    went = outcome.events[0]
    assert (names(outcome), went.person_id, went.rematch_first) == (["MemberWentOut"], member, True)
    assert went.meeting_id == meeting.id
    assert (the(Relationship, outcome).meeting_id, member in ids(the(Relationship, outcome))) == (meeting.id, False)
    assert going.go(the(Relationship, outcome), meeting, member, EndReason.moved_on, At(), rematch=True).changed == ()
    ended = going.go(relationship, meeting, ids(relationship)[0], EndReason.no_time, At(), rematch=False)
    assert names(ended) == ["MeetingCancelled", "PairEnded"]
    assert ended.events[1].rematch_first == tuple(ids(relationship)[1:])
    small, known = group((Role.peer,) * 2)
    assert names(going.go(small, planned(small, known), ids(small)[0], EndReason.no_time, At(), rematch=False))[-1] == "PairEnded"


def test_mentors_whose_only_mentee_leaves_have_nobody_to_mentor():
    relationship, known = group((Role.mentor, Role.mentor, Role.mentee))
    mentor, _, mentee = ids(relationship)
    meeting = planned(relationship, known)
    assert names(going.go(relationship, meeting, mentee, EndReason.moved_on, At(), rematch=False))[-1] == "PairEnded"
    assert names(going.go(relationship, meeting, mentor, EndReason.no_time, At(), rematch=False))[0] == "MemberWentOut"


def absent_from(relationship, meeting, times):
    """The last member isn't at so many meetings in a row; what the last one came to."""
    for _ in range(times):
        moment = over(meeting)
        outcome = tell(relationship, meeting, 0, range(4), moment)
        relationship, known = took(outcome, relationship)
        following = planned(relationship, known)
        relationship, known = took(meetings.schedule(relationship, following, following.slots[0], moment), relationship, known)
        meeting = planned(relationship, known)
    return relationship, meeting, outcome, moment


def test_who_is_absent_three_times_running_is_asked_kindly_and_the_group_goes_on_without_an_answer():
    relationship, meeting, _ = scheduled()
    relationship, meeting, outcome, _ = absent_from(relationship, meeting, 2)
    assert MemberAsked not in map(type, outcome.events)
    relationship, meeting, outcome, moment = absent_from(relationship, meeting, 1)
    asked = event(MemberAsked, outcome)
    assert (asked.person_id, relationship.asked) == (ids(relationship)[4], ids(relationship)[4])
    assert {"unanswered"} <= set(armed(outcome))
    assert "quiet" not in armed(outcome)
    assert names(outcome).count("PairStalled") == 0
    answered = silence.answer(relationship, ids(relationship)[4], moment)
    assert (the(Relationship, answered).asked, answered.events) == (None, ())
    late = moment.later(days=3)
    gone = going.unanswered(relationship, meeting, late)
    went = gone.events[0]
    assert (names(gone), went.reason, went.unanswered) == (["MemberWentOut"], EndReason.silent, True)
    assert signs.due(the(Relationship, gone)) is not None
    _, _, outcome, _ = absent_from(the(Relationship, answered), meeting, 1)
    assert MemberAsked not in map(type, outcome.events), "nobody is asked after each meeting"


def test_for_a_member_of_a_group_who_is_asked_nobody_else_answers():
    relationship, meeting, _ = scheduled()
    mentor, one, other = ids(relationship)[:3]
    said = silence.say_silent(relationship, one, At())
    relationship, moment = the(Relationship, said), At().later(days=1)
    touched = silence.in_touch(relationship, other, moment)
    assert names(touched) == ["ContactLogged"]
    waits = the(Relationship, touched)
    assert (waits.asked, waits.stalled_at, "unanswered" in cleared(touched)) == (mentor, At().now, False)
    assert names(silence.in_touch(waits, other, moment)) == [], "two taps count once"
    answered = event(PairRecovered, silence.answer(waits, mentor, moment))
    assert answered.answered_by == mentor, "the one who heard nothing hears of it"
    a_rest = people.told(waits, meeting, a_break(waits, 0), moment)
    assert (the(Relationship, a_rest).asked, names(a_rest)) == (None, ["PairRecovered", "MeetingCancelled"])
    assert risk.points(risk.findings(waits, Answers(new_id()), moment.now)) < risk.FLAGGED_FROM
    own = silence.in_touch(relationship, mentor, moment)
    assert (the(Relationship, own).asked, "unanswered" in cleared(own)) == (None, True)

    relationship, meeting, _ = scheduled()
    mentor = ids(relationship)[0]
    asked = replace(relationship, asked=mentor, asked_at=meeting.starts_at)
    without = tell(asked, meeting, 1, [1, 2, 3])
    assert (the(Relationship, without).asked, "unanswered" in cleared(without)) == (mentor, False)
    assert "quiet" not in armed(without)
    with_them = tell(asked, meeting, 1, [0, 1, 2])
    assert (the(Relationship, with_them).asked, "unanswered" in cleared(with_them)) == (None, True)
    asked = replace(asked, asked=ids(asked)[2])
    after, known = took(tell(asked, meeting, 0, [0, 1, 3]), asked)
    assert after.asked == ids(asked)[2]
    corrected = tell(after, known[meeting.id], 0, [0, 1, 2, 3], over(meeting))
    assert (the(Relationship, corrected).asked, "unanswered" in cleared(corrected)) == (None, True)


def test_an_only_mentor_who_does_not_answer_ends_it_and_days_away_of_one_do_not_hold_up_a_group():
    relationship, meeting, _ = scheduled()
    said = silence.say_silent(relationship, ids(relationship)[2], At())
    assert event(MemberAsked, said).person_id == ids(relationship)[0]
    assert names(going.unanswered(the(Relationship, said), meeting, At().later(days=3)))[-1] == "PairEnded"
    days = (Days(At().now.date(), At().now.date() + timedelta(days=30)),)
    due = signs.due(relationship)
    one = people.with_member(relationship, replace(relationship.members[3], days=days))
    mentor = people.with_member(relationship, replace(relationship.members[0], days=days))
    assert (signs.due(one), signs.due(mentor) > due) == (due, True)
