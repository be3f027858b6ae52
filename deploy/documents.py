"""The documents made from the code: AsyncAPI, a JSON Schema for each event, a readable page, the golden copy, the table of settings.

Descriptions are the docstrings in the code, those under a field included.
"""

import ast
import inspect
import json
from functools import cache
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

import shared.events.partner
from deploy.local.state import CHECKOUT
from shared.events import CATALOGUE, SERVICES, TOPICS, End, Event, Start, Topic, base
from shared.events.compatibility import Shape, breaks, describe
from shared.events.partner import PARTNER
from shared.service import Settings

GOLDEN = "shared/events/golden.json"
SCHEMAS = "docs/schemas"
OPERATIONS = "docs/operations.md"
RELATIONSHIP = "docs/relationship.md"
MADE = "<!-- Made from {} by ./ithaca docs make. -->\n"
END_OF_MADE = "<!-- The end of what is made. -->\n"
DRAFT = "https://json-schema.org/draft/2020-12/schema"

ATTRIBUTES: dict[str, tuple[Shape, str]] = {
    "ce_specversion": ({"type": "string", "const": "1.0"}, "The version of CloudEvents."),
    "ce_id": ({"type": "string", "format": "uuid"}, "A UUIDv7: take an id you have seen as a repeat."),
    "ce_type": ({"type": "string"}, "Such as `ithaca.PairCreated`."),
    "ce_source": ({"type": "string", "format": "uri-reference"}, "The service that wrote it."),
    "ce_time": ({"type": "string", "format": "date-time"}, "When it happened."),
    "ce_recordedtime": ({"type": "string", "format": "date-time"}, "When Ithaca learned of it, which may be much later."),
    "ce_organization": ({"type": "string"}, "The program's owner, or the organization it is about."),
    "ce_program": ({"type": "string"}, "The program, where it is about one."),
    "ce_correlationid": ({"type": "string", "format": "uuid"}, "The same for all that follows from one beginning."),
    "ce_causationid": ({"type": "string", "format": "uuid"}, "The event that led to this one, if one did."),
    "ce_partitionkey": ({"type": "string"}, "The record's key."),
    "traceparent": ({"type": "string"}, "W3C Trace Context."),
    "tracestate": ({"type": "string"}, "W3C Trace Context."),
    "content-type": ({"type": "string", "const": "application/json"}, "Of the record's value."),
}
"""The record's headers: CloudEvents 1.0 on Kafka in binary mode."""

_ALWAYS = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_recordedtime", "ce_partitionkey", "content-type")


def documents() -> dict[str, str]:
    """Every generated file's text by its path in the repository."""
    made = {
        "docs/asyncapi.yaml": _yaml(asyncapi()),
        "docs/events.md": events_page(),
        GOLDEN: _golden(describe()),
        OPERATIONS: with_made(OPERATIONS, "shared/service.py", settings_table()),
        RELATIONSHIP: with_made(RELATIONSHIP, "services/scheduling/domain/states.py", states_diagram()),
    }
    for event in CATALOGUE.values():
        made[f"{SCHEMAS}/{event.__name__}.json"] = _json(schema_of(event))
    for name, form in PARTNER.items():
        made[f"{SCHEMAS}/partner/{name}.json"] = _json(schema_of(form))
    return made


def with_made(path: str, source: str, made: str) -> str:
    """A page with the part of it that is made as it is now; the rest of it is written by hand."""
    begin = MADE.format(source)
    before, _, rest = (CHECKOUT / path).read_text("utf-8").partition(begin)
    return before + begin + made + END_OF_MADE + rest.partition(END_OF_MADE)[2]


def states_diagram() -> str:
    """The states of a relationship and what leads from one to another, as Mermaid draws them."""
    from services.scheduling.domain.states import diagram  # noqa: PLC0415 - for this page only

    return "\n".join(["```mermaid", *diagram(), "```", ""])


def settings_table() -> str:
    """Every setting that a service reads from its environment."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, known in Settings.model_fields.items():
        variable = known.validation_alias or f"ITHACA_{name.upper()}"
        default = known.get_default(call_default_factory=True)
        shown = f"`{str(default).lower() if isinstance(default, bool) else default}`" if default not in ("", {}) else ""
        rows.append(f"| `{variable}` | {shown} | {known.description} |")
    return "\n".join(rows) + "\n"


def broken(root: Path) -> list[str]:
    """What the catalogue no longer keeps of the promises in the golden copy."""
    golden = root / GOLDEN
    return breaks(json.loads(golden.read_text("utf-8")), describe()) if golden.exists() else []


def stale(root: Path, made: dict[str, str] | None = None) -> list[str]:
    """Generated files that are missing, differ from what the catalogue says now, or are no longer generated."""
    made = made or documents()
    differing = [path for path, text in made.items() if not (root / path).exists() or (root / path).read_text("utf-8") != text]
    left = [str(path.relative_to(root)) for path in (root / SCHEMAS).rglob("*.json")]
    return sorted(differing + [path for path in left if path not in made])


def make(root: Path) -> list[str]:
    """Write what is stale; returns the paths. Call `broken` before: this makes today's catalogue the golden copy."""
    made = documents()
    changed = stale(root, made)
    for path in changed:
        if path not in made:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(made[path], "utf-8")
    return changed


# Docstrings


@cache
def _field_docs(module: ModuleType) -> dict[str, dict[str, str]]:
    """The strings that stand under the fields of each class of a module."""
    return {
        node.name: {
            field.target.id: inspect.cleandoc(doc.value.value)
            for field, doc in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(doc, ast.Expr)
            and isinstance(doc.value, ast.Constant)
            and isinstance(doc.value.value, str)
        }
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef)
    }


def _docs_of(model: type[BaseModel]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ancestor in reversed(model.__mro__):
        module = inspect.getmodule(ancestor)
        if module is not None and module.__name__.startswith("shared.events."):
            found |= _field_docs(module).get(ancestor.__name__, {})
    return found


@cache
def _parts() -> dict[str, dict[str, type[BaseModel]]]:
    """Every model by name, those of the events and those of the partner's forms: a few names are in both."""

    def all_below(model: type[BaseModel]) -> set[type[BaseModel]]:
        return {model}.union(*(all_below(below) for below in model.__subclasses__()))

    models = {m for m in all_below(BaseModel) if m.__module__.startswith("shared.events.")}
    partner = {m.__name__: m for m in models if m.__module__ == shared.events.partner.__name__}
    return {"events": {m.__name__: m for m in models if m not in partner.values()}, "partner": partner}


def _documented(schema: Shape, model: type[BaseModel] | None) -> Shape:
    """A model's schema without pydantic's titles, with the docstrings of its fields."""
    docs = _docs_of(model) if model else {}
    schema.pop("title", None)
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    for name, field in schema.get("properties", {}).items():
        field.pop("title", None)
        if name in docs:
            field["description"] = f"{docs[name]} {field.get('description', '')}".strip()
    return schema


def schema_of(model: type[BaseModel]) -> Shape:
    """A JSON Schema that stands alone."""
    partner = model.__module__ == shared.events.partner.__name__
    parts = _parts()["partner" if partner else "events"]
    schema = model.model_json_schema()
    for name, part in schema.get("$defs", {}).items():
        _documented(part, parts.get(name))
    if partner:
        _without_other(schema)
    return {"$schema": DRAFT, "$id": f"{model.__name__}.json", "title": f"ithaca.{model.__name__}", **_documented(schema, model)}


def _without_other(schema: Any) -> None:
    """`other` is how a reader takes an unknown word; nobody may send it."""
    if isinstance(schema, dict):
        if "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value != "other"]
        for value in schema.values():
            _without_other(value)
    elif isinstance(schema, list):
        for value in schema:
            _without_other(value)


# AsyncAPI


def asyncapi() -> Shape:
    """The whole platform as one AsyncAPI 3 document: a channel for each topic, an operation for each service that uses it."""
    _, schemas = models_json_schema(
        [(event, "validation") for event in CATALOGUE.values()], ref_template="#/components/schemas/{model}"
    )
    parts = _parts()["events"]
    components = {name: _documented(schema, parts.get(name)) for name, schema in sorted(schemas["$defs"].items())}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ithaca",
            "version": "1",
            "description": "The events of Ithaca. Consumers de-duplicate by `ce_id`, ignore unknown fields and take unknown enum "
            "values as `other`: fields, values and types are added, never changed or removed.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "embedded": {
                "host": "127.0.0.1:{port}",
                "protocol": "kafka",
                "description": "The embedded platform; `./ithaca status --json` names the port.",
                "variables": {"port": {"default": "9092"}},
            },
            "production": {
                "host": "{bootstrap}",
                "protocol": "kafka-secure",
                "description": "Your own cluster, SASL/SCRAM over TLS.",
                "variables": {"bootstrap": {"description": "host:port of a broker."}},
                "security": [{"$ref": "#/components/securitySchemes/scram"}],
            },
        },
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "operations": {
            f"{service}.{action}.{topic.name}": _operation(service, action, topic)
            for service in SERVICES
            for topic in TOPICS.values()
            for action, services in (("send", topic.writers), ("receive", topic.readers))
            if service in services
        },
        "components": {
            "securitySchemes": {"scram": {"type": "scramSha512"}},
            "messageTraits": {"cloudEvent": {"headers": _headers(), "contentType": "application/json"}},
            "messages": {event.__name__: _message(event) for event in CATALOGUE.values()},
            "schemas": components,
        },
    }


def _headers() -> Shape:
    return {
        "type": "object",
        "required": list(_ALWAYS),
        "properties": {name: {**schema, "description": text} for name, (schema, text) in ATTRIBUTES.items()},
    }


def _events_of(topic: Topic) -> list[type[Event]]:
    return [event for event in CATALOGUE.values() if event.topic == topic.name]


def _channel(topic: Topic) -> Shape:
    config = topic.config()
    settings: Shape = {"cleanup.policy": [config["cleanup.policy"]]}
    if "retention.ms" in config:
        settings["retention.ms"] = int(config["retention.ms"])
    return {
        "address": topic.name,
        "description": f"Ordered by {topic.key}. Kept: {_kept(topic)}.",
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in _events_of(topic)},
        "bindings": {"kafka": {"topic": topic.name, "partitions": topic.partitions, "topicConfiguration": settings}},
    }


def _operation(service: str, action: str, topic: Topic) -> Shape:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "tags": [{"name": service}],
    }


def _message(event: type[Event]) -> Shape:
    key = {name: value for name, value in event.model_json_schema()["properties"][event.key_field].items() if name != "title"}
    return {
        "name": event.TYPE,
        "title": event.__name__,
        "summary": _summary(event),
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "bindings": {"kafka": {"key": {**key, "description": f"The event's `{event.key_field}`."}}},
    }


# The readable page


def events_page() -> str:
    """`docs/events.md`."""
    lines = [
        "# Events",
        "",
        "<!-- Made by `./ithaca docs make` from shared/events; edit the docstrings there. -->",
        "",
        "Everything that Ithaca writes to Kafka: CloudEvents 1.0 in binary mode, the data as JSON. Fields and values are only ever",
        "added: ignore fields you don't know, take values you don't know as `other`, de-duplicate by `ce_id`. Personal data is on",
        "`people` and nowhere else; every other event holds ids, codes, numbers and times.",
        "",
        "| topic | ordered by | written by | read by | kept | events |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| [{t.name}](#{t.name}) | {t.key} | {_all_of(t.writers)} | {_all_of(t.readers)} | {_kept(t)} | {len(_events_of(t))} |"
        for t in TOPICS.values()
    ]
    lines += ["", "## Headers", "", "| header | what | always |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {text} | {'yes' if name in _ALWAYS else ''} |" for name, (_, text) in ATTRIBUTES.items()]
    lines += [
        "",
        "The data of every event also has `audience`: the organizations that may see it.",
        "",
    ]
    parts: dict[str, Shape] = {}
    for topic in TOPICS.values():
        lines += [
            f"## {topic.name}",
            "",
            f"Ordered by {topic.key}, written by {_all_of(topic.writers)}. Kept: {_kept(topic)}.",
            "",
        ]
        tables: dict[tuple[str, ...], str] = {}
        for event in _events_of(topic):
            schema = schema_of(event)
            parts |= schema.get("$defs", {})
            lines += [f"### {event.__name__}", "", schema["description"], "", f"Key: `{event.key_field}`.", ""]
            table = tuple(_table(schema, skip=("audience",)))
            first = tables.setdefault(table, event.__name__)
            lines += [*table, ""] if first == event.__name__ else [f"Fields: those of [{first}](#{first.lower()}).", ""]
    lines += ["## Parts", "", "What stands inside events.", ""]
    for name, part in sorted(parts.items()):
        lines += [f"### {name}", "", part["description"], "", *_table(part), ""]
    lines += [
        "## What a partner sends",
        "",
        "Posted to the gateway, with the partner's own ids. Unknown fields are refused here.",
        "",
    ]
    parts = {}
    for name, form in PARTNER.items():
        schema = schema_of(form)
        parts |= schema.get("$defs", {})
        lines += [f"### {name}, sent", "", schema["description"], "", *_table(schema, suffix="-sent"), ""]
    for name, part in sorted(parts.items()):
        lines += [f"### {name}, sent", "", part["description"], "", *_table(part, suffix="-sent"), ""]
    return "\n".join(line for line, same in groupby(lines) for line in ([""] if line == "" else same)).rstrip() + "\n"


def _table(schema: Shape, skip: tuple[str, ...] = (), suffix: str = "") -> list[str]:
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {_label(field, suffix)} | {'yes' if name in required else _default(field)} | {_said(field)} |"
        for name, field in schema.get("properties", {}).items()
        if name not in skip
    ]
    return ["| field | type | needed | |", "| --- | --- | --- | --- |", *rows] if rows else []


def _said(field: Shape) -> str:
    """What is said of a field, and of what may stand in it."""
    inner = [field.get("items", {}), *field.get("anyOf", ())]
    inner += [option.get("items", {}) for option in inner]
    texts = [field.get("description", ""), *(option.get("description", "") for option in inner)]
    return _line(" ".join(dict.fromkeys(text for text in texts if text)))


@cache
def _forms() -> dict[str, str]:
    """What to call a text of each form."""
    named = {
        "organization id": base.OrganizationId,
        "program id": base.ProgramId,
        "tag": base.Slug,
        "code": base.Word,
        "key or person id": base.Reference,
        "event type": base.EventType,
        "partner's id": base.PartnerEventId,
        "public name": base.PublicName,
        "IANA time zone": base.TimeZone,
        "country code": base.Country,
        "language tag": base.Language,
        "HH:MM": Start,
        "HH:MM, 24:00 at most": End,
    }
    return {TypeAdapter(kind).json_schema()["pattern"]: name for name, kind in named.items()}


def _label(field: Shape, suffix: str) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_label(option, suffix) for option in field["anyOf"] if option.get("type") != "null"))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()}{suffix})"
    if "enum" in field:
        return " ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_label(field['items'], suffix)}"
    if field.get("pattern") in _forms():
        return _forms()[field["pattern"]]
    words = {"uuid": "UUID", "date-time": "time", "date": "date", "boolean": "true or false", "string": "text"}
    kind = field.get("format") or field.get("type", "")
    return f"{words.get(kind, kind)}{_bounds(field)}"


def _bounds(field: Shape) -> str:
    least, most = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    if least is not None and most is not None:
        return f", {least:g} to {most:g}"
    return f", from {least:g}" if least is not None else ""


def _default(field: Shape) -> str:
    default = field.get("default")
    if default is None or default == [] or isinstance(default, dict):
        return ""
    return f"`{json.dumps(default)}`" if not isinstance(default, str) else f"`{default}`"


def _summary(model: type[BaseModel]) -> str:
    """The first paragraph of a docstring, in one line."""
    return _line((model.__doc__ or "").split("\n\n", maxsplit=1)[0])


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "the last record of each key"
    return "for ever" if topic.retention_days is None else f"{topic.retention_days} days"


def _all_of(services: tuple[str, ...]) -> str:
    return "all" if services == SERVICES else ", ".join(services)


def _json(value: Shape) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _golden(shapes: Shape) -> str:
    """A line for each field, so that a difference is read at a glance."""
    kinds = []
    for kind, types in shapes.items():
        blocks = []
        for name, shape in types.items():
            head = "".join(f'"{what}": {json.dumps(value)}, ' for what, value in shape.items() if what != "fields")
            lines = ",\n".join(f"    {json.dumps(path)}: {json.dumps(field)}" for path, field in shape["fields"].items())
            blocks.append(f'  "{name}": {{{head}"fields": {{\n{lines}\n  }}}}')
        kinds.append(f'"{kind}": {{\n' + ",\n".join(blocks) + "\n}")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


class _Plain(yaml.SafeDumper):
    """Without anchors: what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _yaml(value: Shape) -> str:
    head = "# Made by `./ithaca docs make` from shared/events; edit the docstrings there.\n"
    return head + yaml.dump(value, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
