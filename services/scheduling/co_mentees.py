"""The page /co-mentees: mentees of one mentor who want to see each other, and a circle that one of them proposes.

Its link is of a mentee's relationship with the mentor, or of a circle that was proposed. GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.clicks import PAGES, member_only, overview_of
from services.scheduling.domain import co_mentees as rules
from services.scheduling.domain.co_mentees import CoMentees, Mentees, co_mentees_id
from services.scheduling.domain.model import Person, Relationship
from services.scheduling.wording import Words
from shared import web
from shared.cloudevents import new_id
from shared.database import Connection
from shared.decisions import NOTHING, Action, Context, Outcome
from shared.errors import Rejected
from shared.links import Link
from shared.service import Service

CoMenteesLink = Annotated[Link, Depends(web.link_of("co-mentees"))]
DOES = ("in", "out", "propose", "yes", "no")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page shows: the reader's relationship with the mentor, and how it stands among the mentor's mentees."""

    relationship: Relationship
    co: CoMentees
    mentees: Mentees | None
    circle: Relationship | None
    """What came of the last proposal, if it came about."""
    program: str
    people: Mapping[UUID, Person]
    now: datetime


async def found(service: Service, link: Link) -> Seen:
    """Raises Rejected where it isn't there, or whoever follows the link isn't a mentee here."""
    async with service.database.transaction() as connection:
        relationship = await _relationship(connection, link)
        member_only(relationship, link)
        mentor = rules.mentor_of(relationship, link.person)
        if mentor is None:
            raise Rejected("no_co_mentees", "This page is for those who have a mentor to themselves.", status=404)
        co_id = co_mentees_id(relationship.program, mentor)
        known, mentees = await store.co_mentees(connection, co_id)
        co = known or CoMentees(co_id, relationship.organization, relationship.program, mentor)
        circle = await store.relationship(connection, co.proposal.circle_id) if co.proposal else None
        named = {*co.people, *relationship.people, *(str(p) for p in (co.proposal.people if co.proposal else ()))}
        people = await store.people_of(connection, sorted(named))
        program = await store.program_name(connection, relationship.program)
    return Seen(relationship, co, mentees, circle, program, people, service.database.clock.now())


async def _relationship(connection: Connection, link: Link) -> Relationship:
    """The reader's relationship with the mentor: the one that the link names, or by the circle that it names the newest."""
    co = await store.of_circle(connection, link.object)
    if co is None:
        relationship = await store.relationship(connection, link.object)
        if relationship is None:
            raise web.nowhere()
        return relationship
    running = await store.open_of(connection, co.program, link.person)
    theirs = [r for r in running if rules.mentor_of(r, link.person) == co.mentor_id]
    if not theirs:
        raise Rejected("not_a_member", "This link belongs to someone who isn’t part of this any more.", status=403)
    return theirs[-1]


def decided(link: Link, seen: Seen, do: str, form: str, known: CoMentees | None, context: Context) -> Outcome:
    """What is sent (`form`: which showing of the page it was, or the circle that is answered), unless whoever follows the link was erased, or it has ended with their mentor."""
    who, relationship = context.get(Person, link.person), context.get(Relationship, seen.relationship.id)
    if who is None or who.erased or relationship is None:
        raise web.nowhere()
    co = known or seen.co
    if do == "out":
        return rules.opt_out(co, link.person)
    if relationship.ended_at is not None:
        return NOTHING
    if do == "in":
        return rules.opt_in(co, link.person)
    circle = context.get(Relationship, co.proposal.circle_id) if co.proposal else None
    if do == "propose":
        return rules.propose(co, circle, link.person, form, context)
    if co.proposal is None or form != str(co.proposal.circle_id):
        return NOTHING
    return rules.answer(co, co.proposal.circle_id, link.person, context, yes=do == "yes")


def co_mentees_page(service: Service, link: Link, seen: Seen, error: str = "") -> Response:
    co, me, proposal = seen.co, link.person, seen.co.proposal
    words = Words(seen.relationship, me, seen.now, seen.people)

    def name(person_id: UUID) -> str:
        return seen.people[person_id].name or "someone" if person_id in seen.people else "someone"

    mine = proposal is not None and me in proposal.people
    in_circle = seen.circle is not None and seen.circle.member(me) is not None
    return web.page(
        PAGES,
        "co_mentees.html",
        status=422 if error else 200,
        error=error,
        program=seen.program,
        overview=overview_of(service, link),
        words=words,
        mentor=words.name(co.mentor_id) or "your mentor",
        ended=seen.relationship.ended_at is not None,
        is_in=str(me) in co.people,
        others=sorted(map(name, rules.others(co, seen.mentees, me)), key=str.casefold),
        proposal=proposal if mine else None,
        by=name(proposal.by) if mine and proposal and proposal.by != me else "",
        answers=proposal is not None and proposal.waits_for(me),
        said_yes=proposal is not None and me in proposal.yes,
        running=in_circle and seen.circle is not None and seen.circle.ended_at is None,
        may_propose=rules.may_propose(co, seen.mentees, seen.circle, me, seen.now),
        least=rules.LEAST,
        form=new_id(),
    )


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/co-mentees/{thing}", methods=web.SHOW)
    async def look(link: CoMenteesLink) -> Response:
        return co_mentees_page(service, link, await found(service, link))

    @router.post("/co-mentees/{thing}")
    async def say(request: Request, link: CoMenteesLink, do: web.Text = "", form: web.Text = "") -> Response:
        seen = await found(service, link)
        if do not in DOES:
            return co_mentees_page(service, link, seen, "Please use one of the buttons.")
        related = [seen.relationship.id, *([seen.co.proposal.circle_id] if seen.co.proposal else [])]
        action = Action(
            CoMentees,
            seen.co.id,
            lambda known, context: decided(link, seen, do, form, known, context),
            organization=seen.co.organization,
            program=seen.co.program,
            traceparent=web.traceparent_of(request),
            reads={Person: [link.person], Relationship: related, Mentees: [seen.co.id]},
        )
        await service.work.act(action)
        return web.seen(f"?{request.url.query}")

    return router
