"""From Kafka to decisions: batches in one transaction with the positions and the inbox, so that each event counts once.

FastStream keeps the connection and the subscription; the loop is ours. Positions live in PostgreSQL; Kafka's own commit follows once
a second, for lag displays only.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from shared import held
from shared.clock import rung
from shared.cloudevents import Received
from shared.database import Connection
from shared.ends import Ends
from shared.errors import PASSING, Fenced, Raced, Rejected, TryLater, Unfit, describe
from shared.events import TOPICS
from shared.kafka import LEAVE_SECONDS, leave, security_of
from shared.salvage import tolerate
from shared.work import Decided, Work, write_outbox

log = logging.getLogger("ithaca.consumer")

BATCH = 1000
POLL_MS = 400
SLICE = 50
"""So many records are unpacked and decoded at a stretch: 0.4 ms, and what they are made of still lies in the processor's cache."""
FETCH_WAIT_MS = 500
FRESH = timedelta(seconds=0.3)
"""So long a fact may be on its way from its writer's commit to the topic, for a timer not to overtake it."""

INBOX_DAYS = 14
INBOX_SECONDS = INBOX_DAYS * 86_400
MOVE = """
with moved as (
    update positions p set next_offset = u.till
    from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) as u(topic, partition, start, till)
    where p.topic = u.topic and p.partition = u.partition and p.next_offset = u.start
    returning 1)
select (select count(*) from moved) as moved, exists (select from held_keys) as holds
"""
"""Moves the positions, whose row locks fence a frozen owner, and tells whether any key is held at all."""
SEEN = """
with ids as (select unnest(string_to_array($1, ',')::uuid[]) as id),
new as (insert into inbox select id from ids on conflict do nothing returning event_id)
select id::text from ids where id not in (select event_id from new)
"""
OPEN = "insert into positions (topic, partition) select * from unnest($1::text[], $2::int[]) on conflict do nothing"
POSITIONS = """
select p.topic, p.partition, p.next_offset, p.history from positions p
join unnest($1::text[], $2::int[]) as u(topic, partition) using (topic, partition)
"""
ELSEWHERE = """
select exists (
  select from unnest($1::text[], $2::int[], $3::bigint[]) as u(topic, partition, at)
  left join positions p using (topic, partition) where p.next_offset is distinct from u.at
)
"""
READ_UNTIL = """
update positions p set read_until = greatest(p.read_until, u.until), history = false
from unnest($1::text[], $2::int[], $3::timestamptz[], $4::bigint[]) as u(topic, partition, until, start)
where p.topic = u.topic and p.partition = u.partition and p.next_offset >= u.start
"""

Start = dict[tuple[str, int], int]
"""Offsets, by topic and partition."""
RACES = 5
"""So often two transactions may create the same row; a batch that still fails so has a handler with a fault."""


def ends_of(events: Iterable[Received]) -> Start:
    """Where the positions stand after these, each partition's in order."""
    return {(event.topic, event.partition): event.offset + 1 for event in events}


class Epoch(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts rebalances. Seeking inside the callback races with the fetcher, and waiting in it gets the member evicted."""

    def __init__(self) -> None:
        self.count = 0

    def on_partitions_revoked(self, _: Sequence[TopicPartition]) -> None:
        self.count += 1

    def on_partitions_assigned(self, _: Sequence[TopicPartition]) -> None:
        self.count += 1


class Consumer:
    """One copy's reader: the only task that seeks, fetches and moves positions."""

    def __init__(
        self,
        work: Work,
        kafka: Mapping[str, Any],
        topics: Sequence[str],
        *,
        group: str | None = None,
        instance: str | None = None,
        batch: int = BATCH,
        session_ms: int = 10_000,
        partitions: int | None = None,
    ) -> None:
        self.work, self.database, self.telemetry = work, work.database, work.telemetry
        self.kafka, self.topics, self.batch = dict(kafka), list(topics), batch
        self.group, self.instance, self.session_ms = group or work.service, instance, session_ms
        self.partitions = partitions or sum(TOPICS[t].partitions for t in topics)
        """How many partitions the whole service reads."""
        self.epoch = Epoch()
        self.start: Start = {}
        """Where the next batch begins, per partition that is ours."""
        self.seen = -1
        self.stopping = False
        self.beat = time.monotonic()
        self.handled = 0
        self._history: set[tuple[str, int]] = set()
        self.ends = Ends(kafka, self.database.clock)
        self._consumer: AIOKafkaConsumer | None = None
        self._ahead: asyncio.Task[tuple[list[Received], Start]] | None = None
        """The batch after the one in hand, fetched and decoded meanwhile."""
        self._idle = asyncio.Event()
        self._idle.set()

    # -- life

    async def run(self) -> None:
        """Read until stopped. Raises where Kafka's client gave up; the caller starts it again."""
        self.beat = time.monotonic()  # Kafka's absence isn't our death
        broker = KafkaBroker(
            self.kafka["bootstrap_servers"].split(","),  # FastStream takes one text for one server
            security=security_of(self.kafka),
            logger=None,
            graceful_timeout=10,
            allow_auto_create_topics=False,
            consumer_only=True,
            client_id=self.group,
        )
        subscriber = broker.subscriber(
            *self.topics,
            group_id=self.group,
            group_instance_id=self.instance,
            batch=True,
            max_records=self.batch,
            ack_policy=AckPolicy.MANUAL,
            listener=self.epoch,
            auto_offset_reset="earliest",
            fetch_min_bytes=1,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            session_timeout_ms=self.session_ms,
            heartbeat_interval_ms=1000,
            max_poll_interval_ms=300_000,
        )
        try:
            async with asyncio.timeout(30):
                await broker.start()
            consumer = subscriber.consumer
            assert consumer is not None
            self._consumer, self.seen = consumer, -1
            await self._loop(consumer)
        finally:
            self._consumer = None
            self.start = {}
            await self.ends.close()
            await leave(subscriber.consumer, broker.stop)

    async def stop(self, running: "asyncio.Task[None] | None", seconds: float = 15.0) -> None:
        """Finish the batch in hand and leave the group; `running` is the task that reads."""
        self.stopping = True
        connected = self._consumer is not None
        if not await rung(self._idle, seconds):
            log.warning("the batch in hand was not finished in time; it will be handled again")
        elif running is not None and connected:
            await asyncio.wait([running], timeout=LEAVE_SECONDS + 1)

    async def _loop(self, consumer: AIOKafkaConsumer) -> None:
        committed: Start = {}
        last = time.monotonic()
        self._idle.clear()
        try:
            while not self.stopping:
                self.beat = time.monotonic()
                events, ends = await self._next(consumer)
                if events:
                    await self._handle(events, ends)
                if time.monotonic() - last > 1:
                    last = time.monotonic()
                    await self._follow(consumer, committed)
        finally:
            await self._drop_ahead()
            self._idle.set()

    async def _next(self, consumer: AIOKafkaConsumer) -> tuple[list[Received], Start]:
        """The next batch at our position, and where it ends; empty where there is none yet, or the positions must be looked up again."""
        if self.seen != self.epoch.count:
            await self._drop_ahead()  # fetched from where we no longer are
            if not await self._resync(consumer):
                return [], {}
        if self._ahead is None:
            self._ahead = asyncio.create_task(self._fetch(consumer))
        await asyncio.wait([self._ahead])
        try:
            events, ends = self._ahead.result()
        except UnicodeDecodeError:
            tolerate()
            self.seen = -1  # what came with it is lost to the client
            return [], {}
        if self.seen != self.epoch.count:
            return [], {}  # rebalanced meanwhile: these may not be ours, or not from our position
        if not self.start.keys() >= ends.keys():
            self.seen = -1  # assigned, and the listener isn't told yet
            return [], {}
        self._ahead = None
        return events, ends

    def _look_ahead(self) -> None:
        """Fetch the next batch meanwhile. The positions are ours, and PostgreSQL's long statements are to come."""
        if self._ahead is None and self._consumer is not None:
            self._ahead = asyncio.create_task(self._fetch(self._consumer))

    async def _fetch(self, consumer: AIOKafkaConsumer) -> tuple[list[Received], Start]:
        """The next batch, decoded a little at a time: while the one before waits for PostgreSQL this goes on in the pauses."""
        wanted = self.work.wanted
        events: list[Received] = []
        ends: Start = {}
        while len(events) < self.batch:
            fetched = await consumer.getmany(
                timeout_ms=0 if events else POLL_MS, max_records=min(SLICE, self.batch - len(events))
            )
            if not fetched:
                break
            for (topic, partition), records in fetched.items():
                events += [Received(record, wanted) for record in records]
                ends[topic, partition] = records[-1].offset + 1
            del fetched, records
            await asyncio.sleep(0)
        return events, ends

    async def _drop_ahead(self) -> None:
        """What was fetched isn't handled; it is read again from our position."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait([ahead])

    async def _resync(self, consumer: AIOKafkaConsumer) -> bool:
        """Seek each partition that is ours to its position; whatever was fetched before is dropped by the seek."""
        epoch = self.epoch.count
        mine = sorted(consumer.assignment())
        try:
            async with self.database.transaction() as connection:
                topics, partitions = [tp.topic for tp in mine], [tp.partition for tp in mine]
                await connection.execute(OPEN, topics, partitions)
                rows = await connection.fetch(POSITIONS, topics, partitions)
        except PASSING:
            self.telemetry.metrics.passing.labels("positions").inc()
            await asyncio.sleep(0.5)  # PostgreSQL is away: ask again
            return False
        if epoch != self.epoch.count or set(mine) != consumer.assignment():
            return False  # rebalanced meanwhile, though the listener may not be told yet
        for row in rows:
            consumer.seek(TopicPartition(row["topic"], row["partition"]), row["next_offset"])
        self.start = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        self._history = {(row["topic"], row["partition"]) for row in rows if row["history"]}
        self.ends.forget()
        self.seen = epoch
        return True

    async def _follow(self, consumer: AIOKafkaConsumer, committed: Start) -> None:
        """Once a second: tell Kafka where we are, for whoever watches lag there, and measure it ourselves."""
        moved = {TopicPartition(*place): at for place, at in self.start.items() if committed.get(place) != at}
        if moved:
            try:
                async with asyncio.timeout(1):
                    await consumer.commit(moved)
                committed.update(self.start)
            except (KafkaError, *PASSING, ValueError) as error:
                log.info("Kafka's own commit waits: %s", describe(error))
        behind = {place: end - at for place, at in self.start.items() if (end := self._answer(place)[1]) > at}
        metrics = self.telemetry.metrics
        metrics.lag_events.set(sum(behind.values()))
        if not behind:
            metrics.lag_seconds.set(0)
        try:
            if self.seen == self.epoch.count and await self._elsewhere():
                self.seen = -1
                return
            if self._ahead is None:  # or the client stands beyond our position for what it has fetched
                await self._skip_gaps(consumer, behind)
            if self._history:
                await self.ask_ends()
                async with self.database.transaction() as connection:
                    await self.write_read_until(connection)
        except Fenced:
            self.seen = -1
        except (KafkaError, *PASSING) as error:
            log.info("positions wait: %s", describe(error))

    async def _elsewhere(self) -> bool:
        """Whether somebody has moved our positions, as the swap of a rebuild does: where nothing comes, no commit would find it out."""
        places = sorted(self.start.items())
        moved = await self.database.look(
            ELSEWHERE, [t for (t, _), _ in places], [p for (_, p), _ in places], [at for _, at in places]
        )
        return bool(moved and moved[0])

    async def _skip_gaps(self, consumer: AIOKafkaConsumer, behind: Iterable[tuple[str, int]]) -> None:
        """Move past offsets that hold no record, left by retention or compaction: their lag would never be 0."""
        ends: Start = {}
        for place in behind:
            async with asyncio.timeout(1):
                position = await consumer.position(TopicPartition(*place))
            if self.seen != self.epoch.count:
                return
            if position > self.start[place]:
                ends[place] = position
        if ends:
            async with self.database.transaction() as connection:
                await self._move(connection, ends)
            self.start.update(ends)

    def _answer(self, place: tuple[str, int]) -> tuple[int, int]:
        """When Kafka last answered for this partition (ms since the epoch) and its end then; (0, -1) where it hasn't."""
        tp, consumer = TopicPartition(*place), self._consumer
        if consumer is None or tp not in consumer.assignment():
            return 0, -1
        polled, end = consumer.last_poll_timestamp(tp), consumer.highwater(tp)
        return (0, -1) if polled is None or end is None else (polled, end)

    def reads(self) -> bool:
        """Whether Kafka answered for a partition of ours within the last 15 s (a copy without partitions: is connected)."""
        if self._consumer is None or self.seen != self.epoch.count:
            return False
        newest = max((self._answer(place)[0] for place in self.start), default=None)
        return newest is None or time.time() - newest / 1000 < 15

    # -- what the timers ask

    def slices(self) -> list[int]:
        """The timer slices of this copy: those whose number is a partition of ours on the first topic."""
        return sorted(partition for topic, partition in self.start if topic == self.topics[0])

    async def ask_ends(self) -> None:
        """Ask Kafka where our partitions end, for `write_read_until`."""
        if self._consumer is not None and self.seen == self.epoch.count:
            await self.ends.ask(self.start)

    async def write_read_until(self, connection: Connection) -> None:
        """Note until when everything on our partitions has been read."""
        if self.seen != self.epoch.count:
            return
        read = self.ends.read(self.start)
        rows = [(*place, asked - FRESH, self.start[place]) for place, asked in sorted(read.items()) if place in self.start]
        if rows:
            await connection.execute(READ_UNTIL, *map(list, zip(*rows, strict=True)))
            self._history -= read.keys()

    # -- a batch

    async def _handle(self, events: list[Received], ends: Start) -> None:
        """All of these events, whatever happens: each is handled or held when this returns, unless the partitions moved."""
        todo = [(events, ends)]
        delay, races = 0.05, 0
        while todo:
            part, ends = todo.pop()
            if self.seen != self.epoch.count:
                return
            try:
                await self._transact(part, ends)
                delay = 0.05
            except Fenced:
                self.telemetry.metrics.fenced.inc()
                self.seen = -1  # look up the positions again, whoever moved them
                return
            except Exception as error:  # noqa: BLE001 - passing, or saving failed: halve until the one is found, and hold it
                races += isinstance(error, Raced)
                if isinstance(error, PASSING) and races <= RACES:
                    self.telemetry.metrics.passing.labels("batch").inc()
                    if delay > 1:
                        log.warning("the batch waits: %s", describe(error))
                    self.beat = time.monotonic()
                    await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                    delay = min(delay * 2, 5.0)
                    todo.append((part, ends))
                    if self.stopping:
                        return
                elif len(part) > 1:
                    todo += [(half, ends_of(half)) for half in (part[len(part) // 2 :], part[: len(part) // 2])]
                else:
                    log.error("held: %s", describe(error), extra={"ids": {"event": str(part[0].id), "type": part[0].type}})  # noqa: TRY400
                    await self._transact_held(part[0], ends, error)

    async def _transact_held(self, event: Received, ends: Start, error: Exception) -> None:
        while self.seen == self.epoch.count and not self.stopping:
            try:
                await self._transact([event], ends, error)
                break
            except Fenced:
                self.seen = -1
            except PASSING:
                self.beat = time.monotonic()
                await asyncio.sleep(0.5)  # the same trouble as any batch; it goes away by itself

    async def _transact(self, events: list[Received], ends: Start, failure: Exception | None = None) -> None:
        """One transaction: positions, inbox, held keys, decisions, outbox. `failure`: hold the one event instead of deciding on it."""
        started = time.perf_counter()
        async with self.database.transaction() as connection:
            holds = await self._move(connection, ends)
            self._look_ahead()
            decided, handled = await self._decide(connection, events, failure, holds=holds)
        self.start.update(ends)
        self.handled += len(events)
        for event in events:
            if event.span is not None:
                event.span.end()
        self.work.announce(decided)
        self._count(handled, decided, time.perf_counter() - started)

    async def _move(self, connection: Connection, ends: Start) -> bool:
        """Move our positions to there, and tell whether any key is held. Raises Fenced where another copy moved one."""
        places = sorted(ends)
        state = await connection.fetchrow(
            MOVE,
            [topic for topic, _ in places],
            [partition for _, partition in places],
            [self.start[place] for place in places],
            [ends[place] for place in places],
        )
        assert state is not None
        if state["moved"] != len(places):
            raise Fenced
        holds: bool = state["holds"]
        return holds

    async def _decide(
        self, connection: Connection, events: list[Received], failure: Exception | None, *, holds: bool
    ) -> tuple[Decided, list[Received]]:
        now = self.database.clock.now()
        todo = await self._unseen(connection, [e for e in events if e.id_text])
        bad = [e for e in events if e.problem is not None and not e.id_text] + [e for e in todo if e.problem is not None]
        if bad:
            todo = [e for e in todo if e.problem is None]
        behind: list[Received] = []
        if holds and (waiting := await held.held_among(connection, {e.order for e in todo})):
            behind = [e for e in todo if e.order in waiting]
            todo = [e for e in todo if e.order not in waiting]
        opening: list[tuple[Received, Exception]] = [(event, Unfit(event.problem)) for event in bad]
        if failure is not None:
            refused = [(e, failure) for e in todo]
            await held.hold(connection, opening + refused, [*bad, *behind, *todo], now)
            return Decided(refused=refused), []
        decided = await self.work.decide(connection, todo, now)
        stuck: dict[int, Received] = {id(e): e for e in decided.behind}
        answers = []
        for event, error in decided.refused:
            if held.is_answer(event.event, error):
                assert isinstance(error, Rejected)
                answers.append(held.rejection(event, error, self.work.source, now))
                opening += await self._pass_over(connection, event, stuck, decided, answers, now)
            else:
                opening.append((event, error))
                stuck[id(event)] = event
                level = logging.DEBUG if isinstance(error, TryLater) else logging.WARNING
                log.log(level, "held: %s", describe(error), extra={"ids": {"event": str(event.id), "type": event.type}})
        if answers:
            await write_outbox(connection, answers)
            decided.rows += answers
        kept = [e for e in todo if id(e) in stuck] if stuck else []
        await held.hold(connection, opening, [*bad, *behind, *kept], now)
        return decided, [e for e in todo if id(e) not in stuck] if stuck else todo

    async def _pass_over(
        self,
        connection: Connection,
        event: Received,
        stuck: dict[int, Received],
        decided: Decided,
        answers: list[tuple[Any, ...]],
        now: datetime,
    ) -> list[tuple[Received, Exception]]:
        """A refused report blocks nothing: what stood behind it in this batch is decided after all. Gives what must be held of that."""
        opening = []
        rest = [e for e in decided.behind if e.order == event.order]
        for follower in rest:
            stuck.pop(id(follower), None)
        while rest:
            more = await self.work.decide(connection, rest, now)
            decided.add(more)
            rest = more.behind
            for follower, error in more.refused:
                if held.is_answer(follower.event, error):
                    assert isinstance(error, Rejected)
                    answers.append(held.rejection(follower, error, self.work.source, now))
                    continue
                opening.append((follower, error))
                stuck.update({id(e): e for e in [follower, *rest]})
                rest = []
        return opening

    async def _unseen(self, connection: Connection, events: list[Received]) -> list[Received]:
        """Those that the inbox hadn't; an event older than the inbox remembers is set apart."""
        if not events:
            return events
        fresh = {event.id_text: event for event in reversed(events)}
        for row in await connection.fetch(SEEN, ",".join(fresh)):
            del fresh[row[0]]
        if len(fresh) != len(events):
            self.telemetry.metrics.duplicates.inc(len(events) - len(fresh))
            events = [event for event in events if fresh.get(event.id_text) is event]
        oldest = str(UUID(int=int((self.database.clock.wall() - INBOX_SECONDS) * 1000) << 80))
        if min(fresh, default=oldest) < oldest:
            for event in events:
                old = event.id_text < oldest and (event.topic, event.partition) not in self._history
                if old and event.problem is None:
                    event.set_apart(f"older than the inbox ({INBOX_DAYS} days)")
        return events

    def _count(self, handled: list[Received], decided: Decided, seconds: float) -> None:
        metrics = self.telemetry.metrics
        metrics.batch_seconds.observe(seconds)
        for name, count in Counter(map(attrgetter("type"), handled)).items():
            metrics.handled.labels(name).inc(count)
        for event, error in decided.refused:
            metrics.failed.labels(event.type, type(error).__name__ if held.is_answer(event.event, error) else "held").inc()
        if handled:
            with contextlib.suppress(ValueError, TypeError):  # a time that can't be read is no reason to fail after the commit
                metrics.lag_seconds.set(max(0.0, (self.database.clock.now() - handled[-1].recorded).total_seconds()))
