"""What came of it, in the demo's story: how it goes, a goal that is reached step by step, what a mentor gives beyond meetings, and a record
of it that anyone can check.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from deploy.demo import days
from deploy.demo.outside import StoryError, click
from deploy.demo.sample import NORTHWIND, PROGRAM

if TYPE_CHECKING:
    from deploy.demo.story import Pair, Story

PROMOTED = 5
"""Of fewer nobody is told that they were."""
MILESTONES = 2
"""Beyond meeting and setting goals: a first step done, a goal reached."""
SCALES: dict[str, Any] = {f"{scale}_{n}": "3" for scale in ("confidence", "belonging") for n in (1, 2, 3)}
OWNED = f"{NORTHWIND.id}.{PROGRAM}"
PAGE = {"Accept": "text/html"}


async def first_check_in(story: "Story") -> None:
    """The day after they met all are asked whether it fits, by mail a week after the last question; one mentor sees something differently, which
    is for both to talk about.
    """
    await days.live(story, await story.now() + timedelta(days=1, hours=3))
    people = [person for pair in story.pairs for person in pair.both]
    await asked(story, "fit", len(people))
    await days.live(story, await story.now() + timedelta(days=7))
    links = await links_of_pairs(story, "check-in")
    mentees = {pair.mentee for pair in story.pairs}
    differing = story.pairs[1]
    await asyncio.gather(
        *(
            click(story.http, link, fit="good", differs="yes" if person == differing.mentor else "", **(SCALES if person in mentees else {}))
            for person, link in links.items()
        )
    )  # fmt: skip
    await told(story, differing.mentee, "Something to talk about")
    story.say(
        story.day_of(await story.now()),
        f"{len(people)} people say whether it fits, each for themselves. One sees something differently: both get a point to talk about",
    )


async def grown(story: "Story") -> None:
    """The last day: what came of it."""
    await days.live(story, await story.now() + timedelta(days=1))
    pair = story.pairs[0]
    await how_good(story)
    await goal(story, pair)
    await given(story, pair)
    at = (await story.now()).isoformat()
    for one in story.pairs[:PROMOTED]:
        employer, said = story.homes[one.mentee], {"person": one.mentee, "program": OWNED, "kind": "promotion", "at": at}
        await story.post(employer, [story.event(f"promoted-{one.mentee}", "OutcomeReported", said, employer)])
    await recorded(story, pair)
    await worth(story)


async def how_good(story: "Story") -> None:
    """Both sides of each pair say how good it is, 1 to 5."""
    await asked(story, "quality", 2 * len(story.pairs))
    links = await links_of_pairs(story, "check-in")
    await asyncio.gather(*(click(story.http, link, score=str(4 + n // 2 % 2)) for n, link in enumerate(links.values())))


async def goal(story: "Story", pair: "Pair") -> None:
    """Steps towards a goal, levels of its skill as both see them, and both say that it is reached."""
    (mentees,), (mentors,) = [
        (await story.mailed([person], "goals", lambda _: pair.id)).values() for person in (pair.mentee, pair.mentor)
    ]
    (key,) = set(re.findall(r"&amp;goal=([0-9a-f-]+)", await shown(story, mentees)))
    mine, theirs = f"{mentees}&goal={key}", f"{mentors}&goal={key}"
    sharper: dict[str, Any] = {
        "do": "revise",
        "kind": "technical",
        "text": "Run my first project on my own",
        "skills": "project-management",
    }
    await click(story.http, mine, **sharper)
    await click(story.http, theirs, do="step", form="1", kind="practice", text="Lead the retrospective")
    (step,) = re.findall(r'name="done" value="([^"]+)"', await shown(story, mine))
    await click(story.http, mine, done=step)
    for link, level in ((mentees, 3), (mentors, 4)):
        skills = await way(story, link, "skills")
        whose = re.findall(r'name="whose" value="([^"]+)"', await shown(story, skills))[0]
        await click(story.http, skills, whose=whose, skill0=f"{level} own:project-management")
    await click(story.http, theirs, do="reached")
    await click(story.http, mine, do="reached")
    await told(story, pair.mentee, "A goal is reached")
    story.say(
        story.day_of(await story.now()),
        f"{story.label(pair.mentee)}: a goal reached step by step, by the word of both, and celebrated; what is written stays with the two",
    )


async def given(story: "Story", pair: "Pair") -> None:
    """What a mentor gives beyond meetings: feedback, a letter, a job passed on."""
    (notes,) = (await story.mailed([pair.mentee], "notes", lambda _: pair.id)).values()
    await click(story.http, await way(story, notes, "share"), do="ask")
    (share,) = (await story.mailed([pair.mentor], "share", lambda _: pair.id)).values()
    to = next(person for person, own in story.own_ids.items() if own == pair.mentee)
    await click(
        story.http, share, do="letter", form="2", to=to, text="I have seen her lead a project from the first day to the last."
    )
    await click(story.http, share, do="pass_on", form="1", to=to, kind="job", text="They look for someone who has led a project.")
    feedback = await way(story, (await story.mailed([pair.mentor], "notes", lambda _: pair.id))[pair.mentor], "feedback")
    await click(
        story.http, feedback, do="give", about="us", tags="strength", text="You came with questions, and left with a plan."
    )
    await told(story, pair.mentee, "There is feedback for you")


async def recorded(story: "Story", pair: "Pair") -> None:
    """They have reached what they wanted: the mentor has a record of it, and shows it."""
    await click(story.http, (await story.mailed([pair.mentee], "end", lambda _: pair.id))[pair.mentee], reason="goal_attained")
    await told(story, pair.mentor, "What you gave in")  # beside it there may be one of a year that is over
    (record,) = (await story.mailed([pair.mentor], "record")).values()
    page = await click(story.http, record, act="show")
    found = re.search(r'href="([^"]*/certificate/[^"]+)"', page)
    if found is None:
        raise StoryError("the record leads to no certificate")
    certificate = urljoin(record, unescape(found[1]))
    answer = (await story.http.get(certificate, headers={"Accept": "application/json"})).raise_for_status().json()
    story.say(
        "",
        f"They end it as planned. {story.label(pair.mentor)} shows a certificate: {answer['meetings']} meetings; anyone can check it:",
    )
    story.say("", f"  {certificate}")


async def worth(story: "Story") -> None:
    """What the program's owner sees of it all: counts, and answers in fives."""
    path, key = f"/v1/programs/{OWNED}/worth", story.keys[NORTHWIND.id]

    async def counted() -> Any:
        now = await story.call("GET", "analytics", path, key)
        there = now["goals"]["done"] and now["recognised"] and now["milestones"]["count"] and now["opportunities"]["count"]
        return now if there and now["quality"]["mentees"]["mean"] and now["quality"]["mentors"]["mean"] else None

    now = await story.until("what it is worth", counted)
    quality = now["quality"]
    story.say(
        "Worth",
        f"how good it is: mentees {quality['mentees']['mean']}, mentors {quality['mentors']['mean']} of 5 · check-ins {now['answered']} answered · "
        f"goals {now['goals']['done']} of {now['goals']['count']} reached · steps {now['steps']['done']} of {now['steps']['count']}",
    )
    story.say(
        "",
        f"milestones {now['milestones']['count']} · openings and letters {now['opportunities']['count']} · outcomes {sum(now['outcomes'].values())} · "
        f"mentors recognised {now['recognised']} · {now['minutes'] / 60:.0f} hours mentored",
    )
    story.worth = {"goals_reached": now["goals"]["done"], "recognised": now["recognised"], "answered": now["answered"]}


async def asked(story: "Story", kind: str, count: int) -> None:
    """Wait until so many are asked this."""
    there = "select count(*) >= $2 from scheduling.check_ins where kind = $1"
    await in_time(story, f"everybody to be asked: {kind}", lambda: story.db.fetchval(there, kind, count))


async def links_of_pairs(story: "Story", action: str) -> dict[str, str]:
    """Everybody's newest link to do this in their pair; circles have mails of their own."""
    things = {person: pair.id for pair in story.pairs for person in pair.both}

    async def all_there() -> dict[str, str] | None:
        await story.mails.read()
        links = {p: story.mails.link(story.address(p), action, thing) for p, thing in things.items()}
        return {p: link for p, link in links.items() if link} if all(links.values()) else None

    found: dict[str, str] = await in_time(story, f"{len(things)} mails with a link to {action}", all_there)
    return found


async def in_time(story: "Story", what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until the answer is true. What is late comes within the hour, and questions wait for each other: so time goes on meanwhile."""
    passed = 0

    async def answered() -> Any:
        nonlocal passed
        passed += 1
        if passed % 20 == 0:
            await days.live(story, await story.now() + timedelta(minutes=70))
        return await ask()

    return await story.until(what, answered)


async def shown(story: "Story", link: str) -> str:
    return (await story.http.get(link, headers=PAGE)).raise_for_status().text


async def way(story: "Story", link: str, action: str) -> str:
    """From a page to another, as its reader goes."""
    found = re.search(rf'href="([^"]*/{action}/[^"]+)"', await shown(story, link))
    if found is None:
        raise StoryError(f"{link.partition('?')[0]} leads to no page for {action}")
    return urljoin(link, unescape(found[1]))


async def told(story: "Story", own_id: str, words: str) -> None:
    """Wait for a mail with this in its subject."""

    async def came() -> bool:
        await story.mails.read()
        return any(words in subject for subject in story.mails.subjects[story.address(own_id)])

    await story.until(f"a mail: {words}", came)
