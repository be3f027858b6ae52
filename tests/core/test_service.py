"""A service's life: loops that fail are started again and show, health tells the truth, it stops in order."""

import asyncio
import itertools
import logging
import re
import time

import httpx
from aiokafka import TopicPartition
from fastapi import APIRouter, Request

from shared import clock
from shared import service as service_module
from shared.cloudevents import new_id
from shared.database import CORE_MIGRATIONS, migrations_of
from shared.telemetry import AtMostOf
from tests.core import ledger
from tests.core.rig import until


async def test_a_loop_that_keeps_failing_is_started_ever_more_seldom_and_shows(lane, caplog):
    runs = []

    async def doomed(service):
        runs.append(time.monotonic())
        raise ZeroDivisionError("private words")

    service = lane.service("a")
    service.loops = [doomed]
    async with service.running():
        assert await until(lambda: asyncio.sleep(0, len(runs) >= 4), 10)
        gaps = [b - a for a, b in itertools.pairwise(runs)]
        assert gaps[0] >= 0.2
        assert gaps[1] >= 0.4
        report = await service.readiness()
        assert report["failing"] == ["test_service.doomed"]
        assert (report["well"], report["ready"], report["dead"]) == (False, True, [])
    assert "private" not in caplog.text


async def test_a_loop_that_stumbled_once_is_no_illness(lane):
    runs = []

    async def stumbles(service):
        runs.append(1)
        if len(runs) == 1:
            raise ConnectionResetError
        await asyncio.Event().wait()

    service = lane.service("a")
    service.loops = [stumbles]
    async with service.running():
        assert await until(lambda: asyncio.sleep(0, len(runs) == 2), 10)
        assert (await service.readiness())["failing"] == []


async def test_loops_of_one_name_from_two_modules_both_run(lane):
    ran = set()

    def loop(module):
        async def run(service):
            ran.add(module)
            await asyncio.Event().wait()

        run.__module__ = module
        return run

    service = lane.service("a")
    service.loops = [loop("services.x.jobs"), loop("services.x.channels")]
    async with service.running():
        assert await until(lambda: asyncio.sleep(0, len(ran) == 2), 5)


async def test_a_dead_loop_and_a_consumer_that_stands_still_fail_liveness(lane, monkeypatch):
    service = lane.service("a")
    async with service.running(), httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}") as client:
        assert await until(lambda: asyncio.sleep(0, service.consumer.reads()))

        async def well():
            return (await client.get("/health/ready")).json()["well"]

        assert await until(well)
        assert (await client.get("/health/live")).status_code == 200
        service._tasks["timers"].cancel()
        await asyncio.gather(service._tasks["timers"], return_exceptions=True)
        answer = await client.get("/health/live")
        assert (answer.status_code, answer.json()["dead"]) == (503, ["timers"])
        assert (await client.get("/health/ready")).status_code == 503
        monkeypatch.setattr(service_module, "STUCK_SECONDS", -1.0)
        assert "consumer stands still" in (await client.get("/health/live")).json()["dead"]


async def test_it_stops_with_the_batch_in_hand_finished(lane, see):
    pairs = [new_id() for _ in range(30)]
    service = lane.service("a")
    service.consumer.batch = 50
    async with service.running():
        await lane.send(*map(ledger.pair_created, pairs), *(ledger.meeting_held(p, n) for n in range(1, 30) for p in pairs))
        assert await until(lambda: see.fetchval("select sum(seen) > 0 from scheduling.pairs"))
        fenced = service.telemetry.metrics.passing
        started = time.monotonic()
    assert time.monotonic() - started < 8
    assert not [s for m in fenced.collect() for s in m.samples if s.name.endswith("_total") and s.value]
    handled = service.consumer.handled
    assert await see.fetchval("select sum(next_offset) from scheduling.positions") == handled


async def test_a_copy_leaves_its_group_as_it_stops_and_nobody_waits_for_it(lane):
    """Kafka would wait ten seconds for a member that went without a word. One with a name of its own is waited for on purpose."""
    for _ in range(2):
        service = lane.service("")
        async with service.running():
            assert await until(lambda service=service: asyncio.sleep(0, service.consumer.reads()), 5)


async def test_a_loop_in_which_a_cancellation_is_swallowed_ends_all_the_same(lane):
    swallowed = asyncio.Event()

    async def stubborn(service):
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed.is_set():
                    raise
                swallowed.set()

    service = lane.service("a")
    service.loops = [stubborn]
    async with service.running():
        assert await until(lambda: asyncio.sleep(0, service.consumer.reads()))
        started = time.monotonic()
    assert swallowed.is_set()
    assert time.monotonic() - started < 8
    assert all(task.done() for task in service._tasks.values())


async def test_waiting_for_a_bell_that_rings_as_it_is_cancelled_is_cancelled():
    """`asyncio.wait_for` of Python 3.11 returns instead, and a loop around it would go on for ever."""
    bell = asyncio.Event()
    waiting = asyncio.create_task(clock.rung(bell, 5))
    await asyncio.sleep(0)
    bell.set()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_rebalances_under_load_lose_nothing_and_start_no_loop_again(lane, see, caplog):
    """Copies come and go; each batch belongs to whoever the positions say."""
    caplog.set_level(logging.WARNING, "ithaca")
    pairs = [new_id() for _ in range(24)]
    async with lane.service("a").running() as first:
        first.consumer.batch = 40
        await lane.send(*map(ledger.pair_created, pairs))
        sending = asyncio.create_task(lane.send(*(ledger.meeting_held(p, n) for n in range(1, 61) for p in pairs)))
        for _ in range(2):  # without a name of their own they leave the group when they stop
            async with lane.service().running() as other:
                other.consumer.batch = 40
                assert await until(lambda other=other: asyncio.sleep(0, other.consumer.start), 15)
        await sending
        assert await until(lambda: see.fetchval("select sum(seen) = 1440 from scheduling.pairs"), 30)
    assert await see.fetchval("select count(*) from scheduling.pairs where said <> '{}' or revision <> 60") == 0
    assert [r.getMessage() for r in caplog.records if "starts again" in r.getMessage()] == []


async def test_records_of_a_partition_the_listener_was_not_told_of_are_left(rig, monkeypatch):
    """aiokafka assigns, waits, and only then tells the listener; a poll may come between."""
    polled = asyncio.Event()

    class Early:
        def __init__(self):
            self.polls = 0

        def assignment(self):
            return frozenset({TopicPartition("scheduling", 0)})

        def seek(self, tp, offset):
            pass

        async def getmany(self, **_):
            self.polls += 1
            if self.polls > 1:
                polled.set()
                await asyncio.sleep(0.01)
                return {}
            record = rig.record(ledger.meeting_held(new_id(), 1), 0)
            record.partition = 7
            return {TopicPartition("scheduling", 7): [record]}

    rig.consumer.seen = -1
    running = asyncio.create_task(rig.consumer._loop(Early()))
    await asyncio.wait_for(polled.wait(), 5)
    assert not running.done()
    rig.consumer.stopping = True
    await asyncio.wait_for(running, 5)
    assert await rig.held() == []


def test_every_migration_of_the_core_waits_for_locks_only_briefly():
    assert all("set local lock_timeout" in sql for _, sql in migrations_of(CORE_MIGRATIONS))


def test_a_noisy_library_is_held_to_twenty_lines_a_minute():
    limit = AtMostOf("aiokafka")
    records = [logging.LogRecord(name, logging.WARNING, "", 0, "m", (), None) for name in ["aiokafka.conn", "ithaca.relay"] * 100]
    for record in records:
        record.created = 1000.0
    passed = [record.name for record in records if limit.filter(record)]
    assert (passed.count("aiokafka.conn"), passed.count("ithaca.relay")) == (20, 100)


async def test_a_client_that_goes_away_while_it_speaks_is_no_error(lane, caplog):
    ended = asyncio.Event()

    def routes(_):
        router = APIRouter()

        @router.post("/spoken")
        async def spoken(request: Request):
            try:
                await request.body()
            finally:
                ended.set()

        return router

    service = lane.service("a")
    service.routes = [routes]
    async with service.running():
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"POST /spoken HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf of it")
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10):
            await ended.wait()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_connection_without_a_call_is_kept_so_long_and_then_closed(lane, monkeypatch):
    assert service_module.IDLE_SECONDS > 60, "what the most patient balancers keep theirs"
    monkeypatch.setattr(service_module, "IDLE_SECONDS", 1)
    async with lane.service("a").running() as service, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        for _ in range(2):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        idle = time.monotonic()
        assert await reader.read() == b"", "closed by the server"
        assert 0.9 < time.monotonic() - idle < 5
        writer.close()
