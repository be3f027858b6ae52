"""What a person sees: every page and every mail in a browser, reached by the links in mails that came over SMTP.

Light, dark and at a phone's width they pass axe (WCAG 2.2 A and AA); each action is done by keyboard alone and without JavaScript.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright

from deploy.demo.outside import LINK, click
from deploy.demo.sample import NORTHWIND
from deploy.demo.story import OWNED, Pair, Story, end_of, moment
from deploy.local.platform import Platform
from deploy.local.state import State
from services.notifications.letters import TEMPLATES
from shared import links
from shared.events import SERVICES

pytestmark = [pytest.mark.platform, pytest.mark.browser]

PHONE = 360
"""CSS pixels: the narrowest phones that are still common."""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}, "resultTypes": ["violations"]}
"""What can be otherwise in the dark."""
NEVER_SENT = {"revised"}
"""No service reopens an agreement yet."""
LONG_NAMES = {
    "n": "Oluwaseun-Adébáyò Ogunlesi-Akinwumi-Oyekanmi-Babatunde",
    "k": "Maria Wolfeschlegelsteinhausenbergerdorff dos Santos",
}
MISSING = "no Chromium here: apt install chromium, or .ithaca/venv/bin/playwright install chromium"


# ---- the scene -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The machine's Chromium, or the one that Playwright has installed. The async API: the sync one forbids other tests their loop."""
    async with async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip(MISSING)
        running = await playwright.chromium.launch(executable_path=path)
        yield running
        await running.close()


@pytest.fixture(scope="module")
def platform_with_people(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """What pages and mails need; after the browser, without which nothing is started."""
    services = [name for name in SERVICES if name != "analytics"]
    with Platform(tmp_path_factory.mktemp("pages"), services=services, zipkin=False) as platform:
        yield platform


@dataclass
class Program:
    """A program on a day when every page has something to show; each pair plays one part."""

    platform: Platform
    story: Story
    parts: dict[str, Pair] = field(default_factory=dict)

    async def link(self, part: str, action: str, *, mentor: bool = False) -> str:
        """The newest link to do this in the mail of a pair's mentee."""
        pair = self.parts[part]
        person = pair.mentor if mentor else pair.mentee
        return (await self.story.mailed([person], action))[person]

    async def relationship(self, part: str) -> dict[str, Any]:
        """How the service that decides says that it stands."""
        path = f"/v1/relationships/{self.parts[part].id}"
        found: dict[str, Any] = await self.story.call("GET", "scheduling", path, self.story.keys["northwind"])
        return found

    async def signed(self, *parts: str) -> None:
        people = [person for part in parts for person in self.parts[part].both]
        await asyncio.gather(*(click(self.story.http, url) for url in (await self.story.mailed(people, "sign")).values()))

    async def picked(self, part: str) -> dict[str, Any]:
        """The first of the proposed times is taken; the meeting."""
        await click(self.story.http, await self.link(part, "pick"), slot="first")
        found: dict[str, Any] = (await self.relationship(part))["meetings"][-1]
        assert found["status"] == "scheduled"
        return found

    async def until_mail(self, part: str, words: str, *, mentor: bool = False) -> None:
        pair = self.parts[part]
        address = self.story.address(pair.mentor if mentor else pair.mentee)

        async def came() -> bool:
            await self.story.mails.read()
            return any(words in s for s in self.story.mails.subjects[address])

        await self.story.until(f"a mail: {words}", came)


@pytest.fixture(scope="module")
async def program(platform_with_people: Platform) -> AsyncIterator[Program]:
    """The demo's story until its pairs are matched; then each pair is brought to where its page is worth seeing."""
    platform = platform_with_people
    state = State("", os.getpid(), ready=True, addresses=platform.addresses, pids=platform.pids)
    story = Story(state, platform.secrets.operator_token, lambda *_: None)
    async with story.staged():
        await story.two_employers()
        await story.people_arrive()
        for own_id, employer in story.homes.items():
            if own_id in {"n08", "k12"}:
                named = {"person": own_id, "name": LONG_NAMES[own_id[0]]}
                await story.post(employer, [story.event(f"named-{own_id}", "ProfileChanged", named, employer)])
        await story.matched()
        here = Program(platform, story)
        parts = ("pick", "missed", "met", "moved", "goals", "sign", "end", "ended", "mailbox")
        here.parts = dict(zip(parts, story.pairs, strict=False))

        await story.go_to(story.day0 + timedelta(days=2))
        await here.signed("missed")
        meeting = await here.picked("missed")
        await story.go_to(moment(meeting["starts_at"]) - timedelta(hours=23))
        await here.until_mail("missed", "Soon: you meet")
        await story.go_to(end_of(meeting) + timedelta(hours=24, minutes=5))
        await here.until_mail("missed", "didn’t get to meet")
        await here.signed("met")
        await story.go_to(end_of(await here.picked("met")) + timedelta(minutes=10))
        await here.until_mail("met", "Did you and")

        await here.signed("pick", "moved", "goals", "ended")
        await here.picked("moved")
        await here.picked("ended")
        await here.until_mail("moved", "You meet")
        await here.until_mail("ended", "You meet")
        await click(story.http, await here.link("ended", "goals"), kind="other", text="Give my first talk")
        slots = re.findall(r'name="slot" value="([^"]+)"', (await story.http.get(await here.link("ended", "pick"))).text)
        await click(story.http, await here.link("ended", "pick"), slot=slots[0])
        await here.until_mail("ended", "Moved:")
        await click(story.http, await here.link("ended", "end"), reason="no_time", rematch="yes")
        await here.until_mail("ended", "Your time with")
        await by_request(here)
        await to_decide(here)
        yield here


MENTORS = {
    "m1": ("Zainab Musa", "Principal Engineer", "engineering", ("cloud", "python", "data-engineering")),
    "m2": ("Segun Lawal", "Head of Data", "engineering", ("cloud", "python")),
    "m3": (
        "Halima Danjuma-Featherstonehaugh",
        "Senior Lead Engineer, Platforms and Developer Experience",
        "engineering",
        ("cloud",),
    ),
    "m4": ("Emeka Obi", "", "engineering", ("python", "data-engineering")),
    "m5": ("Kemi Balogun", "Director of Product", "product", ("product", "negotiation", "writing")),
    "m6": ("Uche Eze", "Staff Engineer", "engineering", ("cloud", "data-engineering")),
}
"""Of a second program, in which mentees choose: name, title, function, what they offer."""
ASKING = {
    "choose": ("q1", "m1"),
    "yes": ("q2", "m1"),
    "away": ("q3", "m6"),
    "back": ("q4", "m4"),
    "told": ("q5", "m2"),
    "alone": ("q6", "m4"),
    "nobody": ("q7", ""),
}
"""Who asks whom there; the last one speaks a language that no mentor does."""


def choosing() -> list[dict[str, Any]]:
    """The people of that program."""
    when = [{"weekday": day, "start": "14:00", "end": "16:00"} for day in (1, 3)]
    common = {
        "program": "choosing",
        "time_zone": "Africa/Lagos",
        "location": "lagos",
        "languages": ["en", "yo"],
        "availability": when,
    }
    mentor = common | {"role": "mentor", "capacity": 2, "years_experience": 12.5, "roles_held": ["team-lead"]}
    mentee = common | {"role": "mentee", "title": "Analyst", "function": "engineering", "years_experience": 3}
    mentee |= {"skills_wanted": ["cloud", "python"], "goals": ["role:team-lead"]}
    return [
        mentor | {"person": own, "name": name, "title": title or None, "function": function, "skills_offered": list(offers)}
        for own, (name, title, function, offers) in MENTORS.items()
    ] + [
        mentee
        | {"person": own, "name": f"Oluwaseun-Adébáyò Adeyemi {own[1]}", "languages": common["languages"] if asks else ["fr"]}
        for own, asks in ASKING.values()
    ]


async def by_request(program: Program) -> None:
    """Mentees who choose: one who hasn't yet, some who wait for an answer, and each mail that can come of it."""
    story = program.story
    policy = {"by_request": True, "requests_at_a_time": 3}
    await story.post(
        NORTHWIND, [story.event("choosing", "ProgramLaunched", {"program": "choosing", "name": "Choosing", "policy": policy})]
    )
    people = [
        story.event(f"enrol-{one['person']}", "PersonEnrolled", one | {"email": f"{one['person']}@northwind.example"})
        for one in choosing()
    ]
    await story.post(NORTHWIND, people)
    program.parts |= {part: Pair("", mentor, mentee, []) for part, (mentee, mentor) in ASKING.items()}
    known = {own: person for person, own in story.own_ids.items()}
    there = "select count(*) = $2 from matching.people where programs @> array[$1::text]"
    await story.until("all of them", lambda: story.db.fetchval(there, "northwind.choosing", len(people)))
    for part in ("yes", "away", "back", "told", "alone"):
        asked = [program.parts[part].mentor, *(["m3"] if part in ("told", "away") else [])]
        chosen = {f"choice-{known[own]}": str(n) for n, own in enumerate(asked, 1)}
        assert "is asked" in await send(story, await program.link(part, "choose"), "ask", **chosen)
        await program.until_mail(part, f"Adeyemi {program.parts[part].mentee[1]} would like you", mentor=True)

    await send(story, await program.link("told", "request", mentor=True), "question", text="What would you build first?")
    await program.until_mail("told", "would like to know more")
    await send(story, await program.link("told", "choose"), "reply", text="A small observatory.")
    await program.until_mail("told", "has answered your question", mentor=True)
    await send(story, await program.link("told", "request", mentor=True), "decline", reason="no_time")
    await program.until_mail("told", "asked your next choice")
    program.parts["told"] = Pair("", "m3", "q5", [])
    await send(story, await program.link("told", "request", mentor=True), "accept")
    await program.until_mail("told", "A mentor said yes")
    await send(story, await program.link("alone", "request", mentor=True), "decline", reason="someone_closer")
    await program.until_mail("alone", "choose again")
    await send(story, await program.link("back", "choose"), "take_back")
    await program.until_mail("back", "needs no answer", mentor=True)


DECIDING = "deciding"
"""Of a third program, whose pairs a coordinator approves: four pairs, and two who wait."""


async def to_decide(program: Program) -> None:
    """A run of proposals; whoever is in it has no mail."""
    story = program.story
    policy = {"match_mode": "propose", "audit": ["function", "first_language"]}
    common = {"program": DECIDING, "time_zone": "Africa/Lagos", "languages": ["en", "yo"], "function": "engineering"}
    when = [{"weekday": day, "start": "14:00", "end": "16:00"} for day in (1, 3)]
    offers = ("python", "cloud", "data-engineering", "negotiation")
    people = [
        {"person": f"y{n}", "role": "mentor", "skills_offered": [offers[n], "writing"], "availability": when}
        | {"title": f"Head of {offers[n].replace('-', ' ').title()}", "years_experience": 12}
        for n in range(4)
    ]
    people += [
        {"person": f"x{n}", "role": "mentee", "skills_wanted": [(*offers, "security", "python")[n]], "availability": when}
        | {"title": "Senior Analyst, Platforms and Developer Experience" if n == 0 else "Analyst", "years_experience": 2 + n}
        for n in range(6)
    ]
    events = [story.event(DECIDING, "ProgramLaunched", {"program": DECIDING, "name": "Deciding", "policy": policy})]
    events += [story.event(f"enrol-{one['person']}", "PersonEnrolled", common | one) for one in people]
    await story.post(NORTHWIND, events)
    there = "select count(*) = $2 from matching.people where programs @> array[$1::text]"
    await story.until("all of them", lambda: story.db.fetchval(there, f"northwind.{DECIDING}", len(people)))
    key = story.keys["northwind"]
    run = await story.call("POST", "matching", f"/v1/programs/{DECIDING}/match-runs", key)

    async def finished() -> bool:
        return bool((await story.call("GET", "matching", f"/v1/match-runs/{run['run_id']}", key))["status"] == "finished")

    await story.until("the run of proposals", finished)


async def send(story: Story, url: str, do: str, **form: str) -> str:
    """Send a form of the page behind a link; the page that it leads to."""
    found = re.search(r'name="version" value="(\d+)"', (await story.http.get(url)).text)
    assert found, url
    answer = await story.http.post(
        url, data={"do": do, "version": found[1]} | form, headers={"Accept": "text/html"}, follow_redirects=True
    )
    assert answer.status_code == 200, answer.text
    return str(answer.text)


# ---- looking -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def eyes(browser: Browser) -> AsyncIterator[Page]:
    """A phone that looks at one page after another."""
    context = await phone(browser, reduced_motion="reduce")
    yield await context.new_page()
    await context.close()


async def phone(browser: Browser, **more: Any) -> BrowserContext:
    context = await browser.new_context(viewport={"width": PHONE, "height": 740}, **more)
    context.set_default_timeout(15_000)  # ms
    return context


async def look(eyes: Page, url: str, status: int = 200) -> None:
    """The page is as it should be for whoever sees it, in light and in dark, on a phone."""
    answer = await eyes.goto(url)
    assert answer is not None
    assert answer.status == status
    faults = await faults_of(eyes)
    assert not faults, "\n".join([url, *faults])


async def faults_of(page: Page) -> list[str]:
    """What axe says of an open page, and what it doesn't look for."""
    await page.emulate_media(color_scheme="light")
    said = told("light", (await Axe().run(page, options=RULES)).response)
    await page.emulate_media(color_scheme="dark")
    said += told("dark", await page.evaluate("options => axe.run(options)", COLOURS))
    width = await page.evaluate("document.documentElement.scrollWidth")
    headings = await page.locator("h1").count()
    language = await page.locator("html").get_attribute("lang")
    ground = await page.evaluate("getComputedStyle(document.querySelector('.ground') || document.body).backgroundColor")
    wrong = {
        f"{width} pixels wide": width > PHONE,
        f"{headings} headings": headings != 1,
        "no title": not (await page.title()).partition("·")[0].strip(),
        f"language {language}": language != "en",
        f"in the dark it is {ground}": sum(map(int, re.findall(r"\d+", ground)[:3])) > 150,
    }
    return said + [what for what, is_so in wrong.items() if is_so]


def told(scheme: str, response: dict[str, Any]) -> list[str]:
    """Axe's violations, a line for each element; it must have found something in order, or it hasn't looked."""
    assert response["passes"]
    return [
        f"{scheme}: {violation['id']} at {node['target']}: {node['html'][:120]}"
        for violation in response["violations"]
        for node in violation["nodes"]
    ]


@dataclass
class Hands:
    """Someone who has a keyboard and no mouse, and whose browser runs no JavaScript."""

    page: Page

    async def reach(self, target: Locator) -> None:
        """Tab until this has the focus, which must be seen."""
        assert await target.count() == 1, f"{await target.count()} of {target}"
        for _ in range(30):
            await self.page.keyboard.press("Tab")
            if await target.evaluate("it => it === document.activeElement"):
                outline = await target.evaluate(
                    """it => [it, it.closest('label')].filter(Boolean).map(getComputedStyle)
                        .some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)"""
                )
                assert outline, f"the focus on {target} can't be seen"
                return
        pytest.fail(f"no Tab leads to {target}")

    async def press(self, label: str, key: str = "Enter") -> None:
        """A button, by its label; returns when the page after it is there."""
        await self.reach(self.page.get_by_role("button", name=label, exact=True))
        async with self.page.expect_navigation():
            await self.page.keyboard.press(key)

    async def heading(self) -> str:
        return (await self.page.locator("h1").inner_text()).replace("\n", " ")

    async def says(self) -> str:
        return await self.page.locator("main").inner_text()


@pytest.fixture
async def hands(browser: Browser) -> AsyncIterator[Hands]:
    context = await phone(browser, java_script_enabled=False)
    yield Hands(await context.new_page())
    await context.close()


async def opened(url: str, eyes: Page, hands: Hands, status: int = 200) -> None:
    """It is looked at, and lies before someone with a keyboard."""
    await look(eyes, url, status)
    await hands.page.goto(url)


# ---- the pages -----------------------------------------------------------------------------------------------------------


async def test_an_agreement_is_signed(program, eyes, hands):
    url = await program.link("sign", "sign")
    await opened(url, eyes, hands)
    await hands.press("I agree")
    assert "You have signed." in await hands.says()
    assert len((await program.relationship("sign"))["agreement"]["signed_by"]) == 1
    assert await hands.page.get_by_role("button").count() == 0
    await look(eyes, url)


async def test_a_goal_is_set(program, eyes, hands):
    url = await program.link("goals", "goals")
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_label("My goal"))
    await hands.page.keyboard.type("Lead a project across both our countries")
    await hands.reach(hands.page.get_by_label("A skill of the work itself"))
    await hands.page.keyboard.press("ArrowDown")
    assert await hands.page.get_by_label("Working with people").is_checked()
    await hands.press("Set this goal", "Space")
    assert "Lead a project across both our countries" in await hands.says()
    await look(eyes, url)


async def test_a_goal_without_a_word_is_asked_for_again(program, eyes, hands):
    url = await program.link("goals", "goals")
    await hands.page.goto(url)
    await hands.page.locator("form").evaluate("it => it.noValidate = true")  # as a browser does that knows no `required`
    await hands.press("Set this goal")
    alert = hands.page.get_by_role("alert")
    assert await alert.inner_text() == "Please choose what kind of goal it is."


async def test_a_time_is_picked(program, eyes, hands):
    url = await program.link("pick", "pick")
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_role("radio", checked=True))
    await hands.page.keyboard.press("ArrowDown")
    chosen = await hands.page.get_by_role("radio", checked=True).get_attribute("value")
    offered = [await radio.get_attribute("value") for radio in await hands.page.get_by_role("radio").all()]
    assert chosen == offered[1]
    await hands.press("Meet at this time")
    assert (await hands.heading()).startswith("You meet on ")
    (meeting,) = (await program.relationship("pick"))["meetings"]
    assert (meeting["status"], moment(meeting["starts_at"])) == ("scheduled", moment(chosen))
    await look(eyes, url)


async def test_a_meeting_is_moved_to_another_time(program, eyes, hands):
    (before,) = (await program.relationship("moved"))["meetings"]
    url = await program.link("moved", "pick")
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_role("radio").first)
    await hands.page.keyboard.press("Space")
    await hands.press("Move it to this time")
    (after,) = (await program.relationship("moved"))["meetings"]
    assert after["starts_at"] != before["starts_at"]
    assert after["sequence"] == before["sequence"] + 1
    assert "use the link in the newest mail" in await hands.says()
    assert await hands.page.get_by_role("button").count() == 0
    await look(eyes, url)


async def test_two_people_met(program, eyes, hands):
    url = await program.link("met", "met")
    await opened(url, eyes, hands)
    assert await hands.heading() == "Did you meet?"
    await hands.reach(hands.page.get_by_label("How many minutes"))
    await hands.page.keyboard.press("ControlOrMeta+a")
    await hands.page.keyboard.type("45")
    await hands.press("Yes, we met")
    assert await hands.heading() == "You met"
    assert "45 minutes" in await hands.says()
    assert (await program.relationship("met"))["meetings_held"] == 1
    await look(eyes, url)


async def test_a_meeting_that_was_counted_as_missed_is_put_right(program, eyes, hands):
    assert (await program.relationship("missed"))["meetings_missed"] == 1
    url = await program.link("missed", "met")
    await opened(url, eyes, hands)
    assert "It was counted as missed." in await hands.says()
    await hands.press("Yes, we met", "Space")
    assert await hands.heading() == "You met"
    after = await program.relationship("missed")
    assert (after["meetings_held"], after["meetings_missed"]) == (1, 0)


async def test_a_pair_ends(program, eyes, hands):
    url = await program.link("end", "end")
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_label("We reached what we wanted"))
    await hands.page.keyboard.press("ArrowDown")
    await hands.reach(hands.page.get_by_role("checkbox"))
    await hands.page.keyboard.press("Space")
    await hands.press("End it")
    assert await hands.heading() == "This has ended"
    after = await program.relationship("end")
    assert after["ended_at"] is not None
    assert after["end_reason"] == "not_a_fit"
    await look(eyes, url)


async def test_someone_chooses_which_mails_come(program, eyes, hands):
    url = (await program.story.mailed(["n06"], "preferences"))["n06"]
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_role("checkbox", name="Milestones"))
    await hands.page.keyboard.press("Space")
    await hands.press("Save")
    assert "Saved." in await hands.says()
    await hands.page.goto(url)
    boxes = [await box.is_checked() for box in await hands.page.get_by_role("checkbox").all()]
    assert boxes == [True, False, True]
    await hands.press("Stop all mail")
    assert await hands.heading() == "You get no mail from us"
    await look(eyes, url)
    await hands.press("Send me mail again")
    assert await hands.heading() == "Which mails do you want?"
    await look(eyes, hands.page.url)


async def test_someone_stops_all_mail(program, eyes, hands):
    url = (await program.story.mailed(["k03"], "unsubscribe"))["k03"]
    await opened(url, eyes, hands)
    await hands.press("Stop all mail")
    assert await hands.heading() == "You get no more mail from us"
    person = UUID(parse_qs(urlsplit(url).query)["p"][0])
    stopped = "select unsubscribed_at is not null from notifications.people where id = $1"
    assert await program.story.db.fetchval(stopped, person)
    await look(eyes, url)
    await hands.press("Send me mail again")
    assert not await program.story.db.fetchval(stopped, person)


async def test_a_mentee_chooses_mentors_in_order(program, eyes, hands):
    url = await program.link("choose", "choose")
    await opened(url, eyes, hands)
    assert await hands.heading() == "Choose a mentor"
    choices = hands.page.get_by_role("combobox")
    assert await choices.count() == 5
    await hands.press("Ask them in this order")
    assert await hands.page.get_by_role("alert").inner_text() == "Please choose at least one mentor."
    for n, name in ((0, "My second choice"), (1, "My first choice")):
        await hands.reach(choices.nth(n))
        await hands.page.keyboard.type(name)
    first = await hands.page.get_by_role("heading", level=2).nth(1).inner_text()
    await hands.press("Ask them in this order", "Space")
    assert await hands.heading() == "Your requests"
    asked = await hands.page.get_by_role("listitem").all_inner_texts()
    assert len(asked) == 2
    assert asked[0].startswith(f"{first} is asked, and has until ")
    assert asked[1].endswith("comes next, if needed")
    await look(eyes, url)


async def test_two_choices_in_the_same_place_are_asked_for_again(program, eyes, hands):
    url = await program.link("alone", "choose")
    await opened(url, eyes, hands)
    assert "That says nothing about you" in await hands.says()
    choices = eyes.get_by_role("combobox")
    for n in (0, 1):
        await choices.nth(n).select_option(label="My first choice")
    async with eyes.expect_navigation():
        await eyes.get_by_role("button").click()
    assert "Two mentors have the same place." in await eyes.get_by_role("alert").inner_text()
    assert [await one.input_value() for one in await choices.all()] == ["1", "1", "", "", ""]
    assert not await faults_of(eyes)


async def test_a_mentor_asks_for_more_and_then_says_yes(program, eyes, hands):
    asked, url = await program.link("yes", "choose"), await program.link("yes", "request", mentor=True)
    await opened(url, eyes, hands)
    assert await hands.heading() == "Would you be their mentor?"
    await hands.reach(hands.page.get_by_label("What would you like to know first?"))
    await hands.page.keyboard.type("What would you like to have learned in a year?")
    await hands.press("Ask")
    assert "We wait for their answer" in await hands.says()
    await look(eyes, url)

    await opened(asked, eyes, hands)
    assert "What would you like to have learned in a year?" in await hands.says()
    await hands.reach(hands.page.get_by_label("Your answer"))
    await hands.page.keyboard.type("To lead a team that ships.")
    await hands.press("Send my answer")
    assert "is asked, and has until" in await hands.says()

    await opened(url, eyes, hands)
    assert "To lead a team that ships." in await hands.says()
    await hands.press("Yes, I’ll be their mentor", "Space")
    assert await hands.heading() == "You said yes"
    await look(eyes, url)
    await opened(asked, eyes, hands)
    assert await hands.heading() == "You have a mentor"


async def test_a_mentor_says_no_and_takes_nobody_for_now(program, eyes, hands):
    url = await program.link("away", "request", mentor=True)
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_label("I don’t have the time just now"))
    await hands.page.keyboard.press("ArrowDown")
    assert await hands.page.get_by_label("It isn’t my field").is_checked()
    await hands.press("No, and I take nobody for now")
    assert await hands.heading() == "You said no, and that is fine"
    assert "You take nobody new just now" in await hands.says()
    await look(eyes, url)
    await hands.press("I can take someone again", "Space")
    assert "You take nobody new just now" not in await hands.says()
    onwards = await program.link("away", "choose")
    await opened(onwards, eyes, hands)
    assert "can’t take this on just now" in await hands.says()
    await hands.press("Take my requests back")
    assert await hands.heading() == "Choose a mentor"


async def test_a_request_that_was_taken_back_needs_no_answer(program, eyes, hands):
    mentor = program.story.address("m4")
    (url,) = {link for link in program.story.mails.links[mentor] if "/request/" in link and await taken_back(program, link)}
    await opened(url, eyes, hands)
    assert await hands.heading() == "Nothing to answer any more"
    assert await hands.page.get_by_role("button").count() == 0


async def taken_back(program: Program, link: str) -> bool:
    return "Nothing to answer any more" in (await program.story.http.get(link)).text


async def test_where_nobody_fits_the_page_says_so(program, eyes, hands):
    await opened(await program.link("nobody", "choose"), eyes, hands)
    assert "no mentor with a free place who fits just now" in await hands.says()
    assert await hands.page.get_by_role("button").count() == 0


async def test_in_a_program_that_matches_by_runs_nobody_chooses(program, eyes, hands):
    mentee = next(person for person, own in program.story.own_ids.items() if own == "n06")  # who waits
    expires = datetime.now(UTC) + timedelta(days=400)
    link = links.mint("choose", links.wishes_id(OWNED, UUID(mentee)), UUID(mentee), 1, expires)
    await opened(link.url(program.platform.addresses["matching"], program.platform.secrets.link_secret), eyes, hands)
    assert "mentors can’t be chosen just now" in await hands.says()
    assert await hands.page.get_by_role("button").count() == 0


# ---- coordinators --------------------------------------------------------------------------------------------------------


async def sign_in(page: Page, program: Program) -> None:
    await page.goto(program.platform.addresses["matching"] + "/coordinate/sign-in")
    await page.get_by_label("Access key").fill(program.story.keys["northwind"])
    async with page.expect_navigation():
        await page.get_by_role("button", name="Sign in").click()


async def follow(hands: Hands, label: str) -> None:
    """A link, by the beginning of its label."""
    await hands.reach(hands.page.get_by_role("link", name=re.compile(f"^{re.escape(label)}")))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")


async def test_a_coordinator_signs_in_decides_on_proposals_and_signs_out(program, eyes, hands):
    await opened(program.platform.addresses["matching"] + "/coordinate", eyes, hands)
    assert await hands.heading() == "Sign in"
    await hands.reach(hands.page.get_by_label("Access key"))
    await hands.page.keyboard.type("ith_wrong_key")
    await hands.press("Sign in")
    error = hands.page.get_by_text("This isn’t a key that holds.")
    assert await error.get_attribute("id") in (await hands.page.get_by_label("Access key").get_attribute("aria-describedby"))
    await hands.reach(hands.page.get_by_label("Access key"))
    await hands.page.keyboard.type(program.story.keys["northwind"])
    await hands.press("Sign in")
    assert await hands.heading() == "Your programs"
    await sign_in(eyes, program)
    await look(eyes, hands.page.url)

    await follow(hands, "Deciding")
    await look(eyes, hands.page.url)
    await hands.reach(hands.page.get_by_role("heading", level=3).get_by_role("link"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    run = hands.page.url
    assert (await hands.heading()).startswith("Run of ")
    assert "No better plan exists" in await hands.says()
    await look(eyes, run)
    await eyes.locator("summary").first.click()
    assert not await faults_of(eyes)

    await hands.press("Approve x0 with y0")
    assert "1 pair approved" in await hands.says()
    await look(eyes, hands.page.url)
    await hands.reach(hands.page.locator("summary").filter(has_text="Reject x1 with y1"))
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.locator("details[open]").get_by_role("radio", checked=True))
    await hands.page.keyboard.press("ArrowDown")
    await hands.reach(hands.page.locator("details[open]").get_by_role("button"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    assert "1 proposal rejected: these people are free for others." in await hands.says()
    await hands.press("Approve all 2 on this page", "Space")
    assert "Nothing is left to decide." in await hands.says()
    await follow(hands, "Begun (3)")
    assert await hands.page.get_by_role("heading", name=re.compile("^x. with y.")).count() == 3
    await look(eyes, hands.page.url)

    await follow(hands, "Everyone who waits")
    assert "Nobody offers security" in await hands.says()
    await look(eyes, hands.page.url)
    await hands.page.goto(run)
    await follow(hands, "How fair it was")
    assert "Mentees by function" in await hands.says()
    await look(eyes, hands.page.url)

    await hands.press("Sign out")
    assert await hands.heading() == "Sign in"
    await hands.page.goto(run)
    assert await hands.heading() == "Sign in"


async def test_a_coordinator_starts_a_run(program, eyes, hands):
    await sign_in(hands.page, program)
    await hands.page.goto(program.platform.addresses["matching"] + f"/coordinate/programs/northwind.{DECIDING}")
    await hands.press("Start a run")
    assert (await hands.heading()).startswith("Run of ")
    url = hands.page.url

    async def finished() -> bool:
        await hands.page.goto(url)
        return "Finished" in await hands.says()

    await program.story.until("the run", finished)
    await sign_in(eyes, program)
    await look(eyes, url)


# ---- what can't be done --------------------------------------------------------------------------------------------------


async def test_an_altered_link_an_old_one_and_a_wrong_address_are_refused_kindly(program, eyes, hands):
    url = await program.link("mailbox", "sign")
    given = parse_qs(urlsplit(url).query)
    link = links.Link("sign", UUID(urlsplit(url).path.rpartition("/")[2]), UUID(given["p"][0]), int(given["v"][0]), 0)
    refused = {
        url[:-1] + ("0" if url[-1] != "0" else "1"): (403, "Something is missing", "Open it again from the mail"),
        # the same mail's link, as it is months later
        link.url(program.platform.addresses["scheduling"], program.platform.secrets.link_secret): (
            410, "This link is too old", "The newest mail about it has one that works",
        ),
        program.platform.addresses["scheduling"] + "/nowhere": (404, "Nothing here", "nothing at this address"),
    }  # fmt: skip
    for address, (status, heading, text) in refused.items():
        await opened(address, eyes, hands, status)
        assert await hands.heading() == heading
        assert text in await hands.says()
        assert "Nothing was changed." in await hands.says()
        assert "'" not in await hands.says()


async def test_a_used_link_shows_how_things_stand_and_changes_nothing(program, eyes, hands):
    url = await program.link("ended", "pick")
    await opened(url, eyes, hands)
    assert await hands.heading() == "This has ended"
    assert await hands.page.get_by_role("button").count() == 0


# ---- the mailbox ---------------------------------------------------------------------------------------------------------


async def test_from_the_mailbox_to_the_signed_agreement_by_keyboard_alone(program, eyes, hands):
    pair = program.parts["mailbox"]
    address = program.story.address(pair.mentee)
    await program.link("mailbox", "sign")
    page = hands.page
    await page.goto(program.platform.addresses["mailbox"])
    await hands.reach(page.get_by_role("searchbox"))
    await page.keyboard.type(address)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    mails = page.get_by_role("main").get_by_role("link")
    assert await mails.count() == len(program.story.mails.subjects[address])
    await look(eyes, page.url)
    await hands.reach(mails.filter(has_text="your mentor"))
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    await look(eyes, page.url)
    frame = page.frame_locator("iframe")
    link = frame.get_by_role("link", name="Read and sign")
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await page.locator("iframe").evaluate("it => it === document.activeElement"):
            break
    async with page.expect_popup() as popup:
        for _ in range(5):
            if await link.evaluate("it => it === document.activeElement"):
                break
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
    window = Hands(await popup.value)
    await window.press("I agree")
    assert "You have signed." in await window.says()


async def test_the_mailbox_without_such_a_mail(program, eyes, hands):
    mailbox = program.platform.addresses["mailbox"]
    await look(eyes, f"{mailbox}/?to=nobody")
    await look(eyes, f"{mailbox}/messages/999999", 404)
    await hands.page.goto(f"{mailbox}/?to=nobody")
    assert "No mail to such an address." in await hands.says()


# ---- mails ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def mails(program: Program) -> dict[str, list[dict[str, Any]]]:
    """Every mail that came so far, by its kind."""
    mailbox, http = program.platform.addresses["mailbox"], program.story.http
    found: dict[str, list[dict[str, Any]]] = {}
    for one in (await http.get(f"{mailbox}/api/messages")).json():
        mail = (await http.get(f"{mailbox}/api/messages/{one['id']}")).json()
        found.setdefault(mail["headers"]["Feedback-ID"][0].partition(":")[0], []).append(mail)
    return found


@pytest.mark.parametrize("kind", sorted(set(TEMPLATES) - NEVER_SENT))
async def test_a_mail_is_readable_and_its_text_holds_the_same_links(kind, mails, eyes):
    """Of its kind the one with the longest name in it, and of these the one that says most."""
    mail = max(mails[kind], key=lambda mail: (max(map(len, mail["subject"].split())), len(mail["html"])))

    await eyes.set_content(mail["html"])
    faults = await faults_of(eyes)
    targets = {await a.get_attribute("href") for a in await eyes.get_by_role("link").all()}
    if targets != set(LINK.findall(mail["text"])):
        faults.append("other links than in its plain text")
    assert not faults, "\n".join([mail["subject"], *faults])


def test_every_kind_of_mail_came(mails):
    assert set(mails) == set(TEMPLATES) - NEVER_SENT
