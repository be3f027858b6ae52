"""Kafka and PostgreSQL for tests from the images that docker-compose.yml names; everything else is the embedded platform's."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from deploy.local.platform import Platform
from deploy.local.postgres import DATABASE, USER
from deploy.local.processes import Child, PartError

KAFKA, POSTGRES = "apache/kafka:4.4.0", "postgres:18"
CHOICES = ("", "embedded", "containers")


def chosen() -> str:
    """`embedded` or `containers`: what ITHACA_TEST_PLATFORM says, else containers where an engine answers and has both images."""
    choice = os.environ.get("ITHACA_TEST_PLATFORM", "")
    if choice not in CHOICES:
        raise pytest.UsageError(f"ITHACA_TEST_PLATFORM={choice}: embedded or containers, or nothing")
    return choice or ("containers" if images_are_here() else "embedded")


@cache
def images_are_here() -> bool:
    """Does a Docker engine answer that has the images? None is fetched for a test."""
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        client = docker.from_env(timeout=3)
        for name in (KAFKA, POSTGRES):
            client.images.get(name)
    except (DockerException, RequestException):
        return False
    return True


class Contained(Child):
    """A part in a container, started, killed and awaited as a process of the platform is."""

    def __init__(self, name: str, image: str, port: int, inside: int, env: dict[str, str], command: list[str]) -> None:
        super().__init__(name, [], Path(os.devnull))
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        testcontainers_config.ryuk_disabled = True  # it would have to be fetched; `remove` runs at the end of the fixture
        self.container = DockerContainer(image, env=env).with_command(command)
        self.container.ports[f"{inside}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment] - the engine takes the pair
        self.made = False

    @property
    def pid(self) -> int | None:
        if not self.made:
            return None
        docker = self.container.get_wrapped_container()
        docker.reload()
        return docker.attrs["State"]["Pid"] or None

    def start(self) -> None:
        if self.made:
            self.container.get_wrapped_container().start()
        else:
            self.container.start()
            self.made = True
        self.started = time.monotonic()

    def signal(self, what: int) -> None:
        from docker.errors import APIError

        if self.made:
            with contextlib.suppress(APIError):  # it has ended
                self.container.get_wrapped_container().kill(signal=int(what))

    def wait(self, limit: float) -> bool:
        from requests.exceptions import ConnectionError as Timeout

        try:
            self.container.get_wrapped_container().wait(timeout=max(limit, 0.1))
        except Timeout:
            return False
        return True

    def wait_until(self, ready: Callable[[], bool], limit: float) -> None:
        until = time.monotonic() + limit
        while not ready():
            if self.pid is None or time.monotonic() > until:
                raise PartError(f"{self.name} isn't ready. {self.last_words()}")
            time.sleep(0.1)

    def last_words(self, lines: int = 12) -> str:
        return self.container.get_wrapped_container().logs(tail=lines).decode(errors="replace") if self.made else ""

    def remove(self) -> None:
        if self.made:
            self.container.stop()


class KafkaInContainer:
    """One broker. Its port is the same inside, so that what it advertises is true on both sides."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.probe = ["bash", "-c", f"</dev/tcp/127.0.0.1/{port}"]
        settings = {
            "NODE_ID": 1,
            "PROCESS_ROLES": "broker,controller",
            "LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
            "ADVERTISED_LISTENERS": f"PLAINTEXT://{self.address}",
            "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "AUTO_CREATE_TOPICS_ENABLE": "false",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": 1,
            "OFFSETS_TOPIC_NUM_PARTITIONS": 5,
            "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": 1,
            "TRANSACTION_STATE_LOG_MIN_ISR": 1,
            "GROUP_INITIAL_REBALANCE_DELAY_MS": 0,
            "BROKER_SESSION_TIMEOUT_MS": 3000,
            "BROKER_HEARTBEAT_INTERVAL_MS": 500,
            "HEAP_OPTS": "-Xms64m -Xmx256m",
        }
        self.child = Contained("kafka", KAFKA, port, port, {f"KAFKA_{name}": str(value) for name, value in settings.items()}, [])

    def wait(self) -> None:
        """Whoever connects from outside reaches the engine's proxy at once, so the question is asked inside."""
        self.child.wait_until(self.listens, 90)

    def listens(self) -> bool:
        from docker.errors import APIError

        try:
            return self.child.container.exec(self.probe).exit_code == 0
        except APIError:  # it has ended
            return False


class Containers(Platform):
    """The platform of tests with Kafka and PostgreSQL in containers, on the same ports, killed and restarted by the same words."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, zipkin=False, mailbox=True, watch=False)

    def start_postgres(self) -> None:
        env = {"POSTGRES_USER": USER, "POSTGRES_DB": DATABASE, "POSTGRES_PASSWORD": self.secrets.superuser}
        command = ["postgres", "-c", "max_connections=300"]
        self.postgres.child = Contained("postgres", POSTGRES, self.ports["postgres"], 5432, env, command)
        self.postgres.child.stop_signal = signal.SIGINT
        self.run("postgres", self.postgres.child, self.postgres.wait)

    def start_kafka(self) -> None:
        kafka = KafkaInContainer(self.ports["kafka"])
        self.brokers = {"kafka": kafka}  # type: ignore[dict-item] - what kills and revives a broker needs no more of it
        self.run("kafka", kafka.child, kafka.wait)

    def stop(self) -> None:
        contained = [child for child in self.children.values() if isinstance(child, Contained)]
        super().stop()
        for child in contained:
            child.remove()


def parts(home: Path) -> Platform:
    """Kafka, PostgreSQL and the mailbox, as `chosen` says."""
    make = Containers if chosen() == "containers" else partial(Platform, zipkin=False, mailbox=True)
    return make(home)
