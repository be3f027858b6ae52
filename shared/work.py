"""Load, decide, save: pure functions on aggregates, run in memory for a whole batch of events, timers or people's actions.

A handler takes an aggregate (None where there is none yet), the event and its context, and returns an `Outcome`: changed
aggregates, events that follow, timers. This module finds which aggregates a batch concerns, locks and loads them in one statement a
kind in key order, runs the functions one by one, and saves what changed in one statement a kind, the outbox last.
"""

import asyncio
import dataclasses
import random
import time
import types
import typing
from collections.abc import Callable, Container, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from opentelemetry.trace import SpanKind
from pydantic import TypeAdapter

from shared.cloudevents import Cause, Fact, Received, new_id, new_text_id
from shared.errors import PASSING, Raced, Rejected, TryLater, Unfit
from shared.events import Event
from shared.telemetry import SMALL_FAN_OUT, Telemetry

if TYPE_CHECKING:
    from shared.database import Connection, Database

Key = UUID | str
Place = tuple[type, Any]
"""Which aggregate: its kind and id."""


class Aggregate(Protocol):
    """A frozen dataclass with an `id`."""

    @property
    def id(self) -> Any: ...


A = TypeVar("A", bound=Aggregate)


@dataclass(frozen=True, slots=True)
class Timer:
    """Call `at(kind)` for the aggregate `owner` when the platform has read past `fire_at`. Arming again moves it."""

    kind: str
    key: str
    owner: Key
    fire_at: datetime


class Outcome(NamedTuple):
    """What a decision came to. Values only: building one changes nothing."""

    changed: tuple[Any, ...] = ()
    events: tuple[Event, ...] = ()
    timers: tuple[Timer, ...] = ()
    cleared: tuple[tuple[str, str], ...] = ()
    removed: tuple[Any, ...] = ()
    result: Any = None

    def then(self, *events: Event) -> "Outcome":
        """And these events follow."""
        return self._replace(events=self.events + events)

    def also(self, *aggregates: Any) -> "Outcome":
        """And these aggregates are new or changed."""
        return self._replace(changed=self.changed + aggregates)

    def arm(self, kind: str, key: object, owner: Key, fire_at: datetime) -> "Outcome":
        return self._replace(timers=(*self.timers, Timer(kind, str(key), owner, fire_at)))

    def clear(self, kind: str, key: object) -> "Outcome":
        return self._replace(cleared=(*self.cleared, (kind, str(key))))

    def forget(self, *aggregates: Any) -> "Outcome":
        """And these aggregates are deleted."""
        return self._replace(removed=self.removed + aggregates)

    def returning(self, result: Any) -> "Outcome":
        """What an action answers its caller."""
        return self._replace(result=result)

    def plus(self, other: "Outcome") -> "Outcome":
        """Both, in this order."""
        return Outcome(
            self.changed + other.changed,
            self.events + other.events,
            self.timers + other.timers,
            self.cleared + other.cleared,
            self.removed + other.removed,
            other.result if other.result is not None else self.result,
        )


NOTHING = Outcome()


def changed(aggregate: Any, **fields: Any) -> Outcome:
    """The aggregate with these fields replaced."""
    return Outcome((dataclasses.replace(aggregate, **fields),))


def new(*aggregates: Any) -> Outcome:
    return Outcome(aggregates)


def awaited(kind: type, key: object) -> str:
    """The name under which an event waits for an aggregate."""
    return f"{kind.__name__}:{key}"


# ---- tables: how a kind of aggregate is kept ---------------------------------------------------------------------------

SCALARS: dict[type, str] = {
    UUID: "uuid",
    str: "text",
    int: "bigint",
    float: "float8",
    bool: "boolean",
    bytes: "bytea",
    datetime: "timestamptz",
    date: "date",
    timedelta: "interval",
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    sql: str
    expression: str
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None


def _column(name: str, hint: Any) -> Column:
    inner = hint
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        inner = options[0] if len(options) == 1 else hint
    if inner in SCALARS:
        return Column(name, SCALARS[inner], f"u.{name}")
    if isinstance(inner, type) and issubclass(inner, Enum):
        members: dict[Any, Any] = dict(inner._value2member_map_)
        return Column(
            name, "text", f"u.{name}", None, lambda value: None if value is None else members.get(value) or inner("other")
        )
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    if inner == tuple[str, ...]:
        return Column(
            name,
            "jsonb",
            f"array(select jsonb_array_elements_text(u.{name}))",
            lambda value: adapter.dump_json(value).decode(),
            lambda value: tuple(value or ()),
        )
    return Column(
        name,
        "jsonb",
        f"u.{name}",
        lambda value: None if value is None else adapter.dump_json(value).decode(),
        lambda value: None if value is None else adapter.validate_json(value),
    )


class Table(Generic[A]):
    """Maps a frozen dataclass with an `id` to the table whose columns are its fields.

    UUID, str, int, float, bool, datetime, date and timedelta (and `| None`) are columns of that type, an enum is text, `tuple[str,
    ...]` is text[], anything else is jsonb read and written by pydantic.
    """

    def __init__(self, kind: type[A], name: str) -> None:
        self.kind, self.name = kind, name
        hints = typing.get_type_hints(kind)
        self.columns = [_column(f.name, hints[f.name]) for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
        names = ", ".join(c.name for c in self.columns)
        params = ", ".join(f"${n}::{c.sql}[]" for n, c in enumerate(self.columns, 1))
        values = ", ".join(c.expression for c in self.columns)
        sets = ", ".join(f"{c.name} = {c.expression}" for c in self.columns if c.name != "id")
        self.id_type = next(c.sql for c in self.columns if c.name == "id")
        self.select = f"select {names} from {name}"  # noqa: S608 - names come from our own classes
        self.load = f"{self.select} where id = any($1::{self.id_type}[]) order by id for update"
        self.insert = f"insert into {name} ({names}) select {values} from unnest({params}) as u({names}) on conflict do nothing"  # noqa: S608
        self.update = f"update {name} as t set {sets} from unnest({params}) as u({names}) where t.id = u.id"  # noqa: S608
        self.delete = f"delete from {name} where id = any($1::{self.id_type}[])"  # noqa: S608
        self._get = [attrgetter(c.name) for c in self.columns]
        self._encode = [c.encode for c in self.columns]
        self._decode = [(n, c.decode) for n, c in enumerate(self.columns) if c.decode]

    def read(self, row: Iterable[Any]) -> A:
        """An aggregate from a row with this table's columns in order."""
        if not self._decode:
            return self.kind(*row)
        values = list(row)
        for n, decode in self._decode:
            values[n] = decode(values[n])
        return self.kind(*values)

    def arrays(self, aggregates: Sequence[A]) -> list[list[Any]]:
        """One list per column, for unnest."""
        return [
            [get(a) for a in aggregates] if encode is None else [encode(get(a)) for a in aggregates]
            for get, encode in zip(self._get, self._encode, strict=True)
        ]


# ---- handlers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lookup:
    """Which aggregates an event concerns, where the event doesn't name them.

    `sql` takes an array of values and returns rows (value, aggregate id); it runs after what the batch names itself is locked.
    """

    sql: str
    of: Callable[[Any], Iterable[Any]]
    own: bool = False
    """What it finds is changed only by decisions that name an aggregate which the event names too: then others before it in the
    batch need no look-up of their own.
    """


Ids = Callable[[Any], Iterable[Key | None]]
By = str | Ids | Lookup


def by_cause(item: Any) -> Iterable[Key]:
    """`on(…, by=by_cause)`: the aggregate whose id is the event's `causationid`, such as the report that it answers."""
    try:
        return (UUID(item.text("ce_causationid")),)
    except ValueError:
        return ()


Do = Callable[[Any, Any, "Context"], Outcome]


@dataclass(frozen=True, slots=True)
class Handler:
    """One line of a service's index: for this event (or timer) and the aggregates it concerns, call `do`."""

    subject: type[Event] | str
    kind: type
    ids: Ids | Lookup
    do: Do
    reads: tuple[tuple[type, Ids | Lookup], ...] = ()


def _ids(by: By) -> Ids | Lookup:
    if isinstance(by, str):
        get = attrgetter(by)
        return lambda event: (get(event),)
    return by


def on(subject: type[Event], kind: type, *, by: By, do: Do, reads: Mapping[type, By] | None = None) -> Handler:
    """`do(aggregate | None, event, context)` for each aggregate of `kind` that `by` names: a field, a function or a `Lookup`.

    `reads` loads and locks others, for `context.get(kind, id)`.
    """
    return Handler(subject, kind, _ids(by), do, tuple((k, _ids(b)) for k, b in (reads or {}).items()))


def at(timer: str, kind: type, *, do: Do, reads: Mapping[type, By] | None = None) -> Handler:
    """`do(aggregate | None, timer, context)` when a timer of this kind is due; the aggregate is the timer's owner."""
    return Handler(timer, kind, lambda due: (due.owner,), do, tuple((k, _ids(b)) for k, b in (reads or {}).items()))


class Item(Protocol):
    """What can be decided on: a received event, a due timer, an action."""

    @property
    def id(self) -> UUID | None: ...
    @property
    def event(self) -> Any: ...
    @property
    def time(self) -> datetime | None: ...
    @property
    def organization(self) -> str: ...
    @property
    def program(self) -> str: ...
    @property
    def correlation(self) -> UUID: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def order(self) -> tuple[str, str] | None: ...
    @property
    def type(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Action:
    """What a person or partner asks of an aggregate, or a job of its service: decided at once, in a batch of its own."""

    kind: type
    key: Key | None
    do: Callable[[Any, "Context"], Outcome]
    organization: str = ""
    program: str = ""
    traceparent: str = ""
    reads: Mapping[type, Iterable[Key]] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)
    correlation: UUID = field(default_factory=new_id)
    time: datetime | None = None
    order: tuple[str, str] | None = None
    causes: bool = False
    """Whether what follows names this action's id as its cause."""
    becomes: bool = False
    """The first event that follows has this action's id, and what else follows names it as its cause: a posted event is that fact."""

    span: None = None

    @property
    def event(self) -> "Action":
        return self

    @property
    def type(self) -> str:
        return "action"


def _action_handler(action: Action) -> tuple[Handler, ...]:
    ids = () if action.key is None else (action.key,)
    return (
        Handler(
            "action",
            action.kind,
            lambda _: ids or (None,),
            lambda aggregate, _, context: action.do(aggregate, context),
            tuple((kind, lambda _, keys=keys: keys) for kind, keys in action.reads.items()),  # type: ignore[misc]
        ),
    )


class Context:
    """The circumstances of a decision: the platform's time, where the fact belongs, and what was loaded beside the aggregate."""

    __slots__ = ("_item", "_overlay", "_state", "now")

    def __init__(self, item: Item, now: datetime, state: dict[Place, Any], overlay: dict[Place, Any]) -> None:
        self._item, self.now, self._state, self._overlay = item, now, state, overlay

    @property
    def item(self) -> Item:
        """What is decided on, for whoever keeps where it stood in the log: the record as received, a timer or an action."""
        return self._item

    @property
    def id(self) -> UUID:
        """The id of the event that is handled, or of the action."""
        assert self._item.id is not None
        return self._item.id

    @property
    def time(self) -> datetime:
        """When the event happened; `now` for actions and timers."""
        return self._item.time or self.now

    @property
    def organization(self) -> str:
        return self._item.organization

    @property
    def program(self) -> str:
        return self._item.program

    @property
    def correlation(self) -> UUID:
        return self._item.correlation

    @property
    def traceparent(self) -> str:
        return self._item.traceparent

    def text(self, attribute: str) -> str:
        """Another attribute of the event that is handled, by its header, such as `ce_source`; empty where there is none."""
        read: Callable[[str], str] | None = getattr(self._item, "text", None)
        return read(attribute) if read else ""

    def get(self, kind: type[A], key: Key) -> A | None:
        """An aggregate that `reads` named, as changed by what came before; None where there is none."""
        place = (kind, key)
        found: A | None = self._overlay[place] if place in self._overlay else self._state.get(place)
        return found

    def new_id(self) -> UUID:
        return new_id()


@dataclass(slots=True)
class Decided:
    """What a batch came to, before it is saved."""

    outcomes: list[tuple[Any, Outcome]] = field(default_factory=list)
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
        self.rows += more.rows
        self.saved |= more.saved
        self.soonest = min(filter(None, (self.soonest, more.soonest)), default=None)

    def take(self, item: Item, outcome: Outcome, rows: Iterable[tuple[Any, ...]]) -> None:
        """One item was decided."""
        self.outcomes.append((item, outcome))
        self.rows += rows
        for cleared in outcome.cleared:
            self.timers[cleared] = None
        for timer in outcome.timers:
            self.timers[timer.kind, timer.key] = (timer, item)


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


Segment = list[tuple[Any, tuple[Handler, ...]]]
"""Items with their handlers, decided on one load."""
Found = dict[tuple[int, Any], list[Any]]
"""(which look-up, value) → ids."""


def looks_up(handlers: Iterable[Handler], kinds: Container[type] | None = None) -> bool:
    """Whether one of these looks up which aggregates it concerns; of these kinds, if given, and not only its own."""
    return any(
        isinstance(ids, Lookup) and (kinds is None or (kind in kinds and not ids.own))
        for handler in handlers
        for kind, ids in ((handler.kind, handler.ids), *handler.reads)
    )


def named_by(handlers: Iterable[Handler]) -> list[tuple[type, Ids]]:
    """How items name aggregates on which others hang that they look up; empty where they look up none of that kind."""
    each = [(kind, ids) for handler in handlers for kind, ids in ((handler.kind, handler.ids), *handler.reads)]
    if not any(isinstance(ids, Lookup) and ids.own for _, ids in each):
        return []
    return [(kind, ids) for kind, ids in each if not isinstance(ids, Lookup)]


Confirm = Callable[["Connection", Sequence[Any]], Coroutine[Any, Any, Sequence[Any]]]


LARGEST = 900_000
"""Bytes of an event's data. Kafka refuses a record above 1 MiB, and the relay would stand still before it."""


class Work:
    """The core of one service: its tables, its handlers, and the transaction that joins them."""

    def __init__(
        self, service: str, database: "Database", tables: Sequence[Table[Any]], handlers: Sequence[Handler], telemetry: Telemetry
    ) -> None:
        self.service, self.database, self.telemetry = service, database, telemetry
        self.source = f"/ithaca/{service}"
        self.tables: dict[type, Table[Any]] = {table.kind: table for table in tables}
        self.order = {table.kind: n for n, table in enumerate(tables)}
        self.events: dict[str, tuple[Handler, ...]] = {}
        self.timers: dict[str, tuple[Handler, ...]] = {}
        for handler in handlers:
            for kind in (handler.kind, *(k for k, _ in handler.reads)):
                if kind not in self.tables:
                    raise LookupError(f"{service}: {kind.__name__} has no table")
            if isinstance(handler.subject, str):
                self.timers[handler.subject] = (*self.timers.get(handler.subject, ()), handler)
            else:
                name = handler.subject.TYPE
                self.events[name] = (*self.events.get(name, ()), handler)
        self.wanted: dict[str, type[Event]] = {h.subject.TYPE: h.subject for h in handlers if not isinstance(h.subject, str)}
        self.committed: list[Callable[[Decided], None]] = []
        """Called after each commit: the relay's, the timers' and the retrier's wake-ups."""

    def handlers_of(self, item: Item) -> tuple[Handler, ...]:
        event = item.event
        if isinstance(event, Action):
            return _action_handler(event)
        if isinstance(event, Event):
            return self.events.get(event.TYPE, ())
        return self.timers.get(event.kind, ())

    # -- decide

    async def decide(
        self, connection: "Connection", items: Sequence[Any], now: datetime, *, confirm: Confirm | None = None
    ) -> Decided:
        """Load what the items concern, run their functions in order, save what changed, write the outbox.

        Items that raise are in `refused` and have changed nothing; later items of the same `order` are in `behind`. `confirm` runs
        when the aggregates are locked and returns the items that still hold.
        """
        decided = Decided()
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
        last: tuple[Handler, ...] = ()
        naming: list[tuple[type, Ids]] = []
        named: set[Place] = set()
        for item in items:
            handlers = self.handlers_of(item)
            if handlers is not last:
                naming = named_by(handlers)
            own = {(kind, key) for kind, ids in naming for key in ids(item if ids is by_cause else item.event)}
            if segment and ((handlers is not last and looks_up(handlers)) or not named.isdisjoint(own)):
                yield segment
                segment, named = [], set()
            named |= own
            segment.append((item, handlers))
            last = handlers
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
        state: dict[Place, Any] = {}
        found = await self._load(connection, segment, state)
        existing = set(state)
        if confirm is not None:
            still = {id(item) for item in await confirm(connection, [item for item, _ in segment])}
            segment = [(item, handlers) for item, handlers in segment if id(item) in still]
        dirty, rest = self._run_all(segment, state, found, now, decided, stuck)
        if dirty:
            await self._save(connection, dirty, state, existing, decided)
        return rest

    def _run_all(
        self,
        segment: Segment,
        state: dict[Place, Any],
        found: Found,
        now: datetime,
        decided: Decided,
        stuck: set[tuple[str, str]],
    ) -> tuple[Iterable[Place], Segment]:
        """Run the items' functions on what was loaded: what changed, and the items that need to look anew."""
        held = {key for _, key in state}
        dirty: dict[Place, None] = {}
        grown: set[type] = set()
        rest: Segment = []
        spent: dict[str, float] = {}
        begin, mark = self.telemetry.begin, time.perf_counter()
        for n, (item, handlers) in enumerate(segment):
            order = item.order
            if order in stuck:
                decided.behind.append(item)
                continue
            if grown and looks_up(handlers, grown):
                rest = segment[n:]
                break
            if type(item) is Received:
                begin(item)
            try:
                outcome, overlay = self._run(item, handlers, found, state, now)
                rows = self._facts(item, outcome, now, held, overlay) if outcome.events else ()
            except Exception as error:  # noqa: BLE001 - a pure function that raises has written nothing, and OSError is a bug there
                decided.refused.append((item, error))
                if order is not None:
                    stuck.add(order)
                continue
            for place, aggregate in overlay.items():
                if aggregate is None or place not in state:
                    grown.add(place[0])
                state[place] = aggregate
                dirty[place] = None
                held.add(place[1])
            decided.take(item, outcome, rows)
            before, mark = mark, time.perf_counter()
            spent[item.type] = spent.get(item.type, 0.0) + mark - before
        for name, took in spent.items():
            self.telemetry.metrics.handler_seconds.labels(name).inc(took)
        return dirty, rest

    async def _load(self, connection: "Connection", segment: Segment, state: dict[Place, Any]) -> Found:
        """Lock and load, kinds in the service's order, ids in key order; first what the items name, then what is looked up."""
        named: dict[type, set[Any]] = {}
        lookups: dict[int, tuple[Lookup, type, set[Any]]] = {}
        for item, handlers in segment:
            for handler in handlers:
                for kind, ids in ((handler.kind, handler.ids), *handler.reads):
                    if isinstance(ids, Lookup):
                        lookups.setdefault(id(ids), (ids, kind, set()))[2].update(ids.of(item.event))
                    else:
                        named.setdefault(kind, set()).update(ids(item if ids is by_cause else item.event))
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
            read = table.read
            for row in await connection.fetch(table.load, list(ids)):
                aggregate = read(tuple(row))
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
                aggregate = overlay[place] if place in overlay else state.get(place)
                outcome = handler.do(aggregate, event, context)
                for changed_one in outcome.changed:
                    overlay[type(changed_one), changed_one.id] = changed_one
                for removed_one in outcome.removed:
                    overlay[type(removed_one), removed_one.id] = None
                whole = outcome if whole is None else whole.plus(outcome)
        return whole or NOTHING, overlay

    def _facts(
        self, item: Any, outcome: Outcome, now: datetime, held: set[Any], fresh: Mapping[Place, Any]
    ) -> list[tuple[Any, ...]]:
        """The outbox rows of what follows. Raises Unfit for an event whose key's row isn't held by this transaction."""
        events = outcome.events
        action = isinstance(item, Action)
        becomes = action and item.becomes
        names_cause = not action or item.causes or becomes
        traceparent = item.traceparent or self.telemetry.root()
        happened = min(item.time or now, now) if action else now
        if type(item) is Received:  # as text, which it came in
            correlation, causation = item.text("ce_correlationid") or item.id_text, item.id_text
        else:
            correlation, causation = str(item.correlation), str(item.id) if names_cause else ""
        cause = Cause(self.source, item.organization, item.program, correlation, causation, traceparent)
        rows: list[tuple[Any, ...]] = []
        for event in events:
            key = getattr(event, event.key_field)
            if event.ordered and key not in held and not any(key == place[1] for place in fresh):
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
                row = Fact(str(item.id), event, happened).row(own._replace(causation=None), now)
            else:
                row = Fact(new_text_id(), event, happened).row(own, now)
            if len(row[4]) > LARGEST:
                raise Unfit(f"{event.TYPE} would be larger than a topic takes")
            rows.append(row)
        return rows

    # -- save

    async def _save(
        self,
        connection: "Connection",
        dirty: Iterable[Place],
        state: dict[Place, Any],
        existing: set[Place],
        decided: Decided,
    ) -> None:
        inserts: dict[type, list[Any]] = {}
        updates: dict[type, list[Any]] = {}
        deletes: dict[type, list[Any]] = {}
        for place in dirty:
            kind, key = place
            aggregate = state[place]
            if aggregate is None:
                if place in existing:
                    deletes.setdefault(kind, []).append(key)
            else:
                (updates if place in existing else inserts).setdefault(kind, []).append(aggregate)
                decided.saved.add(place)
        for kind in sorted({*inserts, *updates, *deletes}, key=self.order.__getitem__):
            table = self.tables[kind]
            if kind in inserts:
                done = await connection.execute(table.insert, *table.arrays(inserts[kind]))
                if done != f"INSERT 0 {len(inserts[kind])}":
                    raise Raced(f"{kind.__name__} was created meanwhile")
            if kind in updates:
                done = await connection.execute(table.update, *table.arrays(updates[kind]))
                if done != f"UPDATE {len(updates[kind])}":
                    raise Raced(f"{kind.__name__} is gone")
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
