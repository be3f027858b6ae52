"""The one clock: PostgreSQL's, plus an offset that tests and the demo move. Domain code is given `now`; nobody else reads time."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

READ = "select extract(epoch from clock_timestamp())::float8 as wall, coalesce((select seconds from ithaca.clock_offset), 0)::float8 as ahead"
MOVE = """
insert into ithaca.clock_offset (single, seconds) values (true, $1)
on conflict (single) do update set seconds = ithaca.clock_offset.seconds + excluded.seconds
returning seconds
"""
CHANNEL = "ithaca_clock"


class Querying(Protocol):
    async def fetchrow(self, query: str, /) -> object: ...


class Clock:
    """Reads PostgreSQL's time once in a while and counts on from there; cheap enough to ask for every event."""

    def __init__(self) -> None:
        self._base = time.time()
        self._mono = time.monotonic()
        self._ahead = 0.0

    async def refresh(self, connection: "Querying") -> None:
        """Learn PostgreSQL's time and the offset; half the round trip is taken off."""
        before = time.monotonic()
        row = await connection.fetchrow(READ)
        after = time.monotonic()
        self._mono = (before + after) / 2
        self._base = row["wall"]  # type: ignore[index]
        self._ahead = row["ahead"]  # type: ignore[index]

    @property
    def ahead(self) -> float:
        """Seconds by which the platform's time is ahead of PostgreSQL's."""
        return self._ahead

    def wall(self) -> float:
        """PostgreSQL's own time now, in seconds since the epoch, for identities and retention."""
        return self._base + (time.monotonic() - self._mono)

    def now(self) -> datetime:
        """The platform's time, aware, in UTC."""
        return EPOCH + timedelta(seconds=self.wall() + self._ahead)


async def rung(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most so long; whether it is. `wait_for` of Python 3.11 may swallow a cancellation meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def move(connection: "Moving", ahead: timedelta) -> float:
    """Move the platform's time forward for every service; returns the whole offset in seconds. For tests and the demo."""
    if ahead < timedelta(0):
        raise ValueError("time moves forward only")
    seconds: float = await connection.fetchval(MOVE, ahead.total_seconds())
    await connection.execute(f"notify {CHANNEL}")
    return seconds


class Moving(Protocol):
    async def fetchval(self, query: str, /, *args: object) -> float: ...
    async def execute(self, query: str, /) -> str: ...
