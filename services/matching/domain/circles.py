"""Circles of peers, and groups around mentors: everyone placed, sizes that differ by one at most, every two members compatible.

What is maximised is the sum of the scores of all pairs that share a circle (a clique partition; NP-hard: Grötschel & Wakabayashi 1989),
so it is searched, not solved: places are changed (`swaps`), then again and again one member of each circle stands up and all of them sit
down where it is best, an assignment solved exactly. The bound comes from a plan in which everyone has as many partners as a circle gives,
whoever they are: the fractional b-matching, by `assign` with its proof. How far the search stays below the bound is said.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from services.matching.domain import swaps
from services.matching.domain.assign import Matrix, problem, solve
from services.matching.domain.peer_score import Scores
from services.matching.domain.peers import islands
from services.matching.domain.table import Integers

STEPS, LEAST_STEPS, MOST_STEPS = 30_000, 200_000, 60_000_000
"""Changes that are tried, for each person; in all."""
HOT, COLD = 0.3, 0.02
"""Temperatures, as shares of the highest score."""
NEAR = 30
"""Beside so many of their best someone tries to sit down."""
ROUNDS, MOST_WORK = 400, 64_000_000
"""In which one of each circle stands up; and circles² × rounds in all, at most."""
BLOCK = 512
PATIENCE = 60
"""So many rounds without any gain are enough."""
SEED = 88_172_645_463_325_252


@dataclass(frozen=True, slots=True)
class Seating:
    """Circles as rising numbers of people, in order; who has none; the sum of all pairs' scores, and what no such plan exceeds."""

    circles: list[list[int]]
    left: list[int]
    score: int
    bound: int


def sizes(people: int, least: int, most: int) -> list[int]:
    """Sizes of circles for so many people, the larger first, that differ by one at most and are as near as can be to the middle of the two.

    Where none lie between `least` and `most`, as with 7 people in fours to sixes, they are larger: nobody is dropped. Empty for fewer
    people than the least.
    """
    if people < least:
        return []
    possible = range(-(-people // most), people // least + 1)
    count = min(possible, key=lambda c: (abs(people / c - (least + most) / 2), c), default=people // least)
    return [people // count + (n < people % count) for n in range(count)]


def seated(scores: Scores, least: int, most: int, say: Callable[[str], None] = lambda _: None) -> Seating:
    """Circles of these people. `scores`: symmetric, negative where two may not share a circle. Same scores, same circles.

    Islands, people who may only meet among themselves, are seated one by one. Who is left could sit nowhere without breaking a rule.
    """
    circles: list[list[int]] = []
    left: list[int] = []
    bound, label = 0, islands(scores >= 0)
    for island in range(int(label.max(initial=-1)) + 1):
        members = np.flatnonzero(label == island)
        within = scores[np.ix_(members, members)]
        found = _island(within, least, most, say)
        circles += [members[circle].tolist() for circle in found]
        placed = {n for circle in found for n in circle}
        left += [int(members[n]) for n in range(len(members)) if n not in placed]
        bound += _bound(within, max([*sizes(len(members), least, most)[:1], *map(len, found)], default=0))
    total = sum(int(scores[np.ix_(circle, circle)][np.triu_indices(len(circle), 1)].sum()) for circle in circles)
    say(f"{len(circles):,} circles, {total / max(bound, 1):.1%} of the bound")
    return Seating(sorted(circles), sorted(left), total, max(bound, total))


def _bound(scores: Scores, size: int) -> int:
    """No plan in which everyone has at most size - 1 partners has a higher total: a fractional b-matching, each pair in both directions."""
    if size < 2:
        return 0
    pairs = Matrix(scores)
    partners = np.full(len(scores), size - 1, np.int64)
    found = solve(pairs, problem((partners, partners), (partners < 0, partners < 0), "score", pairs.most))
    return (found.worth + found.gap) // 2


def _island(scores: Scores, least: int, most: int, say: Callable[[str], None]) -> list[list[int]]:
    wanted = sizes(len(scores), least, most)
    if not wanted:
        return []
    people, size = len(scores), wanted[0]
    say(f"{people:,} people in {len(wanted):,} circles of {size}" + (f" and {wanted[-1]}" if wanted[-1] < size else ""))
    worth = with_empty_seats(scores, len(wanted) * size - people)
    seats = search(worth, len(wanted), size)
    circles = [sorted(int(n) for n in circle if n < people) for circle in seats]
    return mended(scores, circles, least, most)


def with_empty_seats(scores: Scores, empty: int) -> Scores:
    """With nobodies, no two of whom share a circle, and a breach of a rule costing more than any seat is worth."""
    people = len(scores)
    breach = -16 * (int(scores.max(initial=0)) + 1)
    worth = np.zeros((people + empty, people + empty), np.int32)
    worth[:people, :people] = np.where(scores < 0, breach, scores)
    worth[people:, people:] = breach
    np.fill_diagonal(worth, 0)
    return worth


def search(worth: Scores, circles: int, size: int) -> Integers:
    """Seats (circles, size) with a high total. At first everyone sits in order, the first ones in circles of their own."""
    people = len(worth)
    seats = np.arange(people, dtype=np.int64).reshape(size, circles).T.copy()
    if circles == 1:
        return seats
    steps = min(max(STEPS * people, LEAST_STEPS), MOST_STEPS)
    highest = int(worth.max(initial=0)) or 1
    swaps.anneal(worth, seats, _near(worth), steps, HOT * highest, COLD * highest, SEED)
    return _stand_up(worth, seats)


def _near(worth: Scores) -> Integers:
    """Of each person those with whom they fit best, -1 where there are no more."""
    people = len(worth)
    each = min(NEAR, people - 1)
    found = np.empty((people, each), np.int64)
    for first in range(0, people, BLOCK):
        block = worth[first : first + BLOCK].astype(np.int64)
        block[np.arange(len(block)), np.arange(first, first + len(block))] = -(2**40)
        near = np.argsort(-block, axis=1, kind="stable")[:, :each]
        found[first : first + BLOCK] = np.where(np.take_along_axis(block, near, axis=1) < 0, -1, near)
    return found


def _stand_up(worth: Scores, seats: Integers) -> Integers:
    """Round by round one of each circle stands up, and they change places among each other as is best for all."""
    dice = np.random.default_rng(SEED)
    circles, size = seats.shape
    rows = np.arange(circles)
    since = 0
    for _ in range(min(ROUNDS, 1 + MOST_WORK // circles**2)):
        place = dice.integers(0, size, size=(circles,))
        standing = seats[rows, place]
        # Each one's scores with those who sit: all of a circle less the one who stood up
        gains = np.zeros((circles, circles), np.int64)
        for k in range(size):
            sits = place != k
            gains[:, sits] += worth[np.ix_(standing, seats[sits, k])]
        which, where = linear_sum_assignment(gains, maximize=True)
        since = since + 1 if int(gains[which, where].sum()) <= int(np.trace(gains)) else 0
        if since >= PATIENCE:
            break
        if since == 0:
            seats[where, place[where]] = standing[which]
    return seats


def mended(scores: Scores, circles: list[list[int]], least: int, most: int) -> list[list[int]]:
    """Without any breach: who can't stay goes where they fit; a circle that becomes too small is broken up. Those left over are in none."""
    kept: list[list[int]] = []
    loose: list[int] = []
    for circle in circles:
        members = list(circle)
        while True:
            breaks = (scores[np.ix_(members, members)] < 0).sum(axis=1) - 1
            if not members or breaks.max() == 0:
                break
            loose.append(members.pop(int(breaks.argmax())))
        if len(members) >= least:
            kept.append(members)
        else:
            loose += members
    for person in sorted(loose):
        fits = [circle for circle in kept if len(circle) < most and (scores[person, circle] >= 0).all()]
        if fits:
            best = max(fits, key=lambda circle: (int(scores[person, circle].sum()), -circle[0]))
            best.append(person)
            best.sort()
    return kept
