"""Scheduling in this process on real Kafka and PostgreSQL: programs, people and pairs as other services would tell of them."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.scheduling.main import build
from shared import links
from shared.cloudevents import new_id
from shared.events import (
    CATALOGUE,
    AccessKeyIssued,
    Contact,
    Enrolment,
    Event,
    Format,
    MeetingReported,
    Member,
    PairCreated,
    PersonEnrolled,
    PersonRecord,
    Policy,
    Profile,
    ProgramLaunched,
    Role,
    Term,
    Window,
)
from shared.service import Service
from tests.conftest import alone, ends, vouched
from tests.producing import send

PAGE = {"Accept": "text/html"}


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 25.0) -> Any:
    """The first true answer, or the last one."""
    end = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Written:
    """An event as it lies on a topic."""

    event: Event
    headers: dict[str, str]
    body: str

    @property
    def name(self) -> str:
        return type(self.event).__name__


@dataclass
class Log:
    """All that was written to the topics that scheduling writes since this began, by key."""

    by_key: dict[str, list[Written]] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None

    async def read(self, kafka: str, begins: dict[TopicPartition, int]) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=50)
        await consumer.start()
        try:
            consumer.assign(list(begins))
            for place, at in begins.items():
                consumer.seek(place, at)
            while True:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        event = CATALOGUE[headers["ce_type"]].model_validate_json(record.value)
                        written = Written(event, headers, record.value.decode())
                        self.by_key.setdefault(record.key.decode(), []).append(written)
        finally:
            await consumer.stop()

    def of(self, key: object) -> list[Written]:
        return list(self.by_key.get(str(key), ()))

    def names(self, key: object) -> list[str]:
        return [written.name for written in self.of(key)]

    async def wait(self, key: object, name: str, count: int = 1, seconds: float = 25.0) -> Any:
        """The n-th event of this type and key, once it is there."""

        async def there() -> list[Written]:
            if self.reading is not None and self.reading.done():
                self.reading.result()  # raises what ended it
            found = [w for w in self.of(key) if w.name == name]
            return found if len(found) >= count else []

        found = await until(there, seconds)
        assert found, f"no {name} number {count} among {self.names(key)}"
        return found[count - 1].event


@pytest.fixture(scope="module")
async def log(platform: Any) -> AsyncIterator[Log]:
    log, kafka = Log(), platform.addresses["kafka"]
    begins = {place: at for place, at in (await ends(kafka)).items() if place.topic in {"scheduling", "rejections"}}
    log.reading = asyncio.create_task(log.read(kafka, begins))
    yield log
    log.reading.cancel()
    await asyncio.gather(log.reading, return_exceptions=True)


@dataclass
class Scene:
    """One organization's program that no other test uses, with a guest organization, and whoever is in it."""

    stage: Any
    log: Log
    service: Service
    db: asyncpg.Connection
    http: httpx.AsyncClient
    owner: str = field(default_factory=lambda: f"org-{secrets.token_hex(4)}")
    guest: str = field(default_factory=lambda: f"org-{secrets.token_hex(4)}")
    zones: dict[UUID, str] = field(default_factory=dict)
    homes: dict[UUID, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        return f"{self.owner}.crossing"

    @property
    def now(self) -> datetime:
        return self.service.database.clock.now()

    async def send(self, *events: Event, organization: str = "") -> list[UUID]:
        return await send(self.stage.kafka, events, organization=organization or self.owner, program=self.program)

    # what other services tell

    async def launch(self, **policy: Any) -> None:
        await self.send(
            ProgramLaunched(program=self.program, organization=self.owner, name="Crossing", policy=Policy.model_validate(policy))
        )

    def record(
        self,
        kind: type[PersonRecord],
        person: UUID,
        revision: int = 1,
        *,
        availability: tuple[Window, ...] = (),
        role: Role = Role.mentee,
        **more: Any,
    ) -> PersonRecord:
        said = {
            "person_id": person,
            "organization": self.homes[person],
            "own_id": str(person)[-6:],
            "profile": Profile(time_zone=self.zones[person], availability=availability),
            "contact": Contact(name="Nobody Knows", email="nobody@example.org"),
            "enrolments": (Enrolment(program=self.program, role=role),),
            "revision": revision,
        }
        return kind(**(said | more))

    def person(self, time_zone: str, home: str = "") -> UUID:
        person = new_id()
        self.zones[person], self.homes[person] = time_zone, home or self.owner
        return person

    def match(
        self, mentor: UUID, mentee: UUID, pair: UUID | None = None, form: Format = Format.one_to_one, term: Term = Term.long
    ) -> PairCreated:
        members = (
            Member(person_id=mentor, role=Role.mentor, organization=self.homes[mentor]),
            Member(person_id=mentee, role=Role.mentee, organization=self.homes[mentee]),
        )
        known = pair or new_id()
        return PairCreated(relationship_id=known, program=self.program, members=members, score=500_000, format=form, term=term)

    async def pair(self, form: Format = Format.one_to_one, term: Term = Term.long, **policy: Any) -> "Pair":
        """A mentor in Lagos and the guest's mentee in São Paulo, matched; for a conversation, with times proposed."""
        mentor, mentee = self.person("Africa/Lagos"), self.person("America/Sao_Paulo", self.guest)
        await self.launch(**policy)
        await self.send(*(self.record(PersonEnrolled, p) for p in (mentor, mentee)))
        match = self.match(mentor, mentee, form=form, term=term)
        await self.send(match)
        await self.log.wait(match.relationship_id, "MeetingProposed" if form is Format.conversation else "AgreementProposed")
        return Pair(self, match.relationship_id, mentor, mentee)

    async def key(self, organization: str, *rights: str) -> dict[str, str]:
        """The headers of a partner with a key of its own."""
        key_id, secret = secrets.token_hex(6), secrets.token_hex(16)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        await self.send(AccessKeyIssued(key_id=key_id, sha256=digest, organization=organization, rights=rights))
        headers = {"Authorization": f"Bearer ith_{key_id}_{secret}"}

        async def known() -> bool:
            return bool(await self.db.fetchval("select 1 from scheduling.access_keys where id = $1", key_id))

        assert await until(known)
        return headers

    # the links in mails

    def url(self, action: str, thing: UUID, person: UUID, version: int, *, days: float = 30) -> str:
        link = links.mint(action, thing, person, version, self.now + timedelta(days=days))
        return link.url("", self.stage.link_secret)

    async def see(self, action: str, thing: UUID, person: UUID, version: int, **more: Any) -> httpx.Response:
        return await self.http.get(self.url(action, thing, person, version, **more), headers=PAGE)

    async def do(self, action: str, thing: UUID, person: UUID, version: int, **form: Any) -> httpx.Response:
        """POST, and the page it leads to."""
        answer = await self.http.post(self.url(action, thing, person, version), data=form, headers=PAGE)
        if answer.status_code != 303:
            return answer
        return await self.http.get(answer.url.join(answer.headers["location"]), headers=PAGE)

    # what is so now

    async def clock_past(self, moment: datetime) -> None:
        """Move time past a moment; nothing where it is past."""
        ahead = moment - self.now + timedelta(seconds=1)
        if ahead > timedelta():
            await self.stage.move_clock(ahead)

            async def heard() -> bool:
                return self.now > moment

            assert await until(heard)

    async def timers(self, *owners: UUID) -> set[str]:
        rows = await self.db.fetch("select kind from scheduling.timers where owner = any($1)", [str(o) for o in owners])
        return {row["kind"] for row in rows}


@dataclass
class Pair:
    """Two who are matched, and what they do."""

    scene: Scene
    id: UUID
    mentor: UUID
    mentee: UUID

    async def signed(self) -> Any:
        """Both sign; their first MeetingProposed."""
        for person in (self.mentor, self.mentee):
            page = await self.scene.do("sign", self.id, person, 1)
            assert page.status_code == 200
        return await self.scene.log.wait(self.id, "MeetingProposed")

    async def scheduled(self, slot: int = 0) -> Any:
        """Their first MeetingScheduled."""
        proposed = await self.signed()
        await self.scene.do("pick", proposed.meeting_id, self.mentor, 0, slot=proposed.slots[slot].isoformat())
        return await self.scene.log.wait(self.id, "MeetingScheduled")

    def report(self, held_at: datetime, **more: Any) -> MeetingReported:
        said = {
            "relationship_id": self.id,
            "program": self.scene.program,
            "organization": self.scene.owner,
            "report_id": secrets.token_hex(4),
            "report_source": "/calendar",
            "held_at": held_at,
            "minutes": 40,
            "attended": (self.mentor, self.mentee),
        }
        return MeetingReported(**(said | more))


def browser(service: Service) -> httpx.AsyncClient:
    """Someone's browser. A connection a click: one kept for five seconds is closed by the server just when it is taken up again."""
    fresh = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=60, limits=fresh)


@asynccontextmanager
async def running(stage: Any, log: Log, copy: str = "") -> AsyncIterator[Scene]:
    """A scene on a copy of the service."""
    service = alone(build(stage.settings("scheduling", copy)), stage)
    db = await asyncpg.connect(stage.superuser)
    try:
        async with vouched(stage), service.running(), browser(service) as http:
            yield Scene(stage, log, service, db, http)
    finally:
        await db.close()


@pytest.fixture(scope="module")
async def running_scene(module_stage: Any, log: Log) -> AsyncIterator[Scene]:
    async with running(module_stage, log) as scene:
        yield scene


@pytest.fixture
def scene(running_scene: Scene) -> Scene:
    """Organizations of one's own on the service that all tests of the file share."""
    return Scene(running_scene.stage, running_scene.log, running_scene.service, running_scene.db, running_scene.http)
