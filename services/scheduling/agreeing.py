"""The pages of an agreement behind the links in mails: read and sign it, with what has changed; change it.

GET and HEAD show and change nothing. Who changes what somebody else has changed meanwhile sees what that was, and overwrites nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.scheduling.clauses import CHANNELS, TOPICS, WRITTEN, Clause, called, changes, clauses, mentors_label, others_label
from services.scheduling.clicks import Seen, decide, member_only, page, see, way, whole
from services.scheduling.domain import agreement, silence, versions
from services.scheduling.domain.diaries import Diary
from services.scheduling.domain.model import About, Agreement, Person, Relationship
from services.scheduling.domain.versions import LONGEST_TEXT, MOST_VERSIONS, Draft, agreement_id, as_drafted
from shared import web
from shared.decisions import NOTHING, Action, Context, Outcome
from shared.errors import Raced
from shared.events import Terms
from shared.links import Link
from shared.service import Service

SignLink = Annotated[Link, Depends(web.link_of("sign"))]
EditLink = Annotated[Link, Depends(web.link_of("edit"))]
WHOLE = {"every_weeks": 26, "minutes": 1440, "months": 60}
"""The largest of each; the least is 1."""
HOURS = {"mentor_hours_per_week", "hours_per_week"}
CHOSEN = {"channels": CHANNELS, "topics": TOPICS}
HOURS_SAID = re.compile(r"\d{1,2}([.,]\d{1,2})?")

Fields = Mapping[str, str | list[str]]
"""A form as it is shown or was sent."""


class Typed(BaseModel):
    """The form to change an agreement, as it was sent."""

    every_weeks: str = Field("", max_length=20)
    minutes: str = Field("", max_length=20)
    months: str = Field("", max_length=20)
    mentor_hours_per_week: str = Field("", max_length=20)
    hours_per_week: str = Field("", max_length=20)
    confidential: str = Field("", max_length=20)
    channels: list[str] = Field([], max_length=200)
    topics: list[str] = Field([], max_length=200)
    purpose: str = Field("", max_length=4000)
    outcome: str = Field("", max_length=4000)
    boundaries: str = Field("", max_length=4000)


# ---- a form and what it says ---------------------------------------------------------------------------------------------


def fields_of(known: Agreement) -> Fields:
    """A version as the form shows it."""
    terms = known.terms
    return {
        **{name: str(getattr(terms, name)) for name in WHOLE},
        **{name: f"{hours:g}" if (hours := getattr(terms, name)) else "" for name in HOURS},
        "confidential": "yes" if terms.confidential else "",
        **{name: sorted(getattr(terms, name)) for name in CHOSEN},
        **{about.value: known.text(about) for about in About},
    }


def fields_sent(typed: Typed) -> Fields:
    sent = typed.model_dump()
    return {name: sorted(said) if isinstance(said, list) else web.lines(said) for name, said in sent.items()}


def merged(base: Fields, typed: Fields, newest: Fields) -> Fields:
    """What someone typed into the form of an older version, upon the newest: what they left alone is as it is now."""
    return {name: typed[name] if typed[name] != base[name] else newest[name] for name in newest}


def wrong(typed: Fields, relationship: Relationship, now: Any) -> dict[str, str]:
    """What is to be mended, by field."""
    said = {name: str(text) for name, text in typed.items() if isinstance(text, str)}
    faults = {name: f"A whole number, 1 to {most}." for name, most in WHOLE.items() if not 1 <= (whole(said[name]) or 0) <= most}
    faults |= {name: "A number from 0.25 to 40, or nothing." for name in HOURS if said[name] and not _hours(said[name])}
    faults |= {a.value: f"Please keep it to {LONGEST_TEXT} characters." for a in About if len(said[a.value]) > LONGEST_TEXT}
    months = whole(said["months"])
    if "months" not in faults and months and versions.months_left_out(relationship, months, now):
        faults["months"] = "So many months are over already. To end it, use the link in one of our mails."
    return faults


def _hours(text: str) -> float | None:
    hours = float(text.replace(",", ".")) if HOURS_SAID.fullmatch(text) else 0
    return hours if 0.25 <= hours <= 40 else None


def draft_of(typed: Fields, known: Sequence[Agreement]) -> Draft:
    """What a form without fault says; of topics and channels only those that it offered."""
    chosen = {name: tuple(code for code in offered(known, name) if code in typed[name]) for name in CHOSEN}
    said = {
        **{name: whole(str(typed[name])) for name in WHOLE},
        **{name: _hours(str(typed[name])) for name in HOURS},
        "confidential": typed["confidential"] == "yes",
        **chosen,
    }
    terms = known[-1].terms
    return Draft(Terms.model_validate(terms.model_dump() | said), {about: str(typed[about.value]) for about in About})


def offered(known: Sequence[Agreement], name: str) -> list[str]:
    """The codes that one may choose from: those of the newest version first, so that leaving them alone changes nothing."""
    return list(dict.fromkeys([*(code for one in reversed(known) for code in getattr(one.terms, name)), *CHOSEN[name]]))


# ---- pages ---------------------------------------------------------------------------------------------------------------


def known_to(seen: Seen) -> list[Agreement]:
    """All versions in order, the newest as it stands last."""
    return list(seen.versions) or [as_drafted(seen.relationship)]


def said_by(seen: Seen, version: Agreement) -> list[Clause]:
    return clauses(seen.words, version.terms, version)


def made_by(seen: Seen, version: Agreement) -> str:
    """`your mentor changed it on 3 December 2026`"""
    on = seen.words.on_day(version.made_at)
    if version.reason is None:
        return f"the program drafted it on {on}"
    who = seen.words.who_is(version.revised_by) if version.revised_by else "all of you"
    return f"{who} changed it on {on}"


def standing(seen: Seen) -> dict[str, Any]:
    """What both pages tell: the newest version, what it changed, and the way there."""
    known = known_to(seen)
    told = [said_by(seen, version) for version in known]
    steps = [
        (version.version, made_by(seen, version), changes(told[n - 1], told[n]) if n else []) for n, version in enumerate(known)
    ]
    return {"clauses": told[-1], "newest": steps[-1], "earlier": steps[-2::-1]}


def sign_page(seen: Seen, service: Service, link: Link) -> Response:
    current = link.version == seen.relationship.version
    edit = way(service, link, seen, "edit") if current else ""
    return page("sign.html", seen, current=current, edit=edit, **standing(seen))


def edit_page(seen: Seen, service: Service, link: Link, typed: Fields | None = None, **errors: str) -> Response:
    """The form, or what has changed since the link was made, and then what is typed stands upon that."""
    relationship, known = seen.relationship, known_to(seen)
    newest = fields_of(known[-1])
    base = next((one for one in known if one.version == link.version), known[-1])
    stale = link.version != relationship.version
    since = changes(said_by(seen, base), said_by(seen, known[-1])) if stale else []
    if stale and typed is not None:
        typed = merged(fields_of(base), typed, newest)
    can = relationship.ended_at is None and not relationship.meets_once and relationship.version < MOST_VERSIONS
    more: dict[str, Any] = {
        "stale": stale,
        "since": since,
        "can": can,
        "typed": typed or newest,
        "form": can and (not stale or typed is not None),
        "errors": errors,
        "action": way(service, link, seen, "edit"),
        "sign": way(service, link, seen, "sign"),
        "mentors": mentors_label(seen.words),
        "others": others_label(seen.words),
        "choices": {name: [(c, called(c, codes)) for c in offered(known, name)] for name, codes in CHOSEN.items()},
        "written": [(about.value, label) for about, label in WRITTEN.items()],
        "longest": LONGEST_TEXT,
    }
    status = 422 if errors else 409 if stale and typed is not None else 200
    return page("edit.html", seen, status=status, **standing(seen), **more)


def revised(link: Link, draft: Draft, relationship: Relationship | None, context: Context) -> Outcome:
    """The change, where it is one of the version that the link was made for; else Raced, and how it stands is to be shown."""
    if relationship is None:
        raise web.nowhere()
    member_only(relationship, link)
    writer = context.get(Person, link.person)
    if writer is None or writer.erased:
        raise web.nowhere()
    if relationship.ended_at is not None or link.version != relationship.version:
        return NOTHING.returning(Raced)
    before = context.get(Agreement, agreement_id(relationship.id, relationship.version))
    done = versions.revise(relationship, before, link.person, draft, context)
    return silence.with_answer(relationship, link.person, done, context)


def routes(service: Service) -> APIRouter:
    router = APIRouter()
    look = partial(see, service, with_versions=True)

    @router.api_route("/sign/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_agreement(link: SignLink) -> Response:
        return sign_page(await look(link), service, link)

    @router.post("/sign/{thing}", include_in_schema=False)
    async def sign(request: Request, link: SignLink) -> Response:
        return await decide(service, request, link, lambda r, _, c: agreement.sign(r, link.person, c))

    @router.api_route("/edit/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_form(link: EditLink) -> Response:
        return edit_page(await look(link), service, link)

    @router.post("/edit/{thing}", include_in_schema=False)
    async def edit(request: Request, link: EditLink, typed: Annotated[Typed, Form()]) -> Response:
        seen, sent = await look(link), fields_sent(typed)
        relationship = seen.relationship
        if relationship.ended_at is not None or link.version != relationship.version:
            return edit_page(seen, service, link, sent)
        if faults := wrong(sent, relationship, seen.now):
            return edit_page(seen, service, link, sent, **faults)
        action = Action(
            Relationship,
            relationship.id,
            partial(revised, link, draft_of(sent, known_to(seen))),
            organization=relationship.organization,
            program=relationship.program,
            traceparent=web.traceparent_of(request),
            # the person too: who is erased at this moment leaves no words behind
            reads={
                Person: [link.person],
                Diary: [relationship.id],
                Agreement: [agreement_id(relationship.id, relationship.version)],
            },
        )
        done = await service.work.act(action)
        if done is Raced:
            return edit_page(await look(link), service, link, sent)
        if done is None:
            return edit_page(seen, service, link, sent, form="Nothing is different yet.")
        return web.seen(replace(link, action="sign", version=done).url("..", service.settings.link_secret))

    return router
