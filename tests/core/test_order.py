"""Promise 2: who emits for a key holds the key's row from before it decided, so the outbox's order is the order of decisions."""

import asyncio
import os
import random
from collections import Counter
from datetime import UTC, datetime

import orjson

from shared.cloudevents import new_id
from shared.decisions import Handlers, on
from shared.errors import PASSING
from tests.core import ledger

ROUNDS = int(os.environ.get("ITHACA_ROUNDS", "800"))
"""Events, clicks and timers that meet on the same pairs; 10,000 for the long run."""


async def test_timers_events_and_clicks_on_the_same_pairs_from_two_copies_keep_order(copies):
    a, b = await copies("a"), await copies("b")
    pairs = [await a.pair() for _ in range(3)]
    for copy in (a, b):
        await copy.read_until(datetime(2100, 1, 1, tzinfo=UTC))
    passing = Counter()
    done = asyncio.Event()

    async def events():
        for n in range(1, ROUNDS // 6 + 1):
            await a.give(*(ledger.meeting_held(pair, n) for pair in random.sample(pairs, 3)))

    async def clicks(copy):
        for _ in range(ROUNDS // 16):
            await copy.act(random.choice(pairs))

    async def fire(copy):
        while not done.is_set():
            try:
                if not await copy.timers.fire_due():
                    await asyncio.sleep(0.001)
            except PASSING as error:
                passing[type(error).__name__] += 1

    firing = [asyncio.create_task(fire(copy)) for copy in (a, b)]
    try:
        await asyncio.wait_for(asyncio.gather(events(), *(clicks(copy) for copy in (a, b) for _ in range(4))), 240)
    finally:
        done.set()
        await asyncio.gather(*firing)
    for copy in (a, b):
        await copy.timers.fire_due()
    revisions: dict[str, list[int]] = {}
    for fact in await a.facts():
        revisions.setdefault(fact["key"], []).append(orjson.loads(fact["payload"])["revision"])
    rows = [await a.row(pair) for pair in pairs]
    assert {row["id"]: list(range(1, row["revision"] + 1)) for row in rows} == {pair: revisions[str(pair)] for pair in pairs}
    assert sum(row["seen"] for row in rows) == ROUNDS // 6 * 3 + ROUNDS // 16 * 8
    said = [word for row in rows for word in row["said"]]
    assert said, "timers fired"
    assert all(word.startswith("quiet") for word in said), "events of a pair came in order"
    assert await a.see.fetchval("select count(*) from scheduling.timers") == 0
    assert passing.total() < ROUNDS / 20, f"locks are taken in one order, so hardly anything is tried again: {passing}"


async def test_an_event_for_a_key_whose_row_isnt_held_is_refused(rig):
    pair = await rig.pair()
    await rig.give(ledger.MatchApproved(relationship_id=new_id(), program=ledger.PROGRAM), ledger.meeting_held(pair, 1))
    ((state, reason, _),) = await rig.held()
    assert (state, reason) == ("waits", "ithaca.MeetingMissed would be emitted for a key whose row isn't held")
    assert [fact["key"] for fact in await rig.facts()] == [str(pair)]


async def test_two_copies_that_create_one_pair_make_one(copies):
    a, b = await copies("a"), await copies("b")
    for _ in range(20):
        pair = new_id()
        create = ledger.Action(
            ledger.Pair, pair, lambda known, context, pair=pair: ledger.NOTHING if known else ledger.told(
                ledger.Pair(pair, ledger.ORGANIZATION, ledger.PROGRAM)
            ), organization=ledger.ORGANIZATION, program=ledger.PROGRAM,
        )  # fmt: skip
        await asyncio.gather(a.work.act(create), b.work.act(create))
        assert (await a.row(pair))["revision"] == 1
    assert len(await a.facts()) == 20


async def test_a_look_up_finds_what_the_same_batch_created(copies):
    """Also where both come from events of one type, which are decided on one load."""

    def build(settings, topics):
        service = ledger.build(settings, topics)
        service.work.events[ledger.PairCreated.TYPE] = Handlers.of(
            on(ledger.PairCreated, ledger.Pair, by=ledger.OF_PROGRAM, do=ledger.closed),
            on(ledger.PairCreated, ledger.Pair, by="relationship_id", do=ledger.created),
        )
        return service

    rig = await copies(build=build)
    first, second = new_id(), new_id()
    await rig.give(ledger.pair_created(first), ledger.pair_created(second), ledger.ProgramClosed(program=ledger.PROGRAM))
    assert (await rig.row(first))["revision"] == 2, "told of the second pair, and of the end"
    assert (await rig.row(second))["revision"] == 1


async def test_an_event_too_large_for_kafka_is_refused_when_it_is_decided(rig):
    """It would stop the relay for good."""
    pair = await rig.pair()
    large = ledger.MeetingHeld.model_construct(
        **{**ledger.meeting_held(pair, 1).model_dump(), "attended": tuple(new_id() for _ in range(30_000))}
    )
    rig.work.events[ledger.MeetingHeld.TYPE] = Handlers.of(
        on(
            ledger.MeetingHeld,
            ledger.Pair,
            by="relationship_id",
            do=lambda pair, event, context: ledger.changed(pair).then(large),
        ),
    )
    await rig.give(ledger.meeting_held(pair, 1))
    assert await rig.held() == [("waits", "ithaca.MeetingHeld would be larger than a topic takes", str(pair))]
