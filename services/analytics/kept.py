"""Costly counts, kept for a while: however often somebody looks, the database spends a tenth of its time on the same one at most."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
TIMES_AS_LONG = 9
"""As it took. What took 20 ms is as good as counted at each look; what took half a minute is some minutes old at most."""
AT_ONCE = 4
"""Counts at work; half of the connections are left to everything else."""


class Kept(Generic[T]):
    """What was counted by key. Several who ask meanwhile wait for one count, which goes on if they leave."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds of a clock that never goes back."""
        self._now = now
        self._counts: dict[Hashable, asyncio.Task[T]] = {}
        self._until: dict[Hashable, float] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def get(self, key: Hashable, count: Callable[[], Awaitable[T]]) -> T:
        """What is kept, or what `count` finds; raises what it raises, and keeps nothing then."""
        now = self._now()
        for old in [one for one, until in self._until.items() if until <= now]:
            del self._counts[old], self._until[old]
        if key not in self._counts:
            self._counts[key] = asyncio.create_task(self._count(key, count))
        return await asyncio.shield(self._counts[key])

    async def _count(self, key: Hashable, count: Callable[[], Awaitable[T]]) -> T:
        async with self._room:
            begun = self._now()
            try:
                found = await count()
            except BaseException:
                del self._counts[key]
                raise
            over = self._now()
            self._until[key] = over + TIMES_AS_LONG * (over - begun)
            return found
