"""Promise 5: what can't be handled is kept in order per key, tried again, shown; what can't be read blocks nothing."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from shared import held, salvage
from shared.cloudevents import new_id
from shared.events import CATALOGUE
from shared.held import BUG_TRIES
from tests.conftest import waiting
from tests.core import ledger
from tests.core.rig import until
from tests.producing import encoded


async def hours_later(rig, hours):
    """The platform's clock moves on for this copy."""
    rig.database.clock._ahead += timedelta(hours=hours).total_seconds()


async def test_order_per_key_survives_retry_restart_and_a_move_to_another_copy(copies):
    a = await copies("a")
    pair = new_id()
    await a.give(ledger.meeting_held(pair, 1), ledger.meeting_held(pair, 2))
    await a.retry()
    await a.give(ledger.meeting_held(pair, 3))
    restarted = await copies("a")
    await restarted.give(ledger.meeting_held(pair, 4))
    b = await copies("b")
    await b.retry()
    await b.give(ledger.meeting_held(pair, 5), ledger.pair_created(pair), ledger.meeting_held(pair, 6))
    await a.see.execute("update scheduling.held_keys set due_at = '-infinity'")
    await asyncio.gather(a.drain(), b.drain())
    await b.give(ledger.meeting_held(pair, 7))
    row = await b.row(pair)
    assert (row["seen"], row["last"], row["said"], await b.held()) == (7, 7, [], [])
    assert [orjson.loads(f["payload"])["revision"] for f in await b.facts()] == list(range(1, 8))


async def test_a_batch_and_a_retrier_at_work_on_one_key_keep_its_order(copies):
    a, b = await copies("a"), await copies("b")
    pair = new_id()
    await a.give(ledger.meeting_held(pair, 1))
    await a.pair(pair)
    for n in range(2, 40):
        await b.see.execute("update scheduling.held_keys set due_at = '-infinity'")
        await asyncio.gather(a.give(ledger.meeting_held(pair, n)), b.drain())
        if n % 7 == 0:  # it must wait again
            await b.drain()
            await a.give(ledger.PairEnded(relationship_id=pair, program=ledger.PROGRAM, reason="goal_attained", side="system"))
            await a.give(ledger.meeting_held(pair, 1000 + n), ledger.pair_created(pair))
            await a.see.execute("update scheduling.pairs set last = $1", n)
            await a.see.execute("delete from scheduling.held")
            await a.see.execute("delete from scheduling.held_keys")
    await b.retry()
    assert (await a.row(pair))["said"] == []


async def test_a_batch_waits_for_the_retrier_that_has_its_key_in_hand(rig):
    """Else it would put its event into a queue that is being emptied."""
    pair = new_id()
    await rig.give(ledger.meeting_held(pair, 1))
    await rig.pair(pair)
    async with rig.see.transaction():
        await rig.see.execute("select from scheduling.held_keys for update")
        batch = asyncio.create_task(rig.give(ledger.meeting_held(pair, 2)))
        assert await until(lambda: waiting(rig.see))
        await rig.see.execute("update scheduling.pairs set seen = 1, last = 1; delete from scheduling.held_keys")
    await asyncio.wait_for(batch, 10)
    row = await rig.row(pair)
    assert (row["seen"], row["said"], await rig.held()) == (2, [], [])


async def test_what_is_awaited_makes_its_key_due_at_once(rig):
    """Without the wake-up the next try would be in a minute."""
    pair, other = new_id(), await rig.pair()
    await rig.give(ledger.meeting_held(pair, 1))
    for _ in range(8):
        await rig.retry()
    assert await rig.see.fetchval("select due_at > clock_timestamp() + interval '50 s' from scheduling.held_keys")
    running = asyncio.create_task(rig.retrier.run())
    try:
        assert await until(lambda: asyncio.sleep(0, rig.retrier.waiting))
        await rig.give(ledger.meeting_held(other, 1))
        started = time.perf_counter()
        await rig.pair(pair)
        assert await until(lambda: rig.see.fetchval("select seen = 1 from scheduling.pairs where id = $1", pair), 10, 0.01)
        assert time.perf_counter() - started < 5
    finally:
        running.cancel()


async def test_what_another_copy_begins_to_await_is_made_due_within_a_second(copies):
    """This copy, which saves it, learns what is awaited once a second, and still knows then what it saved meanwhile."""
    a, b = await copies("a"), await copies("b")
    waits, missed = new_id(), new_id()
    await a.give(ledger.meeting_held(waits, 1))
    running = asyncio.create_task(a.retrier.run())
    try:
        assert await until(lambda: asyncio.sleep(0, len(a.retrier._awaited or ()) == 1))
        await b.resync()
        await b.give(ledger.meeting_held(missed, 1))
        await a.see.execute("update scheduling.held_keys set due_at = clock_timestamp() + interval '1 hour'")
        await a.resync()
        await a.pair(missed)
        assert await until(lambda: a.see.fetchval("select seen = 1 from scheduling.pairs where id = $1", missed), 5)
        assert [key for _, _, key in await a.held()] == [str(waits)]
    finally:
        running.cancel()


@pytest.mark.parametrize("most", [1, 100])
async def test_many_keys_are_drained_together_whoever_remembers_what_they_await(rig, monkeypatch, most):
    monkeypatch.setattr(held, "MOST_AWAITED", most)
    pairs = [new_id() for _ in range(30)]
    await rig.give(*(ledger.meeting_held(pair, n) for n in (1, 2, 3) for pair in pairs))
    await rig.see.execute("update scheduling.held_keys set due_at = clock_timestamp() + interval '1 hour'")
    await rig.retrier.count()
    tries, real = [], rig.retrier._drain

    async def drained(*given):
        tries.append(given)
        return await real(*given)

    monkeypatch.setattr(rig.retrier, "_drain", drained)
    running = asyncio.create_task(rig.retrier.run())
    try:
        await rig.give(*map(ledger.pair_created, pairs))
        assert await until(lambda: rig.see.fetchval("select not exists (select from scheduling.held_keys)"))
    finally:
        running.cancel()
    rows = await rig.see.fetch("select seen, last, said from scheduling.pairs")
    assert {(r["seen"], r["last"], tuple(r["said"])) for r in rows} == {(3, 3, ())}
    assert len(tries) < 10


async def test_of_keys_drained_together_one_that_cannot_be_saved_keeps_no_other_waiting(rig):
    pairs = [new_id() for _ in range(5)]
    await rig.give(
        *(
            ledger.meeting_held(pair, n, ledger.UNSAVEABLE if (pair, n) == (pairs[2], 2) else ledger.MET)
            for n in (1, 2)
            for pair in pairs
        )
    )
    await rig.give(*map(ledger.pair_created, pairs))
    await rig.retry()
    assert [(await rig.row(pair))["seen"] for pair in pairs] == [2, 2, 1, 2, 2]
    assert [(state, key) for state, _, key in await rig.held()] == [("waits", str(pairs[2]))]


async def test_what_was_just_held_is_known_to_wait(rig):
    """The retrier looks once a second what waits; its own copy's need not be looked for."""
    await rig.give(ledger.meeting_held(new_id(), 1))
    assert rig.retrier.waiting


async def test_a_wake_up_while_the_retrier_has_the_key_in_hand_is_not_lost(rig):
    """It has seen that the pair isn't there, and hasn't committed yet that it goes on waiting."""
    pair = new_id()
    await rig.give(ledger.meeting_held(pair, 1))
    async with rig.see.transaction():
        await rig.see.execute("select from scheduling.held_keys for update")
        rig.retrier._saved = {(ledger.Pair, pair)}
        waking = asyncio.create_task(rig.retrier._make_due())
        await asyncio.sleep(0.2)
        await rig.see.execute("update scheduling.held_keys set due_at = clock_timestamp() + interval '1 minute'")
    await asyncio.wait_for(waking, 5)
    assert await rig.see.fetchval("select due_at <= clock_timestamp() from scheduling.held_keys")


async def test_after_an_hour_a_report_is_rejected_and_our_own_event_parked(rig):
    stranger, ours = new_id(), new_id()
    await rig.give(ledger.meeting_reported(stranger), ledger.meeting_reported(stranger), ledger.meeting_held(ours, 1))
    await hours_later(rig, 0.9)
    await rig.retry()
    assert len(await rig.held()) == 2
    await hours_later(rig, 0.2)
    await rig.retry()
    assert await rig.held() == [("parked", f"awaits Pair:{ours}", str(ours))]
    answers = [orjson.loads(a["payload"]) for a in await rig.facts("rejections")]
    assert [(a["reason"], a["report_id"]) for a in answers] == [("never_ready", "report-30")] * 2


async def test_each_event_has_its_own_hour(rig):
    """One that came behind another which had waited long is not refused at once."""
    pair = new_id()
    await rig.give(ledger.meeting_reported(pair))
    await hours_later(rig, 0.95)
    late = rig.record(ledger.meeting_reported(pair, ledger.WAITS_FOR_ANOTHER), 0)
    at = rig.database.clock.now().isoformat().encode()
    late.headers = [(n, at if n == "ce_recordedtime" else v) for n, v in late.headers]
    await rig.give(late)
    await rig.pair(pair)
    await hours_later(rig, 0.1)
    await rig.retry()
    assert (await rig.row(pair))["seen"] == 1
    assert (len(await rig.held()), await rig.facts("rejections")) == (1, [])
    await hours_later(rig, 1)
    await rig.retry()
    assert (await rig.held(), len(await rig.facts("rejections"))) == ([], 1)


MANGLED = {
    "no JSON": {"value": b"{broken"},
    "no bytes at all": {"value": None},
    "bytes that are no text": {"value": b"\xff\xfe\x00"},
    "another type's data": {"value": b'{"relationship_id": 5}'},
    "no key": {"key": None},
    "a key that is no text": {"key": b"\xff\xfe"},
    "a NUL in its key": {"key": b"ab\x00cd"},
    "a key longer than an index takes": {"key": b"k" * 5000},
    "no headers": {"headers": lambda hs: []},
    "no type": {"headers": lambda hs: [h for h in hs if h[0] != "ce_type"]},
    "a type that is no text": {"headers": lambda hs: [(n, b"\xff" if n == "ce_type" else v) for n, v in hs]},
    "a type with a NUL": {"headers": lambda hs: [(n, b"ithaca.\x00" if n == "ce_type" else v) for n, v in hs]},
    "an empty header": {"headers": lambda hs: [*hs, ("ce_type", None)]},
    "no id": {"headers": lambda hs: [h for h in hs if h[0] != "ce_id"]},
    "an id that is none": {"headers": lambda hs: [(n, b"17" if n == "ce_id" else v) for n, v in hs]},
    "a type of the future": {"headers": lambda hs: [(n, b"ithaca.PairTeleported" if n == "ce_type" else v) for n, v in hs]},
    "a type of endless length": {"headers": lambda hs: [(n, b"x" * 9000 if n == "ce_type" else v) for n, v in hs]},
}


@pytest.mark.parametrize("how", MANGLED)
async def test_what_cannot_be_read_is_parked_and_blocks_nothing(rig, how):
    pair = await rig.pair()
    more = dict(MANGLED[how])
    bad = rig.record(ledger.meeting_held(pair, 1), 0, **more)
    await asyncio.wait_for(rig.give(ledger.meeting_held(pair, 1), bad, ledger.meeting_held(pair, 2)), 10)
    await rig.give(ledger.meeting_held(pair, 3))
    assert ((await rig.row(pair))["seen"], (await rig.row(pair))["said"]) == (3, [])
    ((state, reason, key),) = await rig.held()
    assert (state, key.endswith("@0:1")) == ("parked", True)
    assert reason.startswith(("unreadable: ", "unknown type"))
    assert await rig.drain() == 0
    row = await rig.see.fetchrow("select * from scheduling.held")
    assert row["body"] == bad.value
    assert len(orjson.loads(row["headers"])) == len(bad.headers)


async def test_an_odd_header_beside_ours_hurts_nobody(rig):
    pair = await rig.pair()
    await rig.give(rig.record(ledger.meeting_held(pair, 1), 0, headers=lambda hs: [*hs, ("x", None), ("y", b"\xff"), ("", b"")]))
    await rig.give(rig.record(ledger.meeting_held(pair, 2, ledger.BUG), 0, headers=lambda hs: [*hs, ("x", None)]))
    assert ((await rig.row(pair))["seen"], [s for s, _, _ in await rig.held()]) == (1, ["waits"])
    await rig.retry()
    assert orjson.loads(await rig.see.fetchval("select headers from scheduling.held"))[-1] == ["x", None]


def odd_names(pair, revision):
    """A batch of three records as the producer of another language may send it; the middle one's header has a name in Latin-1."""

    class Latin(str):
        __slots__ = ()

        def encode(self, *_):
            return "schlüssel".encode("latin-1")

    builder = _DefaultRecordBatchBuilderPy(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=100_000
    )
    for n in range(3):
        key, headers, value = encoded(ledger.meeting_held(pair, revision + n), organization="acme", program="acme.first")
        headers += [(Latin("x"), b"1")] if n == 1 else []
        assert builder.append(n, timestamp=int(time.time() * 1000), key=key, value=value, headers=headers)
    return key, builder


async def test_a_header_whose_name_is_not_utf8_stops_no_consumer(lane, see, monkeypatch):
    """aiokafka raises UnicodeDecodeError for the whole batch, again and again."""
    monkeypatch.setattr(salvage.fetcher, "MemoryRecords", salvage.fetcher.MemoryRecords)
    pair = new_id()
    await lane.send(ledger.pair_created(pair), ledger.meeting_held(pair, 1))
    (partition,) = {record.partition for record in await lane.records(2)}
    producer = AIOKafkaProducer(bootstrap_servers=lane.stage.kafka)
    await producer.start()
    _, builder = odd_names(pair, 2)
    batch = producer.create_batch()
    batch._builder, batch._relative_offset = builder, 3
    await (await producer.send_batch(batch, lane.topic, partition=partition))
    await producer.stop()
    await lane.send(ledger.meeting_held(pair, 5))
    async with lane.service("a").running():
        assert await until(lambda: see.fetchval("select seen = 5 from scheduling.pairs"))
    assert await see.fetchval("select said from scheduling.pairs") == []


@pytest.mark.parametrize("how", ["gzip", "snappy", "lz4", "zstd"])
async def test_whoever_writes_may_compress_as_they_like(lane, see, how):
    event = ledger.pair_created(new_id())
    key, headers, payload = encoded(event, organization=ledger.ORGANIZATION, program=ledger.PROGRAM)
    producer = AIOKafkaProducer(bootstrap_servers=lane.stage.kafka, compression_type=how)
    await producer.start()
    await producer.send_and_wait(lane.topic, payload, key=key, headers=headers)
    await producer.stop()
    async with lane.service("a").running():
        assert await until(lambda: see.fetchval("select exists (select from scheduling.pairs)"))


def teleported(rig, pair):
    """An event of a type that only the next version knows, sent twice by its relay."""
    of_type = [("ce_type", b"ithaca.PairTeleported")]
    event_id = new_id()
    return [
        rig.record(
            ledger.meeting_held(pair, 1),
            0,
            event_id=event_id,
            headers=lambda hs: [h for h in hs if h[0] != "ce_type"] + of_type,
        )
        for _ in range(2)
    ]


async def test_a_type_of_the_future_is_replayed_once_by_a_version_that_knows_it(copies, monkeypatch):
    old = await copies("a")
    pair = await old.pair()
    first, resent = teleported(old, pair)
    await old.give(first)
    await old.give(resent)
    assert [(state, reason) for state, reason, _ in await old.held()] == [("parked", "unknown type")]

    def build(settings, topics):
        service = ledger.build(settings, topics)
        service.work.wanted["ithaca.PairTeleported"] = ledger.MeetingHeld
        service.work.events["ithaca.PairTeleported"] = service.work.events[ledger.MeetingHeld.TYPE]
        return service

    monkeypatch.setitem(CATALOGUE, "ithaca.PairTeleported", ledger.MeetingHeld)
    new = await copies("a", build=build)
    running = asyncio.create_task(new.retrier.run())
    assert await until(lambda: new.see.fetchval("select not exists (select from scheduling.held_keys)"))
    running.cancel()
    assert (await new.row(pair))["seen"] == 1


async def test_a_type_that_is_known_now_but_not_wanted_is_let_go(copies, monkeypatch):
    old = await copies("a")
    await old.give(teleported(old, await old.pair())[0])
    monkeypatch.setitem(CATALOGUE, "ithaca.PairTeleported", ledger.MeetingHeld)
    running = asyncio.create_task((await copies("a")).retrier.run())
    assert await until(lambda: old.see.fetchval("select not exists (select from scheduling.held_keys)"))
    running.cancel()


async def test_what_an_older_version_cannot_read_in_a_queue_is_not_dropped_from_it(copies):
    """After a step back to the version before."""
    rig = await copies()
    pair = new_id()
    await rig.give(*(ledger.meeting_held(pair, n) for n in (1, 2, 3)))
    await rig.see.execute("update scheduling.held set body = '{}' where seq = (select min(seq) + 1 from scheduling.held)")
    await rig.pair(pair)
    for _ in range(BUG_TRIES + 1):
        await rig.retry()
    assert (await rig.row(pair))["seen"] == 1
    assert await rig.see.fetchval("select count(*) from scheduling.held") == 2
    ((state, reason, _),) = await rig.held()
    assert (state, reason[:11]) == ("parked", "unreadable:")


async def test_a_long_queue_is_drained_to_its_end(rig):
    pair = new_id()
    for start in range(1, 1200, 400):
        await rig.give(*(ledger.meeting_held(pair, n) for n in range(start, start + 400)))
    await rig.pair(pair)
    await rig.retry()
    row = await rig.row(pair)
    assert (row["seen"], row["said"], await rig.held()) == (1200, [], [])


async def test_what_is_held_is_on_show(rig):
    await rig.give(ledger.meeting_held(new_id(), 1), rig.record(ledger.meeting_held(new_id(), 1), 0, value=b"{"))
    await rig.retrier.count()
    metric = rig.service.telemetry.metrics.held
    assert [metric.labels(state)._value.get() for state in ("waits", "parked")] == [1, 1]
    assert rig.database.clock.now() - datetime.now(UTC) < timedelta(seconds=5)
