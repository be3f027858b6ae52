"""Match people from files, without the platform: the same rules, scores and proof as a match run."""

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from deploy.cli.people_csv import People
    from services.matching.domain.plan import Candidate, Help, Left, Pair, Plan
    from services.matching.domain.score import Scoring
    from shared.events import Policy

SHOWN = 10
AIMS = ("everyone", "pairs", "score", "fair")

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)

MentorsFile = Annotated[Path | None, typer.Option(help="CSV, plain or .gz: id, skills, languages, time_zone, country …")]
MenteesFile = Annotated[Path | None, typer.Option(help="CSV with the same columns; `skills` are those they want.")]
PolicyPath = Annotated[
    Path | None, typer.Option("--policy", help="Rules, weights and names of columns: TOML or JSON, see examples/policies.")
]
Capacity = Annotated[int | None, typer.Option(min=1, max=100, help="Mentees per mentor, where the file has no such column.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are wrong, and say which.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON at the end, and nothing else.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the files say: the people, and the policy by which they are matched."""

    files: "tuple[People, People]"
    people: "list[Candidate]"
    policy: "Policy"
    own: "Scoring | None"


@app.callback()
def match(
    context: typer.Context,
    mentors: MentorsFile = None,
    mentees: MenteesFile = None,
    policy: PolicyPath = None,
    aim: Annotated[
        str | None,
        typer.Option(
            help="everyone: most people with a partner, then the score · pairs: most pairs, then the score · score · fair: the "
            "lowest score as high as can be, then the score"
        ),
    ] = None,
    capacity: Capacity = None,
    out: Annotated[Path | None, typer.Option(help="Write the pairs there, as CSV.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say of each pair shown why, in words for the two.")] = False,
    what_if: Annotated[bool, typer.Option("--what-if", help="Also say whose one place more would help most.")] = False,
    preferences: Annotated[
        Path | None,
        typer.Option(help="Match by choice instead: a JSON file of residents, hospitals (lists, best first) and capacities."),
    ] = None,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Match files of mentors and mentees: pairs, who is left and why, and the proof that no plan is better."""
    if context.invoked_subcommand is not None:
        return
    if preferences is not None:
        by_choice(preferences, out, as_json=as_json)
        return
    began = time.perf_counter()
    asked = read(mentors, mentees, policy, capacity, aim, skip_bad=skip_bad)
    from services.matching.domain.plan import TooLargeError, plan  # noqa: PLC0415 - numpy, OR-tools

    solving = time.perf_counter()
    try:
        with progress(shown=not as_json) as say:
            # The reference week for time zones is this one, as in a run
            found = plan(asked.people, asked.policy, datetime.now(UTC), asked.own, say, what_if=what_if)
    except TooLargeError as error:
        give_up(error)
    result = _result(asked.files, found, time.perf_counter() - began, time.perf_counter() - solving)
    if out is not None:
        with told(out):
            _write(out, found, asked)
    if explain or not as_json:
        _show(asked, found, result, out, explain=explain)
    if as_json:
        print(json.dumps(result))
    if not found.pairs:
        give_up("nobody can be paired: " + ("; ".join(_waiting(found.left)) or "there are no people on one of the sides"))


def read(
    mentors: Path | None, mentees: Path | None, path: Path | None, capacity: int | None, aim: str | None, *, skip_bad: bool
) -> Asked:
    """The files and the policy. Ends the command, in words, where one is wrong."""
    from deploy.cli.people_csv import BadCsvError, Naming, read_people  # noqa: PLC0415
    from deploy.cli.policy_file import BadPolicyError, PolicyFile, read_policy  # noqa: PLC0415
    from shared.events import Aim  # noqa: PLC0415

    if aim is not None and aim not in AIMS:
        raise typer.BadParameter(f"use one of {', '.join(AIMS)}", param_hint="--aim")
    if mentors is None or mentees is None:
        missing = "--mentors" if mentors is None else "--mentees"
        raise typer.BadParameter("give both files, --mentors and --mentees, or --preferences", param_hint=missing)
    try:
        said = read_policy(path) if path is not None else PolicyFile()
        whole = said.policy()
        update = {name: value for name, value in (("aim", aim and Aim(aim)), ("capacity", capacity)) if value is not None}
        whole = whole.model_copy(update=update)
        files = []
        for file, role, places in ((mentors, "mentor", whole.capacity), (mentees, "mentee", said.wishes)):
            naming = Naming(said.names(), said.order.rank, said.own_columns(role))
            files.append(read_people(file, role, places, skip_bad=skip_bad, naming=naming))  # type: ignore[arg-type]
    except (BadCsvError, BadPolicyError) as error:
        give_up(error)
    nowhere = [name for name in files[0].absent if name in files[1].absent]
    if nowhere and path is not None:
        give_up(f"{path.name}: columns: neither {mentors.name} nor {mentees.name} has a column {nowhere[0]}")
    people = [*_candidates(files[0], "mentor"), *_candidates(files[1], "mentee")]
    return Asked((files[0], files[1]), people, whole, said.scoring())


def give_up(why: object) -> NoReturn:
    for line in str(why).splitlines():
        sys.stderr.write(f"ithaca match: {line}\n")
    raise typer.Exit(1) from None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """A file that can't be written or read ends the command in words."""
    try:
        yield
    except OSError as error:
        give_up(f"{path.name}: {error.strerror}")


@contextmanager
def progress(*, shown: bool) -> Iterator[Callable[[str], None]]:
    """Where the solver stands, on a terminal that waits for long."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing")
        yield lambda line: bar.update(task, description=line)


def _candidates(file: "People", role: str) -> "list[Candidate]":
    from services.matching.domain.pool import Candidate  # noqa: PLC0415
    from shared.events import Profile, Role  # noqa: PLC0415

    nothing = Profile(time_zone="UTC")
    return [
        Candidate(
            id=event.person,
            organization=organization,
            role=Role(role),
            profile=event.profile(nothing),
            places=event.capacity or 1,
            own_id=event.person,
            said=said,
        )
        for event, organization, said in zip(file.events, file.organizations, file.said, strict=True)
    ]


def _result(files: "tuple[People, People]", found: "Plan", seconds: float, solving: float) -> dict[str, Any]:
    mentors, mentees = files
    return {
        "mentees": len(mentees.people),
        "mentors": len(mentors.people),
        "pairs": len(found.pairs),
        "mentees_matched": len({pair.mentee for pair in found.pairs}),
        "mentors_matched": len({pair.mentor for pair in found.pairs}),
        "score": found.score_total / found.unit,
        "bound": (found.score_total + found.gap) / found.unit,
        "gap": found.gap / found.unit,
        "seconds": round(seconds, 3),
        "solving_seconds": round(solving, 3),
        "peak_mb": peak_mb(),
        "unmatched": dict(Counter(left.reason.value for left in found.left).most_common()),
    } | (
        {
            "helps": [
                {"mentor": h.mentor, "people": h.people, "pairs": h.pairs, "score": h.score / found.unit} for h in found.helps
            ]
        }
        if found.helps
        else {}
    )


def peak_mb() -> int:
    """The most memory this process has held, in MB. Linux' `ru_maxrss` would count what the process held that started us."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) // 1024
    import resource  # noqa: PLC0415 - not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024)


# ---- pairs as a file, and whether one is right -------------------------------------------------------------------------


def part_names(scoring: "Scoring") -> list[str]:
    """The parts that a score has, in the order of its columns."""
    return [*(part.code for part in scoring.parts), *(["overlap_hours"] if scoring.minute_points else [])]


def scoring_of(asked: Asked) -> "Scoring":
    from services.matching.domain.score import weighed  # noqa: PLC0415
    from shared.events import Role  # noqa: PLC0415

    sides = [[person for person in asked.people if person.role is role] for role in (Role.mentee, Role.mentor)]
    return asked.own or weighed(asked.policy, *sides)


def _write(out: Path, found: "Plan", asked: Asked) -> None:
    names = part_names(scoring_of(asked))
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["mentor_id", "mentee_id", "score", *names])
        for pair in found.pairs:
            points = {part.code: part.points for part in pair.spoken}
            parts = [f"{points[name] / found.unit:g}" if name in points else "" for name in names]
            writer.writerow([pair.mentor, pair.mentee, f"{pair.score / found.unit:.10g}", *parts])


@app.command()
def verify(
    pairs: Annotated[Path, typer.Argument(help="What `match --out` has written.")],
    mentors: MentorsFile = None,
    mentees: MenteesFile = None,
    policy: PolicyPath = None,
    capacity: Capacity = None,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Reckon each pair of a file again, without the solver: rules, places, score and its parts. Ends with 1 on any difference."""
    from deploy.cli.match_verify import differences  # noqa: PLC0415 - for this command only

    asked = read(mentors, mentees, policy, capacity, None, skip_bad=skip_bad)
    scoring = scoring_of(asked)
    with told(pairs):
        count, total, wrong = differences(pairs, asked.people, asked.policy, scoring, part_names(scoring))
    for line in wrong[:20]:
        sys.stderr.write(f"ithaca match: {pairs.name}: {line}\n")
    if len(wrong) > 20:
        sys.stderr.write(f"ithaca match: {pairs.name}: and {len(wrong) - 20} more\n")
    if as_json:
        print(json.dumps({"pairs": count, "score": total / scoring.unit, "differences": len(wrong)}))
    else:
        print(f"{count:,} pairs, score {total / scoring.unit:,.10g}: {'all agree' if not wrong else f'{len(wrong)} differences'}")
    if wrong:
        raise typer.Exit(1)


# ---- by choice ---------------------------------------------------------------------------------------------------------


def by_choice(path: Path, out: Path | None, *, as_json: bool) -> None:
    """Deferred acceptance from a file of preferences."""
    from deploy.cli.preferences import BadPreferencesError, read_preferences  # noqa: PLC0415
    from services.matching.domain.stable import blocking, matched, mutual  # noqa: PLC0415

    began = time.perf_counter()
    try:
        wishes = read_preferences(path)
    except BadPreferencesError as error:
        give_up(error)
    given = wishes.residents, wishes.hospitals, wishes.capacities
    found = matched(*given)
    if out is not None:
        with told(out), out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("resident_id", "hospital_id"), *sorted(found.items())])
    result = {
        "residents": len(wishes.residents),
        "hospitals": len(wishes.hospitals),
        "pairs": len(found),
        "matches": {resident: found.get(resident) for resident in wishes.residents},
        "unmatched": [resident for resident in wishes.residents if resident not in found],
        "dropped": mutual(wishes.residents, wishes.hospitals)[2],
        "blocking_pairs": len(blocking(*given, found)),
        "seconds": round(time.perf_counter() - began, 3),
    }
    if as_json:
        print(json.dumps(result))
        return
    for resident, hospital in list(found.items())[:SHOWN]:
        print(f"  {resident} → {hospital}")
    if len(found) > SHOWN:
        print(f"  … and {len(found) - SHOWN:,} more" + (f", all in {out}" if out else "; --out FILE writes all"))
    print(f"\n{len(found):,} of {len(wishes.residents):,} have a place; {result['blocking_pairs']} pairs would rather change;")
    print(f"{result['dropped']:,} wishes of one side only were dropped")


# ---- in words ----------------------------------------------------------------------------------------------------------


def _short(pair: "Pair") -> str:
    heavy = sorted((part for part in pair.spoken if part.points > 0), key=lambda part: -part.points)
    return "; ".join(f"{part.code.replace('_', ' ')} {', '.join(part.items) or f'{part.number:g}'}" for part in heavy)


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def explained(pair: "Pair", unit: int) -> str:
    """Why these two, as one would tell the mentor."""
    lines = [f"{pair.mentee} for {pair.mentor} ({pair.score / unit:.10g})"]
    for part in sorted((part for part in pair.spoken if part.points > 0), key=lambda part: -part.points):
        named, say = listing(part.items), SENTENCES.get(part.code)
        text = (
            say.format(items=named, number=part.number)
            if say
            else f"{part.code.replace('_', ' ')}: {named or f'{part.number:+g}'}"
        )
        lines.append(f"  - {text} (+{part.points / unit:.4g})")
    if len(lines) == 1:
        lines.append("  - nothing that either has said speaks for it; no rule forbids it, and both would otherwise be alone")
    return "\n".join(lines)


SENTENCES = {
    "skills": "They want to learn {items}, which you offer.",
    "has_made_the_move": "They want to become {items}, which you are or were.",
    "goals": "You share a goal: {items}.",
    "values": "You both hold dear: {items}.",
    "interests": "You are both interested in {items}.",
    "language": "You both speak {items}.",
    "industry": "You both know the industry: {items}.",
    "function": "You work in the same function: {items}.",
    "location": "You are in the same place: {items}.",
    "experience": "You are {number:g} years ahead of them at work.",
    "waiting": "They have waited {number:g} days.",
    "overlap_hours": "You are both free for {number:g} hours a week.",
}


def _waiting(left: "Sequence[Left]") -> list[str]:
    counts = Counter((one.role.value, one.reason.value) for one in left)
    return [f"{count:,} {role}s wait: {reason.replace('_', ' ')}" for (role, reason), count in counts.most_common()]


def _gain(one: "Help", unit: int) -> str:
    people = f"{one.people} more matched, " if one.people else ""
    return f"{people}score {one.score / unit:+,.4g}"


def _show(asked: Asked, found: "Plan", result: dict[str, Any], out: Path | None, *, explain: bool) -> None:
    for name, file in zip(("mentors", "mentees"), asked.files, strict=True):
        ignored = f"; columns without meaning here: {', '.join(file.ignored)}" if file.ignored else ""
        print(f"{len(file.people):,} {name}{ignored}")
        for bad in file.bad:
            print(f"  left out: {bad}")
    print()
    for pair in found.pairs[:SHOWN]:
        print(
            explained(pair, found.unit)
            if explain
            else f"  {pair.mentee} + {pair.mentor}  {pair.score / found.unit:.4g}  {_short(pair)}"
        )
    if len(found.pairs) > SHOWN:
        print(f"  … and {len(found.pairs) - SHOWN:,} more" + (f", all in {out}" if out else "; --out FILE writes all"))
    certified = "no better plan exists (gap 0)" if found.gap == 0 else f"a better plan could exceed it by {result['gap']:g}"
    print(f"\n{result['pairs']:,} pairs, score {result['score']:,.10g}; {certified}")
    for line in _waiting(found.left):
        print(f"  {line}")
    for one in found.helps:
        print(f"  One place more of {one.mentor}: {_gain(one, found.unit)}")
    print(f"{result['seconds']:.1f} s, of which {result['solving_seconds']:.1f} s matching; {result['peak_mb']} MB")


def register(main: typer.Typer) -> None:
    """Enter this command."""
    main.add_typer(app, name="match", rich_help_panel="With people")


if __name__ == "__main__":
    app()
