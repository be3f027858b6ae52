"""A whole plan from people and a policy: rules, scores, the best plan with its proof, reasons, and who is left and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from operator import attrgetter

import numpy as np

from services.matching.domain.assign import NEVER_PRICE, Matrix, Pairs, Solution, fairest, problem, solve
from services.matching.domain.left import Left, left_over
from services.matching.domain.pool import Candidate, free_spans, monday_of
from services.matching.domain.rules import Lines, alike
from services.matching.domain.score import Scoring, Spoken, parts, reasons, weighed
from services.matching.domain.table import Table, TooLargeError, table
from shared.events import Aim, Policy, Reason, Role

__all__ = ["Candidate", "Help", "Left", "Pair", "Plan", "TooLargeError", "plan"]

MATRIX = 12_000_000
"""So many pairs are kept as a matrix, 50 MB; more are looked at anew each time, by compiled code."""
FAIR_PEOPLE = 5_000
WHAT_IF_PEOPLE = 5_000
"""For more people it isn't asked where one place more would help."""
HELPS, LOOKS = 3, 12
"""So many are told of, and so many plans are made at most to find them."""


@dataclass(frozen=True)
class Pair:
    """Two people, their score in integer points, and its parts: reckoned when they are asked for, since not everyone asks."""

    mentor: str
    mentee: str
    score: int
    say: Callable[[], Sequence[Spoken]] = field(repr=False, compare=False)

    @cached_property
    def spoken(self) -> tuple[Spoken, ...]:
        return tuple(self.say())

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return reasons(self.spoken)


@dataclass(frozen=True, slots=True)
class Help:
    """What one place more of this mentor would bring: people who get a partner, pairs, and the change of the score in points."""

    mentor: str
    people: int
    pairs: int
    score: int


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
    helps: list[Help] = field(default_factory=list)
    """Whose one place more would help most, the best first; only where asked for."""


def plan(
    people: Sequence[Candidate],
    policy: Policy,
    now: datetime,
    own: Scoring | None = None,
    say: Callable[[str], None] = lambda _: None,
    *,
    what_if: bool = False,
) -> Plan:
    """Match them. The same people, policy and week give the same plan, whatever their order.

    `own`: a scoring in place of what the program's weights and these people make. `say` hears how it goes on. `what_if`: also whose
    one place more would help most. Raises TooLargeError.
    """
    everyone = sorted(people, key=lambda person: (person.id, person.role))
    mentees = [p for p in everyone if p.role is Role.mentee]
    mentors = [p for p in everyone if p.role is Role.mentor]
    many = len(mentees) * len(mentors) > MATRIX
    if many:
        mentees, mentors = alike(mentees, policy), alike(mentors, policy)
    scoring = own or weighed(policy, mentees, mentors)
    monday, lines = monday_of(now), Lines(everyone)
    free = [free_spans(p.profile, monday) for p in mentees], [free_spans(p.profile, monday) for p in mentors]
    scores = table(mentees, mentors, policy, scoring, lines, free)
    say(f"{len(mentees):,} mentees × {len(mentors):,} mentors")
    every = all_pairs(scores)
    solution = _best(every, mentees, mentors, policy.aim, say)
    chosen = list(zip(solution.mentees.tolist(), solution.mentors.tolist(), solution.scores.tolist(), strict=True))
    pairs = [
        Pair(mentors[j].id, mentees[i].id, score, partial(parts, mentees[i], mentors[j], scoring, (free[0][i], free[1][j])))
        for i, j, score in chosen
    ]
    matched = {i for i, _, _ in chosen}, {j for _, j, _ in chosen}
    left = left_over(mentees, mentors, scores, all_pairs, matched, policy)
    if many:
        pairs.sort(key=attrgetter("mentee", "mentor"))
        left.sort(key=lambda one: (one.role is Role.mentor, one.id))
    asked = what_if and policy.aim is not Aim.fair and len(everyone) <= WHAT_IF_PEOPLE
    helps = _one_more(every, mentees, mentors, policy.aim, solution) if asked and left else []
    return Plan(pairs, left, sum(pair.score for pair in pairs), solution.gap, scoring.unit, helps)


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
        found = solve(within, problem(places, new, word, pairs.most), say)
    return found.of(some, others)


def _one_more(pairs: Pairs, mentees: Sequence[Candidate], mentors: Sequence[Candidate], aim: Aim, best: Solution) -> list[Help]:
    """Whose one place more helps most. A place brings at most what its best mentee is worth over that mentee's price (duality), so
    mentors are tried by that, with a plan for each, until no other can bring as much as those found. Scores stay as they are, `fair_load` too.
    """
    some = np.array([i for i, p in enumerate(mentees) if p.places > 0], np.int64)
    if not len(some) or not mentors:
        return []
    within, whole, everyone = pairs.of(some, np.arange(len(mentors))), best.prices.whole, aim not in (Aim.pairs, Aim.score)
    first = np.array([whole if everyone and not mentees[i].placed else 0 for i in some], np.int64)
    # Without a mentor who has a place nobody has a price yet
    price = np.where(best.prices.mentee == NEVER_PRICE, -first, best.prices.mentee)
    rows, columns = np.divmod(within.nearest_mentees(price, 1), len(mentors))
    alone = np.array([not mentors[j].placed and mentors[j].places == 0 for j in columns], np.bool_)
    most = within.scores(rows * len(mentors) + columns) + best.prices.pair - price[rows] + np.where(alone & everyone, whole, 0)
    found: list[tuple[int, Help]] = []
    for n in np.lexsort((columns, -most))[:LOOKS]:
        if len(found) >= HELPS and most[n] <= sorted((worth for worth, _ in found), reverse=True)[HELPS - 1]:
            break
        j = int(columns[n])
        more = _best(
            pairs,
            mentees,
            [*mentors[:j], replace(mentors[j], places=mentors[j].places + 1), *mentors[j + 1 :]],
            aim,
            lambda _: None,
        )
        help_ = Help(mentors[j].id, _people(more, mentees, mentors) - _people(best, mentees, mentors),
                     len(more.scores) - len(best.scores), int(more.scores.sum() - best.scores.sum()))  # fmt: skip
        worth = (help_.people if everyone else help_.pairs if aim is Aim.pairs else 0) * whole + help_.score
        if worth > 0:
            found.append((worth, help_))
    return [help_ for _, help_ in sorted(found, key=lambda f: (-f[0], f[1].mentor))[:HELPS]]


def _people(solution: Solution, mentees: Sequence[Candidate], mentors: Sequence[Candidate]) -> int:
    """Who gets a first partner."""
    return sum(
        not side[n].placed for side, who in ((mentees, solution.mentees), (mentors, solution.mentors)) for n in set(who.tolist())
    )
