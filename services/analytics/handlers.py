"""Which event changes what analytics knows: every event is a line of the story, some are counted as well."""

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from services.analytics import growing
from services.analytics.domain import counts, story
from services.analytics.domain.counts import Delivery, Meeting, Person, Program, Relationship, Seat
from services.analytics.domain.story import Line
from shared.decisions import NOTHING, Context, Outcome, changed, new, on
from shared.events import (
    CATALOGUE,
    AgreementSigned,
    Channel,
    Enrolment,
    Event,
    Format,
    GroupCreated,
    Match,
    MeetingHeld,
    MeetingMissed,
    MeetingRescheduled,
    MeetingScheduled,
    MemberJoined,
    MemberLeft,
    MilestoneReached,
    Notification,
    NotificationFailed,
    NotificationSent,
    PairCreated,
    PairEnded,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonRecord,
    PersonResumed,
    PersonStatus,
    PersonWaitlisted,
    PersonWithdrawn,
    ProfileChanged,
    ProgramChanged,
    ProgramClosed,
    ProgramJoined,
    ProgramLaunched,
    ProgramLeft,
    ProgramRecord,
    ProgramShared,
    RelationshipEvent,
    Visibility,
    owner_of,
)
from shared.events.relationship import Meeting as MeetingEvent

# ---- the story ---------------------------------------------------------------------------------------------------------


def told(_: Line | None, event: Event, context: Context) -> Outcome:
    """Every event is one line, with where it stands in the log."""
    record: Any = context.item
    causation = record.text("ce_causationid")
    trace = story.trace_of(record.traceparent)
    named = dict.fromkeys([*map(str, story.ids_named(event)), causation, trace])
    named.pop("", None)
    line = Line(
        context.id,
        context.time,
        record.recorded,
        event.TYPE.removeprefix("ithaca."),
        record.topic,
        record.key,
        context.organization,
        context.program or None,
        event.audience,
        tuple(named),
        story.small(event).decode(),
        record.text("ce_source").rpartition("/")[2],
        record.text("ce_correlationid"),
        causation,
        trace,
        record.partition,
        record.offset,
    )
    return new(line)


def a_new_line(_: Any) -> tuple[Any, ...]:
    """Nothing to load: a line is written once."""
    return (None,)


def recorded(context: Context) -> datetime:
    """When Ithaca learned of the event."""
    record: Any = context.item
    moment: datetime = record.recorded
    return moment


# ---- people ------------------------------------------------------------------------------------------------------------


def known(person: Person | None, event: PersonRecord, context: Context) -> Outcome:
    """The record is the whole person: an older one than known, or one of an erased person, says nothing."""
    if person is not None and (person.erased or person.revision >= event.revision):
        return NOTHING
    gone = event.status == PersonStatus.withdrawn
    programs = () if gone else tuple(sorted({e.program for e in event.enrolments}))
    audience = counts.audience_of(event.organization, programs)
    at = recorded(context)
    return new(Person(event.person_id, event.organization, event.own_id, programs, audience, event.revision, False, at))


def seated(seat: Seat | None, enrolment: Enrolment, event: PersonRecord, context: Context) -> Outcome:
    audience = (event.organization, owner_of(enrolment.program))
    taken = counts.seat(seat, event.person_id, enrolment.program, audience, recorded(context))
    taken = counts.enrolled(taken, enrolment.since or context.time)
    return NOTHING if taken == seat else new(taken)


def enrolled(_: Seat | None, event: PersonRecord, context: Context) -> Outcome:
    """A seat in each program the person is enrolled in."""
    outcome = NOTHING
    for enrolment in event.enrolments:
        seat = context.get(Seat, Seat.key(event.person_id, enrolment.program))
        outcome = outcome.plus(seated(seat, enrolment, event, context))
    return outcome


def erased(person: Person | None, event: PersonErased, context: Context) -> Outcome:
    """The partner's own id goes, the id stays as erased, for ever."""
    if person is None:
        return new(Person(event.person_id, "", None, (), event.audience, event.revision, True, recorded(context)))
    return changed(person, own_id=None, programs=(), revision=event.revision, erased=True, recorded=recorded(context))


def seats_of(event: PersonRecord) -> tuple[str, ...]:
    return tuple(Seat.key(event.person_id, enrolment.program) for enrolment in event.enrolments)


def seat_of(event: PersonWaitlisted) -> tuple[str, ...]:
    return (Seat.key(event.person_id, event.program),)


def waitlisted(seat: Seat | None, event: PersonWaitlisted, context: Context) -> Outcome:
    taken = counts.seat(seat, event.person_id, event.program, event.audience, recorded(context))
    return new(counts.waits(taken, context.time))


# ---- relationships -----------------------------------------------------------------------------------------------------


def _relationship(
    known: Relationship | None, event: Match | MemberJoined | MemberLeft | RelationshipEvent, context: Context
) -> Relationship:
    return counts.relationship(known, event.relationship_id, event.program, event.audience, recorded(context))


def created(known: Relationship | None, event: Match, context: Context) -> Outcome:
    """A relationship begins; its members wait no more."""
    if known is not None and known.formed:
        return NOTHING
    begun = counts.with_member(_relationship(known, event, context), *event.members)
    once = event.format is Format.conversation
    formed = "group" if isinstance(event, GroupCreated) else "conversation" if once else "pair"
    return new(dataclasses.replace(begun, formed=formed, begun_at=context.time)).also(*_placed(event, event.members, context))


def _placed(event: Match | MemberJoined, members: Iterable[Any], context: Context) -> list[Seat]:
    seats = []
    for member in members:
        seat = context.get(Seat, Seat.key(member.person_id, event.program))
        taken = counts.seat(seat, member.person_id, event.program, event.audience or (member.organization,), recorded(context))
        seats.append(counts.placed(taken, context.time))
    return seats


def seats_of_members(event: Match) -> tuple[str, ...]:
    return tuple(Seat.key(member.person_id, event.program) for member in event.members)


def seat_of_member(event: MemberJoined) -> tuple[str, ...]:
    return (Seat.key(event.member.person_id, event.program),)


def joined(known: Relationship | None, event: MemberJoined, context: Context) -> Outcome:
    relationship = counts.with_member(_relationship(known, event, context), event.member)
    return new(relationship).also(*_placed(event, (event.member,), context))


def left(known: Relationship | None, event: MemberLeft, context: Context) -> Outcome:
    return new(counts.without_member(_relationship(known, event, context), event.member.person_id))


def signed(known: Relationship | None, event: AgreementSigned, context: Context) -> Outcome:
    """With the last signature the agreement counts."""
    if not event.complete:
        return NOTHING
    return new(dataclasses.replace(_relationship(known, event, context), agreed=True))


def reached(known: Relationship | None, event: MilestoneReached, context: Context) -> Outcome:
    relationship = _relationship(known, event, context)
    name = f"{event.milestone}:{event.own}" if event.own else str(event.milestone)
    return new(dataclasses.replace(relationship, milestones=counts.merged(relationship.milestones, [name])))


def ended(known: Relationship | None, event: PairEnded, context: Context) -> Outcome:
    """For the first reason that was given."""
    relationship = _relationship(known, event, context)
    if relationship.ended:
        return NOTHING
    return new(dataclasses.replace(relationship, ended=True, ended_at=context.time, reason=event.reason, side=event.side))


# ---- meetings ----------------------------------------------------------------------------------------------------------


def _meeting(known: Meeting | None, event: MeetingEvent, context: Context) -> Meeting:
    return counts.meeting(known, event.meeting_id, event.program, event.audience, recorded(context))


def scheduled(known: Meeting | None, event: MeetingEvent, context: Context) -> Outcome:
    return new(dataclasses.replace(_meeting(known, event, context), scheduled=True))


def held(known: Meeting | None, event: MeetingHeld, context: Context) -> Outcome:
    """The highest revision holds; between equal ones, held does, since it corrects."""
    meeting = _meeting(known, event, context)
    if meeting.held >= event.revision:
        return new(meeting)
    came = tuple(map(str, event.attended))
    return new(
        dataclasses.replace(
            meeting,
            held=event.revision,
            relationship_id=event.relationship_id,
            held_at=event.held_at,
            minutes=event.minutes,
            attended=came,
            expected=event.expected,
        )
    )


def missed(known: Meeting | None, event: MeetingMissed, context: Context) -> Outcome:
    meeting = _meeting(known, event, context)
    return new(dataclasses.replace(meeting, missed=max(meeting.missed, event.revision)))


# ---- mails -------------------------------------------------------------------------------------------------------------


def delivered(known: Delivery | None, event: Notification, context: Context) -> Outcome:
    """A mail about a program is sent, or given up. A failure after which it is tried again isn't counted."""
    final = isinstance(event, NotificationFailed) and event.final
    sent = isinstance(event, NotificationSent)
    if not event.program or event.channel != Channel.mail or not (sent or final):
        return NOTHING
    at, owner = recorded(context), owner_of(event.program)
    if known is None:
        return new(Delivery(event.delivery_id, event.program, owner, counts.merged(event.audience, [owner]), sent, final, at))
    return changed(known, sent=known.sent or sent, failed=known.failed or final, recorded=max(known.recorded, at))


# ---- programs ----------------------------------------------------------------------------------------------------------


def _program(known: Program | None, program: str) -> Program:
    return known or Program(program, owner_of(program), program.partition(".")[2], (), (), (), False)


def described(known: Program | None, event: ProgramRecord, _: Context) -> Outcome:
    return new(dataclasses.replace(_program(known, event.program), name=event.name))


def shared(known: Program | None, event: ProgramShared, _: Context) -> Outcome:
    program = _program(known, event.program)
    others = [name for name in program.with_totals if name != event.member]
    totals = [event.member] if event.visibility == Visibility.own_people_and_totals else []
    return new(
        dataclasses.replace(
            program, invited=counts.merged(program.invited, [event.member]), with_totals=counts.merged(others, totals)
        )
    )


def program_joined(known: Program | None, event: ProgramJoined, _: Context) -> Outcome:
    program = _program(known, event.program)
    return new(dataclasses.replace(program, members=counts.merged(program.members, [event.member])))


def program_left(known: Program | None, event: ProgramLeft, _: Context) -> Outcome:
    program = _program(known, event.program)
    return new(dataclasses.replace(program, members=tuple(m for m in program.members if m != event.member)))


def closed(known: Program | None, event: ProgramClosed, _: Context) -> Outcome:
    return new(dataclasses.replace(_program(known, event.program), closed=True))


RECORDS: tuple[type[PersonRecord], ...] = (
    PersonEnrolled, ProfileChanged, PersonPaused, PersonResumed, PersonWithdrawn,
)  # fmt: skip

HANDLERS = [
    *(on(event, Line, by=a_new_line, do=told) for event in CATALOGUE.values()),
    *(on(record, Person, by="person_id", do=known) for record in RECORDS),
    *(on(record, Seat, by=a_new_line, do=enrolled, reads={Seat: seats_of}) for record in RECORDS),
    on(PersonErased, Person, by="person_id", do=erased),
    on(PersonWaitlisted, Seat, by=seat_of, do=waitlisted),
    on(PairCreated, Relationship, by="relationship_id", do=created, reads={Seat: seats_of_members}),
    on(GroupCreated, Relationship, by="relationship_id", do=created, reads={Seat: seats_of_members}),
    on(MemberJoined, Relationship, by="relationship_id", do=joined, reads={Seat: seat_of_member}),
    on(MemberLeft, Relationship, by="relationship_id", do=left),
    on(AgreementSigned, Relationship, by="relationship_id", do=signed),
    on(MilestoneReached, Relationship, by="relationship_id", do=reached),
    on(PairEnded, Relationship, by="relationship_id", do=ended),
    on(MeetingScheduled, Meeting, by="meeting_id", do=scheduled),
    on(MeetingRescheduled, Meeting, by="meeting_id", do=scheduled),
    on(MeetingHeld, Meeting, by="meeting_id", do=held),
    on(MeetingMissed, Meeting, by="meeting_id", do=missed),
    on(NotificationSent, Delivery, by="delivery_id", do=delivered),
    on(NotificationFailed, Delivery, by="delivery_id", do=delivered),
    on(ProgramLaunched, Program, by="program", do=described),
    on(ProgramChanged, Program, by="program", do=described),
    on(ProgramShared, Program, by="program", do=shared),
    on(ProgramJoined, Program, by="program", do=program_joined),
    on(ProgramLeft, Program, by="program", do=program_left),
    on(ProgramClosed, Program, by="program", do=closed),
    *growing.HANDLERS,
]
