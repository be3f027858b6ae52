"""Goals from a sentence to the day on which both sides say that one is reached: steps, words, milestones, and what is told."""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import pytest

from services.scheduling.domain import attaining, brief, endings, goals, milestones, people, steps
from services.scheduling.domain.entries import Due, Written
from services.scheduling.domain.goals import Draft, Goal, Step
from services.scheduling.domain.model import Rules
from services.scheduling.goals import Sent
from services.scheduling.wording import stars
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    EndReason,
    Format,
    GoalKind,
    Milestone,
    Policy,
    Role,
    Side,
    StepKind,
)
from tests.scheduling.examples import NOW, At, agreed, armed, cleared, names, pair, person, took

DAY = timedelta(days=1)
SAIL = Draft("Learn to sail", GoalKind.technical)
SHARP = Draft("Sail alone", GoalKind.industry, date(2027, 3, 1), "I cross the bay", "It is calm there", ("sailing", "weather"))


@dataclass
class Knowing(At):
    """A moment at which these are known."""

    known: dict = field(default_factory=dict)

    def get(self, kind, key):
        return self.known.get((kind, key)) or super().get(kind, key)


def a_goal(draft=SAIL, which=1, **more):
    """A relationship, all have signed, with a goal of this member."""
    relationship, _ = agreed(**more)
    outcome = goals.set_goal(relationship, relationship.members[which].person_id, draft, At())
    return took(outcome, relationship)[0], the(outcome)


def the(outcome):
    return next(one for one in outcome.changed if isinstance(one, Goal))


def who(relationship):
    return [m.person_id for m in relationship.members]


def a_step(by, **more):
    return Step(new_id(), StepKind.practice, "Tie ten knots", by, **more)


def circle(size=3, form=Format.circle, roles=None):
    """Peers, or others, who have all signed."""
    members = [person() for _ in range(size)]
    return agreed(people=members, roles=roles or (Role.peer,) * size, form=form)[0]


# ---- set, sharper, given up ------------------------------------------------------------------------------------------------


def test_a_sentence_is_enough_and_a_form_that_is_sent_twice_sets_one():
    relationship, _ = agreed()
    mentee = who(relationship)[1]
    about = goals.goal_id(relationship.id, mentee, "a form")
    outcome = goals.set_goal(relationship, mentee, SAIL, At(), about)
    assert names(outcome) == ["GoalSet", "MilestoneReached"]
    goal = the(outcome)
    assert (goal.id, goal.person_id, goal.revision, outcome.events[0].skills) == (about, mentee, 1, ())
    again = Knowing(known={(Goal, about): goal})
    assert goals.set_goal(relationship, mentee, SAIL, again, about) == NOTHING


def test_a_goal_made_sharper_is_set_anew_and_what_was_said_of_it_was_of_the_one_before():
    relationship, goal = a_goal()
    mentor, mentee = who(relationship)
    goal = the(attaining.say(relationship, goal, mentee, At(), reached=True))
    outcome = goals.revise(relationship, goal, mentee, SHARP, At())
    told = outcome.events[0]
    assert (told.revision, told.skills, told.due_on, told.kind) == (2, SHARP.skills, SHARP.due_on, "industry")
    assert all(word not in told.model_dump_json() for word in ("alone", "bay", "calm"))
    after = the(outcome)
    assert (after.text, after.measure, after.why, after.said) == (SHARP.text, SHARP.measure, SHARP.why, ())
    assert goals.revise(relationship, after, mentee, SHARP, At()) == NOTHING
    assert goals.revise(relationship, after, mentor, SAIL, At()) == NOTHING, "it is the mentee's"


def test_a_goal_given_up_makes_room_and_is_no_goal_any_more():
    relationship, goal = a_goal()
    mentor, mentee = who(relationship)
    outcome = goals.drop(relationship, goal, mentee, At())
    assert names(outcome) == ["GoalDropped"]
    relationship, dropped = took(outcome, relationship)[0], the(outcome)
    assert relationship.goals == 0
    for nothing in (
        goals.drop(relationship, dropped, mentee, At()),
        goals.revise(relationship, dropped, mentee, SHARP, At()),
        steps.add(relationship, dropped, mentee, a_step(mentee)),
        attaining.say(relationship, dropped, mentee, At(), reached=True),
        goals.drop(relationship, goal, mentor, At()),
        goals.drop(relationship, None, mentee, At()),
        goals.drop(relationship, replace(goal, relationship_id=new_id()), mentee, At()),
    ):
        assert nothing == NOTHING


def test_there_are_twenty_at_most_and_not_endlessly_many_given_up():
    relationship, _ = agreed()
    mentee = who(relationship)[1]
    with pytest.raises(Rejected, match="20"):
        goals.set_goal(replace(relationship, goals=20), mentee, SAIL, At())
    many = Knowing(known={(Written, relationship.id): Written(relationship.id, goals=goals.MOST_EVER)})
    with pytest.raises(Rejected):
        goals.set_goal(relationship, mentee, SAIL, many)


def test_in_a_group_anybody_sets_a_goal_for_all_and_only_mentees_their_own():
    roles = (Role.mentor, Role.mentee, Role.mentee)
    relationship = circle(3, Format.group, roles)
    mentor, first, second = who(relationship)
    ours = the(goals.set_goal(relationship, mentor, replace(SAIL, of_group=True), At()))
    assert ours.person_id is None
    assert all(goals.may_change(relationship, ours, someone) for someone in (mentor, first, second))
    with pytest.raises(Rejected, match="mentee"):
        goals.set_goal(relationship, mentor, SAIL, At())
    own = the(goals.set_goal(relationship, first, SAIL, At()))
    assert [goals.may_help(relationship, own, someone) for someone in (mentor, first, second)] == [True, True, False]
    alone, _ = agreed()
    assert the(goals.set_goal(alone, who(alone)[1], replace(SAIL, of_group=True), At())).person_id == who(alone)[1]


# ---- steps -----------------------------------------------------------------------------------------------------------------


def test_a_step_is_added_done_and_opened_again_by_either_side_and_the_first_done_is_a_milestone():
    relationship, goal = a_goal()
    mentor, mentee = who(relationship)
    step = a_step(mentor)
    added = steps.add(relationship, goal, mentor, step)
    assert (names(added), added.events[0].steps, added.events[0].revision) == (["GoalSet"], 1, 2)
    goal = the(added)
    assert steps.add(relationship, goal, mentor, step) == NOTHING
    done = steps.tick(relationship, goal, mentee, step.id, At(), done=True)
    assert names(done) == ["GoalProgressed", "MilestoneReached"]
    told = done.events[0]
    assert (told.done, told.steps, told.steps_done, told.said_by, told.kind) == (True, 1, 1, mentee, "practice")
    relationship, goal = took(done, relationship)[0], the(done)
    assert steps.tick(relationship, goal, mentor, step.id, At(), done=True) == NOTHING
    opened = steps.tick(relationship, goal, mentor, step.id, At(), done=False)
    assert (names(opened), opened.events[0].steps_done) == (["GoalProgressed"], 0)
    assert names(steps.tick(relationship, the(opened), mentor, step.id, At(), done=True)) == ["GoalProgressed"], "celebrated once"
    assert all("knots" not in event.model_dump_json() for event in (*added.events, *done.events))


def test_only_its_writer_takes_a_step_away_and_there_are_twenty_at_most():
    relationship, goal = a_goal()
    mentor, mentee = who(relationship)
    goal = replace(goal, steps=tuple(a_step(mentor) for _ in range(steps.MOST_STEPS)))
    assert steps.take_away(relationship, goal, mentee, goal.steps[0].id) == NOTHING
    assert len(the(steps.take_away(relationship, goal, mentor, goal.steps[0].id)).steps) == steps.MOST_STEPS - 1
    with pytest.raises(Rejected, match="20 steps"):
        steps.add(relationship, goal, mentor, a_step(mentor))


def test_a_step_that_has_its_day_is_reminded_of_as_a_follow_up_is():
    relationship, goal = a_goal()
    mentee = who(relationship)[1]
    day = (NOW + 5 * DAY).date()
    added = steps.add(relationship, goal, mentee, a_step(mentee, due_on=day))
    watched = steps.watched(relationship, added, At())
    assert armed(watched)["follow_ups"].date() == day - DAY
    goal = the(added)
    known = Written(relationship.id, due=tuple(steps.dues(goal)), steps=1)
    assert known.due[0] == Due(goal.steps[0].id, day, mentee, goal.id)
    moment = Knowing(known={(Written, relationship.id): known})
    done = steps.tick(relationship, goal, mentee, goal.steps[0].id, At(), done=True)
    assert "follow_ups" in cleared(steps.watched(relationship, done, moment))
    assert "follow_ups" in cleared(steps.watched(relationship, goals.drop(relationship, goal, mentee, At()), moment))
    sooner = Written(relationship.id, due=(*known.due, Due(new_id(), day - DAY)))
    moment = Knowing(known={(Written, relationship.id): sooner})
    assert armed(steps.watched(relationship, done, moment))["follow_ups"].date() == day - 2 * DAY, "others stay"


def test_the_brief_counts_open_steps_and_no_step_as_a_follow_up():
    relationship, goal = a_goal()
    known = Written(
        relationship.id, follow_ups=1, steps=2, due=(Due(new_id(), NOW.date()), Due(new_id(), NOW.date(), None, goal.id))
    )
    said = brief.numbers(relationship, NOW, Knowing(known={(Written, relationship.id): known}))
    assert (said["steps"], said["follow_ups"], said["follow_ups_due"], said["goals"]) == (2, 1, 1, 1)


# ---- reached ---------------------------------------------------------------------------------------------------------------


def test_a_goal_is_reached_once_both_sides_say_so_and_the_other_is_asked_once():
    relationship, goal = a_goal()
    mentor, mentee = who(relationship)
    said = attaining.say(relationship, goal, mentee, At(), reached=True)
    assert names(said) == ["AttainmentAsked"]
    assert (said.events[0].people, said.events[0].said_by, said.events[0].audience) == ((mentor,), mentee, ())
    goal = the(said)
    assert attaining.say(relationship, goal, mentee, At(), reached=True) == NOTHING
    not_yet = the(attaining.say(relationship, goal, mentor, At(), reached=False))
    assert attaining.missing(relationship, not_yet) == (mentor,)
    both = attaining.say(relationship, not_yet, mentor, At(), reached=True)
    assert names(both) == ["GoalAttained", "MilestoneReached"]
    assert both.events[1].milestone is Milestone.first_goal_attained
    relationship, goal = took(both, relationship)[0], the(both)
    for again in (True, False):
        assert attaining.say(relationship, goal, mentee, At(), reached=again) == NOTHING
    second = the(goals.set_goal(relationship, mentee, SHARP, At()))
    second = the(attaining.say(relationship, second, mentor, At(), reached=True))
    assert names(attaining.say(relationship, second, mentee, At(), reached=True)) == ["GoalAttained"]


def test_in_a_group_one_own_goal_needs_its_owner_and_a_mentor_and_one_for_all_needs_all():
    relationship = circle(4, Format.group, (Role.mentor, Role.mentee, Role.mentee, Role.mentee))
    mentor, first, second, third = who(relationship)
    own = the(goals.set_goal(relationship, first, SAIL, At()))
    assert attaining.say(relationship, own, second, At(), reached=True) == NOTHING
    asked = attaining.say(relationship, own, mentor, At(), reached=True)
    assert asked.events[0].people == (first,)
    assert "GoalAttained" in names(attaining.say(relationship, the(asked), first, At(), reached=True))
    ours = the(goals.set_goal(relationship, first, replace(SAIL, of_group=True), At()))
    for number, someone in enumerate((mentor, second, first)):
        outcome = attaining.say(relationship, ours, someone, At(), reached=True)
        assert names(outcome) == ([] if number else ["AttainmentAsked"]), "the others are asked once"
        ours = the(outcome)
    assert "GoalAttained" in names(attaining.say(relationship, ours, third, At(), reached=True))


def test_who_has_left_is_not_waited_for():
    relationship = circle(3)
    first, second, third = who(relationship)
    goal = the(goals.set_goal(relationship, first, SAIL, At()))
    for someone in (first, second):
        goal = the(attaining.say(relationship, goal, someone, At(), reached=True))
    assert attaining.somebody_left(relationship, goal, At()) == NOTHING
    left = took(people.leave(relationship, None, third, EndReason.person_withdrawn, At()), relationship)[0]
    assert "GoalAttained" in names(attaining.somebody_left(left, goal, At()))
    unsaid = replace(goal, said=())
    assert attaining.somebody_left(left, unsaid, At()) == NOTHING


def test_where_only_who_has_left_said_so_the_next_to_say_so_has_the_others_asked():
    relationship = circle(3)
    first, second, third = who(relationship)
    goal = the(attaining.say(relationship, the(goals.set_goal(relationship, first, SAIL, At())), third, At(), reached=True))
    left = took(people.leave(relationship, None, third, EndReason.moved_on, At()), relationship)[0]
    (asked,) = attaining.say(left, goal, second, At(), reached=True).events
    assert (asked.said_by, asked.people) == (second, (first,))


def test_nothing_comes_of_a_goal_after_the_end():
    relationship, goal = a_goal()
    mentee = who(relationship)[1]
    goal = the(steps.add(relationship, goal, mentee, a_step(mentee)))
    over = took(endings.end(relationship, None, EndReason.completed, Side.platform, At()), relationship)[0]
    over = replace(over, rules=Rules.of(Policy(milestones=[{"code": "talk", "name": "A talk"}])))
    for nothing in (
        goals.set_goal(over, mentee, SAIL, At()),
        goals.revise(over, goal, mentee, SHARP, At()),
        goals.drop(over, goal, mentee, At()),
        steps.add(over, goal, mentee, a_step(mentee)),
        steps.tick(over, goal, mentee, goal.steps[0].id, At(), done=True),
        steps.take_away(over, goal, mentee, goal.steps[0].id),
        attaining.say(over, goal, mentee, At(), reached=True),
        milestones.say_own(over, "talk", At()),
    ):
        assert nothing == NOTHING


# ---- milestones ------------------------------------------------------------------------------------------------------------

TALK = {"code": "first-talk", "name": "A first talk given"}


def test_a_milestone_of_the_program_is_reached_once_and_stays_when_the_program_drops_it():
    relationship, _ = agreed(milestones=[TALK, {"code": "other", "name": "Other"}])
    outcome = milestones.say_own(relationship, "first-talk", At())
    (told,) = outcome.events
    assert (told.milestone, told.own) == ("of_the_program", "first-talk")
    relationship = took(outcome, relationship)[0]
    assert milestones.say_own(relationship, "first-talk", At()) == NOTHING
    assert milestones.say_own(relationship, "nothing", At()) == NOTHING
    assert [own.code for own in milestones.still_to_reach(relationship)] == ["other"]
    dropped = replace(relationship, rules=Rules())
    assert [(star.name, star.at) for star in stars(dropped) if star.reached] == [("A first talk given", NOW)]
    again = replace(relationship, rules=Rules.of(Policy(milestones=[TALK | {"name": "A talk"}])))
    assert milestones.say_own(again, "first-talk", At()) == NOTHING
    assert next(star.name for star in stars(again) if star.reached) == "A talk", "as the program calls it now"


def test_the_row_of_stars_shows_what_was_reached_and_what_comes_next():
    relationship, _ = agreed()
    row = stars(relationship)
    assert [star.name for star in row if star.next] == ["A goal is set"]
    assert len(row) == 7
    assert not any(star.reached for star in row)
    before = replace(relationship, milestones=("first_meeting",))
    assert (stars(before)[0].reached, stars(before)[0].at) == (True, None), "of long ago, when isn't known"
    letters, _ = agreed(form=Format.e_mentoring)
    assert not {"You met", "Five meetings"} & {star.name for star in stars(letters)}
    over = replace(before, ended_at=NOW)
    assert [star.name for star in stars(over)] == ["You met"]


def test_the_whole_way_is_a_milestone_where_they_had_met():
    relationship, _ = agreed()
    never = endings.complete(relationship, None, At())
    assert names(never) == ["PairEnded"]
    met = endings.complete(replace(relationship, held=1), None, At())
    assert (names(met), met.events[0].milestone) == (["MilestoneReached", "PairEnded"], Milestone.completed)


def test_a_conversation_has_no_milestones():
    talk = pair(form=Format.conversation)
    assert "MilestoneReached" not in names(goals.set_goal(talk, who(talk)[1], SAIL, At()))


# ---- what is forgotten -------------------------------------------------------------------------------------------------------


def test_with_someone_erased_go_their_words_and_of_their_own_goal_all_words():
    relationship, goal = a_goal(SHARP)
    mentor, mentee = who(relationship)
    for by in (mentor, mentee):
        goal = the(steps.add(relationship, goal, by, a_step(by, link="https://knots.example/")))
    goal = the(attaining.say(relationship, goal, mentor, At(), reached=True))
    (without_mentor,) = goals.forget(goal, mentor).changed
    assert [(s.text, s.link != "") for s in without_mentor.steps] == [("", False), ("Tie ten knots", True)]
    assert (without_mentor.text, without_mentor.said) == (SHARP.text, ())
    (without_mentee,) = goals.forget(goal, mentee).changed
    assert {s.text for s in without_mentee.steps} == {""}
    gone = (without_mentee.text, without_mentee.measure, without_mentee.why, without_mentee.skills, without_mentee.due_on)
    assert gone == ("", "", "", (), None)
    assert goals.forget(without_mentee, mentee) == NOTHING
    ours = replace(goal, person_id=None, set_by=mentor)
    assert goals.forget(ours, mentor).changed[0].text == ""
    assert goals.forget(ours, new_id()) == NOTHING


# ---- what is typed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"kind": ""}, "what kind"),
        ({"text": " "}, "in a sentence"),
        ({"why": "x" * 2001}, "2000"),
        ({"skills": "a, b, c, d, e, f"}, "no more than 5"),
        ({"skills": "!!!"}, "letters and digits"),
        ({"skills": "someone@example.org"}, "letters and digits"),
        ({"skills": "to get on with my boss"}, "3 words"),
        ({"due_on": "2020-01-01"}, "from today on"),
        ({"due_on": "soon"}, "from today on"),
        ({"do": "nonsense"}, "buttons"),
        ({"done": "x"}, "buttons"),
        ({"do": "step", "kind": "practice", "text": " "}, "to be done"),
        ({"do": "step", "kind": "technical"}, "what kind"),
        ({"do": "step", "kind": "practice", "url": "http://x.example"}, "https"),
        ({"do": "step", "kind": "practice", "url": "javascript:alert(1)"}, "https"),
        ({"do": "step", "kind": "practice", "url": "https://x.example/a b"}, "https"),
        ({"do": "step", "kind": "practice", "url": "https://[x"}, "https"),
        ({"do": "step", "kind": "practice", "url": "https:///x"}, "https"),
        ({"do": "step", "kind": "practice", "url": "https://" + "x" * 500}, "500"),
        ({"do": "step", "kind": "practice", "text": "x" * 501}, "500"),
        ({}, ""),
        ({"skills": "Public Speaking, C++", "skill": ("python",)}, ""),
        ({"do": "step", "kind": "reading", "url": "https://x.example/a"}, ""),
    ],
)
def test_what_is_to_be_mended_is_said(more, says):
    error = Sent(**({"kind": "technical", "text": "Sail"} | more)).wrong(NOW.date())
    assert says in error if says else not error


def test_skills_are_in_the_normal_form_that_profiles_have():
    sent = Sent(text="x", kind="technical", skills=" Public Speaking, C++ ,python", skill=("python",))
    assert sent.draft().skills == ("python", "public-speaking", "c++")
