"""How well two people fit: an integer, 1.0 being 1,000,000, and the reasons for it.

score = Σ weight · value / max(Σ weight, a quarter of all weights), over the parts of which both sides said something. A part's value
lies in [0, 1]. The quarter keeps two people who said next to nothing from looking like a perfect match.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.pool import Candidate, Counts, Span, languages, shared_tags, spans_overlap
from services.matching.domain.rules import numbers
from shared.events import Profile, Reason, ReasonCode, Weights

UNIT = 1_000_000
ENOUGH_MINUTES = 240
"""More than four hours a week together are no better than four."""
SECOND_LANGUAGE = 0.5
"""The value of a common language that isn't the mentee's best."""
YEARS_AHEAD, YEARS_FAR, YEARS_SPAN = 3.0, 12.0, 24.0
"""Three to twelve years ahead is best: near enough to remember. Beyond, the value falls to a half over twelve years more."""

Values = NDArray[np.float64]
Said = NDArray[np.bool_]


def targets(profile: Profile) -> tuple[str, ...]:
    """The roles someone wants: `data-scientist` of the goal `role:data-scientist`."""
    return tuple(goal[5:] for goal in profile.goals if goal.startswith("role:"))


@dataclass(frozen=True, slots=True)
class Tags:
    """A part that compares two sets of tags."""

    code: ReasonCode
    mentee: Callable[[Profile], Sequence[str]]
    mentor: Callable[[Profile], Sequence[str]]
    covers: bool
    """The share of the mentee's tags that the mentor has; else Jaccard: shared ÷ all."""

    def value(self, shared: float, mentee: int, mentor: int) -> float:
        return shared / mentee if self.covers else shared / (mentee + mentor - shared)


TAGS = (
    Tags(ReasonCode.skills, lambda p: p.skills_wanted, lambda p: p.skills_offered, covers=True),
    Tags(ReasonCode.has_made_the_move, targets, lambda p: p.roles_held, covers=True),
    Tags(ReasonCode.goals, lambda p: p.goals, lambda p: p.goals, covers=False),
    Tags(ReasonCode.values, lambda p: p.values, lambda p: p.values, covers=False),
    Tags(ReasonCode.interests, lambda p: p.interests, lambda p: p.interests, covers=False),
)
SAME = (ReasonCode.industry, ReasonCode.function, ReasonCode.location)
"""Parts that ask whether both say the same."""


def all_weights(weights: Weights) -> float:
    """Of the parts this version knows."""
    codes = (*(part.code for part in TAGS), *SAME, ReasonCode.language, ReasonCode.overlap_hours, ReasonCode.experience)
    return float(sum(getattr(weights, code.value) for code in codes))


class Sums:
    """Σ weight · value and Σ weight, of many pairs or of one. The order of the parts is always the same, so that both agree to the bit."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.total, self.weight = np.zeros(shape), np.zeros(shape)

    def add(self, weight: float, rows: Said, columns: Said, values: Values) -> None:
        """A part with its values where both sides said something."""
        place = np.ix_(rows, columns)
        if weight and values.size:
            self.total[place] += weight * values
            self.weight[place] += weight

    def score(self, whole: float) -> NDArray[np.int32]:
        least = max(whole / 4, 1e-9)
        return np.rint(UNIT * (self.total / np.maximum(self.weight, least))).astype(np.int32)


def scores(mentees: Sequence[Candidate], mentors: Sequence[Candidate], weights: Weights, minutes: Counts) -> NDArray[np.int32]:
    """The score of each pair: an array (mentees, mentors). `minutes`: of overlap, for the same people."""
    sums = Sums((len(mentees), len(mentors)))
    sides = [p.profile for p in mentees], [p.profile for p in mentors]
    for part in TAGS:
        weight = getattr(weights, part.code.value)
        if weight:
            sums.add(weight, *_tags(part, *sides))
    if weights.language:
        sums.add(weights.language, *_language(*sides))
    if weights.overlap_hours:
        said = _said(sides[0], lambda p: p.availability), _said(sides[1], lambda p: p.availability)
        sums.add(weights.overlap_hours, *said, np.minimum(minutes[np.ix_(*said)].astype(np.float64) / ENOUGH_MINUTES, 1.0))
    for code in SAME:
        weight = getattr(weights, code.value)
        if weight:
            sums.add(weight, *_same(code.value, *sides))
    if weights.experience:
        years = numbers(mentees, "years_experience"), numbers(mentors, "years_experience")
        said = ~np.isnan(years[0]), ~np.isnan(years[1])
        sums.add(weights.experience, *said, ahead_value(years[1][said[1]][None, :] - years[0][said[0]][:, None]))
    return sums.score(all_weights(weights))


def _said(side: Sequence[Profile], field: Callable[[Profile], object]) -> Said:
    return np.array([bool(field(p)) for p in side], np.bool_)


def _tags(part: Tags, mentees: Sequence[Profile], mentors: Sequence[Profile]) -> tuple[Said, Said, Values]:
    said = _said(mentees, part.mentee), _said(mentors, part.mentor)
    these, those = [part.mentee(p) for p in mentees if part.mentee(p)], [part.mentor(p) for p in mentors if part.mentor(p)]
    shared = shared_tags(these, those).astype(np.float64)
    rows = np.array([len(tags) for tags in these], np.float64)[:, None]
    if part.covers:
        return *said, shared / rows
    return *said, shared / (rows + np.array([len(tags) for tags in those], np.float64)[None, :] - shared)


def _language(mentees: Sequence[Profile], mentors: Sequence[Profile]) -> tuple[Said, Said, Values]:
    spoken = [languages(p) for p in mentees], [languages(p) for p in mentors]
    said = np.array([bool(s) for s in spoken[0]], np.bool_), np.array([bool(s) for s in spoken[1]], np.bool_)
    these, those = [s for s in spoken[0] if s], [s for s in spoken[1] if s]
    best, some = shared_tags([s[:1] for s in these], those), shared_tags(these, those)
    return *said, np.where(best > 0, 1.0, np.where(some > 0, SECOND_LANGUAGE, 0.0))


def _same(field: str, mentees: Sequence[Profile], mentors: Sequence[Profile]) -> tuple[Said, Said, Values]:
    said = _said(mentees, lambda p: getattr(p, field)), _said(mentors, lambda p: getattr(p, field))
    these, those = [v for p in mentees if (v := getattr(p, field))], [v for p in mentors if (v := getattr(p, field))]
    return *said, (np.array(these, object)[:, None] == np.array(those, object)[None, :]).astype(np.float64)


def ahead_value(years: Values) -> Values:
    """The value of so many years between them."""
    near = np.clip(years / YEARS_AHEAD, 0.0, 1.0)
    return np.minimum(near, np.clip(1.0 - (years - YEARS_FAR) / YEARS_SPAN, 0.5, 1.0))


# ---- one pair, in words ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spoken:
    """One part of one pair: what it is worth, and the number and items it is told with."""

    code: ReasonCode
    weight: float
    value: float
    number: float
    items: tuple[str, ...] = ()


def parts(mentee: Profile, mentor: Profile, weights: Weights, free: tuple[tuple[Span, ...], tuple[Span, ...]]) -> list[Spoken]:
    """The parts of which both said something. `free`: when the mentee and the mentor are."""
    found = []
    for part in TAGS:
        wanted, offered = part.mentee(mentee), part.mentor(mentor)
        if wanted and offered:
            shared = tuple(tag for tag in wanted if tag in set(offered))
            value = part.value(len(shared), len(wanted), len(offered))
            found.append(Spoken(part.code, getattr(weights, part.code.value), value, len(shared), shared))
    theirs, ours = languages(mentee), languages(mentor)
    if theirs and ours:
        shared = tuple(tag for tag in theirs if tag in ours)
        value = 1.0 if theirs[0] in ours else SECOND_LANGUAGE if shared else 0.0
        found.append(Spoken(ReasonCode.language, weights.language, value, len(shared), shared))
    if mentee.availability and mentor.availability:
        minutes = spans_overlap(*free)
        value = min(minutes / ENOUGH_MINUTES, 1.0)
        found.append(Spoken(ReasonCode.overlap_hours, weights.overlap_hours, value, round(minutes / 60, 2)))
    for code in SAME:
        one, other = getattr(mentee, code.value), getattr(mentor, code.value)
        if one and other:
            found.append(Spoken(code, getattr(weights, code.value), float(one == other), float(one == other), (one,)))
    if mentee.years_experience is not None and mentor.years_experience is not None:
        years = mentor.years_experience - mentee.years_experience
        value = float(ahead_value(np.float64(years)))  # type: ignore[arg-type]
        found.append(Spoken(ReasonCode.experience, weights.experience, value, round(years, 1)))
    return found


def score_of(spoken: Sequence[Spoken], weights: Weights) -> int:
    """The score of one pair from its parts; the same to the unit as `scores`."""
    total = weight = 0.0
    for part in spoken:
        total += part.weight * part.value
        weight += part.weight
    return round(UNIT * (total / max(weight, all_weights(weights) / 4, 1e-9)))


def reasons(spoken: Sequence[Spoken]) -> tuple[Reason, ...]:
    """What speaks for the pair, the weightiest first."""
    heavy = sorted((p for p in spoken if p.weight * p.value > 0), key=lambda p: (-p.weight * p.value, p.code.value))
    return tuple(Reason(code=p.code, number=p.number, items=p.items) for p in heavy)
