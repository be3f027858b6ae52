"""What most measurements send: meetings of pairs, as an outbox has them, and the records that a relay makes of its rows."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from shared.cloudevents import Cause, new_id, new_text_id, outbox_row
from shared.events import MeetingHeld
from shared.telemetry import new_traceparent

Row = tuple[Any, ...]
"""Event id, topic, key, headers, payload, recorded at."""
Record = tuple[str, bytes, bytes, list[tuple[str, bytes]]]
"""Topic, key, value, headers."""


def meeting(topic: str, pair: UUID, number: int, *, key: str = "", minutes: int = 30) -> Row:
    """A pair's meeting. Of two with one key the first is handled first; the key is the pair where none is given."""
    now = datetime.now(UTC)
    event = MeetingHeld(
        relationship_id=pair,
        program="bench.meetings",
        meeting_id=new_id(),
        held_at=now,
        minutes=minutes,
        attended=(pair, pair),
        number=number,
        audience=("bench", "other"),
    )
    cause = Cause("/bench", "bench", "bench.meetings", new_id(), new_id(), new_traceparent(sampled=True))
    event_id, _, own, *rest = outbox_row(new_text_id(), event, cause, now, now)
    return event_id, topic, key or own, *rest


def record(row: Row) -> Record:
    _, topic, key, headers, payload, _ = row
    return topic, key.encode(), payload, [(name, value.encode()) for name, value in orjson.loads(headers).items()]
