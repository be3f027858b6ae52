"""Counts the meetings of each program from Ithaca's topics: each event once, corrections and late facts included.

    pip install aiokafka "cloudevents>=2.2"
    ITHACA_KAFKA=127.0.0.1:9092 python examples/subscribe.py meetings.sqlite

It goes on with what comes until Ctrl-C, and where it was when started again; with --once it ends where the topic ended at its start.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat

KAFKA = os.environ.get("ITHACA_KAFKA", "127.0.0.1:9092")
TOPIC = "scheduling"
STATES = {"ithaca.MeetingHeld": "held", "ithaca.MeetingMissed": "missed"}

# What we count, which events are in it, and how far we have read stand in one database and change in one transaction.
# So whatever is interrupted, no event is lost and none counts twice.
TABLES = """
create table if not exists seen (event_id text primary key);
create table if not exists meetings (meeting_id text primary key, program text, revision int, state text);
create table if not exists places (partition int primary key, next_offset int);
"""
# The highest revision of a meeting holds, whenever it arrives: a MeetingHeld corrects the MeetingMissed before it.
TAKE = """
insert into meetings values (:meeting_id, :program, :revision, :state) on conflict (meeting_id) do update
set revision = excluded.revision, state = excluded.state
where excluded.revision > revision or (excluded.revision = revision and excluded.state = 'held')
"""
COUNTS = "select program, state, count(*) from meetings group by program, state order by program, state"


def read(record: ConsumerRecord) -> BaseCloudEvent | None:
    """The record as a CloudEvent; None for one that can't be read, which must stop nobody."""
    message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
    try:
        return from_kafka(message, JSONFormat())
    except (BaseCloudEventException, ValueError, TypeError, AttributeError) as error:
        print(f"skipped {record.topic}/{record.partition}@{record.offset}: {type(error).__name__}", file=sys.stderr)
        return None


def take(database: sqlite3.Connection, event: BaseCloudEvent) -> None:
    """Types and fields we don't know are passed over: more are added in time, none is taken away."""
    if not database.execute("insert or ignore into seen values (?)", (event.get_id(),)).rowcount:
        return  # Ithaca may write an event twice after a crash, with the same id
    state, data = STATES.get(event.get_type()), event.get_data()
    if state and isinstance(data, Mapping):
        fields = {name: data[name] for name in ("meeting_id", "program", "revision")}
        database.execute(TAKE, fields | {"state": state})


async def main(path: str, *, once: bool) -> None:
    database = sqlite3.connect(path)
    database.executescript(TABLES)
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=KAFKA, enable_auto_commit=False)  # no group: all partitions are ours
    await consumer.start()
    try:
        known = dict(database.execute("select partition, next_offset from places"))
        ends = await consumer.end_offsets(consumer.assignment())
        for place in ends:
            consumer.seek(place, known.get(place.partition, 0))
        while not once or any([await consumer.position(place) < end for place, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=500)
            with database:
                for place, records in fetched.items():
                    for event in filter(None, map(read, records)):
                        take(database, event)
                    database.execute("insert or replace into places values (?, ?)", (place.partition, records[-1].offset + 1))
            if fetched:
                print(
                    *(f"{program} {state} {number}" for program, state, number in database.execute(COUNTS)), sep="\n", flush=True
                )
    finally:
        await consumer.stop()
        database.close()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--once"]
    try:
        asyncio.run(main(words[0] if words else "meetings.sqlite", once="--once" in sys.argv))
    except KeyboardInterrupt:
        print("Ended; the next run goes on from here.")
