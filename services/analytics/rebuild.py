"""Reads the whole log into a new generation beside the one that serves, compares the two, and swaps them.

    ITHACA_ADMIN_DATABASE=postgresql://… python -m services.analytics.rebuild

A generation is a schema with everything in it: positions, inbox, story, state. The new one is filled by a consumer group of its own
while the service goes on; swapping renames two schemas in one transaction, so that a reader sees the old or the new, never half. The
running copies notice that their positions aren't theirs any more, look them up and go on from there. The generation before is kept
until the next rebuild. Only the administrator of the database may make and rename schemas, hence the second address.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from services.analytics import store
from services.analytics.handlers import HANDLERS
from shared import access
from shared.cloudevents import new_id
from shared.consumer import Consumer
from shared.database import Database, migrate
from shared.events import TOPICS
from shared.service import Settings, keep_inbox
from shared.telemetry import Telemetry, log_to_stderr
from shared.work import Work

log = logging.getLogger("ithaca.analytics")

SERVICE = "analytics"
NEXT = f"{SERVICE}_next"
TELL_EVERY = 10_000
Tell = Callable[[str], None]


class Differs(Exception):
    """The new generation lacks what the old one has; nothing was swapped."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of it."""

    lines: int
    """Of the story, in the new generation."""
    carried: int
    """Of them, lines that the log no longer holds."""
    seconds: float


async def rebuild(settings: Settings, admin: str, tell: Tell = lambda _: None) -> Rebuilt:
    """Fill a new generation from the log's beginning to its end, and swap. Raises Differs, and then leaves everything as it was."""
    started = asyncio.get_running_loop().time()
    await store.open_generation(admin)
    separator = "&" if "?" in settings.database else "?"
    database = Database(f"{settings.database}{separator}search_path={NEXT}", SERVICE)
    try:
        await migrate(database, Path(__file__).parent / "migrations")
        await database.start()
        async with database.transaction() as connection:
            await keep_inbox(connection, datetime.fromtimestamp(database.clock.wall(), UTC))
        await fill(database, settings, tell)
    finally:
        await database.stop()
    tell("comparing and swapping")
    try:
        lines, carried = await store.swap_generations(admin)
    except store.Missing as missing:
        raise Differs(f"the new generation lacks {missing} lines that the old one has; nothing was changed") from None
    return Rebuilt(lines, carried, asyncio.get_running_loop().time() - started)


async def fill(database: Database, settings: Settings, tell: Tell) -> None:
    """Read every topic from offset 0 until each partition was once read to its end."""
    telemetry = Telemetry(SERVICE, exporter="none")
    work = Work(SERVICE, database, [*store.TABLES, *access.TABLES], [*HANDLERS, *access.HANDLERS], telemetry)
    consumer = Consumer(work, settings.kafka_client(), list(TOPICS), group=f"{SERVICE}-rebuild-{new_id().hex[-12:]}")
    reading = asyncio.create_task(consumer.run())
    told = 0
    try:
        while True:
            async with database.transaction() as connection:
                left = consumer.partitions - await store.partitions_read(connection)
            if not left:
                return
            if reading.done():
                reading.result()
                raise ConnectionError("Kafka's client ended")
            if consumer.handled >= told + TELL_EVERY:
                told = consumer.handled
                tell(f"{told} records read, {left} of {consumer.partitions} partitions not at their end yet")
            await asyncio.sleep(0.2)  # the core marks a partition at its end once a second; nobody tells of it
    finally:
        await consumer.stop(reading)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def main() -> None:
    """Rebuild with the service's own settings; progress goes to the log. One at a time: a second one takes the first one's place."""
    log_to_stderr(SERVICE)
    admin = os.environ.get("ITHACA_ADMIN_DATABASE")
    if not admin:
        sys.exit("ithaca: ITHACA_ADMIN_DATABASE: say how the database's administrator connects, postgresql://…")
    try:
        done = asyncio.run(rebuild(Settings(), admin, log.info))
    except (Differs, OSError, asyncpg.PostgresError) as error:
        sys.exit(f"ithaca: {error if isinstance(error, Differs) else type(error).__name__}")
    sys.stdout.write(f"{done.lines} lines, {done.carried} of them no longer on the log, in {done.seconds:.1f} s\n")


if __name__ == "__main__":
    main()
