"""The best pairs of peers, and the proof that no others are better: a matching in a general graph.

First the same people stand on both sides of a plan of `assign` (the fractional matching: Balinski 1965), whose prices q, a person's own on
both sides together, bound every plan of peers:

    2 · worth of any plan ≤ Σ q,   and   ≤ Σ q - (qᵢ + qⱼ - 2 · worth(i, j))   of any plan with the pair (i, j)

So once some plan is known, pairs whose prices exceed their worth by more than that plan falls short can be in no better one (reduced
cost fixing: Dantzig, Fulkerson & Johnson 1954). Among the few that are left Edmonds' blossom algorithm (1965; rustworkx, which checks its
own optimum) finds the best plan: exact over all pairs. Where more pairs are left than there is time for, the rest of the bound is stated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rustworkx
from numpy.typing import NDArray

from services.matching.domain.assign import Matrix, problem, solve
from services.matching.domain.peer_score import Scores
from services.matching.domain.table import Integers

BLOCK = 512
EXACT, ALL_PAIRS = 1_100, 510_000
"""Up to so many people (a thousand, and nobodies) the blossom algorithm is given all pairs, if it must be: ten seconds."""
MOST_WORK = 200_000_000
"""People × pairs that it is given beyond."""
NEAREST = 8
"""So many pairs of each person to begin with, about."""
NEVER = np.int64(2**60)


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs by number, the lower first, in order; their scores; and by how much a better plan's total could exceed theirs."""

    one: Integers
    other: Integers
    scores: Integers
    gap: int


def best_pairs(scores: Scores, *, pairs_first: bool, say: Callable[[str], None] = lambda _: None) -> Matching:
    """The plan with the highest total score; with `pairs_first`, of those with the most pairs.

    `scores`: (people, people), symmetric, negative where two may not meet. The same scores give the same plan. `gap` is 0 up to a thousand
    people.
    """
    some = np.flatnonzero((scores >= 0).any(axis=1))
    if not len(some):
        return Matching(some, some, some, 0)
    within = scores[np.ix_(some, some)]
    seats = with_nobody(within) if pairs_first else within
    one, other, gap = _best(seats, pairs_first=pairs_first, say=say)
    # Neither nobody nor, where only the score counts, a pair that brings nothing
    real = other < len(some)
    real[real] = pairs_first | (within[one[real], other[real]] > 0)
    one, other = one[real], other[real]
    if gap and pairs_first and gap > int(within.max()) * len(some):
        # Whether more pairs are possible isn't known: whatever they are, their score can't be above what score alone gives
        alone = _prices(within, pairs_first=False)
        gap = int(alone.sum()) // 2 - int(within[one, other].sum())
    return Matching(some[one], some[other], within[one, other].astype(np.int64), gap)


def with_nobody(scores: Scores) -> Scores:
    """For each odd number of people who can only meet among themselves one more to meet, nobody, with score 0: one of them must."""
    label = islands(scores >= 0)
    odd = np.flatnonzero(np.bincount(label) % 2)
    count = len(scores)
    found = np.full((count + len(odd), count + len(odd)), -1, np.int32)
    found[:count, :count] = scores
    for extra, island in enumerate(odd, count):
        found[extra, :count][label == island] = 0
        found[:count, extra][label == island] = 0
    return found


def islands(allowed: NDArray[np.bool_]) -> Integers:
    """Of each person the number of the island they are on: people whom chains of allowed pairs connect. In order of their first."""
    label = np.full(len(allowed), -1, np.int64)
    count = 0
    for first in range(len(allowed)):
        if label[first] >= 0:
            continue
        shore = np.array([first])
        while len(shore):
            label[shore] = count
            shore = np.flatnonzero(allowed[shore].any(axis=0) & (label < 0))
        count += 1
    return label


def _prices(scores: Scores, *, pairs_first: bool) -> Integers:
    """A price for each person: of no allowed pair is the sum below twice its worth. Their sum is twice the bound."""
    pairs, count = Matrix(scores), len(scores)
    places = np.ones(count, np.int64)
    new = np.zeros(count, np.bool_)
    known = problem((places, places), (new, new), "pairs" if pairs_first else "score", pairs.most)
    found = solve(pairs, known)
    mine, theirs = np.maximum(found.prices.mentee, 0), np.maximum(found.prices.mentor, 0)
    # A chosen pair may exceed its prices; with one place each, the place may as well cost so much more
    over = found.scores + known.pair - mine[found.mentees] - theirs[found.mentors]
    mine[found.mentees] += np.maximum(over, 0)
    price = mine + theirs
    for first in range(0, count, BLOCK):
        # Nothing is left to raise where the plan has its proof; and whatever is raised, the bound stays one
        block = scores[first : first + BLOCK]
        lacks = np.where(block < 0, 0, 2 * (block.astype(np.int64) + known.pair) - price[first : first + BLOCK, None] - price)
        price[first : first + BLOCK] += np.maximum(lacks.max(axis=1), 0)
    return price


def _best(scores: Scores, *, pairs_first: bool, say: Callable[[str], None]) -> tuple[Integers, Integers, int]:
    """Pairs, the lower number first, and the gap in worth."""
    count = len(scores)
    one_each = np.ones(count, np.int64)
    beside = problem((one_each, one_each), (one_each > 1, one_each > 1), "pairs", int(scores.max())).pair if pairs_first else 0
    price = _prices(scores, pairs_first=pairs_first)
    budget = ALL_PAIRS if count <= EXACT else max(MOST_WORK // count, NEAREST * count)
    limit, widest = _limits(scores, price, beside, budget)
    while True:
        one, other = _within(scores, price, beside, limit)
        one, other = _blossom(count, one, other, scores[one, other].astype(np.int64) + beside)
        short = int(price.sum()) - 2 * (int(scores[one, other].sum()) + len(one) * beside)
        say(f"{len(one):,} pairs; a better plan could exceed them by {short / 2 / (beside or 1):g}")
        if short <= limit:
            return one, other, 0
        if _count(scores, price, beside, short) <= budget:
            limit = short
        elif limit < widest:
            limit = widest
        else:
            return one, other, short // 2


def _over(scores: Scores, price: Integers, beside: int, first: int) -> Integers:
    """By how much the prices of a block of people and those after them exceed twice their pairs' worth."""
    block = scores[first : first + BLOCK, first:]
    over: Integers = price[first : first + BLOCK, None] + price[first:] - 2 * (block.astype(np.int64) + beside)
    over[block < 0] = NEVER
    over[np.tri(over.shape[0], over.shape[1], dtype=np.bool_)] = NEVER  # each pair once
    return over


def _limits(scores: Scores, price: Integers, beside: int, budget: int) -> tuple[int, int]:
    """Limits that leave about `NEAREST` pairs of each person, and about as many as the budget allows; from every eighth person's pairs."""
    rows = np.arange(0, len(scores), max(1, min(8, len(scores) // 64)))
    over = price[rows, None] + price - 2 * (scores[rows].astype(np.int64) + beside)
    every = np.sort(over[scores[rows] >= 0])
    if not len(every):
        return 0, 0
    near = min(NEAREST * len(rows), len(every) - 1)
    far = min(2 * budget * len(rows) // len(scores), len(every) - 1)
    return max(0, int(every[near])), max(0, int(every[max(near, far)]))


def _count(scores: Scores, price: Integers, beside: int, limit: int) -> int:
    return sum(int(np.count_nonzero(_over(scores, price, beside, first) <= limit)) for first in range(0, len(scores), BLOCK))


def _within(scores: Scores, price: Integers, beside: int, limit: int) -> tuple[Integers, Integers]:
    found = []
    for first in range(0, len(scores), BLOCK):
        rows, columns = np.nonzero(_over(scores, price, beside, first) <= limit)
        found.append((rows + first, columns + first))
    return np.concatenate([rows for rows, _ in found]), np.concatenate([columns for _, columns in found])


def _blossom(count: int, one: Integers, other: Integers, worth: Integers) -> tuple[Integers, Integers]:
    """The best matching among these pairs."""
    graph: rustworkx.PyGraph[None, int] = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from([None] * count)
    graph.add_edges_from(list(zip(one.tolist(), other.tolist(), worth.tolist(), strict=True)))
    found = rustworkx.max_weight_matching(graph, weight_fn=int, verify_optimum=True)
    pairs = np.array(sorted((min(pair), max(pair)) for pair in found), np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
