"""One hop: from a topic through decisions into the outbox and onto a topic again."""

from shared.cloudevents import new_id
from tests.core import ledger
from tests.core.rig import until


async def test_events_are_counted_once_in_order_and_answered(lane, see):
    service = lane.service()
    pairs = [new_id() for _ in range(50)]
    async with service.running():
        await lane.send(*map(ledger.pair_created, pairs))
        meetings = [ledger.meeting_held(pair, n) for n in range(1, 21) for pair in pairs]
        ids = await lane.send(*meetings)
        await lane.send(*meetings[:100], ids=ids[:100])

        async def done():
            return await see.fetchval("select sum(seen) from scheduling.pairs") == 1000 and service.consumer.handled == 1150

        assert await until(done)
        rows = await see.fetch("select said, last, seen, revision from scheduling.pairs")
        assert {(tuple(r["said"]), r["last"], r["seen"], r["revision"]) for r in rows} == {((), 20, 20, 20)}

        async def sent():
            return not await see.fetchval("select count(*) from scheduling.outbox")

        assert await until(sent)
