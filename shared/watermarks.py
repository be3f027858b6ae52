"""Watermarks: the relays of some services say until when all that was committed there is on Kafka, for timers that heed their facts.

Reading a topic to its end shows what has come, not what still stands in its writer's outbox: a partner's "we met", accepted while
Kafka was away, must stop the timer that would say the contrary. So the gateway's relay writes the moment up to which its outbox was
empty to a small topic, four times a second, and whoever heeds its facts waits for that moment too.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.clock import Clock
from shared.cloudevents import rfc3339
from shared.events import TOPICS, WATERMARKS, Event
from shared.kafka import leave

EVERY = timedelta(seconds=0.25)
"""So often a relay says it, by the platform's time, so that a moved clock is told at once."""
IN_FLIGHT = timedelta(seconds=0.3)
"""So long a transaction may take from deciding when it is to being committed, for its facts to count as from before."""
KEPT = 600
"""Watermarks remembered of a writer: partitions are read past one within seconds, or, after an outage, past a newer one."""


def vouches(service: str) -> bool:
    """Whether this service's relay writes watermarks."""
    return service in WATERMARKS.writers


def record(service: str, seen: datetime) -> dict[str, Any]:
    """What a relay sends that has sent all it had seen at that moment: arguments for a producer."""
    return {
        "topic": WATERMARKS.name,
        "key": service.encode(),
        "value": rfc3339(seen - IN_FLIGHT).encode(),
        "partition": 0,
    }


def writers_of(heeded: Iterable[type[Event]]) -> frozenset[str]:
    """Who writes these events. Raises LookupError for one whose writer gives no watermarks."""
    found = set()
    for event in heeded:
        silent = set(TOPICS[event.topic].writers) - set(WATERMARKS.writers)
        if silent:
            raise LookupError(f"{event.TYPE} can't be heeded: {', '.join(sorted(silent))} writes no watermarks")
        found |= set(TOPICS[event.topic].writers)
    return frozenset(found)


class Watermarks:
    """What one copy has heard from the relays, and when: every copy reads all of it, without a group."""

    def __init__(self, kafka: Mapping[str, Any], clock: Clock, writers: frozenset[str]) -> None:
        self.kafka, self.clock, self.writers = dict(kafka), clock, writers
        self._heard: dict[str, deque[tuple[datetime, datetime]]] = {writer: deque(maxlen=KEPT) for writer in writers}
        """Per writer, oldest first: (when we heard it, the moment up to which all of it was on Kafka by then)."""

    async def run(self) -> None:
        """Listen from now on. Raises where Kafka's client gave up; the caller starts it again."""
        place = TopicPartition(WATERMARKS.name, 0)
        consumer = AIOKafkaConsumer(**self.kafka, enable_auto_commit=False, auto_offset_reset="latest", fetch_max_wait_ms=5_000)
        try:
            await consumer.start()
            consumer.assign([place])
            await consumer.seek_to_end(place)
            while True:
                for records in (await consumer.getmany(timeout_ms=60_000)).values():
                    for one in records:
                        self.hear(one.key, one.value)
        finally:
            await leave(consumer, consumer.stop)

    def hear(self, key: bytes, value: bytes) -> None:
        """Take down one record; what can't be read, or comes from one we don't heed, says nothing."""
        try:
            heard, until = self._heard[key.decode()], datetime.fromisoformat(value.decode())
        except (ValueError, KeyError, AttributeError):
            return
        if until.tzinfo is not None and (not heard or until > heard[-1][1]):
            heard.append((self.clock.now(), until))

    def known(self, read_until: datetime) -> datetime | None:
        """The moment up to which every writer's facts were read, where all that stood on the topics at `read_until`, by our own time, is.

        A watermark counts only if we had heard it by then: what it vouches for was on Kafka before, and is therefore read. None
        where a writer hasn't been heard.
        """
        found = [
            next((until for heard, until in reversed(several) if heard <= read_until), None) for several in self._heard.values()
        ]
        return None if None in found else min(found, default=read_until)  # type: ignore[type-var]
