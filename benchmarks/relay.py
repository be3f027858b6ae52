"""The relay, side by side in one run: from the outbox to Kafka.

raw     aiokafka's producer, idempotent, all acknowledgements, the same records from memory
naive   a poller as one would first write it: lock one row, send it and wait, delete it, commit
ours    the relay
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer

from benchmarks.figures import Figure, ratio
from benchmarks.ground import ROUNDS, Say, interleaved, own_topics, rates, schema
from deploy.local.platform import Platform
from shared.cloudevents import Cause, Fact, new_id, new_text_id
from shared.database import Database
from shared.events import MeetingHeld
from shared.outbox import Relay
from shared.service import spare_the_collector
from shared.telemetry import Metrics, new_traceparent
from shared.work import write_outbox

NAME = "relay"
ABOUT = "From the outbox to Kafka, deleted once all in-sync replicas have it."

ROLE, TOPIC, PARTITIONS, KEYS = "bench_relay", "bench-relay", 12, 1_000
EVENTS, ONE_BY_ONE = 30_000, 1_000
QUICK_EVENTS, QUICK_ONE_BY_ONE = 2_000, 50
TAKE = "select id, topic, key, headers, payload from outbox order by id limit 1 for update skip locked"

Row = tuple[Any, ...]
"""As in the outbox: event id, topic, key, headers, payload, recorded at."""


def facts(count: int) -> list[Row]:
    pairs, people, now = [new_id() for _ in range(min(KEYS, count))], (new_id(), new_id()), datetime.now(UTC)
    rows = []
    for n in range(count):
        event = MeetingHeld(
            relationship_id=pairs[n % len(pairs)],
            program="bench.relay",
            meeting_id=new_id(),
            held_at=now,
            minutes=30,
            attended=people,
            number=n // len(pairs) + 1,
            audience=("bench", "other"),
        )
        cause = Cause("/bench", "bench", "bench.relay", new_id(), new_id(), new_traceparent(sampled=True))
        event_id, _, *rest = Fact(new_text_id(), event, now).row(cause, now)
        rows.append((event_id, TOPIC, *rest))
    return rows


@dataclass(frozen=True, slots=True)
class Bench:
    kafka: str
    dsn: str
    rows: Sequence[Row]
    one_by_one: int

    async def fill(self, rows: Sequence[Row]) -> None:
        """The outbox holds these and no others."""
        connection = await asyncpg.connect(self.dsn)
        try:
            async with connection.transaction():
                await connection.execute("truncate outbox")
                await write_outbox(connection, rows)
                await connection.execute("analyze outbox")
        finally:
            await connection.close()

    async def left(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            count: int = await connection.fetchval("select count(*) from outbox")
            return count
        finally:
            await connection.close()


def record(row: Row) -> dict[str, Any]:
    """What aiokafka's `send` takes."""
    _, topic, key, headers, payload, _ = row
    return {
        "topic": topic,
        "value": payload,
        "key": key.encode(),
        "headers": [(name, value.encode()) for name, value in orjson.loads(headers).items()],
    }


async def raw(bench: Bench) -> float:
    records = [record(row) for row in bench.rows]
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.kafka, enable_idempotence=True, acks="all", linger_ms=5, max_batch_size=131_072
    )
    await producer.start()
    try:
        await producer.send_and_wait(**records[0])
        begun = time.perf_counter()
        await asyncio.gather(*[await producer.send(**each) for each in records])
        return len(records) / (time.perf_counter() - begun)
    finally:
        await producer.stop()


async def naive(bench: Bench) -> float:
    await bench.fill(bench.rows[: bench.one_by_one])
    connection = await asyncpg.connect(bench.dsn)
    producer = AIOKafkaProducer(bootstrap_servers=bench.kafka, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        begun = time.perf_counter()
        for _ in range(bench.one_by_one):
            async with connection.transaction():
                row = await connection.fetchrow(TAKE)
                assert row is not None
                await producer.send_and_wait(**record((None, *tuple(row)[1:], None)))
                await connection.execute("delete from outbox where id = $1", row["id"])
        return bench.one_by_one / (time.perf_counter() - begun)
    finally:
        await producer.stop()
        await connection.close()


async def ours(bench: Bench) -> float:
    """From the first look at a full outbox to an empty one; the leader and its producer are there before."""
    await bench.fill(bench.rows[:1])
    database = Database(bench.dsn, ROLE)
    await database.start()
    relay = Relay(database, {"bootstrap_servers": bench.kafka}, Metrics())
    running = asyncio.create_task(relay.run())
    try:
        await sent(relay, 1, running)
        await bench.fill(bench.rows)
        begun = time.perf_counter()
        relay.wake.set()
        await sent(relay, 1 + len(bench.rows), running)
        took = time.perf_counter() - begun
    finally:
        running.cancel()
        await asyncio.wait([running])
        await database.stop()
    assert await bench.left() == 0, "the relay left rows behind"
    return len(bench.rows) / took


async def sent(relay: Relay, count: int, running: "asyncio.Task[None]") -> None:
    """Wait until so many are sent and deleted. Raises what ended the relay."""
    while relay.sent < count:
        if running.done():
            running.result()
        await asyncio.sleep(0.002)


async def compare(platform: Platform, say: Say, rounds: int, events: int, one_by_one: int) -> dict[str, float]:
    """Median events per second of each way."""
    spare_the_collector()
    async with schema(platform, ROLE) as dsn, own_topics(platform, [TOPIC], PARTITIONS):
        bench = Bench(platform.addresses["kafka"], dsn, facts(events), one_by_one)
        ways = {name: (lambda way=way: way(bench)) for name, way in {"naive": naive, "raw": raw, "ours": ours}.items()}
        results = await interleaved(ways, rounds, rates(say, rounds))
    return {name: statistics.median(each) for name, each in results.items()}


def measure(platform: Platform, say: Say, *, quick: bool = False, rounds: int = ROUNDS) -> list[Figure]:
    if quick:
        rate = asyncio.run(compare(platform, say, 1, QUICK_EVENTS, QUICK_ONE_BY_ONE))
    else:
        rate = asyncio.run(compare(platform, say, rounds, EVENTS, ONE_BY_ONE))
    return [ratio(NAME, "naive", rate["ours"], rate["naive"], 75), ratio(NAME, "raw produce", rate["ours"], rate["raw"], 0.3)]
