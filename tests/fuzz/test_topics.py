"""Records of every kind straight onto each topic: the short form of `./ithaca bench fuzz`."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.chaos.ledger import Disagreements
from benchmarks.fuzz.records import Record, records
from benchmarks.fuzz.topics import Topics, drawn
from shared.cloudevents import Received
from shared.events import CATALOGUE, TOPICS

RECORDS, NUMBER = 60, 1

pytestmark = pytest.mark.timeout(300)


@dataclass
class Lying:
    """A record as Kafka's client gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple


def received(record: Record) -> Received:
    return Received(Lying(record.topic, record.partition, 7, record.key, record.value, record.headers), CATALOGUE)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(TOPICS)).flatmap(lambda topic: records(topic, {})))
def test_whatever_lies_on_a_topic_is_read_or_set_apart_with_a_reason(several):
    for record in several:
        read = received(record)
        assert (read.event is None) == (read.problem is not None)
        assert read.problem is not None or record.may_be_taken(CATALOGUE)
        assert "\x00" not in read.key


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_has_no_year_for_makes_its_record_unreadable(moment):
    """It stopped the consumer, which read it again and again."""
    headers = [("ce_type", b"ithaca.MeetingHeld"), ("ce_id", b"0198c0de-1111-7222-8333-444455556666")]
    value = f'{{"held_at": "{moment}"}}'.encode()
    read = received(Record("scheduling", 0, b"k", value, tuple(headers)))
    assert (read.event, read.problem) == (None, "unreadable: relationship_id Field required")
    whole = '"relationship_id": "0198c0de-1111-7222-8333-444455556667", "program": "a.b", "meeting_id": "0198c0de-1111-7222-8333-444455556668"'
    value = f'{{{whole}, "held_at": "{moment}", "minutes": 30, "attended": []}}'.encode()
    assert received(Record("scheduling", 0, b"k", value, tuple(headers))).problem.startswith("unreadable: held_at give a time")


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_bad_records_are_held_whole_and_good_ones_go_on(fuzzed, topic):
    topics = Topics(fuzzed)
    wrong = asyncio.run(topics.fuzz(topic, RECORDS, NUMBER))
    assert not wrong, str(wrong)
    assert set(topics.held[topic]) == set(TOPICS[topic].readers), "each reader holds some"


def test_the_comparison_finds_what_is_lost_and_what_is_not_whole(fuzzed):
    """The same records, had they been others than those that were sent."""
    topics, wrong = Topics(fuzzed), Disagreements()
    (first, *_) = drawn("rejections", 5, NUMBER, {})
    garbage = replace(first, key=b"\xff", value=b"as sent", headers=())

    async def compare() -> None:
        sent = await topics.send([garbage])
        assert await topics.read_by_all("rejections", sent, wrong)
        (place,) = sent
        told = {place: replace(garbage, value=b"not as sent"), ("rejections", 0, 10**9): garbage}
        await topics.compare("notifications", "rejections", told, {}, wrong)

    asyncio.run(compare())
    assert {kind: len(several) for kind, several in wrong.items()} == {"held, and not whole": 1, "neither held nor an event": 1}
