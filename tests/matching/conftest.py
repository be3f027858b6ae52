"""A program of its own for each test, and matching on it."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.local.platform import Platform
from services.matching.domain import runs
from services.matching.main import build
from shared.database import migrate
from shared.events import AccessKeyIssued, Event, Policy, ProgramLaunched, Right
from shared.service import Service
from tests.conftest import Stage, alone, raised, unique
from tests.producing import send


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 90.0) -> Any:
    """The first true answer, or the last one when the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.05)


@dataclass
class Town:
    """An organization with a key and a program."""

    stage: Stage
    see: asyncpg.Connection
    organization: str = field(default_factory=lambda: unique("north"))
    key_id: str = field(default_factory=lambda: secrets.token_hex(8))
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    port: int = 0
    """Of the service that the file's tests share; 0 where a test starts its own."""

    @property
    def program(self) -> str:
        return f"{self.organization}.crossing"

    @property
    def key(self) -> str:
        return f"ith_{self.key_id}_{self.secret}"

    async def send(self, *events: Event) -> None:
        await send(self.stage.kafka, events, organization=self.organization, program=self.program)

    async def open(self, **policy: object) -> None:
        """The organization's key and program are known."""
        await self.send(
            AccessKeyIssued(
                key_id=self.key_id,
                sha256=hashlib.sha256(self.secret.encode()).hexdigest(),
                organization=self.organization,
                rights=(Right.send, Right.read, Right.coordinate),
            ),
            ProgramLaunched(
                program=self.program, organization=self.organization, name="Crossing", policy=Policy.model_validate(policy)
            ),
        )

    def service(self, copy: str = "") -> Service:
        return alone(build(self.stage.settings("matching", copy)), self.stage)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        """Matching, and a client with the organization's key, once it honours the key."""
        async with self.served() as port, self.client(port) as client:
            await self.known()
            yield client

    @asynccontextmanager
    async def served(self) -> AsyncIterator[int]:
        """The port of the shared service, or of one that runs as long as the block."""
        if self.port:
            yield self.port
        else:
            async with self.service().running() as service:
                yield service.port

    def client(self, port: int) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20)

    async def known(self) -> None:
        async def there() -> bool:
            return bool(
                await self.see.fetchval("select count(*) from matching.programs where id = $1", self.program)
                and await self.see.fetchval("select count(*) from matching.access_keys where id = $1", self.key_id)
            )

        assert await until(there)

    async def told(self, kind: str = "") -> list[dict[str, Any]]:
        """What matching has emitted of its program, in the order of its outbox: what is on the topic and what is still to go."""
        rows = await self.see.fetch("select headers, payload from ledger order by id")
        found = []
        for row in rows:
            headers = json.loads(row["headers"])
            if headers.get("ce_program") == self.program and kind in ("", headers["ce_type"][7:]):
                found.append(json.loads(row["payload"]) | {"type": headers["ce_type"][7:], "headers": headers})
        return found

    async def finished(self, client: httpx.AsyncClient, run_id: str, seconds: float = 180.0) -> dict[str, Any]:
        async def over() -> dict[str, Any] | None:
            answer = (await client.get(f"/v1/match-runs/{run_id}")).json()
            return answer if answer["status"] in ("finished", "failed") else None

        run = await until(over, seconds)
        assert run is not None, (await client.get(f"/v1/match-runs/{run_id}")).json()
        assert run["status"] == "finished", run
        return run

    async def match(self, client: httpx.AsyncClient, after: dict[str, int] | None = None) -> dict[str, Any]:
        """Ask for a run and wait for its end."""
        answer = await client.post("/v1/programs/crossing/match-runs", json={"after": after} if after else {})
        assert answer.status_code == 202, answer.text
        return await self.finished(client, answer.json()["run_id"])


LEDGER = """
create table public.ledger (id bigint, headers text, payload text);
grant usage on schema public to matching;
grant insert on public.ledger to matching;
create function public.remember() returns trigger language plpgsql as $$
begin
  insert into public.ledger values (new.id, convert_from(new.headers, 'UTF8'), convert_from(new.payload, 'UTF8'));
  return null;
end $$;
create trigger remember after insert on matching.outbox for each row execute function public.remember();
"""


@asynccontextmanager
async def founded(stage: Stage) -> AsyncIterator[Town]:
    """Matching's schema is there, and every fact that enters its outbox is remembered beside it."""
    see = await asyncpg.connect(stage.superuser)
    town = Town(stage, see)
    service = town.service()
    await migrate(service.database, service.migrations)
    await see.execute(LEDGER)
    yield town
    await see.close()


@dataclass
class Shared:
    """What the tests of a file share, once one of them has asked for it."""

    stack: AsyncExitStack
    town: Town | None = None

    async def served(self, platform: Platform, template: str) -> Town:
        if self.town is None:
            stage = await self.stack.enter_async_context(raised(platform, template))
            town = await self.stack.enter_async_context(founded(stage))
            town.port = await self.stack.enter_async_context(town.served())
            self.town = town
        return self.town


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Shared]:
    async with AsyncExitStack() as stack:
        yield Shared(stack)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done every ten seconds is done twice a second."""
    monkeypatch.setattr(runs, "ROLLS_EVERY", 0.5)


@pytest.fixture
async def town(request: pytest.FixtureRequest, shared: Shared, platform: Platform, template: str) -> AsyncIterator[Town]:
    """An organization and a program of the test's own, in the one service of its file.

    Those marked `alone` have all for themselves: they move the clock, kill the service, or look at whole tables.
    """
    if request.node.get_closest_marker("alone"):
        async with raised(platform, template) as stage, founded(stage) as town:
            yield town
    else:
        common = await shared.served(platform, template)
        yield Town(common.stage, common.see, port=common.port)
