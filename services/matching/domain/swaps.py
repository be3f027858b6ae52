"""The search for circles, compiled by numba: two people of different circles change places, again and again.

Simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983) with a random generator of its own (xorshift: Marsaglia 2003), so that the same
people give the same circles. Every circle has as many seats; nobody sits on some of them.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

import numpy as np

from services.matching.domain.kernels import compiled


@compiled
def _next(state):
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@compiled
def sums(worth, seats):
    """What each person's scores with the members of each circle sum up to, (circles, people)."""
    circles, size = seats.shape
    people = worth.shape[0]
    found = np.zeros((circles, people), np.int64)
    for c in range(circles):
        for k in range(size):
            row = worth[seats[c, k]]
            for i in range(people):
                found[c, i] += row[i]
    return found


@compiled
def anneal(worth, seats, near, steps, hot, cold, seed):
    """Change places `steps` times at most, in `seats` (circles, size) itself; each time someone sits down beside one of their `near`.

    A change for the worse by d is made with probability exp(-d / temperature), which falls from `hot` to `cold`.
    """
    people = worth.shape[0]
    circles, size = seats.shape
    each = near.shape[1]
    beside = sums(worth, seats)
    circle, place = np.empty(people, np.int64), np.empty(people, np.int64)
    for c in range(circles):
        for k in range(size):
            circle[seats[c, k]] = c
            place[seats[c, k]] = k
    state = np.uint64(seed)
    falls = np.log(cold / hot) / steps
    for step in range(steps):
        state = _next(state)
        i = np.int64((state >> np.uint64(3)) % np.uint64(people))
        state = _next(state)
        friend = near[i, np.int64((state >> np.uint64(3)) % np.uint64(each))]
        if friend < 0:
            continue
        a, b = circle[i], circle[friend]
        state = _next(state)
        k = np.int64((state >> np.uint64(3)) % np.uint64(size))
        j = seats[b, k]
        if a == b or j == friend:
            continue
        gain = beside[b, i] - beside[a, i] + beside[a, j] - beside[b, j] - 2 * np.int64(worth[i, j])
        if gain < 0:
            state = _next(state)
            chance = np.float64(state >> np.uint64(11)) * 2.0**-53
            if chance >= np.exp(gain / (hot * np.exp(falls * step))):
                continue
        left, right = beside[a], beside[b]
        mine, theirs = worth[i], worth[j]
        for n in range(people):
            moved = np.int64(theirs[n]) - np.int64(mine[n])
            left[n] += moved
            right[n] -= moved
        seats[a, place[i]], seats[b, place[j]] = j, i
        place[i], place[j] = place[j], place[i]
        circle[i], circle[j] = b, a
