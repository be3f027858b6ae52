"""A copy of a service with its retrier, for measurements in which some events must wait."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import asyncpg

from benchmarks.hop import TABLE
from benchmarks.reading import Lane, Watch, emptied
from shared.database import Database
from shared.decisions import Handler
from shared.held import Retrier
from shared.telemetry import Telemetry
from shared.work import Decided, Work


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
    consumer = lane.consumer(work)
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
