"""A gateway that runs in this process, and partners that speak to it."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.gateway.main import build
from shared.service import Service
from tests.conftest import alone

NUMBERS = itertools.count(1)


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.05)


@dataclass
class Partner:
    """One organization's key and how it posts."""

    name: str
    key: str
    http: httpx.AsyncClient
    posted: list[dict[str, Any]] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def event(self, type_: str, event_id: str | None = None, /, **data: Any) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": event_id or f"e{next(NUMBERS)}-{secrets.token_hex(3)}",
            "source": f"/{self.name}/hr",
            "type": f"ithaca.{type_}",
            "data": data,
        }

    async def post(self, *events: dict[str, Any], batch: bool | None = None, **params: Any) -> httpx.Response:
        many = len(events) != 1 if batch is None else batch
        kind = "application/cloudevents-batch+json" if many else "application/cloudevents+json"
        body = orjson.dumps(list(events) if many else events[0])
        return await self.http.post("/v1/events", content=body, params=params, headers=self.headers | {"content-type": kind})

    async def say(self, type_: str, /, **data: Any) -> dict[str, Any]:
        """Post one and give its result; it must be accepted."""
        response = await self.post(self.event(type_, **data))
        assert response.status_code == 202, response.text
        return response.json()["results"][0]

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params, headers=self.headers)

    async def delete(self, path: str) -> httpx.Response:
        return await self.http.delete(path, headers=self.headers)

    def person(self, own_id: str, program: str = "crossing", **more: Any) -> dict[str, Any]:
        return self.event("PersonEnrolled", person=own_id, program=program, **({"role": "mentee"} | more))


@dataclass
class Gate:
    """A running gateway and its surroundings."""

    service: Service
    stage: Any
    http: httpx.AsyncClient

    async def organization(self, prefix: str = "org", **more: Any) -> Partner:
        name = f"{prefix}-{secrets.token_hex(4)}"
        body = {"id": name, "name": prefix.title(), "country": "NG", "time_zone": "Africa/Lagos"} | more
        response = await self.http.post("/v1/organizations", json=body, headers=self.operator)
        assert response.status_code == 201, response.text
        return Partner(name, response.json()["key"], self.http)

    async def with_program(self, prefix: str = "org") -> Partner:
        partner = await self.organization(prefix)
        await partner.say("ProgramLaunched", program="crossing", name="Crossing")
        return partner

    @property
    def operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stage.operator_token}"}

    async def sql(self, query: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.stage.superuser)
        try:
            await connection.execute("set search_path = gateway")
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def facts(self, topic: str, organization: str | None = None) -> list[dict[str, Any]]:
        """What stands on a topic, of one organization or of all, once the outbox is empty: headers and data, in order per key."""

        async def sent() -> bool:
            return not (await self.sql("select count(*) from outbox"))[0][0]

        assert await until(sent)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stage.kafka, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(topic, n) for n in range(12)]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, self.stage.begins[place])
            ends = await consumer.end_offsets(places)
            found = []
            while any([await consumer.position(p) < ends[p] for p in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        headers = {name: value.decode(errors="replace") for name, value in record.headers}
                        if organization in {None, headers.get("ce_organization")}:
                            found.append(
                                {
                                    "key": record.key.decode(),
                                    "partition": record.partition,
                                    "data": orjson.loads(record.value),
                                    **headers,
                                }
                            )
            return found
        finally:
            await consumer.stop()


@pytest.fixture(scope="module")
async def gate(module_stage) -> AsyncIterator[Gate]:
    async with (
        alone(build(module_stage.settings("gateway")), module_stage).running() as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as http,
    ):
        yield Gate(service, module_stage, http)
