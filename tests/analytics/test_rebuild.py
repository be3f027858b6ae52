"""A new generation from the log, swapped while the service runs."""

import asyncio

import asyncpg
import pytest

from services.analytics import store
from services.analytics.rebuild import Differs, rebuild
from shared.cloudevents import new_id
from tests.analytics.conftest import Analytics
from tests.analytics.samples import Crossing

FORGOTTEN = """
insert into analytics.story select $1, time, recorded, type, 'notifications', key, organization, program, audience, ids, data, service,
  correlation, causation, trace, 0, -1 from analytics.story where id = $2
"""


async def test_a_rebuild_heals_what_is_wrong_keeps_what_the_log_forgot_and_readers_notice_nothing(
    analytics: Analytics, crossing: Crossing
) -> None:
    ids = await analytics.send([*crossing.onboarding(), *crossing.people(), *(crossing.pair(n) for n in range(3))])
    await analytics.read(ids)
    old = new_id()
    connection = await asyncpg.connect(analytics.stage.superuser)
    await connection.execute("set search_path = analytics")
    await connection.execute(FORGOTTEN, old, ids[-1])
    await connection.execute("delete from analytics.relationships where id = $1", crossing.pairs[0])
    assert (await analytics.summary(crossing.program))["matched"] == 4
    seen: set[tuple[int, int]] = set()
    ended = asyncio.Event()

    async def watch() -> None:
        while not ended.is_set():
            summary = await analytics.summary(crossing.program)
            seen.add((summary["enrolled"], summary["pairs"]))

    async def go_on() -> list:
        sent = []
        while not ended.is_set():
            sent += await analytics.send(crossing.meeting(0)[0])
            await asyncio.sleep(0.05)
        return sent

    watching, sending = asyncio.create_task(watch()), asyncio.create_task(go_on())
    try:
        settings = analytics.stage.settings("analytics")
        done = await asyncio.wait_for(rebuild(settings, analytics.stage.superuser), 200)
        await analytics.until(lambda: _counts(analytics, crossing, pairs=3))
    finally:
        ended.set()
        sent = await sending
        await watching
    assert seen == {(12, 2), (12, 3)}, "the old numbers, then the new"
    assert done.carried >= 1
    await analytics.read([*ids, old, *sent])
    assert (await analytics.summary(crossing.program))["scheduled"] == len(sent)
    after = await analytics.send([crossing.pair(3), *crossing.signatures(3)])
    await analytics.read(after)
    summary = await analytics.summary(crossing.program)
    assert (summary["matched"], summary["pairs"], summary["agreed"]) == (8, 4, 1)
    assert str(old) in {line["id"] for line in await analytics.story(crossing.pairs[2])}
    member = await analytics.issue(crossing.member)
    assert (await analytics.summary(crossing.program, member))["matched"] == 4
    await connection.close()


async def _counts(analytics: Analytics, crossing: Crossing, *, pairs: int) -> bool:
    summary = await analytics.summary(crossing.program)
    return bool(summary["pairs"] == pairs)


async def test_a_generation_that_lacks_something_is_not_swapped_in(analytics: Analytics, crossing: Crossing) -> None:
    ids = await analytics.send([*crossing.onboarding(), crossing.pair(0)])
    await analytics.read(ids)
    connection = await asyncpg.connect(analytics.stage.superuser)
    await connection.execute("set search_path = analytics")
    await connection.execute(FORGOTTEN.replace("'notifications'", "topic"), new_id(), ids[-1])
    await connection.close()
    with pytest.raises(Differs, match="lacks 1 lines"):
        await asyncio.wait_for(rebuild(analytics.stage.settings("analytics"), analytics.stage.superuser), 200)
    assert (await analytics.summary(crossing.program))["pairs"] == 1
    more = await analytics.send(crossing.pair(1))
    await analytics.read(more)


async def test_what_is_read_between_the_rebuild_and_its_swap_is_read_again_though_nothing_more_comes(
    analytics: Analytics, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await analytics.read(await analytics.send([*crossing.onboarding(), *crossing.people(), crossing.pair(0)]))
    late: list = []
    swap = store.swap_generations

    async def swapped(admin: str) -> tuple[int, int]:
        late.extend(await analytics.send(crossing.meeting(0)[0]))
        await analytics.read(late)
        return await swap(admin)

    monkeypatch.setattr(store, "swap_generations", swapped)
    await rebuild(analytics.stage.settings("analytics"), analytics.stage.superuser)
    await analytics.read(late)
