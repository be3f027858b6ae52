"""Is a file of pairs right? Each reckoned again by itself, in plain Python, with nothing of the solver."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from services.matching.domain.pool import Candidate, free_spans, monday_of
from services.matching.domain.rules import Broken, Lines, broken, kept_from
from services.matching.domain.score import Scoring, fit_of, parts, score_of
from shared.events import Policy, Role

SAYS = {
    Broken.apart: "the policy keeps these two apart",
    Broken.language: "these two have no common language",
    Broken.overlap: "these two are not free at the same time for long enough",
    Broken.score: "the score is below the policy's least",
}


def differences(
    path: Path, people: Sequence[Candidate], policy: Policy, scoring: Scoring, names: Sequence[str]
) -> tuple[int, int, list[str]]:
    """How many pairs the file holds, their score in integer points as reckoned here, and what is wrong, with its row."""
    known = {(person.role, person.id): person for person in people}
    lines, monday = Lines(people), monday_of(datetime.now(UTC))
    count = total = 0
    wrong: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    taken: Counter[tuple[Role, str]] = Counter()
    for number, row in rows_of(path, ["mentor_id", "mentee_id", "score", *names], wrong):
        mentor, mentee = known.get((Role.mentor, row["mentor_id"])), known.get((Role.mentee, row["mentee_id"]))
        count += 1
        if mentor is None or mentee is None:
            column = "mentor_id" if mentor is None else "mentee_id"
            wrong.append(f"row {number}, {column}: nobody has this id")
            continue
        first = seen.setdefault((mentor.id, mentee.id), number)
        if first != number:
            wrong.append(f"row {number}: the same pair as row {first}")
        taken[Role.mentor, mentor.id] += 1
        taken[Role.mentee, mentee.id] += 1
        wrong += [
            f"row {number}, {person.role.value}_id: more partners than the {person.places} that this one has places for"
            for person in (mentor, mentee)
            if taken[person.role, person.id] == person.places + 1
        ]
        free = free_spans(mentee.profile, monday), free_spans(mentor.profile, monday)
        spoken = parts(mentee, mentor, scoring, free)
        score = score_of(spoken)
        total += score
        rule = broken(mentee, mentor, policy, kept_from(mentee, policy, lines), free)
        if rule is Broken.none and fit_of(spoken, scoring) < scoring.least:
            rule = Broken.score
        if rule is not Broken.none:
            wrong.append(f"row {number}: {SAYS[rule]}")
        points = {part.code: part.points for part in spoken} | {"score": score}
        for name in ("score", *names):
            told = number_in(row[name])
            if told is None or abs(told * scoring.unit - points.get(name, 0)) > 0.5:
                wrong.append(
                    f"row {number}, {name}: {row[name] or 'nothing'} where it is {points.get(name, 0) / scoring.unit:.10g}"
                )
    return count, total, wrong


def number_in(text: str) -> float | None:
    try:
        return float(text or 0)
    except ValueError:
        return None


def rows_of(path: Path, expected: Sequence[str], wrong: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(row number, cells by column) of each row."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if header != list(expected):
                wrong.append(f"the header is not {','.join(expected)}")
                return
            for number, cells in enumerate(reader, 2):
                if len(cells) == len(header):
                    yield number, dict(zip(header, cells, strict=True))
                elif cells:
                    wrong.append(f"row {number}: {len(cells)} fields where the header has {len(header)}")
    except (csv.Error, UnicodeDecodeError) as error:
        wrong.append(f"this is no CSV file in UTF-8: {error}")
