"""The page /group: who is in it, who leads the next meeting, who came, and the ways out; and of /met what a group is asked."""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.scheduling import store
from services.scheduling.clicks import PAGES, Seen, decide, page, see, way, whole
from services.scheduling.domain import away, endings, going, groups, hosts, meetings, polls, rollcall, silence
from services.scheduling.domain.model import Meeting, MeetingStatus, Member, Relationship
from shared import web
from shared.decisions import NOTHING, Context, Outcome
from shared.errors import Rejected
from shared.events import EndReason
from shared.links import Link
from shared.service import Service

GroupLink = Annotated[Link, Depends(web.link_of("group"))]
LONGEST_MEETING = 1440
LATEST = 6
"""Meetings that are listed."""


# ---- did you meet? ---------------------------------------------------------------------------------------------------------


class Told(BaseModel):
    """What was said on the page /met; of a pair `met` and `minutes` alone."""

    met: str = Field("", max_length=20)
    """`yes` with who came, `no`; of oneself `there` or `not_there`."""
    minutes: str = Field("", max_length=20)
    came: list[str] = Field([], max_length=200)
    revision: str = Field("", max_length=20)
    """Of what was known when the form was shown."""


def came_page(service: Service, link: Link, seen: Seen, error: str = "", sent: Told | None = None) -> Response:
    relationship, meeting = seen.relationship, seen.meeting
    assert meeting is not None
    known = rollcall.came(meeting)
    nobody_told = meeting.roll is None and meeting.held is None
    said_no = {said.person_id for said in meeting.said if not said.met} | set(polls.cannot(relationship, meeting))
    members = sorted(relationship.members, key=lambda m: (m.person_id != seen.person, groups.LEADS.count(m.role) == 0))
    ticked = {m.person_id for m in members} - said_no if nobody_told else known
    if sent is not None and sent.met == "yes":
        ticked = {m.person_id for m in members if str(m.person_id) in sent.came}
    can = rollcall.open_to(relationship, meeting, seen.now)
    return page(
        "came.html",
        seen,
        error=error,
        can=can,
        tells=can and rollcall.may_tell_all(relationship, meeting, seen.person),
        members=members,
        ticked=ticked,
        there=seen.person in known,
        came=[m for m in members if m.person_id in known],
        nobody_told=nobody_told,
        begun=meetings.begun(meeting, seen.now),
        needed=groups.needed(relationship),
        minutes=sent.minutes if sent else meeting.roll.minutes if meeting.roll else meeting.minutes,
        notes=way(service, link, seen, "notes"),
        group=way(service, link, seen, "group"),
    )


async def told(service: Service, request: Request, link: Link, seen: Seen, sent: Told) -> Response:
    long = whole(sent.minutes)
    if sent.met not in {"yes", "no", "there", "not_there"}:
        return came_page(service, link, seen, "Please use one of the buttons.", sent)
    if sent.met == "yes" and sent.minutes and (long is None or not 1 <= long <= LONGEST_MEETING):
        wrong = f"How long did it last? A whole number of minutes, 1 to {LONGEST_MEETING}."
        return came_page(service, link, seen, wrong, sent)
    if sent.met == "yes" and not sent.came:
        return came_page(service, link, seen, "Please tick who came, or say that it didn’t take place.", sent)

    def decided(relationship: Relationship, meeting: Meeting | None, context: Context) -> Outcome:
        assert meeting is not None
        return said(relationship, meeting, link.person, sent, long or meeting.minutes, context)

    return await decide(service, request, link, decided, seen=seen)


def said(relationship: Relationship, meeting: Meeting, person: UUID, sent: Told, minutes: int, context: Context) -> Outcome:
    """Who came, where the list is still the one that the form showed; else what it says of the reader alone."""
    fresh = whole(sent.revision) == meeting.revision
    if sent.met == "yes" and fresh and rollcall.may_tell_all(relationship, meeting, person):
        came = [m.person_id for m in relationship.members if str(m.person_id) in sent.came]
        return rollcall.tell(relationship, meeting, person, came, minutes, context)
    if sent.met == "no" and fresh and groups.may_fix(relationship, meeting, person):
        return rollcall.tell(relationship, meeting, person, (), minutes, context)
    there = sent.met == "there" or (sent.met == "yes" and str(person) in sent.came)
    return rollcall.attend(relationship, meeting, person, context, there=there)


# ---- the group ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attendance:
    """How often a member came, of the meetings held while they could."""

    member: Member
    came: int
    of: int


def attendances(relationship: Relationship, known: Sequence[Meeting]) -> list[Attendance]:
    """Each member's, those who lead first."""
    held = [meeting.held for meeting in known if meeting.status is MeetingStatus.held and meeting.held is not None]
    members = sorted(relationship.members, key=lambda m: groups.LEADS.count(m.role) == 0)
    return [
        Attendance(m, sum(m.person_id in one.attended for one in held), sum(m.person_id in one.expected for one in held))
        for m in members
    ]


@dataclass(frozen=True, slots=True)
class Sent:
    """What was pressed on the page."""

    act: web.Text = ""
    """`hand_on`, `leave` or `here`."""
    to: web.Text = ""
    """To whom the lead goes; nothing for whose turn is next."""
    reason: web.Text = ""
    rematch: web.Text = ""

    @property
    def wrong(self) -> str:
        if self.act == "leave":
            return "" if self.reason in {r.value for r in endings.BY_MEMBERS} else "Please choose what comes closest."
        return "" if self.act in {"hand_on", "here"} else "Please use one of the buttons."

    def decided(self, relationship: Relationship, meeting: Meeting | None, person: UUID, context: Context) -> Outcome:
        if not relationship.is_group:
            return NOTHING
        if self.act == "leave":
            return going.go(relationship, meeting, person, EndReason(self.reason), context, rematch=self.rematch == "yes")
        if self.act == "here":
            return silence.answer(relationship, person, context)
        to = next((m.person_id for m in relationship.members if str(m.person_id) == self.to), None)
        return NOTHING if self.to and to is None else hosts.hand_on(relationship, meeting, person, to, context.now)


def group_page(
    service: Service, link: Link, seen: Seen, known: Sequence[Meeting], error: str = "", sent: Sent | None = None
) -> Response:
    relationship, meeting = seen.relationship, seen.meeting
    running = relationship.ended_at is None and relationship.agreed_at is not None
    ahead = meeting is not None and meetings.changeable(meeting, seen.now) and running
    secret = service.settings.link_secret

    def leads_to(action: str, about: Meeting, version: int) -> str:
        return replace(link, action=action, object=about.id, version=version).url("..", secret)

    may_hand_on = ahead and meeting is not None and groups.may_fix(relationship, meeting, seen.person)
    following = hosts.next_in_turn(relationship, meeting) if may_hand_on and meeting else None
    at = (meeting.starts_at or meeting.slots[0]) if ahead and meeting else seen.now
    past = [m for m in known if m.status is MeetingStatus.held or (m.status is MeetingStatus.missed and m.roll)]
    return page(
        "group.html",
        seen,
        error=error,
        sent=sent or Sent(),
        running=running,
        cannot=polls.cannot(relationship, meeting) if ahead and meeting else [],
        ahead=meeting if ahead else None,
        pick=leads_to("pick", meeting, meeting.sequence) if ahead and meeting else "",
        following=following,
        others=[m for m in away.there(relationship, at) if meeting and m.person_id != meeting.host] if may_hand_on else [],
        attendance=attendances(relationship, known),
        past=[(one, leads_to("met", one, one.revision)) for one in past[::-1][:LATEST]],
        notes=way(service, link, seen, "notes"),
        goes_on=going.goes_on(relationship, seen.person),
        asked=relationship.asked == seen.person,
        answer_by=silence.answer_by(relationship),
    )


async def left(service: Service, link: Link, refused: Rejected) -> Response:
    """What whoever has left a group sees there, such as right after they did. Raises `refused` where it was no group."""
    async with service.database.transaction() as connection:
        relationship = await store.relationship(connection, link.object)
    if refused.code != "not_a_member" or relationship is None or not relationship.is_group:
        raise refused
    return web.page(PAGES, "left.html")


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def look(link: Link, error: str = "", sent: Sent | None = None) -> Response:
        try:
            seen = await see(service, link)
        except Rejected as refused:
            return await left(service, link, refused)
        if not seen.relationship.is_group:
            raise web.nowhere()
        async with service.database.transaction() as connection:
            known = await store.meetings_of(connection, seen.relationship.id)
        return group_page(service, link, seen, known, error, sent)

    @router.api_route("/group/{thing}", methods=web.SHOW)
    async def see_group(link: GroupLink) -> Response:
        return await look(link)

    @router.post("/group/{thing}")
    async def group(request: Request, link: GroupLink, sent: Annotated[Sent, Depends()]) -> Response:
        if sent.wrong:
            return await look(link, sent.wrong, sent)
        return await decide(service, request, link, lambda r, m, c: sent.decided(r, m, link.person, c))

    return router
