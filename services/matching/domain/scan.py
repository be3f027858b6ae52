"""All pairs of a table that is too large for a matrix: looked at anew whenever something is asked, by compiled code on every core.

float32 sums of whole numbers below 2^24 are exact, so a block of pairs is added up and compared at the speed of the machine; what seems
to qualify, few pairs, is then reckoned in 64-bit integers. Blocks are the same whatever the number of cores, and so are the answers.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.matching.domain import auction, kernels
from services.matching.domain.assign import NEVER_PRICE, Prices, Problem, Side, Some, edges
from services.matching.domain.table import NEVER, Indices, Integers, Reals, Table

BLOCK = 2048
"""Mentees that are looked at together by one thread."""
GONE = np.float32(4 * NEVER)
"""Of a place that doesn't exist, in place of its price."""
ALL = np.float32(1e30)
"""Above all sums; compiled code knows no infinity."""
FEW_BLOCKS = 8
"""Where mentors' best are sought, which each block does from nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look at all pairs above their prices came to."""

    first: Reals
    """What was subtracted from sums."""
    slack: np.float32
    """For the rounding of these sums, and of those before."""
    highest: Reals
    """Of each mentee's sums with the next so many mentors; or more."""


class Scan:
    """The pairs of a table, for `assign.solve`."""

    compiled = True

    def __init__(self, table: Table) -> None:
        self.table, self.shape, self.most = table, table.shape, table.most
        score, hours = table.entries, table.hours
        self.arrays = (
            (score.starts, score.rows, score.weights, table.dense),
            (hours.starts, hours.rows, hours.weights, table.free),
            (float(table.least_minutes), float(table.minute_points), float(table.least), float(table.lowest), *table.aside),
            table.apart,
        )
        self.tops = tops(table.dense)
        self.seen: Seen | None = None

    def of(self, mentees: Integers, mentors: Integers) -> "Scan":
        return Scan(self.table.of(mentees, mentors))

    def at_least(self, score: int) -> "Scan":
        return Scan(replace(self.table, lowest=score))

    def possible(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        mentees, mentors = (np.zeros(count, np.bool_) for count in self.shape)
        mentees[self.nearest(np.zeros(self.shape[1], np.int64), 1) // max(self.shape[1], 1)] = True
        mentors[self.nearest_mentees(np.zeros(self.shape[0], np.int64), 1) % max(self.shape[1], 1)] = True
        return mentees, mentors

    def scores(self, keys: Integers) -> Integers:
        found: Integers = kernels.listed(*self.arrays, *np.divmod(keys, max(self.shape[1], 1)))
        return found

    def nearest(self, price: Integers, each: int) -> Integers:
        first = -price.astype(np.float32)
        begin = tops(first)
        return self._keys(self._each_block(lambda lo, hi: kernels.nearest(*self.arrays, self.tops, first, begin, lo, hi, each)))

    def nearest_mentees(self, price: Integers, each: int) -> Integers:
        return np.sort(self._mentors_best(price.astype(np.float32), each))

    def above(self, prices: Prices, each: int) -> tuple[Integers, int]:
        first, limits, slack = self._shortened(prices)
        if self.seen is None:
            score, hours, rule, _ = self.arrays
            bounds = self._each_block(lambda lo, hi: kernels.bounds(score, hours, rule, self.tops, lo, hi))
            highest = np.vstack([np.empty((0, self.tops.shape[1]), np.float32), *bounds])
            self.seen = Seen(np.zeros(self.shape[1], np.float32), np.float32(0), highest)
        risen = first - self.seen.first
        # Beside a place that doesn't exist sums are coarse: with one that is there again all near it are looked at anew
        risen[(self.seen.first == GONE) & (first != GONE)] = ALL
        slack, highest = max(slack, self.seen.slack), self.seen.highest
        rise = tops(risen) + slack
        whose = prices.mentee, prices.mentor, prices.pair
        found = self._each_block(lambda lo, hi: kernels.above(*self.arrays, first, limits, *whose, highest, rise, lo, hi, each))
        self.seen = Seen(first, slack, highest)
        return self._keys([places for places, _ in found]), sum(int(excess) for _, excess in found)

    best = staticmethod(auction.best)

    def edge_prices(
        self, high: Side, low: Side, scores: Integers, pair: int, used: NDArray[np.bool_]
    ) -> tuple[Integers, Integers]:
        """As `assign.edge_prices`; the least solution is one, so both give the same."""
        (mine, places, _), (theirs, others, _) = high, low
        ceiling, price = edges(high, low, used)
        starts, order = kernels.ordered(mine, len(places))
        lying = theirs[order].astype(np.int32), scores[order].astype(np.int32), pair, used[order]
        taken = np.flatnonzero(used)
        owner_starts, holders = kernels.ordered(theirs[taken], len(others))
        own, risen = kernels.edge(starts, *lying, ceiling, price, owner_starts, mine[taken[holders]])
        return own, risen

    def repaired(self, some: Some, joined: NDArray[np.bool_], prices: Prices, known: Problem) -> NDArray[np.bool_]:
        used, (mentees, mentors) = some.used.copy(), known.places
        counts = [
            np.bincount(who[used], minlength=len(own)) for own, who in zip(known.places, (some.rows, some.columns), strict=True)
        ]
        # Whom each mentor has, in as many slots as they have places
        taken = np.flatnonzero(used)[np.argsort(some.columns[used], kind="stable")]
        slots = np.concatenate([[0], np.cumsum(mentors)])
        holders = np.full(slots[-1], -1, np.int64)
        first = np.concatenate([[0], np.cumsum(counts[1])])
        holders[np.arange(len(taken)) + (slots - first)[some.columns[taken]]] = taken
        kernels.repair(
            np.searchsorted(some.rows, np.arange(len(mentees) + 1)), some.rows, some.columns, some.scores + known.pair, ~joined, used,
            (mentees, known.first[0], counts[0]), (mentors, known.first[1], counts[1]),
            prices.mentee.copy(), prices.mentor.copy(), slots, holders,
        )  # fmt: skip
        return used

    def _shortened(self, prices: Prices) -> tuple[Reals, Reals, np.float32]:
        """What is subtracted from sums, and what they must exceed, as float32: prices with half of `whole` replaced by a number just larger
        than all that is left. That keeps every sum's sign, and with a hair's breadth for rounding loses no pair. And that breadth.
        """
        half = prices.whole // 2
        gone = prices.mentee == NEVER_PRICE, prices.mentor == NEVER_PRICE
        sides = [np.where(none, 0, side) for none, side in zip(gone, (prices.mentee, prices.mentor), strict=True)]
        halves = [(2 * side + half) // (2 * half) if half else np.zeros_like(side) for side in sides]
        rest = [side - times * half for side, times in zip(sides, halves, strict=True)]
        reach = sum(int(np.abs(side).max(initial=0)) for side in rest) + self.most
        step = 1 << reach.bit_length()
        largest = reach + step * (2 + sum(int(np.abs(side).max(initial=0)) for side in halves)) if half else reach
        slack = 0.0 if largest < 2**24 else largest * 2.0**-21
        beside = step * (prices.pair // half) if half else 0
        first = -(rest[1] + step * halves[1]).astype(np.float32)
        limits = (rest[0] + step * halves[0] - beside).astype(np.float32) - np.float32(slack)
        first[gone[1]] = GONE
        limits[gone[0]] = -GONE
        return first, limits, np.float32(slack)

    def _mentors_best(self, price: Reals, each: int) -> Integers:
        """The best of each block of mentees, then the best of these: of equals the first."""
        few = max(BLOCK, -(-self.shape[0] // FEW_BLOCKS))
        found = self._each_block(lambda lo, hi: kernels.mentors_best(*self.arrays, self.tops, price, lo, hi, each), few)
        if not found:
            return np.empty(0, np.int64)
        places, values = found[0]
        for more, theirs in found[1:]:
            places, values = np.hstack([places, more]), np.hstack([values, theirs])
            order = np.argsort(-values, axis=1, kind="stable")[:, :each]
            places, values = np.take_along_axis(places, order, 1), np.take_along_axis(values, order, 1)
        columns, which = np.nonzero(places >= 0)
        keys: Integers = places[columns, which].astype(np.int64) * self.shape[1] + columns
        return keys

    def _keys(self, blocks: Sequence[Indices]) -> Integers:
        """Of the mentors found for the mentees of each block."""
        places = np.vstack(blocks) if blocks else np.empty((0, 1), np.int32)
        rows, which = np.nonzero(places >= 0)
        return np.sort(rows * self.shape[1] + places[rows, which])

    def _each_block(self, look: Callable[[int, int], Any], size: int = BLOCK) -> list[Any]:
        blocks = [(lo, min(lo + size, self.shape[0])) for lo in range(0, self.shape[0], size)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda block: look(*block), blocks))


def tops(numbers: Reals) -> Reals:
    """The highest of every `NEAR` mentors, who lie along the last axis."""
    found: Reals = np.maximum.reduceat(numbers, np.arange(0, numbers.shape[-1], kernels.NEAR), axis=-1)
    return found
