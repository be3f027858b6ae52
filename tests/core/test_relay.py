"""Promise 3: one leader sends the outbox in its order, deletes what Kafka has taken, and sends again what it isn't sure of."""

import asyncio
import signal
import time
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import OutOfOrderSequenceNumber

from shared import outbox
from shared.cloudevents import new_id
from shared.outbox import Relay
from shared.work import Decided
from tests.core.rig import until


@pytest.fixture
async def relays(rig, copies):
    """Starts relays of the copies' databases, restarted as a service would."""
    tasks = []

    async def start(of=None):
        database = (of or rig).database
        relay = Relay(database, {"bootstrap_servers": rig.service.settings.kafka}, (of or rig).service.telemetry.metrics)

        async def keep():
            while True:
                try:
                    await relay.run()
                except Exception:  # noqa: BLE001 - as the service does
                    await asyncio.sleep(0.05)

        tasks.append(asyncio.create_task(keep()))
        return relay

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def write(rig, topic, count, start=0, size=0):
    """Rows as decisions leave them, ten keys in turn; returns their event ids."""
    ids = [new_id() for _ in range(count)]
    rows = [
        (
            event_id,
            topic,
            f"key-{n % 10}",
            b'{"ce_id": "%s"}' % str(event_id).encode(),
            b"%d" % n + b" " * size,
            datetime.now(UTC),
        )
        for n, event_id in enumerate(ids, start)
    ]
    await rig.see.copy_records_to_table(
        "outbox",
        schema_name="scheduling",
        records=rows,
        columns=["event_id", "topic", "key", "headers", "payload", "recorded_at"],
    )
    return ids


async def empty(rig, seconds=15.0):
    return await until(lambda: rig.see.fetchval("select not exists (select from scheduling.outbox)"), seconds)


def order_of(records):
    """Payload numbers per key in the order of their first appearance."""
    orders = {}
    for record in records:
        seen = orders.setdefault(record.key, [])
        if int(record.value) not in seen:
            seen.append(int(record.value))
    return orders


async def test_one_of_two_leads_and_sends_in_the_order_of_ids(rig, copies, relays, lane):
    first, second = await relays(), await relays(await copies("b"))
    await write(rig, lane.topic, 2500)
    assert await empty(rig)
    assert sorted([first.leader, second.leader]) == [False, True]
    records = await lane.records(2500)
    assert len(records) == 2500
    orders = order_of(records)
    assert all(numbers == sorted(numbers) for numbers in orders.values())
    assert len(orders) == 10


async def test_when_the_leaders_backend_is_killed_the_other_goes_on_and_nothing_is_missing(rig, copies, relays, lane):
    first, second = await relays(), await relays(await copies("b"))
    assert await until(lambda: asyncio.sleep(0, first.leader or second.leader))
    leads = {first: 0, second: 0}
    for blow in range(4):
        await write(rig, lane.topic, 700, start=blow * 700)
        leader = first if first.leader else second
        leads[leader] += 1
        killed = await rig.see.fetchval(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and database = "
            "(select oid from pg_database where datname = current_database()) limit 1"
        )
        assert killed
        assert await empty(rig)
    orders = order_of(await lane.records(2800))
    assert sum(map(len, orders.values())) == 2800
    assert all(numbers == sorted(numbers) for numbers in orders.values()), "the first of each came in order"


async def test_a_crash_between_send_and_delete_sends_again_and_counts_once(rig, relays, lane, monkeypatch):
    ids = await write(rig, lane.topic, 50)
    real = outbox.DELETE
    monkeypatch.setattr(outbox, "DELETE", "select 1 / 0, $1::bigint[]")
    await relays()
    assert len(await lane.records(50)) >= 50
    assert await rig.see.fetchval("select count(*) from scheduling.outbox") == 50, "nothing is deleted that wasn't confirmed"
    monkeypatch.setattr(outbox, "DELETE", real)
    assert await empty(rig)
    records = await lane.records(51)
    assert len(records) > 50, "some are there twice"
    assert {dict(r.headers)["ce_id"].decode() for r in records} == {str(event_id) for event_id in ids}


async def test_a_fatal_error_of_the_producer_makes_a_new_one_from_the_oldest_row(rig, relays, lane, monkeypatch):
    made, sends = [], []
    real_start, real_send = AIOKafkaProducer.start, AIOKafkaProducer.send_batch

    async def start(self):
        made.append(self)
        await real_start(self)

    async def send(self, *args, **more):
        sends.append(args)
        if len(sends) == 2:
            raise OutOfOrderSequenceNumber
        return await real_send(self, *args, **more)

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    monkeypatch.setattr(AIOKafkaProducer, "send_batch", send)
    await write(rig, lane.topic, 100)
    await relays()
    assert await empty(rig)
    assert len(made) == 2
    assert made[0]._closed
    orders = order_of(await lane.records(100))
    assert sum(map(len, orders.values())) == 100
    assert all(numbers == sorted(numbers) for numbers in orders.values())


async def test_a_connection_that_is_dead_without_a_word_is_given_up_and_its_rows_go_out_in_order(rig, relays, lane, monkeypatch):
    made, real_start = [], AIOKafkaProducer.start

    async def start(self):
        made.append(self)
        await real_start(self)

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    monkeypatch.setattr(outbox, "STUCK_SECONDS", 0.5)
    await write(rig, lane.topic, 20)
    await relays()
    assert await empty(rig)
    for connection in made[0].client._conns.values():
        connection._writer.write = lambda _: None  # as where a router has forgotten it: neither side is told
    await write(rig, lane.topic, 50, start=20)
    assert await empty(rig)
    assert len(made) == 2
    orders = order_of(await lane.records(70))
    assert sum(map(len, orders.values())) == 70
    assert all(numbers == sorted(numbers) for numbers in orders.values())


async def test_a_producer_that_is_given_up_sends_nothing_more(rig, lane, platform):
    """What stood behind a failed record would come before it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=rig.service.settings.kafka, enable_idempotence=True, linger_ms=0, max_batch_size=200
    )
    await producer.start()
    await producer.send_and_wait(lane.topic, b"before", partition=0)
    platform.kill("kafka", signal.SIGSTOP)
    try:
        for _ in range(10):  # until Kafka really stands still
            in_flight = await producer.send(lane.topic, b"in flight", partition=0)
            await asyncio.sleep(0.1)  # the sender's turn: the next one waits behind it
            if not in_flight.done():
                break
        behind = await producer.send(lane.topic, b"behind" + b" " * 150, partition=0)
        given_up = asyncio.create_task(outbox._give_up(producer))
        await asyncio.sleep(0.3)
    finally:
        platform.kill("kafka", signal.SIGCONT)
    await asyncio.wait_for(given_up, 10)
    assert b"behind" not in [record.value.strip() for record in await lane.records(1, 3)]
    for future in (in_flight, behind):
        future.cancel()


async def test_a_commit_wakes_the_leader_here_and_elsewhere(rig, copies, relays, lane, monkeypatch):
    """Without the wake-up the poll would take a second, half of one on average."""
    other = await copies("b")
    leader = await relays()
    assert await until(lambda: asyncio.sleep(0, leader.leader))
    standing_by = Relay(other.database, {}, other.service.telemetry.metrics)
    rig.service.relay = leader
    helpers = [asyncio.create_task(rig.service._listen()), asyncio.create_task(standing_by.notifier())]
    try:
        await asyncio.sleep(0.3)  # LISTEN
        for relay in (leader, standing_by):
            took = []
            for n in range(8):
                await asyncio.sleep(0.02)
                await write(rig, lane.topic, 1, start=n)
                started = time.perf_counter()
                relay.committed(Decided(rows=[()]))
                assert await until(lambda: rig.see.fetchval("select not exists (select from scheduling.outbox)"), 5, pause=0.002)
                took.append(time.perf_counter() - started)
            assert sorted(took)[4] < 0.2, took
    finally:
        for task in helpers:
            task.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


async def test_the_backlog_is_measured_though_no_relay_gets_anything_out(rig, lane):
    await write(rig, lane.topic, 30)
    watching = asyncio.create_task(rig.service.relay.watch())
    rows = rig.service.telemetry.metrics.outbox_rows
    assert await until(lambda: asyncio.sleep(0, rows._value.get() == 30), 5)
    watching.cancel()
