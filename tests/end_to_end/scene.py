"""The scene of the pages: a day on which every page and every mail has something to show."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from playwright.async_api import Page

from deploy.demo.days import end_of, moment
from deploy.demo.outside import click
from deploy.demo.sample import NORTHWIND, PROGRAM, PROGRAM_NAME
from deploy.demo.story import Pair, Story
from deploy.local.platform import Platform
from deploy.local.state import State

LONG_NAMES = {
    "n": "Oluwaseun-Adébáyò Ogunlesi-Akinwumi-Oyekanmi-Babatunde",
    "k": "Maria Wolfeschlegelsteinhausenbergerdorff dos Santos",
}


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

    async def until_asked(self, part: str, template: str, words: str) -> None:
        """A question, which stays an hour for others that are due at about the same time."""
        pair, story = self.parts[part], self.story
        there = """
        select exists(select from notifications.deliveries d join notifications.people p on p.id = d.person_id
          where p.email = $1 and d.template = $2)
        """
        await story.until(f"a question: {words}", lambda: story.db.fetchval(there, story.address(pair.mentee), template))
        await story.go_to(await story.now() + timedelta(minutes=61))
        await self.until_mail(part, words)


@asynccontextmanager
async def told(platform: Platform) -> AsyncIterator[Story]:
    """The demo's story, to be played on this platform without a word."""
    state = State("", os.getpid(), ready=True, addresses=platform.addresses, pids=platform.pids)
    story = Story(state, platform.secrets.operator_token, lambda *_: None)
    async with story.staged():
        yield story


async def sign_in(page: Page, program: Program) -> None:
    """As a coordinator."""
    await page.goto(program.platform.addresses["matching"] + "/coordinate/sign-in")
    await page.get_by_label("Access key").fill(program.story.keys["northwind"])
    async with page.expect_navigation():
        await page.get_by_role("button", name="Sign in").click()


async def acted(platform: Platform, story: Story) -> Program:
    """The demo's story until its pairs are matched; then each pair is brought to where its page is worth seeing."""
    await story.two_employers()
    await story.people_arrive()
    for own_id, employer in story.homes.items():
        if own_id in {"n08", "k12"}:
            named = {"person": own_id, "name": LONG_NAMES[own_id[0]]}
            await story.post(employer, [story.event(f"named-{own_id}", "ProfileChanged", named, employer)])
    patient = {"organizations": "only_other", "unsigned_days_before_stalled": 170, "unsigned_days_before_end": 180}
    changed = {"program": PROGRAM, "name": PROGRAM_NAME, "policy": patient}
    await story.post(NORTHWIND, [story.event("patient", "ProgramChanged", changed)])  # some sign late here, and some never
    await story.matched()
    here = Program(platform, story)
    parts = ("pick", "missed", "met", "moved", "goals", "sign", "end", "ended", "mailbox", "edit")
    here.parts = dict(zip(parts, story.pairs, strict=False))

    await story.go_to(story.day0 + timedelta(days=2))
    await here.signed("missed")
    meeting = await here.picked("missed")
    await story.go_to(moment(meeting["starts_at"]) - timedelta(hours=23))
    await here.until_mail("missed", "Soon: you meet")
    await story.go_to(end_of(meeting) + timedelta(hours=24, minutes=5))
    await here.until_mail("missed", "didn’t get to meet")
    await here.signed("met")
    over = end_of(await here.picked("met")) + timedelta(minutes=10)
    wall = over.astimezone(ZoneInfo(meeting["time_zone"]))
    due_on = f"{wall + timedelta(hours=12):%Y-%m-%d}"  # its mail comes at noon of the day before
    follow_up = {"add": "follow_up", "text": "Name three books", "doer": "everyone", "due_on": due_on}
    await click(story.http, await here.link("missed", "notes"), **follow_up)
    await story.go_to(over)
    await here.until_mail("met", "Did you and")
    await here.until_mail("missed", "Due on")

    await here.signed("pick", "moved", "goals", "ended", "edit")
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
    await own_contact(here)
    await to_decide(here)
    await by_letter(here)
    await to_talk(here)
    return here


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
    "names": ("q8", "m5"),
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
    policy = {"by_request": True, "requests_at_a_time": 3, "changes_before_relief": 1}
    await launched(story, "choosing", policy, [one | {"email": f"{one['person']}@northwind.example"} for one in choosing()])
    program.parts |= {part: Pair("", mentor, mentee, []) for part, (mentee, mentor) in ASKING.items()}
    known = {own: person for person, own in story.own_ids.items()}
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
    program.parts |= {"told": Pair("", "m3", "q5", []), "tired": Pair("", "m2", "q5", [])}
    await send(story, await program.link("told", "request", mentor=True), "accept")
    await program.until_mail("told", "A mentor said yes")
    await send(story, await program.link("alone", "request", mentor=True), "decline", reason="someone_closer")
    await program.until_mail("alone", "choose again")
    await send(story, await program.link("back", "choose"), "take_back")
    await program.until_mail("back", "needs no answer", mentor=True)


INVITED = {"kim": "Kim Okafor", "ines": "Inês Wolfeschlegelsteinhausenbergerdorff dos Santos"}
"""Whom a mentee of that program names, by the first half of their address."""


async def own_contact(program: Program) -> None:
    """Two are named: one says no, the other hasn't answered yet."""
    story = program.story
    for own, name in INVITED.items():
        story.homes[own] = NORTHWIND
        form = {"name": name, "email": story.address(own)}
        assert "We ask them kindly" in await click(story.http, await program.link("names", "nominate"), **form)
    invitations = await story.mailed(list(INVITED), "invited")
    assert "You said no" in await click(story.http, invitations["ines"], do="no")
    await program.until_mail("names", "can’t be your mentor just now")


DECIDING = "deciding"
"""Of a third program, whose pairs a coordinator approves: four pairs, and two who wait."""


async def to_decide(program: Program) -> None:
    """A run of proposals; whoever is in it has no mail."""
    story = program.story
    policy = {"match_mode": "propose", "audit": ["function", "first_language"]}
    common = {"program": DECIDING, "time_zone": "Africa/Lagos", "languages": ["en", "yo"], "function": "engineering"}
    when = [{"weekday": day, "start": "14:00", "end": "16:00"} for day in (1, 3)]
    offers = ("python", "cloud", "data-engineering", "negotiation")
    wanted = [[offer] for offer in offers] + [["security"], ["python", "security"]]
    people = [
        {"person": f"y{n}", "role": "mentor", "skills_offered": [offers[n], "writing"], "availability": when}
        | {"title": f"Head of {offers[n].replace('-', ' ').title()}", "years_experience": 12}
        for n in range(4)
    ]
    people += [
        {"person": f"x{n}", "role": "mentee", "skills_wanted": wanted[n], "availability": when}
        | {"title": "Senior Analyst, Platforms and Developer Experience" if n == 0 else "Analyst", "years_experience": 2 + n}
        for n in range(6)
    ]
    await launched(story, DECIDING, policy, [common | one for one in people])
    await ran(story, DECIDING)


async def by_letter(program: Program) -> None:
    """Two who are never free at the same time, and write to each other."""
    story = program.story
    common = {"program": "writing", "time_zone": "Africa/Lagos", "languages": ["en"]}
    people = [
        common | {"person": own, "role": role, "name": name, "email": f"{own}@northwind.example", "availability": [when]}
        for own, role, name, when in (
            ("w1", "mentor", "Ngozi Wolfeschlegelsteinhausenbergerdorff", {"weekday": 1, "start": "08:00", "end": "09:00"}),
            ("w2", "mentee", "Bola Ade", {"weekday": 2, "start": "19:00", "end": "21:00"}),
        )
    ]
    asked = [
        {"attribute": "gender", "answers": ["woman", "man", "non-binary"]},
        {"attribute": "faith", "answers": ["christian", "muslim", "jewish", "no-faith"]},
    ]
    policy = {"formats": ["e_mentoring"], "personal_rules": asked, "days_between_asks": 0}
    await launched(story, "writing", policy, people)
    await ran(story, "writing")
    program.parts["letters"] = Pair("", "w1", "w2", [])
    await program.signed("letters")
    await program.until_mail("letters", "You can write to")


async def lasting(program: Program) -> None:
    """Two pairs who write to each other for a month, one of them for one goal: half of it is over, and then nearly all."""
    story = program.story
    for name, term in (("lasting", "long"), ("goal", "short")):
        common = {"program": name, "time_zone": "Africa/Lagos", "languages": ["en"]}
        people = [
            common | {"person": f"{name}-{role}", "role": role, "name": f"Oluwaseun-Adébáyò {role}", what: ["cloud"]}
            | {"email": f"{name}-{role}@northwind.example"}
            for role, what in (("mentor", "skills_offered"), ("mentee", "skills_wanted"))
        ]  # fmt: skip
        await launched(
            story, name, {"formats": ["e_mentoring"], "term": term, "agreement": {"months": 1}, "days_between_asks": 0}, people
        )
        await ran(story, name)
        program.parts[name] = Pair("", f"{name}-mentor", f"{name}-mentee", [])
        await program.signed(name)
        await program.until_mail(name, "You can write to")
    await story.go_to(await story.now() + timedelta(days=17))
    await program.until_mail("goal", "Half of the way")
    await program.until_mail("lasting", "Half of the way")
    await program.until_asked("goal", "in_touch", "in touch?")
    await story.go_to(await story.now() + timedelta(days=9))
    await program.until_asked("lasting", "renewal", "Go on with")


async def quiet(program: Program) -> None:
    """The two who write to each other have said nothing since they began: they are nudged, warned, and left in peace."""
    story = program.story
    await story.go_to(await story.now() + timedelta(minutes=61))  # a step that is late comes within the hour
    await program.until_asked("letters", "nudge", "It has gone quiet")
    await silent_for_long(story)
    await program.until_asked("letters", "warned", "go on?")
    await silent_for_long(story)
    await program.until_mail("letters", "We leave you")


async def silent_for_long(story: Story) -> None:
    """Until the next step of silence of those who write to each other."""
    next_step = """
    select t.fire_at from scheduling.timers t join scheduling.relationships r on r.id::text = t.owner
    where t.kind = 'quiet' and r.program = 'northwind.writing' and t.fire_at > $1
    """
    now = await story.now()
    at = await story.until("a step of silence", lambda: story.db.fetchval(next_step, now))
    await story.go_to(at + timedelta(seconds=1))


async def to_talk(program: Program) -> None:
    """Two pairs who are to talk once: one has times to choose from, the other has chosen."""
    story = program.story
    common = {"program": "talking", "time_zone": "Africa/Lagos", "languages": ["en"]}
    when = [{"weekday": day, "start": "14:00", "end": "16:00"} for day in (1, 3)]
    people = [
        common
        | {"person": own, "role": role, "name": name, "email": f"{own}@northwind.example", "availability": when, what: [skill]}
        for own, role, name, what, skill in (
            ("t1", "mentor", "Yewande Wolfeschlegelsteinhausenbergerdorff", "skills_offered", "cloud"),
            ("t2", "mentor", "Sade Okoro", "skills_offered", "writing"),
            ("s1", "mentee", "Tobi Ade", "skills_wanted", "cloud"),
            ("s2", "mentee", "Ife Bello", "skills_wanted", "writing"),
        )
    ]
    await launched(story, "talking", {"formats": ["conversation"], "conversations_per_month": 1}, people)
    run = await ran(story, "talking")
    found = await story.call("GET", "matching", f"/v1/match-runs/{run}/pairs", story.keys["northwind"])
    of = {story.own_ids[member["person_id"]]: pair["relationship_id"] for pair in found["pairs"] for member in pair["members"]}
    program.parts |= {
        part: Pair(of[mentee], f"t{n}", mentee, []) for n, (part, mentee) in enumerate((("talk", "s1"), ("off", "s2")), 1)
    }
    await program.picked("off")
    await program.until_mail("off", "You talk with")


async def launched(story: Story, name: str, policy: dict[str, Any], people: list[dict[str, Any]]) -> None:
    """A program of Northwind's, and its people, known to matching."""
    said = {"program": name, "name": name.capitalize(), "policy": policy}
    await story.post(NORTHWIND, [story.event(name, "ProgramLaunched", said)])
    await story.post(NORTHWIND, [story.event(f"enrol-{one['person']}", "PersonEnrolled", one) for one in people])
    there = "select count(*) = $2 from matching.people where programs @> array[$1::text]"
    await story.until("all of them", lambda: story.db.fetchval(there, f"northwind.{name}", len(people)))


async def ran(story: Story, name: str) -> str:
    """A match run of the program, to its end; its id."""
    key = story.keys["northwind"]
    run = await story.call("POST", "matching", f"/v1/programs/{name}/match-runs", key)

    async def finished() -> bool:
        return bool((await story.call("GET", "matching", f"/v1/match-runs/{run['run_id']}", key))["status"] == "finished")

    await story.until(f"the run of {name}", finished)
    return str(run["run_id"])


async def send(story: Story, url: str, do: str, **form: str) -> str:
    """Send a form of the page behind a link; the page that it leads to."""
    found = re.search(r'name="version" value="(\d+)"', (await story.http.get(url)).text)
    assert found, url
    answer = await story.http.post(
        url, data={"do": do, "version": found[1]} | form, headers={"Accept": "text/html"}, follow_redirects=True
    )
    assert answer.status_code == 200, answer.text
    return str(answer.text)
