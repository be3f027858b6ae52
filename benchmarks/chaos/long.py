"""The long run: program after program is played while faults of every kind strike; then quiet, and the ledger is compared."""

import asyncio
import functools
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from standardwebhooks.webhooks import Webhook

from benchmarks.chaos.draw import Faults
from benchmarks.chaos.faults import KillJob, Site
from benchmarks.chaos.ground import Ground
from benchmarks.chaos.ledger import (
    Disagreements,
    Ledger,
    Log,
    compare_held,
    compare_mails,
    compare_numbers,
    compare_states,
    compare_topics,
    compare_webhooks,
    quiet,
    read_topics,
)
from benchmarks.chaos.load import OWNER, Load
from benchmarks.chaos.story import Story
from benchmarks.chaos.tell import chains, fault_table, longest, stalls, summary
from deploy.demo.outside import Receiver

PAIRS, ROUNDS = 150, 50
PATIENCE = 600.0
"""A half-open connection of Kafka's is noticed after two minutes; two of them, and a copy that starts, are no failure yet."""
PAUSE = (0.5, 4.0)
HOOKED = ("PairCreated", "MeetingMissed", "PairEnded")
"""What the partner's webhook asks for."""


@dataclass
class Result:
    """How a run ended."""

    seed: int
    faults: int
    events: int
    wrong: Disagreements
    text: str
    seconds: dict[str, float] = field(default_factory=dict)


async def run(home: Path, minutes: float, seed: int, say: Callable[[str], None]) -> Result:
    """Load and faults for so many minutes, then quiet, then the comparison. Raises AssertionError where something never comes."""
    rng = random.Random(seed)
    platform = Ground(home)
    await asyncio.to_thread(platform.start)
    try:
        if not platform.disk.mounted:
            say("The disk can't be filled: a small file system of our own needs root. Skipped.")
        async with AsyncExitStack() as stack:
            limits = httpx.Limits(max_connections=60, max_keepalive_connections=20)
            http = await stack.enter_async_context(httpx.AsyncClient(timeout=8, limits=limits))
            receiver = await stack.enter_async_context(Receiver())
            first = Load(platform, http, random.Random(rng.random()), patience=PATIENCE)
            faults = Faults(Site(platform, random.Random(rng.random())), PAUSE, log=platform.home / "log/faults.log")
            return await Run(first, faults, receiver, rng, say, seed).all(minutes)
    finally:
        await asyncio.to_thread(platform.stop)


@dataclass
class Run:
    """Programs one after the other, and what was acknowledged of each."""

    first: Load
    faults: Faults
    receiver: Receiver
    rng: random.Random
    say: Callable[[str], None]
    seed: int
    played: list[Load] = field(default_factory=list)

    async def all(self, minutes: float) -> Result:
        began = time.monotonic()
        await self.open()
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.faults.endless(ended))
            group.create_task(self.play(began + 60 * minutes, ended))
        loaded = time.monotonic()
        self.say(f"{len(self.faults.struck)} faults, {len(self.played)} programs in {loaded - began:.0f} s; waiting for quiet")
        addresses = self.first.platform.addresses
        await quiet(addresses["postgres"], addresses["kafka"], PATIENCE, poisoned=True)
        rested = time.monotonic()
        result = await self.compare(await read_topics(addresses["kafka"]))
        result.seconds = {"load": loaded - began, "quiet": rested - loaded, "compared": time.monotonic() - rested}
        return result

    async def open(self) -> None:
        """The organizations, and the owner's webhook."""
        await self.first.open()
        body = {"url": self.receiver.url, "types": [f"ithaca.{name}" for name in HOOKED]}
        made = await self.first.json(
            "POST", "notifications", "/v1/webhooks", key=self.first.keys[OWNER], json=body, learning=True
        )
        self.receiver.webhook = Webhook(made["secret"])

    async def play(self, until: float, ended: asyncio.Event) -> None:
        """Program after program; the last one that is begun is played to its end."""
        try:
            while time.monotonic() < until:
                number = len(self.played)
                load = self.first.another(f"harbour{number}", number * PAIRS)
                self.played.append(load)
                load.matching = functools.partial(self.faults.strike, KillJob())
                story = Story(PAIRS, ROUNDS)
                began = time.monotonic()
                await story.play(load, self.rng)
                silent = [pair for pair in load.ledger.pairs.values() if pair.id in load.ledger.silent]
                await load.meetings(silent, "missed")  # an end of the relationship would come before the timer
                await load.close()
                self.say(
                    f"program {number}: {time.monotonic() - began:.0f} s; {len(self.faults.struck)} faults so far, "
                    f"{self.first.calls.answered} calls answered"
                )
        finally:
            ended.set()

    async def compare(self, log: Log) -> Result:
        """The ledger against the topics, the databases, the mailbox, the webhook and analytics."""
        wrong, facts = Disagreements(), log.facts
        ledger = functools.reduce(Ledger.__or__, (load.ledger for load in self.played))
        database, mailbox = (self.first.platform.addresses[name] for name in ("postgres", "mailbox"))
        compare_topics(ledger, facts, wrong)
        await compare_states(ledger, database, wrong)
        for load in self.played:
            path = f"/v1/programs/{load.owned}/summary"
            numbers = await load.json("GET", "analytics", path, key=load.keys[OWNER], learning=True)
            compare_numbers(load.ledger, numbers, facts, load.owned, wrong)
        doubled = await compare_mails(ledger, facts, database, mailbox, wrong)
        await compare_held(log, database, wrong)
        compare_webhooks(facts, HOOKED, self.receiver.events, wrong)
        wrong.note("webhooks with a wrong signature", self.receiver.refused, when=self.receiver.refused > 0)
        reported = chains(ledger, facts)
        text = "\n".join(
            (
                fault_table(stalls(self.faults, self.first.calls, reported)),
                "",
                summary(self.first.calls, facts, doubled),
                f"{'to decision':14} {longest(reported)}",
                f"{'poison':14} {len(log.poison)} records, parked and nothing else held",
                f"{'webhooks':14} {len(self.receiver.events)} facts heard of",
                f"{'not done':14} " + (", ".join(f"{name} × {n}" for name, n in self.faults.skipped.items()) or "nothing"),
            )
        )
        return Result(self.seed, len(self.faults.struck), len(facts), wrong, text)
