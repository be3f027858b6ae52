"""The ground on which it happens: the whole platform, its services behind proxies, PostgreSQL's files where the disk can get full."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.chaos import proxy
from deploy.local.platform import Platform
from deploy.local.ports import listening
from deploy.local.postgres import Postgres
from deploy.local.processes import Child, stop_together
from deploy.local.state import python_path
from shared.events import SERVICES

DISK_BYTES = 8 << 30
SPARE_BYTES = 64 << 10
"""What a full disk still has: less than a segment of anything."""


class Ground(Platform):
    """Services reach Kafka and PostgreSQL through `proxy`; we, who look from outside, reach PostgreSQL directly."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, zipkin=False, services=SERVICES, copies=2, brokers=3)
        self.disk = Disk(self.home / "disk")

    def front(self, name: str) -> int:
        """The proxy's port before this part."""
        return self.ports[f"{name}-front"]

    def describe(self) -> None:
        super().describe()
        if self.disk.mount():
            self.postgres = Postgres(
                self.disk.folder / "postgres", self.home / "log/postgres.log", self.ports["postgres"], self.secrets.superuser
            )
        words = [f"{name}:{self.front(name)}:{self.ports[name]}" for name in (*self.broker_names(), "postgres")]
        child = Child(
            "proxy",
            [sys.executable, "-m", "benchmarks.chaos.proxy", "--control", str(self.ports["proxy"]), *words],
            log=self.home / "log/proxy.log",
            env={**os.environ, "PYTHONPATH": python_path(os.environ)},
            cwd=self.home,
        )
        self.run("proxy", child, lambda: child.wait_until(lambda: listening(self.ports["proxy"]), 20))

    def stop(self, *, keep_lock: bool = False) -> None:
        children = [child for name, child in self.children.items() if name == "proxy"]
        super().stop(keep_lock=keep_lock)
        stop_together(children, grace=1.0)
        self.disk.unmount()

    def broker_names(self) -> list[str]:
        return [node.name for node in self.nodes]

    async def tell(self, line: str, do: str, value: float = 0.0) -> None:
        """Have the proxy cut, lose or slow the connections to Kafka, every broker of it, or PostgreSQL."""
        for name in self.broker_names() if line == "kafka" else [line]:
            await proxy.tell(self.ports["proxy"], name, do, value)


class Disk:
    """A file system of its own that is made as small as what lies on it; only root may mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def mount(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and shutil.which("mount"):
            options = f"size={DISK_BYTES},mode=0755"
            self.mounted = run("mount", "-t", "tmpfs", "-o", options, "ithaca-chaos", str(self.folder))
        return self.mounted

    def unmount(self) -> None:
        if self.mounted:
            run("umount", "--lazy", str(self.folder))
            self.mounted = False

    def fill(self) -> bool:
        """Leave next to nothing free, without writing anything; whether the system let us."""
        space = os.statvfs(self.folder)
        used = (space.f_blocks - space.f_bfree) * space.f_frsize
        return self.resize(used + SPARE_BYTES)

    def empty(self) -> bool:
        return self.resize(DISK_BYTES)

    def resize(self, size: int) -> bool:
        return run("mount", "-o", f"remount,size={size}", str(self.folder))


def run(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
