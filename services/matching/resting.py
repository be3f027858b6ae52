"""The page behind the link `again`: someone who was matched with nobody new, since they had fallen silent, is there again.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from services.matching.domain import requests
from services.matching.domain.model import Person, Program, Rolling
from services.matching.domain.runs import offered
from services.matching.personal import whose
from services.matching.wording import program_name
from shared import web
from shared.decisions import Action, Context, Outcome
from shared.links import Link, wishes_id
from shared.service import Service

PAGES = Path(__file__).parent / "pages"

AgainLink = Annotated[Link, Depends(web.link_of("again"))]


def there_again(program: str, person: Person | None, context: Context) -> Outcome:
    """They are matched again, at once where the program does so by itself."""
    outcome = requests.available(program, person, context)
    return offered(outcome, outcome.changed, (program,), context) if outcome.changed else outcome


async def decide(
    service: Service, http: HttpRequest, program: Program, person: Person, do: Callable[[Person | None, Context], Outcome]
) -> Response:
    """Decide about someone in a program under their lock; then their page shows how things stand."""
    action = Action(
        Person,
        person.id,
        do,
        organization=program.organization,
        program=program.id,
        traceparent=web.traceparent_of(http),
        reads={Rolling: [program.id]},
    )
    await service.work.act(action)
    return web.seen(f"?{http.url.query}")


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/again/{thing}", methods=web.SHOW)
    async def look(link: AgainLink) -> Response:
        program, person = await whose(service, link, wishes_id)
        away = program.id in person.unavailable
        return web.page(PAGES, "again.html", program=program_name(program), closed=program.closed, away=away)

    @router.post("/again/{thing}")
    async def again(http: HttpRequest, link: AgainLink) -> Response:
        program, person = await whose(service, link, wishes_id)
        return await decide(service, http, program, person, partial(there_again, program.id))

    return router
