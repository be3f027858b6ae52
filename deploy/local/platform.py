"""All parts of the platform on one machine: started in the order that is fastest, watched, and stopped in order."""

import asyncio
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Self

from deploy.local.jars import JarError, fetch
from deploy.local.kafka import ADMIN, Kafka, Node, Security, cluster_of
from deploy.local.ports import Ports, broker_name
from deploy.local.postgres import Postgres
from deploy.local.processes import Child, PartError, stop_together
from deploy.local.secrets import Secrets
from deploy.local.state import python_path
from deploy.local.zipkin import Zipkin, answers

if TYPE_CHECKING:
    from shared.kafka import KafkaSettings

MAIL_FROM = "Ithaca <no-reply@ithaca.example>"
# Which signals leave a process running.
HARMLESS = {signal.SIGSTOP, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP}
LONGEST_PAUSE = 30.0  # seconds between two restarts of what keeps dying
CALM = 60.0  # seconds alive after which earlier deaths are forgotten


class AlreadyRunning(Exception):
    """Another process runs a platform in this home."""


class Platform:
    """The parts of the platform on this machine under one home folder.

    Everything listens on 127.0.0.1 only and dies with this process, however that ends. Several platforms with homes of their own
    run side by side. `addresses` and `pids` may be read at any time, from any thread.
    """

    def __init__(
        self,
        home: Path,
        *,
        zipkin: bool = True,
        mailbox: bool = True,
        services: Sequence[str] = (),
        copies: Mapping[str, int] | int = 1,
        extra_env: Mapping[str, str] = {},
        watch: bool = True,
        brokers: int | None = None,
        security: Security | None = None,
    ) -> None:
        """`copies` is one number for all services, or one per service; `extra_env` is given to services.

        Without `watch`, what dies stays dead. `brokers`: 1 or 3; as many as last time, or 1, where it isn't said. With `security`
        Kafka lets each service do what it must and no more.
        """
        if brokers not in (None, 1, 3):
            raise PartError(f"{brokers} brokers make no sense: 1, or 3, of which one may be away.")
        self.home = home.resolve()
        self.wanted_brokers, self.security = brokers, security
        self.brokers: dict[str, Kafka] = {}
        self.services = tuple(services)
        self.with_zipkin, self.with_mailbox, self.watching = zipkin, mailbox, watch
        self.copies = {name: copies if isinstance(copies, int) else copies.get(name, 1) for name in self.services}
        self.extra_env = dict(extra_env)
        self.addresses: dict[str, str] = {}
        self.children: dict[str, Child] = {}
        self.down_on_purpose: set[str] = set()
        self.deaths: dict[str, int] = {}
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.background: list[threading.Thread] = []
        self.guard: int | None = None
        self.progress: Callable[[str], None] = lambda _: None

    @property
    def pids(self) -> dict[str, int]:
        """The running processes: `kafka` (or `kafka-1` …), `postgres`, `zipkin`, `mailbox`, `gateway-1` and so on."""
        return {name: child.pid for name, child in list(self.children.items()) if child.pid is not None}

    # --- start and stop ------------------------------------------------------------------------------------------------

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Start everything and return when every service is ready. Zipkin may come up a little later: see `wait_for`.

        Raises AlreadyRunning, PartError or JarError, each with a message for a person; then nothing is left running.
        """
        self.progress = progress
        self.home.mkdir(parents=True, exist_ok=True)
        self.hold()
        try:
            self.stopping.clear()
            self.secrets = Secrets.load(self.home)
            self.ports = Ports(self.home / "ports.json")
            self.describe()
            with ThreadPoolExecutor(4, thread_name_prefix="start") as pool:
                first = [pool.submit(self.start_postgres), pool.submit(self.start_kafka)]
                if self.with_mailbox:
                    first.append(pool.submit(self.start_mailbox))
                results(first, self.stopping)
                if self.with_zipkin:
                    self.aside(self.start_zipkin)
                copies = [(name, copy) for name in self.services for copy in range(1, self.copies[name] + 1)]
                if copies:
                    progress(f"Starting {', '.join(self.services)}")
                results([pool.submit(self.start_service, name, copy) for name, copy in copies], self.stopping)
            if self.watching:
                self.aside(self.watch)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, keep_lock: bool = False) -> None:
        """Stop services, then Kafka and Zipkin, then Postgres; data stay. Nothing happens if nothing runs.

        With `keep_lock` the home stays ours until the kernel frees it at our end: who waits for the lock waits for our process.
        """
        self.stopping.set()
        with self.lock:
            children = dict(self.children)
        early = [child for name, child in children.items() if name == "mailbox" or name.rpartition("-")[0] in self.services]
        stop_together(early, grace=1.0)
        # Kafka needs the time to close its files, or it reads them all at the next start; three wait for each other too.
        grace = 6 if len(self.brokers) < 2 else 12
        stop_together([children[name] for name in (*self.brokers, "zipkin") if name in children], grace)
        stop_together([children[name] for name in ("postgres",) if name in children], grace=3)
        for thread in self.background:
            if thread is not threading.current_thread():
                thread.join(5)
        with self.lock:
            self.background.clear()
            self.children.clear()
        if self.guard is not None and not keep_lock:
            os.close(self.guard)
            self.guard = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hold(self) -> None:
        """Take the home's lock, which the kernel gives back when we end, however we end."""
        guard = os.open(self.home / "platform.lock", os.O_RDWR | os.O_CREAT, 0o600)
        for attempt in range(5):
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == 4:
                    os.close(guard)
                    raise AlreadyRunning(f"A platform runs in {self.home} already.") from None
                time.sleep(0.05)  # someone may be looking whether we run
            else:
                self.guard = guard
                return

    def describe(self) -> None:
        """Choose every port and address before anything starts, since services are told each other's."""
        data, log, ports = self.home / "data", self.home / "log", self.ports
        self.postgres = Postgres(data / "postgres", log / "postgres.log", ports["postgres"], self.secrets.superuser)
        self.cluster, many = cluster_of(data, self.wanted_brokers)
        self.nodes = [
            Node(n, name, ports[name], ports["controller" if many == 1 else f"controller-{n}"], self.front(name))
            for n in range(1, many + 1)
            for name in [broker_name(n, many)]
        ]
        kafka = ",".join(f"127.0.0.1:{node.advertised}" for node in self.nodes)
        self.addresses |= {"postgres": self.postgres.dsn, "kafka": kafka}
        if self.with_zipkin:
            self.zipkin = Zipkin(log / "zipkin.log", ports["zipkin"])
            self.addresses["zipkin"] = self.zipkin.url
        if self.with_mailbox:
            self.addresses |= {"mailbox": f"http://127.0.0.1:{ports['mailbox']}", "smtp": f"127.0.0.1:{ports['smtp']}"}
        self.addresses |= {name: f"http://127.0.0.1:{ports[f'{name}-1']}" for name in self.services}

    def front(self, name: str) -> int:
        """The port at which services reach Kafka or PostgreSQL: its own, unless something is put before it."""
        return self.ports[name]

    # --- the parts -----------------------------------------------------------------------------------------------------

    def run(self, name: str, child: Child, ready: Callable[[], None]) -> None:
        """Enter a child among those we look after and start it, unless everything is being stopped."""
        with self.lock:
            if self.stopping.is_set():
                raise PartError(f"{name} was not started: the platform is being stopped.")
            self.children[name] = child
            self.down_on_purpose.discard(name)
            child.start()
        ready()

    def start_postgres(self) -> None:
        self.progress("Starting PostgreSQL")
        self.postgres.prepare()
        self.run("postgres", self.postgres.child, self.postgres.wait)
        if self.services:
            from shared.database import provision  # noqa: PLC0415 - tests and benchmarks use the platform without it

            passwords = {name: self.secrets.database(name) for name in self.services}
            asyncio.run(provision(self.postgres.dsn, passwords))
        self.progress("PostgreSQL is up")

    def start_kafka(self) -> None:
        jars = fetch("kafka", progress=self.fetching("Kafka"))
        many = len(self.nodes)
        self.progress("Starting Kafka" if many == 1 else f"Starting Kafka, {many} brokers")
        data, log = self.home / "data", self.home / "log"
        made = [Kafka(data, log, jars, self.nodes, node.number, self.security) for node in self.nodes]
        self.brokers = {one.name: one for one in made}

        def start(one: Kafka) -> None:
            one.prepare(self.cluster)
            self.run(one.name, one.child, one.wait)

        with ThreadPoolExecutor(many) as pool:
            results([pool.submit(start, one) for one in made], self.stopping)
        if self.services:
            self.make_topics()
        self.progress("Kafka is up")

    def make_topics(self) -> None:
        """The catalogue's topics, and who may do what with them."""
        from shared.topics import create  # noqa: PLC0415 - tests and benchmarks use the platform without it

        client = self.kafka_settings(ADMIN)
        asyncio.run(create(client.kafka_client(), replication=len(self.nodes)))
        if self.security:
            from deploy import acls  # noqa: PLC0415

            acls.apply(client, acls.rules())

    def kafka_settings(self, user: str) -> "KafkaSettings":
        """How this user connects to Kafka."""
        from shared.kafka import KafkaSettings  # noqa: PLC0415 - as above

        return KafkaSettings.model_validate(self.kafka_access(user))

    def kafka_access(self, user: str) -> dict[str, str]:
        """The same as settings, which a service reads from its environment."""
        given = {"kafka": self.addresses["kafka"]}
        if self.security:
            given |= {"kafka_user": user, "kafka_password": self.security.users[user], "kafka_ca": str(self.security.ca)}
        return given

    def start_zipkin(self) -> None:
        """Start the viewer of traces. The platform works without, so a failure is told and no more."""
        try:
            fetch("zipkin", progress=self.fetching("Zipkin"))
            self.run("zipkin", self.zipkin.child, self.zipkin.wait)
            self.progress("Zipkin is up")
        except (PartError, JarError) as error:
            if not self.stopping.is_set():
                self.progress(f"Traces can't be shown, all else works. {error}")

    def start_mailbox(self) -> None:
        smtp, web = self.addresses["smtp"], self.addresses["mailbox"].removeprefix("http://")
        words = ["--folder", str(self.home / "data/mail"), "--smtp", smtp, "--http", web]
        child = Child(
            "mailbox",
            [sys.executable, "-m", "deploy.local.mailbox", *words],
            log=self.home / "log/mailbox.log",
            env={**os.environ, "PYTHONPATH": python_path(os.environ)},
            cwd=self.home,
        )
        self.run("mailbox", child, lambda: child.wait_until(lambda: answers(f"http://{web}/health"), 60))

    def service(self, name: str, copy: int) -> Child:
        """How one copy of a service is started."""
        address = f"127.0.0.1:{self.ports[f'{name}-{copy}']}"
        urls = {key: url for key, url in self.addresses.items() if url.startswith("http")}
        password = self.secrets.database(name)
        env = {
            **os.environ,
            "PYTHONPATH": python_path(os.environ),
            "PYTHONUNBUFFERED": "1",
            **{f"ITHACA_{key.upper()}": value for key, value in self.kafka_access(name).items()},
            "ITHACA_DATABASE": f"postgresql://{name}:{password}@127.0.0.1:{self.postgres.port}/ithaca",
            "ITHACA_HTTP": address,
            "ITHACA_COPY": str(copy),
            "ITHACA_URLS": json.dumps(urls),
            "ITHACA_LINK_SECRET": self.secrets.link_secret,
            "ITHACA_OPERATOR_TOKEN": self.secrets.operator_token,
            "ITHACA_SECRET_KEY": self.secrets.secret_key,
            "ITHACA_SMTP": self.addresses.get("smtp", ""),
            "ITHACA_MAIL_FROM": MAIL_FROM,
            "ITHACA_WEBHOOK_NETWORKS": "127.0.0.0/8",  # a newcomer's own endpoint is on this machine
            "OTEL_SERVICE_NAME": name,
            "OTEL_TRACES_EXPORTER": "none",
        }
        if self.with_zipkin:
            env["OTEL_TRACES_EXPORTER"] = "zipkin"
            env["OTEL_EXPORTER_ZIPKIN_ENDPOINT"] = f"{self.addresses['zipkin']}/api/v2/spans"
        log = self.home / f"log/{name}-{copy}.log"
        command = [sys.executable, "-m", f"services.{name}.main"]
        # -m looks into the working directory first: one in which nothing of that name lies.
        return Child(f"{name}-{copy}", command, log=log, env={**env, **self.extra_env}, cwd=self.home)

    def start_service(self, name: str, copy: int) -> None:
        child = self.service(name, copy)
        url = f"http://{child.env['ITHACA_HTTP']}/health/ready"
        self.run(child.name, child, lambda: child.wait_until(lambda: answers(url), 60))
        self.progress(f"{child.name} is ready")

    def fetching(self, what: str) -> Callable[[int, int], None]:
        """Tell of a download at each tenth of it."""
        told = -1

        def tell(done: int, total: int) -> None:
            nonlocal told
            if (tenth := 10 * done // total) > told:
                told = tenth
                self.progress(f"Fetching {what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

        return tell

    # --- while it runs -------------------------------------------------------------------------------------------------

    def kill(self, name: str, sig: int = signal.SIGKILL) -> None:
        """Send a process a signal, as an accident would. A killed service comes back by itself; Kafka, Postgres, Zipkin and the
        mailbox stay down until `restart`. Raises KeyError where there is no such process.
        """
        child = self.children[name]
        if sig not in HARMLESS and not self.is_service(name):
            self.down_on_purpose.add(name)
        child.signal(sig)
        if sig == signal.SIGKILL:
            child.wait(5)

    def halt(self, name: str) -> None:
        """Stop one process and leave it down until `restart`."""
        self.down_on_purpose.add(name)
        stop_together([self.children[name]], grace=10)

    def restart(self, name: str) -> None:
        """Stop a process if it runs, start it, and return when it is ready."""
        self.halt(name)
        self.revive(name)

    def add_copy(self, service: str) -> str:
        """Start one more copy of a service, wait until it is ready, and return its name."""
        numbers = {int(name.rpartition("-")[2]) for name in self.children if name.rpartition("-")[0] == service}
        copy = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
        self.start_service(service, copy)
        return f"{service}-{copy}"

    def remove_copy(self, service: str) -> str:
        """Stop the last copy of a service and return its name. Raises KeyError where none is left."""
        names = [name for name in self.children if name.rpartition("-")[0] == service]
        if not names:
            raise KeyError(service)
        last = max(names, key=lambda name: int(name.rpartition("-")[2]))
        self.halt(last)
        with self.lock:
            del self.children[last]
        return last

    def wait_for(self, name: str, limit: float = 60) -> None:
        """Wait until a part that starts in the background is up, such as `zipkin`. Raises PartError."""
        until = time.monotonic() + limit
        while not (answers(f"{self.addresses['zipkin']}/health") if name == "zipkin" else name in self.pids):
            if time.monotonic() > until:
                raise PartError(f"{name} was not up after {limit:.0f} s; see {self.home / 'log'}.")
            time.sleep(0.05)

    def is_service(self, name: str) -> bool:
        """Is this the name of a copy of a service?"""
        return name.rpartition("-")[0] in self.services

    def revive(self, name: str) -> None:
        """Start again what is down, and wait until it is ready."""
        if name == "postgres":
            for _ in range(20):  # a killed server's last processes hold its memory a moment longer
                try:
                    self.run(name, self.postgres.child, self.postgres.wait)
                    break
                except PartError:
                    time.sleep(0.25)
            else:
                self.run(name, self.postgres.child, self.postgres.wait)
        elif name in self.brokers:
            self.run(name, self.brokers[name].child, self.brokers[name].wait)
        elif name == "zipkin":
            self.run(name, self.zipkin.child, self.zipkin.wait)
        elif name == "mailbox":
            self.start_mailbox()
        else:
            service, _, copy = name.rpartition("-")
            self.start_service(service, int(copy))

    def watch(self) -> None:
        """Start again what died, after a pause that grows while it keeps dying."""
        due: dict[str, float] = {}
        while not self.stopping.wait(0.1):
            for name, child in list(self.children.items()):
                if child.pid is not None or name in self.down_on_purpose or name in due:
                    continue
                alive = time.monotonic() - child.started
                self.deaths[name] = 1 if alive > CALM else self.deaths.get(name, 0) + 1
                pause = min(0.25 * 2 ** (self.deaths[name] - 1), LONGEST_PAUSE)
                due[name] = time.monotonic() + pause
                self.progress(f"{name} died after {alive:.0f} s; started again in {pause:.1f} s. Its log: {child.log}")
            for name in [name for name, at in due.items() if time.monotonic() >= at]:
                del due[name]
                child = self.children.get(name)  # type: ignore[assignment]
                if child is not None and child.pid is None and name not in self.down_on_purpose and not self.stopping.is_set():
                    self.spawn_again(name)

    def spawn_again(self, name: str) -> None:
        """Start what died without waiting until it is ready, so that it keeps no other waiting."""
        with self.lock:
            child = self.children.get(name)
            if child is not None and not self.stopping.is_set():
                child.start()

    def aside(self, what: Callable[[], None]) -> None:
        """Run this in a thread of its own until the platform stops."""
        thread = threading.Thread(target=what, name=what.__name__, daemon=True)
        self.background.append(thread)
        thread.start()


def results(futures: Sequence[Future[None]], stop: threading.Event) -> None:
    """Wait for all; at the first failure tell the others to stop and raise it."""
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        stop.set()
        raise
