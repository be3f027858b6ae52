"""The hard rules: who may be paired at all."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from operator import attrgetter, eq, ne
from typing import Any

from services.matching.domain.model import Against, Personal
from services.matching.domain.personal import may_meet
from services.matching.domain.pool import Candidate, Span, languages, spans_overlap
from shared.events import AcrossOrganizations, Policy

LINE_DEPTH = 20
"""How far up a line of managers is followed."""


class Broken(IntEnum):
    """The rule that keeps two people apart, in the order in which they are looked at: the higher, the closer they came."""

    none = 0
    apart = 1
    """Not oneself, one's own line, a recent partner, whom the program keeps apart (organization, rank, years), or one of the two does."""
    language = 2
    overlap = 3
    score = 4


BROKEN = {
    Against.kept_apart: Broken.apart,
    Against.organizations: Broken.apart,
    Against.ranks: Broken.apart,
    Against.years: Broken.apart,
    Against.language: Broken.language,
    Against.overlap: Broken.overlap,
    Against.least_score: Broken.score,
    Against.other: Broken.apart,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule on one statement of each; who didn't say (None) breaks none."""

    against: Against
    says: Callable[[Candidate], Any]
    breaks: Callable[[Any, Any], bool]
    """Of what the mentee and the mentor say."""

    @property
    def broken(self) -> Broken:
        return BROKEN[self.against]


def _spoken(person: Candidate) -> tuple[str, ...] | None:
    return languages(person.profile) or None


def _organization(person: Candidate) -> str | None:
    return person.organization or None


def _rank(person: Candidate) -> int | None:
    return person.profile.rank


def _years(person: Candidate) -> float | None:
    return person.profile.years_experience


def _nothing_common(mentee: tuple[str, ...], mentor: tuple[str, ...]) -> bool:
    return not set(mentee).intersection(mentor)


def _outside(least: float | None, most: float | None, mentee: float, mentor: float) -> bool:
    above = mentor - mentee
    return (least is not None and above < least) or (most is not None and above > most)


def _kept_apart(mentee: Personal, mentor: Personal) -> bool:
    return not may_meet(mentee, mentor)


def rules(policy: Policy) -> list[Rule]:
    """The policy's rules and people's own, those that keep people furthest apart first."""
    found = [Rule(Against.other, attrgetter("personal"), _kept_apart)]
    if policy.organizations is AcrossOrganizations.only_other:
        found.append(Rule(Against.organizations, _organization, eq))
    elif policy.organizations is AcrossOrganizations.only_same:
        found.append(Rule(Against.organizations, _organization, ne))
    for against, least, most, says in (
        (Against.ranks, policy.least_ranks_above, policy.most_ranks_above, _rank),
        (Against.years, policy.least_years_more, policy.most_years_more, _years),
    ):
        if least is not None or most is not None:
            found.append(Rule(against, says, partial(_outside, least, most)))
    if policy.common_language:
        found.append(Rule(Against.language, _spoken, _nothing_common))
    return found


def alike(people: Sequence[Candidate], policy: Policy) -> list[Candidate]:
    """In an order in which those lie together whom the rules keep from the same others, and then those who offer the same: so whole
    stretches of them need not be looked at, and who is looked at together lies together.
    """
    spoken = Counter(language for person in people for language in _spoken(person) or ())
    says = [rule.says for rule in rules(policy) if rule.against is not Against.other]

    def comparable(said: Any) -> tuple[Any, ...]:
        if isinstance(said, tuple):  # languages, the commonest first
            said = sorted(said, key=lambda language: (-spoken[language], language))
        return () if said is None else (said,)

    def key(person: Candidate) -> tuple[Any, ...]:
        return *(comparable(say(person)) for say in says), sorted(person.profile.skills_offered)

    return sorted(people, key=key)


def least_minutes(policy: Policy) -> int:
    """Of overlap in a week, where both have said when they are free; whole minutes, since overlaps are."""
    return -int(-policy.least_overlap_hours * 60 // 1)


def rule_against(
    mentee: Candidate, mentor: Candidate, policy: Policy, apart: frozenset[str], free: tuple[tuple[Span, ...], tuple[Span, ...]]
) -> Against | None:
    """The first rule that this pair breaks; the score's rule is looked at elsewhere.

    `apart`: those with whom the mentee isn't paired, by id. `free`: when the two are.
    """
    if mentor.id in apart:
        return Against.kept_apart
    for rule in rules(policy):
        one, other = rule.says(mentee), rule.says(mentor)
        if one is not None and other is not None and rule.breaks(one, other):
            return rule.against
    if mentee.profile.availability and mentor.profile.availability and spans_overlap(*free) < least_minutes(policy):
        return Against.overlap
    return None


def broken(
    mentee: Candidate, mentor: Candidate, policy: Policy, apart: frozenset[str], free: tuple[tuple[Span, ...], tuple[Span, ...]]
) -> Broken:
    """The same, by how close the two came."""
    rule = rule_against(mentee, mentor, policy, apart, free)
    return BROKEN[rule] if rule else Broken.none


def among_equals(policy: Policy) -> Policy:
    """The rules that hold between two mentees, or two mentors, of a group."""
    between_sides = ("least_ranks_above", "most_ranks_above", "least_years_more", "most_years_more")
    return policy.model_copy(update=dict.fromkeys(between_sides) | {"organizations": AcrossOrganizations.any})


class Lines:
    """Who is above whom: lines of managers within an organization, by the organization's own ids."""

    def __init__(self, people: Sequence[Candidate]) -> None:
        self.ids = {(p.organization, p.own_id): p.id for p in people if p.own_id}
        self.above = {(p.organization, p.own_id): p.profile.reports_to for p in people if p.own_id}
        self.below: dict[str, set[str]] = {}
        for person in people:
            for manager in self._managers(person):
                self.below.setdefault(manager, set()).add(person.id)
        self.managers = {p.id: set(self._managers(p)) for p in people if p.profile.reports_to}

    def _managers(self, person: Candidate) -> Iterator[str]:
        own_id = person.profile.reports_to
        for _ in range(LINE_DEPTH):
            if own_id is None:
                return
            place = (person.organization, own_id)
            if place in self.ids:
                yield self.ids[place]
            own_id = self.above.get(place)

    def of(self, person: Candidate) -> set[str]:
        """Everyone in the person's line, above and below."""
        return self.managers.get(person.id, set()) | self.below.get(person.id, set())


def kept_from(person: Candidate, policy: Policy, lines: Lines) -> frozenset[str]:
    """Those with whom this person is never paired, by id: oneself, recent partners, one's own line."""
    return frozenset({person.id, *person.apart, *(lines.of(person) if policy.not_in_own_line else ())})
