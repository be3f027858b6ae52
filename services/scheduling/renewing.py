"""The pages behind the links of a relationship's last months: go on for as long again; our goal is reached."""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling.clicks import Seen, decide, page, see
from services.scheduling.domain import renewal
from shared import web
from shared.links import Link
from shared.service import Service

RenewLink = Annotated[Link, Depends(web.link_of("renew"))]
ReachedLink = Annotated[Link, Depends(web.link_of("reached"))]


def renew_page(seen: Seen) -> Response:
    """The offer, or what came of it."""
    relationship = seen.relationship
    offer, current = relationship.renewal, seen.version == relationship.renewals
    said = offer is not None and seen.person in offer.yes
    until = renewal.as_long_again(relationship) if offer and current else relationship.until
    return page("renew.html", seen, offered=offer is not None and current, said=said, until=until, current=current)


def reached_page(seen: Seen) -> Response:
    relationship = seen.relationship
    return page("reached.html", seen, can=relationship.ended_at is None and renewal.may_be_reached(relationship))


def routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.api_route("/renew/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_offer(link: RenewLink) -> Response:
        return renew_page(await see(service, link))

    @router.post("/renew/{thing}", include_in_schema=False)
    async def renew(request: Request, link: RenewLink) -> Response:
        return await decide(service, request, link, lambda r, _, c: renewal.renew(r, link.person, c))

    @router.api_route("/reached/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_goal(link: ReachedLink) -> Response:
        return reached_page(await see(service, link))

    @router.post("/reached/{thing}", include_in_schema=False)
    async def reached(request: Request, link: ReachedLink) -> Response:
        return await decide(service, request, link, lambda r, m, c: renewal.reached(r, m, link.person, c))

    return router
