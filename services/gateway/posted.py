"""From an HTTP body to well-formed events: CloudEvents structured, binary or in a batch, each checked by its own. No I/O."""

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import Message
from typing import Any
from urllib.parse import unquote

import orjson
from pydantic import TypeAdapter, ValidationError

from services.gateway.domain import Posted
from shared.errors import Rejected
from shared.events import PartnerEventId, PartnerSource, partner

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = "application/json"
MOST_EVENTS = 1000
MOST_BYTES = 10_000_000

_ID = TypeAdapter(PartnerEventId)
_SOURCE = TypeAdapter(PartnerSource)
_TIME = TypeAdapter(partner.Instant)
_NAME = re.compile(r"[a-z0-9]{1,40}")
_LETTERS = "1 to 200 printable ASCII characters, without spaces and @"
TYPES = {event.TYPE: event for event in partner.PARTNER.values()}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field of a posted event."""

    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that goes no further, named by what it calls itself as far as that can be repeated."""

    n: int
    id: str | None
    source: str | None
    errors: tuple[Fault, ...]


def media_type(content_type: str) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`. Raises Rejected 415 for another character set."""
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset", "utf-8")
    if not isinstance(charset, str) or charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Rejected("unsupported_media_type", "Send UTF-8.", status=415)
    return message.get_content_type() if content_type else ""


def parse(body: bytes) -> Any:
    """JSON. Raises Rejected that says where it breaks."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = f"This isn't JSON: line {error.lineno}, column {error.colno}."
        raise Rejected("malformed_json", text, status=400) from None


def read(headers: Mapping[str, str], body: bytes, organization: str, now: datetime) -> tuple[bool, list[Posted | Refused]]:
    """Whether it is a batch, and its events in order. Raises Rejected where the request as a whole can't be read."""
    kind = media_type(headers.get("content-type", ""))
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Rejected("unsupported_media_type", "Send the body as it is, without Content-Encoding.", status=415)
    binary = "ce-specversion" in headers or "ce-id" in headers or "ce-type" in headers
    if kind == BATCH:
        events = parse(body)
        if not isinstance(events, list):
            raise Rejected("malformed_batch", "A batch is a JSON list of CloudEvents.", status=400)
        if not events:
            raise Rejected("empty_batch", "There is no event in this batch.")
        if len(events) > MOST_EVENTS:
            raise Rejected("too_many_events", f"A batch holds up to {MOST_EVENTS} events; send several.", status=413)
        return True, [read_event(n, event, organization, now) for n, event in enumerate(events)]
    if kind == STRUCTURED:
        return False, [read_event(0, parse(body), organization, now)]
    if kind == BINARY and binary:
        event = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
        if "data" in event:
            raise Rejected("malformed_event", "In binary mode the data is the body.", status=400)
        return False, [read_event(0, event | {"data": parse(body)}, organization, now)]
    say = f"Use Content-Type {STRUCTURED} or {BATCH}, or {BINARY} with ce-id, ce-source, ce-type and ce-specversion headers."
    raise Rejected("unsupported_media_type", say, status=415)


def read_event(n: int, event: Any, organization: str, now: datetime) -> Posted | Refused:
    """One CloudEvent of a partner, or everything that is wrong with it."""
    if not isinstance(event, dict):
        return Refused(n, None, None, (Fault("", "model_type", "a CloudEvent is a JSON object"),))
    own_id, source = _fits(_ID, event.get("id")), _fits(_SOURCE, event.get("source"))
    faults = list(_attributes(event, organization, own_id, source))
    time, late = _time(event.get("time"), now)
    faults += late
    kind = _kind(event)
    said: partner.PartnerEvent | None = None
    if kind is not None and "data" in event:
        try:
            said = kind.read(event["data"])
        except ValidationError as error:
            faults += [Fault(_within(p.field), p.code, p.text) for p in partner.problems(error, kind)]
    if faults or said is None or own_id is None or source is None:
        return Refused(n, own_id, source, tuple(faults))
    same = orjson.dumps([event["type"], event.get("time"), event["data"]], option=orjson.OPT_SORT_KEYS)
    return Posted(n, source, own_id, said, time, hashlib.sha256(same).hexdigest())


def _within(field: str) -> str:
    return f"data{'' if not field or field.startswith('[') else '.'}{field}"


def _fits(form: TypeAdapter[str], value: Any) -> str | None:
    try:
        return form.validate_python(value, strict=True)
    except ValidationError:
        return None


def _attributes(event: dict[str, Any], organization: str, own_id: str | None, source: str | None) -> list[Fault]:
    faults = []
    if event.get("specversion") != "1.0":
        faults.append(Fault("specversion", "specversion", "give 1.0"))
    if own_id is None:
        faults.append(Fault("id", "id", f"give an id of your own for this event: {_LETTERS}"))
    if source is None:
        faults.append(Fault("source", "source", f"give where the event comes from, such as /northwind/hr: {_LETTERS}"))
    if _kind(event) is None:
        faults.append(Fault("type", "type", _which_type(event.get("type"))))
    said = event.get("datacontenttype")
    if said is not None and not (
        isinstance(said, str) and re.match(r"application/([\w.+-]+\+)?json\s*(;|$)", said, re.IGNORECASE)
    ):
        faults.append(Fault("datacontenttype", "datacontenttype", "send data as application/json"))
    if "data" not in event:
        text = "send data as JSON in `data`" if "data_base64" in event else "this field is needed"
        faults.append(Fault("data", "missing", text))
    if event.get("organization", organization) != organization:
        faults.append(Fault("organization", "organization", "your key speaks for another organization: leave this out"))
    faults += [
        Fault("(an attribute)", "attribute", "names of CloudEvents attributes are lower-case letters and digits")
        for name in event
        if name != "data_base64" and not _NAME.fullmatch(name)
    ]
    return faults


def _kind(event: dict[str, Any]) -> type[partner.PartnerEvent] | None:
    name = event.get("type")
    return TYPES.get(name) if isinstance(name, str) else None


def _which_type(given: Any) -> str:
    close = difflib.get_close_matches(given[:60], list(TYPES), 1, 0.6) if isinstance(given, str) else []
    return (
        f"unknown type: did you mean {close[0]}?"
        if close
        else "give the type of a fact that a partner may post, such as ithaca.PersonEnrolled"
    )


def _time(given: Any, now: datetime) -> tuple[datetime | None, list[Fault]]:
    if given is None:
        return None, []
    try:
        time = _TIME.validate_python(given)
    except ValidationError as error:
        return None, [Fault("time", "instant", error.errors(include_input=False, include_url=False)[0]["msg"])]
    if time > now + timedelta(days=1):
        return None, [Fault("time", "in_the_future", "this lies in the future: `time` is when it happened")]
    return time, []
