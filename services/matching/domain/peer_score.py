"""How well two peers fit: each is once the one who asks and once the one who is asked, and both directions are added up.

score(a, b) = s(a, b) + s(b, a) = score(b, a),  in points of which 1.0 has twice as many as one direction

where s is the score of `score` with peers' statements: what one wants to learn, the other offers (or has, where they don't say what they
offer); years count by how near they are. With `Composition.mixed` a different industry, function or location, and years apart, bring
what in `alike` the same ones do. A rule keeps two people apart if it does in either direction.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.near import LEARNED, Nearby, Tags
from services.matching.domain.pool import Candidate, Span
from services.matching.domain.score import (
    KINDS,
    SHARES,
    YEARS_FAR,
    Kinds,
    Scoring,
    Shares,
    Spoken,
    Statements,
    parts,
    weighed,
)
from services.matching.domain.table import Table
from shared.events import Composition, Policy, Profile, ReasonCode

DIRECTIONS = 2
BLOCK = 512

Scores = NDArray[np.int32]
"""(people, people), symmetric; negative where two may not meet, as nobody may meet themselves."""


def offered(profile: Profile) -> Tags:
    """What a peer can teach: what they offer, or have where they don't say."""
    return profile.skills_offered or profile.skills_have


def near(one: float, other: float) -> float:
    """The value of years apart: full where none, nothing from twelve on."""
    return max(0.0, 1.0 - abs(other - one) / YEARS_FAR)


def _years_apart(one: float, other: float) -> tuple[float, Tags]:
    return round(abs(other - one), 1), ()


def _both_told(one: str, other: str) -> tuple[float, Tags]:
    return float(one == other), (one,) if one == other else (one, other)


def _opposite(value: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    return lambda one, other: 1.0 - value(one, other)


def _kinds(composition: Composition) -> Kinds:
    """With their opposite value where different people are wanted; everyone speaks with everyone either way."""
    found: list[Any] = []
    for code, ask, value, told in KINDS:
        if code is ReasonCode.language:
            found.append((code, ask, value, told))
            continue
        own, say = (near, _years_apart) if code is ReasonCode.experience else (value, _both_told)
        found.append((code, ask, _opposite(own) if composition is Composition.mixed else own, say))
    return tuple(found)


def statements(policy: Policy) -> Statements:
    """What peers are asked, and what two answers are worth."""
    shares: Shares = ((ReasonCode.skills, lambda p: p.skills_wanted, offered), *SHARES[1:])
    return shares, _kinds(policy.composition)


def peers_scoring(policy: Policy, people: Sequence[Candidate], near: Nearby = LEARNED) -> Scoring:
    """The parts of one direction, for these people."""
    return weighed(policy, people, people, among=statements(policy), near=near)


def peers_unit(scoring: Scoring) -> int:
    """What 1.0 of the policy's own units is, of two peers."""
    return DIRECTIONS * scoring.unit


def peers_least(scoring: Scoring) -> int:
    """No two peers meet below it."""
    return DIRECTIONS * scoring.least


def symmetric(one_way: Table, least: int) -> Scores:
    """The scores of all pairs, from a table of the same people on both sides."""
    scores = replace(one_way, least=0)
    count = scores.shape[0]
    found = np.empty((count, count), np.int32)
    for first in range(0, count, BLOCK):
        found[first : first + BLOCK] = scores.block(first, min(first + BLOCK, count))
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        there, back = found[first:last, first:], found[first:, first:last].T
        both = np.where((there < 0) | (back < 0) | (there + back < least), -1, there + back)
        found[first:last, first:], found[first:, first:last] = both, both.T
    return found


def peer_parts(
    one: Candidate, other: Candidate, scoring: Scoring, free: tuple[tuple[Span, ...], tuple[Span, ...]]
) -> list[Spoken]:
    """The parts of two peers' score, each with the points of both directions. `free`: when the two are."""
    there, back = parts(one, other, scoring, free), parts(other, one, scoring, (free[1], free[0]))
    found: dict[str, Spoken] = {part.code: part for part in there}
    for part in back:
        first = found.get(part.code)
        if first is None:
            found[part.code] = part
            continue
        items = tuple(dict.fromkeys((*first.items, *part.items)))
        near = dict(zip(part.items, part.near, strict=False)) | dict(zip(first.items, first.near, strict=False))
        # What is counted by its items is counted by those of both; of the rest both directions say the same
        number = float(len(items)) if first.number == len(first.items) else first.number
        instead = tuple(near[item] for item in items if item in near)
        found[part.code] = Spoken(part.code, first.points + part.points, number, items, instead)
    return list(found.values())
