"""The state behind the numbers: people, seats, relationships, meetings, deliveries and programs, each once.

Events of different topics come in any order (a rebuild may read all of `scheduling` before any of `matching`), so every function here
comes to the same state whichever fact is seen first. Nothing is added up here: the numbers are counted from these rows when they are
asked for, so that they can't drift.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.events import Member, Role, owner_of

LEAST_GROUP = 5
"""Numbers about fewer people than this are withheld from other organizations."""

MEASURED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Person:
    """A person as of the highest revision seen; once erased, an id and no more."""

    id: UUID
    organization: str
    """The home organization."""
    own_id: str | None
    programs: tuple[str, ...]
    """Those the person is enrolled in now."""
    audience: tuple[str, ...]
    revision: int
    erased: bool
    recorded: datetime


@dataclass(frozen=True, slots=True)
class Seat:
    """A person in a program: whether one waits there. Whether the seat is taken at all, the person's own row says."""

    id: str
    """PERSON/PROGRAM"""
    person_id: UUID
    program: str
    organization: str
    audience: tuple[str, ...]
    waitlisted_at: datetime | None
    placed_at: datetime | None
    recorded: datetime
    enrolled_at: datetime | None = None
    first_placed_at: datetime | None = None

    @staticmethod
    def key(person: UUID, program: str) -> str:
        return f"{person}/{program}"


@dataclass(frozen=True, slots=True)
class Relationship:
    """A pair or group. What came before its creation was read is kept, and counts once it is known who is in it."""

    id: UUID
    program: str
    organization: str
    audience: tuple[str, ...]
    formed: str | None
    """`pair`, `group` or `conversation`; None until its creation was read."""
    people: tuple[str, ...]
    homes: tuple[str, ...]
    """The home organization of each of `people`."""
    agreed: bool
    milestones: tuple[str, ...]
    ended: bool
    recorded: datetime
    mentors: tuple[str, ...] = ()
    """Those of all who were ever in it who are or were its mentors."""
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    side: str = ""
    """Why it ended, and from which side."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting, with the highest revision at which it was said to be held and to be missed; 0 is never."""

    id: UUID
    program: str
    organization: str
    audience: tuple[str, ...]
    scheduled: bool
    held: int
    missed: int
    recorded: datetime
    relationship_id: UUID | None = None
    held_at: datetime | None = None
    minutes: int = 0
    attended: tuple[str, ...] = ()
    expected: int = 0
    """How many could have come; 0 where nobody counted."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A mail about something in a program: handed over, or given up."""

    id: UUID
    program: str
    organization: str
    audience: tuple[str, ...]
    sent: bool
    failed: bool
    recorded: datetime


@dataclass(frozen=True, slots=True)
class Program:
    """A program, its owner, and the organizations that take part."""

    id: str
    organization: str
    name: str
    invited: tuple[str, ...]
    members: tuple[str, ...]
    with_totals: tuple[str, ...]
    """Those invited to see the whole program's numbers as well."""
    closed: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """A program's numbers, or of one organization's people in it; from its launch, unless a line says "now"."""

    enrolled: int
    """People enrolled now; a pause doesn't end an enrolment, a withdrawal does."""
    matched: int
    """People in at least one relationship now: created, not ended, and not left by them."""
    waitlisted: int
    """People enrolled now whose last PersonWaitlisted is later than their last match."""
    agreed: int
    """Relationships whose agreement was signed by all at least once; a revision doesn't count again."""
    scheduled: int
    """Meetings for which a time was picked, moved or called off later or not, each once."""
    held: int
    """Meetings held, as of the highest revision of what is known about each; those reported unplanned too."""
    missed: int
    """Meetings missed and not corrected since."""
    milestones: int
    """Each once in a relationship."""
    ended: int
    """Relationships that are over, conversations aside."""
    pairs: int
    """Relationships of two ever created, conversations aside."""
    groups: int
    """Relationships of more ever created."""
    mails_sent: int
    """Mails handed over about the program."""
    mails_failed: int
    """Mails given up for good."""
    conversations: int = 0
    """Ever begun: two who were to meet once. Their meetings count like others."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was last published about a program."""

    id: str
    organization: str
    measured_at: datetime
    counts: Counts


def withheld(people: int) -> bool:
    """Whether so few people are behind a number that it would say who."""
    return people < LEAST_GROUP


def merged(*names: Iterable[str]) -> tuple[str, ...]:
    """All of these names, sorted, each once."""
    return tuple(sorted({name for several in names for name in several if name}))


def seen_by(known: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    """An audience with these in it; the same where they were in it already, as mostly."""
    return known if all(name in known for name in more) else merged(known, more)


# ---- people ------------------------------------------------------------------------------------------------------------


def audience_of(home: str, programs: Iterable[str]) -> tuple[str, ...]:
    """Who counts a person: the home organization and the owners of the programs."""
    return merged([home], map(owner_of, programs))


def seat(known: Seat | None, person: UUID, program: str, audience: Iterable[str], recorded: datetime) -> Seat:
    """The seat, made where there is none, seen by these as well."""
    if known is None:
        owner = owner_of(program)
        return Seat(Seat.key(person, program), person, program, owner, merged(audience, [owner]), None, None, recorded)
    return dataclasses.replace(known, audience=seen_by(known.audience, audience), recorded=max(known.recorded, recorded))


def waits(taken: Seat, at: datetime) -> Seat:
    return dataclasses.replace(taken, waitlisted_at=max(taken.waitlisted_at or at, at))


def placed(taken: Seat, at: datetime) -> Seat:
    first = min(taken.first_placed_at or at, at)
    return dataclasses.replace(taken, placed_at=max(taken.placed_at or at, at), first_placed_at=first)


def enrolled(taken: Seat, at: datetime) -> Seat:
    return dataclasses.replace(taken, enrolled_at=min(taken.enrolled_at or at, at))


# ---- relationships and meetings ----------------------------------------------------------------------------------------


def relationship(
    known: Relationship | None, key: UUID, program: str, audience: Iterable[str], recorded: datetime
) -> Relationship:
    """The relationship, made where there is none, seen by these as well."""
    owner = owner_of(program)
    if known is None:
        return Relationship(key, program, owner, merged(audience, [owner]), None, (), (), False, (), False, recorded)
    return dataclasses.replace(known, audience=seen_by(known.audience, audience), recorded=max(known.recorded, recorded))


def with_member(known: Relationship, *members: Member) -> Relationship:
    """With these people in it; someone who is in it already isn't in it twice."""
    more = {str(m.person_id): m.organization for m in members}
    homes = dict(zip(known.people, known.homes, strict=True)) | more
    mentors = [str(m.person_id) for m in members if m.role is Role.mentor]
    return dataclasses.replace(
        known,
        people=tuple(homes),
        homes=tuple(homes.values()),
        audience=seen_by(known.audience, more.values()),
        mentors=seen_by(known.mentors, mentors),
    )


def without_member(known: Relationship, person: UUID) -> Relationship:
    homes = dict(zip(known.people, known.homes, strict=True))
    homes.pop(str(person), None)
    return dataclasses.replace(known, people=tuple(homes), homes=tuple(homes.values()))


def meeting(known: Meeting | None, key: UUID, program: str, audience: Iterable[str], recorded: datetime) -> Meeting:
    """The meeting, made where there is none, seen by these as well."""
    owner = owner_of(program)
    if known is None:
        return Meeting(key, program, owner, merged(audience, [owner]), False, 0, 0, recorded)
    return dataclasses.replace(known, audience=seen_by(known.audience, audience), recorded=max(known.recorded, recorded))
