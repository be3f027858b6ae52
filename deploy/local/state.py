"""Where the platform of a checkout is, for those who only want to know: cheap to import, cheap to ask."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class State:
    """A platform that runs: since when (UTC, ISO 8601), under which process, where its parts are, and their process ids."""

    started: str
    supervisor: int
    ready: bool
    addresses: dict[str, str]
    pids: dict[str, int]


def home() -> Path:
    """The home folder of this checkout: ITHACA_HOME, else `.ithaca`."""
    return Path(os.environ.get("ITHACA_HOME") or CHECKOUT / ".ithaca").resolve()


def state(folder: Path | None = None) -> State | None:
    """What runs in this home, or None. Cheap: one lock is looked at and one file read."""
    folder = folder or home()
    if not held(folder):
        return None
    try:
        return State(**json.loads((folder / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it has just begun


def held(folder: Path) -> bool:
    """Does a platform hold this home?"""
    try:
        guard = os.open(folder / "platform.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(guard, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(guard)
    return False


def python_path(environment: Mapping[str, str]) -> str:
    """PYTHONPATH for a process of ours: what the environment says, and this checkout."""
    return os.pathsep.join(dict.fromkeys([*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), str(CHECKOUT)]))
