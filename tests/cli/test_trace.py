"""`./ithaca trace`: whose token it shows."""

import fcntl

from deploy.cli import trace
from deploy.local.secrets import Secrets
from deploy.local.state import demo_home, home


def test_the_token_is_that_of_the_platform_that_runs_the_demos_included(tmp_path, monkeypatch):
    monkeypatch.setenv("ITHACA_HOME", str(tmp_path))
    ours, demos = Secrets.load(home()).operator_token, Secrets.load(demo_home()).operator_token
    assert trace.token() == ours
    with (demo_home() / "platform.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a running platform does
        assert trace.token() == demos
