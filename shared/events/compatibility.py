"""What the catalogue promises, in a form that can be compared: fields and values are added, never taken away."""

from typing import Any

from pydantic import BaseModel

from shared.events import CATALOGUE
from shared.events.partner import PARTNER

Shape = dict[str, Any]

_LIMITS = ("pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems")


def describe() -> Shape:
    """The shape of every event and of every partner's form: each field by its path, with type, enum values and limits."""
    return {
        "events": {
            event.__name__: {"topic": event.topic, "key": event.key_field, "ordered": event.ordered, "fields": fields(event)}
            for event in CATALOGUE.values()
        },
        "partner": {name: {"fields": fields(form)} for name, form in PARTNER.items()},
    }


def fields(model: type[BaseModel]) -> dict[str, Shape]:
    """Every field of a model and of the parts within it, by paths such as `members[].role`."""
    schema = model.model_json_schema()
    found: dict[str, Shape] = {}
    _walk(schema, schema.get("$defs", {}), "", found)
    return found


def _walk(schema: Shape, parts: dict[str, Shape], path: str, found: dict[str, Shape]) -> None:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        _field(field, parts, f"{path}.{name}" if path else name, found, needed=name in required)


def _field(field: Shape, parts: dict[str, Shape], path: str, found: dict[str, Shape], *, needed: bool) -> None:
    options = [_resolved(option, parts) for option in field.get("anyOf", [field])]
    kinds = [option for option in options if option.get("type") != "null"]
    shape: Shape = {"type": "|".join(sorted({_type(kind) for kind in kinds})), "required": needed}
    if len(kinds) < len(options):
        shape["null"] = True
    for kind in kinds:
        shape.update({key: kind[key] for key in ("enum", *_LIMITS) if key in kind})
    found[path] = shape
    for kind in kinds:
        if kind.get("type") == "array":
            _field(kind["items"], parts, f"{path}[]", found, needed=True)
        _walk(kind, parts, path, found)


def _resolved(schema: Shape, parts: dict[str, Shape]) -> Shape:
    return parts[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _type(schema: Shape) -> str:
    return str(schema.get("format") or schema.get("type", "any"))


def breaks(golden: Shape, now: Shape) -> list[str]:
    """Each change from `golden` to `now` that a reader, an old record or a partner would trip over, as a sentence.

    Added types, added fields that aren't required and added enum values are none. Limits of events may not change either way:
    wider ones are refused by readers of the version before, narrower ones by the records that exist.
    """
    found = []
    for kind, types in golden.items():
        for name, before in types.items():
            after = now.get(kind, {}).get(name)
            where = name if kind == "events" else f"partner {name}"
            if after is None:
                found.append(f"{where} is gone")
                continue
            found += [
                f"{where}: {what} was {before[what]}, is {after[what]}"
                for what in ("topic", "key")
                if before.get(what) != after.get(what)
            ]
            found += _field_breaks(where, before["fields"], after["fields"], limits=kind == "events")
    return found


def _field_breaks(where: str, before: dict[str, Shape], after: dict[str, Shape], *, limits: bool) -> list[str]:
    found = [f"{where}.{path} is gone" for path in before if path not in after]
    found += [
        f"{where}.{path} is new and required: give it a default"
        for path, field in after.items()
        if path not in before
        and field["required"]
        and path.rpartition(".")[0].removesuffix("[]") in (*before, "")
        and not path.endswith("[]")
    ]
    for path, old in before.items():
        if (new := after.get(path)) is None:
            continue
        for what in ("type", "null"):
            if old.get(what) != new.get(what):
                found.append(f"{where}.{path}: {what} was {old.get(what, False)}, is {new.get(what, False)}")
        if new["required"] and not old["required"]:
            found.append(f"{where}.{path} has become required")
        if gone := [value for value in old.get("enum", ()) if value not in new.get("enum", ())]:
            found.append(f"{where}.{path} no longer has {', '.join(gone)}")
        if limits:
            found += [
                f"{where}.{path}: {limit} was {old.get(limit)}, is {new.get(limit)}"
                for limit in _LIMITS
                if old.get(limit) != new.get(limit)
            ]
    return found
