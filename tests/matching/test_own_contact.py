"""Mentors whom a mentee named: as pure decisions, and over real Kafka and PostgreSQL."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.matching.domain import requests
from services.matching.domain.model import Person, Place, Relationship
from services.matching.domain.requests import OWN_CONTACT, Request
from shared.cloudevents import new_id
from shared.errors import TryLater
from shared.events import MentorNominated, Role
from tests.matching.conftest import until
from tests.matching.test_asking import Asking, crowd, running
from tests.matching.test_requests import ADA, BEN, ONE, OPENED, PROGRAM, SIX, TWO, WHY, names, person, statuses, world
from tests.producing import send

YORUBA, FRENCH = (person(name, Role.mentee, languages=(name,)) for name in ("yo", "fr"))
ALSO_FRENCH = person("also", Role.mentor, languages=("fr",))


def name(made, mentee, mentor, *, said_yes=False, revision=1):
    event = MentorNominated(
        program=PROGRAM, mentee_id=mentee.id, mentor_id=mentor.id, mentor_revision=revision, said_yes=said_yes
    )
    return made.do(requests.nominated, made.wishes(mentee.id), event)


def busy(someone, partner=SIX):
    return replace(someone, places=(Place(PROGRAM, new_id(), partner.id),))


def test_a_mentor_of_the_program_is_asked_like_any_other():
    made = world()
    (event,) = name(made, ADA, TWO).events
    assert (type(event).__name__, event.mentor_id, event.choice, event.reasons) == ("MentorRequested", TWO.id, 1, (OWN_CONTACT,))
    assert statuses(made, ADA.id) == ["asked"]
    made.accept(made.open(ADA.id))
    assert names(made.told) == ["MentorRequested", "RequestAccepted", "PairCreated"]
    assert made.told[-1].reasons == (OWN_CONTACT, *WHY)


def test_named_while_others_are_asked_they_come_next():
    made = world()
    made.choose(ADA.id, TWO.id, ONE.id)
    assert name(made, ADA, SIX).events == ()
    assert statuses(made, ADA.id) == ["asked", "queued", "queued"]
    assert [made.get(Request, UUID(r)).choice for r in made.wishes(ADA.id).requests] == [1, 2, 3]


def test_who_has_said_yes_is_the_mentor_and_nobody_else_is_asked():
    made = world()
    made.choose(ADA.id, TWO.id, ONE.id)
    outcome = name(made, ADA, SIX, said_yes=True)
    assert names(outcome.events) == ["RequestWithdrawn", "RequestAccepted", "PairCreated"]
    withdrawn, accepted, pair = outcome.events
    assert (withdrawn.mentor_id, withdrawn.reason) == (TWO.id, "another_accepted")
    assert (pair.request_id, pair.reasons, pair.score, pair.format) == (accepted.request_id, (OWN_CONTACT,), 0, "one_to_one")
    assert statuses(made, ADA.id) == ["accepted"]
    assert [made.get(Person, p.id).taken(PROGRAM) for p in (ADA, SIX)] == [1, 1]
    assert not [r for r in made.all(Request) if r.status in ("asked", "queued")]


@pytest.mark.parametrize("said_yes", [False, True])
def test_named_again_changes_nothing_twice(said_yes):
    made = world()
    name(made, ADA, TWO, said_yes=said_yes)
    before = dict(made.state)
    assert name(made, ADA, TWO, said_yes=said_yes) == requests.NOTHING
    assert made.state == before


@pytest.mark.parametrize(
    ("people", "mentee", "mentor", "asked", "agreed"),
    [
        ((OPENED, ADA, busy(TWO, BEN)), ADA, TWO, "no_capacity", "no_capacity"),
        ((OPENED, ADA, replace(TWO, status="paused")), ADA, TWO, "no_capacity", "no_capacity"),
        ((OPENED, ADA, BEN), ADA, BEN, "no_capacity", "no_capacity"),
        ((OPENED, YORUBA, ALSO_FRENCH), YORUBA, ALSO_FRENCH, "other", "not_allowed"),
        ((OPENED, busy(ADA), TWO), ADA, TWO, None, "another_accepted"),
        ((OPENED, replace(ADA, status="paused"), TWO), ADA, TWO, None, "person_left"),
        ((replace(OPENED, closed=True), ADA, TWO), ADA, TWO, None, "program_closed"),
        ((OPENED, replace(ADA, erased=True), TWO), ADA, TWO, None, None),
        ((OPENED, ADA, replace(TWO, erased=True)), ADA, TWO, None, None),
    ],
)
@pytest.mark.parametrize("said_yes", [False, True])
def test_what_can_not_be_is_told_to_whom_it_concerns_and_no_rule_is_passed_over(people, mentee, mentor, asked, agreed, said_yes):
    made = world(*people)
    outcome = name(made, mentee, mentor, said_yes=said_yes)
    wanted = agreed if said_yes else asked
    assert [(type(e).__name__, e.reason, e.last) for e in outcome.events] == (
        [("RequestWithdrawn", wanted, True)] if wanted else []
    )
    assert made.all(Relationship) == []


def test_a_rule_that_both_keep_lets_them_begin():
    made = world(OPENED, FRENCH, ALSO_FRENCH)
    assert names(name(made, FRENCH, ALSO_FRENCH, said_yes=True).events) == ["RequestAccepted", "PairCreated"]


def test_while_others_are_asked_a_mentor_who_can_not_stops_nothing():
    made = world(OPENED, ADA, ONE, busy(TWO, BEN))
    made.choose(ADA.id, ONE.id)
    (event,) = name(made, ADA, TWO).events
    assert (event.reason, event.last) == ("no_capacity", False)
    assert statuses(made, ADA.id) == ["asked"]


@pytest.mark.parametrize(
    ("people", "awaits"),
    [
        ((ADA, TWO), f"Program:{PROGRAM}"),
        ((OPENED, TWO), f"Person:{ADA.id}"),
        ((OPENED, ADA), f"Person:{TWO.id}"),
        ((OPENED, ADA, TWO), f"Person:{TWO.id}"),
    ],
)
def test_it_waits_for_what_is_not_known_yet(people, awaits):
    with pytest.raises(TryLater, match=awaits):
        name(world(*people), ADA, TWO, revision=2)


# ---- over Kafka


@pytest.fixture
def asking(town):
    return Asking(town)


def nominated(asking, mentee, mentor, **more):
    return MentorNominated(
        program=asking.town.program,
        mentee_id=asking.id(mentee),
        mentor_id=asking.id(mentor),
        **({"mentor_revision": 1} | more),
        audience=(asking.town.organization,),
    )


@pytest.mark.platform
async def test_an_invited_mentor_and_their_mentee_are_a_pair_once_however_often_it_is_said(asking):
    """Before the mentor's own record is there, sent again under its id, and said anew."""
    await asking.begin(*crowd(asking, 1, 1))
    async with running(asking) as client:
        await asking.known(2)
        await asking.choose(client, "n0", "k0")
        _, first = await asking.open("n0")
        fact, own = nominated(asking, "n0", "k7", said_yes=True), new_id()
        named = {"organization": asking.town.organization, "program": asking.town.program}
        await send(asking.town.stage.kafka, [fact], ids=[own], **named)
        held = "select count(*) from matching.held_keys where awaits = $1"
        assert await until(lambda: asking.see.fetchval(held, f"Person:{asking.id('k7')}"))
        await asking.town.send(asking.person("k7", Role.mentor))
        assert await until(lambda: asking.town.told("PairCreated"))
        _, anew = await send(asking.town.stage.kafka, [fact, fact], ids=[own, new_id()], **named)
        assert await until(lambda: asking.see.fetchval("select count(*) from matching.inbox where event_id = $1", anew))
        (pair,) = await asking.town.told("PairCreated")
        assert [m["person_id"] for m in pair["members"]] == [str(asking.id("k7")), str(asking.id("n0"))]
        assert await asking.told(request=first) == ["MentorRequested", "RequestWithdrawn"]
        assert await asking.told(request=pair["request_id"]) == ["RequestAccepted", "PairCreated"]
        assert "You have a mentor" in (await client.get(asking.choose_path("n0"))).text


@pytest.mark.platform
async def test_a_named_mentor_of_the_program_answers_by_the_page_of_requests(asking):
    await asking.begin(*crowd(asking, 2, 1))
    async with running(asking) as client:
        await asking.known(3)
        await asking.town.send(nominated(asking, "n0", "k1"))
        assert await until(lambda: asking.town.told("MentorRequested"))
        mentor, request = await asking.open("n0")
        assert mentor == "k1"
        assert "You know each other" in (await client.get(asking.path("request", request, "k1"))).text
        assert (await asking.answer(client, "k1", request, "accept")).status_code == 303
        assert await asking.told(request=request) == ["MentorRequested", "RequestAccepted", "PairCreated"]


@pytest.mark.platform
async def test_a_named_mentor_s_yes_counts_whatever_the_score(asking):
    people = [*crowd(asking, 1, 1), asking.person("k1", Role.mentor, skills_offered=("cooking",))]
    await asking.begin(*people)
    async with running(asking) as client:
        await asking.known(3)
        assert str(asking.id("k1")) not in (await client.get(asking.choose_path("n0"))).text
        await asking.town.send(nominated(asking, "n0", "k1"))
        assert await until(lambda: asking.town.told("MentorRequested"))
        _, request = await asking.open("n0")
        assert (await asking.answer(client, "k1", request, "accept")).status_code == 303
        assert await asking.told(request=request) == ["MentorRequested", "RequestAccepted", "PairCreated"]
