"""The faults, each by its name: what it does to whom. Which come, and in which order, is drawn by a seed (`draw.py`)."""

import asyncio
import contextlib
import os
import random
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from benchmarks.chaos.ground import Ground
from benchmarks.chaos.ledger import POISON
from benchmarks.chaos.outside import answering, go_to, health, until
from deploy.local.platform import Platform
from deploy.local.processes import PartError
from shared.cloudevents import new_id
from shared.events import TOPICS

SETTLED_SECONDS = 2.0
"""A copy that has run so long has started."""
REPEATED = ("reports", "matching", "scheduling", "notifications", "analytics")
"""Topics on which records are sent again. Not those that are compacted: a relay never puts an old state behind a newer one."""


@dataclass
class Site:
    """Where faults strike."""

    platform: Platform
    rng: random.Random
    frozen: set[str] = field(default_factory=set)
    """Copies that stand still just now."""

    def alive(self, service: str) -> list[str]:
        """The copies of a service that have had the time to start."""
        return sorted(
            name
            for name, child in list(self.platform.children.items())
            if name.startswith(f"{service}-") and child.pid and time.monotonic() - child.started > SETTLED_SECONDS
            if name not in self.frozen
        )

    async def one_of(self, service: str) -> str:
        """A copy that runs."""
        return self.rng.choice(await until(f"a copy of {service} that runs", lambda: self.alive(service), 90))

    async def leader(self, service: str, patience: float = 15.0) -> str:
        """The copy that leads the service's relay, by its own word; none where nobody does for so long."""
        end = time.monotonic() + patience
        async with httpx.AsyncClient(timeout=3) as http:
            while time.monotonic() < end:
                for name in self.alive(service):
                    if (await health(http, self.platform, name)).get("relay") == "leads":
                        return name
                await asyncio.sleep(0.2)
        return ""

    async def kill(self, name: str) -> None:
        """SIGKILL; the platform's watch starts it again at once, however often we do that."""
        self.platform.deaths.pop(name, None)
        await asyncio.to_thread(self.platform.kill, name)

    @property
    def ground(self) -> Ground:
        assert isinstance(self.platform, Ground)
        return self.platform


class Fault(ABC):
    """Something that goes wrong."""

    aside: ClassVar[bool] = False
    """It lasts, and others may come meanwhile."""
    felt: ClassVar[float] = 0.0
    """So many seconds after its end until those inside must have noticed."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    async def strike(self, site: Site) -> bool:
        """Do it; False where it could not be done, which then doesn't count."""


@dataclass(frozen=True)
class Kill(Fault):
    """SIGKILL to a copy of a service, whatever it is doing."""

    service: str

    @property
    def name(self) -> str:
        return f"{self.service} killed"

    async def strike(self, site: Site) -> bool:
        await site.kill(await site.one_of(self.service))
        return True


@dataclass(frozen=True)
class KillLeader(Fault):
    """SIGKILL to the copy that leads a service's relay."""

    service: str

    @property
    def name(self) -> str:
        return f"{self.service}'s relay leader killed"

    async def strike(self, site: Site) -> bool:
        await until(f"a copy of {self.service} that runs", lambda: site.alive(self.service), 90)
        name = await site.leader(self.service)
        if name:
            await site.kill(name)
        return bool(name)


@dataclass(frozen=True)
class KillJob(Fault):
    """SIGKILL to the process that solves a match run: it is waited for, since it lives for a second."""

    patience: float = 60.0
    name = "matching's job killed"

    async def strike(self, site: Site) -> bool:
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            for copy in site.alive("matching"):
                for job in jobs_of(site.platform.children[copy].pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(job, signal.SIGKILL)
                        return True
            await asyncio.sleep(0.02)
        return False


@dataclass(frozen=True)
class Freeze(Fault):
    """SIGSTOP to a copy, perhaps within a transaction; it goes on later as if nothing had been."""

    service: str
    seconds: float = 20.0
    aside: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"{self.service} frozen for {self.seconds:.0f} s"

    async def strike(self, site: Site) -> bool:
        name = await site.one_of(self.service)
        site.frozen.add(name)
        site.platform.kill(name, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            with contextlib.suppress(KeyError):  # the platform was stopped meanwhile
                site.platform.kill(name, signal.SIGCONT)
            site.frozen.discard(name)
        return True


@dataclass(frozen=True)
class BrokerLeader(Fault):
    """SIGKILL to a broker that leads partitions (with one broker: that one), and its start."""

    name = "Kafka's leader killed and started"

    async def strike(self, site: Site) -> bool:
        names = sorted(name for name in site.platform.children if name.partition("-")[0] == "kafka")
        await down_and_up(site.platform, site.rng.choice(names), signal.SIGKILL)
        return True


@dataclass(frozen=True)
class PostgresDown(Fault):
    """PostgreSQL stops at once, as after a crash, and starts, with its recovery."""

    sign: signal.Signals = signal.SIGQUIT

    @property
    def name(self) -> str:
        return "PostgreSQL killed and started" if self.sign == signal.SIGKILL else "PostgreSQL stopped at once and started"

    async def strike(self, site: Site) -> bool:
        await down_and_up(site.platform, "postgres", self.sign)
        return True


@dataclass(frozen=True)
class Cut(Fault):
    """Every connection of the services to Kafka or PostgreSQL is reset."""

    line: str

    @property
    def name(self) -> str:
        return f"connections to {self.line} cut"

    async def strike(self, site: Site) -> bool:
        await site.ground.tell(self.line, "cut")
        return True


@dataclass(frozen=True)
class Slow(Fault):
    """Every chunk to and from Kafka or PostgreSQL takes longer, for a while."""

    line: str
    delay: float = 0.1
    seconds: float = 10.0
    aside: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"{self.line} slower by {2000 * self.delay:.0f} ms for {self.seconds:.0f} s"

    async def strike(self, site: Site) -> bool:
        await site.ground.tell(self.line, "slow", self.delay)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            await site.ground.tell(self.line, "slow", 0.0)
        return True


@dataclass(frozen=True)
class HalfOpen(Fault):
    """Every connection that is open now is dead, and its client isn't told; new ones work."""

    line: str
    aside: ClassVar[bool] = True
    felt: ClassVar[float] = 60.0

    @property
    def name(self) -> str:
        return f"connections to {self.line} half-open"

    async def strike(self, site: Site) -> bool:
        await site.ground.tell(self.line, "lose")
        return True


@dataclass(frozen=True)
class Repeat(Fault):
    """The last records of a partition come again, as from a relay that doesn't know what it sent; across keys in another order."""

    records: int = 100
    name = "records sent again, keys reordered"

    async def strike(self, site: Site) -> bool:
        topic = site.rng.choice(REPEATED)
        place = TopicPartition(topic, site.rng.randrange(TOPICS[topic].partitions))

        def again(found: Sequence[Any]) -> list[Sent]:
            return [(one.key, one.value, list(one.headers)) for one in shuffled_across_keys(found, site.rng)]

        return await written(site.platform.addresses["kafka"], place, self.records, again)


@dataclass(frozen=True)
class Poisoned(Fault):
    """A record that nobody can read, or of a type that nobody knows: beside a key whose events must go on."""

    name = "poison on a topic"

    async def strike(self, site: Site) -> bool:
        topic = site.rng.choice(sorted(set(TOPICS) - {"people", "access"}))
        known = {"reports": "MeetingReported", "matching": "PairCreated", "scheduling": "MeetingHeld"}.get(topic)
        identity = [("ce_specversion", b"1.0"), ("ce_id", str(new_id()).encode())]
        kinds: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = [
            (b"everyone", b"\xff\x00 no headers", []),
            (b"everyone", b"{}", [*identity, ("ce_type", b"ithaca.SunRisen")]),
        ]
        if known:
            kinds.append((b"some", b'{"relationship_id": 7}', [*identity, ("ce_type", f"ithaca.{known}".encode())]))
        who, value, headers = site.rng.choice(kinds)
        place = TopicPartition(topic, site.rng.randrange(TOPICS[topic].partitions))

        def beside(found: Sequence[Any]) -> list[Sent]:
            return [(found[-1].key if found else b"nobody", value, [*headers, (POISON, who)])]

        return await written(site.platform.addresses["kafka"], place, 1, beside)


@dataclass(frozen=True)
class ClockJump(Fault):
    """The platform's time jumps ahead by some minutes."""

    name = "the clock jumps by up to 5 minutes"

    async def strike(self, site: Site) -> bool:
        database = site.platform.addresses["postgres"]
        await go_to(database, await go_to(database, None) + timedelta(seconds=site.rng.uniform(20, 300)))
        return True


@dataclass(frozen=True)
class FullDisk(Fault):
    """PostgreSQL's file system has no room left for some seconds; where it ends over that, it is started again."""

    seconds: float = 6.0
    name = "PostgreSQL's disk full for 6 s"

    async def strike(self, site: Site) -> bool:
        disk = site.ground.disk
        if not disk.mounted or not await asyncio.to_thread(disk.fill):
            return False
        try:
            await asyncio.sleep(self.seconds)
        finally:
            await asyncio.to_thread(disk.empty)
        await answering(site.platform.addresses["postgres"], 120)
        return True


@dataclass(frozen=True)
class OneMore(Fault):
    """A third copy of a service joins, and leaves again some seconds later."""

    service: str
    aside: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"a copy of {self.service} added and removed"

    async def strike(self, site: Site) -> bool:
        with contextlib.suppress(PartError):  # slow on a busy machine: it leaves before it was ready
            await asyncio.to_thread(site.platform.add_copy, self.service)
        await asyncio.sleep(site.rng.uniform(2, 5))
        await asyncio.to_thread(site.platform.remove_copy, self.service)
        return True


# ---- what they need ------------------------------------------------------------------------------------------------------


async def down_and_up(platform: Platform, name: str, sign: signal.Signals) -> None:
    """Kafka or PostgreSQL goes down without a word and comes back."""
    await asyncio.to_thread(platform.kill, name, sign)
    for _ in range(2):
        with contextlib.suppress(PartError):  # slow on a busy machine
            return await asyncio.to_thread(platform.restart, name)
    return await asyncio.to_thread(platform.restart, name)


def jobs_of(copy: int | None) -> list[int]:
    """The processes that a copy of matching has started."""
    try:
        return [int(child) for child in Path(f"/proc/{copy}/task/{copy}/children").read_text().split()]
    except OSError:
        return []


Sent = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""Key, value and headers of a record."""
LEADERLESS_SECONDS = 60
"""So long a partition may be without a leader; a fault that needs one is told of as not done then, and what it wrote is known."""


async def written(kafka: str, place: TopicPartition, count: int, of: Callable[[Sequence[Any]], Sequence[Sent]]) -> bool:
    """Write to a partition what `of` makes of its last records; whether there was something, and it was acknowledged."""
    try:
        async with asyncio.timeout(LEADERLESS_SECONDS):
            records = of(await last_records(kafka, place, count))
            async with sender(kafka) as producer:
                for key, value, headers in records:
                    await producer.send(place.topic, value, key=key, partition=place.partition, headers=headers)
                await producer.flush()
    except TimeoutError:
        return False
    return bool(records)


async def last_records(kafka: str, place: TopicPartition, count: int) -> list[Any]:
    """The last records of a partition, without poison."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        consumer.seek(place, max(0, end - count))
        found: list[Any] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
        return [record for record in found if not any(name == POISON for name, _ in record.headers)]
    finally:
        await consumer.stop()


@contextlib.asynccontextmanager
async def sender(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of our own, which nothing acknowledges to the ledger."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        with contextlib.suppress(KafkaError):
            await producer.stop()


def shuffled_across_keys(records: Sequence[Any], rng: random.Random) -> list[Any]:
    """The same records, each key's in their order."""
    queues: dict[bytes, list[Any]] = {}
    for record in reversed(records):
        queues.setdefault(record.key, []).append(record)
    keys = [record.key for record in records]
    rng.shuffle(keys)
    return [queues[key].pop() for key in keys]
