"""A count is made once for all who ask while it is kept, and kept the longer the more it cost."""

import asyncio
from dataclasses import dataclass, field

import pytest

from services.analytics.kept import AT_ONCE, TIMES_AS_LONG, Kept


@dataclass
class Counting:
    """Each count takes so many seconds of a clock that stands still otherwise, and waits until it may go on."""

    takes: float = 2.0
    time: float = 100.0
    counts: int = 0
    may: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> float:
        return self.time

    async def count(self) -> int:
        self.counts += 1
        mine = self.counts
        await self.may.wait()
        self.time += self.takes
        return mine


async def test_who_ask_meanwhile_or_soon_after_are_told_the_same_and_later_it_is_counted_anew() -> None:
    counting = Counting()
    kept = Kept[int](counting.now)
    counting.may.set()
    assert await asyncio.gather(*(kept.get("a", counting.count) for _ in range(5))) == [1] * 5
    counting.time += TIMES_AS_LONG * counting.takes - 0.1
    assert await kept.get("a", counting.count) == 1
    assert await kept.get("b", counting.count) == 2, "another one is another count"
    assert await kept.get("a", counting.count) == 3


async def test_a_count_goes_on_for_the_next_though_whoever_asked_first_has_left() -> None:
    counting = Counting()
    kept = Kept[int](counting.now)
    first = asyncio.create_task(kept.get("a", counting.count))
    second = asyncio.create_task(kept.get("a", counting.count))
    while not counting.counts:
        await asyncio.sleep(0)
    first.cancel()
    counting.may.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_count_that_fails_is_not_kept() -> None:
    counting = Counting()
    kept = Kept[int](counting.now)

    async def fails() -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await kept.get("a", fails)
    counting.may.set()
    assert await kept.get("a", counting.count) == 1


async def test_only_so_many_are_at_work_at_once() -> None:
    counting = Counting()
    kept = Kept[int](counting.now)
    several = [asyncio.create_task(kept.get(n, counting.count)) for n in range(AT_ONCE + 3)]
    while counting.counts < AT_ONCE:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert counting.counts == AT_ONCE
    counting.may.set()
    assert sorted(await asyncio.gather(*several)) == list(range(1, AT_ONCE + 4))
