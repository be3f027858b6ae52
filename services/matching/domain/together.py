"""A whole plan of peers from people and a policy: pairs or circles with their reasons, and who is left and why."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

import numpy as np

from services.matching.domain.left import Closeness, Left, left_alone
from services.matching.domain.peer_score import (
    DIRECTIONS,
    Scores,
    offered,
    peer_parts,
    peers_least,
    peers_scoring,
    peers_unit,
    symmetric,
)
from services.matching.domain.pool import Candidate, Span, free_spans, monday_of
from services.matching.domain.rules import Broken, Lines
from services.matching.domain.score import Scoring, Spoken, reasons
from services.matching.domain.table import Table, TooLargeError, table
from shared.events import Aim, Policy, Reason

__all__ = ["Candidate", "Circle", "Circles", "Left", "PeerPair", "PeerPairs", "TooLargeError", "circles", "peer_pairs"]

MOST_PEOPLE = 8_000
"""All pairs of them are kept as a matrix, 256 MB, and some of it twice or three times."""
NAMED = 5
"""So many things that a circle has in common are named."""


@dataclass(frozen=True, slots=True)
class PeerPair:
    """Two peers, in the order of their ids, their score in integer points, and its parts."""

    one: str
    other: str
    score: int
    spoken: tuple[Spoken, ...]

    @property
    def members(self) -> tuple[str, ...]:
        return self.one, self.other

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return reasons(self.spoken)


@dataclass(frozen=True, slots=True)
class PeerPairs:
    """`gap`: by how much a better plan could at most exceed this one; in integer points as scores, `unit` of them 1.0."""

    pairs: list[PeerPair]
    left: list[Left]
    score_total: int
    gap: int
    unit: int


@dataclass(frozen=True, slots=True)
class Circle:
    """Its members' ids in order; each one's score with all others together, and its parts; the parts of all pairs, on the average."""

    members: tuple[str, ...]
    scores: tuple[int, ...]
    spoken_of: tuple[tuple[Spoken, ...], ...]
    spoken: tuple[Spoken, ...]

    @property
    def total(self) -> int:
        """The scores of all its pairs."""
        return sum(self.scores) // DIRECTIONS

    @property
    def score(self) -> int:
        """The score of its pairs on the average."""
        return self.total // (len(self.members) * (len(self.members) - 1) // 2)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return reasons(self.spoken)


@dataclass(frozen=True, slots=True)
class Circles:
    """`gap`: by how much a plan with circles of at most these sizes could exceed the scores of all pairs that share a circle."""

    circles: list[Circle]
    left: list[Left]
    score_total: int
    gap: int
    unit: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Peers in the order of their ids, when they are free, and how each two of them score."""

    people: list[Candidate]
    policy: Policy
    scoring: Scoring
    free: list[tuple[Span, ...]]
    one_way: Table
    scores: Scores

    def spoken(self, one: int, other: int) -> tuple[Spoken, ...]:
        return tuple(peer_parts(self.people[one], self.people[other], self.scoring, (self.free[one], self.free[other])))

    def left(self, placed: set[int]) -> list[Left]:
        """Those whom the plan has left over, with the reason that binds."""
        closeness = Closeness(self.people, self.people, self.one_way, self.policy)
        skills = {skill for person in self.people for skill in offered(person.profile)}
        found = []
        for n, person in enumerate(self.people):
            if n not in placed:
                possible = bool((self.scores[n] >= 0).any())
                closest = Broken.none if possible else Broken(int(closeness.of_peers(n).max()))
                found.append(left_alone(person, closest, skills, alone=len(self.people) == 1))
        return found

    def without_circle(self, placed: set[int]) -> list[Left]:
        """Those who can sit nowhere without breaking a rule, with the one that keeps them from most people."""
        closeness = Closeness(self.people, self.people, self.one_way, self.policy)
        found = []
        for n, person in enumerate(self.people):
            if n not in placed:
                apart = closeness.of_peers(n)[(self.scores[n] < 0) & (np.arange(len(self.people)) != n)]
                closest = Broken(int(np.bincount(apart, minlength=1).argmax())) if len(apart) else Broken.apart
                found.append(left_alone(person, closest, None, alone=False))
        return found


def crowd(
    people: Sequence[Candidate], policy: Policy, now: datetime, own: Scoring | None = None, *, each_two: bool = True
) -> Crowd:
    """The peers that have a place left, and their scores. `each_two`: the least score is asked of each two. Raises TooLargeError."""
    everyone = sorted((p for p in people if p.places > 0), key=lambda person: person.id)
    if len(everyone) > MOST_PEOPLE:
        raise TooLargeError(f"peers are matched up to {MOST_PEOPLE:,} at once, and these are {len(everyone):,}")
    scoring = own or peers_scoring(policy, everyone)
    monday = monday_of(now)
    free = [free_spans(p.profile, monday) for p in everyone]
    one_way = table(everyone, everyone, policy, scoring, Lines(everyone), (free, free))
    return Crowd(everyone, policy, scoring, free, one_way, symmetric(one_way, peers_least(scoring) if each_two else 0))


def peer_pairs(
    people: Sequence[Candidate],
    policy: Policy,
    now: datetime,
    own: Scoring | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> PeerPairs:
    """Each peer with one other. The same people, policy and week give the same pairs, whatever their order.

    With one partner each, most people and most pairs are the same aim. Raises TooLargeError, also for the aim `fair`.
    """
    from services.matching.domain.peers import best_pairs  # noqa: PLC0415 - the library is for peers alone

    if policy.aim is Aim.fair:
        raise TooLargeError("the aim fair is not for peers: use everyone or score")
    known = crowd(people, policy, now, own)
    say(f"{len(known.people):,} peers")
    found = best_pairs(known.scores, pairs_first=policy.aim is not Aim.score, say=say)
    chosen = list(zip(found.one.tolist(), found.other.tolist(), found.scores.tolist(), strict=True))
    pairs = [PeerPair(known.people[i].id, known.people[j].id, score, known.spoken(i, j)) for i, j, score in chosen]
    left = known.left({n for i, j, _ in chosen for n in (i, j)})
    return PeerPairs(pairs, left, int(found.scores.sum()), found.gap, peers_unit(known.scoring))


def circles(
    people: Sequence[Candidate],
    policy: Policy,
    now: datetime,
    own: Scoring | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Circles:
    """Everyone in a circle of the policy's sizes. The same people, policy and week give the same circles. Raises TooLargeError.

    A least score isn't asked of every two: who has little in common with one has it with others.
    """
    from services.matching.domain.circles import seated  # noqa: PLC0415 - numba takes a second to load

    known = crowd(people, policy, now, own, each_two=False)
    found = seated(known.scores, policy.least_circle_size, policy.most_circle_size, say)
    made = [_circle(known, members) for members in found.circles]
    left = known.without_circle({n for members in found.circles for n in members})
    return Circles(made, left, found.score, found.bound - found.score, peers_unit(known.scoring))


def _circle(known: Crowd, members: list[int]) -> Circle:
    within = known.scores[np.ix_(members, members)].astype(np.int64)
    np.fill_diagonal(within, 0)
    spoken = {(i, j): known.spoken(i, j) for i, j in combinations(members, 2)}
    of_each = tuple(added([parts for pair, parts in spoken.items() if n in pair], 1) for n in members)
    ids = tuple(known.people[n].id for n in members)
    return Circle(ids, tuple(within.sum(axis=1).tolist()), of_each, added(list(spoken.values()), len(spoken)))


def added(pairs: Sequence[Sequence[Spoken]], over: int) -> tuple[Spoken, ...]:
    """The parts of several pairs together, over so many: their points and numbers, and what comes up most often."""
    by_code: dict[str, list[Spoken]] = {}
    for pair in pairs:
        for part in pair:
            by_code.setdefault(part.code, []).append(part)
    found = []
    for code, parts in by_code.items():
        counts = Counter(item for part in parts if part.points > 0 for item in part.items)
        items = sorted(counts, key=lambda item: (-counts[item], item))[:NAMED]
        near = {item: instead for part in parts for item, instead in zip(part.items, part.near, strict=False)}
        points, number = sum(part.points for part in parts) // over, sum(part.number for part in parts) / over
        instead = tuple(near[item] for item in items if item in near)
        found.append(Spoken(code, points, round(number, 2), tuple(items), instead))
    return tuple(found)
