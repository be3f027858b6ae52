"""CloudEvents 1.0 on Kafka in binary mode: how a fact is written to the outbox and read from a record."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

import orjson
import uuid_utils
from pydantic import ValidationError

from shared.events import CATALOGUE, Event, owner_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.telemetry import Span

CONTENT_TYPE = "application/json"
UNKNOWN = "unknown type"
LONGEST_KEY = 500
"""Characters of a record's key: ours have 81 at most, and an index of PostgreSQL takes 2,700 bytes."""


def new_id() -> UUID:
    """A UUIDv7: its order is the order of creation, which keeps the inbox's index at its right edge."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def new_text_id() -> str:
    """The same as text; half the price where nobody needs the object."""
    return str(uuid_utils.uuid7())


@lru_cache(maxsize=256)  # a batch writes the same moment hundreds of times
def rfc3339(moment: datetime) -> str:
    """`2026-03-01T17:00:00.000000Z`"""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


class Cause(NamedTuple):
    """Where a fact comes from: what its CloudEvents attributes are taken from."""

    source: str
    organization: str
    program: str
    correlation: UUID | str
    causation: UUID | str | None
    """Empty or None where nothing caused it."""
    traceparent: str

    def of(self, event: Any) -> "Cause":
        """With the event's own organization and program, where it names them; what answers a report stays with who reported."""
        organization, program = self.organization, self.program
        if event.NAMES_ORGANIZATION and event.topic not in ANSWERS and event.organization:
            organization = event.organization
        if event.NAMES_PROGRAM and event.program:
            program = event.program
            if not event.NAMES_ORGANIZATION and not program.startswith(f"{organization}."):
                organization = owner_of(program)  # a person's record says their home
        if organization == self.organization and program == self.program:
            return self
        return self._replace(organization=organization, program=program)


ANSWERS = {"rejections", "reports"}


Row: TypeAlias = "tuple[UUID | str, str, str, bytes, bytes, datetime]"
"""Of the outbox: event id, topic, key, headers as JSON, payload, recorded at."""


def outbox_row(event_id: UUID | str, event: Event, cause: Cause, happened: datetime, now: datetime) -> Row:
    """An event as it goes to the outbox, `now`."""
    key = event.key
    source, organization, program, correlation, causation, traceparent = cause
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_type": event.TYPE,
        "ce_source": source,
        "ce_time": rfc3339(happened),
        "ce_recordedtime": rfc3339(now),
        "ce_organization": organization,
        "ce_correlationid": correlation,
        "ce_partitionkey": key,
        "traceparent": traceparent,
        "content-type": CONTENT_TYPE,
    }
    if program:
        headers["ce_program"] = program
    if causation:
        headers["ce_causationid"] = causation
    return event_id, event.topic, key, orjson.dumps(headers), event.__pydantic_serializer__.to_json(event), now


Headers: TypeAlias = "Sequence[tuple[str, bytes | None]]"


class Record(Protocol):
    """What we read of aiokafka's ConsumerRecord; held events are given the same shape."""

    topic: str
    partition: int
    offset: int
    key: Any
    value: Any
    headers: "Headers"


class Received:
    """A record read from a topic: decoded once, the rarely needed parts on demand.

    `problem` says why it can't be handled (`unreadable …`, `unknown type`); then `event` is None.
    """

    __slots__ = (
        "event", "headers", "id_text", "key", "offset", "order", "partition", "problem", "repeated", "span", "topic", "traceparent",
        "type", "value",
    )  # fmt: skip

    def __init__(self, record: Record, wanted: "Wanted") -> None:
        # The record itself isn't kept: what the client made of it is freed while the processor still has it at hand.
        self.topic, self.partition, self.offset, self.value = record.topic, record.partition, record.offset, record.value
        headers: dict[str, Any] = dict(record.headers)
        self.headers = headers
        """By name; where one comes twice the last one counts."""
        self.repeated = record.headers if len(headers) != len(record.headers) else None
        self.span: Span | None = None
        self.event: Event | None = None
        self.problem: str | None = None
        self.type = self.key = self.traceparent = self.id_text = ""
        try:
            self.type = headers["ce_type"].decode()
            self.key = key = record.key.decode()
            if len(key) > LONGEST_KEY or "\x00" in key:
                raise ValueError  # noqa: TRY301 - none of ours; and this runs for each event
            model = wanted.get(self.type)
            if model is not None:
                self.id_text = headers["ce_id"].decode()
                if not A_UUID(self.id_text):
                    self.problem = "unreadable: ce_id isn't a UUID"
                self.traceparent = (headers.get("traceparent") or b"").decode(errors="replace")
                self.event = model.__pydantic_validator__.validate_json(record.value)
            elif self.type not in CATALOGUE:
                self.id_text, self.problem = headers["ce_id"].decode(), UNKNOWN
        except KeyError as error:
            self.problem = f"unreadable: no header {error}"
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False, include_url=False)[0]
            self.problem = f"unreadable: {'.'.join(map(str, first['loc']))} {first['msg']}"
        except (ValueError, AttributeError, TypeError) as error:
            self.problem = f"unreadable: {type(error).__name__}"
        if self.problem is not None:
            self.set_apart(self.problem)
        self.order = (self.topic, self.key)
        """Events of one topic and key are handled in order."""

    def set_apart(self, problem: str) -> None:
        """It can't be handled: a place of its own, so that it blocks nothing. Whatever its bytes are, a column takes what stays."""
        self.event, self.problem, self.type = None, storable(problem), storable(self.type)
        self.id_text = self.id_text if A_UUID(self.id_text) else ""
        self.key = f"{storable(self.key)}@{self.partition}:{self.offset}"

    @property
    def id(self) -> UUID | None:
        return UUID(self.id_text) if self.id_text else None

    @property
    def all_headers(self) -> "Headers":
        """As they came: in order, and twice where one came twice."""
        return self.repeated or tuple(self.headers.items())

    def text(self, name: str) -> str:
        """A header's text; empty where there is none."""
        value: bytes = self.headers.get(name) or b""
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode(errors="replace")

    @property
    def time(self) -> datetime:
        """When it happened."""
        return datetime.fromisoformat(self.text("ce_time"))

    @property
    def recorded(self) -> datetime:
        """When Ithaca learned of it."""
        return datetime.fromisoformat(self.text("ce_recordedtime") or self.text("ce_time"))

    @property
    def organization(self) -> str:
        return self.text("ce_organization")

    @property
    def program(self) -> str:
        return self.text("ce_program")

    @property
    def correlation(self) -> UUID:
        text = self.text("ce_correlationid")
        return UUID(text) if A_UUID(text) else self.id or new_id()


A_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch

Wanted = dict[str, type[Event]]


def storable(text: str) -> str:
    """As much of a text from outside as a column and its index take: no NUL, and short."""
    return text.replace("\x00", "")[:200]


def dump_headers(headers: "Headers") -> bytes:
    """Any headers as JSON, byte for byte (latin-1 maps each byte to one character)."""
    return orjson.dumps([(name, None if value is None else value.decode("latin-1")) for name, value in headers])


def load_headers(stored: bytes) -> "Headers":
    return [(name, None if value is None else value.encode("latin-1")) for name, value in orjson.loads(stored)]
