"""The page behind the link `goals`: what a mentee, or a group, works towards, step by step; one goal with all that belongs to it; and the
milestones of the relationship.

GET and HEAD show and change nothing. POST decides under the relationship's lock.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Annotated
from urllib.parse import urlencode, urlsplit
from uuid import UUID, uuid5

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter, ValidationError

from services.scheduling.clicks import Seen, day, decide, page, see, stands, way
from services.scheduling.domain import addresses, attaining, goals, milestones, renewal, skills, steps
from services.scheduling.domain.addresses import https
from services.scheduling.domain.entries import Written
from services.scheduling.domain.goals import Draft, Goal, Step
from services.scheduling.domain.model import Meeting, Person, Relationship
from services.scheduling.domain.skills import Assessment
from services.scheduling.noting import LAST_DAY, today_of
from services.scheduling.wording import GOAL_KINDS, STEP_KINDS, stars
from shared import web
from shared.cloudevents import new_id
from shared.decisions import Context, Outcome
from shared.events import GoalKind, StepKind
from shared.events.partner import Slug
from shared.links import Link
from shared.service import Service
from shared.words import plain

GoalsLink = Annotated[Link, Depends(web.link_of("goals"))]
SKILL: TypeAdapter[str] = TypeAdapter(Slug)
LONGEST_SKILL, WORDS_IN_SKILL = 40, 3
"""It is a name, and no place for sentences."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was typed or pressed on one of the two pages."""

    do: web.Text = "set"
    """`set`, `revise`, `drop`, `reached`, `not_yet`, `step` or `milestone`."""
    form: web.Text = ""
    """Which showing of the page it was: the same form sent twice adds one thing."""
    text: web.Text = ""
    kind: web.Text = ""
    due_on: web.Text = ""
    measure: web.Text = ""
    why: web.Text = ""
    skills: web.Text = ""
    """As typed, with commas between."""
    skill: Annotated[tuple[str, ...], Form(max_length=20)] = ()
    """Those ticked."""
    whose: web.Text = ""
    url: web.Text = ""
    own: web.Text = ""
    """The program's milestone that is reached."""
    done: web.Text = ""
    again: web.Text = ""
    away: web.Text = ""
    """The step that was pressed."""

    @property
    def pressed(self) -> UUID | None:
        try:
            return UUID(self.done or self.again or self.away)
        except ValueError:
            return None

    @property
    def sets(self) -> bool:
        """Whether it is the form of a new goal."""
        return self.do == "set" and not (self.done or self.again or self.away)

    @property
    def named(self) -> tuple[str, ...]:
        """Skills in their normal form, each once. Raises ValidationError."""
        typed = (part for part in self.skills.split(",") if part.strip())
        return tuple(dict.fromkeys(SKILL.validate_python(part) for part in (*self.skill, *typed)))

    def draft_of(self, wanted: Collection[str]) -> goals.Draft:
        """The goal as it was typed; skills that no profile names are the pair's own words."""
        return replace(self.draft(), skills=tuple(skills.own(one, wanted) for one in self.named))

    def wrong(self, today: date) -> str:
        """What is to be mended first."""
        match self.do:
            case _ if self.done or self.again or self.away:
                return "" if self.pressed else "Please use one of the buttons."
            case "set" | "revise":
                return self._wrong_goal(today)
            case "step":
                return self._wrong_step(today)
            case "drop" | "reached" | "not_yet" | "milestone":
                return ""
            case _:
                return "Please use one of the buttons."

    def _wrong_goal(self, today: date) -> str:
        if self.kind not in GOAL_KINDS:
            return "Please choose what kind of goal it is."
        if not self.text.strip():
            return "Please write your goal in a sentence."
        if any(len(text.strip()) > goals.LONGEST_TEXT for text in (self.text, self.measure, self.why)):
            return f"Please keep it to {goals.LONGEST_TEXT} characters."
        return self._wrong_skills() or self._wrong_day(today)

    def _wrong_skills(self) -> str:
        try:
            named = self.named
        except ValidationError:
            return "Please name skills in letters and digits, with commas between, such as: public speaking, python."
        if any(len(one) > LONGEST_SKILL or one.count("-") >= WORDS_IN_SKILL for one in named):
            return f"Please name each skill in one to {WORDS_IN_SKILL} words, with commas between."
        return f"Please name no more than {skills.MOST} skills." if len(named) > skills.MOST else ""

    def _wrong_step(self, today: date) -> str:
        if self.kind not in STEP_KINDS:
            return "Please choose what kind of step it is."
        if not self.text.strip():
            return "Please write what is to be done."
        if len(self.text.strip()) > steps.LONGEST_TEXT:
            return f"Please keep it to {steps.LONGEST_TEXT} characters."
        if len(self.url) > addresses.LONGEST:
            return f"Please keep the link to {addresses.LONGEST} characters."
        if self.url and https(self.url) is None:
            return "Please give a link that begins with https://, or leave it empty."
        return self._wrong_day(today)

    def _wrong_day(self, today: date) -> str:
        due = day(self.due_on) if self.due_on else today
        return "Please choose a day from today on, or leave it empty." if due is None or not today <= due <= LAST_DAY else ""

    def draft(self) -> Draft:
        """The goal of a form without fault."""
        return Draft(
            web.lines(self.text),
            GoalKind(self.kind),
            day(self.due_on),
            web.lines(self.measure),
            web.lines(self.why),
            self.named,
            of_group=self.whose == "group",
        )

    def step(self, goal: UUID, writer: UUID) -> Step:
        what = f"{self.form}\n{self.kind}\n{self.text.strip()}\n{self.url}\n{self.due_on}"
        return Step(
            uuid5(goal, f"{writer} {what}"),
            StepKind(self.kind),
            web.lines(self.text),
            writer,
            https(self.url) or "",
            day(self.due_on),
        )


def goal_of(sent: Sent, relationship_id: UUID, writer: UUID) -> UUID:
    """The id of the goal that a form sets."""
    return goals.goal_id(relationship_id, writer, f"{sent.form}\n{sent.kind}\n{sent.text.strip()}\n{sent.whose}")


# ---- what is decided -----------------------------------------------------------------------------------------------------


def decided(link: Link, sent: Sent, about: UUID, relationship: Relationship, _: Meeting | None, context: Context) -> Outcome:
    """What is sent, unless whoever follows the link was erased."""
    me, goal = link.person, context.get(Goal, about)
    writer = context.get(Person, me)
    if writer is None or writer.erased:
        raise web.nowhere()
    if sent.pressed is not None and not sent.away:
        outcome = steps.tick(relationship, goal, me, sent.pressed, context, done=bool(sent.done))
    elif sent.pressed is not None:
        outcome = steps.take_away(relationship, goal, me, sent.pressed)
    else:
        match sent.do:
            case "set":
                outcome = goals.set_goal(relationship, me, sent.draft_of(writer.wanted), context, about)
            case "revise":
                outcome = goals.revise(relationship, goal, me, sent.draft_of(writer.wanted), context)
            case "drop":
                outcome = goals.drop(relationship, goal, me, context)
            case "step":
                outcome = steps.add(relationship, goal, me, sent.step(about, me))
            case "milestone":
                outcome = milestones.say_own(relationship, sent.own, context)
            case _:
                outcome = attaining.say(relationship, goal, me, context, reached=sent.do == "reached")
    return steps.watched(relationship, outcome, context)


# ---- the two pages -------------------------------------------------------------------------------------------------------


def can_act(seen: Seen) -> bool:
    return stands(seen.version, seen.relationship) and seen.relationship.ended_at is None


def wanted_by(seen: Seen) -> tuple[str, ...]:
    """What the reader would like to learn, as their profile says."""
    person = seen.people.get(seen.person)
    return person.wanted if person else ()


def goals_page(service: Service, link: Link, seen: Seen, here: str, error: str = "", sent: Sent | None = None) -> Response:
    relationship, me = seen.relationship, seen.person
    may, can = goals.may_set(relationship, me), can_act(seen)
    group = goals.has_group(relationship)
    short = renewal.may_be_reached(relationship) and relationship.ended_at is None
    listed = [goal for goal in seen.goals if goal.is_open]
    reached = [goal for goal in seen.goals if goal.attained_at is not None]
    return page(
        "goals.html",
        seen,
        error=error,
        can=can and (may or group) and relationship.goals < goals.MOST_GOALS,
        may=may,
        group=group,
        here=here,
        goals=listed,
        asked={goal.id for goal in listed if can and asks(relationship, goal, me)},
        reached=reached,
        dropped=[goal for goal in seen.goals if goal.dropped_at is not None],
        kinds=list(GOAL_KINDS.items()),
        wanted=wanted_by(seen),
        plain=plain,
        sent=sent or Sent(),
        form=new_id(),
        stars=stars(relationship),
        act=can,
        skills=way(service, link, seen, "skills") if any(goal.skills for goal in seen.goals) else "",
        over=way(service, link, seen, "reached") if short and reached and not listed else "",
    )


def asks(relationship: Relationship, goal: Goal, me: UUID) -> bool:
    """Whether others say that it is reached, and this member hasn't said yet how they see it."""
    said = {word.person_id for word in goal.said}
    return bool(attaining.by(goal)) and me not in said and me in attaining.missing(relationship, goal)


def goal_page(
    service: Service, link: Link, seen: Seen, goal: Goal, here: str, error: str = "", sent: Sent | None = None
) -> Response:
    relationship, me = seen.relationship, seen.person
    can = can_act(seen) and goal.is_open
    said = {word.person_id: word.reached for word in goal.said}
    return page(
        "goal.html",
        seen,
        error=error,
        goal=goal,
        here=here,
        all_goals=here.partition("&goal=")[0],
        can=can,
        change=can and goals.may_change(relationship, goal, me),
        help=can and goals.may_help(relationship, goal, me),
        says=can and attaining.may_say(relationship, goal, me),
        said=said,
        others_say=[word.person_id for word in goal.said if word.reached and word.person_id != me],
        not_yet=[word.person_id for word in goal.said if not word.reached and word.person_id != me],
        waits_for=attaining.missing(relationship, goal) if goal.is_open else (),
        kinds=list(GOAL_KINDS.items()),
        step_kinds=list(STEP_KINDS.items()),
        kind_of=STEP_KINDS,
        wanted=wanted_by(seen) if goal.person_id == me else (),
        plain=plain,
        host=lambda url: urlsplit(url).hostname,
        sent=sent or Sent(do=""),
        form=new_id(),
        today=today_of(seen),
        notes=way(service, link, seen, "notes"),
        feedback=way(service, link, seen, "feedback") if can else "",
    )


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def look(request: Request, link: Link, about: UUID | None, error: str = "", sent: Sent | None = None) -> Response:
        seen = await see(service, link, with_goals=True)
        # an id that is none of theirs shows them all
        goal = _one(seen.goals, about)
        asked = [(key, value) for key, value in request.query_params.multi_items() if key != "goal"]
        here = "?" + urlencode([*asked, *([("goal", str(goal.id))] if goal else [])])
        if goal is None:
            return goals_page(service, link, seen, here, error, sent)
        return goal_page(service, link, seen, goal, here, error, sent)

    @router.api_route("/goals/{thing}", methods=web.SHOW)
    async def see_goals(request: Request, link: GoalsLink, goal: Annotated[UUID | None, Query()] = None) -> Response:
        return await look(request, link, goal)

    @router.post("/goals/{thing}")
    async def act(
        request: Request, link: GoalsLink, sent: Annotated[Sent, Depends()], goal: Annotated[UUID | None, Query()] = None
    ) -> Response:
        seen = await see(service, link)
        error = sent.wrong(today_of(seen))
        if error:
            return await look(request, link, goal, error, sent)
        about = goal_of(sent, link.object, link.person) if goal is None or sent.sets else goal
        # the person too: who is erased, or is so at this moment, leaves no words behind
        reads: dict[type, list[UUID]] = {
            Goal: [about],
            Person: [link.person],
            Written: [link.object],
            Assessment: skills.check_ins(seen.relationship, [link.person]),
        }
        return await decide(service, request, link, partial(decided, link, sent, about), reads, seen)

    return router


def _one(known: Sequence[Goal], about: UUID | None) -> Goal | None:
    return next((goal for goal in known if goal.id == about), None)
