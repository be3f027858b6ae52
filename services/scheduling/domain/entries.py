"""What members write for each other: points for the next agenda, notes of a meeting, follow-ups. It is for them alone and leaves this
service in no event.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from services.scheduling.domain.model import AS_PLANNED, Meeting, MeetingStatus, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected

LONGEST_TEXT = 2000
MOST = 1000
"""In one relationship."""
AFTER_END = timedelta(days=14)


class EntryKind(StrEnum):
    point = "point"
    """For the agenda of the next meeting."""
    note = "note"
    follow_up = "follow_up"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a member wrote."""

    id: UUID
    relationship_id: UUID
    organization: str
    person_id: UUID
    """Who wrote it."""
    kind: EntryKind
    text: str
    written_at: datetime
    meeting_id: UUID | None = None
    """Of a note: the meeting it is of, where there was one."""
    own: bool = False
    """A note that its writer alone reads."""
    doer: UUID | None = None
    """Of a follow-up: whose it is; None where it is everybody's."""
    due_on: date | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A follow-up, or a step of a goal, that is open and has a day."""

    id: UUID
    on: date
    doer: UUID | None = None
    goal: UUID | None = None
    """Whose step it is."""


@dataclass(frozen=True, slots=True)
class Written:
    """How much was written in a relationship, and what of it is open: read under its lock, in which all of it is changed."""

    id: UUID
    entries: int = 0
    points: int = 0
    follow_ups: int = 0
    due: tuple[Due, ...] = ()
    goals: int = 0
    """Those given up included."""
    steps: int = 0
    """Open ones of goals that are."""


def entry_id(relationship_id: UUID, person_id: UUID, form: str) -> UUID:
    """The same for the same form, so that one that is sent twice adds one entry."""
    return uuid5(relationship_id, f"{person_id} {form}")


def may_write(relationship: Relationship, now: datetime) -> bool:
    """While it runs; where it ended as planned also for two weeks after, since the last meeting has notes too."""
    ended_at = relationship.ended_at
    return ended_at is None or (relationship.end_reason in AS_PLANNED and now < ended_at + AFTER_END)


def add(relationship: Relationship, meeting: Meeting | None, known: Entry | None, entry: Entry, moment: Moment) -> Outcome:
    """A member writes something. A note is of their last meeting."""
    if known is not None or not may_write(relationship, moment.now):
        return NOTHING
    written = moment.get(Written, relationship.id)
    if written is not None and written.entries >= MOST:
        raise Rejected("too_many_entries", f"There are {MOST} already. Please take some away first.", status=409)
    if entry.kind is EntryKind.note:
        entry = replace(entry, meeting_id=last_meeting(relationship, meeting, moment.now))
    return new(entry)


def last_meeting(relationship: Relationship, meeting: Meeting | None, now: datetime) -> UUID | None:
    """The meeting that has begun, or else the last one that was held."""
    if meeting is not None and meeting.status is MeetingStatus.scheduled and meeting.starts_at and meeting.starts_at <= now:
        return meeting.id
    return next((past.meeting_id for past in reversed(relationship.recent) if past.held), None)


def tick(relationship: Relationship, entry: Entry | None, moment: Moment, *, done: bool) -> Outcome:
    """A member says that a point was talked about or a follow-up is done; or that it isn't after all."""
    if entry is None or entry.relationship_id != relationship.id or entry.kind is EntryKind.note:
        return NOTHING
    if (entry.done_at is not None) is done or not may_write(relationship, moment.now):
        return NOTHING
    return new(replace(entry, done_at=moment.now if done else None))


def take_away(relationship: Relationship, entry: Entry | None, person_id: UUID) -> Outcome:
    """Whoever wrote it takes it away, also after the end."""
    if entry is None or entry.relationship_id != relationship.id or entry.person_id != person_id:
        return NOTHING
    return forget(entry)


def forget(entry: Entry) -> Outcome:
    """It goes, as all that someone wrote does when they are erased."""
    return NOTHING.forget(entry)
