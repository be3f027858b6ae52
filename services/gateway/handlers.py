"""What the gateway does with what it reads: who is matched with whom, and what became of what partners posted."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.gateway import store
from services.gateway.domain import (
    INVITATION_ENDS,
    MOST_CAUSED,
    PAUSE_ENDS,
    Intake,
    IntakeStatus,
    Nominations,
    Person,
    Program,
    Relationship,
    invitation_ended,
    not_to_be,
    resumed,
    together,
)
from shared.decisions import NOTHING, Context, Lookup, Outcome, at, awaited, by_cause, changed, new, on
from shared.errors import TryLater
from shared.events import (
    CATALOGUE,
    Event,
    GroupCreated,
    Match,
    MemberJoined,
    MemberLeft,
    PairCreated,
    PairEnded,
    PersonStatus,
    ReportRejected,
    RequestDeclined,
    RequestExpired,
    RequestWithdrawn,
    owner_of,
)

# Relationships


def relationship_begun(known: Relationship | None, event: Match, _: Context) -> Outcome:
    """Learned once; who comes and goes later is said by other facts."""
    if known is not None:
        return NOTHING
    owner = owner_of(event.program)
    people = tuple(sorted(str(member.person_id) for member in event.members))
    audience = together(owner, (member.organization for member in event.members))
    return new(Relationship(event.relationship_id, owner, event.program, people, audience, format=event.format))


def member_joined(known: Relationship | None, event: MemberJoined, _: Context) -> Outcome:
    """From then on only the organizations that have someone in it see it."""
    if known is None:
        raise TryLater(awaited(Relationship, event.relationship_id))
    people = tuple(sorted({*known.people, str(event.member.person_id)}))
    return changed(known, people=people, audience=together(known.organization, event.audience, event.member.organization))


def member_left(known: Relationship | None, event: MemberLeft, _: Context) -> Outcome:
    """Their organization goes on to see what was, until someone comes who is none of theirs."""
    if known is None:
        raise TryLater(awaited(Relationship, event.relationship_id))
    return changed(known, people=tuple(p for p in known.people if p != str(event.member.person_id)))


def relationship_ended(known: Relationship | None, event: PairEnded, _: Context) -> Outcome:
    if known is None:
        raise TryLater(awaited(Relationship, event.relationship_id))
    return changed(known, ended=True)


# What became of posted events


def answered(intake: Intake | None, _: Event, context: Context) -> Outcome:
    """A fact that names a posted event as its cause: it is applied, and this is something it caused."""
    if intake is None or str(context.id) in intake.caused or len(intake.caused) >= MOST_CAUSED:
        return NOTHING
    status = IntakeStatus.applied if intake.status == IntakeStatus.waiting else intake.status
    return changed(intake, status=status, caused=(*intake.caused, str(context.id)))


def refused(intake: Intake | None, event: ReportRejected, _: Context) -> Outcome:
    """Its owner can't accept it. What was applied before stays so."""
    if intake is None or intake.status != IntakeStatus.waiting:
        return NOTHING
    return changed(intake, status=IntakeStatus.rejected, reason=event.reason, field=event.field)


# Timers


class Due(Protocol):
    @property
    def owner(self) -> UUID: ...
    @property
    def fire_at(self) -> datetime: ...


def pause_ended(person: Person | None, due: Due, context: Context) -> Outcome:
    """A pause that was to end by itself is over, unless the person was resumed or paused anew meanwhile."""
    if person is None or person.status != PersonStatus.paused or person.paused_until != due.fire_at:
        return NOTHING
    return resumed(person, context)


ANSWERS = [kind for kind in CATALOGUE.values() if kind.topic in {"people", "matching", "scheduling"}]
"""The facts among which a posted event's effects are found."""

HANDLERS = [
    on(PairCreated, Relationship, by="relationship_id", do=relationship_begun),
    on(GroupCreated, Relationship, by="relationship_id", do=relationship_begun),
    on(MemberJoined, Relationship, by="relationship_id", do=member_joined),
    on(MemberLeft, Relationship, by="relationship_id", do=member_left),
    on(PairEnded, Relationship, by="relationship_id", do=relationship_ended),
    *(on(kind, Intake, by=by_cause, do=answered) for kind in ANSWERS),
    on(ReportRejected, Intake, by=store.REPORT, do=refused),
    *(on(kind, Nominations, by="mentee_id", do=not_to_be) for kind in (RequestDeclined, RequestExpired, RequestWithdrawn)),
    at(INVITATION_ENDS, Nominations, do=invitation_ended, reads={Person: lambda due: (UUID(due.key),)}),
    at(PAUSE_ENDS, Person, do=pause_ended, reads={Program: Lookup(store.PROGRAMS_OF_PERSON, lambda due: (due.owner,))}),
]
