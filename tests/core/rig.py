"""The core without Kafka: a copy's parts on a real database, fed by hand, so that a test decides what happens when."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from shared.cloudevents import Received, new_id
from shared.consumer import ends_of
from shared.database import migrate
from shared.events import Event
from shared.held import StoredRecord
from shared.service import Service, Settings, keep_inbox
from tests.core import ledger
from tests.producing import Headers, encoded

TOPICS = ("matching", "onboarding", "reports", "scheduling")


async def until(ask: Callable[[], Awaitable[object]], seconds: float = 20.0, pause: float = 0.03) -> object:
    """The first true answer, or the last one when the time is over; a table that isn't there yet is no answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = await ask()
        except asyncpg.UndefinedTableError:
            answer = None
        if answer or time.monotonic() > end:
            return answer
        await asyncio.sleep(pause)


class Rig:
    """One copy of the ledger whose consumer is fed with `give` and whose retrier and timers are turned by hand."""

    def __init__(self, settings: Settings, see: asyncpg.Connection, build: Callable[..., Service] = ledger.build) -> None:
        self.service = build(settings, TOPICS)
        self.work, self.database, self.consumer = self.service.work, self.service.database, self.service.consumer
        self.retrier, self.timers = self.service.retrier, self.service.timers
        self.see = see
        """A superuser's connection, to look from outside."""

    async def start(self) -> "Rig":
        await migrate(self.database, self.service.migrations)
        await self.database.start()
        async with self.database.transaction() as connection:
            await keep_inbox(connection, self.database.clock.now())
            await connection.execute(
                "insert into positions (topic, partition) select unnest($1::text[]), 0 on conflict do nothing",
                self.consumer.topics,
            )
            await connection.execute("update positions set history = false")
        await self.resync()
        return self

    async def resync(self) -> None:
        """Where the database says that the next batch begins."""
        async with self.database.transaction() as connection:
            rows = await connection.fetch("select topic, partition, next_offset from positions")
        self.consumer.start = {(r["topic"], r["partition"]): r["next_offset"] for r in rows}
        self.consumer.seen = self.consumer.epoch.count

    def record(
        self,
        event: Event,
        offset: int,
        *,
        event_id: UUID | None = None,
        headers: Callable[[Headers], Headers] = lambda headers: headers,
        traceparent: str = "",
        **other: bytes | None,
    ) -> StoredRecord:
        """An event as it lies on its topic; `key=` and `value=` replace the record's own."""
        key, own, payload = encoded(
            event, organization=ledger.ORGANIZATION, program=ledger.PROGRAM, event_id=event_id, traceparent=traceparent
        )
        return StoredRecord(event.topic, 0, offset, other.get("key", key), other.get("value", payload), headers(own))  # type: ignore[arg-type]

    async def give(self, *events: Event | StoredRecord, ids: Sequence[UUID] = ()) -> list[Received]:
        """One batch, at the offsets where the copy stands."""
        at = dict(self.consumer.start)
        batch = []
        for n, event in enumerate(events):
            one = event if isinstance(event, StoredRecord) else self.record(event, 0, event_id=ids[n] if ids else None)
            place = (one.topic, 0)
            one.offset = at[place]
            at[place] += 1
            batch.append(Received(one, self.work.wanted))
        await self.consumer._handle(batch, ends_of(batch))
        return batch

    async def retry(self) -> int:
        """Make the waiting keys due and drain them; the number of tries."""
        await self.see.execute("update scheduling.held_keys set due_at = '-infinity' where state = 'waits'")
        return await self.drain()

    async def drain(self) -> int:
        """Try whatever is due."""
        tries = 0
        while await self.retrier.drain():
            tries += 1
            assert tries < 200, "the retrier turns on the spot"
        return tries

    async def read_until(self, moment: datetime) -> None:
        """As if everything recorded before then had been read, by whichever copy."""
        await self.see.execute(
            "insert into scheduling.positions (topic, partition) select t, p from unnest($1::text[]) t, generate_series(0, 11) p "
            "on conflict do nothing",
            self.consumer.topics,
        )
        await self.see.execute("update scheduling.positions set read_until = $1", moment)
        first = self.consumer.topics[0]
        self.consumer.start.update({(first, p): self.consumer.start.get((first, p), 0) for p in range(12)})

    async def pair(self, pair: UUID | None = None) -> UUID:
        """A new pair that the ledger knows."""
        pair = pair or new_id()
        await self.give(ledger.pair_created(pair))
        return pair

    async def row(self, pair: UUID) -> asyncpg.Record:
        row = await self.see.fetchrow("select * from scheduling.pairs where id = $1", pair)
        assert row is not None, "no such pair"
        return row

    async def held(self) -> list[tuple[str, str, str]]:
        """(state, reason, key) of what is held, in order of keys."""
        rows = await self.see.fetch("select state, reason, key from scheduling.held_keys order by topic, key")
        return [tuple(row) for row in rows]

    async def facts(self, topic: str = "scheduling") -> list[asyncpg.Record]:
        """The outbox in the order in which a relay sends it."""
        return await self.see.fetch("select * from scheduling.outbox where topic = $1 order by id", topic)

    async def act(self, pair: UUID) -> object:
        """A person's click on a pair."""
        return await self.work.act(ledger.touch(pair))

    def stop(self) -> None:
        if self.database._pool is not None:
            self.database._pool.terminate()
