"""Check-ins and feedback through Kafka, HTTP and PostgreSQL on a clock that tests move."""

import re
from datetime import timedelta

import pytest

from services.scheduling import store
from services.scheduling.domain.check_ins import Answers
from shared.cloudevents import new_id
from shared.events import (
    Format,
    GroupCreated,
    Member,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Policy,
    ProgramChanged,
    Role,
)
from tests.scheduling.conftest import PAGE, Pair, until
from tests.scheduling.test_flow import everything
from tests.scheduling.test_quiet import browser_of, writing

DAY, SPREAD = timedelta(days=1), timedelta(hours=1)
PATIENT = {"quiet_intervals_before_stalled": 10, "agreement": {"months": 12}}


async def asked(scene, pair, kind, count=1):
    """Until so many of this kind were asked; who was, in order."""

    async def there():
        found = [w.event for w in scene.log.of(pair.id) if w.name == "CheckInAsked" and w.event.kind == kind]
        return found if len(found) >= count else []

    found = await until(there)
    assert len(found) >= count, scene.log.names(pair.id)
    return found


async def at_quality(scene, **policy):
    """Two who write to each other, on the day of their first score."""
    pair = await writing(scene, **(PATIENT | policy))
    await step(scene, pair, 30)
    await asked(scene, pair, "quality", 2)
    return pair


async def step(scene, pair, days):
    """Time goes on in one leap. What comes late of it has a moment of its own within the hour, which comes then."""
    there = scene.now + days * DAY
    await scene.clock_past(there)
    at = "select fire_at from scheduling.timers where kind = 'check_in' and owner = $1 and fire_at > $2"
    own = await until(lambda: scene.db.fetchval(at, str(pair.id), there))
    assert own < there + timedelta(hours=1, minutes=1)
    await scene.clock_past(own)


async def test_after_the_first_meeting_each_says_whether_it_fits(scene):
    pair = await scene.pair(**PATIENT)
    first = await pair.scheduled()
    await scene.clock_past(first.starts_at + timedelta(hours=1))
    await scene.do("met", first.meeting_id, pair.mentee, 0, met="yes", minutes="30")
    await scene.log.wait(pair.id, "MeetingHeld")
    assert "Nothing is asked of you now" in (await scene.see("check-in", pair.id, pair.mentee, 1)).text
    typed = await scene.do("check-in", pair.id, pair.mentee, 1, score="x", confidence_1="y")
    assert "Nothing is asked of you now" in typed.text
    await scene.clock_past(first.starts_at + DAY)
    await asked(scene, pair, "fit", 2)
    (confidence,) = await asked(scene, pair, "confidence")
    assert (confidence.person_id, confidence.stage) == (pair.mentee, "start")

    mentees = (await scene.see("check-in", pair.id, pair.mentee, 1)).text
    assert "You have met. Does it fit?" in mentees
    assert "How sure of yourself you are" in mentees
    assert "How sure of yourself you are" not in (await scene.see("check-in", pair.id, pair.mentor, 1)).text
    for wrong in (
        {},
        {"fit": "x"},
        {"confidence_1": "3"},
        {"confidence_1": "9", "confidence_2": "1", "confidence_3": "1"},
        {"score": "3"},
    ):
        answer = await scene.do("check-in", pair.id, pair.mentee, 1, **wrong)
        assert answer.status_code == 422, wrong
    kept = (await scene.do("check-in", pair.id, pair.mentee, 1, fit="good", confidence_1="3")).text
    assert re.search(r'value="good" checked', kept), "what was chosen stays"

    said = {"fit": "unsure"} | {f"{kind}_{n}": str(n + 1) for kind in ("confidence", "belonging") for n in (1, 2, 3)}
    for _ in range(2):
        assert "Thank you, it is noted" in (await scene.do("check-in", pair.id, pair.mentee, 1, **said)).text
    answers = [w.event for w in scene.log.of(pair.id) if w.name == "CheckInAnswered"]
    await scene.log.wait(pair.id, "CheckInAnswered", 3)
    answers = [w.event for w in scene.log.of(pair.id) if w.name == "CheckInAnswered"]
    assert sorted((a.kind, a.revision, a.score, a.audience) for a in answers) == [
        ("belonging", 1, 3, ()),
        ("confidence", 1, 3, ()),
        ("fit", 1, None, ()),
    ]
    assert "Only you see this" in (await scene.see("notes", pair.id, pair.mentee, 1)).text
    assert "Only you see this" not in (await scene.see("notes", pair.id, pair.mentor, 1)).text

    async with browser_of(scene, scene.owner) as browser:
        where = f"/coordinate/pairs/{scene.program}"
        text = (await browser.get(where)).text
        assert "One of them isn’t sure that it fits" in text
        token = text.split('name="token" value="')[1].split('"')[0]
        (fit,) = [a.check_in_id for a in answers if a.kind == "fit"]
        for _ in range(2):
            text = (await browser.post(where, data={"token": token, "do": "doubt", "thing": str(fit)})).text
            assert "isn’t sure that it fits" not in text

    assert "What now?" in (await scene.do("check-in", pair.id, pair.mentor, 1, fit="not_a_fit")).text
    assert (await scene.see("check-in", pair.id, pair.mentee, 1)).text.count("End it kindly") == 0
    await scene.do("check-in", pair.id, pair.mentee, 1, do="end", rematch="yes")
    assert "PairEnded" not in scene.log.names(pair.id), "only whoever said so ends it here"
    for _ in range(2):
        ended = await scene.do("check-in", pair.id, pair.mentor, 1, do="end", rematch="yes")
        assert "nobody is blamed" in ended.text
    over = await scene.log.wait(pair.id, "PairEnded")
    assert (over.reason, over.side) == ("not_a_fit", "mentor")
    assert set(over.rematch_first) == {pair.mentor, pair.mentee}
    assert "check_in" not in await scene.timers(pair.id)


async def test_sides_apart_have_a_point_to_talk_about_until_it_is_settled(scene):
    pair = await at_quality(scene)
    await scene.do("check-in", pair.id, pair.mentee, 1, score="2", empathy="wish", first_goal="technical")
    assert "To talk about" not in (await scene.see("notes", pair.id, pair.mentee, 1)).text
    for _ in range(2):
        await scene.do("check-in", pair.id, pair.mentor, 1, score="5", first_goal="industry")
    detected = [await scene.log.wait(pair.id, "MisalignmentDetected", n) for n in (1, 2)]
    assert sorted(d.kind for d in detected) == ["first_goals", "scores"]
    assert all(d.audience == (scene.owner,) for d in detected)
    for person in (pair.mentor, pair.mentee):
        text = (await scene.see("notes", pair.id, person, 1)).text
        assert text.count("We have talked about it</button>") == 2
    async with browser_of(scene, scene.owner) as browser:
        where = f"/coordinate/pairs/{scene.program}"
        text = (await browser.get(where)).text
        assert "How well it goes, they see differently" in text
        assert "since" in text
    async with browser_of(scene, scene.guest) as browser:
        assert (await browser.get(where)).status_code == 404

    for person in (pair.mentor, pair.mentee):
        text = (await scene.do("notes", pair.id, person, 1, settled="scores")).text
    assert text.count("We have talked about it</button>") == 1
    edit = {
        "every_weeks": "3",
        "minutes": "60",
        "months": "12",
        "confidential": "yes",
        "purpose": "To begin with the field",
    }
    assert (await scene.do("edit", pair.id, pair.mentee, 1, **edit)).status_code == 200
    revised = await scene.log.wait(pair.id, "AgreementRevised")
    assert revised.reason == "misalignment"
    assert "To talk about" not in (await scene.see("notes", pair.id, pair.mentor, 1)).text
    assert scene.log.names(pair.id).count("MisalignmentDetected") == 2


async def test_a_member_says_that_they_see_it_differently_and_isnt_named(scene):
    pair = await at_quality(scene)
    await scene.do("check-in", pair.id, pair.mentor, 1, score="4", differs="yes")
    detected = await scene.log.wait(pair.id, "MisalignmentDetected")
    assert (detected.kind, detected.check_in_ids) == ("said_so", ())
    assert "There may be something that you see differently" in (await scene.see("notes", pair.id, pair.mentee, 1)).text


async def test_after_weeks_of_outage_each_is_asked_once_for_what_still_counts(scene):
    pair = await writing(scene, **PATIENT)
    await step(scene, pair, 160)  # nobody was there for five months
    found = await asked(scene, pair, "quality", 2)
    assert {one.person_id for one in found} == {pair.mentor, pair.mentee}
    assert scene.log.names(pair.id).count("CheckInAsked") == 2, "nothing of what is past"
    answers = "select count(*) from scheduling.check_ins where relationship_id = $1 and number = 3"
    assert await scene.db.fetchval(answers, pair.id) == 2


async def test_in_a_break_nobody_is_asked_and_some_days_after_it_somebody_is(scene):
    pair = await writing(scene, **PATIENT)
    record = {"status": PersonStatus.paused}
    await scene.send(scene.record(PersonPaused, pair.mentee, 2, **record))
    paused = "select members::text like '%\"paused\": true%' or members::text like '%\"paused\":true%' from scheduling.relationships where id = $1"
    assert await until(lambda: scene.db.fetchval(paused, pair.id))
    await step(scene, pair, 32)
    assert await until(lambda: _no_timer(scene, pair))
    assert "CheckInAsked" not in scene.log.names(pair.id)
    await scene.send(scene.record(PersonResumed, pair.mentee, 3, status=PersonStatus.active))

    async def armed():
        return "check_in" in await scene.timers(pair.id)

    assert await until(armed)
    await scene.clock_past(scene.now + 3 * DAY + SPREAD)
    await asked(scene, pair, "quality", 2)


async def _no_timer(scene, pair):
    return "check_in" not in await scene.timers(pair.id)


async def test_where_the_program_asks_nothing_nobody_is_asked_until_it_does_again(scene):
    pair = await writing(scene, **(PATIENT | {"asks": False}))
    await step(scene, pair, 31)
    assert await until(lambda: _no_timer(scene, pair))
    policy = Policy.model_validate(PATIENT)
    more = {"program": scene.program, "organization": scene.owner, "name": "Crossing", "revision": 2}
    await scene.send(ProgramChanged(policy=policy, **more))

    async def armed():
        return "check_in" in await scene.timers(pair.id)

    assert await until(armed)
    await scene.clock_past(scene.now + 3 * DAY + SPREAD)
    await asked(scene, pair, "quality", 2)


async def test_looking_changes_nothing_strangers_see_nothing_and_who_is_erased_leaves_no_answer(scene):
    pair = await at_quality(scene)
    await scene.do("check-in", pair.id, pair.mentee, 1, score="2")
    await scene.log.wait(pair.id, "CheckInAnswered")
    before = await everything(pair)
    for action in ("check-in", "feedback"):
        for method in ("GET", "HEAD"):
            answer = await scene.http.request(method, scene.url(action, pair.id, pair.mentor, 1), headers=PAGE)
            assert answer.status_code == 200
        assert (await scene.see(action, pair.id, new_id(), 1)).status_code == 403
        assert (await scene.do(action, pair.id, new_id(), 1, score="1", do="give", about="us", text="x")).status_code == 403
    assert await everything(pair) == before
    await scene.send(PersonErased(person_id=pair.mentee, revision=9))
    left = "select count(*) from scheduling.check_ins where person_id = $1"
    assert await until(lambda: _is_zero(scene, left, pair.mentee))
    assert await scene.db.fetchval(left, pair.mentor)


async def _is_zero(scene, sql, *values):
    return await scene.db.fetchval(sql, *values) == 0


async def test_answers_of_many_relationships_are_read_at_once(scene):
    pairs = [await at_quality(scene)]
    pair = pairs[0]
    await scene.do("check-in", pair.id, pair.mentee, 1, score="2")
    await scene.log.wait(pair.id, "CheckInAnswered")
    rows = await scene.db.fetch(store.ANSWERS.load.replace("from check_ins", "from scheduling.check_ins"), [pair.id, new_id()])
    (answers,) = store.ANSWERS.read_all(rows)
    assert isinstance(answers, Answers)
    assert (answers.id, answers.scores(pair.mentee), answers.scores(pair.mentor)) == (pair.id, [(1, 2)], [])
    assert answers.unanswered(pair.mentor, scene.now + 100 * DAY) == 1
    async with scene.db.transaction():
        await scene.db.execute("set local enable_seqscan = off; set local search_path = scheduling")
        plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {store.ANSWERS.load}", [pair.id]))
    assert "check_ins_relationship" in plan


# ---- feedback ----------------------------------------------------------------------------------------------------------------


async def test_feedback_is_asked_given_read_and_thanked_for(scene):
    pair = await scene.pair(**PATIENT)
    first = await pair.scheduled()
    await scene.clock_past(first.starts_at + timedelta(hours=1))
    await scene.do("met", first.meeting_id, pair.mentee, 0, met="yes", minutes="30")
    await scene.log.wait(pair.id, "MeetingHeld")
    about = f"meeting {first.meeting_id}"
    for _ in range(2):
        page = await scene.do("feedback", pair.id, pair.mentee, 1, do="ask", about=about)
        assert "You asked your mentor on the meeting of" in page.text
    told = await scene.log.wait(pair.id, "FeedbackAsked")
    assert (told.asked_by, told.person_id, told.meeting_id, told.audience) == (pair.mentee, pair.mentor, first.meeting_id, ())
    page = await scene.see("feedback", pair.id, pair.mentor, 1)
    assert "Your mentee would like to hear something on the meeting of" in page.text
    for wrong in (
        {},
        {"do": "give", "about": about},
        {"do": "give", "about": f"meeting {new_id()}", "text": "x"},
        {"do": "give", "about": "", "text": "x"},
        {"do": "give", "about": about, "text": "x" * 2001},
        {"do": "give", "about": about, "tags": "x"},
        {"do": "read x"},
    ):
        assert (await scene.do("feedback", pair.id, pair.mentor, 1, **wrong)).status_code == 422, wrong
    said = {"do": "give", "about": about, "tags": ["strength", "next_step"], "text": "You listened <b>well</b>."}
    for _ in range(2):
        page = await scene.do("feedback", pair.id, pair.mentor, 1, **said)
        assert "You listened &lt;b&gt;well&lt;/b&gt;." in page.text
    given = await scene.log.wait(pair.id, "FeedbackGiven")
    assert (given.tags, given.asked_for, given.audience) == (("strength", "next_step"), True, ())
    assert all("listened" not in written.body for written in scene.log.of(pair.id))
    assert "You listened" in (await scene.see("notes", pair.id, pair.mentee, 1)).text
    thing = str(given.feedback_id)
    await scene.do("feedback", pair.id, pair.mentor, 1, do=f"thanks {thing}")
    for _ in range(2):
        page = await scene.do("feedback", pair.id, pair.mentee, 1, do=f"thanks {thing}")
        assert "You said thanks." in page.text
    assert "You listened" not in (await scene.see("notes", pair.id, pair.mentee, 1)).text
    assert "Thank you, they say." in (await scene.do("feedback", pair.id, pair.mentor, 1, do=f"away {thing}")).text
    again = await scene.do("feedback", pair.id, pair.mentor, 1, **(said | {"text": "Otherwise"}))
    assert again.status_code == 409
    assert scene.log.names(pair.id).count("FeedbackGiven") == 1


async def test_feedback_is_taken_away_until_it_was_read_and_goes_with_its_writer(scene):
    pair = await writing(scene, **PATIENT)
    await scene.do("feedback", pair.id, pair.mentor, 1, do="give", about="us", text="Too soon")
    given = await scene.log.wait(pair.id, "FeedbackGiven")
    page = await scene.do("feedback", pair.id, pair.mentee, 1, do=f"away {given.feedback_id}")
    assert "Too soon" in page.text, "only who gave it takes it away"
    page = await scene.do("feedback", pair.id, pair.mentor, 1, do=f"away {given.feedback_id}")
    assert "Too soon" not in page.text
    await scene.do("feedback", pair.id, pair.mentor, 1, do="give", about="us", text="Better put")
    assert "Better put" in (await scene.see("feedback", pair.id, pair.mentee, 1)).text
    await scene.send(PersonErased(person_id=pair.mentor, revision=9))
    assert await until(lambda: _is_zero(scene, "select count(*) from scheduling.feedback where relationship_id = $1", pair.id))


@pytest.mark.parametrize("form", [Format.e_mentoring])
async def test_feedback_of_another_pair_is_out_of_reach(scene, form):
    pair = await writing(scene, **PATIENT)
    await scene.do("feedback", pair.id, pair.mentor, 1, do="give", about="us", text="For one alone")
    given = await scene.log.wait(pair.id, "FeedbackGiven")
    other = await writing(scene, **PATIENT)
    answer = await scene.do("feedback", other.id, other.mentee, 1, do=f"read {given.feedback_id}")
    assert answer.status_code == 404


async def test_in_a_group_each_answers_and_feedback_is_for_the_two_alone(scene):
    people = [scene.person("Africa/Lagos") for _ in range(3)]
    mentor, first, second = people
    await scene.launch(**PATIENT)
    await scene.send(*(scene.record(PersonEnrolled, person) for person in people))
    roles = (Role.mentor, Role.mentee, Role.mentee)
    members = tuple(Member(person_id=p, role=r, organization=scene.owner) for p, r in zip(people, roles, strict=True))
    group = new_id()
    created = {"members": members, "score": 1, "format": Format.group}
    await scene.send(GroupCreated(relationship_id=group, program=scene.program, **created))
    await scene.log.wait(group, "AgreementProposed")
    for person in people:
        await scene.do("sign", group, person, 1)
    await scene.log.wait(group, "AgreementSigned", 3)
    pair = Pair(scene, group, mentor, first)
    await step(scene, pair, 30)
    found = await asked(scene, pair, "quality", 3)
    assert {one.person_id for one in found} == set(people)
    assert "working with your group" in (await scene.see("check-in", group, first, 1)).text
    await scene.do("check-in", group, first, 1, score="1")
    await scene.do("check-in", group, mentor, 1, score="5", differs="yes")
    told = await scene.log.wait(group, "MisalignmentDetected")
    assert told.kind == "said_so", "scores of several are not compared"

    assert (await scene.do("feedback", group, mentor, 1, do="give", about="us", text="Well asked")).status_code == 422
    page = await scene.do("feedback", group, mentor, 1, do="give", about="us", text="Well asked", whom=str(first))
    assert "Well asked" in page.text
    await scene.log.wait(group, "FeedbackGiven")
    assert "Well asked" in (await scene.see("feedback", group, first, 1)).text
    for action in ("feedback", "notes"):
        assert "Well asked" not in (await scene.see(action, group, second, 1)).text


async def test_coordinators_lines_are_found_by_indexes(scene):
    async with scene.db.transaction():
        await scene.db.execute("set local enable_seqscan = off; set local search_path = scheduling")
        plans = []
        for sql, index in (
            (f"{store.RELATIONSHIPS.select} where program = $1 and apart <> '[]' and ended_at is null", "relationships_apart"),
            (
                f"{store.CHECK_INS.select} where program = $1 and fit in ('unsure', 'not_a_fit') and seen_at is null order by answered_at",
                "check_ins_doubtful",
            ),
        ):
            plans.append((index, "\n".join(row[0] for row in await scene.db.fetch(f"explain {sql}", scene.program))))
    assert all(index in plan for index, plan in plans), plans
