"""What stands around the story: the mailbox, the viewer of traces, the place of a partner's endpoint, and the means to kill a service.

The story itself is the same on a platform of processes and on one of containers.
"""

import os
import signal
from typing import Protocol

import httpx

from deploy.demo.outside import Mails
from deploy.local.state import State


class Around(Protocol):
    """Where the story is played."""

    endpoint_host: str
    """The address of this machine that the platform's webhooks reach."""

    def mails(self, http: httpx.AsyncClient) -> Mails:
        """Everybody's mail."""

    async def kill_scheduling(self) -> None:
        """End scheduling's first copy at once, as an accident would; it shall come back by itself."""

    def trace_page(self, trace_id: str) -> str:
        """Where a trace is seen."""

    async def traced(self, http: httpx.AsyncClient, trace_id: str) -> set[str]:
        """The services that the viewer shows in a trace so far. Raises httpx.TransportError where it isn't up."""


class Processes:
    """The embedded platform: processes of this machine, Zipkin, our own mailbox."""

    endpoint_host = "127.0.0.1"

    def __init__(self, state: State) -> None:
        self.state = state

    def mails(self, http: httpx.AsyncClient) -> Mails:
        return Mails(http, self.state.addresses["mailbox"])

    async def kill_scheduling(self) -> None:
        os.kill(self.state.pids["scheduling-1"], signal.SIGKILL)

    def trace_page(self, trace_id: str) -> str:
        return f"{self.state.addresses['zipkin']}/zipkin/traces/{trace_id}"

    async def traced(self, http: httpx.AsyncClient, trace_id: str) -> set[str]:
        answer = await http.get(f"{self.state.addresses['zipkin']}/api/v2/trace/{trace_id}")
        return {span["localEndpoint"]["serviceName"] for span in answer.json()} if answer.is_success else set()
