"""What people's records do to their relationships: hours change, someone has a break, someone leaves."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import (
    agreement,
    apart,
    check_ins,
    diaries,
    endings,
    groups,
    hosts,
    meetings,
    renewal,
    signs,
    silence,
    stages,
    unsigned,
)
from services.scheduling.domain.model import (
    GUIDES,
    Former,
    Meeting,
    MeetingStatus,
    Member,
    Moment,
    Person,
    Program,
    Relationship,
    Rules,
    audience_of,
    side_of,
)
from shared.decisions import NOTHING, Outcome, new
from shared.events import ChangeReason, EndReason, MemberWentOut, PersonRecord, PersonStatus, ProgramRecord, Role, Side


def person_after(person: Person | None, record: PersonRecord, *, left: bool) -> Person | None:
    """What is known after a record; None where it is old news. `left`: it says that the person leaves. What they said themselves stays
    until they have left altogether.
    """
    if person is not None and (person.erased or record.revision <= person.revision):
        return None
    gone = set(person.withdrawn_from if person else ())
    if left and record.program is not None:
        gone.add(record.program)
    profile, stays = record.profile, record.status is not PersonStatus.withdrawn
    return Person(
        id=record.person_id,
        organization=record.organization,
        status=record.status,
        time_zone=profile.time_zone,
        country=profile.country,
        availability=profile.availability,
        own_id=record.own_id,
        withdrawn_from=tuple(sorted(gone - {e.program for e in record.enrolments})),
        revision=record.revision,
        days=person.days if person and stays else (),
        place=person.place if person and stays else None,
        name=record.contact.name,
        wanted=profile.skills_wanted,
        recognised=person.recognised if person else True,
    )


def erased(person_id: UUID, person: Person | None, revision: int) -> Person:
    """Only the id, and that it is erased."""
    return Person(person_id, person.organization if person else "", PersonStatus.withdrawn, revision=revision, erased=True)


def program_after(program: Program | None, record: ProgramRecord) -> Program | None:
    """What is known after a record; None where it is old news."""
    if program is not None and record.revision < program.revision:
        return None
    closed_at = program.closed_at if program else None
    return Program(record.program, record.organization, record.name, record.policy, record.revision, closed_at)


def gone(person: Person, program: str) -> EndReason | None:
    """Why someone can't be in a relationship of this program any more, if so."""
    if person.erased:
        return EndReason.person_erased
    if person.status is PersonStatus.withdrawn or program in person.withdrawn_from:
        return EndReason.person_withdrawn
    return None


def told(relationship: Relationship, meeting: Meeting | None, record: PersonRecord, moment: Moment) -> Outcome:
    """A member's record: keep the copy up to date; a break calls off what was planned, and nobody counts silence in it; its end
    proposes anew; new hours are looked at where none were in common. A meeting that is fixed stays where it is.
    """
    member = relationship.member(record.person_id)
    if member is None or relationship.ended_at is not None or record.revision <= member.revision:
        return NOTHING
    paused = record.status is PersonStatus.paused
    profile = record.profile
    after = replace(
        member,
        time_zone=profile.time_zone,
        country=profile.country,
        availability=profile.availability,
        paused=paused,
        revision=record.revision,
        own_id=record.own_id,
    )
    if replace(after, revision=member.revision) == member:
        return NOTHING
    stood_still = groups.stands_still(relationship)
    relationship, waits = unsigned.with_breaks(with_member(relationship, after), moment)
    if paused == member.paused:
        return new(relationship).plus(waits).plus(meetings.propose_again(relationship, moment))
    if relationship.is_group and groups.stands_still(relationship) == stood_still:
        return waits.plus(_one_of_many(relationship, meeting, after, moment))
    if not paused:
        return waits.plus(_goes_on(relationship, moment))
    relationship, stops = _stops(relationship, meeting, moment)
    return waits.plus(stops).also(relationship)


def _stops(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> tuple[Relationship, Outcome]:
    """It stands still from now on: what was planned is called off, and whoever was asked whether they go on needn't answer, since a break
    explains their silence, or the other's.
    """
    relationship, outcome = signs.excused(relationship)
    if meeting is not None and meetings.changeable(meeting, moment.now):
        outcome = outcome.plus(meetings.call_off(relationship, meeting, ChangeReason.person_paused, moment))
        relationship = replace(relationship, meeting_id=None)
    return relationship, outcome.plus(signs.watched(relationship))


def _one_of_many(relationship: Relationship, meeting: Meeting | None, member: Member, moment: Moment) -> Outcome:
    """A break of a member, or its end, by which a group goes on: another one leads where they were to; who is back is asked what is due."""
    relationship = apart.talked_about(relationship)
    outcome = NOTHING if member.paused else check_ins.look_soon(relationship, moment)
    if member.paused and relationship.asked == member.person_id:
        relationship, outcome = signs.excused(relationship)
    outcome = outcome.plus(hosts.kept(relationship, meeting, moment.now)).plus(signs.watched(relationship))
    return new(relationship).plus(outcome).plus(meetings.propose_again(relationship, moment))


def _goes_on(relationship: Relationship, moment: Moment) -> Outcome:
    """It stands still no longer: silence is counted from now, and it is looked what is due."""
    if relationship.agreed_at is not None:
        relationship = replace(relationship, heard_at=moment.now)
    outcome = new(relationship).plus(signs.watched(relationship)).plus(check_ins.look_soon(relationship, moment))
    return outcome.plus(meetings.propose_again(relationship, moment))


def days_told(relationship: Relationship, meeting: Meeting | None, person: Person, moment: Moment) -> Outcome:
    """A member said when they are away, or can otherwise: silence is counted by it; times of which none is left make way for new ones, and
    new hours are looked at where none were in common. A meeting that has its time stays there until somebody moves it.
    """
    member = relationship.member(person.id)
    if member is None or relationship.ended_at is not None or member.days == person.days:
        return NOTHING
    relationship = with_member(relationship, replace(member, days=person.days))
    outcome = new(relationship).plus(signs.watched(relationship))
    answer_by = silence.answer_by(relationship)
    if answer_by is not None:  # where somebody is back before they said, they have as many days again
        answer_by = max(answer_by, moment.now + timedelta(days=relationship.rules.silent_partner_days))
        outcome = outcome.arm(signs.UNANSWERED, relationship.id, relationship.id, answer_by)
    proposed = meeting is not None and meeting.status is MeetingStatus.proposed
    if meeting is not None and proposed and not diaries.still_open(relationship, meeting, moment.now, moment):
        return outcome.plus(meetings.renew(relationship, meeting, moment))
    return outcome.plus(hosts.kept(relationship, meeting, moment.now)).plus(meetings.propose_again(relationship, moment))


def with_member(relationship: Relationship, member: Member) -> Relationship:
    members = tuple(member if m.person_id == member.person_id else m for m in relationship.members)
    return replace(relationship, members=members)


def leave(
    relationship: Relationship,
    meeting: Meeting | None,
    person_id: UUID,
    reason: EndReason,
    moment: Moment,
    *,
    side: Side | None = None,
    rematch: bool = False,
    unanswered: bool = False,
) -> Outcome:
    """A member goes: a pair ends, its mentee first in the next match; a group goes on while it has a mentor, if it had one, and two.

    Then nobody else loses anything: what was signed holds, what is planned stays, and who was to lead it is followed by the next. Where those
    who are left have a break it stands still as in any.
    """
    member = relationship.member(person_id)
    if member is None:
        return NOTHING
    if reason is EndReason.person_erased:
        relationship = with_member(relationship, Member(person_id, member.role, member.organization))
        relationship = replace(relationship, reasons=())
    if relationship.ended_at is not None:
        over = new(relationship)
        return over.clear(stages.TIMER, relationship.id) if reason is EndReason.person_erased else over
    if not goes_on_without(relationship, person_id):
        first = [m.person_id for m in relationship.members if m.person_id != person_id and m.role is not Role.mentor]
        return endings.end(relationship, meeting, reason, side or side_of(member.role), moment, rematch_first=first)
    went = MemberWentOut(
        **relationship.about,
        person_id=person_id,
        role=member.role,
        reason=reason,
        rematch_first=rematch,
        unanswered=unanswered,
        meeting_id=relationship.meeting_id,
    )
    return NOTHING.then(went).plus(_without(relationship, meeting, member, moment))


def _without(relationship: Relationship, meeting: Meeting | None, member: Member, moment: Moment) -> Outcome:
    """A group goes on without a member: what waited for them alone waits no longer."""
    stood_still = groups.stands_still(relationship)
    rest = tuple(m for m in relationship.members if m.person_id != member.person_id)
    signatures = tuple(s for s in relationship.signatures if s.person_id != member.person_id)
    others = (former for former in relationship.former if former.person_id != member.person_id)
    former = (*others, Former(member.person_id, member.role, moment.time))
    relationship = apart.talked_about(replace(_of(relationship, rest), signatures=signatures, former=former))
    outcome = NOTHING
    if relationship.asked == member.person_id:
        relationship, outcome = signs.excused(relationship)
    outcome = outcome.plus(signs.watched(relationship))
    if groups.stands_still(relationship) and not stood_still:
        relationship, stops = _stops(relationship, meeting, moment)
        outcome = outcome.plus(stops)
    else:
        outcome = outcome.plus(hosts.kept(relationship, meeting, moment.now))
    waited_for = relationship.is_open and all(relationship.has_signed(m.person_id) for m in rest)
    if waited_for:
        return outcome.plus(agreement.settle(relationship, relationship.signatures[-1].person_id, moment))
    relationship, waits = unsigned.with_breaks(relationship, moment)
    if member.paused:
        waits = waits.plus(check_ins.look_soon(relationship, moment))
    if renewal.all_go_on(relationship):
        return outcome.plus(waits).plus(renewal.renewed(relationship, moment))
    return new(relationship).plus(outcome).plus(waits).plus(meetings.propose_again(relationship, moment))


def goes_on_without(relationship: Relationship, person_id: UUID) -> bool:
    """Whether a relationship of several goes on when this member leaves: with two at least, a mentor if it has one, and someone to mentor."""
    rest = [m for m in relationship.members if m.person_id != person_id]
    led = any(m.role is Role.mentor for m in rest) or not any(m.role is Role.mentor for m in relationship.members)
    mentored = any(m.role not in GUIDES for m in rest) or all(m.role in GUIDES for m in relationship.members)
    return len(rest) >= groups.TWO and led and mentored


def join(relationship: Relationship, member: Member, moment: Moment) -> Outcome:
    """Someone comes into a group in mid-course; they sign, and what was agreed goes on meanwhile. Where it stood still for want of people it
    goes on.
    """
    if relationship.ended_at is not None or relationship.member(member.person_id) is not None:
        return NOTHING
    members, stood_still = (*relationship.members, member), groups.stands_still(relationship)
    relationship, waits = unsigned.with_breaks(_of(relationship, members), moment)
    if not stood_still or groups.stands_still(relationship):
        return waits.also(relationship)
    return waits.plus(_goes_on(relationship, moment))


def came_too_late(relationship: Relationship, member: Member, reason: EndReason) -> Outcome:
    """Whoever comes into a group has gone meanwhile: they were never in it here, and matching, which seats them, hears that they left."""
    if relationship.ended_at is not None or relationship.member(member.person_id) is not None:
        return NOTHING
    with_them = _of(relationship, (*relationship.members, member))
    went = MemberWentOut(
        **with_them.about, person_id=member.person_id, role=member.role, reason=reason, meeting_id=relationship.meeting_id
    )
    return NOTHING.then(went)


def _of(relationship: Relationship, members: tuple[Member, ...]) -> Relationship:
    """With these members."""
    people = tuple(str(m.person_id) for m in members)
    return replace(relationship, members=members, people=people, audience=audience_of(relationship.organization, members))


def caught_up(relationship: Relationship, meeting: Meeting | None, program: Program, moment: Moment) -> Outcome:
    """The program has changed or closed: take over its rules, or end."""
    if relationship.ended_at is not None:
        return NOTHING
    if program.closed_at is not None:
        return endings.end(relationship, meeting, EndReason.program_closed, Side.coordinator, moment)
    if relationship.rules_revision >= program.revision:
        return NOTHING
    before = relationship.rules
    relationship = replace(relationship, rules=Rules.of(program.policy), rules_revision=program.revision)
    if relationship.agreed_at is not None and relationship.rules.asks and not before.asks:
        relationship = replace(relationship, heard_at=moment.now)
    relationship, waits = unsigned.with_breaks(relationship, moment)
    if relationship.unsigned:
        waits = waits.plus(unsigned.armed(relationship))
    if check_ins.other_days(before, relationship.rules):
        waits = waits.plus(check_ins.look_soon(relationship, moment))
    return waits.plus(signs.watched(relationship)).also(relationship)


def closed(program: Program, at: datetime) -> Program:
    return program if program.closed_at is not None else replace(program, closed_at=at)
