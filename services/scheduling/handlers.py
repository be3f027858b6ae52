"""What scheduling does on each event and timer: which aggregates it concerns, and which rule decides."""

from collections.abc import Mapping
from datetime import timedelta
from functools import wraps
from uuid import UUID

from services.scheduling.domain import (
    agreement,
    attaining,
    check_ins,
    co_mentees,
    concerns,
    endings,
    entries,
    feedback,
    follow_ups,
    goals,
    going,
    introductions,
    looking_back,
    meetings,
    misaligned,
    openings,
    own,
    people,
    polls,
    recognition,
    renewal,
    reports,
    risk,
    signs,
    silence,
    skills,
    stages,
    unsigned,
    versions,
)
from services.scheduling.domain.diaries import Diary, Turn
from services.scheduling.domain.entries import Entry, Written
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Agreement, Concern, Meeting, Organization, Person, Program, Relationship
from services.scheduling.domain.recognition import Mentored, Recognised
from services.scheduling.domain.skills import Assessment
from services.scheduling.store import (
    ASSESSMENTS_OF_OWNER,
    ASSESSMENTS_OF_PERSON,
    BEHIND,
    CHECK_INS_OF_PERSON,
    CO_MENTEES_OF_CIRCLE,
    CO_MENTEES_OF_PERSON,
    CONCERNS_OF_PERSON,
    DIARIES_OF_OWNER,
    DIARIES_OF_PERSON,
    ENTRIES_OF_PERSON,
    EVER_OF_PERSON,
    FEEDBACK_OF_PERSON,
    GOALS_OF_PERSON,
    GOALS_OF_RELATIONSHIP,
    INTRODUCTIONS_OF_PERSON,
    LOOKS_BACK_OF_PERSON,
    MEETING_BEHIND,
    MEETING_OF_OWNER,
    MEETING_OF_PERSON,
    MEETING_OF_RELATIONSHIP,
    MEETING_OF_THEIRS,
    OF_OWNER,
    OF_PERSON,
    OPENINGS_OF_PERSON,
    RECOGNITIONS_OF_PERSON,
    REPORTED,
    WRITTEN_BY_PERSON,
)
from shared.decisions import NOTHING, By, Context, Do, Handler, Outcome, at, awaited, new, on
from shared.errors import TryLater
from shared.events import (
    EndReason,
    Format,
    GroupCreated,
    LeavingReason,
    Match,
    MatchRejected,
    MeetingReported,
    MemberJoined,
    MemberLeft,
    OrganizationOnboarded,
    PairCreated,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonRecord,
    PersonResumed,
    PersonWithdrawn,
    ProfileChanged,
    ProgramChanged,
    ProgramClosed,
    ProgramLaunched,
    ProgramRecord,
    Side,
)
from shared.timers import DueTimer

LATE = timedelta(hours=2)
"""So long after its time a step of silence isn't taken at once."""

# ---- people -------------------------------------------------------------------------------------------------------------


def person_told(person: Person | None, event: PersonRecord, _: Context) -> Outcome:
    after = people.person_after(person, event, left=isinstance(event, PersonWithdrawn))
    return NOTHING if after is None else new(after)


def member_told(relationship: Relationship, event: PersonRecord, context: Context) -> Outcome:
    return people.told(relationship, _current(relationship, context), event, context)


def member_withdrawn(relationship: Relationship, event: PersonWithdrawn, context: Context) -> Outcome:
    """Someone left this program, or all: their relationships in it end, their groups go on without them."""
    person = context.get(Person, event.person_id)
    if person is None or people.gone(person, relationship.program) is None:
        return NOTHING
    return people.leave(relationship, _current(relationship, context), event.person_id, EndReason.person_withdrawn, context)


def person_erased(person: Person | None, event: PersonErased, _: Context) -> Outcome:
    return new(people.erased(event.person_id, person, event.revision))


def member_erased(relationship: Relationship, event: PersonErased, context: Context) -> Outcome:
    meeting = None if relationship.ended_at is not None else _current(relationship, context)
    return people.leave(relationship, meeting, event.person_id, EndReason.person_erased, context)


def goal_of_erased(goal: Goal, event: PersonErased, _: Context) -> Outcome:
    return goals.forget(goal, event.person_id)


def assessment_of_erased(assessment: Assessment, _event: PersonErased, _: Context) -> Outcome:
    return skills.forget(assessment)


def concern_of_erased(concern: Concern, _event: PersonErased, _: Context) -> Outcome:
    return concerns.forget(concern)


def look_back_of_erased(look: looking_back.LookBack, _event: PersonErased, _: Context) -> Outcome:
    return looking_back.forget(look)


def check_in_of_erased(check_in: check_ins.CheckIn, _event: PersonErased, _: Context) -> Outcome:
    return check_ins.forget(check_in)


def feedback_of_erased(given: feedback.Feedback, _event: PersonErased, _: Context) -> Outcome:
    return feedback.forget(given)


def agreement_of_erased(agreement: Agreement, event: PersonErased, _: Context) -> Outcome:
    return versions.forget(agreement, event.person_id)


def entry_of_erased(entry: Entry, _event: PersonErased, _: Context) -> Outcome:
    return entries.forget(entry)


def recognition_of_erased(made: Recognised, _event: PersonErased, _: Context) -> Outcome:
    return NOTHING.forget(made)


def opening_of_erased(opening: openings.Opening, _event: PersonErased, _: Context) -> Outcome:
    return openings.forget(opening)


def introduction_of_erased(introduction: introductions.Introduction, _event: PersonErased, context: Context) -> Outcome:
    return introductions.forget(introduction, context)


def co_mentees_of_erased(co: co_mentees.CoMentees, event: PersonErased, _: Context) -> Outcome:
    return co_mentees.forget(co, event.person_id)


def days_said(_person: Person | None, _due: DueTimer, _: Context) -> Outcome:
    """Holds the person's row while their relationships take over what they said."""
    return NOTHING


def days_told(relationship: Relationship, due: DueTimer, context: Context) -> Outcome:
    person = context.get(Person, due.owner)
    return NOTHING if person is None else people.days_told(relationship, _current(relationship, context), person, context)


# ---- programs -----------------------------------------------------------------------------------------------------------


def program_told(program: Program | None, event: ProgramRecord, context: Context) -> Outcome:
    """What a program changes reaches its relationships a few hundred at a time: one transaction of all would stop the others."""
    after = people.program_after(program, event)
    if after is None:
        return NOTHING
    return new(after) if program is None else new(after).arm("catching_up", after.id, after.id, context.now)


def organization_onboarded(known: Organization | None, event: OrganizationOnboarded, _: Context) -> Outcome:
    named = Organization(event.organization, event.name)
    return NOTHING if known == named else new(named)


def program_closed(program: Program | None, event: ProgramClosed, context: Context) -> Outcome:
    if program is None:
        raise TryLater(awaited(Program, event.program))
    return new(people.closed(program, context.now)).arm("catching_up", program.id, program.id, context.now)


def catching_up(_program: Program | None, _due: DueTimer, _: Context) -> Outcome:
    """Holds the program's row while some of its relationships catch up."""
    return NOTHING


def caught_up(relationship: Relationship, due: DueTimer, context: Context) -> Outcome:
    """One that has caught up; the timer comes again until none is behind."""
    program = context.get(Program, due.owner)
    assert program is not None
    outcome = people.caught_up(relationship, _current(relationship, context), program, context)
    return outcome.arm("catching_up", program.id, program.id, context.now)


# ---- matches ------------------------------------------------------------------------------------------------------------


def matched(relationship: Relationship | None, event: Match, context: Context) -> Outcome:
    """A relationship begins with a draft of its agreement, or with times to talk where it is for once; at once at an end where someone,
    or the program, has gone meanwhile.
    """
    if relationship is not None:
        return NOTHING
    program = context.get(Program, event.program)
    if program is None:
        raise TryLater(awaited(Program, event.program))
    known = [_person(member.person_id, context) for member in event.members]
    relationship = agreement.draft(event, program, known, context)
    if program.closed_at is not None:
        return endings.end(relationship, None, EndReason.program_closed, Side.coordinator, context)
    went = NOTHING
    for person in known:
        reason = people.gone(person, program.id)
        if reason is not None:
            left = people.leave(relationship, None, person.id, reason, context)
            went = went.then(*left.events)
            (relationship,) = left.changed
            if relationship.ended_at is not None:
                return left
    return agreement.begun(relationship, context).then(*went.events)


def member_joined(relationship: Relationship | None, event: MemberJoined, context: Context) -> Outcome:
    person = _person(event.member.person_id, context)
    if relationship is None:
        raise TryLater(awaited(Relationship, event.relationship_id))
    member, reason = agreement.member_of(event.member, person), people.gone(person, relationship.program)
    return people.join(relationship, member, context) if reason is None else people.came_too_late(relationship, member, reason)


def member_left(relationship: Relationship | None, event: MemberLeft, context: Context) -> Outcome:
    """Matching says that someone left a group; already done where it came of their withdrawal."""
    if relationship is None:
        raise TryLater(awaited(Relationship, event.relationship_id))
    reasons = {
        LeavingReason.person_withdrawn: EndReason.person_withdrawn,
        LeavingReason.person_erased: EndReason.person_erased,
        LeavingReason.removed: EndReason.released,
    }
    reason = reasons.get(event.reason, EndReason.moved_on)
    return people.leave(relationship, _current(relationship, context), event.member.person_id, reason, context)


def apart_without_left(relationship: Relationship | None, event: MemberLeft, context: Context) -> Outcome:
    """What only whoever has left their group saw differently isn't any more."""
    answers = context.get(check_ins.Answers, event.relationship_id)
    return NOTHING if relationship is None or answers is None else misaligned.somebody_left(relationship, answers)


def goal_of_left(goal: Goal, event: MemberLeft, context: Context) -> Outcome:
    """Whoever has left their group isn't waited for."""
    relationship = context.get(Relationship, event.relationship_id)
    return NOTHING if relationship is None else attaining.somebody_left(relationship, goal, context)


def circle_fell_through(co: co_mentees.CoMentees, event: MatchRejected, _: Context) -> Outcome:
    """Matching found too few of those who wanted the circle still there."""
    return co_mentees.fell_through(co, event.relationship_id)


# ---- reports ------------------------------------------------------------------------------------------------------------


def meeting_reported(relationship: Relationship | None, event: MeetingReported, context: Context) -> Outcome:
    """A partner's own calendar says that they met. The gateway named the relationship, so it is there or about to be."""
    if relationship is None:
        raise TryLater(awaited(Relationship, event.relationship_id))
    return reports.report(relationship, event, lambda meeting_id: context.get(Meeting, meeting_id), context)


# ---- timers -------------------------------------------------------------------------------------------------------------


def unpicked(relationship: Relationship | None, due: DueTimer, context: Context) -> Outcome:
    meeting = context.get(Meeting, UUID(due.key))
    return NOTHING if relationship is None or meeting is None else polls.unpicked(relationship, meeting, context)


def reminder(relationship: Relationship | None, due: DueTimer, context: Context) -> Outcome:
    meeting = context.get(Meeting, UUID(due.key))
    return NOTHING if relationship is None or meeting is None else meetings.remind(relationship, meeting, context)


def missed(relationship: Relationship | None, due: DueTimer, context: Context) -> Outcome:
    meeting = context.get(Meeting, UUID(due.key))
    return NOTHING if relationship is None or meeting is None else meetings.overdue(relationship, meeting, context)


def propose(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else meetings.propose_again(relationship, context)


def spread(do: Do) -> Do:
    """After an outage many are late at one moment, and would be told of it at one: each then has its own in the hour that follows."""

    @wraps(do)
    def each_at_its_own(relationship: Relationship | None, due: DueTimer, context: Context) -> Outcome:
        if relationship is None or relationship.ended_at is not None or context.now - due.fire_at < LATE:
            return do(relationship, due, context)
        return NOTHING.arm(due.kind, due.key, due.owner, context.now + relationship.own_moment)

    return each_at_its_own


def quieter(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else silence.further(relationship, _current(relationship, context), context)


def unanswered(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else going.unanswered(relationship, _current(relationship, context), context)


def months_over(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else endings.complete(relationship, _current(relationship, context), context)


def unsigned_so_far(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else unsigned.due(relationship, context)


def half_time(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else renewal.half_time(relationship, context)


def renewal_due(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else renewal.offer(relationship, context)


def skills_due(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else skills.due(relationship, context)


def follow_ups_due(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else follow_ups.due(relationship, _current(relationship, context), context)


def check_in_due(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else check_ins.due(relationship, context)


def recognise(person: Person | None, due: DueTimer, context: Context) -> Outcome:
    return recognition.recognise(person, due.key, context)


def circle_time_is_up(co: co_mentees.CoMentees | None, due: DueTimer, _: Context) -> Outcome:
    return co_mentees.time_is_up(co, UUID(due.key))


def at_risk(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    return NOTHING if relationship is None else risk.look(relationship, context)


# ---- small parts --------------------------------------------------------------------------------------------------------


def _current(relationship: Relationship, context: Context) -> Meeting | None:
    return meetings.current(relationship, lambda meeting_id: context.get(Meeting, meeting_id))


def _person(person_id: UUID, context: Context) -> Person:
    person = context.get(Person, person_id)
    if person is None:
        raise TryLater(awaited(Person, person_id))
    return person


def _members(event: Match) -> list[UUID]:
    return [member.person_id for member in event.members]


def _who_talk(event: Match) -> list[UUID]:
    """Those who are proposed times at once."""
    return _members(event) if event.format is Format.conversation else []


def _meeting(due: DueTimer) -> tuple[UUID]:
    return (UUID(due.key),)


_OF_MATCH: Mapping[type, By] = {Person: _members, Program: "program", Diary: _who_talk}
_CURRENT: Mapping[type, By] = {Meeting: MEETING_OF_PERSON, Diary: DIARIES_OF_PERSON}
_OF_RELATIONSHIP: dict[type, By] = {Diary: "relationship_id"}

HANDLERS = [
    on(PersonEnrolled, Person, by="person_id", do=person_told),
    on(PersonEnrolled, Relationship, by=OF_PERSON, do=member_told, reads=_CURRENT),
    on(ProfileChanged, Person, by="person_id", do=person_told),
    on(ProfileChanged, Relationship, by=OF_PERSON, do=member_told, reads=_CURRENT),
    on(PersonPaused, Person, by="person_id", do=person_told),
    on(PersonPaused, Relationship, by=OF_PERSON, do=member_told, reads=_CURRENT),
    on(PersonResumed, Person, by="person_id", do=person_told),
    on(PersonResumed, Relationship, by=OF_PERSON, do=member_told, reads=_CURRENT),
    on(PersonWithdrawn, Person, by="person_id", do=person_told),
    on(PersonWithdrawn, Relationship, by=OF_PERSON, do=member_withdrawn, reads=_CURRENT),
    on(PersonErased, Person, by="person_id", do=person_erased),
    on(PersonErased, Relationship, by=EVER_OF_PERSON, do=member_erased, reads=_CURRENT),
    on(PersonErased, Goal, by=GOALS_OF_PERSON, do=goal_of_erased),
    on(PersonErased, Assessment, by=ASSESSMENTS_OF_PERSON, do=assessment_of_erased),
    on(PersonErased, Concern, by=CONCERNS_OF_PERSON, do=concern_of_erased),
    on(PersonErased, looking_back.LookBack, by=LOOKS_BACK_OF_PERSON, do=look_back_of_erased),
    on(PersonErased, check_ins.CheckIn, by=CHECK_INS_OF_PERSON, do=check_in_of_erased),
    on(PersonErased, feedback.Feedback, by=FEEDBACK_OF_PERSON, do=feedback_of_erased),
    on(PersonErased, Agreement, by=WRITTEN_BY_PERSON, do=agreement_of_erased),
    on(PersonErased, Entry, by=ENTRIES_OF_PERSON, do=entry_of_erased),
    on(PersonErased, Recognised, by=RECOGNITIONS_OF_PERSON, do=recognition_of_erased),
    on(PersonErased, openings.Opening, by=OPENINGS_OF_PERSON, do=opening_of_erased),
    on(PersonErased, introductions.Introduction, by=INTRODUCTIONS_OF_PERSON, do=introduction_of_erased),
    on(PersonErased, co_mentees.CoMentees, by=CO_MENTEES_OF_PERSON, do=co_mentees_of_erased),
    on(OrganizationOnboarded, Organization, by="organization", do=organization_onboarded),
    on(ProgramLaunched, Program, by="program", do=program_told),
    on(ProgramChanged, Program, by="program", do=program_told),
    on(ProgramClosed, Program, by="program", do=program_closed),
    on(PairCreated, Relationship, by="relationship_id", do=matched, reads=_OF_MATCH),
    on(GroupCreated, Relationship, by="relationship_id", do=matched, reads=_OF_MATCH),
    on(
        MemberJoined,
        Relationship,
        by="relationship_id",
        do=member_joined,
        reads=_OF_RELATIONSHIP | {Person: lambda e: (e.member.person_id,)},
    ),
    on(MatchRejected, co_mentees.CoMentees, by=CO_MENTEES_OF_CIRCLE, do=circle_fell_through),
    on(
        MemberLeft,
        Relationship,
        by="relationship_id",
        do=member_left,
        reads=_OF_RELATIONSHIP | {Meeting: MEETING_OF_RELATIONSHIP},
    ),
    on(MemberLeft, Relationship, by="relationship_id", do=apart_without_left, reads={check_ins.Answers: "relationship_id"}),
    on(MemberLeft, Goal, by=GOALS_OF_RELATIONSHIP, do=goal_of_left, reads={Relationship: "relationship_id"}),
    on(MeetingReported, Relationship, by="relationship_id", do=meeting_reported, reads=_OF_RELATIONSHIP | {Meeting: REPORTED}),
    at("unpicked", Relationship, do=unpicked, reads={Turn: "owner", Meeting: _meeting, Diary: "owner"}),
    at("reminder", Relationship, do=reminder, reads={Meeting: _meeting, Written: "owner"}),
    at("missed", Relationship, do=missed, reads={Meeting: _meeting, Diary: "owner"}, heeds=(MeetingReported,)),
    at("propose", Relationship, do=propose, reads={Diary: "owner"}),
    at(signs.QUIET, Relationship, do=spread(quieter), reads={Meeting: MEETING_OF_OWNER}, heeds=(MeetingReported,)),
    at(signs.UNANSWERED, Relationship, do=unanswered, reads={Meeting: MEETING_OF_OWNER}, heeds=(MeetingReported,)),
    at("end", Relationship, do=months_over, reads={Meeting: MEETING_OF_OWNER}),
    at(unsigned.TIMER, Relationship, do=spread(unsigned_so_far)),
    at(renewal.HALF, Relationship, do=half_time),
    at(renewal.OFFER, Relationship, do=renewal_due),
    at(stages.TIMER, Relationship, do=skills_due, reads={Assessment: ASSESSMENTS_OF_OWNER}),
    at(follow_ups.TIMER, Relationship, do=follow_ups_due, reads={Meeting: MEETING_OF_OWNER, Written: "owner"}),
    at(check_ins.TIMER, Relationship, do=spread(check_in_due), reads={check_ins.Answers: "owner"}),
    at(
        recognition.TIMER,
        Person,
        do=recognise,
        reads={Recognised: lambda due: recognition.ids(due.key), Mentored: lambda due: (due.key,)},
        heeds=(MeetingReported,),
    ),
    at(co_mentees.TIMER, co_mentees.CoMentees, do=circle_time_is_up),
    at(risk.TIMER, Relationship, do=at_risk, reads={check_ins.Answers: "owner"}),
    at(own.DAYS, Person, do=days_said),  # first, since it owns the timer
    Handler(own.DAYS, Relationship, OF_OWNER, days_told, ((Meeting, MEETING_OF_THEIRS), (Diary, DIARIES_OF_OWNER))),
    at("catching_up", Program, do=catching_up),  # first, since it owns the timer
    Handler("catching_up", Relationship, BEHIND, caught_up, ((Meeting, MEETING_BEHIND),)),
]
