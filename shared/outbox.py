"""From the outbox to Kafka: one leader per service reads in id order, sends, and deletes what Kafka has acknowledged."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from shared import watermarks
from shared.clock import EPOCH, rung
from shared.database import Connection, Database
from shared.kafka import leave
from shared.telemetry import Metrics
from shared.topics import hash_of
from shared.work import Decided

log = logging.getLogger("ithaca.relay")

LEAD = "select pg_try_advisory_lock(hashtext('ithaca relay'), hashtext($1))"
NEXT = "select id, topic, key, headers, payload from outbox where id <> all($2::bigint[]) order by id limit $1"
"""The oldest rows but those that Kafka is taking just now."""
DELETE = "delete from outbox where id = any($1::bigint[])"
BACKLOG = "select count(*) as rows, min(recorded_at) as oldest from (select recorded_at from outbox order by id limit 10000) o"
COALESCE_SECONDS = 0.005
POLL_SECONDS = 5.0
"""Commits ring; this is for a ring that was lost with its connection."""
WATCH_SECONDS = 5.0
STUCK_SECONDS = 30.0
"""Without one acknowledgement for so long the producer is given up for a new one: its connection may be dead without a word."""


class Relay:
    """Every copy runs one; the holder of the session lock sends, the others stand by.

    The lock lives on the connection that reads and deletes, so a leader that lost it can't delete. Records may be sent twice
    after a crash, never left out; consumers' inboxes drop the second.
    """

    def __init__(self, database: Database, kafka: Mapping[str, Any], metrics: Metrics, *, size: int = 1000) -> None:
        self.database, self.kafka, self.metrics, self.size = database, kafka, metrics, size
        self.leader = False
        self.sent = 0
        self.wake = asyncio.Event()
        self.channel = f"outbox_{database.service}"
        self._notify = asyncio.Event()
        self.vouches = watermarks.vouches(database.service)
        self._vouched = EPOCH

    def committed(self, decided: Decided) -> None:
        """Rows were committed: wake the leader, here at once, elsewhere by a NOTIFY."""
        if decided.rows:
            self.wake.set()
            if not self.leader:
                self._notify.set()

    async def notifier(self) -> None:
        """At most one NOTIFY per 5 ms, on a connection of its own: one per commit would cap PostgreSQL."""
        connection: Connection | None = None
        try:
            while True:
                await self._notify.wait()
                self._notify.clear()
                if connection is None or connection.is_closed():
                    connection = await self.database.connect()
                await connection.execute(f"notify {self.channel}")
                await asyncio.sleep(COALESCE_SECONDS)
        finally:
            if connection is not None:
                connection.terminate()

    async def run(self) -> None:
        """Lead when the lock is free, until something breaks; the caller starts it again."""
        connection = await self.database.connect()
        producer: AIOKafkaProducer | None = None
        try:
            while not await connection.fetchval(LEAD, self.database.service):  # noqa: ASYNC110 - a lock that frees wakes nobody
                await asyncio.sleep(0.5)
            self.leader = True
            log.info("leads the relay")
            producer = AIOKafkaProducer(
                **self.kafka, enable_idempotence=True, acks="all", linger_ms=0, max_batch_size=131_072, request_timeout_ms=120_000
            )
            await producer.start()
            await self._lead(connection, producer)
        finally:
            self.leader = False
            connection.terminate()
            if producer is not None:
                await leave(producer, lambda: _give_up(producer))

    async def _lead(self, connection: Connection, producer: AIOKafkaProducer) -> None:
        seen, rows = await self._look(connection)
        while True:
            ahead = None
            if rows:
                async with asyncio.timeout(STUCK_SECONDS):
                    sends = await _send(producer, rows)
                ids = [row[0] for row in rows]
                if len(rows) == self.size:
                    ahead, _ = await asyncio.gather(self._look(connection, ids), _acknowledged(sends))
                else:
                    await _acknowledged(sends)
                await connection.execute(DELETE, ids)
                self.sent += len(rows)
            if len(rows) < self.size:
                if self.vouches and seen - self._vouched >= watermarks.EVERY:
                    await _acknowledged([await producer.send(**watermarks.record(self.database.service, seen))])
                    self._vouched = seen
                await rung(self.wake, watermarks.EVERY.total_seconds() if self.vouches else POLL_SECONDS)
            seen, rows = ahead or await self._look(connection)

    async def _look(self, connection: Connection, sending: Sequence[int] = ()) -> tuple[datetime, list[Any]]:
        """The next rows, and the moment up to which there are no others but those that are being sent."""
        self.wake.clear()
        seen = self.database.clock.now()
        return seen, await connection.fetch(NEXT, self.size, sending)

    async def watch(self) -> None:
        """Measure the backlog, on every copy: while Kafka is away the leader sits in a send."""
        while True:
            async with self.database.transaction() as connection:
                backlog = await connection.fetchrow(BACKLOG)
            assert backlog is not None
            self.metrics.outbox_rows.set(backlog["rows"])
            age = (self.database.clock.now() - backlog["oldest"]).total_seconds() if backlog["oldest"] else 0.0
            self.metrics.outbox_age.set(max(0.0, age))
            await asyncio.sleep(WATCH_SECONDS)


async def _send(producer: AIOKafkaProducer, rows: Sequence[Any]) -> list[asyncio.Future[Any]]:
    """Hand over rows in batches of one partition, within which their order stays.

    Record by record the client takes five times as long: a future and a place in its queue for each.
    """
    sends: list[asyncio.Future[Any]] = []
    partitions = {topic: len(await producer.partitions_for(topic)) for topic in {row[1] for row in rows}}
    filling: dict[tuple[str, int], BatchBuilder] = {}
    for _, topic, key, headers, payload in rows:
        place = topic, hash_of(key) % partitions[topic]
        record = {
            "timestamp": None,
            "key": key.encode(),
            "value": payload,
            "headers": [(name, value.encode()) for name, value in orjson.loads(headers).items()],
        }
        batch = filling.get(place)
        if batch is None or batch.append(**record) is None:
            if batch is not None:
                sends.append(await producer.send_batch(batch, topic, partition=place[1]))
            batch = filling[place] = producer.create_batch()
            batch.append(**record)
    for (topic, partition), batch in filling.items():
        sends.append(await producer.send_batch(batch, topic, partition=partition))
    return sends


async def _acknowledged(sends: Sequence[asyncio.Future[Any]]) -> None:
    """Wait until Kafka has taken all of these. Raises TimeoutError where it takes none for too long, or what it refuses them with."""
    taking = asyncio.gather(*sends)
    taken = 0
    try:
        while not (await asyncio.wait([taking], timeout=STUCK_SECONDS))[0]:
            before, taken = taken, sum(send.done() for send in sends)
            if taken == before:
                raise TimeoutError
        taking.result()
    finally:
        taking.cancel()


async def _give_up(producer: AIOKafkaProducer) -> None:
    """Stop a producer without sending what it still has: that stood behind what failed, and mustn't come before it."""
    if producer._sender.sender_task is not None:  # noqa: SLF001 - stop() alone sends what is left
        await producer._sender.close()  # noqa: SLF001
    await producer.stop()
