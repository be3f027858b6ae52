"""A coordinator lets somebody join a group in mid-course: all services on one Kafka have them in it, and nobody is told twice."""

import re
from contextlib import AsyncExitStack
from importlib import import_module
from uuid import UUID

import asyncpg
import httpx
import pytest

from shared.events import Member, MemberJoined, OrganizationOnboarded, Policy, ProgramLaunched, Role
from tests.conftest import alone, vouched
from tests.core.rig import until
from tests.end_to_end.test_conversations import KEY, SECRET, key_of, matched
from tests.end_to_end.test_requests import PAGE, Town

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

THERE = {
    "scheduling": "select members @> jsonb_build_array(jsonb_build_object('person_id', $2::text)) from scheduling.relationships where id = $1",
    "notifications": "select members::text like '%' || $2 || '%' from notifications.relationships where id = $1",
    "analytics": "select $2 = any(people) from analytics.relationships where id = $1",
}
"""Whether somebody is in a group, as each service knows."""


async def test_a_click_brings_somebody_into_a_group_that_has_begun(stage):
    async with AsyncExitStack() as running:
        http = await running.enter_async_context(httpx.AsyncClient(timeout=60, follow_redirects=True))
        see = await asyncpg.connect(stage.superuser)
        running.push_async_callback(see.close)
        town = Town(stage, http)
        await running.enter_async_context(vouched(stage))
        for name in ("matching", "scheduling", "notifications", "analytics"):
            service = alone(import_module(f"services.{name}.main").build(stage.settings(name)), stage)
            town.ports[name] = (await running.enter_async_context(service.running())).port
        mentees = ("Ada", "Bola", "Chi")
        await town.send(
            OrganizationOnboarded(organization=town.organization, name="Northwind"),
            key_of(town),
            ProgramLaunched(
                program=town.program,
                organization=town.organization,
                name="Crossing",
                policy=Policy.model_validate({"formats": ["group"]}),
            ),
            town.enrolled("Graça", Role.mentor, skills_offered=("cloud",)),
            *(town.enrolled(name, Role.mentee, skills_wanted=("cloud",)) for name in mentees),
        )
        run = await matched(town, 4)
        assert run["groups"] == 1
        for name in ("Graça", *mentees):
            sign = await town.mailed(name, "Meet", "sign")
            assert (await http.post(sign, headers=PAGE)).status_code == 200
        late, later = (town.enrolled(name, Role.mentee, skills_wanted=("cloud",)) for name in ("Dayo", "Ebo"))
        await town.send(late, later)

        coordinate = f"http://127.0.0.1:{town.ports['matching']}/coordinate"
        await http.post(f"{coordinate}/sign-in", data={"key": f"ith_{KEY}_{SECRET}"}, headers=PAGE)
        page = (await http.get(f"{coordinate}/runs/{run['run_id']}?view=begun", headers=PAGE)).text
        (group,) = set(re.findall(r'href="/coordinate/groups/([0-9a-f-]+)"', page))
        url = f"{coordinate}/groups/{group}"

        async def listed() -> str:
            page = (await http.get(url, headers=PAGE)).text
            return page if all(f"Let {name} join" in page for name in ("Dayo", "Ebo")) else ""

        page = await until(listed, 60)
        form = {"token": re.search(r'name="token" value="([^"]+)"', page)[1], "person": str(late.person_id)}
        for _ in range(2):
            assert "Dayo has joined" in (await http.post(url, data=form, headers=PAGE)).text
        sign = await town.mailed("Dayo", "Meet your group in", "sign")
        assert await town.mailed("Ada", "Dayo joins your group", "group")
        for service, there in THERE.items():
            assert await until(lambda there=there: see.fetchval(there, UUID(group), str(late.person_id)), 60), service
        seat = "select placed_at from analytics.seats where person_id = $1"
        assert await see.fetchval(seat, late.person_id)

        member = Member(person_id=late.person_id, role=Role.mentee, organization=town.organization)
        again = MemberJoined(relationship_id=UUID(group), program=town.program, member=member, audience=(town.organization,))
        await town.send(again, again)
        assert "Everyone has signed" in (await http.post(sign, headers=PAGE)).text
        signed = "select count(*) from jsonb_array_elements((select signatures from scheduling.relationships where id = $1))"
        assert await see.fetchval(signed, UUID(group)) == 5
        await http.post(url, data=form | {"person": str(later.person_id)}, headers=PAGE)  # told after the repeats
        assert await town.mailed("Ebo", "Meet your group in", "sign")
        assert await town.mailed("Ada", "Ebo joins your group", "group")
        assert await mails(town, "Dayo", "Meet your group in") == 1
        assert await mails(town, "Ada", "Dayo joins your group") == 1


async def mails(town: Town, name: str, words: str) -> int:
    """How many with these words in the subject somebody has got."""
    base, to = town.stage.platform.addresses["mailbox"], f"{town.people[name].hex}@mail.example"
    return sum(words in mail["subject"] for mail in (await town.http.get(f"{base}/api/messages", params={"to": to})).json())
