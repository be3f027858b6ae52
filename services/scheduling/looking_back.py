"""The page behind the link `after`: when it is over each looks back, and says whether they stay in touch.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.clicks import Seen, decide, page, see
from services.scheduling.domain import looking_back
from services.scheduling.domain.endings import BY_MEMBERS
from services.scheduling.domain.looking_back import LONGEST_TEXT, Again, LookBack, Said, look_id
from services.scheduling.domain.model import Meeting, Person, Relationship
from services.scheduling.wording import AGAIN, REASONS, WORTH
from shared import web
from shared.decisions import Context, Outcome
from shared.events import EndReason
from shared.links import Link
from shared.service import Service

AfterLink = Annotated[Link, Depends(web.link_of("after"))]


@dataclass(frozen=True, slots=True)
class Form:
    """The page as it was filled in."""

    worth: web.Text = ""
    again: web.Text = ""
    why: web.Text = ""
    stay: web.Text = ""
    text: web.Text = ""

    @property
    def wrong(self) -> str:
        if self.worth not in WORTH:
            return "Please say whether it was worth your time."
        if self.again not in AGAIN:
            return "Please say whether you would do it again."
        if self.why and self.why not in {reason.value for reason in BY_MEMBERS}:
            return "Please choose what comes closest."
        return f"Please keep it to {LONGEST_TEXT} characters." if len(self.text.strip()) > LONGEST_TEXT else ""

    def said(self) -> Said:
        why = EndReason(self.why) if self.why else None
        return Said(int(self.worth), Again(self.again), why, self.stay == "yes", self.text.strip())


def form_of(look: LookBack) -> Form:
    """What was said, as the page shows it."""
    return Form(
        str(look.worth),
        look.again.value,
        look.why.value if look.why else "",
        "yes" if look.stay else "",
        look.text,
    )


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def shown(link: Link, error: str = "", typed: Form | None = None) -> Response:
        seen = await see(service, link)
        async with service.database.transaction() as connection:
            looks = await store.looks_of(connection, seen.relationship.id)
        mine = next((look for look in looks if look.person_id == link.person), None)
        return after_page(seen, looks, mine, typed or (form_of(mine) if mine else Form()), error)

    @router.api_route("/after/{thing}", methods=web.SHOW)
    async def look(link: AfterLink) -> Response:
        return await shown(link)

    @router.post("/after/{thing}")
    async def look_back(request: Request, link: AfterLink, typed: Annotated[Form, Depends()]) -> Response:
        if typed.wrong:
            return await shown(link, typed.wrong, typed)
        said, seen = typed.said(), await see(service, link)
        looks = [look_id(link.object, member.person_id) for member in seen.relationship.members]

        def decided(relationship: Relationship, _: Meeting | None, context: Context) -> Outcome:
            writer = context.get(Person, link.person)
            if writer is None or writer.erased:
                raise web.nowhere()
            return looking_back.look_back(relationship, link.person, said, context)

        return await decide(service, request, link, decided, {LookBack: looks, Person: [link.person]}, seen)

    return router


def after_page(seen: Seen, looks: list[LookBack], mine: LookBack | None, typed: Form, error: str) -> Response:
    relationship = seen.relationship
    return page(
        "after.html",
        seen,
        error=error,
        can=looking_back.may_look(relationship),
        planned=looking_back.planned(relationship),
        typed=typed,
        said=mine is not None,
        worths=list(WORTH.items()),
        agains=list(AGAIN.items()),
        whys=[(reason.value, REASONS[reason]) for reason in BY_MEMBERS],
        may_stay=looking_back.may_stay(relationship),
        both_stay={look.person_id for look in looks if look.stay} >= {m.person_id for m in relationship.members},
        longest=LONGEST_TEXT,
    )
