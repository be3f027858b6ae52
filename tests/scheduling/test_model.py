"""Random sequences, legal and not, against a plain account of what was told: no illegal state, no timer left behind."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.scheduling.domain import (
    agreement,
    changes,
    endings,
    goals,
    meetings,
    people,
    recognition,
    renewal,
    reports,
    risk,
    signs,
    silence,
    slots,
    unsigned,
    versions,
)
from services.scheduling.domain.diaries import Engagement
from services.scheduling.domain.model import About, Agreement, Days, Meeting, MeetingStatus, Program, Relationship
from services.scheduling.domain.states import State, after, state_of
from shared.cloudevents import new_id
from shared.errors import Rejected
from shared.events import (
    AgreementRevised,
    AgreementSigned,
    EndReason,
    GoalKind,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingProposed,
    MeetingReported,
    MeetingRescheduled,
    MeetingScheduled,
    MilestoneReached,
    PairEnded,
    PairRecovered,
    PairStalled,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Policy,
    ProfileChanged,
    ReminderDue,
    RenewalOffered,
    RevisionReason,
    SignaturesAwaited,
    StallReason,
    Term,
)
from tests.scheduling.examples import PROGRAM, At, pair, person, week

WHICH = st.integers(0, 1)


class OnePair(RuleBasedStateMachine):
    """Plays the core: saves what is decided, fires timers in order when time goes on."""

    @initialize(
        weeks=st.sampled_from([1, 2, 4]),
        months=st.sampled_from([1, 3]),
        misses=st.integers(1, 3),
        term=st.sampled_from([Term.long, Term.short]),
    )
    def begin(self, weeks, months, misses, term):
        self.elsewhere: dict = {}
        self.clock = At(planned=self.elsewhere)
        self.persons = [person(), person("America/Sao_Paulo", week("09:00", "15:00"), "kestrel")]
        terms = {"every_weeks": weeks, "months": months}
        drafted = replace(pair(self.clock, self.persons, agreement=terms, misses_before_stalled=misses), term=term)
        self.relationship: Relationship = drafted
        self.threshold = misses
        self.meetings: dict = {}
        self.timers: dict = {}
        self.log: list = []
        self.state = State.drafted
        self.kept: dict = {}
        self.reported = None
        self.records = [1, 1]
        self.away: list = [[], []]
        self.excused: set = set()
        self.take(lambda: agreement.begun(drafted, self.clock))

    # what the core does

    def take(self, decide):
        try:
            outcome = decide()
        except Rejected:
            return
        for aggregate in outcome.changed:
            if isinstance(aggregate, Relationship):
                self.relationship = aggregate
            elif isinstance(aggregate, Meeting):
                self.meetings[aggregate.id] = aggregate
            elif isinstance(aggregate, Agreement):
                self.kept[aggregate.version] = aggregate
        for place in outcome.cleared:
            self.timers.pop(place, None)
        for timer in outcome.timers:
            if timer.kind != recognition.TIMER:  # a mentor's, which goes on when the relationship is over
                self.timers[timer.kind, timer.key] = timer
        self.log += [(self.clock.now, event) for event in outcome.events]
        for event in outcome.events:
            self.state = after(self.state, event)
            if isinstance(event, MeetingProposed):
                fresh = event.slots[:1] if event.proposed_by else event.slots
                assert not any(self.engaged(slot, event.minutes) for slot in fresh)
                assert not any(self.is_away(slot) for slot in fresh)
            elif isinstance(event, MeetingScheduled | MeetingRescheduled):
                assert not self.engaged(event.starts_at, event.minutes), "nobody is in two meetings"
                assert not self.is_away(event.starts_at)
            elif isinstance(event, MeetingMissed) and self.is_away(event.starts_at):
                self.excused.add(event.meeting_id)
        assert self.state is state_of(self.relationship)

    def engaged(self, start, minutes):
        end = start + timedelta(minutes=minutes)
        spans = [span for planned in self.elsewhere.values() for one in planned for span in one.taken]
        return any(begins < end and start < ends for begins, ends in spans)

    def is_away(self, at):
        on = [at.astimezone(ZoneInfo(someone.time_zone)).date() for someone in self.persons]
        return any(first <= day <= last for day, said in zip(on, self.away, strict=True) for first, last in said)

    @property
    def planned(self):
        return meetings.current(self.relationship, self.meetings.get)

    def someone(self, which):
        return self.relationship.members[which].person_id

    def any_meeting(self, data):
        return self.meetings[data.draw(st.sampled_from(list(self.meetings)))]

    def fire(self, timer):
        about = next((m for m in self.meetings.values() if str(m.id) == timer.key), None)
        relationship, clock = self.relationship, self.clock
        match timer.kind:
            case "unpicked":
                self.take(lambda: meetings.unpicked(relationship, about, clock))
            case "reminder":
                self.take(lambda: meetings.remind(relationship, about, clock))
            case "missed":
                self.take(lambda: meetings.overdue(relationship, about, clock))
            case "propose":
                self.take(lambda: meetings.propose_again(relationship, clock))
            case "quiet":
                self.take(lambda: silence.further(relationship, self.planned, clock))
            case "unanswered":
                self.take(lambda: silence.unanswered(relationship, self.planned, clock))
            case "end":
                self.take(lambda: endings.complete(relationship, self.planned, clock))
            case "unsigned":
                self.take(lambda: unsigned.due(relationship, clock))
            case "half_time":
                self.take(lambda: renewal.half_time(relationship, clock))
            case "renewal":
                self.take(lambda: renewal.offer(relationship, clock))
            case "risk":
                self.take(lambda: risk.look(relationship, clock))

    # what happens

    @rule(hours=st.one_of(st.integers(1, 48), st.integers(48, 24 * 20)), at_once=st.booleans())
    def time_goes_on(self, hours, at_once):
        """Bit by bit, or after an outage: then all that is due fires late."""
        until = self.clock.now + timedelta(hours=hours)
        if at_once:
            self.clock = At(until, self.elsewhere)
        while due := sorted((t for t in self.timers.values() if t.fire_at <= until), key=lambda t: t.fire_at):
            timer = due[0]
            self.clock = At(max(self.clock.now, timer.fire_at), self.elsewhere)
            del self.timers[timer.kind, timer.key]
            self.fire(timer)
        self.clock = At(until, self.elsewhere)

    @rule(which=WHICH)
    def sign(self, which):
        self.take(lambda: agreement.sign(self.relationship, self.someone(which), self.clock))

    @rule()
    def everybody_signs(self):
        for which in (0, 1):
            self.sign(which)

    @rule(which=WHICH, weeks=st.sampled_from([1, 2, 4]), months=st.sampled_from([1, 2, 6]), text=st.sampled_from(["", "secret"]))
    def changes_the_agreement(self, which, weeks, months, text):
        terms = self.relationship.newest.model_copy(update={"every_weeks": weeks, "months": months})
        draft = versions.Draft(terms, {About.purpose: text})
        before, someone = self.kept.get(self.relationship.version), self.someone(which)
        self.take(lambda: versions.revise(self.relationship, before, someone, draft, self.clock))

    @rule(which=WHICH)
    def goes_on(self, which):
        self.take(lambda: renewal.renew(self.relationship, self.someone(which), self.clock))

    @precondition(lambda self: self.relationship.renewal is not None)
    @rule()
    def both_go_on(self):
        for which in (0, 1):
            self.goes_on(which)
        assert self.relationship.renewal is None or self.relationship.ended_at is not None

    @rule(which=WHICH, chance=st.integers(0, 4))
    def says_that_the_goal_is_reached(self, which, chance):
        if chance == 0:
            self.take(lambda: renewal.reached(self.relationship, self.planned, self.someone(which), self.clock))

    @precondition(lambda self: self.meetings)
    @rule(which=WHICH, data=st.data())
    def pick(self, which, data):
        meeting = self.any_meeting(data)
        if meeting.slots:
            slot = data.draw(st.sampled_from(meeting.slots))
            self.take(lambda: meetings.pick(self.relationship, meeting, self.someone(which), slot, self.clock))

    @precondition(lambda self: self.meetings)
    @rule(which=WHICH, data=st.data(), days=st.integers(-1, 60), halves=st.integers(14, 42))
    def suggests_another_time(self, which, data, days, halves):
        meeting = self.any_meeting(data)
        at = (self.clock.now + timedelta(days=days)).replace(hour=halves // 2, minute=halves % 2 * 30)
        self.take(lambda: changes.suggest(self.relationship, meeting, self.someone(which), at, self.clock))

    @precondition(lambda self: self.meetings)
    @rule(which=WHICH, data=st.data(), reason=st.sampled_from(changes.BY_MEMBERS))
    def calls_it_off(self, which, data, reason):
        meeting = self.any_meeting(data)
        self.take(lambda: changes.call_off(self.relationship, meeting, self.someone(which), reason, self.clock))

    @precondition(lambda self: self.planned is not None and self.planned.slots)
    @rule(which=WHICH, data=st.data(), early=st.integers(-40, 40), minutes=st.sampled_from([15, 60]), scheduled=st.booleans())
    def has_something_else_planned(self, which, data, early, minutes, scheduled):
        """Another pair of the same person's takes, or is offered, one of the times offered here, or one beside it."""
        meeting = self.planned
        at = data.draw(st.sampled_from(meeting.slots)) - timedelta(minutes=early)
        ours = meeting.starts_at
        if ours is not None and at < meeting.ends_at and ours < at + timedelta(minutes=minutes):
            return  # theirs would have been refused
        other = Engagement(new_id(), new_id(), minutes, at if scheduled else None, (at,))
        self.elsewhere.setdefault(self.someone(which), []).append(other)

    @rule()
    def everything_else_is_called_off(self):
        self.elsewhere.clear()

    @precondition(lambda self: self.meetings)
    @rule(which=WHICH, data=st.data(), met=st.booleans())
    def say(self, which, data, met):
        meeting = self.any_meeting(data)
        if met:
            self.take(lambda: meetings.say_met(self.relationship, meeting, self.someone(which), 30, self.clock))
        else:
            self.take(lambda: meetings.say_not_met(self.relationship, meeting, self.someone(which), self.clock))

    @rule(hours=st.integers(-2, 24 * 30), data=st.data(), named=st.booleans())
    def report(self, hours, data, named):
        held_at = self.clock.now - timedelta(hours=hours)
        meeting = self.any_meeting(data) if named and self.meetings else None
        event = MeetingReported(
            relationship_id=self.relationship.id,
            program=PROGRAM,
            organization="kestrel",
            report_id="r",
            report_source="/hr",
            held_at=held_at,
            minutes=30,
            attended=tuple(p.id for p in self.persons),
            meeting_id=meeting.id if meeting else None,
        )
        self.reported = event

        def decide():
            outcome = reports.report(self.relationship, event, self.meetings.get, self.clock)
            assert any(isinstance(e, MeetingHeld) for e in outcome.events), "every report is answered"
            return outcome

        self.take(decide)

    @precondition(lambda self: self.reported is not None)
    @rule()
    def report_again(self):
        """A partner's repeat: whatever it said counts once."""
        event, held = self.reported, self.relationship.held
        self.take(lambda: reports.report(self.relationship, event, self.meetings.get, self.clock))
        self.take(lambda: reports.report(self.relationship, event, self.meetings.get, self.clock))
        times = [at for m in self.meetings.values() if m.held for at in (m.starts_at, m.held.held_at)]
        known = [at for at in times if abs(at - event.held_at) <= timedelta(hours=12)]
        assert self.relationship.held <= held + 1
        assert known or event.meeting_id or event.held_at > self.clock.now or self.relationship.ended_at

    @rule(hours=st.sampled_from([week("09:00", "15:00"), week("20:00", "21:00"), ()]))
    def other_hours(self, hours):
        """The guest's hours change, perhaps to such that leave none in common with Lagos."""
        self.records[1] += 1
        someone = self.persons[1]
        event = ProfileChanged(
            person_id=someone.id,
            organization=someone.organization,
            own_id="x",
            profile={"time_zone": someone.time_zone, "availability": hours},
            contact={"name": "X"},
            revision=self.records[1],
        )
        self.take(lambda: people.told(self.relationship, self.planned, event, self.clock))

    @precondition(lambda self: self.planned is not None and self.planned.status is MeetingStatus.proposed)
    @rule(which=WHICH, minutes=st.sampled_from([-1, 0, 1]))
    def picks_at_the_last_moment(self, which, minutes):
        slot = self.planned.slots[0]
        ahead = (slot - self.clock.now) + timedelta(minutes=minutes)
        if ahead > timedelta():
            self.time_goes_on(ahead / timedelta(hours=1), at_once=False)
        if self.planned is not None:
            meeting = self.planned
            self.take(lambda: meetings.pick(self.relationship, meeting, self.someone(which), slot, self.clock))

    @rule(which=WHICH, paused=st.booleans())
    def takes_a_break(self, which, paused):
        self.records[which] += 1
        someone = self.persons[which]
        event = (PersonPaused if paused else PersonResumed)(
            person_id=someone.id,
            organization=someone.organization,
            own_id="x",
            status=PersonStatus.paused if paused else PersonStatus.active,
            profile={"time_zone": someone.time_zone, "availability": someone.availability},
            contact={"name": "X"},
            revision=self.records[which],
        )
        self.take(lambda: people.told(self.relationship, self.planned, event, self.clock))

    @rule(which=WHICH, ahead=st.integers(0, 20), long=st.integers(0, 20), back=st.booleans())
    def is_away_for_some_days(self, which, ahead, long, back):
        """Or, after all, at none of the days that were said before."""
        first = (self.clock.now + timedelta(days=ahead)).date()
        self.away[which] = [] if back else [*self.away[which], (first, first + timedelta(days=long))]
        someone = replace(self.persons[which], days=tuple(Days(*days) for days in self.away[which]))
        self.take(lambda: people.days_told(self.relationship, self.planned, someone, self.clock))

    @rule(which=WHICH)
    def sets_a_goal(self, which):
        draft = goals.Draft("secret words", GoalKind.technical)
        self.take(lambda: goals.set_goal(self.relationship, self.someone(which), draft, self.clock))

    @rule(which=WHICH, twice=st.booleans())
    def are_in_touch(self, which, twice):
        contacts = self.relationship.contacts
        for _ in range(1 + twice):
            self.take(lambda: silence.in_touch(self.relationship, self.someone(which), self.clock))
        assert self.relationship.contacts <= contacts + 1

    @rule(which=WHICH, chance=st.integers(0, 2))
    def hears_nothing(self, which, chance):
        if chance == 0:
            self.take(lambda: silence.say_silent(self.relationship, self.someone(which), self.clock))

    @rule(asks=st.booleans())
    def the_program_pauses_its_questions_or_asks_again(self, asks):
        relationship, rules = self.relationship, self.relationship.rules
        policy = {name: getattr(rules, name) for name in rules.__dataclass_fields__} | {"asks": asks}
        revision = relationship.rules_revision + 1
        program = Program(relationship.program, relationship.organization, "Crossing", Policy(**policy), revision)
        self.take(lambda: people.caught_up(relationship, self.planned, program, self.clock))

    @rule(which=WHICH)
    def answers_that_they_go_on(self, which):
        self.take(lambda: silence.answer(self.relationship, self.someone(which), self.clock))

    @rule(which=WHICH, chance=st.integers(0, 9))
    def ends(self, which, chance):
        if chance == 0:
            someone = self.someone(which)
            self.take(
                lambda: endings.end_by(self.relationship, self.planned, someone, EndReason.no_time, self.clock, rematch=False)
            )

    # what must hold

    @invariant()
    def timers_follow_their_meetings(self):
        grace = timedelta(hours=self.relationship.rules.grace_hours)
        if self.relationship.ended_at is not None:
            assert not self.timers
            return
        for (kind, key), timer in self.timers.items():
            assert timer.owner == self.relationship.id
            meeting = next((m for m in self.meetings.values() if str(m.id) == key), None)
            match kind:
                case "missed":
                    assert meeting.status is MeetingStatus.scheduled
                    assert timer.fire_at == meeting.ends_at + grace
                case "reminder":
                    assert meeting.status is MeetingStatus.scheduled
                    assert timer.fire_at == meeting.starts_at - timedelta(hours=24)
                case "unpicked":
                    assert meeting.status is MeetingStatus.proposed
                case "quiet":
                    assert timer.fire_at >= signs.due(self.relationship)
                case "unanswered":
                    assert timer.fire_at >= silence.answer_by(self.relationship)
                case "risk":
                    assert key == str(self.relationship.id)
                case "propose" | "end" | "half_time" | "renewal":
                    assert key == str(self.relationship.id)
                    assert self.relationship.agreed_at is not None
                case "unsigned":
                    assert self.relationship.is_open
                    assert self.relationship.rules.asks
                    assert not any(m.paused and not self.relationship.has_signed(m.person_id) for m in self.relationship.members)
        for meeting in self.meetings.values():
            if meeting.status is MeetingStatus.scheduled:
                assert ("missed", str(meeting.id)) in self.timers
            if meeting.status is MeetingStatus.proposed:
                assert ("unpicked", str(meeting.id)) in self.timers
        own = str(self.relationship.id)
        assert (("end", own) in self.timers) == (self.relationship.agreed_at is not None)
        assert (("quiet", own) in self.timers) == (signs.due(self.relationship) is not None)
        assert (("unanswered", own) in self.timers) == (self.relationship.asked is not None)
        if self.relationship.frozen_at is not None:
            assert self.relationship.meeting_id is None
        missing = [m for m in self.relationship.members if not self.relationship.has_signed(m.person_id)]
        waits = self.relationship.agreed_at is None and not any(m.paused for m in missing)
        if waits and self.relationship.rules.asks and not self.relationship.held:
            assert ("unsigned", own) in self.timers

    @invariant()
    def every_version_is_kept_and_one_holds(self):
        relationship = self.relationship
        assert set(self.kept) in (set(), set(range(1, relationship.version + 1)))
        if relationship.version in self.kept:
            assert self.kept[relationship.version].terms == relationship.newest
        if relationship.agreed_at is not None:
            assert relationship.holds in self.kept or relationship.version == 1
            assert relationship.until == slots.add_months(relationship.began, relationship.terms.months, relationship.time_zone)
            everybody = all(relationship.has_signed(m.person_id) for m in relationship.members)
            assert everybody == (relationship.revised is None)

    @invariant()
    def one_meeting_is_planned_at_most(self):
        undecided = [m for m in self.meetings.values() if m.status in {MeetingStatus.proposed, MeetingStatus.scheduled}]
        if self.relationship.ended_at is None:
            assert {m.id for m in undecided} == ({self.relationship.meeting_id} - {None})
        assert self.relationship.meetings == max((m.number for m in self.meetings.values()), default=0)

    @invariant()
    def the_story_told_is_the_state(self):
        """What a reader who only sees the events makes of them."""
        last, sequence, starts, proposed, seen = {}, {}, {}, {}, Counter()
        stalled = ended = False
        signed, version, agreed, offered = set(), 1, False, None
        held_at, misses = None, []
        for at, event in self.log:
            seen[type(event)] += 1
            assert not ended or isinstance(event, MeetingHeld | MilestoneReached)
            assert "secret" not in event.model_dump_json()
            match event:
                case AgreementSigned():
                    assert event.person_id not in signed
                    signed.add(event.person_id)
                    assert event.version == version
                    assert event.complete == (len(signed) == 2)
                    agreed = agreed or event.complete
                case RenewalOffered():
                    assert event.renewals == seen[AgreementRevised, "renewed"]
                    assert at < event.until < event.renewed_until
                    offered = event
                case AgreementRevised() if event.reason is RevisionReason.renewed:
                    assert event.until == offered.renewed_until
                    seen[AgreementRevised, "renewed"] += 1
                case AgreementRevised():
                    version += 1
                    assert event.version == version
                    signed = set()
                case SignaturesAwaited():
                    assert not signed & set(event.people)
                    assert len(signed) + len(event.people) == 2
                case MeetingProposed():
                    assert agreed
                    assert (event.proposed_by is not None) == (event.meeting_id in proposed)
                    assert event.sequence == sequence.get(event.meeting_id, 0)
                    assert event.meeting_id not in last
                    assert all(slot > at for slot in event.slots)
                    proposed[event.meeting_id] = event
                case MeetingScheduled() | MeetingRescheduled():
                    assert event.starts_at in proposed[event.meeting_id].slots
                    assert event.starts_at > at
                    assert event.sequence == sequence.get(event.meeting_id, 0) + 1
                    assert event.meeting_id not in last
                    sequence[event.meeting_id], starts[event.meeting_id] = event.sequence, event.starts_at
                case MeetingCancelled():
                    assert event.sequence == sequence.get(event.meeting_id, 0) + 1
                    assert event.meeting_id not in last
                    sequence[event.meeting_id] = event.sequence
                case ReminderDue():
                    assert event.starts_at == starts[event.meeting_id] > at
                case MeetingMissed():
                    assert at >= event.starts_at
                    assert event.meeting_id not in last
                    assert event.revision == 1
                    last[event.meeting_id] = event
                    if event.meeting_id not in self.excused and (held_at is None or event.starts_at > held_at):
                        misses.append(event.starts_at)
                        assert event.misses_in_a_row == len(misses)
                case MeetingHeld():
                    before = last.get(event.meeting_id)
                    if isinstance(before, MeetingHeld):
                        assert event == before, "the same fact again, as the answer to a report"
                        continue
                    assert event.corrects_missed == isinstance(before, MeetingMissed)
                    assert event.revision == (before.revision if before else 0) + 1
                    last[event.meeting_id] = event
                    met = self.meetings[event.meeting_id].starts_at
                    held_at = max(met, held_at or met)
                    misses = [m for m in misses if m > held_at]
                case PairStalled():
                    stalled = True
                    assert (event.reason is StallReason.unsigned) == (not agreed)
                    assert event.reason is not StallReason.misses or len(misses) >= self.threshold
                case PairRecovered():
                    stalled = False
                    assert event.contact_id or event.answered_by or len(misses) < self.threshold
                case PairEnded():
                    ended = True
                    assert event.meetings_held == sum(isinstance(e, MeetingHeld) for e in last.values())
        relationship = self.relationship
        assert relationship.held == sum(isinstance(e, MeetingHeld) for e in last.values())
        assert relationship.missed == sum(isinstance(e, MeetingMissed) for e in last.values())
        assert list(relationship.misses) == misses
        assert ended == (relationship.ended_at is not None)
        if not ended:
            assert stalled == (relationship.stalled_at is not None)
        reached = [e.milestone for _, e in self.log if isinstance(e, MilestoneReached)]
        assert len(reached) == len(set(reached))
        assert seen[PairEnded] <= 1


TestOnePair = OnePair.TestCase
TestOnePair.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
