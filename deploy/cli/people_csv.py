"""Reads people from CSV files (plain or .gz) into what a partner would post, saying precisely what is wrong with a row."""

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from shared.events import Profile
from shared.events.partner import PersonEnrolled, problems

Role = Literal["mentor", "mentee", "peer"]
Data = dict[str, Any]

TEXTS = ("name", "email", "locale", "time_zone", "country", "seniority", "title", "industry", "function", "location", "employment",
         "reports_to")  # fmt: skip
LISTS = ("languages", "skills_have", "goals", "values", "interests", "roles_held", "channels")
"""Joined by `|`."""
NUMBERS = ("years_experience", "hours_per_week", "rank", "preferred_start_hour", "capacity")
IGNORED = ("organization",)
"""Whoever posts it is the organization."""
TITLE_LENGTH = 120
"""A longer title is cut, at a `|` where it is a list: it says what someone does in passing, and nothing hangs on it."""
PROGRAM = "program"
"""Stands in for a program while a row is checked."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with a row: its number as a spreadsheet counts (the header is 1), the column, and what to do."""

    row: int
    column: str
    text: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.text}" if self.column else f"row {self.row}: {self.text}"


class BadCsvError(Exception):
    """A file that can't be read, or has a row that can't; the message names file, row and column, and never a value."""

    def __init__(self, path: Path, what: str, bad: BadRow | None = None) -> None:
        super().__init__(f"{path.name}: {what}")
        self.path, self.bad = path, bad


@dataclass(slots=True)
class People:
    """What a file holds: `people` are the data of PersonEnrolled, without `program`."""

    people: list[Data] = field(default_factory=list)
    events: list[PersonEnrolled] = field(default_factory=list)
    """The same, as the gateway would read them, in a program's place a word of no meaning."""
    ignored: tuple[str, ...] = ()
    """Columns that say nothing to Ithaca."""
    bad: list[BadRow] = field(default_factory=list)
    """Rows that were left out."""
    without_mail: int = 0
    organizations: list[str] = field(default_factory=list)
    """Of each person, where a column says it."""
    said: list[dict[str, tuple[str, ...]]] = field(default_factory=list)
    """What each person says to a policy's own parts, by the part's name."""
    absent: tuple[str, ...] = ()
    """Columns that the mapping names and the file doesn't have."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How to read a file whose columns have other names."""

    names: dict[str, str] = field(default_factory=dict)
    """Our name of each of their columns."""
    ranks: tuple[str, ...] = ()
    """Words in place of ranks, the lowest first."""
    own: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By name of a policy's own part: its column, and what separates its entries."""


PLAIN = Naming()


def read_people(path: Path, role: Role, capacity: int | None = None, *, skip_bad: bool = False, naming: Naming = PLAIN) -> People:
    """Everyone in a file. `capacity`: for rows that don't say their own. Blank fields are left out: the source doesn't say.

    Raises BadCsvError at the first thing that is wrong; with `skip_bad` wrong rows are left out and listed.
    """
    found = People()
    seen: dict[str, int] = {}
    every = rows(path)
    header = next(every, (1, []))[1]
    theirs, columns = _header(path, header, naming, found)
    for number, cells in every:
        if not cells:
            continue
        bad = None
        if len(cells) != len(columns):
            bad = BadRow(number, "", f"{len(cells)} fields where the header has {len(columns)}")
        else:
            row = dict(zip(columns, cells, strict=True))
            data, event, bad = _person(number, row, role, capacity, naming.ranks)
            bad = bad or _twice(number, data, seen)
            if bad is not None and bad.column in columns:
                bad = replace(bad, column=theirs[columns.index(bad.column)])
        if bad is None and event is not None:
            found.people.append(data)
            found.events.append(event)
            found.organizations.append(row.get("organization", "").strip())
            found.said.append(_own(dict(zip(theirs, cells, strict=True)), naming))
            found.without_mail += "email" not in data
        elif bad is not None and skip_bad:
            found.bad.append(bad)
        else:
            raise BadCsvError(path, str(bad), bad)
    return found


def _header(path: Path, header: list[str], naming: Naming, found: People) -> tuple[list[str], list[str]]:
    """Their names of the columns and ours; what is ignored or absent is entered in `found`. Raises BadCsvError."""
    theirs = [name.strip() for name in header]
    columns = [naming.names.get(name, name) for name in theirs]
    known = {"id", "skills", "skills_offered", "skills_wanted", *TEXTS, *LISTS, *NUMBERS} - set(IGNORED)
    if "id" not in columns:
        sought = next((name for name, ours in naming.names.items() if ours == "id"), "id")
        raise BadCsvError(path, f"the header has no column {sought}")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice:
        raise BadCsvError(path, f"the header names the column {twice} twice")
    used = {column for column, _ in naming.own.values()} | set(naming.names)
    found.ignored = tuple(own for name, own in zip(columns, theirs, strict=True) if name not in known and own not in used)
    found.absent = tuple(name for name in naming.names if name not in theirs)
    for column, _ in naming.own.values():
        if column not in theirs:
            close = difflib.get_close_matches(column, theirs, 1)
            hint = f": did the policy mean {close[0]}?" if close else ", which the policy compares"
            raise BadCsvError(path, f"the header has no column {column}{hint}")
    return theirs, columns


def profile_of(data: Data) -> Profile:
    """The profile of someone read from a file; UTC where no time zone was said."""
    return PersonEnrolled.read(data | {"program": PROGRAM}).profile(Profile(time_zone="UTC"))


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells) of each row, the header first. Raises BadCsvError."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise BadCsvError(path, f"row {row}: this isn't UTF-8", BadRow(row, "", "this isn't UTF-8")) from None
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "this is a broken gzip file"
        raise BadCsvError(path, why) from None
    number = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), 1):
            yield number, cells
    except csv.Error as error:
        raise BadCsvError(path, f"row {number + 1}: {error}", BadRow(number + 1, "", str(error))) from None


def _person(
    number: int, row: dict[str, str], role: Role, capacity: int | None, ranks: tuple[str, ...]
) -> tuple[Data, PersonEnrolled | None, BadRow | None]:
    """The data of one row, checked as the gateway would."""
    data: Data = {"person": row["id"].strip(), "role": role}
    if capacity is not None:
        data["capacity"] = capacity
    columns = {"person": "id", "role": "id"}
    for name, cell in row.items():
        text = cell.strip()
        if not text or name in IGNORED:
            continue
        target = ("skills_wanted" if role == "mentee" else "skills_offered") if name == "skills" else name
        columns[target] = name
        if name == "title" and len(text) > TITLE_LENGTH:
            fits = text[: TITLE_LENGTH + 1]
            data[target] = (fits.rpartition("|")[0] or fits[:TITLE_LENGTH]).strip()
        elif name in TEXTS:
            data[target] = text
        elif name in (*LISTS, "skills", "skills_offered", "skills_wanted"):
            data[target] = [part.strip() for part in text.split("|") if part.strip()]
        elif name in NUMBERS:
            try:
                data[target] = _counted(text, ranks if name == "rank" else ())
            except ValueError as error:
                return data, None, BadRow(number, name, str(error))
    try:
        event = PersonEnrolled.read(data | {"program": PROGRAM})
    except ValidationError as error:
        problem = problems(error, PersonEnrolled)[0]
        top = problem.field.partition("[")[0].partition(".")[0]
        return data, None, BadRow(number, columns.get(top, top), problem.text)
    return data, event, None


def _counted(text: str, words: tuple[str, ...]) -> float:
    """The number that a cell says, or that its word stands for."""
    if words and text not in words:
        raise ValueError(f"use one of {', '.join(words)}")
    try:
        value = float(words.index(text) if words else text)
    except ValueError:
        raise ValueError("give a number") from None
    return int(value) if value.is_integer() else value


def _own(row: dict[str, str], naming: Naming) -> dict[str, tuple[str, ...]]:
    """What a row says to a policy's own parts."""
    said = {}
    for name, (column, separator) in naming.own.items():
        entries = tuple(dict.fromkeys(entry.strip() for entry in row[column].split(separator) if entry.strip()))
        if entries:
            said[name] = entries
    return said


def _twice(number: int, data: Data, seen: dict[str, int]) -> BadRow | None:
    first = seen.setdefault(data["person"], number)
    return None if first == number else BadRow(number, "id", f"the same id as row {first}")
