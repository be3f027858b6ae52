"""The best plan among some pairs, found from the last one and its prices: an auction with ε-scaling, compiled by numba.

Whoever has an empty place takes the pair that leaves them most, and asks for their place what the next best would leave. Whoever is taken so and
has no place left gives up what leaves them least, and asks ε more than the least of what they keep. First mentees choose; then mentors whose
places were emptied while they asked more than a place is worth that rests (forward and reverse auction; Bertsekas & Castañon 1992). So no pair
misses the prices by more than ε: one that is taken is worth at least both, any other at most. ε falls step by step (cost scaling; Goldberg
& Kennedy 1995), and once it is less than 1 by the number of people, no other plan can be worth 1 more.

A place may rest: that is worth nothing, and for the last of someone's places it costs what a first partner is worth.
"""
# mypy: disallow-untyped-defs=False

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.assign import NEVER_PRICE, Prices, Problem, Some, flow
from services.matching.domain.kernels import compiled, ordered

FALL, BELOW = 4, 64
"""By so much each ε is less than the one before, and the first less than the most by which any pair exceeds the prices it begins with."""
LEAST, MOST = -(2**62), 2**62
"""Below and above all that anything is worth."""


@compiled
def _worth(worth, e):
    """Of pair e. `worth`: scores, narrow, since by far the most time goes into reading them; what a pair is worth beside; and by how many
    bits a score is less than its worth.
    """
    scores, beside, bits = worth
    return (np.int64(scores[e]) << bits) + beside


@compiled
def _resting(rest, places, first):
    """What the next place that rests is worth, and what one more after it."""
    if rest < places - 1:
        return 0, 0 if rest + 1 < places - 1 else -first
    return (-first if rest == places - 1 else LEAST), LEAST


@compiled
def _seat(slots, holders, j, old, new):
    """In the first of j's slots that holds what was, what is."""
    for q in range(slots[j], slots[j + 1]):
        if holders[q] == old:
            holders[q] = new
            break


@compiled
def begin(epsilon, starts, theirs, worth, used, mine, other):
    """Let go of what these prices of mentors don't bear out by ε; mentees' prices follow from them. Pairs lie by mentee."""
    price, places, first, count, rest = mine
    other_price, other_places, other_first, other_count, other_rest = other
    for j in range(other_places.size):
        other_price[j] = max(other_price[j], -other_first[j] if other_count[j] <= 1 else 0)
        free = other_places[j] - other_count[j]
        if other_price[j] > epsilon:
            other_rest[j] = 0
        elif other_price[j] > epsilon - other_first[j]:
            other_rest[j] = min(free, other_places[j] - 1)
        else:
            other_rest[j] = free
    for i in range(places.size):
        rest[i] = 0
        price[i] = 0 if places[i] > 1 else -first[i]
        for e in range(starts[i], starts[i + 1]):
            if not used[e]:
                price[i] = max(price[i], _worth(worth, e) - other_price[theirs[e]])
        for e in range(starts[i], starts[i + 1]):
            j = theirs[e]
            if used[e] and _worth(worth, e) - other_price[j] < price[i] - epsilon:
                used[e] = False
                count[i] -= 1
                other_count[j] -= 1
                least = 0 if other_rest[j] < other_places[j] - 1 else -other_first[j]
                if other_price[j] <= least + epsilon:
                    other_rest[j] += 1


@compiled
def bid(epsilon, starts, theirs, pairs, owners, worth, used, mine, other, slots, holders):
    """Until nobody of this side has an empty place. Entries lie by their owner of this side; `pairs`: which pair each is.

    Those that j of the other side has lie in holders[slots[j] : slots[j + 1]], -1 where there is none. All arrays are changed.
    """
    price, places, first, count, rest = mine
    other_price, other_places, other_first, other_count, other_rest = other
    people = places.size
    stack = np.empty(people, np.int64)
    waiting = 0
    for i in range(people):
        if places[i] > count[i] + rest[i]:
            stack[waiting] = i
            waiting += 1
    while waiting:
        waiting -= 1
        i = stack[waiting]
        while places[i] > count[i] + rest[i]:
            best, next_best = _resting(rest[i], places[i], first[i])
            at = -1
            for e in range(starts[i], starts[i + 1]):
                left = _worth(worth, e) - other_price[theirs[e]]
                if left > next_best and not used[pairs[e]]:
                    if left > best:
                        next_best = best
                        best = left
                        at = e
                    else:
                        next_best = left
            price[i] = best if next_best == LEAST else next_best
            if at < 0:
                rest[i] += 1
                continue
            j = theirs[at]
            if other_places[j] > other_count[j] + other_rest[j]:
                used[pairs[at]] = True
                count[i] += 1
                other_count[j] += 1
                _seat(slots, holders, j, -1, at)
                continue
            # Everything j has, this pair included: what leaves them least, and the least of the others
            least, others, loser = _worth(worth, at) - price[i], MOST, at
            for q in range(slots[j], slots[j + 1]):
                e = holders[q]
                if e >= 0:
                    left = _worth(worth, e) - price[owners[e]]
                    if left < least:
                        others = least
                        least = left
                        loser = e
                    elif left < others:
                        others = left
            if other_rest[j]:
                left = -other_first[j] if other_rest[j] == other_places[j] else 0
                if left <= least:
                    others = min(least, 0) if other_rest[j] > 1 else least
                    loser = -1
                elif left < others:
                    others = left
            other_price[j] = others + epsilon
            if loser == at:
                continue
            used[pairs[at]] = True
            count[i] += 1
            _seat(slots, holders, j, loser, at)
            if loser < 0:
                other_rest[j] -= 1
                other_count[j] += 1
                continue
            k = owners[loser]
            used[pairs[loser]] = False
            count[k] -= 1
            if places[k] == count[k] + rest[k] + 1:
                stack[waiting] = k
                waiting += 1


@compiled
def seated(slots, theirs, pairs, used):
    """The entries that are taken, in the slots of whose they are."""
    holders = np.full(slots[-1], -1, np.int64)
    at = slots.copy()
    for e in range(theirs.size):
        if used[pairs[e]]:
            holders[at[theirs[e]]] = e
            at[theirs[e]] += 1
    return holders


def best(some: Some, known: Problem, near: Prices | None) -> NDArray[np.bool_]:
    """Which of these pairs the best plan among them takes; found from the one they have, and from prices `near` those that prove it."""
    bits = (sum(map(len, known.places)) + 1).bit_length()
    if (2 * known.whole + int(some.scores.max(initial=0))) << bits >= MOST // 2:
        return flow(some, known)
    used, pair = some.used.copy(), known.pair << bits
    prices = [np.zeros(len(places), np.int64) for places in known.places]
    epsilon = max(int(some.scores.max(initial=0)) + known.pair, known.whole) << bits
    if near is not None:
        prices = [np.where(side < NEVER_PRICE, side, 0) << bits for side in (near.mentee, near.mentor)]
        over = some.scores + near.pair - near.mentee[some.rows] - near.mentor[some.columns]
        epsilon = int(over[~used].max(initial=0)) << bits
    for price, places in zip(prices, known.places, strict=True):
        price[places == 0] = MOST // 2
    who = some.rows, some.columns
    sides: list[Any] = [
        (price, places, first << bits, np.bincount(their[used], minlength=len(places)), np.zeros(len(places), np.int64))
        for price, places, first, their in zip(prices, known.places, known.first, who, strict=True)
    ]
    slots = [np.concatenate([[0], np.cumsum(places)]) for places in known.places]
    starts, pairs = ordered(some.rows, len(known.places[0]))
    column_starts, order = ordered(some.columns, len(known.places[1]))
    rows, columns, scores = (values.astype(np.int32) for values in (*who, some.scores))
    worth, turned = (scores, pair, bits), (scores[order], pair, bits)
    turned_rows, turned_columns = rows[order], columns[order]
    epsilons = [1]
    while epsilons[-1] * FALL < epsilon // BELOW:
        epsilons.append(epsilons[-1] * FALL)
    for e in reversed(epsilons):
        begin(e, starts, columns, worth, used, *sides)
        holders = seated(slots[1], columns, pairs, used)
        bid(e, starts, columns, pairs, rows, worth, used, *sides, slots[1], holders)
        holders = seated(slots[0], turned_rows, order, used)
        bid(e, column_starts, turned_rows, order, turned_columns, turned, used, *sides[::-1], slots[0], holders)
    return used
