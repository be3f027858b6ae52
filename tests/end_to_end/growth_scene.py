"""Programs on a day when every page of what it is worth has something to show: each pair or group plays one part."""

import asyncio
import re
from datetime import datetime, timedelta
from functools import partial
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit
from uuid import UUID

from deploy.demo.days import end_of
from deploy.demo.outside import click
from deploy.demo.sample import NORTHWIND
from deploy.demo.story import Pair, Story
from deploy.local.platform import Platform
from shared import links
from tests.end_to_end.scene import Program, launched, ran

OF_GROWTH = frozenset({"check_in", "misaligned", "feedback_asked", "feedback_given", "goal_reached", "recognised"}) | {
    "opportunity", "letter_asked", "introduction_asked", "introduced", "not_now", "circle_asked", "circle_off",
    "joined", "newcomer", "went_out", "left", "host",
}  # fmt: skip
"""The kinds of mail that come here and not in `scene.py`."""

GROWING = ("checkins", "goals", "sharing", "mine", "given", "risk")
"""The pairs' parts, each matched for a skill of its own."""
PATIENT = {"quiet_intervals_before_stalled": 10, "misses_before_stalled": 10, "days_between_asks": 0}
"""Nobody is called silent while time passes for the others."""
OWN_MILESTONES = [
    {"code": "first-talk", "name": "A first talk given"},
    {"code": "visit", "name": "A visit at the other’s workplace"},
]
WHEN = [{"weekday": day, "start": "14:00", "end": "16:00"} for day in (1, 3)]


async def grown(platform: Platform, story: Story) -> Program:
    """Everybody matched, signed and met once; then each part is brought to where its page is worth seeing."""
    here = Program(platform, story)
    await story.two_employers()
    begun = await starting(here)
    await pairs(here)
    await checked_in(here)
    await at_risk(here, begun)
    await goals(here)
    await mine(here)
    await shared(here)
    await circle(here)
    await group(here)
    return here


async def pairs(here: Program) -> None:
    """A program of one-to-one pairs, who have met once."""
    story = here.story
    common = {"program": "growing", "time_zone": "Africa/Lagos", "languages": ["en"], "availability": WHEN}
    people = [
        common
        | {"person": f"{part}-{role}", "role": role, what: [part], "name": name, "email": f"{part}-{role}@northwind.example"}
        for part in GROWING
        for role, what, name in (
            ("mentor", "skills_offered", "Yewande Wolfeschlegelsteinhausenbergerdorff"),
            ("mentee", "skills_wanted", f"Oluwaseun-Adébáyò {part.capitalize()}"),
        )
    ]
    await launched(story, "growing", PATIENT | {"first_check_in_days": 5, "milestones": OWN_MILESTONES}, people)
    found = await matched(story, "growing")
    here.parts |= {of["mentee"].partition("-")[0]: Pair(key, of["mentor"], of["mentee"], []) for key, of in found}
    await here.signed(*GROWING)
    over = max([end_of(await here.picked(part)) for part in GROWING])
    await story.go_to(over + timedelta(minutes=10))
    met = await story.mailed([here.parts[part].mentee for part in GROWING], "met")
    await asyncio.gather(*(story.http.post(link, data={"met": "yes", "minutes": "30"}) for link in met.values()))
    await here.until_mail("checkins", "first meeting")


async def group(here: Program) -> None:
    """A mentor and three mentees who meet as a group, and have a time to meet."""
    story = here.story
    common = {"program": "together", "time_zone": "Africa/Lagos", "languages": ["en"], "availability": WHEN}
    people = [
        common | {"person": own, "role": role, what: ["cloud"], "name": name, "email": f"{own}@northwind.example"}
        for own, role, what, name in (
            ("together-mentor", "mentor", "skills_offered", "Ngozi Wolfeschlegelsteinhausenbergerdorff"),
            ("together-1", "mentee", "skills_wanted", "Tobi Ade"),
            ("together-2", "mentee", "skills_wanted", "Ife Bello"),
            ("together-3", "mentee", "skills_wanted", "Oluwaseun-Adébáyò dos Santos"),
        )
    ]
    await launched(story, "together", PATIENT | {"formats": ["group"]}, people)
    ((found, _),) = await matched(story, "together")
    here.parts["group"] = Pair(found, "together-mentor", "together-1", [])
    everyone = [str(one["person"]) for one in people]
    links = await story.mailed(everyone, "sign")
    await asyncio.gather(*(story.http.post(link) for link in links.values()))
    await click(story.http, await here.link("group", "pick", mentor=True), slot="first")
    await comings_and_goings(here)


THERE = "select true from matching.people where id = $1"


async def comings_and_goings(here: Program) -> None:
    """Of the group: one comes, another leads the first meeting, a third leaves."""
    story, found = here.story, here.parts["group"].id
    await here.until_mail("group", "You meet")
    common = {"program": "together", "time_zone": "Africa/Lagos", "languages": ["en"], "availability": WHEN, "role": "mentee"}
    late = [
        common | {"person": own, "skills_wanted": ["cloud"], "name": name, "email": f"{own}@northwind.example"}
        for own, name in (("together-4", "Zuri Wolfeschlegelsteinhausen"), ("together-5", "Kemi Okafor"))
    ]
    await story.post(NORTHWIND, [story.event(f"enrol-{one['person']}", "PersonEnrolled", one) for one in late])
    known = {own: person for person, own in story.own_ids.items()}
    await story.until("who comes", partial(story.db.fetchval, THERE, UUID(known["together-4"])))
    joins = {"person_id": known["together-4"]}
    await story.call("POST", "matching", f"/v1/relationships/{found}/members", story.keys["northwind"], json=joins)
    link = (await story.mailed(["together-4"], "sign"))["together-4"]
    assert "Everyone has signed" in await click(story.http, link)
    await click(story.http, await here.link("group", "group", mentor=True), act="hand_on", to=known["together-2"])
    (leaver,) = (await story.mailed(["together-3"], "group")).values()
    assert "You have left" in await click(story.http, leaver, act="leave", reason="moved_on", rematch="yes")
    await here.until_mail("group", "has left your group")


async def matched(story: Story, name: str) -> list[tuple[str, dict[str, str]]]:
    """A run of the program: each relationship's id, and its people's own ids by their role (of several, one)."""
    run = await ran(story, name)
    found = await story.call("GET", "matching", f"/v1/match-runs/{run}/pairs", story.keys["northwind"])
    return [(p["relationship_id"], {m["role"]: story.own_ids[m["person_id"]] for m in p["members"]}) for p in found["pairs"]]


async def starting(here: Program) -> datetime:
    """A program of one pair who don't sign, and are left the time; when they were matched."""
    story = here.story
    common = {"program": "starting", "time_zone": "Africa/Lagos", "languages": ["en"], "availability": WHEN}
    people = [
        common | {"person": own, "role": role, what: ["cloud"], "name": name, "email": f"{own}@northwind.example"}
        for own, role, what, name in (
            ("starting-mentor", "mentor", "skills_offered", "Chidi Eze"),
            ("starting-mentee", "mentee", "skills_wanted", "Amara Obi"),
        )
    ]
    await launched(story, "starting", {"unsigned_days_before_stalled": 170, "unsigned_days_before_end": 180}, people)
    ((found, of),) = await matched(story, "starting")
    here.parts["starting"] = Pair(found, of["mentor"], of["mentee"], [])
    return await story.now()


# ---- each part ------------------------------------------------------------------------------------------------------------


async def checked_in(here: Program) -> None:
    """The day after they met: all are asked how it goes, one mentor sees something differently, and they give each other feedback."""
    story = here.story
    await story.go_to(await story.now() + timedelta(days=1, minutes=15))
    await here.until_asked("checkins", "check_in", "How is it going")
    await here.until_mail("checkins", "How is it going", mentor=True)
    said = {"fit": "good", "score": "4", "first_goal": "industry", "differs": "yes", "commitment": "strength"}
    await click(story.http, await here.link("checkins", "check-in", mentor=True), **said)
    await here.until_mail("checkins", "Something to talk about")
    told = {"do": "give", "about": "us", "tags": "strength", "text": "You came with questions, and left with a plan."}
    await click(story.http, await way(here, "feedback", mentor=True), **told)
    await here.until_mail("checkins", "There is feedback for you")
    await click(story.http, await way(here, "feedback", mentor=True), do="ask", about="us")
    await here.until_asked("checkins", "feedback_asked", "would like your feedback")


async def way(here: Program, action: str, *, mentor: bool = False) -> str:
    """The way from somebody's notes to another page of their relationship."""
    notes = await here.link("checkins", "notes", mentor=mentor)
    found = re.search(rf'href="([^"]*/{action}/[^"]+)"', (await here.story.http.get(notes)).text)
    assert found, action
    return urljoin(notes, unescape(found[1]))


async def goals(here: Program) -> None:
    """A goal made sharp, with steps of which one is done, of which the mentor says that it is reached; another one; and levels of skills."""
    http = here.story.http
    theirs, tomorrow = await here.link("goals", "goals"), f"{await here.story.now() + timedelta(days=20):%Y-%m-%d}"
    sharp = {
        "text": "Give a talk of twenty minutes at our engineering day",
        "kind": "interpersonal",
        "due_on": tomorrow,
        "measure": "I have stood on the stage, and at least one person came up afterwards with a question.",
        "why": "I’d like to be heard beyond my own team.",
        "skills": "public speaking, negotiation",
    }
    await click(http, theirs, **sharp)
    await click(http, theirs, text="Lead a project across both our countries", kind="technical")
    await here.until_mail("goals", "Your goals are set", mentor=True)
    mentors, theirs = await here.link("goals", "goals", mentor=True), await here.link("goals", "goals")
    page = (await http.get(theirs)).text
    goal = re.findall(r"&amp;goal=([0-9a-f-]+)", page)[0]
    steps = (
        ("reading", "Watch how others begin their talks", "https://talks.example.org/beginnings"),
        ("practice", "Tell three colleagues about it, in five minutes", ""),
        ("conversation", "Ask last year’s speakers what they would do otherwise", ""),
    )
    for kind, text, url in steps:
        await click(http, f"{mentors}&goal={goal}", do="step", kind=kind, text=text, url=url, due_on=tomorrow)
    first = re.findall(r'name="done" value="([^"]+)"', (await http.get(f"{theirs}&goal={goal}")).text)[0]
    await click(http, f"{theirs}&goal={goal}", done=first)
    await here.until_mail("goals", "The first step is done")
    for link, level in ((theirs, 2), (mentors, 4)):
        found = re.search(r'href="([^"]*/skills/[^"]+)"', (await http.get(link)).text)
        assert found is not None
        skills = urljoin(link, unescape(found[1]))
        whose = re.findall(r'name="whose" value="([^"]+)"', (await http.get(skills)).text)[0]
        await click(http, skills, whose=whose, skill0=f"{level} own:public-speaking", skill1="3 own:negotiation")
    await click(http, f"{mentors}&goal={goal}", do="reached")
    await here.until_asked("goals", "goal_reached", "says that a goal is reached")


async def mine(here: Program) -> None:
    """A pair in the middle of it, with a goal, something to do and a time to meet; and one that has reached what it wanted."""
    story, wish = here.story, "Speak at a conference across both our countries, and enjoy it"
    await click(story.http, await here.link("mine", "goals"), kind="interpersonal", text=wish, due_on="2027-03-31")
    await here.until_mail("mine", "Your goals are set")
    await here.picked("mine")
    await here.until_mail("mine", "You meet")
    notes = await here.link("mine", "notes")
    for text, doer in (("Ask Ngozi how she prepared her first talk", "everyone"), ("Send three ideas for a subject", "")):
        mentee = parse_qs(urlsplit(notes).query)["p"][0]
        form = {"add": "follow_up", "text": text, "doer": doer or mentee, "due_on": "", "form": text}
        await click(story.http, notes, **form)
    await click(story.http, await here.link("given", "end"), reason="goal_attained")
    await here.until_mail("given", "What you gave in Growing", mentor=True)
    await here.until_mail("given", "Your time with")


async def onwards(here: Program, url: str, action: str) -> str:
    """From a page of a relationship to another, as its reader goes."""
    page = (await here.story.http.get(url, headers={"Accept": "text/html"})).text
    (found,) = set(re.findall(rf'href="\.\./({action}/[^"]+)"', page))
    return f"{here.platform.addresses['scheduling']}/{unescape(found)}"


async def shared(here: Program) -> None:
    """A mentee asks for a letter, gets an opening, and is introduced to two people, to one of whom they say yes."""
    story = here.story
    mentee = await onwards(here, await here.link("sharing", "notes"), "share")
    await click(story.http, mentee, do="ask")
    await here.until_mail("sharing", "asks you for a letter", mentor=True)
    mentor = await here.link("sharing", "share", mentor=True)
    to = next(person for person, own in story.own_ids.items() if own == here.parts["sharing"].mentee)
    job = {"do": "pass_on", "form": "1", "to": to, "kind": "job", "site": "https://jobs.example/team-lead"}
    await click(story.http, mentor, **job, text="They look for someone who has built a team from nothing. That is you.")
    await here.until_mail("sharing", "passed on a job")
    mentee_of = here.parts["sharing"].mentee
    for name, answer, subject in (("Halima Danjuma", "no", "not now"), ("Emeka Obi", "yes", "would gladly be introduced")):
        form = {"do": "introduce", "form": name, "to": to, "whom": "outside", "name": name}
        await click(story.http, mentor, **form, text="Runs a team like the one you want to run.")
        made = await story.db.fetchval("select id::text from scheduling.introductions where to_name = $1", name)
        asked = await story.mailed([mentee_of], "introduced", lambda _, made=made: made)
        await click(story.http, asked[mentee_of], meet=answer)
        await here.until_mail("sharing", subject, mentor=True)


CO_MENTEES = ("Tobi Ade", "Ife Bello", "Sade Okoro", "Oluwaseun-Adébáyò Wolfeschlegelsteinhausenbergerdorff")


async def circle(here: Program) -> None:
    """A mentor of four, three of whom agree on a circle that one of them can't come to after all; then all four want to see each other."""
    story = here.story
    common = {"program": "circling", "time_zone": "Africa/Lagos", "languages": ["en"], "availability": WHEN}
    mentor: dict[str, object] = {
        "person": "circling-mentor",
        "role": "mentor",
        "skills_offered": ["cloud"],
        "name": "Graça Moreira",
        "capacity": 4,
    }
    mentees = [
        {"person": f"circling-{n}", "role": "mentee", "skills_wanted": ["cloud"], "name": name}
        for n, name in enumerate(CO_MENTEES)
    ]
    people = [common | one | {"email": f"{one['person']}@northwind.example"} for one in (mentor, *mentees)]
    await launched(story, "circling", PATIENT, people)
    found = await matched(story, "circling")
    pairs = {of["mentee"]: Pair(key, of["mentor"], of["mentee"], []) for key, of in found}
    here.parts |= {own: pairs[own] for own in sorted(pairs)}
    await here.signed(*pairs)
    pages = {own: await co_mentees(here, own) for own in sorted(pairs)}
    first, second, third, _ = pages
    for own in (first, second, third):
        await click(story.http, pages[own], do="in")
    await click(story.http, pages[first], do="propose", form="1")
    asked = await story.mailed([second, third], "co-mentees")
    circle_id = asked[second].partition("/co-mentees/")[2].partition("?")[0]
    await click(story.http, asked[second], do="yes", form=circle_id)
    await story.post(NORTHWIND, [story.event("break", "PersonPaused", {"person": second})])
    paused = "select count(*) from matching.people where own_id = $1 and status = $2"
    await story.until("a break", lambda: story.db.fetchval(paused, second, "paused"))
    await click(story.http, asked[third], do="yes", form=circle_id)
    await here.until_mail(first, "doesn’t come about")
    await story.post(NORTHWIND, [story.event("back", "PersonResumed", {"person": second})])
    await story.until("the end of a break", lambda: story.db.fetchval(paused, second, "active"))


async def co_mentees(here: Program, own: str) -> str:
    """A mentee's way to the others, as their page of notes has it."""
    story, pair = here.story, here.parts[own]
    person = UUID(next(person for person, known in story.own_ids.items() if known == own))
    notes = links.mint("notes", UUID(pair.id), person, 1, await story.now() + timedelta(days=9))
    return await onwards(here, notes.url(here.platform.addresses["scheduling"], here.platform.secrets.link_secret), "co-mentees")


async def at_risk(here: Program, begun: datetime) -> None:
    """Those who don't sign are flagged, so that their coordinator can write to them."""
    story = here.story
    late = begun + timedelta(days=8)
    if await story.now() < late:
        await story.go_to(late)
    flagged = "select flagged_at is not null from scheduling.relationships where id = $1"
    await story.until("a pair at risk", lambda: story.db.fetchval(flagged, UUID(here.parts["starting"].id)))
