"""Matching's HTTP: match runs, what they found, and the answers to proposals."""

import hashlib
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

from services.matching import store
from services.matching.domain.model import (
    Against,
    Asked,
    AuditedGroup,
    Person,
    Program,
    Relationship,
    RelationshipStatus,
    Rolling,
    Run,
    RunStatus,
)
from services.matching.domain.proposals import approve, reject
from services.matching.domain.runs import Request, request_run
from shared import web
from shared.database import Connection
from shared.decisions import Action
from shared.errors import Rejected
from shared.events import Audited, Format, Member, Reason, RejectionReason, Role, Roster, WaitlistReason
from shared.service import Service

MOST_ROWS = 1000
COME_TO = tuple(status for status in RelationshipStatus if status not in {RelationshipStatus.planned, RelationshipStatus.dropped})
"""What has become of those that a run found, once it has come to them and they still held."""

IdempotencyKey = Annotated[
    str | None, Header(max_length=200, description="The same key and body within 30 days give the same run.")
]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]


class RosterBody(Roster):
    """How far people must be known: one program's entry of `rosters` in the gateway's answer to what was posted."""

    model_config = ConfigDict(extra="forbid")


class RunBody(BaseModel):
    """A match run to make."""

    model_config = ConfigDict(extra="forbid")

    after: RosterBody | None = None
    """Match when what you sent has arrived: the program's entry of `rosters` in the gateway's answer. At once where left out."""


class RunAccepted(BaseModel):
    """A run was accepted, or one that still waits was joined."""

    run_id: UUID
    program: str
    status: RunStatus


class Progress(BaseModel):
    """How far the run has come with what it found."""

    planned: int
    applied: int
    share: float = Field(description="0 to 1")


class HelpShown(BaseModel):
    """What one place more of a mentor would have brought."""

    mentor_id: UUID
    people: int = Field(description="More with a partner")
    pairs: int
    score: int = Field(description="The change; 1.0 is 1,000,000")


class RunShown(BaseModel):
    """A run as it stands."""

    run_id: UUID
    program: str
    status: RunStatus
    round: int
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    after: Roster | None
    roster: Roster | None = Field(description="What is known now, while the run waits")
    progress: Progress
    people: int
    pairs: int = Field(description="Begun, groups and circles too")
    groups: int = Field(description="Of them those with three or more people")
    proposed: int = Field(description="Waiting for approval")
    waitlisted: dict[WaitlistReason, int]
    score_total: int = Field(description="1.0 is 1,000,000")
    gap: int = Field(description="By how much a better plan could at most exceed score_total; 0: none exists")
    seconds: float
    solver_seconds: float
    helps: list[HelpShown] = Field(
        description="Whose one place more would help most, the best first; empty where nobody is left over"
    )
    trace_id: str
    problem: str | None


class GroupShown(BaseModel):
    """People of one role who say the same of one attribute. Fewer than five are never told of."""

    role: Role
    attribute: Audited
    value: str = Field(description="Empty for those who didn't say, and where groups were merged")
    merged: int = Field(description="How many groups this one was made of, since some were small; 1 is a group of its own")
    people: int = Field(description="Who came to the run without a partner, with a place free")
    matched: int
    rate: float
    rate_interval: tuple[float, float] = Field(description="Wilson's, 95 %")
    mean_score: int | None = Field(description="Of those matched; 1.0 is 1,000,000")
    mean_score_interval: tuple[int, int] | None = Field(description="Student's, 95 %; none for one person alone")


class FairnessShown(BaseModel):
    """Who found a partner in a run, by each attribute that the program audits."""

    run_id: UUID
    groups: list[GroupShown] = Field(description="By role and attribute, the largest first; empty until the run is finished")


class PairShown(BaseModel):
    """A match of a run."""

    relationship_id: UUID
    status: RelationshipStatus
    format: Format
    members: tuple[Member, ...]
    score: int
    reasons: tuple[Reason, ...]
    proposed_score: int | None = Field(description="With which it was proposed, where it was scored anew since")
    against: Against | None = Field(description="Why a proposal was withdrawn, where nobody rejected it")


class PairsShown(BaseModel):
    """A page of matches; `next` is the `after` of the page that follows."""

    pairs: list[PairShown]
    next: UUID | None


class WaitlistedShown(BaseModel):
    """Someone whom a run left without a partner."""

    person_id: UUID
    organization: str
    role: Role
    reason: WaitlistReason
    missing: tuple[str, ...]
    mentors_that_would_help: int | None


class WaitlistShown(BaseModel):
    """A page of those who wait."""

    waitlist: list[WaitlistedShown]
    next: UUID | None


class RejectBody(BaseModel):
    """Why a proposed match shall not come about."""

    model_config = ConfigDict(extra="forbid")

    reason: RejectionReason = RejectionReason.not_suitable


class Answered(BaseModel):
    """A proposal after its answer."""

    relationship_id: UUID
    status: RelationshipStatus


def may(caller: web.Caller, *rights: str) -> None:
    """Raises Rejected where the key has none of these rights."""
    if not caller.rights.intersection(rights):
        raise Rejected("forbidden", f"This key lacks the right: {' or '.join(rights)}.", status=403)


def program_id(named: str, caller: web.Caller) -> str:
    """The caller's own program by its slug, any by its whole id."""
    return named if "." in named else f"{caller.organization}.{named}"


def shown_run(
    run: Run, states: dict[str, int], waiting: dict[tuple[str, str], int], after: Roster | None, known: Roster | None
) -> RunShown:
    """A run as the API shows it. `states`: how many of its relationships are in which; `waiting`: how many wait, by role and reason."""
    reasons: Counter[WaitlistReason] = Counter()
    for (_, reason), count in waiting.items():
        reasons[WaitlistReason(reason)] += count
    planned = sum(states.values())
    applied = planned - states.get("planned", 0)
    over = run.status is RunStatus.finished
    return RunShown(
        run_id=run.id,
        program=run.program,
        status=run.status,
        round=run.round,
        requested_at=run.requested_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        after=after,
        roster=known,
        progress=Progress(planned=planned, applied=applied, share=1.0 if over else applied / planned if planned else 0.0),
        people=run.people,
        pairs=states.get("active", 0) + states.get("ended", 0),
        groups=run.groups,
        proposed=states.get("proposed", 0),
        waitlisted=dict(reasons.most_common()),
        score_total=run.score_total if over else run.planned_score,
        gap=run.gap,
        seconds=run.seconds,
        solver_seconds=run.solver_seconds,
        helps=[HelpShown(mentor_id=h.mentor, people=h.people, pairs=h.pairs, score=h.score) for h in run.helps],
        trace_id=run.traceparent[3:35],
        problem=run.problem,
    )


def shown_group(group: AuditedGroup) -> GroupShown:
    """In whole points."""
    mean, interval = group.mean_score, group.mean_score_interval
    points = {
        "mean_score": None if mean is None else round(mean),
        "mean_score_interval": None if interval is None else tuple(map(round, interval)),
    }
    return GroupShown.model_validate(asdict(group) | points)


def run_action(caller: web.Caller, program: str, after: Roster | None, traceparent: str, key: str = "", body: str = "") -> Action:
    """A run is asked for; answers its id. `key`: what is asked again by it gets the same run."""
    asked = hashlib.sha256(f"{caller.organization}\n{program}\n{key}".encode()).hexdigest() if key else ""
    wish = Request(program, caller.organization, caller.key_id, after, traceparent, asked, body)
    reads: dict[type, Any] = {Asked: (asked,)} if asked else {}
    return Action(Program, program, partial(request_run, wish), caller.organization, program, traceparent, reads)


def answer_action(found: Relationship, do: Any, traceparent: str) -> Action:
    """A proposal is approved or rejected, as `do` says; answers its status."""
    return Action(
        Relationship,
        found.id,
        do,
        organization=found.organization,
        program=found.program,
        traceparent=traceparent,
        reads={Program: (found.program,), Rolling: (found.program,), Person: [member.person_id for member in found.members]},
    )


async def run_of(connection: Connection, run_id: UUID) -> Run:
    """Raises Rejected where there is none that this organization may see."""
    run = await store.run_of(connection, run_id)
    if run is None:
        raise Rejected("not_found", "There is no such match run.", status=404)
    return run


def runs(service: Service) -> APIRouter:
    """Match runs and what they found."""
    router = APIRouter(tags=["matching"])
    work, database = service.work, service.database

    @router.post("/v1/programs/{program}/match-runs", status_code=202)
    async def request(
        program: str,
        caller: web.Partner,
        http: HttpRequest,
        response: Response,
        body: RunBody | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> RunAccepted:
        """Match a program of yours. A run that still waits is joined; one that works is followed by another."""
        may(caller, "coordinate")
        named, body = program_id(program, caller), body or RunBody()
        after = None if body.after is None else Roster(people=body.after.people, revisions=body.after.revisions)
        run_id: UUID = await work.act(
            run_action(caller, named, after, web.traceparent_of(http), idempotency_key or "", body.model_dump_json())
        )
        async with database.tenant(caller.organization) as connection:
            run = await store.run_of(connection, run_id)
        response.headers["Location"] = f"/v1/match-runs/{run_id}"
        return RunAccepted(run_id=run_id, program=named, status=run.status if run else RunStatus.waiting_for_roster)

    @router.get("/v1/match-runs/{run_id}")
    async def show(run_id: UUID, caller: web.Partner) -> RunShown:
        """How a run stands, and what it came to."""
        may(caller, "read", "coordinate")
        async with database.tenant(caller.organization) as connection:
            run = await run_of(connection, run_id)
            states = (await store.states_of(connection, [run_id]))[run_id]
            waiting = (await store.waiting_of(connection, [run_id]))[run_id]
            waits = run.status is RunStatus.waiting_for_roster
            after = await store.waits_for(connection, run_id) if waits else run.after
            known = await store.roster(connection, run.program) if waits else None
        return shown_run(run, states, waiting, after, known)

    @router.get("/v1/match-runs/{run_id}/fairness")
    async def fairness(run_id: UUID, caller: web.Partner) -> FairnessShown:
        """Who found a partner, and with what score, by what the program's policy names in `audit`."""
        may(caller, "read", "coordinate")
        async with database.tenant(caller.organization) as connection:
            run = await run_of(connection, run_id)
        return FairnessShown(run_id=run_id, groups=[shown_group(group) for group in run.fairness])

    @router.get("/v1/match-runs/{run_id}/pairs")
    async def pairs(run_id: UUID, caller: web.Partner, after: UUID | None = None, limit: Limit = 100) -> PairsShown:
        """The pairs and proposals of a run, with their scores and reasons."""
        may(caller, "read", "coordinate")
        async with database.tenant(caller.organization) as connection:
            await run_of(connection, run_id)
            rows = await store.pairs_that_are(connection, run_id, COME_TO, after, limit)
        shown = [
            PairShown(
                relationship_id=r.id,
                status=r.status,
                format=r.format,
                members=r.members,
                score=r.score,
                reasons=r.reasons,
                proposed_score=r.proposed_score,
                against=r.against,
            )
            for r in rows
        ]
        return PairsShown(pairs=shown, next=rows[-1].id if len(rows) == limit else None)

    @router.get("/v1/match-runs/{run_id}/waitlist")
    async def waitlist(run_id: UUID, caller: web.Partner, after: UUID | None = None, limit: Limit = 100) -> WaitlistShown:
        """Those whom a run left without a partner, and what keeps each from one."""
        may(caller, "read", "coordinate")
        async with database.tenant(caller.organization) as connection:
            await run_of(connection, run_id)
            rows = await store.waitlist_of(connection, run_id, after, limit)
        shown = [
            WaitlistedShown(
                person_id=w.person_id,
                organization=w.home,
                role=w.role,
                reason=w.reason,
                missing=w.missing,
                mentors_that_would_help=w.mentors_that_would_help,
            )
            for w in rows
        ]
        return WaitlistShown(waitlist=shown, next=rows[-1].id if len(rows) == limit else None)

    return router


def proposals(service: Service) -> APIRouter:
    """Answers to what a run proposed."""
    router = APIRouter(tags=["matching"])
    work, database = service.work, service.database

    async def answer(relationship_id: UUID, caller: web.Caller, http: HttpRequest, do: Any) -> Answered:
        may(caller, "coordinate")
        async with database.tenant(caller.organization) as connection:
            found = await store.relationship_of(connection, relationship_id)
        hidden = (RelationshipStatus.planned, RelationshipStatus.dropped)
        if found is None or found.organization != caller.organization or found.status in hidden:
            raise Rejected("not_found", "There is no such proposal.", status=404)
        status = await work.act(answer_action(found, do, web.traceparent_of(http)))
        return Answered(relationship_id=relationship_id, status=status)

    @router.post("/v1/relationships/{relationship_id}/approve")
    async def approved(relationship_id: UUID, caller: web.Partner, http: HttpRequest) -> Answered:
        """The proposed match shall begin. Again: the same answer. While it is scored anew, it is refused as `scored_anew`."""
        return await answer(relationship_id, caller, http, partial(approve, caller.key_id))

    @router.post("/v1/relationships/{relationship_id}/reject")
    async def rejected(relationship_id: UUID, caller: web.Partner, http: HttpRequest, body: RejectBody | None = None) -> Answered:
        """The proposed match shall not come about; both are free for others. One that was withdrawn is refused as `no_longer_holds`."""
        reason = (body or RejectBody()).reason
        return await answer(relationship_id, caller, http, partial(reject, reason, caller.key_id))

    return router
