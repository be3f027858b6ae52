"""The gateway's aggregates, and what it decides on each fact that a partner posts. Pure: no I/O, no clock."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from shared.access import AccessKey
from shared.errors import Raced, Rejected
from shared.events import (
    AccessKeyIssued,
    AccessKeyRevoked,
    Contact,
    Enrolment,
    MeetingReported,
    OrganizationOnboarded,
    OutcomeReported,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonRecord,
    PersonResumed,
    PersonStatus,
    PersonWithdrawn,
    Policy,
    Profile,
    ProfileChanged,
    ProgramChanged,
    ProgramClosed,
    ProgramJoined,
    ProgramLaunched,
    ProgramLeft,
    ProgramShared,
    Right,
    Roster,
    Visibility,
    owner_of,
    partner,
)
from shared.work import NOTHING, Context, Outcome, changed, new

PAUSE_ENDS = "pause_ends"
MOST_CAUSED = 100
"""Ids of facts kept with one posted event."""


# ---- what is kept ------------------------------------------------------------------------------------------------------


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


def together(*organizations: str | Iterable[str]) -> tuple[str, ...]:
    """An audience: each organization once, in order."""
    found: set[str] = set()
    for each in organizations:
        found.update((each,) if isinstance(each, str) else each)
    return tuple(sorted(found))


# ---- organizations and keys --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key: what is kept of it. The secret itself never comes here."""

    id: str
    sha256: str
    rights: tuple[Right, ...]


@dataclass(frozen=True, slots=True)
class Onboarded:
    """An organization, whether it is new, and whether it got the key minted for it."""

    organization: Organization
    created: bool = False
    with_key: bool = False


FIRST_RIGHTS = (Right.send, Right.read, Right.coordinate)


def issued(minted: Minted, organization: str, context: Context) -> Outcome:
    """A key that every service will honour; this one at once."""
    rights = tuple(right.value for right in minted.rights)
    key = Key(minted.id, organization, rights, context.now)
    known = AccessKey(minted.id, minted.sha256, organization, rights, revoked=False)
    return new(key, known).then(key_fact(AccessKeyIssued, key, known))


def onboard(
    there: Organization | None, wanted: Organization, minted: Minted, context: Context, *, new_key: bool = False
) -> Outcome:
    """An organization with its first key; again, nothing, or one more key where that is asked for. Returns `Onboarded`."""
    if there is None:
        fact = OrganizationOnboarded(
            organization=wanted.id,
            name=wanted.name,
            country=wanted.country,
            time_zone=wanted.time_zone,
            locale=wanted.locale,
            audience=(wanted.id,),
        )
        made = dataclasses.replace(wanted, onboarded_at=context.now)
        return new(made).then(fact).plus(issued(minted, wanted.id, context)).returning(Onboarded(made, created=True, with_key=True))
    if dataclasses.replace(wanted, onboarded_at=there.onboarded_at) != there:
        raise Rejected("exists", "An organization with this id is here already, with other details.", field="id", status=409)
    if new_key:
        return issued(minted, there.id, context).returning(Onboarded(there, with_key=True))
    return NOTHING.returning(Onboarded(there))


def revoke(key: Key | None, organization: str, known: AccessKey | None, context: Context) -> Outcome:
    """The organization's own key is worth nothing from now on."""
    if key is None or known is None or key.organization != organization:
        raise Rejected("unknown_key", "You have no key with this id.", status=404)
    if key.revoked_at is not None:
        return NOTHING.returning(key)
    gone = dataclasses.replace(key, revoked_at=context.now)
    fact = key_fact(AccessKeyRevoked, gone, known)
    return changed(known, revoked=True).also(gone).then(fact).returning(gone)


def key_fact(
    kind: type[AccessKeyIssued] | type[AccessKeyRevoked], key: Key, known: AccessKey
) -> AccessKeyIssued | AccessKeyRevoked:
    return kind(
        key_id=key.id,
        sha256=known.sha256,
        organization=key.organization,
        rights=tuple(Right(right) for right in key.rights),
        revoked=key.revoked_at is not None,
        audience=(key.organization,),
    )


def key_again(key: Key | None, context: Context) -> Outcome:
    """As `person_again`, of a key."""
    known = context.get(AccessKey, key.id) if key else None
    if key is None or known is None:
        return NOTHING
    return Outcome(events=(key_fact(AccessKeyRevoked if key.revoked_at else AccessKeyIssued, key, known),))


# ---- what a posted event names -----------------------------------------------------------------------------------------


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


# ---- people ------------------------------------------------------------------------------------------------------------


def recorded(
    before: Person | None,
    after: Person,
    fact: type[PersonRecord],
    programs: Mapping[str, Program],
    *,
    about: str | None = None,
) -> Outcome:
    """The whole person in one more revision, and the rosters of the programs they are or were in. Nothing where nothing changed.

    An enrolment's revision is the person's at its last change: it grows whatever changes, also over leaving and coming back.
    """
    if before == after:
        return NOTHING
    revision = after.revision + 1
    enrolments = tuple(e.model_copy(update={"revision": revision}) for e in after.enrolments)
    after = dataclasses.replace(after, revision=revision, enrolments=enrolments)
    then = before.enrolments if before else ()
    record = person_fact(fact, after, (*then, *enrolments), about=about)
    return new(after, *rosters(after.organization, then, enrolments, programs)).then(record)


def person_fact(
    fact: type[PersonRecord], person: Person, enrolments: Iterable[Enrolment], *, about: str | None = None
) -> PersonRecord:
    """The whole person as of now, for the organization and the owners of programs they are or were in."""
    assert person.own_id is not None
    assert person.profile is not None
    assert person.contact is not None
    return fact.model_construct(
        audience=together(person.organization, (owner_of(e.program) for e in enrolments)),
        person_id=person.id,
        organization=person.organization,
        own_id=person.own_id,
        status=person.status,
        paused_until=person.paused_until,
        profile=person.profile,
        contact=person.contact,
        enrolments=person.enrolments,
        revision=person.revision,
        program=about,
    )


def person_again(person: Person | None, _: Context) -> Outcome:
    """The record that stands, once more in the same revision: old news to every reader, and reason for Kafka to compact."""
    if person is None:
        return NOTHING
    if person.erased:
        return Outcome(events=(PersonErased(person_id=person.id, revision=person.revision, audience=(person.organization,)),))
    return Outcome(events=(person_fact(ProfileChanged, person, person.enrolments),))


def rosters(
    organization: str, then: tuple[Enrolment, ...], now: tuple[Enrolment, ...], programs: Mapping[str, Program]
) -> list[Program]:
    """The programs concerned, with their counts moved on."""
    was, is_ = {e.program: e.revision for e in then}, {e.program: e.revision for e in now}
    moved = []
    for name in sorted({*was, *is_}):
        program = programs[name]
        people = (name in is_) - (name in was)
        revisions = is_.get(name, 0) - was.get(name, 0)
        members = program.members
        if people and organization != program.organization:
            members = tuple(
                dataclasses.replace(m, people=m.people + people) if m.organization == organization else m for m in members
            )
        moved.append(
            dataclasses.replace(program, people=program.people + people, revisions=program.revisions + revisions, members=members)
        )
    return moved


def programs_of(person: Person | None, context: Context, *more: Program) -> dict[str, Program]:
    """The programs of a person, locked. Raises Raced where one came since we looked: look again."""
    programs = {program.id: program for program in more}
    for enrolment in person.enrolments if person else ():
        if enrolment.program not in programs:
            program = context.get(Program, enrolment.program)
            if program is None:
                raise Raced("the person's enrolments changed meanwhile")
            programs[program.id] = program
    return programs


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


def person_enrolled(said: partner.PersonEnrolled, named: Named, context: Context) -> Outcome:
    """A new person, or a known one, takes a role in a program, within the sender's seats."""
    program = open_program(named, context)
    sender = named.sender
    assert named.person is not None
    before = context.get(Person, named.person)
    if before is not None and before.erased:
        raise Raced("the person was erased meanwhile")
    person = before or Person(
        named.person,
        sender.id,
        said.person,
        PersonStatus.active,
        None,
        Profile.model_construct(time_zone=sender.time_zone),
        Contact.model_construct(name=said.person, locale=sender.locale),
    )
    assert person.profile is not None
    had = person.enrolment(program.id)
    member = program.membership(sender.id)
    if had is None and member is not None and member.people >= member.seats:
        raise Rejected(
            "no_seat",
            f"all {member.seats} seats of your organization in this program are taken: ask its owner for more",
            field="data.program",
        )
    after = dataclasses.replace(
        person,
        status=PersonStatus.active if person.status == PersonStatus.withdrawn else person.status,
        profile=said.profile(person.profile),
        contact=said.contact(person.contact),
        enrolments=tuple(
            sorted((*others(person, program.id), enrolment_of(said, had, program, context)), key=lambda e: e.program)
        ),
    )
    return recorded(before, after, PersonEnrolled, programs_of(before, context, program), about=program.id)


def others(person: Person, program: str) -> tuple[Enrolment, ...]:
    return tuple(e for e in person.enrolments if e.program != program)


def enrolment_of(said: partner.PersonEnrolled, had: Enrolment | None, program: Program, context: Context) -> Enrolment:
    """The place in the program after this; what is left out stays, and is the program's default at first."""
    before = had or Enrolment(program=program.id, role=said.role, capacity=program.policy.capacity, since=context.time)
    update: dict[str, Any] = {"role": said.role}
    update |= {name: getattr(said, name) for name in said.model_fields_set & {"capacity", "hours_per_month", "formats"}}
    if update.get("capacity", 0) is None:
        update["capacity"] = program.policy.capacity
    return before.model_copy(update=update)


def profile_changed(said: partner.ProfileChanged, named: Named, context: Context) -> Outcome:
    person = own_person(named, context)
    assert person.profile is not None
    after = dataclasses.replace(person, profile=said.profile(person.profile), contact=said.contact(person.contact))
    return recorded(person, after, ProfileChanged, programs_of(person, context))


def person_paused(said: partner.PersonPaused, named: Named, context: Context) -> Outcome:
    """A break, until a day if one was said."""
    person = own_person(named, context)
    if person.status == PersonStatus.withdrawn:
        raise Rejected("not_enrolled", "this person takes part in no program", field="data.person")
    if said.until is not None and said.until <= context.now:
        raise Rejected("in_the_past", "give a time to come, or leave it out", field="data.until")
    after = dataclasses.replace(person, status=PersonStatus.paused, paused_until=said.until)
    outcome = recorded(person, after, PersonPaused, programs_of(person, context))
    if said.until is None:
        return outcome.clear(PAUSE_ENDS, person.id)
    return outcome.arm(PAUSE_ENDS, person.id, person.id, said.until)


def resumed(person: Person, context: Context) -> Outcome:
    if person.status != PersonStatus.paused:
        return NOTHING
    after = dataclasses.replace(person, status=PersonStatus.active, paused_until=None)
    return recorded(person, after, PersonResumed, programs_of(person, context)).clear(PAUSE_ENDS, person.id)


def person_resumed(_: partner.PersonResumed, named: Named, context: Context) -> Outcome:
    return resumed(own_person(named, context), context)


def person_withdrawn(said: partner.PersonWithdrawn, named: Named, context: Context) -> Outcome:
    """Out of one program, or of all."""
    person = own_person(named, context)
    if said.program is not None and (named.program is None or person.enrolment(named.program) is None):
        raise Rejected("not_enrolled", "this person isn't enrolled in this program", field="data.program")
    left = others(person, named.program) if said.program is not None and named.program else ()
    return withdrawn(person, left, programs_of(person, context), about=named.program if said.program is not None else None)


def withdrawn(person: Person, left: tuple[Enrolment, ...], programs: Mapping[str, Program], *, about: str | None) -> Outcome:
    """With these enrolments left; out of the last one is out of all."""
    after = dataclasses.replace(person, enrolments=left)
    if not left:
        after = dataclasses.replace(after, status=PersonStatus.withdrawn, paused_until=None)
    outcome = recorded(person, after, PersonWithdrawn, programs, about=about)
    return outcome if left else outcome.clear(PAUSE_ENDS, person.id)


def erase(person: Person | None, seen: int, intakes: Iterable[UUID], context: Context) -> Outcome:
    """Nothing stays but the id, the mark and the revision, and what was posted about the person can't be compared any more."""
    if person is None:
        raise Rejected("unknown_person", "You have nobody by this id.", status=404)
    if person.erased:
        return NOTHING.returning(person)
    if person.revision != seen:
        raise Raced("the person changed meanwhile")
    revision = person.revision + 1
    gone = Person(person.id, person.organization, None, PersonStatus.withdrawn, None, None, None, (), revision, erased=True)
    fact = PersonErased(
        person_id=person.id,
        revision=revision,
        audience=together(person.organization, (owner_of(e.program) for e in person.enrolments)),
    )
    moved = rosters(person.organization, person.enrolments, (), programs_of(person, context))
    blank = [dataclasses.replace(i, sha256="") for key in intakes if (i := context.get(Intake, key)) is not None]
    return new(gone, *moved, *blank).then(fact).clear(PAUSE_ENDS, person.id).returning(gone)


# ---- programs ----------------------------------------------------------------------------------------------------------


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


def program_launched(said: partner.ProgramLaunched, named: Named, context: Context) -> Outcome:
    """A program of the sender's own; launching it again in the same words changes nothing."""
    assert named.program is not None
    there = context.get(Program, named.program)
    policy = said.policy.applied_to(Policy())
    if there is not None:
        if there.closed:
            raise Rejected("program_closed", "this program is closed: launch one of another name", field="data.program")
        if (there.name, there.policy) != (said.name, policy):
            raise Rejected(
                "exists", "you have launched this program already: change it with ithaca.ProgramChanged", field="data.program"
            )
        return NOTHING
    owner = named.sender.id
    program = Program(named.program, owner, said.name, policy, audience=(owner,))
    return new(program).then(program_fact(ProgramLaunched, program))


def program_fact(kind: type[ProgramLaunched] | type[ProgramChanged], program: Program) -> ProgramLaunched | ProgramChanged:
    return kind(
        program=program.id,
        organization=program.organization,
        name=program.name,
        policy=program.policy,
        revision=program.revision,
        audience=program.audience,
    )


def own_program(named: Named, context: Context) -> Program:
    """The sender's own, and not closed."""
    program = seen_program(named, context)
    if program.organization != named.sender.id:
        raise Rejected("not_yours", "only a program's owner may do this", field="data.program")
    if program.closed:
        raise Rejected("program_closed", "this program is closed", field="data.program")
    return program


def program_changed(said: partner.ProgramChanged, named: Named, context: Context) -> Outcome:
    program = own_program(named, context)
    try:
        policy = said.policy.applied_to(program.policy)
    except ValidationError as error:
        text = error.errors(include_input=False, include_url=False, include_context=False)[0]["msg"]
        raise Rejected("policy", text, field="data.policy") from None
    after = dataclasses.replace(program, name=said.name or program.name, policy=policy)
    if after == program:
        return NOTHING
    after = dataclasses.replace(after, revision=program.revision + 1)
    return new(after).then(program_fact(ProgramChanged, after))


def program_closed(_: partner.ProgramClosed, named: Named, context: Context) -> Outcome:
    program = seen_program(named, context)
    if program.closed and program.organization == named.sender.id:
        return NOTHING
    program = own_program(named, context)
    return changed(program, closed=True).then(ProgramClosed(program=program.id, audience=program.audience))


def program_shared(said: partner.ProgramShared, named: Named, context: Context) -> Outcome:
    """An invitation, or other seats; those who are in stay in, however few the seats become."""
    program = own_program(named, context)
    if said.member == program.organization:
        raise Rejected("not_a_member", "this is your own program: name another organization", field="data.member")
    if not named.organization_known:
        raise Rejected("unknown_organization", "there is no organization of this name on the platform", field="data.member")
    before = program.membership(said.member) or Membership(said.member, -1, said.visibility)
    member = dataclasses.replace(before, seats=said.seats, visibility=said.visibility)
    if member == before:
        return NOTHING
    fact = ProgramShared(
        program=program.id,
        member=said.member,
        seats=said.seats,
        visibility=said.visibility,
        audience=together(program.organization, said.member),
    )
    return new(program.with_member(member)).then(fact)


def membership_of(named: Named, context: Context) -> tuple[Program, Membership]:
    program = seen_program(named, context)
    member = program.membership(named.sender.id)
    if member is None:
        raise Rejected("your_own", "this is your own program: there is nothing to join or leave", field="data.program")
    return program, member


def program_joined(_: partner.ProgramJoined, named: Named, context: Context) -> Outcome:
    program, member = membership_of(named, context)
    if member.joined:
        return NOTHING
    if program.closed:
        raise Rejected("program_closed", "this program is closed", field="data.program")
    fact = ProgramJoined(
        program=program.id, member=member.organization, audience=together(program.organization, member.organization)
    )
    return new(program.with_member(dataclasses.replace(member, joined=True))).then(fact)


def program_left(_: partner.ProgramLeft, named: Named, context: Context) -> Outcome:
    """The member is out, and its people with it; to come back it must be invited anew."""
    program, member = membership_of(named, context)
    if member.people != len(named.leaving):
        raise Raced("people were enrolled or withdrawn meanwhile")
    fact = ProgramLeft(
        program=program.id, member=member.organization, audience=together(program.organization, member.organization)
    )
    outcome = Outcome(events=(fact,))
    touched: dict[str, Program] = {program.id: program}
    for key in named.leaving:
        person = context.get(Person, key)
        if person is None or person.erased or person.enrolment(program.id) is None:
            raise Raced("people were enrolled or withdrawn meanwhile")
        gone = withdrawn(person, others(person, program.id), programs_of(person, context, *touched.values()), about=program.id)
        touched |= {p.id: p for p in gone.changed if isinstance(p, Program)}
        outcome = outcome.plus(gone)
    program = touched[program.id]
    members = tuple(m for m in program.members if m.organization != member.organization)
    audience = together(program.organization, (m.organization for m in members))
    return outcome.also(dataclasses.replace(program, members=members, audience=audience))


# ---- reports -----------------------------------------------------------------------------------------------------------


def meeting_reported(said: partner.MeetingReported, named: Named, context: Context, posted: Posted) -> Outcome:
    """Passed on to scheduling, which answers, in our ids."""
    seen_program(named, context)
    assert named.program is not None
    not_to_come(said.held_at, "data.held_at", context)
    for n, person in enumerate(named.attended):
        if person is None:
            text = "you have nobody by this id; for people of other organizations give the UUID that Ithaca gave"
            raise Rejected("unknown_person", text, field=f"data.people[{n}]")
    relationship = context.get(Relationship, named.relationship) if named.relationship else None
    if relationship is None:
        raise Rejected("no_relationship", "no relationship of these people in this program is known", field="data.people")
    fact = MeetingReported(
        report_id=posted.id,
        report_source=posted.source,
        organization=named.sender.id,
        program=named.program,
        relationship_id=relationship.id,
        meeting_id=said.meeting,
        held_at=said.held_at,
        minutes=said.minutes,
        attended=tuple(person for person in named.attended if person is not None),
        audience=together(relationship.audience, named.sender.id),
    )
    return Outcome(events=(fact,))


def outcome_reported(said: partner.OutcomeReported, named: Named, context: Context, posted: Posted) -> Outcome:
    """Recorded as it was said: nobody else decides on it."""
    person = own_person(named, context)
    program = seen_program(named, context) if named.program else None
    not_to_come(said.at, "data.at", context)
    fact = OutcomeReported(
        report_id=posted.id,
        report_source=posted.source,
        organization=named.sender.id,
        program=program.id if program else None,
        person_id=person.id,
        kind=said.kind,
        at=said.at,
        audience=together(named.sender.id, program.organization if program else ()),
    )
    return Outcome(events=(fact,))


def not_to_come(moment: datetime, field: str, context: Context) -> None:
    """A minute's difference of clocks is forgiven."""
    if moment > context.now + timedelta(minutes=1):
        raise Rejected("in_the_future", "this lies in the future: report it when it has happened", field=field)


# ---- the index of what may be posted -----------------------------------------------------------------------------------

Rule = Callable[[Any, Named, Context], Outcome]

RULES: dict[type[partner.PartnerEvent], Rule] = {
    partner.ProgramLaunched: program_launched,
    partner.ProgramChanged: program_changed,
    partner.ProgramClosed: program_closed,
    partner.ProgramShared: program_shared,
    partner.ProgramJoined: program_joined,
    partner.ProgramLeft: program_left,
    partner.PersonEnrolled: person_enrolled,
    partner.ProfileChanged: profile_changed,
    partner.PersonPaused: person_paused,
    partner.PersonResumed: person_resumed,
    partner.PersonWithdrawn: person_withdrawn,
}
REPORTS: dict[type[partner.PartnerEvent], Callable[[Any, Named, Context, Posted], Outcome]] = {
    partner.MeetingReported: meeting_reported,
    partner.OutcomeReported: outcome_reported,
}


def take(posted: Posted, named: Named, context: Context) -> Outcome:
    """Decide on a posted event, and remember what it was and what became of it. Returns its intake."""
    kind = type(posted.said)
    outcome = RULES[kind](posted.said, named, context) if kind in RULES else REPORTS[kind](posted.said, named, context, posted)
    intake = Intake(
        id=context.id,
        organization=named.sender.id,
        source=posted.source,
        own_id=posted.id,
        type=kind.TYPE,
        sha256=posted.sha256,
        status=IntakeStatus.waiting if kind is partner.MeetingReported else IntakeStatus.applied,
        caused=(str(context.id),) if outcome.events else (),
        reason=None,
        field=None,
        person=named.person,
        program=named.program,
        received_at=context.now,
    )
    return outcome.also(intake).returning(intake)
