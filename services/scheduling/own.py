"""The page /own, on which a person says on which days their week doesn't hold and where they meet others; and /where, which shows where
a meeting takes place.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.clicks import PAGES, day, overview_of, page, see
from services.scheduling.domain import own, slots
from services.scheduling.domain.model import Days, Meeting, Person, PlaceKind, Relationship
from services.scheduling.picking import CLOCK
from services.scheduling.wording import Words, days_of
from shared import web
from shared.decisions import Action, Context, Outcome
from shared.errors import Rejected
from shared.links import Link
from shared.service import Service

OwnLink = Annotated[Link, Depends(web.link_of("own"))]
WhereLink = Annotated[Link, Depends(web.link_of("where"))]


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed into one of the page's forms."""

    act: web.Text = ""
    """`away`, `hours` or `place`; or the days that are taken back."""
    first: web.Text = ""
    last: web.Text = ""
    on: web.Text = ""
    start: web.Text = ""
    end: web.Text = ""
    kind: web.Text = ""
    text: web.Text = ""

    def decided(self, person: Person | None, context: Context) -> Outcome:
        """What it comes to. Raises Rejected with the field to mend."""
        match self.act:
            case "away":
                first, last = day(self.first), day(self.last or self.first)
                if first is None or last is None:
                    raise Rejected("days", "Please choose a day.", field="first" if first is None else "last")
                return own.say_days(person, Days(first, last), context)
            case "hours":
                on = day(self.on)
                if on is None:
                    raise Rejected("days", "Please choose a day.", field="on")
                return own.say_days(person, Days(on, on, (_minutes(self.start, "start"), _minutes(self.end, "end"))), context)
            case "place":
                return own.say_place(person, own.place(self.kind, self.text))
            case _:
                said = next((d for d in person.days if key(d) == self.act), None) if person else None
                return own.take_back(person, said, context) if said else Outcome()


def _minutes(clock: str, field: str) -> int:
    found = CLOCK.fullmatch(clock.strip())
    if found is None:
        raise Rejected("hours", "Please write a time, such as 14:30.", field=field)
    return int(found[1]) * 60 + int(found[2])


def key(days: Days) -> str:
    """By which a page's button names them."""
    return f"{days.first} {days.last} {days.hours}"


def in_the_way(person: Person, planned: Iterable[tuple[Relationship, Meeting]]) -> list[tuple[Relationship, Meeting, datetime]]:
    """Meetings that have their time, on days of which they said that they are away or can at other hours."""
    found = []
    for relationship, meeting in planned:
        member = relationship.member(person.id)
        if member is None or meeting.starts_at is None:
            continue
        if slots.said_otherwise(
            replace(member, time_zone=person.time_zone, days=person.days), meeting.starts_at, meeting.minutes
        ):
            found.append((relationship, meeting, meeting.starts_at))
    return found


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def whose(link: Link) -> tuple[Person, list[tuple[Relationship, Meeting]], datetime]:
        """The person, and their meetings to come. Raises Rejected where they are nobody any more."""
        now = service.database.clock.now()
        async with service.database.transaction() as connection:
            person = own.known(await store.person(connection, link.object if link.object == link.person else UUID(int=0)))
            return person, await store.planned_of(connection, person.id, now), now

    async def own_page(
        link: Link, *, saved: bool = False, refused: Rejected | None = None, typed: Typed | None = None
    ) -> Response:
        person, planned, now = await whose(link)
        secret = service.settings.link_secret
        clashes = [
            (
                Words(relationship, person.id, now),
                starts_at,
                replace(link, action="pick", object=meeting.id, version=meeting.sequence).url("..", secret),
            )
            for relationship, meeting, starts_at in in_the_way(person, planned)
        ]
        said = own.still_to_come(person.days, now.astimezone(ZoneInfo(person.time_zone)).date())
        return web.page(
            PAGES,
            "own.html",
            status=refused.status if refused else 200,
            days=[(key(one), *days_of(one)) for one in said],
            clashes=clashes,
            place=person.place,
            kinds=PlaceKind,
            typed=typed or Typed(),
            errors={refused.field or "form": refused.text} if refused else {},
            saved=saved,
            overview=overview_of(service, link),
        )

    @router.api_route("/own/{thing}", methods=web.SHOW)
    async def look(link: OwnLink, saved: str = "") -> Response:
        return await own_page(link, saved=bool(saved))

    @router.post("/own/{thing}")
    async def say(request: Request, link: OwnLink, typed: Annotated[Typed, Depends()]) -> Response:
        person, _, _ = await whose(link)
        action = Action(
            Person,
            person.id,
            typed.decided,
            organization=person.organization,
            traceparent=web.traceparent_of(request),
        )
        try:
            await service.work.act(action)
        except Rejected as refused:
            if refused.status == 404:
                raise
            return await own_page(link, refused=refused, typed=typed)
        return web.seen(f"?{request.url.include_query_params(saved='1').query}")

    @router.api_route("/where/{thing}", methods=web.SHOW)
    async def where(link: WhereLink) -> Response:
        return page("where.html", await see(service, link))

    return router
