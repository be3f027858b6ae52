"""One hop: from a topic through decisions into the outbox and onto a topic again."""

import asyncio
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import orjson

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

import ledger  # noqa: E402
from producing import send  # noqa: E402

from shared.cloudevents import new_id  # noqa: E402
from shared.events import Member, MeetingHeld, MeetingReported, PairCreated  # noqa: E402

PROGRAM = "acme.first"


def pair_created(pair):
    return PairCreated(
        relationship_id=pair, program=PROGRAM, format="one_to_one", term="long", score=1,
        members=(Member(person_id=new_id(), role="mentor", organization="acme"), Member(person_id=new_id(), role="mentee", organization="acme")),
        reasons=(),
    )


def meeting_held(pair, revision, minutes=30):
    return MeetingHeld(
        relationship_id=pair, program=PROGRAM, meeting_id=new_id(), held_at=datetime.now(UTC), minutes=minutes,
        attended=(), revision=revision, corrects_missed=False,
    )


async def until(ask: Callable[[], Awaitable[object]], seconds: float = 20.0) -> object:
    end = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.05)


async def test_events_are_counted_once_and_answered(stage):
    service = ledger.build(stage.settings("scheduling"))
    pairs = [new_id() for _ in range(50)]
    async with service.running():
        await send(stage.kafka, [pair_created(p) for p in pairs], organization="acme", program=PROGRAM)
        held = [meeting_held(p, n) for n in range(1, 21) for p in pairs]
        ids = await send(stage.kafka, held, organization="acme", program=PROGRAM)
        await send(stage.kafka, held[:100], organization="acme", program=PROGRAM, ids=ids[:100])
        db = await asyncpg.connect(stage.superuser)

        async def done():
            return await db.fetchval("select sum(seen) from scheduling.pairs where id = any($1)", pairs) == 1000

        assert await until(done)
        rows = await db.fetch("select said, last, seen from scheduling.pairs where id = any($1)", pairs)
        assert all(r["said"] == [] and r["last"] == 20 and r["seen"] == 20 for r in rows), rows

        async def sent():
            return not await db.fetchval("select count(*) from scheduling.outbox")

        assert await until(sent)
        await db.close()
