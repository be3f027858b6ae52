"""`./ithaca match --mentors --mentees --format group`: groups, and whether a file of them is right."""

import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.cli.match_files import Asked, agree, give_up, part_names, peak_mb, progress, told, waiting
from deploy.cli.match_verify_groups import group_differences
from deploy.cli.match_words import explained_group, short
from services.matching.domain.groups import Groups, TooLargeError, groups
from services.matching.domain.score import Scoring, Spoken

SHOWN = 10


def run(asked: Asked, scoring: Scoring, out: Path | None, began: float, *, explain: bool, as_json: bool) -> None:
    """Make groups, write and show what was found. `began`: the clock when the command did."""
    solving = time.perf_counter()
    try:
        with progress(shown=not as_json) as say:
            found = groups(asked.people, asked.policy, datetime.now(UTC), scoring, say)
    except TooLargeError as error:
        give_up(error)
    result = _result(asked, found) | {
        "seconds": round(time.perf_counter() - began, 3),
        "solving_seconds": round(time.perf_counter() - solving, 3),
        "peak_mb": peak_mb(),
        "unmatched": dict(Counter(f"{left.role.value}:{left.reason.value}" for left in found.left).most_common()),
    }
    if out is not None:
        with told(out):
            _write(out, found, part_names(scoring))
    if explain or not as_json:
        _show(found, result, out, explain=explain)
    if as_json:
        print(json.dumps(result))
    if not found.groups:
        least = asked.policy.least_group_size
        give_up(
            "; ".join(
                [f"nobody can be matched: a group needs a mentor and {least} mentees who may all meet", *waiting(found.left)]
            )
        )


def _result(asked: Asked, found: Groups) -> dict[str, Any]:
    mentors, mentees = asked.files
    sizes = Counter(len(group.mentees) for group in found.groups)
    return {
        "mentees": len(mentees.people),
        "mentors": len(mentors.people),
        "groups": len(found.groups),
        "sizes": {str(size): sizes[size] for size in sorted(sizes)},
        "mentees_matched": sum(len(group.mentees) for group in found.groups),
        "mentors_matched": sum(len(group.mentors) for group in found.groups),
        "score": found.score_total / found.unit,
        "bound": (found.score_total + found.gap) / found.unit,
        "gap": found.gap / found.unit,
    }


def _write(out: Path, found: Groups, names: Sequence[str]) -> None:
    """A row per member; a mentee's score is with the group's mentors, on the average."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "role", "person_id", "score", *names])
        for number, group in enumerate(found.groups, 1):
            writer.writerows([number, "mentor", mentor, "", *[""] * len(names)] for mentor in group.mentors)
            unit = found.unit * len(group.mentors)
            for mentee, score, spoken in zip(group.mentees, group.scores, group.spoken_of, strict=True):
                writer.writerow([number, "mentee", mentee, f"{score / unit:.10g}", *_parts(spoken, names, unit)])


def _parts(spoken: Sequence[Spoken], names: Sequence[str], unit: int) -> list[str]:
    points = {part.code: part.points for part in spoken}
    return [f"{points[name] / unit:.10g}" if name in points else "" for name in names]


def verify(path: Path, asked: Asked, scoring: Scoring, *, as_json: bool) -> None:
    """Reckon a file of groups again. Ends the command with 1 on any difference."""
    with told(path):
        count, total, wrong = group_differences(path, asked.people, asked.policy, scoring, part_names(scoring))
    agree(path, {"groups": count}, total / scoring.unit, wrong, as_json=as_json)


def _show(found: Groups, result: dict[str, Any], out: Path | None, *, explain: bool) -> None:
    print(f"{result['mentors']:,} mentors\n{result['mentees']:,} mentees\n")
    for group in found.groups[:SHOWN]:
        if explain:
            print(explained_group(group.mentors, group.mentees, group.score, group.spoken, found.unit))
        else:
            members = f"{' + '.join(group.mentors)}: {', '.join(group.mentees)}"
            print(f"  {members}  {group.score / found.unit:.4g}  {short(group.spoken)}")
    if len(found.groups) > SHOWN:
        print(f"  … and {len(found.groups) - SHOWN:,} more" + (f", all in {out}" if out else "; --out FILE writes all"))
    sizes = ", ".join(f"{count:,} of {size}" for size, count in result["sizes"].items())
    share = result["score"] / result["bound"] if result["bound"] else 1.0
    print(
        f"\n{result['groups']:,} groups (mentees: {sizes}), score {result['score']:,.10g}: {share:.1%} of {result['bound']:,.10g}, "
        "which no such plan exceeds"
    )
    for line in waiting(found.left):
        print(f"  {line}")
    print(f"{result['seconds']:.1f} s, of which {result['solving_seconds']:.1f} s matching; {result['peak_mb']} MB")
