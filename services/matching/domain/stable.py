"""Matching by choice: deferred acceptance between those who ask (residents) and those with places (hospitals).

Gale & Shapley 1962 with capacities, as in the hospitals/residents problem (Roth 1984): no two who are not matched would both rather be,
and every resident gets the best hospital that any stable matching gives them.
"""

from collections.abc import Mapping, Sequence
from heapq import heappush, heapreplace


def mutual(
    residents: Mapping[str, Sequence[str]], hospitals: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[str]], dict[str, dict[str, int]], int]:
    """Residents' lists and hospitals' ranks (0 is best) without one-sided wishes, and how many wishes were dropped."""
    ranks = {hospital: {resident: n for n, resident in enumerate(listed)} for hospital, listed in hospitals.items()}
    lists = {resident: [h for h in listed if resident in ranks.get(h, {})] for resident, listed in residents.items()}
    kept = {hospital: {r: n for r, n in rank.items() if hospital in residents.get(r, ())} for hospital, rank in ranks.items()}
    before = sum(map(len, residents.values())) + sum(map(len, hospitals.values()))
    return lists, kept, before - sum(map(len, lists.values())) - sum(map(len, kept.values()))


def matched(
    residents: Mapping[str, Sequence[str]], hospitals: Mapping[str, Sequence[str]], capacities: Mapping[str, int]
) -> dict[str, str]:
    """The hospital of each resident who gets one. A hospital without a capacity has one place."""
    lists, ranks, _ = mutual(residents, hospitals)
    taken: dict[str, list[tuple[int, str]]] = {hospital: [] for hospital in hospitals}
    """A heap of (-rank, resident): its first is whom the hospital likes least."""
    asked = dict.fromkeys(lists, 0)
    waiting = list(lists)
    while waiting:
        resident = waiting.pop()
        if asked[resident] == len(lists[resident]):
            continue
        hospital = lists[resident][asked[resident]]
        asked[resident] += 1
        entry = (-ranks[hospital][resident], resident)
        if len(taken[hospital]) < capacities.get(hospital, 1):
            heappush(taken[hospital], entry)
        elif taken[hospital][0] < entry:
            waiting.append(heapreplace(taken[hospital], entry)[1])
        else:
            waiting.append(resident)
    return {resident: hospital for hospital, those in taken.items() for _, resident in those}


def blocking(
    residents: Mapping[str, Sequence[str]],
    hospitals: Mapping[str, Sequence[str]],
    capacities: Mapping[str, int],
    found: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Pairs (resident, hospital) who would both rather be matched with each other than stay as they are."""
    lists, ranks, _ = mutual(residents, hospitals)
    worst: dict[str, list[int]] = {hospital: [] for hospital in hospitals}
    for resident, hospital in found.items():
        worst[hospital].append(ranks[hospital][resident])
    pairs = []
    for resident, listed in lists.items():
        for hospital in listed:
            if found.get(resident) == hospital:
                break
            if len(worst[hospital]) < capacities.get(hospital, 1) or ranks[hospital][resident] < max(worst[hospital]):
                pairs.append((resident, hospital))
    return pairs
