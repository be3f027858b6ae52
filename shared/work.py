"""Load, decide, save: pure functions on aggregates, run in memory for a whole batch of events, timers or people's actions.

A handler takes an aggregate (None where there is none yet), the event and its context, and returns an `Outcome`: changed
aggregates, events that follow, timers. This module finds which aggregates a batch concerns, locks and loads them in one statement a
kind in key order, runs the functions one by one, and saves what changed in one statement a kind, the outbox last.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from shared.cloudevents import Cause, Received, new_text_id, outbox_row
from shared.decisions import (
    NOTHING,
    Action,
    ByField,
    Context,
    Handler,
    Handlers,
    Item,
    Lookup,
    Outcome,
    Place,
    Timer,
    action_handlers,
    by_cause,
)
from shared.errors import PASSING, Raced, Rejected, TryLater, Unfit
from shared.events import Event
from shared.tables import Table
from shared.telemetry import SMALL_FAN_OUT, Telemetry

if TYPE_CHECKING:
    from shared.database import Connection, Database


@dataclass(slots=True)
class Decided:
    """What a batch came to, before it is saved."""

    items: list[Any] = field(default_factory=list)
    """All that was looked at."""
    outcomes: list[tuple[Action, Outcome]] = field(default_factory=list)
    """Of actions; what became of an event nobody asks, and a thousand outcomes would keep much memory from being used again."""
    refused: list[tuple[Any, Exception]] = field(default_factory=list)
    behind: list[Any] = field(default_factory=list)
    """Items of the same key as a refused one, which must wait behind it."""
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    timers: dict[tuple[str, str], tuple[Timer, Item] | None] = field(default_factory=dict)
    saved: set[Place] = field(default_factory=set)
    """(kind, id) of what is new or changed."""
    soonest: datetime | None = None

    def add(self, more: "Decided") -> None:
        """What else was decided and saved in the same transaction, for those who are told of it."""
        self.items += more.items
        self.rows += more.rows
        self.saved |= more.saved
        self.soonest = min(filter(None, (self.soonest, more.soonest)), default=None)

    def take(self, item: Item, outcome: Outcome) -> None:
        """What one item came to, beside aggregates and facts."""
        if type(item) is Action:
            self.outcomes.append((item, outcome))
        for cleared in outcome.cleared:
            self.timers[cleared] = None
        for timer in outcome.timers:
            self.timers[timer.kind, timer.key] = (timer, item)


@dataclass(slots=True)
class Loaded:
    """The aggregates that a segment concerns, locked, and what has become of them."""

    state: dict[Place, Any] = field(default_factory=dict)
    """As loaded, then as changed; None where it is removed."""
    dirty: dict[Place, Any] = field(default_factory=dict)
    """What changed."""
    before: dict[Place, Any] = field(default_factory=dict)
    """How that was loaded, unless it is new."""
    fresh: set[Place] = field(default_factory=set)
    """What of that is new."""
    grown: set[type] = field(default_factory=set)
    """Kinds of which some came or went, so that a look-up may find others."""
    held: set[Any] = field(default_factory=set)
    """The ids whose rows this transaction holds, of whichever kind."""

    def keep(self, overlay: dict[Place, Any]) -> None:
        """What one item changed."""
        for place, aggregate in overlay.items():
            if place not in self.state:
                self.fresh.add(place)
                self.grown.add(place[0])
                self.held.add(place[1])
            else:
                self.before.setdefault(place, self.state[place])
                if aggregate is None:
                    self.grown.add(place[0])
            self.state[place] = self.dirty[place] = aggregate


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent on each type of item, looked at when the type changes."""

    spent: dict[str, float] = field(default_factory=dict)
    type: str = ""
    since: float = field(default_factory=time.perf_counter)

    def turn(self, to: str) -> None:
        before, self.since = self.since, time.perf_counter()
        if self.type:
            self.spent[self.type] = self.spent.get(self.type, 0.0) + self.since - before
        self.type = to


TIMER_UPSERT = """
insert into timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::uuid[], $8::text[])
on conflict (kind, key) do update set owner = excluded.owner, fire_at = excluded.fire_at, organization = excluded.organization,
  program = excluded.program, correlation = excluded.correlation, traceparent = excluded.traceparent
"""
TIMER_CLEAR = "delete from timers t using unnest($1::text[], $2::text[]) as u(kind, key) where t.kind = u.kind and t.key = u.key"
OUTBOX = ("event_id", "topic", "key", "headers", "payload", "recorded_at")


async def write_outbox(connection: "Connection", rows: Sequence[tuple[Any, ...]]) -> None:
    """Append facts, the last thing a transaction does. COPY costs half of what arrays do."""
    await connection.copy_records_to_table("outbox", records=rows, columns=OUTBOX)


Segment = list[tuple[Any, Handlers]]
"""Items with their handlers, decided on one load."""
Found = dict[tuple[int, Any], list[Any]]
"""(which look-up, value) → ids."""


NOBODY = Handlers()
Confirm = Callable[["Connection", Sequence[Any]], Coroutine[Any, Any, Sequence[Any]]]


LARGEST = 900_000
"""Bytes of an event's data. Kafka refuses a record above 1 MiB, and the relay would stand still before it."""


async def _update(connection: "Connection", table: Table[Any], changed: Sequence[tuple[Any, Any]]) -> None:
    """Save what each has become. Raises Raced where one is gone."""
    changes = table.changes(changed)
    if changes is not None:
        done = await connection.execute(changes[0], *changes[1])
        if done != f"UPDATE {len(changed)}":
            raise Raced(f"{table.kind.__name__} is gone")


def without_this_frame(error: Exception) -> Exception:
    """The caller's frame holds the batch, which holds the error: a cycle that would keep all of it in memory."""
    return error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)


class Work:
    """The core of one service: its tables, its handlers, and the transaction that joins them."""

    def __init__(
        self, service: str, database: "Database", tables: Sequence[Table[Any]], handlers: Sequence[Handler], telemetry: Telemetry
    ) -> None:
        self.service, self.database, self.telemetry = service, database, telemetry
        self.source = f"/ithaca/{service}"
        self.tables: dict[type, Table[Any]] = {table.kind: table for table in tables}
        self.order = {table.kind: n for n, table in enumerate(tables)}
        events: dict[str, tuple[Handler, ...]] = {}
        timers: dict[str, tuple[Handler, ...]] = {}
        for handler in handlers:
            for kind in (handler.kind, *(k for k, _ in handler.reads)):
                if kind not in self.tables:
                    raise LookupError(f"{service}: {kind.__name__} has no table")
            if isinstance(handler.subject, str):
                timers[handler.subject] = (*timers.get(handler.subject, ()), handler)
            else:
                name = handler.subject.TYPE
                events[name] = (*events.get(name, ()), handler)
        self.events = {name: Handlers.of(*each) for name, each in events.items()}
        self.timers = {name: Handlers.of(*each) for name, each in timers.items()}
        self.heeded = {event for handler in handlers for event in handler.heeds}
        """Facts that timers wait for, also those that their writer hasn't sent yet."""
        self.wanted: dict[str, type[Event]] = {h.subject.TYPE: h.subject for h in handlers if not isinstance(h.subject, str)}
        self.committed: list[Callable[[Decided], None]] = []
        """Called after each commit: the relay's, the timers' and the retrier's wake-ups."""

    def handlers_of(self, item: Any) -> Handlers:
        if type(item) is Received:
            return self.events.get(item.type, NOBODY)
        return action_handlers(item) if isinstance(item, Action) else self.timers.get(item.kind, NOBODY)

    # -- decide

    async def decide(
        self, connection: "Connection", items: Sequence[Any], now: datetime, *, confirm: Confirm | None = None
    ) -> Decided:
        """Load what the items concern, run their functions in order, save what changed, write the outbox.

        Items that raise are in `refused` and have changed nothing; later items of the same `order` are in `behind`. `confirm` runs
        when the aggregates are locked and returns the items that still hold.
        """
        decided = Decided(list(items))
        stuck: set[tuple[str, str]] = set()
        for whole in self._segments(items):
            segment, ask = whole, confirm
            while segment:
                segment = await self._decide_segment(connection, segment, now, decided, stuck, ask)
                ask = None  # the rest was confirmed with the whole
        if decided.timers:
            await self._save_timers(connection, decided)
        if decided.rows:
            await write_outbox(connection, decided.rows)
        return decided

    def _segments(self, items: Sequence[Any]) -> Iterable[Segment]:
        """Cut before an item whose aggregates must be looked up, since what stands before it may change what is found."""
        segment: Segment = []
        last, naming = NOBODY, NOBODY.naming
        named: set[Place] = set()
        for item in items:
            handlers, cut = self.handlers_of(item), False
            if handlers is not last:
                last, naming, cut = handlers, handlers.naming, bool(handlers.lookups)
            own = (
                {(kind, key) for kind, ids in naming for key in ids(item if ids is by_cause else item.event)} if naming else None
            )
            if segment and (cut or (own and not named.isdisjoint(own))):
                yield segment
                segment, named = [], set()
            if own:
                named |= own
            segment.append((item, handlers))
        if segment:
            yield segment

    async def _decide_segment(
        self,
        connection: "Connection",
        segment: Segment,
        now: datetime,
        decided: Decided,
        stuck: set[tuple[str, str]],
        confirm: Confirm | None,
    ) -> Segment:
        """Load, run, save; gives back the rest, where what was decided may change what the rest looks up."""
        loaded = Loaded()
        found = await self._load(connection, segment, loaded.state)
        if confirm is not None:
            still = {id(item) for item in await confirm(connection, [item for item, _ in segment])}
            segment = [(item, handlers) for item, handlers in segment if id(item) in still]
        rest = self._run_all(segment, loaded, found, now, decided, stuck)
        if loaded.dirty:
            await self._save(connection, loaded, decided)
        return rest

    def _run_all(
        self,
        segment: Segment,
        loaded: Loaded,
        found: Found,
        now: datetime,
        decided: Decided,
        stuck: set[tuple[str, str]],
    ) -> Segment:
        """Run the items' functions on what was loaded; gives back the items that need to look anew."""
        state, held, grown = loaded.state, loaded.held, loaded.grown
        held.update(map(itemgetter(1), state))
        rest: Segment = []
        begin, watch = self.telemetry.begin, Stopwatch()
        for n, (item, handlers) in enumerate(segment):
            if item.type != watch.type:
                watch.turn(item.type)
            if stuck and item.order in stuck:
                decided.behind.append(item)
                continue
            if grown and handlers.looks_up(grown):
                rest = segment[n:]
                break
            if type(item) is Received:
                begin(item)
            try:
                outcome, overlay = self._run(item, handlers.each, found, state, now)
                if outcome.events:
                    decided.rows += self._facts(item, outcome.events, now, held, overlay)
            except Exception as error:  # noqa: BLE001 - a pure function that raises has written nothing, and OSError is a bug there
                decided.refused.append((item, without_this_frame(error)))
                if item.order is not None:
                    stuck.add(item.order)
                continue
            loaded.keep(overlay)
            decided.take(item, outcome)
        watch.turn("")
        for name, took in watch.spent.items():
            self.telemetry.metrics.handler_seconds.labels(name).inc(took)
        return rest

    async def _load(self, connection: "Connection", segment: Segment, state: dict[Place, Any]) -> Found:
        """Lock and load, kinds in the service's order, ids in key order; first what the items name, then what is looked up."""
        named: dict[type, set[Any]] = {}
        lookups: dict[int, tuple[Lookup, type, set[Any]]] = {}
        alike: dict[Handlers, list[Any]] = {}
        for item, handlers in segment:
            alike.setdefault(handlers, []).append(item)
        for handlers, items in alike.items():
            events = [item.event for item in items]
            for kind, ids in handlers.named:
                if type(ids) is ByField:
                    named.setdefault(kind, set()).update(map(ids.get, events))
                else:
                    named.setdefault(kind, set()).update(*map(ids, items if ids is by_cause else events))
            for kind, lookup in handlers.lookups:
                lookups.setdefault(id(lookup), (lookup, kind, set()))[2].update(*map(lookup.of, events))
        await self._fetch(connection, named, state)
        found: Found = {}
        if lookups:
            more: dict[type, set[Any]] = {}
            for place, (lookup, kind, values) in lookups.items():
                for value, key in map(tuple, await connection.fetch(lookup.sql, list(values))):
                    found.setdefault((place, value), []).append(key)
                    if (kind, key) not in state:
                        more.setdefault(kind, set()).add(key)
            await self._fetch(connection, more, state)
        return found

    async def _fetch(self, connection: "Connection", wanted: dict[type, set[Any]], state: dict[Place, Any]) -> None:
        for kind in sorted(wanted, key=self.order.__getitem__):
            ids = wanted[kind]
            ids.discard(None)
            if not ids:
                continue
            table = self.tables[kind]
            for aggregate in table.read_all(await connection.fetch(table.load, list(ids))):
                state[kind, aggregate.id] = aggregate

    def _run(
        self,
        item: Any,
        handlers: tuple[Handler, ...],
        found: Found,
        state: dict[Place, Any],
        now: datetime,
    ) -> tuple[Outcome, dict[Place, Any]]:
        """The item's functions in order, each seeing what those before it changed; nothing is kept where one raises."""
        overlay: dict[Place, Any] = {}
        context = Context(item, now, state, overlay)
        event = item.event
        whole: Outcome | None = None
        for handler in handlers:
            ids = handler.ids
            if isinstance(ids, Lookup):
                keys: Iterable[Any] = dict.fromkeys(key for value in ids.of(event) for key in found.get((id(ids), value), ()))
            else:
                keys = ids(item if ids is by_cause else event)
            for key in keys:
                place = (handler.kind, key)
                aggregate = overlay[place] if overlay and place in overlay else state.get(place)
                outcome = handler.do(aggregate, event, context)
                for changed_one in outcome.changed:
                    overlay[type(changed_one), changed_one.id] = changed_one
                for removed_one in outcome.removed:
                    overlay[type(removed_one), removed_one.id] = None
                whole = outcome if whole is None else whole.plus(outcome)
        return whole or NOTHING, overlay

    def _facts(
        self, item: Any, events: Sequence[Event], now: datetime, held: set[Any], fresh: Mapping[Place, Any]
    ) -> list[tuple[Any, ...]]:
        """The outbox rows of what follows. Raises Unfit for an event whose key's row isn't held by this transaction."""
        traceparent = item.traceparent or self.telemetry.root()
        happened, becomes = now, False
        if type(item) is Received:  # as text, which it came in
            correlation, causation = item.text("ce_correlationid") or item.id_text, item.id_text
        else:
            correlation, causation = str(item.correlation), str(item.id)
            if isinstance(item, Action):
                happened, becomes = min(item.time or now, now), item.becomes
                causation = causation if item.causes or becomes else ""
        cause = Cause(self.source, item.organization, item.program, correlation, causation, traceparent)
        rows: list[tuple[Any, ...]] = []
        for event in events:
            key = getattr(event, event.key_field)
            if key not in held and event.ordered and not any(key == place[1] for place in fresh):
                raise Unfit(f"{event.TYPE} would be emitted for a key whose row isn't held")
            own = cause.of(event)
            if len(events) > SMALL_FAN_OUT:
                span, trace = self.telemetry.start(
                    f"create {event.TYPE[7:]}", SpanKind.PRODUCER, "", {"ithaca.key": str(key)}, cause=traceparent
                )
                if span is not None:
                    span.end()
                own = own._replace(traceparent=trace)
            if becomes and not rows:
                row = outbox_row(str(item.id), event, own._replace(causation=None), happened, now)
            else:
                row = outbox_row(new_text_id(), event, own, happened, now)
            if len(row[4]) > LARGEST:
                raise Unfit(f"{event.TYPE} would be larger than a topic takes")
            rows.append(row)
        return rows

    # -- save

    async def _save(
        self,
        connection: "Connection",
        loaded: Loaded,
        decided: Decided,
    ) -> None:
        inserts: dict[type, list[Any]] = {}
        updates: dict[type, list[tuple[Any, Any]]] = {}
        deletes: dict[type, list[Any]] = {}
        decided.saved.update(loaded.dirty)
        for place, aggregate in loaded.dirty.items():
            kind, key = place
            if aggregate is None:
                decided.saved.remove(place)
                if place not in loaded.fresh:
                    deletes.setdefault(kind, []).append(key)
            elif place in loaded.fresh:
                inserts.setdefault(kind, []).append(aggregate)
            else:
                updates.setdefault(kind, []).append((loaded.before[place], aggregate))
        for kind in sorted({*inserts, *updates, *deletes}, key=self.order.__getitem__):
            table = self.tables[kind]
            if kind in inserts:
                done = await connection.execute(table.insert, *table.arrays(inserts[kind]))
                if done != f"INSERT 0 {len(inserts[kind])}":
                    raise Raced(f"{kind.__name__} was created meanwhile")
            if kind in updates:
                await _update(connection, table, updates[kind])
            if kind in deletes:
                await connection.execute(table.delete, deletes[kind])

    async def _save_timers(self, connection: "Connection", decided: Decided) -> None:
        clears = [place for place, armed in decided.timers.items() if armed is None]
        arms = sorted((armed for armed in decided.timers.values() if armed), key=lambda a: (a[0].kind, a[0].key))
        if clears:
            await connection.execute(TIMER_CLEAR, *map(list, zip(*clears, strict=True)))
        if arms:
            rows = [
                (t.kind, t.key, str(t.owner), t.fire_at, item.organization, item.program, item.correlation, item.traceparent)
                for t, item in arms
            ]
            await connection.execute(TIMER_UPSERT, *map(list, zip(*rows, strict=True)))
            decided.soonest = min(t.fire_at for t, _ in arms)

    def announce(self, decided: Decided) -> None:
        """After the commit: wake whoever waits for what was written."""
        for tell in self.committed:
            tell(decided)

    # -- actions

    async def act(self, action: Action) -> Any:
        """Decide one action and answer its result. Raises what the decision raises; ConnectionError where the database is away."""
        outcomes = await self.act_all([action])
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
        return outcomes[0].result

    async def act_all(self, actions: Sequence[Action], *, seconds: float = 10.0) -> list[Outcome | Exception]:
        """Decide actions in one transaction, in order; an answer (`Rejected`, `TryLater`) stands in its place in the list.

        Any other exception of a decision is raised and nothing is saved. Passing failures are tried again for so many seconds, then
        raised as ConnectionError.
        """
        deadline, delay = time.monotonic() + seconds, 0.02
        while True:
            try:
                return await self._act_once(actions)
            except PASSING as error:
                self.telemetry.metrics.passing.labels("action").inc()
                if time.monotonic() + delay > deadline:
                    raise ConnectionError("the database doesn't answer") from error
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                delay = min(delay * 2, 1.0)

    async def _act_once(self, actions: Sequence[Action]) -> list[Outcome | Exception]:
        async with self.database.transaction() as connection:
            decided = await self.decide(connection, actions, self.database.clock.now())
            for _, error in decided.refused:
                if not isinstance(error, Rejected | TryLater):
                    raise error
        self.announce(decided)
        answers: dict[int, Outcome | Exception] = {id(item): outcome for item, outcome in decided.outcomes}
        answers.update({id(item): error for item, error in decided.refused})
        return [answers[id(action)] for action in actions]
