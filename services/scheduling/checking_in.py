"""The page behind the link `check-in`: all that is asked of one member just now, answered at once, and anew until it lapses.

GET and HEAD show and change nothing. Who says that it isn't a fit may end it there, or talk first.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.asking import APPLIES, DOUBTS, FITS, QUALITIES, SCALES, SCORES
from services.scheduling.clicks import Seen, decide, page, see, way
from services.scheduling.domain import answering
from services.scheduling.domain.answering import STATEMENTS, Given
from services.scheduling.domain.check_ins import ABOUT_ONESELF, ON_OTHERS, CheckIn
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Meeting, Person, Relationship
from services.scheduling.wording import GOAL_KINDS
from shared import web
from shared.decisions import Context, Outcome
from shared.events import CheckInKind, Fit, GoalKind
from shared.links import Link
from shared.service import Service

CheckInLink = Annotated[Link, Depends(web.link_of("check-in"))]
STRENGTH, WISH = "strength", "wish"


@dataclass(frozen=True, slots=True)
class Form:
    """The page as it was filled in, or a button at its end."""

    do: web.Text = ""
    rematch: web.Text = ""
    fit: web.Text = ""
    score: web.Text = ""
    first_goal: web.Text = ""
    differs: web.Text = ""
    communication: web.Text = ""
    empathy: web.Text = ""
    expertise: web.Text = ""
    patience: web.Text = ""
    availability: web.Text = ""
    willingness_to_learn: web.Text = ""
    commitment: web.Text = ""
    preparation: web.Text = ""
    confidence_1: web.Text = ""
    confidence_2: web.Text = ""
    confidence_3: web.Text = ""
    belonging_1: web.Text = ""
    belonging_2: web.Text = ""
    belonging_3: web.Text = ""

    def said(self, name: str) -> str:
        text: str = getattr(self, name)
        return text

    def scale(self, kind: CheckInKind) -> list[str]:
        return [said for n in range(STATEMENTS) if (said := self.said(f"{kind}_{n + 1}"))]

    def wrong(self, asked: Sequence[CheckIn]) -> str:
        """What is to be mended before it can be taken."""
        kinds = {one.kind for one in asked}
        offered = ((self.fit, FITS), (self.score, SCORES), (self.first_goal, GOAL_KINDS))
        chosen = [said for kind in ABOUT_ONESELF for said in self.scale(kind)]
        tags = [self.said(name) for name in QUALITIES]
        if any(said and said not in choices for said, choices in offered) or any(said not in APPLIES for said in chosen):
            return "Please choose one of the answers."
        if any(said not in {"", STRENGTH, WISH} for said in tags):
            return "Please choose one of the answers."
        for kind in ABOUT_ONESELF:
            if kind in kinds and 0 < len(self.scale(kind)) < STATEMENTS:
                return f"Please answer all of “{SCALES[kind][0]}”, or none of it."
        answered = {
            *({CheckInKind.fit} if self.fit else ()),
            *({CheckInKind.quality} if self.score else ()),
            *(kind for kind in ABOUT_ONESELF if self.scale(kind)),
        }
        return "" if answered & kinds else "Please choose an answer."

    def given(self) -> Given:
        """The answers of a form without fault."""
        return Given(
            Fit(self.fit) if self.fit else None,
            int(self.score) if self.score else None,
            tuple(name for name in QUALITIES if self.said(name) == STRENGTH),
            tuple(name for name in QUALITIES if self.said(name) == WISH),
            GoalKind(self.first_goal) if self.first_goal else None,
            self.differs == "yes",
            {kind: tuple(map(int, self.scale(kind))) for kind in ABOUT_ONESELF if self.scale(kind)},
        )


def form_of(asked: Sequence[CheckIn], goals: Sequence[Goal]) -> Form:
    """What was answered before, as the page shows it; what comes first to a mentee is what they set first."""
    filled: dict[str, str] = {}
    for one in asked:
        if one.fit:
            filled["fit"] = one.fit.value
        if one.kind is CheckInKind.quality and one.score:
            filled["score"] = str(one.score)
        filled |= {tag.partition(":")[2]: tag.partition(":")[0] for tag in one.tags}
        filled |= {f"{one.kind}_{n}": str(said) for n, said in enumerate(one.answers, 1)}
        if one.first_goal:
            filled["first_goal"] = one.first_goal.value
        if one.differs:
            filled["differs"] = "yes"
    mine = next((goal.kind.value for goal in goals if asked and goal.person_id == asked[0].person_id), "")
    return Form(**({"first_goal": mine} | filled))


def check_in_page(
    service: Service, link: Link, seen: Seen, known: Sequence[CheckIn], error: str = "", typed: Form | None = None
) -> Response:
    relationship = seen.relationship
    mine = [one for one in known if one.person_id == seen.person]
    asked = [] if relationship.ended_at is not None else newest(one for one in mine if one.is_open(seen.now))
    kinds = {one.kind for one in asked}
    fit = fit_of(mine)
    said = fit.fit if fit else None
    typed = typed or form_of(asked, seen.goals)
    more: dict[str, Any] = {
        "asked": asked,
        "kinds": kinds,
        "of_both": bool(kinds & {*ON_OTHERS}),
        "typed": typed,
        "tagged": any(typed.said(name) for name in QUALITIES),
        "answered": bool(asked) and all(one.answered_at for one in asked),
        "some": any(one.answered_at for one in asked),
        "until": min((one.due_at for one in asked), default=None),
        "fits": FITS.items(),
        "scores": SCORES.items(),
        "qualities": [(code, QUALITIES[code]) for code in answering.qualities(relationship, seen.person)],
        "tags": (("", "Nothing in particular"), (STRENGTH, "A strength"), (WISH, "I wish for more of it")),
        "growth": GOAL_KINDS.items(),
        "mentors": answering.qualities(relationship, seen.person) == answering.OF_MENTEES,
        "scales": [(kind.value, *SCALES[kind]) for kind in ABOUT_ONESELF if kind in kinds],
        "applies": APPLIES.items(),
        "doubt": DOUBTS.get(said) if said and relationship.ended_at is None else None,
        "may_end": answering.may_end(relationship, said),
        "edit": way(service, link, seen, "edit"),
        "concern": way(service, link, seen, "concern"),
    }
    return page("check_in.html", seen, error=error, **more)


def newest(asked: Any) -> list[CheckIn]:
    """Of each kind the one that was asked last."""
    return list({one.kind: one for one in asked}.values())


def fit_of(mine: Sequence[CheckIn]) -> CheckIn | None:
    return next((one for one in reversed(mine) if one.fit is not None), None)


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def read(link: Link) -> tuple[Seen, list[CheckIn]]:
        seen = await see(service, link, with_goals=True)
        async with service.database.transaction() as connection:
            return seen, await store.check_ins_of(connection, seen.relationship.id)

    @router.api_route("/check-in/{thing}", methods=web.SHOW)
    async def look(link: CheckInLink) -> Response:
        seen, known = await read(link)
        return check_in_page(service, link, seen, known)

    @router.post("/check-in/{thing}")
    async def answer(request: Request, link: CheckInLink, typed: Annotated[Form, Depends()]) -> Response:
        seen, known = await read(link)
        mine = [one for one in known if one.person_id == link.person]
        fit, asked = fit_of(mine), newest(one for one in mine if one.is_open(seen.now))
        if typed.do != "end":
            if not asked or seen.relationship.ended_at is not None:
                return web.seen(f"?{request.url.query}")
            if fault := typed.wrong(asked):
                return check_in_page(service, link, seen, known, fault, typed)

        def decided(relationship: Relationship, meeting: Meeting | None, context: Context) -> Outcome:
            person = context.get(Person, link.person)
            if person is None or person.erased:
                raise web.nowhere()
            if typed.do == "end":
                said = context.get(CheckIn, fit.id) if fit else None
                rematch = typed.rematch == "yes"
                return answering.end_kindly(relationship, meeting, said, link.person, context, rematch=rematch)
            keys = [*(one.id for one in known if one.person_id != link.person), *(one.id for one in asked)]
            goals = [goal.id for goal in seen.goals]
            return answering.answer(relationship, link.person, typed.given(), keys, goals, context)

        reads: dict[type, list[Any]] = {
            CheckIn: [one.id for one in known],
            Goal: [goal.id for goal in seen.goals],
            Person: [link.person],
        }
        return await decide(service, request, link, decided, reads, seen)

    return router
