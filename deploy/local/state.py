"""Where the platform of a checkout is, for those who only want to know: cheap to import, cheap to ask."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class State:
    """A platform that runs: since when (UTC, ISO 8601), under which process, where its parts are, and their process ids.

    `copies`: how many of each service there should be.
    """

    started: str
    supervisor: int
    ready: bool
    addresses: dict[str, str]
    pids: dict[str, int]
    copies: dict[str, int] = field(default_factory=dict)


def home() -> Path:
    """The home folder of this checkout: ITHACA_HOME, else `.ithaca`."""
    return Path(os.environ.get("ITHACA_HOME") or CHECKOUT / ".ithaca").resolve()


def demo_home() -> Path:
    """Where the demo keeps its platform, apart from that of `up`."""
    return home() / "demo"


def running_home() -> Path:
    """The home whose platform runs: this checkout's or its demo's; this checkout's where none does."""
    return demo_home() if held(demo_home()) and not held(home()) else home()


def state(folder: Path | None = None) -> State | None:
    """What runs in this home, or None. Cheap: one lock is looked at and one file read. Without a home: what runs in this checkout."""
    folder = folder or running_home()
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
