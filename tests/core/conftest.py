"""What the core's tests share: copies of the ledger, with Kafka and without."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.platform import Platform
from shared import topics
from shared.database import Database, migrate
from shared.events import TOPICS, Event, Topic
from shared.service import Service
from tests.conftest import Stage, bare
from tests.core import ledger
from tests.core.rig import Rig
from tests.producing import send

Start = Callable[..., Awaitable[Rig]]


@pytest.fixture(scope="package")
async def ground(platform: Platform) -> AsyncIterator[Stage]:
    """One database for these tests, which begin with empty tables: migrating a fresh one for each takes longer than most of them."""
    async with bare(platform) as stage:
        await migrate(Database(stage.dsn("scheduling"), "scheduling"), ledger.MIGRATIONS)
        yield stage


@pytest.fixture
async def stage(ground: Stage) -> Stage:
    connection = await asyncpg.connect(ground.superuser)
    await connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'scheduling'")
    tables = ", ".join(f"scheduling.{name}" for name in ("pairs", "positions", "inbox", "held_keys", "held", "timers", "outbox"))
    await connection.execute(f"truncate {tables} restart identity; truncate ithaca.clock_offset")
    await connection.close()
    return ground


@pytest.fixture
async def fresh(platform: Platform) -> AsyncIterator[Stage]:
    """A database of the test's own, with roles and schemas and no tables yet."""
    async with bare(platform) as stage:
        yield stage


@pytest.fixture
async def see(stage: Stage) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the stage's database."""
    connection = await asyncpg.connect(stage.superuser)
    yield connection
    await connection.close()


@pytest.fixture
async def copies(stage: Stage, see: asyncpg.Connection) -> AsyncIterator[Start]:
    """Starts copies of the ledger that are fed by hand."""
    started: list[Rig] = []

    async def start(name: str = "a", **more: object) -> Rig:
        rig = Rig(stage.settings("scheduling", name), see, **more)
        started.append(rig)
        return await rig.start()

    yield start
    for rig in started:
        rig.stop()


@pytest.fixture
async def rig(copies: Start) -> Rig:
    """One copy of the ledger that is fed by hand."""
    return await copies()


@dataclass
class Lane:
    """A topic of the test's own, and the ledger reading it."""

    stage: Stage
    topic: str

    def service(self, copy: str = "", **settings: object) -> Service:
        """A copy that reads this topic only, in a group of its own."""
        service = ledger.build(self.stage.settings("scheduling", copy, **settings), [self.topic])
        service.consumer.group = self.topic
        return service

    async def send(self, *events: Event, **more: object) -> list[object]:
        return await send(
            self.stage.kafka, events, organization=ledger.ORGANIZATION, program=ledger.PROGRAM, topic=self.topic, **more
        )

    async def records(self, count: int, seconds: float = 15.0) -> list[object]:
        """What is on the topic, at least so many records, per partition in order."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stage.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self.topic, p) for p in range(TOPICS[self.topic].partitions)])
            found: list[object] = []
            for _ in range(int(seconds / 0.2)):
                fetched = await consumer.getmany(timeout_ms=200)
                found += [record for records in fetched.values() for record in records]
                if len(found) >= count and not fetched:
                    break
            return found
        finally:
            await consumer.stop()


@pytest.fixture
async def lane(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Lane:
    topic = Topic(f"core-{secrets.token_hex(4)}", "relationship", ("scheduling",), ("scheduling",))
    monkeypatch.setitem(TOPICS, topic.name, topic)
    await topics.create(stage.kafka, [topic])
    return Lane(stage, topic.name)
