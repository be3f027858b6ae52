"""The story: one line for each event, with the ids it names and small data in which no personal data stand."""

import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import orjson

from shared.events import (
    AccessKey,
    CheckInAnswered,
    Event,
    FeedbackGiven,
    Member,
    PersonInvited,
    PersonRecord,
    ProgramRecord,
    SkillAssessed,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One event, as the story keeps it."""

    id: UUID
    time: datetime
    """When it happened."""
    recorded: datetime
    """When Ithaca learned of it."""
    type: str
    """Without `ithaca.`"""
    topic: str
    key: str
    organization: str
    program: str | None
    audience: tuple[str, ...]
    ids: tuple[str, ...]
    """By which it is found: the ids it names, its cause and its trace."""
    data: str
    """JSON: ids, codes, numbers and times."""
    service: str
    """Who wrote it."""
    correlation: str
    causation: str
    """The event that led to this one; empty where none did."""
    trace: str
    """32 hex digits; empty where it has none."""
    log_partition: int
    log_offset: int


TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

LEFT_OUT: dict[type[Event], frozenset[str]] = {
    AccessKey: frozenset({"sha256"}),
    ProgramRecord: frozenset({"policy"}),
    # what people answered is for their coordinator alone
    CheckInAnswered: frozenset({"score", "answers", "fit", "tags"}),
    SkillAssessed: frozenset({"level"}),
    FeedbackGiven: frozenset({"tags"}),
}
"""What a line doesn't keep of these types and those made of them, beside `audience`."""


@cache
def left_out(kind: type[Event]) -> set[str]:
    return {"audience"}.union(*(names for base, names in LEFT_OUT.items() if issubclass(kind, base)))


def small(event: Event) -> bytes:
    """The event's data as JSON, without what is personal or large.

    A person's record is cut down to ids, status, revision and programs: never the partner's own id, profile or contact.
    """
    if isinstance(event, PersonRecord):
        person: dict[str, Any] = {
            "person_id": event.person_id,
            "organization": event.organization,
            "status": event.status,
            "revision": event.revision,
            "programs": [f"{e.program} {e.role}" for e in event.enrolments],
        }
        if event.program:
            person["program"] = event.program
        if isinstance(event, PersonInvited):
            person["invited_by"] = event.invited_by
        return orjson.dumps(person)
    return event.__pydantic_serializer__.to_json(event, exclude=left_out(type(event)), exclude_none=True)


def _inner(hint: Any) -> Any:
    """What an optional or a tuple is made of."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(_inner(option) for option in typing.get_args(hint) if option is not type(None))
    return _inner(typing.get_args(hint)[0]) if typing.get_origin(hint) is tuple else hint


@cache
def _fields(kind: type[Event]) -> tuple[list[Callable[[Any], Any]], list[Callable[[Any], Any]]]:
    """Which fields of an event hold UUIDs, and which hold members."""
    hints = {name: _inner(field.annotation) for name, field in kind.model_fields.items()}
    ids: list[Callable[[Any], Any]] = [attrgetter(name) for name, hint in hints.items() if hint is UUID]
    members: list[Callable[[Any], Any]] = [attrgetter(name) for name, hint in hints.items() if hint is Member]
    return ids, members


def ids_named(event: Event) -> list[UUID]:
    """Every UUID that an event names: its people, relationship, meeting, run, request, the fact it tells of."""
    ids, members = _fields(type(event))
    found: list[UUID] = []
    for get in ids:
        value = get(event)
        if value is not None:
            found.extend(value) if isinstance(value, tuple) else found.append(value)
    for get in members:
        value = get(event)
        found.extend(member.person_id for member in (value if isinstance(value, tuple) else (value,)))
    return found


def trace_of(traceparent: str) -> str:
    """The trace id of a W3C traceparent; empty where it isn't one."""
    return traceparent[3:35] if TRACEPARENT.fullmatch(traceparent) else ""


KINDS: Mapping[str, Sequence[str]] = {
    "person": (
        "person_id", "mentee_id", "mentor_id", "attended", "said_by", "proposed_by", "rescheduled_by", "cancelled_by", "revised_by",
        "invited_by", "assessed_by", "given_by", "introduced_by", "to_person_id", "shared_by", "rematch_first",
        "answered_by", "unanswered_by",
    ),
    "relationship": ("relationship_id",),
    "meeting": ("meeting_id",),
    "request": ("request_id",),
    "run": ("run_id",),
    "delivery": ("delivery_id",),
    "event": ("fact_id",),
}  # fmt: skip


def subjects(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a line is about, by kind: `{"person": [...], "relationship": [...]}`."""
    found: dict[str, dict[str, None]] = {}
    members = [*data.get("members", ()), *([data["member"]] if isinstance(data.get("member"), dict) else [])]
    for member in members:
        found.setdefault("person", {})[member["person_id"]] = None
    for kind, names in KINDS.items():
        for name in names:
            value = data.get(name)
            if value is not None:
                found.setdefault(kind, {}).update(dict.fromkeys(value if isinstance(value, list) else [value]))
    return {kind: list(ids) for kind, ids in found.items()}
