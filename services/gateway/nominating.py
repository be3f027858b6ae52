"""The pages behind two links in mails: a mentee names someone they know (nominate), and that person answers (invited).

GET and HEAD show and change nothing. POST decides under the row of what the mentee has named, and then leads to the page that shows how
things stand.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway import domain, store
from services.gateway.domain import Nomination, Nominations, NominationStatus, Organization, Person, Program
from shared import web
from shared.decisions import Action
from shared.errors import Rejected
from shared.events import PersonStatus, Role, Terms, owner_of, partner
from shared.languages import TONGUES, tongue
from shared.links import Link, wishes_id
from shared.places import day
from shared.service import Service

PAGES = Path(__file__).parent / "pages"
NONE: Mapping[str, str] = MappingProxyType({})

NominateLink = Annotated[Link, Depends(web.link_of("nominate"))]
InvitedLink = Annotated[Link, Depends(web.link_of("invited"))]


class Contact(BaseModel):
    """Whom a mentee names."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    name: partner.Name
    email: Annotated[partner.Email, Field(pattern=r"^[!-~]+$")]
    """In ASCII: a name beyond it needs a relay that knows SMTPUTF8."""


ASK = {"name": "Please write their name.", "email": "Please check the mail address."}
"""What is said of a field that isn't right."""


def digest(secret: str, mentee: object, email: str) -> str:
    """By which this mentee's same address is told again; nobody without our secret finds the address that belongs to it."""
    return hmac.new(secret.encode(), f"{mentee}\n{email.lower()}".encode(), hashlib.sha256).hexdigest()


# ---- the mentee --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Naming:
    """A mentee in a program, and what they have named."""

    mentee: Person
    program: Program
    nominations: Nominations | None
    matched: bool


async def naming(service: Service, link: Link) -> Naming:
    """Whose link it is, in the program that its object stands for."""
    async with service.database.transaction() as connection:
        mentee = await store.someone(connection, link.person)
        if mentee is None or mentee.erased:
            raise web.nowhere()
        name = next((e.program for e in mentee.enrolments if wishes_id(e.program, mentee.id) == link.object), None)
        if name is None:
            raise Rejected("not_a_member", "This link belongs to a program that you aren’t part of any more.", status=403)
        (program,) = await store.programs(connection, [name])
        nominations = await store.nominations(connection, mentee.id)
        return Naming(mentee, program, nominations, await store.matched(connection, mentee.id, name))


def nominate_page(
    service: Service, seen: Naming, *, named: bool = False, errors: Mapping[str, str] = NONE, typed: Mapping[str, str] = NONE
) -> Response:
    return web.page(
        PAGES,
        "nominate.html",
        status=422 if errors else 200,
        program=seen.program.name,
        matched=seen.matched,
        can=domain.may_name(seen.mentee, seen.program),
        left=domain.names_left(seen.nominations, seen.program, service.database.clock.now()),
        named=named,
        errors={"name": "", "email": ""} | dict(errors),
        typed={"name": "", "email": ""} | dict(typed),
    )


def mentee_pages(router: APIRouter, service: Service) -> None:
    @router.api_route("/nominate/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_names(link: NominateLink, named: bool = False) -> Response:
        return nominate_page(service, await naming(service, link), named=named)

    @router.post("/nominate/{thing}", include_in_schema=False)
    async def name_someone(http: Request, link: NominateLink, name: web.Text = "", email: web.Text = "") -> Response:
        seen = await naming(service, link)
        try:
            contact = Contact(name=name, email=email)
        except ValidationError as error:
            wrong = {str(each["loc"][0]) for each in error.errors(include_input=False)}
            errors = {field: text for field, text in ASK.items() if field in wrong}
            return nominate_page(service, seen, errors=errors, typed={"name": name, "email": email})
        if seen.matched:
            return web.seen(f"?{http.url.query}")
        mentee, program = seen.mentee, seen.program
        async with service.database.transaction() as connection:
            known = await store.addressed(connection, contact.email, mentee.organization, program.id)
        address = digest(service.settings.link_secret, mentee.id, contact.email)
        wish = domain.Wish(program.id, mentee.id, contact.name, contact.email, address, tuple(known))
        action = Action(
            Nominations,
            mentee.id,
            partial(domain.nominate, wish),
            organization=program.organization,
            program=program.id,
            traceparent=web.traceparent_of(http),
            reads={Person: [mentee.id, *known], Program: [program.id]},
        )
        await service.work.act(action)
        url = http.url.include_query_params(named="1")
        return web.seen(f"?{url.query}")


# ---- who was named -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invited person's page shows. Where the invitation or the one who asked is gone, there is less of it."""

    person: Person
    one: Nomination | None = None
    mentee: Person | None = None
    program: Program | None = None
    home: Organization | None = None
    owner: Organization | None = None
    matched: bool = False

    @property
    def status(self) -> NominationStatus:
        """Where it stands; one that the mentee no longer needs has expired."""
        if self.one is None:
            return NominationStatus.expired
        invited = self.one.status is NominationStatus.invited
        over = self.person.status is not PersonStatus.invited or domain.is_over(self.mentee, self.program, matched=self.matched)
        return NominationStatus.expired if invited and over else self.one.status


async def invitation(service: Service, link: Link) -> Invitation:
    """Of the link's person, by the mentee who is its object."""
    async with service.database.transaction() as connection:
        person = await store.someone(connection, link.person)
        if person is None:
            raise web.nowhere()
        nominations = await store.nominations(connection, link.object)
        one = nominations.of(person.id) if nominations else None
        if one is None:
            return Invitation(person)
        mentee = await store.someone(connection, link.object)
        (program,) = await store.programs(connection, [one.program])
        home = await store.organization(connection, person.organization)
        owner = await store.organization(connection, program.organization)
        matched = await store.matched(connection, link.object, program.id)
    return Invitation(person, one, mentee, program, home, owner, matched)


@cache
def zones() -> list[str]:
    """Where someone may live; `Etc` stays out, whose signs are the wrong way round."""
    return sorted(zone for zone in partner.time_zones() if "/" in zone and not zone.startswith("Etc/"))


def likely_languages(seen: Invitation) -> list[str]:
    """The one of the mail, and the mentee's."""
    spoken = seen.mentee.profile.languages if seen.mentee and seen.mentee.profile else ()
    locale = seen.person.contact.locale if seen.person.contact else "en"
    return list(dict.fromkeys(tag.partition("-")[0] for tag in (locale, *spoken)))


def invited_page(seen: Invitation, errors: Mapping[str, str] = NONE, typed: Mapping[str, Any] = NONE) -> Response:
    person, program, status = seen.person, seen.program, seen.status
    zone = person.profile.time_zone if person.profile else "UTC"
    likely, closes = likely_languages(seen), day(seen.one.at + domain.OPEN_FOR, zone) if seen.one else ""
    return web.page(
        PAGES,
        "invited.html",
        status=422 if errors else 200,
        program=program.name if program else "",
        owner=seen.owner.name if seen.owner else "",
        who=seen.mentee.contact.name if seen.mentee and seen.mentee.contact else "",
        stands=status.value,
        closes=closes,
        kept="" if person.erased else f"by {closes}" if closes else "within 30 days",
        member=person.status is not PersonStatus.invited and not person.erased,
        terms=facts_of(program.policy.agreement) if program else [],
        zones=zones() if zone in zones() else [zone, *zones()],
        likely=[(tag, tongue(tag)) for tag in likely],
        languages=sorted(((tag, name) for tag, name in TONGUES.items() if tag not in likely), key=lambda item: item[1]),
        errors={"": "", "skills": ""} | dict(errors),
        typed={"time_zone": zone, "languages": likely[:1], "skills": ""} | dict(typed),
    )


def facts_of(terms: Terms) -> list[tuple[str, str]]:
    """What the program suggests to a pair."""
    return [
        ("You would meet", "every week" if terms.every_weeks == 1 else f"every {terms.every_weeks} weeks"),
        ("How long", f"{terms.minutes} minutes"),
        ("For", f"{terms.months} month{'' if terms.months == 1 else 's'}"),
    ]


def profile_of(person: Person, program: Program, typed: Mapping[str, Any]) -> partner.PersonEnrolled:
    """What an invited person says of themselves, as an organization would post it. Raises ValidationError."""
    skills = [skill for skill in typed["skills"].split(",") if skill.strip()]
    said = {"time_zone": typed["time_zone"], "languages": typed["languages"], "skills_offered": skills}
    about = {"person": person.own_id, "program": program.id, "role": Role.mentor.value, "capacity": 1}
    return partner.PersonEnrolled.read(about | said)


WORDS = "Please write a few words with commas between them."
CHOICES = "Please choose a time zone and up to twenty languages."


def invited_pages(router: APIRouter, service: Service) -> None:
    def act_on(link: Link, seen: Invitation, http: Request, do: Any) -> Action:
        program = seen.one.program if seen.one else ""
        return Action(
            Nominations,
            link.object,
            do,
            organization=owner_of(program),
            program=program,
            traceparent=web.traceparent_of(http),
            reads={Person: [link.person, link.object], Program: [program]},
        )

    @router.api_route("/invited/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_invitation(link: InvitedLink) -> Response:
        return invited_page(await invitation(service, link))

    @router.post("/invited/{thing}", include_in_schema=False)
    async def answer(
        http: Request,
        link: InvitedLink,
        do: web.Text = "",
        time_zone: web.Text = "",
        languages: Annotated[tuple[str, ...], Form()] = (),
        skills: web.Text = "",
    ) -> Response:
        seen = await invitation(service, link)
        if seen.status is not NominationStatus.invited or seen.program is None or seen.home is None:
            return web.seen(f"?{http.url.query}")
        if do == "no":
            await service.work.act(act_on(link, seen, http, partial(domain.decline, link.person)))
            return web.seen(f"?{http.url.query}")
        typed = {"time_zone": time_zone, "languages": languages, "skills": skills}
        if do != "yes":
            return invited_page(seen, {"": "Please use one of the buttons."}, typed)
        if not languages:
            return invited_page(seen, {"": "Please choose at least one language."}, typed)
        try:
            said = profile_of(seen.person, seen.program, typed)
        except ValidationError as error:
            wrong = error.errors(include_input=False)[0]["loc"][0]
            return invited_page(seen, {"skills": WORDS} if wrong == "skills_offered" else {"": CHOICES}, typed)
        given = domain.Answer(link.person, said, seen.program.id, seen.home)
        await service.work.act(act_on(link, seen, http, partial(domain.accept, given)))
        return web.seen(f"?{http.url.query}")


def routes(service: Service) -> APIRouter:
    """Everything that people open here."""
    router = APIRouter()
    mentee_pages(router, service)
    invited_pages(router, service)
    return router
