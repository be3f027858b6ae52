"""A whole plan from people and a policy: rules, scores, the best assignment with its proof, reasons, and who is left and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.assign import MOST_CELLS, TooLargeError, solve, weighed
from services.matching.domain.pool import Candidate, free_spans, languages, monday_of, overlap_minutes
from services.matching.domain.rules import Broken, Lines, broken
from services.matching.domain.score import UNIT, parts, reasons, scores
from shared.events import Aim, Policy, Reason, Role, WaitlistReason

__all__ = ["Candidate", "Left", "Pair", "Plan", "TooLargeError", "plan"]

BLOCK = 1024
"""Mentees scored at a time: bounds the memory for temporary arrays."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people, their score (1.0 is 1,000,000) and why."""

    mentor: str
    mentee: str
    score: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """Someone who has no partner after this plan, and what keeps them from one."""

    id: str
    role: Role
    reason: WaitlistReason
    missing: tuple[str, ...] = ()
    mentors_that_would_help: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`gap`: by how much a better plan could at most exceed this one; 0 means that none exists."""

    pairs: list[Pair]
    left: list[Left]
    score_total: int
    gap: int


def plan(people: Sequence[Candidate], policy: Policy, now: datetime) -> Plan:
    """Match them. The same people, policy and week give the same plan, whatever their order. Raises TooLargeError."""
    everyone = sorted(people, key=lambda person: person.id)
    mentees = [p for p in everyone if p.role is Role.mentee]
    mentors = [p for p in everyone if p.role is Role.mentor]
    if len(mentees) * len(mentors) > MOST_CELLS:
        raise TooLargeError(f"{len(mentees)} mentees × {len(mentors)} mentors are more than {MOST_CELLS} pairs")
    score, kept = compared(mentees, mentors, policy, now, Lines(everyone))
    may = (kept == Broken.none) & np.array([p.places > 0 for p in mentees], np.bool_)[:, None]
    places = np.array([p.places for p in mentors], np.int64)
    new = np.array([not p.placed for p in mentors], np.bool_)
    # `fair` comes with the exact method for it; until then it is `everyone`, and so is an aim this version doesn't know
    aim = policy.aim.value if policy.aim in (Aim.pairs, Aim.score) else Aim.everyone.value
    solution = solve(weighed(score, may, places, new, aim))
    monday = monday_of(now)
    pairs = []
    for i, j in solution.pairs:
        mentee, mentor = mentees[i].profile, mentors[j].profile
        spoken = parts(mentee, mentor, policy.weights, (free_spans(mentee, monday), free_spans(mentor, monday)))
        pairs.append(Pair(mentors[j].id, mentees[i].id, int(score[i, j]), reasons(spoken)))
    left = left_over(mentees, mentors, kept, {i for i, _ in solution.pairs}, {j for _, j in solution.pairs}, policy)
    return Plan(pairs, left, sum(pair.score for pair in pairs), solution.gap)


def compared(
    mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: Policy, now: datetime, lines: Lines
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Score and first broken rule of each pair: two arrays (mentees, mentors)."""
    score = np.zeros((len(mentees), len(mentors)), np.int32)
    kept = np.zeros((len(mentees), len(mentors)), np.uint8)
    if not mentors:
        return score, kept
    monday = monday_of(now)
    theirs = [free_spans(mentor.profile, monday) for mentor in mentors]
    for first in range(0, len(mentees), BLOCK):
        some, rows = mentees[first : first + BLOCK], slice(first, first + BLOCK)
        minutes = overlap_minutes([free_spans(mentee.profile, monday) for mentee in some], theirs)
        kept[rows] = broken(some, mentors, policy, minutes, lines=lines)
        score[rows] = scores(some, mentors, policy.weights, minutes)
    kept[(kept == Broken.none) & (score < policy.least_score * UNIT)] = Broken.score
    return score, kept


REASONS = {
    Broken.apart: WaitlistReason.nobody_to_meet,
    Broken.language: WaitlistReason.no_common_language,
    Broken.overlap: WaitlistReason.no_overlap,
    Broken.score: WaitlistReason.below_least_score,
}


def left_over(
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    kept: NDArray[np.uint8],
    matched: set[int],
    taken: set[int],
    policy: Policy,
) -> list[Left]:
    """Everyone without any partner, with the reason that binds: the rule at which they came closest to someone, or capacity."""
    offered = {skill for mentor in mentors for skill in mentor.profile.skills_offered}
    found = []
    for i, mentee in enumerate(mentees):
        if mentee.places > 0 and not mentee.placed and i not in matched:
            found.append(_left(mentee, kept[i], offered))
    for j, mentor in enumerate(mentors):
        if mentor.places > 0 and not mentor.placed and j not in taken:
            found.append(_left(mentor, kept[:, j], None))
    alike = Counter(one.missing for one in found if one.reason is WaitlistReason.nobody_offers)
    return [
        Left(one.id, one.role, one.reason, one.missing, -(-alike[one.missing] // policy.capacity))
        if one.reason is WaitlistReason.nobody_offers
        else one
        for one in found
    ]


def _left(person: Candidate, kept: NDArray[np.uint8], offered: set[str] | None) -> Left:
    """`kept`: the rules that stand between the person and each of the others. `offered`: what mentors do, for a mentee."""
    could = bool((kept == Broken.none).any())
    closest = Broken(int(kept.max(initial=0)))
    missing: tuple[str, ...] = ()
    if offered is not None and (could or closest is Broken.score):
        wanted = person.profile.skills_wanted
        if wanted and not offered.intersection(wanted):
            return Left(person.id, person.role, WaitlistReason.nobody_offers, tuple(sorted(wanted)))
    if could:
        reason = WaitlistReason.no_capacity
    elif not kept.size:
        reason = WaitlistReason.nobody_to_meet
    else:
        reason = REASONS[closest]
        if reason is WaitlistReason.no_common_language:
            missing = languages(person.profile)
    return Left(person.id, person.role, reason, missing)
