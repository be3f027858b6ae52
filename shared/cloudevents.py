"""CloudEvents 1.0 on Kafka in binary mode: how a fact is written to the outbox and read from a record."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import orjson
import uuid_utils
from pydantic import ValidationError

from shared.events import CATALOGUE, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Span

CONTENT_TYPE = "application/json"


def new_id() -> UUID:
    """A UUIDv7: its order is the order of creation, which keeps the inbox's index at its right edge."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def rfc3339(moment: datetime) -> str:
    """`2026-03-01T17:00:00.000000Z`"""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a fact comes from: what its CloudEvents attributes are taken from."""

    source: str
    organization: str
    program: str
    correlation: UUID
    causation: UUID | None
    traceparent: str


@dataclass(frozen=True, slots=True)
class Fact:
    """An event on its way to the outbox."""

    id: UUID
    event: Event
    time: datetime

    def row(self, cause: Cause, now: datetime) -> tuple[UUID, str, str, bytes, bytes, datetime]:
        """The outbox row: event id, topic, key, headers as JSON, payload, recorded at."""
        event, key = self.event, self.event.key
        headers = {
            "ce_specversion": "1.0",
            "ce_id": str(self.id),
            "ce_type": event.TYPE,
            "ce_source": cause.source,
            "ce_time": rfc3339(self.time),
            "ce_recordedtime": rfc3339(now),
            "ce_organization": cause.organization,
            "ce_program": cause.program,
            "ce_correlationid": str(cause.correlation),
            "ce_causationid": str(cause.causation) if cause.causation else "",
            "ce_partitionkey": key,
            "traceparent": cause.traceparent,
            "content-type": CONTENT_TYPE,
        }
        if not all(headers.values()):  # an attribute without a value is left out
            headers = {name: value for name, value in headers.items() if value}
        return self.id, event.topic, key, orjson.dumps(headers), event.__pydantic_serializer__.to_json(event), now


class Record(Protocol):
    """What we read of aiokafka's ConsumerRecord; held events are given the same shape."""

    topic: str
    partition: int
    offset: int
    key: Any
    value: Any
    headers: "Sequence[tuple[str, bytes]]"


class Received:
    """A record read from a topic: decoded once, the rarely needed parts on demand.

    `problem` says why it can't be handled (`unreadable …`, `unknown type`); then `event` is None.
    """

    __slots__ = (
        "__dict__",
        "event",
        "id",
        "key",
        "offset",
        "partition",
        "problem",
        "record",
        "span",
        "topic",
        "traceparent",
        "type",
    )

    def __init__(self, record: Record, wanted: "Wanted") -> None:
        self.record, self.topic, self.partition, self.offset = record, record.topic, record.partition, record.offset
        self.span: Span | None = None
        self.event: Event | None = None
        self.problem: str | None = None
        self.type = self.key = self.traceparent = ""
        self.id: UUID | None = None
        try:
            headers = dict(record.headers)
            self.type = headers["ce_type"].decode()
            self.key = record.key.decode()
            model = wanted.get(self.type)
            if model is not None:
                self.id = UUID(headers["ce_id"].decode())
                self.traceparent = headers.get("traceparent", b"").decode()
                self.event = model.__pydantic_validator__.validate_json(record.value)
            elif self.type not in CATALOGUE:
                self.problem = "unknown type"
        except KeyError as error:
            self.problem = f"unreadable: no header {error}"
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False, include_url=False)[0]
            self.problem = f"unreadable: {'.'.join(map(str, first['loc']))} {first['msg']}"[:200]
        except (ValueError, AttributeError, TypeError) as error:
            self.problem = f"unreadable: {type(error).__name__}"
        if self.problem is not None:
            # a place of its own, so that it blocks nothing
            self.key = f"{self.key}@{self.partition}:{self.offset}".replace("\x00", "")

    @cached_property
    def headers(self) -> dict[str, bytes]:
        return dict(self.record.headers)

    def text(self, name: str) -> str:
        return self.headers.get(name, b"").decode(errors="replace")

    @cached_property
    def time(self) -> datetime:
        """When it happened."""
        return datetime.fromisoformat(self.text("ce_time"))

    @cached_property
    def recorded(self) -> datetime:
        """When Ithaca learned of it."""
        return datetime.fromisoformat(self.text("ce_recordedtime") or self.text("ce_time"))

    @property
    def organization(self) -> str:
        return self.text("ce_organization")

    @property
    def program(self) -> str:
        return self.text("ce_program")

    @cached_property
    def correlation(self) -> UUID:
        text = self.text("ce_correlationid")
        return UUID(text) if text else self.id or new_id()

    @property
    def order(self) -> tuple[str, str]:
        """Events of one topic and key are handled in order."""
        return self.topic, self.key

    def born(self) -> float:
        """Seconds since the epoch at which the event's UUIDv7 was made."""
        return (self.id.int >> 80) / 1000 if self.id else 0.0


Wanted = dict[str, type[Event]]


def dump_headers(headers: "Sequence[tuple[str, bytes]]") -> bytes:
    """Any headers as JSON, byte for byte (latin-1 maps each byte to one character)."""
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def load_headers(stored: bytes) -> list[tuple[str, bytes]]:
    return [(name, value.encode("latin-1")) for name, value in orjson.loads(stored)]
