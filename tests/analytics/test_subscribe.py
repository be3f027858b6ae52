"""Subscribing from outside: what the core writes is read by the CloudEvents SDK, and the example counts right."""

import asyncio
import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from shared.cloudevents import new_id
from shared.events import CATALOGUE
from tests.analytics.conftest import Analytics
from tests.analytics.samples import DAY, SECRET, Crossing, sample
from tests.producing import send

ROOT = Path(__file__).parents[2]


async def read_all(kafka: str, wanted: set[str]) -> dict[str, list]:
    """The records with these `ce_id`s, from all topics, as the SDK reads them."""
    consumer = AIOKafkaConsumer(*{e.topic for e in CATALOGUE.values()}, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    found: dict[str, list] = {}
    try:
        deadline = asyncio.get_running_loop().time() + 60
        while len(found) < len(wanted):
            assert asyncio.get_running_loop().time() < deadline, f"{len(found)} of {len(wanted)}"
            for records in (await consumer.getmany(timeout_ms=300)).values():
                for record in records:
                    headers = dict(record.headers)
                    if (name := (headers.get("ce_id") or b"").decode(errors="replace")) in wanted:
                        event = from_kafka(KafkaMessage(headers=headers, key=record.key, value=record.value), JSONFormat())
                        found.setdefault(name, []).append((event, record))
    finally:
        await consumer.stop()
    return found


async def test_the_cloudevents_sdk_reads_every_type_that_the_core_writes(stage) -> None:
    events = [sample(kind, whole=True) for kind in CATALOGUE.values()]
    ids = await send(stage.kafka, events, organization="northwind", program="northwind.crossing", at=DAY, causation=new_id())
    found = await read_all(stage.kafka, {str(one) for one in ids})
    for event, event_id in zip(events, ids, strict=True):
        ((read, record),) = found[str(event_id)]
        assert read.get_specversion() == "1.0"
        assert read.get_id() == str(event_id)
        assert read.get_type() == event.TYPE
        assert read.get_source() == "/ithaca/test"
        assert read.get_time() == DAY
        assert read.get_datacontenttype() == "application/json"
        extensions = {name: read.get_extension(name) for name in ("organization", "program", "partitionkey")}
        assert extensions == {"organization": "northwind", "program": "northwind.crossing", "partitionkey": event.key}
        assert abs(datetime.fromisoformat(read.get_extension("recordedtime")) - datetime.now(UTC)) < timedelta(minutes=5)
        assert read.get_extension("correlationid")
        assert read.get_extension("causationid")
        assert record.topic == event.topic
        assert CATALOGUE[read.get_type()].model_validate(read.get_data()) == event
        assert event.topic == "people" or SECRET not in json.dumps(read.get_data())


async def test_the_cloudevents_sdk_reads_what_analytics_wrote_itself(analytics: Analytics, crossing: Crossing) -> None:
    await analytics.read(await analytics.send([*crossing.onboarding(), *crossing.people()]))

    async def published() -> str | None:
        async with analytics.service.database.transaction() as connection:
            found: str | None = await connection.fetchval(
                "select id::text from story where type = 'ProgramMeasured' and program = $1", crossing.program
            )
            return found

    name = await analytics.until(published)
    ((event, _),) = (await read_all(analytics.stage.kafka, {name}))[name]
    assert event.get_source() == "/ithaca/analytics"
    assert event.get_type() == "ithaca.ProgramMeasured"
    assert event.get_extension("organization") == crossing.owner
    assert event.get_data()["enrolled"] <= 12


async def example(kafka: str, database: Path) -> dict[str, int]:
    """Run the example to the log's end; what it counts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "examples/subscribe.py",
        database,
        "--once",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ITHACA_KAFKA": kafka},
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in out.decode().splitlines()}


async def test_the_example_counts_each_meeting_once_with_its_corrections(stage, crossing: Crossing, tmp_path: Path) -> None:
    corrected, lost, fine = (crossing.meeting(n) for n in range(3))
    events = [corrected[0], corrected[1], corrected[2], lost[0], lost[2], fine[0], fine[1]]
    random.shuffle(events)
    ids = await send(stage.kafka, events, organization=crossing.owner, program=crossing.program)
    await send(stage.kafka, events, organization=crossing.owner, program=crossing.program, ids=ids)  # a resend
    producer = AIOKafkaProducer(bootstrap_servers=stage.kafka)
    await producer.start()
    try:
        await producer.send_and_wait("scheduling", b"\x00garbage", key=b"\xff", headers=[("ce_type", b"\xff")])
    finally:
        await producer.stop()
    counts = await example(stage.kafka, tmp_path / "meetings.sqlite")
    held, missed = f"{crossing.program} held", f"{crossing.program} missed"
    assert (counts[held], counts[missed]) == (2, 1)
    await send(stage.kafka, [lost[1], lost[1]], organization=crossing.owner, program=crossing.program)  # the late fact
    counts = await example(stage.kafka, tmp_path / "meetings.sqlite")
    assert counts[held] == 3
    assert missed not in counts


def test_the_page_shows_the_example_as_it_is() -> None:
    page, code = (ROOT / "docs/subscribe.md").read_text(), (ROOT / "examples/subscribe.py").read_text()
    assert f"```python\n{code}```\n" in page
