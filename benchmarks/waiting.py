"""A copy of a service with its retrier, for measurements in which some events must wait."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import orjson

from benchmarks.hop import TABLE
from benchmarks.reading import Lane, Watch, emptied
from shared.cloudevents import Cause, Fact, new_id
from shared.consumer import Consumer
from shared.database import Database
from shared.decisions import Handler
from shared.events import MeetingHeld
from shared.held import Retrier
from shared.telemetry import Telemetry, new_traceparent
from shared.work import Decided, Work

Record = tuple[str, bytes, bytes, list[tuple[str, bytes]]]
"""Topic, key, value, headers."""


def meeting(topic: str, pair: UUID, number: int, key: str = "") -> Record:
    """A pair's meeting as a record; of two with one key the first is handled first, and the key is the pair where none is given."""
    now = datetime.now(UTC)
    event = MeetingHeld(
        relationship_id=pair,
        program="bench.waiting",
        meeting_id=new_id(),
        held_at=now,
        minutes=30,
        attended=(pair, pair),
        number=number,
        audience=("bench", "other"),
    )
    cause = Cause("/bench", "bench", "bench.waiting", new_id(), new_id(), new_traceparent(sampled=False))
    _, _, own, headers, payload, _ = Fact(new_id(), event, now).row(cause, now)
    return topic, (key or own).encode(), payload, [(k, v.encode()) for k, v in orjson.loads(headers).items()]


async def begin(db: "asyncpg.Connection[asyncpg.Record]", pairs: Sequence[UUID]) -> None:
    """Nothing is read, and of these pairs nothing is known but that they are there."""
    await emptied(db, "tallies")
    await db.execute("insert into tallies select unnest($1::uuid[]), 0, 0, 0", pairs)
    await db.execute("analyze tallies")


@contextmanager
def quietly() -> Iterator[None]:
    """Without a line for each event that is held."""
    log = logging.getLogger("ithaca")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


async def facts_per_second(lane: Lane, handlers: Sequence[Handler], facts: int, *, but: str = "") -> float:
    """Read until so many facts were decided; those of the key `but` aren't counted, nor is the first batch."""
    database = Database(lane.dsn, lane.service)
    await database.start()
    work = Work(lane.service, database, [TABLE], handlers, Telemetry("bench", exporter="none"))
    consumer = Consumer(
        work,
        {"bootstrap_servers": lane.kafka},
        lane.topics,
        group=lane.group(),
        batch=lane.batch,
        partitions=lane.partitions,
    )
    retrier = Retrier(work)
    watch, before, done, ended = Watch(lane), 0, 0, asyncio.Event()

    def committed(decided: Decided) -> None:
        nonlocal watch, before, done
        first = done == 0
        done += sum(row[2] != but for row in decided.rows)
        if first:
            watch, before = Watch(lane), done
        if done >= facts:
            ended.set()

    work.committed = [committed, retrier.committed]
    tasks = [asyncio.create_task(loop()) for loop in (consumer.run, retrier.run)]
    try:
        waiting = asyncio.create_task(ended.wait())
        finished, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
        return watch.round(done - before).rate
    finally:
        await consumer.stop(tasks[0])
        for task in [waiting, *tasks]:
            task.cancel()
        await asyncio.wait([waiting, *tasks])
        await database.stop()
