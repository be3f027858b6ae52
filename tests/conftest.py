"""Real parts for tests: one Kafka, PostgreSQL and mailbox a run; a fresh database for each test that asks for one."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from xdist.scheduler import LoadScopeScheduling

from deploy.local.platform import Platform
from shared import clock, topics
from shared.database import Database, migrate, provision
from shared.events import SERVICES, TOPICS
from shared.service import Service, Settings
from tests.containers.parts import parts

TOGETHER = ("tests/benchmarks", "tests/cli", "tests/fuzz")
"""Folders whose files share a platform of their own; of the others each file may go to another worker."""
LONGEST = ("tests/chaos/test_short.py", "tests/end_to_end/", "tests/chaos/", "tests/matching/", "tests/fuzz/", "tests/platform/")


class ByFile(LoadScopeScheduling):
    """Where several workers share the tests, those of a file stay together, for its fixtures are one service or platform."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in TOGETHER else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one of them at the end."""

    def turn(item: pytest.Item) -> int:
        return next((n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=turn)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka, PostgreSQL and the mailbox, for the whole run: containers or the embedded parts, see `chosen`."""
    with parts(tmp_path_factory.mktemp("platform")) as running:
        asyncio.run(topics.create(running.addresses["kafka"]))
        yield running


@dataclass
class Stage:
    """A fresh database on the run's platform, with every service's role and schema."""

    platform: Platform
    database: str
    passwords: dict[str, str]
    begins: dict[TopicPartition, int] = field(default_factory=dict)
    """Where the log stood when the stage was raised: what other tests of the run had written lies before."""
    link_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    operator_token: str = field(default_factory=lambda: secrets.token_hex(32))

    @property
    def kafka(self) -> str:
        return self.platform.addresses["kafka"]

    @property
    def superuser(self) -> str:
        return self.platform.addresses["postgres"].rsplit("/", 1)[0] + f"/{self.database}"

    def dsn(self, service: str) -> str:
        host = self.platform.addresses["postgres"].rsplit("@", 1)[1].rsplit("/", 1)[0]
        return f"postgresql://{service}:{self.passwords[service]}@{host}/{self.database}"

    def settings(self, service: str, copy: str = "", **more: object) -> Settings:
        """Settings for a copy of a service on this stage."""
        values: dict[str, object] = {
            "kafka": self.kafka,
            "database": self.dsn(service),
            "http": "127.0.0.1:0",
            "ITHACA_COPY": copy,
            "urls": {name: f"http://{name}.test" for name in SERVICES},
            "link_secret": self.link_secret,
            "operator_token": self.operator_token,
            "secret_key": self.platform.secrets.secret_key,
            "smtp": self.platform.addresses["smtp"],
        }
        return Settings(**(values | more))

    async def move_clock(self, ahead: timedelta) -> None:
        """Move this stage's time forward."""
        connection = await asyncpg.connect(self.superuser)
        try:
            await clock.move(connection, ahead)
        finally:
            await connection.close()


PASSWORDS = {service: secrets.token_hex(16) for service in SERVICES}
BEGIN = (
    "insert into {service}.positions (topic, partition, next_offset) select * from unnest($1::text[], $2::int[], $3::bigint[])"
)


@asynccontextmanager
async def bare(platform: Platform, template: str = "") -> AsyncIterator[Stage]:
    """A stage with roles and schemas and no tables yet, or with all that this template holds, for as long as the block lasts."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(platform.addresses["postgres"])
    await connection.execute(f"create database {name}" + (f" template {template}" if template else ""))
    stage = Stage(platform, name, PASSWORDS)
    if not template:
        await provision(stage.superuser, PASSWORDS)
    try:
        yield stage
    finally:
        connection.terminate()  # a test may have killed PostgreSQL meanwhile
        connection = await asyncpg.connect(platform.addresses["postgres"])
        await connection.execute(f"drop database {name} with (force)")
        await connection.close()


@pytest.fixture(scope="session")
async def template(platform: Platform) -> AsyncIterator[str]:
    """The name of a database with what the core keeps for each service: made once a run, copied for each test."""
    async with bare(platform) as stage:
        for service in SERVICES:
            await migrate(Database(stage.dsn(service), service))
        yield stage.database


@asynccontextmanager
async def raised(platform: Platform, template: str) -> AsyncIterator[Stage]:
    """A stage on which every service begins at the log's present end: topics are the run's, and hold what other tests wrote."""
    async with bare(platform, template) as stage:
        stage.begins = await ends(stage.kafka)
        connection = await asyncpg.connect(stage.superuser)
        for service in SERVICES:
            rows = [(p.topic, p.partition, at) for p, at in stage.begins.items() if service in TOPICS[p.topic].readers]
            await connection.execute(BEGIN.format(service=service), *map(list, zip(*rows, strict=True)))
        await connection.close()
        yield stage


async def ends(kafka: str) -> dict[TopicPartition, int]:
    """The end of each partition of the catalogue's topics. The client asks for one topic after another, with the backoff between them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, retry_backoff_ms=1)
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]
        )
        return found
    finally:
        await consumer.stop()


async def waiting(see: asyncpg.Connection) -> int:
    """How many connections to this database wait for a lock. Who is connected is asked anew: a transaction keeps its first sight of it."""
    await see.execute("select pg_stat_clear_snapshot()")
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    count: int = await see.fetchval(waits)
    return count


def alone(service: Service, stage: Stage) -> Service:
    """In a consumer group of this stage: another test's member that left without a word would be waited for ten seconds."""
    service.consumer.group = f"{service.name}-{stage.database}"
    return service


@asynccontextmanager
async def vouched(stage: Stage) -> AsyncIterator[None]:
    """The gateway's relay, which has nothing to send and says so: timers that heed a partner's reports wait for its word."""
    nowhere = Path(__file__).parent / "no-migrations"
    service = Service("gateway", [], [], nowhere, topics=["rejections"], settings=stage.settings("gateway"))
    async with alone(service, stage).running():
        yield


@pytest.fixture
async def stage(platform: Platform, template: str) -> AsyncIterator[Stage]:
    """A fresh database; topics are the run's, so a test uses organizations of its own."""
    async with raised(platform, template) as stage:
        yield stage


@pytest.fixture(scope="module")
async def module_stage(platform: Platform, template: str) -> AsyncIterator[Stage]:
    """One database for all tests of a file, where they keep apart by organizations of their own."""
    async with raised(platform, template) as stage:
        yield stage


@pytest.fixture(scope="session")
def data() -> Path:
    """Real people's statements, where they lie beside the project."""
    folder = Path(os.environ.get("ITHACA_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "mentors.csv").exists():
        pytest.skip(f"no real input at {folder}; ITHACA_DATA names another place")
    return folder


def unique(prefix: str = "org") -> str:
    """An organization id that no other test uses."""
    return f"{prefix}-{secrets.token_hex(4)}"
