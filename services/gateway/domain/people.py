"""What the gateway decides on people: each record is the whole person, and moves the rosters of their programs."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from services.gateway.domain.kept import PAUSE_ENDS, Intake, Nominations, Organization, Person, Program, together
from services.gateway.domain.named import Named, open_program, own_person
from shared.decisions import NOTHING, Context, Outcome, new
from shared.errors import Raced, Rejected
from shared.events import (
    Contact,
    Enrolment,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonRecord,
    PersonResumed,
    PersonStatus,
    PersonWithdrawn,
    Profile,
    ProfileChanged,
    Role,
    owner_of,
    partner,
)


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
    fact: type[PersonRecord], person: Person, enrolments: Iterable[Enrolment], *, about: str | None = None, **more: Any
) -> PersonRecord:
    """The whole person as of now, for the organization and the owners of programs they are or were in. `more`: what this kind says besides."""
    assert person.own_id is not None
    assert person.profile is not None
    assert person.contact is not None
    return fact(
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
        **({"audience": together(person.organization, (owner_of(e.program) for e in enrolments))} | more),
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
        Profile(time_zone=sender.time_zone),
        Contact(name=said.person, locale=sender.locale),
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
        status=PersonStatus.active if person.status in {PersonStatus.withdrawn, PersonStatus.invited} else person.status,
        profile=said.profile(person.profile),
        contact=said.contact(person.contact),
        enrolments=tuple(
            sorted((*others(person, program.id), enrolment_of(said, had, program, context)), key=lambda e: e.program)
        ),
    )
    return recorded(before, after, PersonEnrolled, programs_of(before, context, program), about=program.id)


def may_mentor(person: Person, program: Program, *, matched: bool) -> bool:
    """Whether a mentee of a program may become a mentor in it: who is in no relationship there any more."""
    enrolment = person.enrolment(program.id)
    is_mentee = enrolment is not None and enrolment.role is Role.mentee
    return is_mentee and person.status is PersonStatus.active and not matched and not program.closed


def become_mentor(
    said: partner.PersonEnrolled, program: str, home: Organization, person: Person | None, context: Context
) -> Outcome:
    """A mentee who is through becomes a mentor, by their own word."""
    known = context.get(Program, program)
    if person is None or person.erased or known is None or not may_mentor(person, known, matched=False):
        return NOTHING
    return person_enrolled(said, Named(home, program, person.id), context)


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
    """Nothing stays but the id, the mark and the revision, and what was posted about the person can't be compared any more.

    Of whoever was only invited no organization has heard.
    """
    if person is None:
        raise Rejected("unknown_person", "You have nobody by this id.", status=404)
    if person.erased:
        return NOTHING.returning(person)
    if person.revision != seen:
        raise Raced("the person changed meanwhile")
    revision = person.revision + 1
    gone = Person(person.id, person.organization, None, PersonStatus.withdrawn, None, None, None, (), revision, erased=True)
    knows = () if person.status is PersonStatus.invited else (person.organization,)
    fact = PersonErased(
        person_id=person.id, revision=revision, audience=together(knows, (owner_of(e.program) for e in person.enrolments))
    )
    moved = rosters(person.organization, person.enrolments, (), programs_of(person, context))
    blank = [dataclasses.replace(i, sha256="") for key in intakes if (i := context.get(Intake, key)) is not None]
    named = [nominations] if (nominations := context.get(Nominations, person.id)) else []
    return new(gone, *moved, *blank).forget(*named).then(fact).clear(PAUSE_ENDS, person.id).returning(gone)
