"""Match people from files, without the platform: the same rules, scores and proof as a match run."""

import csv
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deploy.cli.people_csv import People
    from services.matching.domain.plan import Candidate, Pair, Plan

SHOWN = 10
UNIT = 1_000_000


def match(
    mentors: Annotated[Path, typer.Option(help="CSV, plain or .gz: id, skills, languages, time_zone, country …")],
    mentees: Annotated[Path, typer.Option(help="CSV with the same columns; `skills` are those they want.")],
    capacity: Annotated[int, typer.Option(min=1, max=100, help="Mentees per mentor, where the file has no such column.")] = 1,
    aim: Annotated[str, typer.Option(help="everyone: most people with a partner, then the score · pairs · score")] = "everyone",
    out: Annotated[Path | None, typer.Option(help="Write the pairs there, as CSV.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are wrong, and say which.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON at the end, and nothing else.")] = False,
) -> None:
    """Match files of mentors and mentees: pairs, who is left and why, and the proof that no plan is better."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from deploy.cli.people_csv import BadCsvError, read_people  # noqa: PLC0415
    from services.matching.domain.plan import TooLargeError, plan  # noqa: PLC0415 - numpy
    from shared.events import Aim, Policy  # noqa: PLC0415

    if aim not in (Aim.everyone, Aim.pairs, Aim.score):
        raise typer.BadParameter("use everyone, pairs or score", param_hint="--aim")
    began = time.perf_counter()
    try:
        files = (
            read_people(mentors, "mentor", capacity, skip_bad=skip_bad),
            read_people(mentees, "mentee", skip_bad=skip_bad),
        )
        people = [*_candidates(files[0], "mentor"), *_candidates(files[1], "mentee")]
        solving = time.perf_counter()
        # The reference week for time zones is this one, as in a run
        found = plan(people, Policy(aim=Aim(aim), capacity=capacity), datetime.now(UTC))
    except (BadCsvError, TooLargeError) as error:
        sys.stderr.write(f"ithaca match: {error}\n")
        raise typer.Exit(1) from None
    result = _result(files, found, time.perf_counter() - began, time.perf_counter() - solving)
    if out is not None:
        _write(out, found.pairs)
    if as_json:
        print(json.dumps(result))
    else:
        _show(files, found, result, out)


def _candidates(file: "People", role: str) -> "list[Candidate]":
    from deploy.cli.people_csv import profile_of  # noqa: PLC0415
    from services.matching.domain.plan import Candidate  # noqa: PLC0415
    from shared.events import Role  # noqa: PLC0415

    return [
        Candidate(
            id=data["person"],
            organization="",
            role=Role(role),
            profile=profile_of(data),
            places=data.get("capacity", 1) if role == Role.mentor else 1,
            own_id=data["person"],
        )
        for data in file.people
    ]


def _result(files: "tuple[People, People]", found: "Plan", seconds: float, solving: float) -> dict[str, Any]:
    mentors, mentees = files
    return {
        "mentees": len(mentees.people),
        "mentors": len(mentors.people),
        "pairs": len(found.pairs),
        "mentees_matched": len({pair.mentee for pair in found.pairs}),
        "mentors_matched": len({pair.mentor for pair in found.pairs}),
        "score": found.score_total / UNIT,
        "gap": found.gap,
        "seconds": round(seconds, 3),
        "solving_seconds": round(solving, 3),
        "peak_mb": peak_mb(),
        "unmatched": dict(Counter(f"{left.role.value}:{left.reason.value}" for left in found.left).most_common()),
    }


def peak_mb() -> int:
    """The most memory this process has held, in MB. Linux' `ru_maxrss` would count what the process held that started us."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) // 1024
    import resource  # noqa: PLC0415 - not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024)


def _write(out: Path, pairs: "list[Pair]") -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["mentor_id", "mentee_id", "score", "reasons"])
        for pair in pairs:
            writer.writerow([pair.mentor, pair.mentee, pair.score / UNIT, " | ".join(_reasons(pair))])


def _reasons(pair: "Pair") -> list[str]:
    return [f"{r.code.value.replace('_', ' ')} {', '.join(r.items) or f'{r.number:g}'}" for r in pair.reasons]


def _show(files: "tuple[People, People]", found: "Plan", result: dict[str, Any], out: Path | None) -> None:
    for name, file in zip(("mentors", "mentees"), files, strict=True):
        ignored = f"; columns without meaning here: {', '.join(file.ignored)}" if file.ignored else ""
        print(f"{len(file.people):,} {name}{ignored}")
        for bad in file.bad:
            print(f"  left out: {bad}")
    print()
    for pair in found.pairs[:SHOWN]:
        print(f"  {pair.mentee} + {pair.mentor}  {pair.score / UNIT:.3f}  {'; '.join(_reasons(pair))}")
    if len(found.pairs) > SHOWN:
        print(f"  … and {len(found.pairs) - SHOWN:,} more" + (f", all in {out}" if out else "; --out FILE writes all"))
    certified = "no better plan exists (gap 0)" if found.gap == 0 else f"a better plan could exceed it by {found.gap}"
    print(f"\n{result['pairs']:,} pairs, score {result['score']:,.3f}; {certified}")
    for reason, count in result["unmatched"].items():
        role, _, why = reason.partition(":")
        print(f"  {count:,} {role}s wait: {why.replace('_', ' ')}")
    print(f"{result['seconds']:.1f} s, of which {result['solving_seconds']:.1f} s matching; {result['peak_mb']} MB")


def register(app: typer.Typer) -> None:
    """Enter this command."""
    app.command(rich_help_panel="With people")(match)


app = typer.Typer()
register(app)

if __name__ == "__main__":
    app()
