"""The pages behind the links in mails on requests (choose, request), and what partners read of requests as JSON.

GET and HEAD show and change nothing. POST decides under the lock of the mentee's wishes and then leads to the page that shows how
things stand; a form of before the last change leads there too, and changes nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.matching import store
from services.matching.domain import requests
from services.matching.domain.model import Person, Program
from services.matching.domain.requests import LONGEST_TEXT, Fit, Request, RequestStatus, Wishes
from services.matching.ranking import Question, Ranking
from services.matching.wording import DECLINES, Described, described, ordinal, program_name, stands
from shared import web
from shared.decisions import Action, Context, Outcome
from shared.errors import Raced, Rejected
from shared.events import DeclineReason, Role
from shared.links import Link, wishes_id
from shared.places import day
from shared.service import Service

PAGES = Path(__file__).parent / "pages"
TRIES = 5
CANDIDATES = 5
"""Shown to a mentee, or as many as they may ask."""
CHOICE = "choice-"

ChooseLink = Annotated[Link, Depends(web.link_of("choose"))]
RequestLink = Annotated[Link, Depends(web.link_of("request"))]
Decide = Callable[[Wishes | None, Context], Outcome]


@dataclass(frozen=True, slots=True)
class Seen:
    """A mentee's round as it stands, with everyone in it."""

    program: Program
    mentee: Person
    wishes: Wishes | None
    round: Sequence[Request]
    people: Mapping[UUID, Person]

    @property
    def wishes_id(self) -> UUID:
        return wishes_id(self.program.id, self.mentee.id)

    @property
    def version(self) -> int:
        return self.wishes.version if self.wishes else 0

    @property
    def pending(self) -> bool:
        return any(r.status in requests.OPEN or r.status is RequestStatus.queued for r in self.round)


async def see(service: Service, mentee_id: UUID, program: str | None, thing: UUID | None = None) -> Seen:
    """The round of this mentee in the program, or in the one that the link's object stands for."""
    async with service.database.transaction() as connection:
        mentee = await store.person_of(connection, mentee_id)
        if mentee is None:
            raise web.nowhere()
        program = program or next((name for name in mentee.programs if wishes_id(name, mentee_id) == thing), None)
        at = await store.program_of(connection, program) if program else None
        if at is None:
            raise Rejected("not_a_member", "This link belongs to a program that you aren’t part of any more.", status=403)
        wishes = await store.wishes_of(connection, wishes_id(at.id, mentee_id))
        found = await store.round_of(connection, wishes)
        people = await store.people_of(connection, [request.mentor_id for request in found])
    return Seen(at, mentee, wishes, found, people)


async def decide(service: Service, http: HttpRequest, look: Callable[[], Any], decision: Callable[[Seen], Any]) -> Response:
    """Decide under the lock, again where something has moved since we looked; then show how things stand.

    `look` sees the round, `decision` makes of it what is decided and which mentors are named beside those of the round.
    """
    for _ in range(TRIES):
        seen: Seen = await look()
        do, mentors = await decision(seen)
        action = Action(
            Wishes,
            seen.wishes_id,
            do,
            organization=seen.program.organization,
            program=seen.program.id,
            traceparent=web.traceparent_of(http),
            reads={
                Program: [seen.program.id],
                Person: [seen.mentee.id, *seen.people, *mentors],
                Request: [request.id for request in seen.round],
            },
        )
        if await service.work.act(action) is not Raced:
            return web.seen(f"?{http.url.query}")
    raise Rejected("raced", "Too much happened at once. Please try again.", status=409)


def whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


# ---- the mentee's page -------------------------------------------------------------------------------------------------


async def suggested(service: Service, ranking: Ranking, seen: Seen, named: Sequence[UUID] = ()) -> list[Fit]:
    """The mentors to suggest, or what is to be said of those named; nobody who has said no to this mentee before."""
    async with service.database.transaction() as connection:
        declined = await store.declined_by(connection, seen.wishes_id)
    most = max(CANDIDATES, seen.program.policy.requests_at_a_time)
    question = Question(program=seen.program.id, mentee=seen.mentee.id, mentors=tuple(named), without=tuple(declined), most=most)
    return await ranking.ask(question)


async def choose_page(
    service: Service, ranking: Ranking, seen: Seen, error: str = "", chosen: Mapping[str, int] | None = None, typed: str = ""
) -> Response:
    program, mentee = seen.program, seen.mentee
    zone = mentee.profile.time_zone if mentee.profile else "UTC"
    matched = mentee.takes_part(program.id) and mentee.taken(program.id) > 0
    can = program.policy.by_request and not program.closed and requests.seeks(mentee, program)
    question = next((r for r in seen.round if r.status is RequestStatus.questioned), None)
    candidates: list[tuple[str, Described]] = []
    if can and not seen.pending:
        fits = await suggested(service, ranking, seen)
        async with service.database.transaction() as connection:
            people = await store.people_of(connection, [fit.mentor_id for fit in fits])
        candidates = [(str(f.mentor_id), described(people.get(f.mentor_id), Role.mentor, f.reasons)) for f in fits]
    most, window = program.policy.requests_at_a_time, program.policy.request_window_days
    return web.page(
        PAGES,
        "choose.html",
        status=422 if error else 200,
        program=program_name(program),
        matched=matched,
        can=can,
        pending=seen.pending,
        version=seen.version,
        requests=[(described(seen.people.get(r.mentor_id), Role.mentor, r.reasons), stands(r, zone)) for r in seen.round],
        question=question,
        closes=day(question.closes_at, zone) if question and question.closes_at else "",
        tried=bool(seen.round) and any(r.status in {RequestStatus.declined, RequestStatus.expired} for r in seen.round),
        candidates=candidates,
        places=[(n, ordinal(n)) for n in range(1, most + 1)],
        chosen=chosen or {},
        most=most,
        days="a day" if window == 1 else f"{window} days",
        longest=LONGEST_TEXT,
        typed=typed,
        error=error,
    )


def chosen_of(form: Mapping[str, Any]) -> dict[str, int]:
    """Which place each mentor was given on the page."""
    given = {name.removeprefix(CHOICE): whole(str(value)) for name, value in form.items() if name.startswith(CHOICE)}
    return {mentor: place for mentor, place in given.items() if place}


def in_order(chosen: Mapping[str, int]) -> list[UUID]:
    """The mentors in the mentee's order. Raises ValueError where one isn't known by such an id."""
    return [UUID(mentor) for mentor, _ in sorted(chosen.items(), key=lambda item: item[1])]


def mentee_pages(router: APIRouter, service: Service, ranking: Ranking) -> None:  # noqa: C901 - one function a route
    def look(link: Link) -> Callable[[], Any]:
        return partial(see, service, link.person, None, link.object)

    @router.api_route("/choose/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_mentors(link: ChooseLink) -> Response:
        return await choose_page(service, ranking, await look(link)())

    @router.post("/choose/{thing}", include_in_schema=False)
    async def choose(
        http: HttpRequest, link: ChooseLink, do: web.Text = "", version: web.Text = "", text: web.Text = ""
    ) -> Response:
        at = whole(version)
        if at is None or do not in {"ask", "reply", "take_back"}:
            return await choose_page(service, ranking, await look(link)(), "Please use one of the buttons.")
        if do == "take_back":
            return await decide(service, http, look(link), as_it_is(partial(requests.take_back, at)))
        if do == "reply":
            return await reply(http, link, at, text.strip())
        return await ask(http, link, at, chosen_of(await http.form()))

    async def reply(http: HttpRequest, link: Link, version: int, text: str) -> Response:
        if error := wrong_text(text):
            return await choose_page(service, ranking, await look(link)(), error, typed=text)

        async def replied(seen: Seen) -> tuple[Decide, Sequence[UUID]]:
            asked = next((r.id for r in seen.round if r.status is RequestStatus.questioned), seen.wishes_id)
            return partial(requests.on_request, asked, version, partial(requests.reply, text)), ()

        return await decide(service, http, look(link), replied)

    async def ask(http: HttpRequest, link: Link, version: int, chosen: dict[str, int]) -> Response:
        seen = await look(link)()
        if seen.version != version:
            return web.seen(f"?{http.url.query}")
        error = ""
        try:
            named = in_order(chosen)
        except ValueError:
            named, error = [], "Please choose among the mentors shown."
        if not error and not named:
            error = "Please choose at least one mentor."
        if not error and len(set(chosen.values())) < len(chosen):
            error = "Two mentors have the same place. Please give each a place of its own."
        if not error and len(named) > seen.program.policy.requests_at_a_time:
            error = f"Please choose at most {seen.program.policy.requests_at_a_time}."
        if error:
            return await choose_page(service, ranking, seen, error, chosen)

        async def asked(seen: Seen) -> tuple[Decide, Sequence[UUID]]:
            fits = {fit.mentor_id: fit for fit in await suggested(service, ranking, seen, named) if fit.allowed}
            if not fits.keys() >= set(named):
                raise Rejected("no_longer_free", "One of these mentors can’t be asked any more. Please choose again.", status=409)
            in_turn = [fits[mentor] for mentor in named]
            return partial(requests.choose, seen.program.id, seen.mentee.id, in_turn, version), named

        return await decide(service, http, look(link), asked)


def as_it_is(do: Decide) -> Callable[[Seen], Any]:
    """A decision for which nobody else need be asked or loaded."""

    async def made(_: Seen) -> tuple[Decide, Sequence[UUID]]:
        return do, ()

    return made


def wrong_text(text: str) -> str:
    if not text:
        return "Please write a sentence or two."
    return f"Please keep it to {LONGEST_TEXT} characters." if len(text) > LONGEST_TEXT else ""


# ---- the mentor's page -------------------------------------------------------------------------------------------------


def request_page(seen: Seen, request: Request, error: str = "", typed: str = "") -> Response:
    mentor = seen.people.get(request.mentor_id)
    zone = mentor.profile.time_zone if mentor and mentor.profile else "UTC"
    return web.page(
        PAGES,
        "request.html",
        status=422 if error else 200,
        program=program_name(seen.program),
        request=request,
        open=request.status in requests.OPEN,
        full=mentor is not None
        and mentor.taken(seen.program.id) > 0
        and not mentor.places_left(seen.program.id, seen.program.policy),
        away=mentor is not None and seen.program.id in mentor.unavailable,
        who=described(seen.mentee, Role.mentee, request.reasons),
        closes=day(request.closes_at, zone) if request.closes_at else "",
        declines=[(reason.value, label) for reason, label in DECLINES.items()],
        longest=LONGEST_TEXT,
        typed=typed,
        error=error,
    )


async def fit_of(ranking: Ranking, request: Request) -> Fit:
    """What the rules say now. Where one of them takes no part any more there is nothing to compare, and the decision sees that."""
    known = requests.OWN_CONTACT in request.reasons
    question = Question(program=request.program, mentee=request.mentee_id, mentors=(request.mentor_id,), known=known)
    found = await ranking.ask(question)
    return found[0] if found else Fit(request.mentor_id, 0, 0, 0, allowed=False, score=0, reasons=())


def mentor_pages(router: APIRouter, service: Service, ranking: Ranking) -> None:  # noqa: C901 - one function a route
    async def of(link: Link) -> tuple[Seen, Request]:
        """The request that a link is about, with its round. Raises Rejected where it isn't there or isn't this person's."""
        async with service.database.transaction() as connection:
            request = await store.request_of(connection, link.object)
            mentor = await store.person_of(connection, link.person)
        if request is None or mentor is None or mentor.erased:
            raise web.nowhere()
        if request.mentor_id != link.person:
            raise Rejected("not_a_member", "This link belongs to someone else.", status=403)
        seen = await see(service, request.mentee_id, request.program)
        known = {**seen.people, mentor.id: mentor}
        return Seen(seen.program, seen.mentee, seen.wishes, seen.round, known), request

    @router.api_route("/request/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_request(link: RequestLink) -> Response:
        return request_page(*await of(link))

    @router.post("/request/{thing}", include_in_schema=False)
    async def answer(
        http: HttpRequest,
        link: RequestLink,
        do: web.Text = "",
        version: web.Text = "",
        text: web.Text = "",
        reason: web.Text = "",
    ) -> Response:
        at, said = whole(version), text.strip()
        seen, request = await of(link)
        if at is None or do not in {"accept", "question", "decline", "pause", "available"}:
            return request_page(seen, request, "Please use one of the buttons.")
        if do == "question" and (error := wrong_text(said)):
            return request_page(seen, request, error, said)
        if do == "decline" and reason not in {code.value for code in DECLINES}:
            return request_page(seen, request, "Please choose what comes closest.")
        if do == "available":
            return await available(http, link, request)

        async def answered(_: Seen) -> tuple[Decide, Sequence[UUID]]:
            what: requests.Decide
            match do:
                case "accept":
                    what = partial(requests.accept, await fit_of(ranking, request))
                case "question":
                    what = partial(requests.question, said)
                case "pause":
                    what = partial(requests.decline, DeclineReason.unavailable, unavailable=True)
                case _:
                    what = partial(requests.decline, DeclineReason(reason))
            return partial(requests.on_request, request.id, at, what), ()

        async def look() -> Seen:
            return (await of(link))[0]

        return await decide(service, http, look, answered)

    async def available(http: HttpRequest, link: Link, request: Request) -> Response:
        action = Action(
            Person,
            link.person,
            partial(requests.available, request.program),
            organization=request.organization,
            program=request.program,
            traceparent=web.traceparent_of(http),
        )
        await service.work.act(action)
        return web.seen(f"?{http.url.query}")


# ---- JSON ---------------------------------------------------------------------------------------------------------------


class RequestShown(BaseModel):
    """A request that has come to its turn. What people wrote, and why someone said no, is theirs."""

    id: UUID
    program: str
    mentee_id: UUID
    mentor_id: UUID
    choice: int = Field(description="1 is the mentee's first")
    status: RequestStatus
    score: int = Field(description="1.0 is 1,000,000")
    asked_at: datetime | None
    closes_at: datetime | None = Field(description="Until when it is to be answered, while it is open")
    relationship_id: UUID | None = Field(description="What came of it")


class RequestsShown(BaseModel):
    """A page of requests; `next` is the `after` of the page that follows."""

    requests: list[RequestShown]
    next: UUID | None


def reads(router: APIRouter, service: Service) -> None:
    @router.get("/v1/programs/{program}/requests", tags=["matching"])
    async def of_program(
        program: str,
        caller: web.Partner,
        mentee: UUID | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> RequestsShown:
        """Whom mentees asked, and what came of it: all of your own program, else those that name your people."""
        if not caller.rights & {"read", "coordinate"}:
            raise Rejected("forbidden", "This key lacks the right: read or coordinate.", status=403)
        named = program if "." in program else f"{caller.organization}.{program}"
        async with service.database.tenant(caller.organization) as connection:
            rows = await store.requests_of(connection, named, mentee, after, limit)
        return RequestsShown(
            requests=[RequestShown.model_validate(row) for row in rows], next=rows[-1]["id"] if len(rows) == limit else None
        )


def routes(ranking: Ranking, service: Service) -> APIRouter:
    router = APIRouter()
    mentee_pages(router, service, ranking)
    mentor_pages(router, service, ranking)
    reads(router, service)
    return router
