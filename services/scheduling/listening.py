"""The pages on which people say how it goes: they were in touch, they hear nothing, something worries them.

GET and HEAD show and change nothing. POST decides under the relationship's lock and leads to the page that shows how things stand.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling.clicks import Seen, decide, page, see
from services.scheduling.domain import concerns, signs, silence
from services.scheduling.domain.model import Concern, Meeting, Person, Relationship
from shared import web
from shared.decisions import Context, Outcome
from shared.links import Link
from shared.service import Service

TouchLink = Annotated[Link, Depends(web.link_of("touch"))]
SilentLink = Annotated[Link, Depends(web.link_of("silent"))]
ConcernLink = Annotated[Link, Depends(web.link_of("concern"))]


def silent_page(seen: Seen, error: str = "") -> Response:
    relationship = seen.relationship
    asked = relationship.asked
    return page(
        "silent.html",
        seen,
        error=error,
        whom=signs.whom(relationship, seen.person),
        is_asked=asked == seen.person,
        others_asked=asked is not None and asked != seen.person,
        answer_by=silence.answer_by(relationship),
        can=silence.may_say(relationship, seen.person),
    )


def touch_page(seen: Seen) -> Response:
    relationship = seen.relationship
    noted = relationship.contacted_at is not None and seen.now - relationship.contacted_at < silence.ONCE
    running = relationship.agreed_at is not None and relationship.ended_at is None
    return page("touch.html", seen, noted=noted and not relationship.stalled_at, can=running)


def concern_page(seen: Seen, error: str = "", typed: str = "", *, told: bool = False) -> Response:
    return page("concern.html", seen, error=error, typed=typed, told=told)


def raised(link: Link, words: str, relationship: Relationship, _: Meeting | None, context: Context) -> Outcome:
    """A concern in these words, unless whoever follows the link was erased."""
    writer = context.get(Person, link.person)
    if writer is None or writer.erased:
        raise web.nowhere()
    known = context.get(Concern, concerns.concern_id(relationship.id, link.person, words))
    return concerns.raise_concern(relationship, known, link.person, words, context)


def routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.api_route("/touch/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_contact(link: TouchLink) -> Response:
        return touch_page(await see(service, link))

    @router.post("/touch/{thing}", include_in_schema=False)
    async def in_touch(request: Request, link: TouchLink) -> Response:
        return await decide(service, request, link, lambda r, _, c: silence.in_touch(r, link.person, c))

    @router.api_route("/silent/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_silence(link: SilentLink) -> Response:
        return silent_page(await see(service, link))

    @router.post("/silent/{thing}", include_in_schema=False)
    async def silent(request: Request, link: SilentLink, do: web.Text = "") -> Response:
        """`do` says which of the two buttons the reader saw: a page that is out of date changes nothing."""
        if do not in {"ask", "answer"}:
            return silent_page(await see(service, link), "Please use the button.")
        what = silence.say_silent if do == "ask" else silence.answer
        return await decide(service, request, link, lambda r, _, c: what(r, link.person, c))

    @router.api_route("/concern/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_concern(link: ConcernLink, told: bool = False) -> Response:
        return concern_page(await see(service, link), told=told)

    @router.post("/concern/{thing}", include_in_schema=False)
    async def concern(request: Request, link: ConcernLink, text: web.Text = "") -> Response:
        words = text.strip()
        if not words:
            return concern_page(await see(service, link), "Please write what worries you.")
        if len(words) > concerns.LONGEST_TEXT:
            return concern_page(await see(service, link), f"Please keep it to {concerns.LONGEST_TEXT} characters.", words)
        known = concerns.concern_id(link.object, link.person, words)
        # the person too: who is erased, or is so at this moment, leaves no words behind
        await decide(service, request, link, partial(raised, link, words), {Concern: [known], Person: [link.person]})
        return web.seen(f"?{request.url.query}&told=1")

    return router
