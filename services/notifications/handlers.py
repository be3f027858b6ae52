"""Which facts are told to whom. The last lines are the index."""

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.notifications import webhooks
from services.notifications.domain import (
    Delivery,
    Meeting,
    MeetingState,
    Organization,
    Person,
    Program,
    Relationship,
    State,
    Waiting,
    both,
    message_id,
    others,
)
from shared.cloudevents import rfc3339
from shared.decisions import NOTHING, Context, Handler, Outcome, at, awaited, changed, new, on
from shared.errors import TryLater
from shared.events import (
    AgreementProposed,
    AgreementRevised,
    AgreementSigned,
    Channel,
    ContactLogged,
    EndReason,
    Format,
    GroupCreated,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingProposed,
    MeetingRescheduled,
    MeetingScheduled,
    MemberAsked,
    MemberJoined,
    MemberLeft,
    MentorRequest,
    MentorRequested,
    Milestone,
    MilestoneReached,
    NominationEnded,
    OrganizationOnboarded,
    PairCreated,
    PairEnded,
    PairFrozen,
    PairRecovered,
    PairStalled,
    PairWarned,
    PersonEnrolled,
    PersonErased,
    PersonInvited,
    PersonRecord,
    PersonWaitlisted,
    ProgramChanged,
    ProgramLaunched,
    ProgramRecord,
    ReminderDue,
    RenewalOffered,
    RequestAccepted,
    RequestDeclined,
    RequestExpired,
    RequestQuestioned,
    RequestWithdrawn,
    RevisionReason,
    Role,
    SignaturesAwaited,
    StallReason,
    WithdrawalReason,
    owner_of,
)
from shared.timers import DueTimer

DID_YOU_MEET = "did_you_meet"
IN_TOUCH = "in_touch"
TELL_AGAIN_AFTER = timedelta(days=30)
"""The same reason for waiting isn't told twice within this time, however many match runs find it."""
CELEBRATED = frozenset(Milestone) - {Milestone.other, Milestone.completed}
"""That the way is gone to its end is celebrated with the last word."""


# ---- organizations, programs, people -----------------------------------------------------------------------------------


def organization_onboarded(known: Organization | None, event: OrganizationOnboarded, _: Context) -> Outcome:
    named = Organization(event.organization, event.name)
    return NOTHING if known == named else new(named)


def program_known(known: Program | None, event: ProgramRecord, _: Context) -> Outcome:
    """The program as of now; an older record than known is old news."""
    if known is not None and known.revision >= event.revision:
        return NOTHING
    policy = event.policy
    asks = bool(policy.personal_rules) or (known is not None and known.personal_rules)
    talks = set(policy.formats) == {Format.conversation}
    return new(Program(event.program, event.organization, event.name, event.revision, policy.by_request, asks, talks))


def person_recorded(known: Person | None, event: PersonRecord, context: Context) -> Outcome:
    """The whole person as of now. Someone who is new to a program is welcomed to it, once; or invited, and then not welcomed too."""
    if known is not None and (known.erased or known.revision >= event.revision):
        return NOTHING
    person = replace(
        known or Person(event.person_id, event.organization, 0),
        organization=event.organization,
        revision=event.revision,
        status=event.status,
        name=event.contact.name,
        email=event.contact.email,
        locale=event.contact.locale,
        time_zone=event.profile.time_zone,
        talks=tuple(e.program for e in event.enrolments if set(e.formats) == {Format.conversation}),
    )
    program = event.program
    if not isinstance(event, PersonEnrolled | PersonInvited) or program is None or program in person.welcomed:
        return new(person)
    if isinstance(event, PersonInvited):
        asks = {"role": Role.mentor.value, "who": str(event.invited_by), "closes_at": rfc3339(event.closes_at)}
        invited = replace(_message(context, event.person_id, event.organization, program, "invited", asks), audience=())
        return new(replace(person, welcomed=(*person.welcomed, program)), invited)
    role = next((e.role for e in event.enrolments if e.program == program), None)
    welcome = _message(context, event.person_id, event.organization, program, "welcome", {"role": role.value if role else None})
    return new(replace(person, welcomed=(*person.welcomed, program)), welcome)


def person_erased(known: Person | None, event: PersonErased, context: Context) -> Outcome:
    """Name, address and wishes are gone; that this id was erased is remembered for ever."""
    home = known.organization if known is not None else context.organization
    return new(Person(event.person_id, home, event.revision, erased=True))


def person_waitlisted(person: Person | None, event: PersonWaitlisted, context: Context) -> Outcome:
    """Someone without a partner hears why, and not the same again with every run."""
    if person is None:
        raise TryLater(awaited(Person, event.person_id))
    if person.erased:
        return NOTHING
    why = " ".join((event.role, event.reason, *event.missing))
    told = {waiting.program: waiting for waiting in person.waiting}
    before = told.get(event.program)
    if before is not None and before.why == why and context.now - before.told_at < TELL_AGAIN_AFTER:
        return NOTHING
    told[event.program] = Waiting(event.program, why, context.now)
    data = {"role": event.role.value, "reason": event.reason.value, "missing": list(event.missing)}
    return new(
        replace(person, waiting=tuple(told.values())),
        _message(context, person.id, person.organization, event.program, "waiting", data),
    )


# ---- relationships -----------------------------------------------------------------------------------------------------


def relationship_created(known: Relationship | None, event: PairCreated | GroupCreated, _: Context) -> Outcome:
    """Nothing is told yet: the agreement's mail introduces the members to each other, or that of the times for their one meeting."""
    if known is not None:
        return NOTHING
    homes = (member.organization for member in event.members)
    owner = owner_of(event.program)
    audience = both(owner, *homes)
    return new(
        Relationship(
            event.relationship_id,
            owner,
            event.program,
            audience,
            event.members,
            event.reasons,
            format=event.format,
            term=event.term,
        )
    )


def member_joined(known: Relationship | None, event: MemberJoined, _: Context) -> Outcome:
    relationship = _known(known, event.relationship_id)
    if event.member in relationship.members:
        return NOTHING
    audience = both(*relationship.audience, event.member.organization)
    return changed(relationship, members=(*relationship.members, event.member), audience=audience)


def member_left(known: Relationship | None, event: MemberLeft, _: Context) -> Outcome:
    relationship = _known(known, event.relationship_id)
    stay = tuple(member for member in relationship.members if member.person_id != event.member.person_id)
    return NOTHING if stay == relationship.members else changed(relationship, members=stay)


def agreement_proposed(known: Relationship | None, event: AgreementProposed | AgreementRevised, context: Context) -> Outcome:
    """The first draft introduces the members to each other; each gets a link to sign. A revision is signed by link, too; who made it reads
    that the others are asked.
    """
    relationship = _known(known, event.relationship_id)
    if isinstance(event, AgreementRevised) and event.reason is RevisionReason.renewed and event.until:
        return NOTHING if relationship.ended else _tell(context, relationship, "renewed", {"until": rfc3339(event.until)})
    if event.version <= relationship.agreement or relationship.ended:
        return NOTHING
    data: dict[str, Any] = {"version": event.version}
    if isinstance(event, AgreementRevised):
        by = str(event.revised_by) if event.revised_by else None
        told = _tell(context, relationship, "revised", data | {"by": by, "held": relationship.agreed})
    else:
        told = _tell(context, relationship, "introduction", data)
    return changed(relationship, agreement=event.version, terms=event.terms, signed=()).plus(told)


def agreement_signed(known: Relationship | None, event: AgreementSigned, context: Context) -> Outcome:
    """Those who mentor by letter may begin: each is told where to write. Others hear of times to meet."""
    relationship = _known(known, event.relationship_id)
    if event.version < relationship.agreement:
        return NOTHING
    signed = (*relationship.signed, str(event.person_id))
    outcome = changed(relationship, signed=signed, agreed=relationship.agreed or event.complete)
    if not event.complete or relationship.agreed or relationship.format is not Format.e_mentoring:
        return outcome
    return outcome.plus(_tell(context, relationship, "write", {})).plus(_ask_in_touch(relationship, context))


def signatures_awaited(known: Relationship | None, event: SignaturesAwaited, context: Context) -> Outcome:
    """Those who haven't signed are reminded, with the link to do so."""
    relationship = _known(known, event.relationship_id)
    return _tell(context, relationship, "unsigned", {"version": event.version}, to=event.people)


def renewal_offered(known: Relationship | None, event: RenewalOffered, context: Context) -> Outcome:
    """The months are nearly over: each is asked whether they go on."""
    relationship = _known(known, event.relationship_id)
    until = {"until": rfc3339(event.until), "renewed_until": rfc3339(event.renewed_until)}
    return _tell(context, relationship, "renewal", {"renewals": event.renewals, "months": event.months, **until})


def _ask_in_touch(relationship: Relationship, context: Context) -> Outcome:
    """After the agreed interval those who write to each other are asked whether they do."""
    if relationship.terms is None or relationship.ended:
        return NOTHING
    asks_at = context.now + timedelta(weeks=relationship.terms.every_weeks)
    return NOTHING.arm(IN_TOUCH, relationship.id, relationship.id, asks_at)


def ask_in_touch(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    """One tap says that they are in touch; nobody is asked about what they were told has gone quiet."""
    if relationship is None or relationship.ended:
        return NOTHING
    asked = NOTHING if relationship.quiet else _tell(context, relationship, IN_TOUCH, {}, fact=(context.id, "timer"))
    return asked.plus(_ask_in_touch(relationship, context))


def contact_logged(known: Relationship | None, event: ContactLogged, context: Context) -> Outcome:
    """They were in touch: no need to ask for a while."""
    relationship = _known(known, event.relationship_id)
    return _ask_in_touch(relationship, context) if relationship.format is Format.e_mentoring else NOTHING


def pair_stalled(known: Relationship | None, event: PairStalled, context: Context) -> Outcome:
    """A kind word that it has gone quiet, with what one can do. Not where they read of their missed meetings already, or where one of
    them is asked.
    """
    relationship = _known(known, event.relationship_id)
    quiet = changed(relationship, quiet=True)
    if event.reason in {StallReason.misses, StallReason.said_silent}:
        return quiet
    return quiet.plus(_tell(context, relationship, "nudge", {"since": _instant(event.quiet_since)}))


def pair_warned(known: Relationship | None, event: PairWarned, context: Context) -> Outcome:
    """A second word, with the day from which nothing more is proposed."""
    data = {"since": _instant(event.quiet_since), "freezes_at": event.freezes_at.isoformat()}
    return _tell(context, _known(known, event.relationship_id), "warned", data)


def pair_frozen(known: Relationship | None, event: PairFrozen, context: Context) -> Outcome:
    """The last word before the end: one tap brings it back."""
    return _tell(context, _known(known, event.relationship_id), "frozen", {"ends_at": _instant(event.ends_at)})


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def member_asked(known: Relationship | None, event: MemberAsked, context: Context) -> Outcome:
    """One member is asked whether they go on; nobody else hears of it."""
    relationship = _known(known, event.relationship_id)
    told = _tell(context, relationship, "asked", {"answer_by": event.answer_by.isoformat()}, to=(event.person_id,))
    return changed(relationship, asked=event.person_id).plus(told)


def pair_recovered(known: Relationship | None, event: PairRecovered, context: Context) -> Outcome:
    """Alive again; where one was asked, the others read that they go on."""
    relationship = _known(known, event.relationship_id)
    recovered = changed(relationship, quiet=False, asked=None)
    if event.answered_by is None:
        return recovered
    rest = {m.person_id for m in others(relationship, event.answered_by)}
    return recovered.plus(_tell(context, relationship, "answered", {"who": str(event.answered_by)}, to=rest))


def milestone_reached(known: Relationship | None, event: MilestoneReached, context: Context) -> Outcome:
    """A step worth celebrating is celebrated with everyone in it."""
    if event.milestone not in CELEBRATED:
        return NOTHING
    return _tell(
        context, _known(known, event.relationship_id), "milestone", {"milestone": event.milestone.value, "own": event.own}
    )


def pair_ended(known: Relationship | None, event: PairEnded, context: Context) -> Outcome:
    """A kind last word to everyone; those who want a new partner read that they come first. Who missed their one meeting has had it."""
    relationship = _known(known, event.relationship_id)
    if relationship.ended:
        return NOTHING
    if relationship.meets_once and event.reason is EndReason.completed and not event.meetings_held:
        return changed(relationship, ended=True)
    data = {
        "reason": event.reason.value,
        "silent": str(event.unanswered_by or ""),
        "meetings_held": event.meetings_held,
        "first": [str(p) for p in event.rematch_first],
    }
    over = changed(relationship, ended=True).clear(IN_TOUCH, relationship.id)
    return over.plus(_tell(context, relationship, "ended", data))


# ---- meetings ----------------------------------------------------------------------------------------------------------


def meeting_proposed(known: Meeting | None, event: MeetingProposed, context: Context) -> Outcome:
    """Everyone may pick one of the times; with those of their one meeting the members are introduced to each other. One more that
    a member suggests is for the others to take.
    """
    relationship = _known(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is not None:
        return _suggested(known, relationship, event, context)
    meeting = Meeting(
        event.meeting_id,
        relationship.organization,
        relationship.id,
        MeetingState.proposed,
        None,
        event.minutes,
        number=event.number,
    )
    data = {"slots": [rfc3339(slot) for slot in event.slots], "minutes": event.minutes, "number": event.number}
    template = "conversation" if relationship.meets_once else "choose_time"
    return new(meeting).plus(_tell(context, relationship, template, data, meeting=meeting.id))


def _suggested(known: Meeting, relationship: Relationship, event: MeetingProposed, context: Context) -> Outcome:
    open_still = known.state in {MeetingState.proposed, MeetingState.scheduled} and known.sequence <= event.sequence
    if event.proposed_by is None or not open_still:
        return NOTHING
    data = {
        "suggested_at": event.slots[0].isoformat(),
        "minutes": event.minutes,
        "sequence": event.sequence,
        "by": str(event.proposed_by),
        **({"starts_at": known.starts_at.isoformat()} if known.starts_at else {}),
    }
    return _tell(
        context,
        relationship,
        "suggested",
        data,
        meeting=known.id,
        to={m.person_id for m in others(relationship, event.proposed_by)},
    )


def meeting_scheduled(known: Meeting | None, event: MeetingScheduled | MeetingRescheduled, context: Context) -> Outcome:
    """The time goes into everyone's calendar, and at the meeting's end they are asked whether they met."""
    relationship = _known(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is not None and known.state is not MeetingState.proposed and known.sequence >= event.sequence:
        return NOTHING
    meeting = Meeting(
        event.meeting_id,
        relationship.organization,
        relationship.id,
        MeetingState.scheduled,
        event.starts_at,
        event.minutes,
        event.sequence,
        known.revision if known else 0,
        event.number,
        context.id,
        event.TYPE,
    )
    data: dict[str, Any] = {"starts_at": event.starts_at.isoformat(), "minutes": event.minutes, "sequence": event.sequence}
    template = "invitation"
    if isinstance(event, MeetingRescheduled):
        template = "moved"
        data |= {"was_at": event.was_at.isoformat(), "reason": event.reason.value}
        data["by"] = str(event.rescheduled_by) if event.rescheduled_by else None
    told = _tell(context, relationship, template, data, meeting=meeting.id)
    asks_at = event.starts_at + timedelta(minutes=event.minutes)
    return new(meeting).plus(told).arm(DID_YOU_MEET, meeting.id, relationship.id, asks_at)


def meeting_cancelled(known: Meeting | None, event: MeetingCancelled, context: Context) -> Outcome:
    """It leaves everyone's calendar. Where no time had been picked there is nothing to tell: what follows is told by itself."""
    relationship = _known(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is None or known.state is MeetingState.cancelled:
        return NOTHING
    sequence = max(event.sequence, known.sequence + 1) if known.starts_at else event.sequence
    outcome = changed(known, state=MeetingState.cancelled, sequence=sequence).clear(DID_YOU_MEET, known.id)
    starts_at = event.starts_at or known.starts_at
    if starts_at is None or known.state is not MeetingState.scheduled:
        return outcome
    data = {
        "starts_at": starts_at.isoformat(),
        "minutes": known.minutes,
        "sequence": sequence,
        "reason": event.reason.value,
        "by": str(event.cancelled_by) if event.cancelled_by else None,
    }
    return outcome.plus(_tell(context, relationship, "cancelled", data, meeting=known.id))


def reminder_due(known: Meeting | None, event: ReminderDue, context: Context) -> Outcome:
    """A meeting is near: everyone is reminded of it, if it still stands at that time."""
    relationship = _known(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is None or known.state is not MeetingState.scheduled or known.starts_at != event.starts_at:
        return NOTHING
    data = {"starts_at": event.starts_at.isoformat(), "minutes": known.minutes, "sequence": known.sequence}
    return _tell(context, relationship, "reminder", data, meeting=known.id)


def ask_did_you_meet(relationship: Relationship | None, due: DueTimer, context: Context) -> Outcome:
    """The meeting is over: one tap says that they met."""
    meeting = context.get(Meeting, UUID(due.key))
    if relationship is None or meeting is None or meeting.state is not MeetingState.scheduled or meeting.starts_at is None:
        return NOTHING
    assert meeting.fact_id is not None
    data = {"starts_at": meeting.starts_at.isoformat(), "sequence": meeting.sequence, "revision": meeting.revision}
    fact = (meeting.fact_id, meeting.fact_type)
    return _tell(context, relationship, "did_you_meet", data, meeting=meeting.id, fact=fact)


def meeting_held(known: Meeting | None, event: MeetingHeld, _: Context) -> Outcome:
    """They met: nothing more is asked. What is to be celebrated comes as a milestone."""
    if known is None or (known.state is MeetingState.held and known.revision >= event.revision):
        return NOTHING
    return changed(known, state=MeetingState.held, revision=event.revision).clear(DID_YOU_MEET, known.id)


def meeting_missed(known: Meeting | None, event: MeetingMissed, context: Context) -> Outcome:
    """A kind word to everyone, with a link in case they did meet."""
    relationship = _known(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is None or known.revision >= event.revision:
        return NOTHING
    data = {
        "starts_at": event.starts_at.isoformat(),
        "revision": event.revision,
        "misses": event.misses_in_a_row,
        "absent": event.absent.value,
    }
    told = _tell(context, relationship, "missed", data, meeting=known.id)
    return changed(known, state=MeetingState.missed, revision=event.revision).clear(DID_YOU_MEET, known.id).plus(told)


# ---- requests ----------------------------------------------------------------------------------------------------------


def mentor_requested(mentor: Person | None, event: MentorRequested, context: Context) -> Outcome:
    """It is this mentor's turn to answer, for the first time or after the mentee has told more."""
    reasons = [reason.model_dump(mode="json") for reason in event.reasons]
    data = {"who": str(event.mentee_id), "closes_at": rfc3339(event.closes_at), "told_more": event.told_more, "reasons": reasons}
    return _tell_one(context, mentor, event, Role.mentor, "request", data)


def request_questioned(mentee: Person | None, event: RequestQuestioned, context: Context) -> Outcome:
    """The mentor wants to know more; what they wrote stands behind the link."""
    return _tell_one(context, mentee, event, Role.mentee, "request_question", {"closes_at": rfc3339(event.closes_at)})


def request_accepted(mentee: Person | None, event: RequestAccepted, context: Context) -> Outcome:
    """A yes. The introduction comes with the agreement."""
    return _tell_one(context, mentee, event, Role.mentee, "request_accepted", {})


def request_declined(mentee: Person | None, event: RequestDeclined, context: Context) -> Outcome:
    """A no, worded kindly, and how it goes on."""
    data = {"why": event.reason.value, "last": event.last}
    return _tell_one(context, mentee, event, Role.mentee, "request_onwards", data)


def request_expired(mentee: Person | None, event: RequestExpired, context: Context) -> Outcome:
    """No answer came in time; how it goes on. The mentor isn't reminded of what they didn't do."""
    return _tell_one(context, mentee, event, Role.mentee, "request_onwards", {"why": "expired", "last": event.last})


ON_THE_MENTOR = frozenset({WithdrawalReason.no_capacity, WithdrawalReason.other})
"""Why a request was withdrawn that the mentee would still have wanted."""


def _told_of_withdrawal(event: RequestWithdrawn) -> tuple[UUID, ...]:
    if event.reason is WithdrawalReason.not_allowed:
        return (event.mentee_id, event.mentor_id)
    return (event.mentee_id if event.reason in ON_THE_MENTOR else event.mentor_id,)


def request_withdrawn(person: Person | None, event: RequestWithdrawn, context: Context) -> Outcome:
    """The mentor needn't answer any more; or, where they can't take anyone, the mentee hears how it goes on. Both hear of a rule
    that keeps them apart.
    """
    if event.reason in ON_THE_MENTOR or (person is not None and person.id == event.mentee_id):
        data = {"why": event.reason.value, "last": event.last}
        return _tell_one(context, person, event, Role.mentee, "request_onwards", data)
    return _tell_one(context, person, event, Role.mentor, "request_withdrawn", {"reason": event.reason.value})


def _tell_one(
    context: Context, person: Person | None, event: MentorRequest, role: Role, template: str, data: Mapping[str, Any]
) -> Outcome:
    """A message about a request to one of its two people."""
    if person is None:
        raise TryLater(awaited(Person, event.mentor_id if role is Role.mentor else event.mentee_id))
    if person.erased:
        return NOTHING
    said = {"request": str(event.request_id), "role": role.value, **data}
    return new(_message(context, person.id, person.organization, event.program, template, said))


def nomination_ended(mentee: Person | None, event: NominationEnded, context: Context) -> Outcome:
    """Nobody comes of whom they named, worded kindly, and what else they may do."""
    if mentee is None:
        raise TryLater(awaited(Person, event.mentee_id))
    if mentee.erased:
        return NOTHING
    data = {"role": Role.mentee.value, "why": event.reason.value}
    return new(_message(context, mentee.id, mentee.organization, event.program, "nomination_ended", data))


# ---- telling -----------------------------------------------------------------------------------------------------------


def _known(relationship: Relationship | None, relationship_id: UUID) -> Relationship:
    """Facts of scheduling may come before matching's; they wait for the relationship."""
    if relationship is None:
        raise TryLater(awaited(Relationship, relationship_id))
    return relationship


def _tell(
    context: Context,
    relationship: Relationship,
    template: str,
    data: Mapping[str, Any],
    *,
    meeting: UUID | None = None,
    fact: tuple[UUID, str] | None = None,
    to: Container[UUID] | None = None,
) -> Outcome:
    """A message about this fact to every member, or to those of them."""
    return new(
        *(
            replace(
                _message(context, member.person_id, member.organization, relationship.program, template, data, fact),
                relationship_id=relationship.id,
                meeting_id=meeting,
            )
            for member in relationship.members
            if to is None or member.person_id in to
        )
    )


def _message(
    context: Context,
    person: UUID,
    home: str,
    program: str,
    template: str,
    data: Mapping[str, Any],
    fact: tuple[UUID, str] | None = None,
) -> Delivery:
    fact_id, fact_type = fact or (context.id, context.text("ce_type"))
    owner = owner_of(program)
    return Delivery(
        id=message_id(fact_id, template, person, Channel.mail),
        organization=owner,
        audience=both(owner, home),
        person_id=person,
        program=program,
        template=template,
        channel=Channel.mail,
        fact_id=fact_id,
        fact_type=fact_type,
        relationship_id=None,
        meeting_id=None,
        data=dict(data),
        state=State.waits,
        attempts=0,
        created_at=context.now,
        due_at=context.now,
        correlation=context.correlation,
        traceparent=context.traceparent,
    )


# ---- the index ---------------------------------------------------------------------------------------------------------

IN_RELATIONSHIP: Mapping[type, str] = {Relationship: "relationship_id"}


HANDLERS: list[Handler] = [
    # endpoints first: they are told by what was known before
    *webhooks.HANDLERS,
    on(OrganizationOnboarded, Organization, by="organization", do=organization_onboarded),
    on(ProgramLaunched, Program, by="program", do=program_known),
    on(ProgramChanged, Program, by="program", do=program_known),
    *(on(event, Person, by="person_id", do=person_recorded) for event in webhooks.PEOPLE),
    on(PersonInvited, Person, by="person_id", do=person_recorded),
    on(PersonErased, Person, by="person_id", do=person_erased),
    on(PersonWaitlisted, Person, by="person_id", do=person_waitlisted),
    on(MentorRequested, Person, by="mentor_id", do=mentor_requested),
    on(RequestQuestioned, Person, by="mentee_id", do=request_questioned),
    on(RequestAccepted, Person, by="mentee_id", do=request_accepted),
    on(RequestDeclined, Person, by="mentee_id", do=request_declined),
    on(RequestExpired, Person, by="mentee_id", do=request_expired),
    on(RequestWithdrawn, Person, by=_told_of_withdrawal, do=request_withdrawn),
    on(NominationEnded, Person, by="mentee_id", do=nomination_ended),
    on(PairCreated, Relationship, by="relationship_id", do=relationship_created),
    on(GroupCreated, Relationship, by="relationship_id", do=relationship_created),
    on(MemberJoined, Relationship, by="relationship_id", do=member_joined),
    on(MemberLeft, Relationship, by="relationship_id", do=member_left),
    on(AgreementProposed, Relationship, by="relationship_id", do=agreement_proposed),
    on(AgreementRevised, Relationship, by="relationship_id", do=agreement_proposed),
    on(AgreementSigned, Relationship, by="relationship_id", do=agreement_signed),
    on(SignaturesAwaited, Relationship, by="relationship_id", do=signatures_awaited),
    on(RenewalOffered, Relationship, by="relationship_id", do=renewal_offered),
    on(MilestoneReached, Relationship, by="relationship_id", do=milestone_reached),
    on(ContactLogged, Relationship, by="relationship_id", do=contact_logged),
    on(PairStalled, Relationship, by="relationship_id", do=pair_stalled),
    on(PairWarned, Relationship, by="relationship_id", do=pair_warned),
    on(PairFrozen, Relationship, by="relationship_id", do=pair_frozen),
    on(MemberAsked, Relationship, by="relationship_id", do=member_asked),
    on(PairRecovered, Relationship, by="relationship_id", do=pair_recovered),
    on(PairEnded, Relationship, by="relationship_id", do=pair_ended),
    on(MeetingProposed, Meeting, by="meeting_id", do=meeting_proposed, reads=IN_RELATIONSHIP),
    on(MeetingScheduled, Meeting, by="meeting_id", do=meeting_scheduled, reads=IN_RELATIONSHIP),
    on(MeetingRescheduled, Meeting, by="meeting_id", do=meeting_scheduled, reads=IN_RELATIONSHIP),
    on(MeetingCancelled, Meeting, by="meeting_id", do=meeting_cancelled, reads=IN_RELATIONSHIP),
    on(ReminderDue, Meeting, by="meeting_id", do=reminder_due, reads=IN_RELATIONSHIP),
    on(MeetingHeld, Meeting, by="meeting_id", do=meeting_held),
    on(MeetingMissed, Meeting, by="meeting_id", do=meeting_missed, reads=IN_RELATIONSHIP),
    at(IN_TOUCH, Relationship, do=ask_in_touch),
    at(DID_YOU_MEET, Relationship, do=ask_did_you_meet, reads={Meeting: lambda due: (UUID(due.key),)}),
]
