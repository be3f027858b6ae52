"""All pairs of a table that is too large for a matrix: looked at anew whenever something is asked, by compiled code on every core.

float32 sums of whole numbers below 2^24 are exact, so a block of pairs is added up and compared at the speed of the machine; what seems
to qualify, few pairs, is then reckoned in 64-bit integers. Blocks are the same whatever the number of cores, and so are the answers.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.matching.domain import kernels
from services.matching.domain.assign import NEVER_PRICE, Prices, Side
from services.matching.domain.table import NEVER, Indices, Integers, Reals, Table

BLOCK = 2048
"""Mentees that are looked at together by one thread."""


class Scan:
    """The pairs of a table, for `assign.solve`."""

    def __init__(self, table: Table) -> None:
        self.table, self.shape, self.most = table, table.shape, table.most
        score, hours = table.entries, table.hours
        self.arrays = (
            (score.starts, score.rows, score.weights, table.dense),
            (hours.starts, hours.rows, hours.weights, table.free),
            (float(table.least_minutes), float(table.minute_points), float(table.least), float(table.lowest), *table.aside),
            table.apart,
        )

    def of(self, mentees: Integers, mentors: Integers) -> "Scan":
        return Scan(self.table.of(mentees, mentors))

    def at_least(self, score: int) -> "Scan":
        return Scan(replace(self.table, lowest=score))

    def possible(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        nothing = np.zeros(self.shape[1], np.float32)
        found = self._each_block(lambda lo, hi: kernels.nearest(*self.arrays, nothing, lo, hi, 1))
        mentees = np.concatenate([np.empty(0, np.bool_), *((places >= 0).any(axis=1) for places, _ in found)])
        mentors = np.zeros(self.shape[1], np.bool_)
        mentors[self._mentors_best(np.zeros(self.shape[0], np.float32), 1) % max(self.shape[1], 1)] = True
        return mentees, mentors

    def scores(self, keys: Integers) -> Integers:
        found: Integers = kernels.listed(*self.arrays, *np.divmod(keys, max(self.shape[1], 1)))
        return found

    def nearest(self, price: Integers, per_mentee: int, per_mentor: int) -> Integers:
        first = -price.astype(np.float32)
        found = self._each_block(lambda lo, hi: kernels.nearest(*self.arrays, first, lo, hi, per_mentee))
        best = np.maximum(np.concatenate([values for _, values in found]), 0)
        keys = [self._keys(places, n * BLOCK) for n, (places, _) in enumerate(found)]
        return np.unique(np.concatenate([*keys, self._mentors_best(best, per_mentor)]))

    def nearest_mentees(self, price: Integers) -> Integers:
        return self._mentors_best(price.astype(np.float32), 1)

    def above(self, prices: Prices, each: int) -> tuple[Integers, int]:
        first, limits = self._shortened(prices)
        found = self._each_block(
            lambda lo, hi: kernels.above(*self.arrays, first, limits, prices.mentee, prices.mentor, prices.pair, lo, hi, each)
        )
        keys = [self._keys(places, n * BLOCK) for n, (places, _) in enumerate(found)]
        return np.sort(np.concatenate([np.empty(0, np.int64), *keys])), sum(int(excess) for _, excess in found)

    def edge_prices(self, high: Side, low: Side, worth: Integers, used: NDArray[np.bool_]) -> tuple[Integers, Integers]:
        """As `assign.edge_prices`; the least solution is one, so both give the same."""
        (mine, places, first), (theirs, others, other_first) = high, low
        count = np.bincount(mine[used], minlength=len(places))
        other_count = np.bincount(theirs[used], minlength=len(others))
        ceiling = np.where(count == places, NEVER_PRICE, np.where(count == 0, -first, 0))
        price = np.where(other_count <= 1, -other_first, 0)
        order = np.argsort(mine, kind="stable")
        starts = np.searchsorted(mine[order], np.arange(len(places) + 1))
        taken = np.flatnonzero(used)
        holders = taken[np.argsort(theirs[taken], kind="stable")]
        owner_starts = np.searchsorted(theirs[holders], np.arange(len(others) + 1))
        own, risen = kernels.edge(starts, theirs[order], worth[order], used[order], ceiling, price, owner_starts, mine[holders])
        return own, risen

    def _shortened(self, prices: Prices) -> tuple[Reals, Reals]:
        """What is subtracted from sums, and what they must exceed, as float32: prices with half of `whole` replaced by a number just larger
        than all that is left. That keeps every sum's sign, and with a hair's breadth for rounding loses no pair.
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
        first[gone[1]] = 4 * NEVER
        limits[gone[0]] = -4 * NEVER
        return first, limits

    def _mentors_best(self, price: Reals, each: int) -> Integers:
        """The best of each block of mentees, then the best of these: of equals the first."""
        found = self._each_block(lambda lo, hi: kernels.mentors_best(*self.arrays, price, lo, hi, each))
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

    def _keys(self, places: Indices, first: int) -> Integers:
        rows, which = np.nonzero(places >= 0)
        keys: Integers = (rows + first) * self.shape[1] + places[rows, which]
        return keys

    def _each_block(self, look: Callable[[int, int], Any]) -> list[Any]:
        blocks = [(lo, min(lo + BLOCK, self.shape[0])) for lo in range(0, self.shape[0], BLOCK)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda block: look(*block), blocks))
