"""The page behind the link `goals`: what a mentee works towards.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling.clicks import Seen, day, decide, page, see, stands
from services.scheduling.domain import goals
from services.scheduling.wording import GOAL_KINDS
from shared import web
from shared.events import GoalKind
from shared.links import Link
from shared.service import Service

GoalsLink = Annotated[Link, Depends(web.link_of("goals"))]


def goals_page(seen: Seen, error: str = "", typed: dict[str, str] | None = None) -> Response:
    relationship = seen.relationship
    can = (
        stands(seen.version, relationship)
        and relationship.ended_at is None
        and goals.may_set(relationship, seen.person)
        and relationship.goals < goals.MOST_GOALS
    )
    kinds = list(GOAL_KINDS.items())
    typed = typed or {"kind": "", "text": "", "due_on": ""}
    return page("goals.html", seen, error=error, can=can, goals=seen.goals, kinds=kinds, typed=typed)


def _wrong_goal(kind: str, text: str, due_on: str, today: date) -> str:
    if kind not in GOAL_KINDS:
        return "Please choose what kind of goal it is."
    if not text.strip():
        return "Please write your goal in a sentence."
    if len(text.strip()) > goals.LONGEST_TEXT:
        return f"Please keep it to {goals.LONGEST_TEXT} characters."
    due = day(due_on) if due_on else today
    if due is None or not today <= due <= date(2100, 1, 1):
        return "Please choose a day from today on, or leave it empty."
    return ""


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/goals/{thing}", methods=web.SHOW)
    async def see_goals(link: GoalsLink) -> Response:
        return goals_page(await see(service, link, with_goals=True))

    @router.post("/goals/{thing}")
    async def set_goal(
        request: Request,
        link: GoalsLink,
        kind: web.Text = "",
        text: web.Text = "",
        due_on: web.Text = "",
    ) -> Response:
        error = _wrong_goal(kind, text, due_on, service.database.clock.now().date())
        if error:
            typed = {"kind": kind, "text": text, "due_on": due_on}
            return goals_page(await see(service, link, with_goals=True), error, typed)
        due = day(due_on) if due_on else None
        words = text.strip()
        return await decide(service, request, link, lambda r, _, c: goals.set_goal(r, link.person, GoalKind(kind), due, words, c))

    return router
