"""What a person sees of what it is worth: check-ins, goals, what is shared, groups, one's own mentoring, recognition.

Looked at as in `test_pages.py`: light, dark and at a phone's width, with axe, by keyboard alone and without JavaScript.
"""

import os
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.demo.outside import LINK, click
from deploy.demo.story import Story
from deploy.local.platform import Platform
from deploy.local.state import State
from tests.end_to_end.growth_scene import OF_GROWTH, co_mentees, grown
from tests.end_to_end.looking import faults_of, look, opened
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


async def test_a_mentor_passes_on_an_opening_writes_a_letter_and_introduces_someone(program, eyes, hands):
    url = await program.link("sharing", "share", mentor=True)
    await opened(url, eyes, hands)
    assert await hands.heading() == "Pass something on"
    assert "asks you for a letter" in await hands.says()
    await hands.reach(hands.page.get_by_label("What is it?"))
    await hands.page.keyboard.type("An event")
    await hands.reach(hands.page.get_by_label("What is it about, and why for them?"))
    await hands.page.keyboard.type("An evening for people who lead for the first time. I was there last year.")
    await hands.press("Pass it on")
    assert "An evening for people" in await hands.says()
    await hands.page.goto(url)
    await hands.reach(hands.page.get_by_label("Your letter"))
    await hands.page.keyboard.type("In half a year she built a team of five from nothing, and they stayed.")
    await hands.press("Give it to them")
    assert "asks you for a letter" not in await hands.says()
    await hands.page.goto(url)
    await hands.reach(hands.page.locator("summary").last)
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.get_by_label("Their name, if you chose someone else"))
    await hands.page.keyboard.type("Zainab Musa")
    await hands.reach(hands.page.get_by_label("Why should they meet?"))
    await hands.page.keyboard.type("She has led a platform team for ten years, and asks good questions.")
    await hands.press("Introduce them")
    assert "Waiting for an answer" in await hands.says()
    await look(eyes, url)
    await hands.page.goto(url)
    await hands.page.locator("form").first.evaluate("it => it.noValidate = true")
    await hands.press("Pass it on")
    assert await hands.page.get_by_role("alert").inner_text() == "Please write what it is about."


async def test_a_mentee_takes_up_what_was_passed_on_and_meets_whom_they_like(program, eyes, hands):
    await program.until_mail("sharing", "wrote you a letter")
    url = await program.link("sharing", "share")
    await opened(url, eyes, hands, picture="share")
    assert await hands.heading() == "Passed on to you"
    await hands.reach(hands.page.get_by_role("button", name=re.compile("I’m taking it up")).first)
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    assert "You are taking it up" in await hands.says()
    await look(eyes, url)
    await hands.reach(hands.page.get_by_role("link", name="Answer"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    await opened(hands.page.url, eyes, hands, picture="introduced")
    assert await hands.heading() == "Would you like to meet Zainab Musa?"
    await hands.press("Yes, gladly")
    assert await hands.heading() == "You and Zainab Musa know each other now"
    await look(eyes, hands.page.url)


async def test_co_mentees_who_want_to_see_each_other_form_a_circle(program, eyes, hands):
    first, second, third, fourth = (f"circling-{n}" for n in range(4))
    url = await co_mentees(program, fourth)
    await opened(url, eyes, hands)
    assert await hands.heading() == "Others with the same mentor"
    await hands.press("See each other")
    assert "Sade Okoro" in await hands.says()
    await look(eyes, url, picture="co-mentees")
    await hands.press("Propose a circle")
    assert "You said yes" in await hands.says()
    await look(eyes, url)
    circle = await program.story.db.fetchval("select proposal ->> 'circle_id' from scheduling.co_mentees where $1 <> ''", fourth)
    asked = await program.story.mailed([first, second, third], "co-mentees", lambda _: circle)
    await opened(asked[first], eyes, hands)
    await hands.press("Yes, I’d join")
    assert "You said yes" in await hands.says()
    await click(program.story.http, asked[second], do="no", form=circle)
    await click(program.story.http, asked[third], do="yes", form=circle)
    signed = await program.story.mailed([first, third, fourth], "sign", lambda _: circle)
    await opened(signed[third], eyes, hands)
    for link in signed.values():
        await click(program.story.http, link)
    await look(eyes, url)
    assert "You are in a circle together" in await eyes.locator("main").inner_text()


# ---- one's own mentoring, outcomes, recognition ----------------------------------------------------------------------------


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
