"""Promise 4: what passes is tried again and never held; answers answer; a bug is held alone and the rest goes on."""

import asyncio
from datetime import timedelta

import asyncpg
import orjson
import pytest

from shared import database as database_module
from shared.cloudevents import new_id
from shared.decisions import Handlers, on
from shared.errors import PASSING, Raced
from tests.conftest import waiting
from tests.core import ledger
from tests.core.rig import until

BACKENDS = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'scheduling' and datname = current_database()"


async def test_a_killed_backend_passes(rig):
    """Killed while its batch waits in the middle of a transaction."""
    pair = await rig.pair()
    async with rig.see.transaction():
        await rig.see.execute("select from scheduling.pairs for update")
        batch = asyncio.create_task(rig.give(ledger.meeting_held(pair, 1), ledger.meeting_held(pair, 2)))
        assert await until(lambda: waiting(rig.see))
        await rig.see.execute(BACKENDS)
    await asyncio.wait_for(batch, 20)
    row = await rig.row(pair)
    assert (row["seen"], row["said"], await rig.held()) == (2, [], [])
    assert rig.service.telemetry.metrics.passing.labels("batch")._value.get() > 0


async def test_backends_killed_at_random_moments_lose_and_double_nothing(rig):
    """asyncpg tells of it in several ways, in one of a hundred cases as InternalClientError."""
    pair, sent, passed = await rig.pair(), 0, 0
    for n in range(25):
        batch = asyncio.create_task(rig.give(ledger.meeting_held(pair, sent + 1), ledger.meeting_held(pair, sent + 2)))
        await asyncio.sleep(0.0007 * n)
        await rig.see.execute(BACKENDS)
        await asyncio.wait_for(batch, 20)
        sent += 2
        if rig.consumer.seen == -1:  # the commit had gone through before its answer: the positions are looked up, and say so
            passed += 1
            await rig.resync()
    row = await rig.row(pair)
    assert (row["seen"], row["said"], await rig.held(), len(await rig.facts())) == (50, [], [], 50)


async def test_a_lock_timeout_and_a_deadlock_pass(copies, monkeypatch):
    monkeypatch.setitem(database_module.SETTINGS, "lock_timeout", "150ms")
    rig = await copies()
    pair = await rig.pair()
    async with rig.see.transaction():
        await rig.see.execute("select from scheduling.pairs for update")
        batch = asyncio.create_task(rig.give(ledger.meeting_held(pair, 1)))
        metric = rig.service.telemetry.metrics.passing.labels("batch")._value
        assert await until(lambda: asyncio.sleep(0, metric.get() >= 2))
    await asyncio.wait_for(batch, 20)
    assert ((await rig.row(pair))["seen"], await rig.held()) == (1, [])


async def test_a_deadlock_passes(rig):
    """Somebody takes the locks the other way round; whoever PostgreSQL aborts, the batch is handled once."""
    pair, other = await rig.pair(), await rig.pair()
    low, high = sorted([pair, other])
    for n in range(1, 4):
        async with rig.see.transaction():
            await rig.see.execute("set local deadlock_timeout = '10s'")  # so that it is the batch that finds out
            await rig.see.execute("select from scheduling.pairs where id = $1 for update", high)
            batch = asyncio.create_task(rig.give(*(ledger.meeting_held(p, n) for p in (pair, other))))
            assert await until(lambda: waiting(rig.see))
            await rig.see.execute("select from scheduling.pairs where id = $1 for update", low)
        await asyncio.wait_for(batch, 20)
    assert [(await rig.row(p))["seen"] for p in (pair, other)] == [3, 3]
    assert await rig.held() == []
    assert rig.service.telemetry.metrics.passing.labels("batch")._value.get() == 3


@pytest.mark.parametrize("what", [c for c in PASSING if issubclass(c, asyncpg.PostgresError | asyncpg.InterfaceError | OSError)])
async def test_each_passing_failure_is_waited_out(rig, monkeypatch, what):
    pair, real, fails = await rig.pair(), rig.work.decide, [what("x"), what("x")]

    async def flaky(*args, **more):
        if fails:
            raise fails.pop()
        return await real(*args, **more)

    monkeypatch.setattr(rig.work, "decide", flaky)
    await asyncio.wait_for(rig.give(ledger.meeting_held(pair, 1)), 10)
    assert ((await rig.row(pair))["seen"], await rig.held(), fails) == (1, [], [])


async def test_a_wrong_report_is_answered_and_nothing_behind_it_waits(rig):
    pair = await rig.pair()
    wrong, right = ledger.meeting_reported(pair, ledger.TOO_SHORT), ledger.meeting_reported(pair)
    batch = await rig.give(wrong, right, wrong, right, ledger.meeting_held(pair, 1))
    assert ((await rig.row(pair))["seen"], await rig.held()) == (3, [])
    batches = rig.service.telemetry.metrics.registry.get_sample_value("ithaca_batch_seconds_count")
    assert batches == 2, "the pair's and this one, which was not halved"
    answers = await rig.facts("rejections")
    assert [orjson.loads(a["payload"]) | {"audience": None} for a in answers] == [
        {
            "organization": "acme",
            "report_id": "report-7",
            "report_source": "https://acme.example/calendar",
            "reason": "too_short",
            "field": "minutes",
            "audience": None,
        }
    ] * 2
    headers = [orjson.loads(a["headers"]) for a in answers]
    assert [h["ce_causationid"] for h in headers] == [batch[0].id_text, batch[2].id_text]
    assert {(h["ce_type"], a["key"]) for h, a in zip(headers, answers, strict=True)} == {("ithaca.ReportRejected", "acme")}
    assert await rig.see.fetchval("select count(*) from scheduling.timers") == 1


async def test_a_report_that_is_refused_behind_another_that_waits_keeps_its_place(rig):
    pair = await rig.pair()
    wrong, waits, right = (ledger.meeting_reported(pair, m) for m in (ledger.TOO_SHORT, ledger.WAITS_FOR_ANOTHER, ledger.MET))
    await rig.give(wrong, waits, right, wrong)
    assert ((await rig.row(pair))["seen"], len(await rig.facts("rejections"))) == (0, 1)
    assert await rig.see.fetchval("select count(*) from scheduling.held") == 3
    await rig.service.database.stop()
    await rig.database.start()
    await rig.see.execute("update scheduling.held_keys set since = since - interval '2 hours'")
    rig.database.clock._ahead = timedelta(hours=2).total_seconds()
    await rig.retry()
    assert ((await rig.row(pair))["seen"], await rig.held()) == (1, [])
    reasons = [orjson.loads(a["payload"])["reason"] for a in await rig.facts("rejections")]
    assert reasons == ["too_short", "never_ready", "too_short"]


async def test_an_event_for_whom_the_world_isnt_ready_waits_with_what_follows(rig):
    pair, other = new_id(), await rig.pair()
    await rig.give(ledger.meeting_held(pair, 1), ledger.meeting_held(other, 1), ledger.meeting_held(pair, 2))
    assert await rig.held() == [("waits", f"awaits Pair:{pair}", str(pair))]
    assert (await rig.row(other))["seen"] == 1
    await rig.pair(pair)
    await rig.give(ledger.meeting_held(pair, 3))
    await rig.retry()
    row = await rig.row(pair)
    assert (row["seen"], row["said"], await rig.held()) == (3, [], [])


@pytest.mark.parametrize("minutes", [ledger.BUG, ledger.SYSTEM_ERROR])
async def test_a_bug_is_held_alone_tried_thrice_and_parked(rig, minutes):
    """An OSError that a pure function raises is a bug too: ZoneInfo('America') raises one, and would stop a partition for good."""
    pair, other = await rig.pair(), await rig.pair()
    batch = [
        ledger.meeting_held(pair, 1),
        ledger.meeting_held(pair, 2, minutes),
        ledger.meeting_held(other, 1),
        ledger.meeting_held(pair, 3),
    ]
    await asyncio.wait_for(rig.give(*batch), 10)
    assert [(await rig.row(p))["seen"] for p in (pair, other)] == [1, 1]
    states = [[state for state, _, _ in await rig.held()]]
    for _ in range(2):
        await rig.retry()
        states.append([state for state, _, _ in await rig.held()])
    assert states == [["waits"], ["waits"], ["parked"]]
    await rig.retry()
    assert await rig.see.fetchval("select attempts from scheduling.held_keys") == 3
    ((_, reason, _),) = await rig.held()
    assert " at ledger.py:" in reason, "where it was raised"
    assert "private" not in reason
    await rig.give(ledger.meeting_held(pair, 4), ledger.meeting_held(other, 2))
    assert [(await rig.row(p))["seen"] for p in (pair, other)] == [1, 2]
    assert await rig.see.fetchval("select count(*) from scheduling.held") == 3


async def test_what_cannot_be_saved_is_found_by_halving_and_held_alone(rig):
    pairs = [await rig.pair() for _ in range(16)]
    batch = [
        ledger.meeting_held(pair, n, ledger.UNSAVEABLE if (n, pair) == (2, pairs[9]) else 30) for n in (1, 2, 3) for pair in pairs
    ]
    await rig.give(*batch)
    ((state, reason, key),) = await rig.held()
    assert (state, key) == ("waits", str(pairs[9]))
    assert reason == "CheckViolationError 23514 seen_is_counted"
    assert sorted([(await rig.row(p))["seen"] for p in pairs]) == [1, *[3] * 15]
    assert rig.service.telemetry.metrics.failed.labels("ithaca.MeetingHeld", "held")._value.get() == 1


async def test_what_still_cannot_be_saved_is_parked_and_keeps_no_other_key_waiting(rig):
    bad, good = await rig.pair(), new_id()
    await rig.give(ledger.meeting_held(bad, 1, ledger.UNSAVEABLE), ledger.meeting_held(bad, 2), ledger.meeting_held(good, 1))
    await rig.pair(good)
    for _ in range(2):
        await rig.retry()
    assert await rig.held() == [("parked", "CheckViolationError 23514 seen_is_counted", str(bad))]
    assert (await rig.row(good))["seen"] == 1
    assert await rig.see.fetchval("select count(*) from scheduling.held") == 2


async def test_a_handler_that_writes_a_row_it_didnt_load_is_a_bug_and_not_a_race_for_ever(rig):
    """It looks like two transactions that create one row; a race is over at the next try."""
    pair, other = await rig.pair(), await rig.pair()
    stray = ledger.Pair(await rig.pair(), "acme", "acme.first")
    rig.work.events[ledger.MeetingHeld.TYPE] = Handlers.of(
        on(
            ledger.MeetingHeld,
            ledger.Pair,
            by="relationship_id",
            do=lambda p, event, context: ledger.new(stray) if event.minutes == 1 else ledger.told(p),
        ),
    )
    await asyncio.wait_for(rig.give(ledger.meeting_held(pair, 1, 1), ledger.meeting_held(other, 1)), 30)
    assert await rig.held() == [("waits", "Pair was created meanwhile", str(pair))]
    assert (await rig.row(other))["revision"] == 1
    for _ in range(2):
        await rig.retry()
    assert [state for state, _, _ in await rig.held()] == ["parked"]


async def test_a_real_race_is_over_at_the_next_try(rig, monkeypatch):
    pair, real, fails = await rig.pair(), rig.work.decide, [Raced("x"), Raced("x")]

    async def flaky(*args, **more):
        if fails:
            raise fails.pop()
        return await real(*args, **more)

    monkeypatch.setattr(rig.work, "decide", flaky)
    await rig.give(ledger.meeting_held(pair, 1))
    assert ((await rig.row(pair))["seen"], await rig.held()) == (1, [])


async def test_an_event_with_a_time_that_cannot_be_read_is_counted_once(rig):
    """The lag is measured by it after the commit; that must not look like a failed save."""
    pair = await rig.pair()
    broken = rig.record(
        ledger.meeting_held(pair, 1), 0, headers=lambda hs: [(n, b"noon") if "time" in n else (n, v) for n, v in hs]
    )
    await rig.give(broken, ledger.meeting_held(pair, 2))
    assert (await rig.row(pair))["seen"] == 2
    assert rig.service.telemetry.metrics.duplicates._value.get() == 0


async def test_an_action_with_a_bug_changes_nothing_and_its_connection_isnt_reused_dirty(rig):
    pair = await rig.pair()

    def wrong(pair, context):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rig.work.act_all([ledger.touch(pair), ledger.Action(ledger.Pair, pair, wrong)])
    assert (await rig.row(pair))["seen"] == 0
    assert await rig.act(pair) == 1
    answers = await rig.work.act_all([ledger.touch(pair), ledger.touch(new_id()), ledger.touch(pair)])
    assert [getattr(a, "result", None) or a.code for a in answers] == [2, "no_such_pair", 3]
