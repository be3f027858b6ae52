"""Child processes that die with the process that started them, whatever kills it, and are stopped in order."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

LOG_LIMIT = 20_000_000  # bytes; a longer log is put aside at the next start
LINUX = sys.platform == "linux"

# Runs in the child before what it shall become. The kernel sends the signal when the thread that forked ends, so the second
# look at the parent closes the gap in which it ended before we asked.
ENTER_LINUX = """
import ctypes, os, sys
death, parent, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, int(death), 0, 0, 0)
if os.getppid() != int(parent):
    sys.exit(1)
os.execvp(command[0], command)
"""
# Where the kernel has no such signal: a process that reads the children's ids and, once its parent is gone, ends them.
REAPER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
children = [line.split() for line in sys.stdin]
for death, pid in children:
    try:
        os.kill(int(pid), int(death))
    except OSError:
        pass
"""


class PartError(Exception):
    """A part of the platform didn't start; the message says which, why, and where to read more."""


class Spawner:
    """Starts all children from one thread that lives as long as the process: the death signal follows the forking thread."""

    def __init__(self) -> None:
        self.wanted: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = (
            queue.SimpleQueue()
        )
        self.thread: threading.Thread | None = None
        self.reaper: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def spawn(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Call `start` in the spawning thread."""
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, name="spawner", daemon=True)
                self.thread.start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self.wanted.put((start, answer))
        return answer.result()

    def run(self) -> None:
        while True:
            start, answer = self.wanted.get()
            try:
                answer.set_result(start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                answer.set_exception(error)

    def entrust(self, pid: int, death: int) -> None:
        """Have the reaper end this child with us, on systems without a death signal."""
        with self.lock:
            if self.reaper is None or self.reaper.poll() is not None:
                command = [sys.executable, "-I", "-S", "-c", REAPER]
                self.reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            assert self.reaper.stdin is not None
            self.reaper.stdin.write(f"{death} {pid}\n".encode())
            self.reaper.stdin.flush()


SPAWNER = Spawner()


def ending_with_us(command: Sequence[str | Path], death: signal.Signals) -> list[str]:
    """The command as it is started: where the kernel can, it is sent this signal when we are gone."""
    enter = [sys.executable, "-I", "-S", "-c", ENTER_LINUX, str(int(death)), str(os.getpid())] if LINUX else []
    return [*enter, *map(str, command)]


def run(command: Sequence[str | Path], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end, which is ours at the latest; what it printed is in the result."""
    return subprocess.run(
        ending_with_us(command, signal.SIGKILL),
        capture_output=True,
        text=True,
        check=False,
        env=dict(env),
        start_new_session=True,
    )


@dataclass(eq=False)
class Child:
    """One process of the platform: how to start it, and the one that runs now."""

    name: str
    command: Sequence[str | Path]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    # What the kernel sends it when we die. Kafka and Postgres close their files; a service must bear a kill anyway.
    death_signal: signal.Signals = signal.SIGKILL
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0  # time.monotonic()

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        """Start it. What it prints goes to its log, after what earlier runs printed."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".old.log"))
        command = ending_with_us(self.command, self.death_signal)

        def launch() -> subprocess.Popen[bytes]:
            with self.log.open("ab") as log:
                # Apart from our terminal: Ctrl-C is for us, who stop things in order.
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.env),
                    cwd=self.cwd,
                    start_new_session=True,
                )

        self.process = SPAWNER.spawn(launch)
        self.started = time.monotonic()
        if not LINUX:
            SPAWNER.entrust(self.process.pid, self.death_signal)

    def signal(self, what: int) -> None:
        """Send it a signal; nothing happens if it has ended."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(what)

    def wait(self, limit: float) -> bool:
        """Wait up to so many seconds for its end; says whether it has ended."""
        if self.process is None:
            return True
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_until(self, ready: Callable[[], bool], limit: float) -> None:
        """Wait until it is ready. Raises PartError with the end of its log when it ends first or takes too long."""
        until = time.monotonic() + limit
        pause = 0.02
        while not ready():
            if self.process is None or self.process.poll() is not None:
                code = "" if self.process is None else f" with code {self.process.returncode}"
                raise PartError(f"{self.name} ended{code} while starting. {self.last_words()}")
            if time.monotonic() > until:
                raise PartError(f"{self.name} was not ready after {limit:.0f} s. {self.last_words()}")
            time.sleep(pause)
            pause = min(pause * 1.3, 0.2)

    def last_words(self, lines: int = 12) -> str:
        """The end of its log, for a message."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 8000))
                text = log.read().decode(errors="replace").strip()
        except OSError:
            text = ""
        if not text:
            return f"Its log {self.log} is empty."
        return f"The end of {self.log}:\n" + "\n".join("    " + line for line in text.splitlines()[-lines:])


def stop_together(children: Sequence[Child], grace: float) -> None:
    """Ask all to stop, wait up to `grace` seconds for all of them, and kill those that are still there."""
    for child in children:
        child.signal(signal.SIGCONT)  # a frozen one hears nothing
        child.signal(child.stop_signal)
    until = time.monotonic() + grace
    for child in children:
        if not child.wait(max(0.0, until - time.monotonic())):
            child.signal(signal.SIGKILL)
            child.wait(5)
