"""One program from its launch to its last meeting: enrolment, a match, signatures, meetings reported, planned, kept and missed."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta

from benchmarks.chaos.ledger import Pair
from benchmarks.chaos.load import MEMBER, OWNER, Load, end_of


@dataclass
class Story:
    """How large it is, and when each part of it was done (`time.monotonic()`)."""

    pairs: int
    rounds: int
    """Past meetings that partners report of each pair. Scheduling remembers sixty by their time."""
    workers: int = 12
    times: dict[str, float] = field(default_factory=dict)

    async def play(self, load: Load, rng: random.Random) -> None:
        pairs = await load.paired(self.pairs)
        self.times["matched"] = time.monotonic()
        await asyncio.gather(load.sign(pairs), load.knows_pairs())
        self.times["signed"] = time.monotonic()
        await self.report_many(load, pairs)
        self.times["reported"] = time.monotonic()
        await plan(load, pairs, rng)
        self.times["planned"] = time.monotonic()
        await meet(load, pairs, rng)
        await load.step(1.0, 1.2, 1, 1)
        self.times["met"] = time.monotonic()

    async def report_many(self, load: Load, pairs: list[Pair]) -> None:
        """Partners report a row of past meetings for each pair, in their order."""
        first = await load.now() - timedelta(days=self.rounds + 1)

        async def worker(n: int) -> None:
            mine, organization = pairs[n :: self.workers], (OWNER, MEMBER)[n % 2]
            for number in range(self.rounds):
                await load.step(0.3, 0.6, number, self.rounds)
                await load.report_rounds(mine, range(number, number + 1), first, organization)

        await asyncio.gather(*(worker(n) for n in range(self.workers)))


async def plan(load: Load, pairs: list[Pair], rng: random.Random) -> None:
    """Most pick a time for their next meeting; for the others a timer does after three days."""
    proposed = await load.meetings(pairs, "proposed")
    picking = rng.sample(pairs, len(pairs) * 9 // 10)
    gate = asyncio.Semaphore(8)

    async def pick(n: int, pair: Pair) -> None:
        async with gate:
            await load.step(0.6, 0.7, n, len(picking))
            await load.pick(pair, proposed[pair.id])

    await asyncio.gather(*(pick(n, pair) for n, pair in enumerate(picking)))
    await load.go_to(await load.now() + timedelta(days=3, minutes=1))


async def meet(load: Load, pairs: list[Pair], rng: random.Random) -> None:
    """The day comes: some click, some partners report, some are silent, and at once the grace is over."""
    planned = await load.meetings(pairs, "scheduled")
    load.ledger.silent = {pair.id for pair in rng.sample(pairs, len(pairs) // 5)}
    talking = [pair for pair in pairs if pair.id not in load.ledger.silent]
    clicking = {pair.id for pair in rng.sample(talking, len(talking) // 2)}
    waves: list[list[Pair]] = []
    for pair in sorted(pairs, key=lambda pair: end_of(planned[pair.id])):
        if not waves or end_of(planned[pair.id]) - end_of(planned[waves[-1][0].id]) > timedelta(hours=12):
            waves.append([])
        waves[-1].append(pair)
    for n, wave in enumerate(waves):
        await load.step(0.7, 1.0, n, len(waves))
        over = max(end_of(planned[pair.id]) for pair in wave)
        await load.go_to(over + timedelta(minutes=10))
        said = [pair for pair in wave if pair.id not in load.ledger.silent]
        gate = asyncio.Semaphore(16)

        async def say(number: int, pair: Pair, gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                if pair.id in clicking:
                    await load.we_met(pair, planned[pair.id])
                else:
                    await load.report_all((OWNER, MEMBER)[number % 2], [(pair, f"kept-{pair.id}", end_of(planned[pair.id]))])

        await asyncio.gather(*(say(number, pair) for number, pair in enumerate(said)))
        await load.go_to(over + timedelta(hours=24, minutes=5))
