"""Copies of scheduling are killed while people click, and click again: each milestone is reached once, and told once."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import httpx
import pytest

from shared.events import PersonEnrolled
from tests.scheduling.conftest import PAGE, Pair, Scene, until

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
PAIRS, KILLS = 8, 3
OWN = [{"code": "talk", "name": "A talk"}]
ALL = {
    "goals_set",
    "first_meeting",
    "fifth_meeting",
    "first_step_done",
    "first_goal_attained",
    "of_the_program:talk",
}


class Copies:
    """Copies of the service as processes of their own, each at its own port."""

    def __init__(self, stage):
        settings = stage.settings("scheduling")
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ITHACA_KAFKA": settings.kafka,
            "ITHACA_DATABASE": settings.database,
            "ITHACA_URLS": json.dumps(settings.urls),
            "ITHACA_LINK_SECRET": settings.link_secret,
            "ITHACA_SECRET_KEY": settings.secret_key,
            "OTEL_TRACES_EXPORTER": "none",
        }
        self.ports = {copy: free_port() for copy in ("1", "2")}
        self.running = {}

    async def start(self, copy):
        env = self.env | {"ITHACA_COPY": copy, "ITHACA_HTTP": f"127.0.0.1:{self.ports[copy]}"}
        quiet = asyncio.subprocess.DEVNULL
        command = [sys.executable, "-m", "services.scheduling.main"]
        self.running[copy] = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stdout=quiet, stderr=quiet)

    async def kill(self, copy):
        process = self.running.pop(copy)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def stop(self):
        """Those that still run: nothing they could lose is left."""
        for process in self.running.values():
            process.kill()
            await process.wait()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Clicks:
    """People whose clicks go to either copy, and who try again where none answers."""

    def __init__(self, scene, copies, asked):
        self.scene, self.copies, self.asked = scene, copies, asked
        self.answered = self.refused = 0

    async def click(self, action, pair, person, goal=None, **form):
        """POST until it is answered, and the page that then stands there."""
        path = self.scene.url(action, pair.id, person, 1) + (f"&goal={goal}" if goal else "")
        async with httpx.AsyncClient(timeout=20) as http:
            while True:
                where = f"http://127.0.0.1:{random.choice(list(self.copies.ports.values()))}"
                try:
                    answer = await http.post(where + path, data=form, headers=PAGE, follow_redirects=True)
                except httpx.TransportError:
                    self.refused += 1
                    await asyncio.sleep(0.05)  # a person tries again; there is nothing else to wait on
                    continue
                if answer.status_code < 500:
                    self.answered += 1
                    assert answer.status_code == 200, answer.text
                    return answer.text

    async def twice(self, *about, **form):
        """As a double click does."""
        return (await asyncio.gather(*(self.click(*about, **form) for _ in range(2))))[-1]

    async def live(self, pair):
        """A goal, a step that is done, both say that it is reached; and the program's own milestone. All of it twice."""
        await self.twice("goals", pair, pair.mentee, do="set", form="1", text="Sail", kind="technical", skills="sailing")
        goal = await self.asked("select id from scheduling.goals where relationship_id = $1", pair.id)
        await self.twice("goals", pair, pair.mentor, goal, do="step", form="2", text="Knots", kind="practice")
        step = await self.asked("select steps->0->>'id' from scheduling.goals where id = $1", goal)
        await self.twice("goals", pair, pair.mentee, goal, done=step)
        await asyncio.gather(
            self.twice("goals", pair, pair.mentor, goal, do="reached"),
            self.twice("goals", pair, pair.mentee, goal, do="reached"),
            self.twice("goals", pair, random.choice([pair.mentor, pair.mentee]), do="milestone", own="talk"),
            self.twice("skills", pair, pair.mentee, whose=str(pair.mentee), skill0="2 own:sailing"),
            self.twice("skills", pair, pair.mentor, whose=str(pair.mentee), skill0="4 own:sailing"),
        )


@pytest.fixture
async def scene(stage, log):
    """One whose service runs as copies of its own."""
    clock = SimpleNamespace(now=lambda: datetime.now(UTC))
    db = await asyncpg.connect(stage.superuser)
    yield Scene(stage, log, SimpleNamespace(database=SimpleNamespace(clock=clock)), db, None)
    await db.close()


async def matched(scene):
    await scene.launch(milestones=OWN)
    pairs = []
    for _ in range(PAIRS):
        mentor, mentee = scene.person("Africa/Lagos"), scene.person("Africa/Lagos")
        await scene.send(*(scene.record(PersonEnrolled, p) for p in (mentor, mentee)))
        match = scene.match(mentor, mentee)
        await scene.send(match)
        pairs.append(Pair(scene, match.relationship_id, mentor, mentee))
    for pair in pairs:
        await scene.log.wait(pair.id, "AgreementProposed")
    return pairs


@pytest.mark.chaos
async def test_killed_among_clicks_and_repeats_each_milestone_is_reached_once(scene):
    lock = asyncio.Lock()

    async def asked(query, *args):
        async with lock:  # one connection
            return await scene.db.fetchval(query, *args)

    copies = Copies(scene.stage)
    clicks = Clicks(scene, copies, asked)
    try:
        await asyncio.gather(*(copies.start(copy) for copy in copies.ports))
        pairs = await matched(scene)
        living = [asyncio.create_task(clicks.live(pair)) for pair in pairs]
        five = [pair.report(scene.now - n * 5 * DAY) for pair in pairs for n in range(1, 6)]
        reports = asyncio.create_task(scene.send(*five))
        for kill in range(1, KILLS + 1):
            due = kill * PAIRS * 16 // (KILLS + 1)
            assert await until(lambda due=due: reached(clicks, due), 60)
            await asyncio.sleep(random.uniform(0, 0.05))
            copy = random.choice(list(copies.ports))
            await copies.kill(copy)
            await copies.start(copy)
        await asyncio.wait_for(asyncio.gather(reports, *living), 60)
        for pair in pairs:
            await scene.log.wait(pair.id, "MeetingHeld", 5, 60)
            assert await until(lambda pair=pair: told(scene, pair), 60), milestones_of(scene, pair.id)
        quiet = "select count(*) from scheduling.outbox"
        assert await until(lambda: none(scene, quiet), 60)
    finally:
        await copies.stop()
    for pair in pairs:
        assert milestones_of(scene, pair.id) == Counter(ALL)
        kept = await scene.db.fetchrow("select milestones, reached from scheduling.relationships where id = $1", pair.id)
        assert (Counter(kept["milestones"]), len(json.loads(kept["reached"]))) == (Counter(ALL), len(ALL))
        counted = Counter({w.headers["ce_id"]: w.name for w in scene.log.of(pair.id)}.values())
        once = ("GoalAttained", "GoalProgressed", "AttainmentAsked", "MisalignmentDetected")
        assert [counted[name] for name in once] == [1] * len(once)
        assert (counted["GoalSet"], counted["SkillAssessed"], counted["CheckInAsked"]) == (2, 2, 2)
    print(f"{clicks.answered} clicks answered, {clicks.refused} tried again, {KILLS} kills")


def milestones_of(scene, about: UUID):
    """How often each was told, a relay's resends under the same id left out."""
    events = {w.headers["ce_id"]: w.event for w in scene.log.of(about) if w.name == "MilestoneReached"}.values()
    return Counter(f"{e.milestone}:{e.own}" if e.own else e.milestone.value for e in events)


async def told(scene, pair):
    return set(milestones_of(scene, pair.id)) == ALL


async def reached(clicks, least):
    return clicks.answered >= least


async def none(scene, query):
    return not await scene.db.fetchval(query)
