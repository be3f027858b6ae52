"""Is a file of groups right? Each two of a group reckoned again by themselves, in plain Python, with nothing of the solver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from deploy.cli.match_verify import SAYS, rows_of
from deploy.cli.match_verify_peers import twice, wrong_numbers
from services.matching.domain.pool import Candidate, Span, free_spans, monday_of
from services.matching.domain.rules import Broken, Lines, among_equals, broken, kept_from
from services.matching.domain.score import Scoring, Spoken, parts, score_of
from shared.events import Policy, Role

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reckoner:
    """What a mentee and a mentor score, and who may share a group, from what they say."""

    people: Mapping[tuple[str, str], Candidate]
    policy: Policy
    scoring: Scoring
    free: Mapping[tuple[str, str], tuple[Span, ...]]
    lines: Lines

    def spoken(self, mentee: str, mentor: str) -> list[Spoken]:
        a, b = (Role.mentee.value, mentee), (Role.mentor.value, mentor)
        return parts(self.people[a], self.people[b], self.scoring, (self.free[a], self.free[b]))

    def taught(self, mentee: str, mentor: str) -> Broken:
        """The rule that these two break."""
        return self._broken(("mentee", mentee), ("mentor", mentor), self.policy)

    def together(self, one: str, other: str, role: str = "mentee") -> Broken:
        """The rule that keeps two mentees, or two mentors, from sharing a group."""
        policy = among_equals(self.policy)
        there = self._broken((role, one), (role, other), policy)
        return there if there is not Broken.none else self._broken((role, other), (role, one), policy)

    def _broken(self, a: tuple[str, str], b: tuple[str, str], policy: Policy) -> Broken:
        kept = kept_from(self.people[a], policy, self.lines)
        return broken(self.people[a], self.people[b], policy, kept, (self.free[a], self.free[b]))


def group_differences(
    path: Path, people: Sequence[Candidate], policy: Policy, scoring: Scoring, names: Sequence[str]
) -> tuple[int, int, list[str]]:
    """How many groups the file holds, the mentees' scores with their mentors in integer points as reckoned here, and what is wrong."""
    monday = monday_of(datetime.now(UTC))
    everyone = {(person.role.value, person.id): person for person in people}
    free = {key: free_spans(person.profile, monday) for key, person in everyone.items()}
    known = Reckoner(everyone, policy, scoring, free, Lines(people))
    wrong: list[str] = []
    seen: dict[str, dict[str, int]] = {"mentor": {}, "mentee": {}}
    groups: dict[str, list[tuple[int, Row]]] = {}
    for number, row in rows_of(path, ["group", "role", "person_id", "score", *names], wrong):
        if row["role"] not in seen:
            wrong.append(f"row {number}, role: {row['role'] or 'nothing'} where it is mentor or mentee")
        elif (row["role"], row["person_id"]) not in everyone:
            wrong.append(f"row {number}, person_id: nobody has this id")
        else:
            wrong += twice(number, ("person_id",), row, seen[row["role"]])
            groups.setdefault(row["group"], []).append((number, row))
    total = sum(_group(known, name, rows, names, wrong) for name, rows in groups.items())
    wrong += _could_be_placed(known, groups, seen["mentee"])
    return len(groups), total, wrong


def _of(rows: Sequence[tuple[int, Row]], role: str) -> list[tuple[int, Row]]:
    return [(number, row) for number, row in rows if row["role"] == role]


def _group(known: Reckoner, name: str, rows: list[tuple[int, Row]], names: Sequence[str], wrong: list[str]) -> int:
    """The scores of one group's mentees with its mentors; what is wrong with it goes to `wrong`."""
    mentors, mentees = _of(rows, "mentor"), _of(rows, "mentee")
    least, most = known.policy.least_group_size, known.policy.most_group_size
    if not 1 <= len(mentors) <= 2:
        wrong.append(f"group {name}: {len(mentors)} mentors where one or two lead it")
    if not least <= len(mentees) <= most:
        wrong.append(f"group {name}: {len(mentees)} mentees where the policy has from {least} to {most}")
    for (number, row), (other_number, other) in (*combinations(mentors, 2), *combinations(mentees, 2)):
        rule = known.together(row["person_id"], other["person_id"], row["role"])
        if rule is not Broken.none and row["person_id"] != other["person_id"]:
            wrong.append(f"rows {number} and {other_number}, group {name}: {SAYS[rule]}")
    total = 0
    for number, row in mentees:
        spoken: list[Spoken] = []
        for other_number, other in mentors:
            rule = known.taught(row["person_id"], other["person_id"])
            if rule is not Broken.none:
                wrong.append(f"rows {other_number} and {number}, group {name}: {SAYS[rule]}")
            spoken += known.spoken(row["person_id"], other["person_id"])
        total += score_of(spoken)
        wrong += wrong_numbers(number, row, names, spoken, max(len(mentors), 1), known.scoring.unit)
    return total


def _could_be_placed(known: Reckoner, groups: Mapping[str, list[tuple[int, Row]]], seen: Mapping[str, int]) -> list[str]:
    """Mentees in no group for whom one has room."""
    found = []
    for role, person in sorted(known.people):
        if role != "mentee" or person in seen:
            continue
        for name, rows in groups.items():
            mentees = _of(rows, "mentee")
            if (
                len(mentees) < known.policy.most_group_size
                and all(known.together(person, row["person_id"]) is Broken.none for _, row in mentees)
                and all(known.taught(person, row["person_id"]) is Broken.none for _, row in _of(rows, "mentor"))
            ):
                found.append(f"{person} is in no group, and could be in group {name}")
                break
    return found
