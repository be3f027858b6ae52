"""More than 20,000 events while everything is killed at random: the ledger kept outside agrees."""

import asyncio
import itertools
import os
import random
import secrets
import time

import httpx
import pytest

from benchmarks.chaos.draw import Faults, short
from benchmarks.chaos.faults import Site
from benchmarks.chaos.ledger import (
    Disagreements,
    compare_mails,
    compare_numbers,
    compare_states,
    compare_topics,
    quiet,
    read_topics,
)
from benchmarks.chaos.load import OWNER, Load
from benchmarks.chaos.pace import Pace
from benchmarks.chaos.story import Story
from benchmarks.chaos.tell import short_table, summary
from deploy.local.platform import Platform

PAIRS, ROUNDS = 300, 11
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
    limits = httpx.Limits(max_connections=60, max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=8, limits=limits) as http:
        pace, story = Pace(), Story(PAIRS, ROUNDS)
        site = Site(crowd, random.Random(rng.random()))
        faults = Faults(site)
        load = Load(crowd, http, random.Random(rng.random()), pace)
        await load.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(faults.paced(short(site.rng), pace))
            group.create_task(story.play(load, rng))
        database, kafka = crowd.addresses["postgres"], crowd.addresses["kafka"]
        await quiet(database, kafka, 240)
        story.times["quiet"] = time.monotonic()
        facts = (await read_topics(kafka)).facts
        wrong = Disagreements()
        path = f"/v1/programs/{load.owned}/summary"
        numbers = await load.json("GET", "analytics", path, key=load.keys[OWNER], learning=True)
        compare_topics(load.ledger, facts, wrong)
        await compare_states(load.ledger, database, wrong)
        compare_numbers(load.ledger, numbers, facts, load.owned, wrong)
        doubled = await compare_mails(load.ledger, facts, database, crowd.addresses["mailbox"], wrong)
    with capsys.disabled():
        marks = [("", began), *story.times.items()]
        print(short_table(faults), summary(load.calls, facts, doubled), sep="\n")
        print("  ".join(f"{name} {at - before:.0f} s" for (_, before), (name, at) in itertools.pairwise(marks)))
    assert not wrong, f"seed {seed}\n{wrong}"
    assert len(facts) >= LEAST_EVENTS
