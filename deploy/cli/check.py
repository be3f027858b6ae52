"""Is the project in order? test, lint."""

import subprocess
import sys
import time
from typing import Annotated

import typer

from deploy.local.state import CHECKOUT

GROUP = "For those who change it"
LINT = [
    ("ruff check", ["-m", "ruff", "check", "."]),
    ("ruff format", ["-m", "ruff", "format", "--check", "."]),
    ("mypy", ["-m", "mypy"]),
    ("import contracts", ["-c", "from importlinter.cli import lint_imports_command as check; check()"]),
]


WHOLE = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"]
"""Of all tests: two workers, each with the parts that its tests need; what shares them stays together (tests/conftest.py)."""


def run_all(steps: list[tuple[str, list[str]]]) -> None:
    """Run all steps, also after a failure, then say how long each took; ends with code 1 if any failed."""
    told = []
    failed = False
    for name, words in steps:
        print(f"── {name}")
        began = time.monotonic()
        code = subprocess.run([sys.executable, *words], cwd=CHECKOUT, check=False).returncode
        failed |= code != 0
        told.append(f"{time.monotonic() - began:7.1f} s  {name}{f': failed with code {code}' if code else ''}")
    print("\n".join(["", *told]))
    if failed:
        raise typer.Exit(1)


def lint() -> None:
    """Style, types and import contracts: ruff, mypy, import-linter."""
    run_all(LINT)


def run_tests(
    arguments: Annotated[list[str] | None, typer.Argument(help="For pytest, such as tests/platform -k mailbox.")] = None,
) -> None:
    """All of lint, then all tests, with the time of each step. With arguments: pytest alone, with them."""
    run_all([*([] if arguments else LINT), ("pytest", ["-m", "pytest", *(arguments or WHOLE)])])


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    passed_on = {"ignore_unknown_options": True}
    app.command("test", rich_help_panel=GROUP, context_settings=passed_on)(run_tests)
    app.command(rich_help_panel=GROUP)(lint)
