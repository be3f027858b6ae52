"""Transactions, migrations and tenants: what the promises stand on."""

import asyncio
import logging
import random
import time

import asyncpg
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.chaos.proxy import Line
from shared.database import Database, migrate, provision
from shared.decisions import Handlers, on
from shared.errors import Raced, Rejected, TryLater, Unfit, describe
from shared.telemetry import JsonLines
from tests.core import ledger


async def test_asyncpg_still_loses_work_after_a_cancelled_begin(stage):
    """The trap itself. Should this fail one day, `Database.transaction` may be simpler."""
    look = await asyncpg.connect(stage.superuser)
    await look.execute("create table if not exists trap (n int)")
    lost = 0
    for n in range(150):
        connection = await asyncpg.connect(stage.superuser)

        async def work(connection=connection):
            while True:
                async with connection.transaction():
                    await connection.fetch("select 1")

        task = asyncio.create_task(work())
        await asyncio.sleep(random.uniform(0.0005, 0.004))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with connection.transaction():
                await connection.execute("insert into trap values ($1)", n)
            lost += not await look.fetchval("select exists (select from trap where n = $1)", n)
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            pass  # it was noticed
        connection.terminate()
        if lost:
            break
    await look.execute("drop table trap")
    await look.close()
    assert lost, "asyncpg has mended it"


async def test_no_work_is_lost_after_a_transaction_was_cancelled(rig):
    """Each transaction that says it is committed is, whatever was cancelled before it on the pool."""
    await rig.see.execute("drop table if exists scheduling.kept; create table scheduling.kept (n int)")
    await rig.see.execute("alter table scheduling.kept owner to scheduling")
    database = Database(rig.database.dsn, "scheduling", size=1)
    await database.start()

    async def work():
        while True:
            async with database.transaction() as connection:
                await connection.fetch("select 1")

    for n in range(150):
        task = asyncio.create_task(work())
        for _ in range(n % 50):  # so that each await is met, BEGIN's too
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with database.transaction() as connection:
            assert not (await connection.fetchval("select count(*) from kept") < n)
            await connection.execute("insert into kept values ($1)", n)
    assert await rig.see.fetchval("select count(*) from scheduling.kept") == 150
    await rig.see.execute("drop table scheduling.kept")
    await database.stop()


async def test_an_answer_keeps_its_connection_and_rolls_back(rig):
    await rig.pair()
    database = Database(rig.database.dsn, "scheduling", size=1)
    await database.start()

    async def pid():
        async with database.transaction() as connection:
            return connection.get_server_pid()

    async def deciding(answer):
        async with database.transaction() as connection:
            await connection.execute("delete from pairs")
            raise answer

    before = await pid()
    for answer in (Rejected("no"), TryLater("x")):
        with pytest.raises(type(answer)):
            await deciding(answer)
    assert await pid() == before
    assert await rig.see.fetchval("select count(*) from scheduling.pairs") == 1
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            raise ZeroDivisionError
    assert await pid() != before
    await database.stop()


async def test_copies_that_start_together_migrate_once(fresh, tmp_path):
    (tmp_path / "0001_one.sql").write_text("create table counted (n int); insert into counted values (1); select pg_sleep(0.2);")
    databases = [Database(fresh.dsn("matching"), "matching") for _ in range(5)]
    applied = await asyncio.gather(*(migrate(database, tmp_path) for database in databases))
    assert sorted(map(len, applied)) == [0, 0, 0, 0, 2]
    look = await asyncpg.connect(fresh.superuser)
    assert await look.fetchval("select count(*) from matching.counted") == 1
    assert [r[0] for r in await look.fetch("select name from matching.migrations order by 1")] == ["0001_one", "core_0001_core"]
    (tmp_path / "0002_two.sql").write_text("alter table counted add more text; select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(databases[0], tmp_path)
    assert await look.fetchval("select count(*) from information_schema.columns where table_name = 'counted'") == 1, (
        "all or nothing"
    )
    (tmp_path / "0002_two.sql").write_text("alter table counted add more text;")
    assert await migrate(databases[0], tmp_path) == ["0002_two"]
    (tmp_path / "0001_one.sql").write_text("create table counted (n bigint);")
    with pytest.raises(ValueError, match="migration 0001_one of matching was changed after it was applied"):
        await migrate(databases[0], tmp_path)
    await look.close()


async def test_a_service_with_a_changed_migration_does_not_start_and_says_why(fresh, tmp_path, monkeypatch):
    service = ledger.build(fresh.settings("scheduling"))
    (tmp_path / "0001_ledger.sql").write_text((ledger.MIGRATIONS / "0001_ledger.sql").read_text() + "\n-- changed")
    await migrate(service.database, ledger.MIGRATIONS)
    service.migrations = tmp_path
    with pytest.raises(ValueError, match="0001_ledger of scheduling was changed"):
        async with service.running():
            pass


async def test_a_tenant_sees_its_own_rows_only_and_none_without_a_name(rig):
    mine, theirs = await rig.pair(), await rig.pair()
    await rig.see.execute("update scheduling.pairs set organization = 'globex' where id = $1", theirs)
    seen = {}
    for organization in ("acme", "globex", "nobody", ""):
        async with rig.database.tenant(organization) as connection:
            seen[organization] = [r[0] for r in await connection.fetch("select id from pairs")]
    assert seen == {"acme": [mine], "globex": [theirs], "nobody": [], "": []}
    async with rig.database.transaction() as connection:
        await connection.execute("set local role scheduling_tenant")
        assert await connection.fetch("select id from pairs") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from outbox")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with rig.database.tenant("acme") as connection:
            await connection.execute("update pairs set seen = 9")
    async with rig.database.transaction() as connection:
        assert await connection.fetchval("select count(*) from pairs") == 2, "the role and the name went with their transaction"
        assert not await connection.fetchval("select current_setting('ithaca.organization', true)")


async def test_no_service_reads_anothers_schema(fresh):
    await migrate(Database(fresh.dsn("scheduling"), "scheduling"), ledger.MIGRATIONS)
    connection = await asyncpg.connect(fresh.dsn("matching"))
    for sql in (
        "select * from scheduling.pairs",
        "set role scheduling",
        "set role scheduling_tenant",
        "create table public.x (n int)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)
    await connection.close()


async def test_provisioning_again_changes_nothing_and_refuses_odd_names(fresh):
    await migrate(Database(fresh.dsn("scheduling"), "scheduling"), ledger.MIGRATIONS)
    await provision(fresh.superuser, fresh.passwords)
    connection = await asyncpg.connect(fresh.dsn("scheduling"))
    assert await connection.fetchval("select count(*) from pairs") == 0
    await connection.close()
    for name, password in (("a b", "x" * 16), ("gateway", "short"), ("gateway", "quote'" * 4)):
        with pytest.raises(ValueError, match="not a service name or password"):
            await provision(fresh.superuser, {name: password})


SECRET = "ada@example.org"


class Strict(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)
    minutes: int


def failure(what):
    try:
        what()
    except Exception as error:  # noqa: BLE001 - any
        return error
    raise AssertionError


async def failed(connection, sql):
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute(sql)
    return caught.value


async def test_errors_and_logs_never_hold_a_rows_values(see, caplog):
    await see.execute("create temp table t (mail text primary key check (mail <> 'x'), n int not null)")
    await see.execute(f"insert into t values ('{SECRET}', 1)")
    errors = [
        await failed(see, f"insert into t values ('{SECRET}', 1)"),
        await failed(see, f"insert into t values ('{SECRET}2', null)"),
        await failed(see, f"select '{SECRET}'::uuid"),
        failure(lambda: Strict(minutes=SECRET)),
        failure(lambda: {}[SECRET]),
        failure(lambda: int(SECRET)),
        failure(lambda: [].remove(SECRET)),
        OSError(f"can't reach {SECRET}"),
    ]
    line = JsonLines("scheduling")
    for error in errors:
        assert SECRET not in describe(error)
        record = logging.LogRecord("x", logging.ERROR, "", 0, "it failed", (), (type(error), error, error.__traceback__))
        assert SECRET not in line.format(record)
        assert describe(error).split()[0] == type(error).__name__
    assert describe(errors[0]) == "UniqueViolationError 23505 t_pkey"
    assert describe(errors[1]) == "NotNullViolationError 23502 n"
    assert [describe(e) for e in (Unfit("too large"), Raced("twice"), Rejected("late", "Too late."))] == [
        "too large",
        "twice",
        "Too late.",
    ]
    assert isinstance(errors[3], ValidationError)


async def test_a_handlers_key_error_does_not_end_in_a_reason(rig):
    """A LookupError's text is the key that wasn't found, such as somebody's name."""
    pair = await rig.pair()
    rig.work.events[ledger.MeetingHeld.TYPE] = Handlers.of(
        on(ledger.MeetingHeld, ledger.Pair, by="relationship_id", do=lambda pair, event, context: {}[SECRET]),
    )
    await rig.give(ledger.meeting_held(pair, 1))
    for _ in range(3):
        await rig.retry()
        assert [SECRET in reason for _, reason, _ in await rig.held()] == [False]


async def test_after_one_connection_that_is_dead_without_a_word_none_of_its_age_is_tried(stage):
    """A router that forgot us kills all of the pool at once, and each would be waited for in turn."""
    host, port = stage.dsn("scheduling").rsplit("@", 1)[1].split("/", 1)[0].split(":")
    line = Line(0, int(port))
    async with await asyncio.start_server(line.accept, "127.0.0.1", 0) as front:
        dsn = stage.dsn("scheduling").replace(f"{host}:{port}", f"127.0.0.1:{front.sockets[0].getsockname()[1]}")
        database = Database(dsn, "scheduling", size=4, patience=1.0)
        await database.start()

        async def ask(query="select 1"):
            async with database.transaction() as connection:
                return await connection.fetchval(query)

        await asyncio.gather(*(ask("select 1 from pg_sleep(0.2)") for _ in range(4)))
        line.order("lose", 0.0)
        with pytest.raises(TimeoutError):
            await ask()
        started = time.monotonic()
        assert await ask() == 1
        assert time.monotonic() - started < 0.9
        await database.stop()
        line.order("cut", 0.0)
