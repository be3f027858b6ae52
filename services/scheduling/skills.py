"""The page behind the link `skills`: at what level someone's skills are, as they see it and as whoever mentors them does, and how they grow.

GET and HEAD show and change nothing.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.clicks import Seen, decide, page, see, stands, way
from services.scheduling.domain import entries, skills
from services.scheduling.domain.model import Meeting, Person, Relationship
from services.scheduling.domain.skills import LEVELS, STAGES, Assessment
from services.scheduling.wording import LEVELS as ANCHORS
from shared import web
from shared.decisions import Context, Outcome
from shared.events import Stage
from shared.links import Link
from shared.service import Service
from shared.words import plain

SkillsLink = Annotated[Link, Depends(web.link_of("skills"))]
STAGE_NAMES = {Stage.start: "at the start", Stage.middle: "half way", Stage.end: "at the end"}


@dataclass(frozen=True, slots=True)
class Sent:
    """The form about one person's skills: each choice is a level and its skill, such as `3 python`."""

    whose: web.Text = ""
    """The person's id."""
    skill0: web.Text = ""
    skill1: web.Text = ""
    skill2: web.Text = ""
    skill3: web.Text = ""
    skill4: web.Text = ""

    @property
    def about(self) -> UUID | None:
        try:
            return UUID(self.whose)
        except ValueError:
            return None

    @property
    def chosen(self) -> list[tuple[str, str]]:
        """(level, skill) as they came."""
        given = (self.skill0, self.skill1, self.skill2, self.skill3, self.skill4)
        return [(level, skill) for level, _, skill in (one.partition(" ") for one in given if one)]

    def levels(self, known: Sequence[str]) -> dict[str, int] | None:
        """By skill; None where one is no level, or of no skill that is looked at, or none was chosen."""
        fits = all(level in map(str, LEVELS) and skill in known for level, skill in self.chosen)
        return {skill: int(level) for level, skill in self.chosen} if self.chosen and fits else None


@dataclass(frozen=True, slots=True)
class Line:
    """How one of the two sees a skill: at the start, half way, at the end; None where that isn't known to the reader."""

    who: str
    levels: tuple[int | None, ...]
    own: bool = False

    @property
    def known(self) -> list[tuple[str, int]]:
        return [(STAGE_NAMES[stage], level) for stage, level in zip(STAGES, self.levels, strict=True) if level is not None]


@dataclass(frozen=True, slots=True)
class Skill:
    slug: str
    name: str
    chosen: int | None
    """What the reader said at this stage."""
    lines: tuple[Line, ...] = ()
    apart: bool = False
    """It is something to talk about."""


@dataclass(frozen=True, slots=True)
class Part:
    """The reader's part of the page about one person."""

    person: UUID
    whose: str
    stage: str
    skills: tuple[Skill, ...]
    said: bool
    waits: bool
    """The reader has said; the others' answers are shown once they have too."""


def looked_at(seen: Seen, person: UUID) -> tuple[str, ...]:
    """The skills of someone that the page asks about."""
    named = [skill for goal in seen.goals if goal.person_id == person and goal.dropped_at is None for skill in goal.skills]
    known = seen.people.get(person)
    return skills.looked_at(named, known.wanted if known else ())


def part(seen: Seen, person: UUID, known: Mapping[UUID, Assessment]) -> Part:
    relationship, me = seen.relationship, seen.person

    def of(by: UUID, stage: Stage) -> Assessment | None:
        return known.get(skills.check_in_id(relationship.id, person, by, stage))

    everyone = skills.assessors(relationship, person)
    stage = skills.stage_of(relationship, person, me, known.get)
    mine = of(me, stage)
    # one who mentors sees their own answers and the mentee's; the mentee those of all
    shown = everyone if me == person else (person, me)

    def line(skill: str, by: UUID) -> Line:
        levels: list[int | None] = []
        for s in STAGES:
            one, own = of(by, s), of(me, s)
            both = one is not None and own is not None and own.said_at is not None
            levels.append(one.level(skill) if one is not None and (by == me or both) else None)
        return Line("You" if by == me else seen.words.who_is(by), tuple(levels), by == me)

    def skill(slug: str) -> Skill:
        lines = tuple(line(slug, by) for by in shown)
        now = [one.levels[STAGES.index(stage)] for one in lines]
        said = [level for level in now if level is not None]
        return Skill(
            slug,
            plain(slug),
            mine.level(slug) if mine else None,
            lines,
            max(said, default=0) - min(said, default=0) >= skills.APART,
        )

    others = [by for by in shown if by != me]
    said = mine is not None and mine.said_at is not None
    waits = said and not any((one := of(by, stage)) is not None and one.said_at is not None for by in others)
    whose = "Your skills" if me == person else f"{seen.words.name(person) or seen.words.who_is(person)}’s skills"
    return Part(person, whose, STAGE_NAMES[stage], tuple(map(skill, looked_at(seen, person))), said, waits and bool(others))


def skills_page(
    service: Service, link: Link, seen: Seen, known: Sequence[Assessment], error: str = "", sent: Sent | None = None
) -> Response:
    relationship = seen.relationship
    by_id = {one.id: one for one in known}
    people = [person for person in skills.assessed(relationship) if seen.person in skills.assessors(relationship, person)]
    parts = [part(seen, person, by_id) for person in people]
    return page(
        "skills.html",
        seen,
        error=error,
        sent=sent or Sent(),
        can=stands(seen.version, relationship) and entries.may_write(relationship, seen.now),
        parts=[one for one in parts if one.skills],
        anchors=list(ANCHORS.items()),
        goals=way(service, link, seen, "goals"),
        places=list(zip(STAGE_NAMES.values(), (50, 160, 270), strict=True)),
    )


def decided(
    link: Link, person: UUID, levels: Mapping[str, int], relationship: Relationship, _: Meeting | None, context: Context
) -> Outcome:
    """What is said, unless whoever follows the link was erased."""
    writer = context.get(Person, link.person)
    if writer is None or writer.erased:
        raise web.nowhere()
    return skills.say(relationship, person, link.person, levels, context)


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def look(link: Link, error: str = "", sent: Sent | None = None) -> Response:
        seen = await see(service, link, with_goals=True)
        async with service.database.transaction() as connection:
            known = await store.assessments_of(connection, seen.relationship.id)
        return skills_page(service, link, seen, known, error, sent)

    @router.api_route("/skills/{thing}", methods=web.SHOW)
    async def see_skills(link: SkillsLink) -> Response:
        return await look(link)

    @router.post("/skills/{thing}")
    async def say(request: Request, link: SkillsLink, sent: Annotated[Sent, Depends()]) -> Response:
        seen = await see(service, link, with_goals=True)
        person = sent.about
        levels = sent.levels(looked_at(seen, person)) if person else None
        if person is None or levels is None:
            return await look(link, "Please choose a level of at least one skill.", sent)
        reads: dict[type, list[UUID]] = {Assessment: skills.check_ins(seen.relationship, [person]), Person: [link.person]}
        return await decide(service, request, link, partial(decided, link, person, levels), reads, seen)

    return router
