"""Makes `.ithaca/venv` hold what the lock files say; `./ithaca` calls it when it doesn't. Standard library only.

uv does the work: the one on PATH, or one installed into `.ithaca/tool`.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".ithaca"
VENV = HOME / "venv"
DEV = "tests/requirements.lock"


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def give_up(text: str) -> SystemExit:
    """End with a message that says what to do."""
    return SystemExit(f"ithaca: {text}")


def works(*command: str | Path) -> bool:
    """Does this command end well? Prints nothing."""
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def find_uv() -> Path:
    """The uv on PATH, or the one in `.ithaca/tool`, installed there if need be."""
    if found := os.environ.get("ITHACA_UV") or shutil.which("uv"):
        return Path(found)
    ours = HOME / "tool/bin/uv"
    if works(ours, "--version"):
        return ours
    say("Installing uv, which installs the rest …")
    options = ["install", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore", "--upgrade"]
    done = subprocess.run([*find_pip(), *options, "--target", str(HOME / "tool"), "uv>=0.9"], check=False)
    if done.returncode or not works(ours, "--version"):
        raise give_up(
            "uv could not be installed with pip (see above). Check the network, or install uv yourself, and run this again."
        )
    return ours


def find_pip() -> list[str]:
    """A pip: this Python's own, or one from ensurepip in a place of ours."""
    if works(sys.executable, "-m", "pip", "--version"):
        return [sys.executable, "-m", "pip"]
    # An empty directory named ensurepip can be imported too: ask for something in it.
    if works(sys.executable, "-c", "import ensurepip; ensurepip.version()"):
        made = HOME / "tool/pip"
        if works(sys.executable, "-m", "venv", made):
            return [str(made / "bin/python"), "-m", "pip"]
    raise give_up(
        f"{sys.executable} has neither pip nor ensurepip, and there is no uv. Install one of them "
        "(Debian, Ubuntu: apt install python3-venv or python3-pip; or uv) and run this again."
    )


def environment() -> dict[str, str]:
    """Our environment, with a cache of our own where there is no home to write to, and with pip's index for uv."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env["VIRTUAL_ENV"] = str(VENV)
    if "UV_CACHE_DIR" not in env:
        shared = Path(env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or "/nonexistent") / ".cache")
        existing = next((path for path in (shared, *shared.parents) if path.exists()), Path("/"))
        if existing == Path("/") or not os.access(existing, os.W_OK):
            env["UV_CACHE_DIR"] = str(HOME / "tool/cache")
    if "PIP_INDEX_URL" in env and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & env.keys():
        env["UV_DEFAULT_INDEX"] = env["PIP_INDEX_URL"]
    return env


def run(uv: Path, *words: str) -> None:
    """Run uv; where it fails, once more with the machine's own certificates, as behind a company's proxy."""
    env = environment()
    for more in ([], ["--system-certs"]):
        if more:
            say("Trying again, with this machine's own certificates …")
        if subprocess.run([str(uv), "--no-config", *more, *words], env=env, cwd=CHECKOUT, check=False).returncode == 0:
            return
    raise give_up("the packages could not be installed (see above). Check the network, then run this again.")


def sync(locks: Sequence[str]) -> None:
    """Install what these locks name. What tests need stays where it was installed before."""
    stamps = VENV / "synced"
    if (stamps / DEV).exists():
        locks = [*dict.fromkeys([*locks, DEV])]
    uv = find_uv()
    if not works(VENV / "bin/python", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
        shutil.rmtree(VENV, ignore_errors=True)
        run(uv, "venv", "--quiet", "--python", sys.executable, str(VENV))
    before = time.monotonic()
    say("Installing the packages that the lock files name …")
    shutil.rmtree(stamps, ignore_errors=True)
    # Progress bars are for a terminal; uv knows.
    run(uv, "pip", "sync", "--require-hashes", *([] if sys.stderr.isatty() else ["--quiet"]), *locks)
    for lock in locks:
        stamp = stamps / lock
        stamp.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / lock, stamp)
    say(f"Ready after {time.monotonic() - before:.1f} s.")


def main() -> None:
    """Sync for one caller at a time."""
    try:
        HOME.mkdir(exist_ok=True)
        guard = (HOME / "sync.lock").open("w")
    except OSError as error:
        raise give_up(f"{HOME} can't be written to: {error.strerror}. Run ./ithaca as the owner of this folder.") from error
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        sync(sys.argv[1:])


if __name__ == "__main__":
    main()
