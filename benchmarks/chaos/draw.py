"""Which faults come, and when: a fixed number in step with the load (the test), or without end while load runs on (the bench)."""

import asyncio
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chaos.faults import (
    BrokerLeader,
    ClockJump,
    Cut,
    Fault,
    Freeze,
    FullDisk,
    HalfOpen,
    Kill,
    KillLeader,
    OneMore,
    Poisoned,
    PostgresDown,
    Repeat,
    Site,
    Slow,
)
from benchmarks.chaos.pace import Pace
from shared.events import SERVICES

LASTING = 2
"""So many of those that last go on at once."""


@dataclass(frozen=True)
class Strike:
    """A fault that was: from when to when, in `time.time()`."""

    name: str
    began: float
    ended: float
    felt: float = 0.0
    """So many seconds more until those inside must have noticed."""


def short(rng: random.Random, each: int = 6) -> list[Fault]:
    """The kinds that need nothing but signals: each service and its relay's leader by turns, Kafka, PostgreSQL, one that is frozen."""
    plan: list[Fault] = [Kill(service) if n % 2 else KillLeader(service) for service in SERVICES for n in range(each)]
    rng.shuffle(plan)
    frozen = Freeze(rng.choice(("scheduling", "notifications", "gateway")), 12.0)
    for fault, low, high in ((BrokerLeader(), 0.2, 0.4), (PostgresDown(), 0.5, 0.65), (frozen, 0.7, 0.85)):
        plan.insert(round(len(plan) * rng.uniform(low, high)), fault)
    return plan


def deck() -> list[Fault]:
    """Every kind, the cheap ones more often."""
    by_service = [kind(service) for service in SERVICES for kind in (Kill, Kill, KillLeader)]
    lines: list[Fault] = [kind(line) for line in ("kafka", "postgres") for kind in (Cut, Cut, Slow, HalfOpen)]
    return [
        *by_service, *lines, *(Freeze(service) for service in SERVICES[:3]), BrokerLeader(), PostgresDown(),
        PostgresDown(signal.SIGKILL), Repeat(), Repeat(), Repeat(), Poisoned(), Poisoned(), ClockJump(), ClockJump(), FullDisk(),
        *(OneMore(service) for service in SERVICES[1:3]),
    ]  # fmt: skip


@dataclass
class Faults:
    """Faults as they strike, and what is known of each afterwards."""

    site: Site
    pause: tuple[float, float] = (0.2, 1.2)
    """Seconds between two faults, from and to."""
    struck: list[Strike] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """What could not be done, such as filling a disk without being root."""
    log: Path | None = None
    """Where each is written down as well, for whoever looks for the cause of a failure."""
    lasting: int = 0
    """So many go on aside."""

    async def paced(self, plan: Sequence[Fault], pace: Pace) -> None:
        """All of these, in step with the load."""
        async with asyncio.TaskGroup() as lasting:
            for n, fault in enumerate(plan, 1):
                await asyncio.sleep(self.site.rng.uniform(*self.pause))
                await pace.wait(n / len(plan))
                await self.begin(fault, lasting)
                await pace.done(n / len(plan))

    async def endless(self, ended: asyncio.Event, more: Callable[[], list[Fault]] = deck) -> None:
        """A deck of all kinds in an order that is drawn, and another, until the load has ended."""
        drawn: list[Fault] = []
        async with asyncio.TaskGroup() as lasting:
            while not ended.is_set():
                await asyncio.sleep(self.site.rng.uniform(*self.pause))
                if all(fault.aside for fault in drawn):  # those that last wait below for their turn
                    another = more()
                    self.site.rng.shuffle(another)
                    drawn += another
                fault = drawn.pop()
                if fault.aside and self.lasting >= LASTING:
                    drawn.insert(0, fault)
                else:
                    await self.begin(fault, lasting)

    async def begin(self, fault: Fault, lasting: asyncio.TaskGroup) -> None:
        """One that lasts goes on aside."""
        if fault.aside:
            self.lasting += 1
            lasting.create_task(self.strike(fault)).add_done_callback(self.over)
        else:
            await self.strike(fault)

    def over(self, _: asyncio.Task[None]) -> None:
        self.lasting -= 1

    async def strike(self, fault: Fault) -> None:
        began = time.time()
        if await fault.strike(self.site):
            self.struck.append(Strike(fault.name, began, time.time(), fault.felt))
            self.write(self.struck[-1])
        else:
            self.skipped[fault.name] += 1

    def write(self, strike: Strike) -> None:
        if self.log is not None:
            began, ended = (
                datetime.fromtimestamp(at, UTC).time().isoformat("milliseconds") for at in (strike.began, strike.ended)
            )
            with self.log.open("a") as file:
                file.write(f"{began} {ended} {strike.name}\n")

    @property
    def done(self) -> dict[str, list[Strike]]:
        """By name."""
        found: dict[str, list[Strike]] = defaultdict(list)
        for strike in sorted(self.struck, key=lambda strike: strike.name):
            found[strike.name].append(strike)
        return found
