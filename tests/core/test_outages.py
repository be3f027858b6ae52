"""Promises 8 and 9: without Kafka every action is answered and sent later; without PostgreSQL 503, and all go on afterwards."""

import asyncio
import contextlib
import secrets
import signal
import time

import asyncpg
import httpx
import pytest
from aiokafka.errors import KafkaError
from fastapi import APIRouter

from shared import topics
from shared.cloudevents import new_id
from shared.events.topics import Topic
from tests.core import ledger
from tests.core.rig import until

pytestmark = pytest.mark.chaos


def routes(service):
    router = APIRouter()

    @router.post("/touch/{pair}")
    async def touch(pair: ledger.UUID) -> int:
        return await service.work.act(ledger.touch(pair))

    @router.get("/pairs")
    async def pairs() -> int:
        async with service.database.tenant("acme") as connection:
            return await connection.fetchval("select count(*) from pairs")

    return router


def of_kafkas_client():
    """The tasks of aiokafka that run in this process."""
    return {task for task in asyncio.all_tasks() if "aiokafka" in task.get_coro().cr_code.co_filename}


@pytest.mark.parametrize("sign", [None, signal.SIGSTOP, signal.SIGKILL], ids=["at peace", "Kafka frozen", "Kafka dead"])
async def test_a_service_that_has_stopped_leaves_nothing_of_kafkas_client_behind(lane, platform, sign):
    """A member that goes on sending heartbeats would keep its partitions from whoever comes next."""
    before = of_kafkas_client()
    try:
        async with lane.service().running() as service:
            assert await until(lambda: asyncio.sleep(0, service.consumer.reads() and service.relay.leader))
            if sign is not None:
                await asyncio.to_thread(platform.kill, "kafka", sign)
            started = time.monotonic()
        assert time.monotonic() - started < 15
        assert await until(lambda: asyncio.sleep(0, not (of_kafkas_client() - before)), 2), of_kafkas_client() - before
    finally:
        if sign == signal.SIGSTOP:
            platform.kill("kafka", signal.SIGCONT)
            assert await until(lambda: answers(platform.addresses["kafka"]), 30)
        elif sign is not None:
            await asyncio.to_thread(platform.restart, "kafka")


async def answers(kafka):
    """Whether Kafka takes a new topic again: a broker that stood still must first be let back into its cluster."""
    try:
        await topics.create(kafka, [Topic(f"core-{secrets.token_hex(4)}", "relationship", (), ())])
    except KafkaError:
        return False
    return True


@contextlib.asynccontextmanager
async def client_of(service):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=20) as client:
        yield client


@contextlib.asynccontextmanager
async def without(platform, part, *, at_once=True):
    """The part is killed, at once or when asked to; it is there again afterwards, whatever happens."""

    async def kill():
        await asyncio.to_thread(platform.kill, part)

    if at_once:
        await kill()
    try:
        yield kill
    finally:
        if part not in platform.pids:
            await asyncio.to_thread(platform.restart, part)


async def test_without_kafka_from_the_start_http_serves_and_facts_are_sent_later(lane, see, platform):
    pair = new_id()
    async with lane.service("a").running():
        await lane.send(ledger.pair_created(pair))
        assert await until(lambda: see.fetchval("select count(*) = 1 from scheduling.pairs"))
    service = lane.service("a")
    service.routes = [routes]
    async with without(platform, "kafka"), asyncio.timeout(60), service.running(), client_of(service) as client:
        for n in range(1, 4):
            answer = await client.post(f"/touch/{pair}")
            assert (answer.status_code, answer.json()) == (200, n)
        ready, live = await client.get("/health/ready"), await client.get("/health/live")
        report = ready.json()
        assert (ready.status_code, report["ready"], report["well"], report["kafka"], report["postgres"]) == (
            200,
            True,
            False,
            False,
            True,
        )
        assert live.status_code == 200

        async def failing():
            return "consumer" in (await client.get("/health/ready")).json()["failing"]

        assert await until(failing), "what keeps failing shows"
        service.consumer.beat -= 1000  # as after a quarter of an hour of it
        assert await until(lambda: asyncio.sleep(0, not service.dead()), 10), "a new start wouldn't bring Kafka back"
        rows = service.telemetry.metrics.outbox_rows
        assert await until(lambda: asyncio.sleep(0, rows._value.get() == 3), 5), "the backlog shows"
        tasks = len(asyncio.all_tasks())
        await asyncio.sleep(3)  # some more attempts
        assert len(asyncio.all_tasks()) <= tasks + 5, "failed attempts leave nothing behind"
        await asyncio.to_thread(platform.restart, "kafka")
        assert await until(lambda: see.fetchval("select not exists (select from scheduling.outbox)"), 40)

        async def well():
            return (await client.get("/health/ready")).json()["well"]

        assert await until(well, 40)
        await lane.send(ledger.meeting_held(pair, 1))
        assert await until(lambda: see.fetchval("select seen = 4 from scheduling.pairs"), 20)


async def test_a_copy_stops_in_good_time_though_kafka_is_gone(lane, platform):
    service = lane.service("a")
    async with without(platform, "kafka", at_once=False) as kill:
        async with service.running():
            assert await until(lambda: asyncio.sleep(0, service.consumer.reads() and service.relay.leader))
            await kill()
            started = time.monotonic()
        assert time.monotonic() - started < 20


async def test_a_copy_that_never_reached_kafka_stops_at_once(lane):
    service = lane.service("a", kafka="127.0.0.1:1")
    async with service.running():
        await asyncio.sleep(0)
        started = time.monotonic()
    assert time.monotonic() - started < 4


async def test_without_postgres_it_answers_503_and_goes_on_afterwards(lane, stage, platform):
    pair = new_id()
    service = lane.service("a")
    service.routes = [routes]
    async with asyncio.timeout(120), service.running(), client_of(service) as client:
        await lane.send(ledger.pair_created(pair))

        async def there():
            return (await client.get("/pairs")).json() == 1

        assert await until(there)
        async with without(platform, "postgres"):
            posted, read, ready, live = await asyncio.gather(
                client.post(f"/touch/{pair}"), client.get("/pairs"), client.get("/health/ready"), client.get("/health/live")
            )
            assert [(a.status_code, a.headers["retry-after"]) for a in (posted, read)] == [(503, "5")] * 2
            assert posted.json()["type"] == "urn:ithaca:problem:unavailable"
            assert (ready.status_code, ready.json()["postgres"], live.status_code) == (503, False, 200)
            await lane.send(*(ledger.meeting_held(pair, n) for n in range(1, 31)))

        async def seen():
            connection = await asyncpg.connect(stage.superuser)
            try:
                return await connection.fetchval("select seen = 30 and said = '{}' from scheduling.pairs")
            finally:
                await connection.close()

        assert await until(seen, 40), "the consumer waited and went on"
        assert (await client.post(f"/touch/{pair}")).status_code == 200
        connection = await asyncpg.connect(stage.superuser)
        assert await until(lambda: connection.fetchval("select not exists (select from scheduling.outbox)"), 20), "the relay too"
        assert await connection.fetchval("select count(*) from scheduling.held_keys") == 0, "passing trouble is never held"
        await connection.close()


async def test_started_before_postgres_it_answers_503_until_it_is_there(lane, platform):
    service = lane.service("a")
    service.routes = [routes]
    running = service.running()
    async with without(platform, "postgres"):
        entering = asyncio.create_task(running.__aenter__())
        assert await until(lambda: asyncio.sleep(0, service.port), 10), "HTTP doesn't wait"
        async with client_of(service) as client:
            answer, live = await client.get("/pairs"), await client.get("/health/live")
            assert (answer.status_code, answer.headers["retry-after"], live.status_code) == (503, "5", 200)
    try:
        await asyncio.wait_for(entering, 40)
        async with client_of(service) as client:
            assert (await client.get("/pairs")).status_code == 200
    finally:
        await running.__aexit__(None, None, None)


async def test_told_to_stop_before_postgres_is_there_it_stops(lane):
    service = lane.service("a", database="postgresql://scheduling:x@127.0.0.1:1/none")
    entering = asyncio.create_task(service._main())
    assert await until(lambda: asyncio.sleep(0, service.port), 10)
    service._stop.set()
    await asyncio.wait_for(entering, 5)
