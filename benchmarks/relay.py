"""The relay, side by side in one run: from the outbox to Kafka.

raw     aiokafka's producer, idempotent, all acknowledgements, the same records from memory
naive   a poller as one would first write it: lock one row, send it and wait, delete it, commit
ours    the relay
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.figures import Figure, ratio
from benchmarks.ground import Say, own_topics, rates, schema
from benchmarks.meetings import Record, Row, meeting, record
from deploy.local.platform import Platform
from shared.cloudevents import new_id
from shared.database import Database
from shared.outbox import Relay
from shared.service import spare_the_collector
from shared.telemetry import Metrics
from shared.work import write_outbox

NAME = "relay"
ABOUT = "From the outbox to Kafka, deleted once all in-sync replicas have it."

ROLE, TOPIC, PARTITIONS, KEYS = "bench_relay", "bench-relay", 12, 1_000
WHOLE, QUICK = (30_000, 1_000), (2_000, 50)
"""Events, and those that naive sends, one by one."""
TAKE = "select id, topic, key, headers, payload from outbox order by id limit 1 for update skip locked"


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


async def send(producer: AIOKafkaProducer, one: Record) -> "asyncio.Future[object]":
    topic, key, value, headers = one
    sent: asyncio.Future[object] = await producer.send(topic, value, key=key, headers=headers)
    return sent


async def raw(bench: Bench) -> float:
    records = [record(row) for row in bench.rows]
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.kafka, enable_idempotence=True, acks="all", linger_ms=5, max_batch_size=131_072
    )
    await producer.start()
    try:
        await (await send(producer, records[0]))
        begun = time.perf_counter()
        await asyncio.gather(*[await send(producer, each) for each in records])
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
                await (await send(producer, record((*row, None))))
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
        pairs = [new_id() for _ in range(min(KEYS, events))]
        rows = [meeting(TOPIC, pairs[n % len(pairs)], n // len(pairs) + 1) for n in range(events)]
        bench = Bench(platform.addresses["kafka"], dsn, rows, one_by_one)
        return await rates({"naive": lambda: naive(bench), "raw": lambda: raw(bench), "ours": lambda: ours(bench)}, rounds, say)


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    rate = asyncio.run(compare(platform, say, rounds, *(QUICK if quick else WHOLE)))
    return [ratio(NAME, "naive", rate["ours"], rate["naive"], 75), ratio(NAME, "raw produce", rate["ours"], rate["raw"], 0.3)]
