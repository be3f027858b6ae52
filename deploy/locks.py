"""Makes the three lock files from pyproject.toml: one resolution, cut into what a service needs, what the embedded
platform adds, and what tests add. Run as `./ithaca lock`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

# Each lock holds what its groups need beyond the locks before it.
LOCKS: list[tuple[str, list[str]]] = [
    ("requirements.lock", ["match"]),
    ("deploy/local/requirements.lock", ["local", "cluster"]),
    ("tests/requirements.lock", ["dev"]),
]
HEADER = "# Made by `./ithaca lock` from pyproject.toml; don't edit.\n"
# The oldest Python that pyproject.toml allows; one set of pins serves it and all later ones.
OLDEST = "3.11"


def uv() -> str:
    """The uv that the launcher found or installed."""
    found = os.environ.get("ITHACA_UV") or shutil.which("uv")
    return found or str(CHECKOUT / ".ithaca/tool/bin/uv")


def resolve(groups: Sequence[str], constraints: str = "", *, upgrade: bool = False) -> list[str]:
    """One block of text per pinned package (its hashes included), for the project and these dependency groups.

    Keeps the pins that stand in `constraints`; without `upgrade` also those of the locks as they are.
    """
    preferred = "" if upgrade else "".join(path.read_text() for name, _ in LOCKS if (path := CHECKOUT / name).exists())
    scratch = CHECKOUT / ".ithaca" / "lock"
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "constraints.txt").write_text(constraints)
    (scratch / "resolved.txt").write_text(preferred)
    subprocess.run(
        [
            uv(), "pip", "compile", "pyproject.toml",
            *(word for group in groups for word in ("--group", group)),
            "--universal", "--python-version", OLDEST, "--fork-strategy", "fewest", "--generate-hashes",
            "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--no-config", "--quiet",
            "--constraints", str(scratch / "constraints.txt"), "--output-file", str(scratch / "resolved.txt"),
        ],
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", (scratch / "resolved.txt").read_text(), flags=re.MULTILINE)


def pins(blocks: Sequence[str]) -> str:
    """The blocks without their hashes: what a constraints file may hold."""
    return "".join(block.split(" \\\n", 1)[0].rstrip() + "\n" for block in blocks)


def make(*, upgrade: bool = False) -> None:
    """Write all lock files. `upgrade` takes the newest versions; otherwise pins that still fit stay."""
    every = [group for _, groups in LOCKS for group in groups]
    whole = pins(resolve(every, upgrade=upgrade))
    groups: list[str] = []
    before: list[str] = []
    for name, added in LOCKS:
        groups += added
        blocks = resolve(groups, whole, upgrade=True)
        # A package whose marker is wider here than in an earlier lock is named again, with the same version.
        (CHECKOUT / name).write_text(HEADER + "".join(block for block in blocks if block not in before))
        before += blocks


if __name__ == "__main__":
    make(upgrade="--upgrade" in sys.argv[1:])
