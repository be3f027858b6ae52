"""What a partner reads at /docs: the forms of the facts it may post, examples, and the shapes of the answers."""

from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from services.gateway.posted import BATCH, BINARY, MOST_EVENTS, STRUCTURED
from shared.events import PartnerEventId, PartnerSource, partner
from shared.web import Fault

ID, SOURCE = TypeAdapter(PartnerEventId).json_schema(), TypeAdapter(PartnerSource).json_schema()
EXAMPLES: dict[str, dict[str, Any]] = {
    "ProgramLaunched": {"program": "crossing", "name": "Crossing", "policy": {"capacity": 2}},
    "ProgramChanged": {"program": "crossing", "policy": {"least_overlap_hours": 2}},
    "ProgramClosed": {"program": "crossing"},
    "ProgramShared": {"program": "crossing", "member": "kestrel", "seats": 40},
    "ProgramJoined": {"program": "northwind.crossing"},
    "ProgramLeft": {"program": "northwind.crossing"},
    "PersonEnrolled": {
        "person": "n07",
        "program": "crossing",
        "role": "mentee",
        "name": "Ada Obi",
        "email": "ada.obi@northwind.example",
        "time_zone": "Africa/Lagos",
        "languages": ["en"],
        "skills_wanted": ["cloud", "leadership"],
        "availability": [{"weekday": "monday", "start": "17:00", "end": "19:00"}],
    },
    "ProfileChanged": {"person": "n07", "skills_wanted": ["cloud", "security"], "title": None},
    "PersonPaused": {"person": "n07", "until": "2026-09-01T00:00:00Z"},
    "PersonResumed": {"person": "n07"},
    "PersonWithdrawn": {"person": "n07", "program": "crossing"},
    "MeetingReported": {
        "program": "crossing",
        "people": ["n07", "0198c0de-0000-7000-8000-000000000003"],
        "held_at": "2026-03-09T16:00:00Z",
        "minutes": 30,
    },
    "OutcomeReported": {"person": "n07", "kind": "promotion", "at": "2026-08-01T00:00:00Z"},
}


def example(name: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{name.lower()}-1",
        "source": "/northwind/hr",
        "type": f"ithaca.{name}",
        "data": EXAMPLES[name],
    }


def inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A JSON Schema with its `$ref`s put in place, so that it can stand anywhere in the document."""
    if isinstance(schema, list):
        return [inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return target | {k: v for k, v in schema.items() if k != "$ref"}
    return {name: inlined(each, definitions) for name, each in schema.items() if name != "$defs"}


def data_schema(event: type[partner.PartnerEvent]) -> dict[str, Any]:
    schema = event.model_json_schema()
    found: dict[str, Any] = inlined(schema, schema.get("$defs", {}))
    return found


def event_schema(event: type[partner.PartnerEvent]) -> dict[str, Any]:
    """One CloudEvent of this type, in structured mode."""
    return {
        "type": "object",
        "title": event.TYPE,
        "description": event.__doc__ or "",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": ID | {"description": "Your own id of this event: the same again is the same event."},
            "source": SOURCE | {"description": "Where it comes from, such as /northwind/hr."},
            "type": {"const": event.TYPE},
            "time": {"type": "string", "format": "date-time", "description": "When it happened, if not now."},
            "data": data_schema(event),
        },
    }


def request_body() -> dict[str, Any]:
    """The `requestBody` of POST /v1/events: three forms of the same."""
    events = {"oneOf": [event_schema(event) for event in partner.PARTNER.values()]}
    singles = {
        name: {"summary": (event.__doc__ or "").splitlines()[0], "value": example(name)}
        for name, event in partner.PARTNER.items()
    }
    batch = [example("ProgramLaunched"), example("PersonEnrolled")]
    return {
        "required": True,
        "content": {
            STRUCTURED: {"schema": events, "examples": singles},
            BATCH: {
                "schema": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MOST_EVENTS,
                    "items": {"type": "object", "description": "as above"},
                },
                "example": batch,
            },
            BINARY: {
                "schema": {
                    "type": "object",
                    "description": "`data` alone; the attributes are headers: ce-specversion, ce-id, ce-source, ce-type.",
                },
                "example": EXAMPLES["PersonEnrolled"],
            },
        },
    }


class ResultShape(BaseModel):
    id: str | None = Field(description="your id of the event")
    source: str | None
    status: str = Field(description="accepted, duplicate (accepted earlier) or rejected")
    event: str = Field("", description="the event's id here and on the topics; not there where it is rejected")
    person: str = Field("", description="our id of the person it is about")
    trace: str = Field("", description="the trace that it begins or continues")
    errors: list[Fault] = Field([], description="only where it is rejected")


class RosterShape(BaseModel):
    people: int = Field(description="enrolments in the program")
    revisions: int = Field(description="the sum of their revisions; grows with every change of a person")


class AcceptedShape(BaseModel):
    """What became of each event, in the order sent."""

    results: list[ResultShape]
    accepted: int
    duplicates: int
    rejected: int
    dry_run: bool
    rosters: dict[str, RosterShape] = Field(
        description='by program, after these events: hand one to a match run as `after` to "match after what I sent"'
    )


class EventShape(BaseModel):
    id: str
    source: str
    event: str
    type: str
    status: str = Field(description="applied, waiting (its owner hasn't answered yet) or rejected")
    caused: list[str] = Field(description="ids of the facts that it became or led to")
    reason: str | None
    field: str | None
    person: str | None
    program: str | None
    received_at: str


PROBLEMS: dict[int | str, str] = {
    401: "No API key, or one that isn't valid (any more).",
    403: "The key has no right to this.",
    429: "Too many requests with this key.",
    503: "The database can't be reached; nothing was changed.",
}
POST_PROBLEMS: dict[int | str, str] = PROBLEMS | {
    400: "Not JSON, or not a batch: where it breaks.",
    409: "Nothing was accepted: each id was used for another event.",
    413: "More than 10 MB, or more than 1,000 events.",
    415: "None of the three content types.",
    422: "Nothing was accepted: a problem with `errors` and `results`.",
}

POST_TEXT = """
Post facts as CloudEvents 1.0: one (structured or binary), or a batch of up to 1,000. Each event is judged by itself: what is wrong is named, the rest goes on, and later
events of a batch see what earlier ones did.

- **Again is safe.** The same event (`source` and `id`) within 30 days is answered as before, `duplicate`, and takes effect once. Another body under the same id is refused (409).
  An event that was rejected isn't remembered: put it right and post it under the same id.
- **Your own ids.** People are named by your ids, your programs by their slugs, another organization's program as `owner.slug`. People of other organizations are named by the
  UUID that you know from events.
- **`?dry_run=true`** judges everything and changes nothing.
- **Shared programs.** The owner posts `ithaca.ProgramShared`; your organization posts `ithaca.ProgramJoined`; from then on it may enrol up to its seats.
"""
