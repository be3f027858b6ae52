"""The inner loops of `scan`, compiled by numba: sums of a block of pairs, and what is picked out of them.

`score` is a table's (starts, rows, weights, dense), `hours` its (starts, rows, weights, free), `rule` its (least minutes, points of a
minute, least score without what is aside, lowest score, and what is aside of mentees and of mentors), `apart` as it is.
"""
# mypy: disallow-untyped-defs=False

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from services.matching.domain.score import ENOUGH_MINUTES
from services.matching.domain.table import NEVER, UNSAID_MINUTES

TILE = 1024
"""Mentors whose sums lie in the processor's cache meanwhile."""
GROUP = 64
"""Sums that are compared at once before any is looked at."""
FAR = -3.0e7
"""Below every sum that no broken rule is in."""


def compiled(function: Callable[..., Any]) -> Any:
    """By numba, kept on disk where there is a place for it."""
    try:
        return numba.njit(cache=True, nogil=True, fastmath=True)(function)
    except RuntimeError:  # nowhere to write
        return numba.njit(nogil=True, fastmath=True)(function)


@compiled
def _sums(total, starts, rows, weights, dense, i, at, length):
    """Total += Σ weight · dense[row], for mentee i and the mentors at : at + length. Slices keep the inner loops free of index checks."""
    a = starts[i]
    b = starts[i + 1]
    into = total[:length]
    while a + 4 <= b:
        r0 = dense[rows[a], at : at + length]
        r1 = dense[rows[a + 1], at : at + length]
        r2 = dense[rows[a + 2], at : at + length]
        r3 = dense[rows[a + 3], at : at + length]
        w0, w1, w2, w3 = weights[a], weights[a + 1], weights[a + 2], weights[a + 3]
        for j in range(length):
            into[j] += w0 * r0[j] + w1 * r1[j] + w2 * r2[j] + w3 * r3[j]
        a += 4
    while a < b:
        r0 = dense[rows[a], at : at + length]
        w0 = weights[a]
        for j in range(length):
            into[j] += w0 * r0[j]
        a += 1


@compiled
def _left(total, minutes, first, score, hours, rule, i, at, length):
    """Total = first + score(i, at : at + length)."""
    into = total[:length]
    begin = first[at : at + length]
    for j in range(length):
        into[j] = begin[j]
    _sums(total, score[0], score[1], score[2], score[3], i, at, length)
    if hours[0][i + 1] > hours[0][i]:
        both = minutes[:length]
        for j in range(length):
            both[j] = np.float32(0)
        _sums(minutes, hours[0], hours[1], hours[2], hours[3], i, at, length)
        least = np.float32(rule[0])
        points = np.float32(rule[1])
        for j in range(length):
            x = both[j]
            counted = min(x, np.float32(ENOUGH_MINUTES)) * points
            counted = np.float32(NEVER) if x < least else counted
            into[j] += np.float32(0) if x >= np.float32(UNSAID_MINUTES) else counted


@compiled
def _score(score, hours, rule, apart, i, j):
    """Of one pair; -1 where it may not be."""
    for k in range(apart.shape[1]):
        if apart[i, k] == j:
            return np.int64(-1)
    total = np.float64(0)
    for e in range(score[0][i], score[0][i + 1]):
        total += np.float64(score[2][e]) * score[3][score[1][e], j]
    if hours[0][i + 1] > hours[0][i]:
        minutes = np.float64(0)
        for e in range(hours[0][i], hours[0][i + 1]):
            minutes += np.float64(hours[2][e]) * hours[3][hours[1][e], j]
        if minutes < rule[0]:
            return np.int64(-1)
        if minutes < UNSAID_MINUTES:
            total += min(minutes, ENOUGH_MINUTES) * rule[1]
    enough = total >= rule[3] and total - rule[4][i] - rule[5][j] >= rule[2]
    return np.int64(total) if enough else np.int64(-1)


@compiled
def _keep(values, places, value, place):
    """Insert into the highest few, in falling order; of equals the first stays."""
    k = values.size - 1
    while k > 0 and values[k - 1] < value:
        values[k] = values[k - 1]
        places[k] = places[k - 1]
        k -= 1
    values[k] = value
    places[k] = place


@compiled
def _any(total, limit, a, b):
    some = total[a:b]
    hit = 0
    for j in range(b - a):
        hit += some[j] > limit
    return hit > 0


@compiled
def above(score, hours, rule, apart, first, limits, mentee, mentor, beside, lo, hi, each):
    """Of mentees lo : hi the mentors by whom they exceed both prices most, and all that excess.

    `first`, `limits`: the prices as float32, between which a sum must lie to be looked at. `beside`: a pair's worth beside its score.
    """
    values = np.zeros((hi - lo, each), np.int64)
    places = np.full((hi - lo, each), -1, np.int32)
    excess = np.int64(0)
    total, minutes = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    width = first.size
    for at in range(0, width, TILE):
        length = min(TILE, width - at)
        for i in range(lo, hi):
            _left(total, minutes, first, score, hours, rule, i, at, length)
            for a in range(0, length, GROUP):
                b = min(a + GROUP, length)
                if _any(total, limits[i], a, b):
                    for j in range(a, b):
                        if total[j] > limits[i]:
                            own = _score(score, hours, rule, apart, i, at + j)
                            over = own + beside - mentee[i] - mentor[at + j]
                            if own >= 0 and over > 0:
                                excess += over
                                if over > values[i - lo, each - 1]:
                                    _keep(values[i - lo], places[i - lo], over, at + j)
    return places, excess


@compiled
def nearest(score, hours, rule, apart, first, lo, hi, each):
    """Of mentees lo : hi the mentors with the highest score less price, and the highest of these."""
    values = np.full((hi - lo, each), np.float32(FAR))
    places = np.full((hi - lo, each), -1, np.int32)
    total, minutes = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    width = first.size
    for at in range(0, width, TILE):
        length = min(TILE, width - at)
        for i in range(lo, hi):
            mine, theirs = values[i - lo], places[i - lo]
            _left(total, minutes, first, score, hours, rule, i, at, length)
            for a in range(0, length, GROUP):
                b = min(a + GROUP, length)
                if _any(total, mine[each - 1], a, b):
                    for j in range(a, b):
                        if total[j] > mine[each - 1] and _score(score, hours, rule, apart, i, at + j) >= 0:
                            _keep(mine, theirs, total[j], at + j)
    return places, values[:, 0]


@compiled
def mentors_best(score, hours, rule, apart, price, lo, hi, each):
    """Of mentees lo : hi those with the highest score less their price, for each mentor; and these."""
    width = score[3].shape[1]
    values = np.full((width, each), np.float32(FAR))
    places = np.full((width, each), -1, np.int32)
    least = np.full(width, np.float32(FAR))
    nothing = np.zeros(width, np.float32)
    total, minutes = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for at in range(0, width, TILE):
        length = min(TILE, width - at)
        for i in range(lo, hi):
            own = price[i]
            _left(total, minutes, nothing, score, hours, rule, i, at, length)
            for a in range(0, length, GROUP):
                b = min(a + GROUP, length)
                some, limits = total[a:b], least[at + a : at + b]
                hit = 0
                for j in range(b - a):
                    hit += some[j] - own > limits[j]
                if hit:
                    for j in range(a, b):
                        c = at + j
                        if total[j] - own > least[c] and _score(score, hours, rule, apart, i, c) >= 0:
                            _keep(values[c], places[c], total[j] - own, i)
                            least[c] = values[c, each - 1]
    return places, values


@compiled
def listed(score, hours, rule, apart, rows, columns):
    """The scores of these pairs."""
    found = np.empty(rows.size, np.int64)
    for k in range(rows.size):
        found[k] = _score(score, hours, rule, apart, rows[k], columns[k])
    return found


@compiled
def edge(starts, theirs, worth, used, ceiling, price, owner_starts, owners):
    """`assign.edge_prices`, person by person: whoever's price rises makes those who hold it look again. Pairs lie by `mine`."""
    people = ceiling.size
    own = ceiling.copy()
    queue = np.empty(people + 1, np.int64)
    waits = np.ones(people, np.bool_)
    for i in range(people):
        queue[i] = i
    head, count = 0, people
    while count:
        i = queue[head]
        head = (head + 1) % (people + 1)
        count -= 1
        waits[i] = False
        least = ceiling[i]
        for e in range(starts[i], starts[i + 1]):
            if used[e]:
                least = min(least, worth[e] - price[theirs[e]])
        own[i] = least
        for e in range(starts[i], starts[i + 1]):
            j = theirs[e]
            if not used[e] and worth[e] - least > price[j]:
                price[j] = worth[e] - least
                for k in range(owner_starts[j], owner_starts[j + 1]):
                    o = owners[k]
                    if not waits[o]:
                        waits[o] = True
                        queue[(head + count) % (people + 1)] = o
                        count += 1
    return own, price
