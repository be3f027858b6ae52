"""From the welcome to the agreement by links in mails alone: matching, scheduling and notifications on one Kafka."""

import re
from contextlib import AsyncExitStack
from importlib import import_module
from urllib.parse import urlsplit

import httpx
import pytest

from shared.cloudevents import new_id
from shared.events import (
    Contact,
    Enrolment,
    OrganizationOnboarded,
    PersonEnrolled,
    Policy,
    Profile,
    ProgramLaunched,
    Role,
)
from tests.conftest import alone, unique, vouched
from tests.core.rig import until
from tests.producing import send

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

PAGE = {"Accept": "text/html"}


class Town:
    """A program by request, its people with letterboxes, and the services that bring them together."""

    def __init__(self, stage, http) -> None:
        self.stage, self.http, self.organization = stage, http, unique("north")
        self.program, self.ports, self.people = f"{self.organization}.crossing", {}, {}

    async def send(self, *events):
        await send(self.stage.kafka, events, organization=self.organization, program=self.program)

    def enrolled(self, name: str, role: Role, **said) -> PersonEnrolled:
        person = self.people.setdefault(name, new_id())
        return PersonEnrolled(
            person_id=person,
            organization=self.organization,
            own_id=name,
            profile=Profile(**({"time_zone": "Africa/Lagos"} | said)),
            contact=Contact(name=name, email=f"{person.hex}@mail.example"),
            enrolments=(Enrolment(program=self.program, role=role),),
            revision=1,
            program=self.program,
        )

    async def mailed(self, name: str, word: str, action: str) -> str:
        """The link to this action in the newest mail whose subject has this word, as our own address serves it."""
        base, to = self.stage.platform.addresses["mailbox"], f"{self.people[name].hex}@mail.example"

        async def there() -> str:
            for mail in (await self.http.get(f"{base}/api/messages", params={"to": to})).json():
                if word in mail["subject"]:
                    text = (await self.http.get(f"{base}/api/messages/{mail['id']}")).json()["text"]
                    return next(url for url in re.findall(r"https?://\S+", text) if f"/{action}/" in url)
            return ""

        found = await until(there, 60)
        assert found, f"no {word!r} for {name}"
        parts = urlsplit(str(found))
        return f"http://127.0.0.1:{self.ports[parts.netloc.partition('.')[0]]}{parts.path}?{parts.query}"

    async def press(self, link: str, do: str, **form: str) -> str:
        """Send a form of the page behind a link; the page that it leads to."""
        page = (await self.http.get(link, headers=PAGE)).text
        version = re.search(r'name="version" value="(\d+)"', page)
        assert version, page
        answer = await self.http.post(link, data={"do": do, "version": version[1]} | form, headers=PAGE)
        assert answer.status_code == 303, answer.text
        return (await self.http.get(link, headers=PAGE)).text


async def test_a_mentee_finds_a_mentor_by_links_in_mails_alone(stage):
    async with AsyncExitStack() as running:
        http = await running.enter_async_context(httpx.AsyncClient(timeout=60))
        town = Town(stage, http)
        await running.enter_async_context(vouched(stage))
        for name in ("matching", "scheduling", "notifications"):
            service = alone(import_module(f"services.{name}.main").build(stage.settings(name)), stage)
            town.ports[name] = (await running.enter_async_context(service.running())).port
        await town.send(
            OrganizationOnboarded(organization=town.organization, name="Northwind"),
            ProgramLaunched(
                program=town.program, organization=town.organization, name="Crossing", policy=Policy(by_request=True)
            ),
            town.enrolled("Graça", Role.mentor, skills_offered=("cloud", "sql"), title="Principal Engineer"),
            town.enrolled("Tunde", Role.mentor, skills_offered=("cloud",), title="Team Lead"),
            town.enrolled("Ada", Role.mentee, skills_wanted=("cloud", "sql")),
        )
        choose = await town.mailed("Ada", "Welcome", "choose")

        async def both_there() -> bool:
            page = (await http.get(choose, headers=PAGE)).text
            return "Principal Engineer" in page and "Team Lead" in page

        assert await until(both_there, 60)
        first, second = (f"choice-{town.people[name]}" for name in ("Graça", "Tunde"))
        assert "is asked" in await town.press(choose, "ask", **{first: "1", second: "2"})

        request = await town.mailed("Graça", "Ada would like you as a mentor", "request")
        await town.press(request, "question", text="What do you build?")
        asked = await town.mailed("Ada", "would like to know more", "choose")
        assert "What do you build?" in (await http.get(asked, headers=PAGE)).text
        await town.press(asked, "reply", text="A small observatory.")
        again = await town.mailed("Graça", "Ada has answered your question", "request")
        assert "A small observatory." in (await http.get(again, headers=PAGE)).text
        assert "You said no, and that is fine" in await town.press(again, "decline", reason="someone_closer")
        assert await town.mailed("Ada", "We have asked your next choice", "choose")

        request = await town.mailed("Tunde", "Ada would like you as a mentor", "request")
        assert "You said yes" in await town.press(request, "accept")
        assert await town.mailed("Ada", "A mentor said yes", "preferences")
        sign = await town.mailed("Ada", "Meet Tunde, your mentor", "sign")
        assert "Your agreement with your mentor" in (await http.get(sign, headers=PAGE)).text
