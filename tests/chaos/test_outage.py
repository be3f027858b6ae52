"""Kafka is away while a meeting's grace ends: what partners reported meanwhile is read before anyone says that it was missed."""

import asyncio
import random
from datetime import timedelta

import httpx
import pytest

from benchmarks.chaos.ledger import Disagreements, compare_topics, quiet, read_topics
from benchmarks.chaos.load import OWNER, Load, end_of
from deploy.local.platform import Platform

PAIRS = 12

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


async def test_reports_taken_in_an_outage_of_kafka_are_read_before_missed_is_decided(crowd: Platform):
    async with httpx.AsyncClient(timeout=10) as http:
        load = Load(crowd, http, random.Random(1))
        await load.open()
        pairs = await load.paired(PAIRS)
        await load.sign(pairs, from_mail=0)
        await load.knows_pairs()
        await load.meetings(pairs, "proposed")
        await load.go_to(await load.now() + timedelta(days=3, minutes=1))
        planned = await load.meetings(pairs, "scheduled")
        over = max(map(end_of, planned.values()))
        await load.go_to(over + timedelta(minutes=10))
        await quiet(crowd.addresses["postgres"], crowd.addresses["kafka"], 60)
        await asyncio.to_thread(crowd.kill, "kafka")
        await load.report_all(OWNER, [(pair, f"kept-{pair.id}", end_of(planned[pair.id])) for pair in pairs])
        await load.go_to(over + timedelta(hours=24, minutes=5))
        await asyncio.to_thread(crowd.restart, "kafka")
        await quiet(crowd.addresses["postgres"], crowd.addresses["kafka"], 120)
        wrong = Disagreements()
        compare_topics(load.ledger, (await read_topics(crowd.addresses["kafka"])).facts, wrong)
        assert not wrong, str(wrong)
