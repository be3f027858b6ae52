"""Timers beside many that are pending: what a look costs when none is due, and how many fire a second.

events   the hop, untraced: the same decision for events
few      timers that are due, beside ten thousand that aren't
many     the same beside a million
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from benchmarks import hop
from benchmarks.figures import Figure, number, ratio
from benchmarks.ground import Say, interleaved, own_topics, schema
from benchmarks.reading import Lane
from benchmarks.waiting import begin
from deploy.local.platform import Platform
from shared.cloudevents import new_id
from shared.database import Database
from shared.decisions import Context, Outcome, at, changed
from shared.events import ContactLogged
from shared.service import spare_the_collector
from shared.telemetry import Telemetry
from shared.timers import SLICES, DueTimer, Timers
from shared.watermarks import Watermarks
from shared.work import Work

NAME = "pending"
ABOUT = "Timers beside a million that are pending: an idle look, and how many fire a second."

ROLES, TOPIC = {"few": "bench_pending_few", "many": "bench_pending_many"}, "bench-pending"
LOOKS = 200
PENDING = """
insert into timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
select 'quiet', gen_random_uuid()::text, gen_random_uuid()::text, $2::timestamptz + interval '1 day' + n * interval '30 s', 'bench', 'bench.pending',
  gen_random_uuid(), ''
from generate_series(1, $1::int) n
"""
DUE = """
insert into timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
select 'quiet', owner || ':' || n, owner, $3::timestamptz - interval '1 minute' - n * interval '1 ms', 'bench', 'bench.pending', gen_random_uuid(), ''
from generate_series(1, $1::int) n, unnest($2::text[]) owner
"""


@dataclass(frozen=True, slots=True)
class Size:
    few: int
    many: int
    pairs: int
    due: int
    """Of each pair in a round."""
    hop: hop.Size


WHOLE, QUICK = Size(10_000, 1_000_000, 1_000, 20, hop.WHOLE), Size(100, 2_000, 50, 30, hop.QUICK)


@dataclass(frozen=True, slots=True)
class Fired:
    """What a round came to."""

    rate: float
    """Timers or events per second."""
    look: float = 0.0
    """Median seconds of a look when none is due."""


def quiet(tally: hop.Tally | None, timer: DueTimer, _: Context) -> Outcome:
    """The hop's decision on a timer: a change, and an event that follows."""
    assert tally is not None
    said = ContactLogged(
        relationship_id=tally.id, program="bench.pending", contact_id=timer.id, person_id=tally.id, at=timer.fire_at
    )
    return changed(tally, meetings=tally.meetings + 1, minutes=tally.minutes + 30, last=tally.last + 1).then(said)


@dataclass(frozen=True, slots=True)
class Bench:
    """A service with timers: its consumer has nothing to read and says so."""

    timers: Timers
    reading: "asyncio.Task[None]"
    db: "asyncpg.Connection[asyncpg.Record]"
    pairs: Sequence[UUID]
    size: Size

    async def fired(self) -> Fired:
        database = self.timers.work.database
        await self.db.execute("update tallies set meetings = 0, minutes = 0, last = 0; truncate outbox")
        await self.db.execute(DUE, self.size.due, [str(pair) for pair in self.pairs], database.clock.now())
        while not (first := await self.timers.fire_due()):  # until all partitions were read past now
            if self.reading.done():
                self.reading.result()
            await asyncio.sleep(0.05)
        begun, fired = time.perf_counter(), 0
        while now := await self.timers.fire_due():
            fired += now
        took = time.perf_counter() - begun
        told = await self.db.fetchval("select count(*) from outbox")
        assert told == first + fired == len(self.pairs) * self.size.due, f"{told} of {len(self.pairs) * self.size.due} fired"
        looks = []
        for _ in range(LOOKS):
            begun = time.perf_counter()
            assert await self.timers.fire_due() == 0
            looks.append(time.perf_counter() - begun)
        return Fired(fired / took, statistics.median(looks))


@asynccontextmanager
async def pending(platform: Platform, role: str, count: int, size: Size) -> AsyncIterator[Bench]:
    """A service that has so many timers pending."""
    async with schema(platform, role, hop.MIGRATIONS) as dsn:
        lane = Lane(platform, role, dsn, (TOPIC,), SLICES, size.hop.batch)
        database = Database(dsn, role)
        await database.start()
        handlers = [at("quiet", hop.Tally, do=quiet)]
        work = Work(role, database, [hop.TABLE], handlers, Telemetry("bench", exporter="none"))
        consumer = lane.consumer(work)
        timers = Timers(work, consumer, Watermarks({}, database.clock, frozenset()))
        work.committed = [timers.committed]
        reading = asyncio.create_task(consumer.run())
        db = await asyncpg.connect(dsn)
        try:
            pairs = [new_id() for _ in range(size.pairs)]
            await begin(db, pairs)
            await db.execute(PENDING, count, database.clock.now())
            await db.execute("vacuum analyze timers")
            yield Bench(timers, reading, db, pairs, size)
        finally:
            await consumer.stop(reading)
            reading.cancel()
            await asyncio.wait([reading])
            await db.close()
            await database.stop()


async def compare(platform: Platform, say: Say, rounds: int, size: Size) -> dict[str, Fired]:
    """The medians of each way."""
    spare_the_collector()

    def tell(n: int, name: str, one: Fired) -> None:
        say(f"round {n + 1}/{rounds}  {name:8} {one.rate:9,.0f}/s" + (f"  a look {one.look * 1000:.2f} ms" if one.look else ""))

    async with (
        hop.started(platform, size.hop) as events,
        own_topics(platform, [TOPIC], SLICES),
        pending(platform, ROLES["few"], size.few, size) as few,
        pending(platform, ROLES["many"], size.many, size) as many,
    ):
        say(f"{size.few:,} and {size.many:,} timers are pending")

        async def handled() -> Fired:
            await events.reset()
            return Fired((await hop.through_core(0.0)(events)).rate)

        results = await interleaved({"events": handled, "few": few.fired, "many": many.fired}, rounds, tell)
    return {
        name: Fired(statistics.median(one.rate for one in each), statistics.median(one.look for one in each))
        for name, each in results.items()
    }


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    size = QUICK if quick else WHOLE
    found = asyncio.run(compare(platform, say, rounds, size))
    events, few, many = (found[name] for name in ("events", "few", "many"))
    return [
        Figure(
            f"idle look, {size.many:,} pending",
            many.look * 1000,
            "ms p50",
            1,
            at_most=True,
            detail=f"{few.look * 1000:.2f} ms at {size.few:,}",
        ),
        ratio(f"timers fired, {size.many:,} pending", "events untraced", many.rate, events.rate, 0.5),
        Figure(
            f"timers fired, {size.many:,} pending",
            few.rate / many.rate,
            f"× the time at {size.few:,}",
            1.1,
            at_most=True,
            detail=f"{number(many.rate)}/s against {number(few.rate)}/s",
        ),
    ]
