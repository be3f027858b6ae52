"""Ports on 127.0.0.1: free ones, the same as last time where possible, so that a link in an old mail still leads somewhere."""

import contextlib
import json
import os
import random
import socket
import threading
from pathlib import Path

from deploy.local.processes import PartError

# Below what Linux gives to outgoing connections: a port of ours is not taken by one while its server restarts.
RANGE = range(15_000, 32_000)


class Ports:
    """The ports of one platform by name, remembered in a file.

    `ITHACA_PORT_GATEWAY=8080` chooses one (of copy 1, for services); a remembered port is used if it is still free.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.taken: dict[str, int] = {}
        self.remembered: dict[str, int] = {}
        self.lock = threading.Lock()
        with contextlib.suppress(OSError, ValueError):
            self.remembered = {str(name): int(port) for name, port in json.loads(file.read_text()).items()}

    def __getitem__(self, name: str) -> int:
        """The port of this name, the same for as long as this object lives. Raises PartError if a chosen one is in use."""
        with self.lock:
            if name not in self.taken:
                self.taken[name] = self.find(name)
                self.remembered[name] = self.taken[name]
                self.file.parent.mkdir(parents=True, exist_ok=True)
                new = self.file.with_suffix(".new")
                new.write_text(json.dumps(self.remembered, indent=2) + "\n")
                new.replace(self.file)
            return self.taken[name]

    def find(self, name: str) -> int:
        setting = "ITHACA_PORT_" + name.removesuffix("-1").replace("-", "_").upper()
        if chosen := os.environ.get(setting):
            if not chosen.isdecimal() or not 0 < int(chosen) < 65536:
                raise PartError(f"{setting}={chosen} is not a port: give a number from 1 to 65535.")
            if not free(int(chosen)):
                raise PartError(f"Port {chosen} ({setting}) is in use on 127.0.0.1: choose another or unset {setting}.")
            return int(chosen)
        ours = set(self.taken.values())
        last = self.remembered.get(name)
        if last is not None and last not in ours and free(last):
            return last
        ours |= set(self.remembered.values())
        for port in random.sample(RANGE, len(RANGE)):
            if port not in ours and free(port):
                return port
        raise PartError(f"No port from {RANGE.start} to {RANGE.stop} is free on 127.0.0.1.")


def broker_name(number: int, of: int) -> str:
    """`kafka` where it is alone, else `kafka-1` and so on."""
    return "kafka" if of == 1 else f"kafka-{number}"


def free(port: int) -> bool:
    """Could a server listen there?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: an old connection's end is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listening(port: int) -> bool:
    """Does a server answer there?"""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True
