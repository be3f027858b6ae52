"""Who came to a group's meeting: one tells it for all, each may put their own right, and what fewer than the quorum came to isn't held.

What is held stays held: a member who says later that they weren't there changes the list alone.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.scheduling.domain import away, groups, meetings, recognition, signs, silence
from services.scheduling.domain.model import Held, Meeting, MeetingStatus, Moment, Relationship, Said
from services.scheduling.domain.roll import Roll
from services.scheduling.domain.signs import QUIET, UNANSWERED
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import MeetingHeld, MeetingMissed, MeetingReported, MemberAsked

STILL_WITH_US = 3
"""Meetings in a row that a member wasn't at, after which they are asked kindly whether they go on."""


def open_to(relationship: Relationship, meeting: Meeting, now: datetime) -> bool:
    """Whether it can be said who came: it has begun, and wasn't called off, nor planned for after the end."""
    if not relationship.is_group or not meetings.begun(meeting, now) or meeting.status is MeetingStatus.cancelled:
        return False
    assert meeting.starts_at is not None
    return relationship.ended_at is None or meeting.starts_at <= relationship.ended_at


def came(meeting: Meeting) -> set[UUID]:
    """By what is told for all, and by each one's own word, which holds for themselves."""
    told = set(meeting.roll.came) if meeting.roll else set()
    own = {said.person_id: said.met for said in meeting.said}
    return {p for p in told if own.get(p, True)} | {p for p, met in own.items() if met}


def may_tell_all(relationship: Relationship, meeting: Meeting, person_id: UUID) -> bool:
    """Whether this member may say who came: anyone the first time, then whoever leads."""
    return meeting.roll is None or groups.may_fix(relationship, meeting, person_id)


def tell(
    relationship: Relationship, meeting: Meeting, person_id: UUID, people: Collection[UUID], minutes: int, moment: Moment
) -> Outcome:
    """A member says who came. Of somebody who isn't in the group nothing is noted."""
    if not open_to(relationship, meeting, moment.now) or not may_tell_all(relationship, meeting, person_id):
        return NOTHING
    known = [m.person_id for m in relationship.members if m.person_id in people]
    said = _with_word(meeting, person_id, moment.now, there=person_id in known)
    by = meeting.roll.by if meeting.roll else person_id
    return _noted(relationship, meeting, replace(said, roll=Roll(tuple(known), minutes, by, _misses(meeting))), moment)


def attend(relationship: Relationship, meeting: Meeting, person_id: UUID, moment: Moment, *, there: bool) -> Outcome:
    """A member says whether they were there, which counts for themselves alone."""
    if not open_to(relationship, meeting, moment.now):
        return NOTHING
    return _noted(relationship, meeting, _with_word(meeting, person_id, moment.now, there=there), moment)


def reported(relationship: Relationship, meeting: Meeting, event: MeetingReported, moment: Moment) -> Outcome:
    """A partner says who came to a meeting that is planned, or counted as missed. Where they were too few, it is missed; reported again, the
    answer is that fact again.

    Raises Rejected where they were too few for a meeting that was never planned: nothing is missed then.
    """
    told = replace(meeting, roll=Roll(event.attended, event.minutes, None, _misses(meeting)))
    if groups.enough(relationship, came(told)):
        held = _held(relationship, told, event.held_at)
        return with_question(meetings.hold(relationship, told, held, moment), moment)
    if meeting.status is MeetingStatus.missed:
        return new(told).then(_missed_again(relationship, told))
    if meeting.status is not MeetingStatus.scheduled or not meetings.begun(meeting, moment.now):
        raise too_few()
    return meetings.miss(relationship, told, moment)


def too_few() -> Rejected:
    return Rejected("too_few", "Fewer came than the group needs for a meeting.", field="people")


def _misses(meeting: Meeting) -> int:
    return meeting.roll.misses if meeting.roll else 0


def _with_word(meeting: Meeting, person_id: UUID, now: datetime, *, there: bool) -> Meeting:
    if any(said.person_id == person_id and said.met == there for said in meeting.said):
        return meeting
    others = tuple(said for said in meeting.said if said.person_id != person_id)
    return replace(meeting, said=(*others, Said(person_id, there, now)))


def _noted(relationship: Relationship, before: Meeting, meeting: Meeting, moment: Moment) -> Outcome:
    """What it comes to, by who was there: held from the quorum on; missed where it was told for all and they were too few."""
    if meeting == before:
        return NOTHING
    if meeting.status is MeetingStatus.held:
        return _corrected(relationship, meeting, moment)
    assert meeting.starts_at is not None
    if groups.enough(relationship, came(meeting)):
        held = _held(relationship, meeting, meeting.starts_at)
        return with_question(meetings.hold(relationship, meeting, held, moment), moment)
    if meeting.status is MeetingStatus.scheduled and meeting.roll is not None:
        return meetings.miss(relationship, meeting, moment)
    return new(meeting)


def _held(relationship: Relationship, meeting: Meeting, held_at: datetime) -> Held:
    """Those who came in the order of members; expected are they, and who had neither a break nor was away then."""
    there, at = came(meeting), meeting.starts_at or held_at
    order = [m.person_id for m in relationship.members if m.person_id in there]
    order += sorted(there - set(order))
    could = [m.person_id for m in relationship.members if m.person_id in there or not (m.paused or away.gone(m, at))]
    roll = meeting.roll
    said_by = roll.by if roll else meeting.said[-1].person_id
    minutes = roll.minutes if roll else meeting.minutes
    return Held(held_at, minutes, tuple(order), said_by, expected=(*could, *(p for p in order if p not in could)))


def _corrected(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """Another list of a meeting that was held: the same fact with a higher revision."""
    held = meeting.held
    assert held is not None
    there = came(meeting)
    attended = tuple(p for p in held.expected if p in there) + tuple(sorted(there - set(held.expected)))
    expected = (*held.expected, *(p for p in attended if p not in held.expected))
    minutes = meeting.roll.minutes if meeting.roll else held.minutes
    after = replace(held, attended=attended, expected=expected, minutes=minutes)
    if after == held or not attended:
        return new(meeting)
    meeting = replace(meeting, held=after, revision=meeting.revision + 1)
    recent = tuple(replace(p, absent=after.absent) if p.meeting_id == meeting.id else p for p in relationship.recent)
    relationship, back = replace(relationship, recent=recent), NOTHING
    if relationship.asked in attended:
        at = meeting.starts_at or held.held_at
        relationship, back = signs.heard(relationship, at, moment, by=attended, meeting_id=meeting.id)
    told = new(meeting, relationship).then(meetings.held_event(relationship, meeting)).plus(back)
    return told.plus(recognition.looked_at(relationship, meeting, moment))


def _missed_again(relationship: Relationship, meeting: Meeting) -> MeetingMissed:
    """What is known of a meeting that was missed, for whoever reports it again."""
    assert meeting.starts_at is not None
    return MeetingMissed(
        **relationship.about,
        meeting_id=meeting.id,
        starts_at=meeting.starts_at,
        absent=meetings.absent(relationship, meeting),
        misses_in_a_row=max(1, _misses(meeting)),
        revision=meeting.revision,
    )


# Somebody hasn't come for long


def absences(relationship: Relationship, person_id: UUID) -> int:
    """How many of the last meetings held a member wasn't at, one after another, where they could have come."""
    count = 0
    for past in reversed([past for past in relationship.recent if past.held]):
        if person_id not in past.absent:
            return count
        count += 1
    return count


def with_question(outcome: Outcome, moment: Moment) -> Outcome:
    """And who has now been absent three times in a row is asked kindly whether they go on, one member at a time."""
    held = next((e for e in reversed(outcome.events) if isinstance(e, MeetingHeld)), None)
    relationship = next((a for a in reversed(outcome.changed) if isinstance(a, Relationship)), None)
    if held is None or relationship is None or relationship.ended_at is not None or relationship.asked is not None:
        return outcome
    if relationship.agreed_at is None or not relationship.rules.asks or relationship.recent[-1].meeting_id != held.meeting_id:
        return outcome
    long = [m.person_id for m in groups.active(relationship) if _is_long(absences(relationship, m.person_id))]
    if not long:
        return outcome
    relationship = replace(relationship, asked=long[0], asked_at=moment.now)
    until = silence.answer_by(relationship)
    assert until is not None
    asked = MemberAsked(**relationship.about, person_id=long[0], answer_by=until)
    unwatched = outcome._replace(timers=tuple(timer for timer in outcome.timers if timer.kind != QUIET))
    outcome = unwatched.then(asked).also(relationship).clear(QUIET, relationship.id)
    return outcome.arm(UNANSWERED, relationship.id, relationship.id, until)


def _is_long(absent: int) -> bool:
    return absent > 0 and absent % STILL_WITH_US == 0
