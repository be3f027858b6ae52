"""The drill: a service's PostgreSQL is set back to an earlier moment, the service starts again, and nothing it was told is lost."""

import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared import topics
from shared.cloudevents import new_id
from shared.events import TOPICS, Topic
from shared.outbox import LEAD
from tests.conftest import Stage, ends
from tests.core import ledger
from tests.core.conftest import Lane
from tests.core.rig import until

PAIRS, BEFORE, AFTER = 5, 10, 20
STATE = "select id, seen, last, said, revision from scheduling.pairs order by id"


@pytest.fixture
async def lane(fresh: Stage, monkeypatch: pytest.MonkeyPatch) -> Lane:
    """A topic of the test's own on a database of the test's own."""
    topic = Topic(f"core-{secrets.token_hex(4)}", "relationship", ("scheduling",), ("scheduling",))
    monkeypatch.setitem(TOPICS, topic.name, topic)
    await topics.create(fresh.kafka, [topic])
    return Lane(fresh, topic.name)


@asynccontextmanager
async def server(stage: Stage) -> AsyncIterator[asyncpg.Connection]:
    """The server's administrator, beside the stage's database; a copy needs a database that nobody uses."""
    connection = await asyncpg.connect(stage.platform.addresses["postgres"])
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
            stage.database,
        )
        yield connection
    finally:
        await connection.close()


async def facts(stage: Stage, begins: dict[TopicPartition, int], pairs: Sequence[UUID]) -> dict[UUID, list[tuple[int, str]]]:
    """Per pair what was told of it on `scheduling` since then, in order: (revision, the event's id)."""
    reached = {place: end for place, end in (await ends(stage.kafka)).items() if place.topic == "scheduling"}
    told: dict[UUID, list[tuple[int, str]]] = defaultdict(list)
    async with AIOKafkaConsumer(bootstrap_servers=stage.kafka) as consumer:
        consumer.assign(list(reached))
        for place in reached:
            consumer.seek(place, begins[place])
        while any([await consumer.position(place) < end for place, end in reached.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    pair = UUID(record.key.decode())
                    if pair in pairs:
                        told[pair].append((json.loads(record.value)["revision"], dict(record.headers)["ce_id"].decode()))
    return told


async def test_a_database_set_back_to_an_earlier_moment_ends_where_it_was(lane):
    stage, backup = lane.stage, f"{lane.stage.database}_backup"
    pairs, begins = [new_id() for _ in range(PAIRS)], await ends(stage.kafka)

    async def ask(statement: str) -> object:
        connection = await asyncpg.connect(stage.superuser)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def handled(each: int) -> bool:
        return (await ask("select coalesce(sum(seen), 0) from scheduling.pairs"))[0][0] == each * PAIRS

    async def sent() -> bool:
        return (await ask("select count(*) from scheduling.outbox"))[0][0] == 0

    # Before the backup: everything is decided, and its facts still stand in the outbox, for another leads the relay.
    leader = await asyncpg.connect(stage.superuser)
    assert await leader.fetchval(LEAD, "scheduling")
    async with lane.service("a").running():
        await lane.send(
            *map(ledger.pair_created, pairs), *(ledger.meeting_held(p, n) for n in range(1, BEFORE + 1) for p in pairs)
        )
        assert await until(lambda: handled(BEFORE))
    assert len(await ask("select from scheduling.outbox")) == BEFORE * PAIRS
    await leader.close()
    async with server(stage) as administrator:
        await administrator.execute(f"create database {backup} template {stage.database}")

    # After it: those are sent, more comes and is sent too.
    async with lane.service("a").running():
        await lane.send(*(ledger.meeting_held(p, n) for n in range(BEFORE + 1, AFTER + 1) for p in pairs))
        assert await until(lambda: handled(AFTER))
        assert await until(sent)
    state = await ask(STATE)
    first = await facts(stage, begins, pairs)
    assert all([revision for revision, _ in first[pair]] == list(range(1, AFTER + 1)) for pair in pairs)

    # The database is lost, and the backup takes its place; Kafka is ahead of it.
    async with server(stage) as administrator:
        await administrator.execute(f"drop database {stage.database}")
        await administrator.execute(f"alter database {backup} rename to {stage.database}")
    assert not await handled(AFTER)
    async with lane.service("a").running():
        assert await until(lambda: handled(AFTER)), "its positions went back with it: it reads again what it lost"
        assert await until(sent)
    assert await ask(STATE) == state
    assert await ask("select from scheduling.held_keys") == []

    for pair, told in (await facts(stage, begins, pairs)).items():
        again = told[AFTER:]
        assert told[:AFTER] == first[pair], "what was told stays told"
        assert [revision for revision, _ in again] == list(range(1, AFTER + 1)), "in order"
        # What stood in the outbox is sent under its id, which every inbox knows; what was decided anew has an id of its own.
        assert again[:BEFORE] == first[pair][:BEFORE]
        assert not {id_ for _, id_ in again[BEFORE:]} & {id_ for _, id_ in first[pair]}


async def test_a_click_after_that_moment_is_gone_though_its_fact_was_told(lane):
    """What came by Kafka comes again; what came by HTTP doesn't: hence a standby that has every commit."""
    stage, backup, pair = lane.stage, f"{lane.stage.database}_backup", new_id()
    begins = await ends(stage.kafka)

    async def known() -> bool:
        connection = await asyncpg.connect(stage.superuser)
        try:
            return await connection.fetchval("select count(*) = 1 from scheduling.pairs")
        finally:
            await connection.close()

    async with lane.service("a").running():
        await lane.send(ledger.pair_created(pair))
        assert await until(known)
    async with server(stage) as administrator:
        await administrator.execute(f"create database {backup} template {stage.database}")
    async with lane.service("a").running() as service:
        assert await service.work.act(ledger.touch(pair)) == 1

        async def told() -> bool:
            return bool((await facts(stage, begins, [pair]))[pair])

        assert await until(told)
    async with server(stage) as administrator:
        await administrator.execute(f"drop database {stage.database}")
        await administrator.execute(f"alter database {backup} rename to {stage.database}")
    async with lane.service("a").running() as service:
        assert await service.work.act(ledger.touch(pair)) == 1, "it doesn't know of the first"

        async def told_twice() -> bool:
            return [revision for revision, _ in (await facts(stage, begins, [pair]))[pair]].count(1) == 2

        assert await until(told_twice)
