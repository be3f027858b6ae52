"""Promise 1: positions and the inbox stand in the transaction of what they count, so nothing is lost and nothing counts twice."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.cloudevents import new_id
from shared.service import keep_inbox
from tests.conftest import waiting
from tests.core import ledger
from tests.core.rig import until


def id_of(moment: datetime) -> UUID:
    """A UUIDv7 as it would have been made then."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | random.getrandbits(61))


async def nothing_under_way(rig):
    """Whether what was cancelled has ended at the server, too: a COMMIT on its way there still counts."""
    others = "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'"
    return not await rig.see.fetchval(f"select exists ({others})")


async def test_a_batch_cancelled_at_any_moment_is_all_or_nothing(rig):
    started = time.perf_counter()
    pair, sent, given = await rig.pair(), 0, 0
    whole = (time.perf_counter() - started) * 1.5  # a batch's time on this machine, today
    n = 0
    while n < 60 or not 0 < sent < given:  # longer waits where it has become busier since
        meetings = [ledger.meeting_held(pair, sent + 1), ledger.meeting_held(pair, sent + 2)]
        task = asyncio.create_task(rig.give(*meetings))
        await asyncio.sleep(whole * n / 60)
        task.cancel()
        n, given = n + 1, given + 2
        await asyncio.gather(task, return_exceptions=True)
        assert await until(lambda: nothing_under_way(rig))
        await rig.resync()
        row, at = await rig.row(pair), rig.consumer.start["scheduling", 0]
        assert row["seen"] == at == await rig.see.fetchval("select count(*) from scheduling.outbox")
        sent = row["seen"]
    assert (await rig.row(pair))["said"] == []


async def test_a_service_killed_in_mid_batch_goes_on_where_it_was(lane, see):
    pairs = [new_id() for _ in range(20)]
    await lane.send(*map(ledger.pair_created, pairs), *(ledger.meeting_held(p, n) for n in range(1, 101) for p in pairs))
    for kill_at in (300, 900, None):
        service = lane.service("a")
        service.consumer.batch = 100

        async def counted(least=kill_at or 2000):
            return (await see.fetchval("select sum(seen) from scheduling.pairs") or 0) >= least

        with contextlib.suppress(asyncio.CancelledError):
            async with service.running():
                assert await until(counted)
                if kill_at:
                    for task in service._tasks.values():
                        task.cancel()
    rows = await see.fetch("select seen, said, revision from scheduling.pairs")
    assert [(r["seen"], r["said"], r["revision"]) for r in rows] == [(100, [], 100)] * 20


async def test_a_restored_older_database_reads_again_what_it_lost(lane, stage, see):
    pair = new_id()
    before = [ledger.pair_created(pair), *(ledger.meeting_held(pair, n) for n in range(1, 11))]
    service = lane.service("a")
    async with service.running():
        await lane.send(*before)
        assert await until(lambda: see.fetchval("select sum(seen) = 10 from scheduling.pairs"))
    await see.execute(
        "drop schema if exists kept cascade; create schema kept; create table kept.positions as table scheduling.positions"
    )
    await see.execute("create table kept.inbox as table scheduling.inbox; create table kept.pairs as table scheduling.pairs")
    async with lane.service("a").running() as service:
        await lane.send(*(ledger.meeting_held(pair, n) for n in range(11, 21)))
        assert await until(lambda: see.fetchval("select sum(seen) = 20 from scheduling.pairs"))

        async def committed():
            return (
                sum([await service.consumer._consumer.committed(tp) or 0 for tp in service.consumer._consumer.assignment()]) == 21
            )

        assert await until(committed), "Kafka's own commit stands at the end"
    for table in ("positions", "inbox", "pairs"):
        await see.execute(f"truncate scheduling.{table}; insert into scheduling.{table} table kept.{table}")
    async with lane.service("a").running():
        assert await until(lambda: see.fetchval("select sum(seen) = 20 from scheduling.pairs"))
    assert await see.fetchval("select said from scheduling.pairs") == []


async def test_a_frozen_copy_that_wakes_in_its_batch_is_fenced(lane, stage, see):
    """SIGSTOP a copy whose transaction is open; another takes its partitions over; then the first goes on."""
    pairs = [new_id() for _ in range(8)]
    settings = stage.settings("scheduling", "frozen")
    env = {
        **os.environ,
        "PYTHONPATH": str(Path.cwd()),
        "ITHACA_KAFKA": settings.kafka,
        "ITHACA_DATABASE": settings.database,
        "ITHACA_HTTP": "127.0.0.1:0",
        "ITHACA_COPY": "frozen",
        "LEDGER_SESSION_MS": "6000",
        "LEDGER_GROUP": lane.topic,
    }
    child = subprocess.Popen([sys.executable, "-m", "tests.core.ledger", lane.topic], env=env)
    try:
        await lane.send(*map(ledger.pair_created, pairs))
        assert await until(lambda: see.fetchval("select count(*) = 8 from scheduling.pairs"))
        # Its next batch waits for a row that we hold: in the middle of its transaction, positions moved.
        async with see.transaction():
            await see.execute("select from scheduling.pairs for update")
            await lane.send(*(ledger.meeting_held(p, n) for n in range(1, 6) for p in pairs))
            assert await until(lambda: waiting(see))
            child.send_signal(signal.SIGSTOP)
        second = lane.service("second")
        second.consumer.session_ms = 6000
        async with second.running():

            async def counted():
                return await see.fetchval("select sum(seen) from scheduling.pairs") == 40

            assert await until(counted, 25), await see.fetch("select * from scheduling.positions where next_offset > 0")
            child.send_signal(signal.SIGCONT)
            await lane.send(*(ledger.meeting_held(p, n) for n in range(6, 11) for p in pairs))

            async def more():
                return await see.fetchval("select sum(seen) from scheduling.pairs") >= 80

            assert await until(more)
            rows = await see.fetch("select seen, last, said, revision from scheduling.pairs")
            assert [tuple(r) for r in rows] == [(10, 10, [], 10)] * 8
    finally:
        child.kill()
        child.wait(5)


async def test_two_copies_at_one_position_count_once(copies):
    """The second finds that the position was moved, and gives its batch up."""
    a, b = await copies("a"), await copies("b")
    pair = await a.pair()
    await b.resync()
    meetings = [ledger.meeting_held(pair, n) for n in (1, 2, 3)]
    ids = [new_id() for _ in meetings]
    await asyncio.gather(a.give(*meetings, ids=ids), b.give(*meetings, ids=[new_id() for _ in meetings]))
    assert (await a.row(pair))["seen"] == 3
    assert sorted([a.consumer.seen, b.consumer.seen]) == [-1, 0], "one of them looks its positions up again"


async def test_a_relays_resend_is_dropped_in_its_batch_later_and_after_a_restart(copies):
    rig = await copies()
    pair, event_id = await rig.pair(), new_id()
    meeting = ledger.meeting_held(pair, 1)
    await rig.give(meeting, meeting, ids=[event_id, event_id])
    await rig.give(meeting, ids=[event_id])
    again = await copies("a")
    await again.give(meeting, ledger.meeting_held(pair, 2), ids=[event_id, new_id()])
    row = await rig.row(pair)
    assert (row["seen"], row["last"], row["said"]) == (2, 2, [])
    assert rig.service.telemetry.metrics.duplicates._value.get() == 2


async def test_the_inbox_has_a_partition_a_day_and_forgets_after_fourteen(rig):
    async def days():
        rows = await rig.see.fetch("select relname from pg_class where relname ~ '^inbox_2031[0-9]+$' order by 1")
        return [r[0] for r in rows]

    start = datetime(2031, 3, 1, 13, 30, tzinfo=UTC)
    async with rig.database.transaction() as connection:
        for day in range(17):
            await keep_inbox(connection, start + timedelta(days=day))
            name = f"inbox_{start + timedelta(days=day):%Y%m%d}"
            event_id = id_of(start + timedelta(days=day))
            await connection.execute("insert into inbox values ($1)", event_id)
            assert await connection.fetchval("select tableoid::regclass::text from inbox where event_id = $1", event_id) == name
    kept = await days()
    assert (kept[0], kept[-1]) == ("inbox_20310302", "inbox_20310319"), (
        "fifteen days back, so that fourteen are whole, and two ahead"
    )


async def test_a_day_gets_its_partition_though_ids_of_that_day_came_before_it(rig):
    """A copy that consumes before the partitions are made, or a writer whose clock is ahead, leaves ids in the default one."""
    ahead = datetime.now(UTC) + timedelta(days=4)
    early = id_of(ahead)
    async with rig.database.transaction() as connection:
        await connection.execute("insert into inbox values ($1)", early)
    async with rig.database.transaction() as connection:
        await keep_inbox(connection, ahead)
    table = await rig.see.fetchval("select tableoid::regclass::text from scheduling.inbox where event_id = $1", early)
    assert table == f"scheduling.inbox_{ahead:%Y%m%d}"


async def test_the_default_partition_does_not_grow_for_ever(rig):
    now = datetime.now(UTC)
    old, young = id_of(now - timedelta(days=40)), id_of(now - timedelta(days=10))
    await rig.see.execute("insert into scheduling.inbox values ($1), ($2)", old, young)
    await rig.see.execute("update scheduling.positions set history = true where topic = 'reports'")
    async with rig.database.transaction() as connection:
        await keep_inbox(connection, now)
    assert await rig.see.fetchval("select count(*) from scheduling.inbox") == 2, "the first catch-up needs it"
    await rig.see.execute("update scheduling.positions set history = false")
    async with rig.database.transaction() as connection:
        await keep_inbox(connection, now)
    assert [r[0] for r in await rig.see.fetch("select event_id from scheduling.inbox")] == [young]


async def test_an_event_older_than_the_inbox_is_held_and_never_handled(rig):
    pair, event_id = await rig.pair(), id_of(datetime.now(UTC) - timedelta(days=15))
    await rig.give(ledger.meeting_held(pair, 1), ledger.meeting_held(pair, 2), ids=[event_id, new_id()])
    row = await rig.row(pair)
    assert (row["seen"], row["last"]) == (1, 2)
    ((state, reason, key),) = await rig.held()
    assert (state, reason, key) == ("parked", "older than the inbox (14 days)", f"{pair}@0:0")


async def test_an_old_event_is_handled_while_a_new_service_reads_history(rig):
    pair = await rig.pair()
    rig.consumer._history = {("scheduling", 0)}
    await rig.give(ledger.meeting_held(pair, 1), ids=[id_of(datetime.now(UTC) - timedelta(days=400))])
    assert (await rig.row(pair))["seen"] == 1
    assert await rig.held() == []


async def test_an_old_event_keeps_its_name_when_its_batch_runs_again(rig, monkeypatch):
    pair = await rig.pair()
    real, fails = rig.work.decide, [ConnectionResetError(), TimeoutError()]

    async def flaky(*args, **more):
        if fails:
            raise fails.pop()
        return await real(*args, **more)

    monkeypatch.setattr(rig.work, "decide", flaky)
    await rig.give(ledger.meeting_held(pair, 1), ids=[id_of(datetime.now(UTC) - timedelta(days=15))])
    assert [key for _, _, key in await rig.held()] == [f"{pair}@0:0"]


async def test_history_is_over_at_the_first_lag_of_zero(lane, see):
    pair = new_id()
    await lane.send(ledger.pair_created(pair))
    await lane.send(ledger.meeting_held(pair, 1), ids=[id_of(datetime.now(UTC) - timedelta(days=100))])
    async with lane.service("a").running():
        assert await until(lambda: see.fetchval("select not bool_or(history) from scheduling.positions having count(*) = 12"))
        assert await see.fetchval("select seen from scheduling.pairs") == 1
        await lane.send(ledger.meeting_held(pair, 2), ids=[id_of(datetime.now(UTC) - timedelta(days=100))])
        assert await until(lambda: see.fetchval("select reason from scheduling.held_keys"))
    assert await see.fetchval("select seen from scheduling.pairs") == 1


async def test_a_topic_whose_records_are_all_gone_counts_as_read(lane, stage, see):
    """Retention leaves a partition that begins behind our position: its lag is 0, or no timer would ever fire."""
    pair = new_id()
    await lane.send(ledger.pair_created(pair), *(ledger.meeting_held(pair, n) for n in range(1, 6)))
    records = await lane.records(6)
    partition = records[0].partition
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(lane.topic, partition): RecordsToDelete(before_offset=6)})
    await admin.close()
    service = lane.service("a")
    async with service.running():
        assert await until(lambda: see.fetchval("select not bool_or(history) from scheduling.positions having count(*) = 12"), 10)
        assert await see.fetchval("select next_offset from scheduling.positions where partition = $1", partition) == 6
