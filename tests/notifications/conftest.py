"""A scene for notifications: an organization with a program, people, a pair; a mailbox; a partner's key and endpoint."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
import uvicorn
from aiokafka import AIOKafkaConsumer
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.notifications.main import build
from shared.cloudevents import new_id
from shared.events import (
    AccessKeyIssued,
    AgreementProposed,
    Contact,
    Enrolment,
    Event,
    MeetingProposed,
    MeetingScheduled,
    Member,
    OrganizationOnboarded,
    PairCreated,
    PersonEnrolled,
    Profile,
    ProgramLaunched,
    Reason,
    Role,
    Terms,
)
from tests.conftest import alone
from tests.producing import send

HOUR = timedelta(hours=1)


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 40.0) -> Any:
    """The first true answer, or the last one."""
    end = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.05)


@dataclass
class Scene:
    """Everything of one organization that no other test uses."""

    stage: Any
    db: asyncpg.Connection
    http: httpx.AsyncClient
    owner: str = field(default_factory=lambda: f"org-{secrets.token_hex(4)}")
    guest: str = field(default_factory=lambda: f"org-{secrets.token_hex(4)}")
    mentor: UUID = field(default_factory=new_id)
    mentee: UUID = field(default_factory=new_id)
    pair: UUID = field(default_factory=new_id)
    meeting: UUID = field(default_factory=new_id)
    service: Any = None

    @property
    def program(self) -> str:
        return f"{self.owner}.crossing"

    @property
    def audience(self) -> tuple[str, ...]:
        return tuple(sorted({self.owner, self.guest}))

    def address(self, person: UUID, prefix: str = "") -> str:
        return f"{prefix}{person.hex}@mail.example"

    def build(self, copy: str = "", **more: Any) -> Any:
        self.service = alone(build(self.stage.settings("notifications", copy, **more)), self.stage)
        return self.service

    # -- what happened

    async def send(self, *events: Event, ids: list[UUID] | None = None, at: datetime | None = None) -> list[UUID]:
        return await send(self.stage.kafka, events, organization=self.owner, program=self.program, ids=ids, at=at)

    def enrolled(
        self, person: UUID, role: str, organization: str, name: str, *, email: str | None = "", revision: int = 1, **profile
    ):
        return PersonEnrolled(
            person_id=person,
            organization=organization,
            own_id=name,
            profile=Profile(**{"time_zone": "Africa/Lagos"} | profile),
            contact=Contact(name=name, email=self.address(person) if email == "" else email),
            enrolments=(Enrolment(program=self.program, role=role),),
            revision=revision,
            program=self.program,
            audience=tuple(sorted({organization, self.owner})),
        )

    async def open(self, *, mentee_email: str | None = "") -> None:
        """Both organizations, the program, a mentor and a mentee, matched."""
        await self.send(
            OrganizationOnboarded(organization=self.owner, name="Northwind", audience=(self.owner,)),
            OrganizationOnboarded(organization=self.guest, name="Kestrel", audience=(self.guest,)),
            ProgramLaunched(program=self.program, organization=self.owner, name="Crossing", audience=(self.owner,)),
            self.enrolled(self.mentor, "mentor", self.guest, "Graça Moreira", time_zone="America/Sao_Paulo"),
            self.enrolled(self.mentee, "mentee", self.owner, "Ada Okafor", email=mentee_email),
            self.pair_created(),
        )

    @property
    def members(self) -> tuple[Member, ...]:
        return (
            Member(person_id=self.mentor, role=Role.mentor, organization=self.guest),
            Member(person_id=self.mentee, role=Role.mentee, organization=self.owner),
        )

    def pair_created(self) -> PairCreated:
        return PairCreated(
            relationship_id=self.pair,
            program=self.program,
            format="one_to_one",
            term="long",
            score=800_000,
            members=self.members,
            reasons=(Reason(code="skills", number=2, items=("cloud", "leadership")), Reason(code="overlap_hours", number=2)),
            audience=self.audience,
        )

    def _of_pair(self, kind: type[Event], /, **fields: Any) -> Any:
        return kind(relationship_id=self.pair, program=self.program, audience=self.audience, **fields)

    def agreement(self, version: int = 1) -> AgreementProposed:
        return self._of_pair(AgreementProposed, version=version, members=self.members, terms=Terms())

    def of_meeting(self, kind: type[Event], /, **fields: Any) -> Any:
        return self._of_pair(kind, **({"meeting_id": self.meeting} | fields))

    def proposed(self, *slots: datetime) -> MeetingProposed:
        return self.of_meeting(MeetingProposed, slots=slots, minutes=30, time_zone="Africa/Lagos")

    def scheduled(self, starts_at: datetime, sequence: int = 1) -> MeetingScheduled:
        return self.of_meeting(MeetingScheduled, starts_at=starts_at, minutes=30, time_zone="Africa/Lagos", sequence=sequence)

    # -- what came of it

    async def mails(self, person: UUID, prefix: str = "") -> list[dict[str, Any]]:
        """Oldest first, in full."""
        base = self.stage.platform.addresses["mailbox"]
        found = (await self.http.get(f"{base}/api/messages", params={"to": self.address(person, prefix)})).json()
        return [(await self.http.get(f"{base}/api/messages/{mail['id']}")).json() for mail in reversed(found)]

    async def mail(self, person: UUID, word: str, seconds: float = 40.0, *, settled: bool = True) -> dict[str, Any]:
        """The newest mail to a person whose subject has this word, once it is there."""

        async def there() -> dict[str, Any] | None:
            return next((mail for mail in reversed(await self.mails(person)) if word in mail["subject"]), None)

        found = await until(there, seconds)
        assert found, (word, [mail["subject"] for mail in await self.mails(person)], await self.deliveries())
        waiting = "select count(*) = 0 from notifications.deliveries where state = 'waits' and attempts = 0 and organization = $1"
        if settled:  # what the others are told of the same fact, too
            assert await until(lambda: self.db.fetchval(waiting, self.owner))
        return found

    async def deliveries(self, **wanted: Any) -> list[asyncpg.Record]:
        rows = await self.db.fetch(
            "select * from notifications.deliveries where organization = $1 order by created_at", self.owner
        )
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    async def settled(self, count: int, seconds: float = 40.0) -> list[asyncpg.Record]:
        """So many deliveries of the owner's programs, none of them waiting."""

        async def done() -> list[asyncpg.Record] | None:
            rows = await self.deliveries()
            return rows if len(rows) >= count and all(row["state"] != "waits" for row in rows) else None

        rows = await until(done, seconds)
        assert rows is not None, [dict(row) for row in await self.deliveries()]
        assert len(rows) == count, [dict(row) for row in rows]
        return rows

    async def settled_waiting(self, count: int) -> list[asyncpg.Record]:
        """So many deliveries, whatever their state."""

        async def done() -> list[asyncpg.Record] | None:
            rows = await self.deliveries()
            return rows if len(rows) == count else None

        rows = await until(done)
        assert rows is not None, [dict(row) for row in await self.deliveries()]
        return rows

    async def until(self, ask: Callable[[], Awaitable[Any]], seconds: float = 40.0) -> Any:
        return await until(ask, seconds)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.service.port}{path}"

    def local(self, link: str) -> str:
        """A link of a mail, as this service's own address serves it."""
        return self.url(link.removeprefix("http://notifications.test"))

    async def key(self, organization: str, *rights: str) -> dict[str, str]:
        """A key's header, once the service knows it."""
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        await self.send(
            AccessKeyIssued(
                key_id=key_id,
                sha256=hashlib.sha256(secret.encode()).hexdigest(),
                organization=organization,
                rights=rights or ("send", "read", "coordinate"),
            )
        )
        assert await until(lambda: self.db.fetchval("select count(*) from notifications.access_keys where id = $1", key_id))
        return {"Authorization": f"Bearer ith_{key_id}_{secret}"}

    async def topic_events(self, kind: str, count: int, seconds: float = 40.0) -> list[dict[str, Any]]:
        """Events of a type about the owner's organization that were on our topic, in order, until there are `count` different ones."""
        found: list[dict[str, Any]] = []
        ids: set[str] = set()
        consumer = AIOKafkaConsumer("notifications", bootstrap_servers=self.stage.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            end = time.monotonic() + seconds
            while len(ids) < count and time.monotonic() < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        if headers["ce_type"] == f"ithaca.{kind}" and headers.get("ce_organization") in self.audience:
                            ids.add(headers["ce_id"])
                            found.append({"key": record.key.decode(), "headers": headers, **orjson.loads(record.value)})
        finally:
            await consumer.stop()
        return found


@pytest.fixture
async def scene(stage: Any) -> AsyncIterator[Scene]:
    db = await asyncpg.connect(stage.superuser)
    async with httpx.AsyncClient(timeout=30) as http:
        yield Scene(stage, db, http)
    await db.close()


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Receiver:
    """A partner's endpoint: keeps what it is sent and answers as told."""

    url: str
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """The events whose signature holds; all do, or it raises."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    kept = Receiver("")

    async def hook(request: Request) -> Response:
        kept.got.append((dict(request.headers), await request.body()))
        await asyncio.sleep(kept.slow)
        return Response(status_code=kept.status, headers=kept.headers)

    app = Starlette(routes=[Route("/{rest:path}", hook, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1))
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    kept.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
    yield kept
    server.should_exit = True
    await task
