"""Random stories of goals, steps, milestones and skills, in any order and with repeats, in pairs, groups and circles whose members leave, against
a plain account of what was done: what a reader of the events alone makes of them is so.
"""

from collections import Counter
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.scheduling.domain import (
    attaining,
    endings,
    follow_ups,
    goals,
    meetings,
    milestones,
    people,
    recognition,
    renewal,
    reports,
    skills,
    stages,
    steps,
)
from services.scheduling.domain.entries import Due, Written
from services.scheduling.domain.goals import Draft, Goal, Step
from services.scheduling.domain.model import AS_PLANNED, Meeting, Program, Relationship
from services.scheduling.domain.skills import Assessment
from shared.cloudevents import new_id
from shared.errors import Rejected
from shared.events import (
    AttainmentAsked,
    CheckInAnswered,
    CheckInAsked,
    EndReason,
    Format,
    GoalAttained,
    GoalDropped,
    GoalKind,
    GoalProgressed,
    GoalSet,
    MeetingReported,
    Milestone,
    MilestoneReached,
    MisalignmentDetected,
    PairEnded,
    Policy,
    Role,
    SkillAssessed,
    StepKind,
)
from tests.scheduling.examples import NOW, PROGRAM, At, agreed, person

DAY = timedelta(days=1)
OWN = [{"code": "talk", "name": "A talk"}, {"code": "visit", "name": "A visit"}]
SHAPES = {
    Format.one_to_one: (Role.mentor, Role.mentee),
    Format.peer_pair: (Role.peer, Role.peer),
    Format.group: (Role.mentor, Role.mentee, Role.mentee, Role.mentee),
    Format.circle: (Role.peer,) * 3,
    Format.multi_mentor: (Role.mentor, Role.mentor, Role.mentee),
}
LATE = CheckInAsked | CheckInAnswered | SkillAssessed | MisalignmentDetected
"""What may follow an end that was planned, for two weeks."""
WHO = st.integers(0, 5)
WHICH = st.integers(0, 9)
SKILLS = st.lists(st.sampled_from(["python", "go", "talks"]), unique=True, max_size=3).map(tuple)
AHEAD = st.none() | st.integers(-3, 60)


class Known(At):
    """A moment at which a story's aggregates are loaded."""

    def __init__(self, now, story):
        super().__init__(now)
        self.story = story

    def get(self, kind, key):
        if kind in {Goal, Assessment}:
            return self.story.kept.get((kind, key))
        return self.story.written if kind is Written else super().get(kind, key)


class Growth(RuleBasedStateMachine):
    """Plays the core and the people: whatever they do they may do twice, and late."""

    @initialize(form=st.sampled_from(list(SHAPES)), months=st.sampled_from([1, 3, 6]))
    def begin(self, form, months):
        roles = SHAPES[form]
        everyone = [person() for _ in roles]
        found, planned = agreed(people=everyone, roles=roles, form=form, agreement={"months": months}, milestones=OWN)
        self.relationship: Relationship = found
        self.meetings, self.kept, self.timers, self.log, self.now = planned, {}, {}, [], NOW
        self.everyone = [one.id for one in everyone]
        self.words: dict = {}
        self.steps: dict = {}
        self.reads = Reader(self)
        for timer in renewal.armed(found, NOW).timers:
            self.timers[timer.kind] = timer.fire_at

    # what the core does

    @property
    def moment(self):
        return Known(self.now, self)

    @property
    def written(self):
        known = self.goals
        due = tuple(
            Due(step.id, step.due_on, goal.person_id, goal.id)
            for goal in known
            for step in goal.steps
            if goal.attained_at is None and goal.dropped_at is None and step.done_at is None and step.due_on is not None
        )
        return Written(self.relationship.id, due=due, goals=len(known))

    @property
    def goals(self):
        return [one for (kind, _), one in self.kept.items() if kind is Goal]

    def take(self, decide, *, twice=True):
        """A decision, and the same again as a repeated click: that changes nothing."""
        outcome = self.once(decide)
        if twice:
            assert not self.once(decide).events
        return outcome

    def once(self, decide):
        try:
            outcome = steps.watched(self.relationship, decide(), self.moment)
        except Rejected:
            return Refused
        for one in outcome.changed:
            if isinstance(one, Relationship):
                self.relationship = one
            elif isinstance(one, Meeting):
                self.meetings[one.id] = one
            else:
                self.kept[type(one), one.id] = one
        for kind, _ in outcome.cleared:
            self.timers.pop(kind, None)
        for timer in outcome.timers:
            self.timers[timer.kind] = timer.fire_at
        for event in outcome.events:
            self.log.append((self.now, event))
            self.reads.hear(self.now, event)
        return outcome

    def someone(self, which):
        return self.everyone[which % len(self.everyone)]

    def a_goal(self, which):
        return self.goals[which % len(self.goals)] if self.goals else None

    def planned(self):
        return meetings.current(self.relationship, self.meetings.get)

    # goals

    @rule(who=WHO, named=SKILLS, ours=st.booleans(), form=st.integers(0, 4))
    def sets_a_goal(self, who, named, ours, form):
        me = self.someone(who)
        if self.relationship.member(me) is None:
            return
        about = goals.goal_id(self.relationship.id, me, str(form))
        draft = Draft(f"secret {form}", GoalKind.technical, skills=named, of_group=ours)
        self.take(lambda: goals.set_goal(self.relationship, me, draft, self.moment, about))

    @rule(who=WHO, which=WHICH, named=SKILLS, text=st.sampled_from(["secret 0", "secret one", "secret two"]))
    def revises_a_goal(self, who, which, named, text):
        goal, me = self.a_goal(which), self.someone(who)
        draft = Draft(text, GoalKind.industry, skills=named, measure="secret")
        outcome = self.take(lambda: goals.revise(self.relationship, self.fresh(goal), me, draft, self.moment))
        if outcome.events:
            self.words.pop(goal.id, None)

    @rule(who=WHO, which=WHICH, chance=st.integers(0, 2))
    def gives_a_goal_up(self, who, which, chance):
        goal, me = self.a_goal(which), self.someone(who)
        if not chance:
            self.take(lambda: goals.drop(self.relationship, self.fresh(goal), me, self.moment))

    def fresh(self, goal):
        return self.kept.get((Goal, goal.id)) if goal else None

    # steps

    @rule(who=WHO, which=WHICH, ahead=AHEAD)
    def adds_a_step(self, who, which, ahead):
        goal, me = self.a_goal(which), self.someone(who)
        day = None if ahead is None else (self.now + ahead * DAY).date()
        step = Step(new_id(), StepKind.project, "secret step", me, "https://secret.example", day)
        outcome = self.take(lambda: steps.add(self.relationship, self.fresh(goal), me, step))
        if outcome.events:
            self.steps.setdefault(goal.id, {})[step.id] = False

    @precondition(lambda self: self.steps)
    @rule(who=WHO, which=WHICH, done=st.booleans())
    def ticks_a_step(self, who, which, done):
        found = [(goal, step) for goal, of in self.steps.items() for step in of]
        if found:
            goal, step = found[which % len(found)]
            me, known = self.someone(who), self.kept[Goal, goal]
            may = steps.may(self.relationship, known, me)
            if may:
                self.steps[goal][step] = done
            self.take(lambda: steps.tick(self.relationship, self.kept[Goal, goal], me, step, self.moment, done=done))

    @precondition(lambda self: self.steps)
    @rule(who=WHO, which=WHICH)
    def takes_a_step_away(self, who, which):
        found = [(goal, step) for goal, of in self.steps.items() for step in of]
        if found:
            goal, step = found[which % len(found)]
            me = self.someone(who)
            outcome = self.once(lambda: steps.take_away(self.relationship, self.kept[Goal, goal], me, step))
            if outcome.events:
                del self.steps[goal][step]
                assert outcome.events[0].steps == len(self.steps[goal])

    # reached

    @rule(who=WHO, which=WHICH, reached=st.sampled_from([True, True, True, False]))
    def says_that_it_is_reached(self, who, which, reached):
        goal, me = self.a_goal(which), self.someone(who)
        if goal is not None and goals.workable(self.relationship, goal) and attaining.may_say(self.relationship, goal, me):
            self.words.setdefault(goal.id, {})[me] = reached
        self.take(lambda: attaining.say(self.relationship, self.fresh(goal), me, self.moment, reached=reached))

    @precondition(lambda self: self.goals)
    @rule(which=WHICH)
    def everybody_says_so(self, which):
        for who in range(len(self.everyone)):
            self.says_that_it_is_reached(who, which, reached=True)

    def agreed(self, goal):
        """By a plain count of words, among those who are there."""
        there = self.relationship.members
        yes = {p for p, reached in self.words.get(goal.id, {}).items() if reached}
        guides = {m.person_id for m in there if m.role is Role.mentor}
        if goal.person_id is None or not guides:
            return {m.person_id for m in there} <= yes
        return goal.person_id in yes and bool(guides & yes)

    # milestones

    @rule(code=st.sampled_from(["talk", "visit", "unknown"]))
    def says_that_a_milestone_of_the_program_is_reached(self, code):
        self.take(lambda: milestones.say_own(self.relationship, code, self.moment))

    @rule(left=st.sampled_from([OWN, OWN[:1], []]))
    def the_program_has_other_milestones(self, left):
        found, number = self.relationship, self.relationship.rules_revision + 1
        program = Program(PROGRAM, found.organization, "Crossing", Policy(milestones=left), number)
        self.take(lambda: people.caught_up(self.relationship, self.planned(), program, self.moment))

    @rule(days=st.integers(0, 40))
    def they_have_met(self, days):
        report = MeetingReported(
            relationship_id=self.relationship.id, program=PROGRAM, organization="northwind", report_id="r", report_source="/hr",
            held_at=self.now - days * DAY, minutes=30, attended=tuple(self.everyone[:2]),
        )  # fmt: skip
        self.once(lambda: reports.report(self.relationship, report, self.meetings.get, self.moment))

    # skills

    @rule(who=WHO, by=WHO, level=st.integers(1, 5), skill=st.sampled_from(["python", "go"]))
    def says_at_what_level_a_skill_is(self, who, by, level, skill):
        whose, me = self.someone(who), self.someone(by)
        self.take(lambda: skills.say(self.relationship, whose, me, {skill: level}, self.moment))

    # time, leaving, the end

    @rule(days=st.integers(1, 30), late=st.booleans())
    def time_goes_on(self, days, late):
        """Bit by bit, or after an outage."""
        then = self.now + days * DAY
        if late:
            self.now = then
        do = {
            stages.TIMER: lambda: skills.due(self.relationship, self.moment),
            renewal.HALF: lambda: renewal.half_time(self.relationship, self.moment),
            follow_ups.TIMER: lambda: follow_ups.due(self.relationship, None, self.moment),
            "end": lambda: endings.complete(self.relationship, self.planned(), self.moment),
        }
        while due := sorted((at, kind) for kind, at in self.timers.items() if at <= then and kind in do):
            at, kind = due[0]
            self.now = max(self.now, at)
            del self.timers[kind]
            self.once(do[kind])
        self.now = then

    @rule(who=WHO, chance=st.integers(0, 3))
    def leaves(self, who, chance):
        me = self.someone(who)
        if chance or self.relationship.member(me) is None:
            return
        self.once(lambda: people.leave(self.relationship, self.planned(), me, EndReason.moved_on, self.moment))
        for goal in self.goals:
            self.take(lambda goal=goal: attaining.somebody_left(self.relationship, self.fresh(goal), self.moment))

    @rule(who=WHO, chance=st.integers(0, 9), reason=st.sampled_from([EndReason.no_time, EndReason.goal_attained]))
    def ends(self, who, chance, reason):
        me = self.someone(who)
        if not chance and self.relationship.member(me):
            self.take(lambda: endings.end_by(self.relationship, self.planned(), me, reason, self.moment, rematch=False))

    # what must hold

    @invariant()
    def the_story_told_is_the_state(self):
        relationship, told = self.relationship, self.reads
        assert relationship.goals == len(told.revisions) - len(told.dropped)
        assert set(told.milestones) == set(relationship.milestones)
        assert [reached.code for reached in relationship.reached] == list(relationship.milestones)
        for goal in self.goals:
            assert told.revisions[goal.id] == goal.revision
            assert (goal.attained_at is not None) == (goal.id in told.attained)
            assert (goal.dropped_at is not None) == (goal.id in told.dropped)
            assert {step.id: step.done_at is not None for step in goal.steps} == self.steps.get(goal.id, {})
            assert {word.person_id: word.reached for word in goal.said} == self.words.get(goal.id, {})
            assert goal.attained_at is None or goal.dropped_at is None
            if goals.workable(relationship, goal) and goal.said:
                assert not self.agreed(goal), "with the last word it is reached"
        reached = {code.partition(":")[0] for code in told.milestones}
        for milestone, so in (
            (Milestone.goals_set, bool(told.revisions)),
            (Milestone.first_step_done, told.progressed),
            (Milestone.first_goal_attained, bool(told.attained)),
            (Milestone.fifth_meeting, relationship.held >= 5),
        ):
            assert (milestone.value in reached) == so
        for (kind, _), one in self.kept.items():
            if kind is Assessment:
                assert one.revision == told.answers[one.id]
                assert {level.skill: level.level for level in one.levels} == told.levels.get(one.id, {})

    @invariant()
    def timers_are_of_what_comes_next(self):
        if self.relationship.ended_at is not None:
            assert set(self.timers) <= {stages.TIMER, recognition.TIMER}
            return
        ahead = [at for due in self.written.due if (at := follow_ups.remind_at(self.relationship, due.on)) > self.now]
        assert self.timers.get(follow_ups.TIMER) == min(ahead, default=None)
        if self.relationship.stages and stages.TIMER not in self.timers:
            assert not [at for at, _ in stages.times(self.relationship) if at > self.now]


class Refused:
    """A decision that a person was told no to."""

    events = ()


class Reader:
    """Whoever sees the events alone, and what they hold them to."""

    def __init__(self, story):
        self.story = story
        self.revisions, self.answers = Counter(), Counter()
        self.milestones, self.attained, self.dropped, self.asked = [], set(), set(), set()
        self.levels, self.apart = {}, set()
        self.progressed = False
        self.ended = None

    def hear(self, at, event):
        assert "secret" not in event.model_dump_json()
        if self.ended is not None and not isinstance(event, PairEnded):
            held = isinstance(event, MilestoneReached) and event.meeting_id is not None
            late = isinstance(event, LATE) and self.ended[1] in AS_PLANNED and at <= self.ended[0] + 14 * DAY
            assert held or late or type(event).__name__ in {"MeetingHeld", "MeetingCancelled", "ReportRejected"}
        match event:
            case GoalSet():
                assert event.revision == self.revisions[event.goal_id] + 1
                assert event.goal_id not in self.attained | self.dropped
                self.revisions[event.goal_id] += 1
            case GoalProgressed():
                of = self.story.steps[event.goal_id]
                assert (event.steps, event.steps_done) == (len(of), sum(of.values()))
                assert of[event.step_id] is event.done
                self.progressed = self.progressed or event.done
            case GoalDropped():
                assert event.goal_id not in self.attained | self.dropped
                self.dropped.add(event.goal_id)
            case AttainmentAsked():
                assert event.said_by not in event.people
                assert {str(p) for p in event.people} <= set(self.story.relationship.people)
            case GoalAttained():
                assert event.goal_id not in self.attained | self.dropped
                assert self.story.agreed(self.story.kept[Goal, event.goal_id]), "only with both sides' word"
                self.attained.add(event.goal_id)
            case MilestoneReached():
                code = f"{event.milestone}:{event.own}" if event.own else event.milestone.value
                assert code not in self.milestones, "each at most once"
                self.milestones.append(code)
            case CheckInAsked():
                assert event.check_in_id not in self.asked
                self.asked.add(event.check_in_id)
            case SkillAssessed():
                about = skills.check_in_id(event.relationship_id, event.person_id, event.assessed_by, event.stage)
                self.levels.setdefault(about, {})[event.skill] = event.level
            case CheckInAnswered():
                assert event.revision == self.answers[event.check_in_id] + 1
                self.answers[event.check_in_id] += 1
            case MisalignmentDetected():
                one, other = (self.levels[about][event.skill] for about in event.check_in_ids)
                assert event.apart == abs(one - other) >= skills.APART
                of = self.story.kept[Assessment, event.check_in_ids[0]]
                told = (of.person_id, of.stage, event.skill)
                assert told not in self.apart, "once a stage"
                self.apart.add(told)
            case PairEnded():
                assert self.ended is None
                self.ended = (at, event.reason)


TestGrowth = Growth.TestCase
TestGrowth.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
