"""`./ithaca bench`: measurements against peers, side by side in one run."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure against peers, side by side in one run; ratios count, since machines differ.", no_args_is_help=True
)

Rounds = Annotated[int, typer.Option(min=1, max=50, help="Interleaved rounds; the medians of them count.")]
Out = Annotated[Path | None, typer.Option(help="Also write the table to this Markdown file.")]


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

    [bold]./ithaca bench all --out benchmarks/figures.md[/bold]

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
        print(where.text, flush=True)
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


def say(line: str) -> None:
    print(line, flush=True)


def quiet() -> None:
    """What aiokafka says of a broker that is being stopped is no news here."""
    import logging  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@app.command()
def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, help="So long load and faults go on; then comes quiet.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Draws the faults and the load; one is drawn where none is given.")] = None,
    out: Out = None,
) -> None:
    """Faults of every kind while load runs on; at the end a ledger kept outside must agree with all of the platform.

    Starts a platform of its own with two copies of each service and deletes it afterwards, unless something disagrees: then its
    logs and data stay, and the seed is told, which draws the same again as far as the machine allows. As root it also fills
    PostgreSQL's disk.
    """
    import asyncio  # noqa: PLC0415 - heavy, for the command only
    import secrets  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    from benchmarks.chaos.long import run  # noqa: PLC0415

    quiet()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    again = f"./ithaca bench chaos --minutes {minutes:g} --seed {seed}"
    print(f"seed {seed}", flush=True)
    home = Path(tempfile.mkdtemp(prefix="ithaca-chaos-"))
    try:
        result = asyncio.run(run(home, minutes, seed, say))
    except BaseException:
        print(f"Failed with seed {seed}; again: {again}\nIts logs: {home}/log", flush=True)
        raise
    told = "  ".join(f"{name} {seconds:.0f} s" for name, seconds in result.seconds.items())
    text = f"{result.faults} faults, {result.events} events, seed {seed}: {told}\n\n{result.text}"
    print(f"\n{text}")
    if result.wrong:
        print(f"\nThe ledger disagrees, seed {seed}; again: {again}\nIts logs: {home}/log\n{result.wrong}")
        raise typer.Exit(1)
    print("\nThe ledger agrees.")
    shutil.rmtree(home, ignore_errors=True)
    if out is not None:
        out.write_text(f"# Chaos\n\nMade by `{again}`.\n\n{text}\n")


@app.command()
def fuzz(
    calls: Annotated[int, typer.Option(min=1, help="So many calls and records, half of each.")] = 100_000,
    seed: Annotated[int | None, typer.Option(help="Draws them; one is drawn where none is given.")] = None,
    out: Out = None,
) -> None:
    """Bad input of every kind: calls to each route of each service by its OpenAPI, and records straight onto each topic.

    Every answer must be as documented and none a server's error; every record must be held whole or be an event; no log may hold a
    value of a person. Starts a platform of its own and deletes it afterwards, unless something is wrong: then its logs and data
    stay, and the seed is told, which draws the same again.
    """
    import logging  # noqa: PLC0415 - heavy, for the command only
    import secrets  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    from benchmarks.fuzz.long import run  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    again = f"./ithaca bench fuzz --calls {calls} --seed {seed}"
    print(f"seed {seed}", flush=True)
    home = Path(tempfile.mkdtemp(prefix="ithaca-fuzz-"))
    result = run(home, calls, seed, lambda line: print(line, flush=True))
    text = f"{result.calls} calls and records in {result.seconds:.0f} s, seed {seed}\n\n{result.text}"
    print(f"\n{text}")
    if result.wrong:
        print(f"\n{len(result.wrong)} failed, seed {seed}; again: {again}\nIts logs: {home}/log", *result.wrong, sep="\n\n")
        raise typer.Exit(1)
    print("\nEverything was answered or held as promised.")
    shutil.rmtree(home, ignore_errors=True)
    if out is not None:
        out.write_text(f"# Fuzz\n\nMade by `{again}`.\n\n{text}\n")


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="bench", rich_help_panel="For those who change it")
