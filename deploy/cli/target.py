"""Which platform a command is about: the one on this machine, or the cluster that ITHACA_KAFKA, ITHACA_DATABASE and ITHACA_URLS name.

How Kafka of such a cluster is spoken to says the same environment as a service's: ITHACA_KAFKA_USER, _PASSWORD, _CA …
"""

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from deploy.local.state import State, running_home, state

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from shared.kafka import KafkaSettings

PARTS = ("kafka", "postgres", "zipkin", "mailbox", "smtp")
VARIABLES = ("ITHACA_KAFKA", "ITHACA_DATABASE", "ITHACA_URLS")
NOTHING_RUNS = (
    "no platform runs here: start it with ./ithaca up -d, or point at one with ITHACA_KAFKA, ITHACA_DATABASE, ITHACA_URLS."
)


class Trouble(Exception):
    """A command can't do what was asked; the message is one line for a person and says what to do. `code` is the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Target:
    """A platform: where its parts are, and what runs where it runs on this machine."""

    addresses: dict[str, str]
    """`kafka` (host:port, several with commas between), `postgres` (a DSN), each service (a URL), and on this machine zipkin and mailbox."""
    local: State | None = None
    copies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per service the names of the copies that should run; empty where that isn't known."""

    @property
    def services(self) -> list[str]:
        return [name for name in self.addresses if name not in PARTS]

    def service(self, name: str) -> str:
        """The address of a service. Raises Trouble."""
        if name not in self.addresses:
            raise Trouble(f'it isn\'t known where {name} is: name it in ITHACA_URLS, as JSON: {{"{name}": "https://…"}}.')
        return self.addresses[name]

    @property
    def database(self) -> str:
        """A DSN. Raises Trouble."""
        if "postgres" not in self.addresses:
            raise Trouble("it isn't known where the database is: give ITHACA_DATABASE, a postgresql:// address with a superuser.")
        return self.addresses["postgres"]

    def kafka(self) -> "KafkaSettings":
        """How to connect to Kafka. Raises Trouble."""
        if "kafka" not in self.addresses:
            raise Trouble("it isn't known where Kafka is: give ITHACA_KAFKA, its bootstrap servers.")
        return kafka_at(self.addresses["kafka"], here=self.local is not None)

    def operator_token(self) -> str:
        """What shows the services that we run the platform. Raises Trouble."""
        if token := os.environ.get("ITHACA_OPERATOR_TOKEN"):
            return token
        if self.local is None or not (running_home() / "secrets.json").exists():
            raise Trouble("the operator's token is needed: give ITHACA_OPERATOR_TOKEN.")
        from deploy.local.secrets import Secrets  # noqa: PLC0415 - makes what isn't there

        return Secrets.load(running_home()).operator_token


def find() -> Target | None:
    """The platform that a command is about; None where none runs here and none was named. Raises Trouble."""
    if any(os.environ.get(name) for name in VARIABLES):
        return Target(named())
    running = state()
    if running is None:
        return None
    return Target(dict(running.addresses), running, copies(running))


def target() -> Target:
    """As `find`. Raises Trouble where there is none."""
    found = find()
    if found is None:
        raise Trouble(NOTHING_RUNS)
    return found


def named() -> dict[str, str]:
    """The addresses that the environment names. Raises Trouble where ITHACA_URLS isn't as it should be."""
    kafka, database = os.environ.get("ITHACA_KAFKA", ""), os.environ.get("ITHACA_DATABASE", "")
    addresses = {name: value for name, value in (("kafka", kafka), ("postgres", database)) if value}
    try:
        urls = json.loads(os.environ.get("ITHACA_URLS") or "{}")
    except ValueError:
        urls = None
    if not isinstance(urls, dict) or not all(isinstance(url, str) and url.startswith("http") for url in urls.values()):
        raise Trouble(
            'ITHACA_URLS isn\'t JSON of names and addresses, such as {"gateway": "https://…", "matching": "https://…"}.'
        )
    return addresses | {name: url.rstrip("/") for name, url in urls.items()}


def copies(running: State) -> dict[str, tuple[str, ...]]:
    """Which copies of each service should run here, and those that run beside."""
    found = {}
    for service in (name for name in running.addresses if name not in PARTS):
        wanted = {f"{service}-{number + 1}" for number in range(running.copies.get(service, 1))}
        there = {name for name in running.pids if name.rpartition("-")[0] == service}
        found[service] = tuple(sorted(wanted | there, key=lambda name: int(name.rpartition("-")[2])))
    return found


def copy_addresses(found: Target, service: str) -> dict[str, str]:
    """The address of each copy of a service; one of the service's name where copies aren't known."""
    names = found.copies.get(service)
    if not names:
        return {service: found.addresses[service]}
    ports: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        ports = json.loads((running_home() / "ports.json").read_text())
    return {
        name: found.addresses[service] if name == f"{service}-1" else f"http://127.0.0.1:{ports[name]}"
        for name in names
        if name == f"{service}-1" or name in ports
    }


def kafka_at(address: str, *, here: bool = False) -> "KafkaSettings":
    """How to connect to Kafka there; on this machine's own platform it asks for nothing. Raises Trouble."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    from shared.kafka import KafkaSettings  # noqa: PLC0415

    if here:
        return KafkaSettings.model_construct(kafka=address)
    try:
        settings = KafkaSettings.model_validate({"kafka": address})
        settings.kafka_client()
    except ValidationError as error:
        raise Trouble("; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())) from None
    except ValueError as error:
        raise Trouble(str(error)) from None
    return settings


# ---- what commands share -----------------------------------------------------------------------------------------------


def own(url: str) -> bool:
    """Is it this machine? Then no proxy stands between."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def without_password(dsn: str) -> str:
    """host:port/database of a DSN."""
    return dsn.rpartition("@")[2]


def plain(value: object, most: int = 200) -> str:
    """A text that a terminal shows as it is: control characters, which could move its cursor, are replaced."""
    text = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char for char in str(value)[: most + 1]
    )
    return text if len(text) <= most else f"{text[: most - 1]}…"


async def connect(dsn: str, seconds: float = 5) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection for a command. Raises Trouble."""
    import asyncpg  # noqa: PLC0415 - heavy

    settings = {"application_name": "ithaca-cli", "timezone": "UTC", "lock_timeout": "5s"}
    try:
        return await asyncpg.connect(dsn, timeout=seconds, command_timeout=30, server_settings=settings)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        where = without_password(dsn)
        raise Trouble(f"PostgreSQL doesn't let us in at {where} ({type(error).__name__}): ./ithaca status says more.") from error


def web(base: str, token: str = "", **more: object) -> "httpx.AsyncClient":
    """A client for one service."""
    import httpx  # noqa: PLC0415 - heavy

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=base, headers=headers, trust_env=not own(base), **more)  # type: ignore[arg-type]


def problem(answer: "httpx.Response") -> str:
    """What a service answered instead, in one line: the problem's detail and fields."""
    with contextlib.suppress(ValueError, AttributeError):
        body = answer.json()
        errors = [f"{error['field']}: {error['detail']}" for error in body.get("errors", []) if error.get("field")]
        return plain("; ".join(errors[:3]) or body.get("detail") or answer.reason_phrase, 400)
    return answer.reason_phrase or str(answer.status_code)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Trouble ends a command with one line and its code; so does a service or database that goes away, never with a traceback."""
    import asyncpg  # noqa: PLC0415 - heavy
    import httpx  # noqa: PLC0415

    from deploy.local.processes import PartError  # noqa: PLC0415
    from shared.errors import describe  # noqa: PLC0415

    try:
        yield
    except (Trouble, PartError) as error:
        print(f"ithaca: {error}", file=sys.stderr)
        raise typer.Exit(getattr(error, "code", 1)) from None
    except httpx.HTTPError as error:
        try:
            where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
        except RuntimeError:
            where = "the service"
        print(f"ithaca: {where} doesn't answer ({type(error).__name__}): ./ithaca status says more.", file=sys.stderr)
        raise typer.Exit(1) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        print(f"ithaca: {describe(error)}: ./ithaca status says more.", file=sys.stderr)
        raise typer.Exit(1) from None
