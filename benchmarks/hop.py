"""One hop, side by side in one run: consume, decide on an aggregate, save it, write the event that follows to the outbox.

raw     aiokafka: fetch, decode headers and data, commit; no database
naive   FastStream as its front page shows it: one handler call, one transaction, five statements per event
plain   FastStream batches with the same set-based SQL in one transaction per batch; no guarantees of ours (no positions, inbox, held)
ours    the core with all of them; traces off, at 10 % and at 100 %

Rounds are interleaved, so that a noisy minute hits all alike; ratios are of medians.
"""

import asyncio
import statistics
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from benchmarks.figures import Figure, ratio
from benchmarks.ground import Say, collector, interleaved
from benchmarks.meetings import meeting, record
from benchmarks.reading import Lane, Round, Watch, emptied, ours, prepared, raw
from deploy.local.platform import Platform
from shared.cloudevents import Cause, Received, new_id, new_text_id, outbox_row
from shared.decisions import Context, Outcome, changed, on
from shared.errors import Fenced
from shared.events import ContactLogged, MeetingHeld
from shared.service import spare_the_collector
from shared.tables import Table
from shared.work import write_outbox

NAME = "hop"
ABOUT = "One hop: consume, decide on an aggregate, save it, write the event that follows to the outbox."

ROLE, TOPIC, PARTITIONS = "bench_hop", "bench-hop", 6
WANTED: dict[str, Any] = {MeetingHeld.TYPE: MeetingHeld}


@dataclass(frozen=True, slots=True)
class Tally:
    """The aggregate: what a relationship has come to."""

    id: uuid.UUID
    meetings: int
    minutes: int
    last: int


def held(tally: Tally | None, event: MeetingHeld, _: Context) -> Outcome:
    assert tally is not None
    return changed(tally, meetings=tally.meetings + 1, minutes=tally.minutes + event.minutes, last=event.number).then(
        follows(event)
    )


def follows(event: MeetingHeld) -> ContactLogged:
    return ContactLogged(
        relationship_id=event.relationship_id,
        program=event.program,
        contact_id=event.meeting_id,
        person_id=event.attended[0],
        at=event.held_at,
    )


TABLE = Table(Tally, "tallies")
MIGRATIONS = Path(__file__).parent / "migrations"


HANDLERS = [on(MeetingHeld, Tally, by="relationship_id", do=held)]


@dataclass(frozen=True, slots=True)
class Size:
    """How many events lie on the topic, of how many relationships, and how many each way reads in a round."""

    events: int
    pairs: int
    batch: int
    naive: int
    raw: int
    batches: int


WHOLE, QUICK = Size(60_000, 1_000, 1_000, 1_500, 40_000, 20_000), Size(4_000, 100, 100, 50, 1_000, 1_500)


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts, filled with events once."""

    lane: Lane
    size: Size
    pairs: list[uuid.UUID]
    db: "asyncpg.Connection[Any]"

    async def fill(self) -> None:
        pairs = self.pairs
        rows = (meeting(TOPIC, pairs[n % len(pairs)], n // len(pairs) + 1, minutes=n % 97 + 1) for n in range(self.size.events))
        await self.lane.fill([record(row) for row in rows])

    async def reset(self) -> None:
        await emptied(self.db, "tallies")
        await self.db.execute("insert into tallies select unnest($1::uuid[]), 0, 0, 0", self.pairs)
        await self.db.execute("analyze tallies")


async def naive(bench: Bench) -> Round:
    """Our guarantees as one would first write them: position, inbox, aggregate, outbox, each event in a transaction of its own."""
    broker, done = KafkaBroker(bench.lane.kafka, logger=None), asyncio.Event()
    pool = await asyncpg.create_pool(bench.lane.dsn, min_size=2, max_size=2)
    await pool.execute(
        "insert into positions (topic, partition) select $1, n from generate_series(0, $2 - 1) n", TOPIC, PARTITIONS
    )
    state: dict[str, Any] = {"got": 0}

    @broker.subscriber(TOPIC, group_id=bench.lane.group(), ack_policy=AckPolicy.NACK_ON_ERROR, auto_offset_reset="earliest")
    async def handle(event: MeetingHeld, message: KafkaMessage) -> None:
        if not state["got"]:
            state["watch"] = Watch(bench.lane)
        record: Any = message.raw_message
        async with pool.acquire() as c, c.transaction():
            moved = await c.execute(
                "update positions set next_offset = $3 + 1 where topic = $1 and partition = $2 and next_offset = $3",
                record.topic,
                record.partition,
                record.offset,
            )
            if moved != "UPDATE 1":
                raise Fenced
            if await c.fetchval(
                "insert into inbox values ($1) on conflict do nothing returning 1", uuid.UUID(message.headers["ce_id"])
            ):
                row = await c.fetchrow("select meetings, minutes from tallies where id = $1 for update", event.relationship_id)
                assert row is not None
                await c.execute(
                    "update tallies set meetings = $2, minutes = $3, last = $4 where id = $1",
                    event.relationship_id,
                    row[0] + 1,
                    row[1] + event.minutes,
                    event.number,
                )
                now = datetime.now(UTC)
                cause = Cause("/naive", "bench", "bench.hop", new_id(), None, message.headers["traceparent"])
                await c.execute(
                    "insert into outbox (event_id, topic, key, headers, payload, recorded_at) values ($1, $2, $3, $4, $5, $6)",
                    *outbox_row(new_id(), follows(event), cause, now, now),
                )
        state["got"] += 1
        if state["got"] >= bench.size.naive:
            done.set()

    await broker.start()
    await done.wait()
    found: Round = state["watch"].round(state["got"])
    await broker.stop()
    await pool.close()
    return found


async def plain(bench: Bench) -> Round:
    """FastStream batches, the same decoding and SQL, Kafka's commit by FastStream."""
    broker, done = KafkaBroker(bench.lane.kafka, logger=None), asyncio.Event()
    db = await asyncpg.connect(bench.lane.dsn)
    state: dict[str, Any] = {"got": 0}

    async def keep(message: Any) -> Any:
        return message.body

    @broker.subscriber(
        TOPIC,
        group_id=bench.lane.group(),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=bench.lane.batch,
        decoder=keep,
        auto_offset_reset="earliest",
    )
    async def handle(message: KafkaMessage) -> None:
        if not state["got"]:
            state["watch"] = Watch(bench.lane)
        events = [Received(record, WANTED) for record in message.raw_message]
        now, rows = datetime.now(UTC), []
        async with db.transaction():
            facts: list[tuple[Received, Any]] = [(e, e.event) for e in events]
            ids = list({event.relationship_id for _, event in facts})
            before = {row[0]: Tally(*row) for row in await db.fetch(TABLE.load, ids)}
            tallies = dict(before)
            for e, event in facts:
                tally = tallies[event.relationship_id]
                tallies[tally.id] = Tally(tally.id, tally.meetings + 1, tally.minutes + event.minutes, event.number)
                cause = Cause("/plain", e.organization, e.program, e.text("ce_correlationid"), e.id_text, e.traceparent)
                rows.append(outbox_row(new_text_id(), follows(event), cause, now, now))
            update, given = TABLE.changes([(before[known], tally) for known, tally in tallies.items()])
            await db.execute(update, *given)
            await write_outbox(db, rows)
        state["got"] += len(events)
        if state["got"] >= bench.size.batches:
            done.set()

    await broker.start()
    await done.wait()
    found: Round = state["watch"].round(state["got"])
    await broker.stop()
    await db.close()
    return found


def through_core(rate: float) -> Callable[[Bench], Awaitable[Round]]:
    """Ours, with so many of the traces written; the sums must agree afterwards."""

    async def run(bench: Bench) -> Round:
        found = await ours(bench.lane, [TABLE], HANDLERS, bench.size.batches, rate)
        sums = await bench.db.fetchrow(
            "select (select sum(meetings) from tallies), (select count(*) from outbox), (select count(*) from inbox)"
        )
        assert sums is not None
        assert sums[0] == sums[1] == sums[2], f"the ledger doesn't agree: {sums}"
        return found

    return run


async def unhandled(bench: Bench) -> Round:
    return await raw(bench.lane, bench.size.raw)


MODES: dict[str, Callable[[Bench], Awaitable[Round]]] = {
    "naive": naive,
    "raw": unhandled,
    "plain": plain,
    "ours": through_core(0.0),
    "ours, traces 10 %": through_core(0.1),
    "ours, traces 100 %": through_core(1.0),
}


@asynccontextmanager
async def started(platform: Platform, size: Size) -> AsyncIterator[Bench]:
    with collector() as address:
        async with prepared(platform, ROLE, MIGRATIONS, [TOPIC], PARTITIONS, size.batch, address) as (lane, db):
            bench = Bench(lane, size, [new_id() for _ in range(size.pairs)], db)
            await bench.fill()
            yield bench


Medians = dict[str, dict[str, float]]


async def compare(platform: Platform, say: Say, rounds: int, size: Size = WHOLE) -> Medians:
    """Median events per second, CPU microseconds per event (python, postgres, kafka) and WAL bytes per event of each design."""
    spare_the_collector()  # for all alike
    async with started(platform, size) as bench:
        say(f"{size.events} events of {size.pairs} relationships lie on the topic")

        def way(run: Callable[[Bench], Awaitable[Round]]) -> Callable[[], Awaitable[tuple[float, ...]]]:
            async def once() -> tuple[float, ...]:
                await bench.reset()
                before = await bench.db.fetchval("select pg_current_wal_lsn()")
                found = await run(bench)
                wal = await bench.db.fetchval("select (pg_current_wal_lsn() - $1::pg_lsn)::float8", before)
                return found.rate, *(seconds / found.got * 1e6 for seconds in found.cpu), wal / found.got

            return once

        def tell(n: int, name: str, row: tuple[float, ...]) -> None:
            say(f"round {n + 1}/{rounds}  {name:20} {row[0]:9,.0f}/s")

        results = await interleaved({name: way(run) for name, run in MODES.items()}, rounds, tell)
    columns = ("per_second", "python", "postgres", "kafka", "wal")
    return {
        name: {column: statistics.median(r[i] for r in rows) for i, column in enumerate(columns)}
        for name, rows in results.items()
    }


GOALS = {
    "ours": {"raw": 0.35, "naive": 75, "plain": 0.8},
    "ours, traces 10 %": {"raw": 0.3, "naive": 60},
    "ours, traces 100 %": {"ours": 0.6},
}


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    medians = asyncio.run(compare(platform, say, rounds, QUICK if quick else WHOLE))
    rate = {name: m["per_second"] for name, m in medians.items()}
    return [
        ratio(name.replace("ours", NAME), "untraced" if peer == "ours" else peer, rate[name], rate[peer], goal)
        for name, goals in GOALS.items()
        for peer, goal in goals.items()
    ]


def table(medians: Medians) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| design | events/s | × naive | × raw | × plain | µs of CPU per event: python / postgres / kafka | WAL B/event |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for name, m in medians.items():
        ratios = " | ".join(
            f"{m['per_second'] / medians[peer]['per_second']:.2f}" if peer in medians else ""
            for peer in ("naive", "raw", "plain")
        )
        lines.append(
            f"| {name} | {m['per_second']:,.0f} | {ratios} | {m['python']:.0f} / {m['postgres']:.0f} / {m['kafka']:.0f} | {m['wal']:.0f} |"
        )
    return "\n".join(lines)
