"""The page behind the link `feedback`: what was said to a member, what they are asked for, and the way to ask or to say something.

GET and HEAD show and change nothing. What is written here two people read, its giver and its receiver.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.scheduling import store
from services.scheduling.clicks import Seen, decide, page, see, way
from services.scheduling.domain import entries, feedback
from services.scheduling.domain.feedback import LONGEST_TEXT, About, Feedback, feedback_id
from services.scheduling.domain.model import Meeting, Person, Relationship
from shared import web
from shared.decisions import Context, Outcome
from shared.events import FeedbackTag
from shared.links import Link
from shared.service import Service

FeedbackLink = Annotated[Link, Depends(web.link_of("feedback"))]
TAGS = {
    FeedbackTag.strength.value: "A strength",
    FeedbackTag.to_improve.value: "Something to work on",
    FeedbackTag.next_step.value: "A next step",
}
LAST_MEETINGS = 3
"""That feedback may be on."""
SHORT = 60
"""Characters of a goal, where it is named."""


class Typed(BaseModel):
    """What was typed or pressed on the page."""

    do: str = Field("", max_length=60)
    """give, ask; or read, thanks or away, with the id of what was pressed."""
    about: str = Field("", max_length=100)
    whom: str = Field("", max_length=40)
    tags: list[str] = Field([], max_length=10)
    text: str = Field("", max_length=4000)

    @property
    def what(self) -> str:
        return self.do.partition(" ")[0]

    @property
    def words(self) -> str:
        return web.lines(self.text)


# ---- what it can be on -----------------------------------------------------------------------------------------------------


def read_about(text: str) -> About | None:
    """`meeting ID`, `goal ID`, `step ID OF ITS GOAL`, or `us`; None where it is none of them."""
    what, *ids = text.split()
    try:
        keys = [UUID(key) for key in ids]
    except ValueError:
        return None
    match what, keys:
        case "us", []:
            return About()
        case "meeting", [meeting]:
            return About(meeting_id=meeting)
        case "goal", [goal]:
            return About(goal_id=goal)
        case "step", [step, goal]:
            return About(goal_id=goal, step_id=step)
    return None


def offered(seen: Seen, wanted: str = "") -> list[tuple[str, str]]:
    """What feedback may be on, with its words; a step where its goal's page led here."""
    held = [past for past in reversed(seen.relationship.recent) if past.held][:LAST_MEETINGS]
    found = [(f"meeting {past.meeting_id}", f"Our meeting of {seen.words.on_day(past.at)}") for past in held]
    for goal in (goal for goal in seen.goals if goal.text):
        found.append((f"goal {goal.id}", f"The goal “{short(goal.text)}”"))
        about = read_about(wanted) if wanted.strip() else None
        if (
            about is not None
            and about.step_id is not None
            and about.goal_id == goal.id
            and any(s.id == about.step_id for s in goal.steps)
        ):
            found.append((wanted, f"A step of “{short(goal.text)}”"))
    return [*found, ("us", "How we work together")]


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


def on_what(seen: Seen, about: About) -> str:
    """`on the meeting of 3 December 2026`"""
    if about.meeting_id is not None:
        at = next((past.at for past in seen.relationship.recent if past.meeting_id == about.meeting_id), None)
        return f"on the meeting of {seen.words.on_day(at)}" if at else "on a meeting"
    if about.goal_id is None:
        return "on how you work together"
    goal = next((goal for goal in seen.goals if goal.id == about.goal_id and goal.text), None)
    what = "a step of the goal" if about.step_id else "the goal"
    return f"on {what} “{short(goal.text)}”" if goal else f"on {what.replace('the', 'a', 1)}"


# ---- the page ----------------------------------------------------------------------------------------------------------------


def feedback_page(
    service: Service,
    link: Link,
    seen: Seen,
    known: Sequence[Feedback],
    *,
    about: str = "",
    error: str = "",
    typed: Typed | None = None,
) -> Response:
    relationship, me = seen.relationship, seen.person
    asked = [one for one in known if one.giver == me and one.given_at is None]
    typed = typed or Typed(about=about or (of(asked[-1].about) if asked else ""))
    more: dict[str, Any] = {
        "can": entries.may_write(relationship, seen.now) and not relationship.meets_once,
        "got": [one for one in reversed(known) if one.receiver == me and one.given_at],
        "waits": [one for one in known if one.receiver == me and one.given_at is None],
        "asked": asked,
        "gave": [one for one in reversed(known) if one.giver == me and one.given_at],
        "on": lambda one: on_what(seen, one.about),
        "offered": offered(seen, typed.about),
        "tags": TAGS.items(),
        "called": lambda tag: TAGS.get(tag, ""),
        "typed": typed,
        "longest": LONGEST_TEXT,
        "notes": way(service, link, seen, "notes"),
    }
    return page("feedback.html", seen, error=error, **more)


def of(about: About) -> str:
    """As `read_about` reads it."""
    if about.step_id is not None:
        return f"step {about.step_id} {about.goal_id}"
    if about.goal_id is not None:
        return f"goal {about.goal_id}"
    return f"meeting {about.meeting_id}" if about.meeting_id is not None else "us"


def wrong(seen: Seen, typed: Typed) -> str:
    """What is to be mended before something is said or asked."""
    if typed.do not in {"give", "ask"}:
        return "Please use one of the buttons."
    if typed.about not in {value for value, _ in offered(seen, typed.about)}:
        return "Please choose what it is on."
    if whom(seen.relationship, typed, seen.person) is None:
        return "Please choose whom you mean."
    if typed.do == "ask":
        return ""
    if len(typed.words) > LONGEST_TEXT:
        return f"Please keep it to {LONGEST_TEXT} characters."
    if not set(typed.tags) <= set(TAGS):
        return "Please choose from what is there."
    return "" if typed.words or typed.tags else "Please say something, or choose what it is."


def whom(relationship: Relationship, typed: Typed, me: UUID) -> UUID | None:
    """The member it is for; of two it is always the other."""
    rest = [m.person_id for m in relationship.members if m.person_id != me]
    if len(rest) == 1:
        return rest[0]
    return next((person for person in rest if str(person) == typed.whom), None)


def decided(
    link: Link, typed: Typed, thing: UUID, other: UUID | None, relationship: Relationship, _: Meeting | None, context: Context
) -> Outcome:
    writer, known = context.get(Person, link.person), context.get(Feedback, thing)
    if writer is None or writer.erased:
        raise web.nowhere()
    if known is not None and known.relationship_id != relationship.id:
        raise web.nowhere()
    about = read_about(typed.about) if typed.about.strip() else None
    match typed.what:
        case "give" if other is not None and about is not None:
            tags = tuple(tag for tag in FeedbackTag if tag in typed.tags)
            return feedback.give(relationship, known, link.person, other, about, tags, typed.words, context)
        case "ask" if other is not None and about is not None:
            return feedback.ask(relationship, known, link.person, other, about, context)
        case "away":
            return feedback.take_away(known, link.person)
        case _:
            return feedback.read(known, link.person, context, thanks=typed.what == "thanks")


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def shown(link: Link, about: str = "", error: str = "", typed: Typed | None = None) -> Response:
        seen = await see(service, link, with_goals=True)
        async with service.database.transaction() as connection:
            known = await store.feedback_of(connection, seen.relationship.id, link.person)
        return feedback_page(service, link, seen, known, about=about, error=error, typed=typed)

    @router.api_route("/feedback/{thing}", methods=web.SHOW)
    async def look(link: FeedbackLink, about: str = "") -> Response:
        return await shown(link, about[:100])

    @router.post("/feedback/{thing}")
    async def write(request: Request, link: FeedbackLink, typed: Annotated[Typed, Form()]) -> Response:
        seen = await see(service, link, with_goals=True)
        pressed, other = key_of(typed.do), None
        if pressed is None:
            if fault := wrong(seen, typed):
                return await shown(link, error=fault, typed=typed)
            other, about = whom(seen.relationship, typed, link.person), read_about(typed.about)
            assert other is not None
            assert about is not None
            giver, receiver = (link.person, other) if typed.do == "give" else (other, link.person)
            pressed = feedback_id(seen.relationship.id, giver, receiver, about)
        reads: dict[type, list[Any]] = {Feedback: [pressed], Person: [link.person]}
        return await decide(service, request, link, partial(decided, link, typed, pressed, other), reads, seen)

    return router


def key_of(pressed: str) -> UUID | None:
    """Which feedback a button is about; None of those that say or ask something new."""
    what, _, key = pressed.partition(" ")
    try:
        return UUID(key) if what in {"read", "thanks", "away"} else None
    except ValueError:
        return None
