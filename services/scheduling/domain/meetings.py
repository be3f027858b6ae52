"""Meetings: proposed, picked, moved, held, missed. Each function is given the relationship and its meeting as they are locked, and
returns what follows; whatever hangs on a meeting's time (reminder, question) is armed, moved and cleared with it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import (
    away,
    best_times,
    brief,
    check_ins,
    diaries,
    groups,
    hosts,
    recognition,
    risk,
    signs,
    slots,
)
from services.scheduling.domain.milestones import FIFTH, reach
from services.scheduling.domain.model import Held, Meeting, MeetingStatus, Moment, Past, Relationship, Said
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Raced, Rejected
from shared.events import (
    Absent,
    ChangeReason,
    Format,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingProposed,
    MeetingRescheduled,
    MeetingScheduled,
    Milestone,
    ReminderDue,
    Role,
    StallReason,
)

LEAD = timedelta(days=2)
"""Between a proposal and the first time in it."""
PICK_WITHIN = timedelta(days=3)
"""Then the first time that is still ahead holds."""
REMIND_BEFORE = timedelta(hours=24)
LOOK_AGAIN = timedelta(days=7)
"""Where there is no hour in common."""
PUT_RIGHT = timedelta(days=7)
"""Before those who missed their one meeting are over: somebody may still say that they met."""
SAME = timedelta(hours=12)
"""Two reports of meetings no further apart are of one meeting."""
TIME_TAKEN = "Someone can’t make that time any more. Please choose another one."
OWN_SUGGESTION = "You suggested that time yourself: it holds once someone else takes it."
REMEMBERED = 60
"""Decided meetings: more than five years of monthly ones, more than one of weekly ones."""

ReadMeeting = Callable[[UUID], Meeting | None]


def current(relationship: Relationship, read: ReadMeeting) -> Meeting | None:
    """The meeting that is proposed or scheduled. Raises Raced where it was made after the lookup: the decision runs again."""
    if relationship.meeting_id is None:
        return None
    meeting = read(relationship.meeting_id)
    if meeting is None:
        raise Raced("the meeting was made meanwhile")
    return meeting


# Proposing


def propose(
    relationship: Relationship, moment: Moment, number: int | None = None, *, instead_of: datetime | None = None
) -> tuple[Relationship, Outcome]:
    """The relationship with its next meeting, and that meeting's proposal; `number` where it takes another one's place, `instead_of`
    where a member can't come to that one's time: then the series goes on after it, and those who meet once find a later one.

    Nothing is proposed before all have signed, while someone has a break, while it is frozen, beyond the agreed months, or to those who
    write to each other instead. Where no hour is in common it is tried again each week, and whenever someone's hours change. To those who were to
    meet once nothing more: their end is due.
    """
    relationship = replace(relationship, meeting_id=None)
    if relationship.format is Format.e_mentoring or relationship.agreed_at is None or relationship.ended_at is not None:
        return relationship, NOTHING
    if relationship.through:
        due = moment.now if relationship.held else moment.now + PUT_RIGHT
        return relationship, NOTHING.arm("end", relationship.id, relationship.id, due)
    if relationship.frozen_at is not None or groups.stands_still(relationship):
        return relationship, NOTHING
    terms, since, lead = relationship.terms, relationship.since, LEAD
    if instead_of is not None and relationship.meets_once:
        lead = max(lead, instead_of + SAME - moment.now)
    elif instead_of is not None:
        since = max(instead_of, since or instead_of)
    host = hosts.turn(relationship, max(moment.now + lead, since + timedelta(weeks=terms.every_weeks) if since else moment.now))
    found = best_times.next_times(relationship, host, moment, since=since, lead=lead)
    if not found:
        return relationship, NOTHING.arm("propose", relationship.id, relationship.id, moment.now + LOOK_AGAIN)
    times = tuple(at for at in found if relationship.until is None or at < relationship.until)
    if not times:
        return relationship, NOTHING
    meeting = Meeting(
        id=moment.new_id(),
        relationship_id=relationship.id,
        organization=relationship.organization,
        number=number or relationship.meetings + 1,
        status=MeetingStatus.proposed,
        minutes=terms.minutes,
        time_zone=relationship.time_zone,
        proposed_at=moment.now,
        slots=times,
        host=host,
    )
    relationship = replace(relationship, meeting_id=meeting.id, meetings=max(relationship.meetings, meeting.number))
    outcome = new(meeting).then(proposed(relationship, meeting)).clear("propose", relationship.id)
    return relationship, outcome.arm("unpicked", meeting.id, relationship.id, moment.now + PICK_WITHIN)


def proposed(relationship: Relationship, meeting: Meeting, *, by: UUID | None = None) -> MeetingProposed:
    """That its times stand to choice; `by` whoever suggested the first of them."""
    return MeetingProposed(
        **relationship.about,
        meeting_id=meeting.id,
        slots=meeting.slots,
        minutes=meeting.minutes,
        time_zone=meeting.time_zone,
        number=meeting.number,
        proposed_by=by,
        sequence=meeting.sequence,
    )


def propose_again(relationship: Relationship, moment: Moment) -> Outcome:
    """A look for times where there were none: by the timer, or because hours changed or a break is over."""
    if relationship.meeting_id is not None or relationship.ended_at is not None or relationship.agreed_at is None:
        return NOTHING
    if relationship.through:
        return NOTHING
    relationship, outcome = propose(relationship, moment)
    return outcome.also(relationship)


# A time


def pick(relationship: Relationship, meeting: Meeting, person_id: UUID, slot: datetime, moment: Moment) -> Outcome:
    """A member takes one of the proposed times, or another of them while the meeting hasn't begun.

    Where others have taken it of somebody meanwhile, another one is to be picked; where none is left, new ones are proposed.
    """
    if relationship.ended_at is not None or not changeable(meeting, moment.now):
        return NOTHING
    diaries.in_turn(relationship, moment)
    if slot not in meeting.slots:
        raise Rejected("not_offered", "That time isn't one of those proposed.", field="slot", status=409)
    if slot <= moment.now:
        raise Rejected("time_is_past", "That time is past. Please choose another.", field="slot", status=409)
    if slot == meeting.starts_at:
        return NOTHING
    if diaries.prevented(relationship, slot, meeting.minutes, moment):
        if meeting.status is MeetingStatus.proposed and not diaries.still_open(relationship, meeting, moment.now, moment):
            return renew(relationship, meeting, moment)
        raise Rejected("time_taken", TIME_TAKEN, field="slot", status=409)
    if meeting.suggested_by(slot) == person_id and not (
        relationship.is_group and groups.may_fix(relationship, meeting, person_id)
    ):
        raise Rejected("own_suggestion", OWN_SUGGESTION, field="slot", status=409)
    if meeting.status is MeetingStatus.proposed:
        return schedule(risk.offered(relationship, picked=True), meeting, slot, moment)
    return reschedule(relationship, meeting, slot, moment, by=person_id)


def changeable(meeting: Meeting, now: datetime) -> bool:
    """Whether its time may still be picked or moved."""
    if meeting.status is MeetingStatus.proposed:
        return True
    return meeting.status is MeetingStatus.scheduled and meeting.starts_at is not None and meeting.starts_at > now


def schedule(relationship: Relationship, meeting: Meeting, slot: datetime, moment: Moment) -> Outcome:
    host = hosts.at(relationship, meeting, slot)
    meeting = replace(meeting, status=MeetingStatus.scheduled, starts_at=slot, sequence=meeting.sequence + 1, host=host)
    scheduled = MeetingScheduled(
        **relationship.about,
        meeting_id=meeting.id,
        starts_at=slot,
        minutes=meeting.minutes,
        time_zone=meeting.time_zone,
        sequence=meeting.sequence,
        number=meeting.number,
        host=host,
    )
    if not _continues(relationship, meeting):
        relationship = replace(relationship, rhythm=slot)
    outcome = new(relationship, meeting).then(scheduled).clear("unpicked", meeting.id)
    return outcome.plus(_armed(relationship, meeting, moment))


def reschedule(relationship: Relationship, meeting: Meeting, slot: datetime, moment: Moment, *, by: UUID | None) -> Outcome:
    assert meeting.starts_at is not None
    was_at = meeting.starts_at
    host = hosts.at(relationship, meeting, slot)
    meeting = replace(meeting, starts_at=slot, sequence=meeting.sequence + 1, host=host)
    moved = MeetingRescheduled(
        **relationship.about,
        meeting_id=meeting.id,
        starts_at=slot,
        minutes=meeting.minutes,
        time_zone=meeting.time_zone,
        sequence=meeting.sequence,
        number=meeting.number,
        was_at=was_at,
        rescheduled_by=by,
        host=host,
    )
    if relationship.rhythm == was_at:
        relationship = replace(relationship, rhythm=slot)
    relationship = risk.changed(relationship, moment.now)
    return new(relationship, meeting).then(moved).plus(_armed(relationship, meeting, moment))


def _continues(relationship: Relationship, meeting: Meeting) -> bool:
    """Whether the series' own time suits everybody's week: then another one taken is an exception, else the series begins anew."""
    anchor, weeks = relationship.rhythm, relationship.terms.every_weeks
    if anchor is None or relationship.since is None:
        return False
    usual = slots.in_rhythm(anchor, relationship.time_zone, weeks, meeting.slots[0] - timedelta(weeks=weeks) / 2)
    return best_times.suits_the_series(relationship, usual, meeting.minutes)


def _armed(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """What hangs on a meeting's time, at its time: the reminder, dropped where that is past, and the end of the grace."""
    assert meeting.starts_at is not None
    assert meeting.ends_at is not None
    outcome = NOTHING.arm(
        "missed", meeting.id, relationship.id, meeting.ends_at + timedelta(hours=relationship.rules.grace_hours)
    )
    remind_at = meeting.starts_at - REMIND_BEFORE
    if remind_at > moment.now:
        return outcome.arm("reminder", meeting.id, relationship.id, remind_at)
    return outcome.clear("reminder", meeting.id)


def _disarmed(meeting: Meeting) -> Outcome:
    return NOTHING.clear("reminder", meeting.id).clear("missed", meeting.id).clear("unpicked", meeting.id)


def unpicked(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """Nobody picked in time: the first time that is still open holds; where none is, new ones are proposed.

    To a pair that has gone quiet a meeting that nobody wants would be one more to miss: the times stay open until they are past.
    """
    if relationship.ended_at is not None or meeting.status is not MeetingStatus.proposed:
        return NOTHING
    diaries.in_turn(relationship, moment)
    left = diaries.still_open(relationship, meeting, moment.now, moment)
    if left and relationship.stalled_at is not None:
        return NOTHING.arm("unpicked", meeting.id, relationship.id, max(left))
    relationship = risk.offered(relationship, picked=False)
    return schedule(relationship, meeting, left[0], moment) if left else renew(relationship, meeting, moment)


def renew(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """New times in the place of those of which none can be picked any more; answers the id of their meeting."""
    cancelled = call_off(relationship, meeting, ChangeReason.other, moment)
    relationship, renewed = propose(relationship, moment, meeting.number)
    return cancelled.plus(renewed).also(relationship).returning(relationship.meeting_id)


def remind(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """A meeting is near: time for a reminder, with a brief. One for the past is dropped."""
    starts_at = meeting.starts_at
    if meeting.status is not MeetingStatus.scheduled or starts_at is None or starts_at <= moment.now:
        return NOTHING
    about = relationship.about | brief.numbers(relationship, starts_at, moment)
    return NOTHING.then(ReminderDue(**about, meeting_id=meeting.id, starts_at=starts_at, host=meeting.host))


def call_off(
    relationship: Relationship, meeting: Meeting, reason: ChangeReason, moment: Moment, *, by: UUID | None = None
) -> Outcome:
    """A meeting that hasn't begun won't take place; one that has begun is left to be answered. The caller saves the relationship."""
    if not changeable(meeting, moment.now):
        return NOTHING
    meeting = replace(meeting, status=MeetingStatus.cancelled, sequence=meeting.sequence + 1)
    cancelled = MeetingCancelled(
        **relationship.about,
        meeting_id=meeting.id,
        starts_at=meeting.starts_at,
        sequence=meeting.sequence,
        cancelled_by=by,
        reason=reason,
    )
    return new(meeting).then(cancelled).plus(_disarmed(meeting))


# What became of it


def begun(meeting: Meeting, now: datetime) -> bool:
    return meeting.starts_at is not None and meeting.starts_at <= now


def answerable(relationship: Relationship, meeting: Meeting, now: datetime) -> bool:
    """Whether "did you meet?" can be answered: it has begun, nobody has said yes, and it wasn't planned for after the end."""
    if meeting.status not in {MeetingStatus.scheduled, MeetingStatus.missed} or not begun(meeting, now):
        return False
    assert meeting.starts_at is not None
    return relationship.ended_at is None or meeting.starts_at <= relationship.ended_at


def say_met(relationship: Relationship, meeting: Meeting, person_id: UUID, minutes: int, moment: Moment) -> Outcome:
    """A member says "we met": it is held, whatever was said or counted before."""
    if not answerable(relationship, meeting, moment.now):
        return NOTHING
    assert meeting.starts_at is not None
    said = replace(meeting, said=_said(meeting, person_id, met=True, at=moment.now))
    everybody = tuple(m.person_id for m in relationship.members)
    return hold(relationship, said, Held(meeting.starts_at, minutes, everybody, person_id), moment)


def say_not_met(relationship: Relationship, meeting: Meeting, person_id: UUID, moment: Moment) -> Outcome:
    """A member says "we didn't meet". It is noted; once all have said so it is missed without waiting for the grace."""
    if meeting.status is not MeetingStatus.scheduled or not answerable(relationship, meeting, moment.now):
        return NOTHING
    meeting = replace(meeting, said=_said(meeting, person_id, met=False, at=moment.now))
    if {s.person_id for s in meeting.said if not s.met} >= {m.person_id for m in relationship.members}:
        return miss(relationship, meeting, moment)
    return new(meeting)


def _said(meeting: Meeting, person_id: UUID, *, met: bool, at: datetime) -> tuple[Said, ...]:
    return (*(s for s in meeting.said if s.person_id != person_id), Said(person_id, met, at))


def overdue(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """The grace is over and everything up to then was read: nobody said "we met"."""
    if relationship.ended_at is not None or meeting.status is not MeetingStatus.scheduled or not begun(meeting, moment.now):
        return NOTHING
    return miss(relationship, meeting, moment)


def hold(relationship: Relationship, meeting: Meeting, held: Held, moment: Moment) -> Outcome:
    """They met. Counted once; what had been counted as missed is undone; a quiet pair is alive again; the next is proposed."""
    missed_before = meeting.status is MeetingStatus.missed
    held = replace(held, corrects_missed=missed_before)
    at = meeting.starts_at or held.held_at
    meeting = replace(meeting, status=MeetingStatus.held, starts_at=at, revision=meeting.revision + 1, held=held)
    last = max(at, relationship.last_held_at or at)
    relationship = replace(
        relationship,
        held=relationship.held + 1,
        missed=relationship.missed - missed_before,
        last_held_at=last,
        misses=tuple(m for m in relationship.misses if m > last),
        since=max(at, relationship.since or at),
        recent=_remembered(relationship, Past(meeting.id, at, held=True, host=meeting.host, absent=held.absent)),
    )
    outcome = new(meeting).then(held_event(relationship, meeting)).plus(_disarmed(meeting))
    outcome = outcome.plus(recognition.looked_at(relationship, meeting, moment)).plus(risk.soon(relationship, moment))
    relationship, first = reach(relationship, Milestone.first_meeting, at, meeting_id=meeting.id)
    outcome = outcome.plus(first).plus(check_ins.met(relationship, at))
    if relationship.held >= FIFTH:
        relationship, fifth = reach(relationship, Milestone.fifth_meeting, at, meeting_id=meeting.id)
        outcome = outcome.plus(fifth)
    frozen = relationship.frozen_at is not None
    relationship, back = signs.heard(relationship, at, moment, by=held.attended, meeting_id=meeting.id)
    thawed = frozen and relationship.frozen_at is None
    return _and_next(relationship, meeting, outcome.plus(back), moment, thawed=thawed)


def miss(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """They didn't meet, as far as anybody says. Several in a row and the pair is stalled; its coordinator hears of it once. One at which a
    member was away isn't among them.
    """
    assert meeting.starts_at is not None
    at = meeting.starts_at
    meeting = replace(meeting, status=MeetingStatus.missed, revision=meeting.revision + 1)
    counts = (relationship.last_held_at is None or at > relationship.last_held_at) and not away.is_away(relationship, at)
    relationship = replace(
        relationship,
        missed=relationship.missed + 1,
        misses=(*relationship.misses, at) if counts else relationship.misses,
        since=max(at, relationship.since or at),
        recent=_remembered(relationship, Past(meeting.id, at, held=False, host=meeting.host)),
    )
    in_a_row = relationship.misses_in_a_row
    meeting = replace(meeting, roll=replace(meeting.roll, misses=max(1, in_a_row)) if meeting.roll else None)
    missed = MeetingMissed(
        **relationship.about,
        meeting_id=meeting.id,
        starts_at=at,
        absent=absent(relationship, meeting),
        misses_in_a_row=max(1, in_a_row),
        revision=meeting.revision,
    )
    outcome = new(meeting).then(missed).plus(_disarmed(meeting))
    stalls = counts and in_a_row >= relationship.rules.misses_before_stalled and not relationship.meets_once
    if stalls:
        relationship, stalled = signs.stall(relationship, StallReason.misses, moment, in_a_row)
        outcome = outcome.plus(stalled)
    return _and_next(relationship, meeting, outcome, moment)


def _and_next(relationship: Relationship, meeting: Meeting, outcome: Outcome, moment: Moment, *, thawed: bool = False) -> Outcome:
    """With the next meeting where this was the one they waited for, or nothing was proposed while it was frozen; a late word about an
    earlier one proposes nothing.
    """
    if thawed or meeting.id == relationship.meeting_id or (relationship.through and relationship.meeting_id is None):
        relationship, following = propose(relationship, moment)
        outcome = outcome.plus(following)
    return outcome.also(relationship)


def _remembered(relationship: Relationship, past: Past) -> tuple[Past, ...]:
    known = [p for p in relationship.recent if p.meeting_id != past.meeting_id]
    return tuple(sorted([*known, past], key=lambda p: p.at)[-REMEMBERED:])


def absent(relationship: Relationship, meeting: Meeting) -> Absent:
    """Who wasn't there, by what was said: of two sides of which one says "we didn't meet", the silent one."""
    if relationship.is_group:
        return Absent.too_few if meeting.roll or meeting.said else Absent.both_silent
    roles = {m.role for m in relationship.members if any(s.person_id == m.person_id and not s.met for s in meeting.said)}
    if not roles:
        return Absent.both_silent
    if roles == {Role.mentee}:
        return Absent.mentor
    if roles == {Role.mentor}:
        return Absent.mentee
    return Absent.other


def held_event(relationship: Relationship, meeting: Meeting) -> MeetingHeld:
    """What is known of a meeting that was held; the same again for whoever reports it again."""
    held = meeting.held
    assert held is not None
    return MeetingHeld(
        **relationship.about,
        meeting_id=meeting.id,
        held_at=held.held_at,
        minutes=held.minutes,
        attended=held.attended,
        expected=len(held.expected),
        said_by=held.said_by,
        number=meeting.number,
        revision=meeting.revision,
        corrects_missed=held.corrects_missed,
    )
