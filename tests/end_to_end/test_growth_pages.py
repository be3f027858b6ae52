"""What a person sees of what it is worth: check-ins, goals, what is shared, groups, one's own mentoring, recognition.

Looked at as in `test_pages.py`: light, dark and at a phone's width, with axe, by keyboard alone and without JavaScript.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.demo.outside import LINK
from deploy.demo.story import Story
from deploy.local.platform import Platform
from deploy.local.state import State
from tests.end_to_end.growth_scene import OF_GROWTH, grown
from tests.end_to_end.looking import faults_of, look, opened, wide
from tests.end_to_end.scene import Program

pytestmark = [pytest.mark.platform, pytest.mark.browser]


@pytest.fixture(scope="module")
async def program(platform_with_people: Platform) -> AsyncIterator[Program]:
    platform = platform_with_people
    state = State("", os.getpid(), ready=True, addresses=platform.addresses, pids=platform.pids)
    story = Story(state, platform.secrets.operator_token, lambda *_: None)
    async with story.staged():
        yield await grown(platform, story)


# ---- check-ins and feedback ------------------------------------------------------------------------------------------------


# ---- goals, steps, skills, milestones --------------------------------------------------------------------------------------


# ---- groups ----------------------------------------------------------------------------------------------------------------


# ---- what is shared --------------------------------------------------------------------------------------------------------


# ---- one's own mentoring, outcomes, recognition ----------------------------------------------------------------------------


async def test_ones_own_mentoring_is_on_one_page_from_which_each_other_is_a_key_away(program, eyes, hands):
    url = await program.link("mine", "mine")
    await opened(url, eyes, hands, picture="mine")
    await wide(eyes, url, "mine")
    said = await hands.says()
    for words in ("Speak at a conference", "Send three ideas", "Your next meeting", "Your goals are set", "People you have met"):
        assert words in said
    notes = hands.page.get_by_role("link", name="Agenda, notes and follow-ups")
    await hands.reach(notes)
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    assert "What stands here is for you" in await hands.says()
    await hands.reach(hands.page.get_by_role("link", name="My mentoring"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    assert await hands.heading() == "My mentoring"
    await look(eyes, await program.link("mine", "mine", mentor=True))


async def test_a_mentor_keeps_what_they_learned_makes_a_certificate_and_takes_it_back(program, eyes, hands):
    url = await program.link("given", "record", mentor=True)
    await opened(url, eyes, hands, picture="record")
    await hands.reach(hands.page.get_by_label("In your own words"))
    await hands.page.keyboard.type("To ask one question more before I answer.")
    await hands.reach(hands.page.get_by_label("Put it on my certificate"))
    await hands.page.keyboard.press("Space")
    await hands.press("Keep it")
    await hands.press("Make my certificate")
    address = await hands.page.get_by_role("link", name="/certificate/").get_attribute("href")
    assert address is not None
    await look(eyes, url)
    await opened(address, eyes, hands, picture="certificate")
    await wide(eyes, address, "certificate")
    assert "To ask one question more before I answer." in await hands.says()
    assert "Growing" in await hands.says()
    await look(eyes, await program.link("given", "mine", mentor=True), picture="given")
    await hands.page.goto(url)
    await hands.press("Take it back")
    await look(eyes, address, status=404)


async def test_a_person_says_what_became_of_them(program, eyes, hands):
    url = await program.link("given", "outcome")
    await opened(url, eyes, hands, picture="outcome")
    await hands.reach(hands.page.get_by_label("A promotion"))
    await hands.page.keyboard.press("Space")
    await hands.press("Say it")
    assert "Thank you, and congratulations." in await hands.says()
    await look(eyes, url)


async def test_all_of_ones_data_is_a_button_away_at_each_part(program, eyes, hands):
    await hands.page.goto(await program.link("mine", "mine"))
    await hands.reach(hands.page.get_by_role("link", name="All of your data, to keep"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    await look(eyes, hands.page.url)
    others = [await one.get_attribute("href") for one in await hands.page.locator("main li a").all()]
    assert len(others) == 3
    for url in (hands.page.url, *others):
        await hands.page.goto(url)
        await hands.reach(hands.page.get_by_role("button", name="Download the file"))
        async with hands.page.expect_download() as download:
            await hands.page.keyboard.press("Enter")
        assert (await download.value).suggested_filename.startswith("ithaca-")


# ---- at risk ---------------------------------------------------------------------------------------------------------------


# ---- mails -----------------------------------------------------------------------------------------------------------------


async def test_every_mail_of_growth_is_readable_and_its_text_holds_the_same_links(mails: dict[str, list[dict[str, Any]]], eyes):
    """Of each kind the one with the longest word in its subject, and of these the one that says most."""
    assert set(mails) >= OF_GROWTH
    for kind in sorted(OF_GROWTH):
        mail = max(mails[kind], key=lambda mail: (max(map(len, mail["subject"].split())), len(mail["html"])))
        await eyes.set_content(mail["html"])
        faults = await faults_of(eyes)
        targets = {await a.get_attribute("href") for a in await eyes.get_by_role("link").all()}
        if targets != set(LINK.findall(mail["text"])):
            faults.append("other links than in its plain text")
        assert not faults, "\n".join([kind, mail["subject"], *faults])
