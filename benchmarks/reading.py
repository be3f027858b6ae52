"""Consumers measured on topics that were filled before: raw aiokafka, and the core with all its guarantees."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.ground import own_topics, schema
from benchmarks.meetings import Record
from deploy.local.platform import Platform
from shared.consumer import Consumer
from shared.database import Database
from shared.decisions import Handler
from shared.events import CATALOGUE
from shared.otlp import OtlpExporter
from shared.service import keep_inbox
from shared.tables import Table
from shared.telemetry import Telemetry
from shared.work import Work

CORE = "positions, inbox, held, held_keys, outbox, timers"
Cpu = tuple[float, float, float]
"""CPU seconds: this process, PostgreSQL, Kafka."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Topics full of events, and a schema in which they are handled."""

    platform: Platform
    service: str
    """The schema's and its role's name."""
    dsn: str
    topics: tuple[str, ...]
    partitions: int
    """Of all topics together."""
    batch: int
    collector: str = ""

    @property
    def kafka(self) -> str:
        return self.platform.addresses["kafka"]

    def cpu(self) -> Cpu:
        """So far."""
        pids = self.platform.pids
        return time.process_time(), tree(pids["postgres"]), tree(pids["kafka"])

    def group(self) -> str:
        """A consumer group that has read nothing yet."""
        return f"{self.service}-{uuid4().hex[:8]}"

    def consumer(self, work: Work) -> Consumer:
        """One that has read nothing yet."""
        kafka = {"bootstrap_servers": self.kafka}
        return Consumer(work, kafka, self.topics, group=self.group(), batch=self.batch, partitions=self.partitions)

    async def fill(self, records: Sequence[Record]) -> None:
        """Write records, in order per key."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, enable_idempotence=True, linger_ms=5, max_batch_size=131_072)
        await producer.start()
        try:
            sends = [await producer.send(topic, value, key=key, headers=headers) for topic, key, value, headers in records]
            await asyncio.gather(*sends)
        finally:
            await producer.stop()


@asynccontextmanager
async def prepared(
    platform: Platform, service: str, migrations: Path, topics: Sequence[str], partitions: int, batch: int, collector: str = ""
) -> AsyncIterator[tuple[Lane, "asyncpg.Connection[Any]"]]:
    """A schema and topics of so many partitions each, with today's inbox, and a connection to it; all of it goes at the end."""
    async with schema(platform, service, migrations) as dsn, own_topics(platform, topics, partitions):
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                await keep_inbox(connection, datetime.now(UTC))
            yield Lane(platform, service, dsn, tuple(topics), partitions * len(topics), batch, collector), connection
        finally:
            await connection.close()


def tree(pid: int) -> float:
    """CPU seconds of a process and its children, ended ones included."""
    total = 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            total += sum(map(int, fields[11:15])) / ticks
    return total


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to: so many events in so many seconds, and CPU seconds (python, postgres, kafka)."""

    got: int
    seconds: float
    cpu: Cpu

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.got / self.seconds


class Watch:
    """Started at the first event, stopped at the last."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.cpu = lane.cpu()
        self.begun = time.perf_counter()

    def round(self, got: int) -> Round:
        took, after = time.perf_counter() - self.begun, self.lane.cpu()
        python, postgres, kafka = (b - a for a, b in zip(self.cpu, after, strict=True))
        return Round(got, took, (python, postgres, kafka))


async def raw(lane: Lane, count: int) -> Round:
    """Fetch, decode headers and data, commit; no database."""
    consumer = AIOKafkaConsumer(
        *lane.topics,
        bootstrap_servers=lane.kafka,
        group_id=lane.group(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    got, watch = 0, None
    while got < count:
        fetched = await consumer.getmany(timeout_ms=500, max_records=lane.batch)
        if fetched and watch is None:
            watch = Watch(lane)
        for records in fetched.values():
            for record in records:
                headers = dict(record.headers)
                assert headers["ce_id"].decode()
                assert headers["traceparent"].decode()
                assert CATALOGUE[headers["ce_type"].decode()].model_validate_json(record.value)
            got += len(records)
        if fetched:
            await consumer.commit()
    assert watch is not None
    found = watch.round(got)
    await consumer.stop()
    return found


async def ours(lane: Lane, tables: Sequence[Table[Any]], handlers: Sequence[Handler], count: int, rate: float) -> Round:
    """The core; a share of the traces (0…1) goes to the collector. Its first batch isn't counted."""
    exporter = OtlpExporter(endpoint=lane.collector) if rate else "none"
    telemetry = Telemetry("bench", exporter=exporter, rate=rate)
    database = Database(lane.dsn, lane.service)
    await database.start()
    work = Work(lane.service, database, tables, handlers, telemetry)
    consumer = lane.consumer(work)
    first, last = asyncio.Event(), asyncio.Event()
    watch, before = Watch(lane), 0

    def committed(_: object) -> None:
        nonlocal watch, before
        if not first.is_set():
            watch, before = Watch(lane), consumer.handled
            first.set()
        elif consumer.handled >= count:
            last.set()

    work.committed = [committed]
    task = asyncio.create_task(consumer.run())
    await last.wait()
    found = watch.round(consumer.handled - before)
    await consumer.stop(task)
    await database.stop()
    await asyncio.to_thread(telemetry.stop)
    return found


async def emptied(connection: "asyncpg.Connection[Any]", *more: str) -> None:
    """The core's tables, and these, without a row: the next reader begins at the log's start."""
    await connection.execute(f"truncate {', '.join((CORE, *more))}")
