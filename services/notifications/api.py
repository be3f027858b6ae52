"""Notifications' HTTP: webhooks and deliveries for partners and operators, a person's preferences by link."""

import asyncio
import difflib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from services.notifications import store
from services.notifications.channels import CALL_SECONDS, Caller, secret_of
from services.notifications.domain import ENDPOINTS_EACH, OPTIONAL, TEST_TYPE, Endpoint, Person, State
from services.notifications.letters import LINK_DAYS
from services.notifications.webhooks import PASSED_ON, PEOPLE, call
from shared import links, web
from shared.cloudevents import new_id, rfc3339
from shared.decisions import NOTHING, Action, Context, Outcome, changed, new
from shared.errors import Rejected
from shared.events import Event, PersonErased, Right
from shared.links import Link
from shared.service import Service

PAGES = Path(__file__).parent / "pages"
HEARD: tuple[type[Event], ...] = (*PASSED_ON, *PEOPLE, PersonErased)
TYPES = sorted(event.TYPE for event in HEARD)
"""What an endpoint may hear of."""


class NewWebhook(BaseModel):
    """Where to send events, and which."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Annotated[str, Field(max_length=2000, examples=["https://example.com/ithaca"])]
    types: Annotated[
        tuple[str, ...],
        Field(
            max_length=len(TYPES), description="CloudEvents types; all where none are named", examples=[["ithaca.PairCreated"]]
        ),
    ] = ()


class Webhook(BaseModel):
    """An endpoint as it stands."""

    id: UUID
    url: str
    types: tuple[str, ...]
    state: Annotated[str, Field(description="well, failing (nothing got through since `failing_since`) or disabled")]
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None


class MadeWebhook(Webhook):
    """With the secret that signs its calls, shown this once."""

    secret: str


class WebhookList(BaseModel):
    webhooks: list[Webhook]


class HookDelivery(BaseModel):
    """One event's way to an endpoint."""

    id: Annotated[UUID, Field(description="the `webhook-id` of every try")]
    fact_id: Annotated[UUID, Field(description="the event's id")]
    fact_type: str
    program: str
    state: Annotated[str, Field(description="waits, sent or failed")]
    attempts: int
    status: Annotated[int | None, Field(description="of the last HTTP answer")]
    failure: str | None
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None


class HookDeliveries(BaseModel):
    deliveries: list[HookDelivery]


class DeliveryShown(BaseModel):
    """One message to one person about one event: that it went, not what it said or to which address."""

    id: UUID
    person_id: UUID
    program: str
    template: str
    channel: str
    fact_id: UUID
    fact_type: str
    relationship_id: UUID | None
    meeting_id: UUID | None
    state: Annotated[
        str,
        Field(description="waits, sent, failed or dropped; to_ask (a question that goes with others), joined (in their mail)"),
    ]
    failure: Annotated[
        str | None,
        Field(description="no_address, unsubscribed, gone (erased), refused, unreachable, timed_out; other: no longer true"),
    ]
    attempts: int
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None


class Deliveries(BaseModel):
    deliveries: list[DeliveryShown]
    next: Annotated[str | None, Field(description="`before` of the next page")]


def shown(endpoint: Endpoint) -> dict[str, Any]:
    state = "disabled" if endpoint.disabled_at else "failing" if endpoint.failing_since else "well"
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "types": endpoint.types,
        "state": state,
        "created_at": endpoint.created_at,
        "failing_since": endpoint.failing_since,
        "disabled_at": endpoint.disabled_at,
    }


def needs(caller: web.Caller, *rights: Right) -> None:
    """Raises Rejected where a key has none of these rights."""
    if not caller.rights & set(rights):
        raise Rejected("forbidden", f"This key lacks the right {' or '.join(rights)}.", status=403)


async def reader(request: Request, credentials: web.Credentials) -> web.Caller | None:
    """The partner who asks, or None for whoever runs the platform."""
    return None if web.is_operator(request, credentials) else await web.caller(request, credentials)


def types_wanted(types: tuple[str, ...]) -> tuple[str, ...]:
    """Raises Rejected that names the first unknown type and the nearest that there is."""
    for n, name in enumerate(types):
        if name not in TYPES:
            near = difflib.get_close_matches(name if "." in name else f"ithaca.{name}", TYPES, 1)
            raise Rejected("unknown_type", f"No such type{f'; did you mean {near[0]}?' if near else '.'}", field=f"types[{n}]")
    return tuple(sorted(set(types)))


def own(endpoint: Endpoint | None, organization: str) -> Endpoint:
    if endpoint is None or endpoint.organization != organization:
        raise Rejected("not_found", "You have no webhook with this id.", status=404)
    return endpoint


# ---- webhooks ----------------------------------------------------------------------------------------------------------

router = APIRouter()
EndpointId = Annotated[UUID, InPath()]


def routes(_: Service) -> APIRouter:
    """Everything notifications serves."""
    return router


@router.post("/v1/webhooks", status_code=201, tags=["webhooks"])
async def register(body: NewWebhook, caller: web.Partner, request: Request) -> MadeWebhook:
    """From now on every event whose audience names your organization is posted to `url`, signed by Standard Webhooks.

    Keep `secret`: it isn't shown again. Order isn't promised; an event may come twice, then with the same `webhook-id`.
    """
    service = web.service_of(request)
    needs(caller, Right.coordinate)
    types = types_wanted(body.types)
    secret_of(UUID(int=0), service.settings.secret_key)
    url = await Caller(service.settings.webhook_networks, service.settings.secret_key).check(body.url)
    async with service.database.tenant(caller.organization) as connection:
        if len(await store.endpoints_of(connection, caller.organization)) >= ENDPOINTS_EACH:
            raise Rejected("too_many", f"An organization may have {ENDPOINTS_EACH} webhooks: remove one first.", status=409)
    endpoint_id = new_id()

    def do(_: Endpoint | None, context: Context) -> Outcome:
        endpoint = Endpoint(endpoint_id, caller.organization, url, types, context.now)
        return new(endpoint).returning(endpoint)

    action = Action(Endpoint, endpoint_id, do, caller.organization, traceparent=web.traceparent_of(request))
    endpoint = await service.work.act(action)
    return MadeWebhook(**shown(endpoint), secret=secret_of(endpoint_id, service.settings.secret_key))


@router.get("/v1/webhooks", tags=["webhooks"])
async def mine(caller: web.Partner, request: Request) -> WebhookList:
    """Your organization's endpoints."""
    service = web.service_of(request)
    needs(caller, Right.coordinate, Right.read)
    async with service.database.tenant(caller.organization) as connection:
        found = await store.endpoints_of(connection, caller.organization)
    return WebhookList(webhooks=[Webhook(**shown(endpoint)) for endpoint in found])


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, tags=["webhooks"])
async def remove(webhook_id: EndpointId, caller: web.Partner, request: Request) -> Response:
    """Nothing more is sent there, what waits included."""
    service = web.service_of(request)
    needs(caller, Right.coordinate)

    def do(endpoint: Endpoint | None, _: Context) -> Outcome:
        return NOTHING.forget(own(endpoint, caller.organization))

    trace = web.traceparent_of(request)
    await service.work.act(Action(Endpoint, webhook_id, do, caller.organization, traceparent=trace))
    return Response(status_code=204)


@router.post("/v1/webhooks/{webhook_id}/enable", tags=["webhooks"])
async def enable(webhook_id: EndpointId, caller: web.Partner, request: Request) -> Webhook:
    """Send there again after it was disabled. What happened meanwhile isn't sent; `GET /v1/…` has it."""
    service = web.service_of(request)
    needs(caller, Right.coordinate)

    def do(endpoint: Endpoint | None, _: Context) -> Outcome:
        mine = own(endpoint, caller.organization)
        outcome = changed(mine, failing_since=None, disabled_at=None) if mine.disabled_at else NOTHING
        return outcome.returning(outcome.changed[0] if outcome.changed else mine)

    trace = web.traceparent_of(request)
    endpoint = await service.work.act(Action(Endpoint, webhook_id, do, caller.organization, traceparent=trace))
    return Webhook(**shown(endpoint))


@router.post("/v1/webhooks/{webhook_id}/test", tags=["webhooks"])
async def test(webhook_id: EndpointId, caller: web.Partner, request: Request) -> HookDelivery:
    """Send an `ithaca.WebhookTest` there now, once, and answer how it went."""
    service = web.service_of(request)
    needs(caller, Right.coordinate)

    def do(endpoint: Endpoint | None, context: Context) -> Outcome:
        if own(endpoint, caller.organization).disabled_at:
            raise Rejected("disabled", "This webhook is disabled: enable it first.", status=409)
        event = {
            "specversion": "1.0",
            "id": str(context.id),
            "type": TEST_TYPE,
            "source": "/ithaca/notifications",
            "time": rfc3339(context.now),
            "organization": caller.organization,
            "datacontenttype": "application/json",
            "data": {"webhook_id": str(webhook_id), "audience": [caller.organization]},
        }
        made = call(webhook_id, caller.organization, context, TEST_TYPE, event, None)
        return new(made).returning(made.id)

    trace = web.traceparent_of(request)
    call_id = await service.work.act(Action(Endpoint, webhook_id, do, caller.organization, traceparent=trace))
    until = asyncio.get_running_loop().time() + CALL_SECONDS + 3
    while True:
        async with service.database.transaction() as connection:
            found = await store.one_call(connection, call_id)
        if found is None:
            raise Rejected("not_found", "This webhook was removed.", status=404)
        if found["state"] != State.waits or asyncio.get_running_loop().time() > until:
            return HookDelivery(**found)
        await asyncio.sleep(0.05)  # the sender may be another copy, whose commit wakes nobody here


@router.get("/v1/webhooks/{webhook_id}/deliveries", tags=["webhooks"])
async def calls(
    webhook_id: EndpointId,
    caller: web.Partner,
    request: Request,
    state: State | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> HookDeliveries:
    """Last week's events to this endpoint, newest first."""
    service = web.service_of(request)
    needs(caller, Right.coordinate, Right.read)
    async with service.database.tenant(caller.organization) as connection:
        own((await store.endpoints(connection, [webhook_id])).get(webhook_id), caller.organization)
        found = await store.list_calls(connection, webhook_id, state, limit)
    return HookDeliveries(deliveries=[HookDelivery(**row) for row in found])


# ---- deliveries --------------------------------------------------------------------------------------------------------


@router.get("/v1/deliveries", tags=["deliveries"])
async def listed(
    caller: Annotated[web.Caller | None, Depends(reader)],
    request: Request,
    person_id: UUID | None = None,
    program: Annotated[str | None, Query(max_length=81)] = None,
    state: State | None = None,
    template: Annotated[str | None, Query(max_length=60)] = None,
    fact_id: UUID | None = None,
    relationship_id: UUID | None = None,
    before: Annotated[str | None, Query(max_length=80, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Deliveries:
    """Messages to people, newest first."""
    service = web.service_of(request)
    if caller is not None:
        needs(caller, Right.read, Right.coordinate)
    database = service.database
    async with database.tenant(caller.organization) if caller else database.transaction() as connection:
        found = await store.list_deliveries(
            connection,
            person_id=person_id,
            program=program,
            state=state,
            template=template,
            fact_id=fact_id,
            relationship_id=relationship_id,
            before=place(before),
            limit=limit,
        )
    more = f"{rfc3339(found[-1]['created_at'])},{found[-1]['id']}" if len(found) == limit else None
    return Deliveries(deliveries=[DeliveryShown(**row) for row in found], next=more)


def place(before: str | None) -> tuple[datetime, UUID] | None:
    if before is None:
        return None
    moment, _, last = before.partition(",")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(last)
    except (ValueError, OverflowError):
        raise Rejected("invalid", "Give `next` of the page before, unchanged.", field="before") from None


# ---- a person's own pages: GET and HEAD change nothing -----------------------------------------------------------------

CHOICES = (
    ("reminders", "Reminders", "Before a meeting, and “did you meet?” after it"),
    ("celebrations", "Milestones", "A short word when you have reached something together"),
    ("news", "Your place in the program", "Welcome, and how the search for a match stands"),
)


Preferences = Annotated[Link, Depends(web.link_of("preferences"))]
Unsubscribe = Annotated[Link, Depends(web.link_of("unsubscribe"))]


async def someone(link: Link, request: Request) -> Person:
    """Whose page this is."""
    service = web.service_of(request)
    async with service.database.transaction() as connection:
        found = await store.person(connection, link.object)
    if found is None or found.erased or link.person != link.object:
        raise Rejected("not_found", "We know nobody by this link any more.", status=404)
    return found


async def change(link: Link, request: Request, **fields: Any) -> None:
    service = web.service_of(request)

    def do(person: Person | None, _: Context) -> Outcome:
        if person is None or person.erased:
            raise Rejected("not_found", "We know nobody by this link any more.", status=404)
        wanted = {name: value for name, value in fields.items() if getattr(person, name) != value}
        if "unsubscribed_at" in wanted and fields["unsubscribed_at"] and person.unsubscribed_at:
            return NOTHING
        return changed(person, **wanted) if wanted else NOTHING

    await service.work.act(Action(Person, link.object, do, traceparent=web.traceparent_of(request)))


def back(request: Request, **more: str) -> Response:
    url = request.url.remove_query_params(["saved"]).include_query_params(**more)
    return web.seen(f"{url.path}?{url.query}")


async def personal_pages(person: Person, service: Service) -> list[tuple[str, str]]:
    """(program, address) of the pages on which this person may say whom they meet."""
    secret, base = service.settings.link_secret, service.settings.urls.get("matching", "")
    expires = service.database.clock.now() + timedelta(days=LINK_DAYS["personal"])
    async with service.database.transaction() as connection:
        programs = await store.personal_programs(connection, person.welcomed)
    things = [(program.name, links.personal_id(program.id, person.id, secret)) for program in programs]
    return [(name, links.mint("personal", thing, person.id, 1, expires).url(base, secret)) for name, thing in things]


@router.api_route("/preferences/{thing}", methods=["GET", "HEAD"], include_in_schema=False)
async def show(link: Preferences, request: Request, saved: bool = False) -> Response:
    person = await someone(link, request)
    kinds = [(key, label, hint, key not in person.muted) for key, label, hint in CHOICES]
    stopped, personal = person.unsubscribed_at is not None, await personal_pages(person, web.service_of(request))
    return web.page(PAGES, "preferences.html", kinds=kinds, stopped=stopped, saved=saved, personal=personal)


@router.post("/preferences/{thing}", include_in_schema=False)  # noqa: FAST003 - the link's check reads it
async def save(link: Preferences, request: Request) -> Response:
    service = web.service_of(request)
    form = await request.form(max_files=0, max_fields=20)
    match form.get("do"):
        case "stop":
            await change(link, request, unsubscribed_at=service.database.clock.now())
        case "start":
            await change(link, request, unsubscribed_at=None)
        case _:
            wanted = {str(kind) for kind in form.getlist("kind")}
            await change(link, request, muted=tuple(kind for kind in OPTIONAL if kind not in wanted))
    return back(request, saved="1")


@router.api_route("/unsubscribe/{thing}", methods=["GET", "HEAD"], include_in_schema=False)
async def ask(link: Unsubscribe, request: Request) -> Response:
    person = await someone(link, request)
    return web.page(PAGES, "unsubscribe.html", stopped=person.unsubscribed_at is not None)


@router.post("/unsubscribe/{thing}", include_in_schema=False)  # noqa: FAST003 - as above
async def unsubscribe(link: Unsubscribe, request: Request) -> Response:
    """By the page's button, or by a mail program's (RFC 8058), which shows no page."""
    service = web.service_of(request)
    form = await request.form(max_files=0, max_fields=20)
    if form.get("do") == "start":
        await change(link, request, unsubscribed_at=None)
    else:
        await change(link, request, unsubscribed_at=service.database.clock.now())
    if form.get("List-Unsubscribe") == "One-Click":
        return PlainTextResponse("You get no more mail from us.\n")
    return back(request)
