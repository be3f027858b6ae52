"""How well two people fit, in integer points, and the reasons for it.

    score(mentee, mentor) = Σ over parts of ⌊points · value⌋

A part's value lies in [0, 1] and is 0 where one of the two didn't say: what is unknown speaks neither for nor against a pair beyond the
points it doesn't bring, so saying more never lowers a score, and among equals those who said more go first (in the take-up counts
we know, a complete profile is what predicts that a suggestion is taken up). By a program's weights a part has

    points = 1,000,000 · weight / Σ weights,  in whole numbers that add up, the sum over the parts of which someone on each side said something,

so a score of 1.0 is the best that these people's statements can give, and is the same for a pair whoever else is compared with it. A
policy with parts of its own counts in its own points instead. Either way a score is a sum of terms (what the mentee says) × (what the
mentor says), which is what lets it be looked at for billions of pairs (`table`).

A wanted skill that the mentor doesn't offer brings half of its points where they offer one near it, and so does a wanted role where they held
one near it (`near`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from services.matching.domain.near import LEARNED, Near, Nearby, Tags, learned
from services.matching.domain.pool import Candidate, Span, languages, spans_overlap
from shared.events import Policy, Profile, Reason, ReasonCode

UNIT = 1_000_000
ENOUGH_MINUTES = 240
"""More than four hours a week together are no better than four."""
SECOND_LANGUAGE = 0.5
"""The value of a common language that isn't the mentee's best."""
YEARS_AHEAD, YEARS_FAR, YEARS_SPAN = 3.0, 12.0, 24.0
"""Three to twelve years ahead is best: near enough to remember. Beyond, the value falls to a half over twelve years more."""

WAITED_ENOUGH = 60
"""Days on the waitlist after which waiting counts in full; whoever the other side released needs none."""


def targets(profile: Profile) -> Tags:
    """The roles someone wants: `data-scientist` of the goal `role:data-scientist`."""
    return tuple(goal[5:] for goal in profile.goals if goal.startswith("role:"))


ASIDE: Mapping[str, int] = {ReasonCode.waiting.value: 0, ReasonCode.fair_load.value: 1}
"""Parts that say who goes first and not who fits, and on which side's statement alone they hang: 0 the mentee's, 1 the mentor's."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part whose value is the share of the mentee's tags that the mentor has: each shared tag brings the same points, rounded down."""

    code: str
    points: int
    mentee: Callable[[Candidate], Tags]
    mentor: Callable[[Candidate], Tags]
    instead: Callable[[Candidate, str], str] | None = None
    """What the mentor has instead of a tag, where the part is of tags near their own."""

    def spoken(self, mentee: Candidate, mentor: Candidate) -> "Spoken | None":
        """None where one of the two said nothing."""
        wanted, theirs = self.mentee(mentee), set(self.mentor(mentor))
        if not wanted or not theirs:
            return None
        shared = tuple(tag for tag in wanted if tag in theirs)
        near = tuple(self.instead(mentor, tag) for tag in shared) if self.instead else ()
        return Spoken(self.code, self.points // len(wanted) * len(shared), len(shared), shared, near)


@dataclass(frozen=True, slots=True)
class Kind:
    """A part whose value hangs on one statement of each: None where they didn't say."""

    code: str
    points: int
    mentee: Callable[[Candidate], Any]
    mentor: Callable[[Candidate], Any]
    value: Callable[[Any, Any], float]
    told: Callable[[Any, Any], tuple[float, Tags]]
    """The number and items it is told with."""

    def spoken(self, mentee: Candidate, mentor: Candidate) -> "Spoken | None":
        """None where one of the two said nothing."""
        one, other = self.mentee(mentee), self.mentor(mentor)
        if one is None or other is None:
            return None
        return Spoken(self.code, self.worth(one, other), *self.told(one, other))

    def worth(self, mentee: Any, mentor: Any) -> int:
        """Its points, for what the two say."""
        return 0 if mentee is None or mentor is None else int(self.points * self.value(mentee, mentor))


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a policy's own: points by how many steps the mentor is above the mentee."""

    name: str
    steps: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Shared:
    """A part of a policy's own: points times the share of the mentee's entries that the mentor has, by names of `Candidate.said`."""

    name: str
    points: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """The parts of a score. `minute_points`: of a minute a week in which both are free."""

    parts: tuple[Share | Kind, ...]
    minute_points: int
    unit: int
    """What 1.0 of the policy's own units is in integer points."""
    least: int
    """Nobody is paired below it; what is aside left out."""
    aside: Mapping[str, int] = field(default_factory=dict)
    """`ASIDE`, where the parts are those of a program's weights; a policy's own parts may have any name."""


NO_POINTS = Scoring((), 0, 1, 0)
"""By which a table says who may meet, and no more."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One part of one pair: its points, and the number and items it is told with."""

    code: str
    points: int
    number: float
    items: Tags = ()
    near: Tags = ()
    """What the mentor has instead of each item, where it isn't the same."""


# ---- the parts that a program's weights name ---------------------------------------------------------------------------


def _ahead(mentee: float, mentor: float) -> float:
    return ahead_value(mentor - mentee)


def ahead_value(years: float) -> float:
    """The value of so many years between them."""
    near = min(max(years / YEARS_AHEAD, 0.0), 1.0)
    return min(near, max(1.0 - (years - YEARS_FAR) / YEARS_SPAN, 0.5))


def _years_told(mentee: float, mentor: float) -> tuple[float, Tags]:
    return round(mentor - mentee, 1), ()


def _language(mentee: Tags, mentor: Tags) -> float:
    return 1.0 if mentee[0] in mentor else SECOND_LANGUAGE if set(mentee).intersection(mentor) else 0.0


def _language_told(mentee: Tags, mentor: Tags) -> tuple[float, Tags]:
    common = tuple(tag for tag in mentee if tag in mentor)
    return len(common), common


def _same(mentee: str, mentor: str) -> float:
    return float(mentee == mentor)


def _same_told(mentee: str, mentor: str) -> tuple[float, Tags]:
    return _same(mentee, mentor), (mentee,)


def _waiting(person: Candidate) -> tuple[int, bool] | None:
    """Whole days, so that there are few different statements."""
    if not person.waited and not person.first:
        return None
    return min(person.waited or 0, WAITED_ENOUGH), person.first


def _waited(mentee: tuple[int, bool], _: bool) -> float:
    return 1.0 if mentee[1] else mentee[0] / WAITED_ENOUGH


def _waited_told(mentee: tuple[int, bool], _: bool) -> tuple[float, Tags]:
    return mentee[0], ()


def _room(person: Candidate) -> tuple[int, int] | None:
    """Places that are free, and those that are taken."""
    return (person.places, person.taken) if person.places or person.taken else None


def _free_share(_: bool, mentor: tuple[int, int]) -> float:
    return mentor[0] / sum(mentor)


def _room_told(_: bool, mentor: tuple[int, int]) -> tuple[float, Tags]:
    return mentor[0], ()


def _whoever(_: Candidate) -> bool:
    return True


Shares = tuple[tuple[ReasonCode, Callable[[Profile], Tags], Callable[[Profile], Tags]], ...]
Kinds = tuple[tuple[ReasonCode, Callable[[Profile], Any], Callable[[Any, Any], float], Any], ...]
Statements = tuple[Shares, Kinds]
"""What the parts ask of the two, and what two answers are worth."""

SHARES: Shares = (
    (ReasonCode.skills, lambda p: p.skills_wanted, lambda p: p.skills_offered),
    (ReasonCode.has_made_the_move, targets, lambda p: p.roles_held),
    (ReasonCode.goals, lambda p: p.goals, lambda p: p.goals),
    (ReasonCode.values, lambda p: p.values, lambda p: p.values),
    (ReasonCode.interests, lambda p: p.interests, lambda p: p.interests),
)
KINDS: Kinds = (
    (ReasonCode.language, lambda p: languages(p) or None, _language, _language_told),
    (ReasonCode.industry, lambda p: p.industry, _same, _same_told),
    (ReasonCode.function, lambda p: p.function, _same, _same_told),
    (ReasonCode.location, lambda p: p.location, _same, _same_told),
    (ReasonCode.experience, lambda p: p.years_experience, _ahead, _years_told),
)


def _of_profile(ask: Callable[[Profile], Any], person: Candidate) -> Any:
    return ask(person.profile)


def _parts(points: Callable[[ReasonCode], int], among: Statements = (SHARES, KINDS)) -> list[Share | Kind]:
    """The parts that get points."""
    found: list[Share | Kind] = []
    for code, wanted, offered in among[0]:
        found.append(Share(code.value, points(code), partial(_of_profile, wanted), partial(_of_profile, offered)))
    for code, ask, value, told in among[1]:
        found.append(Kind(code.value, points(code), partial(_of_profile, ask), partial(_of_profile, ask), value, told))
    if among == (SHARES, KINDS):  # of peers nobody waits for another, or has another's places
        code = ReasonCode.waiting
        found.append(Kind(code.value, points(code), _waiting, _whoever, _waited, _waited_told))
        code = ReasonCode.fair_load
        found.append(Kind(code.value, points(code), _whoever, _room, _free_share, _room_told))
    return [part for part in found if part.points]


def _spoken_to(part: Share | Kind, mentees: Sequence[Candidate], mentors: Sequence[Candidate]) -> bool:
    """Whether someone on each side says something to it. Where no mentor with a place has somebody already, load is the same for all."""
    if part.code == ReasonCode.fair_load and not any(mentor.places and mentor.taken for mentor in mentors):
        return False
    return any(map(part.mentee, mentees)) and any(map(part.mentor, mentors))


def weighed(
    policy: Policy,
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    *,
    among: Statements = (SHARES, KINDS),
    near: Nearby = LEARNED,
) -> Scoring:
    """The parts of a program's score, for these people."""
    weights = policy.weights
    every = [part for part in _parts(lambda _: 1, among) if _spoken_to(part, mentees, mentors)]
    named = {part.code: weight for part in every if (weight := float(getattr(weights, part.code)))}
    hours = weights.overlap_hours if all(any(p.profile.availability for p in side) for side in (mentees, mentors)) else 0.0
    whole = sum(named.values())
    minute_points = int(hours * UNIT / (whole + hours) / ENOUGH_MINUTES) if hours else 0
    # Rounded by running sums, so that the points of all parts are a million together
    rest, before, points = UNIT - minute_points * ENOUGH_MINUTES, 0.0, {}
    for code, weight in named.items():
        points[code] = int((before + weight) * rest / whole) - int(before * rest / whole)
        before += weight
    whole_parts = _parts(lambda code: points.get(code.value, 0), among)
    parts = [part for part in _with_halves(whole_parts, near, mentees, mentors) if _spoken_to(part, mentees, mentors)]
    # Where nobody has said anything, nothing is too little
    judged = minute_points or any(part.code not in ASIDE for part in parts)
    return Scoring(tuple(parts), minute_points, UNIT, int(policy.least_score * UNIT) if judged else 0, ASIDE)


def _with_halves(
    parts: Sequence[Share | Kind], near: Nearby, mentees: Sequence[Candidate], mentors: Sequence[Candidate]
) -> Iterator[Share | Kind]:
    """These parts, each followed by the one of what is near, where there can be such a one."""
    for part in parts:
        yield part
        if isinstance(part, Share) and part.code == ReasonCode.skills:
            lists = chain(map(part.mentee, mentees), map(part.mentor, mentors))
            yield _half(part, ReasonCode.related_skills, learned(lists) if near.skills is None else near.skills)
        elif isinstance(part, Share) and part.code == ReasonCode.has_made_the_move:
            yield _half(part, ReasonCode.adjacent_role, near.roles)


def _half(part: Share, code: ReasonCode, near: Near) -> Share:
    """What is near the mentor's own tags brings half of what it would among them; so both parts bring no more than the one."""
    return Share(
        code.value, part.points // 2, part.mentee, partial(_beside, near, part.mentor), partial(_nearest, near, part.mentor)
    )


def _beside(near: Near, ask: Callable[[Candidate], Tags], person: Candidate) -> Tags:
    return near.beside(ask(person))


def _nearest(near: Near, ask: Callable[[Candidate], Tags], person: Candidate, tag: str) -> str:
    return near.nearest(tag, ask(person))


# ---- the parts of a policy of its own ----------------------------------------------------------------------------------


def _rank(person: Candidate) -> int | None:
    return person.profile.rank


def _said(name: str, person: Candidate) -> Tags:
    return person.said.get(name, ())


def _steps(steps: Mapping[int, float], most: float, mentee: int, mentor: int) -> float:
    return steps.get(mentor - mentee, 0.0) / most


def _steps_told(mentee: int, mentor: int) -> tuple[float, Tags]:
    return mentor - mentee, ()


def own_scoring(parts: Sequence[Step | Shared], least: float) -> Scoring:
    """The score that these parts make, in their own units; the finest step of a point is a power of ten."""
    most = sum(part.points if isinstance(part, Shared) else max(part.steps.values(), default=0.0) for part in parts)
    unit = 1
    while most * unit * 10 <= UNIT:
        unit *= 10
    found: list[Share | Kind] = []
    for part in parts:
        if isinstance(part, Shared):
            ask = partial(_said, part.name)
            found.append(Share(part.name, round(part.points * unit), ask, ask))
        else:
            top = max(part.steps.values(), default=0.0)
            value = partial(_steps, part.steps, top or 1.0)
            found.append(Kind(part.name, round(top * unit), _rank, _rank, value, _steps_told))
    return Scoring(tuple(found), 0, unit, round(least * unit))


# ---- one pair, in words ------------------------------------------------------------------------------------------------


def parts(
    mentee: Candidate, mentor: Candidate, scoring: Scoring, free: tuple[tuple[Span, ...], tuple[Span, ...]]
) -> list[Spoken]:
    """The parts of which both said something. `free`: when the mentee and the mentor are."""
    found = [spoken for part in scoring.parts if (spoken := part.spoken(mentee, mentor)) is not None]
    if scoring.minute_points and mentee.profile.availability and mentor.profile.availability:
        minutes = spans_overlap(*free)
        points = min(minutes, ENOUGH_MINUTES) * scoring.minute_points
        found.append(Spoken(ReasonCode.overlap_hours.value, points, round(minutes / 60, 2)))
    return found


def fit_of(spoken: Sequence[Spoken], scoring: Scoring) -> int:
    """What speaks for the two by themselves: a policy's least score is asked of that."""
    return sum(part.points for part in spoken if part.code not in scoring.aside)


def score_of(spoken: Sequence[Spoken]) -> int:
    """The score of one pair from its parts; the same to the unit as the table's."""
    return sum(part.points for part in spoken)


def reasons(spoken: Sequence[Spoken]) -> tuple[Reason, ...]:
    """What speaks for the pair, the weightiest first."""
    heavy = sorted((p for p in spoken if p.points > 0), key=lambda p: (-p.points, p.code))
    return tuple(Reason(code=ReasonCode(p.code), number=p.number, items=p.items, near=p.near) for p in heavy)
