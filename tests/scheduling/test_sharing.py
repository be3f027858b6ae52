"""What a mentor passes on, letters, introductions: rules, and the way through the pages."""

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduling.domain import endings, introductions, openings
from services.scheduling.domain.introductions import Introduction, introduction_id
from services.scheduling.domain.openings import Opening, OpeningState, ask_id, opening_id
from shared.cloudevents import new_id
from shared.events import EndReason, Format, GroupCreated, Member, OpportunityKind, PersonEnrolled, PersonErased, Role, Side
from tests.conftest import waiting
from tests.scheduling.conftest import PAGE, Pair, until
from tests.scheduling.examples import At, agreed, names, person, took

SECRET = "Quillfeather"


class Knowing(At):
    """A moment at which these are known."""

    def get(self, kind, key):
        return next((one for one in self.planned if type(one) is kind and one.id == key), None)


def knowing(*known, **later):
    return Knowing(At().now + timedelta(**later), list(known))


def ended(relationship, reason):
    return took(endings.end(relationship, None, reason, Side.platform, At()), relationship)[0]


def opening(relationship, kind=OpportunityKind.job, form="1", **more):
    mentor, mentee = relationship.members[:2]
    made = Opening(
        opening_id(relationship.id, mentor.person_id, mentee.person_id, form), relationship.id, "northwind", relationship.program,
        mentor.person_id, mentee.person_id, kind, OpeningState.shared, SECRET, "https://jobs.example/1", None, At().now,
    )  # fmt: skip
    return replace(made, **more)


def introduction(relationship, to=None, **more):
    mentor, mentee = relationship.members[:2]
    made = Introduction(
        introduction_id(relationship.id, mentor.person_id, "1"), relationship.id, "northwind", relationship.program,
        mentor.person_id, mentee.person_id, to.id if to else None, "" if to else "Grace", SECRET, At().now,
    )  # fmt: skip
    return replace(made, **more)


def with_mentor_of(relationship, other):
    """Another relationship of its mentor, with somebody else."""
    mentor, mentee = relationship.members[:2]
    members = (mentor, replace(mentee, person_id=other.id))
    return replace(relationship, id=new_id(), members=members, people=tuple(str(m.person_id) for m in members))


# ---- openings and letters --------------------------------------------------------------------------------------------------


def test_an_opening_is_told_once_with_its_kind_and_no_words():
    relationship, _ = agreed()
    one = opening(relationship)
    outcome = openings.pass_on(relationship, one, knowing())
    (told,) = outcome.events
    assert (told.kind, told.person_id, told.taken_up) == ("job", one.person_id, None)
    assert SECRET not in told.model_dump_json()
    assert openings.pass_on(relationship, one, knowing(one)) == openings.NOTHING
    for state in OpeningState:
        assert openings.pass_on(relationship, one, knowing(replace(one, state=state))) == openings.NOTHING


def test_only_who_leads_passes_on_and_only_to_who_is_led():
    relationship, _ = agreed()
    mentor, mentee = relationship.members
    turned = opening(relationship, shared_by=mentee.person_id, person_id=mentor.person_id)
    for wrong in (turned, opening(relationship, person_id=new_id()), opening(relationship, shared_by=new_id())):
        assert openings.pass_on(relationship, wrong, knowing()).changed == ()


def test_the_mentee_answers_and_may_change_their_mind_and_then_it_is_not_taken_back():
    relationship, _ = agreed()
    one = opening(relationship)
    assert openings.answer(relationship, one, one.shared_by, knowing(), taken_up=True).events == ()
    yes = openings.answer(relationship, one, one.person_id, knowing(), taken_up=True)
    assert [event.taken_up for event in yes.events] == [True]
    (answered,) = yes.changed
    assert openings.answer(relationship, answered, one.person_id, knowing(), taken_up=True).events == ()
    assert openings.take_back(relationship, answered, one.shared_by).changed == ()
    assert [e.taken_up for e in openings.answer(relationship, answered, one.person_id, knowing(), taken_up=False).events] == [
        False
    ]


def test_what_nobody_answered_is_taken_back_by_its_mentor_alone_and_says_nothing_any_more():
    relationship, _ = agreed()
    one = opening(relationship)
    assert openings.take_back(relationship, one, one.person_id).changed == ()
    assert openings.take_back(replace(relationship, id=new_id()), one, one.shared_by).changed == ()
    (gone,) = openings.take_back(relationship, one, one.shared_by).changed
    assert (gone.text, gone.link, gone.state) == ("", "", "taken_back")
    assert openings.answer(relationship, gone, one.person_id, knowing(), taken_up=True).changed == ()


def test_a_letter_is_asked_for_once_and_again_some_time_after_a_not_now():
    relationship, _ = agreed()
    mentor, mentee = relationship.members
    asked = openings.ask_letter(relationship, mentee.person_id, knowing())
    assert (names(asked), asked.events[0].person_id) == (["RecommendationAsked"], mentor.person_id)
    assert asked.events[0].audience == ()
    (ask,) = asked.changed
    assert openings.ask_letter(relationship, mentor.person_id, knowing()).changed == ()
    assert openings.ask_letter(relationship, mentee.person_id, knowing(ask)).changed == ()
    assert openings.decline_letter(relationship, ask, mentee.person_id, knowing()).changed == ()
    (declined,) = openings.decline_letter(relationship, ask, mentor.person_id, knowing()).changed
    assert openings.ask_letter(relationship, mentee.person_id, knowing(declined, days=89)).changed == ()
    assert names(openings.ask_letter(relationship, mentee.person_id, knowing(declined, days=90))) == ["RecommendationAsked"]


def test_a_letter_answers_the_asking_and_its_answer_is_a_thank_you():
    relationship, _ = agreed()
    letter = opening(relationship, OpportunityKind.recommendation, link="")
    (ask,) = openings.ask_letter(relationship, letter.person_id, knowing()).changed
    given = openings.pass_on(relationship, letter, knowing(ask))
    assert (given.changed, given.removed, given.events[0].kind) == ((letter,), (ask,), "recommendation")
    assert openings.answer(relationship, letter, letter.person_id, knowing(), taken_up=False).changed == ()
    assert openings.answer(relationship, letter, letter.person_id, knowing(), taken_up=True).events[0].taken_up is True


@pytest.mark.parametrize(("reason", "still"), [(EndReason.completed, True), (EndReason.no_time, False)])
def test_when_it_is_over_nothing_is_passed_on_but_a_letter_where_they_went_the_whole_way(reason, still):
    relationship = ended(agreed(form=Format.e_mentoring)[0], reason)
    letter = opening(relationship, OpportunityKind.recommendation)
    assert openings.pass_on(relationship, opening(relationship), knowing()).changed == ()
    assert bool(openings.pass_on(relationship, letter, knowing()).changed) is still
    assert bool(openings.ask_letter(relationship, letter.person_id, knowing()).changed) is still


def test_an_erased_one_leaves_no_words_and_nothing_waits_for_them():
    relationship, _ = agreed()
    one = opening(relationship)
    assert openings.forget(one).changed[0].state is OpeningState.taken_back
    (kept,) = openings.forget(replace(one, state=OpeningState.taken_up)).changed
    assert (kept.text, kept.link, kept.state) == ("", "", "taken_up")
    assert openings.forget(kept).changed == ()
    (ask,) = openings.ask_letter(relationship, one.person_id, knowing()).changed
    assert openings.forget(ask).removed == (ask,)


# ---- introductions ---------------------------------------------------------------------------------------------------------


def test_it_takes_the_yes_of_both_and_who_said_not_now_is_told_to_nobody():
    relationship, _ = agreed()
    grace = person()
    one = introduction(relationship, grace)
    there = with_mentor_of(relationship, grace)
    made = introductions.make(relationship, one, knowing(grace, there), [there.id])
    assert [(e.person_id, e.to_person_id, e.accepted) for e in made.events] == [(one.person_id, grace.id, None)]
    assert SECRET not in made.events[0].model_dump_json()
    half = introductions.answer(relationship, one, grace.id, knowing(), yes=True)
    assert half.events == ()
    (known,) = half.changed
    assert introductions.answer(relationship, known, grace.id, knowing(), yes=False).changed == ()
    whole = introductions.answer(relationship, known, one.person_id, knowing(), yes=True)
    assert [e.accepted for e in whole.events] == [True]
    for declined in (one, known):
        (told,) = introductions.answer(relationship, declined, one.person_id, knowing(), yes=False).events
        assert told.accepted is False
    (over,) = whole.changed
    assert introductions.answer(relationship, over, one.person_id, knowing(), yes=False).changed == ()


def test_who_is_named_from_outside_is_not_asked_and_the_mentee_is():
    relationship, _ = agreed()
    one = introduction(relationship)
    assert names(introductions.make(relationship, one, knowing())) == ["IntroductionMade"]
    assert [e.accepted for e in introductions.answer(relationship, one, one.person_id, knowing(), yes=True).events] == [True]


def test_nobody_is_introduced_to_someone_who_left_or_is_there_already_nor_by_who_does_not_lead():
    relationship, _ = agreed()
    mentor, mentee = relationship.members
    grace = person()
    gone = [replace(grace, erased=True), replace(grace, withdrawn_from=(relationship.program,))]
    there = with_mentor_of(relationship, grace)
    to_grace = introduction(relationship, grace)
    for to in gone:
        assert introductions.make(relationship, to_grace, knowing(to, there), [there.id]).changed == ()
    assert introductions.make(relationship, to_grace, knowing(there), [there.id]).changed == ()
    for elsewhere in (
        replace(there, members=there.members[1:]),
        replace(there, members=there.members[:1]),
        ended(there, EndReason.silent),
    ):
        assert introductions.make(relationship, to_grace, knowing(grace, elsewhere), [there.id]).changed == ()
    assert introductions.make(relationship, to_grace, knowing(grace), [there.id]).changed == ()
    member = replace(person(), id=mentor.person_id)
    assert introductions.make(relationship, introduction(relationship, member), knowing(member, there), [there.id]).changed == ()
    turned = introduction(relationship, introduced_by=mentee.person_id)
    assert introductions.make(relationship, turned, knowing()).changed == ()
    over = ended(agreed(form=Format.e_mentoring)[0], EndReason.completed)
    assert introductions.make(over, introduction(over), knowing()).changed == ()
    assert introductions.answer(over, introduction(over), introduction(over).person_id, knowing(), yes=True).changed == ()


def test_an_introduction_is_taken_back_while_nobody_answered_and_forgotten_with_any_of_the_three():
    relationship, _ = agreed()
    grace = person()
    one = introduction(relationship, grace)
    assert introductions.take_back(one, one.person_id, knowing()).changed == ()
    assert introductions.take_back(replace(one, yes=(str(grace.id),)), one.introduced_by, knowing()).changed == ()
    (back,) = introductions.take_back(one, one.introduced_by, knowing()).changed
    (gone,) = introductions.forget(one, knowing()).changed
    for over in (back, gone):
        assert (over.text, over.to_name, over.accepted) == ("", "", None)
        assert introductions.answer(relationship, over, grace.id, knowing(), yes=True).changed == ()


# ---- through the pages -----------------------------------------------------------------------------------------------------


async def with_another(scene, **policy):
    """Two pairs of one mentor, signed."""
    first = await scene.pair(agreement={"every_weeks": 4, "minutes": 30, "months": 6}, **policy)
    mentee = scene.person("Europe/Lisbon")
    await scene.send(scene.record(PersonEnrolled, mentee))
    match = scene.match(first.mentor, mentee)
    await scene.send(match)
    await scene.log.wait(match.relationship_id, "AgreementProposed")
    second = Pair(scene, match.relationship_id, first.mentor, mentee)
    for pair in (first, second):
        await pair.signed()
    return first, second


def job(**more):
    return {
        "do": "pass_on",
        "form": "f1",
        "to": "all",
        "kind": "job",
        "text": f"A job at {SECRET}",
        "site": "",
        "last_on": "",
    } | more


def shared_in(scene, pair):
    return [w.event for w in scene.log.of(pair.id) if w.name == "OpportunityShared"]


async def test_an_opening_goes_to_all_mentees_and_each_answers_for_themselves(scene):
    first, second = await with_another(scene)
    page = await scene.see("share", first.id, first.mentor, 1)
    assert "All my mentees in Crossing (2)" in page.text
    for wrong in (
        {"kind": "x"}, {"kind": "recommendation"}, {"text": " "}, {"text": "x" * 1001}, {"site": "http://x.example"}, {"to": "x"},
        {"site": "https://me:you@x.example"}, {"last_on": "2020-01-01"}, {"last_on": "soon"}, {"do": "dance"}, {"to": str(first.mentor)},
    ):  # fmt: skip
        answer = await scene.do("share", first.id, first.mentor, 1, **job(**wrong))
        assert answer.status_code == 422, wrong
        assert {"text", "do"} & wrong.keys() or SECRET in answer.text
    for _ in range(2):
        page = await scene.do("share", first.id, first.mentor, 1, **job(site="https://jobs.example/1"))
        assert "No answer yet" in page.text
    for pair in (first, second):
        told = await scene.log.wait(pair.id, "OpportunityShared")
        assert (told.person_id, told.kind, told.taken_up) == (pair.mentee, "job", None)
        page = await scene.see("share", pair.id, pair.mentee, 1)
        assert SECRET in page.text
        assert 'href="https://jobs.example/1"' in page.text
    thing = str((await scene.log.wait(first.id, "OpportunityShared")).opportunity_id)
    await scene.do("share", second.id, second.mentee, 1, taken=thing)  # of another relationship
    for _ in range(2):
        page = await scene.do("share", first.id, first.mentee, 1, taken=thing)
        assert "You are taking it up" in page.text
    assert (await scene.log.wait(first.id, "OpportunityShared", 2)).taken_up is True
    assert "They are taking it up" in (await scene.see("share", first.id, first.mentor, 1)).text
    assert "They are taking it up" not in (await scene.see("share", second.id, first.mentor, 1)).text
    assert [len(shared_in(scene, pair)) for pair in (first, second)] == [2, 1]
    assert all(SECRET not in written.body for pair in (first, second) for written in scene.log.of(pair.id))
    for stranger in (second.mentee, new_id()):
        assert (await scene.see("share", first.id, stranger, 1)).status_code == 403
        assert (await scene.do("share", first.id, stranger, 1, taken=thing)).status_code == 403
    before = await scene.db.fetch("select * from scheduling.openings order by id")
    for method in ("GET", "HEAD"):
        assert (await scene.http.request(method, scene.url("share", first.id, first.mentee, 1), headers=PAGE)).status_code == 200
    assert before == await scene.db.fetch("select * from scheduling.openings order by id")

    await scene.send(PersonErased(person_id=first.mentor, revision=9))
    gone = "select bool_and(text = '' and link = '') from scheduling.openings where shared_by = $1"
    assert await until(lambda: scene.db.fetchval(gone, first.mentor))
    assert (await scene.do("share", second.id, first.mentor, 1, **job())).status_code == 404


async def test_what_stopped_between_two_mentees_is_completed_by_the_same_form_and_nothing_doubles(scene):
    first, second = await with_another(scene)
    transaction = scene.db.transaction()
    await transaction.start()  # who holds the second relationship's row keeps its part from being done, as a crash there does
    await scene.db.execute("select 1 from scheduling.relationships where id = $1 for update", second.id)
    try:
        stopped = (await scene.do("share", first.id, first.mentor, 1, **job())).status_code
    finally:
        await transaction.rollback()
    assert stopped == 503
    await scene.log.wait(first.id, "OpportunityShared")
    assert shared_in(scene, second) == []
    page = await scene.do("share", first.id, first.mentor, 1, **job())
    assert page.status_code == 200
    await scene.log.wait(second.id, "OpportunityShared")
    await scene.do("share", second.id, first.mentor, 1, **job())
    assert [len(shared_in(scene, pair)) for pair in (first, second)] == [1, 1]


@asynccontextmanager
async def all_waiting(scene, pair, *clicks):
    """These clicks have seen the page and wait for the relationship's row; then what is done meanwhile; then they decide."""

    async def all_wait():
        return await waiting(scene.db) == len(tasks)

    transaction = scene.db.transaction()
    await transaction.start()
    try:
        await scene.db.execute("select from scheduling.relationships where id = $1 for update", pair.id)
        tasks = [asyncio.create_task(click) for click in clicks]
        assert await until(all_wait)
        yield tasks
    finally:
        await transaction.rollback()
    await asyncio.gather(*tasks)


FILLED = """
insert into scheduling.openings select gen_random_uuid(), id, organization, program, $2, $3, 'job', 'shared', 'A job', '', null, now()
from scheduling.relationships, generate_series(1, $4) where id = $1
"""
KEPT = "select count(*) from scheduling.openings where relationship_id = $1"


async def test_two_forms_at_once_pass_on_no_more_than_a_relationship_keeps(scene):
    first, _ = await with_another(scene)
    await scene.db.execute(FILLED, first.id, first.mentor, first.mentee, openings.MOST - 1)
    forms = [scene.do("share", first.id, first.mentor, 1, **job(to=str(first.mentee), form=form)) for form in "ab"]
    async with all_waiting(scene, first, *forms) as told:
        pass
    assert sorted(one.result().status_code for one in told) == [200, 409]
    assert await scene.db.fetchval(KEPT, first.id) == openings.MOST
    (passed_on,) = [form for form, one in zip("ab", told, strict=True) if one.result().status_code == 200]
    again = await scene.do("share", first.id, first.mentor, 1, **job(to=str(first.mentee), form=passed_on))
    assert again.status_code == 200, "the same form once more passes nothing on"


async def test_what_is_passed_on_to_all_says_with_whom_there_is_no_room(scene):
    first, second = await with_another(scene)
    await scene.db.execute(FILLED, second.id, second.mentor, second.mentee, openings.MOST)
    page = await scene.do("share", first.id, first.mentor, 1, **job(to="all", form="a"))
    assert "It is passed on, but not to one of your other mentees" in page.text
    assert [await scene.db.fetchval(KEPT, pair.id) for pair in (first, second)] == [1, openings.MOST]


async def test_whom_a_mentor_has_ceased_to_meet_by_then_they_introduce_nobody_to(scene):
    first, second = await with_another(scene)
    form = {"do": "introduce", "form": "f", "to": str(first.mentee), "whom": str(second.mentee), "text": f"Both like {SECRET}."}
    async with all_waiting(scene, first, scene.do("share", first.id, first.mentor, 1, **form)) as (told,):
        await scene.do("end", second.id, second.mentee, 1, reason="no_time")
        await scene.log.wait(second.id, "PairEnded")
    assert told.result().status_code == 200
    assert not await scene.db.fetchval("select count(*) from scheduling.introductions where relationship_id = $1", first.id)


async def test_in_a_group_each_gets_their_own_and_sees_no_others(scene):
    mentor, *mentees = [scene.person("Africa/Lagos") for _ in range(3)]
    await scene.launch()
    await scene.send(*(scene.record(PersonEnrolled, one) for one in (mentor, *mentees)))
    roles = ((mentor, Role.mentor), *((one, Role.mentee) for one in mentees))
    members = tuple(Member(person_id=one, role=role, organization=scene.owner) for one, role in roles)
    group = GroupCreated(relationship_id=new_id(), program=scene.program, members=members, score=1, format=Format.group)
    await scene.send(group)
    await scene.log.wait(group.relationship_id, "AgreementProposed")
    one, other = mentees
    await scene.do("share", group.relationship_id, mentor, 1, **job(to=str(one), text=f"One {SECRET}"))
    await scene.do("share", group.relationship_id, mentor, 1, **job(form="f2", text=f"All {SECRET}"))
    await scene.log.wait(group.relationship_id, "OpportunityShared", 3)
    told = [w.event.person_id for w in scene.log.of(group.relationship_id) if w.name == "OpportunityShared"]
    assert (told[0], set(told[1:])) == (one, {one, other})
    pages = [(await scene.see("share", group.relationship_id, mentee, 1)).text for mentee in mentees]
    assert [page.count(f"One {SECRET}</div>") for page in pages] == [1, 0]
    assert [page.count(f"All {SECRET}</div>") for page in pages] == [1, 1]
    theirs = next(w.event for w in scene.log.of(group.relationship_id) if w.name == "OpportunityShared")
    await scene.do("share", group.relationship_id, other, 1, taken=str(theirs.opportunity_id))
    assert "They are taking it up" not in (await scene.see("share", group.relationship_id, mentor, 1)).text


async def test_a_letter_is_asked_for_written_kept_and_taken_back_only_before_the_thanks(scene):
    pair = await scene.pair(agreement={"every_weeks": 4, "minutes": 30, "months": 6})
    await pair.signed()
    for _ in range(2):
        page = await scene.do("share", pair.id, pair.mentee, 1, do="ask")
        assert "You have asked for one." in page.text
    assert (await scene.log.wait(pair.id, "RecommendationAsked")).person_id == pair.mentor
    assert scene.log.names(pair.id).count("RecommendationAsked") == 1
    assert "asks you for a letter" in (await scene.see("share", pair.id, pair.mentor, 1)).text
    letter = {"do": "letter", "form": "f", "to": str(pair.mentee), "text": f"She is {SECRET} at it."}
    assert (await scene.do("share", pair.id, pair.mentor, 1, **(letter | {"text": "x" * 3001}))).status_code == 422
    assert (await scene.do("share", pair.id, pair.mentee, 1, **(letter | {"to": str(pair.mentor)}))).status_code == 422
    for _ in range(2):
        page = await scene.do("share", pair.id, pair.mentor, 1, **letter)
    assert "asks you for a letter" not in page.text
    told = await scene.log.wait(pair.id, "OpportunityShared")
    assert (told.kind, told.person_id) == ("recommendation", pair.mentee)
    kept = scene.url("share", pair.id, pair.mentee, 1) + f"&letter={told.opportunity_id}"
    text = await scene.http.get(kept)
    assert text.headers["content-disposition"].startswith("attachment")
    assert "Letter of recommendation for Nobody Knows\n\nShe is" in text.text
    assert (await scene.http.get(scene.url("share", pair.id, pair.mentee, 1) + f"&letter={new_id()}")).status_code == 404
    assert (await scene.http.get(scene.url("share", pair.id, new_id(), 1) + f"&letter={told.opportunity_id}")).status_code == 403
    page = await scene.do("share", pair.id, pair.mentee, 1, taken=str(told.opportunity_id))
    assert (await scene.log.wait(pair.id, "OpportunityShared", 2)).taken_up is True
    page = await scene.do("share", pair.id, pair.mentor, 1, back=str(told.opportunity_id))
    assert "They say thank you" in page.text
    await scene.do("share", pair.id, pair.mentor, 1, **(letter | {"form": "g", "text": "Another"}))
    again = await scene.log.wait(pair.id, "OpportunityShared", 3)
    page = await scene.do("share", pair.id, pair.mentor, 1, back=str(again.opportunity_id))
    assert "Another" not in page.text
    await scene.do("share", pair.id, pair.mentor, 1, **(letter | {"form": "g", "text": "Another"}))
    assert len(shared_in(scene, pair)) == 3
    assert await scene.db.fetchval("select count(*) from scheduling.openings where id = $1", ask_id(pair.id, pair.mentee)) == 0


async def test_an_introduction_takes_both_yeses_and_a_stranger_cannot_answer_it(scene):
    first, second = await with_another(scene)
    third = scene.person("Europe/Lisbon")
    form = {"do": "introduce", "form": "f", "to": str(first.mentee), "whom": str(second.mentee), "text": f"Both like {SECRET}."}
    for wrong in (
        {"whom": str(third)},
        {"whom": "outside"},
        {"text": ""},
        {"to": str(second.mentee)},
        {"whom": str(first.mentee)},
        {"whom": str(third), "taken": str(new_id())},
    ):
        assert (await scene.do("share", first.id, first.mentor, 1, **(form | wrong))).status_code == 422, wrong
    for _ in range(2):
        page = await scene.do("share", first.id, first.mentor, 1, **form)
        assert "Waiting for an answer" in page.text
    made = await scene.log.wait(first.id, "IntroductionMade")
    assert (made.person_id, made.to_person_id, made.accepted) == (first.mentee, second.mentee, None)
    for stranger in (third, new_id()):
        assert (await scene.see("introduced", made.introduction_id, stranger, 1)).status_code == 403
        assert (await scene.do("introduced", made.introduction_id, stranger, 1, meet="yes")).status_code == 403
    assert (await scene.see("introduced", new_id(), first.mentee, 1)).status_code == 404
    for one in (first.mentee, second.mentee):
        page = await scene.see("introduced", made.introduction_id, one, 1)
        assert SECRET in page.text
        assert (await scene.do("introduced", made.introduction_id, one, 1, meet="perhaps")).status_code == 422
    assert "They have been asked" in (await scene.do("introduced", made.introduction_id, first.mentor, 1, meet="yes")).text
    for _ in range(2):
        page = await scene.do("introduced", made.introduction_id, second.mentee, 1, meet="yes")
        assert "You said yes" in page.text
    assert scene.log.names(first.id).count("IntroductionMade") == 1
    page = await scene.do("introduced", made.introduction_id, first.mentee, 1, meet="yes")
    assert "know each other now" in page.text
    assert (await scene.log.wait(first.id, "IntroductionMade", 2)).accepted is True
    assert "know each other now" in (await scene.do("introduced", made.introduction_id, second.mentee, 1, meet="no")).text
    assert scene.log.names(first.id).count("IntroductionMade") == 2
    assert all(SECRET not in written.body for written in scene.log.of(first.id))

    outside = form | {"form": "o", "whom": "outside", "name": f" Grace  {SECRET}\u202e "}
    await scene.do("share", first.id, first.mentor, 1, **outside)
    other = await scene.log.wait(first.id, "IntroductionMade", 3)
    page = await scene.see("introduced", other.introduction_id, first.mentee, 1)
    assert re.search(f"meet Grace {SECRET}\\?", page.text)
    page = await scene.do("introduced", other.introduction_id, first.mentee, 1, meet="no")
    assert "isn’t open any more" in page.text
    assert "Not now" in (await scene.see("share", first.id, first.mentor, 1)).text


@pytest.mark.parametrize("who", ["mentor", "mentee", "third"])
async def test_with_any_of_the_three_erased_an_introduction_is_over_and_says_nothing(scene, who):
    first, second = await with_another(scene)
    form = {"do": "introduce", "form": "f", "to": str(first.mentee), "whom": str(second.mentee), "text": f"Both like {SECRET}."}
    await scene.do("share", first.id, first.mentor, 1, **form)
    made = await scene.log.wait(first.id, "IntroductionMade")
    erased = {"mentor": first.mentor, "mentee": first.mentee, "third": second.mentee}[who]
    await scene.send(PersonErased(person_id=erased, revision=9))
    gone = "select text = '' and over_at is not null from scheduling.introductions where id = $1"
    assert await until(lambda: scene.db.fetchval(gone, made.introduction_id))
    for one in {first.mentee, second.mentee} - {erased}:
        page = await scene.do("introduced", made.introduction_id, one, 1, meet="yes")
        assert "isn’t open any more" in page.text
    assert (await scene.do("introduced", made.introduction_id, erased, 1, meet="yes")).status_code == 404
    assert scene.log.names(first.id).count("IntroductionMade") == 1
