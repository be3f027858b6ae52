"""Who joins a group or circle in mid-course: for partners as JSON, for coordinators a page with who may, best first, and why."""

import time
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from services.matching import store, wording
from services.matching.api import may
from services.matching.coordinating import EACH, HOME, Who, pair_line, show
from services.matching.domain.joining import Newcomer, join, without_seats
from services.matching.domain.model import Person, Program, Relationship, RelationshipStatus
from services.matching.ranking import Joining, Ranking
from shared import web
from shared.decisions import Action
from shared.errors import Raced, Rejected
from shared.events import Member, Reason, Role
from shared.service import Service

SECONDS = 10.0
"""In which somebody is let in, however often something moves meanwhile."""
BEGUN = frozenset({RelationshipStatus.active, RelationshipStatus.ended})


class JoinBody(BaseModel):
    """Who shall join."""

    model_config = ConfigDict(extra="forbid")

    person_id: UUID


class MembersShown(BaseModel):
    """A group or circle, with everyone who is in it now."""

    relationship_id: UUID
    members: tuple[Member, ...]


class NewcomerShown(BaseModel):
    """Someone who may join."""

    person_id: UUID
    role: Role
    score: int = Field(description="With each of the others, or each on the other side of a group, on the average")
    reasons: tuple[Reason, ...]


class NewcomersShown(BaseModel):
    """Who may join, the best first."""

    newcomers: list[NewcomerShown]


async def begun(service: Service, caller: web.Caller, group_id: UUID) -> tuple[Relationship, Program]:
    """Raises Rejected where this organization's programs have none that has begun."""
    async with service.database.tenant(caller.organization) as connection:
        group = await store.relationship_of(connection, group_id)
        program = await store.program_of(connection, group.program) if group else None
    if group is None or program is None or group.organization != caller.organization or group.status not in BEGUN:
        raise Rejected("not_found", "There is no such group.", status=404)
    return group, program


async def may_join(ranking: Ranking, group: Relationship, program: Program, most: int) -> list[Newcomer]:
    """The best of those who may; nobody is compared where there is no seat."""
    if without_seats(group, program):
        return []
    return await ranking.newcomers(Joining(program=program.id, group=group.id, most=most))


async def joined(
    service: Service, ranking: Ranking, caller: web.Caller, group_id: UUID, person_id: UUID, traceparent: str
) -> Relationship:
    """Decide under the lock of the group, again where something has moved since people were compared. Raises Rejected."""
    async with ranking.one_joins:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            group, program = await begun(service, caller, group_id)
            found = await ranking.newcomers(Joining(program=program.id, group=group_id, named=(person_id,)))
            action = Action(
                Relationship,
                group_id,
                partial(join, person_id, next(iter(found), None)),
                organization=group.organization,
                program=program.id,
                traceparent=traceparent,
                reads={Program: (program.id,), Person: [*(member.person_id for member in group.members), person_id]},
            )
            after = await service.work.act(action)
            if isinstance(after, Relationship):
                return after
            assert after is Raced
    raise web.Turned("raced", "Too much happened at once. Please try again.", status=503, headers={"Retry-After": "5"})


def api(ranking: Ranking, service: Service) -> APIRouter:
    router = APIRouter(tags=["matching"])

    @router.get("/v1/relationships/{relationship_id}/newcomers")
    async def newcomers(
        relationship_id: UUID, caller: web.Partner, limit: Annotated[int, Query(ge=1, le=100)] = EACH
    ) -> NewcomersShown:
        """Who of the program may join a group or circle that has begun and has room, the best first."""
        may(caller, "read", "coordinate")
        group, program = await begun(service, caller, relationship_id)
        found = await may_join(ranking, group, program, limit)
        return NewcomersShown(newcomers=[NewcomerShown.model_validate(one, from_attributes=True) for one in found])

    @router.post("/v1/relationships/{relationship_id}/members")
    async def join_group(relationship_id: UUID, caller: web.Partner, http: HttpRequest, body: JoinBody) -> MembersShown:
        """Someone of the program shall join a group or circle that has begun. Again: the same answer. Where a rule keeps them from
        someone there it is refused as `may_not_join`, and as `no_seat` where there is none.
        """
        may(caller, "coordinate")
        after = await joined(service, ranking, caller, relationship_id, body.person_id, web.traceparent_of(http))
        return MembersShown(relationship_id=after.id, members=after.members)

    return router


def pages(ranking: Ranking, service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route(f"{HOME}/groups/{{group_id}}", methods=web.SHOW)
    async def who_may_join(who: Who, group_id: UUID, joined: UUID | None = None) -> Response:
        group, program = await begun(service, who.caller, group_id)
        found = await may_join(ranking, group, program, EACH)
        async with service.database.tenant(who.caller.organization) as connection:
            ids = [*(member.person_id for member in group.members), *(one.person_id for one in found)]
            people = await store.people_shown(connection, ids)
        return show(
            "coordinate_group.html",
            who,
            group=pair_line(group, people, program),
            run=group.run_id,
            called=wording.program_name(program),
            without_seats=without_seats(group, program),
            came=next((wording.shown(people.get(m.person_id), m.role).name for m in group.members if m.person_id == joined), ""),
            newcomers=[
                (
                    one.person_id,
                    one.role.value,
                    wording.shown(people.get(one.person_id), one.role),
                    wording.score(one.score, peers=one.role is Role.peer),
                    wording.why(one.reasons, peers=one.role is Role.peer),
                )
                for one in found
            ],
        )

    @router.post(f"{HOME}/groups/{{group_id}}")
    async def let_join(
        http: HttpRequest, who: Who, group_id: UUID, person: Annotated[UUID, Form()], token: web.Text = ""
    ) -> Response:
        """Sent twice, the form lets one person join once."""
        who.check(token)
        await joined(service, ranking, who.caller, group_id, person, web.traceparent_of(http))
        return web.seen(f"?joined={person}")

    return router
