"""The page behind the link `lighter`: a mentor takes fewer at a time, or nobody new until a day.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from services.matching.domain import relief
from services.matching.domain.model import Person, Program
from services.matching.personal import PAGES, whose
from services.matching.resting import decide
from services.matching.wording import program_name
from shared import web
from shared.links import Link, wishes_id
from shared.places import day
from shared.service import Service

LONGEST_REST = timedelta(days=366)

LighterLink = Annotated[Link, Depends(web.link_of("lighter"))]


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    clock = service.database.clock

    def page(program: Program, person: Person, error: str = "") -> Response:
        known, zone = person.relief_in(program.id), _zone(person)
        return web.page(
            PAGES,
            "lighter.html",
            status=422 if error else 200,
            program=program_name(program),
            closed=program.closed,
            fewer=_fewer(program, person),
            most=known.most,
            away=program.id in person.unavailable,
            until=day(known.until, zone.key) if known.until else "",
            tomorrow=(clock.now().astimezone(zone) + timedelta(days=1)).date().isoformat(),
            error=error,
        )

    @router.api_route("/lighter/{thing}", methods=web.SHOW)
    async def look(link: LighterLink) -> Response:
        return page(*await whose(service, link, wishes_id))

    @router.post("/lighter/{thing}")
    async def choose(http: HttpRequest, link: LighterLink, wish: web.Text = "", until: web.Text = "") -> Response:
        program, person = await whose(service, link, wishes_id)
        if program.closed:
            return page(program, person)
        if wish == "rest":
            at, now = _morning(until, _zone(person)), clock.now()
            if at is None or not now < at < now + LONGEST_REST:
                return page(program, person, "Please choose a day from tomorrow on, within a year.")
            return await decide(service, http, program, person, partial(relief.rest_until, program.id, at))
        if wish != "as_before" and wish not in map(str, _fewer(program, person)):
            return page(program, person, "Please choose one of these.")
        most = None if wish == "as_before" else int(wish)
        return await decide(service, http, program, person, partial(relief.at_most, program.id, most))

    return router


def _fewer(program: Program, person: Person) -> range:
    """What is less than they take by their enrolment."""
    enrolment = person.enrolment(program.id)
    return range(1, enrolment.capacity if enrolment else 1)


def _zone(person: Person) -> ZoneInfo:
    return ZoneInfo(person.profile.time_zone if person.profile else "UTC")


def _morning(text: str, zone: ZoneInfo) -> datetime | None:
    """When this day begins there; None where it is none."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
