"""The process that runs a platform for a checkout, in the foreground or detached, and what others may ask about it.

One at a time per home folder, by a lock the kernel keeps until its process is gone. `state.json` says where everything is; without the lock's holder it means
nothing, so a stale one is harmless.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.jars import JarError
from deploy.local.platform import AlreadyRunning, Platform
from deploy.local.processes import PartError
from deploy.local.state import State, held, home, python_path, running_home, state
from shared.events.topics import SERVICES

READY = "\0ready"  # what a detached supervisor prints when all is up


def up(
    detached: bool = False,
    services: Sequence[str] = SERVICES,
    copies: Mapping[str, int] | int = 1,
    progress: Callable[[str], None] = print,
    *,
    when_ready: Callable[[State], None] = lambda _: None,
    zipkin: bool = True,
    extra_env: Mapping[str, str] = {},
    folder: Path | None = None,
    brokers: int | None = None,
) -> State:
    """Start the platform. Detached: return when it is ready and leave it running. Otherwise: run it until a signal ends it.

    Raises AlreadyRunning, PartError or JarError with a message for a person.
    """
    folder = folder or home()
    if running := state(folder):
        raise AlreadyRunning(f"The platform is up since {running.started} (process {running.supervisor}).")
    many = copies if isinstance(copies, int) else dict(copies)
    wanted = {"services": list(services), "copies": many, "zipkin": zipkin, "brokers": brokers}
    if not detached:
        return Supervisor(folder, {**wanted, "extra_env": dict(extra_env)}, progress, when_ready).run()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log").mkdir(exist_ok=True)
    with (folder / "log/platform.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.supervisor", "--folder", str(folder), "--platform", json.dumps(wanted)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **extra_env, "PYTHONPATH": python_path({**os.environ, **extra_env})},
            start_new_session=True,
        )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            text = json.loads(line)
            if text == READY:
                if (running := state(folder)) is None:
                    break
                when_ready(running)
                return running
            said.append(text)
            progress(text)
    except BaseException:
        process.terminate()
        raise
    process.wait()
    if process.returncode == 3:
        raise AlreadyRunning(said[-1])
    raise PartError(said.pop() if said else f"The platform ended while starting; see {folder / 'log/platform.log'}.")


def down(wipe: bool = False, folder: Path | None = None) -> bool:
    """Stop the platform of this home; says whether one ran. `wipe` deletes its data, logs and secrets as well."""
    folder = folder or running_home()
    ran = held(folder)
    if ran:
        end(folder)
    if wipe:
        for name in ("data", "log"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("state.json", "secrets.json", "ports.json", "keys.json"):
            (folder / name).unlink(missing_ok=True)
    return ran


def end(folder: Path) -> None:
    """Ask the supervisor to stop, and kill it when it doesn't: its children die with it."""
    asked = 0
    for attempt in range(300):
        if not held(folder):
            return
        running = state(folder)
        pid = running.supervisor if running else None
        if pid is not None and (pid != asked or attempt == 150):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if pid != asked else signal.SIGKILL)
            asked = pid
        time.sleep(0.1 if attempt else 0.02)
    raise PartError(f"The platform in {folder} doesn't stop: see {folder / 'log/platform.log'}.")


class Supervisor:
    """Runs a platform and writes down what becomes of it."""

    def __init__(
        self, folder: Path, wanted: Mapping[str, object], progress: Callable[[str], None], when_ready: Callable[[State], None]
    ) -> None:
        self.folder, self.progress, self.when_ready = folder, progress, when_ready
        self.platform = Platform(folder, **wanted)  # type: ignore[arg-type]
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.ready = False
        self.written: State | None = None
        self.ended = threading.Event()

    def run(self) -> State:
        """Start, tell that all is ready, and wait for a signal. A second signal while stopping changes nothing."""
        if not held(self.folder):
            (self.folder / "state.json").unlink(missing_ok=True)  # of one that was killed
        before = {sig: signal.signal(sig, self.on_signal) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            self.start()
            self.ready = True
            self.write()
            assert self.written is not None
            self.when_ready(self.written)
            while not self.ended.wait(0.3):
                self.write()
        finally:
            self.platform.stop(keep_lock=True)  # `down` has us gone when it says so
            if self.written is not None:
                (self.folder / "state.json").unlink(missing_ok=True)
            for sig, handler in before.items():
                signal.signal(sig, handler)
        return self.written

    def start(self) -> None:
        """Start in a thread, so that a signal is heard meanwhile."""
        failure: list[BaseException] = []

        def begin() -> None:
            try:
                self.platform.start(self.tell)
            except BaseException as error:  # noqa: BLE001 - raised below
                failure.append(error)

        thread = threading.Thread(target=begin, name="begin")
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
            if self.ended.is_set():
                self.platform.stopping.set()
                for child in list(self.platform.children.values()):
                    child.signal(child.stop_signal)
                thread.join(4)
                if thread.is_alive():  # in the middle of a download
                    os._exit(1)  # what runs dies with us
            elif self.platform.guard is not None:
                self.write()
        if failure:
            raise failure[0]

    def tell(self, text: str) -> None:
        """Report, if anybody still listens."""
        with contextlib.suppress(OSError, ValueError):
            self.progress(text)

    def on_signal(self, _number: int, _frame: object) -> None:
        self.ended.set()

    def write(self) -> None:
        """Write the state if it changed, whole or not at all. It holds the superuser's password: its owner alone reads it."""
        now = State(
            self.started, os.getpid(), self.ready, dict(self.platform.addresses), self.platform.pids, dict(self.platform.copies)
        )
        if now == self.written:
            return
        new = self.folder / "state.json.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(now), file, indent=2)
        new.replace(self.folder / "state.json")
        self.written = now


def main() -> int:
    """Run detached: progress goes line by line to whoever started us, then to the log."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--platform", type=json.loads, required=True)
    given = options.parse_args()
    listener = True

    def tell(text: str) -> None:
        # Parts start in threads of their own: a line and its end are written as one, or those of two would mix.
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n", file=sys.stderr, end="", flush=True)
        if listener:
            print(f"{json.dumps(text)}\n", end="", flush=True)

    def ready(_: State) -> None:
        nonlocal listener
        with contextlib.suppress(OSError):
            print(json.dumps(READY), flush=True)
        listener = False
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    supervisor = Supervisor(given.folder, given.platform, tell, ready)
    try:
        supervisor.run()
    except (AlreadyRunning, PartError, JarError) as error:
        supervisor.tell(str(error))
        return 3 if isinstance(error, AlreadyRunning) else 1
    except Exception as error:
        supervisor.tell(
            f"The platform didn't start: {type(error).__name__}: {error}. More is in {given.folder / 'log/platform.log'}."
        )
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
