"""Events that can't be handled now: kept in the service's own database, in order per key, retried, shown, replayed or dropped by hand."""

import asyncio
import itertools
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from shared.clock import rung
from shared.cloudevents import UNKNOWN, Cause, Fact, Headers, Received, dump_headers, load_headers, new_id, storable
from shared.decisions import awaited
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
HOLD = """
insert into held_keys (topic, key, state, since, due_at, awaits, attempts, reason)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (topic, key) do nothing
"""
APPEND = """
insert into held (topic, key, partition, "offset", event_id, type, headers, body)
select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::uuid[], $6::text[], $7::bytea[], $8::bytea[])
"""
DUE = """
select topic, key, attempts, since from held_keys where state = 'waits' and due_at <= $1
order by due_at limit 1 for update skip locked
"""
THIS = (
    "select topic, key, attempts, since from held_keys where state = 'waits' and topic = $1 and key = $2 for update skip locked"
)
BATCH = 500
ROWS = 'select seq, partition, "offset", headers, body from held where topic = $1 and key = $2 order by seq limit $3'
DONE = "delete from held where topic = $1 and key = $2 and seq = any($3::bigint[])"
REMAINS = "select exists (select from held where topic = $1 and key = $2)"
FREE = "delete from held_keys where topic = $1 and key = $2"
PROGRESS = "update held_keys set attempts = 0 where topic = $1 and key = $2"
AGAIN = "update held_keys set attempts = $3, due_at = $4, awaits = $5, reason = $6, state = $7 where topic = $1 and key = $2"
WAKE = """
with ready as (select topic, key from held_keys where state = 'waits' and awaits = any($1::text[]) order by topic, key for update)
update held_keys h set due_at = $2 from ready r where h.topic = r.topic and h.key = r.key
"""
COUNTS = "select state, count(*) as keys from held_keys group by state"
"""Waits for a retrier that has one of them in hand: skipping it would lose the wake-up. It locks nothing else, so none waits for it."""
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
    pairs = sorted(keys)
    rows = await connection.fetch(LOOK_UP, [p[0] for p in pairs], [p[1] for p in pairs])
    return {(row[0], row[1]) for row in rows}


async def append(connection: "Connection", events: Sequence[Received]) -> None:
    """Keep whole records at the end of their keys' queues."""
    columns = [
        (e.topic, e.key, e.partition, e.offset, e.id_text or None, e.type, dump_headers(e.record.headers), e.record.value)
        for e in events
    ]
    if columns:
        await connection.execute(APPEND, *map(list, zip(*columns, strict=True)))


async def hold(connection: "Connection", event: Received, error: Exception, now: datetime) -> None:
    """Open a queue for the event's key. A bug is tried again twice, an unready world until it is ready."""
    if event.problem is not None:
        row: tuple[Any, ...] = ("parked", now, now, None, 0, event.problem)
    elif isinstance(error, TryLater):
        row = ("waits", now, now + FIRST_DELAY, error.awaits, 1, f"awaits {error.awaits}")
    else:
        row = ("waits", now, now + FIRST_DELAY, None, 1, describe(error))
    await connection.execute(HOLD, event.topic, event.key, *row)


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
    return Fact(new_id(), answer, now).row(cause, now)


def is_answer(event: Event | None, error: Exception) -> bool:
    """Whether a refusal goes back to a partner; one of our own facts that is refused is a bug."""
    return isinstance(error, Rejected) and isinstance(event, Report)


class Retrier:
    """Takes one due key at a time and drains it in order, in one transaction with what follows from its events."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.wake = asyncio.Event()
        self.waiting = False
        self._saved: set[str] = set()
        self._place: tuple[str, str] | None = None
        """The key in hand."""

    def committed(self, decided: Decided) -> None:
        """What was saved may be what a key awaits, and what was refused waits."""
        self.waiting = self.waiting or bool(decided.refused)
        if self.waiting and decided.saved:
            self._saved |= {awaited(*place) for place in decided.saved}
            self.wake.set()

    async def run(self) -> None:
        async with self.work.database.transaction() as connection:
            await connection.execute(KNOWN_NOW, list(CATALOGUE), self.work.database.clock.now(), UNKNOWN)
        counted = 0.0
        while True:
            await rung(self.wake, max(0.0, counted + 1.0 - time.monotonic()))
            if time.monotonic() - counted >= 1.0:
                await self.count()
                counted = time.monotonic()
            self.wake.clear()
            if self._saved:
                await self._make_due()
            while self.waiting and await self.drain_one():
                pass

    async def count(self) -> None:
        """What `held` shows, and whether anything waits at all."""
        async with self.work.database.transaction() as connection:
            counts = {row["state"]: row["keys"] for row in await connection.fetch(COUNTS)}
        self.waiting = bool(counts.get("waits"))
        for state in ("waits", "parked"):
            self.work.telemetry.metrics.held.labels(state).set(counts.get(state, 0))

    async def _make_due(self) -> None:
        saved, self._saved = self._saved, set()
        async with self.work.database.transaction() as connection:
            await connection.execute(WAKE, list(saved), self.work.database.clock.now())

    async def drain_one(self) -> bool:
        """Handle one due key's events until one must wait again; False where none is due.

        Where saving fails, its first event is tried alone; where that fails too, it is put off like any bug.
        """
        try:
            return await self._drain(BATCH)
        except Exception as error:
            if passes(error) or self._place is None:
                raise
        try:
            return await self._drain(1, self._place)
        except Exception as error:
            if passes(error):
                raise
            return await self._drain(1, self._place, error)

    async def _drain(self, size: int, place: tuple[str, str] | None = None, failure: Exception | None = None) -> bool:
        """One transaction: so many events of this key, or of one that is due. `failure`: put it off instead of deciding."""
        work, now = self.work, self.work.database.clock.now()
        self._place = place
        async with work.database.transaction() as connection:
            due = await (connection.fetchrow(THIS, *place) if place else connection.fetchrow(DUE, now))
            if due is None:
                return place is not None
            topic, key = self._place = due["topic"], due["key"]
            rows = await connection.fetch(ROWS, topic, key, size)
            events = [
                Received(
                    StoredRecord(topic, r["partition"], r["offset"], key.encode(), r["body"], load_headers(r["headers"])),
                    work.wanted,
                )
                for r in rows
            ]
            seqs = {id(e): r["seq"] for e, r in zip(events, rows, strict=True)}
            decided, stuck, error = Decided(), events, failure
            if failure is None:
                decided, stuck, error = await self._decide(connection, events, due["since"], now)
            left = {id(e) for e in stuck}
            await connection.execute(DONE, topic, key, [seq for e, seq in seqs.items() if e not in left])
            if error is None:
                remains = await connection.fetchval(REMAINS, topic, key)
                await connection.execute(PROGRESS if remains else FREE, topic, key)
            else:
                attempts = due["attempts"] + 1 if len(left) == len(events) else 1
                await self._again(connection, (topic, key), attempts, waited(stuck[0], due["since"], now), error, now)
        for event in events:
            if event.span is not None:
                event.span.end()
        work.announce(decided)
        return True

    async def _decide(
        self, connection: "Connection", events: list[Received], since: datetime, now: datetime
    ) -> tuple[Decided, list[Received], Exception | None]:
        """Decide in order; reports that are refused, or that waited too long, are answered and passed over."""
        whole, source = Decided(), self.work.source
        todo = events
        while todo:
            if (problem := todo[0].problem) is not None:
                return whole, todo, Unfit(problem)
            readable = list(itertools.takewhile(lambda e: e.problem is None, todo))
            for event in readable:
                if now - since > timedelta(minutes=5) and event.span is None:  # a late retry is a trace of its own, linked
                    event.span, event.traceparent = self.work.telemetry.start(
                        f"retry {event.type[7:]}", SpanKind.CONSUMER, "", {"ithaca.key": event.key}, cause=event.traceparent
                    )
            decided = await self.work.decide(connection, [e for e in readable if e.event is not None], now)
            whole.add(decided)
            if not decided.refused:
                todo = todo[len(readable) :]
                continue
            ((event, error),) = decided.refused[:1]
            late = waited(event, since, now) > PATIENCE
            if isinstance(error, TryLater) and isinstance(event.event, Report) and late:
                error = Rejected("never_ready", "what it refers to did not come within an hour")
            if not is_answer(event.event, error):
                return whole, todo[todo.index(event) :], error
            assert isinstance(error, Rejected)
            row = rejection(event, error, source, now)
            await write_outbox(connection, [row])
            whole.rows.append(row)
            todo = todo[todo.index(event) + 1 :]
        return whole, [], None

    async def _again(
        self, connection: "Connection", place: tuple[str, str], attempts: int, waited: timedelta, error: Exception, now: datetime
    ) -> None:
        awaits = error.awaits if isinstance(error, TryLater) else None
        parked = waited > PATIENCE if awaits else attempts >= BUG_TRIES
        delay = min(FIRST_DELAY * 2 ** min(attempts, 6), LONGEST_DELAY)
        reason = storable(f"awaits {awaits}" if awaits else describe(error))
        await connection.execute(AGAIN, *place, attempts, now + delay, awaits, reason, "parked" if parked else "waits")
        if parked:
            log.error("parked a key", extra={"ids": {"topic": place[0], "key": place[1], "reason": reason}})


def waited(event: Received, since: datetime, now: datetime) -> timedelta:
    """How long an event has waited at most: its key's time, but not from before it came."""
    try:
        return now - max(since, event.recorded)
    except (ValueError, TypeError):  # a time that can't be read
        return now - since
