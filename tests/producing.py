"""Puts events on topics as another service's relay would."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import orjson
from aiokafka import AIOKafkaProducer

from shared.cloudevents import Cause, Fact, new_id
from shared.events import Event
from shared.telemetry import new_traceparent


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
) -> list[UUID]:
    """Send in order and wait for Kafka; returns the events' ids. `ids` sends them under given ids (a relay's resend)."""
    now = datetime.now(UTC)
    several = [events] if isinstance(events, Event) else list(events)
    given = list(ids) if ids is not None else [new_id() for _ in several]
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)
    await producer.start()
    try:
        for event, event_id in zip(several, given, strict=True):
            cause = Cause(source, organization, program, new_id(), causation, new_traceparent(sampled=True))
            _, topic, key, headers, payload, _ = Fact(event_id, event, at or now).row(cause, now)
            await producer.send(
                topic, payload, key=key.encode(), headers=[(n, v.encode()) for n, v in orjson.loads(headers).items()]
            )
        await producer.flush()
    finally:
        await producer.stop()
    return given
