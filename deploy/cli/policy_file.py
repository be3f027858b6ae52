"""Reads a program's policy from a TOML or JSON file: what an event carries of it, and what only files need."""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Never, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from services.matching.domain.score import Scoring, Shared, Step, own_scoring
from shared.events import Policy
from shared.events.base import GATE
from shared.events.partner import PolicyOverrides, Terms, Weights

COLUMNS = ("id", "organization", "skills", "skills_offered", "skills_wanted", "skills_have", "languages", "goals", "values", "interests",
           "roles_held", "country", "time_zone", "industry", "function", "location", "reports_to", "years_experience", "rank",
           "capacity", "title", "name", "email")  # fmt: skip
"""What a file's columns may stand for."""
MOST_POINTS = 1_000
Text = Annotated[str, Field(min_length=1, max_length=120)]
Points = Annotated[float, Field(ge=0, le=MOST_POINTS)]


class _InFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OwnPart(_InFile):
    """A part of a score in a policy's own points: by `steps` of rank, or `points` times the share of the mentee's entries that the mentor has."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    points: Annotated[float, Field(gt=0, le=MOST_POINTS)] | None = None
    mentee: Text | None = None
    """The mentees' column, and the mentors'."""
    mentor: Text | None = None
    separator: Annotated[str, Field(min_length=1, max_length=5)] = "|"
    steps: dict[Annotated[int, Field(ge=-20, le=20)], Points] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if bool(self.steps) == (self.points is not None):
            raise PydanticCustomError("part", "give either steps, or points with a mentee's and a mentor's column")
        if self.points is not None and not (self.mentee and self.mentor):
            raise PydanticCustomError("part", "points need the columns to compare: mentee and mentor")
        return self


class Columns(_InFile):
    """What Ithaca calls a column = what the files call it."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, Text]


class Order(_InFile):
    """Words in place of numbers, the lowest first."""

    rank: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)] = ()


class Related(_InFile):
    """Files that say what is near each other; a relative path begins at the policy's own folder."""

    skills: Text | None = None
    """In place of what the people's own statements would tell."""
    roles: Text | None = None
    titles: Text | None = None
    """What the roles are called that the file of `roles` has by codes."""

    @model_validator(mode="after")
    def _titles_are_of_roles(self) -> Self:
        if self.titles and not self.roles:
            raise PydanticCustomError("related", "titles name the codes of a file of roles: name that, too")
        return self


class PolicyFile(PolicyOverrides):
    """A policy, and how to read the people's files."""

    wishes: Annotated[int, Field(ge=1, le=100)] = 1
    """Mentors of a mentee, where the file has no column `capacity`."""
    columns: Columns = Columns()
    order: Order = Order()
    parts: tuple[OwnPart, ...] = ()
    """In place of the weights."""
    related: Related = Related()

    @model_validator(mode="after")
    def _own_parts_have_nothing_near(self) -> Self:
        if self.parts and self.related.model_fields_set:
            raise PydanticCustomError("related", "parts of the policy's own compare what is the same: leave related out")
        return self

    @field_validator("personal_rules")
    @classmethod
    def _nobody_speaks_for_others(cls, _: object) -> Never:
        raise PydanticCustomError("personal_rules", "leave this out: what people say here is theirs alone, and stands in no file")

    def policy(self) -> Policy:
        """What an event would carry. Raises ValidationError where the parts don't go together."""
        own = {"wishes", "columns", "order", "parts", "related"}
        return PolicyOverrides.model_validate(self.model_dump(exclude_unset=True, exclude=own)).applied_to(Policy())

    def scoring(self) -> Scoring | None:
        """Of its own parts, if it has any. `least_score` counts in their points, and is 0 where it isn't said."""
        if not self.parts:
            return None
        least = self.least_score if "least_score" in self.model_fields_set else 0.0
        return own_scoring(
            [Shared(p.name, p.points) if p.points is not None else Step(p.name, p.steps) for p in self.parts], least
        )

    def names(self) -> dict[str, str]:
        """Our name of each of their columns."""
        return {theirs: ours for ours, theirs in (self.columns.__pydantic_extra__ or {}).items()}

    def own_columns(self, role: str) -> dict[str, tuple[str, str]]:
        """By name of a part of its own: the column in the files of this role, and what separates its entries."""
        return {p.name: (column, p.separator) for p in self.parts if (column := p.mentor if role == "mentor" else p.mentee)}


class BadPolicyError(Exception):
    """A policy that can't be; the message names the file, the key and what is allowed."""


NESTED: Mapping[str, type[BaseModel]] = {
    "weights": Weights,
    "agreement": Terms,
    "parts": OwnPart,
    "order": Order,
    "related": Related,
}
SAY = {
    "greater_than_equal": "give a number from {ge} on",
    "greater_than": "give a number above {gt}",
    "less_than_equal": "give a number up to {le}",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "bool_parsing": "give true or false",
    "bool_type": "give true or false",
    "string_type": "give a text in quotes",
    "tuple_type": "give a list",
    "dict_type": "give a table",
    "model_type": "give a table",
    "model_attributes_type": "give a table",
}


def read_policy(path: Path) -> PolicyFile:
    """The policy in a file, TOML or, where its name ends so, JSON. Raises BadPolicyError."""
    try:
        text = path.read_text("utf-8-sig")
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise BadPolicyError(f"{path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadPolicyError(f"{path.name}: this isn't UTF-8") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise BadPolicyError(f"{path.name}: {error}") from None
    if not isinstance(data, dict):
        raise BadPolicyError(f"{path.name}: give a table of keys and values")
    _check_columns(path, data)
    try:
        policy = PolicyFile.model_validate(data, context=GATE)
        policy.policy()
    except ValidationError as error:
        raise BadPolicyError("\n".join(f"{path.name}: {_problem(dict(each))}" for each in error.errors())) from None
    return policy


def _check_columns(path: Path, data: dict[str, Any]) -> None:
    names = data.get("columns")
    if not isinstance(names, dict):
        return
    for name in names:
        if name not in COLUMNS:
            raise BadPolicyError(f"{path.name}: columns.{name}: {_unknown(name, COLUMNS)}")
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        raise BadPolicyError(f"{path.name}: columns: {twice[0]} can't stand for two things")


def _problem(error: dict[str, Any]) -> str:
    where, code = error["loc"], error["type"]
    key = ".".join(str(step) for step in where if step != "[key]")
    if code == "extra_forbidden":
        owner: type[BaseModel] = NESTED.get(str(where[0]), PolicyFile) if len(where) > 1 else PolicyFile
        return f"{key}: {_unknown(str(where[-1]), tuple(owner.model_fields))}"
    say = SAY.get(code)
    limits = {name: f"{limit:g}" for name, limit in error.get("ctx", {}).items() if isinstance(limit, int | float)}
    said = say.format_map(limits) if say else error["msg"]
    return f"{key}: {said}" if key else said


def _unknown(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name[:60], known, 1)
    return f"unknown: did you mean {close[0]}?" if close else f"unknown; there are {', '.join(known)}"
