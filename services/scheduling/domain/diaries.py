"""What people have planned with others: nobody is asked to be in two meetings at once, whoever proposes or takes a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from services.scheduling.domain.groups import active, can_meet
from services.scheduling.domain.model import UNDECIDED, Meeting, Moment, Relationship
from services.scheduling.domain.slots import Busy, Span, said_otherwise
from shared.errors import Raced
from shared.tables import A


class Known(Protocol):
    """Where what was loaded can be looked up: a `Moment`, or what a page has read."""

    def get(self, kind: type[A], key: UUID, /) -> A | None: ...


@dataclass(frozen=True, slots=True)
class Engagement:
    """A meeting that is proposed or scheduled, as far as another one must keep clear of it."""

    meeting_id: UUID
    relationship_id: UUID
    minutes: int
    starts_at: datetime | None
    """None while it is only proposed."""
    slots: tuple[datetime, ...] = ()

    @property
    def taken(self) -> list[Span]:
        return [] if self.starts_at is None else [self._span(self.starts_at)]

    @property
    def offered(self) -> list[Span]:
        return [self._span(slot) for slot in self.slots] if self.starts_at is None else []

    def _span(self, start: datetime) -> Span:
        return start, start + timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Diary:
    """All that a person has planned. It is read, not locked, so that no proposal waits for another pair of the same mentor."""

    id: UUID
    planned: tuple[Engagement, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """A person's, held by whoever takes a time of theirs: the next one waits, and then finds it in the diary."""

    id: UUID


def elsewhere(relationship: Relationship, person_id: UUID, known: Known) -> Iterator[Engagement]:
    """What a member has planned with others, with what the same transaction has decided of it since the diary was read."""
    diary = known.get(Diary, person_id)
    for planned in diary.planned if diary is not None else ():
        if planned.relationship_id == relationship.id:
            continue
        newest = known.get(Meeting, planned.meeting_id)
        if newest is None:
            yield planned
        elif newest.status in UNDECIDED:
            yield Engagement(newest.id, newest.relationship_id, newest.minutes, newest.starts_at, newest.slots)


def busy(relationship: Relationship, known: Known) -> Busy:
    """When some member is in another meeting, and when one is only offered to meet others."""
    planned = [one for m in relationship.members for one in elsewhere(relationship, m.person_id, known)]
    return Busy([span for one in planned for span in one.taken], [span for one in planned for span in one.offered])


def engaged(relationship: Relationship, start: datetime, minutes: int, known: Known) -> list[UUID]:
    """The members who are in another meeting at that time, or said of that day that they are away or can at other hours."""
    end = start + timedelta(minutes=minutes)
    return [
        m.person_id
        for m in relationship.members
        if said_otherwise(m, start, minutes)
        or any(begins < end and start < ends for one in elsewhere(relationship, m.person_id, known) for begins, ends in one.taken)
    ]


def prevented(relationship: Relationship, start: datetime, minutes: int, known: Known) -> bool:
    """Whether they can't meet then any more: of a pair one is engaged, of a group too few are left, or no mentor."""
    others = engaged(relationship, start, minutes, known)
    if not relationship.is_group or not others:
        return bool(others)
    return not can_meet(relationship, [m.person_id for m in active(relationship) if m.person_id not in others])


def still_open(relationship: Relationship, meeting: Meeting, now: datetime, known: Known) -> list[datetime]:
    """The times offered that are ahead and at which nothing has come between meanwhile."""
    return [slot for slot in meeting.slots if slot > now and not prevented(relationship, slot, meeting.minutes, known)]


def in_turn(relationship: Relationship, moment: Moment) -> None:
    """Before a time is taken. Raises Raced where someone has joined since their turn was taken: the decision runs again."""
    if any(moment.get(Turn, m.person_id) is None for m in relationship.members):
        raise Raced("someone joined meanwhile")
