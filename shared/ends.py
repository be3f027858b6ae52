"""Until when partitions have been read: Kafka is asked where they end, and once a position is there, all from before the question has been.

By a client of its own: on the reader's connection a question waits behind the poll before it, up to half a second where nothing comes.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.clock import Clock
from shared.errors import PASSING, describe
from shared.kafka import leave

log = logging.getLogger("ithaca.ends")

PATIENCE_SECONDS = 5.0
Place = tuple[str, int]
"""A topic and a partition of it."""


class Ends:
    """What one copy knows of where its partitions end."""

    def __init__(self, kafka: Mapping[str, Any], clock: Clock) -> None:
        self.kafka, self.clock = dict(kafka), clock
        self._client: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()
        self._ends: dict[Place, tuple[int, datetime]] = {}
        """Of those that aren't read so far yet: the end, and the platform's time before we asked for it."""
        self._read: dict[Place, datetime] = {}
        """When we asked for the newest end that was reached."""

    async def ask(self, positions: Mapping[Place, int]) -> None:
        """Ask for the ends of the partitions that stand at these positions, but where the last answer isn't reached yet: under load there
        is always more.
        """
        async with self._asking:
            self._note(positions)
            places = [TopicPartition(*place) for place in positions if place not in self._ends]
            if not places:
                return
            asked = self.clock.now()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    ends = await (await self._connected()).end_offsets(places)
            except (KafkaError, *PASSING) as error:
                log.info("the ends of partitions aren't known: %s", describe(error))
                await self.close()
                return
            self._ends.update({(place.topic, place.partition): (end, asked) for place, end in ends.items()})

    def read(self, positions: Mapping[Place, int]) -> dict[Place, datetime]:
        """Per partition, until when all of it has been read; each is said once."""
        self._note(positions)
        read, self._read = self._read, {}
        return read

    def _note(self, positions: Mapping[Place, int]) -> None:
        for place, (end, asked) in list(self._ends.items()):
            if positions.get(place, -1) >= end:
                self._read[place] = asked
                del self._ends[place]

    def forget(self) -> None:
        """Other partitions are ours, or they stand elsewhere."""
        self._ends.clear()
        self._read.clear()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._client is None:
            self._client = AIOKafkaConsumer(**self.kafka, retry_backoff_ms=20)
            await self._client.start()
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await leave(client, client.stop)
