"""Programs on a day when every page of what it is worth has something to show: each pair or group plays one part."""

import asyncio
from datetime import timedelta
from functools import partial
from uuid import UUID

from deploy.demo.outside import click
from deploy.demo.sample import NORTHWIND
from deploy.demo.story import Pair, Story, end_of
from deploy.local.platform import Platform
from shared.events import Member, MemberJoined, Role
from tests.end_to_end.scene import Program, launched, ran
from tests.producing import send

OF_GROWTH: frozenset[str] = frozenset({"joined", "newcomer", "went_out", "left", "host"})
"""The kinds of mail that come here and not in `scene.py`."""

GROWING = ("checkins", "goals", "sharing", "mine", "risk")
"""The pairs' parts, each matched for a skill of its own."""
PATIENT = {"quiet_intervals_before_stalled": 10, "misses_before_stalled": 10, "days_between_asks": 0}
"""Nobody is called silent while time passes for the others."""
WHEN = [{"weekday": day, "start": "14:00", "end": "16:00"} for day in (1, 3)]


async def grown(platform: Platform, story: Story) -> Program:
    """Everybody matched, signed and met once; then each part is brought to where its page is worth seeing."""
    here = Program(platform, story)
    await story.two_employers()
    await pairs(here)
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
    await launched(story, "growing", PATIENT, people)
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


async def comings_and_goings(here: Program) -> None:
    """Of the group: one comes, another leads the first meeting, a third leaves."""
    story, found = here.story, here.parts["group"].id
    await here.until_mail("group", "You meet")
    late = {"program": "together", "time_zone": "Africa/Lagos", "languages": ["en"], "availability": WHEN, "person": "together-4"}
    late |= {
        "role": "mentee",
        "skills_wanted": ["cloud"],
        "name": "Zuri Wolfeschlegelsteinhausen",
        "email": "together-4@northwind.example",
    }
    await story.post(NORTHWIND, [story.event("enrol-together-4", "PersonEnrolled", late)])
    known = {own: person for person, own in story.own_ids.items()}
    member = Member(person_id=UUID(known["together-4"]), role=Role.mentee, organization="northwind")
    for service in ("scheduling", "notifications"):
        there = f"select true from {service}.people where id = $1"
        await story.until("who comes", partial(story.db.fetchval, there, member.person_id))
    joins = MemberJoined(relationship_id=UUID(found), program="northwind.together", member=member)
    await send(here.platform.addresses["kafka"], joins, organization="northwind", program="northwind.together")
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


# ---- each part ------------------------------------------------------------------------------------------------------------
