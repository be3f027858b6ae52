"""The commands that the documents show are run as they stand there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.state import CHECKOUT

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> list[str]:
    return BLOCK.findall((CHECKOUT / document).read_text("utf-8"))


def script(*parts: str) -> str:
    """The commands, with the checkout's paths made absolute, so that they can run in a folder of their own."""
    text = "\n".join(parts)
    text = text.replace("./ithaca", str(CHECKOUT / "ithaca")).replace(".ithaca/venv", str(CHECKOUT / ".ithaca/venv"))
    return "set -euo pipefail\n" + text.replace("examples/", f"{CHECKOUT}/examples/")


@pytest.fixture
def folder(tmp_path: Path):
    """A folder with two small files of people; what runs there is stopped at the end."""
    (tmp_path / "mentors.csv").write_text("id,skills,time_zone\nm1,cloud|python,Europe/Paris\nm2,writing,Europe/Paris\n")
    (tmp_path / "mentees.csv").write_text("id,skills,time_zone\ne1,cloud,Europe/Paris\ne2,writing,Africa/Lagos\n")
    yield tmp_path
    subprocess.run([CHECKOUT / "ithaca", "down"], env=environment(tmp_path), check=False, timeout=60)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "ITHACA_HOME": str(folder / "home"), "ITHACA_JARS": str(CHECKOUT / ".ithaca/jars")}


@pytest.mark.skipif(shutil.which("curl") is None, reason="the documents use curl, which isn't here")
def test_the_documents_commands_work(folder):
    readme, partners = blocks("README.md"), blocks("docs/partners.md")
    start, down = readme[1].rsplit("./ithaca down", 1)[0], "./ithaca down"
    run = subprocess.run(
        ["bash", "-c", script(start, *partners, down)],
        cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    said = run.stdout
    assert "PairCreated" in said
    assert '"status":"accepted"' in said.replace(" ", "")
    assert '"status":"applied"' in said.replace(" ", "")
    assert "match run finished pairs 1 gap 0" in said
    assert '"erased":true' in said.replace(" ", "")
