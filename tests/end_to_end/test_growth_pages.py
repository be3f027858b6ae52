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
from tests.end_to_end.looking import faults_of
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
