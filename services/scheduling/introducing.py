"""The page behind the link `introduced`: who is asked whether they would meet somebody says yes, or not now.

The link's object is the introduction, since not everybody who is asked is in its relationship. GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.clicks import PAGES, act, overview_of
from services.scheduling.domain import introductions
from services.scheduling.domain.introductions import Introduction
from services.scheduling.domain.model import Meeting, Person, Relationship
from shared import web
from shared.decisions import Context, Outcome
from shared.errors import Rejected
from shared.links import Link
from shared.places import day
from shared.service import Service

IntroducedLink = Annotated[Link, Depends(web.link_of("introduced"))]


@dataclass(frozen=True, slots=True)
class Introduced:
    """What the page shows: the introduction, its relationship, and who is named."""

    introduction: Introduction
    relationship: Relationship
    program: str
    people: Mapping[UUID, Person]
    now: datetime

    def name(self, person_id: UUID) -> str:
        person = self.people.get(person_id)
        return person.name if person and person.name else "someone"


async def found(service: Service, link: Link) -> Introduced:
    """Raises Rejected where it isn't there, or the reader is neither asked nor whoever introduces."""
    async with service.database.transaction() as connection:
        introduction = await store.introduction(connection, link.object)
        relationship = await store.relationship(connection, introduction.relationship_id) if introduction else None
        if introduction is None or relationship is None:
            raise web.nowhere()
        if link.person not in {*introduction.asked, introduction.introduced_by}:
            raise Rejected("not_a_member", "This link belongs to someone who isn’t part of this.", status=403)
        program = await store.program_name(connection, relationship.program)
        everyone = sorted({str(p) for p in (*introduction.asked, introduction.introduced_by)})
        people = await store.people_of(connection, everyone)
    return Introduced(introduction, relationship, program, people, service.database.clock.now())


def decided(link: Link, yes: bool, relationship: Relationship, _: Meeting | None, context: Context) -> Outcome:
    who, introduction = context.get(Person, link.person), context.get(Introduction, link.object)
    if who is None or who.erased or introduction is None:
        raise web.nowhere()
    return introductions.answer(relationship, introduction, link.person, context, yes=yes)


def introduced_page(service: Service, link: Link, seen: Introduced, error: str = "") -> Response:
    one, me = seen.introduction, link.person
    other = seen.name(one.person_id) if me != one.person_id else seen.name(one.to_person_id) if one.to_person_id else one.to_name
    return web.page(
        PAGES,
        "introduced.html",
        status=422 if error else 200,
        error=error,
        introduction=one,
        program=seen.program,
        overview=overview_of(service, link),
        asked=me in one.asked,
        can=seen.relationship.ended_at is None and one.waits_for(me),
        said=str(me) in one.yes,
        over=seen.relationship.ended_at is not None or one.over_at is not None,
        other=other or "someone",
        mentor=seen.name(one.introduced_by),
        is_mentee=me == one.person_id,
        outside=one.to_person_id is None,
        made_on=day(one.made_at, "UTC"),
    )


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/introduced/{thing}", methods=web.SHOW)
    async def look(link: IntroducedLink) -> Response:
        return introduced_page(service, link, await found(service, link))

    @router.post("/introduced/{thing}")
    async def answer(request: Request, link: IntroducedLink, meet: web.Text = "") -> Response:
        seen = await found(service, link)
        if meet not in {"yes", "no"}:
            return introduced_page(service, link, seen, "Please use one of the buttons.")
        reads: dict[type, list[UUID]] = {Introduction: [link.object], Person: [link.person]}
        await act(service, request, seen.relationship, None, partial(decided, link, meet == "yes"), reads, named=True)
        return web.seen(f"?{request.url.query}")

    return router
