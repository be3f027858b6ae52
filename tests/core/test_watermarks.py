"""A timer that heeds a partner's reports waits for those too that still stand in the gateway's outbox."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared import topics
from shared.clock import Clock
from shared.cloudevents import new_id, rfc3339
from shared.database import Database, migrate
from shared.decisions import at
from shared.events import WATERMARKS, MeetingHeld, MeetingReported, Topic
from shared.service import Service
from shared.watermarks import Watermarks, writers_of
from tests.core import ledger
from tests.core.rig import until
from tests.core.test_timers import FAR, LONG_AGO, arm, fire, said

SECOND = timedelta(seconds=1)


async def test_a_timer_that_heeds_reports_fires_when_their_writer_has_sent_all_from_before_its_time(rig):
    heeding, plain = await rig.pair(), await rig.pair()
    await arm(rig, "overdue", heeding, heeding)
    await arm(rig, "quiet", plain, plain)
    await rig.read_until(FAR)
    assert await fire(rig) == 1, "the one that heeds nothing"
    marks = rig.service.watermarks
    assert await rig.timers.fire_due() is None, "the gateway wasn't heard"
    marks.hear(b"gateway", rfc3339(LONG_AGO - SECOND).encode())
    assert await rig.timers.fire_due() is None, "it may have more from before then"
    before = rig.database.clock.now() - SECOND
    marks.hear(b"gateway", rfc3339(LONG_AGO).encode())
    await rig.read_until(before)
    assert await rig.timers.fire_due() is None, "what it has sent may not be read yet"
    await rig.read_until(FAR)
    assert await fire(rig) == 1
    assert len(await said(rig, heeding)) == 1


def test_what_is_known_is_what_every_writer_vouched_for_before_the_topics_were_read():
    marks = Watermarks({}, Clock(), frozenset({"gateway", "matching"}))
    start = marks.clock.now()
    assert marks.known(FAR) is None
    marks.hear(b"gateway", rfc3339(LONG_AGO).encode())
    assert marks.known(FAR) is None
    marks.hear(b"matching", rfc3339(LONG_AGO + SECOND).encode())
    assert marks.known(FAR) == LONG_AGO
    assert marks.known(start) is None, "heard after the topics were read"
    marks.hear(b"gateway", rfc3339(LONG_AGO - SECOND).encode())
    assert marks.known(FAR) == LONG_AGO, "a late word of a leader before"


@pytest.mark.parametrize(("key", "value"), [(b"gateway", b"soon"), (b"gateway", b"2026-01-01"), (b"\xff", b"x"), (b"x", b"y")])
def test_a_watermark_that_cant_be_read_says_nothing(key, value):
    marks = Watermarks({}, Clock(), frozenset({"gateway"}))
    marks.hear(key, value)
    assert marks.known(FAR) is None


def test_a_fact_whose_writer_gives_no_watermarks_cant_be_heeded(stage):
    assert writers_of([MeetingReported]) == {"gateway"}
    timer = at("x", ledger.Pair, do=ledger.quiet, heeds=(MeetingHeld,))
    with pytest.raises(LookupError, match="MeetingHeld can't be heeded: scheduling writes no watermarks"):
        Service(
            "scheduling", ledger.TABLES, [timer], ledger.MIGRATIONS, topics=["scheduling"], settings=stage.settings("scheduling")
        )


async def test_a_relay_vouches_for_nothing_that_it_has_not_sent(stage, see, tmp_path):
    """A fact for a topic that isn't there yet stands in the outbox; until it is sent, no moment after it is vouched for."""
    await migrate(Database(stage.dsn("gateway"), "gateway"))
    await see.execute("truncate gateway.outbox, gateway.positions")
    missing = Topic(f"core-{new_id().hex[-8:]}", "relationship", (), ())
    place = TopicPartition(WATERMARKS.name, 0)
    heard: list[datetime] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.kafka, fetch_max_wait_ms=50)
    await consumer.start()
    consumer.assign([place])
    await consumer.seek_to_end(place)

    async def newest() -> datetime:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            heard.extend(datetime.fromisoformat(record.value.decode()) for record in records if record.key == b"gateway")
        return heard[-1] if heard else LONG_AGO

    async def told(moment: datetime) -> bool:
        return await newest() > moment

    async with Service("gateway", [], [], tmp_path, topics=["rejections"], settings=stage.settings("gateway")).running():
        assert await until(lambda: told(datetime.now(UTC) - 5 * SECOND))
        await write(see, missing.name)
        written = datetime.now(UTC)
        await asyncio.sleep(2.5)  # so long it must not say more
        assert await newest() < written
        await stage.move_clock(timedelta(days=1))
        await asyncio.sleep(0.5)
        assert await newest() < written, "nor for any moment after"
        await topics.create(stage.kafka, [missing])
        assert await until(lambda: told(written + timedelta(hours=23)), 30)
    assert await see.fetchval("select count(*) from gateway.outbox") == 0
    await consumer.stop()


async def write(see: asyncpg.Connection, topic: str) -> None:
    row = (new_id(), topic, "key", b"{}", b"{}", datetime.now(UTC))
    columns = ("event_id", "topic", "key", "headers", "payload", "recorded_at")
    await see.copy_records_to_table("outbox", schema_name="gateway", records=[row], columns=columns)
    await see.execute("notify outbox_gateway")
