"""Match people from files, without the platform: the same rules, scores and proof as a match run."""

import csv
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.fairness import as_numbers, audited, lines, report_of
from deploy.cli.match_files import (
    Asked,
    Before,
    Capacity,
    FormatName,
    Json,
    MenteesFile,
    MentorsFile,
    PeopleFile,
    PolicyPath,
    SkipBad,
    agree,
    give_up,
    part_names,
    peak_mb,
    progress,
    read,
    read_peers,
    told,
    waiting,
)
from deploy.cli.match_words import explained, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.cli.people_csv import People
    from services.matching.domain.plan import Help, Plan
    from services.matching.domain.score import Scoring
    from shared.events import Audited

SHOWN = 10

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)


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
    fairness: Annotated[
        str,
        typer.Option(
            metavar="ATTR[,ATTR]",
            help="Also say who found a partner by country, function, industry, location, seniority, "
            "employment, organization or first_language; else by what the policy audits.",
        ),
    ] = "",
    preferences: Annotated[
        Path | None,
        typer.Option(help="Match by choice instead: a JSON file of residents, hospitals (lists, best first) and capacities."),
    ] = None,
    people: PeopleFile = None,
    form: FormatName = None,
    before: Before = None,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Match files of mentors and mentees, or a file of peers: pairs or circles, who is left and why, and the proof that no plan is
    better, or by how much one could be.
    """
    if context.invoked_subcommand is not None:
        return
    if preferences is not None:
        by_choice(preferences, out, as_json=as_json)
        return
    one_file_or_two(people, mentors, mentees)
    began = time.perf_counter()
    if people is not None:
        from deploy.cli import match_peers  # noqa: PLC0415 - for peers alone

        peers = read_peers(people, policy, aim, form, before or (), skip_bad=skip_bad)
        match_peers.run(peers, out, began, explain=explain, as_json=as_json)
        return
    asked = read(mentors, mentees, policy, capacity, aim, form=form, before=before or (), skip_bad=skip_bad)
    if asked.in_groups:
        from deploy.cli import match_groups  # noqa: PLC0415 - for groups alone

        match_groups.run(asked, scoring_of(asked), out, began, explain=explain, as_json=as_json)
        return
    in_pairs(
        asked,
        audited(fairness) if fairness else asked.policy.audit,
        out,
        began,
        what_if=what_if,
        explain=explain,
        as_json=as_json,
    )


def in_pairs(
    asked: Asked,
    audit: "Sequence[Audited]",
    out: Path | None,
    began: float,
    *,
    what_if: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Pairs of mentors and mentees, as they are shown and written."""
    from services.matching.domain.plan import TooLargeError, plan  # noqa: PLC0415 - numpy, OR-tools

    solving = time.perf_counter()
    scoring = scoring_of(asked)
    try:
        with progress(shown=not as_json) as say:
            # The reference week for time zones is this one, as in a run
            found = plan(asked.people, asked.policy, datetime.now(UTC), scoring, say, what_if=what_if)
    except TooLargeError as error:
        give_up(error)
    result = _result(asked.files, found, time.perf_counter() - began, time.perf_counter() - solving)
    report = report_of(asked.people, found, audit) if audit else []
    if audit:
        result["fairness"] = [as_numbers(group, found.unit) for group in report]
    if out is not None:
        with told(out):
            _write(out, found, part_names(scoring))
    if explain or not as_json:
        _show(asked, found, result, out, explain=explain)
        if audit:
            print("\n" + "\n".join(lines(report, found.unit)))
    if as_json:
        print(json.dumps(result))
    if not found.pairs:
        give_up("nobody can be paired: " + ("; ".join(waiting(found.left)) or "there are no people on one of the sides"))


def one_file_or_two(people: Path | None, mentors: Path | None, mentees: Path | None) -> None:
    if people is not None and (mentors is not None or mentees is not None):
        raise typer.BadParameter("give either a file of peers, or one of mentors and one of mentees", param_hint="--people")


def _result(files: "tuple[People, ...]", found: "Plan", seconds: float, solving: float) -> dict[str, Any]:
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


# ---- pairs as a file, and whether one is right -------------------------------------------------------------------------


def scoring_of(asked: Asked) -> "Scoring":
    from services.matching.domain.score import weighed  # noqa: PLC0415
    from shared.events import Role  # noqa: PLC0415

    sides = [[person for person in asked.people if person.role is role] for role in (Role.mentee, Role.mentor)]
    return asked.own or weighed(asked.policy, *sides, near=asked.near)


def _write(out: Path, found: "Plan", names: "Sequence[str]") -> None:
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
    people: PeopleFile = None,
    form: FormatName = None,
    before: Before = None,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Reckon each pair or circle of a file again, without the solver: rules, places, score and its parts. Ends with 1 on any difference."""
    from deploy.cli import match_peers  # noqa: PLC0415 - for this command only
    from deploy.cli.match_verify import differences  # noqa: PLC0415 - for this command only

    one_file_or_two(people, mentors, mentees)
    if people is not None:
        match_peers.verify(pairs, read_peers(people, policy, None, form, before or (), skip_bad=skip_bad), as_json=as_json)
        return
    asked = read(mentors, mentees, policy, capacity, None, form=form, before=before or (), skip_bad=skip_bad)
    scoring = scoring_of(asked)
    if asked.in_groups:
        from deploy.cli import match_groups  # noqa: PLC0415 - for groups alone

        match_groups.verify(pairs, asked, scoring, as_json=as_json)
        return
    with told(pairs):
        count, total, wrong = differences(pairs, asked.people, asked.policy, scoring, part_names(scoring))
    agree(pairs, {"pairs": count}, total / scoring.unit, wrong, as_json=as_json)


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
            else f"  {pair.mentee} + {pair.mentor}  {pair.score / found.unit:.4g}  {short(pair.spoken)}"
        )
    if len(found.pairs) > SHOWN:
        print(f"  … and {len(found.pairs) - SHOWN:,} more" + (f", all in {out}" if out else "; --out FILE writes all"))
    certified = "no better plan exists (gap 0)" if found.gap == 0 else f"a better plan could exceed it by {result['gap']:g}"
    print(f"\n{result['pairs']:,} pairs, score {result['score']:,.10g}; {certified}")
    for line in waiting(found.left):
        print(f"  {line}")
    for one in found.helps:
        print(f"  One place more of {one.mentor}: {_gain(one, found.unit)}")
    print(f"{result['seconds']:.1f} s, of which {result['solving_seconds']:.1f} s matching; {result['peak_mb']} MB")


def register(main: typer.Typer) -> None:
    """Enter this command."""
    main.add_typer(app, name="match", rich_help_panel="With people")


if __name__ == "__main__":
    app()
