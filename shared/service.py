"""A service's life: settings, start, supervised loops, health, stop. `main.py` of each service builds one `Service` and runs it."""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from aiokafka.errors import KafkaError
from fastapi import APIRouter
from pydantic import Field

from shared import access, clock, web
from shared.cloudevents import rfc3339
from shared.consumer import INBOX_DAYS, Consumer
from shared.database import Connection, Database, migrate
from shared.decisions import Handler
from shared.errors import PASSING, describe
from shared.events import TOPICS
from shared.held import Retrier
from shared.kafka import LEAVE_SECONDS, KafkaSettings
from shared.outbox import Relay
from shared.tables import Table
from shared.telemetry import Telemetry, log_to_stderr
from shared.timers import Timers
from shared.watermarks import Watermarks, writers_of
from shared.work import Work

log = logging.getLogger("ithaca.service")

IDLE_SECONDS = 75
"""How long a connection without a call is kept: longer than clients and balancers keep theirs (5 to 60 s), so that none sends a call into one
that is being closed.
"""
LISTEN_SECONDS = 5
"""So often the connection that listens is tried, and the clock set by it."""
STUCK_SECONDS = 60.0


class Settings(KafkaSettings):
    """Read from the environment, `ITHACA_…`."""

    database: str = Field(
        "",
        description="postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE with this service's role; "
        "with TLS ?sslmode=verify-full&sslrootcert=FILE behind it",
    )
    http: str = Field("127.0.0.1:0", description="address to serve on, host:port")
    copy_name: str = Field("", validation_alias="ITHACA_COPY", description="a name of this copy that survives its restarts")
    urls: dict[str, str] = Field(default_factory=dict, description="public address of each service, as JSON")
    link_secret: str = Field("", description="signs the links in mails; the same for all services")
    operator_token: str = Field("", description="whoever runs the platform shows it")
    secret_key: str = Field("", description="encrypts secrets kept in a database, e.g. of webhooks")
    smtp: str = Field("127.0.0.1:25", description="mail relay, host:port")
    rate: str = Field("6000/minute", description="requests that one API key may make of one copy, in the words of `limits`")
    mail_from: str = Field("Ithaca <ithaca@localhost>", description="sender of mails")
    smtp_user: str = Field("", description="user at the mail relay; none where it asks for none")
    smtp_password: str = Field("", description="and the password")
    webhook_networks: str = Field(
        "", description="networks to which webhooks may go beside the public internet, by plain http too: 127.0.0.0/8,10.1.0.0/16"
    )


Loop = Callable[["Service"], Awaitable[None]]
Routes = Callable[["Service"], APIRouter]


@dataclass
class Service:
    """Everything one copy of a service runs. Nothing connects before `run`."""

    name: str
    tables: Sequence[Table[Any]]
    handlers: Sequence[Handler]
    migrations: Path
    routes: Sequence[Routes] = ()
    loops: Sequence[Loop] = ()
    topics: Sequence[str] = ()
    """Defaults to those that the catalogue says it reads."""
    settings: Settings = field(default_factory=Settings)
    telemetry: Telemetry = field(init=False)
    database: Database = field(init=False)
    work: Work = field(init=False)
    consumer: Consumer = field(init=False)
    relay: Relay = field(init=False)

    def __post_init__(self) -> None:
        settings, kafka = self.settings, self.settings.kafka_client()
        self.telemetry = Telemetry(self.name)
        self.database = Database(settings.database, self.name)
        tables, handlers = [*self.tables, *access.TABLES], [*self.handlers, *access.HANDLERS]
        self.work = Work(self.name, self.database, tables, handlers, self.telemetry)
        topics = sorted(self.topics or [t.name for t in TOPICS.values() if self.name in t.readers])
        instance = f"{self.name}-{settings.copy_name}" if settings.copy_name else None
        self.consumer = Consumer(self.work, kafka, topics, instance=instance)
        self.relay = Relay(self.database, kafka, self.telemetry.metrics)
        self.retrier = Retrier(self.work)
        self.watermarks = Watermarks(kafka, self.database.clock, writers_of(self.work.heeded))
        self.timers = Timers(self.work, self.consumer, self.watermarks)
        self.work.committed = [self.relay.committed, self.retrier.committed, self.timers.committed]
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._failing: dict[str, float] = {}
        self.port = 0

    @property
    def urls(self) -> dict[str, str]:
        return self.settings.urls

    # -- life

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        log_to_stderr(self.name)
        spare_the_collector()
        asyncio.run(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self._stop.set)
        async with self.running():
            await self._stop.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Service"]:
        """Started, and stopped in order at the end: HTTP first, then the batch in hand, then the loops.

        HTTP answers from the start, 503 while PostgreSQL isn't there; it never waits for Kafka.
        """
        server = self._server()
        serving = asyncio.create_task(server.serve(), name="http")
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells by a flag only
                await asyncio.sleep(0.01)
            if serving.done():
                raise OSError(f"{self.name} can't serve on {self.settings.http}: is the address taken?")
            self.port = server.servers[0].sockets[0].getsockname()[1]
            log.info("serves", extra={"ids": {"http": f"{self.settings.http.rsplit(':', 1)[0]}:{self.port}"}})
            if await self._open_database():
                loops = self._loops()
                self._tasks = {name: asyncio.create_task(self._supervise(name, run), name=name) for name, run in loops.items()}
            yield self
        finally:
            self._stop.set()  # a library may swallow the cancellation of a loop: then its supervisor doesn't start it again
            server.should_exit = True
            await self.consumer.stop(self._tasks.get("consumer"))
            await self._stop_loops()
            await asyncio.wait([serving], timeout=5)
            await self.database.stop()
            await asyncio.to_thread(self.telemetry.stop)
            log.info("stopped")

    async def _stop_loops(self) -> None:
        """Cancel until all have ended: a library may swallow a cancellation."""
        for _ in range(3):
            for task in self._tasks.values():
                task.cancel()
            if not self._tasks or not (await asyncio.wait(self._tasks.values(), timeout=LEAVE_SECONDS + 1))[1]:
                return
        log.error("left running: %s", ", ".join(name for name, task in self._tasks.items() if not task.done()))

    def _loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        own = {f"{loop.__module__.rpartition('.')[2]}.{loop.__name__}": functools.partial(loop, self) for loop in self.loops}
        if len(own) < len(self.loops):
            raise ValueError(f"two loops of {self.name} have one name: {', '.join(own)}")
        return {
            "consumer": self.consumer.run,
            "relay": self.relay.run,
            "notifier": self.relay.notifier,
            "backlog": self.relay.watch,
            "retrier": self.retrier.run,
            "timers": self.timers.run,
            **({"watermarks": self.watermarks.run} if self.watermarks.writers else {}),
            "listener": self._listen,
            "housekeeping": self._keep_house,
            **own,
        }

    async def _open_database(self) -> bool:
        """Wait for PostgreSQL and bring the schema up to date; False where we are told to stop before."""
        delay = 0.1
        while not self._stop.is_set():
            try:
                applied = await migrate(self.database, self.migrations)
                await self.database.start()
                async with self.database.transaction() as connection:
                    await keep_inbox(connection, datetime.fromtimestamp(self.database.clock.wall(), UTC))
            except PASSING as error:
                log.warning("PostgreSQL isn't there yet: %s", describe(error))
                await clock.rung(self._stop, delay)
                delay = min(delay * 2, 5.0)
            else:
                if applied:
                    log.info("migrated", extra={"ids": {"migrations": applied}})
                return True
        return False

    def _server(self) -> "Server":
        app = web.application(self)
        for routes in self.routes:
            app.include_router(routes(self))
        host, port = self.settings.http.rsplit(":", 1)
        config = uvicorn.Config(
            app, host=host, port=int(port), log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5,
            timeout_keep_alive=IDLE_SECONDS,
        )  # fmt: skip
        return Server(config)

    async def _supervise(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a loop for ever: what breaks is logged and started again with growing delay."""
        delay = 0.2
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                await run()
                if name == "consumer" and self.consumer.stopping:
                    return
            except asyncio.CancelledError:
                raise
            except (KafkaError, *PASSING) as error:
                log.warning("%s starts again: %s", name, describe(error))
            except Exception as error:  # noqa: BLE001 - a loop must not die of a bug; the metric and `live` show it
                log.error("%s failed and starts again: %s", name, describe(error))  # noqa: TRY400 - a traceback may print values
            if time.monotonic() - started > 30:
                delay = 0.2
            if delay > 0.2:  # once is an accident
                self._failing[name] = time.monotonic()
            await clock.rung(self._stop, delay)
            delay = min(delay * 2, 5.0)

    async def _listen(self) -> None:
        """One connection that hears of the outbox and of the clock."""
        connection = await self.database.connect()
        moved = asyncio.Event()
        try:
            await connection.add_listener(self.relay.channel, lambda *_: self.relay.wake.set())
            await connection.add_listener(clock.CHANNEL, lambda *_: moved.set())
            told, known = True, 0.0
            while True:
                async with asyncio.timeout(LISTEN_SECONDS):  # a connection may be dead without a word
                    await self.database.clock.refresh(connection)
                if told or self.database.clock.ahead != known:
                    known = self.database.clock.ahead
                    for loop in (self.timers, self.retrier, self.relay):
                        loop.wake.set()
                if told := await clock.rung(moved, LISTEN_SECONDS):
                    moved.clear()
        finally:
            connection.terminate()

    async def _keep_house(self) -> None:
        while True:
            async with self.database.transaction() as connection:
                await keep_inbox(connection, datetime.fromtimestamp(self.database.clock.wall(), UTC))
            await asyncio.sleep(3600)

    # -- health

    def dead(self) -> list[str]:
        """Loops that ended, or a consumer that stands still: what only a new start mends. Waiting for Kafka or PostgreSQL isn't."""
        dead = [name for name, task in self._tasks.items() if task.done() and not self.consumer.stopping]
        if self._tasks and time.monotonic() - self.consumer.beat > STUCK_SECONDS:
            dead.append("consumer stands still")
        return dead

    async def readiness(self) -> dict[str, Any]:
        """Whether this copy can answer requests now (`ready`), and whether all of it works (`well`).

        Kafka isn't needed for an answer: were a copy without it not ready, an ingress would turn people away in its outage.
        """
        report: dict[str, Any] = {"service": self.name, "copy": self.settings.copy_name}
        try:
            async with asyncio.timeout(2), self.database.transaction() as connection:
                await self.database.clock.refresh(connection)
            report["postgres"] = True
        except PASSING:
            report["postgres"] = False
        report["time"] = rfc3339(self.database.clock.now())
        now = time.monotonic()
        report["kafka"] = self.consumer.reads()
        report["partitions"] = len(self.consumer.start)
        report["failing"] = [name for name, when in self._failing.items() if now - when < 5]
        report["relay"] = "leads" if self.relay.leader else "stands by"
        report["dead"] = self.dead()
        report["ready"] = report["postgres"] and not report["dead"]
        report["well"] = report["ready"] and report["kafka"] and not report["failing"]
        return report


def spare_the_collector() -> None:
    """Let Python's collector of cycles look less often, and not at what was imported: a batch makes many objects and no cycles.

    A tenth to a quarter of a hop's CPU, measured by `./ithaca bench hop`.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service stops in its own order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def day_bound(day: datetime) -> UUID:
    """The smallest UUIDv7 of a day."""
    return UUID(int=int(day.timestamp() * 1000) << 80)


async def keep_inbox(connection: Connection, now: datetime) -> None:
    """Have partitions of the inbox for yesterday to the day after tomorrow, and drop those that are too old."""
    if not await connection.fetchval("select pg_try_advisory_xact_lock(hashtext('ithaca inbox'), hashtext(current_user))"):
        return
    today, oldest = now.replace(hour=0, minute=0, second=0, microsecond=0), now - timedelta(days=INBOX_DAYS + 1)
    have = {r[0] for r in await connection.fetch("select relid::regclass::text from pg_partition_tree('inbox') where isleaf")}
    for days in range(-1, 3):
        day = today + timedelta(days=days)
        name = f"inbox_{day:%Y%m%d}"
        if name not in have:
            bounds = day_bound(day), day_bound(day + timedelta(days=1))
            # Ids of that day that came before its partition, from a writer whose clock is ahead, move into it.
            await connection.execute("lock table inbox_history in access exclusive mode")
            early = await connection.fetch(
                "delete from inbox_history where event_id >= $1 and event_id < $2 returning event_id", *bounds
            )
            await connection.execute(f"create table {name} partition of inbox for values from ('{bounds[0]}') to ('{bounds[1]}')")
            await connection.execute("insert into inbox select unnest($1::uuid[])", [row[0] for row in early])
    for name in sorted(have - {"inbox_history"}):
        if name < f"inbox_{oldest:%Y%m%d}":
            await connection.execute(f"drop table {name}")
    await connection.execute(FORGET, day_bound(oldest))


FORGET = """
delete from inbox_history where event_id in (select event_id from inbox_history where event_id < $1 limit 100000)
and not exists (select from positions where history)
"""


def main(service: Callable[[], Service]) -> None:
    """Build and run; an error in the settings or a migration is one line, not a traceback, which may print values."""
    try:
        built = service()
    except ValueError as error:
        sys.exit(f"ithaca: settings: {error}")
    try:
        built.run()
    except ValueError as error:
        sys.exit(f"ithaca: {error}")
    except (OSError, asyncpg.PostgresError) as error:
        sys.exit(f"ithaca: {describe(error)}")
