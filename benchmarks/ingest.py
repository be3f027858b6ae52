"""Taking in what partners post, side by side in one run: 1,000 people in a request, all durable when it is answered.

copy     a bare COPY of the rows that this comes to (people, intakes, outbox) into tables like theirs, 1,000 of each in a transaction
outbox   the outbox's rows alone, as if an event were nothing more
ours     a gateway in a process of its own, by HTTP; its relay sends on meanwhile

Each has two connections.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.figures import Figure
from benchmarks.ground import Say, delete_topics, drop, rates
from deploy.local.platform import Platform
from shared.database import provision
from shared.events import TOPICS, WATERMARKS
from shared.work import OUTBOX

NAME = "ingest"
ABOUT = "Batches of 1,000 CloudEvents posted to a gateway by HTTP, durable at the answer."

SERVICE, COPIES, SENDERS = "gateway", "bench_copies", 2
WHOLE, QUICK = (6, 1_000), (1, 20)
"""Batches, and events of each."""
SKILLS = ("python", "sql", "negotiation", "cloud", "writing", "statistics", "leadership", "security")
NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sender:
    """An organization with a key and a program, which posts one request after the other."""

    organization: str
    http: httpx.AsyncClient

    def batch(self, count: int) -> bytes:
        return orjson.dumps([self.person(next(NUMBERS)) for _ in range(count)])

    def person(self, n: int) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": f"event-{n}",
            "source": f"/{self.organization}/hr",
            "type": "ithaca.PersonEnrolled",
            "time": "2026-01-05T09:00:00Z",
            "data": {
                "program": "crossing",
                "person": f"p{n}",
                "role": "mentor" if n % 3 == 0 else "mentee",
                "name": f"Person {n}",
                "email": f"person{n}@{self.organization}.example",
                "time_zone": "Africa/Lagos",
                "languages": ["en"],
                "skills_wanted": [SKILLS[n % 8], SKILLS[(n + 3) % 8]],
                "goals": ["role:data-scientist"],
                "years_experience": n % 20,
            },
        }

    async def post(self, body: bytes) -> int:
        """How many were accepted."""
        answer = await self.http.post("/v1/events", content=body, headers={"content-type": "application/cloudevents-batch+json"})
        accepted: int = answer.raise_for_status().json()["accepted"]
        return accepted


@asynccontextmanager
async def senders(platform: Platform) -> AsyncIterator[list[Sender]]:
    """Organizations that the gateway has let in, each with its program."""
    url, operator = platform.addresses[SERVICE], {"Authorization": f"Bearer {platform.secrets.operator_token}"}
    made = []
    try:
        for n in range(SENDERS):
            name = f"sender-{n}-{secrets.token_hex(3)}"
            async with httpx.AsyncClient(base_url=url, headers=operator) as http:
                answer = await http.post("/v1/organizations", json={"id": name, "name": name, "time_zone": "Africa/Lagos"})
            key = answer.raise_for_status().json()["key"]
            made.append(Sender(name, httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)))
            program = {"program": "crossing", "name": "Crossing"}
            event = {"specversion": "1.0", "id": "launch", "source": "/hr", "type": "ithaca.ProgramLaunched", "data": program}
            assert await made[-1].post(orjson.dumps([event])) == 1
        yield made
    finally:
        for sender in made:
            await sender.http.aclose()


@dataclass(slots=True)
class Rows:
    """What the gateway wrote of some requests, by table."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)


async def written(platform: Platform, connection: "asyncpg.Connection[Any]") -> Rows:
    """The rows of all people so far; the outbox's, which are gone from there, from the topic on which they came."""
    found = Rows()
    for table, which in {"people": "true", "intakes": "type = 'ithaca.PersonEnrolled'"}.items():
        rows = await connection.fetch(f"select * from {SERVICE}.{table} where {which}")
        found.columns[table], found.rows[table] = tuple(rows[0].keys()), [tuple(row) for row in rows]
    found.columns["outbox"] = OUTBOX
    found.rows["outbox"] = await sent(platform, len(found.rows["people"]))
    return found


async def sent(platform: Platform, count: int) -> list[tuple[Any, ...]]:
    """So many records of people, as the rows they were in the outbox."""
    consumer = AIOKafkaConsumer(bootstrap_servers=platform.addresses["kafka"], enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition("people", n) for n in range(TOPICS["people"].partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        rows: list[tuple[Any, ...]] = []
        while len(rows) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    headers = {name: value.decode() for name, value in record.headers}
                    at = datetime.fromisoformat(headers["ce_recordedtime"])
                    event_id = UUID(headers["ce_id"])
                    rows.append((event_id, "people", record.key.decode(), orjson.dumps(headers), record.value, at))
        return rows
    finally:
        await consumer.stop()


async def copied(dsn: str, found: Rows, tables: Sequence[str], size: int) -> float:
    """Bare COPY into tables like the gateway's, `size` events in a transaction; events per second."""
    connections = [await asyncpg.connect(dsn) for _ in range(SENDERS)]
    count = len(found.rows["people"])
    starts = iter(range(0, count, size))

    async def copy(connection: "asyncpg.Connection[Any]") -> None:
        for start in starts:
            async with connection.transaction():
                for table in tables:
                    await connection.copy_records_to_table(
                        table,
                        records=found.rows[table][start : start + size],
                        columns=found.columns[table],
                        schema_name=COPIES,
                    )

    try:
        await connections[0].execute(f"truncate {', '.join(f'{COPIES}.{table}' for table in found.rows)}")
        begun = time.perf_counter()
        await asyncio.gather(*map(copy, connections))
        return count / (time.perf_counter() - begun)
    finally:
        for connection in connections:
            await connection.close()


async def posted(senders: Sequence[Sender], batches: int, size: int) -> float:
    """Each sender posts so many batches, one after the other; events per second."""
    bodies = [[sender.batch(size) for _ in range(batches)] for sender in senders]

    async def post(sender: Sender, own: Sequence[bytes]) -> int:
        return sum([await sender.post(body) for body in own])

    begun = time.perf_counter()
    accepted = sum(await asyncio.gather(*map(post, senders, bodies)))
    took = time.perf_counter() - begun
    assert accepted == len(senders) * batches * size, f"{accepted} accepted"
    return accepted / took


async def compare(platform: Platform, say: Say, rounds: int, batches: int, size: int) -> dict[str, float]:
    """Median events per second of each way."""
    dsn = platform.addresses["postgres"]
    connection = await asyncpg.connect(dsn)
    try:
        async with senders(platform) as each:
            await posted(each, batches, size)
            found = await written(platform, connection)
            await connection.execute(f"create schema {COPIES}")
            for table in found.rows:
                await connection.execute(f"create table {COPIES}.{table} (like {SERVICE}.{table} including all)")
            ways = {
                "ours": lambda: posted(each, batches, size),
                "copy": lambda: copied(dsn, found, list(found.rows), size),
                "outbox": lambda: copied(dsn, found, ["outbox"], size),
            }
            rate = await rates(ways, rounds, say)
            durable = await connection.fetchval(f"select count(*) from {SERVICE}.intakes where type = 'ithaca.PersonEnrolled'")
            assert durable == (rounds + 1) * batches * size * len(each), f"{durable} are there"
    finally:
        await connection.execute(f"drop schema if exists {COPIES} cascade")
        await connection.close()
    return rate


@contextmanager
def gateway(platform: Platform) -> Iterator[None]:
    """A gateway of its own process, with its schema and the catalogue's topics; all of it goes at the end."""
    superuser = platform.addresses["postgres"]
    asyncio.run(provision(superuser, {SERVICE: platform.secrets.database(SERVICE)}))
    platform.make_topics()
    name = platform.add_copy(SERVICE)
    try:
        platform.addresses[SERVICE] = f"http://{platform.children[name].env['ITHACA_HTTP']}"
        yield
    finally:
        platform.remove_copy(SERVICE)
        del platform.addresses[SERVICE]
        asyncio.run(drop(superuser, SERVICE))
        asyncio.run(delete_topics(platform, [topic.name for topic in (*TOPICS.values(), WATERMARKS)]))


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    with gateway(platform):
        rate = asyncio.run(compare(platform, say, rounds, *(QUICK if quick else WHOLE)))
    detail = f"{rate['ours']:,.0f}/s against {rate['copy']:,.0f}/s; the outbox's rows alone {rate['outbox']:,.0f}/s"
    return [Figure(NAME, rate["ours"] / rate["copy"], "× COPY", 0.25, detail=detail)]
