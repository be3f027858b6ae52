"""Who is left over, and why: the rule at which a person came closest to someone, or capacity."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.assign import Pairs
from services.matching.domain.pool import Candidate, languages
from services.matching.domain.rules import Broken, rules
from services.matching.domain.table import Table, numbered
from shared.events import Policy, Role, WaitlistReason

REASONS = {
    Broken.apart: WaitlistReason.nobody_to_meet,
    Broken.language: WaitlistReason.no_common_language,
    Broken.overlap: WaitlistReason.no_overlap,
    Broken.score: WaitlistReason.below_least_score,
}


@dataclass(frozen=True, slots=True)
class Left:
    """Someone who has no partner after this plan, and what keeps them from one."""

    id: str
    role: Role
    reason: WaitlistReason
    missing: tuple[str, ...] = ()
    mentors_that_would_help: int | None = None


def left_over(
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    scores: Table,
    all_pairs: Callable[[Table], Pairs],
    matched: tuple[set[int], set[int]],
    policy: Policy,
) -> list[Left]:
    """Everyone without any partner, with the reason that binds. `matched`: mentees and mentors that the plan pairs, by number."""
    offered = {skill for mentor in mentors for skill in mentor.profile.skills_offered}
    waiting = [
        [n for n, one in enumerate(side) if one.places > 0 and not one.placed and n not in taken]
        for side, taken in zip((mentees, mentors), matched, strict=True)
    ]
    if not any(waiting):
        return []
    every = np.arange(len(mentees)), np.arange(len(mentors))
    rows, columns = (np.array(some, np.int64) for some in waiting)
    could = (
        all_pairs(scores.of(rows, every[1])).possible()[0] if len(rows) else rows,
        all_pairs(scores.of(every[0], columns)).possible()[1] if len(columns) else columns,
    )
    closeness = Closeness(mentees, mentors, scores, policy)
    found = []
    for n, possible in zip(waiting[0], could[0], strict=True):
        closest = Broken.none if possible else closeness.of_mentee(n)
        found.append(left_alone(mentees[n], closest, offered, alone=not mentors))
    for n, possible in zip(waiting[1], could[1], strict=True):
        closest = Broken.none if possible else closeness.of_mentor(n)
        found.append(left_alone(mentors[n], closest, None, alone=not mentees))
    alike = Counter(one.missing for one in found if one.reason is WaitlistReason.nobody_offers)
    return [
        Left(one.id, one.role, one.reason, one.missing, -(-alike[one.missing] // policy.capacity))
        if one.reason is WaitlistReason.nobody_offers
        else one
        for one in found
    ]


def left_alone(person: Candidate, closest: Broken, offered: set[str] | None, *, alone: bool) -> Left:
    """Why this person has nobody.

    `closest`: none where they could have met someone. `offered`: what mentors do, for a mentee. `alone`: nobody on the other side.
    """
    missing: tuple[str, ...] = ()
    if alone:
        return Left(person.id, person.role, WaitlistReason.nobody_to_meet)
    if offered is not None and closest in (Broken.none, Broken.score):
        wanted = person.profile.skills_wanted
        if wanted and not offered.intersection(wanted):
            return Left(person.id, person.role, WaitlistReason.nobody_offers, tuple(sorted(wanted)))
    reason = WaitlistReason.no_capacity if closest is Broken.none else REASONS[closest]
    if reason is WaitlistReason.no_common_language:
        missing = languages(person.profile)
    return Left(person.id, person.role, reason, missing)


class Closeness:
    """The rule at which someone who can't be paired with anybody came closest, one person against all others at once."""

    def __init__(self, mentees: Sequence[Candidate], mentors: Sequence[Candidate], scores: Table, policy: Policy) -> None:
        self.scores = scores
        self.rules = [(rule, numbered(map(rule.says, mentees)), numbered(map(rule.says, mentors))) for rule in rules(policy)]

    def of_mentee(self, n: int) -> Broken:
        return Broken(int(self._to_mentors(n).max(initial=0)))

    def of_mentor(self, n: int) -> Broken:
        return Broken(int(self._to_mentees(n).max(initial=0)))

    def of_peers(self, n: int) -> NDArray[np.uint8]:
        """Where both sides are the same people: the rule at which this one and each other come apart, in either direction."""
        return np.minimum(self._to_mentors(n), self._to_mentees(n))

    def _to_mentors(self, n: int) -> NDArray[np.uint8]:
        """The rule at which this mentee and each mentor come apart."""
        found = self._after_rules(self.scores.minutes_of_mentee(n))
        for rule, (mine, codes), (theirs, others) in reversed(self.rules):
            one = mine[codes[n]]
            breaks = [one is not None and other is not None and rule.breaks(one, other) for other in theirs]
            found[np.array(breaks, np.bool_)[others]] = rule.broken
        apart = self.scores.apart[n]
        found[apart[apart >= 0]] = Broken.apart
        return found

    def _to_mentees(self, n: int) -> NDArray[np.uint8]:
        """The rule at which this mentor and each mentee come apart."""
        found = self._after_rules(self.scores.minutes_of_mentor(n))
        for rule, (mine, codes), (theirs, others) in reversed(self.rules):
            other = theirs[others[n]]
            breaks = [one is not None and other is not None and rule.breaks(one, other) for one in mine]
            found[np.array(breaks, np.bool_)[codes]] = rule.broken
        found[(self.scores.apart == n).any(axis=1)] = Broken.apart
        return found

    def _after_rules(self, minutes: NDArray[np.float32]) -> NDArray[np.uint8]:
        """With those whom no rule on a statement keeps apart: it is hours or the score."""
        return np.where(minutes < self.scores.least_minutes, Broken.overlap, Broken.score).astype(np.uint8)
