"""A mentor's record (/record), which they alone see, and the certificate (/certificate/CODE) that anyone can check while they want it.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

import secrets
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.scheduling import store
from services.scheduling.clicks import PAGES, overview_of
from services.scheduling.domain import own, recognition
from services.scheduling.domain.model import Person
from services.scheduling.domain.recognition import LONGEST_TEXT, Recognised
from services.scheduling.wording import record_heading, recorded
from shared import web
from shared.decisions import Action, Context, Outcome
from shared.errors import Rejected
from shared.events import Recognition
from shared.links import Link
from shared.service import Service

RecordLink = Annotated[Link, Depends(web.link_of("record"))]

CODE_BYTES = 18
"""144 bits that nobody can guess."""
NO_CERTIFICATE = "There is no certificate at this address. Whoever it belonged to may have taken it back."
UNSEEN = {"X-Robots-Tag": "noindex", "Vary": "Accept"}


@dataclass(frozen=True, slots=True)
class Typed:
    """The page's form, as it was sent; `act` is `learned`, `show` or `withdraw`."""

    act: web.Text = ""
    learned: web.Text = ""
    shows: web.Text = ""

    @property
    def wrong(self) -> str:
        if self.act not in {"learned", "show", "withdraw"}:
            return "Please use one of the buttons."
        return f"Please keep it to {LONGEST_TEXT} characters." if len(self.learned.strip()) > LONGEST_TEXT else ""

    def decided(self, link: Link, code: str, made: Recognised | None, context: Context) -> Outcome:
        """Nothing where its mentor was erased, or is so at this moment."""
        person = own.known(context.get(Person, link.person))
        made = recognition.own(made, person.id)
        match self.act:
            case "learned":
                return recognition.say_learned(made, self.learned.strip(), shows=self.shows == "yes")
            case "show":
                return recognition.show(made, code, context)
            case _:
                return recognition.withdraw(made)


def said_of(made: Recognised) -> str:
    """What the certificate says they did."""
    match made.kind:
        case Recognition.people:
            return f"has met with {made.people} people as a mentor"
        case Recognition.relationship:
            return f"has gone the whole way with {'the person' if made.people == 1 else 'those'} whom they mentored"
    return "has given time as a mentor"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What anyone may see of a record that its mentor shows."""

    made: Recognised
    name: str
    program: str
    owner: str

    @property
    def facts(self) -> list[tuple[str, str]]:
        return recorded(self.made.minutes, self.made.meetings, self.made.people, 0)

    def data(self) -> dict[str, Any]:
        """For a machine that checks it."""
        made = self.made
        assert made.shown_at is not None
        return {
            "certificate": made.code,
            "name": self.name,
            "program": self.program,
            "organization": self.owner,
            "kind": made.kind.value,
            "year": made.year,
            "meetings": made.meetings,
            "hours": round(made.minutes / 60, 1),
            "people": made.people,
            "issued_on": made.shown_at.date().isoformat(),
        } | ({"learned": made.learned} if made.shows_learned else {})


async def certified(service: Service, code: str) -> Certificate:
    """Raises Rejected where there is none, never was or isn't any more: these can't be told apart."""
    async with service.database.transaction() as connection:
        made = await store.certificate(connection, code)
        person = await store.person(connection, made.person_id) if made else None
        program = await store.program_name(connection, made.program) if made else ""
        owner = await store.organization_name(connection, made.organization) if made else ""
    if made is None or person is None or person.erased:
        raise Rejected("no_certificate", NO_CERTIFICATE, status=404)
    return Certificate(made, person.name, program, owner)


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def record_page(link: Link, error: str = "", typed: Typed | None = None, *, saved: bool = False) -> Response:
        async with service.database.transaction() as connection:
            person = own.known(await store.person(connection, link.person))
            made = recognition.own(await store.recognition(connection, link.object), person.id)
            program = await store.program_name(connection, made.program)
            owner = await store.organization_name(connection, made.organization)
        shown = typed if typed and error else Typed("", made.learned, "yes" if made.shows_learned else "")
        return web.page(
            PAGES,
            "record.html",
            status=422 if error else 200,
            made=made,
            heading=record_heading(made, program),
            program=program,
            owner=owner,
            facts_of=recorded(made.minutes, made.meetings, made.people, made.milestones),
            address=f"{service.urls.get('scheduling', '')}/certificate/{made.code}" if made.code else "",
            typed=shown,
            error=error,
            saved=saved,
            longest=LONGEST_TEXT,
            overview=overview_of(service, replace(link, object=link.person)),
        )

    @router.api_route("/record/{thing}", methods=web.SHOW)
    async def look(link: RecordLink, saved: str = "") -> Response:
        return await record_page(link, saved=bool(saved))

    @router.post("/record/{thing}")
    async def say(request: Request, link: RecordLink, typed: Annotated[Typed, Depends()]) -> Response:
        if typed.wrong:
            return await record_page(link, typed.wrong, typed)
        code = secrets.token_urlsafe(CODE_BYTES)
        action = Action(
            Recognised,
            link.object,
            lambda made, context: typed.decided(link, code, made, context),
            traceparent=web.traceparent_of(request),
            reads={Person: [link.person]},
        )
        await service.work.act(action)
        return web.seen(f"?{request.url.include_query_params(saved='1').query}")

    @router.api_route("/certificate/{code}", methods=web.SHOW)
    async def certificate(request: Request, code: str) -> Response:
        found = await certified(service, code)
        accepts = request.headers.get("accept", "")
        if "application/json" in accepts and "text/html" not in accepts:
            return JSONResponse(found.data(), headers=web.PAGE_HEADERS | UNSEEN)
        made = found.made
        assert made.shown_at is not None
        return web.page(
            PAGES,
            "certificate.html",
            headers=UNSEEN,
            named=found.name,
            says=said_of(made),
            year=made.year,
            program=found.program,
            owner=found.owner,
            facts_of=found.facts,
            issued=f"{made.shown_at.day} {made.shown_at:%B %Y}",
            learned=made.learned if made.shows_learned else "",
            address=f"{service.urls.get('scheduling', '')}/certificate/{code}",
        )

    return router
