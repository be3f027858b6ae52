"""What anyone outside may look at, wait for or move: the faults, the load and the tests share it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import asyncpg
import httpx

from deploy.local.platform import Platform
from shared import clock
from shared.errors import PASSING

AWAY: tuple[type[BaseException], ...] = (*PASSING, asyncpg.PostgresError)


async def go_to(database: str, moment: datetime | None) -> datetime:
    """Let the platform's time pass until then, or only ask for it; PostgreSQL may be away meanwhile."""
    while True:
        try:
            connection = await asyncpg.connect(database, timeout=5)
            try:
                row = await connection.fetchrow(clock.READ)
                assert row is not None
                now = clock.EPOCH + timedelta(seconds=row["wall"] + row["ahead"])
                if moment is not None and moment > now:
                    await clock.move(connection, moment - now)
                elif moment is not None:  # moved by an attempt whose answer was lost
                    await connection.execute(f"notify {clock.CHANNEL}")
                return now
            finally:
                await connection.close()
        except PASSING:
            await asyncio.sleep(0.2)


async def answering(database: str, seconds: float) -> None:
    """Wait until PostgreSQL takes connections and writes."""
    end = time.monotonic() + seconds
    while True:
        try:
            connection = await asyncpg.connect(database, timeout=5)
            try:
                await connection.execute("create temporary table room (n int)")
                return
            finally:
                connection.terminate()
        except AWAY:
            assert time.monotonic() < end, f"PostgreSQL didn't answer within {seconds:.0f} s"
            await asyncio.sleep(0.3)


async def until(what: str, ask: Callable[[], Sequence[str]], seconds: float) -> Sequence[str]:
    """Ask until there is an answer."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        await asyncio.sleep(0.1)
    return answer


def address(platform: Platform, name: str) -> str:
    """A copy's own address."""
    return f"http://127.0.0.1:{platform.ports[name]}"


async def health(http: httpx.AsyncClient, platform: Platform, name: str) -> dict[str, object]:
    """What a copy says of itself; nothing where it is away."""
    try:
        report: dict[str, object] = (await http.get(f"{address(platform, name)}/health/ready")).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return report
