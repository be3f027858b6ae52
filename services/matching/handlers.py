"""Which event concerns which aggregates, and what it does to them."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from services.matching import store
from services.matching.domain import co_mentees, leaving, personal, relief, requests
from services.matching.domain.model import (
    REQUESTS_OF,
    RESCORE,
    REVIEW_PROPOSAL,
    Person,
    Program,
    Relationship,
    RelationshipStatus,
    Rolling,
)
from services.matching.domain.proposals import review, score_anew
from services.matching.domain.runs import NEW_MONTH, ROLL, freed, offered, rescored_soon, roll
from shared.decisions import NOTHING, Context, Handler, Outcome, at, awaited, changed, new, on
from shared.errors import TryLater
from shared.events import (
    CircleAgreed,
    MeetingCancelled,
    MeetingRescheduled,
    MemberWentOut,
    MentorNominated,
    PairEnded,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonRecord,
    PersonResumed,
    PersonWithdrawn,
    ProfileChanged,
    ProgramChanged,
    ProgramClosed,
    ProgramJoined,
    ProgramLaunched,
    ProgramLeft,
    ProgramRecord,
    owner_of,
)
from shared.links import wishes_id


def learned_of_person(person: Person | None, event: PersonRecord, context: Context) -> Outcome:
    """The record is the whole person as of then; old news and late facts about an erased person change nothing.

    Proposals and requests of someone who no longer takes part are looked at again at once, other proposals scored anew soon; whoever
    has a place left is offered to those who wait.
    """
    if person is not None and (person.erased or event.revision <= person.revision):
        return NOTHING
    programs = tuple(dict.fromkeys(enrolment.program for enrolment in event.enrolments))
    fresh = replace(
        person or Person(event.person_id, event.organization),
        organization=event.organization,
        audience=tuple(sorted({event.organization, *(owner_of(program) for program in programs)})),
        own_id=event.own_id,
        status=event.status,
        revision=event.revision,
        profile=event.profile,
        programs=programs,
        enrolments=event.enrolments,
    )
    fresh = replace(
        fresh,
        waiting=tuple(w for w in fresh.waiting if w.program in programs),
        personal_rules=tuple(rule for rule in fresh.personal_rules if rule.program in programs),
        relief=tuple(relief for relief in fresh.relief if relief.program in programs),
    )
    if isinstance(event, PersonResumed):
        fresh = replace(fresh, unavailable=(), relief=tuple(replace(one, until=None) for one in fresh.relief))
    return offered(_reviewed(person, fresh, context), (fresh,), programs, context)


def erased(person: Person | None, event: PersonErased, context: Context) -> Outcome:
    """Everything about the person is forgotten but the id. Places stay taken until scheduling has ended the relationships."""
    if person is not None and person.erased:
        return NOTHING
    blank = Person(event.person_id, "", revision=event.revision, erased=True)
    return _reviewed(person, replace(blank, places=person.places if person else ()), context)


def _reviewed(before: Person | None, person: Person, context: Context) -> Outcome:
    outcome = new(person)
    for place in person.places:
        if place.proposed and not person.takes_part(place.program):
            outcome = outcome.arm(REVIEW_PROPOSAL, place.relationship_id, place.relationship_id, context.now)
        elif place.proposed:
            outcome = rescored_soon(outcome, place.program, context)
    if before and any(before.takes_part(program) and not person.takes_part(program) for program in before.programs):
        outcome = outcome.arm(REQUESTS_OF, person.id, person.id, context.now)
    return outcome


def learned_of_program(program: Program | None, event: ProgramRecord, context: Context) -> Outcome:
    """The record is the whole program as of then. Its proposals are scored by its policy of today."""
    if program is None:
        return new(Program(event.program, event.organization, event.policy, event.revision))
    if event.revision <= program.revision:
        return NOTHING
    known = changed(program, policy=event.policy, revision=event.revision, asked_before=program.untold)
    return rescored_soon(known, program.id, context)


def closed(program: Program | None, event: ProgramClosed, _: Context) -> Outcome:
    """Nobody is matched there any more."""
    if program is None:
        raise TryLater(awaited(Program, event.program))
    return NOTHING if program.closed else changed(program, closed=True)


def review_soon(relationship: Relationship, _: ProgramClosed, context: Context) -> Outcome:
    """The proposals of a closed program are looked at again."""
    return NOTHING.arm(REVIEW_PROPOSAL, relationship.id, relationship.id, context.now)


def joined(program: Program | None, event: ProgramJoined, _: Context) -> Outcome:
    """Another organization's people may come."""
    if program is None:
        raise TryLater(awaited(Program, event.program))
    return changed(program, members=tuple(sorted({*program.members, event.member})))


def left(program: Program | None, event: ProgramLeft, _: Context) -> Outcome:
    """An organization has left; its people's own records say that they are withdrawn."""
    if program is None:
        raise TryLater(awaited(Program, event.program))
    return changed(program, members=tuple(member for member in program.members if member != event.member))


def ended(relationship: Relationship | None, event: PairEnded, context: Context) -> Outcome:
    """Both are free for another partner, and not matched with each other for a while. Who was released goes first."""
    if relationship is None or relationship.status is RelationshipStatus.ended:
        return NOTHING
    return freed(replace(relationship, status=RelationshipStatus.ended), context, event)


RECORDS = (PersonEnrolled, ProfileChanged, PersonPaused, PersonResumed, PersonWithdrawn)


def programs_of(event: PersonRecord) -> set[str]:
    """Those in which the person is enrolled."""
    return {enrolment.program for enrolment in event.enrolments}


def wishes_of(event: MentorNominated) -> tuple[UUID]:
    """The mentee's in the program."""
    return (wishes_id(event.program, event.mentee_id),)


OF_REVIEW: dict[type, Any] = {
    Program: store.PROGRAM_OF_DUE,
    Person: store.PEOPLE_OF_DUE,
    Rolling: lambda due: (due.program,),
}
HANDLERS = [
    *(on(record, Person, by="person_id", do=learned_of_person, reads={Rolling: programs_of}) for record in RECORDS),
    on(PersonErased, Person, by="person_id", do=erased),
    on(ProgramLaunched, Program, by="program", do=learned_of_program),
    on(ProgramChanged, Program, by="program", do=learned_of_program),
    on(ProgramJoined, Program, by="program", do=joined),
    on(ProgramLeft, Program, by="program", do=left),
    on(ProgramClosed, Program, by="program", do=closed),
    on(ProgramClosed, Relationship, by=store.PROPOSED_IN_PROGRAM, do=review_soon),
    on(ProgramClosed, requests.Request, by=store.OPEN_IN_PROGRAM, do=requests.look_again),
    on(ProgramClosed, Person, by=store.PERSONAL_IN_PROGRAM, do=personal.forgotten),
    on(
        MentorNominated,
        requests.Wishes,
        by=wishes_of,
        do=requests.nominated,
        reads={
            Program: "program",
            Person: lambda e: (e.mentee_id, e.mentor_id),
            requests.Request: store.round_of_wishes(wishes_of),
        },
    ),
    Handler(REQUESTS_OF, requests.Request, store.OPEN_OF_PERSON, requests.look_again),
    at(requests.WINDOW, requests.Wishes, do=requests.window_closed, reads=store.OF_WISHES),
    at(requests.REVIEW, requests.Wishes, do=requests.review, reads=store.OF_WISHES),
    on(
        PairEnded,
        Relationship,
        by="relationship_id",
        do=ended,
        reads={Person: store.PEOPLE_OF_ENDED, Rolling: lambda e: (e.program,)},
    ),
    on(
        MemberWentOut,
        Relationship,
        by="relationship_id",
        do=leaving.went_out,
        reads={Person: store.PEOPLE_OF_ENDED, Rolling: "program"},
    ),
    on(
        CircleAgreed,
        Relationship,
        by="circle_id",
        do=co_mentees.circle_agreed,
        reads={Program: "program", Person: lambda e: e.people},
    ),
    on(MeetingRescheduled, Person, by="rescheduled_by", do=relief.changed_plans, reads={Rolling: "program"}),
    on(MeetingCancelled, Person, by="cancelled_by", do=relief.changed_plans, reads={Rolling: "program"}),
    at(relief.BACK, Person, do=relief.back, reads={Rolling: lambda due: (relief.program_of(due),)}),
    at(REVIEW_PROPOSAL, Relationship, do=review, reads=OF_REVIEW),
    at(RESCORE, Program, do=score_anew),
    at(ROLL, Program, do=roll),
    at(NEW_MONTH, Program, do=roll),
]
