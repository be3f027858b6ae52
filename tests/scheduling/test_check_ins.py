"""Check-ins as rules: when what is asked of whom, what their answers come to, and where the two sides are apart."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.scheduling.domain import answering, apart, check_ins, endings, misaligned, people, versions
from services.scheduling.domain.answering import Given
from services.scheduling.domain.check_ins import Answer, Answers, CheckIn
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Past, Relationship
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.events import CheckInKind, EndReason, Fit, Format, GoalKind, PersonPaused, PersonStatus, RevisionReason, Role
from tests.scheduling.examples import NOW, At, agreed, armed, cleared, names, pair, person, took
from tests.scheduling.test_silence import record

DAY = timedelta(days=1)
QUALITY, FIT = CheckInKind.quality, CheckInKind.fit


def days(count):
    return NOW + count * DAY


class Asked(At):
    """A moment at which these check-ins and goals are known."""

    def get(self, kind, key):
        known = self.planned.get(key)
        if kind is Answers:
            return Answers(key, tuple(as_answer(one) for one in self.planned.values() if isinstance(one, CheckIn)))
        return known if isinstance(known, kind) else super().get(kind, key) if kind not in {CheckIn, Goal} else None


def as_answer(one):
    said = {name: getattr(one, name) for name in Answer.__dataclass_fields__}
    return Answer(**said)


def met(relationship, day=5):
    at = days(day)
    return replace(relationship, held=1, last_held_at=at, heard_at=at, recent=(Past(new_id(), at, held=True),))


def asked(relationship, day, known=()):
    """What is asked on this day, and the timer."""
    return check_ins.due(relationship, Asked(days(day), {one.id: one for one in known}))


def kinds(outcome):
    return sorted(f"{one.kind} {one.stage or one.number} {one.person_id.hex[-3:]}" for one in outcome.changed)


def counts(outcome):
    return sorted({f"{one.kind} {one.stage or one.number}" for one in outcome.changed})


def played(relationship, until, each=1):
    """All that is asked up to a day, by a timer that is heeded; (day, what)."""
    known, story, at = [], [], armed(check_ins.begun(relationship))["check_in"]
    while at <= days(until):
        outcome = check_ins.due(relationship, Asked(at, {one.id: one for one in known}))
        known += outcome.changed
        story.append(((at - NOW) / DAY, counts(outcome)))
        if "check_in" not in armed(outcome):
            break
        at = armed(outcome)["check_in"]
    return story


def test_a_year_of_check_ins():
    relationship, _ = agreed(agreement={"months": 12})
    relationship = met(relationship)
    story = [(day, what) for day, what in played(relationship, 365) if what]
    assert story[0] == (6, ["belonging start", "confidence start", "fit 1"])
    assert [(day, what) for day, what in story if "quality" in str(what)] == [
        (30, ["quality 1"]),
        (90, ["quality 2"]),
        (150, ["quality 3"]),
        (210, ["quality 4"]),
        (270, ["quality 5"]),
        (330, ["quality 6"]),
    ]
    assert [what for day, what in story if 180 < day < 185] == [["belonging middle", "confidence middle"]]
    assert story[-1] == (351, ["belonging end", "confidence end"])
    assert len(story) == 9


def test_the_first_meeting_brings_its_question_a_day_later():
    relationship, _ = agreed()
    outcome = check_ins.met(met(relationship, 5), days(5))
    assert armed(outcome) == {"check_in": days(6)}
    assert counts(asked(met(relationship), 6)) == ["belonging start", "confidence start", "fit 1"]
    assert counts(asked(met(relationship), 5.9)) == [], "it isn't time"
    assert check_ins.met(replace(met(relationship), held=2), days(5)).timers == ()


def test_what_is_due_within_some_days_is_asked_along():
    relationship, _ = agreed()
    outcome = asked(met(relationship, 25), 26)
    assert counts(outcome) == ["belonging start", "confidence start", "fit 1", "quality 1"]
    assert armed(outcome)["check_in"] == days(90)


def test_mentors_are_asked_nothing_of_themselves():
    relationship, _ = agreed()
    mentor, mentee = (m.person_id for m in relationship.members)
    outcome = asked(met(relationship), 6)
    assert sorted(one.kind for one in outcome.changed if one.person_id == mentor) == ["fit"]
    assert sorted(one.kind for one in outcome.changed if one.person_id == mentee) == ["belonging", "confidence", "fit"]
    assert {type(e).__name__ for e in outcome.events} == {"CheckInAsked"}
    assert all(e.due_at == days(20) for e in outcome.events)


def test_those_who_write_are_asked_after_two_weeks():
    relationship, _ = agreed(form=Format.e_mentoring)
    assert counts(asked(relationship, 14)) == ["belonging start", "confidence start", "fit 1"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda r: replace(r, members=(replace(r.members[0], paused=True), r.members[1])), None),
        (lambda r: replace(r, rules=replace(r.rules, asks=False)), None),
        (lambda r: replace(r, ended_at=days(20)), None),
        (lambda r: replace(r, agreed_at=None), None),
        (lambda r: replace(r, format=Format.conversation), None),
        (lambda r: replace(r, frozen_at=days(29)), days(37)),
    ],
)
def test_nobody_is_asked_in_a_break_where_nothing_is_asked_after_the_end_or_while_frozen(change, again):
    relationship, _ = agreed()
    outcome = asked(change(met(relationship)), 30)
    assert names(outcome) == []
    assert armed(outcome).get("check_in") == again


def test_after_weeks_of_outage_only_what_still_counts_is_asked():
    relationship, _ = agreed(agreement={"months": 24})
    relationship = met(relationship)
    assert counts(asked(relationship, 75)) == ["quality 1"], "the first meeting is long past"
    late = asked(relationship, 80)
    assert (counts(late), armed(late)) == ([], {"check_in": days(90)}), "the next follows at once"
    assert counts(asked(relationship, 160)) == ["quality 3"], "of three that were due one is asked"


def test_one_lapses_when_the_next_is_due_and_is_open_for_two_weeks_at_least():
    relationship, _ = agreed()
    first = asked(met(relationship), 30)
    assert {one.due_at for one in first.changed if one.kind is QUALITY} == {days(90)}
    late = asked(met(relationship), 75)
    assert {one.due_at for one in late.changed} == {days(90)}
    often, _ = agreed(check_in_every_days=7, first_check_in_days=1)
    assert {one.due_at for one in asked(often, 1).changed if one.kind is QUALITY} == {days(8)}


@given(
    first=st.integers(1, 365),
    every=st.integers(7, 365),
    months=st.integers(1, 24),
    held=st.integers(0, 60),
    jumps=st.lists(st.integers(0, 40), max_size=40),
)
@example(first=1, every=7, months=1, held=0, jumps=[7, 0])
def test_each_round_is_asked_once_and_never_two_of_a_kind_at_a_time(first, every, months, held, jumps):
    """Whenever the timer comes, on time or late."""
    relationship, _ = agreed(first_check_in_days=first, check_in_every_days=every, agreement={"months": months})
    relationship, known = met(relationship, held), []
    at = armed(check_ins.begun(relationship))["check_in"]
    for jump in jumps:
        now = at + jump * DAY
        if now >= relationship.until:
            break
        outcome = check_ins.due(relationship, Asked(now, {one.id: one for one in known}))
        assert not {one.id for one in outcome.changed} & {one.id for one in known}
        for one in outcome.changed:
            assert one.due_at - now >= min(14, every) * DAY
            before = [k for k in known if (k.person_id, k.kind) == (one.person_id, one.kind)]
            assert all(k.due_at <= now + check_ins.GATHERED for k in before), "the one before has lapsed, or is about to"
            assert all(k.number < one.number or k.stage is not one.stage for k in before)
        known += outcome.changed
        assert len(outcome.timers) <= 1
        if not outcome.timers:
            break
        at = armed(outcome)["check_in"]
        assert at > now


def test_the_end_takes_the_timer_and_breaks_and_other_days_bring_it_again():
    relationship, _ = agreed()
    assert "check_in" in cleared(endings.end(relationship, None, "completed", "platform", At()))
    assert armed(check_ins.look_soon(relationship, At()))["check_in"] == days(3) + relationship.own_moment
    rules = relationship.rules
    assert check_ins.other_days(replace(rules, asks=False), rules)
    assert check_ins.other_days(rules, replace(rules, first_check_in_days=10))
    assert not check_ins.other_days(rules, replace(rules, grace_hours=3))


def test_a_changed_program_has_its_relationships_looked_at_over_an_hour_not_at_one_moment():
    soon = [armed(check_ins.look_soon(agreed()[0], At()))["check_in"] for _ in range(20)]
    assert len(set(soon)) > 10
    assert all(days(3) <= at < days(3) + timedelta(hours=1) for at in soon)


# ---- answers -----------------------------------------------------------------------------------------------------------------


class Story:
    """Two or more who met, and what they answer."""

    def __init__(self, day=30, goals=(), **more):
        relationship, _ = agreed(**more)
        self.relationship: Relationship = met(relationship)
        self.mentor, self.mentee = (m.person_id for m in self.relationship.members[:2])
        self.known = {one.id: one for one in goals}
        self.events = []
        self.ask(day)

    def ask(self, day):
        self.now = days(day)
        self.take(check_ins.due(self.relationship, self.moment))

    @property
    def moment(self):
        return Asked(self.now, dict(self.known))

    def take(self, outcome):
        self.relationship = took(outcome, self.relationship)[0]
        self.known |= {one.id: one for one in outcome.changed if isinstance(one, CheckIn)}
        self.events += outcome.events
        return outcome

    def say(self, person, **given):
        ids = {kind: [one.id for one in self.known.values() if isinstance(one, kind)] for kind in (CheckIn, Goal)}
        said = answering.answer(self.relationship, person, Given(**given), ids[CheckIn], ids[Goal], self.moment)
        return self.take(said)

    def apart(self):
        return [(one.kind.value, one.steps) for one in self.relationship.apart]

    def detected(self):
        return [e.kind.value for e in self.events if type(e).__name__ == "MisalignmentDetected"]


def test_an_answer_is_told_in_codes_to_nobody_and_counts_anew():
    story = Story()
    said = story.say(story.mentee, score=4, strengths=("empathy", "commitment"), wishes=("availability",))
    (told,) = said.events
    assert (told.kind, told.score, told.tags, told.audience, told.revision) == (
        "quality",
        4,
        ("strength:empathy", "wish:availability"),
        (),
        1,
    ), "a mentee says nothing of mentees"
    assert story.say(story.mentee, score=4, strengths=("empathy",), wishes=("availability",)).events == ()
    assert story.say(story.mentee, score=3).events[0].revision == 2
    assert story.say(story.mentor, score=3, strengths=("empathy", "commitment")).events[0].tags == ("strength:commitment",)


def test_a_scale_is_answered_as_a_whole_and_its_score_is_the_mean_rounded_half_up():
    story = Story(6)
    assert story.say(story.mentee, scales={CheckInKind.confidence: (5, 4)}).events == ()
    (told,) = story.say(story.mentee, scales={CheckInKind.confidence: (5, 4, 1)}).events
    assert (told.answers, told.score, told.stage) == ((5, 4, 1), 3, "start")
    (told,) = story.say(story.mentee, scales={CheckInKind.belonging: (3, 3, 2)}).events
    assert told.score == 3
    assert story.say(story.mentor, scales={CheckInKind.belonging: (3, 3, 2)}).events == ()


def test_what_has_lapsed_and_what_has_ended_takes_no_answer():
    story = Story()
    story.now = days(91)
    assert story.say(story.mentee, score=4).events == ()
    story = Story()
    story.relationship = replace(story.relationship, ended_at=days(31))
    assert story.say(story.mentee, score=4).events == ()


@pytest.mark.parametrize(("mine", "theirs", "steps"), [(5, 5, None), (5, 4, None), (5, 3, 2), (1, 4, 3), (2, 4, 2)])
def test_scores_two_steps_apart_are_told_once(mine, theirs, steps):
    story = Story()
    story.say(story.mentee, score=mine)
    assert story.apart() == []
    story.say(story.mentor, score=theirs)
    assert story.apart() == ([("scores", steps)] if steps else [])
    assert story.detected() == (["scores"] if steps else [])
    story.say(story.mentor, score=theirs, strengths=("commitment",))
    assert len(story.detected()) == bool(steps)
    if steps:
        (event,) = [e for e in story.events if type(e).__name__ == "MisalignmentDetected"]
        assert (event.apart, event.audience, len(event.check_in_ids)) == (steps, ("northwind",), 2)


def test_the_next_round_closes_it_or_tells_it_again():
    story = Story()
    story.say(story.mentee, score=1)
    story.say(story.mentor, score=5)
    since = story.relationship.apart[0].since
    story.ask(90)
    story.say(story.mentee, score=2)
    assert story.apart() == [("scores", 4)], "one side alone doesn't close it"
    story.say(story.mentor, score=5)
    assert (story.apart(), story.relationship.apart[0].since) == ([("scores", 3)], since)
    story.ask(150)
    story.say(story.mentee, score=4)
    story.say(story.mentor, score=4)
    assert story.apart() == []
    assert story.detected() == ["scores", "scores"]


def test_it_is_settled_when_both_say_so_or_the_agreement_is_changed():
    story = Story()
    story.say(story.mentee, score=1, differs=True)
    story.say(story.mentor, score=5)
    assert sorted(story.detected()) == ["said_so", "scores"]
    told = next(e for e in story.events if getattr(e, "kind", None) == "said_so")
    assert told.check_in_ids == (), "who said so isn't told"
    for who in (story.mentee, story.mentee, story.mentor):
        assert "scores" in {kind for kind, _ in story.apart()}
        story.take(apart.settle(story.relationship, who, "scores"))
    assert story.apart() == [("said_so", None)]
    assert apart.settle(story.relationship, story.mentor, "scores").changed == ()
    terms = story.relationship.terms.model_copy(update={"every_weeks": 7})
    revised = versions.revise(story.relationship, None, story.mentor, versions.Draft(terms, {}), story.moment)
    assert next(e for e in revised.events if type(e).__name__ == "AgreementRevised").reason is RevisionReason.misalignment
    story.take(revised)
    assert story.apart() == []
    story.say(story.mentee, score=1, differs=True, strengths=("empathy",))
    assert story.apart() == [], "of a round it is told once"


def a_group():
    """Four who met, the last of them with a break since they were asked."""
    roles = (Role.mentor, *[Role.mentee] * 3)
    story = Story(people=[person() for _ in roles], roles=roles, form=Format.group)
    *there, last = story.relationship.members
    story.relationship = people.with_member(story.relationship, replace(last, paused=True))
    return story, [m.person_id for m in there], last.person_id


def test_of_a_group_who_has_a_break_is_not_waited_for_and_who_has_left_says_nothing_any_more():
    story, there, away = a_group()
    story.say(there[1], score=4, differs=True)
    assert story.apart() == [("said_so", None)]
    for who in there:
        assert story.apart()
        story.say(who, score=3)
    assert story.apart() == [], "all who are there see it alike"

    story, there, away = a_group()
    story.say(away, score=4)
    for who in there[:2]:
        story.say(who, score=4, differs=who == there[0])
    story.say(there[0], score=3)
    assert story.apart(), "an answer of who isn't waited for takes no other's place"

    story, there, away = a_group()
    story.say(there[1], score=4, differs=True)
    story.take(people.leave(story.relationship, None, there[1], EndReason.moved_on, story.moment))
    for who in (there[0], there[2]):
        story.say(who, score=4)
    assert story.apart() == []


def test_what_only_whoever_has_left_saw_differently_is_no_more():
    story, there, _ = a_group()
    for who in there:
        story.say(who, score=4, differs=who == there[1])
    answers = story.moment.get(Answers, story.relationship.id)
    assert misaligned.somebody_left(story.relationship, answers) == NOTHING, "while they are in it"

    def without(which):
        left = people.leave(story.relationship, None, there[which], EndReason.moved_on, story.moment)
        relationship, _ = took(left, story.relationship)
        return took(misaligned.somebody_left(relationship, answers), relationship)[0].apart

    assert without(2), "another one's leaving changes nothing"
    assert without(1) == ()


def test_what_a_group_sees_differently_is_settled_by_those_who_are_there():
    story, there, away = a_group()
    story.say(there[0], score=4, differs=True)
    for who in there[:2]:
        story.take(apart.settle(story.relationship, who, "said_so"))
    assert story.apart() == [("said_so", None)]
    assert took(apart.settle(story.relationship, there[2], "said_so"), story.relationship)[0].apart == ()
    left = people.leave(story.relationship, None, there[2], EndReason.moved_on, story.moment)
    assert took(left, story.relationship)[0].apart == (), "nor is whoever left waited for"
    gone = people.leave(story.relationship, None, away, EndReason.moved_on, story.moment)
    assert took(gone, story.relationship)[0].apart, "while another one is"
    pause = record(PersonPaused, story.relationship.members[2], status=PersonStatus.paused)
    paused = people.told(story.relationship, None, pause, story.moment)
    assert took(paused, story.relationship)[0].apart == ()


def test_what_two_questions_of_one_page_show_is_told_once():
    story = Story(30)
    story.relationship = met(story.relationship, 29)
    story.ask(30)
    story.say(story.mentor, fit=Fit.unsure, score=3, differs=True)
    assert sorted(one.kind for one in story.known.values() if one.told) == ["fit", "quality"]
    assert story.detected() == ["said_so"]
    for who in (story.mentor, story.mentee):
        story.take(apart.settle(story.relationship, who, "said_so"))
    story.say(story.mentor, fit=Fit.good, score=4, differs=True)
    assert (story.detected(), story.apart()) == (["said_so"], []), "nor again once it is settled"


def goal(story, kind, day=1):
    one = Goal(new_id(), story.relationship.id, "northwind", story.mentee, kind, "words", None, days(day))
    story.known[one.id] = one


def test_first_goals_of_another_kind_are_told():
    story = Story()
    story.say(story.mentor, score=4, first_goal=GoalKind.technical)
    goal(story, GoalKind.interpersonal, 2)
    goal(story, GoalKind.industry, 1)
    story.say(story.mentor, score=3, first_goal=GoalKind.industry)
    assert story.detected() == [], "as the first goal that was set"
    story.say(story.mentor, score=3, first_goal=GoalKind.technical)
    assert story.detected() == ["first_goals"]
    story.say(story.mentee, score=3, first_goal=GoalKind.technical)
    assert story.apart() == [], "what they say themselves counts more"


def test_something_else_is_no_other_kind():
    story = Story()
    story.say(story.mentor, score=4, first_goal=GoalKind.other)
    story.say(story.mentee, score=4, first_goal=GoalKind.technical)
    assert story.detected() == []


def test_not_a_fit_ends_nothing_and_whoever_said_so_may_end_it():
    story = Story(6)
    (told,) = story.say(story.mentee, fit=Fit.not_a_fit).events
    assert (told.fit, story.relationship.ended_at) == ("not_a_fit", None)
    fits = {one.person_id: one for one in story.known.values() if one.kind is FIT}
    for fit, who in ((fits[story.mentor], story.mentor), (fits[story.mentee], story.mentor), (None, story.mentee)):
        assert answering.end_kindly(story.relationship, None, fit, who, story.moment, rematch=True).events == ()
    over = answering.end_kindly(story.relationship, None, fits[story.mentee], story.mentee, story.moment, rematch=True)
    assert (over.events[-1].reason, over.events[-1].rematch_first) == ("not_a_fit", (story.mentee,))


def test_answers_say_what_lapsed_in_a_row():
    person, other = new_id(), new_id()

    def one(day, answered=None, who=person, **more):
        return Answer(new_id(), who, QUALITY, day, None, days(day), days(day + 14), answered and days(day + 1), **more)

    told = Answers(new_id(), (one(0), one(20, True, score=4), one(40), one(60), one(80), one(40, True, other)))
    assert told.unanswered(person, days(70)) == 1
    assert told.unanswered(person, days(95)) == 3
    assert told.unanswered(other, days(95)) == 0
    assert told.scores(person) == [(20, 4)]
    assert told.fit(person) is None


def test_a_break_that_is_over_looks_again():
    relationship, _ = agreed()
    outcome = people._goes_on(relationship, At(days(40)))
    assert armed(outcome)["check_in"] == days(43) + relationship.own_moment
    assert check_ins.begun(pair()).timers == ()
