"""Several organizations: sharing a program, seats, and that nobody sees what is another's."""

import asyncio

import asyncpg
import pytest

pytestmark = pytest.mark.platform


async def refused(partner, *events):
    response = await partner.post(*events)
    assert response.status_code == 422, response.text
    return response.json()["errors"]


async def shared(gate, *, seats=2, visibility="own_people"):
    northwind, kestrel = await gate.with_program("northwind"), await gate.organization("kestrel", time_zone="America/Sao_Paulo")
    program = f"{northwind.name}.crossing"
    await northwind.say("ProgramShared", program="crossing", member=kestrel.name, seats=seats, visibility=visibility)
    return northwind, kestrel, program


async def test_an_invited_organization_joins_before_it_may_enrol(gate):
    northwind, kestrel, program = await shared(gate)
    (error,) = await refused(kestrel, kestrel.person("k01", program))
    assert error["code"] == "not_joined"
    assert "ithaca.ProgramJoined" in error["detail"]
    assert (await kestrel.get("/v1/organization")).json()["programs"][0]["place"] == "invited"
    await kestrel.say("ProgramJoined", program=program)
    result = await kestrel.say("PersonEnrolled", person="k01", program=program, role="mentor")
    facts = await gate.facts("people", kestrel.name)
    assert [(f["ce_organization"], f["ce_program"], f["data"]["audience"]) for f in facts] == [
        (kestrel.name, program, sorted([kestrel.name, northwind.name]))
    ]
    assert facts[0]["data"]["profile"]["time_zone"] == "America/Sao_Paulo"
    assert facts[0]["ce_id"] == result["event"]
    onboarding = await gate.facts("onboarding", northwind.name)
    assert [f["ce_type"].removeprefix("ithaca.") for f in onboarding if f["key"] == program] == [
        "ProgramLaunched", "ProgramShared", "ProgramJoined",
    ]  # fmt: skip
    assert (await northwind.get("/v1/programs/crossing")).json()["members"] == [
        {"organization": kestrel.name, "seats": 2, "visibility": "own_people", "joined": True, "people": 1}
    ]


async def test_join_and_enrol_may_stand_in_one_batch(gate):
    _, kestrel, program = await shared(gate)
    body = (await kestrel.post(kestrel.event("ProgramJoined", program=program), kestrel.person("k1", program))).json()
    assert body["accepted"] == 2
    assert body["rosters"] == {}, "a member that sees its own people only isn't told the program's totals"


async def test_seats_hold_also_when_many_enrol_at_once(gate):
    northwind, kestrel, program = await shared(gate, seats=5, visibility="own_people_and_totals")
    await kestrel.say("ProgramJoined", program=program)
    answers = await asyncio.gather(*(kestrel.post(kestrel.person(f"k{n}", program)) for n in range(9)))
    assert sorted(a.status_code for a in answers) == [202] * 5 + [422] * 4
    (error,) = await refused(kestrel, kestrel.person("k99", program))
    assert (error["code"], error["field"]) == ("no_seat", "data.program")
    await northwind.say("ProgramShared", program="crossing", member=kestrel.name, seats=6)
    await kestrel.say("PersonEnrolled", person="k99", program=program, role="mentor")
    first = next(p for p in answers if p.status_code == 202).json()["results"][0]["id"]
    assert (await kestrel.get(f"/v1/events/{first}")).json()["status"] == "applied"


async def test_an_organization_that_leaves_takes_its_people_out(gate):
    northwind, kestrel, program = await shared(gate, seats=50, visibility="own_people_and_totals")
    own = kestrel.event("ProgramLaunched", program="home", name="Home")
    people = [kestrel.person(f"k{n}", program) for n in range(30)]
    await kestrel.post(kestrel.event("ProgramJoined", program=program), own, kestrel.person("k0", "home"), *people)
    await northwind.post(northwind.person("n1"))
    result = await kestrel.say("ProgramLeft", program=program)
    seen = (await northwind.get("/v1/programs/crossing")).json()
    assert (seen["members"], seen["roster"]) == ([], {"people": 1, "revisions": 1})
    assert (await kestrel.get("/v1/people/k0")).json()["status"] == "active"
    gone = (await kestrel.get("/v1/people/k1")).json()
    assert (gone["status"], gone["enrolments"]) == ("withdrawn", [])
    assert (await kestrel.get(f"/v1/programs/{program}")).status_code == 404
    (error,) = await refused(kestrel, kestrel.person("k31", program))
    assert error["code"] == "not_shared"
    facts = [f for f in await gate.facts("people", kestrel.name) if f["ce_type"] == "ithaca.PersonWithdrawn"]
    assert len(facts) == 30
    assert {f["ce_causationid"] for f in facts} == {result["event"]}


async def test_what_is_refused_says_what_to_do(gate):
    northwind, _kestrel, program = await shared(gate)
    stranger = await gate.organization("stranger")
    cases = [
        (stranger, stranger.person("s1", program), "not_shared", "ProgramShared"),
        (stranger, stranger.person("s1", f"{northwind.name}.nothing"), "not_shared", "ProgramShared"),
        (stranger, stranger.person("s1", "nobody-here.crossing"), "unknown_organization", "no organization"),
        (stranger, stranger.person("s1", "nothing"), "unknown_program", "ProgramLaunched"),
        (stranger, stranger.event("ProgramJoined", program=program), "not_shared", "ProgramShared"),
        (northwind, northwind.event("ProgramJoined", program=program), "your_own", "own program"),
        (northwind, northwind.event("ProgramShared", program="crossing", member="nobody-here", seats=1), "unknown_organization", "platform"),
        (northwind, northwind.event("ProgramShared", program="crossing", member=northwind.name, seats=1), "not_a_member", "another"),
        (northwind, northwind.event("ProgramLaunched", program="crossing", name="Other"), "exists", "ProgramChanged"),
        (northwind, northwind.event("ProfileChanged", person="nobody"), "unknown_person", "PersonEnrolled"),
        (northwind, northwind.event("PersonPaused", person="nobody"), "unknown_person", "PersonEnrolled"),
        (northwind, northwind.event("ProgramChanged", program="crossing", policy={"least_group_size": 20}), "policy", "least_group_size"),
        (northwind, northwind.event("MeetingReported", program="crossing", people=["x", "y"], held_at="2026-01-01T10:00:00Z", minutes=30), "unknown_person", "UUID"),
    ]  # fmt: skip
    for partner, event, code, text in cases:
        (error,) = await refused(partner, event)
        assert error["code"] == code, (event, error)
        assert text in error["detail"], error
        assert error["field"].startswith("data.")
    (error,) = await refused(stranger, stranger.person("s1") | {"organization": northwind.name})
    assert error["field"] == "organization"
    await northwind.say("ProgramClosed", program="crossing")
    (error,) = await refused(northwind, northwind.person("n1"))
    assert error["code"] == "program_closed"
    again = await northwind.say("ProgramClosed", program="crossing")
    assert (await northwind.get(f"/v1/events/{again['id']}")).json()["caused"] == []


async def test_no_key_reaches_what_is_anothers(gate):
    a, b = await gate.with_program("a"), await gate.with_program("b")
    sent = a.person("p1", email="p1@a.example")
    await a.post(sent)
    person = (await a.get("/v1/people/p1")).json()["person"]
    key_id = a.key.split("_")[1]
    assert (await b.get(f"/v1/events/{sent['id']}", source=sent["source"])).status_code == 404
    assert (await b.get("/v1/people/p1")).status_code == 404
    assert (await b.get(f"/v1/people/{person}")).status_code == 404
    assert (await b.delete(f"/v1/people/{person}")).status_code == 404
    assert (await b.get(f"/v1/programs/{a.name}.crossing")).status_code == 404
    assert (await b.delete(f"/v1/keys/{key_id}")).status_code == 404
    assert [p["owner"] for p in (await b.get("/v1/organization")).json()["programs"]] == [b.name]
    assert len((await b.get("/v1/keys")).json()["keys"]) == 1
    mine = await b.post(b.person("p1"))
    assert mine.json()["results"][0]["person"] != person
    assert (await b.post(sent)).json()["results"][0]["event"] != (await a.get(f"/v1/events/{sent['id']}")).json()["event"]


HIDDEN = ("access_keys", "outbox", "inbox", "held", "timers", "chores")


async def as_tenant(connection, sql):
    async with connection.transaction():
        await connection.execute("set local role gateway_tenant")
        await connection.execute(sql)


async def test_the_tenant_role_sees_one_organization_and_without_one_nothing(gate):
    a, b = await gate.with_program("a"), await gate.with_program("b")
    for partner in (a, b):
        await partner.post(partner.person("p1"))
    tables = ("organizations", "keys", "people", "programs", "intakes", "relationships")
    connection = await asyncpg.connect(gate.stage.dsn("gateway"))
    try:
        async with connection.transaction():
            await connection.execute("set local role gateway_tenant")
            for table in tables:
                assert await connection.fetchval(f"select count(*) from {table}") == 0, table
            await connection.execute("select set_config('ithaca.organization', $1, true)", a.name)
            for table in tables[1:5]:
                rows = await connection.fetch(f"select organization from {table}")
                assert {r["organization"] for r in rows} == {a.name}, table
        for forbidden in (*(f"select * from {t}" for t in HIDDEN), "delete from people"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await as_tenant(connection, forbidden)
    finally:
        await connection.close()


async def test_an_organization_is_let_in_once_and_shown_its_key_once(gate):
    body = {"id": "twice-" + gate.stage.database[-6:], "name": "Twice", "time_zone": "Africa/Lagos"}
    first = await gate.http.post("/v1/organizations", json=body, headers=gate.operator)
    assert first.status_code == 201
    key = first.json()["key"]
    assert len(key.split("_")[2]) == 64
    again = await gate.http.post("/v1/organizations", json=body, headers=gate.operator)
    assert (again.status_code, "key" in again.json()) == (200, False)
    more = await gate.http.post("/v1/organizations", json=body, params={"new_key": "true"}, headers=gate.operator)
    assert more.status_code == 200
    assert more.json()["key"] != key
    for each in (key, more.json()["key"]):
        assert (await gate.http.get("/v1/organization", headers={"Authorization": f"Bearer {each}"})).status_code == 200
    other = await gate.http.post("/v1/organizations", json=body | {"name": "Other"}, headers=gate.operator)
    assert other.status_code == 409
    facts = await gate.facts("onboarding", body["id"])
    assert [f["data"]["name"] for f in facts] == ["Twice"]
    assert len(await gate.facts("access", body["id"])) == 2
    (row,) = await gate.sql("select count(*) from access_keys where sha256 like $1", f"%{key.split('_')[2]}%")
    assert row[0] == 0
    wrong = await gate.http.post("/v1/organizations", json=body | {"time_zone": "Africa/Lago"}, headers=gate.operator)
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [{"field": "time_zone", "detail": "unknown time zone: did you mean Africa/Lagos?"}]
    assert (await gate.http.post("/v1/organizations", json=body, headers={"Authorization": f"Bearer {key}"})).status_code == 401


async def test_operators_and_nobody_else_see_all_organizations_with_their_programs(gate):
    partner = await gate.with_program()
    await partner.post(partner.person("n01"), partner.person("n02"))
    answer = await gate.http.get("/v1/organizations", headers=gate.operator)
    (found,) = [each for each in answer.json()["organizations"] if each["id"] == partner.name]
    assert found["keys"] == 1
    programs = [(each["program"], each["people"], each["status"]) for each in found["programs"]]
    assert programs == [(f"{partner.name}.crossing", 2, "open")]
    assert "n01" not in answer.text
    assert (await partner.get("/v1/organizations")).status_code == 401


async def test_two_operators_at_once_let_an_organization_in_once(gate):
    body = {"id": "race-" + gate.stage.database[-6:], "name": "Race"}
    answers = await asyncio.gather(*(gate.http.post("/v1/organizations", json=body, headers=gate.operator) for _ in range(5)))
    assert sorted(a.status_code for a in answers) == [200] * 4 + [201]
    assert sum("key" in a.json() for a in answers) == 1
