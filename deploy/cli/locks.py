"""Makes the lock files: lock."""

from typing import Annotated

import typer

GROUP = "For those who change it"


def lock(
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Take the newest versions that pyproject.toml allows.")] = False,
    jars: Annotated[bool, typer.Option(help="Resolve Kafka's and Zipkin's Java archives too.")] = True,
) -> None:
    """Make the lock files from pyproject.toml, and jars.lock; pins that still fit stay, without --upgrade."""
    from deploy import locks  # noqa: PLC0415 - rarely wanted
    from deploy.local import jars as archives  # noqa: PLC0415

    locks.make(upgrade=upgrade)
    print("Made", ", ".join(name for name, _ in locks.LOCKS))
    if jars:
        archives.make_lock()
        print("Made", archives.LOCK.relative_to(locks.CHECKOUT))


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    app.command(rich_help_panel=GROUP)(lock)
