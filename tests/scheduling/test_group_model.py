"""Random stories of a group or a circle, legal and not, against a plain account of what was told."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.scheduling.domain import (
    agreement,
    changes,
    endings,
    going,
    groups,
    hosts,
    meetings,
    people,
    polls,
    recognition,
    renewal,
    reports,
    rollcall,
    signs,
    silence,
    stages,
    unsigned,
)
from services.scheduling.domain.model import Days, Meeting, MeetingStatus, Relationship
from services.scheduling.domain.states import State, after, state_of
from shared.errors import Rejected
from shared.events import (
    EndReason,
    Format,
    HostNamed,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingReported,
    MeetingRescheduled,
    MeetingScheduled,
    MemberWentOut,
    MilestoneReached,
    PairEnded,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Role,
)
from tests.scheduling.examples import PROGRAM, At, pair, person, week

WHO = st.integers(0, 7)
ALWAYS = week("08:00", "21:00", range(7))
SOME = st.sets(st.integers(0, 7), max_size=8)


class OneGroup(RuleBasedStateMachine):
    """Plays the core: saves what is decided, fires timers in order when time goes on."""

    @initialize(
        size=st.integers(3, 6),
        lead=st.sampled_from([Role.mentor, Role.facilitator, Role.peer]),
        quorum=st.sampled_from([0, 0.5, 1]),
        early=st.integers(0, 2),
    )
    def begin(self, size, lead, quorum, early):
        """Of these, some can in the morning alone, and one in the evening."""
        self.clock = At()
        rest = Role.mentee if lead is Role.mentor else Role.peer
        hours = [week("08:00", "10:00")] * early + [week("17:00", "21:00")] * (size > 4)
        self.persons = [
            replace(person(availability=available), id=UUID(int=n))  # ids decide between equals: the same story has the same
            for n, available in enumerate([*[ALWAYS] * (size - len(hours)), *hours], 1)
        ]
        form = Format.group if lead is Role.mentor else Format.circle
        policy = {"agreement": {"every_weeks": 1, "months": 3}, "quorum": quorum}
        drafted = pair(self.clock, self.persons, (lead, *[rest] * (size - 1)), form, **policy)
        drafted = replace(drafted, id=UUID(int=100))
        self.newcomers = count(101)
        self.relationship: Relationship = drafted
        self.meetings: dict = {}
        self.timers: dict = {}
        self.log: list = []
        self.state = State.drafted
        self.revision = 1
        self.take(lambda: agreement.begun(drafted, self.clock))
        for member in drafted.members:
            self.take(lambda who=member.person_id: agreement.sign(self.relationship, who, self.clock))

    def take(self, decide):
        try:
            outcome = decide()
        except Rejected:
            return None
        for aggregate in outcome.changed:
            if isinstance(aggregate, Relationship):
                self.relationship = aggregate
            elif isinstance(aggregate, Meeting):
                self.meetings[aggregate.id] = aggregate
        for place in outcome.cleared:
            self.timers.pop(place, None)
        for timer in outcome.timers:
            self.timers[timer.kind, timer.key] = timer
        self.log += [(self.clock.now, event) for event in outcome.events]
        for event in outcome.events:
            self.state = after(self.state, event)
        assert self.state is state_of(self.relationship)
        return outcome

    @property
    def planned(self):
        return meetings.current(self.relationship, self.meetings.get)

    def someone(self, which):
        return self.relationship.members[which % len(self.relationship.members)].person_id

    def some(self, which):
        return [m.person_id for n, m in enumerate(self.relationship.members) if n in which]

    def any_meeting(self, data):
        return self.meetings[data.draw(st.sampled_from(list(self.meetings)))]

    def fire(self, timer):
        about = next((m for m in self.meetings.values() if str(m.id) == timer.key), None)
        relationship, clock = self.relationship, self.clock
        do = {
            "unpicked": lambda: polls.unpicked(relationship, about, clock),
            "reminder": lambda: meetings.remind(relationship, about, clock),
            "missed": lambda: meetings.overdue(relationship, about, clock),
            "propose": lambda: meetings.propose_again(relationship, clock),
            "quiet": lambda: silence.further(relationship, self.planned, clock),
            "unanswered": lambda: going.unanswered(relationship, self.planned, clock),
            "end": lambda: endings.complete(relationship, self.planned, clock),
            "unsigned": lambda: unsigned.due(relationship, clock),
            "half_time": lambda: renewal.half_time(relationship, clock),
            "renewal": lambda: renewal.offer(relationship, clock),
        }
        if timer.kind in do:  # check-ins, levels of skills and signs of risk have models of their own
            self.take(do[timer.kind])

    # what happens

    @rule(hours=st.one_of(st.integers(1, 48), st.integers(48, 24 * 12)))
    def time_goes_on(self, hours):
        until = self.clock.now + timedelta(hours=hours)
        while due := sorted((t for t in self.timers.values() if t.fire_at <= until), key=lambda t: t.fire_at):
            timer = due[0]
            self.clock = At(max(self.clock.now, timer.fire_at))
            del self.timers[timer.kind, timer.key]
            self.fire(timer)
        self.clock = At(until)

    @precondition(lambda self: self.planned is not None and self.planned.starts_at is not None)
    @rule(which=SOME, who=WHO)
    def meet_and_say_who_came(self, which, who):
        meeting = self.planned
        ahead = meeting.ends_at - self.clock.now
        if ahead > timedelta():
            self.time_goes_on(ahead / timedelta(hours=1) + 0.1)
        meeting = self.meetings[meeting.id]
        self.take(lambda: rollcall.tell(self.relationship, meeting, self.someone(who), self.some(which), 50, self.clock))

    @precondition(lambda self: self.meetings)
    @rule(which=SOME, who=WHO, data=st.data())
    def say_who_came(self, which, who, data):
        meeting = self.any_meeting(data)
        for n in range(2):
            outcome = self.take(
                lambda: rollcall.tell(
                    self.relationship, self.meetings[meeting.id], self.someone(who), self.some(which), 50, self.clock
                )
            )
            assert n == 0 or outcome is None or not outcome.events, "said twice, it counts once"

    @precondition(lambda self: self.meetings)
    @rule(who=WHO, there=st.booleans(), data=st.data())
    def say_of_oneself(self, who, there, data):
        meeting, someone = self.any_meeting(data), self.someone(who)
        before = self.meetings[meeting.id].held
        self.take(lambda: rollcall.attend(self.relationship, meeting, someone, self.clock, there=there))
        held = self.meetings[meeting.id].held
        if before and held:
            assert set(before.attended) ^ set(held.attended) <= {someone}, "it counts for themselves alone"

    @rule(hours=st.integers(-2, 24 * 20), which=SOME, named=st.booleans(), data=st.data())
    def report(self, hours, which, named, data):
        meeting = self.any_meeting(data) if named and self.meetings else None
        came = self.some(which) or [self.someone(0)]
        event = MeetingReported(
            relationship_id=self.relationship.id, program=PROGRAM, organization="northwind", report_id="r", report_source="/hr",
            held_at=self.clock.now - timedelta(hours=hours), minutes=30, attended=came, meeting_id=meeting.id if meeting else None,
        )  # fmt: skip

        def decide():
            outcome = reports.report(self.relationship, event, self.meetings.get, self.clock)
            assert any(isinstance(e, MeetingHeld | MeetingMissed) for e in outcome.events), "every report is answered"
            return outcome

        first = self.take(decide)
        if first is not None and self.relationship.ended_at is None:
            held = self.relationship.held
            again = self.take(decide)
            assert again is not None
            assert self.relationship.held <= held + 1, "once more where it was held long before its planned time"

    @precondition(lambda self: self.meetings)
    @rule(who=WHO, data=st.data())
    def says_when_they_can(self, who, data):
        meeting = self.any_meeting(data)
        can = data.draw(st.sets(st.sampled_from(meeting.slots))) if meeting.slots else set()
        self.take(lambda: polls.say(self.relationship, meeting, self.someone(who), can, self.clock))

    @precondition(lambda self: self.planned is not None and self.planned.status is MeetingStatus.proposed)
    @rule(data=st.data())
    def all_say_when_they_can(self, data):
        meeting = self.planned
        for member in self.relationship.members:
            can = data.draw(st.sets(st.sampled_from(meeting.slots)))
            self.take(
                lambda who=member.person_id, can=can: polls.say(
                    self.relationship, self.meetings[meeting.id], who, can, self.clock
                )
            )

    @precondition(lambda self: self.planned is not None)
    @rule(who=WHO, days=st.integers(-1, 30), halves=st.integers(14, 42))
    def suggests_another_time(self, who, days, halves):
        at = (self.clock.now + timedelta(days=days)).replace(hour=halves // 2, minute=halves % 2 * 30)
        self.take(lambda: changes.suggest(self.relationship, self.planned, self.someone(who), at, self.clock))

    @precondition(lambda self: self.planned is not None)
    @rule(who=WHO)
    def calls_it_off(self, who):
        self.take(lambda: changes.call_off(self.relationship, self.planned, self.someone(who), changes.BY_MEMBERS[0], self.clock))

    @rule(who=WHO, to=st.one_of(st.none(), WHO))
    def hands_the_lead_on(self, who, to):
        whom = None if to is None else self.someone(to)
        self.take(lambda: hosts.hand_on(self.relationship, self.planned, self.someone(who), whom, self.clock.now))

    @rule(who=WHO, chance=st.integers(0, 3))
    def goes(self, who, chance):
        if chance == 0:
            someone = self.someone(who)
            self.take(lambda: going.go(self.relationship, self.planned, someone, EndReason.moved_on, self.clock, rematch=False))
            assert self.relationship.ended_at or self.relationship.member(someone) is None

    @precondition(lambda self: len(self.relationship.members) < 7)
    @rule(signs_at_once=st.booleans())
    def comes(self, signs_at_once):
        role = self.relationship.members[-1].role
        newcomer = replace(
            self.relationship.members[-1], person_id=UUID(int=next(self.newcomers)), role=role, paused=False, days=(), revision=0
        )
        self.take(lambda: people.join(self.relationship, newcomer, self.clock))
        if signs_at_once and self.relationship.member(newcomer.person_id):
            self.take(lambda: agreement.sign(self.relationship, newcomer.person_id, self.clock))

    @rule(who=WHO, paused=st.booleans())
    def takes_a_break(self, who, paused):
        self.revision += 1
        someone = self.relationship.member(self.someone(who))
        event = (PersonPaused if paused else PersonResumed)(
            person_id=someone.person_id, organization=someone.organization, own_id="x", revision=self.revision,
            status=PersonStatus.paused if paused else PersonStatus.active,
            profile={"time_zone": someone.time_zone, "availability": someone.availability}, contact={"name": "X"},
        )  # fmt: skip
        self.take(lambda: people.told(self.relationship, self.planned, event, self.clock))

    @rule(who=WHO, ahead=st.integers(0, 10), long=st.integers(0, 10), back=st.booleans())
    def is_away_for_some_days(self, who, ahead, long, back):
        someone = self.someone(who)
        first = (self.clock.now + timedelta(days=ahead)).date()
        days = () if back else (Days(first, first + timedelta(days=long)),)
        known = replace(self.persons[0], id=someone, days=days)
        self.take(lambda: people.days_told(self.relationship, self.planned, known, self.clock))

    @rule(who=WHO)
    def hears_nothing(self, who):
        self.take(lambda: silence.say_silent(self.relationship, self.someone(who), self.clock))

    @rule(who=WHO)
    def goes_on(self, who):
        self.take(lambda: silence.answer(self.relationship, self.someone(who), self.clock))

    # what must hold

    @invariant()
    def timers_follow(self):
        own = str(self.relationship.id)
        if self.relationship.ended_at is not None:
            assert {kind for kind, _ in self.timers} <= {recognition.TIMER, stages.TIMER}, "what is looked at afterwards"
            return
        for meeting in self.meetings.values():
            assert (("missed", str(meeting.id)) in self.timers) == (meeting.status is MeetingStatus.scheduled)
            assert (("unpicked", str(meeting.id)) in self.timers) == (meeting.status is MeetingStatus.proposed)
        assert (("quiet", own) in self.timers) == (signs.due(self.relationship) is not None)
        assert (("unanswered", own) in self.timers) == (self.relationship.asked is not None)
        assert (("end", own) in self.timers) == (self.relationship.agreed_at is not None)

    @invariant()
    def one_meeting_is_planned_and_led_by_one_who_is_in_it(self):
        if self.relationship.ended_at is not None:
            return
        undecided = [m for m in self.meetings.values() if m.status in {MeetingStatus.proposed, MeetingStatus.scheduled}]
        assert {m.id for m in undecided} == ({self.relationship.meeting_id} - {None})
        for meeting in undecided:
            ahead = meeting.starts_at is None or meeting.starts_at > self.clock.now
            host = self.relationship.member(meeting.host) if meeting.host else None
            if ahead and meeting.host is not None:
                assert host is not None
                assert not host.paused

    @invariant()
    def a_group_goes_on_as_long_as_it_can(self):
        if self.relationship.ended_at is None:
            assert len(self.relationship.members) >= groups.TWO
            assert self.relationship.format is Format.circle or any(m.role is Role.mentor for m in self.relationship.members)

    @invariant()
    def the_story_told_is_the_state(self):
        last, seen, went, hosts_, ended = {}, Counter(), set(), {}, False
        for _, event in self.log:
            seen[type(event)] += 1
            assert not ended or isinstance(event, MeetingHeld | MilestoneReached | MeetingMissed)
            match event:
                case MeetingScheduled() | MeetingRescheduled():
                    hosts_[event.meeting_id] = event.host
                case HostNamed():
                    assert event.host != hosts_[event.meeting_id]
                    hosts_[event.meeting_id] = event.host
                case MeetingCancelled():
                    assert event.meeting_id not in last
                case MeetingMissed():
                    before = last.get(event.meeting_id)
                    assert before is None or event.revision == before.revision, "the same again, as the answer to a report"
                    assert not isinstance(before, MeetingHeld), "what is held stays held"
                    last[event.meeting_id] = event
                case MeetingHeld():
                    before = last.get(event.meeting_id)
                    assert event.corrects_missed == isinstance(before, MeetingMissed) or isinstance(before, MeetingHeld)
                    assert event == before or event.revision == (before.revision if before else 0) + 1
                    assert event.expected >= len(event.attended) > 0
                    last[event.meeting_id] = event
                case MemberWentOut():
                    assert event.person_id not in went
                    went.add(event.person_id)
                case PairEnded():
                    ended = True
        assert self.relationship.held == sum(isinstance(e, MeetingHeld) for e in last.values())
        assert self.relationship.missed == sum(isinstance(e, MeetingMissed) for e in last.values())
        assert not went & {m.person_id for m in self.relationship.members}
        assert ended == (self.relationship.ended_at is not None)
        for meeting in self.meetings.values():
            if meeting.held:
                told = last[meeting.id]
                assert (told.attended, told.expected) == (meeting.held.attended, len(meeting.held.expected))
        for past in self.relationship.recent:
            meeting = self.meetings[past.meeting_id]
            assert past.absent == (meeting.held.absent if meeting.held and past.held else ())
        assert seen[PairEnded] <= 1


TestOneGroup = OneGroup.TestCase
TestOneGroup.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
