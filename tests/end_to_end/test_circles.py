"""Mentees of one mentor, by links in mails alone: they are introduced, and form a circle. Scheduling, matching and notifications on one Kafka."""

import re
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib import import_module
from urllib.parse import urlsplit

import httpx
import pytest

from shared import links
from shared.cloudevents import new_id
from shared.events import CircleAgreed, Member, OrganizationOnboarded, PairCreated, Policy, ProgramLaunched, Role
from tests.conftest import alone, vouched
from tests.core.rig import until
from tests.end_to_end.test_requests import PAGE, Town

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

NAMES = ("Ada", "Bola", "Chi", "Dayo")


async def texts(town, name) -> list[str]:
    """All mails of somebody, the newest first."""
    base, to = town.stage.platform.addresses["mailbox"], f"{town.people[name].hex}@mail.example"
    mails = (await town.http.get(f"{base}/api/messages", params={"to": to})).json()
    return [(await town.http.get(f"{base}/api/messages/{mail['id']}")).json()["text"] for mail in mails]


async def link_to(town, name, action, thing) -> str:
    async def there() -> str:
        for text in await texts(town, name):
            for url in re.findall(r"https?://\S+", text):
                if f"/{action}/{thing}" in url:
                    return url
        return ""

    parts = urlsplit(str(await until(there, 60)))
    assert parts.path, f"no {action} for {name}"
    return f"http://127.0.0.1:{town.ports['scheduling']}{parts.path}?{parts.query}"


async def test_co_mentees_are_introduced_and_form_a_circle_that_lives_as_any(stage):
    async with AsyncExitStack() as running:
        http = await running.enter_async_context(httpx.AsyncClient(timeout=60))
        town = Town(stage, http)
        await running.enter_async_context(vouched(stage))
        for name in ("matching", "scheduling", "notifications"):
            service = alone(import_module(f"services.{name}.main").build(stage.settings(name)), stage)
            running_service = await running.enter_async_context(service.running())
            town.ports[name] = running_service.port
        await town.send(
            OrganizationOnboarded(organization=town.organization, name="Northwind"),
            ProgramLaunched(program=town.program, organization=town.organization, name="Crossing", policy=Policy()),
            town.enrolled("Graça", Role.mentor),
            *(town.enrolled(name, Role.mentee) for name in NAMES),
        )
        pairs = {name: new_id() for name in NAMES}
        for name, pair in pairs.items():
            who = ((town.people["Graça"], Role.mentor), (town.people[name], Role.mentee))
            members = tuple(Member(person_id=one, role=role, organization=town.organization) for one, role in who)
            await town.send(PairCreated(relationship_id=pair, program=town.program, members=members, score=1))
        for name in NAMES:
            await link_to(town, name, "sign", pairs[name])

        async def send(link: str, **form: str) -> str:
            answer = await http.post(link, data=form, headers=PAGE)
            assert answer.status_code == 303, answer.text
            return (await http.get(link, headers=PAGE)).text

        def minted(action: str, name: str, who: str) -> str:
            expires = service.database.clock.now() + timedelta(days=9)
            link = links.mint(action, pairs[name], town.people[who], 1, expires)
            return link.url(f"http://127.0.0.1:{town.ports['scheduling']}", stage.link_secret)

        form = {"do": "introduce", "form": "1", "to": str(town.people["Ada"]), "whom": str(town.people["Bola"])}
        assert "Waiting for an answer" in await send(minted("share", "Ada", "Graça"), **form, text="Both of you write.")
        for name, other in (("Bola", "Ada"), ("Ada", "Bola")):
            asked = await town.mailed(name, f"Graça would like to introduce you to {other}", "introduced")
            assert "Both of you write." in (await http.get(asked, headers=PAGE)).text
            await send(asked, meet="yes")
        for name, other in (("Bola", "Ada"), ("Ada", "Bola")):
            assert await town.mailed(name, f"You and {other} know each other now", "preferences")
            mail = next(text for text in await texts(town, name) if "here is where you reach" in text.lower())
            assert f"{town.people[other].hex}@mail.example" in mail
        assert await town.mailed("Graça", "You brought two people together", "preferences")
        assert not any("@mail.example" in text for text in await texts(town, "Graça"))

        for name in NAMES:
            await send(minted("co-mentees", name, name), do="in")
        await send(minted("co-mentees", "Ada", "Ada"), do="propose", form="1")
        links_of = {name: await town.mailed(name, "Ada would like to form a circle with you", "co-mentees") for name in NAMES[1:]}
        circle = links_of["Bola"].partition("/co-mentees/")[2].partition("?")[0]
        assert "You said yes" in await send(links_of["Bola"], do="yes", form=circle)
        assert "The others have until" in await send(links_of["Dayo"], do="no", form=circle)
        await send(links_of["Chi"], do="yes", form=circle)
        signing = {name: await link_to(town, name, "sign", circle) for name in NAMES[:3]}
        again = CircleAgreed(
            mentor_id=town.people["Graça"],
            program=town.program,
            circle_id=circle,
            people=tuple(town.people[name] for name in NAMES),
        )
        await town.send(again, again)
        for link in signing.values():
            await send(link)
        pick = await link_to(town, "Chi", "pick", "")
        assert (await http.get(pick, headers=PAGE)).status_code == 200
        assert "You are in a circle together" in (await http.get(links_of["Chi"], headers=PAGE)).text
        assert not any(f"/sign/{circle}" in text for text in await texts(town, "Dayo"))
