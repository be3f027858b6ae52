"""Coordinators' pages: their programs, the runs of each, what a run proposes and why, who waits and why.

Signed in by an access key that may coordinate. GET shows, and sees what row-level security shows to the key's organization; POST decides by the
same functions as the API does, and leads to the page that shows how things stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from services.matching import store, wording
from services.matching.api import answer_action, run_action, run_of, shown_group
from services.matching.domain.joining import without_seats
from services.matching.domain.model import Person, Program, Relationship, RelationshipStatus, Run, RunStatus
from services.matching.domain.proposals import approve, out_of_date, reject
from shared import sessions, web
from shared.cloudevents import new_id
from shared.database import Connection
from shared.errors import Rejected
from shared.events import Format, RejectionReason, Right, Role, WaitlistReason
from shared.service import Service
from shared.sessions import SignedIn
from shared.words import plain

PAGES = Path(__file__).parent / "pages"
HOME = "/coordinate"
SIGN_IN = f"{HOME}/sign-in"
EACH = 20
"""Pairs, people or runs on a page."""
TRIES = "20/minute"
"""To sign in from one address, of one copy."""
VIEWS: Mapping[str, tuple[str, tuple[RelationshipStatus, ...]]] = {
    "proposed": ("To decide", (RelationshipStatus.proposed,)),
    "begun": ("Begun", (RelationshipStatus.active, RelationshipStatus.ended)),
    "rejected": ("Rejected or withdrawn", (RelationshipStatus.rejected,)),
}

Who = Annotated[SignedIn, Depends(sessions.signed_in(Right.coordinate, SIGN_IN))]


def show(name: str, who: SignedIn, **values: Any) -> Response:
    return web.page(PAGES, name, token=who.token, organization=who.caller.organization.capitalize(), **values)


# ---- sign in and out ---------------------------------------------------------------------------------------------------


def sign_in_page(error: str = "") -> Response:
    return web.page(PAGES, "coordinate_sign_in.html", status=422 if error else 200, error=error)


def signing(router: APIRouter, service: Service) -> None:
    hit = web.limiter(TRIES, "tries to sign in")

    @router.api_route(SIGN_IN, methods=web.SHOW)
    async def sign_in() -> Response:
        return sign_in_page()

    @router.post(SIGN_IN)
    async def signed_in(http: HttpRequest, key: Annotated[str, Form(max_length=200)] = "") -> Response:
        sessions.check_origin(http)
        hit(http.client.host if http.client else "")
        if not service.settings.link_secret:
            raise Rejected("no_sessions", "This platform has no secret to sign with, so nobody can sign in.", status=403)
        caller = await web.caller_of(service, key.strip())
        if caller is None:
            return sign_in_page("This isn’t a key that holds. Copy it again, in one piece: it begins with ith_.")
        if Right.coordinate not in caller.rights:
            return sign_in_page("This key holds but may not coordinate. Ask for one with the right “coordinate”.")
        response = web.seen(HOME)
        sessions.begin(service, caller, response, HOME)
        return response

    @router.post(f"{HOME}/sign-out")
    async def sign_out(who: Who, token: web.Text = "") -> Response:
        who.check(token)
        response = web.seen(SIGN_IN)
        sessions.end(service, response, HOME)
        return response


# ---- programs and their runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list, in words."""

    id: UUID
    asked: str
    by_itself: bool
    stands: str
    status: RunStatus
    counts: str
    certainty: str


def run_line(run: Run, states: Mapping[str, int], waiting: Mapping[tuple[str, str], int]) -> RunLine:
    """`states`: how many of its relationships are in which; `waiting`: how many it left, by role and reason."""
    over = run.status is RunStatus.finished
    score = run.score_total if over else run.planned_score
    counts = [
        f"{states.get('proposed', 0):,} to decide",
        f"{states.get('active', 0) + states.get('ended', 0):,} begun",
        f"{sum(waiting.values()):,} waiting",
    ]
    return RunLine(
        id=run.id,
        asked=wording.moment(run.requested_at),
        by_itself=not run.requested_by,
        stands=wording.run_stands(run),
        status=run.status,
        counts=" · ".join([*counts, f"score {wording.score(score)}"]) if any(states.values()) or over else "",
        certainty=wording.certainty(run),
    )


def programs(router: APIRouter, service: Service) -> None:
    database, work = service.database, service.work

    async def owned(connection: Connection, program: str) -> Program:
        found = await store.program_of(connection, program)
        if found is None:
            raise web.nowhere()
        return found

    @router.api_route(HOME, methods=web.SHOW)
    async def all_programs(who: Who) -> Response:
        async with database.tenant(who.caller.organization) as connection:
            found = await store.programs_shown(connection)
        return show("coordinate_programs.html", who, programs=[(p.id, wording.program_name(p), p.closed) for p in found])

    @router.api_route(f"{HOME}/programs/{{program}}", methods=web.SHOW)
    async def program_runs(who: Who, program: str, before: UUID | None = None) -> Response:
        async with database.tenant(who.caller.organization) as connection:
            at = await owned(connection, program)
            runs = await store.runs_of(connection, program, before, EACH)
            states = await store.states_of(connection, [run.id for run in runs])
            waiting = await store.waiting_of(connection, [run.id for run in runs])
        return show(
            "coordinate_program.html",
            who,
            program=at,
            called=wording.program_name(at),
            scheduling=service.urls.get("scheduling", ""),
            analytics=service.urls.get("analytics", ""),
            runs=[run_line(run, states[run.id], waiting[run.id]) for run in runs],
            older=runs[-1].id if len(runs) == EACH else None,
            newest=before is None,
            once=new_id().hex,
        )

    @router.post(f"{HOME}/programs/{{program}}")
    async def start(http: HttpRequest, who: Who, program: str, token: web.Text = "", once: web.Text = "") -> Response:
        """Sent twice, a form starts one run."""
        who.check(token)
        async with database.tenant(who.caller.organization) as connection:
            await owned(connection, program)
        run_id = await work.act(run_action(who.caller, program, None, web.traceparent_of(http), f"page {once}" if once else ""))
        return web.seen(f"{HOME}/runs/{run_id}")


# ---- a run -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PairLine:
    """A pair, a circle, or a proposal of one, in words."""

    id: UUID
    called: str
    """`n01 with k03`, `n01 with k03, to talk once`, `n01, n02 and n04`"""
    status: RelationshipStatus
    stands: str
    members: list[tuple[str, wording.Shown]]
    """Each by their role, the mentor last."""
    score: str
    reasons: list[str]
    scored_anew: str
    out_of_date: bool
    """Someone in it has just changed, so that it can't be approved until it is scored anew."""
    has_seats: bool
    """It is under way, and one more may join."""


def pair_line(pair: Relationship, people: Mapping[UUID, Person], program: Program | None) -> PairLine:
    shown = [(m.role, wording.shown(people.get(m.person_id), m.role)) for m in pair.members]
    members = [(role.value.capitalize(), who) for role, who in sorted(shown, key=lambda s: (s[0] is Role.mentor, s[1].name))]
    names = [who.name for _, who in members]
    known = [people[member.person_id] for member in pair.members if member.person_id in people]
    called = " with ".join(names) if len(names) == 2 else f"{', '.join(names[:-1])} and {names[-1]}"
    return PairLine(
        id=pair.id,
        called=f"{called}, to talk once" if pair.format is Format.conversation else called,
        status=pair.status,
        stands=wording.pair_stands(pair),
        members=members,
        score=wording.score(pair.score, peers=wording.are_peers(pair)),
        reasons=wording.why_together(pair),
        scored_anew=wording.scored_anew(pair),
        out_of_date=program is not None and out_of_date(pair, known, program),
        has_seats=program is not None and not without_seats(pair, program),
    )


def runs(router: APIRouter, service: Service) -> None:
    database = service.database

    @router.api_route(f"{HOME}/runs/{{run_id}}", methods=web.SHOW)
    async def one_run(
        who: Who,
        run_id: UUID,
        view: str = "",
        after: UUID | None = None,
        approved: Annotated[int, Query(ge=0, le=EACH)] = 0,
        rejected: Annotated[int, Query(ge=0, le=EACH)] = 0,
        gone: Annotated[int, Query(ge=0, le=EACH)] = 0,
    ) -> Response:
        async with database.tenant(who.caller.organization) as connection:
            run = await run_of(connection, run_id)
            program = await store.program_of(connection, run.program)
            states = (await store.states_of(connection, [run_id]))[run_id]
            counts = {name: sum(states.get(status, 0) for status in statuses) for name, (_, statuses) in VIEWS.items()}
            if view not in VIEWS:
                view = "proposed" if counts["proposed"] else "begun"
            waiting = (await store.waiting_of(connection, [run_id]))[run_id]
            pairs = await store.pairs_that_are(connection, run_id, VIEWS[view][1], after, EACH)
            named = [member.person_id for pair in pairs for member in pair.members]
            people = await store.people_shown(connection, [*named, *(help_.mentor for help_ in run.helps)])
        return show(
            "coordinate_run.html",
            who,
            run=run_line(run, states, waiting),
            program=run.program,
            called=wording.program_name(program) if program else "",
            view=view,
            views=[(name, label, counts[name]) for name, (label, _) in VIEWS.items()],
            pairs=[pair_line(pair, people, program) for pair in pairs],
            following=pairs[-1].id if len(pairs) == EACH else None,
            after=after,
            waiting=[(count, role, wording.waits(Role(role), WaitlistReason(why))) for (role, why), count in waiting.items()],
            helps=[(wording.shown(people.get(help_.mentor), Role.mentor), wording.gain(help_)) for help_ in run.helps],
            audited=bool(run.fairness),
            rejections=[(reason.value, label) for reason, label in wording.REJECTIONS.items()],
            told=(approved, rejected, gone),
            many=wording.many,
        )

    @router.post(f"{HOME}/runs/{{run_id}}")
    async def decide(
        http: HttpRequest,
        who: Who,
        run_id: UUID,
        pair: Annotated[list[UUID], Form(max_length=EACH)],
        do: web.Text = "",
        token: web.Text = "",
        reason: web.Text = "",
    ) -> Response:
        """Approve or reject proposals of this run. What was decided meanwhile stays as it is, and is counted as gone."""
        who.check(token)
        if do not in {"approve", "reject"}:
            raise Rejected("unknown_action", "Use one of the buttons.")
        if do == "reject" and reason not in {code.value for code in wording.REJECTIONS}:
            raise Rejected("no_reason", "Choose why they shall not meet: it stays with the match.")
        async with database.tenant(who.caller.organization) as connection:
            await run_of(connection, run_id)
            found = await store.relationships_called(connection, run_id, pair)
        decision = partial(approve, who.caller.key_id)
        if do == "reject":
            decision = partial(reject, RejectionReason(reason), who.caller.key_id)
        proposed = [one for one in found if one.status is not RelationshipStatus.planned]
        outcomes = await service.work.act_all([answer_action(one, decision, web.traceparent_of(http)) for one in proposed])
        done = sum(not isinstance(outcome, Exception) for outcome in outcomes)
        gone = len(set(pair)) - done
        kept = http.query_params.get("view", "")
        where = f"view={kept}&" if kept in VIEWS else ""
        return web.seen(f"?{where}{'approved' if do == 'approve' else 'rejected'}={done}&gone={gone}")

    @router.api_route(f"{HOME}/runs/{{run_id}}/waiting", methods=web.SHOW)
    async def waiting(who: Who, run_id: UUID, after: UUID | None = None) -> Response:
        async with database.tenant(who.caller.organization) as connection:
            run = await run_of(connection, run_id)
            program = await store.program_of(connection, run.program)
            rows = await store.waitlist_of(connection, run_id, after, EACH)
            people = await store.people_shown(connection, [row.person_id for row in rows])
        return show(
            "coordinate_waiting.html",
            who,
            run_id=run_id,
            called=wording.program_name(program) if program else "",
            people=[
                (
                    wording.shown(people.get(row.person_id), row.role),
                    row.role.value,
                    wording.waits(row.role, row.reason, row.missing),
                    wording.remedy(row.role, row.reason, row.mentors_that_would_help),
                )
                for row in rows
            ],
            following=rows[-1].id if len(rows) == EACH else None,
        )

    @router.api_route(f"{HOME}/runs/{{run_id}}/fairness", methods=web.SHOW)
    async def fairness(who: Who, run_id: UUID) -> Response:
        async with database.tenant(who.caller.organization) as connection:
            run = await run_of(connection, run_id)
            program = await store.program_of(connection, run.program)
        return show(
            "coordinate_fairness.html",
            who,
            run_id=run_id,
            called=wording.program_name(program) if program else "",
            tables=fairness_tables([shown_group(group) for group in run.fairness]),
        )


def fairness_tables(groups: Sequence[Any]) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """A table for each role and attribute: group, people, share with a partner, mean score."""
    tables: dict[str, list[tuple[str, str, str, str]]] = {}
    for group in groups:
        name = wording.audited(group.attribute, group.value) if group.merged == 1 else "Others, in groups too small to tell of"
        low, high = group.rate_interval
        points = partial(wording.score, peers=group.role is Role.peer)
        score = "" if group.mean_score is None else points(group.mean_score)
        if group.mean_score_interval is not None:
            score += " ({} to {})".format(*map(points, group.mean_score_interval))
        share = f"{group.matched:,}: {group.rate:.0%} ({low:.0%} to {high:.0%})"
        title = f"{group.role.value.capitalize()}s by {plain(group.attribute.value)}"
        tables.setdefault(title, []).append((name, f"{group.people:,}", share, score))
    return list(tables.items())


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    signing(router, service)
    programs(router, service)
    runs(router, service)
    return router
