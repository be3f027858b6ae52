"""The agreement: drafted from the program's defaults, signed by all, and from then on the frame of everything else."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.scheduling.domain import check_ins, renewal, risk, signs, slots, unsigned
from services.scheduling.domain.meetings import propose, propose_again
from services.scheduling.domain.model import Member, Moment, Person, Program, Relationship, Rules, Signature, audience_of
from shared.decisions import NOTHING, Outcome
from shared.events import AgreementProposed, AgreementSigned, Format, Match, PersonStatus
from shared.events import Member as EventMember

MONTHS_TO_TALK = 1
"""In which those who meet once find the time, or it is over."""


def member_of(member: EventMember, person: Person) -> Member:
    """A member of a match, with what is known of the person."""
    return Member(
        member.person_id,
        member.role,
        member.organization,
        person.time_zone,
        person.country,
        person.availability,
        person.status is PersonStatus.paused,
        person.revision,
        person.own_id,
        person.days,
    )


def draft(event: Match, program: Program, people: Sequence[Person], moment: Moment) -> Relationship:
    """A new relationship with the terms its program begins with."""
    members = tuple(member_of(member, person) for member, person in zip(event.members, people, strict=True))
    terms = program.policy.agreement
    return Relationship(
        id=event.relationship_id,
        organization=program.organization,
        program=program.id,
        format=event.format,
        term=event.term,
        members=members,
        people=tuple(str(m.person_id) for m in members),
        audience=audience_of(program.organization, members),
        time_zone=members[0].time_zone,
        terms=terms.model_copy(update={"topics": event.about}) if event.about else terms,
        rules=Rules.of(program.policy),
        rules_revision=program.revision,
        created_at=moment.now,
        version=0 if event.format is Format.conversation else 1,
        reasons=event.reasons,
    )


def begun(relationship: Relationship, moment: Moment) -> Outcome:
    """A new relationship: its agreement waits to be signed. Those who meet once sign none, and are proposed times at once."""
    if relationship.meets_once:
        return _held_to(relationship, MONTHS_TO_TALK, moment)
    relationship, waits = unsigned.wait(relationship, moment)
    return waits.then(proposed(relationship)).plus(risk.watched(relationship, moment)).also(relationship)


def proposed(relationship: Relationship) -> AgreementProposed:
    return AgreementProposed(
        **relationship.about,
        version=relationship.version,
        members=tuple(EventMember(person_id=m.person_id, role=m.role, organization=m.organization) for m in relationship.members),
        terms=relationship.terms,
    )


def sign(relationship: Relationship, person_id: UUID, moment: Moment) -> Outcome:
    """A member agrees; with the last one the agreement holds and the first meeting is proposed."""
    if relationship.ended_at is not None or relationship.has_signed(person_id):
        return NOTHING
    relationship = replace(relationship, signatures=(*relationship.signatures, Signature(person_id, moment.now)))
    return settle(relationship, person_id, moment)


def settle(relationship: Relationship, signed_by: UUID, moment: Moment) -> Outcome:
    """Say who signed, and begin where nobody is missing any more."""
    complete = all(relationship.has_signed(m.person_id) for m in relationship.members)
    signed = AgreementSigned(**relationship.about, version=relationship.version, person_id=signed_by, complete=complete)
    if not complete or not relationship.is_open:
        relationship, waits = unsigned.with_breaks(relationship, moment)
        return waits.then(signed).also(relationship)
    relationship, over = unsigned.over(relationship)
    outcome = over.then(signed)
    if relationship.revised is None:
        return outcome.plus(_held_to(relationship, relationship.terms.months, moment))
    return outcome.plus(_held_anew(replace(relationship, terms=relationship.newest, revised=None), relationship, moment))


def _held_anew(relationship: Relationship, before: Relationship, moment: Moment) -> Outcome:
    """A changed version holds. Other months move the end; another rhythm is that of the next proposal."""
    if relationship.terms.months == before.terms.months:
        return signs.watched(relationship).also(relationship)
    assert relationship.began is not None
    until = slots.add_months(relationship.began, relationship.terms.months, relationship.time_zone)
    relationship = replace(relationship, until=until, renewal=None)
    outcome = renewal.armed(relationship, moment.now).plus(signs.watched(relationship))
    outcome = outcome.plus(check_ins.look_soon(relationship, moment)).also(relationship)
    return outcome.plus(propose_again(relationship, moment))


def _held_to(relationship: Relationship, months: int, moment: Moment) -> Outcome:
    """It holds from now on for so many months, and the first meeting is proposed."""
    until = slots.add_months(moment.now, months, relationship.time_zone)
    relationship, first = propose(replace(relationship, agreed_at=moment.now, until=until), moment)
    outcome = renewal.armed(relationship, moment.now).plus(first).plus(signs.watched(relationship))
    return outcome.plus(check_ins.begun(relationship)).also(relationship)
