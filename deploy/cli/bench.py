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


@app.command()
def hop(
    rounds: Rounds = 5,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one last line of JSON.")] = False,
) -> None:
    """One hop: consume, decide, save, write the outbox. Raw aiokafka, naive FastStream, FastStream batches, and Ithaca's core.

    Starts a Kafka and a PostgreSQL of its own and takes about a minute a round. Compare only figures of one run, on a machine that does
    nothing else.
    """
    import asyncio  # noqa: PLC0415 - heavy, for the command only
    import logging  # noqa: PLC0415

    from benchmarks.hop import measure, table  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    medians = asyncio.run(measure(rounds, lambda line: print(line, flush=True)))
    text = table(medians)
    print(f"\nMedians of {rounds} rounds\n{text}")
    if out is not None:
        out.write_text(
            f"# One hop\n\nMedians of {rounds} interleaved rounds, made by `./ithaca bench hop --rounds {rounds}`.\n\n{text}\n"
        )
    if as_json:
        print(json.dumps(medians))


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
    import logging  # noqa: PLC0415
    import secrets  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    from benchmarks.chaos.long import run  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    again = f"./ithaca bench chaos --minutes {minutes:g} --seed {seed}"
    print(f"seed {seed}", flush=True)
    home = Path(tempfile.mkdtemp(prefix="ithaca-chaos-"))
    try:
        result = asyncio.run(run(home, minutes, seed, lambda line: print(line, flush=True)))
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


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="bench", rich_help_panel="For those who change it")
