"""A whole plan from people and a policy: rules, scores, the best plan with its proof, reasons, and who is left and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.matching.domain.assign import Matrix, Pairs, Solution, fairest, problem, solve
from services.matching.domain.left import Left, left_over
from services.matching.domain.pool import Candidate, free_spans, monday_of
from services.matching.domain.rules import Lines
from services.matching.domain.score import Scoring, Spoken, parts, reasons, weighed
from services.matching.domain.table import Table, TooLargeError, table
from shared.events import Aim, Policy, Reason, Role

__all__ = ["Candidate", "Left", "Pair", "Plan", "TooLargeError", "plan"]

MATRIX = 12_000_000
"""So many pairs are kept as a matrix, 50 MB; more are looked at anew each time, by compiled code."""
FAIR_PEOPLE = 5_000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people, their score in integer points, and its parts."""

    mentor: str
    mentee: str
    score: int
    spoken: tuple[Spoken, ...]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return reasons(self.spoken)


@dataclass(frozen=True, slots=True)
class Plan:
    """`gap`: by how much a better plan could at most exceed this one; 0 means that none exists. Both it and scores are in integer
    points, `unit` of them 1.0.
    """

    pairs: list[Pair]
    left: list[Left]
    score_total: int
    gap: int
    unit: int


def plan(
    people: Sequence[Candidate],
    policy: Policy,
    now: datetime,
    own: Scoring | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Match them. The same people, policy and week give the same plan, whatever their order.

    `own`: the scoring of a policy with parts of its own, instead of the program's weights. `say` hears how it goes on. Raises TooLargeError.
    """
    everyone = sorted(people, key=lambda person: (person.id, person.role))
    mentees = [p for p in everyone if p.role is Role.mentee]
    mentors = [p for p in everyone if p.role is Role.mentor]
    scoring = own or weighed(policy, mentees, mentors)
    monday, lines = monday_of(now), Lines(everyone)
    free = [free_spans(p.profile, monday) for p in mentees], [free_spans(p.profile, monday) for p in mentors]
    scores = table(mentees, mentors, policy, scoring, lines, free)
    say(f"{len(mentees):,} mentees × {len(mentors):,} mentors")
    solution = _best(all_pairs(scores), mentees, mentors, policy.aim, say)
    chosen = list(zip(solution.mentees.tolist(), solution.mentors.tolist(), solution.scores.tolist(), strict=True))
    pairs = [
        Pair(mentors[j].id, mentees[i].id, score, tuple(parts(mentees[i], mentors[j], scoring, (free[0][i], free[1][j]))))
        for i, j, score in chosen
    ]
    matched = {i for i, _, _ in chosen}, {j for _, j, _ in chosen}
    left = left_over(mentees, mentors, scores, all_pairs, matched, policy)
    return Plan(pairs, left, sum(pair.score for pair in pairs), solution.gap, scoring.unit)


def all_pairs(scores: Table) -> Pairs:
    """The pairs of a table: a matrix where it is small enough."""
    if scores.shape[0] * scores.shape[1] <= MATRIX:
        return Matrix.of_table(scores)
    from services.matching.domain.scan import Scan  # noqa: PLC0415 - numba takes a second to load

    return Scan(scores)


def _best(
    pairs: Pairs, mentees: Sequence[Candidate], mentors: Sequence[Candidate], aim: Aim, say: Callable[[str], None]
) -> Solution:
    """Of those who have places, by their number in all; an aim that this version doesn't know is `everyone`."""
    some = np.array([i for i, p in enumerate(mentees) if p.places > 0], np.int64)
    others = np.array([j for j, p in enumerate(mentors) if p.places > 0], np.int64)
    within = pairs if (len(some), len(others)) == pairs.shape else pairs.of(some, others)
    places = np.array([mentees[i].places for i in some], np.int64), np.array([mentors[j].places for j in others], np.int64)
    new = np.array([not mentees[i].placed for i in some], np.bool_), np.array([not mentors[j].placed for j in others], np.bool_)
    if aim is Aim.fair:
        if len(some) + len(others) > FAIR_PEOPLE:
            raise TooLargeError(f"the aim fair is for {FAIR_PEOPLE:,} people at most, and these are {len(some) + len(others):,}")
        found = fairest(within, places, new, say)
    else:
        word = aim.value if aim in (Aim.pairs, Aim.score) else Aim.everyone.value
        found = solve(within, problem(places, new, word, within.most), say)
    return found.of(some, others)
