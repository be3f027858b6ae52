"""Puts events on topics as another service's relay would."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import orjson
from aiokafka import AIOKafkaProducer

from shared.cloudevents import Cause, new_id, outbox_row
from shared.events import Event
from shared.telemetry import new_traceparent

Headers = list[tuple[str, bytes]]


def encoded(
    event: Event,
    *,
    organization: str,
    program: str = "",
    source: str = "/ithaca/test",
    causation: UUID | None = None,
    at: datetime | None = None,
    event_id: UUID | None = None,
    traceparent: str = "",
) -> tuple[bytes, Headers, bytes]:
    """Key, headers and payload of an event's record; `at` is when it happened, it is recorded now."""
    now = datetime.now(UTC)
    cause = Cause(source, organization, program, new_id(), causation, traceparent or new_traceparent(sampled=True))
    _, _, key, headers, payload, _ = outbox_row(event_id or new_id(), event, cause, at or now, now)
    return key.encode(), [(name, value.encode()) for name, value in orjson.loads(headers).items()], payload


async def send(
    kafka: str,
    events: Event | Iterable[Event],
    *,
    organization: str,
    program: str = "",
    source: str = "/ithaca/test",
    causation: UUID | None = None,
    at: datetime | None = None,
    ids: Iterable[UUID] | None = None,
    topic: str = "",
) -> list[UUID]:
    """Send in order and wait for Kafka; returns the events' ids. `ids` sends them under given ids (a relay's resend).

    `topic` stands in for the one that the events belong to.
    """
    several = [events] if isinstance(events, Event) else list(events)
    given = list(ids) if ids is not None else [new_id() for _ in several]
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)
    await producer.start()
    try:
        for event, event_id in zip(several, given, strict=True):
            key, headers, payload = encoded(
                event, organization=organization, program=program, source=source, causation=causation, at=at, event_id=event_id
            )
            await producer.send(topic or event.topic, payload, key=key, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()
    return given
