"""Levels of skills: when it is asked for them, who sees whose, how they grow, and what is told where the two are far apart."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduling.clicks import Seen
from services.scheduling.domain import agreement, endings, goals, people, renewal, skills, stages
from services.scheduling.domain.goals import Draft
from services.scheduling.domain.model import Days, Renewal
from services.scheduling.domain.skills import Assessment
from services.scheduling.skills import part
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.events import CheckInKind, EndReason, Format, GoalKind, Misalignment, Role, Side, Stage
from tests.scheduling.conftest import PAGE
from tests.scheduling.examples import NOW, At, agreed, armed, cleared, names, pair, person, took
from tests.scheduling.test_goal_pages import act
from tests.scheduling.test_goals import Knowing, who

DAY = timedelta(days=1)
SAIL = Draft("Sail alone", GoalKind.technical, skills=("sailing", "weather"))


class Play:
    """One relationship whose assessments are kept, as the store would."""

    def __init__(self, relationship=None, draft=SAIL):
        self.relationship = relationship or agreed()[0]
        self.mentor, self.mentee = who(self.relationship)[:2]
        self.known, self.told, self.now, self.timer = {}, [], NOW, None
        if draft:
            self.take(goals.set_goal(self.relationship, self.mentee, draft, self.moment))

    @property
    def moment(self):
        return Knowing(self.now, known=self.known)

    def take(self, outcome):
        self.relationship = took(outcome, self.relationship)[0]
        self.known |= {(Assessment, one.id): one for one in outcome.changed if isinstance(one, Assessment)}
        self.told += outcome.events
        for timer in outcome.timers:
            self.timer = timer.fire_at if timer.kind == stages.TIMER else self.timer
        if stages.TIMER in cleared(outcome):
            self.timer = None
        return outcome

    def say(self, by, **levels):
        return self.take(skills.say(self.relationship, self.mentee, by, levels, self.moment))

    def due(self, at):
        self.now, self.timer = at, None
        return self.take(skills.due(self.relationship, self.moment))

    def asked(self):
        return [(e.person_id, e.stage) for e in self.told if type(e).__name__ == "CheckInAsked"]


# ---- asked -----------------------------------------------------------------------------------------------------------------


def test_with_the_first_skill_that_a_goal_names_both_are_asked_once():
    play = Play(draft=Draft("Sail", GoalKind.technical))
    assert play.asked() == []
    play.take(goals.set_goal(play.relationship, play.mentee, SAIL, play.moment))
    assert play.asked() == [(play.mentee, Stage.start), (play.mentor, Stage.start)]
    asked = next(e for e in play.told if type(e).__name__ == "CheckInAsked")
    assert (asked.kind, asked.due_at, asked.audience) == (CheckInKind.skills, NOW + skills.ANSWER_WITHIN, ())
    play.take(goals.set_goal(play.relationship, play.mentee, SAIL, play.moment))
    assert len(play.asked()) == 2


def test_half_way_and_two_weeks_before_the_end_both_are_asked_again():
    play = Play()
    half = stages.middle(play.relationship)
    assert play.timer == half
    play.due(half)
    assert play.timer == play.relationship.until - 14 * DAY
    play.due(play.timer)
    assert [stage for _, stage in play.asked()] == [Stage.start] * 2 + [Stage.middle] * 2 + [Stage.end] * 2
    assert play.timer is None
    assert play.relationship.stages == ("start", "middle", "end")


def test_late_it_is_asked_once_and_not_shortly_after_the_last_time():
    play = Play()
    play.due(play.relationship.until - DAY)
    assert [stage for _, stage in play.asked()][2:] == [Stage.end] * 2, "after an outage the later stage alone"
    play = Play(draft=None)
    play.now = stages.middle(play.relationship) - 3 * DAY
    play.take(goals.set_goal(play.relationship, play.mentee, SAIL, play.moment))
    play.due(play.timer)
    assert [stage for _, stage in play.asked()] == [Stage.start] * 2
    play.due(play.timer)
    assert [stage for _, stage in play.asked()][2:] == [Stage.end] * 2


def test_months_that_change_move_it_and_before_all_have_signed_nothing_is_armed():
    drafted = pair()
    play = Play(drafted)
    assert (len(play.asked()), play.timer) == (2, None)
    for someone in who(drafted):
        outcome = agreement.sign(play.relationship, someone, play.moment)
        play.take(outcome)
    assert play.timer == NOW + DAY, "by then it is known whether anyone is missing"
    play.due(play.timer)
    assert play.timer == stages.middle(play.relationship)


def test_in_a_break_it_waits_and_where_the_program_asks_nothing_nothing_is_asked():
    play = Play()
    half = stages.middle(play.relationship)
    on_a_break = replace(play.relationship.members[0], paused=True)
    play.relationship = replace(play.relationship, members=(on_a_break, play.relationship.members[1]))
    play.due(half)
    assert (play.timer, len(play.asked())) == (half + DAY, 2)
    quiet = agreed(asks=False)[0]
    assert Play(quiet).asked() == []


@pytest.mark.parametrize("which", [0, 1], ids=["mentor", "mentee"])
@pytest.mark.parametrize("by", ["a break", "days away"])
def test_of_several_who_is_not_there_is_asked_once_they_are_back(which, by):
    roles = (Role.mentor, Role.mentee, Role.mentee, Role.mentor)
    play = Play(agreed(people=[person() for _ in roles], roles=roles, form=Format.group)[0], draft=None)
    everyone, someone = play.relationship.members, play.relationship.members[which]
    days = Days(NOW.date(), NOW.date() + timedelta(days=200))
    gone = replace(someone, paused=True) if by == "a break" else replace(someone, days=(days,))
    play.relationship = people.with_member(play.relationship, gone)
    play.take(goals.set_goal(play.relationship, play.mentee, SAIL, play.moment))
    mentors = {m.person_id for m in everyone if m.role is Role.mentor}
    asked = {play.mentee, *mentors} - ({someone.person_id} if which == 0 else set())
    assert ({who for who, _ in play.asked()}, play.timer) == (asked, NOW + DAY), "whoever sets a goal is there"
    play.due(NOW + DAY)
    play.relationship = replace(play.relationship, members=everyone)
    play.due(NOW + 2 * DAY)
    assert sorted(play.asked()) == sorted((who, Stage.start) for who in {play.mentee, *mentors}), "each once"
    assert play.timer == stages.middle(play.relationship)

    play.relationship = people.with_member(play.relationship, gone)
    half, before = play.timer, len(play.asked())
    for day in range(3):
        play.due(half + day * DAY)
        assert ({who for who, _ in play.asked()[before:]}, play.timer) == (
            {play.mentee, *mentors} - {someone.person_id},
            play.now + DAY,
        )
    play.relationship = people.with_member(play.relationship, someone)
    play.due(play.timer)
    assert sorted(play.asked()[before:]) == sorted((who, Stage.middle) for who in {play.mentee, *mentors})
    assert (play.relationship.stages, play.timer) == (("start", "middle"), play.relationship.until - 14 * DAY)


def away_until(play, which, at):
    """This member is away from now on until then."""
    someone = replace(play.relationship.members[which], days=(Days(play.now.date(), at.date()),))
    play.relationship = people.with_member(play.relationship, someone)


@pytest.mark.parametrize(("back_after", "asked"), [(2, [Stage.end] * 2), (20, [Stage.end])])
def test_who_is_away_at_the_end_is_asked_once_they_are_back_while_they_may_answer(back_after, asked):
    play = Play()
    play.due(stages.middle(play.relationship))
    until, play.now = play.relationship.until, play.timer
    away_until(play, 1, until + back_after * DAY)
    play.due(play.timer)
    while play.timer < until:
        play.due(play.timer)
    play.now = until
    play.take(endings.complete(play.relationship, None, play.moment))
    while play.timer:
        play.due(play.timer)
    assert [stage for _, stage in play.asked()][4:] == asked
    assert play.now <= until + skills.ANSWER_WITHIN
    assert {e.due_at for e in play.told if type(e).__name__ == "CheckInAsked" and e.person_id == play.mentee} <= {
        NOW + skills.ANSWER_WITHIN, stages.middle(play.relationship) + skills.ANSWER_WITHIN, until + skills.ANSWER_WITHIN
    }  # fmt: skip


def test_who_is_erased_after_the_end_is_not_asked():
    play = Play()
    play.now = NOW + 60 * DAY
    away_until(play, 0, play.now + 3 * DAY)
    play.take(endings.end(play.relationship, None, EndReason.goal_attained, Side.mentee, play.moment))
    play.due(play.now)
    assert play.timer == play.now + DAY
    play.take(people.leave(play.relationship, None, play.mentor, EndReason.person_erased, play.moment))
    assert play.timer is None


@pytest.mark.parametrize("by", ["other months", "a renewal", "a goal of another"])
def test_whoever_waits_half_way_is_asked_though_the_time_of_what_follows_is_another(by):
    roles = (Role.mentor, Role.mentee, Role.mentee)
    play = Play(agreed(people=[person() for _ in roles], roles=roles, form=Format.group)[0])
    play.now = play.timer
    away_until(play, 0, play.now)
    play.due(play.now)
    assert play.asked()[2:] == [(play.mentee, Stage.middle)]
    play.now += DAY - timedelta(hours=1)
    if by == "a goal of another":
        play.take(goals.set_goal(play.relationship, who(play.relationship)[2], SAIL, play.moment))
    elif by == "other months":
        play.relationship = replace(play.relationship, until=play.relationship.until + 60 * DAY)
        play.take(renewal.armed(play.relationship, play.now))
    else:
        play.relationship = replace(play.relationship, renewal=Renewal())
        for someone in who(play.relationship):
            play.take(renewal.renew(play.relationship, someone, play.moment))
    assert play.timer <= play.now + DAY
    play.due(play.timer)
    assert (play.mentor, Stage.middle) in play.asked()


def test_what_ends_sooner_as_was_planned_is_asked_about_at_its_end_and_no_other_end_is():
    play = Play()
    play.now = NOW + 60 * DAY
    play.take(endings.end(play.relationship, None, EndReason.goal_attained, Side.mentee, play.moment))
    assert play.timer == play.now
    play.due(play.now)
    assert [stage for _, stage in play.asked()][2:] == [Stage.end] * 2
    assert "SkillAssessed" in names(play.say(play.mentee, sailing=4)), "for two weeks it can be answered"
    play.now += 15 * DAY
    assert play.say(play.mentee, sailing=5) == NOTHING
    other = Play()
    other.take(endings.end(other.relationship, None, EndReason.no_time, Side.mentee, other.moment))
    assert other.timer is None
    assert skills.due(other.relationship, other.moment) == NOTHING


# ---- said ------------------------------------------------------------------------------------------------------------------


def test_each_level_is_told_and_the_same_again_is_nothing():
    play = Play()
    outcome = play.say(play.mentee, sailing=2, weather=3)
    assert names(outcome) == ["SkillAssessed", "SkillAssessed", "CheckInAnswered"]
    first, _, answered = outcome.events
    assert (first.person_id, first.assessed_by, first.skill, first.level, first.stage) == (
        play.mentee, play.mentee, "sailing", 2, Stage.start
    )  # fmt: skip
    assert {e.audience for e in outcome.events} == {()}
    assert answered.check_in_id in {e.check_in_id for e in play.told if type(e).__name__ == "CheckInAsked"}
    assert play.say(play.mentee, sailing=2) == NOTHING
    again = play.say(play.mentee, sailing=3, weather=3)
    assert (names(again), again.events[1].revision) == (["SkillAssessed", "CheckInAnswered"], 2)


@pytest.mark.parametrize(("mentee", "mentor", "apart"), [(2, 3, None), (2, 4, 2), (5, 1, 4), (3, 3, None)])
def test_two_levels_between_the_two_are_something_to_talk_about_once_a_stage(mentee, mentor, apart):
    play = Play()
    play.say(play.mentee, sailing=mentee, weather=1)
    outcome = play.say(play.mentor, sailing=mentor)
    found = [e for e in outcome.events if type(e).__name__ == "MisalignmentDetected"]
    assert [(e.kind, e.skill, e.apart) for e in found] == ([(Misalignment.skill_levels, "sailing", apart)] if apart else [])
    play.say(play.mentor, sailing=1)
    play.say(play.mentee, sailing=5)
    play.say(play.mentee, sailing=4)
    play.say(play.mentor, sailing=2)
    assert names_of(play).count("MisalignmentDetected") == 1
    play.due(stages.middle(play.relationship))
    play.say(play.mentor, sailing=1)
    play.say(play.mentee, sailing=5)
    assert names_of(play).count("MisalignmentDetected") == 2, "half way is another stage"


def test_a_mentor_who_alone_was_asked_half_way_answers_half_way():
    play = Play()
    play.say(play.mentor, sailing=1)
    play.say(play.mentee, sailing=1)
    mentor, mentee = play.relationship.members
    days = Days(NOW.date(), NOW.date() + timedelta(days=200))
    play.relationship = replace(play.relationship, members=(mentor, replace(mentee, days=(days,))))
    play.due(stages.middle(play.relationship))
    outcome = play.say(play.mentor, sailing=4)
    assert names(outcome) == ["SkillAssessed", "CheckInAnswered"], "the mentee hasn't said anything half way"
    assert {event.stage for event in outcome.events} == {Stage.middle}
    levels = {one.stage: one.level("sailing") for one in play.known.values() if one.assessed_by == play.mentor}
    assert levels == {Stage.start: 1, Stage.middle: 4}
    seen = Seen(play.relationship, None, "", play.mentor, 1, play.now)
    assert part(seen, play.mentee, {one.id: one for one in play.known.values()}).stage == "half way"


def names_of(play):
    return [type(event).__name__ for event in play.told]


def test_who_says_it_of_whom():
    relationship, _ = agreed()
    mentor, mentee = who(relationship)
    assert skills.assessors(relationship, mentee) == (mentee, mentor)
    assert skills.assessors(relationship, mentor) == ()
    peers, _ = agreed(roles=(Role.peer, Role.peer), form=Format.peer_pair)
    one, other = who(peers)
    assert (skills.assessors(peers, one), skills.assessors(peers, other)) == ((one, other), (other, one))
    roles = (Role.mentor, Role.mentee, Role.mentee)
    group, _ = agreed(people=[person() for _ in range(3)], roles=roles, form=Format.group)
    leader, first, second = who(group)
    assert skills.assessors(group, first) == (first, leader)
    assert skills.say(group, first, second, {"sailing": 3}, At()) == NOTHING
    circle, _ = agreed(people=[person() for _ in range(3)], roles=(Role.peer,) * 3, form=Format.circle)
    assert skills.assessors(circle, who(circle)[0]) == (who(circle)[0],), "among many each for themselves"


def test_five_skills_are_looked_at_those_of_goals_before_those_wanted():
    assert skills.looked_at(["a", "b", "a"], ["c", "b", "d", "e", "f"]) == ("a", "b", "c", "d", "e")


def test_the_timer_is_no_more_after_an_end():
    play = Play()
    outcome = endings.end(play.relationship, None, EndReason.no_time, Side.mentor, At())
    assert stages.TIMER in cleared(outcome)
    assert stages.TIMER not in armed(outcome)


# ---- the page --------------------------------------------------------------------------------------------------------------


async def test_both_say_how_they_see_it_and_each_sees_the_others_answer_after_their_own(scene):
    pair = await scene.pair()
    await pair.signed()
    assert "No goal names a skill yet" in (await scene.see("skills", pair.id, pair.mentor, 1)).text
    await act(scene, pair, pair.mentee, text="Sail", kind="technical", skills="sailing")
    asked = [await scene.log.wait(pair.id, "CheckInAsked", n) for n in (1, 2)]
    assert {(a.person_id, a.kind, a.stage) for a in asked} == {(p, "skills", "start") for p in (pair.mentee, pair.mentor)}
    assert "skills" in await scene.timers(pair.id)
    about = {"whose": str(pair.mentee)}
    for wrong in (
        {},
        about,
        about | {"skill0": "6 own:sailing"},
        about | {"skill0": "3 cooking"},
        {"whose": "x", "skill0": "3 own:sailing"},
    ):
        assert (await scene.do("skills", pair.id, pair.mentee, 1, **wrong)).status_code == 422
    for _ in range(2):
        page = await scene.do("skills", pair.id, pair.mentee, 1, **about, skill0="2 own:sailing")
    assert "Thank you, it is noted." in page.text
    assert "You: 2 at the start" in page.text
    unseen = (await scene.see("skills", pair.id, pair.mentor, 1)).text
    assert "2 at the start" not in unseen
    page = await scene.do("skills", pair.id, pair.mentor, 1, **about, skill0="4 own:sailing")
    assert "2 at the start" in page.text
    assert "You: 4 at the start" in page.text
    assert "You see this one differently" in page.text
    assert "4 at the start" in (await scene.see("skills", pair.id, pair.mentee, 1)).text
    apart = await scene.log.wait(pair.id, "MisalignmentDetected")
    assert (apart.kind, apart.skill, apart.apart, apart.audience) == ("skill_levels", "own", 2, (scene.owner,))
    assert scene.log.names(pair.id).count("SkillAssessed") == 2
    for someone in (new_id(),):
        assert (await scene.do("skills", pair.id, someone, 1, **about, skill0="4 own:sailing")).status_code == 403
    answer = await scene.http.post(
        scene.url("skills", pair.id, pair.mentee, 0), data=about | {"skill0": "5 own:sailing"}, headers=PAGE
    )
    assert answer.status_code == 303
    assert scene.log.names(pair.id).count("SkillAssessed") == 2


async def test_half_way_it_is_asked_by_the_clock(scene):
    pair = await scene.pair(Format.e_mentoring, quiet_intervals_before_stalled=10, agreement={"months": 4, "every_weeks": 8})
    for someone in (pair.mentor, pair.mentee):
        await scene.do("sign", pair.id, someone, 1)
    await act(scene, pair, pair.mentee, text="Sail", kind="technical", skills="sailing")
    await scene.log.wait(pair.id, "CheckInAsked", 2)
    until = await scene.db.fetchval(
        "select agreed_at + (until - agreed_at) / 2 from scheduling.relationships where id = $1", pair.id
    )
    await scene.clock_past(until)
    assert (await scene.log.wait(pair.id, "CheckInAsked", 3)).stage is Stage.middle
    page = await scene.do("skills", pair.id, pair.mentee, 1, whose=str(pair.mentee), skill0="3 own:sailing")
    assert "You: 3 half way" in page.text
