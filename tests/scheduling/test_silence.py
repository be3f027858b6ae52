"""Silence and its steps, what undoes each, and a member who asks after the other: rules as tables."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduling.domain import agreement, concerns, endings, meetings, people, signs, silence
from services.scheduling.domain.model import Program
from services.scheduling.domain.states import TRANSITIONS, State, diagram, state_of
from services.scheduling.handlers import HANDLERS
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.events import EndReason, Format, PersonPaused, PersonResumed, PersonStatus, Policy, Role, Side
from shared.timers import DueTimer
from tests.scheduling.examples import PROGRAM, At, agreed, armed, cleared, names, pair, person, took

DAY = timedelta(days=1)
FORTNIGHT = 14 * DAY


def letters(moment=None, **policy):
    """Two who write to each other, all signed: nothing but silence is counted."""
    return agreed(moment, form=Format.e_mentoring, **policy)


def step(relationship, moment, meeting=None):
    """(relationship, names of the events, when the next step is due)"""
    outcome = silence.further(relationship, meeting, moment)
    relationship, _ = took(outcome, relationship)
    return relationship, names(outcome), armed(outcome).get("quiet")


def quiet(steps, moment=None, **policy):
    """A relationship after so many steps of silence, and the moment of the last one."""
    moment = moment or At()
    relationship, _ = letters(moment, **policy)
    for _ in range(steps):
        moment = At(signs.due(relationship))
        relationship, _, _ = step(relationship, moment)
    return relationship, moment


def test_one_step_after_another_each_with_its_time():
    moment = At()
    relationship, _ = letters(moment)
    assert signs.due(relationship) == moment.now + 1.5 * FORTNIGHT
    for expected, state, then in (
        ("PairStalled", State.stalled, 7 * DAY),
        ("PairWarned", State.warned, 7 * DAY),
        ("PairFrozen", State.frozen, 14 * DAY),
    ):
        moment = At(signs.due(relationship))
        relationship, said, due = step(relationship, moment)
        assert said == [expected]
        assert state_of(relationship) is state
        assert due == moment.now + then
    relationship, said, due = step(relationship, At(due))
    assert said == ["PairEnded"]
    assert (relationship.end_reason, relationship.end_side, due) == (EndReason.silent, Side.both, None)


@pytest.mark.parametrize("kind", ["quiet", "unsigned"])
def test_after_an_outage_of_six_hours_the_steps_of_many_are_spread_over_an_hour(kind):
    (line,) = [h for h in HANDLERS if h.subject == kind]
    moments = []
    for _ in range(1000):
        relationship = letters()[0] if kind == "quiet" else took(agreement.begun(pair(), At()), None)[0]
        at = signs.due(relationship) or At().now + 3 * DAY
        due = DueTimer(kind, str(relationship.id), relationship.id, at, "northwind", PROGRAM, new_id(), "", new_id())
        now = At(at + timedelta(hours=6))
        outcome = line.do(relationship, due, now)
        assert outcome.events == ()
        moments.append(armed(outcome)[kind] - now.now)
        again = replace(due, fire_at=armed(outcome)[kind])
        assert len(line.do(relationship, again, At(again.fire_at)).events) == 1
    minutes = Counter(int(moment / timedelta(minutes=1)) for moment in moments)
    assert set(minutes) <= set(range(60))
    assert max(minutes.values()) < 50, "about seventeen a minute"


def test_a_timer_that_fires_early_only_waits():
    relationship, _ = letters()
    _, said, due = step(relationship, At().later(days=20))
    assert (said, due) == ([], At().now + 21 * DAY)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_contact_undoes_each_step(steps):
    relationship, moment = quiet(steps)
    outcome = silence.in_touch(relationship, relationship.members[0].person_id, moment.later(hours=1))
    relationship, _ = took(outcome, relationship)
    assert names(outcome) == ["ContactLogged", "PairRecovered"]
    assert outcome.events[1].contact_id == outcome.events[0].contact_id
    assert state_of(relationship) is State.running
    assert armed(outcome)["quiet"] == moment.now + timedelta(hours=1) + 1.5 * FORTNIGHT


def test_two_taps_are_one_contact():
    relationship, _ = letters()
    first, second = (m.person_id for m in relationship.members)
    relationship, _ = took(silence.in_touch(relationship, first, At()), relationship)
    assert silence.in_touch(relationship, second, At().later(hours=11)).events == ()
    assert names(silence.in_touch(relationship, second, At().later(hours=13))) == ["ContactLogged"]


def test_a_planned_meeting_is_waited_for():
    """Somebody picked a time after the longest silence: what becomes of it is seen first."""
    relationship, known = agreed(agreement={"every_weeks": 1})
    meeting = known[relationship.meeting_id]
    at = At(signs.due(relationship))
    scheduled = meetings.schedule(relationship, meeting, at.now + 2 * DAY, at)
    relationship, known = took(scheduled, relationship, known)
    meeting = known[meeting.id]
    _, said, due = step(relationship, at, meeting)
    assert (said, due) == ([], meeting.ends_at + DAY + timedelta(minutes=1))
    missed = meetings.overdue(relationship, meeting, At(meeting.ends_at + DAY))
    relationship, known = took(missed, relationship, known)
    proposed = known[relationship.meeting_id]
    _, said, due = step(relationship, At(meeting.ends_at + DAY), proposed)
    assert (said, due) == ([], proposed.proposed_at + 3 * DAY + timedelta(minutes=1))


def test_nothing_is_proposed_while_it_is_frozen_and_anew_when_it_thaws():
    relationship, known = agreed(misses_before_stalled=1)
    meeting = known[relationship.meeting_id]
    at = At(meeting.slots[0])
    relationship, known = took(meetings.schedule(relationship, meeting, at.now, At()), relationship, known)
    meeting = known[meeting.id]
    moment = At(meeting.ends_at + DAY)
    missed = meetings.overdue(relationship, meeting, moment)
    assert names(missed) == ["MeetingMissed", "PairStalled", "MeetingProposed"]
    relationship, known = took(missed, relationship, known)
    for expected in (["PairWarned"], ["MeetingCancelled", "PairFrozen"]):
        moment = At(signs.due(relationship))
        outcome = silence.further(relationship, known[relationship.meeting_id], moment)
        assert names(outcome) == expected
        relationship, known = took(outcome, relationship, known)
    assert relationship.meeting_id is None
    assert meetings.propose_again(relationship, moment).events == ()
    back = silence.in_touch(relationship, relationship.members[1].person_id, moment)
    assert names(back) == ["ContactLogged", "PairRecovered", "MeetingProposed"]


def test_times_that_nobody_picks_of_a_quiet_pair_stay_open_and_dont_become_a_meeting():
    relationship, known = agreed(misses_before_stalled=1)
    meeting = known[relationship.meeting_id]
    relationship, _ = took(silence.say_silent(relationship, relationship.members[1].person_id, At()), relationship)
    outcome = meetings.unpicked(relationship, meeting, At().later(days=3))
    assert armed(outcome) == {"unpicked": meeting.slots[-1]}
    late = meetings.unpicked(relationship, meeting, At(meeting.slots[-1]))
    assert names(late) == ["MeetingCancelled", "MeetingProposed"]


def test_an_old_meeting_told_late_is_no_sign_of_life():
    relationship, moment = quiet(2)
    old, fresh = moment.now - 30 * DAY, moment.now - DAY
    same, outcome = signs.heard(relationship, old, moment, by=())
    assert names(outcome) == []
    assert same.warned_at is not None
    _, outcome = signs.heard(relationship, fresh, moment, by=())
    assert names(outcome) == ["PairRecovered"]


def record(kind, of, **more):
    profile = {"time_zone": of.time_zone}
    said = {
        "person_id": of.person_id,
        "organization": of.organization,
        "own_id": "n1",
        "profile": profile,
        "contact": {"name": "X"},
    }
    return kind(**said, revision=of.revision + 1, **more)


def test_nobody_counts_silence_in_a_break_and_it_begins_anew_after_it():
    relationship, moment = quiet(1)
    member = relationship.members[0]
    away = people.told(relationship, None, record(PersonPaused, member, status=PersonStatus.paused), moment)
    relationship, _ = took(away, relationship)
    assert cleared(away) == {"quiet"}
    assert silence.further(relationship, None, moment.later(days=90)).events == ()
    later = moment.later(days=90)
    back = people.told(relationship, None, record(PersonResumed, relationship.members[0]), later)
    assert armed(back)["quiet"] == later.now + 7 * DAY
    assert took(back, relationship)[0].members[0].own_id == "n1"


def asks(relationship, moment, *, asks):
    """After the program has paused its questions, or asks again."""
    policy, revision = Policy(asks=asks), relationship.rules_revision + 1
    program = Program(relationship.program, "northwind", "Crossing", policy, revision)
    outcome = people.caught_up(relationship, None, program, moment)
    return took(outcome, relationship)[0], outcome


def test_nobodys_silence_counts_while_the_program_asks_nothing_and_it_begins_anew_after_it():
    relationship, moment = quiet(1)
    relationship, paused = asks(relationship, moment, asks=False)
    assert cleared(paused) == {"quiet"}
    later = moment.later(days=90)
    assert silence.further(relationship, None, later).events == ()
    assert names(silence.say_silent(relationship, relationship.members[1].person_id, later)) == ["MemberAsked"]
    _, again = asks(relationship, later, asks=True)
    assert armed(again)["quiet"] == later.now + 7 * DAY
    assert armed(again).keys() <= {"quiet", "check_in"}


def test_days_without_a_signature_dont_count_while_the_program_asks_nothing():
    relationship, _ = took(agreement.begun(pair(), At()), None)
    relationship, paused = asks(relationship, At().later(days=1), asks=False)
    assert cleared(paused) >= {"unsigned"}
    _, again = asks(relationship, At().later(days=21), asks=True)
    assert timedelta(days=23) <= armed(again)["unsigned"] - At().now < timedelta(days=23, hours=1)


# ---- the other is silent -----------------------------------------------------------------------------------------------


def test_whoever_is_said_to_be_silent_is_asked_once_and_goes_on():
    relationship, _ = letters()
    mentor, mentee = (m.person_id for m in relationship.members)
    outcome = silence.say_silent(relationship, mentee, At())
    assert names(outcome) == ["PairStalled", "MemberAsked"]
    assert outcome.events[1].person_id == mentor
    assert armed(outcome) == {"unanswered": At().now + 3 * DAY}
    assert cleared(outcome) == {"quiet"}
    relationship, _ = took(outcome, relationship)
    assert silence.say_silent(relationship, mentee, At()).events == ()
    assert silence.answer(relationship, mentee, At()).events == (), "only who was asked can answer"
    back = silence.answer(relationship, mentor, At().later(days=1))
    assert names(back) == ["PairRecovered"]
    assert back.events[0].answered_by == mentor
    assert "unanswered" in cleared(back)
    relationship, _ = took(back, relationship)
    assert state_of(relationship) is State.running


def test_whoever_was_asked_and_does_something_else_goes_on_too():
    relationship, known = agreed()
    mentor, mentee = (m.person_id for m in relationship.members)
    relationship, _ = took(silence.say_silent(relationship, mentee, At()), relationship)
    meeting = known[relationship.meeting_id]

    def after(who, done):
        return names(silence.with_answer(relationship, who, done, At()))

    picked = meetings.pick(relationship, meeting, mentor, meeting.slots[0], At())
    assert after(mentor, picked) == ["MeetingScheduled", "PairRecovered"]
    assert after(mentee, picked) == ["MeetingScheduled"]
    assert after(mentor, NOTHING) == [], "what changes nothing says nothing"
    recovered, _ = took(silence.with_answer(relationship, mentor, picked, At()), relationship)
    assert (recovered.asked, recovered.rhythm) == (None, meeting.slots[0])
    ended = endings.end(relationship, meeting, EndReason.no_time, Side.mentor, At())
    assert after(mentor, ended)[-1] == "PairEnded"


@pytest.mark.parametrize("silent", [0, 1])
def test_who_ends_it_because_the_other_is_silent_says_so_for_the_next_match(silent):
    relationship, _ = letters()
    other, member = relationship.members[silent], relationship.members[1 - silent]
    (ended,) = endings.end_by(relationship, None, member.person_id, EndReason.silent, At(), rematch=True).events
    assert (ended.unanswered_by, ended.rematch_first) == (other.person_id, (member.person_id,))
    (ended,) = endings.end_by(relationship, None, member.person_id, EndReason.no_time, At(), rematch=False).events
    assert (ended.unanswered_by, ended.rematch_first) == (None, (other.person_id,) if other.role is Role.mentee else ())


@pytest.mark.parametrize("silent", [0, 1])
def test_without_an_answer_it_ends_unblamed_and_the_other_comes_first(silent):
    relationship, _ = letters()
    asked, other = relationship.members[silent], relationship.members[1 - silent]
    relationship, _ = took(silence.say_silent(relationship, other.person_id, At()), relationship)
    outcome = silence.unanswered(relationship, None, At().later(days=3))
    (ended,) = outcome.events
    assert (ended.reason, ended.side.value) == (EndReason.silent, asked.role.value)
    assert (ended.rematch_first, ended.unanswered_by) == ((other.person_id,), asked.person_id)
    assert {"quiet", "unanswered", "end"} <= cleared(outcome)


def test_silence_is_counted_from_the_last_signature_whatever_was_before():
    drafted = pair(At(), form=Format.e_mentoring)
    away = record(PersonPaused, drafted.members[0], status=PersonStatus.paused)
    paused, _ = took(people.told(drafted, None, away, At()), drafted)
    back, _ = took(people.told(paused, None, record(PersonResumed, paused.members[0]), At().later(days=1)), paused)
    assert back.heard_at is None, "as if the match had come after the break"
    met = replace(back, last_held_at=At().now, heard_at=At().now)
    for before in (back, met):
        relationship, moment = before, At().later(days=12)
        for member in before.members:
            relationship, _ = took(agreement.sign(relationship, member.person_id, moment), relationship)
        assert signs.due(relationship) == moment.now + 1.5 * FORTNIGHT


def test_a_break_answers_for_whoever_was_asked():
    relationship, _ = letters()
    relationship, _ = took(silence.say_silent(relationship, relationship.members[1].person_id, At()), relationship)
    away = record(PersonPaused, relationship.members[0], status=PersonStatus.paused)
    outcome = people.told(relationship, None, away, At())
    relationship, _ = took(outcome, relationship)
    assert "unanswered" in cleared(outcome)
    assert silence.unanswered(relationship, None, At().later(days=3)).events == ()


def test_who_can_be_asked_in_a_group():
    everyone = [person() for _ in range(4)]
    group = pair(people=everyone, roles=(Role.mentor, Role.mentee, Role.mentee, Role.mentee))
    assert signs.whom(group, everyone[1].id) == everyone[0].id
    assert signs.whom(group, everyone[0].id) is None
    circle = pair(people=everyone, roles=(Role.peer,) * 4)
    assert signs.whom(circle, everyone[0].id) is None
    two = pair(people=everyone[:2], roles=(Role.peer, Role.peer))
    assert signs.whom(two, everyone[0].id) == everyone[1].id


def test_nothing_of_it_before_all_have_signed_of_one_conversation_and_after_the_end():
    drafted = pair()
    talk = pair(form=Format.conversation)
    relationship, _ = letters()
    over = endings.end(relationship, None, EndReason.completed, Side.platform, At())
    ended, _ = took(over, relationship)
    for one in (drafted, talk, ended):
        assert signs.due(one) is None
        for do in (silence.in_touch, silence.say_silent, silence.answer):
            assert do(one, one.members[0].person_id, At()).events == ()


# ---- concerns ----------------------------------------------------------------------------------------------------------


def test_a_concern_is_raised_once_and_its_words_are_in_no_event():
    relationship, _ = letters()
    who = relationship.members[1].person_id
    outcome = concerns.raise_concern(relationship, None, who, "He shouts at me.", At())
    (concern,) = outcome.changed
    assert names(outcome) == ["ConcernRaised"]
    assert "shouts" not in outcome.events[0].model_dump_json()
    assert str(who) not in outcome.events[0].model_dump_json()
    assert concerns.raise_concern(relationship, concern, who, "He shouts at me.", At()).events == ()
    seen = concerns.see(concern, At().now).changed[0]
    assert seen.seen_at == At().now
    assert concerns.forget(seen).changed[0].text == ""


# ---- the table ---------------------------------------------------------------------------------------------------------


def test_the_diagram_shows_every_transition():
    lines = list(diagram())
    assert len(lines) == len(TRANSITIONS) + 3
    assert "    warned --> frozen: PairFrozen" in lines
    assert {before for before, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(State)
