"""A run through kills and changes: nothing twice, nothing lost, nobody over their capacity."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from services.matching import jobs
from shared.events import PersonPaused, ProgramClosed, Role
from tests.matching.conftest import until
from tests.matching.people import record

pytestmark = [pytest.mark.platform, pytest.mark.alone, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

ROOT = Path(__file__).parents[2]
STEPS = """
from services.matching import jobs
from services.matching.main import build
from shared.service import main

jobs.CHUNK = {chunk}
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
def process(town, port, chunk=2):
    """Matching as a process of its own that takes very small steps, or others."""
    settings = town.stage.settings("matching", "a")
    environment = os.environ | {
        "ITHACA_KAFKA": settings.kafka,
        "ITHACA_DATABASE": settings.database,
        "ITHACA_HTTP": f"127.0.0.1:{port}",
        "ITHACA_URLS": json.dumps(settings.urls),
        "ITHACA_LINK_SECRET": settings.link_secret,
        "PYTHONPATH": str(ROOT),
    }
    running = subprocess.Popen(
        [sys.executable, "-c", STEPS.format(chunk=chunk)], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def up(client):
    with suppress(httpx.TransportError):
        return (await client.get("/health/ready")).status_code == 200
    return False


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


@pytest.mark.timeout(900)
async def test_a_run_of_ten_thousand_holds_nobody_up_and_survives_a_kill(town, unused_tcp_port):
    """People go on arriving while it is solved and applied, and the service is killed in the midst of that."""
    dice = random.Random(5)
    skills = [f"skill-{n}" for n in range(200)]

    def some(side, role, field):
        made = [{field: tuple(dice.sample(skills, 3)), "languages": ("en",)} for _ in range(5_000)]
        return [record(f"{side}{n}", role, town.program, organization=town.organization, **said) for n, said in enumerate(made)]

    people = some("k", Role.mentor, "skills_offered") + some("n", Role.mentee, "skills_wanted")
    await town.open()
    await town.send(*people)
    waits, meanwhile = [], set()
    count = "select count(*) from matching.relationships where status = 'active'"

    async def arrives(name):
        """How long it takes until the service knows somebody new."""
        one = record(name, Role.mentee, town.program, organization=town.organization, enrolled=False)
        began = time.monotonic()
        await town.send(one)
        known = "select count(*) from matching.people where id = $1"
        assert await until(lambda: town.see.fetchval(known, one.person_id))
        return time.monotonic() - began

    with process(town, unused_tcp_port, jobs.CHUNK):
        async with town.client(unused_tcp_port) as client:
            assert await until(lambda: up(client))
            await town.known()
            asked = await client.post(
                "/v1/programs/crossing/match-runs", json={"after": {"people": len(people), "revisions": len(people)}}
            )
            run_id, began = asked.json()["run_id"], time.monotonic()
            while await town.see.fetchval(count) < 1_000:
                meanwhile.add((await client.get(f"/v1/match-runs/{run_id}")).json()["status"])
                waits.append(await arrives(f"later{len(waits)}"))
    assert await town.see.fetchval(count) < 5_000, "killed too late"
    with process(town, unused_tcp_port, jobs.CHUNK):
        async with town.client(unused_tcp_port) as client:
            assert await until(lambda: up(client))
            run = await town.finished(client, run_id)
    seconds = time.monotonic() - began
    print(
        f"{run['pairs']} pairs in {seconds:.1f} s, meanwhile {len(waits)} people, the slowest {max(waits):.2f} s: {sorted(meanwhile)}"
    )
    assert {"solving", "applying"} <= meanwhile
    assert max(waits) < seconds / 4
    facts = await town.told()
    begun = [f["relationship_id"] for f in facts if f["type"] == "PairCreated"]
    met = Counter(m["person_id"] for f in facts if f["type"] == "PairCreated" for m in f["members"])
    waiting = [f["person_id"] for f in facts if f["type"] == "PersonWaitlisted"]
    assert len(set(begun)) == len(begun) == run["pairs"] == await town.see.fetchval(count)
    assert set(met.values()) == {1}
    assert len({*met, *waiting}) == len(met) + len(waiting) == len(people)
    assert (facts[-1]["type"], facts[-1]["gap"]) == ("MatchRunFinished", 0)
