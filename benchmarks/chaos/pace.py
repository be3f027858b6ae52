"""Keeps faults and load in step."""

import asyncio
from dataclasses import dataclass, field

NEAR = 0.06
"""By which faults and load may be ahead of each other, as a share of the whole."""


@dataclass
class Pace:
    """Keeps faults and load in step, so that all of the load goes on under faults and all of the faults come under load."""

    share: float = 0.0
    load: float = 0.0
    """How far the load has come; the faults of that share may come now."""
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def keep_up(self, load: float) -> None:
        """So much of the load has been: wait for the faults where they are behind."""
        async with self.moved:
            self.load = max(self.load, load)
            self.moved.notify_all()
            await self.moved.wait_for(lambda: self.share >= min(load - NEAR, 1.0))

    async def wait(self, share: float) -> None:
        """So much of the faults is about to come: wait for the load where it is behind."""
        async with self.moved:
            await self.moved.wait_for(lambda: share <= self.load + NEAR)

    async def done(self, share: float) -> None:
        async with self.moved:
            self.share = share
            self.moved.notify_all()
