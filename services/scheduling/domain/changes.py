"""What a member wants otherwise: another time than those offered, or not to meet this once."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import diaries, groups, meetings, polls, risk, slots
from services.scheduling.domain.model import Meeting, MeetingStatus, Moment, Relationship, Suggestion
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import ChangeReason

BY_MEMBERS = (ChangeReason.ill, ChangeReason.work, ChangeReason.away, ChangeReason.asked, ChangeReason.other)
"""What a member may give as the reason, none of them anybody's fault."""
AHEAD = timedelta(days=slots.HORIZON_DAYS)
"""In which a time may be suggested."""
MOST_OFFERED = 6
"""Times to choose from; with one more suggested the last ones of before go."""


class DoesNotFit(Rejected):
    """A time suggested that isn't free for everyone: for whom, and not why, which is theirs to tell."""

    def __init__(self, who: tuple[UUID, ...]) -> None:
        super().__init__("does_not_fit", "That time doesn’t fit everyone. Please try another one.", field="time", status=409)
        self.who = who


def suggest(relationship: Relationship, meeting: Meeting, person_id: UUID, at: datetime, moment: Moment) -> Outcome:
    """A member offers the others a time of their own: it holds once one of them takes it, or where nobody picks any. A meeting that
    has its time keeps it until then. One that stands to choice already is picked.

    Raises Rejected where it can't be offered, DoesNotFit among them.
    """
    if relationship.ended_at is not None or not meetings.changeable(meeting, moment.now) or at == meeting.starts_at:
        return NOTHING
    leads = relationship.is_group and groups.may_fix(relationship, meeting, person_id)
    if at in meeting.slots and relationship.is_group and not leads:
        return polls.also_at(relationship, meeting, person_id, at, moment)
    if at in meeting.slots:
        own = not leads and meeting.suggested_by(at) == person_id
        return NOTHING if own else meetings.pick(relationship, meeting, person_id, at, moment)
    if at <= moment.now:
        raise Rejected("time_is_past", "That time is past. Please suggest another one.", field="time", status=409)
    if at > min(moment.now + AHEAD, relationship.until or moment.now + AHEAD):
        raise Rejected("too_far_ahead", "That is too far ahead. Please suggest a day sooner.", field="time", status=409)
    who = misfits(relationship, meeting, person_id, at, moment)
    if who and not (relationship.is_group and groups.can_meet(relationship, _rest(relationship, who))):
        raise DoesNotFit(who)
    ahead = (slot for slot in meeting.slots if slot > moment.now)
    meeting = replace(
        meeting,
        slots=(at, *ahead)[:MOST_OFFERED],
        suggested=(*meeting.suggested, Suggestion(at, person_id))[-MOST_OFFERED:],
    )
    if leads:
        return meetings.pick(relationship, meeting, person_id, at, moment)
    if relationship.is_group and meeting.status is MeetingStatus.proposed:
        meeting = polls.with_time(meeting, person_id, at)
    outcome = new(meeting).then(meetings.proposed(relationship, meeting, by=person_id))
    if meeting.status is MeetingStatus.proposed:
        return outcome.arm("unpicked", meeting.id, relationship.id, moment.now + meetings.PICK_WITHIN)
    return outcome


def misfits(relationship: Relationship, meeting: Meeting, person_id: UUID, at: datetime, moment: Moment) -> tuple[UUID, ...]:
    """Those whom a time doesn't fit. Who suggests it knows their own hours best, and has forgotten another meeting at most."""
    engaged = diaries.engaged(relationship, at, meeting.minutes, moment)
    return tuple(
        m.person_id
        for m in relationship.members
        if m.person_id in engaged or (m.person_id != person_id and not slots.suits(m, at, meeting.minutes))
    )


def _rest(relationship: Relationship, who: tuple[UUID, ...]) -> list[UUID]:
    return [m.person_id for m in groups.active(relationship) if m.person_id not in who]


def call_off(relationship: Relationship, meeting: Meeting, person_id: UUID, reason: ChangeReason, moment: Moment) -> Outcome:
    """A member calls a meeting off, in a group whoever leads, and the next one is proposed in its place: not before the one they can't come
    to.
    """
    if relationship.ended_at is not None or not meetings.changeable(meeting, moment.now):
        return NOTHING
    if not groups.may_fix(relationship, meeting, person_id):
        return NOTHING
    cancelled = meetings.call_off(relationship, meeting, reason, moment, by=person_id)
    instead_of = meeting.starts_at or meeting.slots[0]
    if reason is not ChangeReason.ill:
        relationship = risk.changed(relationship, moment.now)
    relationship, proposed = meetings.propose(relationship, moment, meeting.number, instead_of=instead_of)
    return cancelled.plus(proposed).also(relationship)
