"""How long a fact is on its way, at two hundred a second: from the commit in one service, through outbox, relay and Kafka, to the commit in the next.

Both services run in two copies, each a process; the facts come from both copies of the first. `bare` is aiokafka alone, produce to consume,
in one process at the same rate.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.figures import Figure
from benchmarks.ground import Say, interleaved, own_topics, schema
from benchmarks.hop import MIGRATIONS, TABLE, Tally
from deploy.local.platform import Platform
from deploy.local.state import CHECKOUT, python_path
from shared.cloudevents import Received, new_id
from shared.decisions import Action, Context, Outcome, changed, on
from shared.events import TOPICS, MeetingHeld
from shared.events.topics import Topic
from shared.service import Service
from shared.work import Decided

NAME = "latency"
ABOUT = "From a commit in one service to the commit in the next, two copies of each, at 200 events a second."

SENDER, READER = "bench_sender", "bench_reader"
FACTS, NOTHING, BARE, PARTITIONS = "bench-latency", "bench-latency-none", "bench-latency-bare", 12
RATE, COPIES, PAIRS = 200, 2, 1_000
LATE_SECONDS = 20.0


class Told(MeetingHeld):
    """A meeting, on a topic of this measurement's own."""

    topic: ClassVar[str] = FACTS


@dataclass(frozen=True, slots=True)
class Size:
    seconds: float
    warm: float
    """Seconds before the first round."""


WHOLE, QUICK = Size(5.0, 3.0), Size(1.0, 1.0)
Latency = tuple[float, float]
"""Seconds, p50 and p99."""


def quantiles(seconds: Sequence[float]) -> Latency:
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


# ---- the copies --------------------------------------------------------------------------------------------------------


def tell(tally: Tally | None, _: Context) -> Outcome:
    assert tally is not None
    now = datetime.now(UTC)
    said = Told(
        relationship_id=tally.id,
        program="bench.latency",
        meeting_id=new_id(),
        held_at=now,
        minutes=30,
        attended=(tally.id, tally.id),
    )
    return changed(tally, meetings=tally.meetings + 1, minutes=tally.minutes + 30, last=tally.last + 1).then(said)


def hear(tally: Tally | None, event: Told, _: Context) -> Outcome:
    assert tally is not None
    return changed(tally, meetings=tally.meetings + 1, minutes=tally.minutes + event.minutes, last=event.number)


def answer(said: object) -> None:
    print(json.dumps(said), flush=True)


async def send(service: Service) -> None:
    """For each line, a number of seconds, facts at this copy's share of the rate; answers with the moment of each one's commit."""
    committed: dict[str, float] = {}

    def note(decided: Decided) -> None:
        committed.update((str(row[0]), time.time()) for row in decided.rows)

    service.work.committed.insert(0, note)
    async with service.database.transaction() as connection:
        pairs: list[UUID] = [row["id"] for row in await connection.fetch("select id from tallies")]
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, begun, acts = int(float(line) * RATE / COPIES), time.perf_counter(), []
        for n in range(count):
            await asyncio.sleep(max(0.0, begun + n * COPIES / RATE - time.perf_counter()))
            act = Action(Tally, pairs[n % len(pairs)], tell, organization="bench", program="bench.latency")
            acts.append(asyncio.create_task(service.work.act(act)))
        await asyncio.gather(*acts)
        answer(committed)
        committed.clear()


async def read(service: Service) -> None:
    """For each line: how many partitions are this copy's, and the moment of the commit of each event since the last."""
    committed: dict[str, float] = {}

    def note(decided: Decided) -> None:
        committed.update((item.id_text, time.time()) for item in decided.items if isinstance(item, Received))

    service.work.committed.insert(0, note)
    while await asyncio.to_thread(sys.stdin.readline):
        answer({"partitions": len(service.consumer.start), "committed": dict(committed)})
        committed.clear()


def copy(name: str) -> None:
    """Run one copy until its input ends."""
    logging.disable(logging.ERROR)  # aiokafka tells of each rebalance
    for topic in (FACTS, NOTHING):
        TOPICS[topic] = Topic(topic, "relationship", (SENDER,), (READER,), partitions=PARTITIONS)
    topic, handlers, loop = (
        (NOTHING, [], send) if name == SENDER else (FACTS, [on(Told, Tally, by="relationship_id", do=hear)], read)
    )
    Service(name, [TABLE], handlers, MIGRATIONS, loops=[loop], topics=[topic]).run()


# ---- the measurement ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """A process that answers each line with one."""

    process: asyncio.subprocess.Process

    async def ask(self, line: str = "") -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        said = await self.process.stdout.readline()
        if not said:
            raise ChildProcessError("a copy has ended")
        return json.loads(said)


@asynccontextmanager
async def copies(platform: Platform, name: str, dsn: str) -> AsyncIterator[list[Copy]]:
    env = {
        **os.environ,
        "PYTHONPATH": python_path(os.environ),
        "ITHACA_KAFKA": platform.addresses["kafka"],
        "ITHACA_DATABASE": dsn,
        "ITHACA_HTTP": "127.0.0.1:0",
        "OTEL_TRACES_EXPORTER": "none",
    }
    command = [sys.executable, "-m", "benchmarks.latency", name]
    pipe = asyncio.subprocess.PIPE
    started = [
        await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, cwd=CHECKOUT, env={**env, "ITHACA_COPY": str(n)}, limit=1 << 26
        )
        for n in range(COPIES)
    ]
    try:
        yield [Copy(process) for process in started]
    finally:
        for process in started:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Ways:
    platform: Platform
    senders: Sequence[Copy]
    readers: Sequence[Copy]

    async def ready(self) -> None:
        """Wait until the readers share the partitions."""
        while True:
            shares = [(await reader.ask())["partitions"] for reader in self.readers]
            if sum(shares) == PARTITIONS and all(shares):
                return
            await asyncio.sleep(0.1)

    async def ours(self, seconds: float) -> Latency:
        """Raises TimeoutError where a fact doesn't come."""
        sent: dict[str, float] = {}
        for said in await asyncio.gather(*(sender.ask(str(seconds)) for sender in self.senders)):
            sent |= said
        read: dict[str, float] = {}
        async with asyncio.timeout(LATE_SECONDS):
            while sent.keys() - read.keys():
                await asyncio.sleep(0.1)
                for reader in self.readers:
                    read |= (await reader.ask())["committed"]
        return quantiles([read[event] - at for event, at in sent.items()])

    async def bare(self, seconds: float) -> Latency:
        kafka = self.platform.addresses["kafka"]
        producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all")
        consumer = AIOKafkaConsumer(BARE, bootstrap_servers=kafka, auto_offset_reset="latest")
        await producer.start()
        await consumer.start()
        count, took, body = int(seconds * RATE), [], b"x" * 500

        async def consume() -> None:
            async for record in consumer:
                took.append(time.perf_counter() - float(record.key))
                if len(took) == count:
                    return

        try:
            for place in consumer.assignment():
                await consumer.position(place)
            async with asyncio.timeout(seconds + LATE_SECONDS):
                consuming, begun = asyncio.create_task(consume()), time.perf_counter()
                for n in range(count):
                    await asyncio.sleep(max(0.0, begun + n / RATE - time.perf_counter()))
                    await producer.send(BARE, body, key=str(time.perf_counter()).encode())
                await consuming
        finally:
            await consumer.stop()
            await producer.stop()
        return quantiles(took)


async def compare(platform: Platform, say: Say, rounds: int, size: Size) -> dict[str, Latency]:
    """The medians of each way's p50 and p99."""
    pairs = [new_id() for _ in range(PAIRS)]
    async with (
        own_topics(platform, [FACTS, NOTHING, BARE], PARTITIONS),
        schema(platform, SENDER, MIGRATIONS) as sends,
        schema(platform, READER, MIGRATIONS) as reads,
    ):
        for dsn in (sends, reads):
            db = await asyncpg.connect(dsn)
            await db.execute("insert into tallies select unnest($1::uuid[]), 0, 0, 0", pairs)
            await db.execute("analyze tallies")
            await db.close()
        async with copies(platform, SENDER, sends) as senders, copies(platform, READER, reads) as readers:
            ways = Ways(platform, senders, readers)
            async with asyncio.timeout(60):
                await ways.ready()
            await ways.ours(size.warm)

            def told(n: int, name: str, found: Latency) -> None:
                say(f"round {n + 1}/{rounds}  {name:8} p50 {found[0] * 1000:6.2f} ms  p99 {found[1] * 1000:6.2f} ms")

            results = await interleaved(
                {"ours": lambda: ways.ours(size.seconds), "bare": lambda: ways.bare(size.seconds)}, rounds, told
            )
    return {name: (median(one[0] for one in each), median(one[1] for one in each)) for name, each in results.items()}


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    found = asyncio.run(compare(platform, say, rounds, QUICK if quick else WHOLE))
    return [
        Figure(
            "commit to next commit, 200 events/s",
            found["ours"][n] * 1000,
            f"ms {name}",
            goal,
            True,
            f"bare aiokafka, produce to consume: {found['bare'][n] * 1000:.2f} ms",
        )
        for n, (name, goal) in enumerate((("p50", 8), ("p99", 30)))
    ]


if __name__ == "__main__":
    copy(sys.argv[1])
