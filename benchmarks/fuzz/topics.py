"""Puts records straight onto topics, then asks each reader what became of every one of them."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.chaos.ledger import Disagreements
from benchmarks.fuzz.ground import World
from benchmarks.fuzz.records import USED_IDS, WAYS, Headers, Record, dumped, records, valid, wanted_by
from shared.cloudevents import load_headers
from shared.events import TOPICS

QUICK = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
STALL_SECONDS = 60.0
AT_ONCE = 500
HELD = """
select h.topic, h.partition, h."offset", h.headers, h.body, k.state, k.reason
from {service}.held h join {service}.held_keys k using (topic, key) where h.topic = $1
"""
SEEN = "select event_id::text from {service}.inbox where event_id = any($1::uuid[])"
POSITIONS = "select topic, partition, next_offset from {service}.positions"
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass
class Kept:
    """A held record as a service keeps it, and why."""

    headers: Headers
    body: bytes | None
    state: str
    reason: str


def drawn(topic: str, count: int, number: int, known: dict[str, list[str]]) -> list[Record]:
    """So many spoilt records of a topic, by this number."""
    found: list[Record] = []

    @seed(number)
    @settings(QUICK, max_examples=-(-count // WAYS))
    @given(records(topic, known))
    def collect(several: list[Record]) -> None:
        found.extend(several)

    collect()
    return found


def good(topic: str, number: int) -> list[Record]:
    """On each partition one valid event for each reader that wants any."""
    kinds = {
        next(event for event in wanted_by(service).values() if event.topic == topic)
        for service in TOPICS[topic].readers
        if any(event.topic == topic for event in wanted_by(service).values())
    }
    found: list[Record] = []

    @seed(number)
    @settings(QUICK, max_examples=1)
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        for kind in sorted(kinds, key=lambda kind: kind.TYPE):
            for partition in range(TOPICS[topic].partitions):
                key, headers, made = data.draw(valid(kind, {}, plain=True))
                found.append(Record(topic, partition, key, dumped(made), tuple(headers)))

    collect()
    return found


async def ends(kafka: str) -> dict[tuple[str, int], int]:
    """The end of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        places = [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]
        return {(place.topic, place.partition): end for place, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


class Topics:
    """What was put onto the topics of a world and what became of it."""

    def __init__(self, world: World) -> None:
        self.world, self.kafka, self.database = world, world.addresses["kafka"], world.addresses["postgres"]
        self.held: dict[str, Counter[str]] = {topic: Counter() for topic in TOPICS}
        """Per topic: how many records each service holds."""
        self.reasons: Counter[str] = Counter()
        """Why, by service."""
        self.records: Counter[str] = Counter()
        self.ids: Counter[str] = Counter(one.decode() for one in USED_IDS)
        """How often each event id was sent: what comes again under a known one is taken for a relay's repetition."""
        self.seconds: dict[str, float] = {}

    async def fuzz(self, topic: str, count: int, number: int) -> Disagreements:
        """So many spoilt records onto a topic, then a good one onto each partition; what isn't as promised."""
        wrong = Disagreements()
        known = self.world.known | {"program": [name for name in self.world.known["program"] if "." in name]}
        bad = await asyncio.to_thread(drawn, topic, count, number, known)
        self.ids.update(one for record in bad for one in record.ids())
        began = time.monotonic()
        sent = await self.send(bad)
        after = await self.send(await asyncio.to_thread(good, topic, number))
        read = await self.read_by_all(topic, sent, wrong)
        self.seconds[topic] = max(self.seconds.get(topic, 0.0), time.monotonic() - began)
        self.records[topic] += len(bad)
        if read:
            for service in TOPICS[topic].readers:
                await self.compare(service, topic, sent, after, wrong)
        return wrong

    async def send(self, sent: Sequence[Record]) -> dict[Place, Record]:
        """Put them onto their partitions, in order."""
        found: dict[Place, Record] = {}
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, max_request_size=1_000_000)
        await producer.start()
        try:
            for n in range(0, len(sent), AT_ONCE):
                some = sent[n : n + AT_ONCE]
                waiting = [
                    await producer.send(r.topic, r.value, key=r.key, partition=r.partition, headers=list(r.headers)) for r in some
                ]
                for record, future in zip(some, waiting, strict=True):
                    written = await future
                    found[written.topic, written.partition, written.offset] = record
        finally:
            await producer.stop()
        return found

    async def read_by_all(self, topic: str, sent: dict[Place, Record], wrong: Disagreements) -> bool:
        """Wait until each reader has read all that lies on the topic; False where one stands still."""
        until = {place: end for place, end in (await ends(self.kafka)).items() if place[0] == topic}
        connection = await asyncpg.connect(self.database)
        moved, before = time.monotonic(), -1
        try:
            while True:
                behind: dict[tuple[str, str, int], int] = {}
                for service in TOPICS[topic].readers:
                    at = {(r[0], r[1]): r[2] for r in await connection.fetch(POSITIONS.format(service=service))}
                    behind |= {(service, *place): at.get(place, 0) for place, end in until.items() if at.get(place, 0) < end}
                if not behind:
                    return True
                if (left := sum(until[key[1:]] - at for key, at in behind.items())) != before:
                    moved, before = time.monotonic(), left
                if time.monotonic() - moved > STALL_SECONDS:
                    for (service, _, partition), offset in behind.items():
                        wrong.note("stands still", f"{service} at {sent.get((topic, partition, offset))}")
                    return False
                await asyncio.sleep(0.2)
        finally:
            await connection.close()

    async def compare(
        self, service: str, topic: str, sent: dict[Place, Record], after: dict[Place, Record], wrong: Disagreements
    ) -> None:
        """Each record is held whole, or was an event that the service may take and has seen; good ones are taken."""
        ids = {one for record in (*sent.values(), *after.values()) for one in record.ids()}
        connection = await asyncpg.connect(self.database)
        try:
            rows = await connection.fetch(HELD.format(service=service), topic)
            seen = {row[0] for row in await connection.fetch(SEEN.format(service=service), list(ids))}
        finally:
            await connection.close()
        wanted = wanted_by(service)
        held = {
            (r["topic"], r["partition"], r["offset"]): Kept(list(load_headers(r["headers"])), r["body"], r["state"], r["reason"])
            for r in rows
        }
        for place, record in sent.items():
            if (kept := held.get(place)) is not None:
                whole = (kept.body, list(map(tuple, kept.headers))) == (record.value, list(record.headers))
                wrong.note("held, and not whole", f"{service}: {record}", when=not whole)
                self.held[topic][service] += 1
                self.reasons[f"{service}: {kept.state}: {kept.reason}"] += 1
            elif any(self.ids[one] > 1 for one in record.ids()):
                continue
            elif not record.may_be_taken(wanted):
                wrong.note("neither held nor an event", f"{service}: {record}")
            elif record.wanted_by(wanted) and not record.ids() & seen:
                wrong.note("an event, and never seen", f"{service}: {record}")
        for place, record in after.items():
            kept = held.get(place)
            wanting = record.wanted_by(wanted)
            lost = wanting and not record.ids() & seen
            refused = kept is not None and not kept.reason.startswith("awaits ")
            wrong.note("a good event that isn't taken", f"{service}: {kept} {record}", when=lost or refused)
