"""`./ithaca bench`: measurements against peers, side by side in one run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

app = typer.Typer(
    help="Measure against peers, side by side in one run; ratios count, since machines differ.", no_args_is_help=True
)

Rounds = Annotated[int, typer.Option(min=1, max=50, help="Interleaved rounds; the medians of them count.")]
Out = Annotated[Path | None, typer.Option(help="Also write the table to this Markdown file.")]
Seed = Annotated[int | None, typer.Option(help="Draws all that is left to chance; one is drawn where none is given.")]
Json = Annotated[bool, typer.Option("--json", help="Print one last line of JSON.")]


@app.command("all")
def everything(
    rounds: Rounds = 5,
    out: Annotated[
        Path | None, typer.Option(help="Write the table to this Markdown file, and the picture beside it as .svg.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="This figure alone, such as relay; may be given several times.")] = None,
    as_json: Json = False,
) -> None:
    """Every figure that has a goal, beside its goal: hop, projections, relay, ingest and the others.

    Starts a Kafka and a PostgreSQL of its own, runs one figure after the other, and takes some minutes for each. What a figure is compared
    with runs in the same minutes on the same machine, so let it do nothing else. A goal that is missed is said, and no failure of the
    command; a figure that could not be measured is named in the table and the others go on.

    [bold]./ithaca bench all --out docs/figures.md[/bold]

    [bold]./ithaca bench all --only relay --rounds 1[/bold]
    """
    from benchmarks import all as figures  # noqa: PLC0415 - heavy, for the command only
    from benchmarks.ground import embedded  # noqa: PLC0415

    quiet()
    try:
        chosen = figures.modules(only or ())
    except LookupError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None
    with embedded() as platform:
        where = figures.machine(platform)
        print(where.text)
        found = figures.run(platform, chosen, say, rounds=rounds)
    print(f"\n{figures.table(found)}")
    if out is not None:
        command = " ".join(["./ithaca bench all", *(f"--only {name}" for name in only or ()), f"--rounds {rounds}"])
        print("Written:", *figures.write(out, found, where, command))
    if as_json:
        print(json.dumps(figures.as_json(found, where)))


@app.command()
def hop(rounds: Rounds = 5, out: Out = None, as_json: Json = False) -> None:
    """One hop: consume, decide, save, write the outbox. Raw aiokafka, naive FastStream, FastStream batches, and Ithaca's core.

    Starts a Kafka and a PostgreSQL of its own and takes about a minute a round. Compare only figures of one run, on a machine that does
    nothing else.
    """
    import asyncio  # noqa: PLC0415 - heavy, for the command only

    from benchmarks.ground import embedded  # noqa: PLC0415
    from benchmarks.hop import compare, table  # noqa: PLC0415

    quiet()
    with embedded() as platform:
        medians = asyncio.run(compare(platform, say, rounds))
    text = table(medians)
    print(f"\nMedians of {rounds} rounds\n{text}")
    if out is not None:
        out.write_text(
            f"# One hop\n\nMedians of {rounds} interleaved rounds, made by `./ithaca bench hop --rounds {rounds}`.\n\n{text}\n"
        )
    if as_json:
        print(json.dumps(medians))


@app.command("scheduling")
def relationships(out: Out = None, as_json: Json = False) -> None:
    """Scheduling beside a million open relationships: the timers' poll, silence noticed at once and in a stream, times for two busy people.

    Starts a Kafka and a PostgreSQL of its own; filling them takes some minutes.
    """
    from benchmarks import all as figures  # noqa: PLC0415 - heavy, for the command only
    from benchmarks.ground import embedded  # noqa: PLC0415

    quiet()
    with embedded() as platform:
        where = figures.machine(platform)
        print(where.text)
        found = figures.run(platform, figures.modules(["scheduling"]), say, rounds=1)
    text = figures.table(found)
    print(f"\n{text}")
    if out is not None:
        out.write_text(f"# Scheduling\n\nMade by `./ithaca bench scheduling` on {where.text}.\n\n{text}\n")
    if as_json:
        print(json.dumps(figures.as_json(found, where)))


@app.command("simulated")
def at_risk(
    size: Annotated[int, typer.Option(min=10, help="Relationships in each program.")] = 5_000,
    processes: Annotated[int, typer.Option(min=1, help="So many at a time.")] = 2,
    out: Out = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the trade-off into this SVG file.")] = None,
) -> None:
    """Relationships at risk: what the flags catch of simulated programs whose early endings come from causes that no rule sees.

    Needs no platform; programs are drawn by seeds, played through scheduling's own rules, and take about two minutes each on a core.
    """
    from benchmarks.simulated import figures, report  # noqa: PLC0415 - for the command only

    found = figures.all_of(say, size=size, processes=processes)
    command = "./ithaca bench simulated" + (f" --size {size}" if size != figures.SIZE else "")
    print(report.text(found, command))
    if out is not None:
        report.written(found, out, picture, command)


@app.command("match")
def matching(
    sizes: Annotated[
        list[int] | None, typer.Option("--size", min=10, help="Mentees, and as many mentors; may be given several times.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Matching: ours, a dense assignment by scipy and mentor-match, by score, bound, seconds, CPU, peak memory and growth; and peers.

    People are drawn by a seed; each run has a process of its own. mentor-match comes from the package index into an environment of
    its own, and is left out, and said so, where that can't be.
    """
    from benchmarks import match as figures  # noqa: PLC0415 - for the command only
    from benchmarks import match_peers  # noqa: PLC0415

    found = figures.measure(sizes or list(figures.SIZES), say)
    among_peers = match_peers.measure(say)
    text = f"{figures.table(*found)}\n\n{match_peers.table(among_peers)}"
    print(f"\n{text}")
    if out is not None:
        command = " ".join(["./ithaca bench match", *(f"--size {size}" for size in sizes or ())])
        out.write_text(f"# Matching\n\nMade by `{command}`.\n\n{text}\n")
    if as_json:
        print(json.dumps({"sizes": found[0], "mentor_match": found[1], "peers": among_peers}))


def say(line: str) -> None:
    print(line)


def quiet() -> None:
    """What aiokafka says of a broker that is being stopped is no news here."""
    import logging  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class Ended(NamedTuple):
    """What a run came to: a line, a table, and what was wrong, if anything."""

    line: str
    table: str
    wrong: str


def seeded(name: str, options: str, seed: int | None, out: Path | None, run: Callable[[Path, int], Ended]) -> None:
    """A run in a home of its own whose chances a seed draws.

    Where something is wrong its logs and data stay, and how to draw the same again is told.
    """
    import secrets  # noqa: PLC0415 - heavy, for the command only
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    quiet()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    again = f"./ithaca bench {name} {options} --seed {seed}"
    print(f"seed {seed}")
    home = Path(tempfile.mkdtemp(prefix=f"ithaca-{name}-"))
    try:
        ended = run(home, seed)
    except BaseException:
        print(f"Failed with seed {seed}; again: {again}\nIts logs: {home}/log")
        raise
    text = f"{ended.line}, seed {seed}\n\n{ended.table}"
    print(f"\n{text}")
    if ended.wrong:
        print(f"\nNot as promised, seed {seed}; again: {again}\nIts logs: {home}/log\n\n{ended.wrong}")
        raise typer.Exit(1)
    print("\nAll is as promised.")
    shutil.rmtree(home, ignore_errors=True)
    if out is not None:
        out.write_text(f"# {name.capitalize()}\n\nMade by `{again}`.\n\n{text}\n")


@app.command()
def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, help="So long load and faults go on; then comes quiet.")] = 20,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Faults of every kind while partners and people go on; at the end a ledger kept outside must agree with what took effect.

    Starts three Kafka brokers, a PostgreSQL and two copies of each service of its own, and deletes them afterwards, unless the ledger
    disagrees: then their logs and Kafka's stay, and the seed is told, which draws the same again. As root a fault more is drawn, a full
    PostgreSQL's disk.
    """
    import asyncio  # noqa: PLC0415 - heavy, for the command only

    from benchmarks.chaos.long import run  # noqa: PLC0415

    def once(home: Path, seed: int) -> Ended:
        result = asyncio.run(run(home, minutes, seed, say))
        times = "  ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
        return Ended(f"{result.faults} faults, {result.events} events, {times}", result.text, str(result.wrong or ""))

    seeded("chaos", f"--minutes {minutes:g}", seed, out, once)


@app.command()
def fuzz(
    calls: Annotated[int, typer.Option(min=1, help="So many calls and records, half of each.")] = 100_000,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Bad input of every kind: calls to each route of each service by its OpenAPI, and records straight onto each topic.

    Every answer must be as documented and none a server's error; every record must be held whole or be an event; no log may hold a
    value of a person. Starts a platform of its own and deletes it afterwards, unless something is wrong: then its logs and data
    stay, and the seed is told, which draws the same again.
    """
    from benchmarks.fuzz.long import run  # noqa: PLC0415 - heavy, for the command only

    def once(home: Path, seed: int) -> Ended:
        result = run(home, calls, seed, say)
        return Ended(f"{result.calls} calls and records in {result.seconds:.0f} s", result.text, "\n\n".join(result.wrong))

    seeded("fuzz", f"--calls {calls}", seed, out, once)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="bench", rich_help_panel="For those who change it")
