"""Which facts are told to whom. The last lines are the index."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.notifications import asks, groups, quiet, requests, sharing, webhooks, worth
from services.notifications.domain import (
    Delivery,
    Meeting,
    MeetingState,
    Organization,
    Person,
    Program,
    Relationship,
    Waiting,
    both,
    others,
)
from services.notifications.store import ASKED_ABOUT, QUESTIONS_OF
from services.notifications.telling import asking, known_one, message, tell
from shared.cloudevents import rfc3339
from shared.decisions import NOTHING, By, Context, Handler, Outcome, at, awaited, changed, new, on
from shared.errors import TryLater
from shared.events import (
    AddressesShared,
    AgreementProposed,
    AgreementRevised,
    AgreementSigned,
    AttainmentAsked,
    EndReason,
    FollowUpsDue,
    Format,
    GoalAttained,
    GoalDropped,
    GroupCreated,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingProposed,
    MeetingRescheduled,
    MeetingScheduled,
    MentorRecognised,
    Milestone,
    MilestoneReached,
    OrganizationOnboarded,
    PairCreated,
    PairEnded,
    PersonEnrolled,
    PersonErased,
    PersonInvited,
    PersonRecord,
    PersonWaitlisted,
    ProgramChanged,
    ProgramLaunched,
    ProgramMilestone,
    ProgramRecord,
    ReliefOffered,
    ReminderDue,
    RenewalOffered,
    RevisionReason,
    Role,
    SignaturesAwaited,
    owner_of,
)
from shared.timers import DueTimer

DID_YOU_MEET = "did_you_meet"
TELL_AGAIN_AFTER = timedelta(days=30)
"""The same reason for waiting isn't told twice within this time, however many match runs find it."""
CELEBRATED = frozenset(Milestone) - {Milestone.other, Milestone.completed, Milestone.first_goal_attained}
"""That the way is gone to its end is celebrated with the last word, and each goal that is reached by itself."""


# ---- organizations, programs, people -----------------------------------------------------------------------------------


def organization_onboarded(known: Organization | None, event: OrganizationOnboarded, _: Context) -> Outcome:
    named = Organization(event.organization, event.name)
    return NOTHING if known == named else new(named)


def program_known(known: Program | None, event: ProgramRecord, _: Context) -> Outcome:
    """The program as of now; an older record than known is old news."""
    if known is not None and known.revision >= event.revision:
        return NOTHING
    policy = event.policy
    return new(
        Program(
            event.program,
            event.organization,
            event.name,
            event.revision,
            policy.by_request,
            personal_rules=bool(policy.personal_rules) or (known is not None and known.personal_rules),
            talks=set(policy.formats) == {Format.conversation},
            asks=policy.asks,
            days_between_asks=policy.days_between_asks,
            texts=policy.texts,
            milestones=(*policy.milestones, *_no_more(known, {one.code for one in policy.milestones})),
        )
    )


def _no_more(known: Program | None, codes: set[str]) -> tuple[ProgramMilestone, ...]:
    """Milestones that a program had, and not under one of these codes."""
    return tuple(one for one in known.milestones if one.code not in codes) if known else ()


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
        invited = replace(message(context, event.person_id, event.organization, program, "invited", asks), audience=())
        return new(replace(person, welcomed=(*person.welcomed, program)), invited)
    role = next((e.role for e in event.enrolments if e.program == program), None)
    welcome = message(context, event.person_id, event.organization, program, "welcome", {"role": role.value if role else None})
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
        message(context, person.id, person.organization, event.program, "waiting", data),
    )


def relief_offered(person: Person | None, event: ReliefOffered, context: Context) -> Outcome:
    """A mentor is asked whether less would be right."""
    if person is None:
        raise TryLater(awaited(Person, event.person_id))
    if person.erased:
        return NOTHING
    data = {"role": Role.mentor.value, "changes": event.changes}
    return asking(new(message(context, person.id, person.organization, event.program, "lighter", data)), context)


def mentor_recognised(person: Person | None, event: MentorRecognised, context: Context) -> Outcome:
    """A mentor reads what they did, with the way to their record."""
    if person is None:
        raise TryLater(awaited(Person, event.person_id))
    if person.erased:
        return NOTHING
    numbers = {name: getattr(event, name) for name in ("year", "meetings", "minutes", "people", "milestones")}
    data = numbers | {"role": Role.mentor.value, "kind": event.kind.value, "recognition": str(event.recognition_id)}
    return new(message(context, person.id, person.organization, event.program, "recognised", data))


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
            beside=event.format is Format.circle and event.run_id is None,
        )
    )


def agreement_proposed(known: Relationship | None, event: AgreementProposed | AgreementRevised, context: Context) -> Outcome:
    """The first draft introduces the members to each other; each gets a link to sign. A revision is signed by link, too; who made it reads
    that the others are asked.
    """
    relationship = known_one(known, event.relationship_id)
    if isinstance(event, AgreementRevised) and event.reason is RevisionReason.renewed and event.until:
        return NOTHING if relationship.ended else tell(context, relationship, "renewed", {"until": rfc3339(event.until)})
    if event.version <= relationship.agreement or relationship.ended:
        return NOTHING
    data: dict[str, Any] = {"version": event.version}
    if isinstance(event, AgreementRevised):
        by = str(event.revised_by) if event.revised_by else None
        told = tell(context, relationship, "revised", data | {"by": by, "held": relationship.agreed})
    else:
        told = tell(context, relationship, "introduction", data)
    return changed(relationship, agreement=event.version, terms=event.terms, signed=()).plus(told)


def agreement_signed(known: Relationship | None, event: AgreementSigned, context: Context) -> Outcome:
    """Those who mentor by letter may begin: each is told where to write. Others hear of times to meet."""
    relationship = known_one(known, event.relationship_id)
    if event.version < relationship.agreement:
        return NOTHING
    signed = (*relationship.signed, str(event.person_id))
    outcome = changed(relationship, signed=signed, agreed=relationship.agreed or event.complete)
    if not event.complete or relationship.agreed or relationship.format is not Format.e_mentoring:
        return outcome
    return outcome.plus(tell(context, relationship, "write", {})).plus(quiet.ask_later(relationship, context))


def signatures_awaited(known: Relationship | None, event: SignaturesAwaited, context: Context) -> Outcome:
    """Those who haven't signed are reminded, with the link to do so."""
    relationship = known_one(known, event.relationship_id)
    return tell(context, relationship, "unsigned", {"version": event.version}, to=event.people)


def renewal_offered(known: Relationship | None, event: RenewalOffered, context: Context) -> Outcome:
    """The months are nearly over: each is asked whether they go on."""
    relationship = known_one(known, event.relationship_id)
    until = {"until": rfc3339(event.until), "renewed_until": rfc3339(event.renewed_until)}
    return tell(context, relationship, "renewal", {"renewals": event.renewals, "months": event.months, **until})


def milestone_reached(known: Relationship | None, event: MilestoneReached, context: Context) -> Outcome:
    """A step worth celebrating is celebrated with everyone in it."""
    if event.milestone not in CELEBRATED:
        return NOTHING
    return tell(
        context, known_one(known, event.relationship_id), "milestone", {"milestone": event.milestone.value, "own": event.own}
    )


def attainment_asked(known: Relationship | None, event: AttainmentAsked, context: Context) -> Outcome:
    """One says that a goal is reached; the others are asked whether they see it so too, unless that is settled."""
    relationship, goal = known_one(known, event.relationship_id), str(event.goal_id)
    if relationship.ended or goal in relationship.settled:
        return NOTHING
    return tell(context, relationship, "goal_reached", {"goal": goal, "by": str(event.said_by)}, to=event.people)


def goal_dropped(known: Relationship | None, event: GoalDropped, _: Context) -> Outcome:
    """Nobody is asked any more whether it is reached."""
    relationship, goal = known_one(known, event.relationship_id), str(event.goal_id)
    return NOTHING if goal in relationship.settled else changed(relationship, settled=(*relationship.settled, goal))


def goal_attained(known: Relationship | None, event: GoalAttained, context: Context) -> Outcome:
    """A goal of all, or one of two, is celebrated with all of them; someone's own in a group with them and whoever mentors them."""
    relationship, goal = known_one(known, event.relationship_id), str(event.goal_id)
    if goal in relationship.settled:
        return NOTHING
    guides = {m.person_id for m in relationship.members if m.role in {Role.mentor, Role.facilitator}}
    to = {event.person_id, *guides} if event.person_id and guides else None
    told = tell(context, relationship, "milestone", {"milestone": Milestone.first_goal_attained.value, "own": None}, to=to)
    return changed(relationship, settled=(*relationship.settled, goal)).plus(told)


def pair_ended(known: Relationship | None, event: PairEnded, context: Context) -> Outcome:
    """A kind last word to everyone; those who want a new partner read that they come first. Who missed their one meeting has had it."""
    relationship = known_one(known, event.relationship_id)
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
    over = changed(relationship, ended=True).clear(quiet.IN_TOUCH, relationship.id)
    return over.plus(tell(context, relationship, "ended", data))


def addresses_shared(known: Relationship | None, event: AddressesShared, context: Context) -> Outcome:
    """Both want to stay in touch: each reads where the other is reached."""
    return tell(context, known_one(known, event.relationship_id), "stay_in_touch", {}, to=event.people)


# ---- meetings ----------------------------------------------------------------------------------------------------------


def meeting_proposed(known: Meeting | None, event: MeetingProposed, context: Context) -> Outcome:
    """Everyone may pick one of the times; with those of their one meeting the members are introduced to each other. One more that
    a member suggests is for the others to take.
    """
    relationship = known_one(context.get(Relationship, event.relationship_id), event.relationship_id)
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
    return new(meeting).plus(tell(context, relationship, template, data, meeting=meeting.id))


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
    return tell(
        context,
        relationship,
        "suggested",
        data,
        meeting=known.id,
        to={m.person_id for m in others(relationship, event.proposed_by)},
    )


def meeting_scheduled(known: Meeting | None, event: MeetingScheduled | MeetingRescheduled, context: Context) -> Outcome:
    """The time goes into everyone's calendar, and at the meeting's end they are asked whether they met."""
    relationship = known_one(context.get(Relationship, event.relationship_id), event.relationship_id)
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
    data |= {"host": str(event.host)} if event.host else {}
    template = "invitation"
    if isinstance(event, MeetingRescheduled):
        template = "moved"
        data |= {"was_at": event.was_at.isoformat(), "reason": event.reason.value}
        data["by"] = str(event.rescheduled_by) if event.rescheduled_by else None
    told = tell(context, relationship, template, data, meeting=meeting.id)
    asks_at = event.starts_at + timedelta(minutes=event.minutes)
    return new(meeting).plus(told).arm(DID_YOU_MEET, meeting.id, relationship.id, asks_at)


def meeting_cancelled(known: Meeting | None, event: MeetingCancelled, context: Context) -> Outcome:
    """It leaves everyone's calendar. Where no time had been picked there is nothing to tell: what follows is told by itself."""
    relationship = known_one(context.get(Relationship, event.relationship_id), event.relationship_id)
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
    return outcome.plus(tell(context, relationship, "cancelled", data, meeting=known.id))


def reminder_due(known: Meeting | None, event: ReminderDue, context: Context) -> Outcome:
    """A meeting is near: everyone is reminded of it, with a brief, if it still stands at that time."""
    relationship = known_one(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is None or known.state is not MeetingState.scheduled or known.starts_at != event.starts_at:
        return NOTHING
    data: dict[str, Any] = {"starts_at": event.starts_at.isoformat(), "minutes": known.minutes, "sequence": known.sequence}
    data |= {"host": str(event.host)} if event.host else {}
    if event.phase is not None:
        written = {"points": event.points, "follow_ups": event.follow_ups, "due": event.follow_ups_due}
        data |= written | {"phase": event.phase.value, "goals": event.goals, "steps": event.steps}
    return tell(context, relationship, "reminder", data, meeting=known.id)


def follow_ups_due(known: Relationship | None, event: FollowUpsDue, context: Context) -> Outcome:
    """Something that was written down is due tomorrow; what it is stands on their own page alone."""
    relationship = known_one(known, event.relationship_id)
    return tell(context, relationship, "follow_ups", {"due_on": event.due_on.isoformat()}, to=event.people)


def ask_did_you_meet(relationship: Relationship | None, due: DueTimer, context: Context) -> Outcome:
    """The meeting is over: one tap says that they met."""
    meeting = context.get(Meeting, UUID(due.key))
    if relationship is None or meeting is None or meeting.state is not MeetingState.scheduled or meeting.starts_at is None:
        return NOTHING
    assert meeting.fact_id is not None
    data = {"starts_at": meeting.starts_at.isoformat(), "sequence": meeting.sequence, "revision": meeting.revision}
    fact = (meeting.fact_id, meeting.fact_type)
    return tell(context, relationship, "did_you_meet", data, meeting=meeting.id, fact=fact)


def meeting_held(known: Meeting | None, event: MeetingHeld, _: Context) -> Outcome:
    """They met: nothing more is asked. What is to be celebrated comes as a milestone."""
    if known is None or (known.state is MeetingState.held and known.revision >= event.revision):
        return NOTHING
    return changed(known, state=MeetingState.held, revision=event.revision).clear(DID_YOU_MEET, known.id)


def meeting_missed(known: Meeting | None, event: MeetingMissed, context: Context) -> Outcome:
    """A kind word to everyone, with a link in case they did meet."""
    relationship = known_one(context.get(Relationship, event.relationship_id), event.relationship_id)
    if known is None or known.revision >= event.revision:
        return NOTHING
    data = {
        "starts_at": event.starts_at.isoformat(),
        "revision": event.revision,
        "misses": event.misses_in_a_row,
        "absent": event.absent.value,
    }
    told = tell(context, relationship, "missed", data, meeting=known.id)
    return changed(known, state=MeetingState.missed, revision=event.revision).clear(DID_YOU_MEET, known.id).plus(told)


# ---- the index ---------------------------------------------------------------------------------------------------------

IN_RELATIONSHIP: Mapping[type, str] = {Relationship: "relationship_id"}
TO_ASK: Mapping[type, By] = {asks.Questions: "owner", Delivery: QUESTIONS_OF, Relationship: ASKED_ABOUT}


HANDLERS: list[Handler] = [
    # endpoints first: they are told by what was known before
    *webhooks.HANDLERS,
    *requests.HANDLERS,
    *quiet.HANDLERS,
    *worth.HANDLERS,
    *sharing.HANDLERS,
    at(asks.ASK, Person, do=asks.ask, reads=TO_ASK),
    on(OrganizationOnboarded, Organization, by="organization", do=organization_onboarded),
    on(ProgramLaunched, Program, by="program", do=program_known),
    on(ProgramChanged, Program, by="program", do=program_known),
    *(on(event, Person, by="person_id", do=person_recorded) for event in webhooks.PEOPLE),
    on(PersonInvited, Person, by="person_id", do=person_recorded),
    on(PersonErased, Person, by="person_id", do=person_erased),
    on(PersonWaitlisted, Person, by="person_id", do=person_waitlisted),
    on(ReliefOffered, Person, by="person_id", do=relief_offered),
    on(MentorRecognised, Person, by="person_id", do=mentor_recognised),
    on(PairCreated, Relationship, by="relationship_id", do=relationship_created),
    on(GroupCreated, Relationship, by="relationship_id", do=relationship_created),
    *groups.HANDLERS,
    on(AgreementProposed, Relationship, by="relationship_id", do=agreement_proposed),
    on(AgreementRevised, Relationship, by="relationship_id", do=agreement_proposed),
    on(AgreementSigned, Relationship, by="relationship_id", do=agreement_signed),
    on(SignaturesAwaited, Relationship, by="relationship_id", do=signatures_awaited),
    on(RenewalOffered, Relationship, by="relationship_id", do=renewal_offered),
    on(MilestoneReached, Relationship, by="relationship_id", do=milestone_reached),
    on(AttainmentAsked, Relationship, by="relationship_id", do=attainment_asked),
    on(GoalAttained, Relationship, by="relationship_id", do=goal_attained),
    on(GoalDropped, Relationship, by="relationship_id", do=goal_dropped),
    on(PairEnded, Relationship, by="relationship_id", do=pair_ended),
    on(AddressesShared, Relationship, by="relationship_id", do=addresses_shared),
    on(MeetingProposed, Meeting, by="meeting_id", do=meeting_proposed, reads=IN_RELATIONSHIP),
    on(MeetingScheduled, Meeting, by="meeting_id", do=meeting_scheduled, reads=IN_RELATIONSHIP),
    on(MeetingRescheduled, Meeting, by="meeting_id", do=meeting_scheduled, reads=IN_RELATIONSHIP),
    on(MeetingCancelled, Meeting, by="meeting_id", do=meeting_cancelled, reads=IN_RELATIONSHIP),
    on(ReminderDue, Meeting, by="meeting_id", do=reminder_due, reads=IN_RELATIONSHIP),
    on(FollowUpsDue, Relationship, by="relationship_id", do=follow_ups_due),
    on(MeetingHeld, Meeting, by="meeting_id", do=meeting_held),
    on(MeetingMissed, Meeting, by="meeting_id", do=meeting_missed, reads=IN_RELATIONSHIP),
    at(DID_YOU_MEET, Relationship, do=ask_did_you_meet, reads={Meeting: lambda due: (UUID(due.key),)}),
]
