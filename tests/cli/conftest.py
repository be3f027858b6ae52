"""A whole platform with all services in a home of its own, and the commands run against it."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from deploy.cli import main
from deploy.local.processes import Child
from deploy.local.state import State, held, python_path, state
from shared.events import SERVICES


def until(ask: Callable[[], Any], seconds: float = 20.0, pause: float = 0.05) -> Any:
    """The first true answer, or the last one when the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(pause)


@pytest.fixture(scope="session")
def commands() -> typer.Typer:
    """All commands."""
    main.register()
    return main.app


@dataclass
class Ithaca:
    """`./ithaca` in a home."""

    commands: typer.Typer
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> State:
        found = state(self.home)
        assert found is not None
        return found

    def __call__(self, *words: object, code: int | None = 0, **env: str) -> Result:
        """Run a command; it must end with this code, and never with a traceback."""
        done = CliRunner().invoke(
            self.commands, [str(word) for word in words], env={"ITHACA_HOME": str(self.home), **self.env, **env}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        assert code is None or done.exit_code == code, done.output
        assert "Traceback" not in done.output
        return done

    def json(self, *words: object, code: int | None = 0, **env: str) -> Any:
        """What a command says to a script: the last line of stdout."""
        return json.loads(self(*words, "--json", code=code, **env).stdout.strip().splitlines()[-1])

    def stop(self, part: str) -> None:
        """Have a process stand still, as if it hung."""
        os.kill(self.state.pids[part], signal.SIGSTOP)

    def go_on(self, part: str) -> None:
        os.kill(self.state.pids[part], signal.SIGCONT)


@pytest.fixture(scope="package")
def ithaca(tmp_path_factory: pytest.TempPathFactory, commands: typer.Typer) -> Iterator[Ithaca]:
    """The commands, and all services running; it dies with the tests, however they end."""
    folder = tmp_path_factory.mktemp("home")
    wanted = {
        "services": list(SERVICES),
        "copies": {"analytics": 2},
        "zipkin": False,
        "extra_env": {"ITHACA_LOG_LEVEL": "WARNING"},
    }
    words = ["--folder", str(folder), "--platform", json.dumps(wanted)]
    child = Child(
        "platform",
        [sys.executable, "-m", "deploy.local.supervisor", *words],
        log=folder / "log/platform.log",
        env={**os.environ, "PYTHONPATH": python_path(os.environ)},
        death_signal=signal.SIGTERM,
    )
    child.start()
    try:
        child.wait_until(lambda: bool((running := state(folder)) and running.ready), 120)
        yield Ithaca(commands, folder)
    finally:
        child.signal(signal.SIGTERM)
        assert child.wait(20)
        assert not held(folder)


@pytest.fixture
def nowhere(tmp_path: Path, commands: typer.Typer) -> Ithaca:
    """A home in which nothing runs."""
    return Ithaca(commands, tmp_path / "home")
