"""The index of all commands.

A module of commands defines `register(app)` and imports what is heavy inside its commands: `./ithaca --help` shall not wait for it.
"""

import importlib
import importlib.util
import io
import sys

import typer

# In the order in which help shows them. One that isn't there is left out.
MODULES = [
    "demo",
    "match",
    "platform",
    "secrets",
    "status",
    "held",
    "trace",
    "tail",
    "organization",
    "load",
    "cluster",
    "bench",
    "check",
    "docs",
    "locks",
]

HELP = """Ithaca: the platform on which several organizations run mentoring programs together.

[bold]./ithaca demo[/bold] starts everything on this machine and shows it; [bold]./ithaca up[/bold] starts it and no more;
[bold]./ithaca status[/bold] says how it is; [bold]./ithaca down[/bold] stops it. What it keeps lies under .ithaca/.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """One command alone is a command too, and not the whole."""


def register(modules: list[str] = MODULES) -> None:
    """Enter the commands of each module."""
    for name in modules:
        if importlib.util.find_spec(f"deploy.cli.{name}"):
            importlib.import_module(f"deploy.cli.{name}").register(app)


def main() -> None:
    """Run the command that the command line names; what it says comes line by line, through a pipe too."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    # A module that has the name of its command is all that this command needs
    register([name for name in MODULES if sys.argv[1:2] == [name]] or MODULES)
    try:
        app(prog_name="./ithaca")
    except KeyboardInterrupt:
        sys.exit(130)
