"""One hop, side by side in one run: consume, decide on an aggregate, save it, write the event that follows to the outbox.

raw     aiokafka: fetch, decode headers and data, commit; no database
naive   FastStream as its front page shows it: one handler call, one transaction, five statements per event
plain   FastStream batches with the same set-based SQL in one transaction per batch; no guarantees of ours (no positions, inbox, held)
ours    the core with all of them; traces off, at 10 % and at 100 %

Rounds are interleaved, so that a noisy minute hits all alike; ratios are of medians.
"""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from deploy.local.platform import Platform
from shared import topics
from shared.cloudevents import Cause, Fact, Received, new_id, new_text_id
from shared.consumer import Consumer
from shared.database import Database, migrate, provision
from shared.decisions import Context, Outcome, changed, on
from shared.errors import Fenced
from shared.events import ContactLogged, MeetingHeld
from shared.events.topics import Topic
from shared.otlp import OtlpExporter
from shared.service import keep_inbox, spare_the_collector
from shared.tables import Table
from shared.telemetry import Telemetry, new_traceparent
from shared.work import Work, write_outbox

TOPIC, PARTITIONS, KEYS, PRELOAD, BATCH = "bench-hop", 6, 1_000, 60_000, 1000
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


class Bench:
    """The parts, filled with events once."""

    def __init__(self, platform: Platform, dsn: str, collector: str) -> None:
        self.kafka, self.dsn, self.collector = platform.addresses["kafka"], dsn, collector
        self.pids = platform.pids
        self.pairs = [new_id() for _ in range(KEYS)]

    async def prepare(self) -> None:
        topic = Topic(TOPIC, "relationship", (), (), partitions=PARTITIONS)
        await topics.create(self.kafka, [topic])
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, enable_idempotence=True, linger_ms=5, max_batch_size=131_072)
        await producer.start()
        people = (new_id(), new_id())
        now = datetime.now(UTC)
        sends = []
        for n in range(PRELOAD):
            pair = self.pairs[n % KEYS]
            event = MeetingHeld(
                relationship_id=pair,
                program="bench.hop",
                meeting_id=new_id(),
                held_at=now,
                minutes=n % 97 + 1,
                attended=people,
                number=n // KEYS + 1,
                audience=("bench", "other"),
            )
            cause = Cause("/bench", "bench", "bench.hop", new_id(), new_id(), new_traceparent(sampled=True))
            _, _, key, headers, payload, _ = Fact(new_id(), event, now).row(cause, now)
            sends.append(
                await producer.send(
                    TOPIC, payload, key=key.encode(), headers=[(k, v.encode()) for k, v in orjson.loads(headers).items()]
                )
            )
        await asyncio.gather(*sends)
        await producer.stop()

    async def reset(self, db: "asyncpg.Connection[Any]") -> None:
        await db.execute("truncate tallies, positions, inbox, held, held_keys, outbox, timers")
        await db.execute("insert into tallies select unnest($1::uuid[]), 0, 0, 0", self.pairs)
        await db.execute("analyze tallies")

    def cpu(self) -> tuple[float, float, float]:
        """CPU seconds so far: this process, PostgreSQL, Kafka."""
        return time.process_time(), _tree(self.pids["postgres"]), _tree(self.pids["kafka"])


def _tree(pid: int) -> float:
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


Round = tuple[int, float, tuple[float, ...], tuple[float, ...]]


async def raw(bench: Bench, group: str, count: int) -> Round:
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=bench.kafka, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    got, begun, cpu = 0, 0.0, bench.cpu()
    while got < count:
        fetched = await consumer.getmany(timeout_ms=500, max_records=BATCH)
        if fetched and not got:
            begun, cpu = time.perf_counter(), bench.cpu()
        for records in fetched.values():
            for record in records:
                headers = dict(record.headers)
                assert headers["ce_id"].decode()
                assert headers["traceparent"].decode()
                assert MeetingHeld.model_validate_json(record.value).minutes
            got += len(records)
        if fetched:
            await consumer.commit()
    took, after = time.perf_counter() - begun, bench.cpu()
    await consumer.stop()
    return got, took, cpu, after


async def naive(bench: Bench, group: str, count: int) -> Round:
    """Our guarantees as one would first write them: position, inbox, aggregate, outbox, each event in a transaction of its own."""
    broker, done = KafkaBroker(bench.kafka, logger=None), asyncio.Event()
    pool = await asyncpg.create_pool(bench.dsn, min_size=2, max_size=2)
    await pool.execute(
        "insert into positions (topic, partition) select $1, n from generate_series(0, $2 - 1) n", TOPIC, PARTITIONS
    )
    state: dict[str, Any] = {"got": 0}

    @broker.subscriber(TOPIC, group_id=group, ack_policy=AckPolicy.NACK_ON_ERROR, auto_offset_reset="earliest")
    async def handle(event: MeetingHeld, message: KafkaMessage) -> None:
        if not state["got"]:
            state["begun"], state["cpu"] = time.perf_counter(), bench.cpu()
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
                    *Fact(new_id(), follows(event), now).row(cause, now),
                )
        state["got"] += 1
        if state["got"] >= count:
            done.set()

    await broker.start()
    await done.wait()
    took, after = time.perf_counter() - state["begun"], bench.cpu()
    got = state["got"]
    await broker.stop()
    await pool.close()
    return got, took, state["cpu"], after


async def plain(bench: Bench, group: str, count: int) -> Round:
    """FastStream batches, the same decoding and SQL, Kafka's commit by FastStream."""
    broker, done = KafkaBroker(bench.kafka, logger=None), asyncio.Event()
    db = await asyncpg.connect(bench.dsn)
    state: dict[str, Any] = {"got": 0}

    async def keep(message: Any) -> Any:
        return message.body

    @broker.subscriber(
        TOPIC,
        group_id=group,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=BATCH,
        decoder=keep,
        auto_offset_reset="earliest",
    )
    async def handle(message: KafkaMessage) -> None:
        if not state["got"]:
            state["begun"], state["cpu"] = time.perf_counter(), bench.cpu()
        events = [Received(record, WANTED) for record in message.raw_message]
        now, rows = datetime.now(UTC), []
        async with db.transaction():
            facts: list[tuple[Received, Any]] = [(e, e.event) for e in events]
            ids = list({event.relationship_id for _, event in facts})
            tallies = {row[0]: Tally(*row) for row in await db.fetch(TABLE.load, ids)}
            for e, event in facts:
                tally = tallies[event.relationship_id]
                tallies[tally.id] = Tally(tally.id, tally.meetings + 1, tally.minutes + event.minutes, event.number)
                cause = Cause("/plain", e.organization, e.program, e.text("ce_correlationid"), e.id_text, e.traceparent)
                rows.append(Fact(new_text_id(), follows(event), now).row(cause, now))
            await db.execute(TABLE.update, *TABLE.arrays(list(tallies.values())))
            await write_outbox(db, rows)
        state["got"] += len(events)
        if state["got"] >= count:
            done.set()

    await broker.start()
    await done.wait()
    took, after = time.perf_counter() - state["begun"], bench.cpu()
    got = state["got"]
    await broker.stop()
    await db.close()
    return got, took, state["cpu"], after


async def ours(bench: Bench, group: str, count: int, rate: float) -> Round:
    exporter = OtlpExporter(endpoint=bench.collector) if rate else "none"
    telemetry = Telemetry("bench", exporter=exporter, rate=rate)
    database = Database(bench.dsn, "scheduling")
    await database.start()
    work = Work("scheduling", database, [TABLE], [on(MeetingHeld, Tally, by="relationship_id", do=held)], telemetry)
    consumer = Consumer(work, {"bootstrap_servers": bench.kafka}, [TOPIC], group=group, batch=BATCH, partitions=PARTITIONS)
    first, last = asyncio.Event(), asyncio.Event()

    def committed(_: object) -> None:
        first.set()
        if consumer.handled >= count:
            last.set()

    work.committed = [committed]
    task = asyncio.create_task(consumer.run())
    await first.wait()
    begun, cpu, before = time.perf_counter(), bench.cpu(), consumer.handled
    await last.wait()
    took, after, got = time.perf_counter() - begun, bench.cpu(), consumer.handled - before
    await consumer.stop(task)
    await database.stop()
    await asyncio.to_thread(telemetry.stop)
    return got, took, cpu, after


MODES: dict[str, tuple[Callable[[Bench, str, int], Awaitable[Round]], int]] = {
    "naive": (naive, 1_500),
    "raw": (raw, 40_000),
    "plain": (plain, 20_000),
    "ours": (lambda b, g, n: ours(b, g, n, 0.0), 20_000),
    "ours, traces 10 %": (lambda b, g, n: ours(b, g, n, 0.1), 20_000),
    "ours, traces 100 %": (lambda b, g, n: ours(b, g, n, 1.0), 20_000),
}


@asynccontextmanager
async def started(platform: Platform, collector: str) -> AsyncIterator[tuple[Bench, "asyncpg.Connection[Any]"]]:
    superuser = platform.addresses["postgres"]
    password = uuid.uuid4().hex
    await provision(superuser, {"scheduling": password})
    dsn = f"postgresql://scheduling:{password}@{superuser.rsplit('@', 1)[1]}"
    database = Database(dsn, "scheduling")
    await migrate(database, MIGRATIONS)
    bench = Bench(platform, dsn, collector)
    await bench.prepare()
    db = await asyncpg.connect(dsn)
    async with db.transaction():
        await keep_inbox(db, datetime.now(UTC))
    yield bench, db
    await db.close()


@contextmanager
def collector() -> Any:
    """An OTLP sink's address."""
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("sink.py"))], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1/traces"
    finally:
        process.kill()
        process.wait()


async def measure(rounds: int, say: Callable[[str], None], modes: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Median events per second, CPU microseconds per event (python, postgres, kafka) and WAL bytes per event of each mode."""
    chosen = {name: MODES[name] for name in (modes or MODES)}
    spare_the_collector()  # for all alike
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in chosen}
    with (
        tempfile.TemporaryDirectory() as home,
        collector() as address,
        Platform(Path(home), zipkin=False, mailbox=False) as platform,
    ):
        async with started(platform, address) as (bench, db):
            say(f"{PRELOAD} events of {KEYS} relationships lie on the topic")
            for n in range(rounds):
                order = list(chosen)
                random.shuffle(order)
                for name in order:
                    run, count = chosen[name]
                    await bench.reset(db)
                    wal = await db.fetchval("select pg_current_wal_lsn()")
                    got, took, before, after = await asyncio.wait_for(run(bench, f"bench-{uuid.uuid4().hex[:8]}", count), 120)
                    wal = await db.fetchval("select (pg_current_wal_lsn() - $1::pg_lsn)::float8", wal)
                    cpu = [(b - a) / got * 1e6 for a, b in zip(before, after, strict=True)]
                    results[name].append((got / took, *cpu, wal / got))
                    if name.startswith("ours"):
                        sums = await db.fetchrow(
                            "select (select sum(meetings) from tallies), (select count(*) from outbox), (select count(*) from inbox)"
                        )
                        assert sums is not None
                        assert sums[0] == sums[1] == sums[2], f"the ledger of {name} doesn't agree: {sums}"
                    say(f"round {n + 1}/{rounds}  {name:20} {got / took:9,.0f}/s")
    columns = ("per_second", "python", "postgres", "kafka", "wal")
    return {
        name: {column: statistics.median(r[i] for r in rows) for i, column in enumerate(columns)}
        for name, rows in results.items()
    }


def table(medians: dict[str, dict[str, float]]) -> str:
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
