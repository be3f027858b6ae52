"""Promise 6: a timer fires once, when everything from before its time has been read; moved and cleared ones never do."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition

from shared.cloudevents import new_id
from shared.timers import DUE, TAKE
from shared.work import TIMER_UPSERT
from tests.conftest import waiting
from tests.core import ledger
from tests.core.rig import until

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
LONG_AGO = datetime(2026, 2, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


async def fire(rig):
    """Whatever may fire now; how many did."""
    total = 0
    while fired := await rig.timers.fire_due():
        total += fired
    return total


async def arm(rig, kind, key, owner, at=LONG_AGO):
    row = (kind, str(key), str(owner), at, "acme", "acme.first", new_id(), "")
    await rig.see.execute(TIMER_UPSERT.replace("into timers", "into scheduling.timers"), *([value] for value in row))


async def said(rig, pair):
    return (await rig.row(pair))["said"]


async def test_a_timer_waits_until_all_partitions_were_read_past_its_time(rig):
    pair = await rig.pair()
    met = datetime.now(UTC) - 2 * DAY
    await rig.give(ledger.meeting_reported(pair, at=met))
    assert await rig.timers.fire_due() is None, "partitions are missing"
    await rig.read_until(met + DAY - timedelta(seconds=1))
    assert await rig.timers.fire_due() is None, "read, but not past it"
    await rig.read_until(met + DAY + timedelta(seconds=1))
    await rig.see.execute("update scheduling.positions set read_until = '-infinity' where topic = 'reports' and partition = 3")
    assert await rig.timers.fire_due() is None, "one partition lags"
    await rig.read_until(met + DAY + timedelta(seconds=1))
    assert await fire(rig) == 1
    assert await said(rig, pair) == [f"quiet since {met + DAY:%Y-%m-%d}"]
    assert await fire(rig) == 0


async def test_a_moved_or_cleared_timer_never_fires(rig):
    moved, cleared, past = await rig.pair(), await rig.pair(), datetime.now(UTC) - 3 * DAY
    await rig.give(ledger.meeting_reported(moved, at=past), ledger.meeting_reported(cleared, at=past))
    await rig.give(ledger.meeting_reported(moved, at=datetime.now(UTC)), ledger.contact_logged(cleared))
    await rig.read_until(FAR)
    assert await fire(rig) == 0
    assert (await said(rig, moved), await said(rig, cleared)) == ([], ["in touch"])
    assert await rig.see.fetchval("select count(*) from scheduling.timers") == 1


async def test_a_timer_moved_or_cleared_while_it_is_about_to_fire_doesnt(rig):
    """It was read as due; the event that clears it holds the pair's row and commits first."""
    pairs = [await rig.pair() for _ in range(2)]
    await rig.give(*(ledger.meeting_reported(pair, at=LONG_AGO) for pair in pairs))
    await rig.read_until(FAR)
    async with rig.see.transaction():
        await rig.see.execute("select from scheduling.pairs for update")
        firing = asyncio.create_task(rig.timers.fire_due())
        assert await until(lambda: waiting(rig.see))
        await rig.see.execute("delete from scheduling.timers where key = $1", str(pairs[0]))
        await rig.see.execute("update scheduling.timers set fire_at = $1", FAR)
    await firing
    assert [await said(rig, pair) for pair in pairs] == [[], []]
    assert await rig.see.fetchval("select fire_at from scheduling.timers") == FAR


async def test_two_copies_fire_each_timer_once(copies):
    a, b = await copies("a"), await copies("b")
    pairs = [await a.pair() for _ in range(120)]
    await a.give(*(ledger.meeting_reported(pair, at=LONG_AGO) for pair in pairs))
    for copy in (a, b):  # both believe that all slices are theirs, as in a rebalance
        await copy.read_until(FAR)
    await asyncio.gather(fire(a), fire(b), fire(a), fire(b))
    rows = await a.see.fetch("select said, revision from scheduling.pairs")
    assert [(len(r["said"]), r["revision"]) for r in rows] == [(1, 1)] * 120


async def test_copies_share_timers_as_they_share_partitions(copies):
    a, b = await copies("a"), await copies("b")
    pairs = [await a.pair() for _ in range(60)]
    await a.give(*(ledger.meeting_reported(pair, at=LONG_AGO) for pair in pairs))
    for copy, own in ((a, range(5)), (b, range(5, 12))):
        await copy.read_until(FAR)
        copy.consumer.start = {("matching", p): 0 for p in own}
    first, second = await fire(a), await fire(b)
    assert 0 < first < 60
    assert first + second == 60


async def test_a_timer_survives_a_restart(copies):
    a = await copies("a")
    pair = await a.pair()
    await a.give(ledger.meeting_reported(pair, at=LONG_AGO))
    a.stop()
    again = await copies("a")
    await again.read_until(FAR)
    assert await fire(again) == 1


async def test_a_timer_that_fails_stays_and_shows_and_the_others_fire(rig):
    pair, gone = await rig.pair(), new_id()
    await arm(rig, "quiet", gone, gone)
    await arm(rig, "quiet", pair, pair)
    await rig.read_until(FAR)
    before = rig.database.clock.now()
    assert await fire(rig) == 2
    assert len(await said(rig, pair)) == 1
    row = await rig.see.fetchrow("select * from scheduling.timers")
    assert (row["key"], row["owner"], row["organization"]) == (str(gone), str(gone), "acme")
    assert timedelta(seconds=59) < row["fire_at"] - before < timedelta(seconds=70)
    assert rig.service.telemetry.metrics.failed.labels("timer:quiet", "bug")._value.get() == 1


async def test_a_timer_whose_work_cannot_be_saved_keeps_no_other_waiting(rig):
    pairs = [await rig.pair() for _ in range(9)]
    for n, pair in enumerate(pairs):
        await arm(rig, "spoil" if n == 4 else "quiet", pair, pair)
    await rig.read_until(FAR)
    assert await fire(rig) == 9
    assert [len(await said(rig, pair)) for pair in pairs] == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert [tuple(r) for r in await rig.see.fetch("select kind, key from scheduling.timers")] == [("spoil", str(pairs[4]))]
    assert rig.service.telemetry.metrics.failed.labels("timer:spoil", "bug")._value.get() == 1


async def test_a_kind_of_timer_from_a_newer_version_is_left_to_it(rig):
    pair = await rig.pair()
    await arm(rig, "nap", pair, pair, LONG_AGO - DAY)
    await arm(rig, "quiet", pair, pair)
    await rig.read_until(FAR)
    assert await fire(rig) == 1
    assert await rig.see.fetchval("select kind from scheduling.timers") == "nap"


async def test_each_key_has_a_slice(rig):
    """hashtext gives the smallest integer for one key in four billion; abs() of it is an error for all that are due."""
    found = await rig.see.fetchval(
        "select (hashtext('x') & 2147483647) % 12 between 0 and 11 and (-2147483648 & 2147483647) % 12 = 0"
    )
    assert found
    assert "abs(" not in DUE


async def test_many_timers_of_one_moment_are_taken_by_their_keys(rig):
    """A thousand may be due at midnight: looking for each among all of its moment took 40 ms for five hundred."""
    await rig.see.execute(
        "set search_path = scheduling; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off"
    )
    many = "insert into timers (kind, key, owner, fire_at) select 'quiet', n::text, n::text, {} from generate_series({}, {}) n"
    await rig.see.execute(many.format("timestamptz '2027-01-01' + n * interval '1 s'", 1, 20_000))
    await rig.see.execute("analyze timers")
    await rig.see.execute(many.format("timestamptz '2026-01-01'", 20_001, 21_000))
    due = [str(n) for n in range(20_001, 20_501)]
    plan = await rig.see.fetch(f"explain {TAKE}", ["quiet"] * 500, due, [datetime(2026, 1, 1, tzinfo=UTC)] * 500)
    assert "timers_pkey" in str(plan)
    assert "timers_due" not in str(plan)


async def test_what_was_written_after_kafka_was_asked_counts_as_unread(rig):
    """Its answer may lie unread while we are busy, and "we met" be written meanwhile."""
    consumer, clock, place = rig.consumer, rig.database.clock, ("scheduling", 0)
    ends = {TopicPartition(*other): at for other, at in consumer.start.items()}

    class Kafka:
        async def end_offsets(self, places):
            clock._ahead += 100
            return {other: ends[other] for other in places}

    async def until_when():
        async with rig.database.transaction() as connection:
            await consumer.write_read_until(connection)
        return await rig.see.fetchval("select read_until from scheduling.positions where topic = $1 and partition = $2", *place)

    consumer._consumer = consumer.ends._client = Kafka()
    before = clock.now()
    await consumer.ask_ends()
    first = await until_when()
    assert before - SECOND < first < clock.now() - 100 * SECOND
    ends[TopicPartition(*place)] += 2
    await consumer.ask_ends()
    asked = clock.now() - 100 * SECOND
    assert await until_when() == first, "two are on the topic, and not read"
    await rig.give(ledger.pair_created(new_id()), ledger.contact_logged(await rig.pair()))
    await rig.give(ledger.contact_logged(await rig.pair()))
    ends[TopicPartition(*place)] += 7
    await consumer.ask_ends()
    assert asked - SECOND < await until_when() < asked + SECOND, "read as far as was asked for, though there is more by now"


@pytest.mark.chaos
async def test_after_kafkas_outage_what_was_said_is_read_before_a_timer_decides(lane, stage, see, platform):
    """A pair said in time that they met; the fact lies on the topic when Kafka stops; the timer comes due; no false alarm."""
    pair, quiet = new_id(), new_id()
    await lane.send(ledger.pair_created(pair), ledger.pair_created(quiet))
    await lane.send(*(ledger.meeting_reported(p, at=datetime.now(UTC)) for p in (pair, quiet)))
    async with lane.service("a").running():
        assert await until(lambda: see.fetchval("select count(*) = 2 from scheduling.timers"))
    await lane.send(ledger.contact_logged(pair))
    await asyncio.to_thread(platform.kill, "kafka")
    try:
        await stage.move_clock(timedelta(days=3))
        async with lane.service("a").running():
            await asyncio.sleep(1.5)  # what must not happen has time to
            assert await see.fetchval("select count(*) from scheduling.timers") == 2
            await asyncio.to_thread(platform.restart, "kafka")
            assert await until(lambda: see.fetchval("select count(*) = 0 from scheduling.timers"), 40)
    finally:
        with contextlib.suppress(Exception):
            if "kafka" not in platform.pids:
                await asyncio.to_thread(platform.restart, "kafka")
    told = {r["id"]: r["said"] for r in await see.fetch("select id, said from scheduling.pairs")}
    assert told[pair] == ["in touch"]
    assert len(told[quiet]) == 1
    assert told[quiet][0].startswith("quiet")


async def test_a_timer_fires_soon_after_it_is_due_and_armed_at_once(lane, see):
    """It isn't late by polls: read past, then fired."""
    pair = new_id()
    async with lane.service("a").running() as service:
        await lane.send(ledger.pair_created(pair))
        assert await until(lambda: see.fetchval("select count(*) = 1 from scheduling.pairs"))
        await service.work.act(ledger.touch(pair))
        assert await until(lambda: see.fetchval("select said[1] from scheduling.pairs"), 5)


async def test_without_kafka_a_due_timer_is_looked_at_ever_more_seldom(rig, monkeypatch):
    pair = await rig.pair()
    await rig.give(ledger.meeting_reported(pair, at=LONG_AGO))
    looks, real = [], rig.timers.fire_due

    async def looked():
        looks.append(1)
        return await real()

    monkeypatch.setattr(rig.timers, "fire_due", looked)
    running = asyncio.create_task(rig.timers.run())
    await asyncio.sleep(2)  # so long it must not turn on the spot
    running.cancel()
    assert 2 <= len(looks) <= 8
