"""Reads which skills, and which roles, are near each other from CSV files (plain or .gz), saying precisely what is wrong with a row."""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations, product
from math import inf, isfinite
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deploy.cli.people_csv import BadCsvError, BadRow, rows
from services.matching.domain.near import Near, by_cosine, near_enough
from shared.events.partner import Slug, slug

TIERS = ("Primary-Short", "Primary-Long", "Supplemental")
"""Of related occupations in O*NET: the five nearest, the next five, ten more."""
ADJACENT = TIERS[:1]
"""Of a web developer the first are interface designer, software developer, web administrator, programmer and database administrator; the next
bring search marketing (O*NET 29.2).
"""
TITLES = ("title", "alternate_title", "short_title")

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


def read_roles(path: Path, titles: Path | None, named: Collection[str]) -> Near:
    """Roles, of those named, that are adjacent: of one occupation, or of two of which one lists the other among its nearest.

    `path`: occupations related to each other, as O*NET has them. `titles`: what these are called, where roles aren't named by their codes; a
    title may stand for several. Raises BadCsvError.
    """
    roles: dict[str, set[str]] = {role: {role} for role in named}
    for code, role in _titles(titles) if titles is not None else ():
        if role in roles:
            roles.setdefault(code, set()).add(role)
    found = [(0.0, *two) for some in roles.values() for two in combinations(sorted(some), 2)]
    for rank, code, other in _adjacent(path):
        found += [(rank, *two) for two in product(roles.get(code, ()), roles.get(other, ())) if len(set(two)) > 1]
    return Near.of((one, other) for _, one, other in sorted(found))


def _adjacent(path: Path) -> Iterator[tuple[float, str, str]]:
    """(rank, occupation, related occupation)"""
    seen: dict[tuple[str, str], int] = {}
    for number, row in _rows(path, ("soc", "related_soc", "tier", "rank")):
        one, other = _tag(path, number, row, "soc"), _tag(path, number, row, "related_soc")
        first = seen.setdefault((one, other), number)
        if one == other or first != number:
            raise _bad(path, number, "related_soc", "the same as soc" if one == other else f"the same two as in row {first}")
        rank = _number(path, number, row, "rank")
        if row["tier"] not in TIERS:
            raise _bad(path, number, "tier", f"use one of {', '.join(TIERS)}")
        if row["tier"] in ADJACENT:
            yield rank, one, other


def _titles(path: Path) -> Iterator[tuple[str, str]]:
    """(occupation, a title of it as a tag)"""
    for number, row in _rows(path, ("soc",), TITLES):
        code = _tag(path, number, row, "soc")
        yield from ((code, slug(row[name])) for name in TITLES if row.get(name))


def _rows(path: Path, columns: Sequence[str], some_of: Sequence[str] = ()) -> Iterator[tuple[int, Row]]:
    """(row number, cells by column) of each row; other columns may stand beside these. Raises BadCsvError."""
    every = rows(path)
    header = [name.strip() for name in next(every, (1, []))[1]]
    for name in columns:
        if name not in header:
            raise BadCsvError(path, f"the header has no column {name}")
    if some_of and not set(some_of).intersection(header):
        raise BadCsvError(path, f"the header has none of the columns {', '.join(some_of)}")
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
