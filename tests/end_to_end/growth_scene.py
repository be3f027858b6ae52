"""Programs on a day when every page of what it is worth has something to show: each pair or group plays one part."""

import asyncio
import re
from datetime import datetime, timedelta
from html import unescape
from urllib.parse import urljoin
from uuid import UUID

from deploy.demo.outside import click
from deploy.demo.story import Pair, Story, end_of
from deploy.local.platform import Platform
from tests.end_to_end.scene import Program, launched, ran

OF_GROWTH: frozenset[str] = frozenset({"check_in", "misaligned", "feedback_asked", "feedback_given"})
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
    begun = await starting(here)
    await pairs(here)
    await group(here)
    await checked_in(here)
    await at_risk(here, begun)
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
    await launched(story, "growing", PATIENT | {"first_check_in_days": 5}, people)
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
    await here.picked("group")


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


async def at_risk(here: Program, begun: datetime) -> None:
    """Those who don't sign are flagged, so that their coordinator can write to them."""
    story = here.story
    late = begun + timedelta(days=8)
    if await story.now() < late:
        await story.go_to(late)
    flagged = "select flagged_at is not null from scheduling.relationships where id = $1"
    await story.until("a pair at risk", lambda: story.db.fetchval(flagged, UUID(here.parts["starting"].id)))
