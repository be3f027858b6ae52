"""The page behind the link `outcome`: a person says what became of them, such as a promotion, with its month.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.gateway.domain import Person, outcomes
from services.gateway.nominating import PAGES, naming
from shared import web
from shared.decisions import Action
from shared.events import OutcomeKind
from shared.links import Link
from shared.service import Service

OutcomeLink = Annotated[Link, Depends(web.link_of("outcome"))]

KINDS = {
    OutcomeKind.promotion: ("A promotion", "More responsibility, a higher grade"),
    OutcomeKind.new_role: ("A new role", "Other work, here or elsewhere"),
    OutcomeKind.education: ("A course or degree", "Begun or finished"),
    OutcomeKind.move: ("A move to another team or place", ""),
}


@dataclass(frozen=True, slots=True)
class Typed:
    kind: web.Text = ""
    month: web.Text = ""

    def chosen(self, now: datetime) -> tuple[OutcomeKind, datetime] | None:
        month = next((month for month in outcomes.months(now) if f"{month:%Y-%m}" == self.month), None)
        kind = next((kind for kind in KINDS if kind.value == self.kind), None)
        return (kind, month) if kind and month else None


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def page(link: Link, typed: Typed, *, error: str = "", saved: bool = False) -> Response:
        seen, now = await naming(service, link), service.database.clock.now()
        base, secret = service.urls.get("scheduling", ""), service.settings.link_secret
        return web.page(
            PAGES,
            "outcome.html",
            status=422 if error else 200,
            program=seen.program.name,
            kinds=[(kind.value, *words) for kind, words in KINDS.items()],
            months=[(f"{month:%Y-%m}", f"{month:%B %Y}") for month in outcomes.months(now)],
            said=[(KINDS[kind][0], f"{month:%B %Y}") for kind, month in outcomes.said(seen.mentee) if kind in KINDS],
            typed=typed,
            error=error,
            saved=saved,
            overview=replace(link, action="mine", object=link.person, version=1).url(base, secret) if base else "",
        )

    @router.api_route("/outcome/{thing}", methods=web.SHOW)
    async def look(link: OutcomeLink, saved: str = "") -> Response:
        return await page(link, Typed(), saved=bool(saved))

    @router.post("/outcome/{thing}")
    async def say(http: Request, link: OutcomeLink, typed: Annotated[Typed, Depends()]) -> Response:
        chosen = typed.chosen(service.database.clock.now())
        if chosen is None:
            return await page(link, typed, error="Please choose what it is, and the month.")
        seen = await naming(service, link)
        action = Action(
            Person,
            link.person,
            partial(outcomes.say, seen.program.id, *chosen),
            organization=seen.program.organization,
            program=seen.program.id,
            traceparent=web.traceparent_of(http),
        )
        await service.work.act(action)
        return web.seen(f"?{http.url.include_query_params(saved='1').query}")

    return router
