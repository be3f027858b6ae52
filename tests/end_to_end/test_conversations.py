"""From a run to the last word by links in mails alone: matching, scheduling, notifications and analytics on one Kafka."""

import hashlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from importlib import import_module

import httpx
import pytest

from shared.events import AccessKeyIssued, OrganizationOnboarded, Policy, ProgramLaunched, Right, Role
from tests.conftest import alone, vouched
from tests.core.rig import until
from tests.end_to_end.test_requests import PAGE, Town

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

KEY, SECRET = "0123456789abcdef", "5" * 64


def key_of(town: Town) -> AccessKeyIssued:
    """With which its organization coordinates."""
    return AccessKeyIssued(
        key_id=KEY,
        sha256=hashlib.sha256(SECRET.encode()).hexdigest(),
        organization=town.organization,
        rights=(Right.read, Right.coordinate),
    )


async def matched(town: Town, people: int = 3) -> dict:
    """A run of so many people, once it is finished."""
    url = f"http://127.0.0.1:{town.ports['matching']}"
    headers = {"Authorization": f"Bearer ith_{KEY}_{SECRET}"}
    body = {"after": {"people": people, "revisions": people}}

    async def accepted() -> str:
        answer = await town.http.post(f"{url}/v1/programs/{town.program}/match-runs", headers=headers, json=body)
        return answer.json()["run_id"] if answer.status_code == 202 else ""

    run_id = await until(accepted, 60)
    assert run_id

    async def finished() -> dict | None:
        run = (await town.http.get(f"{url}/v1/match-runs/{run_id}", headers=headers)).json()
        return run if run["status"] == "finished" else None

    run = await until(finished, 90)
    assert run
    return run


async def test_two_talk_once_and_the_next_month_is_for_the_one_who_waited(stage):
    async with AsyncExitStack() as running:
        http = await running.enter_async_context(httpx.AsyncClient(timeout=60))
        town = Town(stage, http)
        await running.enter_async_context(vouched(stage))
        for name in ("matching", "scheduling", "notifications", "analytics"):
            service = alone(import_module(f"services.{name}.main").build(stage.settings(name)), stage)
            town.ports[name] = (await running.enter_async_context(service.running())).port
        policy = Policy.model_validate({"formats": ["conversation"], "conversations_per_month": 1})
        await town.send(
            OrganizationOnboarded(organization=town.organization, name="Northwind"),
            key_of(town),
            ProgramLaunched(program=town.program, organization=town.organization, name="Crossing", policy=policy),
            town.enrolled("Graça", Role.mentor, skills_offered=("cloud", "sql")),
            town.enrolled("Ada", Role.mentee, skills_wanted=("cloud", "sql")),
            town.enrolled("Bola", Role.mentee, skills_wanted=("cloud", "law")),
        )
        assert await town.mailed("Ada", "Welcome", "preferences")
        run = await matched(town)
        assert (run["pairs"], run["waitlisted"]) == (1, {"no_capacity": 1})
        assert await town.mailed("Bola", "still looking", "preferences")

        pick = await town.mailed("Graça", "Talk with Ada: choose a time", "pick")
        page = (await http.get(pick, headers=PAGE)).text
        slot = page.partition('name="slot" value="')[2].partition('"')[0]
        assert (await http.post(pick, data={"slot": slot}, headers=PAGE)).status_code == 303
        invitation = await town.mailed("Ada", "You talk with Graça", "end")
        assert "Call off your conversation with your mentor?" in (await http.get(invitation, headers=PAGE)).text
        await stage.move_clock(datetime.fromisoformat(slot) - datetime.now(UTC) + timedelta(minutes=40))
        met = await town.mailed("Ada", "Did you and Graça meet?", "met")
        assert (await http.post(met, data={"met": "yes", "minutes": "25"}, headers=PAGE)).status_code == 303
        for name, other in (("Ada", "Graça"), ("Graça", "Ada")):
            assert await town.mailed(name, f"You and {other} have talked", "preferences")

        await stage.move_clock(timedelta(days=31))
        assert (await matched(town))["pairs"] == 1
        declined = await town.mailed("Graça", "Talk with Bola: choose a time", "end")
        assert (await http.post(declined, data={"reason": "no_time"}, headers=PAGE)).status_code == 303
        assert await town.mailed("Bola", "Your conversation with Graça won’t take place", "preferences")

        async def counted() -> bool:
            url = f"http://127.0.0.1:{town.ports['analytics']}/v1/programs/{town.program}/summary"
            summary = (await http.get(url, headers={"Authorization": f"Bearer ith_{KEY}_{SECRET}"})).json()
            wanted = {"conversations": 2, "pairs": 0, "held": 1, "matched": 0, "agreed": 0, "ended": 0}
            return {name: summary.get(name) for name in wanted} == wanted

        assert await until(counted, 60)
        assert (await matched(town))["pairs"] == 0  # Graça, who called it off, has had this month's, and Ada has talked with her
