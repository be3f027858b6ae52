"""What a person sees of what it is worth: check-ins, goals, what is shared, groups, one's own mentoring, recognition.

Looked at as in `test_pages.py`: light, dark and at a phone's width, with axe, by keyboard alone and without JavaScript.
"""

import os
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.demo.outside import LINK
from deploy.demo.story import Story
from deploy.local.platform import Platform
from deploy.local.state import State
from tests.end_to_end.growth_scene import OF_GROWTH, grown
from tests.end_to_end.looking import faults_of, look, opened
from tests.end_to_end.scene import Program
from tests.end_to_end.test_pages import sign_in

pytestmark = [pytest.mark.platform, pytest.mark.browser]


@pytest.fixture(scope="module")
async def program(platform_with_people: Platform) -> AsyncIterator[Program]:
    platform = platform_with_people
    state = State("", os.getpid(), ready=True, addresses=platform.addresses, pids=platform.pids)
    story = Story(state, platform.secrets.operator_token, lambda *_: None)
    async with story.staged():
        yield await grown(platform, story)


# ---- check-ins and feedback ------------------------------------------------------------------------------------------------


async def test_a_check_in_is_answered_and_what_doesnt_fit_may_be_ended(program, eyes, hands):
    url = await program.link("checkins", "check-in")
    await opened(url, eyes, hands, picture="check-in")
    assert (await hands.heading()).startswith("How is it going with your mentor")
    page = hands.page
    for label in ("Yes, it fits", "Very good"):
        await hands.reach(page.get_by_label(label, exact=True))
        await page.keyboard.press("ArrowDown")
    await hands.reach(page.get_by_label("When things get difficult"))
    await page.keyboard.type("Applies mostly")
    await hands.press("Send it")
    assert "or none of it" in await page.get_by_role("alert").inner_text()
    assert await page.get_by_label("I’m not sure yet").is_checked()
    for statement in ("I find a way", "Demanding and tangled"):
        await hands.reach(page.get_by_label(statement))
        await page.keyboard.type("Applies somewhat")
    await hands.press("Send it")
    assert "It is noted. Below is more" in await hands.says()
    assert "You weren’t sure whether it fits" in await hands.says()
    await look(eyes, url)
    await hands.reach(page.get_by_label("I’m not sure yet"))
    await page.keyboard.press("ArrowDown")
    await hands.press("Send it")
    assert "Or end it now." in await hands.says()
    await look(eyes, url, picture="not-a-fit")
    assert (await program.relationship("checkins"))["state"] != "ended"


async def test_what_is_seen_differently_is_a_point_to_talk_about_and_a_line_for_the_coordinator(program, eyes, hands):
    url = await program.link("checkins", "notes")
    await opened(url, eyes, hands, picture="apart")
    assert "To talk about" in await hands.says()
    assert "You came with questions" in await hands.says()
    await hands.press(await hands.page.get_by_role("button", name="We have talked about it").get_attribute("aria-label"))
    assert "You say that it is settled." in await hands.says()
    for page in (hands.page, eyes):
        await sign_in(page, program)
    pairs = program.platform.addresses["scheduling"] + "/coordinate/pairs/northwind.growing"
    await opened(pairs, eyes, hands, picture="differently")
    assert "See it differently" in await hands.says()
    assert "doesn’t fit" in await hands.says()
    await hands.press("I take care of it")
    assert "doesn’t fit" not in await hands.says()


async def test_feedback_is_read_thanked_for_and_given(program, eyes, hands):
    url = await program.link("checkins", "feedback")
    await opened(url, eyes, hands, picture="feedback")
    assert "You came with questions" in await hands.says()
    await hands.press("Say thanks: on how you work together")
    assert "You said thanks." in await hands.says()
    await hands.press("Say it")
    assert "Please say something" in await hands.page.get_by_role("alert").inner_text()
    await hands.reach(hands.page.get_by_label("A next step"))
    await hands.page.keyboard.press("Space")
    await hands.reach(hands.page.get_by_label("In your words"))
    await hands.page.keyboard.type("Tell me sooner when I am wrong.")
    await hands.press("Say it")
    assert "Tell me sooner" in await hands.says()
    await look(eyes, url)


# ---- goals, steps, skills, milestones --------------------------------------------------------------------------------------


# ---- groups ----------------------------------------------------------------------------------------------------------------


# ---- what is shared --------------------------------------------------------------------------------------------------------


# ---- one's own mentoring, outcomes, recognition ----------------------------------------------------------------------------


# ---- at risk ---------------------------------------------------------------------------------------------------------------


async def test_a_coordinator_sees_who_is_at_risk_and_writes_to_them(program, eyes, hands):
    for page in (hands.page, eyes):
        await sign_in(page, program)
    url = f"{program.platform.addresses['scheduling']}/coordinate/pairs/northwind.starting"
    await opened(url, eyes, hands, picture="at-risk")
    assert await hands.heading() == "Who needs you"
    assert re.search(r"Not signed by everyone for \d+ days\.", await hands.says())
    await hands.press("I’ve written to them")
    assert "Not signed by everyone" not in await hands.says()
    await look(eyes, url)


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
