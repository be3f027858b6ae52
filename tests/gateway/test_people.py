"""People over their time: changes, pauses that end, withdrawal, erasure; and what is forgotten or written again."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from services.gateway import jobs, store
from shared.service import day_bound

pytestmark = pytest.mark.platform


async def test_each_record_is_the_whole_person_and_what_is_left_out_stays(gate):
    partner = await gate.with_program()
    await partner.post(partner.event("ProgramLaunched", program="second", name="Second"))
    await partner.post(partner.person("p1", name="Ada", email="ada@x.example", skills_wanted=["cloud"], capacity=2))
    await partner.say("ProfileChanged", person="p1", email=None, languages=["en", "pt-BR"], time_zone="America/Sao_Paulo")
    await partner.say("PersonEnrolled", person="p1", program="second", role="mentor", capacity=5)
    await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentor")
    facts = await gate.facts("people", partner.name)
    assert [f["ce_type"].removeprefix("ithaca.") for f in facts] == [
        "PersonEnrolled",
        "ProfileChanged",
        "PersonEnrolled",
        "PersonEnrolled",
    ]
    assert [f["data"]["revision"] for f in facts] == [1, 2, 3, 4]
    last = facts[-1]["data"]
    assert last["contact"] == {"name": "Ada", "email": None, "locale": "en"}
    assert (last["profile"]["time_zone"], last["profile"]["skills_wanted"]) == ("America/Sao_Paulo", ["cloud"])
    assert [(e["program"], e["role"], e["capacity"], e["revision"]) for e in last["enrolments"]] == [
        (f"{partner.name}.crossing", "mentor", 2, 4), (f"{partner.name}.second", "mentor", 5, 4),
    ]  # fmt: skip
    for program in ("crossing", "second"):
        assert (await partner.get(f"/v1/programs/{program}")).json()["roster"] == {"people": 1, "revisions": 4}


async def test_what_changes_nothing_causes_nothing(gate):
    partner = await gate.with_program()
    await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentee", skills_wanted=["cloud"])
    again = await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentee", skills_wanted=["cloud"])
    assert (await partner.get(f"/v1/events/{again['id']}")).json()["caused"] == []
    await partner.say("PersonResumed", person="p1")
    await partner.say("ProgramLaunched", program="crossing", name="Crossing")
    assert len(await gate.facts("people", partner.name)) == 1


async def test_a_withdrawn_person_comes_back_with_a_higher_revision(gate):
    partner = await gate.with_program()
    await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentee")
    await partner.say("PersonWithdrawn", person="p1")
    assert (await partner.get("/v1/programs/crossing")).json()["roster"] == {"people": 0, "revisions": 0}
    await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentee")
    assert (await partner.get("/v1/programs/crossing")).json()["roster"] == {"people": 1, "revisions": 3}
    assert (await partner.get("/v1/people/p1")).json()["status"] == "active"


async def test_erasure_leaves_an_id_a_mark_and_a_number(gate):
    partner = await gate.with_program()
    marks = ("Zebulon Quist", "zebulon@quist.example", "zq-77", "quist-title")
    await partner.say(
        "PersonEnrolled", person="zq-77", program="crossing", role="mentee", name=marks[0], email=marks[1], title=marks[3],
        goals=["quist-goal"],
    )  # fmt: skip
    await partner.say("PersonPaused", person="zq-77", until="2090-01-01T00:00:00Z")
    person = (await partner.get("/v1/people/zq-77")).json()["person"]
    gone = await partner.delete("/v1/people/zq-77")
    assert gone.status_code == 200
    assert gone.json()["erased"] is True
    assert (await partner.get("/v1/people/zq-77")).status_code == 404
    assert (await partner.get(f"/v1/people/{person}")).json() == {"person": person, "status": "erased", "revision": 3}
    assert (await partner.delete(f"/v1/people/{person}")).json() == {"person": person, "erased": True}
    facts = await gate.facts("people", partner.name)
    assert (facts[-1]["ce_type"], facts[-1]["ce_id"]) == ("ithaca.PersonErased", gone.json()["event"])
    assert facts[-1]["data"] == {"audience": [partner.name], "person_id": person, "revision": 3}
    assert (await partner.get("/v1/programs/crossing")).json()["roster"] == {"people": 0, "revisions": 0}
    assert await gate.sql("select 1 from timers where owner = $1", person) == []
    tables = await gate.sql("select relname from pg_class where relnamespace = 'gateway'::regnamespace and relkind = 'r'")
    for (table,) in tables:
        for row in await gate.sql(f"select to_jsonb(t)::text as line from {table} t"):
            assert not any(mark in row["line"] for mark in (*marks, "quist-goal")), table
    assert {r["sha256"] for r in await gate.sql("select sha256 from intakes where person = $1", gone and facts[-1]["key"])} <= {
        ""
    }
    new = await partner.say("PersonEnrolled", person="zq-77", program="crossing", role="mentee")
    assert new["person"] != person


async def test_an_erasure_beside_posts_about_the_same_person(gate):
    partner = await gate.with_program()
    for round_ in range(5):
        await partner.say("PersonEnrolled", person=f"r{round_}", program="crossing", role="mentee")
        posts = [partner.post(partner.person(f"r{round_}", title=f"T{n}")) for n in range(4)]
        answers = await asyncio.gather(*posts, partner.delete(f"/v1/people/r{round_}"))
        assert {a.status_code for a in answers} <= {200, 202}
    facts = await gate.facts("people", partner.name)
    by_key: dict[str, list] = {}
    for fact in facts:
        by_key.setdefault(fact["key"], []).append(fact)
    for mine in by_key.values():
        assert [f["data"]["revision"] for f in mine] == list(range(1, len(mine) + 1))
        assert all(f["ce_type"] != "ithaca.PersonErased" for f in mine[:-1])
    roster = (await partner.get("/v1/programs/crossing")).json()["roster"]
    rows = await gate.sql("select enrolments from people where organization = $1 and not erased", partner.name)
    revisions = [e["revision"] for r in rows for e in orjson.loads(r["enrolments"])]
    assert roster == {"people": len(revisions), "revisions": sum(revisions)}


async def test_only_a_key_with_the_right_erases(gate):
    partner = await gate.with_program()
    await partner.say("PersonEnrolled", person="p1", program="crossing", role="mentee")
    made = await gate.http.post("/v1/keys", json={"rights": ["send", "read"]}, headers=partner.headers)
    answer = await gate.http.delete("/v1/people/p1", headers={"Authorization": f"Bearer {made.json()['key']}"})
    assert answer.status_code == 403


async def test_posted_events_are_forgotten_after_thirty_days(gate):
    partner = await gate.with_program()
    event = partner.person("p1")
    await partner.post(event)
    old = day_bound(datetime.now(UTC) - timedelta(days=31))
    await gate.sql("update intakes set id = $1 where own_id = $2", old, event["id"])
    assert await store.forget_intakes(gate.service.database, day_bound(jobs.wall(gate.service) - jobs.KEPT)) == 1
    assert (await partner.get(f"/v1/events/{event['id']}")).status_code == 404


async def test_a_daily_record_reaches_every_partition_that_has_one(gate):
    partner = await gate.with_program()
    await partner.post(*(partner.person(f"p{n}") for n in range(200)))
    await partner.delete("/v1/people/p0")
    before = await gate.facts("people")
    assert await jobs.tick(gate.service) >= 12
    after = await gate.facts("people")
    new = [f for f in after if f["ce_id"] not in {b["ce_id"] for b in before}]
    assert {f["partition"] for f in new} == set(range(12))
    latest = {f["key"]: f["data"]["revision"] for f in before}
    assert all(f["data"]["revision"] == latest[f["key"]] for f in new), "old news to everyone"
    now = jobs.wall(gate.service)
    assert not await store.begin_chore(gate.service.database, "tick", now, now - jobs.TICK_EVERY), "once a day"
    assert await store.begin_chore(gate.service.database, "tick", now + timedelta(days=1), now)
    assert not await store.begin_chore(gate.service.database, "tick", now + timedelta(days=1), now)
