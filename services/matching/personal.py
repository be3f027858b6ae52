"""The page behind the link `personal`: what a person says of themselves in a program, and whether they meet only people who said the same.

GET and HEAD show and change nothing. Nothing here names the person in a trace: the link's object is one that nobody can tell from another,
and what is looked at again afterwards begins traces of its own.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from services.matching import store
from services.matching.domain.model import Person, Program
from services.matching.domain.personal import ANOTHER_ANSWER_AFTER, Answer, Question, questions, say
from services.matching.wording import program_name
from shared import web
from shared.decisions import Action
from shared.errors import Rejected
from shared.links import Link, personal_id
from shared.places import day
from shared.service import Service
from shared.words import plain, upper

PAGES = Path(__file__).parent / "pages"
SAID, ONLY = "said-", "only-"

PersonalLink = Annotated[Link, Depends(web.link_of("personal"))]


@dataclass(frozen=True, slots=True)
class Shown:
    """A question in words."""

    id: str
    name: str
    answers: list[tuple[str, str]]
    said: Answer
    until: str
    """The day before which no other answer is taken; empty where any is."""
    asked: bool


def shown(question: Question, typed: Answer | None, zone: str) -> Shown:
    return Shown(
        id=question.attribute,
        name=upper(plain(question.attribute)),
        answers=[(value, upper(plain(value))) for value in question.answers],
        said=typed or question.said,
        until=day(question.opens_at, zone) if question.opens_at else "",
        asked=question.asked,
    )


def answers_of(form: Mapping[str, Any]) -> dict[str, Answer]:
    """What was chosen for each question of the page."""
    return {
        name.removeprefix(SAID): Answer(str(value), f"{ONLY}{name.removeprefix(SAID)}" in form)
        for name, value in form.items()
        if name.startswith(SAID)
    }


async def whose(service: Service, link: Link, object_of: Callable[[str, UUID], UUID]) -> tuple[Program, Person]:
    """Whose page it is, in the program that the link's object stands for; `object_of` gives a program's and person's object."""
    async with service.database.transaction() as connection:
        person = await store.person_of(connection, link.person)
        if person is None or person.erased:
            raise web.nowhere()
        named = next((name for name in person.programs if object_of(name, person.id) == link.object), None)
        program = await store.program_of(connection, named) if named else None
    if program is None:
        raise Rejected("not_a_member", "This link belongs to a program that you aren’t part of any more.", status=403)
    return program, person


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def see(link: Link) -> tuple[Program, Person]:
        return await whose(service, link, partial(personal_id, secret=service.settings.link_secret))

    def page(
        program: Program, person: Person, *, saved: bool = False, error: str = "", typed: Mapping[str, Answer] | None = None
    ) -> Response:
        zone, now = person.profile.time_zone if person.profile else "UTC", service.database.clock.now()
        found = questions(person, program.id, program.policy, now)
        return web.page(
            PAGES,
            "personal.html",
            status=422 if error else 200,
            program=program_name(program),
            closed=program.closed,
            questions=[shown(question, (typed or {}).get(question.attribute), zone) for question in found],
            waits=any(w.program == program.id for w in person.waiting) and any(q.said.only_same for q in found),
            days=ANOTHER_ANSWER_AFTER.days,
            saved=saved,
            error=error,
        )

    @router.api_route("/personal/{thing}", methods=web.SHOW)
    async def look(link: PersonalLink, saved: str = "") -> Response:
        return page(*await see(link), saved=bool(saved))

    @router.post("/personal/{thing}")
    async def save(http: HttpRequest, link: PersonalLink) -> Response:
        program, person = await see(link)
        answers = answers_of(await http.form(max_files=0, max_fields=50))
        action = Action(
            Person,
            person.id,
            partial(say, program.id, answers),
            organization=program.organization,
            program=program.id,
            reads={Program: [program.id]},
        )
        try:
            await service.work.act(action)
        except Rejected as refused:
            if refused.status != 422:
                raise
            return page(program, person, error=error_of(refused), typed=answers)
        url = http.url.include_query_params(saved="1")
        return web.seen(f"?{url.query}")

    return router


def error_of(refused: Rejected) -> str:
    return f"{upper(plain(refused.field))}: {refused.text}" if refused.field else refused.text
