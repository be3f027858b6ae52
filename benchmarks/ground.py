"""What measurements stand on: a schema and topics of their own, a collector of spans, rounds that are interleaved."""

import asyncio
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import TypeVar
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.platform import Platform
from shared import topics
from shared.database import Database, migrate, provision
from shared.events.topics import Topic

T = TypeVar("T")
Say = Callable[[str], None]
LONGEST_SECONDS = 180
"""Of one way in one round; more means that it hangs."""


@contextmanager
def embedded() -> Iterator[Platform]:
    """A platform of its own, with nothing on it, deleted at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="ithaca-bench-") as home,
        Platform(Path(home), zipkin=False, mailbox=False) as platform,
    ):
        yield platform


@asynccontextmanager
async def schema(platform: Platform, name: str, migrations: Path | None = None) -> AsyncIterator[str]:
    """The address of a schema with the core's tables, and a service's, under a role of this name; dropped at the end."""
    superuser, password = platform.addresses["postgres"], uuid4().hex
    await provision(superuser, {name: password})
    try:
        dsn = f"postgresql://{name}:{password}@{superuser.rsplit('@', 1)[1]}"
        await migrate(Database(dsn, name), migrations)
        yield dsn
    finally:
        await drop(superuser, name)


async def drop(superuser: str, name: str) -> None:
    """Remove a schema with its roles."""
    connection = await asyncpg.connect(superuser)
    try:
        await connection.execute(f"drop schema {name} cascade; drop owned by {name}, {name}_tenant cascade")
        await connection.execute(f"drop role {name}, {name}_tenant")
    finally:
        await connection.close()


@asynccontextmanager
async def own_topics(platform: Platform, names: Iterable[str], partitions: int) -> AsyncIterator[None]:
    """Topics that are there for as long as the block lasts."""
    made = [Topic(name, "", (), (), partitions=partitions) for name in names]
    await topics.create(platform.addresses["kafka"], made)
    try:
        yield
    finally:
        await delete_topics(platform, [topic.name for topic in made])


async def delete_topics(platform: Platform, names: list[str]) -> None:
    """They are gone for whoever looks: a broker answers before its own metadata say so."""
    admin = AIOKafkaAdminClient(bootstrap_servers=platform.addresses["kafka"])
    await admin.start()
    try:
        await admin.delete_topics(names)
        async with asyncio.timeout(LONGEST_SECONDS):
            while not set(names).isdisjoint(await admin.list_topics()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


@contextmanager
def collector() -> Iterator[str]:
    """An OTLP sink's address."""
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("sink.py"))], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1/traces"
    finally:
        process.kill()
        process.wait()


async def interleaved(
    ways: Mapping[str, Callable[[], Awaitable[T]]], rounds: int, tell: Callable[[int, str, T], None]
) -> dict[str, list[T]]:
    """What each way gave in each round. All are run once a round in an order that is drawn, so that a noisy minute hits all alike."""
    results: dict[str, list[T]] = {name: [] for name in ways}
    for n in range(rounds):
        order = list(ways)
        random.shuffle(order)
        for name in order:
            async with asyncio.timeout(LONGEST_SECONDS):
                results[name].append(await ways[name]())
            tell(n, name, results[name][-1])
    return results


async def rates(ways: Mapping[str, Callable[[], Awaitable[float]]], rounds: int, say: Say) -> dict[str, float]:
    """The median of the events per second that each way gives."""

    def tell(n: int, name: str, rate: float) -> None:
        say(f"round {n + 1}/{rounds}  {name:20} {rate:9,.0f}/s")

    return {name: median(each) for name, each in (await interleaved(ways, rounds, tell)).items()}
