"""The inner loops of `scan`, compiled by numba: sums of a block of pairs, and what is picked out of them.

`score` is a table's (starts, rows, weights, dense), `hours` its (starts, rows, weights, free), `rule` its (least minutes, points of a
minute, least score without what is aside, lowest score, and what is aside of mentees and of mentors), `apart` as it is. `tops`: of each row
of `dense` the highest of every `NEAR` mentors; no weight is negative, so their sum is above all sums with these mentors.
"""
# mypy: disallow-untyped-defs=False

import heapq
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from services.matching.domain.score import ENOUGH_MINUTES
from services.matching.domain.table import NEVER, UNSAID_MINUTES

TILE = 2048
"""Mentors whose sums lie in the processor's cache meanwhile."""
GROUP = 64
"""Sums that are compared at once before any is looked at."""
NEAR = 256
"""Mentors of whose sums the highest is remembered from one look to the next, and bounded before the first; a part of TILE."""
FAR = -3.0e7
"""Below every sum that no broken rule is in."""
FARTHEST = 1 << 62
"""Beyond every way from one person to another."""


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
def _most(total, a, b):
    some = total[a:b]
    most = some[0]
    for j in range(b - a):
        most = max(most, some[j])
    return most


@compiled
def _bound(bounds, score, hours, rule, tops, i, at, length):
    """Bounds = at least the highest of score(i, `NEAR` mentors), for `length` such from `at` on."""
    some = bounds[:length]
    most = np.float32(ENOUGH_MINUTES * rule[1] if hours[0][i + 1] > hours[0][i] else 0)
    for n in range(length):
        some[n] = most
    _sums(bounds, score[0], score[1], score[2], tops, i, at, length)


@compiled
def _next(total, minutes, most, beside, limit, after, tile, end, first, score, hours, rule, i):
    """Sum up the next stretch of a tile, from its `NEAR` mentors number `after` on, of which any may be above the limit: where its sums
    begin, how many there are (none left: 0), and from where to go on.
    """
    parts = -(-(end - tile) // NEAR)
    n = after
    while n < parts and most[n] + beside[n] <= limit:
        n += 1
    after = min(n + 1, parts)
    while after < parts and most[after] + beside[after] > limit:
        after += 1
    at = tile + n * NEAR
    length = max(min(tile + after * NEAR, end) - at, 0)
    if length:
        _left(total, minutes, first, score, hours, rule, i, at, length)
    return at, length, after


@compiled
def bounds(score, hours, rule, tops, lo, hi):
    """Of mentees lo : hi what no score with each `NEAR` mentors exceeds."""
    found = np.empty((hi - lo, tops.shape[1]), np.float32)
    for i in range(lo, hi):
        _bound(found[i - lo], score, hours, rule, tops, i, 0, tops.shape[1])
    return found


@compiled
def above(score, hours, rule, apart, first, limits, mentee, mentor, beside, highest, rise, lo, hi, each):
    """Of mentees lo : hi the mentors by whom they exceed both prices most, and all that excess.

    `first`, `limits`: the prices as float32, between which a sum must lie to be looked at. `beside`: a pair's worth beside its score.
    `highest`: no sum of a mentee with the next so many (`NEAR`) mentors was higher; `rise`: by how much it may be now. Where that isn't
    above the limit none of them is looked at, elsewhere it is made anew.
    """
    values = np.zeros((hi - lo, each), np.int64)
    places = np.full((hi - lo, each), -1, np.int32)
    excess = np.int64(0)
    total, minutes = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    width = first.size
    for tile in range(0, width, TILE):
        end = min(tile + TILE, width)
        for i in range(lo, hi):
            limit = limits[i]
            at = tile
            while at < end:
                if highest[i, at // NEAR] + rise[at // NEAR] <= limit:
                    highest[i, at // NEAR] += rise[at // NEAR]
                    at += NEAR
                    continue
                after = at + NEAR
                while after < end and highest[i, after // NEAR] + rise[after // NEAR] > limit:
                    after += NEAR
                length = min(after, end) - at
                _left(total, minutes, first, score, hours, rule, i, at, length)
                for near in range(0, length, NEAR):
                    most = np.float32(-1e30)
                    for a in range(near, min(near + NEAR, length), GROUP):
                        b = min(a + GROUP, length)
                        here = _most(total, a, b)
                        most = max(most, here)
                        if here > limit:
                            for j in range(a, b):
                                if total[j] > limit:
                                    own = _score(score, hours, rule, apart, i, at + j)
                                    over = own + beside - mentee[i] - mentor[at + j]
                                    if own >= 0 and over > 0:
                                        excess += over
                                        if over > values[i - lo, each - 1]:
                                            _keep(values[i - lo], places[i - lo], over, at + j)
                    highest[i, (at + near) // NEAR] = most
                at = after
    return places, excess


@compiled
def nearest(score, hours, rule, apart, tops, first, begin, lo, hi, each):
    """Of mentees lo : hi the mentors with the highest score less price.

    `first`: prices, negative; `begin`: the highest of these of every `NEAR` mentors.
    """
    values = np.full((hi - lo, each), np.float32(FAR))
    places = np.full((hi - lo, each), -1, np.int32)
    total, minutes, most = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE // NEAR, np.float32)
    width = first.size
    for tile in range(0, width, TILE):
        end = min(tile + TILE, width)
        parts = -(-(end - tile) // NEAR)
        for i in range(lo, hi):
            mine, theirs = values[i - lo], places[i - lo]
            _bound(most, score, hours, rule, tops, i, tile // NEAR, parts)
            after = 0
            while True:
                limit = mine[each - 1]
                at, length, after = _next(
                    total, minutes, most, begin[tile // NEAR :], limit, after, tile, end, first, score, hours, rule, i
                )
                if not length:
                    break
                for a in range(0, length, GROUP):
                    b = min(a + GROUP, length)
                    if _any(total, mine[each - 1], a, b):
                        for j in range(a, b):
                            if total[j] > mine[each - 1] and _score(score, hours, rule, apart, i, at + j) >= 0:
                                _keep(mine, theirs, total[j], at + j)
    return places


@compiled
def mentors_best(score, hours, rule, apart, tops, price, lo, hi, each):
    """Of mentees lo : hi those with the highest score less their price, for each mentor; and these."""
    width = score[3].shape[1]
    values = np.full((width, each), np.float32(FAR))
    places = np.full((width, each), -1, np.int32)
    least = np.full(width, np.float32(FAR))
    nothing = np.zeros(width, np.float32)
    total, minutes, most = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE // NEAR, np.float32)
    for tile in range(0, width, TILE):
        end = min(tile + TILE, width)
        parts = -(-(end - tile) // NEAR)
        for i in range(lo, hi):
            own = price[i]
            limit = np.float32(FAR) + own
            _bound(most, score, hours, rule, tops, i, tile // NEAR, parts)
            after = 0
            while True:
                at, length, after = _next(total, minutes, most, nothing, limit, after, tile, end, nothing, score, hours, rule, i)
                if not length:
                    break
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
def ordered(owners, people):
    """The places of pairs by whose they are, from starts[i] to starts[i + 1] those of i, else as they lie: (starts, places)."""
    starts = np.zeros(people + 1, np.int64)
    for e in range(owners.size):
        starts[owners[e] + 1] += 1
    for i in range(people):
        starts[i + 1] += starts[i]
    at, places = starts[:-1].copy(), np.empty(owners.size, np.int32)
    for e in range(owners.size):
        places[at[owners[e]]] = e
        at[owners[e]] += 1
    return starts, places


@compiled
def edge(starts, theirs, scores, beside, used, ceiling, price, owner_starts, owners):
    """`assign.edge_prices`, person by person: whoever's price rises makes those who hold it look again. Pairs lie by whose they are."""
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
                least = min(least, scores[e] + beside - price[theirs[e]])
        own[i] = least
        for e in range(starts[i], starts[i + 1]):
            j = theirs[e]
            if not used[e] and scores[e] + beside - least > price[j]:
                price[j] = scores[e] + beside - least
                for k in range(owner_starts[j], owner_starts[j + 1]):
                    o = owners[k]
                    if not waits[o]:
                        waits[o] = True
                        queue[(head + count) % (people + 1)] = o
                        count += 1
    return own, price


@compiled
def _reach(heap, seen, way, limit, d, node, other, pair):
    """Go from a node to another, if that is the shortest way so far, and below the limit."""
    distance, before, by = way
    if d < distance[other] and d < limit:
        distance[other], before[other], by[other] = d, node, pair
        seen.append(other)
        heapq.heappush(heap, (d, other))


@compiled
def _put(slots, holders, mentor, old, new):
    """In one of the mentor's slots, what is there for what was."""
    for q in range(slots[mentor], slots[mentor + 1]):
        if holders[q] == old:
            holders[q] = new
            break


@compiled
def repair(starts, rows, columns, worth, ready, used, mine, theirs, price, other_price, slots, holders):
    """Make `used`, the best plan among the pairs that are `ready`, the best among all.

    `price`, `other_price` prove it. Each other pair that exceeds them is taken, if the way round from its mentor to its mentee, by pairs that
    are given up for it and taken instead, costs less than it brings; of all who are nearer than that the prices are moved so that they prove
    the new plan (successive shortest paths with potentials; Edmonds & Karp 1972). On the way lies the `end`, which has whatever places are left.
    `mine`, `theirs`: of each their places, what a first partner is worth beside, and the number of partners. Pairs lie by mentee; those that
    mentor j has lie in holders[slots[j] : slots[j + 1]], -1 where there is none. All arrays are changed.
    """
    places, first, count = mine
    other_places, other_first, other_count = theirs
    people, others = places.size, other_places.size
    end = people + others
    moved = np.int64(0)  # by so much the end's price is off nothing, and so everyone's
    distance = np.full(end + 1, FARTHEST, np.int64)
    before = np.full(end + 1, -1, np.int64)
    by = np.full(end + 1, -1, np.int64)
    for e in range(ready.size):
        if ready[e]:
            continue
        ready[e] = True
        i, j = rows[e], columns[e]
        excess = worth[e] - price[i] - other_price[j]
        if excess <= 0:
            continue
        distance[people + j] = 0
        seen = [people + j]
        heap = [(np.int64(0), people + j)]
        way = (distance, before, by)
        while heap:
            at, node = heapq.heappop(heap)
            if node == i:
                break
            if at > distance[node]:
                continue
            if node < people:  # has one too few: another pair, or one partner less
                for p in range(starts[node], starts[node + 1]):
                    if ready[p] and not used[p]:
                        d = at + price[node] + other_price[columns[p]] - worth[p]
                        _reach(heap, seen, way, excess, d, node, people + columns[p], p)
                if count[node]:
                    d = at + price[node] + moved + (first[node] if count[node] == 1 else 0)
                    _reach(heap, seen, way, excess, d, node, end, -1)
            elif node < end:  # has one too many: gives up a pair, or has a place for it
                t = node - people
                for q in range(slots[t], slots[t + 1]):
                    p = holders[q]
                    if p >= 0:
                        _reach(heap, seen, way, excess, at + worth[p] - price[rows[p]] - other_price[t], node, rows[p], p)
                if other_count[t] < other_places[t]:
                    d = at + moved - other_price[t] - (other_first[t] if other_count[t] == 0 else 0)
                    _reach(heap, seen, way, excess, d, node, end, -1)
            else:  # whoever has a place for one more, or can do with one less
                for o in range(people):
                    if count[o] < places[o]:
                        d = at - price[o] - moved - (first[o] if count[o] == 0 else 0)
                        _reach(heap, seen, way, excess, d, end, o, -1)
                for t in range(others):
                    if other_count[t]:
                        d = at + other_price[t] - moved + (other_first[t] if other_count[t] == 1 else 0)
                        _reach(heap, seen, way, excess, d, end, people + t, -1)
        found = distance[i] < FARTHEST
        reach = distance[i] if found else excess
        for node in seen:
            rise = max(reach - distance[node], 0)
            distance[node] = FARTHEST  # so that the next time there is nothing to move
            if node < people:
                price[node] -= rise
            elif node < end:
                other_price[node - people] += rise
            else:
                moved += rise
        if not found:
            continue
        node = i
        while node != people + j:
            last, p = before[node], by[node]
            if node == end:
                if last < people:
                    count[last] -= 1
                else:
                    other_count[last - people] += 1
            elif last == end:
                if node < people:
                    count[node] += 1
                else:
                    other_count[node - people] -= 1
            else:
                used[p] = last < people
                _put(slots, holders, columns[p], -1 if used[p] else p, p if used[p] else -1)
            node = last
        used[e] = True
        _put(slots, holders, j, -1, e)
