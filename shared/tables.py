"""How a kind of aggregate is kept: a frozen dataclass with an id, mapped to the table whose columns are its fields."""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from itertools import starmap
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from pydantic import TypeAdapter


class Aggregate(Protocol):
    """A frozen dataclass with an `id`."""

    @property
    def id(self) -> Any: ...


A = TypeVar("A", bound=Aggregate)

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
    if inner == tuple[str, ...]:
        return Column(name, "text", f"u.{name}::text[]", array, lambda value: tuple(value or ()))
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    return Column(
        name,
        "jsonb",
        f"u.{name}",
        lambda value: None if value is None else adapter.dump_json(value).decode(),
        lambda value: None if value is None else adapter.validate_json(value),
    )


def array(values: Iterable[str]) -> str:
    r"""Texts as PostgreSQL writes an array, `{"a","b \"c\""}`, since all lists in an array of arrays must be of one length."""
    quoted = [value.replace("\\", r"\\").replace('"', r"\"") for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


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
        values = ", ".join(c.expression for c in self.columns)
        self.id_type = next(c.sql for c in self.columns if c.name == "id")
        self.select = f"select {names} from {name}"  # noqa: S608 - names come from our own classes
        self.load = f"{self.select} where id = any($1::{self.id_type}[]) order by id for update"
        given = self._given(range(len(self.columns)))
        self.insert = f"insert into {name} ({names}) select {values} from {given} on conflict do nothing"  # noqa: S608
        self.delete = f"delete from {name} where id = any($1::{self.id_type}[])"  # noqa: S608
        self._get = [attrgetter(c.name) for c in self.columns]
        self._fields = [c.name for c in self.columns if c.name != "id"]
        self._values = attrgetter("id", *self._fields)
        self._encode = [c.encode for c in self.columns]
        self._decode = [(n, c.decode) for n, c in enumerate(self.columns) if c.decode]
        self._updates: dict[tuple[int, ...], str] = {}

    def _given(self, places: Iterable[int]) -> str:
        """Parameters, one list per column, as the rows of `u`."""
        columns = [self.columns[n] for n in places]
        params = ", ".join(f"${n}::{c.sql}[]" for n, c in enumerate(columns, 1))
        return f"unnest({params}) as u({', '.join(c.name for c in columns)})"

    def read(self, row: Iterable[Any]) -> A:
        """An aggregate from a row with this table's columns in order."""
        if not self._decode:
            return self.kind(*row)
        values = list(row)
        for n, decode in self._decode:
            values[n] = decode(values[n])
        return self.kind(*values)

    def read_all(self, rows: Iterable[Iterable[Any]]) -> Iterable[A]:
        """`read` of each. What stands in several rows, such as the rules of one program, is decoded once."""
        if not self._decode:
            yield from starmap(self.kind, rows)
            return
        decode = [(n, cache(decode) if self.columns[n].sql == "jsonb" else decode) for n, decode in self._decode]
        for row in rows:
            values = list(row)
            for n, decoded in decode:
                values[n] = decoded(values[n])
            yield self.kind(*values)

    def arrays(self, aggregates: Sequence[A], places: Iterable[int] | None = None) -> list[list[Any]]:
        """One list per column, or per column at these places, for unnest."""
        wanted = [(self._get[n], self._encode[n]) for n in (range(len(self.columns)) if places is None else places)]
        return [
            [get(a) for a in aggregates] if encode is None else [encode(get(a)) for a in aggregates] for get, encode in wanted
        ]

    def changes(self, changed: Sequence[tuple[A, A]]) -> tuple[str, list[list[Any]]] | None:
        """The statement that makes each first one the second, and its parameters: of the columns in which some differ, so that what a
        newer version keeps in the others stays. None where all are alike.
        """
        alike, values = self._fields, self._values
        for before, after in changed:
            if values(before) != values(after):
                alike = [name for name in alike if getattr(before, name) == getattr(after, name)]
                values = attrgetter("id", *alike)
        if len(alike) == len(self._fields):
            return None
        places = tuple(n for n, c in enumerate(self.columns) if c.name not in alike)
        if places not in self._updates:
            sets = ", ".join(f"{c.name} = {c.expression}" for c in (self.columns[n] for n in places) if c.name != "id")
            self._updates[places] = f"update {self.name} as t set {sets} from {self._given(places)} where t.id = u.id"  # noqa: S608
        return self._updates[places], self.arrays([after for _, after in changed], places)


class View(Table[A]):
    """Read and never locked: nothing is decided about what it shows."""

    def __init__(self, kind: type[A], name: str) -> None:
        super().__init__(kind, name)
        self.load = self.load.removesuffix(" for update")
