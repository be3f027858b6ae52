"""The pages behind the links in mails for what was met and the end (others have modules of their own, such as `picking.py` the one of times),
and what partners and the console read as JSON.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from services.scheduling import gathering, store
from services.scheduling.clicks import Seen, decide, page, see, stands, way, whole
from services.scheduling.domain import endings, going, meetings, signs
from services.scheduling.domain.model import Meeting, MeetingStatus, Relationship
from services.scheduling.domain.states import state_of
from shared import web
from shared.decisions import Context, Outcome
from shared.errors import Rejected
from shared.events import EndReason
from shared.links import Link
from shared.service import Service

MetLink = Annotated[Link, Depends(web.link_of("met"))]
EndLink = Annotated[Link, Depends(web.link_of("end"))]


# ---- pages --------------------------------------------------------------------------------------------------------------


def met_page(service: Service, link: Link, seen: Seen, error: str = "") -> Response:
    relationship, meeting = seen.relationship, seen.meeting
    assert meeting is not None
    can = seen.version == meeting.revision and meetings.answerable(relationship, meeting, seen.now)
    mine = next((s for s in meeting.said if s.person_id == seen.person), None)
    stale = seen.version != meeting.revision and meeting.status is MeetingStatus.missed
    begun = meetings.begun(meeting, seen.now)
    return page(
        "met.html", seen, error=error, can=can, mine=mine, begun=begun, stale=stale, notes=way(service, link, seen, "notes")
    )


def end_page(seen: Seen, error: str = "") -> Response:
    can = stands(seen.version, seen.relationship) and seen.relationship.ended_at is None
    return page("end.html", seen, error=error, can=can, goes_on=going.goes_on(seen.relationship, seen.person))


def routes(service: Service) -> APIRouter:
    router = APIRouter()
    pages(router, service)
    reads(router, service)
    return router


def pages(router: APIRouter, service: Service) -> None:  # noqa: C901 - one function a route

    @router.api_route("/met/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_question(link: MetLink) -> Response:
        seen = await see(service, link)
        return gathering.came_page(service, link, seen) if seen.relationship.is_group else met_page(service, link, seen)

    @router.post("/met/{thing}", include_in_schema=False)
    async def met(request: Request, link: MetLink, sent: Annotated[gathering.Told, Form()]) -> Response:
        seen, met, minutes = await see(service, link), sent.met, sent.minutes
        if seen.relationship.is_group:
            return await gathering.told(service, request, link, seen, sent)
        long = whole(minutes)
        if met not in {"yes", "no"}:
            return met_page(service, link, seen, "Please say whether you met.")
        if met == "yes" and minutes and (long is None or not 1 <= long <= gathering.LONGEST_MEETING):
            wrong = f"How long did it last? A whole number of minutes, 1 to {gathering.LONGEST_MEETING}."
            return met_page(service, link, seen, wrong)

        def answered(relationship: Relationship, meeting: Meeting | None, context: Context) -> Outcome:
            assert meeting is not None
            if met == "yes":
                return meetings.say_met(relationship, meeting, link.person, long or meeting.minutes, context)
            return meetings.say_not_met(relationship, meeting, link.person, context)

        return await decide(service, request, link, answered, seen=seen)

    @router.api_route("/end/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_end(link: EndLink) -> Response:
        try:
            return end_page(await see(service, link))
        except Rejected as refused:
            return await gathering.left(service, link, refused)

    @router.post("/end/{thing}", include_in_schema=False)
    async def end(request: Request, link: EndLink, reason: web.Text = "", rematch: web.Text = "") -> Response:
        if reason not in {r.value for r in endings.BY_MEMBERS}:
            return end_page(await see(service, link), "Please choose what comes closest.")
        why = EndReason(reason)
        return await decide(service, request, link, lambda r, m, c: going.go(r, m, link.person, why, c, rematch=rematch == "yes"))


# ---- JSON ---------------------------------------------------------------------------------------------------------------


class MemberView(BaseModel):
    person_id: UUID
    role: str
    organization: str


class AgreementView(BaseModel):
    version: int
    """The newest; the one that is signed by those named."""
    holds: int | None
    """The version that holds, whose terms these are; of the draft where none does yet."""
    every_weeks: int
    minutes: int
    months: int
    confidential: bool
    signed_by: list[UUID]
    agreed_at: datetime | None
    until: datetime | None


class MeetingView(BaseModel):
    meeting_id: UUID
    number: int
    status: str
    starts_at: datetime | None
    minutes: int
    time_zone: str
    sequence: int
    revision: int


class RelationshipView(BaseModel):
    """A relationship as its program's owner and its members' organizations may see it."""

    relationship_id: UUID
    program: str
    format: str
    members: list[MemberView]
    agreement: AgreementView | None
    """None of a conversation, which needs none."""
    meetings_held: int
    meetings_missed: int
    misses_in_a_row: int
    state: str
    """`drafted`, `running`, `stalled`, `warned`, `frozen` or `ended`."""
    last_sign_at: datetime | None
    """Of life: the last meeting, contact or answer."""
    stalled_at: datetime | None
    milestones: list[str]
    created_at: datetime
    ended_at: datetime | None
    end_reason: str | None


class RelationshipWithMeetings(RelationshipView):
    meetings: list[MeetingView]


class Relationships(BaseModel):
    relationships: list[RelationshipView]
    next: UUID | None
    """Ask again with `after` set to this; none on the last page."""


def view(relationship: Relationship) -> dict[str, Any]:
    terms = relationship.terms
    return {
        "relationship_id": relationship.id,
        "program": relationship.program,
        "format": relationship.format.value,
        "members": [
            {"person_id": m.person_id, "role": m.role.value, "organization": m.organization} for m in relationship.members
        ],
        "agreement": None
        if relationship.meets_once
        else {
            "version": relationship.version,
            "holds": relationship.holds,
            "every_weeks": terms.every_weeks,
            "minutes": terms.minutes,
            "months": terms.months,
            "confidential": terms.confidential,
            "signed_by": [s.person_id for s in relationship.signatures],
            "agreed_at": relationship.agreed_at,
            "until": relationship.until,
        },
        "meetings_held": relationship.held,
        "meetings_missed": relationship.missed,
        "misses_in_a_row": relationship.misses_in_a_row,
        "state": state_of(relationship).value,
        "last_sign_at": signs.last_sign(relationship),
        "stalled_at": relationship.stalled_at,
        "milestones": list(relationship.milestones),
        "created_at": relationship.created_at,
        "ended_at": relationship.ended_at,
        "end_reason": relationship.end_reason.value if relationship.end_reason else None,
    }


def meeting_view(meeting: Meeting) -> dict[str, Any]:
    return {
        "meeting_id": meeting.id,
        "number": meeting.number,
        "status": meeting.status.value,
        "starts_at": meeting.starts_at,
        "minutes": meeting.held.minutes if meeting.held else meeting.minutes,
        "time_zone": meeting.time_zone,
        "sequence": meeting.sequence,
        "revision": meeting.revision,
    }


def reads(router: APIRouter, service: Service) -> None:
    def may_read(caller: web.Caller) -> None:
        if not caller.rights & {"read", "coordinate"}:
            raise Rejected("forbidden", "This key may not read. Ask for one with the right `read`.", status=403)

    @router.get("/v1/relationships/{relationship_id}", response_model=RelationshipWithMeetings)
    async def relationship(relationship_id: UUID, caller: web.Partner) -> dict[str, Any]:
        """One relationship with its meetings: of your own program, or with one of your people in it."""
        may_read(caller)
        async with service.database.tenant(caller.organization) as connection:
            found = await store.relationship(connection, relationship_id)
            if found is None:
                raise Rejected("not_found", "There is no such relationship that your organization may see.", status=404)
            known = await store.meetings_of(connection, relationship_id)
        return view(found) | {"meetings": [meeting_view(m) for m in known]}

    @router.get("/v1/programs/{program}/relationships", response_model=Relationships)
    async def relationships(
        program: str,
        caller: web.Partner,
        after: UUID | None = None,
        state: Annotated[str, Query(pattern="^(any|open|ended)$")] = "any",
        limit: Annotated[int, Query(ge=1, le=1000)] = store.PAGE,
    ) -> dict[str, Any]:
        """A program's relationships in the order in which they were made: all of your own program, else those of your people."""
        may_read(caller)
        async with service.database.tenant(caller.organization) as connection:
            found = await store.relationships_of(connection, program, after=after, state=state, limit=limit)
        return {"relationships": [view(r) for r in found], "next": found[-1].id if len(found) == limit else None}
