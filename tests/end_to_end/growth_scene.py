"""Programs on a day when every page of what it is worth has something to show: each pair or group plays one part."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from deploy.demo.outside import click
from deploy.demo.story import Pair, Story, end_of
from deploy.local.platform import Platform
from tests.end_to_end.scene import Program, launched, ran

OF_GROWTH: frozenset[str] = frozenset({"recognised"})
"""The kinds of mail that come here and not in `scene.py`."""

GROWING = ("checkins", "goals", "sharing", "mine", "given", "risk")
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
    await mine(here)
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
    await here.picked("group")


async def matched(story: Story, name: str) -> list[tuple[str, dict[str, str]]]:
    """A run of the program: each relationship's id, and its people's own ids by their role (of several, one)."""
    run = await ran(story, name)
    found = await story.call("GET", "matching", f"/v1/match-runs/{run}/pairs", story.keys["northwind"])
    return [(p["relationship_id"], {m["role"]: story.own_ids[m["person_id"]] for m in p["members"]}) for p in found["pairs"]]


# ---- each part ------------------------------------------------------------------------------------------------------------


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
