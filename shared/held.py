"""Events that can't be handled now: kept in the service's own database, in order per key, retried, shown, replayed or dropped by hand."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from shared.cloudevents import Cause, Fact, Received, dump_headers, load_headers, new_id
from shared.errors import Rejected, TryLater, describe
from shared.events import Event, ReportRejected
from shared.events.reports import Report
from shared.work import Decided, Work, awaited, write_outbox

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
select topic, key, attempts, since, state from held_keys where state = 'waits' and due_at <= $1
order by due_at limit 1 for update skip locked
"""
ROWS = 'select seq, partition, "offset", headers, body from held where topic = $1 and key = $2 order by seq limit 500'
DONE = "delete from held where topic = $1 and key = $2 and seq = any($3::bigint[])"
REMAINS = "select exists (select from held where topic = $1 and key = $2)"
FREE = "delete from held_keys where topic = $1 and key = $2"
AGAIN = "update held_keys set attempts = $3, due_at = $4, awaits = $5, reason = $6, state = $7 where topic = $1 and key = $2"
WAKE = """
with ready as (select topic, key from held_keys where state = 'waits' and awaits = any($1::text[]) order by topic, key for update skip locked)
update held_keys h set due_at = $2 from ready r where h.topic = r.topic and h.key = r.key
"""
COUNTS = "select state, count(*) as keys from held_keys group by state"
KNOWN_NOW = """
update held_keys k set state = 'waits', due_at = $2, attempts = 0 where state = 'parked' and reason = 'unknown type'
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
    headers: Sequence[tuple[str, bytes]]


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
    if isinstance(error, TryLater):
        row: tuple[Any, ...] = ("waits", now, now + FIRST_DELAY, error.awaits, 1, f"awaits {error.awaits}")
    elif event.problem is not None:
        row = ("parked", now, now, None, 0, event.problem)
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

    def committed(self, decided: Decided) -> None:
        """What was saved may be what a key awaits."""
        if self.waiting and decided.saved:
            self._saved |= {awaited(*place) for place in decided.saved}
            self.wake.set()

    async def run(self) -> None:
        async with self.work.database.transaction() as connection:
            await connection.execute(KNOWN_NOW, list(self.work.wanted), self.work.database.clock.now())
        while True:
            try:
                await asyncio.wait_for(self.wake.wait(), 1.0)
            except TimeoutError:
                await self.count()
            self.wake.clear()
            if self._saved:
                await self._make_due()
            while self.waiting and await self.drain_one():
                pass

    async def count(self) -> None:
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
        """Handle one due key's events until one must wait again; False where none is due."""
        work, now = self.work, self.work.database.clock.now()
        async with work.database.transaction() as connection:
            due = await connection.fetchrow(DUE, now)
            if due is None:
                return False
            topic, key = due["topic"], due["key"]
            rows = await connection.fetch(ROWS, topic, key)
            events = [
                Received(
                    StoredRecord(topic, r["partition"], r["offset"], key.encode(), r["body"], load_headers(r["headers"])),
                    work.wanted,
                )
                for r in rows
            ]
            seqs = {id(e): r["seq"] for e, r in zip(events, rows, strict=True)}
            decided, stuck, error = await self._decide(connection, events, due["since"], now)
            left = {id(e) for e in stuck}
            await connection.execute(DONE, topic, key, [seq for e, seq in seqs.items() if e not in left])
            if error is None:
                if not await connection.fetchval(REMAINS, topic, key):
                    await connection.execute(FREE, topic, key)
            else:
                attempts = due["attempts"] + 1 if len(left) == len(events) else 1
                await self._again(connection, (topic, key), attempts, due["since"], error, now)
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
            first = todo[0]
            if first.problem is not None:
                return whole, todo, LookupError(first.problem)
            for event in todo:
                if now - since > timedelta(minutes=5) and event.span is None:  # a late retry is a trace of its own, linked
                    event.span, event.traceparent = self.work.telemetry.start(
                        f"retry {event.type[7:]}", SpanKind.CONSUMER, "", {"ithaca.key": event.key}, cause=event.traceparent
                    )
            decided = await self.work.decide(connection, [e for e in todo if e.event is not None], now)
            whole.rows += decided.rows
            whole.saved |= decided.saved
            if not decided.refused:
                return whole, [], None
            ((event, error),) = decided.refused[:1]
            if isinstance(error, TryLater) and isinstance(event.event, Report) and now - since > PATIENCE:
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
        self, connection: "Connection", place: tuple[str, str], attempts: int, since: datetime, error: Exception, now: datetime
    ) -> None:
        awaits = error.awaits if isinstance(error, TryLater) else None
        parked = now - since > PATIENCE if awaits else attempts >= BUG_TRIES
        delay = min(FIRST_DELAY * 2 ** min(attempts, 6), LONGEST_DELAY)
        reason = str(error) if isinstance(error, LookupError) and not awaits else describe(error)
        if awaits:
            reason = f"awaits {awaits}"
        await connection.execute(AGAIN, *place, attempts, now + delay, awaits, reason[:200], "parked" if parked else "waits")
        if parked:
            log.error("parked a key", extra={"ids": {"topic": place[0], "key": place[1], "reason": reason[:200]}})
