"""What a program is worth: numbers for programs, and a page for coordinators and sponsors to read or print.

Answers are nobody's to read. So nothing here is asked as a tenant: which program it may be is, and then it is counted for whoever asks, by
the rules of `domain/anonymity.py`. What was counted a moment ago is told again: by these rules an older number beside a newer one tells no more.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.analytics import counting, store, wording
from services.analytics.api import Looking, Viewer, found, tagged
from services.analytics.domain import counts
from services.analytics.domain.growth import MONTHS
from services.analytics.domain.worth import Worth, shown
from services.analytics.kept import Kept
from shared import sessions, web
from shared.database import Connection
from shared.events import Right
from shared.places import day
from shared.service import Service
from shared.sessions import SignedIn

PAGES = Path(__file__).parent / "pages"
Who = Annotated[SignedIn, Depends(sessions.signed_in(Right.coordinate, "/coordinate/sign-in", of="matching"))]
Of = tuple[Worth | None, Worth | None]
"""A program or an organization's own people, and the totals beside these; None as in `Told`."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one viewer is told of a program."""

    program: dict[str, Any]
    scope: str
    worth: Worth | None
    """None where it is of too few people."""
    with_totals: bool = False
    totals: Worth | None = None


def routes(service: Service) -> APIRouter:
    router = APIRouter()
    kept = Kept[Of](time.monotonic)

    @router.get("/v1/programs/{program}/worth", summary="What a program is worth")
    async def worth(request: Request, looking: Looking, program: str) -> Response:
        """Check-ins, growth, what people passed on, outcomes, ends: for the owner's key of the whole program, for a member organization's of
        its own people; `scope` says which, and `totals` are as in the summary.

        Whatever people answered is counted in fives: of six who said the same, five. Fewer than five are withheld, from the owner too: what isn't
        there may be of nobody or of four.
        """
        told = await tell(service, kept, looking, program)
        known = told.program
        body: dict[str, Any] = {
            "program": known["id"],
            "organization": known["organization"],
            "name": known["name"],
            "closed": known["closed"],
            "scope": told.scope,
            "withheld": told.worth is None,
        }
        for name in Worth.__dataclass_fields__:
            body[name] = getattr(told.worth, name) if told.worth else None
        if told.with_totals:
            body["totals"] = told.totals
        return tagged(request, body)

    @router.api_route("/coordinate/worth/{program}", methods=web.SHOW, include_in_schema=False)
    async def page(who: Who, program: str) -> Response:
        told = await tell(service, kept, Viewer(who.caller.organization), program)
        return web.page(
            PAGES,
            "worth.html",
            told=told,
            worth=told.worth,
            say=wording,
            ages=MONTHS,
            matching=service.urls.get("matching", ""),
            organization=who.caller.organization.capitalize(),
            day=day(service.database.clock.now(), "UTC"),
        )

    return router


async def tell(service: Service, kept: Kept[Of], looking: Viewer, program: str) -> Told:
    """Count for whoever looks, or tell what was counted lately; 404 where they have no part in the program."""
    database, organization = service.database, looking.organization
    if organization is None:
        async with database.transaction() as connection:
            known = await found(connection, program)
    else:
        async with database.tenant(organization) as connection:
            known = await found(connection, program)
    if organization in (None, known["organization"]):
        worth, _ = await kept.get(program, partial(_of_all, service, program))
        return Told(known, "program", worth)
    with_totals = organization in known["with_totals"]
    count = partial(_of_a_member, service, program, str(organization), with_totals)
    worth, totals = await kept.get((program, organization, with_totals), count)
    return Told(known, "own_people", worth, with_totals, totals)


async def _of_all(service: Service, program: str) -> Of:
    async with service.database.transaction() as connection:
        return await _counted(service, connection, program), None


async def _of_a_member(service: Service, program: str, organization: str, with_totals: bool) -> Of:
    async with service.database.transaction() as connection:
        own = (await store.summary(connection, program, own=organization)).counts.enrolled
        worth = None if counts.withheld(own) else await _counted(service, connection, program, own=organization)
        totals = None
        if with_totals and worth is not None:
            everyone = (await store.summary(connection, program)).counts.enrolled
            if not counts.withheld(everyone - own):
                totals = await _counted(service, connection, program, of=organization)
    return worth, totals


async def _counted(
    service: Service, connection: Connection, program: str, *, own: str | None = None, of: str | None = None
) -> Worth:
    now = service.database.clock.now()
    counted = await counting.worth(connection, program, now, own=own, of=of)
    return shown(counted, now.date(), owner=own is of is None, whole=own is None)
