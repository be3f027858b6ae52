"""Is a file of peers' pairs or circles right? Each two reckoned again by themselves, in plain Python, with nothing of the solver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from deploy.cli.match_verify import SAYS, number_in, rows_of
from services.matching.domain.peer_score import peer_parts, peers_least, peers_unit
from services.matching.domain.pool import Candidate, Span, free_spans, monday_of
from services.matching.domain.rules import Broken, Lines, broken, kept_from
from services.matching.domain.score import Scoring, Spoken, score_of
from shared.events import Aim, Policy


@dataclass(frozen=True, slots=True)
class Reckoner:
    """What two peers score and whether they may meet, from what they say."""

    people: Mapping[str, Candidate]
    policy: Policy
    scoring: Scoring
    free: Mapping[str, tuple[Span, ...]]
    kept: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, people: Sequence[Candidate], policy: Policy, scoring: Scoring) -> "Reckoner":
        lines, monday = Lines(people), monday_of(datetime.now(UTC))
        return cls(
            {person.id: person for person in people},
            policy,
            scoring,
            {person.id: free_spans(person.profile, monday) for person in people},
            {person.id: kept_from(person, policy, lines) for person in people},
        )

    def spoken(self, one: str, other: str) -> list[Spoken]:
        return peer_parts(self.people[one], self.people[other], self.scoring, (self.free[one], self.free[other]))

    def broken(self, one: str, other: str) -> Broken:
        """The rule that these two break, in either direction."""
        for a, b in ((one, other), (other, one)):
            rule = broken(self.people[a], self.people[b], self.policy, self.kept[a], (self.free[a], self.free[b]))
            if rule is not Broken.none:
                return rule
        too_low = score_of(self.spoken(one, other)) < peers_least(self.scoring)
        return Broken.score if too_low else Broken.none


def pair_differences(
    path: Path, people: Sequence[Candidate], policy: Policy, scoring: Scoring, names: Sequence[str]
) -> tuple[int, int, list[str]]:
    """How many pairs the file holds, their score in integer points as reckoned here, and what is wrong, with its row."""
    known = Reckoner.of(people, policy, scoring)
    count = total = 0
    wrong: list[str] = []
    seen: dict[str, int] = {}
    for number, row in rows_of(path, ["person_id", "partner_id", "score", *names], wrong):
        count += 1
        two = row["person_id"], row["partner_id"]
        absent = [name for name in ("person_id", "partner_id") if row[name] not in known.people]
        if absent:
            wrong.append(f"row {number}, {absent[0]}: nobody has this id")
            continue
        wrong += twice(number, ("person_id", "partner_id"), row, seen)
        rule = known.broken(*two)
        if rule is not Broken.none:
            wrong.append(f"row {number}: {SAYS[rule]}")
        spoken = known.spoken(*two)
        total += score_of(spoken)
        wrong += wrong_numbers(number, row, names, spoken, 1, peers_unit(scoring))
    alone = [person for person in sorted(known.people) if person not in seen]
    if policy.aim is not Aim.score:
        wrong += [
            f"{one} and {other} are in no pair, and could be one"
            for one, other in combinations(alone, 2)
            if known.broken(one, other) is Broken.none
        ]
    return count, total, wrong


def circle_differences(
    path: Path, people: Sequence[Candidate], policy: Policy, scoring: Scoring, names: Sequence[str]
) -> tuple[int, int, list[str]]:
    """How many circles the file holds, the scores of all their pairs in integer points as reckoned here, and what is wrong."""
    known = Reckoner.of(people, policy, replace(scoring, least=0))  # which isn't asked of every two
    wrong: list[str] = []
    seen: dict[str, int] = {}
    circles: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in rows_of(path, ["circle", "person_id", "score", *names], wrong):
        if row["person_id"] not in known.people:
            wrong.append(f"row {number}, person_id: nobody has this id")
            continue
        wrong += twice(number, ("person_id",), row, seen)
        circles.setdefault(row["circle"], []).append((number, row))
    total = 0
    for name, rows in circles.items():
        total += _circle(known, name, rows, names, wrong)
    least, most = policy.least_circle_size, policy.most_circle_size
    for person in sorted(set(known.people) - set(seen)):
        for name, rows in circles.items():
            if len(rows) < most and all(known.broken(person, row["person_id"]) is Broken.none for _, row in rows):
                wrong.append(f"{person} is in no circle, and could be in circle {name}")
                break
    sizes = sorted(map(len, circles.values()))
    # With seven people and fours to sixes there is no other way than a larger one
    if sizes and sizes[-1] > most and any(-(-size // most) * least <= size for size in sizes if size > most):
        wrong.append(f"a circle of {sizes[-1]} is larger than the policy's {most}")
    return len(circles), total, wrong


def _circle(known: Reckoner, name: str, rows: list[tuple[int, dict[str, str]]], names: Sequence[str], wrong: list[str]) -> int:
    """The scores of all pairs of one circle; what is wrong with it goes to `wrong`."""
    least = known.policy.least_circle_size
    if len(rows) < least:
        wrong.append(f"circle {name}: {len(rows)} members are fewer than the policy's {least}")
    of_member: dict[int, list[Spoken]] = {number: [] for number, _ in rows}
    for (number, row), (other_number, other) in combinations(rows, 2):
        rule = known.broken(row["person_id"], other["person_id"])
        if rule is not Broken.none and row["person_id"] != other["person_id"]:
            wrong.append(f"rows {number} and {other_number}, circle {name}: {SAYS[rule]}")
        spoken = known.spoken(row["person_id"], other["person_id"])
        of_member[number] += spoken
        of_member[other_number] += spoken
    for number, row in rows:
        wrong += wrong_numbers(number, row, names, of_member[number], max(len(rows) - 1, 1), peers_unit(known.scoring))
    return sum(score_of(spoken) for spoken in of_member.values()) // 2


def twice(number: int, columns: Sequence[str], row: Mapping[str, str], seen: dict[str, int]) -> list[str]:
    """Who stands in the file already."""
    found = []
    for column in columns:
        if row[column] in seen:
            found.append(f"row {number}, {column}: the same person as in row {seen[row[column]]}")
        seen.setdefault(row[column], number)
    return found


def wrong_numbers(
    number: int, row: Mapping[str, str], names: Sequence[str], spoken: Sequence[Spoken], over: int, unit: int
) -> list[str]:
    """What the row says of score and parts, on the average `over` so many, where it isn't so."""
    points: dict[str, int] = {"score": score_of(spoken)}
    for part in spoken:
        points[part.code] = points.get(part.code, 0) + part.points
    found = []
    for name in ("score", *names):
        is_so = points.get(name, 0) / over
        said = number_in(row[name])
        if said is None or abs(said * unit - is_so) > 0.5:
            found.append(f"row {number}, {name}: {row[name] or 'nothing'} where it is {is_so / unit:.10g}")
    return found
