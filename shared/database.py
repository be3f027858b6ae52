"""PostgreSQL: one schema and login role per service, a tenant role under row-level security, plain SQL migrations, safe transactions."""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from shared.clock import Clock
from shared.errors import Rejected, TryLater

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

CORE_MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_305_301
SETTINGS = {
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",  # a frozen owner must not block the one that took over
    "jit": "off",
    "timezone": "UTC",
    "client_min_messages": "warning",
}


async def _unchanged(_: object) -> None:
    """Nothing outlives a transaction here (SET LOCAL only), so a returned connection needs no reset."""


class Database:
    """The pool of one service. Every transaction goes through here, so that the traps are met in one place."""

    def __init__(self, dsn: str, service: str, *, size: int = 8, patience: float = 60.0) -> None:
        """`patience`: seconds that a statement may take."""
        self.dsn, self.service, self.size, self.patience = dsn, service, size, patience
        self.clock = Clock()
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def start(self) -> None:
        """Open the pool and learn the time; safe to run again after a failure."""
        await self.stop()
        self._pool = await asyncpg.create_pool(
            self.dsn,
            min_size=1,
            max_size=self.size,
            timeout=5,
            command_timeout=self.patience,
            reset=_unchanged,
            max_inactive_connection_lifetime=60,
            server_settings=SETTINGS | {"application_name": self.service},
        )
        async with self.transaction() as connection:
            await self.clock.refresh(connection)

    async def stop(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def connect(self) -> Connection:
        """A connection of one's own, for LISTEN and for the relay's session lock."""
        return await asyncpg.connect(
            self.dsn,
            timeout=5,
            command_timeout=60,
            server_settings=SETTINGS
            | {
                "application_name": self.service,
                "idle_in_transaction_session_timeout": "0",
                "tcp_keepalives_idle": "5",
                "tcp_keepalives_interval": "2",
                "tcp_keepalives_count": "3",
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction that is committed when the block ends."""
        async with self._lent() as connection, connection.transaction():
            yield connection

    async def look(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of one statement, which is a transaction of its own: two round trips fewer."""
        async with self._lent() as connection:
            return await connection.fetchrow(query, *arguments)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        """A connection of the pool.

        After a cancellation or any failure but an answer the connection is terminated, never reused: asyncpg 0.32, cancelled
        at BEGIN, would take every later transaction for a savepoint and lose it without an error.
        """
        pool = self._pool
        if pool is None:
            raise asyncpg.InterfaceError("the database isn't started")
        connection = await pool.acquire(timeout=10)
        try:
            yield connection
        except (Rejected, TryLater):
            raise
        except BaseException as error:
            connection.terminate()
            if isinstance(error, TimeoutError):
                # Dead without a word, and so may those beside it be: none is waited for a minute each.
                await pool.expire_connections()
            raise
        finally:
            await pool.release(connection)

    @asynccontextmanager
    async def tenant(self, organization: str) -> AsyncIterator[Connection]:
        """A read-only transaction that sees only what row-level security shows to this organization."""
        async with self.transaction() as connection:
            await connection.execute(f"set transaction read only; set local role {self.service}_tenant")
            await connection.execute("select set_config('ithaca.organization', $1, true)", organization)
            yield connection


def migrations_of(folder: Path) -> list[tuple[str, str]]:
    """(name, SQL) of a folder's migrations in order."""
    return [(path.stem, path.read_text()) for path in sorted(folder.glob("*.sql"))]


async def migrate(database: Database, folder: Path | None = None) -> list[str]:
    """Bring the schema up to date, once, however many copies start together; returns what was applied.

    Without the service's own folder only what the core keeps is made.

    Raises ValueError where an applied migration has been changed since.
    """
    done: list[str] = []
    connection = await database.connect()
    try:
        await connection.execute("select pg_advisory_lock($1, hashtext($2))", MIGRATION_LOCK, database.service, timeout=120)
        await connection.execute(
            "create table if not exists migrations (name text primary key, sha256 text not null, applied_at timestamptz not null)"
        )
        applied = {row["name"]: row["sha256"] for row in await connection.fetch("select name, sha256 from migrations")}
        for where, prefix in ((CORE_MIGRATIONS, "core_"), *([(folder, "")] if folder else [])):
            for name, sql in migrations_of(where):
                digest = hashlib.sha256(sql.encode()).hexdigest()
                if applied.get(prefix + name, digest) != digest:
                    raise ValueError(f"migration {prefix}{name} of {database.service} was changed after it was applied")
                if prefix + name in applied:
                    continue
                async with connection.transaction():
                    await connection.execute(sql.replace("{service}", database.service))
                    await connection.execute("insert into migrations values ($1, $2, clock_timestamp())", prefix + name, digest)
                done.append(prefix + name)
    finally:
        connection.terminate()
    return done


IDENTIFIER = re.compile(r"[a-z][a-z_]{0,40}")


async def provision(superuser_dsn: str, services: Mapping[str, str]) -> None:
    """Give each service (name → password) its login role, tenant role and schema. Safe to run again."""
    connection = await asyncpg.connect(superuser_dsn, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            for service, password in services.items():
                await _provision_one(connection, service, password)
            await connection.execute(CLOCK)
            for service in services:
                await connection.execute(f"grant usage on schema ithaca to {service}, {service}_tenant")
                await connection.execute(f"grant select on ithaca.clock_offset to {service}, {service}_tenant")
    finally:
        await connection.close()


CLOCK = """
create schema if not exists ithaca;
revoke all on schema public from public;
create table if not exists ithaca.clock_offset (single boolean primary key default true check (single), seconds float8 not null);
"""


async def _provision_one(connection: Connection, service: str, password: str) -> None:
    if not IDENTIFIER.fullmatch(service) or not re.fullmatch(r"[A-Za-z0-9_-]{8,128}", password):
        raise ValueError(f"not a service name or password that can be used: {service!r}")
    tenant = f"{service}_tenant"
    known = {row["rolname"] for row in await connection.fetch("select rolname from pg_roles")}
    if service not in known:
        await connection.execute(f"create role {service} login")
    if tenant not in known:
        await connection.execute(f"create role {tenant} nologin")
    await connection.execute(f"alter role {service} password '{password}'")
    await connection.execute(f"alter role {service} set search_path = {service}")
    await connection.execute(f"grant {tenant} to {service}")
    await connection.execute(f"create schema if not exists {service} authorization {service}")
    await connection.execute(f"grant usage on schema {service} to {tenant}")
