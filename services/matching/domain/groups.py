"""Groups: one or two mentors and several mentees, everyone placed, sizes that differ by one at most, every two members compatible.

What is maximised is the sum of each mentee's scores with the mentors of their group, by the search that finds circles. Two mentees, or two
mentors, need a common language, common hours and no reason to be apart; what else keeps two people apart is between mentor and mentee. The bound is
the best plan in which each mentee has as many mentors, and each mentor as many mentees, as a group gives, who shares one with whom left aside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.assign import Matrix, problem, solve
from services.matching.domain.circles import search
from services.matching.domain.left import Closeness, Left, left_alone
from services.matching.domain.model import GROUP_MENTORS
from services.matching.domain.peer_score import Scores, symmetric
from services.matching.domain.pool import Candidate, Span, free_spans, monday_of
from services.matching.domain.rules import Broken, Lines, among_equals
from services.matching.domain.score import NO_POINTS, Scoring, Spoken, parts, weighed
from services.matching.domain.table import Integers, Table, table
from services.matching.domain.together import MOST_PEOPLE, TooLargeError, added
from shared.events import Policy, Role

__all__ = ["Candidate", "Group", "Groups", "TooLargeError", "groups"]

LEADERS = 4
"""A breach among mentors counts as so many."""


@dataclass(frozen=True, slots=True)
class Group:
    """Ids of its mentors and mentees, in order; each mentee's score with the mentors together, and its parts."""

    mentors: tuple[str, ...]
    mentees: tuple[str, ...]
    scores: tuple[int, ...]
    spoken_of: tuple[tuple[Spoken, ...], ...]

    @property
    def spoken(self) -> tuple[Spoken, ...]:
        """The parts of a pair of mentee and mentor, on the average."""
        return added(self.spoken_of, len(self.mentees) * len(self.mentors))

    @property
    def score(self) -> int:
        """Of a pair of mentee and mentor, on the average."""
        return sum(self.scores) // (len(self.mentees) * len(self.mentors))


@dataclass(frozen=True, slots=True)
class Groups:
    """`gap`: by how much a plan with groups of at most these sizes could exceed the sum of all mentees' scores with their mentors."""

    groups: list[Group]
    left: list[Left]
    score_total: int
    gap: int
    unit: int


@dataclass(frozen=True, slots=True)
class Shape:
    """How many groups, the mentees of the largest, and mentors per group: 1, or 2 where there are more mentors than groups."""

    groups: int
    mentees: int
    mentors: int


def shape(mentees: int, mentors: int, least: int, most: int) -> Shape:
    """As many groups as there are mentors, unless they would be too small; mentors beyond that join as second ones."""
    count = max(min(mentors, mentees // least), 0)
    return Shape(count, min(-(-mentees // count), most) if count else 0, GROUP_MENTORS if mentors > count > 0 else 1)


def groups(
    people: Sequence[Candidate],
    policy: Policy,
    now: datetime,
    own: Scoring | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Groups:
    """Everyone in a group of the policy's sizes. The same people, policy and week give the same, whatever their order.

    Where there are too few mentors for the mentees, the score decides who waits; a least score isn't asked. Raises TooLargeError.
    """
    everyone = sorted((p for p in people if p.places > 0), key=lambda person: (person.id, person.role))
    if len(everyone) > MOST_PEOPLE:
        raise TooLargeError(f"groups are made of {MOST_PEOPLE:,} people at most, and these are {len(everyone):,}")
    mentees = [p for p in everyone if p.role is Role.mentee]
    mentors = [p for p in everyone if p.role is Role.mentor]
    scoring = replace(own or weighed(policy, mentees, mentors), least=0)
    monday, lines = monday_of(now), Lines(everyone)
    free = [free_spans(p.profile, monday) for p in mentees], [free_spans(p.profile, monday) for p in mentors]
    scores = table(mentees, mentors, policy, scoring, lines, free)
    taught = Matrix.of_table(scores).score
    together, leading = (  # of mentees, of mentors
        symmetric(table(side, side, among_equals(policy), NO_POINTS, lines, (when, when)), 0) >= 0
        for side, when in zip((mentees, mentors), free, strict=True)
    )
    wanted = shape(len(mentees), len(mentors), policy.least_group_size, policy.most_group_size)
    say(f"{len(mentees):,} mentees and {len(mentors):,} mentors in {wanted.groups:,} groups")
    made = grouped(taught, (together, leading), wanted, policy.least_group_size, policy.most_group_size)
    found = [_group(mentees, mentors, free, scoring, taught, one) for one in made]
    left = _left(mentees, mentors, scores, policy, made)
    total = sum(sum(group.scores) for group in found)
    largest = max([wanted.mentees, *(len(some) for some, _ in made)])
    return Groups(found, left, total, max(_bound(taught, largest, wanted.mentors) - total, 0), scoring.unit)


def _bound(taught: Scores, mentees: int, mentors: int) -> int:
    pairs = Matrix(taught)
    places = np.full(taught.shape[0], mentors, np.int64), np.full(taught.shape[1], mentees, np.int64)
    found = solve(pairs, problem(places, (places[0] < 0, places[1] < 0), "score", pairs.most))
    return found.worth + found.gap


def grouped(
    taught: Scores, equals: tuple[NDArray[np.bool_], NDArray[np.bool_]], wanted: Shape, least: int, most: int
) -> list[tuple[list[int], list[int]]]:
    """(mentees, mentors) of each group, by number, in order.

    `taught`: (mentees, mentors); `equals`: which two mentees, and which two mentors, may share a group.
    """
    together, leading = equals
    if not wanted.groups:
        return []
    rows, columns = _seats(taught, wanted)
    among = together[np.ix_(rows, rows)], leading[np.ix_(columns, columns)]
    worth = _worth(taught[np.ix_(rows, columns)], among, wanted)
    seats = search(worth, wanted.groups, wanted.mentees + wanted.mentors)
    first = wanted.groups * wanted.mentors  # before them sit mentors, and nobodies in a second mentor's seat
    found = []
    for circle in seats:
        some = sorted(int(rows[n - first]) for n in circle if first <= n < first + len(rows))
        found.append((some, sorted(int(columns[n]) for n in circle if n < len(columns))))
    return sorted(_mended(taught, together, _led(taught, leading, found, wanted.mentors), least, most))


def _seats(taught: Scores, wanted: Shape) -> tuple[Integers, Integers]:
    """The mentees and mentors for whom there are seats: all, or those whom the best plan of pairs places."""
    rows, columns = np.arange(taught.shape[0]), np.arange(taught.shape[1])
    if len(rows) > wanted.groups * wanted.mentees:
        pairs = Matrix(taught)
        places = np.ones(len(rows), np.int64), np.full(len(columns), wanted.mentees, np.int64)
        rows = np.unique(solve(pairs, problem(places, (places[0] < 0, places[1] < 0), "pairs", pairs.most)).mentees)
    if len(columns) > wanted.groups * wanted.mentors:
        worth = np.maximum(taught, 0).sum(axis=0, dtype=np.int64)
        columns = np.sort(np.argsort(-worth, kind="stable")[: wanted.groups * wanted.mentors])
    return rows, columns


def _worth(taught: Scores, equals: tuple[NDArray[np.bool_], NDArray[np.bool_]], wanted: Shape) -> Scores:
    """All seats' scores with each other: first mentors (and nobodies for a second one), then mentees, then nobodies in their place.

    Whoever may not share a group costs more than any seat is worth; so do two first mentors, two second ones, two nobodies.
    """
    mentees, mentors = taught.shape
    first, size = wanted.groups * wanted.mentors, wanted.groups * (wanted.mentees + wanted.mentors)
    breach = -16 * (int(taught.max(initial=0)) + 1)
    worth = np.zeros((size, size), np.int32)
    people = slice(first, first + mentees)
    worth[people, people] = np.where(equals[0], 0, breach)
    worth[:mentors, :mentors] = np.where(equals[1], 0, LEADERS * breach)
    worth[people, :mentors] = np.where(taught < 0, breach, taught)
    worth[:mentors, people] = worth[people, :mentors].T
    for one in (slice(0, wanted.groups), slice(wanted.groups, first), slice(first + mentees, size)):
        worth[one, one] = LEADERS * breach
    np.fill_diagonal(worth, 0)
    return worth


def _led(
    taught: Scores, leading: NDArray[np.bool_], found: list[tuple[list[int], list[int]]], most: int
) -> list[tuple[list[int], list[int]]]:
    """With at most so many mentors a group, who may share it and whom most of its mentees may have; others lead a group without any."""

    def suits(mentees: list[int], mentor: int) -> tuple[int, int]:
        return int((taught[mentees, mentor] >= 0).sum()), -mentor

    kept = []
    spare: list[int] = []
    for mentees, mentors in found:
        ranked = sorted(mentors, key=lambda mentor: suits(mentees, mentor), reverse=True)
        second = [mentor for mentor in ranked[1:] if leading[ranked[0], mentor]][: most - 1]
        leads = sorted([*ranked[:1], *second])
        kept.append((mentees, leads))
        spare += [mentor for mentor in mentors if mentor not in leads]
    for mentees, leads in kept:
        if not leads and spare:
            leads.append(max(spare, key=lambda mentor: suits(mentees, mentor)))
            spare.remove(leads[0])
    return kept


def _mended(
    taught: Scores, together: NDArray[np.bool_], found: list[tuple[list[int], list[int]]], least: int, most: int
) -> list[tuple[list[int], list[int]]]:
    """Without any breach: a mentee who can't stay goes where they fit; a group without a mentor or too small is broken up."""
    kept: list[tuple[list[int], list[int]]] = []
    loose: list[int] = []
    for some, mentors in found:
        mentees = list(some)
        while mentees:
            breaks = (~together[np.ix_(mentees, mentees)]).sum(axis=1) - 1 + (taught[np.ix_(mentees, mentors)] < 0).sum(axis=1)
            if breaks.max() <= 0:
                break
            loose.append(mentees.pop(int(breaks.argmax())))
        if len(mentees) >= least and mentors:
            kept.append((mentees, mentors))
        else:
            loose += mentees
    for person in sorted(loose):
        fits = [
            group
            for group in kept
            if len(group[0]) < most and together[person, group[0]].all() and (taught[person, group[1]] >= 0).all()
        ]
        if fits:
            best = max(fits, key=lambda group: (int(taught[person, group[1]].sum()), -group[1][0]))
            best[0].append(person)
            best[0].sort()
    return kept


def _group(
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    free: tuple[Sequence[tuple[Span, ...]], Sequence[tuple[Span, ...]]],
    scoring: Scoring,
    taught: Scores,
    members: tuple[list[int], list[int]],
) -> Group:
    some, leads = members
    spoken = tuple(added([parts(mentees[i], mentors[j], scoring, (free[0][i], free[1][j])) for j in leads], 1) for i in some)
    scores = tuple(int(taught[i, leads].sum()) for i in some)
    return Group(tuple(mentors[j].id for j in leads), tuple(mentees[i].id for i in some), scores, spoken)


def _left(
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    scores: Table,
    policy: Policy,
    made: Sequence[tuple[list[int], list[int]]],
) -> list[Left]:
    """Those without a group: the rule at which they come closest to someone on the other side; else there is no seat for them."""
    closeness = Closeness(mentees, mentors, scores, policy)
    block = Matrix.of_table(scores).score >= 0
    offered = {skill for mentor in mentors for skill in mentor.profile.skills_offered}
    placed = {i for some, _ in made for i in some}, {j for _, leads in made for j in leads}
    found = []
    for n, person in enumerate(mentees):
        if n not in placed[0]:
            closest = Broken.none if block[n].any() else closeness.of_mentee(n)
            found.append(left_alone(person, closest, offered, alone=not mentors))
    for n, person in enumerate(mentors):
        if n not in placed[1]:
            closest = Broken.none if block[:, n].any() else closeness.of_mentor(n)
            found.append(left_alone(person, closest, None, alone=not mentees))
    return found
