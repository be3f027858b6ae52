"""Calls that fit each route's OpenAPI and calls that don't, by schemathesis, with ids that exist and keys that hold."""

import copy
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from uuid import UUID

import requests
import schemathesis
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from benchmarks.fuzz.ground import MARKER, World
from shared import links
from shared.events import SERVICES
from shared.service import Settings

Draw = Callable[..., Any]
Case = schemathesis.Case[Any]
TIMEOUT = 30
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
"""What of schemathesis holds for us. Not `positive_data_acceptance` and `negative_data_rejection`: the document tells a body's
form, and whether a fact can be accepted depends on the facts before it; not those on deletion and creation, since other
services hear of either a moment later; not `ignored_auth`, which `nobody_gets_in` does without calls of its own.
"""
CONFIG = {
    "generation": {"with-security-parameters": False},
    "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]}},
}
"""Credentials are ours to draw. 503 is an answer as long as it is documented, with its Retry-After."""
OPERATORS = "/v1/organizations"
INVALID = ("", "Bearer", "Bearer ith_a_b", "Bearer ith__", "Bearer \xe9", "Basic \xff:", "bearer ith_\xdf_\xdf")
SPEAKERS = ("owner",) * 8 + ("member", "member", "send", "read", "coordinate", "operator", *INVALID[::3])
"""Who calls, weighted: drawn evenly from a list, since small numbers are drawn more often than large ones."""
PAGE = "/{thing}"
"""How the path of a page behind a mail's link ends."""
FORMS = {
    "met": ["yes", "no"],
    "minutes": ["30", "45", "0", "-1", "9" * 30, "٣"],
    "slot": ["2030-01-01T10:00:00+00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2030-01-01"],
    "kind": ["technical", "industry", "industry", "reminders", "promotion"],
    "month": ["2026-06", "2026-13", "1999-01"],
    "act": ["learned", "show", "withdraw", "away", "hours", "place"],
    "shows": ["yes"],
    "recognised": ["yes", "no"],
    "due_on": ["2030-01-01", "2031-02-03", "", "9999-12-31", "2030-W01-1"],
    "reason": ["no_time", "silent", "other", "completed"],
    "rematch": ["yes"],
    "add": ["point", "note", "follow_up"],
    "doer": ["everyone"],
    "do": ["stop", "start", "ask", "reply", "take_back", "accept", "question", "decline", "pause", "available", "yes", "no"],
    "version": ["0", "1", "2", "-1"],
    "email": ["someone@elsewhere.example", "someone@elsewhere", "@", "a" * 300 + "@elsewhere.example"],
    "time_zone": ["Africa/Lagos", "Mars/Olympus", ""],
    "languages": ["en", "pt", "xx"],
    "List-Unsubscribe": ["One-Click"],
    "said-gender": ["woman", "man", "", "dragon"],
    "only-gender": ["yes"],
}
"""What a page's fields take, or nearly."""
FIELDS = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("do", "kind", "List-Unsubscribe", "said-gender", "only-gender")},
}
ANY_FORM = {"content": {"application/x-www-form-urlencoded": {"schema": FIELDS}}}
CLOSING = "ithaca.ProgramClosed"
"""Says nothing of a program that exists: all that comes later would be refused for it."""
TEXTS = {"name", "email", "title", "text", "reports_to"}
NAMES = ("ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-data", "content-type", "content-encoding", "accept",
         "traceparent", "if-none-match", "idempotency-key", "x-forwarded-for", "cookie")  # fmt: skip
WORDS = st.sampled_from(
    ["1.0", "ithaca.PersonEnrolled", "application/json", "application/cloudevents+json", "text/html", "*", "\xe9"]
)
"""Header values with a meaning."""
ODD = st.sampled_from(["\x00", "a\x00b", "a.b\x00", "x" * 3000, "\u202e", "%", "-1", "1e9", "9" * 30, "null", "😀",
                       "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00,00000000-0000-0000-0000-000000000000"])  # fmt: skip
"""What breaks a parser here and there, in a path or query."""
EXPIRIES = st.sampled_from([4_000_000_000] * 6 + [0, -1, 2**70])
LATIN = [chr(n) for n in (*range(33, 127), *range(161, 256))]
VALUES = WORDS | st.text(st.sampled_from(LATIN), max_size=60)


@dataclass
class Tally:
    """How the calls of one route, or the records of one topic, ended."""

    calls: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    slowest: float = 0.0

    def count(self, status: int, seconds: float) -> None:
        self.calls += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.slowest = max(self.slowest, seconds)

    def add(self, more: "Tally") -> None:
        self.calls += more.calls
        self.slowest = max(self.slowest, more.slowest)
        for status, count in more.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count

    def of(self, hundred: int) -> int:
        """Calls answered with this hundred, such as 4 for 4xx."""
        return sum(count for status, count in self.statuses.items() if status // 100 == hundred)


@dataclass
class Failure:
    """What was answered wrongly, and the smallest call found that is."""

    route: str
    text: str

    def __str__(self) -> str:
        return f"{self.route}\n{self.text}"


@dataclass
class Api:
    """The routes of all services and how each has answered so far."""

    world: World
    tallies: dict[str, Tally] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session)

    @functools.cached_property
    def operations(self) -> dict[str, list[Any]]:
        """Each service's routes, as its OpenAPI names them."""
        found = {}
        for service in SERVICES:
            address = self.world.addresses[service]
            found[service] = list(routes(requests.get(f"{address}/openapi.json", timeout=TIMEOUT).json(), address))
            found[service] += routes(pages(service), address)
        return found

    def fuzz(self, service: str, operation: Any, count: int, number: int) -> Failure | None:
        """So many calls of one route, drawn by this number; the first failure, made as small as can be."""
        route = f"{service} {operation.label}"
        tally = self.tallies.setdefault(route, Tally())
        first: list[str] = []

        @seed(number)
        @settings(
            max_examples=-(-count // WAYS),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            print_blob=False,
        )
        @given(calls(operation, self.world))
        def judged(several: list[Call]) -> None:
            try:
                for case, headers in several:
                    self.judge(case, headers, tally)
            except BaseException as error:
                first.append(str(error))
                raise

        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Generating overly large repr")  # of schemathesis' own strategies
                judged()
        except Flaky:
            return Failure(route, f"{first[0]}\n(once, and not again)")
        except (Exception, BaseExceptionGroup) as error:
            if not first:
                raise
            return Failure(route, str(error))
        return None

    def judge(self, case: Case, headers: dict[str, str], tally: Tally) -> None:
        """Make the call; raises where its answer isn't what was promised."""
        began = time.monotonic()
        call = functools.partial(case.call, session=self.session, headers=headers | {"Connection": "close"}, timeout=TIMEOUT)
        try:
            response = call()
        except requests.exceptions.ChunkedEncodingError:
            # Cut short: it was answered, and closed, before all of its body was read
            response = call()
        tally.count(response.status_code, time.monotonic() - began)
        if case.path.endswith(PAGE):
            case.validate_response(response, checks=[not_a_server_error], headers=headers)
        else:
            case.validate_response(response, checks=CHECKS, headers=headers)
            nobody_gets_in(response.status_code, headers)


def routes(document: dict[str, Any], address: str) -> Iterator[Any]:
    """Every route of an OpenAPI document, served at this address."""
    config = schemathesis.Config.from_dict(CONFIG | {"base-url": address})
    for found in schemathesis.openapi.from_dict(document, config=config).get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def pages(service: str) -> dict[str, Any]:
    """A document of the pages behind the links in mails, which OpenAPI doesn't show."""
    built = import_module(f"services.{service}.main").build(Settings(kafka="nowhere:1", database="postgresql://a:b@nowhere/c"))
    found = [copy.copy(route) for make in built.routes for route in make(built).routes if isinstance(route, APIRoute)]
    shown = [route for route in found if route.path.endswith(PAGE)]
    for route in shown:
        route.include_in_schema, route.methods = True, (route.methods or set()) - {"HEAD"}
    document = get_openapi(title=service, version="1", routes=shown)
    for path in document["paths"].values():
        if "post" in path:
            path["post"].setdefault("requestBody", ANY_FORM)
    return document


def nobody_gets_in(status: int, headers: dict[str, str]) -> None:
    """Without a valid key each route refuses."""
    assert status >= 400 or headers.get("Authorization") not in INVALID, f"answered {status} without a valid key"


Call = tuple[Case, dict[str, str]]
"""What is asked, and the headers that go with it."""
WAYS = 6
"""So often each drawn case is sent, by others and with other ids: drawing one takes longer than sending it."""


@st.composite
def calls(draw: Draw, operation: Any, world: World) -> list[Call]:
    """A case as OpenAPI describes it or not, its ids often those of what exists, its texts a person's, sent in several ways."""
    takes = bool(operation.body) or any(True for _ in operation.iter_parameters())
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE][: 1 + takes]
    case = draw(operation.as_strategy(draw(st.sampled_from(modes))))
    page = case.path.endswith(PAGE)
    if isinstance(case.body, dict | list):
        case.body = draw(planted(case.body, FORMS if page else world.known))
    other = linked(case, world) if page else renamed(case, world)
    return [(draw(other), draw(headers(operation.path, world.keys))) for _ in range(WAYS)]


@st.composite
def linked(draw: Draw, case: Case, world: World) -> Case:
    """The same by a link as a mail has it, or by one in which something is odd."""
    other, action = case.derive(), case.path.split("/")[1]
    about, person = draw(st.sampled_from(world.links[action]))
    link = links.Link(action, UUID(about), UUID(person), draw(st.sampled_from([0, 1, 1, 2, -1, 2**70])), draw(EXPIRIES))
    other.path_parameters["thing"] = about
    other.query = {"p": person, "v": link.version, "e": link.expires, "s": link.signature(world.link_secret)}
    if draw(st.sampled_from([True, False, False])):
        other.query[draw(st.sampled_from(["p", "v", "e", "s"]))] = draw(ODD)
    return other


@st.composite
def renamed(draw: Draw, case: Case, world: World) -> Case:
    """The same of what exists, or with something odd in its path or query; only what is spare is deleted."""
    known, other = world.spare if case.method == "DELETE" else world.known, case.derive()
    for container in (other.path_parameters, other.query):
        for name in container or {}:
            match draw(st.sampled_from(["exists"] * 8 + ["drawn"] * 3 + ["odd"])):
                case "exists" if name in known:
                    container[name] = draw(st.sampled_from(known[name]))
                case "odd":
                    container[name] = draw(ODD)
    return other


@st.composite
def headers(draw: Draw, path: str, keys: dict[str, str]) -> dict[str, str]:
    """Mostly a key that holds; sometimes none, or other headers than expected."""
    speakers = SPEAKERS + ("operator",) * (24 if path == OPERATORS else 0)
    who = draw(st.sampled_from(speakers))
    sent = {"Authorization": f"Bearer {keys[who]}" if who in keys else draw(st.sampled_from(INVALID))}
    if draw(st.sampled_from([True, False, False, False])):
        sent |= draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
    return sent


@st.composite
def planted(draw: Draw, body: Any, known: dict[str, list[str]], kind: str = "") -> Any:
    """The same with a person's values where a text is a person's, and with ids that exist; `kind` is the event's."""
    if isinstance(body, list):
        return [draw(planted(each, known, kind)) for each in body]
    if not isinstance(body, dict):
        return body
    kind = str(body.get("type", kind))
    made = {}
    for name, value in body.items():
        if isinstance(value, list) and name in known and draw(st.booleans()):
            made[name] = draw(st.lists(st.sampled_from(known[name]), max_size=3))
        elif isinstance(value, dict | list):
            made[name] = draw(planted(value, known, kind))
        elif name in TEXTS and isinstance(value, str):
            made[name] = draw(st.sampled_from([value, marked(name), f"{marked(name)} {value}"]))
        elif name in known and kind != CLOSING and draw(st.booleans()):
            made[name] = draw(st.sampled_from(known[name]))
        else:
            made[name] = value
    return made


def marked(name: str) -> str:
    return f"{MARKER}@mail.example" if name == "email" else f"Ada {MARKER}"
