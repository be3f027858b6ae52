"""The containers of docker-compose.yml, brought up and down by a command, and the story's ways around in them."""

import asyncio
import ipaddress
import json
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.compose import secrets
from deploy.demo.outside import MaildevMails, Mails
from deploy.local.ports import Ports
from deploy.local.processes import PartError
from deploy.local.secrets import Secrets
from deploy.local.state import CHECKOUT, State
from shared.events.topics import SERVICES

PUBLISHED = ("gateway", "scheduling", "notifications", "analytics", "kafka", "postgres", "mailbox", "jaeger", "prometheus")
WAIT_SECONDS = 240


@dataclass
class Stack:
    """One compose project on ports of its own, so that it stands beside others."""

    project: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    secrets: Secrets = field(init=False)
    ports: dict[str, int] = field(init=False)

    def prepare(self) -> None:
        """Make the secrets. Raises PartError where `docker compose` or its engine is missing."""
        if not works("docker", "compose", "version"):
            raise PartError("`docker compose` is needed for --compose: install Docker with its compose plugin.")
        if not works("docker", "info"):
            raise PartError("no Docker engine answers: start it (`docker info` says more).")
        self.secrets = secrets.write(self.home)
        self.environment = {"ITHACA_PORTS_MATCHING": "0", "ITHACA_COMPOSE_SECRETS": str(secrets.folder(self.home))}

    def choose_ports(self) -> None:
        """Free ones, the same as last time where possible."""
        chosen = Ports(secrets.folder(self.home) / f"{self.project}-ports.json")
        self.ports = {name: chosen[name] for name in PUBLISHED}
        self.environment |= {f"ITHACA_PORT_{name.upper()}": str(port) for name, port in self.ports.items()}

    def compose(self, *words: str, limit: float = 600) -> str:
        """Run `docker compose` with these words; what it printed. Raises PartError with the end of what it said."""
        return run([*self.command, *words], self.environment, limit)

    @property
    def command(self) -> list[str]:
        return ["docker", "compose", "--project-directory", str(CHECKOUT), "--project-name", self.project]

    def build(self) -> None:
        self.compose("build", "--quiet", "setup", limit=1200)

    def up(self, scale: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None) -> State:
        """Start all and return when each is healthy. Raises PartError."""
        self.choose_ports()
        progress("Making the network")
        self.compose("create", "kafka")  # its address is needed by what goes up next
        self.environment["ITHACA_WEBHOOK_NETWORKS"] = self.gateway()
        progress("Starting the containers")
        self.compose("up", "--wait", "--wait-timeout", str(WAIT_SECONDS), *(word for one in scale for word in ("--scale", one)))
        return State("", os.getpid(), ready=True, addresses=self.addresses(), pids={})

    def down(self) -> None:
        """End all, and delete what they kept."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def running(self) -> list[str]:
        """The names of the containers that run."""
        return self.compose("ps", "--format", "{{.Name}}").split()

    def gateway(self) -> str:
        """The address of this machine on the project's network."""
        words = ["docker", "network", "inspect", f"{self.project}_default", "--format", "{{json .IPAM.Config}}"]
        return str(ipaddress.ip_address(json.loads(run(words, {}, 30))[0]["Gateway"]))

    def addresses(self) -> dict[str, str]:
        """Where each part is for this machine."""
        ports = self.ports
        found = {name: f"http://localhost:{ports[name]}" for name in SERVICES if name in ports}
        found["matching"] = f"http://{self.compose('port', 'matching', '8000').strip()}"
        found |= {name: f"http://localhost:{ports[name]}" for name in ("mailbox", "jaeger", "prometheus")}
        found["kafka"] = f"localhost:{ports['kafka']}"
        found["postgres"] = f"postgresql://ithaca:{self.secrets.superuser}@127.0.0.1:{ports['postgres']}/ithaca"
        return found


class Containers:
    """What stands around the story when it is played in containers: maildev, Jaeger, the engine."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.state = stack.addresses()
        self.endpoint_host = stack.environment["ITHACA_WEBHOOK_NETWORKS"]
        if not ours(self.endpoint_host):
            raise PartError("the story's webhooks need a Docker engine on this machine itself, not one in a virtual machine.")

    def mails(self, http: httpx.AsyncClient) -> Mails:
        return MaildevMails(http, self.state["mailbox"])

    async def kill_scheduling(self) -> None:
        """Kill all processes in its container from within: the engine then sees a crash and starts it again, as it wouldn't after
        a kill by its own command.
        """
        command = [*self.stack.command, "exec", "-T", "scheduling", "sh", "-c", "kill -9 -1"]
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | self.stack.environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()

    def trace_page(self, trace_id: str) -> str:
        return f"{self.state['jaeger']}/trace/{trace_id}"

    async def traced(self, http: httpx.AsyncClient, trace_id: str) -> set[str]:
        answer = await http.get(f"{self.state['jaeger']}/api/traces/{trace_id}")
        if not answer.is_success:
            return set()
        return {process["serviceName"] for trace in answer.json()["data"] for process in trace["processes"].values()}


def run(command: list[str], environment: dict[str, str], limit: float) -> str:
    """A command's output. Raises PartError with the end of its errors."""
    try:
        done = subprocess.run(
            command, env=os.environ | environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PartError(f"`{' '.join(command[:2])} … {command[-1]}` took more than {limit:.0f} s.") from error
    if done.returncode:
        raise PartError(f"`{' '.join(command)}` failed:\n{done.stderr.strip()[-3000:]}")
    return done.stdout


def works(*command: str) -> bool:
    """Does this command end well?"""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def ours(address: str) -> bool:
    """Is this an address of this machine? Then a server may listen on it."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
