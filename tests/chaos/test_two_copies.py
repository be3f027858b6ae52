"""Two copies of every service share its partitions and timers; when one dies the other has all of them, and its relay."""

import asyncio
import random
import time
from datetime import timedelta

import httpx
import pytest

from benchmarks.chaos.ledger import Disagreements, compare_topics, quiet, read_topics
from benchmarks.chaos.load import Load
from benchmarks.chaos.outside import health
from deploy.local.platform import Platform
from shared.events import SERVICES, TOPICS

PAIRS, EACH = 40, 4
SECONDS = 60.0
"""Within which partitions must have moved: Kafka's groups wait ten for a member."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def partitions(service: str) -> int:
    return sum(topic.partitions for topic in TOPICS.values() if service in topic.readers)


async def shares(platform: Platform, http: httpx.AsyncClient) -> dict[str, list[tuple[int, bool]]]:
    """Per service: of each copy, how many partitions it reads and whether it leads the relay."""
    reports = {s: [await health(http, platform, f"{s}-{n}") for n in (1, 2)] for s in SERVICES}
    return {s: [(int(str(r.get("partitions", 0))), r.get("relay") == "leads") for r in both] for s, both in reports.items()}


async def until_shared(platform: Platform, http: httpx.AsyncClient, down: str = "") -> float:
    """Wait until all partitions are read, by both copies or by the one that is left, with one leader each; how long it took."""
    began = time.monotonic()
    while True:
        found = await shares(platform, http)
        wrong = {
            service: copies
            for service, copies in found.items()
            for alive in [[copy for n, copy in enumerate(copies, 1) if f"{service}-{n}" != down]]
            if not all(count for count, _ in alive)
            or sum(count for count, _ in alive) != partitions(service)
            or sum(leads for _, leads in alive) != 1
        }
        if not wrong:
            return time.monotonic() - began
        assert time.monotonic() - began < SECONDS, f"{wrong}, {down or 'nothing'} down"
        await asyncio.sleep(0.2)


@pytest.fixture
async def load(crowd: Platform):
    limits = httpx.Limits(max_connections=40, max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=10, limits=limits) as http:
        yield Load(crowd, http, random.Random(1))


async def test_the_copy_that_is_left_takes_over_partitions_relay_and_timers(crowd: Platform, load: Load, capsys):
    http = load.http
    await until_shared(crowd, http)
    await load.open()
    pairs = await load.paired(PAIRS)
    await load.sign(pairs, from_mail=2)
    await load.knows_pairs()
    first = await load.now() - timedelta(days=40)
    told = []
    for n, service in enumerate(SERVICES):
        leader = next(c for c, (_, leads) in enumerate((await shares(crowd, http))[service], 1) if leads)
        name = f"{service}-{leader}"
        crowd.down_on_purpose.add(name)  # it stays down
        await asyncio.to_thread(crowd.kill, name)
        load.copies = {service: 3 - leader}
        posting = asyncio.create_task(load.report_rounds(pairs, range(n * EACH, (n + 1) * EACH), first))
        took = await until_shared(crowd, http, down=name)
        await posting
        await load.meetings(pairs, "proposed")  # its reports are read, whoever is down
        await asyncio.to_thread(crowd.revive, name)
        load.copies = {}
        back = await until_shared(crowd, http)
        told.append(f"{name:16} killed: all with the other after {took:4.1f} s; shared again {back:4.1f} s after its return")
    # Timers of all slices fire, whichever copy has them: nobody picks, so each pair's next meeting is planned by one.
    await load.go_to(await load.now() + timedelta(days=3, minutes=1))
    await load.meetings(pairs, "scheduled")
    await quiet(crowd.addresses["postgres"], crowd.addresses["kafka"], 120)
    wrong = Disagreements()
    compare_topics(load.ledger, (await read_topics(crowd.addresses["kafka"])).facts, wrong)
    assert not wrong, str(wrong)
    with capsys.disabled():
        print("", *told, sep="\n")
