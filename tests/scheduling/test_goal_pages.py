"""The way through the page of goals, from a sentence to the day on which both sides say that one is reached; and what the store keeps."""

import re

from services.scheduling import store
from shared.cloudevents import new_id
from shared.events import Format, GroupCreated, Member, MemberLeft, PersonEnrolled, PersonErased, Profile, Role, Term
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.test_flow import everything
from tests.scheduling.test_goals import DAY, TALK


async def act(scene, pair, person, goal=None, **form):
    """POST to the page of all goals, or of one, and the page it leads to."""
    url = scene.url("goals", pair.id, person, 1) + (f"&goal={goal}" if goal else "")
    answer = await scene.http.post(url, data=form, headers=PAGE)
    return (
        await scene.http.get(answer.url.join(answer.headers["location"]), headers=PAGE) if answer.status_code == 303 else answer
    )


async def test_a_goal_goes_its_way_from_a_sentence_over_steps_to_the_day_both_say_it_is_reached(scene):
    pair = await scene.pair(milestones=[TALK])
    await pair.signed()
    sharp = {"text": "Sail <b>alone</b>", "kind": "technical", "measure": "Across the bay", "why": "Calm", "skills": "Sailing"}
    for _ in range(2):
        page = await act(scene, pair, pair.mentee, form="1", **sharp)
        assert page.text.count("Sail &lt;b&gt;alone&lt;/b&gt;") == 1
    was_set = await scene.log.wait(pair.id, "GoalSet")
    assert was_set.skills == ("own",), "what is typed is in no event"
    goal = was_set.goal_id
    step = {"do": "step", "form": "2", "kind": "reading", "text": "Read of knots", "url": "https://knots.example/ten"}
    for _ in range(2):
        page = await act(scene, pair, pair.mentor, goal, **step, due_on=str((scene.now + 9 * DAY).date()))
        assert page.text.count("Read of knots</div>") == 1
    assert 'href="https://knots.example/ten"' in page.text
    assert "Across the bay" in page.text
    assert (await scene.log.wait(pair.id, "GoalSet", 2)).steps == 1
    assert "follow_ups" in await scene.timers(pair.id)
    notes = await scene.see("notes", pair.id, pair.mentee, 1)
    assert "Next: Read of knots" in notes.text
    of_step = re.search(r'name="done" value="([^"]+)"', page.text)[1]
    for _ in range(2):
        page = await act(scene, pair, pair.mentee, goal, done=of_step)
        assert "1 of 1 done" in page.text
    progressed = await scene.log.wait(pair.id, "GoalProgressed")
    assert (progressed.steps_done, progressed.said_by) == (1, pair.mentee)
    assert "follow_ups" not in await scene.timers(pair.id)

    page = await act(scene, pair, pair.mentee, goal, do="reached")
    assert "You said that it is reached" in page.text
    asked = await scene.log.wait(pair.id, "AttainmentAsked")
    assert asked.people == (pair.mentor,)
    assert "Is it reached?" in (await scene.see("goals", pair.id, pair.mentor, 1)).text
    page = await act(scene, pair, pair.mentor, goal, do="not_yet")
    assert "Talk about what is missing" in (await act(scene, pair, pair.mentee, goal, do="reached")).text
    for _ in range(2):
        page = await act(scene, pair, pair.mentor, goal, do="reached")
        assert "Reached on" in page.text
    await scene.log.wait(pair.id, "GoalAttained")
    for _ in range(2):
        page = await act(scene, pair, pair.mentor, do="milestone", own="first-talk")
    assert "★ <strong>A first talk given</strong>" in page.text
    await scene.log.wait(pair.id, "MilestoneReached", 4)
    reached = [w.event.own or w.event.milestone.value for w in scene.log.of(pair.id) if w.name == "MilestoneReached"]
    assert reached == ["goals_set", "first_step_done", "first_goal_attained", "first-talk"]
    counted = [scene.log.names(pair.id).count(n) for n in ("GoalSet", "GoalProgressed", "AttainmentAsked", "GoalAttained")]
    assert counted == [2, 1, 1, 1]
    told = " ".join(w.body for w in scene.log.of(pair.id))
    assert not [word for word in ("alone", "bay", "Calm", "knots", "Nobody Knows") if word in told]
    kept = await scene.db.fetchrow("select milestones, reached from scheduling.relationships where id = $1", pair.id)
    assert len(kept["milestones"]) == 4
    assert kept["reached"].count('"at"') == 4


async def test_looking_at_goals_and_skills_changes_nothing_and_what_is_wrong_is_kept_to_be_mended(scene):
    pair = await scene.pair()
    await pair.signed()
    await act(scene, pair, pair.mentee, text="Sail", kind="technical", skills="sailing")
    goal = (await scene.log.wait(pair.id, "GoalSet")).goal_id
    await scene.log.wait(pair.id, "CheckInAsked", 2)
    before = await everything(pair)
    for action in ("goals", "skills"):
        for someone in (pair.mentor, pair.mentee):
            for more in ("", f"&goal={goal}", f"&goal={new_id()}"):
                for method in ("GET", "HEAD"):
                    answer = await scene.http.request(method, scene.url(action, pair.id, someone, 1) + more, headers=PAGE)
                    assert answer.status_code == 200
    wrong = await act(scene, pair, pair.mentee, text="Keep these words", kind="")
    assert (wrong.status_code, "Keep these words" in wrong.text) == (422, True)
    wrong = await act(scene, pair, pair.mentor, goal, do="step", kind="practice", text="And these", url="ftp://x")
    assert (wrong.status_code, "And these" in wrong.text, "ftp://x" in wrong.text) == (422, True, True)
    assert (await act(scene, pair, new_id(), goal, do="reached")).status_code == 403
    assert (await act(scene, pair, pair.mentor, goal, do="drop")).status_code == 200, (
        "the mentor gives up nothing of the mentee's"
    )
    assert await everything(pair) == before
    stale = await scene.http.post(
        scene.url("goals", pair.id, pair.mentee, 0) + f"&goal={goal}", data={"do": "drop"}, headers=PAGE
    )
    assert stale.status_code == 303
    assert await everything(pair) == before


async def test_on_the_day_before_a_step_is_due_its_owner_is_reminded(scene):
    pair = await scene.pair(Format.e_mentoring, agreement={"every_weeks": 8})
    for someone in (pair.mentor, pair.mentee):
        await scene.do("sign", pair.id, someone, 1)
    await act(scene, pair, pair.mentee, text="Sail", kind="technical")
    goal = (await scene.log.wait(pair.id, "GoalSet")).goal_id
    day = (scene.now + 4 * DAY).date()
    await act(scene, pair, pair.mentor, goal, do="step", kind="practice", text="Knots", due_on=str(day))
    at = await scene.db.fetchval("select fire_at from scheduling.timers where kind = 'follow_ups' and owner = $1", str(pair.id))
    await scene.clock_past(at)
    due = await scene.log.wait(pair.id, "FollowUpsDue")
    assert (due.due_on, due.people) == (day, (pair.mentee,))


async def test_a_short_one_whose_goal_is_reached_leads_to_its_end(scene):
    pair = await scene.pair(term=Term.short)
    await pair.signed()
    await act(scene, pair, pair.mentee, text="Sail", kind="technical")
    goal = (await scene.log.wait(pair.id, "GoalSet")).goal_id
    assert "/reached/" not in (await scene.see("goals", pair.id, pair.mentee, 1)).text
    for someone in (pair.mentee, pair.mentor):
        await act(scene, pair, someone, goal, do="reached")
    text = (await scene.see("goals", pair.id, pair.mentee, 1)).text
    assert "Everything that you set out to do is reached" in text
    assert f"/reached/{pair.id}" in text
    await scene.do("reached", pair.id, pair.mentee, 1)
    page = await act(scene, pair, pair.mentee, text="One more", kind="technical")
    assert "This ended on" in page.text
    assert scene.log.names(pair.id).count("GoalSet") == 1


async def test_what_someone_wanted_to_learn_can_be_ticked(scene):
    pair = await scene.pair()
    wants = Profile(time_zone="America/Sao_Paulo", skills_wanted=("public-speaking",))
    await scene.send(scene.record(PersonEnrolled, pair.mentee, 2, profile=wants))
    known = "select wanted = array['public-speaking'] from scheduling.people where id = $1"
    assert await until(lambda: scene.db.fetchval(known, pair.mentee))
    assert 'value="public-speaking"' in (await scene.see("goals", pair.id, pair.mentee, 1)).text
    await act(scene, pair, pair.mentee, text="Talk", kind="technical", skill="public-speaking")
    assert (await scene.log.wait(pair.id, "GoalSet")).skills == ("public-speaking",)


async def test_erased_a_writer_leaves_no_word_in_goals_and_steps(scene):
    pair = await scene.pair()
    await pair.signed()
    await act(scene, pair, pair.mentee, text="Sail", kind="technical", measure="Bay", skills="sailing")
    goal = (await scene.log.wait(pair.id, "GoalSet")).goal_id
    await act(scene, pair, pair.mentor, goal, do="step", kind="practice", text="Knots", url="https://knots.example/")
    await scene.do("skills", pair.id, pair.mentor, 1, whose=str(pair.mentee), skill0="3 own:sailing")
    await scene.log.wait(pair.id, "SkillAssessed")
    await scene.send(PersonErased(person_id=pair.mentor, revision=9))
    gone = "select text = 'Sail' and steps::text not like '%Knots%' and steps::text not like '%https%' from scheduling.goals where id = $1"
    assert await until(lambda: scene.db.fetchval(gone, goal))
    by_mentor = "select count(*) from scheduling.assessments where assessed_by = $1"
    assert not await scene.db.fetchval(by_mentor, pair.mentor)
    await scene.send(PersonErased(person_id=pair.mentee, revision=9))
    gone = "select text = '' and measure = '' and skills = '{}' from scheduling.goals where id = $1"
    assert await until(lambda: scene.db.fetchval(gone, goal))
    assert await until(
        lambda: scene.db.fetchval("select not exists(select from scheduling.assessments where relationship_id = $1)", pair.id)
    )
    assert (await act(scene, pair, pair.mentee, text="Again", kind="technical")).status_code == 404


async def test_a_group_has_a_goal_for_all_and_who_leaves_it_is_not_waited_for(scene):
    everyone = [scene.person("Africa/Lagos") for _ in range(3)]
    await scene.launch()
    await scene.send(*(scene.record(PersonEnrolled, someone, role=Role.peer) for someone in everyone))
    members = tuple(Member(person_id=p, role=Role.peer, organization=scene.owner) for p in everyone)
    group = new_id()
    await scene.send(GroupCreated(relationship_id=group, program=scene.program, members=members, score=1, format=Format.circle))
    await scene.log.wait(group, "AgreementProposed")

    class Circle:
        id = group

    first, second, third = everyone
    page = await act(scene, Circle, first, text="Run a marathon", kind="other", whose="group")
    assert "For all of you" in page.text
    was_set = await scene.log.wait(group, "GoalSet")
    assert was_set.person_id is None
    assert "Run a marathon" in (await scene.see("goals", group, third, 1)).text
    for someone in (first, second):
        await act(scene, Circle, someone, was_set.goal_id, do="reached")
    assert set((await scene.log.wait(group, "AttainmentAsked")).people) == {second, third}
    await scene.send(MemberLeft(relationship_id=group, program=scene.program, member=members[2], reason="removed"))
    await scene.log.wait(group, "GoalAttained")


async def test_what_is_looked_up_has_its_index(scene):
    async with scene.service.database.transaction() as connection:
        await connection.execute("set local enable_seqscan = off")
        for sql, indexes in (
            (store.GOALS_OF_PERSON.sql, ("goals_person", "goals_writers")),
            (store.GOALS_OF_RELATIONSHIP.sql, ("goals_relationship",)),
            (store.ASSESSMENTS_OF_PERSON.sql, ("assessments_person", "assessments_assessed_by")),
            (store.ASSESSMENTS_OF_OWNER.sql, ("assessments_relationship",)),
            (store.WRITTEN.load, ("entries_relationship", "goals_relationship")),
        ):
            plan = "\n".join(row[0] for row in await connection.fetch(f"explain {sql}", [new_id()]))
            assert all(index in plan for index in indexes), plan
            assert "Seq Scan" not in plan, plan
