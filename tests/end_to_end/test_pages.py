"""What a person sees: every page and every mail in a browser, reached by the links in mails that came over SMTP.

Light, dark and at a phone's width they pass axe (WCAG 2.2 A and AA); each action is done by keyboard alone and without JavaScript.
"""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from deploy.demo.days import moment
from deploy.demo.outside import LINK, click
from deploy.demo.story import OWNED
from deploy.local.platform import Platform
from services.notifications.letters import TEMPLATES
from shared import links
from tests.end_to_end.growth_scene import OF_GROWTH
from tests.end_to_end.looking import Hands, faults_of, look, opened
from tests.end_to_end.scene import DECIDING, Program, acted, lasting, quiet, sign_in, told

pytestmark = [pytest.mark.platform, pytest.mark.browser]

# ---- the scene --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def program(platform_with_people: Platform) -> AsyncIterator[Program]:
    """The demo's story until its pairs are matched; then each pair is brought to where its page is worth seeing."""
    async with told(platform_with_people) as story:
        yield await acted(platform_with_people, story)


# ---- the pages -----------------------------------------------------------------------------------------------------------


async def test_an_agreement_is_signed(program, eyes, hands):
    url = await program.link("sign", "sign")
    await opened(url, eyes, hands, picture="agreement")
    await hands.press("I agree")
    assert "You have signed." in await hands.says()
    assert len((await program.relationship("sign"))["agreement"]["signed_by"]) == 1
    assert await hands.page.get_by_role("button").count() == 0
    await look(eyes, url)


async def test_an_agreement_is_changed_and_the_other_sees_what_is_different(program, eyes, hands):
    url = await program.link("edit", "edit")
    await opened(url, eyes, hands)
    assert (await hands.heading()).startswith("Change your agreement with your mentor")
    await hands.reach(hands.page.get_by_label("What for"))
    await hands.page.keyboard.type("To lead a project across both our countries")
    await hands.reach(hands.page.get_by_label("Every how many weeks do you meet?"))
    await hands.page.keyboard.press("Control+A")
    await hands.page.keyboard.type("3")
    await hands.reach(hands.page.get_by_label("Leading others"))
    await hands.page.keyboard.press("Space")
    await hands.press("Send it to be signed")
    assert "You have signed." in await hands.says()
    assert (await program.relationship("edit"))["agreement"]["version"] == 2
    await look(eyes, url)
    await program.until_mail("edit", "to sign", mentor=True)
    await opened(await program.link("edit", "sign", mentor=True), eyes, hands, picture="revised")
    assert "To lead a project across both our countries" in await hands.says()
    assert "We meet every 2 weeks" in await hands.says()
    await hands.press("I agree")
    assert "Everyone has signed" in await hands.says()
    assert (await program.relationship("edit"))["agreement"]["every_weeks"] == 3
    await look(eyes, await program.link("edit", "sign", mentor=True))


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
    await hands.page.locator("form", has_text="Set this goal").evaluate(
        "it => it.noValidate = true"
    )  # as a browser does that knows no `required`
    await hands.press("Set this goal")
    alert = hands.page.get_by_role("alert")
    assert await alert.inner_text() == "Please choose what kind of goal it is."


async def test_a_time_is_picked(program, eyes, hands):
    url = await program.link("pick", "pick")
    await opened(url, eyes, hands, picture="times")
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


async def test_a_day_away_and_a_room_are_said_on_ones_own_page_and_seen_by_the_other(program, eyes, hands):
    (meeting,) = (await program.relationship("moved"))["meetings"]
    wall = moment(meeting["starts_at"]).astimezone(ZoneInfo(program.story.homes[program.parts["moved"].mentor].time_zone))
    await eyes.goto(await program.link("moved", "mine", mentor=True))
    url = await eyes.get_by_role("link", name="Days away, and where you meet").evaluate("it => it.href")
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_label("First day"))
    await hands.page.get_by_label("First day").fill(f"{wall:%Y-%m-%d}")
    await hands.press("Say that I’m away")
    assert "A meeting lies on these days" in await hands.says()
    await hands.reach(hands.page.get_by_role("link", name="Move it or call it off"))
    await hands.reach(hands.page.get_by_label("Link, address or number"))
    await hands.page.keyboard.type("http://meet.example.org/our-room")
    await hands.press("Save where we meet")
    assert "it begins with https://" in await hands.says()
    await look(eyes, url, picture="own")
    await hands.page.get_by_label("Link, address or number").fill("https://meet.example.org/" + "ourroom" * 12)
    await hands.press("Save where we meet")
    await hands.press(f"Take back: {wall:%A} {wall.day} {wall:%B %Y}, away")
    assert "A meeting lies on these days" not in await hands.says()

    where = await program.link("moved", "where")
    await opened(where, eyes, hands)
    assert "Your mentor’s room, online" in await hands.says()
    await look(eyes, where)


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


async def test_another_time_is_suggested_taken_and_the_meeting_called_off(program, eyes, hands):
    (before,) = (await program.relationship("moved"))["meetings"]
    await program.until_mail("moved", "Moved:", mentor=True)
    url = await program.link("moved", "pick", mentor=True)
    await opened(url, eyes, hands)
    await hands.reach(hands.page.get_by_text("Suggest another time"))
    await hands.page.keyboard.press("Enter")
    wish = moment(before["starts_at"]) + timedelta(days=7)
    wall = wish.astimezone(ZoneInfo(program.story.homes[program.parts["moved"].mentor].time_zone))
    await hands.page.get_by_label("Day", exact=True).fill(f"{wall:%Y-%m-%d}")
    await hands.page.get_by_label("Time", exact=True).fill("03:33")
    await hands.press("Suggest this time")
    assert "That time doesn’t fit your mentee. Please try another one." in await hands.says()
    assert await hands.page.get_by_label("Day", exact=True).input_value() == f"{wall:%Y-%m-%d}", "what was typed stands open"
    await eyes.goto(url)
    await eyes.get_by_text("Suggest another time").click()
    await eyes.get_by_text("Call this meeting off").click()
    assert not await faults_of(eyes), "with all that can be opened"
    await hands.page.get_by_label("Time", exact=True).fill(f"{wall:%H:%M}")
    await hands.press("Suggest this time")
    assert "until then the meeting stays where it is" in await hands.says()
    await look(eyes, url)

    await program.until_mail("moved", "suggests")
    await opened(await program.link("moved", "pick"), eyes, hands)
    assert "suggested by your mentor" in await hands.says()
    await hands.reach(hands.page.get_by_label("suggested by your mentor"))
    await hands.page.keyboard.press("Space")
    await hands.press("Move it to this time")
    (moved,) = (await program.relationship("moved"))["meetings"]
    assert (moment(moved["starts_at"]), moved["sequence"]) == (wish, before["sequence"] + 1)

    await program.until_mail("moved", f"{wall:%a} {wall.day} {wall:%B}, {wall:%H:%M}", mentor=True)
    await hands.page.goto(await program.link("moved", "pick", mentor=True))
    await hands.reach(hands.page.get_by_text("Call this meeting off"))
    await hands.page.keyboard.press("Enter")
    await hands.reach(hands.page.get_by_label("I’m not well"))
    for _ in range(2):
        await hands.page.keyboard.press("ArrowDown")
    assert await hands.page.get_by_label("I’m away").is_checked()
    await hands.press("Call it off")
    assert await hands.heading() == "This meeting was called off"
    await look(eyes, hands.page.url)
    await hands.page.get_by_role("link", name="See your next meeting").press("Enter")
    await hands.page.wait_for_url("**/pick/**")
    cancelled, following = (await program.relationship("moved"))["meetings"]
    assert (cancelled["status"], following["status"]) == ("cancelled", "proposed")
    await program.until_mail("moved", "Called off:")


async def test_a_time_to_talk_once_is_picked_with_nothing_to_sign(program, eyes, hands):
    url = await program.link("talk", "pick")
    await opened(url, eyes, hands)
    assert "One conversation with your mentor, 30 minutes." in await hands.says()
    await hands.press("Meet at this time")
    assert (await hands.heading()).startswith("You meet on ")
    after = await program.relationship("talk")
    assert (after["agreement"], after["meetings"][0]["status"]) == (None, "scheduled")
    await look(eyes, url)


async def test_a_conversation_is_called_off_kindly(program, eyes, hands):
    url = await program.link("off", "end", mentor=True)
    await opened(url, eyes, hands)
    assert await hands.heading() == "Call off your conversation with your mentee?"
    assert "I don’t hear from the other side" not in await hands.says()
    await hands.reach(hands.page.get_by_label("I don’t have the time"))
    await hands.page.keyboard.press("Space")
    await hands.press("Call it off")
    assert await hands.heading() == "This has ended"
    assert (await program.relationship("off"))["end_reason"] == "no_time"
    await look(eyes, url)
    await program.until_mail("off", "won’t take place")


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


async def test_what_they_do_next_is_written_down_ticked_off_and_opened_again(program, eyes, hands):
    await hands.page.goto(await program.link("met", "met"))
    await follow(hands, "Write down what matters, and what each of you does next")
    url = hands.page.url
    await opened(url, eyes, hands)
    assert await hands.heading() == "You and your mentor"
    for label, words, button in (
        ("What do you want to talk about?", "How to say no", "Put it on the agenda"),
        ("What is to be done?", "Read the book on asking", "Add this follow-up"),
        ("What is worth keeping?", "Small steps", "Keep this note"),
    ):
        await hands.reach(hands.page.get_by_label(label))
        await hands.page.keyboard.type(words)
        await hands.press(button)
        assert words in await hands.says()
    await look(eyes, url, picture="notes")
    await hands.press("Done: Read the book on asking")
    await hands.reach(hands.page.get_by_text("1 talked about or done"))
    await hands.page.keyboard.press("Enter")
    await eyes.goto(url)
    await eyes.get_by_text("1 talked about or done").click()
    assert not await faults_of(eyes), "with what is done laid open"
    await hands.press("Open it again: Read the book on asking")
    assert "talked about or done" not in await hands.says()
    await opened(await program.link("met", "notes", mentor=True), eyes, hands)
    assert "Small steps" in await hands.says()


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


async def test_someone_says_whom_they_meet_and_takes_it_back(program, eyes, hands):
    url = await program.link("letters", "personal")
    await opened(url, eyes, hands)
    assert await hands.heading() == "Whom you meet"
    assert await hands.page.get_by_role("checkbox", checked=True).count() == 0
    silent = [await radio.get_attribute("value") for radio in await hands.page.get_by_role("radio", checked=True).all()]
    assert silent == ["", ""]
    only = hands.page.get_by_role("checkbox").first
    await hands.reach(only)
    await hands.page.keyboard.press("Space")
    await hands.press("Save")
    assert "To meet only people who said the same, say first what." in await hands.page.get_by_role("alert").inner_text()
    assert await only.is_checked()
    await hands.reach(hands.page.get_by_role("radio", checked=True).first)
    await hands.page.keyboard.press("ArrowDown")
    await hands.press("Save", "Space")
    assert "Saved." in await hands.page.get_by_role("status").inner_text()
    assert (await hands.page.get_by_label("Woman", exact=True).is_checked(), await only.is_checked()) == (True, True)
    assert "Another answer can be given from" in await hands.says()
    await look(eyes, hands.page.url)
    await hands.reach(hands.page.get_by_label("Woman", exact=True))
    await hands.page.keyboard.press("ArrowUp")
    await hands.reach(only)
    await hands.page.keyboard.press("Space")
    await hands.press("Save")
    assert await hands.page.get_by_role("checkbox", checked=True).count() == 0
    await look(eyes, (await program.story.mailed(["w2"], "preferences"))["w2"])
    assert await eyes.get_by_role("link", name="Whom you meet in Writing").get_attribute("href")


async def test_a_mentee_names_someone_they_know(program, eyes, hands):
    url = await program.link("names", "nominate")
    await opened(url, eyes, hands)
    assert await hands.heading() == "Someone you know as your mentor"
    assert "You may name 2 people at once." in await hands.says()
    await hands.page.locator("form").evaluate("it => it.noValidate = true")  # as a browser does that knows no type of field
    for label, text in (("Their name", "Femi Ade"), ("Their mail address", "femi")):
        await hands.reach(hands.page.get_by_label(label))
        await hands.page.keyboard.type(text)
    await hands.press("Ask them")
    email = hands.page.get_by_label("Their mail address")
    error = hands.page.get_by_text("Please check the mail address.")
    assert await error.get_attribute("id") in (await email.get_attribute("aria-describedby"))
    await hands.reach(email)
    await hands.page.keyboard.press("End")
    await hands.page.keyboard.type("@elsewhere.example")
    await hands.press("Ask them", "Space")
    assert "Thank you. We ask them kindly" in await hands.says()
    assert "You may name one more just now." in await hands.says()
    await look(eyes, hands.page.url)


async def test_who_was_named_says_yes_and_the_two_are_a_pair(program, eyes, hands):
    url = (await program.story.mailed(["kim"], "invited"))["kim"]
    await opened(url, eyes, hands)
    assert await hands.heading() == "Would you be Oluwaseun-Adébáyò Adeyemi 8’s mentor?"
    assert await hands.page.get_by_label("Your time zone").input_value() == "Africa/Lagos"
    assert await hands.page.get_by_label("English").is_checked()
    await hands.reach(hands.page.get_by_label("Yoruba"))
    await hands.page.keyboard.press("Space")
    await hands.reach(hands.page.get_by_label("What you could help with"))
    await hands.page.keyboard.type("Public speaking, python")
    await hands.press("Yes, I’ll be their mentor")
    assert await hands.heading() == "You said yes"
    await look(eyes, url)
    await program.until_mail("names", "A mentor said yes")
    await program.story.mailed(["kim", "q8"], "sign")
    await opened(await program.link("names", "nominate"), eyes, hands)
    assert "You have a mentor." in await hands.says()
    assert await hands.page.get_by_role("button").count() == 0


async def test_who_was_named_and_said_no_reads_that_they_are_forgotten(program, eyes, hands):
    await opened((await program.story.mailed(["ines"], "invited"))["ines"], eyes, hands)
    assert await hands.heading() == "You said no, and that is fine"
    assert "Your name and mail address are deleted." in await hands.says()
    assert await hands.page.get_by_role("button").count() == 0


async def test_in_a_program_that_matches_by_runs_nobody_chooses(program, eyes, hands):
    mentee = next(person for person, own in program.story.own_ids.items() if own == "n06")  # who waits
    expires = datetime.now(UTC) + timedelta(days=400)
    link = links.mint("choose", links.wishes_id(OWNED, UUID(mentee)), UUID(mentee), 1, expires)
    await opened(link.url(program.platform.addresses["matching"], program.platform.secrets.link_secret), eyes, hands)
    assert "mentors can’t be chosen just now" in await hands.says()
    assert await hands.page.get_by_role("button").count() == 0


# ---- coordinators --------------------------------------------------------------------------------------------------------


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


async def test_they_go_on_together_or_have_reached_their_goal(program, eyes, hands):
    """The last of the pages: a month passes."""
    await lasting(program)
    url = await program.link("lasting", "renew")
    await opened(url, eyes, hands)
    assert await hands.heading() == "Go on with your mentor?"
    await hands.press("Yes, let’s go on")
    assert "You said yes." in await hands.says()
    await look(eyes, url)
    await opened(await program.link("lasting", "renew", mentor=True), eyes, hands)
    await hands.press("Yes, let’s go on", "Space")
    assert await hands.heading() == "You go on with your mentee"
    await look(eyes, url)
    await program.until_mail("lasting", "go on")
    await opened(await program.link("lasting", "edit"), eyes, hands)
    assert await hands.heading() == "Change your agreement with your mentor"

    url = await program.link("goal", "reached")
    await opened(url, eyes, hands)
    await hands.press("Yes, our goal is reached")
    assert await hands.heading() == "★ You reached your goal"
    await look(eyes, url)
    await program.until_mail("goal", "Your time with")
    url = await program.link("goal", "mentor")
    await opened(url, eyes, hands)
    assert await hands.heading() == "Become a mentor yourself?"
    await hands.press("I’ll be a mentor")
    assert await hands.heading() == "You are a mentor here"
    await look(eyes, url)


async def test_a_pair_falls_silent_and_says_so_in_one_tap(program, eyes, hands):
    """After the month that passed."""
    await quiet(program)
    url = await program.link("letters", "touch")
    await opened(url, eyes, hands, picture="touch")
    assert await hands.heading() == "Were you and your mentor in touch?"
    await hands.press("Yes, we were in touch")
    assert await hands.heading() == "You were in touch"
    await look(eyes, url)

    url = await program.link("letters", "silent")
    await opened(url, eyes, hands)
    assert await hands.heading() == "You don’t hear from your mentor?"
    await hands.press("Please ask them")
    assert await hands.heading() == "We have asked your mentor"
    await look(eyes, url)
    await program.until_mail("letters", "Do you go on with", mentor=True)


async def test_who_is_asked_goes_on_in_one_tap(program, eyes, hands):
    url = await program.link("letters", "silent", mentor=True)
    await opened(url, eyes, hands, picture="asked")
    assert await hands.heading() == "Do you go on with your mentee?"
    await hands.press("Yes, I go on")
    assert await hands.heading() == "You don’t hear from your mentee?"
    await look(eyes, url)
    await program.until_mail("letters", "goes on with you")


async def test_a_worry_is_told_and_read_by_the_coordinator(program, eyes, hands):
    url = await program.link("letters", "concern", mentor=True)
    await opened(url, eyes, hands)
    assert await hands.heading() == "Does something worry you?"
    await hands.reach(hands.page.get_by_label("What happened, and what would help?"))
    await hands.page.keyboard.type("We can’t find a time, and I feel bad about it.")
    await hands.press("Send it to the coordinators")
    assert await hands.heading() == "Your coordinator has it"
    await look(eyes, f"{url}&told=1")

    for page in (hands.page, eyes):
        await sign_in(page, program)
    await hands.page.goto(f"{program.platform.addresses['matching']}/coordinate/programs/northwind.writing")
    await follow(hands, "Who needs you")
    assert await hands.heading() == "Who needs you"
    assert "We can’t find a time" in await hands.says()
    await look(eyes, hands.page.url, picture="who-needs-you")
    await hands.press("I take care of it")
    assert "We can’t find a time" not in await hands.says()


async def test_when_it_is_over_each_looks_back(program, eyes, hands):
    url = await program.link("ended", "after")
    await opened(url, eyes, hands, picture="after")
    assert await hands.heading() == "How was it?"
    for choice in ("worth", "again", "stay"):
        await hands.reach(hands.page.locator(f"input[name={choice}]").first)
        await hands.page.keyboard.press("Space")
    await hands.press("Send it")
    assert "Thank you, it is noted." in await hands.says()
    await look(eyes, url)
    theirs = await program.link("ended", "after", mentor=True)
    await click(program.story.http, theirs, worth="5", again="yes", stay="yes", text="A pleasure.")
    await program.until_mail("ended", "stay in touch")


async def test_a_mentor_who_declined_takes_nobody_new_for_a_while(program, eyes, hands):
    url = await program.link("tired", "lighter", mentor=True)
    await opened(url, eyes, hands, picture="lighter")
    assert await hands.heading() == "How much is right for you?"
    await hands.reach(hands.page.get_by_role("radio", checked=True))
    await hands.page.keyboard.press("ArrowUp")
    assert await hands.page.get_by_label("Nobody new until a day").is_checked()
    await hands.press("Save")
    assert "Nobody new comes to you until" in await hands.says()
    await look(eyes, url)


@pytest.mark.parametrize("kind", sorted(set(TEMPLATES) - OF_GROWTH))
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
    assert set(mails) >= set(TEMPLATES) - OF_GROWTH
