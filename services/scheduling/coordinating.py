"""Coordinators' page of a program: which relationships have gone quiet, what worries people, and what can be done.

Signed in at matching's pages, by an access key that may coordinate. Only the program's owner sees it; POST decides by the same functions
as everything else, and leads to the page that shows how things stand.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import at_risk, store
from services.scheduling.asking import SEEN_DIFFERENTLY
from services.scheduling.clicks import TRIES, act
from services.scheduling.domain import check_ins, concerns, endings, looking_back, signs
from services.scheduling.domain.check_ins import CheckIn
from services.scheduling.domain.looking_back import LookBack
from services.scheduling.domain.model import Concern, Meeting, Relationship
from services.scheduling.domain.states import State, state_of
from services.scheduling.store import Told
from services.scheduling.wording import WORTH
from shared import sessions, web
from shared.decisions import Action, Context, Outcome
from shared.errors import Raced, Rejected
from shared.events import EndReason, Fit, Right, Role, Side, owner_of
from shared.places import day
from shared.service import Service
from shared.sessions import SignedIn
from shared.words import plural

PAGES = Path(__file__).parent / "pages"
EACH = 20
"""Relationships, or concerns, on a page."""

Who = Annotated[SignedIn, Depends(sessions.signed_in(Right.coordinate, "/coordinate/sign-in", of="matching"))]

STANDS = {
    State.unsigned: "Not signed by everyone",
    State.stalled: "Has gone quiet",
    State.warned: "Quiet, and warned",
    State.frozen: "Frozen: nothing more is asked",
}


@dataclass(frozen=True, slots=True)
class QuietLine:
    """A relationship that has gone quiet, in words."""

    id: UUID
    called: str
    stands: str
    facts: list[tuple[str, str]]


def called(relationship: Relationship) -> str:
    """`n01 with k03`, by what their organizations call them; `n01, n02 and n04`"""
    members = sorted(relationship.members, key=lambda m: (m.role is Role.mentor, m.own_id))
    names = [m.own_id or str(m.person_id)[-6:] for m in members]
    return " with ".join(names) if len(names) == 2 else f"{', '.join(names[:-1])} and {names[-1]}"


def on(at: datetime | None) -> str:
    return day(at, "UTC") if at else "never"


def quiet_line(relationship: Relationship) -> QuietLine:
    """What a coordinator needs to decide whether to write to them."""
    facts = [("Last sign of life", on(signs.last_sign(relationship) or relationship.agreed_at))]
    if relationship.misses_in_a_row:
        facts.append(("Missed", plural(relationship.misses_in_a_row, "meeting") + " in a row"))
    facts.append(("Held", plural(relationship.held, "meeting")))
    if relationship.flagged_at is not None and relationship.written_at is None:
        facts.append(("At risk", f"since {on(relationship.flagged_at)}"))
    if relationship.asked is not None:
        asked = relationship.member(relationship.asked)
        facts.append(
            ("Asked whether they go on", f"{asked.own_id or 'someone'}, on {on(relationship.asked_at)}" if asked else "")
        )
    after = signs.due(relationship)
    if after is not None:
        what = {State.stalled: "Is warned", State.warned: "Is frozen", State.frozen: "Ends"}[state_of(relationship)]
        facts.append((what, f"{on(after)}, should nothing be heard"))
    return QuietLine(relationship.id, called(relationship), STANDS[state_of(relationship)], facts)


def release(relationship: Relationship, meeting: Meeting | None, context: Context) -> Outcome:
    """A coordinator ends it; everyone but mentors, who have other places, goes first in the next match."""
    first = [m.person_id for m in relationship.members if m.role is not Role.mentor]
    return endings.end(relationship, meeting, EndReason.released, Side.coordinator, context, rematch_first=first)


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/coordinate/pairs/{program}", methods=web.SHOW)
    async def quiet(who: Who, program: str, after: UUID | None = None) -> Response:
        return await shown(service, who, program, after)

    @router.post("/coordinate/pairs/{program}")
    async def decide(
        request: Request,
        who: Who,
        program: str,
        do: web.Text = "",
        thing: web.Text = "",
        token: web.Text = "",
    ) -> Response:
        who.check(token)
        owner = owned(who, program)
        if do not in {"release", "seen", "read", "doubt", "wrote"}:
            raise Rejected("unknown_action", "Use one of the buttons.")
        try:
            chosen = UUID(thing)
        except ValueError:
            raise web.nowhere() from None
        if do == "seen":
            await take_care(service, request, owner, program, chosen, Concern, concerns.see)
        elif do == "read":
            await take_care(service, request, owner, program, chosen, LookBack, looking_back.read)
        elif do == "doubt":
            await take_care(service, request, owner, program, chosen, CheckIn, check_ins.see)
        elif do == "wrote":
            await at_risk.wrote(service, request, owner, program, chosen)
        else:
            await let_go(service, request, owner, program, chosen)
        return web.seen(f"?{do}=1")

    return router


def owned(who: SignedIn, program: str) -> str:
    """The owner, if it is who looks. Raises Rejected where it isn't."""
    organization = who.caller.organization
    if owner_of(program) != organization:
        raise web.nowhere()
    return organization


async def shown(service: Service, who: SignedIn, program: str, after: UUID | None) -> Response:
    owner = owned(who, program)
    async with service.database.transaction() as connection:
        name = await store.program_name(connection, program)
    async with service.database.tenant(owner) as connection:
        quiet = await store.quiet_of(connection, program, owner, after, EACH)
        worries = await store.concerns_of(connection, program, EACH) if after is None else []
        looks = await store.unread_of(connection, program, EACH) if after is None else []
        apart = await store.apart_of(connection, program, owner, EACH) if after is None else []
        doubts = await store.doubtful_of(connection, program, EACH) if after is None else []
        risky = await store.at_risk_of(connection, program, owner, EACH) if after is None else []
    now = service.database.clock.now()
    return web.page(
        PAGES,
        "coordinate_pairs.html",
        token=who.token,
        organization=owner.capitalize(),
        matching=service.urls.get("matching", ""),
        program=program,
        called=name,
        quiet=[quiet_line(relationship) for relationship in quiet],
        worries=worry_lines(worries),
        looks=look_lines(looks),
        apart=apart_lines(apart),
        doubts=doubt_lines(doubts),
        risky=[line for r in risky if (line := at_risk.risk_line(r, called(r), on(r.flagged_at), now)).signs],
        further_pages=after is not None,
        following=quiet[-1].id if len(quiet) == EACH else None,
    )


def worry_lines(found: Iterable[tuple[Concern, Relationship]]) -> list[tuple[UUID, str, str, str, str]]:
    """(id, of whom, about which relationship, when, words)"""
    return [
        (concern.id, named(concern.person_id, of), called(of), on(concern.raised_at), concern.text or "(taken away)")
        for concern, of in found
    ]


def look_lines(found: Iterable[tuple[LookBack, Relationship]]) -> list[tuple[UUID, str, str, str, str, str]]:
    """(id, of whom, about which relationship, when, words, what they chose)"""
    lines = []
    for look, of in found:
        told = f"Worth the time: {WORTH[str(look.worth)].lower()}; again: {look.again}"
        lines.append((look.id, named(look.person_id, of), called(of), on(look.said_at), look.text, told))
    return lines


def apart_lines(found: Iterable[Relationship]) -> list[tuple[str, list[tuple[str, str]]]]:
    """In what and since when, never who answered what."""
    return [(called(of), [(SEEN_DIFFERENTLY[one.kind], f"since {on(one.since)}") for one in of.apart]) for of in found]


def doubt_lines(found: Iterable[tuple[CheckIn, Relationship]]) -> list[tuple[UUID, str, str]]:
    """Not who it is that doubts."""
    said = {Fit.unsure: "One of them isn’t sure that it fits", Fit.not_a_fit: "One of them says that it doesn’t fit"}
    return [(one.id, called(of), f"{said[one.fit]}, since {on(one.answered_at)}") for one, of in found if one.fit in said]


def named(person_id: UUID, relationship: Relationship) -> str:
    member = relationship.member(person_id)
    return member.own_id if member and member.own_id else "Someone who left"


async def take_care(
    service: Service,
    request: Request,
    owner: str,
    program: str,
    thing: UUID,
    kind: type[Told],
    do: Callable[[Told, datetime], Outcome],
) -> None:
    def seen(told: Told | None, context: Context) -> Outcome:
        if told is None or told.program != program:
            raise web.nowhere()
        return do(told, context.now)

    traceparent = web.traceparent_of(request)
    await service.work.act(Action(kind, thing, seen, organization=owner, program=program, traceparent=traceparent))


async def let_go(service: Service, request: Request, owner: str, program: str, relationship_id: UUID) -> None:
    for _ in range(TRIES):
        async with service.database.tenant(owner) as connection:
            relationship = await store.relationship(connection, relationship_id)
            if relationship is None or relationship.program != program:
                raise web.nowhere()
            planned = relationship.meeting_id
            meeting = await store.meeting(connection, planned) if planned else None
        if await act(service, request, relationship, meeting, release, {}) is not Raced:
            return
