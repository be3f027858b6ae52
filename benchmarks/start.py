"""`./ithaca up -d` in a new home, until every service is ready; what must be downloaded is there."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.ground import Say
from deploy.local.platform import Platform
from deploy.local.state import CHECKOUT

NAME = "start"
ABOUT = "From `./ithaca up -d` in a new home to all services ready, with all downloads there."


def ithaca(home: Path, *words: str) -> float:
    """Run a command in this home; its seconds. Raises CalledProcessError where it fails."""
    begun = time.perf_counter()
    subprocess.run(
        [CHECKOUT / "ithaca", *words],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "ITHACA_HOME": str(home)},
        timeout=180,
    )
    return time.perf_counter() - begun


def once(*words: str) -> float:
    """Seconds until it is up; it is stopped again."""
    with tempfile.TemporaryDirectory(prefix="ithaca-start-") as folder:
        home = Path(folder)
        try:
            return ithaca(home, "up", "-d", *words)
        finally:
            ithaca(home, "down", "--wipe")


def measure(_: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    """The platform that is up stays as it is: another is started beside it."""
    took = []
    for n in range(rounds):
        took.append(once(*(["--services", "gateway"] if quick else [])))
        say(f"round {n + 1}/{rounds}  {took[-1]:.1f} s")
    took.sort()
    return [Figure(NAME, took[len(took) // 2], "s", 15, True, f"{took[0]:.1f} to {took[-1]:.1f} s of {len(took)}")]
