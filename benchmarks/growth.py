"""A service with a long history beside one with a short one: CPU and WAL of an event, and the gateway's look for what was posted before.

History: ids in the inbox over its fourteen days, relationships that have ended, outbox rows that came and went, batches that moved the
positions. The relationships that go on, a thousand, are the newest in both.
"""

import asyncio
import hashlib
import random
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from benchmarks.figures import Figure
from benchmarks.ground import Say, interleaved, own_topics, schema
from benchmarks.hop import HANDLERS, MIGRATIONS, PARTITIONS, TABLE
from benchmarks.meetings import meeting, record
from benchmarks.reading import Lane, Watch, ours
from deploy.local.platform import Platform
from deploy.local.state import CHECKOUT
from services.gateway import store
from shared.cloudevents import new_id
from shared.consumer import INBOX_DAYS
from shared.database import Database
from shared.outbox import DELETE, NEXT
from shared.service import keep_inbox, spare_the_collector

NAME = "growth"
ABOUT = "CPU and WAL of an event, and the gateway's look for a repeated one, with a million rows of history against ten thousand."

TOPIC, RELAY_BATCH, PAIRS = "bench-growth", 1_000, 1_000
INBOX = f"insert into inbox select uuidv7((n - $1) * interval '{INBOX_DAYS} days' / $1) from generate_series(1, $1::int) n"
ENDED = """
insert into tallies select uuidv7(interval '-30 days' + (n - $1) * interval '700 days' / $1), n % 20, n % 900, n % 20
from generate_series(1, $1::int) n
"""
CHURN = """
insert into outbox (event_id, topic, key, headers, payload, recorded_at)
select uuidv7(), 'bench', n::text, repeat('h', 100)::bytea, repeat('p', 100)::bytea, clock_timestamp() from generate_series(1, $1::int) n
"""
MOVES = """
do $$ begin for n in 1..{moves} loop
  update positions set next_offset = next_offset + 1; commit;
end loop; end $$;
"""
POSTED = """
insert into intakes (id, organization, source, own_id, type, sha256, status, received_at)
select uuidv7((n - $1) * interval '400 days' / $1), 'bench-' || n % 10, 'https://bench.example/' || n % 3, md5(n::text), 'ithaca.MeetingReported',
  md5('a' || n) || md5('b' || n), 'applied', clock_timestamp() from generate_series(1, $1::int) n
"""
ORGANIZATION = """
insert into organizations (id, name, time_zone, locale, onboarded_at) values ('bench-1', 'Bench', 'UTC', 'en', clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Size:
    short: int
    long: int
    events: int
    """In a round."""
    asked: int
    """Events of a request."""
    requests: int
    """In a round."""


WHOLE, QUICK = Size(10_000, 1_000_000, 15_000, 100, 200), Size(500, 5_000, 2_000, 10, 5)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one event."""

    cpu: float
    """Microseconds, of Python and PostgreSQL."""
    wal: float
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The hop's service after so much history."""

    lane: Lane
    db: "asyncpg.Connection[asyncpg.Record]"
    see: "asyncpg.Connection[asyncpg.Record]"
    """A superuser's."""

    async def age(self, history: int) -> None:
        for days in range(INBOX_DAYS, -1, -1):
            async with self.db.transaction():
                await keep_inbox(self.db, datetime.now(UTC) - timedelta(days=days))
        await self.db.execute(INBOX, history)
        await self.db.execute(ENDED, history)
        for _ in range(10):
            await self.db.execute(CHURN, history // 10)
            await self.db.execute("delete from outbox")
            await self.db.execute("vacuum outbox")
        await self.db.execute(
            "insert into positions (topic, partition) select $1, n from generate_series(0, $2 - 1) n", "bench-past", PARTITIONS
        )
        await self.db.execute(MOVES.format(moves=history // 1_000))
        await self.db.execute("vacuum analyze")

    async def handled(self, events: int) -> Cost:
        """The next so many events of the topic, and what the relay asks of PostgreSQL for the facts that followed."""
        await self.see.execute("checkpoint")
        before = await self.see.fetchval("select pg_current_wal_lsn()")
        found = await ours(self.lane, [TABLE], HANDLERS, events, 0.0)
        watch, rows = Watch(self.lane), 0
        while sent := await self.db.fetch(NEXT, RELAY_BATCH, []):
            await self.db.execute(DELETE, [row[0] for row in sent])
            rows += len(sent)
        relayed = watch.round(rows)
        wal = await self.see.fetchval("select (pg_current_wal_lsn() - $1::pg_lsn)::float8", before)
        cpu = sum(found.cpu[:2]) / found.got + sum(relayed.cpu[:2]) / rows
        return Cost(cpu * 1e6, wal / rows)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway after so many posted events."""

    database: Database
    db: "asyncpg.Connection[asyncpg.Record]"
    history: int

    async def age(self) -> None:
        await self.db.execute(ORGANIZATION)
        await self.db.execute(POSTED, self.history)
        await self.db.execute("vacuum analyze")

    async def asked(self, size: Size) -> float:
        """Median seconds of looking for the events of a request, of which every second was posted before."""
        took = []
        for _ in range(size.requests):
            posted = {source_and_id(random.randrange(self.history // 10) * 10 + 1) for _ in range(size.asked // 2)}
            fresh = {(source, str(new_id())) for source, _ in posted}
            begun = time.perf_counter()
            found = await store.known(self.database, "bench-1", store.Questions(intakes=posted | fresh))
            took.append(time.perf_counter() - begun)
            assert set(found.intakes) == posted, "what was posted isn't found"
        return statistics.median(took)


def source_and_id(n: int) -> tuple[str, str]:
    """Of the n-th event that `POSTED` makes."""
    return f"https://bench.example/{n % 3}", hashlib.md5(str(n).encode()).hexdigest()


@asynccontextmanager
async def reader(platform: Platform, role: str, history: int, batch: int) -> AsyncIterator[Reader]:
    async with schema(platform, role, MIGRATIONS) as dsn:
        db, see = await asyncpg.connect(dsn), await asyncpg.connect(platform.addresses["postgres"])
        try:
            aged = Reader(Lane(platform, role, dsn, (TOPIC,), PARTITIONS, batch), db, see)
            await aged.age(history)
            yield aged
        finally:
            await see.close()
            await db.close()


@asynccontextmanager
async def gateway(platform: Platform, role: str, history: int) -> AsyncIterator[Gateway]:
    async with schema(platform, role, CHECKOUT / "services/gateway/migrations") as dsn:
        db, database = await asyncpg.connect(dsn), Database(dsn, role)
        await database.start()
        try:
            aged = Gateway(database, db, history)
            await aged.age()
            yield aged
        finally:
            await database.stop()
            await db.close()


async def costs(platform: Platform, say: Say, rounds: int, size: Size) -> dict[str, Cost]:
    """The median cost of an event after a short and a long history."""
    pairs = [new_id() for _ in range(PAIRS)]
    batch = min(1_000, size.events // 5)
    async with (
        own_topics(platform, [TOPIC], PARTITIONS),
        reader(platform, "bench_growth_short", size.short, batch) as short,
        reader(platform, "bench_growth_long", size.long, batch) as long,
    ):
        count = rounds * (size.events + 4 * batch)
        await short.lane.fill([record(meeting(TOPIC, pairs[n % PAIRS], n // PAIRS + 1)) for n in range(count)])
        for aged in (short, long):
            await aged.db.execute("insert into tallies select unnest($1::uuid[]), 0, 0, 0", pairs)
        say(f"histories of {size.short:,} and {size.long:,} events are made up")

        def tell(n: int, name: str, cost: Cost) -> None:
            say(f"round {n + 1}/{rounds}  {name:8} {cost.cpu:6.1f} µs  {cost.wal:6,.0f} B of WAL")

        ways = {"short": lambda: short.handled(size.events), "long": lambda: long.handled(size.events)}
        results = await interleaved(ways, rounds, tell)
    return {
        name: Cost(statistics.median(one.cpu for one in each), statistics.median(one.wal for one in each))
        for name, each in results.items()
    }


async def looks(platform: Platform, say: Say, rounds: int, size: Size) -> dict[str, float]:
    """The median seconds of a request's look for what was posted before, after a short and a long history."""
    async with (
        gateway(platform, "bench_posted_short", size.short) as short,
        gateway(platform, "bench_posted_long", size.long) as long,
    ):
        say(f"{size.short:,} and {size.long:,} events were posted")

        def tell(n: int, name: str, seconds: float) -> None:
            say(f"round {n + 1}/{rounds}  {name:8} {seconds * 1000:6.2f} ms")

        ways = {"short": lambda: short.asked(size), "long": lambda: long.asked(size)}
        results = await interleaved(ways, rounds, tell)
    return {name: statistics.median(each) for name, each in results.items()}


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    size = QUICK if quick else WHOLE
    spare_the_collector()
    cost = asyncio.run(costs(platform, say, rounds, size))
    look = asyncio.run(looks(platform, say, rounds, size))
    short, long = cost["short"], cost["long"]
    unit = f"× that at {size.short:,}"
    after = f"after {size.long:,} events"
    return [
        Figure(
            f"CPU of an event {after}", long.cpu / short.cpu, unit, 1.1, True, f"{long.cpu:.1f} µs against {short.cpu:.1f} µs"
        ),
        Figure(
            f"WAL of an event {after}", long.wal / short.wal, unit, 1.1, True, f"{long.wal:,.0f} B against {short.wal:,.0f} B"
        ),
        Figure(
            f"repeats looked for {after}",
            look["long"] / look["short"],
            unit,
            1.5,
            True,
            f"{look['long'] * 1000:.2f} ms against {look['short'] * 1000:.2f} ms, {size.asked} at once",
        ),
    ]
