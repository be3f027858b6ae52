"""Events that come before what they need: one in a hundred waits until an event of another key, a little behind it, was handled.

clean   the same events, each behind what it needs
later   one in a hundred raises `TryLater`, is held, and is handled once what it awaits was saved
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from benchmarks.figures import Figure, ratio
from benchmarks.ground import Say, rates
from benchmarks.hop import MIGRATIONS, PARTITIONS, Tally, follows, held
from benchmarks.meetings import Record, meeting, record
from benchmarks.reading import Lane, prepared
from benchmarks.waiting import begin, facts_per_second, quietly
from deploy.local.platform import Platform
from shared.cloudevents import new_id
from shared.decisions import Context, Outcome, awaited, new, on
from shared.errors import TryLater
from shared.events import MeetingHeld
from shared.events.topics import Topic
from shared.service import spare_the_collector
from shared.topics import partition_of

NAME = "later"
ABOUT = "One event in a hundred must wait for another that comes soon: events per second against a run in which none must."

ROLE, CLEAN, LATER = "bench_later", "bench-later-clean", "bench-later"
FIRST = 1_000_000
"""The number of a meeting that makes its pair known."""


@dataclass(frozen=True, slots=True)
class Size:
    pairs: int
    events: int
    batch: int
    behind: int
    """So many events of its partition lie between one that waits and what it waits for."""


WHOLE, QUICK = Size(1_000, 40_000, 1_000, 1_200), Size(100, 3_000, 100, 150)


def met(tally: Tally | None, event: MeetingHeld, context: Context) -> Outcome:
    """A meeting of a pair that isn't known yet waits for it."""
    if event.number == FIRST:
        return new(Tally(event.relationship_id, 0, 0, 0)).then(follows(event))
    if tally is None:
        raise TryLater(awaited(Tally, event.relationship_id))
    return held(tally, event, context)


HANDLERS = [on(MeetingHeld, Tally, by="relationship_id", do=met)]


def records(topic: str, pairs: Sequence[UUID], size: Size, *, late: bool) -> list[Record]:
    """Per partition the meetings of these pairs; among each hundred one of a new pair, and one that makes such a pair known."""
    place = Topic(topic, "", (), (), partitions=PARTITIONS)
    own: dict[int, list[UUID]] = defaultdict(list)
    for pair in pairs:
        own[partition_of(place, str(pair))].append(pair)
    found: list[Record] = []
    for known in own.values():
        row: list[tuple[float, UUID, int, str]] = []
        count = size.events // len(own)
        for n in range(count):
            if n % 100 == 0 and n + size.behind < count:
                guest, other = new_id(), random.choice(known)
                guest_key = next(
                    key for key in iter(lambda: str(new_id()), "") if partition_of(place, key) == partition_of(place, str(other))
                )
                meets, opens = (n, n + size.behind) if late else (n + size.behind, n)
                row += [(meets, guest, n + 1, guest_key), (opens + 0.5, guest, FIRST, str(other))]
            else:
                row.append((n, known[n % len(known)], n + 1, ""))
        row.sort(key=lambda one: one[0])
        found += [record(meeting(topic, pair, number, key=key)) for _, pair, number, key in row]
    return found


async def compare(platform: Platform, say: Say, rounds: int, size: Size) -> dict[str, float]:
    """Median events per second of each way."""
    spare_the_collector()
    pairs = [new_id() for _ in range(size.pairs)]
    async with prepared(platform, ROLE, MIGRATIONS, [CLEAN, LATER], PARTITIONS, size.batch) as (both, db):
        lanes: dict[str, tuple[Lane, int]] = {}
        for topic in both.topics:
            written = records(topic, pairs, size, late=topic == LATER)
            lanes[topic] = replace(both, topics=(topic,), partitions=PARTITIONS), len(written)
            await both.fill(written)

        async def once(topic: str) -> float:
            lane, count = lanes[topic]
            await begin(db, pairs)
            rate = await facts_per_second(lane, HANDLERS, count)
            left = await db.fetchrow(
                "select (select count(*) from held_keys), (select count(*) from outbox), (select count(*) from inbox)"
            )
            assert left is not None
            assert tuple(left) == (0, count, count), f"the ledger doesn't agree: {left}"
            return rate

        with quietly():
            return await rates({"clean": lambda: once(CLEAN), "later": lambda: once(LATER)}, rounds, say)


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    rate = asyncio.run(compare(platform, say, rounds, QUICK if quick else WHOLE))
    return [ratio("one in a hundred waits", "clean", rate["later"], rate["clean"], 0.95)]
