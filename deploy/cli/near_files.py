"""Reads which skills are near each other from a CSV file (plain or .gz), saying precisely what is wrong with a row."""

from collections.abc import Iterator, Sequence
from math import inf, isfinite
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deploy.cli.people_csv import BadCsvError, BadRow, rows
from services.matching.domain.near import Near, by_cosine, near_enough
from shared.events.partner import Slug

TAG: TypeAdapter[str] = TypeAdapter(Slug)

Row = dict[str, str]


def read_skills(path: Path) -> Near:
    """Skills near enough, of how many people have both, with what cosine and lift. Raises BadCsvError."""
    found = []
    seen: dict[frozenset[str], int] = {}
    for number, row in _rows(path, ("skill_a", "skill_b", "people_with_both", "cosine", "lift")):
        one, other = _tag(path, number, row, "skill_a"), _tag(path, number, row, "skill_b")
        first = seen.setdefault(frozenset({one, other}), number)
        if one == other or first != number:
            what = "the same as skill_a" if one == other else f"the same two skills as row {first}"
            raise _bad(path, number, "skill_b", what)
        people = _number(path, number, row, "people_with_both")
        cosine, lift = _number(path, number, row, "cosine", 1.0), _number(path, number, row, "lift")
        if near_enough(int(people), cosine, lift):
            found.append((cosine, one, other))
    return by_cosine(found)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """(row number, cells by column) of each row; other columns may stand beside these. Raises BadCsvError."""
    every = rows(path)
    header = [name.strip() for name in next(every, (1, []))[1]]
    for name in columns:
        if name not in header:
            raise BadCsvError(path, f"the header has no column {name}")
    for number, cells in every:
        if len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        elif cells:
            raise _bad(path, number, "", f"{len(cells)} fields where the header has {len(header)}")


def _bad(path: Path, number: int, column: str, what: str) -> BadCsvError:
    bad = BadRow(number, column, what)
    return BadCsvError(path, str(bad), bad)


def _tag(path: Path, number: int, row: Row, column: str) -> str:
    """A tag in the form in which people's are."""
    try:
        return TAG.validate_python(row[column])
    except ValidationError as error:
        raise _bad(path, number, column, error.errors()[0]["msg"]) from None


def _number(path: Path, number: int, row: Row, column: str, most: float = inf) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = -1.0
    if not (isfinite(value) and 0 <= value <= most):
        raise _bad(path, number, column, "give a number from 0 on" if most == inf else f"give a number from 0 to {most:g}")
    return value
