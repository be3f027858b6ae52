"""What the gateway keeps: its aggregates."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from shared.events import Contact, Enrolment, Format, PersonStatus, Policy, Profile, Roster, Visibility

PAUSE_ENDS = "pause_ends"
MOST_CAUSED = 100
"""Ids of facts kept with one posted event."""


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    name: str
    country: str | None
    time_zone: str
    locale: str
    onboarded_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """An API key; its hash is with all that the services know of keys."""

    id: str
    organization: str
    rights: tuple[str, ...]
    issued_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """Another organization's place in a program."""

    organization: str
    seats: int
    visibility: Visibility
    joined: bool = False
    people: int = 0
    """Enrolled by it now."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program, who takes part in it, and its roster."""

    id: str
    organization: str
    name: str
    policy: Policy
    revision: int = 1
    closed: bool = False
    members: tuple[Membership, ...] = ()
    audience: tuple[str, ...] = ()
    people: int = 0
    """Enrolments in the program."""
    revisions: int = 0
    """The sum of their revisions."""

    @property
    def roster(self) -> Roster:
        return Roster(people=self.people, revisions=self.revisions)

    def membership(self, organization: str) -> Membership | None:
        return next((m for m in self.members if m.organization == organization), None)

    def with_member(self, membership: Membership) -> "Program":
        others = [m for m in self.members if m.organization != membership.organization]
        members = tuple(sorted((*others, membership), key=lambda m: m.organization))
        return dataclasses.replace(self, members=members, audience=together(self.organization, (m.organization for m in members)))

    def shows_totals_to(self, organization: str) -> bool:
        """Whether the program's counts as a whole are this organization's to see."""
        member = self.membership(organization)
        return organization == self.organization or (
            member is not None and member.joined and member.visibility == Visibility.own_people_and_totals
        )


@dataclass(frozen=True, slots=True)
class Person:
    """A person as of now; an erased one is an id, a mark and a number."""

    id: UUID
    organization: str
    own_id: str | None
    status: PersonStatus
    paused_until: datetime | None
    profile: Profile | None
    contact: Contact | None
    enrolments: tuple[Enrolment, ...] = ()
    revision: int = 0
    erased: bool = False
    outcomes: tuple[str, ...] = ()
    """What they said themselves became of them, each once: `promotion 2026-11`."""

    def enrolment(self, program: str) -> Enrolment | None:
        return next((e for e in self.enrolments if e.program == program), None)


@dataclass(frozen=True, slots=True)
class Relationship:
    """Who is matched with whom, as far as a report of a meeting needs it."""

    id: UUID
    organization: str
    program: str
    people: tuple[str, ...]
    audience: tuple[str, ...]
    ended: bool = False
    format: Format = Format.one_to_one


class IntakeStatus(StrEnum):
    """What became of a posted event."""

    applied = "applied"
    waiting = "waiting"
    """Its owner hasn't answered yet."""
    rejected = "rejected"


@dataclass(frozen=True, slots=True)
class Intake:
    """One event that a partner posted and we accepted. Its id is that of the fact it became."""

    id: UUID
    organization: str
    source: str
    own_id: str
    type: str
    sha256: str
    status: IntakeStatus
    caused: tuple[str, ...]
    reason: str | None
    field: str | None
    person: UUID | None
    program: str | None
    received_at: datetime


class NominationStatus(StrEnum):
    """What became of a name."""

    passed_on = "passed_on"
    """A mentor of the program, who is asked like any other."""
    over = "over"
    """It won't be with the one to whom it was passed on; the mentee has heard it."""
    not_invited = "not_invited"
    """Someone of the mentee's organization who is no mentor of the program."""
    invited = "invited"
    joined = "joined"
    declined = "declined"
    expired = "expired"
    other = "other"


@dataclass(frozen=True, slots=True)
class Nomination:
    """One name. `address` is a keyed digest of the mail address."""

    address: str
    program: str
    status: NominationStatus
    at: datetime
    invited: UUID | None = None
    """The person who was made of it, while and after they are asked; or the mentor to whom it was passed on."""


@dataclass(frozen=True, slots=True)
class Nominations:
    """All whom a mentee has named, in any program; the id is the mentee's."""

    id: UUID
    organization: str
    """The mentee's home."""
    named: tuple[Nomination, ...] = ()

    def of(self, invited: UUID) -> Nomination | None:
        return next((one for one in self.named if one.invited == invited), None)

    def answered(self, invited: UUID, status: NominationStatus, now: datetime) -> "Nominations":
        """With what became of this invitation."""
        return dataclasses.replace(
            self,
            named=tuple(dataclasses.replace(one, status=status, at=now) if one.invited == invited else one for one in self.named),
        )


def together(*organizations: str | Iterable[str]) -> tuple[str, ...]:
    """An audience: each organization once, in order."""
    found: set[str] = set()
    for each in organizations:
        found.update((each,) if isinstance(each, str) else each)
    return tuple(sorted(found))
