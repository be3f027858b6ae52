"""Decisions on runs and on what they found: pure functions on locked aggregates."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.matching.domain.model import (
    BESIDE,
    REQUESTS_OF,
    RESCORE,
    ROUNDS,
    Against,
    Asked,
    AuditedGroup,
    Person,
    Place,
    Program,
    Relationship,
    RelationshipStatus,
    Rolling,
    Run,
    RunStatus,
    Waiting,
    Waitlisted,
    WaitlistState,
    role_in,
)
from services.matching.domain.personal import together
from shared.decisions import NOTHING, Context, Outcome, awaited, changed, new
from shared.errors import Rejected, TryLater
from shared.events import (
    EndReason,
    Format,
    GroupCreated,
    MatchMode,
    MatchProposed,
    MatchRunFinished,
    MatchRunRequested,
    Member,
    PairCreated,
    PairEnded,
    PersonWaitlisted,
    Role,
    Roster,
    Side,
)

# ---- runs --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """What a coordinator's system asks: a run for `program`, after `after` has arrived."""

    program: str
    organization: str
    by: str
    after: Roster | None
    traceparent: str
    asked_id: str = ""
    """Of the Idempotency-Key, where one came."""
    body: str = ""


def request_run(request: Request, program: Program | None, context: Context) -> Outcome:
    """A run is accepted and waits for its roster; one that waits already is joined, with the newer wish.

    Answers the run's id. A run that works isn't joined: its snapshot may be older than what this request wants included.
    """
    if program is None:
        if request.after is not None:  # whoever has a roster was told it by the gateway: the program is on its way to us
            raise TryLater(awaited(Program, request.program))
        raise Rejected("unknown_program", "There is no such program.", status=404)
    if program.organization != request.organization:
        raise Rejected("not_yours", "Only the program's owner starts a match run.", status=403)
    asked = context.get(Asked, request.asked_id) if request.asked_id else None
    if asked is not None:
        if asked.body != request.body:
            raise Rejected("idempotency_key_reused", "This Idempotency-Key came before with another body.", status=409)
        return NOTHING.returning(asked.run_id)
    if program.closed:
        raise Rejected("program_closed", "The program is closed.", status=409)
    if program.waiting_run is not None:
        outcome, run_id = changed(program, waits_for=request.after), program.waiting_run
    else:
        run_id = context.new_id()
        outcome = _asked(program, run_id, request.by, request.after, request.traceparent, context)
    if request.asked_id:
        outcome = outcome.also(Asked(request.asked_id, program.organization, program.id, run_id, request.body, context.now))
    return outcome.returning(run_id)


def _asked(program: Program, run_id: UUID, by: str, after: Roster | None, traceparent: str, context: Context) -> Outcome:
    run = Run(
        id=run_id,
        organization=program.organization,
        program=program.id,
        status=RunStatus.waiting_for_roster,
        round=0,
        requested_by=by,
        after=after,
        traceparent=traceparent,
        correlation=context.correlation,
        requested_at=context.now,
    )
    told = MatchRunRequested(
        run_id=run_id, program=program.id, requested_by=by or None, after_roster=after, audience=(program.organization,)
    )
    return changed(program, waiting_run=run_id, waits_for=after).also(run).then(told)


ROLL = "roll"
ROLLS_EVERY = 10
"""Seconds."""
NEW_MONTH = "new_month"
"""The timer at which everyone of a rolling program may have conversations again."""


def rolls_at(now: datetime) -> datetime:
    """When whoever is free now is matched: on a grid, so that all who become free in one go share a run, and many don't put it off."""
    return datetime.fromtimestamp((now.timestamp() // ROLLS_EVERY + 1) * ROLLS_EVERY, UTC)


def next_month(now: datetime) -> datetime:
    """When the next month begins, by the calendar in UTC."""
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


def offered(outcome: Outcome, people: Sequence[Person], programs: Collection[str], context: Context) -> Outcome:
    """And a run will look at these programs soon, those that are rolling, where one of these people is new, or free."""
    for program in programs:
        rolling = context.get(Rolling, program)
        if rolling is not None and any(rolling.wants(person, context.now) for person in people):
            outcome = outcome.arm(ROLL, program, program, rolls_at(context.now))
    return outcome


def rescored_soon(outcome: Outcome, program: str, context: Context) -> Outcome:
    """And the program's proposals whose people or policy have changed are scored anew: all that change in one go together."""
    return outcome.arm(RESCORE, program, program, rolls_at(context.now))


def roll(program: Program | None, _: object, context: Context) -> Outcome:
    """Somebody is new in the program, or free: a run that nobody asked for. One that waits already will see them."""
    if program is None or program.closed or not program.policy.rolling or not program.ran or program.waiting_run is not None:
        return NOTHING
    return _asked(program, context.new_id(), "", None, context.traceparent, context)


def start_run(wall: float, run: Run | None, context: Context) -> Outcome:
    """The roster has arrived: the run works from now on, unless another of the program does."""
    if run is None or run.status is not RunStatus.waiting_for_roster:
        return NOTHING
    program = context.get(Program, run.program)
    if program is None or program.current_run is not None:
        return NOTHING
    started = replace(run, status=RunStatus.solving, round=1, started_at=context.now, started_wall=wall, after=program.waits_for)
    return changed(program, waiting_run=None, waits_for=None, current_run=run.id).also(started)


def next_round(done: int, run: Run | None, context: Context) -> Outcome:
    """Some pairs no longer held: those people are matched again. Answers whether they are."""
    program = context.get(Program, run.program) if run else None
    if run is None or run.status is not RunStatus.applying or run.round != done or done >= ROUNDS:
        return NOTHING.returning(False)
    if program is None or program.closed:
        return NOTHING.returning(False)
    return changed(run, status=RunStatus.solving, round=done + 1, attempts=0).returning(True)


def fail_run(problem: str, attempts: int, run: Run | None, context: Context) -> Outcome:
    """The job ended without a result: it is tried again, `attempts` times in all."""
    if run is None or run.status is not RunStatus.solving:
        return NOTHING
    if run.attempts + 1 < attempts:
        return changed(run, attempts=run.attempts + 1)
    program = context.get(Program, run.program)
    over = changed(run, status=RunStatus.failed, attempts=run.attempts + 1, problem=problem, finished_at=context.now)
    over = over if program is None else over.also(replace(program, current_run=None))
    return rescored_soon(over, run.program, context)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run came to, counted when all of it stands."""

    pairs: int
    groups: int
    waitlisted: int
    score_total: int
    """Of all pairs, those within a circle included."""
    fairness: tuple[AuditedGroup, ...] = ()


def finish_run(totals: Totals, wall: float, run: Run | None, context: Context) -> Outcome:
    """Pairs, proposals and waitlist stand.

    The gap is that of the plan, plus what was lost of it since (someone left before their pair could begin).
    """
    if run is None or run.status is not RunStatus.applying:
        return NOTHING
    gap = run.gap + max(0, run.planned_score - totals.score_total)
    seconds = max(0.0, wall - run.started_wall)
    over = replace(
        run,
        status=RunStatus.finished,
        finished_at=context.now,
        pairs=totals.pairs,
        groups=totals.groups,
        waitlisted=totals.waitlisted,
        score_total=totals.score_total,
        gap=gap,
        seconds=seconds,
        fairness=totals.fairness,
    )
    outcome = new(over).then(
        MatchRunFinished(
            run_id=run.id,
            program=run.program,
            people=run.people,
            pairs=totals.pairs,
            groups=totals.groups,
            waitlisted=totals.waitlisted,
            score_total=totals.score_total,
            gap=gap,
            seconds=round(seconds, 3),
            audience=(run.organization,),
        )
    )
    program = context.get(Program, run.program)
    if program is not None and program.current_run == run.id:
        outcome = outcome.also(replace(program, current_run=None, ran=True))
        if program.policy.rolling and Format.conversation in program.policy.formats:
            outcome = outcome.arm(NEW_MONTH, program.id, program.id, next_month(context.now))
    return rescored_soon(outcome, run.program, context)


# ---- pairs and circles -------------------------------------------------------------------------------------------------


def everyone(relationship: Relationship, context: Context) -> tuple[Person, ...]:
    """Its people as they are now, of a pair the mentor first; empty where one isn't known."""
    found = [context.get(Person, member.person_id) for member in relationship.members]
    return tuple(person for person in found if person) if all(found) else ()


def begins(relationship: Relationship) -> type[PairCreated | GroupCreated]:
    """The fact with which it begins."""
    return PairCreated if len(relationship.members) == 2 else GroupCreated


def apply_pair(relationship: Relationship | None, context: Context) -> Outcome:
    """What a run found begins, or is proposed; what no longer holds is dropped. Done already: nothing. Answers whether it held."""
    if relationship is None or relationship.status is not RelationshipStatus.planned:
        return NOTHING
    program, people = context.get(Program, relationship.program), everyone(relationship, context)
    dropped = changed(relationship, status=RelationshipStatus.dropped).returning(False)
    if program is None or program.closed or not people:
        return dropped
    if members_against(relationship, people, program, context.now) or _meet_already(relationship, people):
        return dropped
    proposed = program.policy.match_mode is MatchMode.propose
    status = RelationshipStatus.proposed if proposed else RelationshipStatus.active
    kind = MatchProposed if proposed else begins(relationship)
    outcome = (
        changed(relationship, status=status)
        .also(*seated(relationship, people, program, context.now, proposed=proposed))
        .then(match_fact(kind, relationship, program))
        .returning(True)
    )
    if program.policy.by_request:  # those who wait for one of these are not kept waiting
        for person in people:
            outcome = outcome.arm(REQUESTS_OF, person.id, person.id, context.now)
    return outcome


def members_against(relationship: Relationship, people: Sequence[Person], program: Program, now: datetime) -> Against | None:
    """What keeps these people, its members, from beginning it, as each by themselves tells, and by rules of their own; None where nothing does."""
    for person, member in zip(people, relationship.members, strict=True):
        enrolment = person.enrolment(program.id)
        if enrolment is None or not person.takes_part(program.id, relationship.format):
            return Against.takes_part
        if role_in(relationship.format, enrolment.role) is not member.role:
            return Against.takes_part
    if not all(person.room(program.id, program.policy, relationship.format, now) for person in people):
        return Against.places
    return None if together(people, program.id) else Against.other


def _meet_already(relationship: Relationship, people: Sequence[Person]) -> bool:
    ids = {person.id for person in people}
    return any(person.partners(relationship.program, relationship.format) & ids for person in people)


def seated(
    relationship: Relationship, people: tuple[Person, ...], program: Program, now: datetime, *, proposed: bool
) -> list[Person]:
    """All of them, with a place taken by this relationship. A conversation counts in the month of its proposal, then in that of its beginning."""
    began = now if relationship.format is Format.conversation else None
    found = []
    for person in people:
        places = (
            Place(program.id, relationship.id, other.id, proposed, relationship.format, relationship.turn, began)
            for other in people
            if other.id != person.id
        )
        found.append(person.with_place(*places, settled=settles(relationship.format, person, program)))
    return found


def settles(form: Format, person: Person, program: Program) -> bool:
    """Whether a relationship of this format is what the person came for, or all that they came for."""
    return form not in BESIDE or not person.seeks_more(program.id, program.policy)


def match_fact(
    kind: type[MatchProposed | PairCreated | GroupCreated],
    relationship: Relationship,
    program: Program,
    request_id: UUID | None = None,
    **more: Any,
) -> MatchProposed | PairCreated | GroupCreated:
    """The fact that it was proposed, or has begun, with all that is known of it."""
    return kind(
        relationship_id=relationship.id,
        program=relationship.program,
        run_id=relationship.run_id,
        request_id=request_id,
        format=relationship.format,
        term=program.policy.term,
        members=relationship.members,
        score=relationship.score,
        reasons=relationship.reasons,
        about=relationship.about,
        audience=relationship.audience,
        **more,
    )


def freed(relationship: Relationship, context: Context, over: PairEnded | None = None, *, apart: bool = True) -> Outcome:
    """The relationship as given, and its members' places free again. `over`: how it ended, where it had begun.

    They are kept apart for a while, unless `apart` is false.
    """
    members = [context.get(Person, member.person_id) for member in relationship.members]
    free = [
        person.without_place(
            relationship.id,
            context.now,
            first=over is not None and person.id in over.rematch_first,
            counts=over is not None and _counts(over, member),
            talked=over is not None and _talked(relationship, over),
            apart=apart,
        ).away(relationship.program, over is not None and person.id == over.unanswered_by)
        for person, member in zip(members, relationship.members, strict=True)
        if person is not None and any(place.relationship_id == relationship.id for place in person.places)
    ]
    return offered(new(relationship).also(*free), free, (relationship.program,), context)


def _talked(relationship: Relationship, over: PairEnded) -> bool:
    return relationship.format is Format.conversation and over.reason is EndReason.completed and over.meetings_held > 0


def _counts(over: PairEnded, member: Member) -> bool:
    """Whether a conversation that is over counts in its month for this member: not where it never took place, and not by their wish."""
    own = over.side is Side.platform or over.side.value == member.role.value
    return over.meetings_held > 0 or (own and member.person_id not in over.rematch_first)


# ---- who waits ---------------------------------------------------------------------------------------------------------


def tell_waiting(waitlisted: Waitlisted | None, context: Context) -> Outcome:
    """The person hears that, and why, they wait; unless they no longer take part or have found someone meanwhile."""
    if waitlisted is None or waitlisted.state is not WaitlistState.planned:
        return NOTHING
    program, person = waitlisted.program, context.get(Person, waitlisted.person_id)
    at = context.get(Program, program)
    if at is None or at.closed or person is None or not person.takes_part(program) or person.taken(program):
        return changed(waitlisted, state=WaitlistState.void)
    before = next((w for w in person.waiting if w.program == program), None)
    waiting = Waiting(program, before.since if before else context.now, waitlisted.reason)
    others = tuple(w for w in person.waiting if w.program != program)
    told = PersonWaitlisted(
        person_id=person.id,
        program=program,
        run_id=waitlisted.run_id,
        role=waitlisted.role,
        reason=waitlisted.reason,
        missing=waitlisted.missing,
        mentors_that_would_help=waitlisted.mentors_that_would_help,
        audience=waitlisted.audience,
    )
    return changed(waitlisted, state=WaitlistState.told).also(replace(person, waiting=(*others, waiting))).then(told)


def members_of(mentor: Person, mentee: Person) -> tuple[Member, Member]:
    """The members of a pair, mentor first."""
    return (
        Member(person_id=mentor.id, role=Role.mentor, organization=mentor.organization),
        Member(person_id=mentee.id, role=Role.mentee, organization=mentee.organization),
    )


def with_members(relationship: Relationship, members: tuple[Member, ...]) -> Relationship:
    """With these members; an organization that has nobody in it any more doesn't see who comes."""
    people = tuple(str(member.person_id) for member in members)
    audience = audience_of(relationship.program, *(member.organization for member in members))
    return replace(relationship, members=members, people=people, audience=audience)


def audience_of(program: str, *homes: str) -> tuple[str, ...]:
    """The program's owner and these home organizations."""
    return tuple(sorted({program.partition(".")[0], *homes}))
