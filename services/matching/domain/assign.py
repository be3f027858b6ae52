"""The best plan over all pairs of mentees and mentors, each with so many places, and the proof that none is better.

The plan is a linear program whose corners are whole: a flow from mentees to mentors, each pair once (Ford & Fulkerson 1962). It is solved
by column generation (Ford & Fulkerson 1958, Gilmore & Gomory 1961): the best plan among some of the pairs; the prices of people's
places that this plan implies; a look at every pair for any that would be worth more than its two prices; those join, and so on. No such
pair left, the plan is best of all, and says so:

    worth of any plan ≤ Σ over people of the most their places could earn at these prices + Σ over pairs of max(0, worth - both prices)

(linear programming duality; Kantorovich 1942, Kuhn 1955), which for our plan holds with equality, in whole numbers.

What comes first in an aim (people, or pairs) is worth `Problem.whole`, more than all scores together, so one sum orders both.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.ma  # np.unique loads it at its first call, which is otherwise a hundredth of a second late
from numpy.typing import NDArray
from ortools.graph.python import min_cost_flow

from services.matching.domain.table import Integers, Table

NEVER_PRICE = np.int64(2**60)
"""Of a place that doesn't exist."""
PER_MENTEE, PER_MENTOR = 16, 8
"""Pairs to begin with: of each mentee, and of each mentor whom fewer mentees than that have among theirs."""
JOINING = 6
"""Pairs that join in a round, of each mentee, beside the places themselves."""
FEW_CHEAP, PER_CHEAP = 0.05, 32
"""Where fewer than this share of a side are cheap, so many pairs of each of them join."""
REPAIRED = 0.02
"""Where fewer pairs than this share of the mentees join, the plan is repaired and not made anew."""
WORSE = 0.5
"""A pair this far, as a share of the highest score, below its two prices leaves again. Fixed, since
less and less would not come to an end; and none leaves any more once a round brought a plan worth no more, or the same would come and go."""
SAMPLE = 8
SAMPLED_FROM = 2000
"""From so many people a side on, first prices come from every eighth person's plan."""


class Pairs(Protocol):
    """All pairs, as what can be asked about them. Keys are mentee · mentors + mentor."""

    shape: tuple[int, int]
    most: int
    """No score is higher."""
    compiled: bool
    """Whether two looks at once take less time than one after the other."""

    def nearest(self, price: Integers, each: int) -> Integers:
        """Keys of at most `each` allowed pairs of every mentee, the best at these prices of mentors; or of all pairs, where they are few."""

    def nearest_mentees(self, price: Integers, each: int) -> Integers:
        """Keys of at most `each` allowed pairs of every mentor, the best at these prices of mentees."""

    def above(self, prices: "Prices", each: int) -> tuple[Integers, int]:
        """Keys of at most `each` allowed pairs of every mentee that exceed their prices by most, and the sum of all excess."""

    def scores(self, keys: Integers) -> Integers: ...

    def possible(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which mentees, and which mentors, have any allowed pair."""

    def of(self, mentees: Integers, mentors: Integers) -> "Pairs": ...

    def at_least(self, score: int) -> "Pairs":
        """Without those below this score."""

    def edge_prices(
        self, high: "Side", low: "Side", scores: Integers, pair: int, used: NDArray[np.bool_]
    ) -> tuple[Integers, Integers]: ...

    def best(self, some: "Some", known: "Problem", near: "Prices | None") -> NDArray[np.bool_]:
        """Which pairs the best plan among `some` takes. The one they have is near it, and so are these prices, if there are any."""

    def repaired(self, some: "Some", joined: NDArray[np.bool_], prices: "Prices", known: "Problem") -> NDArray[np.bool_]:
        """Which pairs the best plan among `some` takes, by the best one without those that joined and the prices that prove it."""


Side = tuple[Integers, Integers, Integers]
"""Of one side: for each pair whose it is; for each person places, and what a first partner is worth."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Places of each, and what comes before the score."""

    places: tuple[Integers, Integers]
    """Of mentees and of mentors."""
    first: tuple[Integers, Integers]
    """What someone's first partner is worth beside: 0 or `whole`."""
    pair: int
    """What a pair is worth beside: 0 or `whole`."""
    whole: int


@dataclass(frozen=True, slots=True)
class Some:
    """The pairs that are looked at, in order of mentee and mentor, and which of them a plan takes."""

    rows: Integers
    columns: Integers
    scores: Integers
    used: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a place of each mentee and mentor. With what a pair is worth beside its score."""

    mentee: Integers
    mentor: Integers
    pair: int
    whole: int


@dataclass(frozen=True, slots=True)
class Solution:
    """Pairs in order of mentee and mentor, their scores, what they are worth, and how much more a better plan could be worth."""

    mentees: Integers
    mentors: Integers
    scores: Integers
    worth: int
    gap: int
    rounds: int
    prices: "Prices"

    def of(self, mentees: Integers, mentors: Integers) -> "Solution":
        """The same, by these numbers of mentees and mentors."""
        return replace(self, mentees=mentees[self.mentees], mentors=mentors[self.mentors])


def problem(places: tuple[Integers, Integers], new: tuple[NDArray[np.bool_], NDArray[np.bool_]], aim: str, most: int) -> Problem:
    """For an aim: `score` counts the score alone; `pairs` the pairs first; `everyone` the people who get a partner first.

    `new`: who has nobody yet. `most`: no score is higher.
    """
    places = np.minimum(places[0], len(places[1])), np.minimum(places[1], len(places[0]))
    whole = 0 if aim == "score" else 2 * (int(min(places[0].sum(), places[1].sum())) + 1) * (most + 1)
    firsts = [np.where(side & (own > 0), whole if aim == "everyone" else 0, 0) for side, own in zip(new, places, strict=True)]
    return Problem(places, (firsts[0].astype(np.int64), firsts[1].astype(np.int64)), whole if aim == "pairs" else 0, whole)


def solve(pairs: Pairs, known: Problem, say: Callable[[str], None] = lambda _: None) -> Solution:
    """The best plan. `say` hears how it goes on."""
    mentees, mentors = pairs.shape
    keys = first_pairs(pairs, first_prices(pairs, known.places))
    some = Some(*np.divmod(keys, max(mentors, 1)), pairs.scores(keys), np.zeros(len(keys), np.bool_))
    some = replace(some, used=pairs.best(some, known, None))
    # A chosen pair may exceed its prices, since there is only one of it
    asked = JOINING + int(known.places[0].max(initial=0))
    rounds, rising, last = 1, True, -1
    while True:
        prices = middle_prices(pairs, some, known)
        worth = worth_of(some, known)
        told = f"round {rounds}: {len(keys):,} of {mentees * mentors:,} pairs, {some.used.sum():,} chosen"
        cheap = cheap_people(some, prices, known)
        wanted = np.setdiff1d(of_left(pairs, some, prices, known, cheap), keys, assume_unique=True)
        joining, excess = pairs.above(without(prices, cheap) if len(wanted) else prices, asked)
        if len(wanted):
            say(told)
        else:
            gap = bound(prices, excess, known) - worth
            say(f"{told}, {gap / (known.whole or 1):g} short")
            if gap == 0 or not len(np.setdiff1d(joining, keys, assume_unique=True)):
                kept = some.used & (some.scores + known.whole > 0)
                return Solution(some.rows[kept], some.columns[kept], some.scores[kept], worth, gap, rounds, prices)
        joining = np.setdiff1d(np.union1d(joining, wanted), keys, assume_unique=True)
        rising, last = rising and worth > last, worth
        scores, used = some.scores, some.used
        if rising:
            left = scores + prices.pair - prices.mentee[some.rows] - prices.mentor[some.columns]
            stay = used | (left >= -WORSE * pairs.most)
            keys, scores, used = keys[stay], scores[stay], used[stay]
        at = np.searchsorted(keys, joining)
        joined = np.insert(np.zeros(len(keys), np.bool_), at, True)
        keys, scores = np.insert(keys, at, joining), np.insert(scores, at, pairs.scores(joining))
        some = Some(*np.divmod(keys, max(mentors, 1)), scores, np.insert(used, at, False))
        few = len(joining) <= REPAIRED * mentees
        some = replace(some, used=pairs.repaired(some, joined, prices, known) if few else pairs.best(some, known, prices))
        rounds += 1


def fairest(
    pairs: Pairs,
    places: tuple[Integers, Integers],
    new: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    say: Callable[[str], None] = lambda _: None,
) -> Solution:
    """Most people with a partner; of such plans one whose lowest score is the highest that can be; of these the best.

    The highest lowest score is found by halving: whether as many people find a partner when pairs below it are forbidden, which only
    falls as it rises, is told by certified plans.
    """
    known = problem(places, new, "everyone", pairs.most)
    best = solve(pairs, known, say)
    low, high = int(best.scores.min(initial=pairs.most)), pairs.most
    while low < high:
        middle = (low + high + 1) // 2
        found = solve(pairs.at_least(middle), known)
        if len(found.scores) and found.worth // known.whole == best.worth // known.whole:
            low = int(found.scores.min())
        else:
            high = middle - 1
        say(f"the lowest score is from {low:,} to {high:,}")
    return solve(pairs.at_least(low), known)


def first_prices(pairs: Pairs, places: tuple[Integers, Integers]) -> Integers:
    """Mentors' prices to begin with: what the best plan for every eighth person, by score alone, would give for them; 0 where there are few."""
    mentees, mentors = pairs.shape
    if min(mentees, mentors) < SAMPLED_FROM:
        return np.zeros(mentors, np.int64)
    dice = np.random.default_rng(5)
    some, others = (np.sort(dice.choice(count, count // SAMPLE, replace=False)) for count in (mentees, mentors))
    new = np.zeros(len(some), np.bool_), np.zeros(len(others), np.bool_)
    sample = solve(pairs.of(some, others), problem((places[0][some], places[1][others]), new, "score", pairs.most))
    price = np.zeros(mentors, np.int64)
    beside = pairs.of(some, np.arange(mentors))
    keys = beside.nearest_mentees(sample.prices.mentee, 1)
    rows, columns = np.divmod(keys, mentors)
    np.maximum.at(price, columns, beside.scores(keys) - sample.prices.mentee[rows])
    return price


def first_pairs(pairs: Pairs, price: Integers) -> Integers:
    """Keys of the pairs to begin with, at these prices of mentors: each mentee's best, and the best of mentors whom few have among theirs,
    by what mentees would lose by their best.
    """
    mentees, mentors = pairs.shape
    keys = pairs.nearest(price, PER_MENTEE)
    rows, columns = np.divmod(keys, max(mentors, 1))
    best = np.zeros(mentees, np.int64)
    np.maximum.at(best, rows, pairs.scores(keys) - price[columns])
    seldom = np.flatnonzero(np.bincount(columns, minlength=mentors) < PER_MENTOR)
    more = _among(pairs, np.arange(mentees), seldom, lambda those: those.nearest_mentees(best, PER_MENTOR))
    return np.union1d(keys, more) if len(more) else keys


def cheap_people(some: Some, prices: Prices, known: Problem) -> tuple[Integers, Integers]:
    """Mentees and mentors who are alone, or whose place costs as little as if they were, where these are few of their side. At such prices
    nearly all pairs with them seem to be worth more, and push aside the others that are.
    """
    found = []
    for price, places, who in zip((prices.mentee, prices.mentor), known.places, (some.rows, some.columns), strict=True):
        alone = np.bincount(who[some.used], minlength=len(places)) == 0
        cheap = np.flatnonzero((places > 0) & (alone | (price < -(known.whole // 4))))
        found.append(cheap if len(cheap) <= FEW_CHEAP * len(places) else cheap[:0])
    return found[0], found[1]


def without(prices: Prices, people: tuple[Integers, Integers]) -> Prices:
    """As if these had no places."""
    mentee, mentor = prices.mentee.copy(), prices.mentor.copy()
    mentee[people[0]], mentor[people[1]] = NEVER_PRICE, NEVER_PRICE
    return replace(prices, mentee=mentee, mentor=mentor)


def of_left(pairs: Pairs, some: Some, prices: Prices, known: Problem, cheap: tuple[Integers, Integers]) -> Integers:
    """Keys of the best pairs of people with places left, where there are such on both sides, and of cheap people. Their own prices would call
    for pairs with those whom everybody wants, round after round, before they call for these.
    """
    mentees, mentors = (
        np.flatnonzero(np.bincount(chosen[some.used], minlength=len(places)) < places)
        for chosen, places in zip((some.rows, some.columns), known.places, strict=True)
    )
    found = [np.empty(0, np.int64)]
    if len(mentees) and len(mentors):
        found.append(_among(pairs, mentees, mentors, lambda those: those.nearest(np.zeros(len(mentors), np.int64), PER_MENTEE)))
    everyone, others = (np.arange(side) for side in pairs.shape)
    if len(cheap[0]):
        found.append(_among(pairs, cheap[0], others, lambda those: those.nearest(prices.mentor, PER_CHEAP)))
    if len(cheap[1]):
        found.append(_among(pairs, everyone, cheap[1], lambda those: those.nearest_mentees(prices.mentee, PER_CHEAP)))
    return np.unique(np.concatenate(found))


def _among(pairs: Pairs, mentees: Integers, mentors: Integers, look: Callable[[Pairs], Integers]) -> Integers:
    """The keys that `look` finds among these people, as keys of all."""
    rows, columns = np.divmod(look(pairs.of(mentees, mentors)), max(len(mentors), 1))
    keys: Integers = mentees[rows] * pairs.shape[1] + mentors[columns]
    return keys


def flow(some: Some, known: Problem) -> NDArray[np.bool_]:
    """Which of these pairs the best plan among them takes: a min-cost flow, OR-tools' cost-scaling push-relabel."""
    (mentees, mentors), (firsts, others) = known.places, known.first
    end = len(mentees) + len(mentors)
    nodes = np.arange(end)
    mine, theirs = nodes[: len(mentees)], nodes[len(mentees) :]
    # Free places of a mentee go to the end at once; the last of them costs what a first partner is worth
    tails = [some.rows, mine, mine, theirs, theirs]
    heads = [len(mentees) + some.columns, *[np.full(len(side), end) for side in (mine, mine, theirs, theirs)]]
    room = [np.ones(len(some.rows), np.int64), np.maximum(mentees - 1, 0), np.minimum(mentees, 1)]
    room += [np.minimum(mentors, 1), np.maximum(mentors - 1, 0)]
    # Smaller and fewer different numbers take less time. What comes first stays more than the scores that one simple cycle of the network
    # gives up, at most one pair of each person: so no plan that is best by these numbers has less of it than another
    step = max(int(np.gcd.reduce(some.scores)), 1)
    whole = (min(len(mine), len(theirs)) + 1) * (int(some.scores.max(initial=0)) // step + 1)
    gains = [np.where(gain, whole, 0) for gain in (known.pair, firsts, others)]
    costs = [
        -(some.scores // step) - gains[0],
        np.zeros(len(mine), np.int64),
        gains[1],
        -gains[2],
        np.zeros(len(theirs), np.int64),
    ]
    solver = min_cost_flow.SimpleMinCostFlow()
    solver.add_arcs_with_capacity_and_unit_cost(
        np.concatenate(tails).astype(np.int32),
        np.concatenate(heads).astype(np.int32),
        np.concatenate(room),
        np.concatenate(costs),
    )
    supplies = np.concatenate([mentees, np.zeros(len(mentors), np.int64), [-mentees.sum()]])
    solver.set_nodes_supplies(np.arange(end + 1, dtype=np.int32), supplies)
    status = solver.solve()
    if status != solver.OPTIMAL:
        raise AssertionError(status)
    return np.asarray(solver.flows(np.arange(len(some.rows))) > 0)


def worth_of(some: Some, known: Problem) -> int:
    """Of a plan: its scores, and what comes before them."""
    whole = int(some.scores[some.used].sum()) + int(np.count_nonzero(some.used)) * known.pair
    for first, chosen in zip(known.first, (some.rows, some.columns), strict=True):
        whole += int(first[np.bincount(chosen[some.used], minlength=len(first)) > 0].sum())
    return whole


def bound(prices: Prices, excess: int, known: Problem) -> int:
    """What no plan can exceed, by these prices; `excess`: of all pairs over them."""
    total = excess
    for price, places, first in zip((prices.mentee, prices.mentor), known.places, known.first, strict=True):
        one, full = first + price, first + price * places
        total += int(np.where(places > 0, np.maximum(0, np.maximum(one, full)), 0).sum())
    return total


# ---- prices ------------------------------------------------------------------------------------------------------------


def middle_prices(pairs: Pairs, some: Some, known: Problem) -> Prices:
    """Prices that prove the plan best among these pairs, halfway between those kindest to mentees and those kindest to mentors.

    Halfway, since prices at an edge call for many pairs that the next round's prices don't want. Rounded so that they still prove it:
    mentees' up, mentors' down.
    """
    ours = (some.rows, known.places[0], known.first[0])
    theirs = (some.columns, known.places[1], known.first[1])

    def look(sides: tuple[Side, Side]) -> tuple[Integers, Integers]:
        return pairs.edge_prices(*sides, some.scores, known.pair, some.used)

    with ThreadPoolExecutor() as pool:
        both = (pool.map if pairs.compiled else map)(look, [(theirs, ours), (ours, theirs)])
        (most_theirs, least_mine), (most_mine, least_theirs) = both
    mentee = -(-(most_mine + least_mine) // 2)
    mentor = (most_theirs + least_theirs) // 2
    mentee[known.places[0] == 0] = NEVER_PRICE
    mentor[known.places[1] == 0] = NEVER_PRICE
    return Prices(mentee, mentor, known.pair, known.whole)


def edge_prices(high: Side, low: Side, scores: Integers, pair: int, used: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """The prices that prove the plan with the side `low` as cheap, and so the side `high` as dear, as can be.

    A chosen pair is worth at least its two prices, any other at most. Someone's place is worth nothing if they have places left, a
    first partner aside. The least solution of these difference constraints (Bellman-Ford), prices of `low` rising from their floors.
    """
    mine, theirs, worth = high[0], low[0], scores + pair
    ceiling, price = edges(high, low, used)
    rest = np.flatnonzero(~used)
    order = rest[np.argsort(theirs[rest], kind="stable")]
    starts = np.flatnonzero(np.diff(theirs[order], prepend=-1))
    targets = theirs[order[starts]]
    owners, worths = mine[order], worth[order]
    taken = np.flatnonzero(used)
    while True:
        own = ceiling.copy()
        np.minimum.at(own, mine[taken], worth[taken] - price[theirs[taken]])
        if not len(order):
            return own, price
        offered = np.maximum.reduceat(worths - own[owners], starts)
        if (offered <= price[targets]).all():
            return own, price
        price[targets] = np.maximum(price[targets], offered)


def edges(high: Side, low: Side, used: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """What no price of `high` may exceed, and what none of `low` may be below, whatever the pairs are worth."""
    (mine, places, first), (theirs, others, other_first) = high, low
    count, other_count = np.bincount(mine[used], minlength=len(places)), np.bincount(theirs[used], minlength=len(others))
    return np.where(count == places, NEVER_PRICE, np.where(count == 0, -first, 0)), np.where(other_count <= 1, -other_first, 0)


# ---- all pairs, where they fit into memory -----------------------------------------------------------------------------


class Matrix:
    """All pairs as one matrix of scores, negative where two may not be paired."""

    FEW = 200_000
    """Allowed pairs that are all looked at from the start."""
    BLOCK = 512
    compiled = False

    def __init__(self, score: NDArray[np.int32]) -> None:
        self.score, self.shape = score, (score.shape[0], score.shape[1])
        self.most = max(0, int(score.max(initial=0)))

    @classmethod
    def of_table(cls, table: Table) -> "Matrix":
        score = np.empty(table.shape, np.int32)
        for first in range(0, table.shape[0], cls.BLOCK):
            score[first : first + cls.BLOCK] = table.block(first, min(first + cls.BLOCK, table.shape[0]))
        return cls(score)

    def at_least(self, score: int) -> "Matrix":
        return Matrix(np.where(self.score >= score, self.score, -1))

    def possible(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        allowed = self.score >= 0
        return np.asarray(allowed.any(axis=1)), np.asarray(allowed.any(axis=0))

    def of(self, mentees: Integers, mentors: Integers) -> "Matrix":
        return Matrix(self.score[np.ix_(mentees, mentors)])

    edge_prices = staticmethod(edge_prices)

    def best(self, some: Some, known: Problem, _near: Prices | None) -> NDArray[np.bool_]:
        return flow(some, known)

    def repaired(self, some: Some, _joined: NDArray[np.bool_], _prices: Prices, known: Problem) -> NDArray[np.bool_]:
        return flow(some, known)

    def scores(self, keys: Integers) -> Integers:
        return self.score.reshape(-1)[keys].astype(np.int64)

    def nearest(self, price: Integers, each: int) -> Integers:
        if np.count_nonzero(self.score >= 0) <= self.FEW:
            return np.flatnonzero(self.score >= 0)
        found = [np.empty(0, np.int64)]
        for first in range(0, self.shape[0], self.BLOCK):
            score = self.score[first : first + self.BLOCK]
            rows, columns = _highest(np.where(score >= 0, score - price, -NEVER_PRICE), each)
            found.append((rows + first) * self.shape[1] + columns)
        return np.sort(np.concatenate(found))

    def nearest_mentees(self, price: Integers, each: int) -> Integers:
        found = [np.empty(0, np.int64)]
        for first in range(0, self.shape[1], self.BLOCK):
            score = self.score[:, first : first + self.BLOCK].T
            columns, rows = _highest(np.where(score >= 0, score - price, -NEVER_PRICE), each)
            found.append(rows * self.shape[1] + columns + first)
        return np.sort(np.concatenate(found))

    def above(self, prices: Prices, each: int) -> tuple[Integers, int]:
        found, total = [np.empty(0, np.int64)], 0
        for first in range(0, self.shape[0], self.BLOCK):
            score = self.score[first : first + self.BLOCK]
            own = prices.mentee[first : first + self.BLOCK] - prices.pair
            rows, columns = np.nonzero((score > own[:, None] + prices.mentor) & (score >= 0))
            over = score[rows, columns] - own[rows] - prices.mentor[columns]
            total += int(over.sum())
            # Each mentee's best, of equals the first; `rows` are in order
            order = np.lexsort((-over, rows))
            begins = np.searchsorted(rows, rows)
            kept = order[np.arange(len(rows)) - begins < each]
            found.append((rows[kept] + first) * self.shape[1] + columns[kept])
        return np.sort(np.concatenate(found)), total


def _highest(left: Integers, each: int) -> tuple[Integers, Integers]:
    """Row and column of the highest few of each row that are not at the very bottom."""
    if left.shape[1] > each:
        columns = np.argpartition(left, -each, axis=1)[:, -each:]
    else:
        columns = np.broadcast_to(np.arange(left.shape[1]), left.shape)
    rows = np.repeat(np.arange(len(left)), columns.shape[1])
    good = left[rows, columns.reshape(-1)] > -NEVER_PRICE // 2
    return rows[good], columns.reshape(-1)[good].astype(np.int64)
