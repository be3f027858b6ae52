"""Random stories of check-ins against a plain account: each round is asked of a person once at most, an answer given anew has the next
revision, what is apart is told once a round, and nothing comes after the end or in a break.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.scheduling.domain import answering, apart, check_ins, endings, people, renewal, versions
from services.scheduling.domain.answering import Given
from services.scheduling.domain.check_ins import ABOUT_ONESELF, Answers, CheckIn
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Program, Relationship
from shared.cloudevents import new_id
from shared.events import (
    CheckInAnswered,
    CheckInAsked,
    EndReason,
    Fit,
    GoalKind,
    Misalignment,
    MisalignmentDetected,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Policy,
)
from tests.scheduling.examples import PROGRAM, agreed
from tests.scheduling.test_check_ins import Asked, as_answer, met

DAY = timedelta(days=1)
WHICH = st.integers(0, 1)
SELDOM = st.integers(0, 5).map(lambda n: n == 1)
SCORES = st.one_of(st.none(), st.integers(1, 5))


class Moment(Asked):
    """What is loaded for a decision."""

    def get(self, kind, key):
        if kind is Answers:
            own = [one for one in self.planned.values() if isinstance(one, CheckIn)]
            return Answers(key, tuple(as_answer(one) for one in own)) if own else None
        return super().get(kind, key)


class CheckedIn(RuleBasedStateMachine):
    """Plays the core, and asks and answers as mails and pages would."""

    @initialize(
        months=st.sampled_from([1, 3, 12]),
        first=st.sampled_from([1, 10, 30]),
        every=st.sampled_from([7, 14, 60]),
        held=st.integers(0, 40),
    )
    def begin(self, months, first, every, held):
        relationship, _ = agreed(first_check_in_days=first, check_in_every_days=every, agreement={"months": months})
        self.timers, self.known, self.events = {}, {}, []
        self.now, self.records, self.held_on = relationship.agreed_at, [1, 1], held
        self.relationship: Relationship = relationship
        self.take(check_ins.begun(relationship))

    @property
    def moment(self):
        return Moment(self.now, dict(self.known))

    def someone(self, which):
        return self.relationship.members[which].person_id

    def take(self, outcome):
        for one in outcome.changed:
            if isinstance(one, Relationship):
                self.relationship = one
            elif isinstance(one, CheckIn):
                before = self.known.get(one.id)
                assert before is None or one.revision in {before.revision, before.revision + 1}
                self.known[one.id] = one
        for kind, _ in outcome.cleared:
            self.timers.pop(kind, None)
        self.timers |= {timer.kind: timer.fire_at for timer in outcome.timers if timer.kind == check_ins.TIMER}
        allowed = self.relationship.ended_at is None and not any(m.paused for m in self.relationship.members)
        for event in outcome.events:
            if isinstance(event, CheckInAsked):
                assert allowed
                assert self.relationship.frozen_at is None
                assert self.relationship.rules.asks
                assert event.due_at > self.now
            if isinstance(event, CheckInAnswered | MisalignmentDetected):
                assert self.relationship.ended_at is None
        self.events += [(self.now, event) for event in outcome.events]

    # what happens

    @rule(days=st.integers(5, 50), at_once=st.booleans())
    def time_goes_on(self, days, at_once):
        """Bit by bit, or after an outage: then what is due comes late."""
        end = self.now + days * DAY
        if at_once:
            self.now = end
        while (at := self.timers.get(check_ins.TIMER, end + DAY)) <= end:
            self.now = max(self.now, at)
            if self.relationship.until <= self.now:
                break
            del self.timers[check_ins.TIMER]
            self.take(check_ins.due(self.relationship, self.moment))
            assert self.timers.get(check_ins.TIMER, end + DAY) > self.now, "it goes on"
        self.now = end
        if self.relationship.until <= self.now:
            self.take(endings.complete(self.relationship, None, self.moment))

    @precondition(lambda self: not self.relationship.held)
    @rule()
    def they_meet(self):
        on = (self.now - self.relationship.agreed_at) / DAY
        self.relationship = met(self.relationship, on)
        self.take(check_ins.met(self.relationship, self.now))

    @precondition(lambda self: any(isinstance(one, CheckIn) and one.is_open(self.now) for one in self.known.values()))
    @rule(
        which=st.sampled_from([(0,), (1,), (0, 1), (1, 0)]),
        fit=st.sampled_from([None, *Fit]),
        score=SCORES,
        goal=st.sampled_from([None, *GoalKind]),
        differs=st.booleans(),
        scale=st.lists(st.integers(1, 5), min_size=3, max_size=3),
        twice=st.booleans(),
        other=SCORES,
    )
    def answers(self, which, fit, score, other, goal, differs, scale, twice):
        given = Given(fit, score, ("empathy",), (), goal, differs, dict.fromkeys(ABOUT_ONESELF, tuple(scale)))
        for one, again in ((one, again) for one in which for again in range(1 + twice)):
            told = len(self.events)
            mine = given if one == which[0] else replace(given, score=other, differs=False)
            self.say(one, mine)
            assert not again or len(self.events) == told, "the same again is nothing"

    def say(self, which, given):
        aims = [key for key, one in self.known.items() if isinstance(one, Goal)]
        asked = [key for key, one in self.known.items() if isinstance(one, CheckIn)]
        self.take(answering.answer(self.relationship, self.someone(which), given, asked, aims, self.moment))

    @precondition(lambda self: any(isinstance(one, CheckIn) and one.is_open(self.now) for one in self.known.values()))
    @rule(high=st.integers(4, 5), low=st.integers(1, 2), which=WHICH)
    def are_far_apart_settle_it_and_say_it_again(self, high, low, which):
        self.say(0, Given(score=high, fit=Fit.good))
        self.say(1, Given(score=low, fit=Fit.unsure, differs=True))
        before = len(self.events)
        for kind in [one.kind for one in self.relationship.apart]:
            for member in (0, 1):
                self.says_that_it_is_settled(member, kind)
        self.say(which, Given(score=3, fit=Fit.not_a_fit, differs=bool(which)))
        self.say(which, Given(score=5 if which == 0 else 1, fit=Fit.good, differs=bool(which)))
        assert not any(isinstance(event, MisalignmentDetected) for _, event in self.events[before:])

    @rule(kind=st.sampled_from([kind for kind in GoalKind if kind is not GoalKind.other]))
    def a_goal_is_set(self, kind):
        goal = Goal(new_id(), self.relationship.id, "northwind", self.someone(1), kind, "words", None, self.now)
        self.known[goal.id] = goal

    @rule(which=WHICH, kind=st.sampled_from(list(Misalignment)))
    def says_that_it_is_settled(self, which, kind):
        self.take(apart.settle(self.relationship, self.someone(which), kind))

    @precondition(lambda self: self.relationship.apart and self.relationship.ended_at is None)
    @rule()
    def both_say_that_all_is_settled(self):
        for kind in [one.kind for one in self.relationship.apart]:
            for which in (0, 1):
                self.says_that_it_is_settled(which, kind)
        assert not self.relationship.apart

    @precondition(lambda self: self.relationship.ended_at is None and self.relationship.until - self.now < 20 * DAY)
    @rule()
    def they_go_on(self):
        self.take(renewal.renewed(self.relationship, self.moment))

    @rule(which=WHICH, weeks=st.integers(1, 8))
    def the_agreement_is_changed(self, which, weeks):
        terms = self.relationship.newest.model_copy(update={"every_weeks": weeks})
        if self.relationship.version < versions.MOST_VERSIONS:
            self.take(versions.revise(self.relationship, None, self.someone(which), versions.Draft(terms, {}), self.moment))

    @rule(which=WHICH, paused=SELDOM)
    def takes_a_break(self, which, paused):
        self.records[which] += 1
        member = self.relationship.members[which]
        record = (PersonPaused if paused else PersonResumed)(
            person_id=member.person_id,
            organization=member.organization,
            own_id="x",
            status=PersonStatus.paused if paused else PersonStatus.active,
            profile={"time_zone": member.time_zone},
            contact={"name": "X"},
            revision=self.records[which],
        )
        self.take(people.told(self.relationship, None, record, self.moment))

    @rule(asks=SELDOM.map(lambda seldom: not seldom), first=st.sampled_from([1, 10, 30]))
    def the_program_changes(self, asks, first):
        rules = {name: getattr(self.relationship.rules, name) for name in self.relationship.rules.__dataclass_fields__}
        policy = Policy.model_validate(rules | {"asks": asks, "first_check_in_days": first})
        revision = self.relationship.rules_revision + 1
        program = Program(PROGRAM, "northwind", "Crossing", policy, revision)
        self.take(people.caught_up(self.relationship, None, program, self.moment))

    @rule(frozen=SELDOM)
    def is_frozen_or_alive_again(self, frozen):
        if self.relationship.ended_at is None:
            self.relationship = replace(self.relationship, frozen_at=self.now if frozen else None)

    @rule(which=WHICH, chance=st.integers(0, 30))
    def ends(self, which, chance):
        if chance == 17:
            self.take(endings.end_by(self.relationship, None, self.someone(which), EndReason.no_time, self.moment, rematch=True))

    # what must hold

    @invariant()
    def each_round_is_asked_once_at_most_and_what_is_apart_is_told_once_of_it(self):
        events = [event for _, event in self.events]
        asked = Counter(event.check_in_id for event in events if isinstance(event, CheckInAsked))
        assert set(asked.values()) <= {1}
        rounds = Counter((one.person_id, *one.round) for one in self.known.values() if isinstance(one, CheckIn))
        assert set(rounds.values()) <= {1}
        answered = Counter((event.check_in_id, event.revision) for event in events if isinstance(event, CheckInAnswered))
        assert set(answered.values()) <= {1}
        assert {key for key, _ in answered} <= set(asked)
        told = Counter((one.round, kind) for one in self.known.values() if isinstance(one, CheckIn) for kind in one.told)
        assert set(told.values()) <= {1}
        assert sum(told.values()) >= sum(isinstance(event, MisalignmentDetected) for event in events)

    @invariant()
    def what_is_open_was_told_and_not_settled_by_all(self):
        kinds = [one.kind for one in self.relationship.apart]
        assert len(kinds) == len(set(kinds))
        for one in self.relationship.apart:
            assert any(isinstance(e, MisalignmentDetected) and e.kind is one.kind and at >= one.since for at, e in self.events)
            assert not {m.person_id for m in self.relationship.members} <= {*one.settled}

    @invariant()
    def a_timer_is_there_while_somebody_may_be_asked(self):
        if self.relationship.ended_at is not None:
            assert not self.timers
        elif check_ins.may_ask(self.relationship) and not self.timers:
            asked = {one.round for one in self.known.values() if isinstance(one, CheckIn)}
            ahead = {(one.kind, one.number, one.stage) for one in check_ins.rounds(self.relationship, self.now)}
            assert ahead <= asked, "all is asked up to the end of the months"


CheckedIn.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCheckedIn = CheckedIn.TestCase
