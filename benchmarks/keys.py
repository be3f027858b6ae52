"""One bad key among ten thousand: what it costs the others.

clean      all go well
poisoned   the functions of one key's events, a hundredth of all, raise: they are held and tried again
slow       the functions of one key's events, a ten-thousandth of all, take a thousand times as long as others
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from benchmarks.figures import Figure, ratio
from benchmarks.ground import Say, rates
from benchmarks.hop import MIGRATIONS, PARTITIONS, Tally, held
from benchmarks.meetings import meeting, record
from benchmarks.reading import prepared
from benchmarks.waiting import begin, facts_per_second, quietly
from deploy.local.platform import Platform
from shared.cloudevents import new_id
from shared.decisions import Context, Handler, Outcome, on
from shared.events import MeetingHeld
from shared.service import spare_the_collector

NAME = "keys"
ABOUT = "One poisoned or slow key among ten thousand: the others' events per second against a run without it."

ROLE, TOPIC = "bench_keys", "bench-keys"
SLOW_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    pairs: int
    events: int
    batch: int


WHOLE, QUICK = Size(10_000, 40_000, 1_000), Size(200, 2_000, 100)


def nothing() -> None:
    """A clean run's share."""


def raises() -> None:
    raise ZeroDivisionError


def computes() -> None:
    until = time.perf_counter() + SLOW_SECONDS
    while time.perf_counter() < until:
        pass


def handlers(bad: UUID, first: Callable[[], None]) -> list[Handler]:
    """The hop's handler; for one pair something is done first."""

    def do(tally: Tally | None, event: MeetingHeld, context: Context) -> Outcome:
        if event.relationship_id == bad:
            first()
        return held(tally, event, context)

    return [on(MeetingHeld, Tally, by="relationship_id", do=do)]


async def compare(platform: Platform, say: Say, rounds: int, size: Size) -> dict[str, float]:
    """Median events per second of all keys but the one that is poisoned, for each way."""
    spare_the_collector()
    pairs = [new_id() for _ in range(size.pairs)]
    poisoned, slow = pairs[0], pairs[1]
    turn = [poisoned if n % 100 == 0 else pairs[n % size.pairs] for n in range(size.events)]
    async with prepared(platform, ROLE, MIGRATIONS, [TOPIC], PARTITIONS, size.batch) as (lane, db):
        await lane.fill([record(meeting(TOPIC, pair, n + 1)) for n, pair in enumerate(turn)])

        def way(bad: UUID, first: Callable[[], None]) -> Callable[[], Awaitable[float]]:
            async def once() -> float:
                await begin(db, pairs)
                others = sum(pair != poisoned for pair in turn)
                rate = await facts_per_second(lane, handlers(bad, first), others, but=str(poisoned))
                waiting = await db.fetchval("select count(*) from held")
                assert waiting == (turn.count(poisoned) if first is raises else 0), f"{waiting} events wait"
                return rate

            return once

        ways = {"clean": way(poisoned, nothing), "poisoned": way(poisoned, raises), "slow": way(slow, computes)}
        with quietly():
            return await rates(ways, rounds, say)


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    rate = asyncio.run(compare(platform, say, rounds, QUICK if quick else WHOLE))
    return [ratio(f"others beside a {way} key", "clean", rate[way], rate["clean"], 0.9) for way in ("poisoned", "slow")]
