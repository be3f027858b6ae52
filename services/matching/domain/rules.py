"""The hard rules: who may be paired at all. Each is looked at for all pairs at once; the first that is broken is remembered."""

from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.pool import Candidate, Counts, languages, shared_tags
from shared.events import AcrossOrganizations, Policy

LINE_DEPTH = 20
"""How far up a line of managers is followed."""


class Broken(IntEnum):
    """The rule that keeps two people apart, in the order in which they are looked at: the higher, the closer they came."""

    none = 0
    apart = 1
    """Not oneself, one's own line, a recent partner, or whom the program keeps apart (organization, rank, years)."""
    language = 2
    overlap = 3
    score = 4


def broken(
    mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: Policy, minutes: Counts, *, lines: "Lines"
) -> NDArray[np.uint8]:
    """The first rule that each pair breaks, an array (mentees, mentors) of `Broken`; the score's rule is looked at elsewhere.

    `minutes`: of overlap, for the same people.
    """
    found = np.zeros((len(mentees), len(mentors)), np.uint8)
    if policy.least_overlap_hours > 0:
        said = np.ix_([bool(p.profile.availability) for p in mentees], [bool(p.profile.availability) for p in mentors])
        found[said] = np.where(minutes[said] < policy.least_overlap_hours * 60, Broken.overlap, Broken.none)
    if policy.common_language:
        spoken = [languages(p.profile) for p in mentees], [languages(p.profile) for p in mentors]
        said = np.ix_([bool(s) for s in spoken[0]], [bool(s) for s in spoken[1]])
        found[said] = np.where(shared_tags(*spoken)[said] == 0, Broken.language, found[said])
    found[kept_apart(mentees, mentors, policy)] = Broken.apart
    place = {mentor.id: column for column, mentor in enumerate(mentors)}
    for row, mentee in enumerate(mentees):
        for other in {mentee.id, *mentee.apart, *(lines.of(mentee) if policy.not_in_own_line else ())}:
            if other in place:
                found[row, place[other]] = Broken.apart
    return found


def kept_apart(mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: Policy) -> NDArray[np.bool_]:
    """Whom the program's rules on organizations, ranks and years keep apart."""
    found = np.zeros((len(mentees), len(mentors)), np.bool_)
    if policy.organizations in (AcrossOrganizations.only_other, AcrossOrganizations.only_same):
        homes = np.array([p.organization for p in mentees])[:, None] == np.array([p.organization for p in mentors])[None, :]
        found |= homes if policy.organizations is AcrossOrganizations.only_other else ~homes
    for least, most, field in (
        (policy.least_ranks_above, policy.most_ranks_above, "rank"),
        (policy.least_years_more, policy.most_years_more, "years_experience"),
    ):
        if least is None and most is None:
            continue
        above = numbers(mentors, field)[None, :] - numbers(mentees, field)[:, None]  # NaN, where one didn't say, breaks nothing
        if least is not None:
            found |= above < least
        if most is not None:
            found |= above > most
    return found


def numbers(people: Sequence[Candidate], field: str) -> NDArray[np.float64]:
    """A number of each profile, NaN where it isn't said."""
    return np.array([np.nan if (n := getattr(p.profile, field)) is None else n for p in people], np.float64)


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
