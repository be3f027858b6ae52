"""More than 20,000 events while everything is killed at random: the ledger kept outside agrees."""

import asyncio
import itertools
import os
import random
import secrets
import time
from collections import Counter
from datetime import timedelta

import httpx
import pytest

from deploy.local.platform import Platform
from tests.chaos.faults import Faults
from tests.chaos.ledger import Disagreements, Pair, compare_mails, compare_states, compare_topics, quiet, read_topics
from tests.chaos.load import MEMBER, OWNED, OWNER, Load, end_of

PAIRS, ROUNDS, WORKERS = 300, 11, 12
LEAST_EVENTS = 20_000

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


@pytest.fixture(scope="session")
def seed() -> int:
    """Of all that is left to chance here; the order in which processes get to run isn't."""
    return int(os.environ.get("ITHACA_SEED") or secrets.randbelow(1_000_000))


async def test_nothing_is_lost_nothing_twice_and_all_in_order_under_kills(crowd: Platform, seed: int, capsys):
    rng = random.Random(seed)
    with capsys.disabled():
        print(f"\nseed {seed} (ITHACA_SEED={seed} chooses the same again)")
    began = time.monotonic()
    times: dict[str, float] = {}
    limits = httpx.Limits(max_connections=60, max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=8, limits=limits) as http:
        faults = Faults(crowd, random.Random(rng.random()))
        load = Load(crowd, http, random.Random(rng.random()), faults)
        async with asyncio.TaskGroup() as group:
            group.create_task(faults.run())
            group.create_task(play(load, rng, times))
        database, kafka = crowd.addresses["postgres"], crowd.addresses["kafka"]
        await quiet(database, kafka, 240)
        times["quiet"] = time.monotonic()
        facts = await read_topics(kafka)
        wrong = Disagreements()
        summary = await load.json("GET", "analytics", f"/v1/programs/{OWNED}/summary", key=load.keys[OWNER], learning=True)
        compare_topics(load.ledger, facts, wrong)
        await compare_states(load.ledger, summary, facts, database, wrong)
        doubled = await compare_mails(load.ledger, facts, database, crowd.addresses["mailbox"], wrong)
    with capsys.disabled():
        marks = [("", began), *times.items()]
        print(table(load, faults, facts, doubled))
        print("  ".join(f"{name} {at - before:.0f} s" for (_, before), (name, at) in itertools.pairwise(marks)))
    assert not wrong, f"seed {seed}\n{wrong}"
    assert len(facts) >= LEAST_EVENTS


async def play(load: Load, rng: random.Random, times: dict[str, float]) -> None:
    """Enrolment, a match, signatures, meetings reported, and one meeting that each pair keeps, reports or is silent about."""
    ledger = load.ledger
    await load.open()
    await load.enrol(PAIRS)
    await load.match()
    pairs = list(ledger.pairs.values())
    assert len(pairs) == PAIRS
    times["matched"] = time.monotonic()
    await asyncio.gather(load.sign(pairs), load.knows_pairs())
    times["signed"] = time.monotonic()
    await report_many(load, pairs)
    times["reported"] = time.monotonic()
    await plan(load, pairs, rng)
    times["planned"] = time.monotonic()
    await meet(load, pairs, rng)
    await load.step(1.0, 1.2, 1, 1)
    times["met"] = time.monotonic()


async def report_many(load: Load, pairs: list[Pair]) -> None:
    """Partners report a row of past meetings for each pair, in their order."""
    first = await load.now() - timedelta(days=ROUNDS + 1)

    async def worker(n: int) -> None:
        mine, organization = pairs[n::WORKERS], (OWNER, MEMBER)[n % 2]
        for number in range(ROUNDS):
            await load.step(0.3, 0.6, number, ROUNDS)
            await load.report_rounds(mine, range(number, number + 1), first, organization)

    await asyncio.gather(*(worker(n) for n in range(WORKERS)))


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


def table(load: Load, faults: Faults, facts: list, doubled: int) -> str:
    topics = Counter(fact.topic for fact in facts)
    again = len(facts) - len({fact.id for fact in facts})
    services: dict[str, list[str]] = {}
    for (what, how), count in sorted(faults.done.items()):
        services.setdefault(what, []).append(f"{how} × {count}")
    lines = [f"{what:14} {', '.join(how)}" for what, how in services.items()]
    lines.append(f"{'events':14} {len(facts)}: " + ", ".join(f"{topic} {count}" for topic, count in topics.most_common()))
    lines.append(f"{'sent again':14} {again} events by relays, {doubled} mails with the same Message-ID")
    lines.append(
        f"{'outside':14} {load.answered} calls answered, {load.tries - load.answered} tried again; longest stall {load.stall[0]:.1f} s ({load.stall[1]})"
    )
    return "\n".join(lines)
