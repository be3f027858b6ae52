"""The scores of all pairs as a product: what each mentee says (a few entries) × what the mentors say (a row of numbers per thing said).

    score(i, j) = Σ over i's entries e of weight_e · dense[row_e, j]  +  hours(Σ over i's hour entries e of weight_e · free[row_e, j])

Everything is a whole number below 2^24, so that float32 sums are exact in whatever order they are made. A broken rule is one
very negative number. Who may not meet for who they are (oneself, recent partners, own line) is a short list apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.pool import Candidate, Span
from services.matching.domain.rules import Lines, Rule, kept_from, least_minutes, rules
from services.matching.domain.score import ENOUGH_MINUTES, Kind, Scoring, Share
from shared.events import Policy

NEVER = -(2.0**26)
"""What a broken rule adds: more than any score and price make good."""
UNSAID_MINUTES = 2.0**20
"""Of overlap with a mentor who hasn't said when they are free: more than a week has."""
MOST_BYTES = 1_500_000_000

Reals = NDArray[np.float32]
Integers = NDArray[np.int64]
Indices = NDArray[np.int32]


class TooLargeError(Exception):
    """More different statements than fit into memory at once, or more people than an aim can be reached for."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Of each mentee some (row, weight): those of mentee i lie at starts[i] : starts[i + 1]."""

    starts: Integers
    rows: Indices
    weights: Reals

    def of(self, chosen: Integers) -> "Entries":
        """Those of these mentees."""
        lengths = self.starts[chosen + 1] - self.starts[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = np.repeat(self.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
        return Entries(starts, self.rows[flat], self.weights[flat])

    def dense(self, first: int, last: int, width: int) -> Reals:
        """A block of mentees as a matrix (last - first, width)."""
        block = np.zeros((last - first, width), np.float32)
        at = slice(self.starts[first], self.starts[last])
        owner = np.repeat(np.arange(last - first), np.diff(self.starts[first : last + 1]))
        np.add.at(block, (owner, self.rows[at]), self.weights[at])
        return block


@dataclass(frozen=True, slots=True)
class Table:
    """The scores of mentees × mentors; negative where a rule is broken or the score is below the least."""

    entries: Entries
    dense: Reals
    """(rows, mentors)"""
    hours: Entries
    free: Reals
    """(rows, mentors): 1 where the mentor is free in a piece of the week; the last row where they didn't say."""
    least_minutes: int
    minute_points: int
    least: int
    """Of what speaks for a pair by itself."""
    aside: tuple[Reals, Reals]
    """Of each mentee and each mentor the points that are no sign of a fit: for having waited, for having room."""
    apart: NDArray[np.int32]
    """(mentees, most of them): mentors whom the mentee never meets; -1 fills up."""
    lowest: int = 0
    """No score is lower."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.entries.starts) - 1, self.dense.shape[1]

    @property
    def most(self) -> int:
        """No score is higher."""
        highest = self.dense.max(axis=1, initial=0)[self.entries.rows] * self.entries.weights
        sums = np.diff(np.concatenate([[0.0], np.cumsum(highest.astype(np.float64))])[self.entries.starts])
        return int(sums.max(initial=0)) + ENOUGH_MINUTES * self.minute_points

    def of(self, mentees: Integers, mentors: Integers) -> "Table":
        """Only these, in this order."""
        back = np.full(self.shape[1] + 1, -1, np.int32)
        back[mentors] = np.arange(len(mentors))
        all_of_them = np.array_equal(mentors, np.arange(self.shape[1]))  # whose rows are the largest part of it
        dense, free = ((rows if all_of_them else np.take(rows, mentors, axis=1)) for rows in (self.dense, self.free))
        return Table(
            self.entries.of(mentees),
            dense,
            self.hours.of(mentees),
            free,
            self.least_minutes,
            self.minute_points,
            self.least,
            (self.aside[0][mentees], self.aside[1][mentors]),
            back[self.apart[mentees]],
            self.lowest,
        )

    def minutes_of_mentee(self, n: int) -> Reals:
        """Of overlap with each mentor; more than a week has where one of the two didn't say."""
        at = slice(self.hours.starts[n], self.hours.starts[n + 1])
        if at.start == at.stop:
            return np.full(self.shape[1], UNSAID_MINUTES, np.float32)
        found: Reals = self.hours.weights[at] @ self.free[self.hours.rows[at]]
        return found

    def minutes_of_mentor(self, n: int) -> Reals:
        """Of overlap with each mentee, alike."""
        sums = np.concatenate([[0.0], np.cumsum(self.hours.weights.astype(np.float64) * self.free[self.hours.rows, n])])
        found = np.diff(sums[self.hours.starts])
        found[np.diff(self.hours.starts) == 0] = UNSAID_MINUTES
        return found.astype(np.float32)

    def block(self, first: int, last: int) -> NDArray[np.int32]:
        """The scores of some mentees with all mentors, (last - first, mentors); negative where they may not be paired."""
        total = self.entries.dense(first, last, len(self.dense)) @ self.dense
        if len(self.free):
            minutes = self.hours.dense(first, last, len(self.free)) @ self.free
            counts = np.minimum(minutes, ENOUGH_MINUTES) * self.minute_points
            counts[minutes < self.least_minutes] = NEVER
            counts[minutes >= UNSAID_MINUTES] = 0
            counts[np.diff(self.hours.starts[first : last + 1]) == 0] = 0
            total += counts
        mine, theirs = self.aside
        total[(total < self.lowest) | (total < self.least + mine[first:last, None] + theirs)] = -1
        row, place = np.nonzero(self.apart[first:last] >= 0)
        total[row, self.apart[first + row, place]] = -1
        return total.astype(np.int32)


@dataclass(slots=True)
class Rows:
    """A table while it is made: entries of each mentee, and rows of numbers of the mentors."""

    mentees: int
    mentors: int
    entries: list[tuple[Integers, Integers, Reals]] = field(default_factory=list)
    dense: list[Reals] = field(default_factory=list)

    def add(self, owners: Sequence[int], rows: Sequence[int], weights: Sequence[float], dense: Reals) -> None:
        """Entries (owner, row, weight) on new rows."""
        before = sum(map(len, self.dense))
        if 4 * self.mentors * (before + len(dense)) > MOST_BYTES:
            raise TooLargeError(f"{before + len(dense)} different statements of {self.mentors} mentors")
        self.dense.append(dense)
        self.entries.append((np.asarray(owners, np.int64), np.asarray(rows, np.int64) + before, np.asarray(weights, np.float32)))

    def made(self) -> tuple[Entries, Reals]:
        owners = np.concatenate([np.empty(0, np.int64), *(entry[0] for entry in self.entries)])
        order = np.argsort(owners, kind="stable")
        rows = np.concatenate([np.empty(0, np.int64), *(entry[1] for entry in self.entries)])[order].astype(np.int32)
        weights = np.concatenate([np.empty(0, np.float32), *(entry[2] for entry in self.entries)])[order]
        starts = np.searchsorted(owners[order], np.arange(self.mentees + 1)).astype(np.int64)
        dense = np.empty((sum(map(len, self.dense)), self.mentors), np.float32)
        row = len(dense)
        while self.dense:  # one at a time, so that they don't lie in memory twice
            block = self.dense.pop()
            dense[row - len(block) : row] = block
            row -= len(block)
        return Entries(starts, rows, weights), dense


def table(
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    policy: Policy,
    scoring: Scoring,
    lines: Lines,
    free: tuple[Sequence[tuple[Span, ...]], Sequence[tuple[Span, ...]]],
) -> Table:
    """Of these people. `free`: when the mentees and the mentors are. Raises TooLargeError."""
    rows = Rows(len(mentees), len(mentors))
    for part in scoring.parts:
        if isinstance(part, Share):
            _share(rows, part, mentees, mentors)
        else:
            _kinds(rows, part.mentee, part.mentor, part.worth, mentees, mentors)
    for rule in rules(policy):
        _kinds(rows, rule.says, rule.says, lambda one, other, rule=rule: _worth(rule, one, other), mentees, mentors)  # type: ignore[misc]
    hours = Rows(len(mentees), len(mentors))
    if scoring.minute_points or policy.least_overlap_hours > 0:
        _hours(hours, *free)
    place = {mentor.id: column for column, mentor in enumerate(mentors)}
    apart = [[place[i] for i in sorted(kept_from(mentee, policy, lines)) if i in place] for mentee in mentees]
    never = np.full((len(mentees), max(map(len, apart), default=0)), -1, np.int32)
    for row, columns in enumerate(apart):
        never[row, : len(columns)] = columns
    aside = _aside(scoring, mentees, 0), _aside(scoring, mentors, 1)
    return Table(*rows.made(), *hours.made(), least_minutes(policy), scoring.minute_points, scoring.least, aside, never)


def _aside(scoring: Scoring, people: Sequence[Candidate], side: int) -> Reals:
    """Of the people of one side the points of the parts that hang on that side alone."""
    points = np.zeros(len(people), np.float32)
    for part in scoring.parts:
        if isinstance(part, Kind) and scoring.aside.get(part.code) == side:
            points += [part.worth(*((part.mentee(one), True) if side == 0 else (True, part.mentor(one)))) for one in people]
    return points


def _worth(rule: Rule, one: Any, other: Any) -> float:
    return NEVER if one is not None and other is not None and rule.breaks(one, other) else 0.0


def _share(rows: Rows, part: Share, mentees: Sequence[Candidate], mentors: Sequence[Candidate]) -> None:
    """One row per tag that both sides name."""
    wanted = [part.mentee(mentee) for mentee in mentees]
    offered = [part.mentor(mentor) for mentor in mentors]
    common = set().union(*wanted).intersection(set().union(*offered))
    vocabulary = {tag: row for row, tag in enumerate(sorted(common))}
    dense = np.zeros((len(vocabulary), len(mentors)), np.float32)
    at = [(vocabulary[tag], column) for column, tags in enumerate(offered) for tag in tags if tag in vocabulary]
    dense[tuple(np.array(at, np.int64).reshape(-1, 2).T)] = 1
    found = [(i, vocabulary[tag], part.points // len(tags)) for i, tags in enumerate(wanted) for tag in tags if tag in vocabulary]
    rows.add([i for i, _, _ in found], [row for _, row, _ in found], [points for _, _, points in found], dense)


def _kinds(
    rows: Rows,
    says: Callable[[Candidate], Any],
    others_say: Callable[[Candidate], Any],
    worth: Callable[[Any, Any], float],
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
) -> None:
    """One row per different statement of a mentee: what it is worth beside each mentor's."""
    mine, owners = numbered(map(says, mentees))
    theirs, codes = numbered(map(others_say, mentors))
    worths = np.array([[worth(one, other) for other in theirs] for one in mine], np.float32).reshape(len(mine), len(theirs))
    useful = np.flatnonzero(worths.any(axis=1))
    row_of = {int(kind): row for row, kind in enumerate(useful)}
    at = [(i, row_of[kind]) for i, kind in enumerate(owners) if kind in row_of]
    rows.add([i for i, _ in at], [row for _, row in at], [1.0] * len(at), worths[useful][:, codes])


def numbered(values: Any) -> tuple[list[Any], list[int]]:
    """The different values in the order in which they come, and for each the number of its own."""
    known: dict[Any, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values]
    return list(known), codes


def _hours(rows: Rows, these: Sequence[tuple[Span, ...]], those: Sequence[tuple[Span, ...]]) -> None:
    """One row per piece of the week between two moments at which anyone begins or ends to be free, and one for who didn't say."""
    if not any(these) or not any(those):
        return
    cuts = np.array(sorted({point for side in (these, those) for spans in side for span in spans for point in span}))
    dense = np.zeros((len(cuts), len(those)), np.float32)
    ends = np.searchsorted(cuts, np.array([span for spans in those for span in spans], np.int64).reshape(-1, 2)).tolist()
    columns = [column for column, spans in enumerate(those) for _ in spans]
    for (a, b), column in zip(ends, columns, strict=True):
        dense[a:b, column] = 1
    dense[-1] = [not spans for spans in those]
    owners, at, weights = [], [], []
    for row, spans in enumerate(these):
        pieces = [piece for a, b in np.searchsorted(cuts, np.array(spans, np.int64).reshape(-1, 2)) for piece in range(a, b)]
        if spans:
            owners += [row] * (len(pieces) + 1)
            at += [*pieces, len(cuts) - 1]
            weights += [*np.diff(cuts)[pieces].tolist(), UNSAID_MINUTES]
    rows.add(owners, at, weights, dense)
