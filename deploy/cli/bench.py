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


@app.callback()
def group() -> None:
    """More than one measurement will stand here."""


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="bench", rich_help_panel="For those who change it")
