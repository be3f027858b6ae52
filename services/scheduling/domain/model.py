"""The aggregates of scheduling: ids, names, hours and what was agreed. How to reach someone is known elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from services.scheduling.domain.roll import Roll, Vote
from shared.events import (
    EndReason,
    Format,
    Milestone,
    Misalignment,
    PersonStatus,
    Policy,
    ProgramMilestone,
    Reason,
    RevisionReason,
    Role,
    Side,
    Term,
    Terms,
    Window,
)
from shared.tables import A


class Moment(Protocol):
    """What a decision may know of its circumstances: the platform's time, ids for what it makes, and what was loaded beside."""

    now: datetime

    @property
    def time(self) -> datetime:
        """When the fact that is decided on happened, which may be long before it is read; `now` for actions and timers."""

    def new_id(self) -> UUID: ...

    def get(self, kind: type[A], key: UUID | str, /) -> A | None: ...


@dataclass(frozen=True, slots=True)
class Days:
    """Days on which somebody's week doesn't hold, as they said themselves."""

    first: date
    last: date
    """The days are those of their own wall, this one included."""
    hours: tuple[int, int] | None = None
    """When they can then, in minutes since midnight; None where they are away."""


class PlaceKind(StrEnum):
    room = "room"
    """Online, by its link."""
    address = "address"
    phone = "phone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody meets others, in words of their own: for those whom they meet alone, and in no event."""

    kind: PlaceKind
    text: str


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may be in relationships, as the last record of them says."""

    id: UUID
    organization: str
    """The home organization."""
    status: PersonStatus = PersonStatus.active
    time_zone: str = "UTC"
    country: str | None = None
    availability: tuple[Window, ...] = ()
    own_id: str = ""
    """What their organization calls them, for its coordinators' eyes."""
    withdrawn_from: tuple[str, ...] = ()
    """Programs the person was withdrawn from and isn't enrolled in again."""
    revision: int = 0
    erased: bool = False
    """The id is kept for ever, and nothing else."""
    days: tuple[Days, ...] = ()
    place: Place | None = None
    name: str = ""
    """For those whom they meet, on its pages alone: no event of this service has it."""
    wanted: tuple[str, ...] = ()
    """Skills that they want to learn, as their profile says."""
    recognised: bool = True
    """Whether they want a record of what they do as a mentor."""


@dataclass(frozen=True, slots=True)
class Organization:
    """What an organization calls itself, for certificates."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Program:
    id: str
    organization: str
    name: str
    policy: Policy
    revision: int
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """Someone in a relationship, with what a decision about it needs to know of them: a copy that their records keep up to date.

    So one row holds what is decided on, and no decision about a pair waits for another pair of the same mentor.
    """

    person_id: UUID
    role: Role
    organization: str
    time_zone: str = "UTC"
    country: str | None = None
    availability: tuple[Window, ...] = ()
    paused: bool = False
    revision: int = 0
    own_id: str = ""
    days: tuple[Days, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    person_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Rules:
    """What of its program's policy holds for a relationship, whenever that changes."""

    grace_hours: int = 24
    misses_before_stalled: int = 2
    quiet_intervals_before_stalled: float = 1.5
    stalled_days_before_warned: int = 7
    warned_days_before_frozen: int = 7
    frozen_days_before_end: int = 14
    silent_partner_days: int = 3
    unsigned_reminder_days: tuple[int, ...] = (3, 7)
    unsigned_days_before_stalled: int = 10
    unsigned_days_before_end: int = 14
    asks: bool = True
    """Where the program asks nothing, nobody's silence is counted."""
    first_check_in_days: int = 30
    check_in_every_days: int = 60
    milestones: tuple[ProgramMilestone, ...] = ()
    """The program's own."""
    quorum: float = 0.5
    """The part of a group, its mentor aside, without which a meeting doesn't count as held."""

    @classmethod
    def of(cls, policy: Policy) -> "Rules":
        return cls(**{name: getattr(policy, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Unsigned:
    """How long the newest version of an agreement has waited for signatures."""

    since: datetime
    """Moved on by as long as somebody who was to sign had a break."""
    stopped_at: datetime | None = None
    """Since when somebody has one."""
    days: int = 0
    """After which the last step was taken."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A version of the agreement that waits for all to sign while an earlier one holds."""

    terms: Terms
    holds: int
    """The version that holds meanwhile."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """An offer to go on for as long again, open until the end, and who has said yes."""

    yes: tuple[UUID, ...] = ()


class About(StrEnum):
    """What members write into their agreement in words of their own."""

    purpose = "purpose"
    outcome = "outcome"
    """What would count as a good one."""
    boundaries = "boundaries"


@dataclass(frozen=True, slots=True)
class Written:
    about: About
    text: str
    by: UUID


@dataclass(frozen=True, slots=True)
class Agreement:
    """One version of a relationship's agreement, kept. Its words are for the members alone and leave this service in no event."""

    id: UUID
    relationship_id: UUID
    organization: str
    version: int
    terms: Terms
    made_at: datetime
    reason: RevisionReason | None = None
    """None of the program's draft."""
    revised_by: UUID | None = None
    written: tuple[Written, ...] = ()
    writers: tuple[str, ...] = ()
    """Their ids, to be found by."""

    def text(self, about: About) -> str:
        return next((w.text for w in self.written if w.about is about), "")


@dataclass(frozen=True, slots=True)
class Past:
    """A meeting that is decided, as its relationship remembers it."""

    meeting_id: UUID
    at: datetime
    held: bool
    host: UUID | None = None
    absent: tuple[UUID, ...] = ()
    """Of a group, those who could have come and didn't, where it was held."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Something that the two sides see differently, until it is settled."""

    kind: Misalignment
    since: datetime
    steps: int | None = None
    """How many steps their answers are apart."""
    settled: tuple[UUID, ...] = ()
    """Who says that they have talked about it."""


@dataclass(frozen=True, slots=True)
class Former:
    """Someone who left while it went on without them."""

    person_id: UUID
    role: Role
    left_at: datetime


@dataclass(frozen=True, slots=True)
class Reached:
    """A milestone, and when it was reached."""

    code: str
    at: datetime
    name: str = ""
    """Of the program's own, as the program called it then."""


SPREAD_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Relationship:
    """Two people, or more, from the match to the end. Everything that is decided about them is decided under its lock."""

    id: UUID
    organization: str
    """The program's owner."""
    program: str
    format: Format
    term: Term
    members: tuple[Member, ...]
    people: tuple[str, ...]
    """The members' ids, to be found by."""
    audience: tuple[str, ...]
    time_zone: str
    """The pair's: a series keeps its hour on this zone's wall."""
    terms: Terms
    """Those that hold, or of the draft where none do yet."""
    rules: Rules
    rules_revision: int
    """Of the program's policy from which the rules are."""
    created_at: datetime
    version: int = 1
    """Of the agreement, the newest; 0 where there is none."""
    signatures: tuple[Signature, ...] = ()
    """Under this version."""
    agreed_at: datetime | None = None
    until: datetime | None = None
    """The end of the agreed months."""
    meeting_id: UUID | None = None
    """The meeting that is proposed or scheduled."""
    meetings: int = 0
    """The number of the latest meeting."""
    held: int = 0
    missed: int = 0
    rhythm: datetime | None = None
    """The first meeting of the series; the others follow it every so many weeks, at its hour on the wall."""
    since: datetime | None = None
    """When the latest decided meeting was."""
    last_held_at: datetime | None = None
    misses: tuple[datetime, ...] = ()
    """The meetings missed since the last one held."""
    recent: tuple[Past, ...] = ()
    """The last few decided meetings, by which a report finds the one it is about."""
    heard_at: datetime | None = None
    """The last sign of life, from which silence is counted: a meeting, a contact, an answer, the end of a break."""
    contacts: int = 0
    """How often someone said that they were in touch."""
    contacted_at: datetime | None = None
    stalled_at: datetime | None = None
    warned_at: datetime | None = None
    frozen_at: datetime | None = None
    asked: UUID | None = None
    """The member who is asked whether they go on, since the other side hears nothing from them."""
    asked_at: datetime | None = None
    milestones: tuple[str, ...] = ()
    """Those reached, in order."""
    goals: int = 0
    """How many were set and not given up."""
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    end_side: Side | None = None
    unsigned: Unsigned | None = None
    revised: Revision | None = None
    renewed_from: datetime | None = None
    """Where the present months begin, if they were renewed."""
    renewals: int = 0
    """How often. The version of its /renew links."""
    renewal: Renewal | None = None
    apart: tuple[Apart, ...] = ()
    reached: tuple[Reached, ...] = ()
    """When its milestones were; those of long ago are in `milestones` alone."""
    stages: tuple[str, ...] = ()
    """At which it was asked for levels of skills."""
    reasons: tuple[Reason, ...] = ()
    """Why they were matched, the weightiest first."""
    changes: tuple[datetime, ...] = ()
    """When members moved meetings or called them off, the last few."""
    picks: tuple[bool, ...] = ()
    """Of the times offered lately, whether somebody picked one."""
    risk: tuple[str, ...] = ()
    """The signs of an early end for which its coordinator was told that it is at risk."""
    flagged_at: datetime | None = None
    """Since when it has been at risk."""
    written_at: datetime | None = None
    """When a coordinator said that they have written to them about these signs."""
    former: tuple[Former, ...] = ()
    """Those who left while it went on: what is theirs of it stays theirs."""

    @property
    def own_moment(self) -> timedelta:
        """Its place in the time over which what comes of many at one moment is spread: a run makes all of its pairs at one, and a changed
        program reaches all of its own.
        """
        return timedelta(seconds=self.id.int % SPREAD_SECONDS)

    @property
    def began(self) -> datetime | None:
        """Where the present months begin."""
        return self.renewed_from or self.agreed_at

    @property
    def is_open(self) -> bool:
        """Whether the newest version of its agreement waits for signatures."""
        return self.agreed_at is None or self.revised is not None

    @property
    def holds(self) -> int | None:
        """The version that holds, where one does."""
        return self.revised.holds if self.revised else self.version if self.agreed_at else None

    @property
    def newest(self) -> Terms:
        """Of the newest version, whether it holds yet or not."""
        return self.revised.terms if self.revised else self.terms

    @property
    def meets_once(self) -> bool:
        """Whether it is one conversation, without an agreement, and over after it."""
        return self.format is Format.conversation

    @property
    def is_group(self) -> bool:
        """Whether more than two meet, or are meant to."""
        return self.format in {Format.group, Format.circle} or len(self.members) > 2

    @property
    def through(self) -> bool:
        """Whether their one meeting is decided, held or missed."""
        return self.meets_once and bool(self.recent)

    @property
    def misses_in_a_row(self) -> int:
        return len(self.misses)

    @property
    def about(self) -> dict[str, Any]:
        """What every event of it says."""
        return {"relationship_id": self.id, "program": self.program, "audience": self.audience}

    def member(self, person_id: UUID) -> Member | None:
        return next((m for m in self.members if m.person_id == person_id), None)

    def left(self, person_id: UUID) -> Former | None:
        """As what and when somebody left it who isn't in it any more."""
        left = next((one for one in self.former if one.person_id == person_id), None)
        return None if self.member(person_id) else left

    def has_signed(self, person_id: UUID) -> bool:
        return any(s.person_id == person_id for s in self.signatures)

    def side(self, person_id: UUID) -> Side:
        member = self.member(person_id)
        return side_of(member.role if member else None)

    def has_reached(self, milestone: Milestone) -> bool:
        return milestone.value in self.milestones


class MeetingStatus(StrEnum):
    proposed = "proposed"
    scheduled = "scheduled"
    held = "held"
    missed = "missed"
    cancelled = "cancelled"


UNDECIDED = frozenset({MeetingStatus.proposed, MeetingStatus.scheduled})


@dataclass(frozen=True, slots=True)
class Said:
    """What someone answered to "did you meet?"."""

    person_id: UUID
    met: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """How a meeting took place, as told by a member, or by a partner (then `said_by` is None)."""

    held_at: datetime
    minutes: int
    attended: tuple[UUID, ...]
    said_by: UUID | None = None
    corrects_missed: bool = False
    expected: tuple[UUID, ...] = ()
    """Of a group, those who could have come."""

    @property
    def absent(self) -> tuple[UUID, ...]:
        return tuple(person for person in self.expected if person not in self.attended)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A time that a member offered the others."""

    at: datetime
    by: UUID


@dataclass(frozen=True, slots=True)
class Meeting:
    """One meeting, from the times proposed to what became of it. Changed only under its relationship's lock."""

    id: UUID
    relationship_id: UUID
    organization: str
    number: int
    status: MeetingStatus
    minutes: int
    time_zone: str
    proposed_at: datetime
    slots: tuple[datetime, ...] = ()
    starts_at: datetime | None = None
    sequence: int = 0
    """Of its place in the calendar: 0 while only proposed, one more with each change. The version of its /pick links."""
    revision: int = 0
    """Of what is known of it: 0 while nothing is decided. The version of its /met links."""
    said: tuple[Said, ...] = ()
    held: Held | None = None
    suggested: tuple[Suggestion, ...] = ()
    """Which of its times members offered."""
    host: UUID | None = None
    """Who leads it, in a group."""
    votes: tuple[Vote, ...] = ()
    """In a group: who can at which of its times."""
    roll: Roll | None = None
    """In a group: who came, by whoever told it for all."""

    def suggested_by(self, slot: datetime) -> UUID | None:
        return next((s.by for s in self.suggested if s.at == slot), None)

    @property
    def ends_at(self) -> datetime | None:
        return None if self.starts_at is None else self.starts_at + timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Concern:
    """What worries a member, told to the program's coordinators alone. Its words leave this service in no event."""

    id: UUID
    relationship_id: UUID
    organization: str
    program: str
    person_id: UUID
    text: str
    raised_at: datetime
    seen_at: datetime | None = None
    """When a coordinator said that they take care of it."""


GUIDES = frozenset({Role.mentor, Role.facilitator})
"""Who is there for the others' growth."""
AS_PLANNED = frozenset({EndReason.completed, EndReason.goal_attained})
"""How it ends as it was meant to."""


def audience_of(organization: str, members: Iterable[Member]) -> tuple[str, ...]:
    """Who may see a relationship: the program's owner and its members' home organizations."""
    return tuple(sorted({organization, *(m.organization for m in members)}))


def side_of(role: Role | None) -> Side:
    return {Role.mentor: Side.mentor, Role.mentee: Side.mentee}.get(role or Role.other, Side.other)
