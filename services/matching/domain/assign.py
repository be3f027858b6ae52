"""The best plan for mentees who take one mentor and mentors who take several mentees, and the proof that none is better.

A plan's worth is the sum of its pairs' worths, plus a bonus for each mentor who would otherwise have nobody, where the aim is people.
The proof: a price per mentor. For any prices, no plan is worth more than Σ over mentees of the best (worth − price) they could get,
plus Σ over mentors of the most they could earn (linear-programming duality, Kantorovich 1942, Kuhn 1955). Prices for which this bound
equals our plan's worth are found from the plan itself as the least solution of its difference constraints (Bellman-Ford), in integers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MOST_CELLS = 40_000_000
"""Mentees × places: 320 MB as float64."""
NEVER = np.int64(-(2**62))
EVER = np.int64(2**62)
BLOCK = 1024

Integers = NDArray[np.int64]


class TooLargeError(Exception):
    """More pairs than fit into memory at once."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Who may be paired and what it is worth. `places` are per mentor; every mentee has one."""

    worth: Integers
    """(mentees, mentors), positive; NEVER where the two may not be paired or nothing is gained."""
    places: Integers
    bonus: Integers
    """Per mentor: what their first mentee is worth beside."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Pairs (mentee, mentor) in order, what they are worth, and how much more a better plan could be worth."""

    pairs: list[tuple[int, int]]
    worth: int
    gap: int


def weighed(score: NDArray[np.int32], may: NDArray[np.bool_], places: Integers, new: NDArray[np.bool_], aim: str) -> Problem:
    """The problem for an aim: `score` counts the score alone; `pairs` the number of pairs first; `everyone` the people who get a
    partner first, so that a mentor's first mentee counts double. `new`: mentors who have nobody yet. A sum of numbers of pairs and of
    scores is one integer: a pair counts more than all scores together.
    """
    most = int(min(np.minimum(places, score.shape[0]).sum(), score.shape[0]))
    whole = 0 if aim == "score" else (most + 1) * (int(score.max(initial=0)) + 1)
    worth = np.where(may, score.astype(np.int64) + whole, NEVER)
    worth[worth <= 0] = NEVER
    bonus = np.where(new, whole if aim == "everyone" else 0, 0).astype(np.int64)
    return Problem(worth, np.where((worth > 0).any(axis=0), places, 0), bonus)


def solve(problem: Problem) -> Solution:
    """The best plan, by shortest augmenting paths on mentees × places. Raises TooLargeError."""
    mentees, mentors = problem.worth.shape
    owner = np.repeat(np.arange(mentors), np.minimum(problem.places, mentees))
    rows = np.flatnonzero((problem.worth > 0).any(axis=1))
    if len(rows) * len(owner) > MOST_CELLS:
        raise TooLargeError(f"{len(rows)} mentees × {len(owner)} places are more than {MOST_CELLS} pairs")
    pairs = _assigned(problem, rows, owner)
    worth = int(sum(int(problem.worth[i, j]) for i, j in pairs))
    worth += int(problem.bonus[sorted({j for _, j in pairs})].sum())
    return Solution(pairs, worth, bound(problem, prices(problem, pairs)) - worth)


def _assigned(problem: Problem, rows: NDArray[np.intp], owner: NDArray[np.intp]) -> list[tuple[int, int]]:
    """By scipy's exact rectangular assignment. Worths are integers below 2^53 along any path, so float64 loses nothing.

    The one large array is built as scipy wants it, the shorter side first and costs instead of worths, since it would copy it.
    """
    if not len(rows) or not len(owner):
        return []
    first = np.concatenate([[True], owner[1:] != owner[:-1]])
    bonus = np.where(first, problem.bonus[owner], 0)
    if len(owner) < len(rows):
        cost = np.empty((len(owner), len(rows)))
        for place, mentor in enumerate(owner):
            cost[place] = _costs(problem.worth[rows, mentor], bonus[place])
        places, mentees = linear_sum_assignment(cost)
        found = [(k, i) for k, i in zip(places, mentees, strict=True) if cost[k, i] < 0]
    else:
        cost = np.empty((len(rows), len(owner)))
        for n, mentee in enumerate(rows):
            cost[n] = _costs(problem.worth[mentee, owner], bonus)
        mentees, places = linear_sum_assignment(cost)
        found = [(k, i) for i, k in zip(mentees, places, strict=True) if cost[i, k] < 0]
    return sorted((int(rows[i]), int(owner[k])) for k, i in found)


def _costs(worth: Integers, bonus: Integers) -> Integers:
    """0 where the two may not be paired: the place stays free."""
    costs: Integers = np.where(worth > 0, -worth - bonus, 0)
    return costs


def prices(problem: Problem, pairs: list[tuple[int, int]]) -> Integers:
    """The least prices that this plan, if it is the best, allows.

    A mentor's price rises until no mentee, with or without a mentor, would rather come: p_k ≥ worth_ik for a mentee i who has nobody,
    p_k − p_j ≥ worth_ik − worth_ij for one who has j. It starts from the least that the mentor's own places allow: below nothing only
    where a first mentee brings a bonus.
    """
    worth, mentors = problem.worth, problem.worth.shape[1]
    count = np.bincount([j for _, j in pairs], minlength=mentors)
    floor = np.where(count <= 1, -problem.bonus, 0)
    paired = np.zeros(worth.shape[0], np.bool_)
    paired[[i for i, _ in pairs]] = True
    price: Integers = np.maximum(floor, worth[~paired].max(axis=0, initial=NEVER))
    of: dict[int, list[int]] = {}
    for i, j in pairs:
        of.setdefault(j, []).append(i)
    sources = sorted(of)
    if not sources:
        return price
    rises = np.empty((len(sources), mentors), np.int64)
    for n, j in enumerate(sources):
        theirs = worth[of[j]]
        rises[n] = np.where(theirs > 0, theirs - worth[of[j], j][:, None], NEVER).max(axis=0)
    for _ in range(mentors + 1):
        offered = np.where(rises > NEVER, price[sources][:, None] + rises, NEVER).max(axis=0)
        risen: Integers = np.maximum(price, offered)
        if (risen == price).all():
            break
        price = risen
    return price


def bound(problem: Problem, price: Integers) -> int:
    """What no plan can exceed, by these prices: looked at over every pair, whoever found the prices."""
    total = 0
    for first in range(0, problem.worth.shape[0], BLOCK):
        rows = problem.worth[first : first + BLOCK]
        total += int(np.where(rows > 0, rows - price[None, :], 0).max(axis=1, initial=0).sum())
    places = np.minimum(problem.places, problem.worth.shape[0])
    one = np.where(places > 0, problem.bonus + price, 0)
    full = np.where(places > 0, problem.bonus + price * places, 0)
    return total + int(np.maximum(0, np.maximum(one, full)).sum())
