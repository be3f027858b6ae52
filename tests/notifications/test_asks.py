"""Questions to a person go together and seldom: the rule as plain functions, and one flow through Kafka, PostgreSQL and SMTP."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.notifications.asks import ASK, Question, Questions, ask, distinct
from services.notifications.channels import TAKEN, Handed
from services.notifications.domain import Channel, Delivery, State
from services.notifications.fates import Mail, noted, tried
from shared.cloudevents import new_id
from shared.events import (
    CheckInAnswered,
    CheckInAsked,
    Failure,
    Member,
    MemberAsked,
    PairCreated,
    PairStalled,
    PairWarned,
    Role,
    StallReason,
)
from shared.timers import DueTimer
from tests.notifications.test_rules import ADA, NOW, PAIR, PROGRAM, Circumstances

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUIET = replace(PAIR, quiet=True)


def question(template, *, ago=HOUR, about=QUIET, **data):
    return Delivery(
        id=new_id(),
        organization="northwind",
        audience=("northwind",),
        person_id=ADA.id,
        program=PROGRAM,
        template=template,
        channel=Channel.mail,
        fact_id=new_id(),
        fact_type="ithaca.Fact",
        relationship_id=about.id,
        meeting_id=None,
        data=data,
        state=State.to_ask,
        attempts=0,
        created_at=NOW - ago,
        due_at=NOW - ago,
        correlation=new_id(),
        traceparent="",
    )


def asked(*deliveries, person=ADA, about=(QUIET,), paused=False, days=7, meets_at=None):
    """What comes of the timer: which go, by their ids; when it comes again; the person as they are then."""
    known = Questions(ADA.id, tuple(Question(d.id, paused, days, meets_at) for d in deliveries))
    due = DueTimer(ASK, str(ADA.id), ADA.id, NOW, "northwind", PROGRAM, new_id(), "", new_id())
    outcome = ask(person, due, Circumstances(loaded=(known, *deliveries, *about)))
    went = {d.id: d for d in outcome.changed if isinstance(d, Delivery)}
    return went, [t.fire_at for t in outcome.timers], next((p for p in outcome.changed if not isinstance(p, Delivery)), person)


LATELY = replace(ADA, asked_at=NOW - DAY)


@pytest.mark.parametrize(
    ("template", "fields", "circumstances", "again"),
    [
        ("nudge", {}, {}, None),
        ("nudge", {"ago": timedelta(minutes=20)}, {}, timedelta(minutes=40)),  # others may come
        ("nudge", {}, {"person": LATELY}, 6 * DAY),
        ("nudge", {}, {"person": LATELY, "days": 0}, None),
        ("nudge", {}, {"person": LATELY, "days": 3}, 2 * DAY),
        ("nudge", {}, {"person": LATELY, "meets_at": NOW + 47 * HOUR}, None),
        ("nudge", {}, {"person": LATELY, "meets_at": NOW + 3 * DAY}, DAY),
        ("nudge", {}, {"paused": True}, DAY),  # then it is looked again
        ("warned", {"freezes_at": (NOW + 4 * DAY).isoformat()}, {"person": LATELY}, 2 * DAY),
        ("renewal", {"until": (NOW + 20 * DAY).isoformat()}, {"person": LATELY}, 6 * DAY),
        ("check_in", {"kind": "fit", "due_at": (NOW + 4 * DAY).isoformat()}, {"person": LATELY}, 2 * DAY),
        ("check_in", {"kind": "skills"}, {"person": LATELY}, 6 * DAY),
        ("unsigned", {"version": 1}, {"person": LATELY}, None),  # its days are the program's own
        ("unsigned", {"version": 1}, {"paused": True}, DAY),
        ("asked", {"ago": timedelta(0)}, {"person": LATELY, "paused": True}, None),  # somebody waits for the answer
        ("did_you_meet", {"ago": timedelta(0)}, {"person": LATELY, "paused": True}, None),
    ],
)
def test_a_question_goes_when_the_last_one_is_long_enough_ago_or_something_is_near(template, fields, circumstances, again):
    one = question(template, **fields)
    went, timers, person = asked(one, **circumstances)
    if again is None:
        assert ([d.state for d in went.values()], timers, person.asked_at) == ([State.waits], [], NOW)
    else:
        assert (went, timers) == ({}, [NOW + again])
        assert person.asked_at == circumstances.get("person", ADA).asked_at


def test_all_that_waits_goes_along_in_one_mail_the_most_urgent_first():
    other = replace(QUIET, id=new_id())
    nudge, warned = question("nudge", ago=3 * DAY), question("warned", about=other, freezes_at=(NOW + 9 * DAY).isoformat())
    met = question("did_you_meet", ago=timedelta(0))
    went, timers, person = asked(nudge, warned, met, person=LATELY, about=(QUIET, other))
    assert [went[d.id].state for d in (met, nudge, warned)] == [State.waits, State.joined, State.joined]
    assert {went[d.id].joins for d in (nudge, warned)} == {met.id}
    assert {d.joins for d in asked(nudge, warned, about=(QUIET, other))[0].values()} == {None, warned.id}
    assert (timers, person.asked_at) == ([], NOW)


def test_what_no_longer_holds_takes_no_turn_and_holds_nothing_up():
    alive = replace(PAIR, quiet=False)
    nudge = question("nudge", about=alive)
    went, timers, person = asked(nudge, about=(alive,))
    assert (went[nudge.id].state, timers, person.asked_at) == (State.waits, [], None)  # the sender drops it, and says why
    frozen = replace(QUIET, frozen=True)
    assert asked(question("in_touch", about=frozen), about=(frozen,))[2].asked_at is None


@pytest.mark.parametrize("said", [{"answered": True}, {"due_at": (NOW - DAY).isoformat()}])
def test_a_check_in_that_was_answered_or_has_lapsed_is_not_asked(said):
    one = question("check_in", kind="fit", **said)
    went, timers, person = asked(one)
    assert (went[one.id].state, timers, person.asked_at) == (State.waits, [], None)  # the sender drops it


def test_of_a_program_that_pauses_its_questions_only_the_others_are_asked():
    nudge, met = question("nudge"), question("did_you_meet", ago=timedelta(0))
    known = Questions(ADA.id, (Question(nudge.id, paused=True, days=7), Question(met.id, paused=True, days=7)))
    due = DueTimer(ASK, str(ADA.id), ADA.id, NOW, "northwind", PROGRAM, new_id(), "", new_id())
    outcome = ask(ADA, due, Circumstances(loaded=(known, nudge, met, QUIET)))
    assert [d.id for d in outcome.changed if isinstance(d, Delivery)] == [met.id]
    assert [t.fire_at for t in outcome.timers] == [NOW + DAY]


def test_who_isnt_known_yet_is_left_to_the_sender():
    nudge = question("nudge")
    went, timers, _ = asked(nudge, person=None)
    assert (went[nudge.id].state, timers) == (State.waits, [])


def test_the_same_question_about_the_same_two_is_asked_once_as_it_stands_now():
    nudge, warned, unsigned = question("nudge", ago=8 * DAY), question("warned"), question("unsigned", version=1)
    assert distinct([nudge, unsigned, warned]) == [warned, unsigned]
    fit, scale, skills = (
        question("check_in", ago=ago * HOUR, kind=kind) for kind, ago in (("fit", 3), ("belonging", 2), ("skills", 1))
    )
    assert distinct([fit, scale, skills]) == [scale, skills], "those of one page are one question"


@pytest.mark.parametrize(("handed", "states"), [(TAKEN, ["sent", "sent", "dropped"]), (Handed(Failure.refused), ["waits"])])
def test_what_joined_a_mail_becomes_what_the_mail_became(handed, states):
    mail = replace(question("asked"), state=State.waits, begun=1)
    joined = [replace(question(name), state=State.joined, joins=mail.id) for name in ("unsigned", "nudge")]
    action = noted(Mail(mail, joined, {joined[1].id: Failure.other}), tried(handed))
    outcome = action.do(mail, Circumstances(loaded=(ADA, mail, *joined)))
    assert [d.state for d in outcome.changed] == states
    assert len(outcome.events) == len(states)


async def test_a_mentor_of_two_is_asked_once_and_what_comes_in_the_same_week_waits(scene, now):
    second, ben = new_id(), new_id()

    def of(pair, kind, **fields):
        return kind(relationship_id=pair, program=scene.program, audience=scene.audience, **fields)

    async def subjects():
        return [m["subject"] for m in await scene.mails(scene.mentor) if "quiet" in m["subject"] or "Do you" in m["subject"]]

    async def until_asked(count):
        assert await scene.until(lambda: _are(subjects, count)), (await subjects(), await scene.deliveries())

    async with scene.build().running():
        await scene.open()
        pair = scene.pair_created().model_dump() | {"relationship_id": second}
        pair["members"] = (scene.members[0], Member(person_id=ben, role=Role.mentee, organization=scene.owner))
        await scene.send(scene.enrolled(ben, "mentee", scene.owner, "Ben Achebe"), PairCreated(**pair))
        stalled = [of(one, PairStalled, reason=StallReason.quiet) for one in (scene.pair, second)]
        ids = await scene.send(*stalled)
        await scene.send(*stalled, ids=ids)  # once more
        assert await scene.until(lambda: _are(lambda: scene.deliveries(template="nudge", state="to_ask"), 4))
        await scene.stage.move_clock(HOUR + timedelta(minutes=1))
        await until_asked(1)
        (mail,) = [m for m in await scene.mails(scene.mentor) if "quiet" in m["subject"]]
        for part in (mail["text"], mail["html"]):
            assert "between you and Ada Okafor" in part
            assert "between you and Ben Achebe" in part
            assert part.count(f"/touch/{scene.pair}") == part.count(f"/touch/{second}") == 1
        assert await scene.until(lambda: _are(lambda: scene.deliveries(template="nudge", state="sent"), 4))

        warned = of(scene.pair, PairWarned, freezes_at=now + 20 * DAY)
        await scene.send(warned)
        assert await scene.until(lambda: _are(lambda: scene.deliveries(template="warned", state="to_ask"), 2))
        await scene.send(of(second, MemberAsked, person_id=scene.mentor, answer_by=now + 20 * DAY))
        await until_asked(2)  # somebody waits for the answer; what waited goes along
        last = (await scene.mails(scene.mentor))[-1]
        assert last["subject"] == "Do you go on with Ben Achebe?"
        assert "quiet between you and Ada Okafor" in last["text"]
        (waits,) = await scene.deliveries(template="warned", state="to_ask")
        assert waits["person_id"] == scene.mentee  # who was asked an hour ago
        await scene.stage.move_clock(7 * DAY)
        await scene.mail(scene.mentee, "Do you and Graça Moreira go on?")


async def test_who_has_answered_before_the_mail_went_is_not_asked_any_more(scene, now):
    async with scene.build().running():
        await scene.open()
        common = {"relationship_id": scene.pair, "program": scene.program}
        ids = {person: new_id() for person in (scene.mentor, scene.mentee)}
        for person, key in ids.items():
            asked = {"check_in_id": key, "person_id": person, "kind": "fit"}
            await scene.send(CheckInAsked(**common, **asked, audience=scene.audience, due_at=now + 14 * DAY))
        assert await scene.until(lambda: _are(lambda: scene.deliveries(template="check_in", state="to_ask"), 2))
        await scene.send(CheckInAnswered(**common, check_in_id=ids[scene.mentee], person_id=scene.mentee, kind="fit", fit="good"))
        noted = "select count(*) = 1 from notifications.deliveries where template = 'check_in' and data ? 'answered'"
        assert await scene.until(lambda: scene.db.fetchval(noted))
        await scene.stage.move_clock(HOUR + timedelta(minutes=1))
        assert await scene.until(lambda: _are(lambda: scene.deliveries(template="check_in", state="sent"), 1))
        assert await scene.until(lambda: _are(lambda: scene.deliveries(template="check_in", state="dropped"), 1))
        assert not [m for m in await scene.mails(scene.mentee) if "How is it going" in m["subject"]]
        (mail,) = [m for m in await scene.mails(scene.mentor) if "How is it going" in m["subject"]]
        assert f"/check-in/{scene.pair}" in mail["text"]


async def _are(ask_for, count):
    return len(await ask_for()) == count
