"""A run through kills and changes: nothing twice, nothing lost, nobody over their capacity."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from services.matching import jobs
from shared.events import PersonPaused, ProgramClosed, Role
from tests.matching.conftest import until
from tests.matching.people import record

pytestmark = [pytest.mark.platform, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

ROOT = Path(__file__).parents[2]
SMALL_STEPS = """
from services.matching import jobs
from services.matching.main import build
from shared.service import main

jobs.CHUNK = 2
main(build)
"""


HOLD_A_MENTOR = "select id from matching.people where own_id like 'k%' order by id desc limit 1 for update"
HOLD_ONE_WHO_WAITS = "select id from matching.waitlisted where state = 'planned' order by id desc limit 1 for update"
"""Rows that the run comes to late: while they are held it can't end, however slow the kill is."""


def crowd(town, mentors, mentees, capacity=2):
    made = [
        record(f"k{n:03}", Role.mentor, town.program, organization=town.organization, capacity=capacity, skills_offered=("sql",))
        for n in range(mentors)
    ]
    return made + [
        record(f"n{n:03}", Role.mentee, town.program, organization=town.organization, skills_wanted=("sql",))
        for n in range(mentees)
    ]


def jobs_of(parent: int) -> list[int]:
    """The running jobs whose parent this process is."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat, command = (entry / "stat").read_text(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        state, ppid = stat.rpartition(")")[2].split()[:2]
        if int(ppid) == parent and b"services.matching.job" in command and state != "Z":
            found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has fetched yet is dead all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def process(town, port):
    """Matching as a process of its own that takes very small steps."""
    settings = town.stage.settings("matching", "a")
    environment = os.environ | {
        "ITHACA_KAFKA": settings.kafka,
        "ITHACA_DATABASE": settings.database,
        "ITHACA_HTTP": f"127.0.0.1:{port}",
        "ITHACA_URLS": json.dumps(settings.urls),
        "ITHACA_LINK_SECRET": settings.link_secret,
        "PYTHONPATH": str(ROOT),
    }
    running = subprocess.Popen([sys.executable, "-c", SMALL_STEPS], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def consistent(town, run, *, mentors, mentees, capacity=2):
    """What was told agrees with what is kept, and each was told once."""
    facts = await town.told()
    assert Counter(f["type"] for f in facts if f["type"].startswith("MatchRun")) == {
        "MatchRunRequested": 1,
        "MatchRunFinished": 1,
    }
    pairs = [f for f in facts if f["type"] == "PairCreated"]
    waiting = [f["person_id"] for f in facts if f["type"] == "PersonWaitlisted"]
    partners = Counter(m["person_id"] for f in pairs for m in f["members"])
    of_mentors = {str(r.person_id) for r in crowd(town, mentors, 0)}
    assert len({f["relationship_id"] for f in pairs}) == len(pairs) == run["pairs"] == min(mentors * capacity, mentees)
    assert all(partners[person] <= (capacity if person in of_mentors else 1) for person in partners)
    assert len(set(waiting)) == len(waiting) == mentees - len(pairs)
    assert not set(waiting) & set(partners)
    finished = facts[-1]
    assert (finished["type"], finished["pairs"], finished["waitlisted"], finished["gap"]) == (
        "MatchRunFinished",
        len(pairs),
        len(waiting),
        0,
    )


async def test_a_killed_job_is_taken_up_again(town):
    await town.open()
    await town.send(*crowd(town, 20, 60))
    async with town.running() as client:
        answer = await client.post("/v1/programs/crossing/match-runs", json={"after": {"people": 80, "revisions": 80}})

        async def working():
            return jobs_of(os.getpid())

        (job,) = await until(working)
        os.kill(job, signal.SIGKILL)
        run = await town.finished(client, answer.json()["run_id"])
    await consistent(town, run, mentors=20, mentees=60)


@pytest.mark.timeout(600)
async def test_a_service_killed_between_chunks_goes_on_where_it_was_and_its_job_dies_with_it(town, unused_tcp_port):
    mentors, mentees = 60, 150
    await town.open()
    await town.send(*crowd(town, mentors, mentees))
    begun = "select count(*) from matching.relationships where status = 'active'"
    told = "select count(*) from matching.waitlisted where state = 'told'"
    after = {"people": mentors + mentees, "revisions": mentors + mentees}
    url = f"http://127.0.0.1:{unused_tcp_port}"

    async def up(client):
        try:
            return (await client.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {town.key}"}, timeout=20) as client:
        with process(town, unused_tcp_port) as service:
            assert await until(lambda: up(client))
            await town.known()
            run_id = (await client.post("/v1/programs/crossing/match-runs", json={"after": after})).json()["run_id"]

            async def working():
                return jobs_of(service.pid)

            (job,) = await until(working)
            service.kill()

        async def gone():
            return not alive(job)

        assert await until(gone, 20)
        for query, hold in ((begun, HOLD_A_MENTOR), (told, HOLD_ONE_WHO_WAITS)):

            async def so_far(query=query):
                return await town.see.fetchval(query) >= 10

            async with town.see.transaction():
                assert await town.see.fetchval(hold)
                with process(town, unused_tcp_port) as service:
                    assert await until(so_far, 90)
                    service.kill()
            assert await town.see.fetchval("select status from matching.runs where id = $1", UUID(run_id)) != "finished"
        with process(town, unused_tcp_port):
            assert await until(lambda: up(client))
            run = await town.finished(client, run_id)
    await consistent(town, run, mentors=mentors, mentees=mentees)


@pytest.fixture
def solved_go(monkeypatch):
    """Two signals: the run is solved; it may be applied."""
    solved, go = asyncio.Event(), asyncio.Event()
    apply = jobs.Drivers._apply

    async def held(self, run):
        solved.set()
        await go.wait()
        await apply(self, run)

    monkeypatch.setattr(jobs.Drivers, "_apply", held)
    return solved, go


async def test_a_program_closed_while_it_was_solved_gets_no_pairs_and_no_waitlist(town, solved_go):
    solved, go = solved_go
    await town.open()
    await town.send(*crowd(town, 1, 4))
    async with town.running() as client:
        answer = await client.post("/v1/programs/crossing/match-runs", json={"after": {"people": 5, "revisions": 5}})
        await asyncio.wait_for(solved.wait(), 120)
        await town.send(ProgramClosed(program=town.program))
        assert await until(
            lambda: town.see.fetchval("select count(*) from matching.programs where closed and id = $1", town.program)
        )
        go.set()
        run = await town.finished(client, answer.json()["run_id"])
    assert (run["round"], run["pairs"], run["waitlisted"]) == (1, 0, {})
    assert [f["type"] for f in await town.told()] == ["MatchRunRequested", "MatchRunFinished"]


async def test_whoever_left_while_it_was_solved_is_replaced_in_another_round(town, solved_go):
    solved, go = solved_go
    await town.open()
    everyone = crowd(town, 1, 4, capacity=2)
    await town.send(*everyone)
    async with town.running() as client:
        answer = await client.post("/v1/programs/crossing/match-runs", json={"after": {"people": 5, "revisions": 5}})
        await asyncio.wait_for(solved.wait(), 120)
        chosen = await town.see.fetchval("select people[2] from matching.relationships limit 1")
        leaver = next(r for r in everyone if str(r.person_id) == chosen)
        await town.send(PersonPaused.model_validate(leaver.model_dump() | {"status": "paused", "revision": 2}))
        paused = "select count(*) from matching.people where status = 'paused'"
        assert await until(lambda: town.see.fetchval(paused))
        go.set()
        run = await town.finished(client, answer.json()["run_id"])
    assert (run["round"], run["pairs"], run["waitlisted"]) == (2, 2, {"no_capacity": 1})
    partners = {m["person_id"] for f in await town.told("PairCreated") for m in f["members"]}
    assert chosen not in partners | {f["person_id"] for f in await town.told("PersonWaitlisted")}


async def test_two_copies_drive_a_run_once(town):
    await town.open()
    await town.send(*crowd(town, 30, 80))
    async with town.running() as client, town.service("b").running():
        run = await town.match(client, {"people": 110, "revisions": 110})
    await consistent(town, run, mentors=30, mentees=80)
