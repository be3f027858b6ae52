"""What every service's HTTP shares: keys, problems (RFC 9457), pages in one layout, links, health, metrics and traces."""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import asyncpg
import limits
from fastapi import Depends, FastAPI, Form, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from opentelemetry.trace import SpanKind
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import links
from shared.errors import PASSING, Rejected, TryLater, describe
from shared.telemetry import valid
from shared.words import upper

if TYPE_CHECKING:
    from shared.service import Service

log = logging.getLogger("ithaca.web")

PROBLEM = "application/problem+json"
PAGES = Path(__file__).parent / "pages"
ACCESS_KEY = "select id, sha256, organization, rights, revoked from access_keys where id = $1"


# ---- who speaks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an API key belongs to and what it may do."""

    organization: str
    key_id: str
    rights: frozenset[str]


bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer ith_<key id>_<secret>`")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def service_of(request: Request) -> "Service":
    service: Service = request.app.state.service
    return service


def split_key(key: str) -> tuple[str, str]:
    """(key id, secret) of `ith_<key id>_<secret>`; both empty where it isn't one."""
    parts = key.split("_")
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "ith" else ("", "")


async def caller(request: Request, credentials: Credentials) -> Caller:
    """The partner whose key this is. 401 for a missing, wrong or revoked key, all alike."""
    found = await caller_of(service_of(request), credentials.credentials if credentials else "")
    if found is None:
        raise Rejected("unauthorized", "Send a valid API key: Authorization: Bearer ith_…", status=401)
    return found


async def caller_of(service: "Service", key: str) -> Caller | None:
    """The partner whose key this is; None for a missing, wrong or revoked one."""
    key_id, secret = split_key(key)
    return await holder(service, key_id, hashlib.sha256(secret.encode()).hexdigest()) if key_id else None


async def holder(service: "Service", key_id: str, sha256: str | None = None) -> Caller | None:
    """Whose key has this id, unless it is revoked; only if its secret has this digest, where one is given."""
    async with service.database.transaction() as connection:
        row = await connection.fetchrow(ACCESS_KEY, key_id)
    if row is None or row["revoked"] or (sha256 is not None and not hmac.compare_digest(row["sha256"], sha256)):
        return None
    return Caller(row["organization"], row["id"], frozenset(row["rights"]))


def is_operator(request: Request, credentials: Credentials) -> bool:
    """Whether whoever runs the platform asks, by the token in its settings."""
    token, shown = service_of(request).settings.operator_token, credentials.credentials if credentials else ""
    return bool(token) and hmac.compare_digest(shown.encode(), token.encode())


async def operator(request: Request, credentials: Credentials) -> None:
    """Only whoever runs the platform."""
    if not is_operator(request, credentials):
        raise Rejected("unauthorized", "This needs the operator's token.", status=401)


Partner = Annotated[Caller, Depends(caller)]
Operator = Annotated[None, Depends(operator)]


def traceparent_of(request: Request) -> str:
    """The trace of this request, to hand to `Action(traceparent=…)`."""
    return str(request.scope.get("ithaca.traceparent", ""))


def limiter(rate: str, what: str) -> Callable[[str], None]:
    """Counts by name in this copy; the returned function raises Rejected 429 for one too many. `rate` in the words of `limits`."""
    window, strategy = limits.parse(rate), SlidingWindowCounterRateLimiter(MemoryStorage())

    def hit(name: str) -> None:
        if not strategy.hit(window, name):
            seconds = str(max(1, round(strategy.get_window_stats(window, name).reset_time - time.time())))
            text = f"Too many {what}: try again in {seconds} s."
            raise Turned("too_many_requests", text, status=429, headers={"Retry-After": seconds})

    return hit


class Turned(Rejected):
    """A refusal with HTTP headers of its own."""

    def __init__(self, code: str, text: str, *, status: int, headers: dict[str, str]) -> None:
        super().__init__(code, text, status=status)
        self.headers = headers


# ---- problems ----------------------------------------------------------------------------------------------------------


class Fault(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="a path such as data.time_zone; empty for the request or event as a whole")
    code: str = Field("", description="a word that a program can act on, where there is one for this fault")
    detail: str = Field(description="what to do, for a person; never a value that was sent")


class Problem(BaseModel):
    """RFC 9457, as application/problem+json; a page for whoever accepts text/html."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


def problems(texts: Mapping[int | str, str]) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of answers that refuse, by status or range of them."""
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["Fault"]
    later = {"Retry-After": {"required": True, "schema": {"type": "integer"}, "description": "seconds"}}
    return {
        status: {
            "description": text,
            "content": {PROBLEM: {"schema": schema}, "text/html": {"schema": {"type": "string"}}},
            **({"headers": later} if status in {429, 503} else {}),
        }
        for status, text in texts.items()
    }


PROBLEMS = problems(
    {
        "4XX": "Refused: what is wrong, and where.",
        503: "The database can't be reached, or the world isn't ready for this; nothing was changed.",
    }
)


def problem(status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """An RFC 9457 problem. `more` are its extension members, e.g. `errors=[{"field": …, "detail": …}]`."""
    body = {"type": f"urn:ithaca:problem:{code}", "title": code.replace("_", " "), "status": status, "detail": detail, **more}
    return JSONResponse(body, status, dict(headers or {}), PROBLEM)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


async def _rejected(request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    if _wants_page(request):
        return refusal(request, error, headers=getattr(error, "headers", None))
    more = {"errors": [{"field": error.field, "detail": error.text}]} if error.field else {}
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else getattr(error, "headers", None)
    return problem(error.status, error.code, error.text, headers=headers, **more)


class ElsewhereError(Exception):
    """Whoever asked is led to another page first, such as the one to sign in."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


async def _elsewhere(_: Request, error: Exception) -> Response:
    assert isinstance(error, ElsewhereError)
    return seen(error.url)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": ".".join(map(str, e["loc"][1:])) or str(e["loc"][0]), "detail": e["msg"]} for e in error.errors()]
    return problem(422, "invalid", "The request isn't as described in /docs.", errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if _wants_page(request):
        return refusal(request, Rejected("not_found", "There is nothing at this address.", status=error.status_code))
    return problem(error.status_code, "http", str(error.detail), headers=error.headers)


async def _no_text(request: Request, _: Exception) -> Response:
    """PostgreSQL takes every character but NUL."""
    error = Rejected("no_text", "Leave out NUL characters: no text of ours has any.", status=400)
    return await _rejected(request, error)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Who asked went away while it was still speaking: no fault of ours, and nobody reads the answer."""
    return Response(status_code=400)


async def _away(request: Request, error: Exception) -> Response:
    log.warning("answered 503: %s", describe(error), extra={"ids": {"path": request.url.path}})
    text = "Ithaca can't reach its database just now. Nothing was changed; please try again in a few seconds."
    if _wants_page(request):
        return refusal(request, Rejected("unavailable", text, status=503), headers={"Retry-After": "5"})
    return problem(503, "unavailable", text, headers={"Retry-After": "5"})


async def _later(_: Request, error: Exception) -> Response:
    assert isinstance(error, TryLater)
    return problem(503, "not_ready", f"This waits for {error.awaits}.", headers={"Retry-After": "2"})


# ---- pages -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def templates(folder: Path) -> Environment:
    """Jinja2 over a service's own pages and the shared layout; a name that isn't given is an error."""
    environment = Environment(
        loader=FileSystemLoader([folder, PAGES]),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = upper
    return environment


PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(folder: Path, name: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> HTMLResponse:
    """Render `name` of a service's pages in the one layout."""
    return HTMLResponse(templates(folder).get_template(name).render(**values), status, PAGE_HEADERS | dict(headers or {}))


def refusal(_: Request, error: Rejected, *, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """The page that says kindly why something can't be done, and what can."""
    return page(PAGES, "refusal.html", status=error.status, headers=headers, code=error.code, text=error.text)


SHOW = ["GET", "HEAD"]
"""Methods that look and change nothing."""
Text = Annotated[str, Form(max_length=4000)]
"""A field of a form, as it was typed."""


def lines(text: str) -> str:
    """What was typed into a field of several lines, without what is empty around it; browsers end lines with two characters."""
    return text.replace("\r\n", "\n").strip()


def nowhere() -> Rejected:
    """What a link says whose thing isn't there."""
    return Rejected("not_found", "There is nothing at this address.", status=404)


def seen(url: str) -> RedirectResponse:
    """After a POST: go and see the result (303), so that a reload repeats nothing."""
    return RedirectResponse(url, 303)


def link_of(action: str) -> Callable[..., links.Link]:
    """A dependency that checks a mail's link `/ACTION/{thing}?p=&v=&e=&s=` and gives it back."""

    def checked(
        request: Request,
        thing: UUID,
        p: UUID,
        v: int,
        e: int,
        s: Annotated[str, Query(max_length=64)],
    ) -> links.Link:
        service = service_of(request)
        link = links.Link(action, thing, p, v, e)
        links.check(link, s, service.settings.link_secret, service.database.clock.now())
        return link

    return checked


# ---- the application ---------------------------------------------------------------------------------------------------


class Observed:
    """ASGI middleware: a server span per request that continues the caller's trace, its seconds, and the trace's id in the answer."""

    def __init__(self, app: ASGIApp, service: "Service") -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/health", "/metrics")):
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        telemetry = self.service.telemetry
        method = scope["method"]
        attributes = {"http.request.method": method, "url.path": scope["path"]}
        span, traceparent = telemetry.start(method, SpanKind.SERVER, parent if valid(parent) else "", attributes)
        scope["ithaca.traceparent"] = traceparent
        started, status = time.perf_counter(), 500

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"traceresponse", traceparent.encode())]
            await send(message)

        try:
            await self.app(scope, receive, observed_send)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            telemetry.metrics.requests.labels(method, route, str(status)).observe(time.perf_counter() - started)
            if span is not None:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.fail()
                span.end()


def application(service: "Service") -> FastAPI:
    """A service's FastAPI application with everything that is the same for all."""
    app = FastAPI(title=f"Ithaca {service.name}", version="1", redoc_url=None, responses=PROBLEMS)
    app.state.service = service
    app.add_middleware(Observed, service=service)
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(TryLater, _later)
    app.add_exception_handler(ElsewhereError, _elsewhere)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    for nul in (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError):
        app.add_exception_handler(nul, _no_text)
    for passing in PASSING:
        app.add_exception_handler(passing, _away)  # type: ignore[arg-type]

    @app.get("/health/live", include_in_schema=False)
    async def live() -> Response:
        dead = service.dead()
        return JSONResponse({"live": not dead, "dead": dead}, 503 if dead else 200)

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> Response:
        report = await service.readiness()
        return JSONResponse(report, 200 if report["ready"] else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return PlainTextResponse(generate_latest(service.telemetry.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app
