"""Events that can't be handled now: kept in the service's own database, in order per key, retried, shown, replayed or dropped by hand."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry.trace import SpanKind

from shared.clock import rung
from shared.cloudevents import UNKNOWN, Cause, Headers, Received, Wanted, dump_headers, load_headers, new_id, outbox_row, storable
from shared.decisions import Place, awaited
from shared.errors import Rejected, TryLater, Unfit, describe, passes
from shared.events import CATALOGUE, Event, ReportRejected
from shared.events.reports import Report
from shared.work import Decided, Work, write_outbox

if TYPE_CHECKING:
    from shared.database import Connection

log = logging.getLogger("ithaca.held")

BUG_TRIES = 3
PATIENCE = timedelta(hours=1)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=2), timedelta(seconds=60)

LOOK_UP = """
select k.topic, k.key from held_keys k join unnest($1::text[], $2::text[]) as u(topic, key) using (topic, key)
order by k.topic, k.key for share of k
"""
FEW = 200
SOME = "select topic, key from held_keys limit $1"
"""Mostly all there are: a batch's keys, a thousand, needn't be looked for."""
HOLD = """
insert into held_keys (topic, key, state, since, due_at, awaits, attempts, reason)
select u.topic, u.key, u.state, $7, u.due_at, u.awaits, case u.state when 'parked' then 0 else 1 end, u.reason
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[]) as u(topic, key, state, due_at, awaits, reason)
on conflict (topic, key) do nothing
"""
APPEND = """
insert into held (topic, key, partition, "offset", event_id, type, headers, body)
select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::uuid[], $6::text[], $7::bytea[], $8::bytea[])
"""
DUE = """
select topic, key, attempts, since from held_keys where state = 'waits' and due_at <= $1
order by due_at limit $2 for update skip locked
"""
THIS = (
    "select topic, key, attempts, since from held_keys where state = 'waits' and topic = $1 and key = $2 for update skip locked"
)
KEYS, BATCH = 100, 500
PACE_SECONDS = 0.1
"""Keys that become ready within it are drained together: a drain takes a dozen statements, whether for one key or a hundred."""
ROWS = """
select h.* from unnest($1::text[], $2::text[]) as u(topic, key) cross join lateral (
  select topic, key, seq, partition, "offset", headers, body from held h where h.topic = u.topic and h.key = u.key order by seq limit $3) h
order by h.topic, h.key, h.seq
"""
"""So many of the first events of each of these keys."""
DONE = "delete from held where seq = any($1::bigint[])"
FREE = """
delete from held_keys k using unnest($1::text[], $2::text[]) as u(topic, key) where k.topic = u.topic and k.key = u.key
and not exists (select from held h where h.topic = k.topic and h.key = k.key)
"""
PROGRESS = """
update held_keys k set attempts = 0 from unnest($1::text[], $2::text[]) as u(topic, key)
where k.topic = u.topic and k.key = u.key and k.attempts > 0
"""
AGAIN = """
update held_keys k set attempts = u.attempts, due_at = u.due_at, awaits = u.awaits, reason = u.reason, state = u.state
from unnest($1::text[], $2::text[], $3::int[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
  as u(topic, key, attempts, due_at, awaits, reason, state)
where k.topic = u.topic and k.key = u.key
"""
WAKE = """
with ready as (select topic, key from held_keys where state = 'waits' and awaits = any($1::text[]) order by topic, key for update)
update held_keys h set due_at = $2 from ready r where h.topic = r.topic and h.key = r.key
"""
"""Waits for a retrier that has one of them in hand: skipping it would lose the wake-up. It locks nothing else, so none waits for it."""
COUNTS = "select state, count(*) as keys from held_keys group by state"
AWAITED = "select distinct awaits from held_keys where state = 'waits' and awaits is not null limit $1"
MOST_AWAITED = 10_000
"""So many names are remembered; where more are awaited, each that was saved is looked for."""
KNOWN_NOW = """
update held_keys k set state = 'waits', due_at = $2, attempts = 0 where state = 'parked' and reason = $3
and exists (select from held h where h.topic = k.topic and h.key = k.key and h.type = any($1::text[]))
"""


@dataclass(slots=True)
class StoredRecord:
    """A held row in the shape of a Kafka record."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers


async def held_among(connection: "Connection", keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these (topic, key) are held; their rows stay share-locked, so a retrier can't free them meanwhile."""
    some = {(row[0], row[1]) for row in await connection.fetch(SOME, FEW + 1)}
    asked = some.intersection(keys) if len(some) <= FEW else set(keys)
    if not asked:
        return set()
    rows = await connection.fetch(LOOK_UP, *map(list, zip(*sorted(asked), strict=True)))
    return {(row[0], row[1]) for row in rows}


async def hold(
    connection: "Connection", refused: Iterable[tuple[Received, Exception]], events: Sequence[Received], now: datetime
) -> None:
    """Open a queue for each refused event's key, and keep `events` whole at the end of their keys' queues.

    A bug is tried again twice, an unready world until it is ready, what can't be read not at all.
    """
    if not events:
        return
    opened = [_opened(event, error, now) for event, error in refused]
    if opened:
        await connection.execute(HOLD, *map(list, zip(*opened, strict=True)), now)
    rows = [
        (e.topic, e.key, e.partition, e.offset, e.id_text or None, e.type, dump_headers(e.all_headers), e.value) for e in events
    ]
    await connection.execute(APPEND, *map(list, zip(*rows, strict=True)))


def _opened(event: Received, error: Exception, now: datetime) -> tuple[Any, ...]:
    """Topic, key, state, due at, awaits, reason."""
    if event.problem is not None:
        return event.topic, event.key, "parked", now, None, event.problem
    awaits, reason = _why(error)
    return event.topic, event.key, "waits", now + FIRST_DELAY, awaits, reason


def _why(error: Exception) -> tuple[str | None, str]:
    """What is awaited, if anything, and the reason in words."""
    awaits = error.awaits if isinstance(error, TryLater) else None
    return awaits, storable(f"awaits {awaits}" if awaits else describe(error))


def rejection(event: Received, error: Rejected, source: str, now: datetime) -> tuple[Any, ...]:
    """The outbox row that tells a partner what became of its report."""
    report = event.event
    assert isinstance(report, Report)
    answer = ReportRejected(
        organization=report.organization,
        report_id=report.report_id,
        report_source=report.report_source,
        reason=error.code,
        field=error.field,
        audience=(report.organization,),
    )
    cause = Cause(source, event.organization, event.program, event.correlation, event.id, event.traceparent)
    return outbox_row(new_id(), answer, cause, now, now)


def is_answer(event: Event | None, error: Exception) -> bool:
    """Whether a refusal goes back to a partner; one of our own facts that is refused is a bug."""
    return isinstance(error, Rejected) and isinstance(event, Report)


@dataclass(slots=True)
class Queue:
    """A key in hand: its first events in order, and how many of them are done."""

    place: tuple[str, str]
    attempts: int
    since: datetime
    events: list[Received] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    done: int = 0
    error: Exception | None = None
    """Why the first of what is left must wait."""

    def add(self, row: Any, wanted: Wanted) -> None:
        topic, key = self.place
        headers = load_headers(row["headers"])
        self.events.append(
            Received(StoredRecord(topic, row["partition"], row["offset"], key.encode(), row["body"], headers), wanted)
        )
        self.seqs.append(row["seq"])

    @property
    def left(self) -> list[Received]:
        return self.events[self.done :]

    def take(self) -> list[Received]:
        """What is to be decided next; an event that can't be read must wait, and what is behind it."""
        left = self.left if self.error is None else []
        if left and left[0].problem is not None:
            self.error = Unfit(left[0].problem)
        return list(itertools.takewhile(lambda event: event.problem is None, left))


class Retrier:
    """Takes keys that are due and drains each in order, in one transaction with what follows from their events."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.wake = asyncio.Event()
        self.waiting = False
        self._awaited: set[Place] | None = set()
        """What is awaited, as far as we know; None: more than we remember."""
        self._saved: set[Place] = set()
        """Since we last looked what is awaited, which another copy's keys may have begun to await meanwhile."""
        self._kinds = {kind.__name__: (kind, table.id_type) for kind, table in work.tables.items()}
        self._places: list[tuple[str, str]] = []
        """The keys in hand."""

    def committed(self, decided: Decided) -> None:
        """What was saved may be what a key awaits, and what was refused waits."""
        for _, error in decided.refused:
            self.waiting = True
            if isinstance(error, TryLater):
                self._await([error.awaits])
        if self.waiting and decided.saved:
            self._saved |= decided.saved
            if self._awaited is None or not self._awaited.isdisjoint(decided.saved):
                self.wake.set()

    def _await(self, names: Iterable[str]) -> None:
        for name in names:
            kind, _, key = name.partition(":")
            if self._awaited is not None and kind in self._kinds:
                found, id_type = self._kinds[kind]
                with contextlib.suppress(ValueError):
                    self._awaited.add((found, UUID(key) if id_type == "uuid" else key))

    async def run(self) -> None:
        async with self.work.database.transaction() as connection:
            await connection.execute(KNOWN_NOW, list(CATALOGUE), self.work.database.clock.now(), UNKNOWN)
        counted = drained = 0.0
        while True:
            await rung(self.wake, max(0.0, counted + 1.0 - time.monotonic()))
            await asyncio.sleep(max(0.0, drained + PACE_SECONDS - time.monotonic()))
            self.wake.clear()
            if time.monotonic() - counted >= 1.0:
                before, self._saved = self._saved, set()
                await self.count()
                self._saved |= self._ready(before)
                counted = time.monotonic()
            await self._make_due()
            while self.waiting and await self.drain():
                pass
            drained = time.monotonic()

    async def count(self) -> None:
        """What `held` shows, whether anything waits at all, and what for."""
        self._awaited = set()
        async with self.work.database.transaction() as connection:
            counts = {row["state"]: row["keys"] for row in await connection.fetch(COUNTS)}
            awaits = await connection.fetch(AWAITED, MOST_AWAITED) if counts.get("waits") else []
        self.waiting = bool(counts.get("waits"))
        self._await(row["awaits"] for row in awaits)
        if len(awaits) == MOST_AWAITED:
            self._awaited = None
        for state in ("waits", "parked"):
            self.work.telemetry.metrics.held.labels(state).set(counts.get(state, 0))

    def _ready(self, saved: set[Place]) -> set[Place]:
        """What of this may be awaited."""
        return set(saved) if self._awaited is None else saved & self._awaited

    async def _make_due(self) -> None:
        """The keys that await what was saved."""
        if ready := self._ready(self._saved):
            self._saved -= ready
            if self._awaited is not None:
                self._awaited -= ready
            async with self.work.database.transaction() as connection:
                await connection.execute(WAKE, [awaited(*place) for place in ready], self.work.database.clock.now())

    async def drain(self) -> bool:
        """Handle the events of due keys, of each until one must wait again; whether more may be due.

        Where saving fails each key is tried alone, then its first event; where that fails too, it is put off like any bug.
        """
        self._places = []
        try:
            return await self._drain()
        except Exception as error:
            if passes(error) or not self._places:
                raise
        for place in self._places:
            await self._drain_alone(place)
        return True

    async def _drain_alone(self, place: tuple[str, str]) -> None:
        for size in (BATCH, 1):
            try:
                await self._drain(place, size)
            except Exception as error:
                if passes(error):
                    raise
                failure = error
            else:
                return
        await self._drain(place, 1, failure)

    async def _drain(self, place: tuple[str, str] | None = None, size: int = BATCH, failure: Exception | None = None) -> bool:
        """One transaction: so many events of this key, or of those that are due. `failure`: put them off instead of deciding."""
        work, now = self.work, self.work.database.clock.now()
        async with work.database.transaction() as connection:
            due = await (connection.fetch(THIS, *place) if place else connection.fetch(DUE, now, KEYS))
            queues = {(row[0], row[1]): Queue((row[0], row[1]), row["attempts"], row["since"]) for row in due}
            if place is None:
                self._places = sorted(queues)
            if not queues:
                return False
            each = max(size // len(queues), 1)
            for row in await connection.fetch(ROWS, *map(list, zip(*queues, strict=True)), each):
                queues[row["topic"], row["key"]].add(row, work.wanted)
            if failure is None:
                decided = await self._decide(connection, list(queues.values()), now)
            else:
                decided = Decided()
                for queue in queues.values():
                    queue.error = failure if queue.left else None
            await self._put_back(connection, list(queues.values()), each, now)
        for queue in queues.values():
            for event in queue.events:
                if event.span is not None:
                    event.span.end()
        work.announce(decided)
        return len(queues) == KEYS or any(len(queue.events) == each and queue.error is None for queue in queues.values())

    async def _put_back(self, connection: "Connection", queues: list[Queue], each: int, now: datetime) -> None:
        """Forget what is done; free the keys of which nothing is left, and put off those that must wait."""
        await connection.execute(DONE, [seq for queue in queues for seq in queue.seqs[: queue.done]])
        well = [queue.place for queue in queues if queue.error is None]
        if well:
            await connection.execute(FREE, *map(list, zip(*well, strict=True)))
            if any(len(queue.events) == each for queue in queues):
                await connection.execute(PROGRESS, *map(list, zip(*well, strict=True)))
        again = [self._again(queue, queue.error, now) for queue in queues if queue.error is not None]
        if again:
            await connection.execute(AGAIN, *map(list, zip(*again, strict=True)))

    async def _decide(self, connection: "Connection", queues: list[Queue], now: datetime) -> Decided:
        """Decide each queue in order; reports that are refused, or that waited too long, are answered and passed over."""
        whole = Decided()
        while ready := [(queue, events) for queue in queues if (events := queue.take())]:
            for queue, events in ready:
                if now - queue.since > timedelta(minutes=5):
                    self._trace(events)
            todo = [event for _, events in ready for event in events if event.event is not None]
            decided = await self.work.decide(connection, todo, now)
            whole.add(decided)
            refused = {event.order: (event, error) for event, error in decided.refused}
            answers = []
            for queue, events in ready:
                if queue.place not in refused:
                    queue.done += len(events)
                    continue
                event, error = refused[queue.place]
                queue.done = queue.events.index(event)
                late = waited(event, queue.since, now) > PATIENCE
                if isinstance(error, TryLater) and isinstance(event.event, Report) and late:
                    error = Rejected("never_ready", "what it refers to did not come within an hour")
                if is_answer(event.event, error):
                    assert isinstance(error, Rejected)
                    answers.append(rejection(event, error, self.work.source, now))
                    queue.done += 1
                else:
                    queue.error = error
            if answers:
                await write_outbox(connection, answers)
                whole.rows += answers
        return whole

    def _trace(self, events: Iterable[Received]) -> None:
        """A late retry is a trace of its own, linked."""
        for event in events:
            if event.span is None:
                event.span, event.traceparent = self.work.telemetry.start(
                    f"retry {event.type[7:]}", SpanKind.CONSUMER, "", {"ithaca.key": event.key}, cause=event.traceparent
                )

    def _again(self, queue: Queue, error: Exception, now: datetime) -> tuple[Any, ...]:
        """Topic, key, attempts, due at, awaits, reason, state of a key that is put off."""
        topic, key = queue.place
        attempts = 1 if queue.done else queue.attempts + 1
        awaits, reason = _why(error)
        parked = waited(queue.left[0], queue.since, now) > PATIENCE if awaits else attempts >= BUG_TRIES
        delay = min(FIRST_DELAY * 2 ** min(attempts, 6), LONGEST_DELAY)
        if awaits:
            self._await([awaits])
        if parked:
            log.error("parked a key", extra={"ids": {"topic": topic, "key": key, "reason": reason}})
        return topic, key, attempts, now + delay, awaits, reason, "parked" if parked else "waits"


def waited(event: Received, since: datetime, now: datetime) -> timedelta:
    """How long an event has waited at most: its key's time, but not from before it came."""
    try:
        return now - max(since, event.recorded)
    except (ValueError, TypeError):  # a time that can't be read
        return now - since
