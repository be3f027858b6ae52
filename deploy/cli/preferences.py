"""Reads who ranks whom from a JSON file."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Preferences(BaseModel):
    """Lists are best first. A hospital without a capacity has one place."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    residents: dict[str, list[str]]
    hospitals: dict[str, list[str]]
    capacities: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class BadPreferencesError(Exception):
    """A file that can't be used; the message names the file, the list and what is wrong."""


def read_preferences(path: Path) -> Preferences:
    """From a file. Raises BadPreferencesError."""
    try:
        found = Preferences.model_validate(json.loads(path.read_text("utf-8-sig")))
    except OSError as error:
        raise BadPreferencesError(f"{path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadPreferencesError(f"{path.name}: this isn't UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadPreferencesError(f"{path.name}: {error}") from None
    except ValidationError as error:
        each = error.errors()[0]
        where = ".".join(map(str, each["loc"]))
        raise BadPreferencesError(f"{path.name}: {where + ': ' if where else ''}{each['msg']}") from None
    for kind, lists, others in (("residents", found.residents, found.hospitals), ("hospitals", found.hospitals, found.residents)):
        for name, ranked in lists.items():
            twice = next((one for one in ranked if ranked.count(one) > 1), None) if len(set(ranked)) < len(ranked) else None
            unknown = next((one for one in ranked if one not in others), None)
            if twice is not None:
                raise BadPreferencesError(f"{path.name}: {kind}.{name}: {twice} is named twice")
            if unknown is not None:
                raise BadPreferencesError(f"{path.name}: {kind}.{name}: nobody is called {unknown}")
    unknown = next((name for name in found.capacities if name not in found.hospitals), None)
    if unknown is not None:
        raise BadPreferencesError(f"{path.name}: capacities.{unknown}: there is no such hospital")
    return found
