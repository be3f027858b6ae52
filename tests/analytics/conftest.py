"""Runs analytics in the test's process, and asks it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.analytics.main import build
from shared.events import AccessKeyIssued, Event
from shared.service import Service
from tests.analytics.samples import Crossing
from tests.conftest import alone
from tests.producing import send

SHA256_OF_SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"


@dataclass
class Analytics:
    """The service that runs, and what a test asks of it."""

    stage: Any
    service: Service
    client: httpx.AsyncClient

    async def send(self, events: Event | Iterable[Event], **more: Any) -> list[UUID]:
        several = [events] if isinstance(events, Event) else list(events)
        program = next((p for e in several if (p := getattr(e, "program", None))), "")
        return await send(self.stage.kafka, several, organization=program.partition(".")[0] or "nobody", program=program, **more)

    async def issue(self, organization: str, *, rights: tuple[str, ...] = ("read",)) -> dict[str, str]:
        """The header with a key of this organization, once the service knows it."""
        name = secrets.token_hex(4)
        issued = AccessKeyIssued(key_id=name, sha256=SHA256_OF_SECRET, organization=organization, rights=rights)
        await send(self.stage.kafka, issued, organization=organization)
        header = {"Authorization": f"Bearer ith_{name}_secret"}

        async def known() -> bool:
            return (await self.client.get("/v1/story/none", headers=header)).status_code != 401

        await self.until(known)
        return header

    async def summary(self, program: str, header: dict[str, str] | None = None) -> Any:
        answer = await self.client.get(f"/v1/programs/{program}/summary", headers=header)
        return answer.json() if answer.status_code == 200 else None

    async def story(self, name: object, header: dict[str, str] | None = None, **more: Any) -> Any:
        answer = await self.client.get(f"/v1/story/{name}", headers=header, params=more)
        return answer.json()["lines"] if answer.status_code == 200 else None

    async def until(self, ask: Callable[[], Awaitable[Any]], seconds: float = 40) -> Any:
        """What `ask` answers as soon as it is true."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (answer := await ask()):
            assert asyncio.get_running_loop().time() < deadline, f"still {answer!r} after {seconds} s"
            await asyncio.sleep(0.1)
        return answer

    async def read(self, events: Iterable[UUID]) -> None:
        """Wait until the story has all these events."""
        wanted = list(events)

        async def has() -> bool:
            async with self.service.database.transaction() as connection:
                count = await connection.fetchval("select count(*) from story where id = any($1)", wanted)
            return bool(count == len(wanted))

        await self.until(has)


@pytest.fixture
async def analytics(stage: Any) -> AsyncIterator[Analytics]:
    service = alone(build(stage.settings("analytics")), stage)
    async with service.running():
        headers = {"Authorization": f"Bearer {stage.operator_token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", headers=headers, timeout=30) as client:
            yield Analytics(stage, service, client)


@pytest.fixture
def crossing() -> Crossing:
    """A program that no other test has."""
    return Crossing(f"north-{secrets.token_hex(4)}", f"kes-{secrets.token_hex(4)}")
