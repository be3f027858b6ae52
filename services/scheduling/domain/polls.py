"""A group finds a time together: each says at which times they can; whoever leads may set it at once."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.scheduling.domain import diaries, groups, meetings, risk
from services.scheduling.domain.model import Meeting, MeetingStatus, Moment, Relationship
from services.scheduling.domain.roll import Vote
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import ChangeReason


def say(relationship: Relationship, meeting: Meeting, person_id: UUID, can: Collection[datetime], moment: Moment) -> Outcome:
    """A member says at which of the times they can. With the last one the time holds that most can come to."""
    if relationship.ended_at is not None or meeting.status is not MeetingStatus.proposed or not relationship.is_group:
        return NOTHING
    diaries.in_turn(relationship, moment)
    if not set(can) <= set(meeting.slots):
        raise Rejected("not_offered", "That time isn't one of those proposed.", field="slot", status=409)
    if not diaries.still_open(relationship, meeting, moment.now, moment):
        return meetings.renew(relationship, meeting, moment)
    vote = Vote(person_id, tuple(sorted(can)), tuple(sorted({*meeting.slots} - {*can})))
    if vote in meeting.votes:
        return NOTHING
    meeting = _with(meeting, vote)
    return settled(relationship, meeting, moment) if all_said(relationship, meeting) else new(meeting)


def _with(meeting: Meeting, vote: Vote) -> Meeting:
    return replace(meeting, votes=(*(v for v in meeting.votes if v.person_id != vote.person_id), vote))


def with_time(meeting: Meeting, person_id: UUID, at: datetime, *, can: bool = True) -> Meeting:
    """With a time at which a member can, or can't, beside what they said of others before."""
    before = next((v for v in meeting.votes if v.person_id == person_id), Vote(person_id, cannot=()))
    yes, no = {*before.slots} - {at}, _refused(meeting, before) - {at}
    (yes if can else no).add(at)
    return _with(meeting, Vote(person_id, tuple(sorted(yes)), tuple(sorted(no))))


def _refused(meeting: Meeting, vote: Vote) -> set[datetime]:
    """The times at which a member can't. Where only those were kept at which they can it is the others, but those that somebody suggested:
    these may have been offered later.
    """
    if vote.cannot is not None:
        return {*vote.cannot}
    return {*meeting.slots} - {*vote.slots} - {suggestion.at for suggestion in meeting.suggested}


def also_at(relationship: Relationship, meeting: Meeting, person_id: UUID, at: datetime, moment: Moment) -> Outcome:
    """A member can at this one of the times too."""
    after = with_time(meeting, person_id, at)
    can = next(v.slots for v in after.votes if v.person_id == person_id)
    return say(relationship, meeting, person_id, [slot for slot in can if slot in meeting.slots], moment)


def cannot(relationship: Relationship, meeting: Meeting) -> list[UUID]:
    """Those who said that they can't come to a meeting that has its time."""
    said = {v.person_id for v in meeting.votes if meeting.starts_at in _refused(meeting, v)}
    return [m.person_id for m in relationship.members if m.person_id in said]


def come(relationship: Relationship, meeting: Meeting, person_id: UUID, moment: Moment, *, can: bool) -> Outcome:
    """A member says whether they can come to a meeting that has its time, which stays: the others see it."""
    ahead = meeting.status is MeetingStatus.scheduled and meetings.changeable(meeting, moment.now)
    if relationship.ended_at is not None or not relationship.is_group or not ahead or meeting.starts_at is None:
        return NOTHING
    if can == (person_id not in cannot(relationship, meeting)):
        return NOTHING
    return new(with_time(meeting, person_id, meeting.starts_at, can=can))


def all_said(relationship: Relationship, meeting: Meeting) -> bool:
    """Whether everyone without a break has said at which times they can."""
    return {m.person_id for m in groups.active(relationship)} <= {v.person_id for v in meeting.votes}


def count(relationship: Relationship, meeting: Meeting) -> Counter[datetime]:
    """How many of those who are in it can at each time."""
    return Counter(slot for v in meeting.votes if relationship.member(v.person_id) for slot in v.slots)


def best(relationship: Relationship, meeting: Meeting, left: Sequence[datetime]) -> datetime:
    """Of the times that are left the one that most can come to, of several the earliest; the first where nobody has said."""
    votes = count(relationship, meeting)
    return min(left, key=lambda slot: (-votes[slot], slot)) if any(votes[slot] for slot in left) else left[0]


def unpicked(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """The days to say so are over. In a group that has gone quiet, where nobody said anything, the times stay open until they are past."""
    quiet = relationship.stalled_at is not None and not meeting.votes
    if not relationship.is_group or quiet or relationship.ended_at is not None or meeting.status is not MeetingStatus.proposed:
        return meetings.unpicked(relationship, meeting, moment)
    diaries.in_turn(relationship, moment)
    return settled(relationship, meeting, moment)


def settled(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """The time that most can come to holds. Where all have said, and too few to count as a meeting can at any of them, times that come
    later are proposed; new ones, where none is left.
    """
    relationship = risk.offered(relationship, picked=bool(count(relationship, meeting)))
    left = diaries.still_open(relationship, meeting, moment.now, moment)
    if not left:
        return meetings.renew(relationship, meeting, moment)
    votes = [v for v in meeting.votes if relationship.member(v.person_id)]
    fit = [slot for slot in left if groups.can_meet(relationship, {v.person_id for v in votes if slot in v.slots})]
    if all_said(relationship, meeting) and not fit:
        called_off = meetings.call_off(relationship, meeting, ChangeReason.other, moment)
        relationship, later = meetings.propose(relationship, moment, meeting.number, instead_of=max(left))
        return called_off.plus(later).also(relationship).returning(relationship.meeting_id)
    return meetings.schedule(relationship, meeting, best(relationship, meeting, fit or left), moment)
