"""What a person sees of what it is worth: check-ins, goals, what is shared, groups, one's own mentoring, recognition.

Looked at as in `test_pages.py`: light, dark and at a phone's width, with axe, by keyboard alone and without JavaScript.
"""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from deploy.demo.outside import LINK, click
from deploy.demo.story import Story, end_of
from deploy.local.platform import Platform
from deploy.local.state import State
from tests.end_to_end.growth_scene import OF_GROWTH, grown
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


async def test_a_group_sees_who_is_in_it_and_the_lead_is_handed_on(program, eyes, hands):
    url = await program.link("group", "group", mentor=True)
    await opened(url, eyes, hands, picture="group")
    said = await hands.says()
    assert "Ife Bello leads it." in said
    assert "Zuri" in said
    assert "dos Santos" not in said, "who has left"
    await hands.reach(hands.page.get_by_text("Hand the lead to someone else"))
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.get_by_role("radio").first)
    await hands.page.keyboard.press("ArrowDown")
    assert await hands.page.get_by_label("Tobi Ade").is_checked()
    await hands.press("Hand it on")
    assert "Tobi Ade leads it." in await hands.says()
    await eyes.goto(url)
    for summary in ("Hand the lead to someone else", "End this group"):
        await eyes.get_by_text(summary).click()
    assert not await faults_of(eyes), "with all that can be opened"
    mine = await program.link("group", "group")
    await opened(mine, eyes, hands)
    assert "You lead it." in await hands.says()
    await hands.press("Hand the lead on to Ngozi Wolfeschlegelsteinhausenbergerdorff")
    assert "leads it." in await hands.says()
    await look(eyes, mine)


async def test_a_group_says_when_it_can_and_whoever_leads_sets_the_time(program, eyes, hands):
    story = program.story
    await click(story.http, await program.link("group", "pick", mentor=True), act="call_off", reason="work")
    meeting = (await program.relationship("group"))["meetings"][-1]["meeting_id"]
    url, lead = (await story.mailed(["together-1", "together-mentor"], "pick", lambda _: meeting)).values()
    await opened(url, eyes, hands, picture="poll")
    await hands.reach(hands.page.get_by_role("checkbox").first)
    await hands.page.keyboard.press("Space")
    await hands.press("Save when I can")
    assert "It is noted." in await hands.says()
    assert "1 can so far" in await hands.says()
    await look(eyes, url)
    await opened(lead, eyes, hands)
    await hands.reach(hands.page.get_by_text("Set the time now"))
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.get_by_role("radio", checked=True))
    await hands.press("Meet at this time")
    assert (await hands.heading()).startswith("You meet on ")
    await eyes.goto(url)
    await look(eyes, url)


async def test_one_says_who_came_and_each_puts_their_own_right(program, eyes, hands):
    meeting = (await program.relationship("group"))["meetings"][-1]
    assert meeting["status"] == "scheduled"
    await program.story.go_to(end_of(meeting) + timedelta(minutes=5))
    await program.until_mail("group", "Did your group meet?")
    url = await program.link("group", "met")
    await opened(url, eyes, hands, picture="who-came")
    await hands.reach(hands.page.get_by_label("Ife Bello"))
    await hands.page.keyboard.press("Space")
    await hands.press("Save who came")
    assert await hands.heading() == "You met"
    assert "Ife Bello" not in await hands.page.get_by_role("status").inner_text()
    await look(eyes, url)
    (other,) = (await program.story.mailed(["together-2"], "met")).values()
    await opened(other, eyes, hands)
    await hands.press("I was there")
    assert "You are on the list." in await hands.says()
    await look(eyes, other)
    page = await program.link("group", "group")
    await opened(page, eyes, hands, picture="group-met")
    assert "Came to 1 of 1 meeting" in await hands.says()
    leave = (await program.story.mailed(["together-4"], "end"))["together-4"]
    await opened(leave, eyes, hands)
    assert "The group goes on without you" in await hands.says()
    await hands.reach(hands.page.get_by_role("radio").first)
    await hands.page.keyboard.press("Space")
    await hands.press("Leave the group")
    assert await hands.heading() == "You have left this group"
    await look(eyes, hands.page.url)


# ---- what is shared --------------------------------------------------------------------------------------------------------


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
