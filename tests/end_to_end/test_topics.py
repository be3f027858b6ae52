"""What the five services leave behind: every record can be read by others, and nobody is named where nobody may be."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator, FormatChecker

from deploy.demo import sample
from deploy.local.state import CHECKOUT
from shared.events import SERVICES, TOPICS
from tests.end_to_end.conftest import Lived

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

WRITTEN = ("Run my first project on my own", "Ask whether I may lead the retrospective")
"""What the story's people write."""
AN_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}")


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads((CHECKOUT / "docs/schemas" / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    formats = FormatChecker(["uuid"])
    formats.checks("date-time", raises=ValueError)(
        lambda said: not isinstance(said, str) or bool(datetime.fromisoformat(said).tzinfo)
    )
    return Draft202012Validator(schema, format_checker=formats)


@cache
def telling() -> re.Pattern[str]:
    """Whatever says who someone is: the sample's names, whole and in parts, their addresses, and what they wrote."""
    people = [data for _, data in sample.people()] + [sample.late_joiner()]
    words = {part for data in people for part in (data["name"], *data["name"].split(), data["email"])}
    return re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(words | {*WRITTEN}, key=len, reverse=True)))


def found_in(text: str) -> list[str]:
    return telling().findall(text) + AN_ADDRESS.findall(text)


@pytest.fixture(scope="module")
async def records(lived: Lived) -> list[ConsumerRecord]:
    """Every record of every topic."""
    places = [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=lived.platform.addresses["kafka"], enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        read: list[ConsumerRecord] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            read += [record for several in (await consumer.getmany(timeout_ms=500)).values() for record in several]
    finally:
        await consumer.stop()
    written = {record.topic for record in read}
    assert written == TOPICS.keys() - {"rejections"}, written
    assert len(read) > 500
    return read


def parts(record: ConsumerRecord) -> Iterator[tuple[str, str]]:
    """Everything in a record that is text."""
    yield "key", (record.key or b"").decode()
    yield "value", (record.value or b"").decode()
    for name, value in record.headers:
        yield name, (value or b"").decode()


def test_every_record_is_a_cloudevent_that_fits_its_schema(records):
    faults = []
    for record in records:
        event = from_kafka(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value), JSONFormat())
        assert event.get_specversion() == "1.0"
        assert event.get_datacontenttype() == "application/json"
        assert isinstance(event.get_time(), datetime)
        assert event.get_source().rpartition("/")[2] in SERVICES
        assert event.get_extension("partitionkey") == record.key.decode()
        fits = validator(event.get_type().removeprefix("ithaca."))
        faults += [f"{event.get_type()} {fault.json_path}: {fault.validator}" for fault in fits.iter_errors(event.get_data())]
    assert not faults, faults[:10]


def test_nobody_is_named_on_any_topic_but_people(records):
    told = [
        f"{record.topic}/{record.partition}@{record.offset} {where}: {words[:3]}"
        for record in records
        if record.topic != "people"
        for where, text in parts(record)
        if (words := found_in(text))
    ]
    assert not told, told[:10]


def test_people_are_named_on_people_in_the_value_alone(records):
    """Which shows too that the search finds what there is."""
    on_people = [record for record in records if record.topic == "people"]
    named = {word for record in on_people for where, text in parts(record) if where == "value" for word in found_in(text)}
    everybody = [data for _, data in sample.people() if data["time_zone"] != "Europe/Lodnon"] + [sample.late_joiner()]
    assert {data["name"] for data in everybody} <= named
    assert {data["email"] for data in everybody} <= named
    assert not [text for record in on_people for where, text in parts(record) if where != "value" and found_in(text)]


def test_nobody_is_named_in_any_log(lived):
    told, lines = [], 0
    for log in sorted((lived.platform.home / "log").glob("*.log")):
        for number, line in enumerate(log.read_text(errors="replace").splitlines(), 1):
            lines += 1
            if words := found_in(line):
                told.append(f"{log.name}:{number}: {words[:3]}")
    assert lines > 50
    assert not told, told[:10]


async def test_one_trace_leads_through_all_five_services(lived, http):
    zipkin = lived.platform.addresses["zipkin"]
    spans: list[dict[str, Any]] = (await http.get(f"{zipkin}/api/v2/trace/{lived.result['trace_id']}")).json()
    assert {span["localEndpoint"]["serviceName"] for span in spans} == set(SERVICES)
    assert lived.result["trace_services"] == list(SERVICES)
    known = {span["id"] for span in spans}
    roots = [span for span in spans if span.get("parentId") not in known]
    assert [span["name"] for span in roots] == ["post /v1/events"]


async def test_nobody_is_named_in_any_span(lived, http):
    zipkin = lived.platform.addresses["zipkin"]
    told, seen = [], 0
    for service in SERVICES:
        asked = {"serviceName": service, "limit": 10_000, "lookback": 86_400_000}
        for trace in (await http.get(f"{zipkin}/api/v2/traces", params=asked)).json():
            for span in trace:
                seen += 1
                if words := found_in(json.dumps(span, ensure_ascii=False)):
                    told.append(f"{span['localEndpoint']['serviceName']} {span['name']}: {words[:3]}")
    assert seen > 500
    assert not told, told[:10]
