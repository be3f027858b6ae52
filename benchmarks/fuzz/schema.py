"""Values that a JSON Schema allows, so that new events are covered without a line here."""

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def of_schema(schema: dict[str, Any], parts: dict[str, Any], text: st.SearchStrategy[str] = TEXT) -> st.SearchStrategy[Any]:
    """`text` stands where the schema allows any text."""
    if "$ref" in schema:
        return of_schema(parts[schema["$ref"].rpartition("/")[2]], parts, text)
    if "anyOf" in schema:
        return st.one_of(*(of_schema(option, parts, text) for option in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("format") or schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", -(10**9)), schema.get("maximum", 10**9))
        case "number":
            return st.floats(schema.get("minimum", -1e6), schema.get("maximum", 1e6), allow_nan=False)
        case "uuid":
            return st.uuids().map(str)
        case "date":
            return st.dates().map(str)
        case "date-time":
            zones = st.timezones() | st.just(UTC)
            first, last = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001
            return st.datetimes(first, last, timezones=zones).map(lambda t: t.isoformat()[:19] + t.isoformat()[-6:])
        case "string" if "pattern" in schema:
            pattern = re.compile(schema["pattern"].removeprefix("^").removesuffix("$"))
            texts = st.from_regex(pattern, fullmatch=True, alphabet=st.characters(max_codepoint=126))
            return texts.filter(lambda text: len(text) <= schema.get("maxLength", 200))
        case "string":
            return text
        case "array":
            return st.lists(of_schema(schema["items"], parts, text), min_size=schema.get("minItems", 0), max_size=3)
        case "object":
            needed = schema.get("required", ())
            known = {name: of_schema(field, parts, text) for name, field in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: value for name, value in known.items() if name in needed},
                optional={name: value for name, value in known.items() if name not in needed},
            )
    raise NotImplementedError(schema)
