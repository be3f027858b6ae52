"""Reports: passed on in our ids, and answered by whoever owns what they are about."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from shared.cloudevents import new_id
from shared.events import (
    GroupCreated,
    MeetingHeld,
    Member,
    MemberJoined,
    MemberLeft,
    PairCreated,
    PairEnded,
    ReportRejected,
)
from tests.gateway.conftest import until
from tests.producing import send

pytestmark = pytest.mark.platform


async def pair(gate, kind=PairCreated, size=2):
    """A program of two organizations and a relationship in it: (northwind, kestrel, program, relationship id, person ids)."""
    northwind, kestrel = await gate.with_program("northwind"), await gate.organization("kestrel")
    program = f"{northwind.name}.crossing"
    await northwind.say("ProgramShared", program="crossing", member=kestrel.name, seats=9)
    await kestrel.say("ProgramJoined", program=program)
    people = [
        UUID((await northwind.say("PersonEnrolled", person=f"n{n}", program="crossing", role="mentee"))["person"])
        for n in range(size - 1)
    ]
    people.append(UUID((await kestrel.say("PersonEnrolled", person="k1", program=program, role="mentor"))["person"]))
    members = [Member(person_id=p, role="mentee", organization=northwind.name) for p in people[:-1]]
    members.append(Member(person_id=people[-1], role="mentor", organization=kestrel.name))
    relationship = new_id()
    fact = kind(relationship_id=relationship, program=program, members=tuple(members), score=1)
    await send(gate.stage.kafka, fact, organization=northwind.name, program=program)

    async def learned():
        return await gate.sql("select 1 from relationships where id = $1", relationship)

    assert await until(learned)
    return northwind, kestrel, program, relationship, people


def meeting(partner, program, people, **more):
    held = datetime.now(UTC) - timedelta(hours=2)
    return partner.event(
        "MeetingReported", program=program, people=[str(p) for p in people], held_at=held.isoformat(), minutes=30, **more
    )


async def status(partner, event):
    return (await partner.get(f"/v1/events/{event['id']}", source=event["source"])).json()


async def test_a_reported_meeting_waits_until_scheduling_answers(gate):
    northwind, kestrel, program, relationship, people = await pair(gate)
    event = meeting(northwind, "crossing", ["n0", people[1]])
    result = (await northwind.post(event)).json()["results"][0]
    assert (await status(northwind, event))["status"] == "waiting"
    (fact,) = await gate.facts("reports", northwind.name)
    assert (fact["key"], fact["ce_id"], fact["ce_type"]) == (str(relationship), result["event"], "ithaca.MeetingReported")
    assert fact["data"]["attended"] == [str(p) for p in people]
    assert (fact["data"]["report_id"], fact["data"]["report_source"]) == (event["id"], event["source"])
    assert fact["data"]["audience"] == sorted([northwind.name, kestrel.name])
    answer = MeetingHeld(
        relationship_id=relationship, program=program, meeting_id=new_id(), held_at=datetime.now(UTC), minutes=30, attended=tuple(people)
    )  # fmt: skip
    (answer_id,) = await send(
        gate.stage.kafka, answer, organization=northwind.name, program=program, causation=UUID(result["event"])
    )

    async def applied():
        return (await status(northwind, event))["status"] == "applied"

    assert await until(applied)
    assert (await status(northwind, event))["caused"] == [result["event"], str(answer_id)]
    await send(
        gate.stage.kafka, answer, organization=northwind.name, program=program, causation=UUID(result["event"]), ids=[answer_id]
    )
    by_our_id = (await northwind.get(f"/v1/events/{result['event']}")).json()
    assert by_our_id["id"] == event["id"]


async def test_a_report_that_its_owner_rejects_says_why(gate):
    northwind, kestrel, program, _relationship, people = await pair(gate)
    event = meeting(kestrel, program, ["k1", people[0]])
    await kestrel.post(event)
    no = ReportRejected(
        organization=kestrel.name, report_id=event["id"], report_source=event["source"], reason="no_such_meeting", field="meeting_id"
    )  # fmt: skip
    await send(gate.stage.kafka, no, organization=kestrel.name)

    async def rejected():
        return (await status(kestrel, event))["status"] == "rejected"

    assert await until(rejected)
    now = await status(kestrel, event)
    assert (now["reason"], now["field"]) == ("no_such_meeting", "meeting_id")
    assert (await northwind.get(f"/v1/events/{event['id']}")).status_code == 404


async def test_a_meeting_names_people_who_are_matched(gate):
    northwind, _kestrel, program, _relationship, people = await pair(gate)
    await northwind.say("PersonEnrolled", person="lonely", program="crossing", role="mentee")
    stranger = await gate.with_program("stranger")
    cases = [
        (northwind, meeting(northwind, "crossing", ["n0", "lonely"]), "no_relationship", "data.people"),
        (northwind, meeting(northwind, "crossing", ["n0", "who"]), "unknown_person", "data.people[1]"),
        (northwind, meeting(northwind, "crossing", ["n0", new_id()]), "no_relationship", "data.people"),
        (stranger, meeting(stranger, program, people), "not_shared", "data.program"),
        (stranger, meeting(stranger, "crossing", people), "no_relationship", "data.people"),
    ]
    for partner, event, code, field in cases:
        error = (await partner.post(event)).json()["errors"][0]
        assert (error["code"], error["field"]) == (code, field)
    future = meeting(northwind, "crossing", ["n0", people[1]])
    future["data"]["held_at"] = "2090-01-01T00:00:00Z"
    assert (await northwind.post(future)).json()["errors"][0]["code"] == "in_the_future"


async def test_groups_change_and_ended_relationships_can_still_be_reported_late(gate):
    northwind, _kestrel, program, relationship, people = await pair(gate, GroupCreated, size=4)
    newcomer = UUID((await northwind.say("PersonEnrolled", person="n9", program="crossing", role="mentee"))["person"])
    about = {"relationship_id": relationship, "program": program}
    join = MemberJoined(**about, member=Member(person_id=newcomer, role="mentee", organization=northwind.name))
    leave = MemberLeft(**about, member=Member(person_id=people[0], role="mentee", organization=northwind.name), reason="own_wish")
    await send(gate.stage.kafka, [join, leave], organization=northwind.name, program=program)
    await send(
        gate.stage.kafka, PairEnded(**about, reason="completed", side="neither"), organization=northwind.name, program=program
    )

    async def ended():
        return await gate.sql(
            "select people from relationships where id = $1 and ended and array_length(people, 1) = 4", relationship
        )

    (row,) = await until(ended)
    assert str(newcomer) in row["people"]
    assert str(people[0]) not in row["people"]
    assert (await northwind.post(meeting(northwind, "crossing", ["n9", "n1"]))).status_code == 202


async def test_an_outcome_is_recorded_at_once(gate):
    partner = await gate.with_program()
    person = (await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentee"))["person"]
    result = await partner.say("OutcomeReported", person="p1", kind="promotion", at="2026-08-01T00:00:00Z", program="crossing")
    now = (await partner.get(f"/v1/events/{result['event']}")).json()
    assert (now["status"], now["caused"]) == ("applied", [result["event"]])
    (fact,) = await gate.facts("reports", partner.name)
    assert (fact["key"], fact["data"]["kind"], fact["data"]["program"]) == (person, "promotion", f"{partner.name}.crossing")


async def test_reports_end_facts_before_their_relationship_wait(gate):
    """`scheduling` may be read before `matching`."""
    owner = (await gate.with_program()).name
    relationship, program = new_id(), f"{owner}.crossing"
    about = {"relationship_id": relationship, "program": program}
    await send(gate.stage.kafka, PairEnded(**about, reason="completed", side="neither"), organization=owner, program=program)

    async def waits():
        return await gate.sql("select 1 from held_keys where key = $1 and state = 'waits'", str(relationship))

    assert await until(waits)
    members = tuple(Member(person_id=new_id(), role="mentor", organization=owner) for _ in range(2))
    await send(gate.stage.kafka, PairCreated(**about, members=members, score=1), organization=owner, program=program)

    async def ended():
        return await gate.sql("select 1 from relationships where id = $1 and ended", relationship)

    assert await until(ended)
