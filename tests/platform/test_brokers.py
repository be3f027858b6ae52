"""Three brokers: everything is kept three times, and one of them may be killed in the middle of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.local.kafka import cluster_of
from deploy.local.platform import Platform
from deploy.local.processes import PartError
from shared import topics
from shared.cloudevents import new_id
from shared.database import Database, migrate
from shared.events import TOPICS, WATERMARKS
from tests.conftest import bare
from tests.core import ledger
from tests.core.rig import until
from tests.producing import encoded

EVENTS = 3000
INTERNAL = {"__consumer_offsets", "__transaction_state"}


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("three"), zipkin=False, brokers=3) as platform:
        asyncio.run(topics.create(platform.addresses["kafka"], replication=3))
        yield platform


@pytest.fixture
async def admin(three) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=three.addresses["kafka"])
    await admin.start()
    yield admin
    await admin.close()


async def test_every_topic_is_kept_three_times_and_a_write_counts_once_two_have_it(three, admin):
    kafka = three.addresses["kafka"]
    assert {name for name in three.pids if name.startswith("kafka")} == {"kafka-1", "kafka-2", "kafka-3"}
    assert len(kafka.split(",")) == 3
    async with AIOKafkaConsumer("people", bootstrap_servers=kafka, group_id="any") as consumer:
        await consumer.commit({TopicPartition("people", 0): 0} if consumer.assignment() else None)
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id="any") as producer, producer.transaction():
        await producer.send("watermarks", b"for a transaction's sake")
    described = await admin.describe_topics()
    assert {topic["topic"] for topic in described} >= {*TOPICS, WATERMARKS.name} | INTERNAL
    for topic in described:
        for partition in topic["partitions"]:
            assert sorted(partition["replicas"]) == sorted(partition["isr"]) == [1, 2, 3], topic["topic"]
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in described])
    least = [
        entry[1] for answer in answers for found in answer.resources for entry in found[4] if entry[0] == "min.insync.replicas"
    ]
    assert least == ["2"] * len(described)


async def leader(admin, topic: str, partition: int) -> int:
    (described,) = await admin.describe_topics([topic])
    return next(one["leader"] for one in described["partitions"] if one["partition"] == partition)


async def test_a_leader_killed_under_load_loses_nothing_and_doubles_nothing(three, admin):
    """Events come in on one partition and facts go out on others; the broker that leads the first is killed in the middle."""
    async with bare(three) as stage:
        await migrate(Database(stage.dsn("scheduling"), "scheduling"), ledger.MIGRATIONS)
        see = await asyncpg.connect(stage.superuser)
        pair = new_id()
        place = topics.partition_of(TOPICS["matching"], str(pair))
        service = ledger.build(stage.settings("scheduling", "a"), ["matching"])
        producer = AIOKafkaProducer(bootstrap_servers=stage.kafka, enable_idempotence=True, request_timeout_ms=120_000)
        await producer.start()

        async def seen(least: int) -> bool:
            return (await see.fetchval("select max(seen) from scheduling.pairs") or 0) >= least

        async def load() -> None:
            for n in range(EVENTS + 1):
                event = ledger.meeting_held(pair, n) if n else ledger.pair_created(pair)
                key, headers, payload = encoded(event, organization=ledger.ORGANIZATION, program=ledger.PROGRAM)
                sent = await producer.send("matching", payload, key=key, headers=headers)
                if n % 100 == 0:
                    await sent

        async with service.running():
            loading = asyncio.create_task(load())
            assert await until(lambda: seen(EVENTS // 5))
            killed = f"kafka-{await leader(admin, 'matching', place)}"
            await asyncio.to_thread(three.kill, killed)
            await loading
            await producer.stop()
            assert await until(lambda: seen(EVENTS), 60)
            assert await until(lambda: see.fetchval("select count(*) = 0 from scheduling.outbox"), 60)
        await asyncio.to_thread(three.restart, killed)
        assert await see.fetchrow("select seen, last, said, revision from scheduling.pairs") == (EVENTS, EVENTS, [], EVENTS)
        await see.close()
    async with AIOKafkaConsumer(
        "scheduling", bootstrap_servers=three.addresses["kafka"], auto_offset_reset="earliest"
    ) as consumer:
        told: dict[bytes, int] = {}
        while len(told) < EVENTS:
            async with asyncio.timeout(20):
                record = await consumer.getone()
            told.setdefault(dict(record.headers)["ce_id"], json.loads(record.value)["revision"])
    assert list(told.values()) == list(range(1, EVENTS + 1))

    async def whole() -> bool:
        return all(len(p["isr"]) == 3 for topic in await admin.describe_topics() for p in topic["partitions"])

    assert await until(whole, 30), "the one that was killed has caught up"


def test_data_belong_to_one_number_of_brokers(tmp_path):
    made = cluster_of(tmp_path / "new", 3)
    assert cluster_of(tmp_path / "new", None) == made == cluster_of(tmp_path / "new", 3)
    with pytest.raises(PartError, match=r"those of 3 brokers: start them without --brokers"):
        cluster_of(tmp_path / "new", 1)
    (tmp_path / "old/kafka").mkdir(parents=True)
    with pytest.raises(PartError, match=r"those of 1 broker:"):
        cluster_of(tmp_path / "old", 3)
    assert cluster_of(tmp_path / "old", None)[1] == 1
    with pytest.raises(PartError, match="2 brokers make no sense"):
        Platform(tmp_path, brokers=2)
