"""The partner API: events in, what became of them, organizations, programs, people and keys."""

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway import domain, intake, openapi, posted, store
from services.gateway.domain import Key, Minted, Organization, Person, Program
from shared import web
from shared.access import AccessKey
from shared.database import Connection
from shared.decisions import Action
from shared.errors import PASSING, Raced, Rejected
from shared.events import Right, partner
from shared.service import Service


class NewOrganization(BaseModel):
    """An organization that the operators let onto the platform."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"example": {"id": "northwind", "name": "Northwind", "country": "NG", "time_zone": "Africa/Lagos"}},
    )

    id: partner.OrganizationId
    name: partner.PublicName
    country: partner.Country | None = None
    time_zone: partner.TimeZone = "UTC"
    locale: partner.Language = "en"


class NewKey(BaseModel):
    """What a new key may do."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, json_schema_extra={"example": {"rights": ["send"]}})

    rights: list[Literal["send", "read", "coordinate"]] = Field(min_length=1, max_length=3)


def mint(rights: tuple[Right, ...]) -> tuple[Minted, str]:
    """A new key and its only text: 256 random bits of which the hash is kept."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    return Minted(key_id, hashlib.sha256(secret.encode()).hexdigest(), rights), f"ith_{key_id}_{secret}"


def answer(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")


async def body_of(request: Request, most: int = posted.MOST_BYTES) -> bytes:
    """The whole body. Raises Rejected 413 as soon as it is too long; uvicorn lets the rest run dry, so that the answer arrives."""
    too_long = Rejected("too_large", f"Send at most {most // 1_000_000} MB at once.", status=413)
    if int(length if (length := request.headers.get("content-length", "0")).isdigit() else 0) > most:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_long
    return bytes(body)


def uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


May = Callable[[Right | None], Callable[..., Awaitable[web.Caller]]]


def speaker(service: Service) -> May:
    """Dependencies that give the caller, within the rate of its key, if it has the right."""
    hit = web.limiter(service.settings.rate, "requests with this key")

    def may(right: Right | None) -> Callable[..., Awaitable[web.Caller]]:
        async def checked(caller: web.Partner) -> web.Caller:
            hit(caller.key_id)
            if right is not None and right.value not in caller.rights:
                raise Rejected("forbidden", f"This key hasn't the right `{right.value}`.", status=403)
            return caller

        return checked

    return may


def routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1")
    may = speaker(service)
    events(router, service, may)
    organizations(router, service, may)
    programs(router, service, may)
    people(router, service, may)
    return router


# ---- events ------------------------------------------------------------------------------------------------------------


def events(router: APIRouter, service: Service, may: May) -> None:
    sends = may(Right.send)

    @router.post(
        "/events",
        status_code=202,
        tags=["events"],
        summary="Post facts",
        description=openapi.POST_TEXT,
        responses={
            202: {"model": openapi.AcceptedShape, "description": "At least one event was accepted."},
            **web.problems(openapi.POST_PROBLEMS),
        },
        openapi_extra={"requestBody": openapi.request_body()},
    )
    async def post_events(
        request: Request,
        caller: Annotated[web.Caller, Depends(sends)],
        dry_run: Annotated[bool, Query(description="judge everything, change nothing")] = False,
    ) -> Response:
        body = await body_of(request)
        batch, items = posted.read(request.headers, body, caller.organization, service.database.clock.now())
        trace = web.traceparent_of(request)
        answers, rosters = await intake.take_all(
            service, caller.organization, items, batch=batch, dry_run=dry_run, traceparent=trace
        )
        counts = {status: sum(a.status == status for a in answers) for status in ("accepted", "duplicate", "rejected")}
        results = [a.body() for a in answers]
        if counts["rejected"] == len(answers):
            return none_accepted(answers, results, batch=batch)
        totals = {"accepted": counts["accepted"], "duplicates": counts["duplicate"], "rejected": counts["rejected"]}
        return answer({"results": results, **totals, "dry_run": dry_run, "rosters": rosters}, 202)

    @router.get(
        "/events/{id:path}",
        tags=["events"],
        summary="What became of a posted event",
        description="By your own id of the event (and its `source`, where several share the id), or by the id it has here. Known for 30 days.",
        responses={
            200: {"model": openapi.EventShape},
            **web.problems(openapi.PROBLEMS | {404: "No such event was accepted."}),
        },
    )
    async def get_event(
        id: str,  # noqa: A002 - what the path calls it
        caller: Annotated[web.Caller, Depends(sends)],
        source: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        async with service.database.tenant(caller.organization) as connection:
            found = await store.intakes(connection, caller.organization, id, source, uuid_of(id))
        if not found:
            raise Rejected("unknown_event", "No event of this id was accepted within 30 days.", status=404)
        named = [i for i in found if i.own_id == id] or found
        if len({i.source for i in named}) > 1:
            raise Rejected(
                "several", "Several of your sources have an event of this id: add ?source=", field="source", status=409
            )
        return answer(shown_intake(named[0]))


def none_accepted(answers: list[intake.Answer], results: list[dict[str, Any]], *, batch: bool) -> Response:
    """422, or 409 where nothing but used ids was wrong."""
    conflict = all(a.conflicts for a in answers)
    errors = [
        {"field": f"[{a.n}]{'.' if e.field else ''}{e.field}" if batch else e.field, "code": e.code, "detail": e.detail}
        for a in answers
        for e in a.errors
    ]
    detail = (
        errors[0]["detail"]
        if len(errors) == 1
        else f"None of {len(answers)} events was accepted."
        if batch
        else "The event wasn't accepted."
    )
    return web.problem(409 if conflict else 422, "conflict" if conflict else "rejected", detail, errors=errors, results=results)


def shown_intake(found: domain.Intake) -> dict[str, Any]:
    return {
        "id": found.own_id,
        "source": found.source,
        "event": found.id,
        "type": found.type,
        "status": found.status,
        "caused": found.caused,
        "reason": found.reason,
        "field": found.field,
        "person": found.person,
        "program": found.program,
        "received_at": found.received_at,
    }


# ---- organizations and keys --------------------------------------------------------------------------------------------


def organizations(router: APIRouter, service: Service, may: May) -> None:
    anyone, coordinates = may(None), may(Right.coordinate)

    @router.post(
        "/organizations",
        tags=["operators"],
        summary="Let an organization onto the platform",
        responses={201: {"description": "It is new here."}},
        description="Answers its first API key, which is shown this once. The same again changes nothing and shows no key; `?new_key=true` makes one more.",
    )
    async def post_organization(
        wanted: NewOrganization, _: web.Operator, request: Request, new_key: Annotated[bool, Query()] = False
    ) -> Response:
        minted, key = mint(domain.FIRST_RIGHTS)
        organization = Organization(**wanted.model_dump(), onboarded_at=service.database.clock.now())
        done: domain.Onboarded = await service.work.act(
            Action(
                Organization,
                wanted.id,
                lambda there, context: domain.onboard(there, organization, minted, context, new_key=new_key),
                organization=wanted.id,
                traceparent=web.traceparent_of(request),
            )
        )
        shown: dict[str, Any] = {"organization": shown_organization(done.organization)}
        if done.with_key:
            shown |= {"key": key, "key_id": minted.id}
        return answer(shown, 201 if done.created else 200)

    @router.get("/organizations", tags=["operators"], summary="Every organization, the programs it owns, how many keys work")
    async def get_organizations(_: web.Operator) -> Response:
        found = await store.organizations(service.database)
        return answer({"organizations": [shown_tenant(*each) for each in found]})

    @router.get("/organization", tags=["organization"], summary="Your organization and the programs you own or are invited to")
    async def get_organization(caller: Annotated[web.Caller, Depends(anyone)]) -> Response:
        async with service.database.tenant(caller.organization) as connection:
            found = await store.organization(connection, caller.organization)
            seen = await store.programs_seen(connection, caller.organization)
        assert found is not None
        return answer(
            {"organization": shown_organization(found), "programs": [shown_place(p, caller.organization) for p in seen]}
        )

    @router.get("/keys", tags=["keys"], summary="Your API keys, without their secrets")
    async def get_keys(caller: Annotated[web.Caller, Depends(coordinates)]) -> Response:
        async with service.database.tenant(caller.organization) as connection:
            found = await store.keys(connection, caller.organization)
        return answer({"keys": [shown_key(key) for key in found]})

    @router.post("/keys", status_code=201, tags=["keys"], summary="One more API key, shown this once")
    async def post_key(wanted: NewKey, caller: Annotated[web.Caller, Depends(coordinates)], request: Request) -> Response:
        rights = tuple(Right(right) for right in dict.fromkeys(wanted.rights))
        if not caller.rights.issuperset(wanted.rights):
            raise Rejected("forbidden", "A key can't give rights that it hasn't.", field="rights", status=403)
        minted, key = mint(rights)
        await service.work.act(
            Action(
                Key,
                minted.id,
                lambda _, context: domain.issued(minted, caller.organization, context),
                organization=caller.organization,
                traceparent=web.traceparent_of(request),
            )
        )
        return answer({"key": key, "key_id": minted.id, "rights": rights}, 201)

    @router.delete("/keys/{key_id}", tags=["keys"], summary="Revoke an API key, for good")
    async def delete_key(key_id: str, caller: Annotated[web.Caller, Depends(coordinates)], request: Request) -> Response:
        gone = await service.work.act(
            Action(
                Key,
                key_id,
                lambda key, context: domain.revoke(key, caller.organization, context.get(AccessKey, key_id), context),
                organization=caller.organization,
                traceparent=web.traceparent_of(request),
                reads={AccessKey: [key_id]},
            )
        )
        return answer(shown_key(gone))


def shown_organization(found: Organization) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "country": found.country,
        "time_zone": found.time_zone,
        "locale": found.locale,
        "onboarded_at": found.onboarded_at,
    }


def shown_tenant(organization: Organization, owned: list[Program], keys: int) -> dict[str, Any]:
    """An organization as the operators see it: counts, and nobody in it."""
    places = [shown_place(p, organization.id) | {"people": p.people} for p in owned]
    return shown_organization(organization) | {"keys": keys, "programs": places}


def shown_key(key: Key) -> dict[str, Any]:
    return {"key_id": key.id, "rights": key.rights, "issued_at": key.issued_at, "revoked_at": key.revoked_at}


# ---- programs ----------------------------------------------------------------------------------------------------------


def programs(router: APIRouter, service: Service, may: May) -> None:
    @router.get(
        "/programs/{program}",
        tags=["organization"],
        summary="A program: its policy, its members, its roster",
        description="By your own slug or the whole id. A member organization sees its own seats, and the roster where the program's totals are shared with it.",
    )
    async def get_program(program: str, caller: Annotated[web.Caller, Depends(may(None))]) -> Response:
        whole = program if "." in program else f"{caller.organization}.{program}"
        async with service.database.tenant(caller.organization) as connection:
            found = await store.programs(connection, [whole])
        if not found:
            raise Rejected("unknown_program", "No such program is yours or shared with you.", status=404)
        return answer(shown_program(found[0], caller.organization))


def shown_place(program: Program, organization: str) -> dict[str, Any]:
    """A program as one line of an organization's list."""
    member = program.membership(organization)
    place = "owner" if member is None else "joined" if member.joined else "invited"
    return {
        "program": program.id,
        "name": program.name,
        "owner": program.organization,
        "place": place,
        "status": "closed" if program.closed else "open",
    }


def shown_program(program: Program, organization: str) -> dict[str, Any]:
    members = [m for m in program.members if organization in {program.organization, m.organization}]
    return shown_place(program, organization) | {
        "revision": program.revision,
        "policy": program.policy.model_dump(mode="json"),
        "members": [
            {
                "organization": m.organization,
                "seats": m.seats,
                "visibility": m.visibility,
                "joined": m.joined,
                "people": m.people,
            }
            for m in members
        ],
        "roster": program.roster.model_dump(mode="json") if program.shows_totals_to(organization) else None,
    }


# ---- people ------------------------------------------------------------------------------------------------------------


def people(router: APIRouter, service: Service, may: May) -> None:
    @router.get(
        "/people/{own_id:path}",
        tags=["people"],
        summary="One of your people, as Ithaca knows them",
        description="By your own id or by ours.",
    )
    async def get_person(own_id: str, caller: Annotated[web.Caller, Depends(may(Right.send))]) -> Response:
        async with service.database.tenant(caller.organization) as connection:
            return answer(shown_person(await the_person(connection, caller.organization, own_id)))

    @router.delete(
        "/people/{own_id:path}",
        tags=["people"],
        summary="Erase one of your people",
        description="Everything about the person is deleted here and, within seconds, in every service; what was posted about them later is a new person. By your own id or ours.",
    )
    async def delete_person(
        own_id: str, caller: Annotated[web.Caller, Depends(may(Right.coordinate))], request: Request
    ) -> Response:
        until = time.monotonic() + intake.PATIENCE_SECONDS
        while True:
            async with service.database.tenant(caller.organization) as connection:
                person = await the_person(connection, caller.organization, own_id)
                about = await store.intakes_about(connection, caller.organization, person.id)
            action = erasure(person, about, web.traceparent_of(request))
            try:
                ((outcome),) = await service.work.act_all([action], seconds=0)
            except PASSING as error:  # also where the person changed since we looked: look again
                if time.monotonic() > until or not isinstance(error.__cause__, Raced):
                    raise
            else:
                if isinstance(outcome, Exception):
                    raise outcome
                event = {"event": action.id} if outcome.events else {}
                return answer({"person": person.id, "erased": True, **event})


def erasure(person: Person, about: list[UUID], traceparent: str) -> Action:
    return Action(
        Person,
        person.id,
        lambda there, context: domain.erase(there, person.revision, about, context),
        organization=person.organization,
        traceparent=traceparent,
        reads={Program: [e.program for e in person.enrolments], domain.Intake: about, domain.Nominations: [person.id]},
        becomes=True,
    )


async def the_person(connection: Connection, organization: str, own_id: str) -> Person:
    found = await store.person(connection, organization, own_id, uuid_of(own_id))
    if found is None:
        raise Rejected("unknown_person", "You have nobody by this id.", status=404)
    return found


def shown_person(person: Person) -> dict[str, Any]:
    if person.erased:
        return {"person": person.id, "status": "erased", "revision": person.revision}
    assert person.profile is not None
    assert person.contact is not None
    return {
        "person": person.id,
        "own_id": person.own_id,
        "status": person.status,
        "paused_until": person.paused_until,
        "revision": person.revision,
        "enrolments": [e.model_dump(mode="json") for e in person.enrolments],
        "profile": person.profile.model_dump(mode="json"),
        "contact": person.contact.model_dump(mode="json"),
    }
