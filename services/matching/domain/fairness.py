"""The fairness report of a run: who found a partner, and with what score, by each attribute that a program audits.

Counted is who came without a partner and with a place free, mentees and mentors apart. No group of fewer than five is told of: the small
ones are merged into one, and where that would still be too small, or could be reckoned back from the total, so is the next larger one
(complementary suppression). Shares have Wilson's interval (1927), means Student's (1908), both of 95 %.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from statistics import NormalDist, fmean

from services.matching.domain.model import AuditedGroup, Interval
from services.matching.domain.pool import Candidate, base_language
from shared.events import Audited, Role

LEAST = 5
"""People in a group that is told of."""
NORMAL = NormalDist().inv_cdf(0.975)
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""The 97.5 % quantiles of Student's t with one to ten degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A group before anything is merged: its people, and of those with a partner how many, the sum of their scores and of the squares.

    The score of someone with several partners is the mean of theirs.
    """

    role: Role
    attribute: Audited
    value: str
    """Empty for those who didn't say."""
    people: int
    matched: int = 0
    total: float = 0.0
    squares: float = 0.0


SAYS: Mapping[Audited, Callable[[Candidate], str | None]] = {
    Audited.country: lambda one: one.profile.country,
    Audited.function: lambda one: one.profile.function,
    Audited.industry: lambda one: one.profile.industry,
    Audited.location: lambda one: one.profile.location,
    Audited.seniority: lambda one: one.profile.seniority,
    Audited.employment: lambda one: one.profile.employment,
    Audited.organization: lambda one: one.organization,
    Audited.first_language: lambda one: next(map(base_language, one.profile.languages), None),
}

Key = tuple[Role, Audited, str]


def groups(people: Iterable[Candidate], audit: Sequence[Audited]) -> dict[Key, list[str]]:
    """Who belongs to which group, of those who came without a partner and with a place free; an unknown attribute says nothing."""
    found: dict[Key, list[str]] = {}
    for one in people:
        if one.places > 0 and not one.placed:
            for attribute in audit:
                if attribute in SAYS:
                    found.setdefault((one.role, attribute, SAYS[attribute](one) or ""), []).append(one.id)
    return found


def counted(members: Mapping[Key, Sequence[str]], scores: Mapping[tuple[Role, str], Sequence[int]]) -> list[Counted]:
    """What came of each group. `scores`: of each person's pairs."""
    found = []
    for (role, attribute, value), people in members.items():
        each = [fmean(scores[role, one]) for one in people if scores.get((role, one))]
        found.append(Counted(role, attribute, value, len(people), len(each), sum(each), sum(score * score for score in each)))
    return found


def report(found: Iterable[Counted]) -> list[AuditedGroup]:
    """By role and attribute, the largest group first and merged ones last; nothing where fewer than five were counted in all."""
    by_side = lambda one: (one.role, one.attribute)  # noqa: E731
    lines: list[AuditedGroup] = []
    for _, side in groupby(sorted(found, key=by_side), by_side):
        shown, merged = _merged(list(side))
        lines += [_line((one,)) for one in shown]
        if merged:
            lines.append(_line(merged))
    return lines


def _merged(side: list[Counted]) -> tuple[list[Counted], list[Counted]]:
    """The groups that stand by themselves, and those that become one."""
    shown = sorted(side, key=lambda one: (-one.people, one.value))
    merged: list[Counted] = []
    while shown and (shown[-1].people < LEAST or 0 < sum(one.people for one in merged) < LEAST):
        merged.append(shown.pop())
    return (shown, merged) if sum(one.people for one in merged) >= LEAST else (shown, [])


def _line(of: Sequence[Counted]) -> AuditedGroup:
    first, people, matched = of[0], sum(one.people for one in of), sum(one.matched for one in of)
    total, squares = sum(one.total for one in of), sum(one.squares for one in of)
    mean = total / matched if matched else None
    return AuditedGroup(
        role=first.role,
        attribute=first.attribute,
        value=first.value if len(of) == 1 else "",
        merged=len(of),
        people=people,
        matched=matched,
        rate=matched / people,
        rate_interval=wilson(matched, people),
        mean_score=mean,
        mean_score_interval=_of_mean(mean, matched, squares) if mean is not None and matched > 1 else None,
    )


def wilson(part: int, whole: int) -> Interval:
    """The 95 % score interval of a share (Wilson 1927, JASA 22: 209-212): within [0, 1], and of use for few people, too."""
    z2, share = NORMAL**2, part / whole
    middle = share + z2 / (2 * whole)
    half = NORMAL * sqrt(share * (1 - share) / whole + z2 / (4 * whole**2))
    low, high = (middle - half) / (1 + z2 / whole), (middle + half) / (1 + z2 / whole)
    return (0.0 if part == 0 else low, 1.0 if part == whole else high)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: from ten degrees of freedom on by its expansion (Abramowitz & Stegun 26.7.5)."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    z, n = NORMAL, freedom
    two = z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
    return two + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)


def _of_mean(mean: float, n: int, squares: float) -> Interval:
    """Student's 95 % interval of a mean: it takes the scores within a group for roughly normal."""
    half = student(n - 1) * sqrt(max(0.0, squares - n * mean * mean) / (n - 1) / n)
    return mean - half, mean + half
