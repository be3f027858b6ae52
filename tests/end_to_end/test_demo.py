"""`./ithaca demo`, as a newcomer runs it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.processes import LINUX
from deploy.local.state import CHECKOUT
from shared.events import SERVICES

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

NOT_OURS = shutil.ignore_patterns(".git", ".ithaca", "__pycache__", ".*_cache")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that nobody else writes to, with what is installed."""
    copy = tmp_path / "checkout"
    shutil.copytree(CHECKOUT, copy, ignore=NOT_OURS, symlinks=True)
    (copy / ".ithaca").symlink_to(CHECKOUT / ".ithaca")
    return copy


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and when it was written (ns)."""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def processes_with(home: Path) -> list[str]:
    """Processes that know of this home, by their environment, command or working directory."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            told = (
                (process / "environ").read_bytes()
                + (process / "cmdline").read_bytes()
                + os.fsencode((process / "cwd").readlink())
            )
        except OSError:
            continue  # it has just ended, or is someone else's
        if os.fsencode(home) in told:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


def test_the_demo_plays_its_story_and_leaves_nothing_behind(checkout, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    before = listing(checkout)
    done = subprocess.run(
        [str(checkout / "ithaca"), "demo", "--json"],
        cwd=tmp_path,
        env={**os.environ, "ITHACA_HOME": str(home), "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    *said, last = done.stdout.splitlines()
    result = json.loads(last)
    expected = {"pairs": 12, "groups": 3, "meetings_missed": 1, "parked": 0, "trace_services": list(SERVICES)}
    assert {name: result[name] for name in expected} == expected
    assert result["meetings_held"] == 35  # three meetings of twelve pairs, one of them missed for good
    assert result["milestones"] == 18  # twelve first meetings, six that set goals
    assert result["mails"] > 150
    assert result["webhooks"] > 100
    assert len(result["trace_id"]) == 32
    story = "\n".join(said)
    for words in ("26 in, 1 refused", "did you mean Europe/London?", "lost 0, twice 0", "every count equals what was sent"):
        assert words in story, story
    assert not done.stderr, done.stderr
    if LINUX:
        assert not processes_with(home)
    assert listing(checkout) == before
    assert {path.name for path in home.iterdir()} == {"demo"}
