"""What a person sees of what it is worth: check-ins, goals, what is shared, groups, one's own mentoring, recognition.

Looked at as in `test_pages.py`: light, dark and at a phone's width, with axe, by keyboard alone and without JavaScript.
"""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from deploy.demo.days import end_of
from deploy.demo.outside import LINK, click
from deploy.local.platform import Platform
from tests.end_to_end.growth_scene import OF_GROWTH, co_mentees, grown
from tests.end_to_end.looking import Hands, faults_of, look, opened, wide
from tests.end_to_end.scene import Program, sign_in, told

pytestmark = [pytest.mark.platform, pytest.mark.browser]


@pytest.fixture(scope="module")
async def program(platform_with_people: Platform) -> AsyncIterator[Program]:
    async with told(platform_with_people) as story:
        yield await grown(platform_with_people, story)


# ---- check-ins and feedback ------------------------------------------------------------------------------------------------


async def test_a_check_in_is_answered_and_what_doesnt_fit_may_be_ended(program, eyes, hands):
    url = await program.link("checkins", "check-in")
    await opened(url, eyes, hands, picture="check-in")
    await wide(eyes, url, "check-in")
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


async def test_a_goal_is_worked_on_step_by_step_until_both_say_that_it_is_reached(program, eyes, hands):
    url = await program.link("goals", "goals")
    await opened(url, eyes, hands, picture="goals")
    await wide(eyes, url, "goals")
    assert "Say how you see it" in await hands.says()
    await hands.reach(hands.page.get_by_role("link", name="Give a talk of twenty minutes"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    one = hands.page.url
    await look(eyes, one, picture="goal")
    await wide(eyes, one, "goal")
    await hands.reach(hands.page.get_by_role("button", name=re.compile("^Done: ")).first)
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Space")
    assert "2 of 3 done" in await hands.says()
    await hands.reach(hands.page.get_by_label("What is the next step?"))
    await hands.page.keyboard.type("Rehearse it twice")
    await hands.reach(hands.page.get_by_label("A link to it"))
    await hands.press("Add this step")
    assert "Rehearse it twice" in await hands.says()
    await hands.reach(hands.page.get_by_text("Say it in other words, or make it sharper"))
    await hands.page.keyboard.press("Enter")
    await hands.page.goto(one)
    await hands.press("Yes, it is reached")
    assert "Reached on" in await hands.says()
    await look(eyes, one, picture="goal-reached")
    await program.until_mail("goals", "A goal is reached")
    await look(eyes, await program.link("goals", "goals", mentor=True))


async def test_a_goal_made_sharper_by_keyboard_and_one_without_a_word(program, eyes, hands):
    url = await program.link("goals", "goals")
    await hands.page.goto(url)
    await hands.reach(hands.page.get_by_label("Another goal"))
    await hands.page.keyboard.type("Say no more often")
    await hands.reach(hands.page.get_by_role("radio").first)
    await hands.page.keyboard.press("ArrowDown")
    await hands.reach(hands.page.get_by_text("Make it sharper"))
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.get_by_label("How will you know that it is reached?"))
    await hands.page.keyboard.type("One evening a week is free")
    await eyes.goto(url)
    await eyes.locator("summary", has_text="Make it sharper").click()
    assert not await faults_of(eyes)
    await hands.press("Set this goal")
    assert "Say no more often" in await hands.says()
    await eyes.goto(f"{url}&goal={await goal_called(hands, 'Say no more often')}")
    for summary in await eyes.locator("summary").all():
        await summary.click()
    assert not await faults_of(eyes)
    await hands.page.goto(eyes.url)
    assert "One evening a week is free" in await hands.says()
    await hands.reach(hands.page.get_by_text("Give it up", exact=True))
    await hands.page.keyboard.press("Enter")
    await hands.press("Give this goal up")
    assert "Given up on" in await hands.says()


async def goal_called(hands: Hands, name: str) -> str:
    link = await hands.page.get_by_role("link", name=name).get_attribute("href")
    assert link is not None
    return link.rpartition("=")[2]


async def test_a_milestone_of_the_program_is_said_to_be_reached_and_celebrated(program, eyes, hands):
    url = await program.link("goals", "goals")
    await hands.page.goto(url)
    await hands.reach(hands.page.get_by_role("button", name="We have reached it: A first talk given"))
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")
    assert "★ A first talk given" in await hands.says()
    await look(eyes, await program.link("group", "goals"), picture="goals-of-a-group")
    await look(eyes, url, picture="milestones")
    await program.until_mail("goals", "A first talk given", mentor=True)


async def test_levels_of_skills_are_seen_side_by_side(program, eyes, hands):
    url = await program.link("goals", "goals")
    await hands.page.goto(url)
    async with hands.page.expect_navigation():
        await hands.page.get_by_role("link", name="At what level are the skills?").click()
    skills = hands.page.url
    await look(eyes, skills, picture="skills")
    await wide(eyes, skills, "skills")
    assert "You see this one differently" in await hands.says()
    await hands.reach(hands.page.get_by_text("Say it anew"))
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.get_by_label("Negotiation", exact=True))
    await hands.page.keyboard.press("ArrowDown")
    await hands.press("This is how I see it")
    assert "You: 4 at the start" in await hands.says()


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


async def test_ones_own_mentoring_is_on_one_page_from_which_each_other_is_a_key_away(program, eyes, hands):
    url = await program.link("mine", "mine")
    await opened(url, eyes, hands, picture="mine")
    await wide(eyes, url, "mine")
    said = await hands.says()
    for words in ("Speak at a conference", "Send three ideas", "Your next meeting", "A goal is set", "People you have met"):
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


async def test_a_coordinator_sees_who_may_join_a_group_and_lets_them_in(program, eyes, hands):
    group = program.parts["group"].id
    for page in (eyes, hands.page):
        await sign_in(page, program)
    url = f"{program.platform.addresses['matching']}/coordinate/groups/{group}"
    await opened(url, eyes, hands, picture="joining")
    await wide(eyes, url, picture="joining")
    assert "Skills asked for and offered: cloud" in await hands.says()
    await hands.press("Let together-5 join")
    assert "together-5 has joined" in await hands.says()
    assert "Nobody who has a place left may join" in await hands.says()
    await look(eyes, hands.page.url)
    await program.story.mailed(["together-5"], "sign")
