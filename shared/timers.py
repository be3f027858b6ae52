"""Durable timers: armed, moved and cleared by decisions; one fires only when its service has read past its time everywhere."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry.trace import SpanKind

from shared.clock import EPOCH, rung
from shared.cloudevents import new_id
from shared.consumer import FRESH, Consumer
from shared.decisions import Key
from shared.errors import TryLater, describe, passes
from shared.telemetry import Span
from shared.watermarks import Watermarks
from shared.work import TIMER_UPSERT, Decided, Work

if TYPE_CHECKING:
    from shared.database import Connection

log = logging.getLogger("ithaca.timers")

SLICES = 12
BATCH = 1000
POLL_SECONDS = 1.0
SHORTEST_WAIT = 0.1
DUE = """
select kind, key, owner, fire_at, organization, program, correlation, traceparent from timers
where fire_at <= $1 and (hashtext(key) & 2147483647) % 12 = any($2::int[]) and kind = any($4::text[])
and (fire_at <= $5 or kind <> all($6::text[])) order by fire_at limit $3
"""
LOOK = """
select count(*) as due, min(fire_at) as oldest, (select min(fire_at) from timers where kind = any($2::text[])) as next
from (select fire_at from timers where fire_at <= $1 and kind = any($2::text[]) order by fire_at limit 1000) t
"""
"""What is due, and what comes next."""
TAKE = """
delete from timers t using unnest($1::text[], $2::text[], $3::timestamptz[]) as u(kind, key, fire_at)
where t.kind = u.kind and t.key = u.key and t.fire_at is not distinct from u.fire_at returning t.kind, t.key
"""
"""By their keys: with `=` PostgreSQL may look by time, at which a thousand may be due."""
READ_PAST = """
select count(*) as partitions, min(read_until) as until from positions where topic = any($1::text[]) and isfinite(read_until)
"""
APART = timedelta(seconds=0.05)
"""By which the clocks of two copies may differ."""
RETRY_AFTER = timedelta(minutes=1)


@dataclass(slots=True)
class DueTimer:
    """A timer whose time has come, as handlers see it."""

    kind: str
    key: str
    owner: Key
    fire_at: datetime
    organization: str
    program: str
    correlation: UUID
    traceparent: str
    id: UUID
    span: Span | None = None
    time: None = None
    order: tuple[str, str] | None = None
    problem: None = None

    @property
    def event(self) -> "DueTimer":
        return self

    @property
    def type(self) -> str:
        return f"timer:{self.kind}"


class Timers:
    """Fires the due timers of this copy's slices: slice n goes with partition n, so copies share them as they share partitions."""

    def __init__(self, work: Work, consumer: Consumer, watermarks: Watermarks) -> None:
        self.work, self.consumer, self.watermarks = work, consumer, watermarks
        self.heeding = [kind for kind, handlers in work.timers.items() if any(handler.heeds for handler in handlers.each)]
        """Kinds that also wait for what their facts' writers have yet to send."""
        self.wake = asyncio.Event()
        self._next: datetime | None = None

    def committed(self, decided: Decided) -> None:
        if decided.soonest is not None and (self._next is None or decided.soonest < self._next):
            self._next = decided.soonest
            self.wake.set()

    async def run(self) -> None:
        wait = SHORTEST_WAIT
        while True:
            fired = await self.fire_due()
            if fired is None:  # some are due, but the service hasn't read past them yet, or they are another copy's
                await asyncio.sleep(wait)  # the consumer's next empty poll tells; there is nothing to wait on
                wait = min(wait * 1.5, POLL_SECONDS)
                continue
            wait = SHORTEST_WAIT
            if fired < BATCH:
                await self._rest()

    async def _rest(self) -> None:
        now = self.work.database.clock.now()
        seconds = POLL_SECONDS
        if self._next is not None:
            seconds = min(max((self._next - now).total_seconds(), 0.01), POLL_SECONDS)
        await rung(self.wake, seconds)
        self.wake.clear()

    async def fire_due(self) -> int | None:
        """Fire what may fire; the number fired, or None where some must wait for the consumer."""
        work, now = self.work, self.work.database.clock.now()
        kinds = list(work.timers)  # others are a newer version's, which knows what to do with them
        if not work.timers:
            self._next = None
            return 0
        due = await work.database.look(LOOK, now, kinds)
        assert due is not None
        self._next = due["next"]
        metrics = work.telemetry.metrics
        metrics.timers_due.set(due["due"])
        metrics.timers_late.set(max(0.0, (now - due["oldest"]).total_seconds()) if due["oldest"] else 0.0)
        if not due["due"]:
            return 0
        await self.consumer.ask_ends()
        async with work.database.transaction() as connection:
            await self.consumer.write_read_until(connection)
            read = await connection.fetchrow(READ_PAST, self.consumer.topics)
            assert read is not None
            if read["partitions"] < self.consumer.partitions or read["until"] is None or read["until"] < due["oldest"]:
                return None
            heard = self.watermarks.known(read["until"] + FRESH - APART) or EPOCH
            slices = self.consumer.slices()
            rows = await connection.fetch(DUE, min(read["until"], now), slices, BATCH, kinds, heard, self.heeding)
        if not rows:
            self._next = None  # what is due belongs to another copy's slices, or isn't read past yet
            return None if min(read["until"], heard) < now else 0
        await self._fire([self._due(row) for row in rows])
        return len(rows)

    def _due(self, row: Any) -> DueTimer:
        handlers = self.work.timers.get(row["kind"])
        is_uuid = handlers is not None and self.work.tables[handlers.each[0].kind].id_type == "uuid"
        span, traceparent = self.work.telemetry.start(
            f"timer {row['kind']}", SpanKind.INTERNAL, "", {"ithaca.key": row["owner"]}, cause=row["traceparent"] or ""
        )
        return DueTimer(
            row["kind"],
            row["key"],
            UUID(row["owner"]) if is_uuid else row["owner"],
            row["fire_at"],
            row["organization"] or "",
            row["program"] or "",
            row["correlation"] or new_id(),
            traceparent,
            new_id(),
            span,
        )

    async def _fire(self, due: list[DueTimer]) -> None:
        """All of these; where saving fails they are halved until the one is found, which is put off like any that fails."""
        todo = [due]
        while todo:
            part = todo.pop()
            try:
                await self._transact(part)
            except Exception as error:
                if passes(error):
                    raise
                if len(part) > 1:
                    todo += [part[len(part) // 2 :], part[: len(part) // 2]]
                else:
                    await self._transact(part, error)

    async def _transact(self, due: list[DueTimer], failure: Exception | None = None) -> None:
        work = self.work
        async with work.database.transaction() as connection:
            now = work.database.clock.now()
            if failure is None:
                decided = await work.decide(connection, due, now, confirm=_take)
            else:
                decided = Decided(refused=[(timer, failure) for timer in await _take(connection, due)])
            for timer, error in decided.refused:
                await self._again(connection, timer, error, now)
        for timer in due:
            if timer.span is not None:
                timer.span.end()
        work.announce(decided)

    async def _again(self, connection: "Connection", timer: DueTimer, error: Exception, now: datetime) -> None:
        """A timer whose function fails stays: it is tried again each minute and is on show meanwhile."""
        kind = "later" if isinstance(error, TryLater) else "bug"
        self.work.telemetry.metrics.failed.labels(timer.type, kind).inc()
        log.error("a timer could not fire", extra={"ids": {"kind": timer.kind, "key": timer.key, "error": describe(error)}})
        row = (
            timer.kind,
            timer.key,
            str(timer.owner),
            now + RETRY_AFTER,
            timer.organization,
            timer.program,
            timer.correlation,
            "",
        )
        await connection.execute(TIMER_UPSERT, *([value] for value in row))


async def _take(connection: "Connection", due: Sequence[Any]) -> Sequence[Any]:
    """With the aggregates locked: those still armed for the time we read. A timer that was moved or cleared meanwhile isn't."""
    rows = await connection.fetch(TAKE, [t.kind for t in due], [t.key for t in due], [t.fire_at for t in due])
    taken = {(row["kind"], row["key"]) for row in rows}
    return [t for t in due if (t.kind, t.key) in taken]
