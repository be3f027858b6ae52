"""Faults at random, from a seed: every service, every relay's leader, Kafka, PostgreSQL, a frozen process."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from deploy.local.platform import Platform
from deploy.local.processes import PartError
from shared.events import SERVICES

FROZEN_SECONDS = 12.0
"""Longer than Kafka's groups wait for a member and PostgreSQL for a transaction that idles."""
LEADER, ANY = "relay leader", "a copy"
NEAR = 0.06
"""By which faults and load may be ahead of each other, as a share of the whole."""


@dataclass
class Faults:
    """A plan of faults and how far it has come. Load and faults wait for each other (`keep_up`), so that all of the load goes on
    under faults and all of the faults come under load.
    """

    platform: Platform
    rng: random.Random
    each: int = 6
    """Kills of each service, every second one of the copy that leads its relay."""
    pause: tuple[float, float] = (0.2, 1.2)
    """Seconds between two faults, from and to."""
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    share: float = 0.0
    load: float = 0.0
    """How far the load has come; the faults of that share may come now."""
    frozen: str = ""

    def __post_init__(self) -> None:
        self.plan = [(service, ANY if n % 2 else LEADER) for service in SERVICES for n in range(self.each)]
        self.rng.shuffle(self.plan)
        for what, low, high in (("kafka", 0.2, 0.4), ("postgres", 0.5, 0.65), ("freeze", 0.7, 0.85)):
            self.plan.insert(round(len(self.plan) * self.rng.uniform(low, high)), (what, ""))
        self.moved = asyncio.Condition()

    async def keep_up(self, load: float) -> None:
        """So much of the load has been: wait for the faults where they are behind."""
        async with self.moved:
            self.load = max(self.load, load)
            self.moved.notify_all()
            await self.moved.wait_for(lambda: self.share >= min(load - NEAR, 1.0))

    async def run(self) -> None:
        """All faults in the plan's order."""
        thaws = []
        for n, (what, how) in enumerate(self.plan, 1):
            share = n / len(self.plan)
            await asyncio.sleep(self.rng.uniform(*self.pause))
            async with self.moved:
                await self.moved.wait_for(lambda share=share: share <= self.load + NEAR)
            if what == "kafka":
                await self.part("kafka", signal.SIGKILL)
            elif what == "postgres":
                await self.part("postgres", signal.SIGQUIT)  # an immediate shutdown: as after a crash
            elif what == "freeze":
                thaws.append(asyncio.create_task(self.freeze()))
            else:
                await self.kill(what, how)
            async with self.moved:
                self.share = share
                self.moved.notify_all()
        await asyncio.gather(*thaws)

    def alive(self, service: str) -> list[str]:
        """The copies of a service that have had the time to start."""
        return [
            name
            for name, child in self.platform.children.items()
            if name.startswith(f"{service}-") and child.pid and time.monotonic() - child.started > 2 and name != self.frozen
        ]

    async def kill(self, service: str, how: str) -> None:
        """SIGKILL a copy that runs; the platform's watch starts it again."""
        copies = await until(f"a copy of {service} that runs", lambda: self.alive(service), 60)
        name = self.rng.choice(sorted(copies))
        if how == LEADER:
            name = await self.leader(service) or name
        await asyncio.to_thread(self.platform.kill, name)
        self.done[service, how] += 1

    async def leader(self, service: str) -> str:
        """The copy that leads the service's relay, by its own word; none where nobody does just now."""
        async with httpx.AsyncClient(timeout=3) as http:
            for name in sorted(self.alive(service)):
                report = await health(http, self.platform, name)
                if report.get("relay") == "leads":
                    return name
        return ""

    async def part(self, name: str, sign: signal.Signals) -> None:
        """Kafka or PostgreSQL goes down without a word and comes back."""
        await asyncio.to_thread(self.platform.kill, name, sign)
        for _ in range(3):
            try:
                await asyncio.to_thread(self.platform.restart, name)
                break
            except PartError:  # slow on a busy machine
                continue
        self.done[name, "killed and started"] += 1

    async def freeze(self) -> None:
        """A copy stands still, perhaps within a transaction, and goes on as if nothing had been."""
        service = self.rng.choice(("scheduling", "notifications", "gateway"))
        name = self.rng.choice(sorted(await until("a copy to freeze", lambda: self.alive(service), 60)))
        self.frozen = name
        self.platform.kill(name, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_SECONDS)
        finally:
            self.platform.kill(name, signal.SIGCONT)
            self.frozen = ""
        self.done[service, f"frozen {FROZEN_SECONDS:.0f} s"] += 1


async def until(what: str, ask: Callable[[], Sequence[str]], seconds: float) -> Sequence[str]:
    """Ask until there is an answer."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        await asyncio.sleep(0.1)
    return answer


def address(platform: Platform, name: str) -> str:
    """A copy's own address."""
    return f"http://127.0.0.1:{platform.ports[name]}"


async def health(http: httpx.AsyncClient, platform: Platform, name: str) -> dict[str, object]:
    """What a copy says of itself; nothing where it is away."""
    try:
        report: dict[str, object] = (await http.get(f"{address(platform, name)}/health/ready")).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return report
