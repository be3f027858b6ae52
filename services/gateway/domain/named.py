"""What a posted event says and names, and what its sender may name."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.domain.kept import Organization, Person, Program
from shared.decisions import Context
from shared.errors import Raced, Rejected
from shared.events import owner_of, partner


@dataclass(frozen=True, slots=True)
class Posted:
    """A well-formed event of a partner; `n` is its place in the request."""

    n: int
    source: str
    id: str
    said: partner.PartnerEvent
    time: datetime | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Named:
    """Who posts, and what the event names, put into our ids; None where we know nothing by that name."""

    sender: Organization
    program: str | None = None
    person: UUID | None = None
    attended: tuple[UUID | None, ...] = ()
    relationship: UUID | None = None
    organization_known: bool = True
    """Whether the organization it names is one, be it as member or as a program's owner."""
    leaving: tuple[UUID, ...] = ()
    """The sender's people in the program."""


def seen_program(named: Named, context: Context) -> Program:
    """The program that the event names, if it is the sender's own or shared with it."""
    program = context.get(Program, named.program) if named.program else None
    if program is not None and named.sender.id in program.audience:
        return program
    assert named.program is not None
    if owner_of(named.program) == named.sender.id:
        raise Rejected(
            "unknown_program", "you have no program of this name: post ithaca.ProgramLaunched first", field="data.program"
        )
    if not named.organization_known:
        raise Rejected("unknown_organization", "there is no organization of the name before the dot", field="data.program")
    raise Rejected(
        "not_shared",
        "no such program is shared with you: its owner must first post ithaca.ProgramShared that names your organization",
        field="data.program",
    )


def open_program(named: Named, context: Context) -> Program:
    """One in which the sender may enrol people: its own, or one that it has joined, and not closed."""
    program = seen_program(named, context)
    if program.closed:
        raise Rejected("program_closed", "this program is closed", field="data.program")
    member = program.membership(named.sender.id)
    if member is not None and not member.joined:
        raise Rejected(
            "not_joined",
            "your organization is invited to this program but hasn't joined it: post ithaca.ProgramJoined first",
            field="data.program",
        )
    return program


def own_program(named: Named, context: Context) -> Program:
    """The sender's own, and not closed."""
    program = seen_program(named, context)
    if program.organization != named.sender.id:
        raise Rejected("not_yours", "only a program's owner may do this", field="data.program")
    if program.closed:
        raise Rejected("program_closed", "this program is closed", field="data.program")
    return program


def own_person(named: Named, context: Context, field: str = "data.person") -> Person:
    """The sender's person that the event names."""
    person = context.get(Person, named.person) if named.person else None
    if person is None:
        raise Rejected(
            "unknown_person", "you have nobody by this id: enrol the person first, with ithaca.PersonEnrolled", field=field
        )
    if person.erased:
        raise Raced("the person was erased meanwhile")
    return person
