"""Start, stop and read the platform on this machine: up, down, logs."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.state import State, running_home, state

GROUP = "On this machine"
SERVICE_NAMES = "gateway, matching, scheduling, notifications, analytics"


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Errors that are for a person end the command with their message and code 1."""
    from deploy.local.jars import JarError  # noqa: PLC0415 - heavy
    from deploy.local.platform import AlreadyRunning  # noqa: PLC0415
    from deploy.local.processes import PartError  # noqa: PLC0415

    try:
        yield
    except (AlreadyRunning, PartError, JarError) as error:
        print(f"ithaca: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def show(running: State) -> None:
    """Where everything is."""
    print()
    for name, address in running.addresses.items():
        # The superuser's password is for nobody's screen.
        print(f"  {name:14} {address.rpartition('@')[2] if name == 'postgres' else address}")
    print()


class Progress:
    """Tells what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:5.1f} s  {text}")


def up(
    detached: Annotated[bool, typer.Option("--detached", "-d", help="Leave it running and return when it is ready.")] = False,
    services: Annotated[str, typer.Option(help=f"Only these, separated by commas. All are: {SERVICE_NAMES}.")] = "",
    copies: Annotated[int, typer.Option(min=1, max=20, help="So many copies of each service, side by side.")] = 1,
    brokers: Annotated[
        int | None, typer.Option(help="1, or 3: a cluster that keeps each record three times. As last time where not said.")
    ] = None,
) -> None:
    """Start Kafka, PostgreSQL, Zipkin, a mailbox and the services, and say where they are.

    Without -d it stays in the foreground, and Ctrl-C stops it. ITHACA_PORT_GATEWAY=8080 (_KAFKA, _POSTGRES, _MAILBOX …) chooses a
    port; otherwise free ones are taken, the same as last time where possible. Three brokers take 300 to 400 MB each.
    """
    from deploy.local import supervisor  # noqa: PLC0415 - heavy
    from shared.events.topics import SERVICES  # noqa: PLC0415

    chosen = [name.strip() for name in services.split(",") if name.strip()] or list(SERVICES)
    if unknown := sorted(set(chosen) - set(SERVICES)):
        raise typer.BadParameter(
            f"there is no service {', '.join(unknown)}; there are {', '.join(SERVICES)}", param_hint="--services"
        )
    if brokers not in (None, 1, 3):
        raise typer.BadParameter("1, or 3, of which one may be away", param_hint="--brokers")
    if running := state():
        print(f"The platform is up since {running.started}:")
        show(running)
        return
    progress = Progress()

    def ready(running: State) -> None:
        progress("Ready")
        show(running)
        if detached:
            print("./ithaca status says how it is, ./ithaca logs what it writes, ./ithaca down stops it.")
        else:
            print("Ctrl-C stops it.")

    with explained():
        supervisor.up(detached, chosen, copies, progress, when_ready=ready, brokers=brokers)


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete its data, mails, logs and secrets as well.")] = False,
) -> None:
    """Stop the platform. Data stay, unless --wipe is given."""
    from deploy.local import supervisor  # noqa: PLC0415 - heavy

    began = time.monotonic()
    with explained():
        ran = supervisor.down(wipe)
    print(f"Stopped after {time.monotonic() - began:.1f} s." if ran else "Nothing was running.")
    if wipe:
        print("Its data are deleted.")


def logs(
    service: Annotated[
        str, typer.Argument(help="A service, one copy of it (gateway-2), kafka (kafka-2), postgres …; all without.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many of the last lines of each.")] = 20,
) -> None:
    """Show what services and parts wrote: `./ithaca logs gateway -f`."""
    folder = running_home() / "log"
    files = [file for file in sorted(folder.glob("*.log")) if matches(file, service)]
    if not files:
        names = ", ".join(file.stem for file in sorted(folder.glob("*.log"))) or "none yet: run ./ithaca up"
        print(f"ithaca: no log of {service or 'anything'} in {folder}. There are: {names}", file=sys.stderr)
        raise typer.Exit(1)
    ends = {}
    for file in files:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 400 * lines))
            text = log.read().decode(errors="replace")
            ends[file] = log.tell()
        for line in text.splitlines()[-lines:] if lines else []:
            print(prefix(file, files) + line)
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            time.sleep(0.2)
            for file in files:
                ends[file] = tell_new(file, ends[file], prefix(file, files))


def matches(file: Path, service: str) -> bool:
    """Is this the log that was asked for?"""
    name = file.name.removesuffix(".log")
    return not name.endswith(".old") and (not service or name == service or name.rpartition("-")[0] == service)


def prefix(file: Path, files: list[Path]) -> str:
    """Whose line it is, where several are shown."""
    return f"{file.stem:16} | " if len(files) > 1 else ""


def tell_new(file: Path, end: int, before: str) -> int:
    """Print the whole lines written after `end`, and return the new end."""
    with contextlib.suppress(OSError), file.open("rb") as log:
        if file.stat().st_size < end:
            end = 0  # it was put aside and begun anew
        log.seek(end)
        whole = log.read().rpartition(b"\n")[0]
        for line in whole.decode(errors="replace").splitlines():
            print(before + line)
        return end + len(whole) + (1 if whole else 0)
    return end


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    for command in (up, down, logs):
        app.command(rich_help_panel=GROUP)(command)
