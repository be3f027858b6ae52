"""Takes the events of one request: looks up what they name, decides on all in one transaction, answers each."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry.trace import SpanKind

from services.gateway import store
from services.gateway.domain import Intake, Named, Person, Posted, Program, Relationship, take
from services.gateway.posted import Fault, Refused
from services.gateway.store import Found, Known, Questions
from shared.cloudevents import new_id
from shared.decisions import Action, Outcome
from shared.errors import PASSING, Rejected, TryLater
from shared.events import owner_of, partner

if TYPE_CHECKING:
    from shared.service import Service
    from shared.telemetry import Span

PATIENCE_SECONDS = 10.0
CONFLICT = Fault("id", "conflict", "another event was posted under this source and id: give this one an id of its own")


@dataclass(slots=True)
class Answer:
    """What became of one event of a request."""

    n: int
    id: str | None
    source: str | None
    status: str
    event: UUID | None = None
    person: UUID | None = None
    trace: str | None = None
    errors: tuple[Fault, ...] = ()

    def body(self) -> dict[str, Any]:
        said: dict[str, Any] = {"id": self.id, "source": self.source, "status": self.status}
        said |= {name: str(value) for name in ("event", "person", "trace") if (value := getattr(self, name)) is not None}
        if self.errors:
            said["errors"] = [{"field": e.field, "code": e.code, "detail": e.detail} for e in self.errors]
        return said

    @property
    def conflicts(self) -> bool:
        return self.errors == (CONFLICT,)


@dataclass(slots=True)
class Request:
    """A partner's events with the ids minted for them, which stay the same however often the decision is begun anew."""

    organization: str
    posted: list[Posted]
    batch: bool
    dry_run: bool
    traceparent: str
    ids: dict[int, UUID] = field(default_factory=dict)
    people: dict[str, UUID] = field(default_factory=dict)
    traces: dict[int, str] = field(default_factory=dict)

    def program(self, reference: str | None) -> str | None:
        """The whole id of a program that is named by its slug or its whole id."""
        return reference if reference is None or "." in reference else f"{self.organization}.{reference}"


async def take_all(
    service: "Service", organization: str, items: Sequence[Posted | Refused], *, batch: bool, dry_run: bool, traceparent: str
) -> tuple[list[Answer], dict[str, dict[str, int]]]:
    """The answers in order, and the rosters of the programs concerned after them.

    Raises ConnectionError where the database stays away: then nothing was changed, or the same request says what was.
    """
    posted = [item for item in items if isinstance(item, Posted)]
    request = Request(organization, posted, batch, dry_run, traceparent, ids={p.n: new_id() for p in posted})
    spans = _traces(service, request)
    until, delay = time.monotonic() + PATIENCE_SECONDS, 0.02
    while True:
        try:
            answers, programs = await _take_once(service, request)
            answers += [Answer(r.n, r.id, r.source, "rejected", errors=r.errors) for r in items if isinstance(r, Refused)]
            rosters = await _rosters(service, organization, programs)
            break
        except PASSING as error:
            if time.monotonic() + delay > until:
                raise ConnectionError("the database doesn't answer") from error
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - spreads attempts, guards nothing
            delay = min(delay * 2, 1.0)
    for span in spans:
        span.end()
    return sorted(answers, key=lambda a: a.n), rosters


def _traces(service: "Service", request: Request) -> "list[Span]":
    """A single event continues its request's trace; in a batch each begins its own, linked to the request."""
    spans = []
    for posted in request.posted:
        request.traces[posted.n] = request.traceparent
        if request.batch and not request.dry_run:
            kind = type(posted.said).TYPE
            attributes = {"ithaca.organization": request.organization, "messaging.message.id": str(request.ids[posted.n])}
            span, request.traces[posted.n] = service.telemetry.start(
                f"accept {kind[7:]}", SpanKind.PRODUCER, "", attributes, cause=request.traceparent
            )
            if span is not None:
                spans.append(span)
    return spans


async def _take_once(service: "Service", request: Request) -> tuple[list[Answer], set[str]]:
    known = await store.known(service.database, request.organization, questions(request))
    answers: list[Answer] = []
    first: dict[tuple[str, str], Posted] = {}
    again: list[Posted] = []
    for posted in request.posted:
        place = (posted.source, posted.id)
        if (intake := known.intakes.get(place)) is not None:
            answers.append(_remembered(posted, intake, request))
        elif place in first:
            again.append(posted)
        else:
            first[place] = posted
    actions = [_action(posted, named(posted.said, request, known), request, known) for posted in first.values()]
    outcomes = await _decide(service, actions, dry_run=request.dry_run)
    programs = {i.program for i in known.intakes.values() if i.program}
    decided: dict[tuple[str, str], Answer] = {}
    for (place, posted), outcome in zip(first.items(), outcomes, strict=True):
        decided[place] = _answer(posted, outcome, request)
        if isinstance(outcome, Outcome):
            programs.update(p.id for p in outcome.changed if isinstance(p, Program))
            programs.update([outcome.result.program] if outcome.result.program else [])
    answers += decided.values()
    answers += [_repeated(posted, first[posted.source, posted.id], decided[posted.source, posted.id]) for posted in again]
    return answers, programs


def _remembered(posted: Posted, intake: Intake, request: Request) -> Answer:
    """The first answer for the same event again; one that was stored by our own attempt before is that answer."""
    if intake.sha256 not in {posted.sha256, ""}:
        return Answer(posted.n, posted.id, posted.source, "rejected", errors=(CONFLICT,))
    status = "accepted" if intake.id == request.ids[posted.n] else "duplicate"
    return Answer(posted.n, posted.id, posted.source, status, intake.id, intake.person)


def _repeated(posted: Posted, first: Posted, answer: Answer) -> Answer:
    """The second of two events of one id in one request."""
    if posted.sha256 != first.sha256:
        return Answer(posted.n, posted.id, posted.source, "rejected", errors=(CONFLICT,))
    status = "duplicate" if answer.status == "accepted" else answer.status
    return Answer(posted.n, posted.id, posted.source, status, answer.event, answer.person, answer.trace, answer.errors)


def _answer(posted: Posted, outcome: Outcome | Exception, request: Request) -> Answer:
    if isinstance(outcome, Rejected):
        fault = Fault(outcome.field or "", outcome.code, outcome.text)
        return Answer(posted.n, posted.id, posted.source, "rejected", errors=(fault,))
    assert isinstance(outcome, Outcome)
    if request.dry_run:
        return Answer(posted.n, posted.id, posted.source, "accepted")
    intake: Intake = outcome.result
    trace = request.traces[posted.n][3:35] or None
    return Answer(posted.n, posted.id, posted.source, "accepted", intake.id, intake.person, trace)


# ---- from the partner's words to our ids -------------------------------------------------------------------------------


def questions(request: Request) -> Questions:
    """What must be looked up to understand the request's events."""
    asked = Questions()
    for posted in request.posted:
        said = posted.said
        asked.intakes.add((posted.source, posted.id))
        if (person := getattr(said, "person", None)) is not None:
            asked.people.add(person)
        program = request.program(getattr(said, "program", None))
        if program is not None and owner_of(program) != request.organization:
            asked.organizations.add(owner_of(program))
        if isinstance(said, partner.ProgramShared):
            asked.organizations.add(said.member)
        if isinstance(said, partner.ProgramLeft):
            asked.leaving.add(said.program)
        if isinstance(said, partner.MeetingReported):
            asked.meetings = True
            asked.people.update(said.people)
            asked.met.update(str(person) for name in said.people if (person := _uuid(name)) is not None)
    return asked


def named(said: partner.PartnerEvent, request: Request, known: Known) -> Named:
    """What one event names, in our ids. A person who is enrolled for the first time is given one."""
    program = request.program(getattr(said, "program", None))
    own_id = getattr(said, "person", None)
    person = _person(own_id, request, known, enrols=isinstance(said, partner.PersonEnrolled)) if own_id else None
    other = said.member if isinstance(said, partner.ProgramShared) else owner_of(program) if program else request.organization
    attended: tuple[UUID | None, ...] = ()
    if isinstance(said, partner.MeetingReported):
        attended = tuple(_person(name, request, known) or _uuid(name) for name in said.people)
    return Named(
        known.sender,
        program,
        person,
        attended,
        _relationship(program, attended, known) if attended and program else None,
        other == request.organization or other in known.organizations,
        tuple(found.id for found in known.leaving.get(program or "", ())),
    )


def _person(own_id: str, request: Request, known: Known, *, enrols: bool = False) -> UUID | None:
    if (found := known.people.get(own_id)) is not None:
        return found.id
    if enrols and own_id not in request.people:
        request.people[own_id] = new_id()
    return request.people.get(own_id)


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _relationship(program: str, attended: tuple[UUID | None, ...], known: Known) -> UUID | None:
    """The one of these people: one that goes on before one that ended, the smallest, the newest."""
    there = {str(person) for person in attended}
    fits = [r for r in known.relationships if r.program == program and there <= set(r.people)]
    best = min(fits, key=lambda r: (r.ended, len(r.people), -r.id.int), default=None)
    return best.id if best else None


def _action(posted: Posted, named: Named, request: Request, known: Known) -> Action:
    """The decision on one event, with all rows that it may concern."""
    leaving: list[Found] = known.leaving.get(named.program or "", []) if isinstance(posted.said, partner.ProgramLeft) else []
    own_id = getattr(posted.said, "person", None)
    found = known.people.get(own_id) if own_id else None
    programs = {p for person in (*leaving, *([found] if found else ())) for p in person.programs}
    return Action(
        Intake,
        request.ids[posted.n],
        lambda _, context: take(posted, named, context),
        organization=owner_of(named.program) if named.program else request.organization,
        program=named.program or "",
        traceparent=request.traces[posted.n],
        reads={
            Person: [p for p in (named.person, *named.leaving) if p is not None],
            Program: [*programs, *([named.program] if named.program else ())],
            Relationship: [named.relationship] if named.relationship else [],
        },
        id=request.ids[posted.n],
        time=posted.time,
        becomes=True,
    )


# ---- deciding ----------------------------------------------------------------------------------------------------------


async def _decide(service: "Service", actions: list[Action], *, dry_run: bool) -> Sequence[Outcome | Exception]:
    if not actions:
        return []
    if not dry_run:
        return await service.work.act_all(actions, seconds=0)  # what passes begins anew with what is then known
    answers: dict[int, Outcome | Exception] = {}
    with contextlib.suppress(Rejected):
        async with service.database.transaction() as connection:
            decided = await service.work.decide(connection, actions, service.database.clock.now())
            for action, error in decided.refused:
                if not isinstance(error, Rejected | TryLater):
                    raise error
                answers[id(action)] = error
            answers |= {id(action): outcome for action, outcome in decided.outcomes}
            raise Rejected("dry_run")  # an answer takes the transaction back and keeps the connection
    return [answers[id(action)] for action in actions]


async def _rosters(service: "Service", organization: str, programs: set[str]) -> dict[str, dict[str, int]]:
    """As of now, so that they include what was sent; of programs whose counts the organization may see."""
    if not programs:
        return {}
    async with service.database.tenant(organization) as connection:
        found = await store.programs(connection, sorted(programs))
    return {p.id: p.roster.model_dump(mode="json") for p in sorted(found, key=lambda p: p.id) if p.shows_totals_to(organization)}
