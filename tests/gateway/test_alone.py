"""What needs a gateway of its own: one that is alone in its consumer group, or is set up otherwise."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.gateway.main import build
from tests.conftest import alone
from tests.gateway.conftest import Gate, until

pytestmark = pytest.mark.platform


async def test_a_pause_ends_by_itself(stage):
    async with (
        alone(build(stage.settings("gateway")), stage).running() as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as http,
    ):
        gate = Gate(service, stage, http)
        partner = await gate.with_program()
        soon = datetime.now(UTC) + timedelta(days=3)
        for own_id in ("p1", "p2", "p3"):
            await partner.say("PersonEnrolled", person=own_id, program="crossing", role="mentee")
            await partner.say("PersonPaused", person=own_id, until=soon.isoformat())
        await partner.say("PersonResumed", person="p2")
        await partner.say("PersonPaused", person="p3", until=(soon + timedelta(days=30)).isoformat())
        await stage.move_clock(timedelta(days=4))

        async def back() -> bool:
            return (await partner.get("/v1/people/p1")).json()["status"] == "active"

        assert await until(back)
        assert (await partner.get("/v1/people/p3")).json()["status"] == "paused"
        assert (await partner.get("/v1/people/p2")).json()["revision"] == 3
        facts = await gate.facts("people", partner.name)
        resumed = [f for f in facts if f["ce_type"] == "ithaca.PersonResumed"]
        assert len(resumed) == 2
        roster = (await partner.get("/v1/programs/crossing")).json()["roster"]
        assert roster == {"people": 3, "revisions": 9}


async def test_one_key_may_make_so_many_requests(stage):
    async with (
        alone(build(stage.settings("gateway", rate="5/minute")), stage).running() as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}") as http,
    ):
        gate = Gate(service, stage, http)
        partner, other = await gate.organization(), await gate.organization()
        answers = [await partner.get("/v1/organization") for _ in range(7)]
        assert [a.status_code for a in answers] == [200] * 5 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert (await other.get("/v1/organization")).status_code == 200


async def test_a_database_that_fails_in_mid_request_loses_and_doubles_nothing(stage):
    """Backends are killed under load; who isn't answered posts the same again, as docs/partners.md says."""
    async with (
        alone(build(stage.settings("gateway")), stage).running() as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=60) as http,
    ):
        gate = Gate(service, stage, http)
        partner = await gate.with_program()
        done = asyncio.Event()
        kills = 0

        async def kill() -> None:
            nonlocal kills
            while not done.is_set():
                killed = await gate.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename = 'gateway' and state <> 'idle'",
                    stage.database,
                )
                kills += len(killed)
                await asyncio.sleep(0.2)

        async def post(batch: int) -> None:
            events = [partner.person(f"b{batch}-{n}") for n in range(40)]
            while (response := await partner.post(*events)).status_code != 202:
                assert response.status_code == 503, response.text
                assert response.headers["retry-after"]
            assert response.json()["rejected"] == 0

        killing = asyncio.create_task(kill())
        for three in range(5):
            await asyncio.gather(*(post(3 * three + n) for n in range(3)))
        done.set()
        await killing
        assert kills > 0
        roster = (await partner.get("/v1/programs/crossing")).json()["roster"]
        assert roster == {"people": 600, "revisions": 600}
        facts = await gate.facts("people", partner.name)
        assert len({f["ce_id"] for f in facts}) == 600
        assert len({f["data"]["own_id"] for f in facts}) == 600


async def test_without_a_database_the_answer_is_to_try_again(stage):
    async with (
        alone(build(stage.settings("gateway")), stage).running() as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=60) as http,
    ):
        gate = Gate(service, stage, http)
        partner = await gate.with_program()
        event = partner.person("p1")
        await gate.sql(f"alter database {stage.database} connection limit 0")
        await gate.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename = 'gateway'", stage.database
        )
        response = await partner.post(event)
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.headers["content-type"] == "application/problem+json"
        await gate.sql(f"alter database {stage.database} connection limit -1")
        assert (await partner.post(event)).json()["accepted"] == 1
