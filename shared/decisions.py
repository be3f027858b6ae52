"""The words in which a service decides: handlers take an aggregate, an event and its context, and return an `Outcome`.

They are pure functions; `shared/work.py` loads what they need and saves what they return.
"""

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from shared.cloudevents import new_id
from shared.events import Event
from shared.tables import A

Key = UUID | str
Place = tuple[type, Any]
"""Which aggregate: its kind and id."""


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
        return Outcome(self.changed, self.events + events, self.timers, self.cleared, self.removed, self.result)

    def also(self, *aggregates: Any) -> "Outcome":
        """And these aggregates are new or changed."""
        return Outcome(self.changed + aggregates, self.events, self.timers, self.cleared, self.removed, self.result)

    def arm(self, kind: str, key: object, owner: Key, fire_at: datetime) -> "Outcome":
        timers = (*self.timers, Timer(kind, str(key), owner, fire_at))
        return Outcome(self.changed, self.events, timers, self.cleared, self.removed, self.result)

    def clear(self, kind: str, key: object) -> "Outcome":
        cleared = (*self.cleared, (kind, str(key)))
        return Outcome(self.changed, self.events, self.timers, cleared, self.removed, self.result)

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
    """The aggregate with these fields replaced; `dataclasses.replace` at two thirds of its price."""
    kind: Any = type(aggregate)
    read, place = _shape(kind)
    values = list(read(aggregate))
    for name, value in fields.items():
        values[place[name]] = value
    return Outcome((kind(*values),))


@cache
def _shape(kind: type) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]:
    """How to read all fields of a dataclass at once, and which is where."""
    names = [field.name for field in dataclasses.fields(kind)]
    return (attrgetter(*names) if len(names) > 1 else lambda one: (getattr(one, names[0]),)), {n: i for i, n in enumerate(names)}


def new(*aggregates: Any) -> Outcome:
    return Outcome(aggregates)


def awaited(kind: type, key: object) -> str:
    """The name under which an event waits for an aggregate."""
    return f"{kind.__name__}:{key}"


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


@dataclass(frozen=True, slots=True)
class ByField:
    """The aggregate that a field of the event names."""

    get: Callable[[Any], Key | None]

    def __call__(self, event: Any) -> tuple[Key | None]:
        return (self.get(event),)


def by_cause(item: Any) -> Iterable[Key]:
    """`on(…, by=by_cause)`: the aggregate whose id is the event's `causationid`, such as the report that it answers."""
    text = item.text("ce_causationid")
    try:
        return (UUID(text),) if text else ()
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
    heeds: tuple[type[Event], ...] = ()
    """Of a timer: the facts that would have stopped it."""


@dataclass(frozen=True, eq=False, slots=True)
class Handlers:
    """What is called for one kind of item, in order, and which aggregates all of it concerns: worked out once, not per item."""

    each: tuple[Handler, ...] = ()
    named: tuple[tuple[type, Ids], ...] = ()
    lookups: tuple[tuple[type, Lookup], ...] = ()

    @classmethod
    def of(cls, *each: Handler) -> "Handlers":
        places = [place for handler in each for place in ((handler.kind, handler.ids), *handler.reads)]
        return cls(
            each,
            tuple((kind, ids) for kind, ids in places if not isinstance(ids, Lookup)),
            tuple((kind, ids) for kind, ids in places if isinstance(ids, Lookup)),
        )

    def looks_up(self, kinds: Container[type]) -> bool:
        """Whether one looks up aggregates of these kinds that decisions on others may change."""
        return any(kind in kinds and not lookup.own for kind, lookup in self.lookups)

    @property
    def naming(self) -> tuple[tuple[type, Ids], ...]:
        """How items name aggregates on which others hang that they look up; empty where they look up none of that kind."""
        return self.named if any(lookup.own for _, lookup in self.lookups) else ()


def _ids(by: By) -> Ids | Lookup:
    return ByField(attrgetter(by)) if isinstance(by, str) else by


def on(subject: type[Event], kind: type, *, by: By, do: Do, reads: Mapping[type, By] | None = None) -> Handler:
    """`do(aggregate | None, event, context)` for each aggregate of `kind` that `by` names: a field, a function or a `Lookup`.

    `reads` loads and locks others, for `context.get(kind, id)`.
    """
    return Handler(subject, kind, _ids(by), do, tuple((k, _ids(b)) for k, b in (reads or {}).items()))


def at(timer: str, kind: type, *, do: Do, reads: Mapping[type, By] | None = None, heeds: tuple[type[Event], ...] = ()) -> Handler:
    """`do(aggregate | None, timer, context)` when a timer of this kind is due; the aggregate is the timer's owner.

    It fires when all that was on the topics by its time has been read; with `heeds` also all facts of these types that their
    writers had accepted by then and not sent yet.
    """
    return Handler(timer, kind, lambda due: (due.owner,), do, tuple((k, _ids(b)) for k, b in (reads or {}).items()), heeds)


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


def action_handlers(action: Action) -> Handlers:
    return _actions_on(action.kind, *action.reads)


@cache
def _actions_on(kind: type, *reads: type) -> Handlers:
    """The same for all actions on these kinds: what they do and concern is asked of each."""
    handler = Handler(
        "action",
        kind,
        ByField(attrgetter("key")),
        lambda aggregate, action, context: action.do(aggregate, context),
        tuple((read, lambda action, read=read: action.reads[read]) for read in reads),  # type: ignore[misc]
    )
    return Handlers.of(handler)


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
