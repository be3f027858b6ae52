"""The page behind the link `mentor`: whoever was a mentee in a program, and is through, becomes a mentor in it.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import ValidationError

from services.gateway import domain, store
from services.gateway.domain import Person, Program
from services.gateway.nominating import PAGES, WORDS, Naming, naming
from shared import web
from shared.decisions import Action
from shared.events import Role, partner
from shared.links import Link
from shared.service import Service

NONE: Mapping[str, str] = MappingProxyType({})
MOST = 5
"""Mentees that someone may say to take by themselves."""

MentorLink = Annotated[Link, Depends(web.link_of("mentor"))]


def known_skills(person: Person) -> str:
    """What they said they offer, or once came to learn."""
    profile = person.profile
    skills = (profile.skills_offered or profile.skills_wanted) if profile else ()
    return ", ".join(skill.rpartition(":")[2].replace("-", " ") for skill in skills)


def mentor_page(seen: Naming, errors: Mapping[str, str] = NONE, typed: Mapping[str, str] = NONE) -> Response:
    enrolment = seen.mentee.enrolment(seen.program.id)
    return web.page(
        PAGES,
        "mentor.html",
        status=422 if errors else 200,
        program=seen.program.name,
        is_mentor=enrolment is not None and enrolment.role is Role.mentor,
        can=domain.may_mentor(seen.mentee, seen.program, matched=seen.matched),
        matched=seen.matched,
        numbers=[str(n) for n in range(1, MOST + 1)],
        errors={"": "", "skills": ""} | dict(errors),
        typed={"skills": known_skills(seen.mentee), "capacity": "1"} | dict(typed),
    )


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/mentor/{thing}", methods=web.SHOW)
    async def consider(link: MentorLink) -> Response:
        return mentor_page(await naming(service, link))

    @router.post("/mentor/{thing}")
    async def become(http: Request, link: MentorLink, skills: web.Text = "", capacity: web.Text = "") -> Response:
        seen = await naming(service, link)
        person, program = seen.mentee, seen.program
        if not domain.may_mentor(person, program, matched=seen.matched):
            return web.seen(f"?{http.url.query}")
        typed = {"skills": skills, "capacity": capacity}
        if capacity not in {str(n) for n in range(1, MOST + 1)}:
            return mentor_page(seen, {"": "Please choose how many mentees you would take."}, typed)
        said = {"skills_offered": [skill for skill in skills.split(",") if skill.strip()], "capacity": int(capacity)}
        try:
            enrolled = partner.PersonEnrolled.read(
                {"person": person.own_id, "program": program.id, "role": Role.mentor.value} | said
            )
        except ValidationError:
            return mentor_page(seen, {"skills": WORDS}, typed)
        async with service.database.transaction() as connection:
            home = await store.organization(connection, person.organization)
        if home is None:
            raise web.nowhere()
        action = Action(
            Person,
            person.id,
            partial(domain.become_mentor, enrolled, program.id, home),
            organization=program.organization,
            program=program.id,
            traceparent=web.traceparent_of(http),
            reads={Program: [enrolment.program for enrolment in person.enrolments]},
        )
        await service.work.act(action)
        return web.seen(f"?{http.url.query}")

    return router
