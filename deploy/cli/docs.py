"""`ithaca docs`: make the documents that come from the event catalogue, or check that they are up to date."""

from typing import Annotated

import typer

from deploy.local.state import CHECKOUT as ROOT

GROUP = "For those who change it"

app = typer.Typer(help="Documents made from the event catalogue: AsyncAPI, JSON Schemas, docs/events.md.", no_args_is_help=True)

BreakGolden = Annotated[
    bool, typer.Option("--break", help="Take today's catalogue as the golden copy although it breaks what was promised.")
]


@app.command("make")
def make(break_golden: BreakGolden = False) -> None:
    """Write docs/asyncapi.yaml, docs/events.md, docs/schemas and the golden copy."""
    from deploy import documents  # noqa: PLC0415 - heavy

    if not break_golden:
        _refuse_broken()
    changed = documents.make(ROOT)
    for path in changed:
        typer.echo(path)
    typer.echo(f"{len(changed)} files written" if changed else "Everything is up to date.")


@app.command("check")
def check() -> None:
    """Exit 1 where a document is out of date, or where the catalogue breaks what the golden copy promises."""
    from deploy import documents  # noqa: PLC0415 - heavy

    _refuse_broken()
    if stale := documents.stale(ROOT):
        for path in stale:
            typer.echo(f"out of date: {path}", err=True)
        typer.echo("Run ./ithaca docs make and commit what it wrote.", err=True)
        raise typer.Exit(1)
    typer.echo("Everything is up to date.")


def _refuse_broken() -> None:
    from deploy import documents  # noqa: PLC0415 - heavy

    if broken := documents.broken(ROOT):
        for line in broken:
            typer.echo(line, err=True)
        typer.echo("Events are only added to: readers and kept records rely on what was promised.", err=True)
        raise typer.Exit(1)


def register(entered: typer.Typer) -> None:
    """Enter these commands."""
    entered.add_typer(app, name="docs", rich_help_panel=GROUP)
