"""How the platform is, and what to do next: status."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from deploy.cli.health import Health, Row

GROUP = "Look after it"
WIDE = 110
"""Columns from which on there is room for addresses."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: well, addresses, pids, rows, ill, limits.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second until Ctrl-C.")] = False,
) -> None:
    """Say how every part and service is, in one table with limits; for each ill line, the next command. Exit code 1 if anything is ill.

    [b]lag[/b]: events on the topics that a service hasn't read, and the age of the oldest. [b]outbox[/b]: events that are decided and
    not yet on Kafka, and the age of the oldest. [b]timers[/b]: those whose time has come, and how late the oldest is. [b]held[/b]: keys
    whose events can't be handled now: some wait and are tried again, parked ones aren't until someone looks (./ithaca held list).
    A dash means that it can't be known just now.

    It looks at the platform on this machine, or at the cluster that ITHACA_KAFKA, ITHACA_DATABASE (a superuser's) and ITHACA_URLS (JSON,
    address of each service) name. With --json, `addresses` has kafka, postgres and each service; postgres with its password if it
    is on this machine.
    """
    from deploy.cli.target import plainly  # noqa: PLC0415 - heavy

    with plainly():
        well = keep_looking(as_json=as_json) if watch else tell(once(), as_json=as_json)
    if not well:
        raise typer.Exit(1)


def once() -> "Health":
    import asyncio  # noqa: PLC0415 - heavy, as what follows
    import logging  # noqa: PLC0415

    from deploy.cli.health import look  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that it can't connect is what the table says
    return asyncio.run(look())


def tell(health: "Health", *, as_json: bool) -> bool:
    """Print it; whether all is well."""
    if as_json:
        print(json.dumps(health.body()))
    else:
        from rich.console import Console  # noqa: PLC0415 - heavy

        console = Console() if sys.stdout.isatty() else Console(width=160)
        console.print(shown(health, console.width), soft_wrap=True)
    return health.well


def keep_looking(*, as_json: bool) -> bool:
    """Look every second until Ctrl-C; whether all was well at last."""
    health = once()
    try:
        if as_json:
            while True:
                tell(health, as_json=True)
                time.sleep(1)
                health = once()
        from rich.live import Live  # noqa: PLC0415 - heavy

        with Live(auto_refresh=False) as live:
            while True:
                live.update(shown(health, live.console.width), refresh=True)
                time.sleep(1)
                health = once()
    except KeyboardInterrupt:
        return health.well


def shown(health: "Health", width: int) -> "Group":
    """The table, and under it what is ill."""
    from rich.console import Group  # noqa: PLC0415 - heavy
    from rich.text import Text  # noqa: PLC0415

    lines = [
        Text.assemble(("ill  ", "bold red"), f"{ill.what}\n", ("     → ", "red"), (ill.next, "bold"))
        for ill in [*health.ill, *(ill for row in health.rows for ill in row.ill)]
    ] or [Text("All is well.", style="green")]
    return Group(table(health, width), *lines) if health.rows else Group(*lines)


def table(health: "Health", width: int) -> "Table":
    """A row for each part and service, and for each copy where a service has several; in the last row the limits."""
    from rich.table import Table  # noqa: PLC0415 - heavy

    from deploy.cli.health import LAG_SECONDS, LATE_SECONDS, OUTBOX_SECONDS  # noqa: PLC0415

    grid = Table(box=None, pad_edge=False, header_style="dim", show_footer=True, footer_style="dim")
    for name, limit in (
        ("", "limit"),
        ("alive", ""),
        ("ready", ""),
        ("lag", f"{LAG_SECONDS:.0f} s"),
        ("outbox", f"{OUTBOX_SECONDS:.0f} s"),
        ("timers due", f"{LATE_SECONDS:.0f} s"),
        ("held", "0 parked"),
    ):
        grid.add_column(name, limit, no_wrap=True)
    if width >= WIDE:
        grid.add_column("where", style="dim", no_wrap=True)
    for row in health.rows:
        grid.add_row(*cells(row)[: len(grid.columns)])
        for copy in row.copies if len(row.copies) > 1 else ():
            parts = f"{copy.partitions} partitions" if copy.partitions is not None else ""
            where = f"{copy.address.removeprefix('http://')}  {parts}"
            grid.add_row(*[f"  {copy.name}", yes(copy.alive), yes(copy.ready), "", "", "", "", where][: len(grid.columns)])
    return grid


def cells(row: "Row") -> list[str]:
    """A row's texts, from its name to its address."""
    from deploy.cli.health import LAG_SECONDS, LATE_SECONDS, OUTBOX_SECONDS  # noqa: PLC0415

    name = f"[red]{row.name}[/red]" if row.ill else row.name
    flags = [yes(row.alive), yes(row.ready)]
    if len(row.copies) > 1:
        there = [sum(copy.alive for copy in row.copies), sum(copy.ready for copy in row.copies)]
        flags = [marked(f"{n} of {len(row.copies)}", ill=n < len(row.copies)) for n in there]
    where = "  ".join(filter(None, (row.address.removeprefix("http://"), row.note)))
    if row.kind == "part":
        return [name, *flags, "", "", "", "", where]
    return [
        name,
        *flags,
        figure(row.lag_events, row.lag_seconds, LAG_SECONDS),
        figure(row.outbox_rows, row.outbox_seconds, OUTBOX_SECONDS),
        figure(row.timers_due, row.timers_late_seconds, LATE_SECONDS),
        held(row.held_waits, row.held_parked),
        where,
    ]


def yes(flag: bool) -> str:
    return marked("yes" if flag else "no", ill=not flag)


def marked(text: str, *, ill: bool) -> str:
    return f"[red]{text}[/red]" if ill else text


def figure(value: int | None, age: float | None, limit: float) -> str:
    """A count and the age of the oldest: `12 · 0.4 s`."""
    if value is None:
        return "–"
    if not value or age is None:
        return f"{value:,}"
    return marked(f"{value:,} · {age:.1f} s" if age < 10 else f"{value:,} · {age:,.0f} s", ill=age > limit)


def held(waits: int | None, parked: int | None) -> str:
    """`2 wait, 1 parked`."""
    if waits is None or parked is None:
        return "–"
    told = [f"{waits} wait"] * bool(waits) + [marked(f"{parked} parked", ill=True)] * bool(parked)
    return ", ".join(told) or "0"


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    app.command(rich_help_panel=GROUP)(status)
