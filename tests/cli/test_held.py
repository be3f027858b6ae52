"""`./ithaca held`: events that really are held, seen, replayed and dropped."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from shared import clock
from shared.cloudevents import new_id
from shared.events import Contact, Member, PairCreated, PersonEnrolled, Profile, ProgramLaunched, Role
from tests.cli.conftest import until
from tests.conftest import unique
from tests.producing import send

NAME = "Adaeze Okonkwo"


@pytest.fixture
def organization():
    return unique("held")


@pytest.fixture
def program(organization):
    return f"{organization}.crossing"


def produce(ithaca, topic, key, value, headers=()):
    async def go():
        async with AIOKafkaProducer(bootstrap_servers=ithaca.state.addresses["kafka"]) as producer:
            return await producer.send_and_wait(topic, value, key=key, headers=list(headers))

    return asyncio.run(go())


def tell(ithaca, events, organization, program):
    return asyncio.run(send(ithaca.state.addresses["kafka"], events, organization=organization, program=program))


def sql(ithaca, query, *values):
    async def go():
        connection = await asyncpg.connect(ithaca.state.addresses["postgres"])
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    return asyncio.run(go())


def an_hour_passes(ithaca):
    async def go():
        connection = await asyncpg.connect(ithaca.state.addresses["postgres"])
        try:
            await clock.move(connection, timedelta(minutes=61))
        finally:
            await connection.close()

    asyncio.run(go())


def person(person_id, organization, program):
    return PersonEnrolled(
        person_id=person_id,
        organization=organization,
        own_id=f"p-{person_id}",
        profile=Profile(time_zone="Africa/Lagos"),
        contact=Contact(name=NAME, email="adaeze@example.org"),
        revision=1,
        program=program,
        audience=(organization,),
    )


def pair(relationship_id, organization, program, *people):
    roles = (Role.mentor, Role.mentee)
    members = tuple(Member(person_id=one, role=role, organization=organization) for one, role in zip(people, roles, strict=True))
    return PairCreated(relationship_id=relationship_id, program=program, members=members, score=1, audience=(organization,))


def held(ithaca, key, service="scheduling"):
    return [each for each in ithaca.json("held", "list", "--service", service) if each["key"].startswith(str(key))]


def begun(ithaca, relationship_id):
    return sql(ithaca, "select 1 from scheduling.relationships where id = $1", relationship_id)


def test_garbage_on_a_topic_is_parked_shown_and_dropped(ithaca):
    key = unique("garbage")
    at = produce(
        ithaca, "scheduling", key.encode(), b"\x00\x1b[2J not json", [("ce_type", b"ithaca.Nonsense"), ("x", b"\xff\x00")]
    )
    assert until(lambda: held(ithaca, key, "notifications"))
    (row,) = held(ithaca, key, "notifications")
    assert row["state"] == "parked"
    assert row["topic"] == "scheduling"
    assert row["reason"].startswith("unreadable")
    assert row["events"] == 1
    assert key in ithaca("held", "list").output
    # status calls it ill, and names the command
    ill = ithaca.json("status", code=1)["ill"]
    assert any(each["next"] == "./ithaca held list --service notifications" for each in ill)
    shown = ithaca("held", "show", key, "--service", "notifications").output
    assert f"{at.partition}:{at.offset}" in shown
    assert "\x1b" not in shown
    # whoever isn't asked can't answer
    refused = ithaca("held", "drop", key, "--service", "notifications", code=1)
    assert "notifications will never handle" in refused.stderr
    assert "Add --yes" in refused.stderr
    assert held(ithaca, key, "notifications")
    # several services hold it
    assert "Say which with --service" in ithaca("held", "drop", key, "--yes", code=2).stderr
    for service in ("notifications", "analytics"):
        assert ithaca.json("held", "drop", key, "--service", service, "--yes") == {
            "dropped": [f"{at.partition}:{at.offset}"],
            "kept": 0,
        }
        assert not held(ithaca, key, service)
    for each in ithaca.json("held", "list"):
        if each["key"].startswith(key):
            ithaca("held", "drop", each["key"], "--service", each["service"], "--yes")


def test_what_is_replayed_before_it_is_mended_is_held_again(ithaca):
    key = unique("garbage")
    produce(ithaca, "analytics", key.encode(), b"{}", [("ce_type", b"ithaca.FromTheFuture"), ("ce_id", str(new_id()).encode())])
    assert until(lambda: held(ithaca, key, "notifications"))
    told = ithaca("held", "replay", key, "--service", "notifications", code=1).output
    assert "still held" in told
    assert "unknown type" in told
    for each in ithaca.json("held", "list"):
        if each["key"].startswith(key):
            ithaca("held", "drop", each["key"], "--service", each["service"], "--yes")


def test_a_parked_key_is_replayed_when_its_cause_is_mended(ithaca, organization, program):
    people, relationship = (new_id(), new_id()), new_id()
    tell(ithaca, ProgramLaunched(program=program, organization=organization, name="Crossing"), organization, program)
    tell(ithaca, pair(relationship, organization, program, *people), organization, program)
    assert until(lambda: held(ithaca, relationship))
    assert held(ithaca, relationship)[0]["state"] == "waits"
    an_hour_passes(ithaca)
    assert until(lambda: held(ithaca, relationship)[0]["state"] == "parked", 30)
    tell(ithaca, [person(one, organization, program) for one in people], organization, program)
    assert until(lambda: len(sql(ithaca, "select 1 from scheduling.people where id = any($1)", list(people))) == 2)
    assert held(ithaca, relationship), "a parked key isn't tried by itself"
    told = ithaca("held", "replay", str(relationship)[:30], "--service", "scheduling").output
    assert "handled, 1 event." in told
    assert not held(ithaca, relationship)
    assert begun(ithaca, relationship)


def test_dropping_the_first_event_keeps_the_rest_and_lets_it_pass(ithaca, organization, program):
    strangers, people, relationship = (new_id(), new_id()), (new_id(), new_id()), new_id()
    tell(ithaca, ProgramLaunched(program=program, organization=organization, name="Crossing"), organization, program)
    tell(ithaca, [person(one, organization, program) for one in people], organization, program)
    ids = tell(
        ithaca,
        [pair(relationship, organization, program, *strangers), pair(relationship, organization, program, *people)],
        organization,
        program,
    )
    assert until(lambda: (keys := held(ithaca, relationship)) and keys[0]["events"] == 2)
    shown = ithaca.json("held", "show", relationship, "--service", "scheduling")[0]["shown"]
    assert [each["event"] for each in shown] == [str(one) for one in ids]
    assert shown[0]["body"]["relationship_id"] == str(relationship)
    assert ["ce_type", "ithaca.PairCreated"] in shown[0]["headers"]
    told = ithaca("held", "drop", relationship, "--service", "scheduling", "--event", ids[0], "--yes").output
    assert "Kept, and tried now: 1" in told
    assert until(lambda: begun(ithaca, relationship))
    assert until(lambda: not held(ithaca, relationship))
    for each in ithaca.json("held", "list"):
        if each["key"].startswith(str(relationship)):
            ithaca("held", "drop", each["key"], "--service", each["service"], "--yes")


def test_people_are_not_printed_unless_asked_for(ithaca, organization, program):
    someone = person(new_id(), organization, program)
    data = json.loads(someone.model_dump_json())
    known, garbage = unique("known"), unique("garbage")
    headers = [
        ("ce_type", b"ithaca.PersonAdmired"),
        ("ce_time", datetime.now(UTC).isoformat().encode()),
        ("x-name", NAME.encode()),
    ]
    produce(ithaca, "people", known.encode(), json.dumps(data).encode(), headers)
    produce(ithaca, "people", garbage.encode(), f"name={NAME}".encode(), headers)
    for key in (known, garbage):
        assert until(lambda key=key: held(ithaca, key, "matching"))
        for words in (["held", "show", key], ["held", "show", key, "--json"], ["held", "list"]):
            assert "Adaeze" not in ithaca(*words).output
            assert "adaeze" not in ithaca(*words).output
        assert NAME in ithaca("held", "show", key, "--show-people").output
    body = ithaca.json("held", "show", known, "--service", "matching")[0]["shown"][0]["body"]
    assert body["person_id"] == str(someone.person_id)
    assert body["contact"].startswith("(personal")
    for each in ithaca.json("held", "list"):
        if each["key"].startswith((known, garbage)):
            ithaca("held", "drop", each["key"], "--service", each["service"], "--yes")


def test_mistakes_are_told_in_one_line(ithaca, nowhere):
    for words, code in (
        (["held", "show", "no-such-key"], 1),
        (["held", "list", "--service", "gatway"], 2),
        (["held", "drop", "no-such-key", "--yes"], 1),
    ):
        done = ithaca(*words, code=code)
        assert done.stderr.startswith("ithaca: ")
        assert len(done.stderr.splitlines()) == 1
    assert "./ithaca up -d" in nowhere("held", "list", code=1).stderr
    away = nowhere("held", "list", code=1, ITHACA_DATABASE="postgresql://ithaca:secret@127.0.0.1:9/ithaca")
    assert "127.0.0.1:9" in away.stderr
    assert "secret" not in away.stderr
