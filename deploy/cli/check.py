"""Is the project in order? test, lint."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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


WHOLE = ["-n", str(min(6, 2 * (os.cpu_count() or 1))), "--dist", "loadscope", "--no-loadscope-reorder"]
"""Of all tests: they wait more than they reckon, so two workers a processor, each with the parts that its tests need."""


@dataclass
class Checks:
    """What was run, how long each took, and whether all was well."""

    failed: bool = False
    told: list[str] = field(default_factory=list)

    def run(self, name: str, words: list[str], *, aside: bool = False) -> None:
        """Run one of them. What is done aside says nothing until it fails, beside others that speak meanwhile."""
        began = time.monotonic()
        if not aside:
            print(f"── {name}", flush=True)
        out, err = (subprocess.PIPE, subprocess.STDOUT) if aside else (None, None)
        done = subprocess.run([sys.executable, *words], cwd=CHECKOUT, check=False, stdout=out, stderr=err, text=True)
        if aside and done.returncode:
            print(f"\n── {name}\n{done.stdout}", flush=True)
        self.failed |= done.returncode != 0
        self.told.append(
            f"{time.monotonic() - began:7.1f} s  {name}{f': failed with code {done.returncode}' if done.returncode else ''}"
        )

    def end(self) -> None:
        """Say how long each took; with code 1 if any failed."""
        print("\n".join(["", *self.told]))
        if self.failed:
            raise typer.Exit(1)


def lint() -> None:
    """Style, types and import contracts: ruff, mypy, import-linter."""
    checks = Checks()
    for name, words in LINT:
        checks.run(name, words)
    checks.end()


def run_tests(
    arguments: Annotated[list[str] | None, typer.Argument(help="For pytest, such as tests/platform -k mailbox.")] = None,
) -> None:
    """All tests, and beside them all of lint, with the time of each step. With arguments: pytest alone, with them."""
    checks = Checks()
    with ThreadPoolExecutor(1) as aside:
        linted = [aside.submit(checks.run, name, words, aside=True) for name, words in ([] if arguments else LINT)]
        checks.run("pytest", ["-m", "pytest", *(arguments or WHOLE)])
    for one in linted:
        one.result()
    checks.end()


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    passed_on = {"ignore_unknown_options": True}
    app.command("test", rich_help_panel=GROUP, context_settings=passed_on)(run_tests)
    app.command(rich_help_panel=GROUP)(lint)
