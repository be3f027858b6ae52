"""Timer, event and click on the same pairs from two copies at once; an outage with reports waiting."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import asyncpg
import pytest

from services.scheduling.main import build
from shared.events import EndReason, Format, MeetingHeld, MeetingMissed, Milestone, PersonEnrolled
from tests.conftest import alone, vouched
from tests.producing import send
from tests.scheduling.conftest import PAGE, Pair, Scene, browser, running, until

DAY = timedelta(days=1)
GRACE = 240
PAIRS, ROUNDS = 36, 5
BACKLOG = 1500
PATIENCE = 150
"""Seconds, on a machine that may be busy."""


@pytest.fixture
async def two(stage, log):
    """The same scene through each of two copies."""
    first, second = (alone(build(stage.settings("scheduling", copy)), stage) for copy in "ab")
    db = await asyncpg.connect(stage.superuser)
    async with (
        vouched(stage),
        first.running(),
        second.running(),
        browser(first) as left,
        browser(second) as right,
    ):
        scene = Scene(stage, log, first, db, left)

        async def both_read():
            shares = [len(service.consumer.start) for service in (first, second)]
            return all(shares) and sum(shares) == first.consumer.partitions

        assert await until(both_read, PATIENCE)
        yield scene, [left, right]
    await db.close()


async def click(http, scene, action, thing, person, version, **form):
    answer = await http.post(scene.url(action, thing, person, version), data=form, headers=PAGE)
    assert answer.status_code in {303, 409}, answer.text


def latest(scene, pair, *names):
    return [w.event for w in scene.log.of(pair.id) if w.name in names][-1]


async def contest(scene, clients, pairs, number):
    """One round: both pick at once, both move at once; then report, click and timer at once. The meetings that were reported."""
    dice = random.Random(number)

    def proposed(pair):
        found = [w.event for w in scene.log.of(pair.id) if w.name == "MeetingProposed"]
        return len(found) > number

    async def all_proposed():
        return all(proposed(pair) for pair in pairs)

    assert await until(all_proposed, PATIENCE)
    for version in (0, 1):
        clicks = []
        for pair in pairs:
            meeting = latest(scene, pair, "MeetingProposed")
            for person, http in zip((pair.mentor, pair.mentee), dice.sample(clients, 2), strict=True):
                slot = dice.choice(meeting.slots).isoformat()
                clicks.append(click(http, scene, "pick", meeting.meeting_id, person, version, slot=slot))
        await asyncio.gather(*clicks)

    async def settled():
        return not await scene.db.fetchval("select count(*) from scheduling.outbox")

    assert await until(settled, PATIENCE)
    await asyncio.sleep(0.2)
    planned = {pair.id: latest(scene, pair, "MeetingScheduled", "MeetingRescheduled") for pair in pairs}
    ends = [event.starts_at + timedelta(minutes=event.minutes) for event in planned.values()]
    await scene.clock_past(max(ends))

    reported = [pair for n, pair in enumerate(pairs) if n % 3 == 0]
    silent = [pair for n, pair in enumerate(pairs) if n % 3 == 1]
    clicking = [pair for n, pair in enumerate(pairs) if n % 3 == 2]
    events = [pair.report(planned[pair.id].starts_at, minutes=30) for pair in reported]
    await send(scene.stage.kafka, events, organization=scene.owner, program=scene.program)
    later = scene.clock_past(max(ends) + timedelta(hours=GRACE, minutes=1))
    clicks = [
        click(http, scene, "met", planned[pair.id].meeting_id, person, 0, met=dice.choice(["yes", "no"]))
        for pair in [*clicking, *reported]
        for person, http in zip((pair.mentor, pair.mentee), dice.sample(clients, 2), strict=True)
    ]
    await asyncio.gather(later, *clicks)
    spoken = {planned[pair.id].meeting_id for pair in reported}
    return spoken, {planned[pair.id].meeting_id for pair in silent}


@pytest.mark.timeout(600)
async def test_the_order_of_a_pair_holds_and_nobody_is_falsely_missed(two):
    scene, clients = two
    await scene.launch(grace_hours=GRACE, misses_before_stalled=2, agreement={"months": 60, "every_weeks": 5})
    pairs = []
    for _ in range(PAIRS):
        mentor, mentee = scene.person("Europe/London"), scene.person("Africa/Lagos", scene.guest)
        await_match = scene.match(mentor, mentee)
        pairs.append((Pair(scene, await_match.relationship_id, mentor, mentee), await_match))
    await scene.send(*(scene.record(PersonEnrolled, p) for pair, _ in pairs for p in (pair.mentor, pair.mentee)))
    await scene.send(*(match for _, match in pairs))
    pairs = [pair for pair, _ in pairs]
    for pair in pairs:
        await scene.log.wait(pair.id, "AgreementProposed", seconds=PATIENCE)
    signs = [
        click(dice, scene, "sign", p.id, who, 1) for p in pairs for who, dice in zip((p.mentor, p.mentee), clients, strict=True)
    ]
    await asyncio.gather(*signs)

    spoken, silent = set(), set()
    for number in range(ROUNDS):
        said, unsaid = await contest(scene, clients, pairs, number)
        spoken |= said
        silent |= unsaid

    async def all_decided():
        return all(scene.log.names(pair.id).count("MeetingProposed") > ROUNDS for pair in pairs)

    assert await until(all_decided, PATIENCE)
    outcomes = Counter()
    for pair in pairs:
        outcomes += check_order(scene, pair, spoken, silent)
    assert outcomes["held"] >= PAIRS * ROUNDS // 3
    assert outcomes["missed"] >= PAIRS * ROUNDS // 3
    left = await scene.db.fetchval("select count(*) from scheduling.held_keys where key = any($1)", [str(p.id) for p in pairs])
    assert not left


def check_order(scene, pair, spoken, silent):
    """A pair's events on the topic, in its order: sequence and revision rise by one, and each meeting comes to what it must."""
    names = scene.log.names(pair.id)
    assert names.count("AgreementSigned") == 2
    milestones = [written.event.milestone for written in scene.log.of(pair.id) if written.name == "MilestoneReached"]
    assert len(milestones) == len(set(milestones))
    assert (Milestone.first_meeting in milestones) == ("MeetingHeld" in names)
    sequence, last, outcomes = Counter(), {}, Counter()
    stalled = False
    for written in scene.log.of(pair.id):
        event = written.event
        meeting = getattr(event, "meeting_id", None)
        if written.name in {"MeetingScheduled", "MeetingRescheduled"}:
            assert event.sequence == sequence[meeting] + 1
            sequence[meeting] += 1
            assert meeting not in last
        elif written.name in {"PairStalled", "PairRecovered"}:
            assert stalled == (written.name == "PairRecovered")
            stalled = not stalled
        elif isinstance(event, MeetingMissed):
            assert meeting not in last
            assert event.revision == 1
            by_timer = event.absent != "other"  # two who say "no" are one too, until the report is read
            assert not (by_timer and meeting in spoken), "missed though a report lay waiting"
            last[meeting] = event
            outcomes["missed"] += 1
        elif isinstance(event, MeetingHeld):
            before = last.get(meeting)
            if isinstance(before, MeetingHeld):
                assert event == before
                continue
            assert event.revision == (before.revision if before else 0) + 1
            assert event.corrects_missed == isinstance(before, MeetingMissed)
            last[meeting] = event
            outcomes["held"] += 1
            outcomes["missed"] -= event.corrects_missed
    for meeting, event in last.items():
        assert meeting not in spoken or isinstance(event, MeetingHeld)
        assert meeting not in silent or isinstance(event, MeetingMissed)
    return outcomes


async def test_after_an_outage_what_was_reported_is_read_before_anything_is_missed(stage, log):
    async with running(stage, log, "a") as scene:
        pairs = [await scene.pair() for _ in range(5)]
        planned = [await pair.scheduled() for pair in pairs]
        await scene.clock_past(max(p.starts_at for p in planned) + timedelta(hours=23))
        owner, spoken, silent = scene, pairs[:4], pairs[4]
        before = {pair.id: log.names(pair.id) for pair in pairs}
    for pair, meeting in zip(spoken, planned, strict=False):
        backlog = [pair.report(meeting.starts_at - 20 * DAY)] * BACKLOG  # of a meeting before, told again and again
        await send(stage.kafka, [*backlog, pair.report(meeting.starts_at)], organization=owner.owner, program=owner.program)
    await stage.move_clock(timedelta(hours=6))
    async with running(stage, log, "a"):
        await log.wait(silent.id, "MeetingMissed", seconds=PATIENCE)
        for pair in spoken:
            await log.wait(pair.id, "MeetingHeld", BACKLOG + 1, seconds=PATIENCE)
            assert "MeetingMissed" not in log.names(pair.id)[len(before[pair.id]) :]


async def test_after_an_outage_each_conversation_is_held_or_missed_and_over_once(stage, log):
    async with running(stage, log, "a") as scene:
        pairs = [await scene.pair(Format.conversation) for _ in range(4)]
        proposed = [await log.wait(pair.id, "MeetingProposed") for pair in pairs]
        for pair, meeting in zip(pairs, proposed, strict=True):
            await scene.do("pick", meeting.meeting_id, pair.mentor, 0, slot=meeting.slots[0].isoformat())
        planned = [await log.wait(pair.id, "MeetingScheduled") for pair in pairs]
        await scene.clock_past(max(meeting.starts_at for meeting in planned) + timedelta(hours=23))
    silent, spoken = pairs[0], pairs[1:]
    for pair, meeting in zip(spoken, planned[1:], strict=True):
        again = scene.match(pair.mentor, pair.mentee, pair.id, Format.conversation)
        await send(stage.kafka, [again, *[pair.report(meeting.starts_at)] * 3], organization=scene.owner, program=scene.program)
    await stage.move_clock(timedelta(hours=6))
    async with running(stage, log, "a"):
        await log.wait(silent.id, "MeetingMissed")
        for pair in spoken:
            ended = await log.wait(pair.id, "PairEnded")
            assert (ended.reason, ended.meetings_held) == (EndReason.completed, 1)
        assert "PairEnded" not in log.names(silent.id)
        await stage.move_clock(7 * DAY)
        ended = await log.wait(silent.id, "PairEnded")
        assert (ended.reason, ended.meetings_held) == (EndReason.completed, 0)
    for pair in spoken:
        await log.wait(pair.id, "MeetingHeld", 3)  # each report is answered, by the same fact
        told = [written.event for written in log.of(pair.id) if written.name == "MeetingHeld"]
        assert all(event == told[0] for event in told)
        assert [name for name in log.names(pair.id) if name not in {"ReminderDue", "MeetingHeld"}] == [
            "MeetingProposed",
            "MeetingScheduled",
            "PairEnded",
        ]
