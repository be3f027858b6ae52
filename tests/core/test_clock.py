"""Promise 7: there is one clock, which tests and the demo move."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from shared import clock, service
from shared.clock import Clock
from shared.cloudevents import new_id
from tests.core import ledger
from tests.core.rig import until

ROOT = Path(__file__).parents[2]
READS_TIME = re.compile(
    r"\b(?:now\(\)|clock_timestamp\b|current_(?:timestamp|date|time)\b|localtime\w*|statement_timestamp|transaction_timestamp)",
    re.IGNORECASE,
)
ALLOWED = {
    "shared/clock.py": "it is the clock",
    "shared/database.py": "when a migration was applied",
}


def test_no_sql_reads_the_time_but_the_clocks():
    """SQL stands in strings and in .sql files; `clock.now()` is Python's, and what the clock is for."""
    found = {}
    for folder in ("shared", "services"):
        for path in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.sql")):
            text = re.sub(r"\b(?:clock|self|datetime|context|service|database)[\w.]*\.now\(\)", "", path.read_text())
            text = re.sub(r"--.*|#.*", "", text)
            for match in READS_TIME.finditer(text):
                found.setdefault(str(path.relative_to(ROOT)), []).append(match.group())
    assert {name: words for name, words in found.items() if name not in ALLOWED} == {}
    assert found["shared/database.py"] == ["clock_timestamp"]


def test_no_python_of_ours_reads_the_time_but_the_clock():
    naked = re.compile(r"\bdatetime\.(?:now|utcnow|today)\(|\bdate\.today\(")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for folder in ("shared", "services")
        for path in (ROOT / folder).rglob("*.py")
        for match in naked.finditer(path.read_text())
    ]
    assert found == []


async def test_time_moves_for_every_copy_at_once_and_forward_only(stage, lane, see):
    async with lane.service("a").running() as first, lane.service("b").running() as second:
        before = datetime.now(UTC)
        await stage.move_clock(timedelta(days=40))

        async def there():
            return all(service.database.clock.now() - before > timedelta(days=40) for service in (first, second))

        assert await until(there, 3)
        assert first.database.clock.now() - before < timedelta(days=40, seconds=10)
        with pytest.raises(ValueError, match="forward only"):
            await stage.move_clock(timedelta(seconds=-1))
        await stage.move_clock(timedelta(days=2))
        await until(lambda: asyncio.sleep(0, first.database.clock.ahead > 41 * 86_400), 3)
        assert first.database.clock.ahead == timedelta(days=42).total_seconds()
        pair = new_id()
        await lane.send(ledger.pair_created(pair), ledger.meeting_held(pair, 1))
        assert await until(lambda: see.fetchval("select count(*) = 1 from scheduling.pairs where seen = 1"))
        recorded = await see.fetchval("select max(read_until) from scheduling.positions")
        assert recorded is not None
        assert abs(first.database.clock.wall() - datetime.now(UTC).timestamp()) < 5, "ids and retention go by real time"


async def test_the_clock_counts_on_from_postgres_time(stage):
    connection = await asyncpg.connect(stage.superuser)
    one = Clock()
    await clock.move(connection, timedelta(hours=3))
    await one.refresh(connection)
    theirs = await connection.fetchval("select clock_timestamp()")
    assert abs(one.now() - theirs - timedelta(hours=3)) < timedelta(seconds=1)
    first = one.now()
    assert one.now() >= first
    await connection.close()


async def test_who_is_asked_whether_it_is_well_looks_at_the_clock(rig):
    """A copy whose ear for it is dead hears of no move."""
    await rig.see.execute("insert into ithaca.clock_offset (seconds) values (86400)")
    before = rig.database.clock.now()
    told = datetime.fromisoformat((await rig.service.readiness())["time"])
    assert told - before > timedelta(hours=23)
    assert rig.database.clock.now() >= told


async def test_a_listener_whose_connection_is_dead_hears_of_a_move_soon(lane, see, monkeypatch):
    monkeypatch.setattr(service, "LISTEN_SECONDS", 0.5)
    one = lane.service("a")
    async with one.running():
        heard = "select pid from pg_stat_activity where application_name = 'scheduling' and query = $1"
        assert await until(lambda: see.fetchval(heard, clock.READ))
        await see.execute("insert into ithaca.clock_offset (seconds) values (86400)")
        assert await until(lambda: asyncio.sleep(0, one.database.clock.ahead == 86_400), 5)


async def test_a_service_cannot_move_time(rig):
    async with rig.database.transaction() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await clock.move(connection, timedelta(days=1))
