"""Records that nobody should have to read: valid events of the catalogue, spoilt in body, headers and key."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.fuzz.ground import MARKER
from benchmarks.fuzz.schema import PRINTABLE, TEXT, of_schema
from shared import access
from shared.cloudevents import A_UUID, LONGEST_KEY, new_id, rfc3339
from shared.events import (
    CATALOGUE,
    TOPICS,
    AccessKeyRevoked,
    Event,
    PairEnded,
    PairFrozen,
    PersonErased,
    PersonWithdrawn,
    ProgramClosed,
    ProgramLeft,
    owner_of,
)

Headers = list[tuple[str, bytes | None]]
Draw = Callable[..., Any]
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
MOST_BYTES = 900_000
"""Kafka takes no record of more than 1 MiB."""
ENDINGS = {ProgramClosed, ProgramLeft, PairEnded, PairFrozen, PersonErased, PersonWithdrawn, AccessKeyRevoked}
"""Said of nothing that exists: whatever came later would be refused for it."""
PEOPLE = {"name", "email", "title", "own_id"}
"""Fields that hold a person's value."""


@dataclass(frozen=True)
class Record:
    """What is put onto a partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def __str__(self) -> str:
        size = "" if self.value is None or len(self.value) <= 600 else f"… ({len(self.value)} bytes)"
        value = self.value if self.value is None else self.value[:600]
        return f"{self.topic}[{self.partition}] key={self.key!r:.200} headers={list(self.headers)!r:.1200} value={value!r}{size}"

    def spoken(self) -> list[dict[str, bytes | None]]:
        """The headers by name; where a name comes twice, with the last and with the first."""
        return [dict(self.headers), dict(reversed(self.headers))]

    def ids(self) -> set[str]:
        found = {(each.get("ce_id") or b"").decode(errors="replace") for each in self.spoken()}
        return set(filter(A_UUID, found))

    def may_be_taken(self, wanted: Mapping[str, type[Event]]) -> bool:
        """Whether a reader who wants these types may do anything but hold it."""
        return any(self._fits(headers, wanted) for headers in self.spoken())

    def _fits(self, headers: dict[str, bytes | None], wanted: Mapping[str, type[Event]]) -> bool:
        try:
            kind, key = text(headers["ce_type"]), text(self.key)
            if kind not in CATALOGUE or len(key) > LONGEST_KEY or "\x00" in key:
                return False
            if kind not in wanted:
                return True
            wanted[kind].model_validate_json(self.value or b"")
            return A_UUID(text(headers["ce_id"])) is not None
        except (KeyError, ValueError, ValidationError):
            return False

    def wanted_by(self, wanted: Mapping[str, type[Event]]) -> bool:
        return any(each.get("ce_type", b"") in {name.encode() for name in wanted} for each in self.spoken())


def text(raw: bytes | None) -> str:
    """Raises ValueError where it is none."""
    if raw is None:
        raise ValueError
    return raw.decode()


@cache
def wanted_by(service: str) -> dict[str, type[Event]]:
    """The types that a service does something with."""
    handlers = [*import_module(f"services.{service}.handlers").HANDLERS, *access.HANDLERS]
    return {handler.subject.TYPE: handler.subject for handler in handlers if not isinstance(handler.subject, str)}


# ---- valid events --------------------------------------------------------------------------------------------------------


@cache
def data_of(event: type[Event], *, plain: bool) -> st.SearchStrategy[dict[str, Any]]:
    schema = event.model_json_schema()
    return of_schema(schema, schema.get("$defs", {}), PRINTABLE if plain else TEXT)


@st.composite
def valid(draw: Draw, event: type[Event], known: dict[str, list[str]], *, plain: bool = False) -> tuple[bytes, Headers, Any]:
    """Key, headers and data of an event as its writer would send it; its ids are at times those of what exists."""
    data = draw(data_of(event, plain=plain))
    if plain:
        data = renamed(event, data)
    real = not plain and event not in ENDINGS and draw(st.booleans())
    for within, name in list(places(data)):
        if name in PEOPLE and isinstance(within[name], str):
            within[name] = f"{MARKER}@mail.example" if name == "email" else f"Ada {MARKER} {draw(PRINTABLE)}"
        elif real and name in known and isinstance(within[name], str):
            within[name] = draw(st.sampled_from(known[name]))
    now = rfc3339(datetime.now(UTC)).encode()
    key, program = str(data[event.key_field]).encode(), str(data.get("program") or "")
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(new_id()).encode()),
        ("ce_type", event.TYPE.encode()),
        ("ce_source", f"/ithaca/{TOPICS[event.topic].writers[0]}".encode()),
        ("ce_time", now),
        ("ce_recordedtime", now),
        ("ce_organization", str(data.get("organization") or owner_of(program) or "alder").encode()),
        ("ce_correlationid", str(new_id()).encode()),
        ("ce_partitionkey", key),
        ("traceparent", TRACE),
        ("content-type", b"application/json"),
    ]
    return key, [*headers, ("ce_program", program.encode())] if program else headers, data


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place within, as (container, key)."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from places(data[key])


# ---- spoilt --------------------------------------------------------------------------------------------------------------

RAW = "\x01raw"
"""Before a text that goes into the JSON as it stands."""
EDGES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", "infinity", "2026-03-01", 10**400, -(2**63) - 1,
         2**63, 2**31, -1, 0, 1e308, float("nan"), float("-inf"), True, None, "", "\x00", "\ud800", "\u202e", "😀" * 50, "x" * 100_000,
         "00000000-0000-0000-0000-000000000000", MARKER, f"{MARKER}@mail.example", f"{RAW}1e999", f"{RAW}-0", f"{RAW}{{}}", f"{RAW}[[]]",
         RAW + "[" * 5000 + "]" * 5000, RAW + '{"a":' * 3000 + "1" + "}" * 3000, [], {}, {"a": {MARKER: MARKER}}, [[[[None]]]]]  # fmt: skip
WRONG = st.sampled_from(EDGES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoilt_data(draw: Draw, data: Any) -> Any:
    """One place of the data holds something else, or is gone, or there is one more; or it is all something else."""
    data = copy.deepcopy(data)
    found = list(places(data))
    if not found or draw(st.sampled_from([True, *[False] * 12])):
        return draw(WRONG)
    within, key = draw(st.sampled_from(found))
    match draw(st.sampled_from(["wrong", "wrong", "wrong", "gone", "more"])):
        case "wrong":
            within[key] = draw(WRONG)
        case "gone":
            del within[key]
        case _ if isinstance(within, dict):
            within[draw(TEXT)] = draw(WRONG)
        case _:
            within.extend([draw(WRONG)] * draw(st.sampled_from([1, 100])))
    return data


def dumped(data: Any) -> bytes:
    """JSON as strict and as loose as Python writes it."""
    whole = json.dumps(data, separators=(",", ":"))
    for _, raw in sorted({(len(e), e) for e in EDGES if isinstance(e, str) and e.startswith(RAW)}, reverse=True):
        whole = whole.replace(json.dumps(raw), raw.removeprefix(RAW))
    return whole.encode()


@st.composite
def spoilt_bytes(draw: Draw, value: bytes) -> bytes | None:
    """Cut, broken, lengthened; nothing at all; a tombstone."""
    at = draw(st.integers(0, len(value)))
    broken: bytes | None = draw(
        st.sampled_from(
            [None, b"", b"null", value[:at], value[:at] + b"\xff\xfe" + value[at:], b"\xef\xbb\xbf" + value, value + value,
             value[:at] + b"\x00" + value[at:], b'{"a":' * 20_000, value.decode().encode("utf-16"), b" " * 500_000 + value]
        )
        | st.binary(max_size=200)
    )  # fmt: skip
    return broken


USED_IDS = (
    b"00000000-0000-0000-0000-000000000000", b"ffffffff-ffff-7fff-bfff-ffffffffffff", b"01000000-0000-7000-8000-000000000000"
)  # fmt: skip
VALUES = st.sampled_from(
    [None, b"", b"\x00", b"\xff\xfe", b"1.0", b"x" * 20_000, b"ithaca.PersonEnrolled", b"ithaca.SunRisen", b"0001-01-01T00:00:00+14:00",
     b"9999-12-31T23:59:59-14:00", b"2026-03-01T12:00:00", b"yesterday", *USED_IDS, b"00-" + b"f" * 32 + b"-" + b"0" * 16 + b"-zz"]
)  # fmt: skip


@st.composite
def spoilt_headers(draw: Draw, headers: Headers) -> Headers:
    """One is wrong, gone, comes twice or moved; or there are none, or very many."""
    headers = list(headers)
    n = draw(st.integers(0, len(headers) - 1)) if headers else 0
    value = draw(VALUES | st.binary(max_size=40))
    match draw(st.sampled_from(["wrong", "wrong", "gone", "gone", "twice", "more", "moved", "none", "many"])):
        case "wrong" if headers:
            headers[n] = (headers[n][0], value)
        case "gone" if headers:
            del headers[n]
        case "twice" if headers:
            headers.insert(draw(st.integers(0, len(headers))), (headers[n][0], value))
        case "moved" if headers:
            headers.append(headers.pop(n))
        case "none":
            headers = []
        case "many":
            headers += [(f"h{i}", value and value[:100]) for i in range(300)]
        case _:
            headers.append((draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), value))
    return headers


KEYS = st.sampled_from([None, b"", b"\x00", b"\xff", b"northwind", b"a@b:c", b"k" * 501, b"k" * 100_000, b"x@0:0"]) | st.binary(
    max_size=40
)


SPOILS = [
    (),
    ("data",),
    ("data",),
    ("data",),
    ("headers",),
    ("headers",),
    ("bytes",),
    ("key",),
    ("data", "headers"),
    ("data", "key", "bytes"),
]
WAYS = 10
"""So many records are made of each drawn event: drawing one takes longer than spoiling it."""


@st.composite
def records(draw: Draw, topic: str, known: dict[str, list[str]]) -> list[Record]:
    """An event, mostly of this topic, in several ways: mostly spoilt; one in ten is as good as its writer's."""
    own = [event for event in CATALOGUE.values() if event.topic == topic]
    event = draw(valid(draw(st.sampled_from(own * 9 + list(CATALOGUE.values()))), known))
    return [draw(spoilt(topic, *event)) for _ in range(WAYS)]


@st.composite
def spoilt(draw: Draw, topic: str, key: bytes | None, headers: Headers, data: Any) -> Record:
    """The same with an id of its own, spoilt in up to three places."""
    spoils = draw(st.sampled_from(SPOILS))
    headers = [(name, str(new_id()).encode() if name == "ce_id" else value) for name, value in headers]
    value = dumped(draw(spoilt_data(data)) if "data" in spoils else data)[:MOST_BYTES]
    whole = draw(spoilt_bytes(value)) if "bytes" in spoils else value
    for _ in range(draw(st.sampled_from([1, 1, 2])) if "headers" in spoils else 0):
        headers = draw(spoilt_headers(headers))
    if "key" in spoils:
        key = draw(KEYS)
    if key is None and (whole is None or TOPICS[topic].compacted):
        key = b""  # Kafka takes no record of nothing, and none without a key where it compacts
    partition = draw(st.sampled_from(range(TOPICS[topic].partitions)))
    return Record(topic, partition, key, whole and whole[:MOST_BYTES], tuple(headers))


def renamed(event: type[Event], data: dict[str, Any]) -> dict[str, Any]:
    """The same about something of which nobody has heard."""
    fresh = str(new_id())
    name = {"program": f"good-{fresh[-12:]}.{fresh[-12:]}"}.get(
        event.key_field, fresh if A_UUID(data[event.key_field]) else fresh[-12:]
    )
    return data | {event.key_field: name}
