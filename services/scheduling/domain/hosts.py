"""Who leads a group's meeting: its facilitator or mentor; in a circle without one, each in turn."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.scheduling.domain import away, groups
from services.scheduling.domain.model import UNDECIDED, Meeting, Member, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import HostNamed

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def turn(relationship: Relationship, at: datetime, *, but: Sequence[UUID] = ()) -> UUID | None:
    """Whose turn it is to lead a meeting then; None of a pair.

    Of those who lead by their role and are there, else of all who are: who has led least of as many meetings as there are members, of these
    who did so longest ago, of these the first. So whoever is new leads once and then waits like the others.
    """
    if not relationship.is_group:
        return None
    there = [m for m in away.there(relationship, at) if m.person_id not in but]
    leads = [m for m in groups.leaders(relationship) if m in there]
    who = [m for m in leads if m.role is leads[0].role] if leads else there
    held = [past for past in relationship.recent if past.held and past.host is not None]
    latest = held[-len(relationship.members) :]

    def led(member: Member) -> tuple[int, datetime]:
        times = [past.at for past in held if past.host == member.person_id]
        return sum(past.host == member.person_id for past in latest), max(times, default=LONG_AGO)

    return min(who, key=led).person_id if who else None


def at(relationship: Relationship, meeting: Meeting, starts_at: datetime) -> UUID | None:
    """Who leads a meeting at this time: who was to, or the next in turn where they can't; nobody of a pair."""
    if relationship.is_group and any(m.person_id == meeting.host for m in away.there(relationship, starts_at)):
        return meeting.host
    return turn(relationship, starts_at)


def kept(relationship: Relationship, meeting: Meeting | None, now: datetime) -> Outcome:
    """A planned meeting whose host has left or can't any more is led by the next in turn; by nobody where only two are left of several."""
    if meeting is None or meeting.status not in UNDECIDED or relationship.ended_at is not None:
        return NOTHING
    when = meeting.starts_at or (meeting.slots[0] if meeting.slots else now)
    return (
        NOTHING
        if meeting.starts_at and meeting.starts_at <= now
        else named(relationship, meeting, at(relationship, meeting, when))
    )


def named(relationship: Relationship, meeting: Meeting, host: UUID | None, *, by: UUID | None = None) -> Outcome:
    """It is led by this member. Told only of a meeting that has its time; of another, the invitation says it."""
    if host == meeting.host:
        return NOTHING
    outcome = new(replace(meeting, host=host))
    if host is None or meeting.starts_at is None:
        return outcome
    return outcome.then(HostNamed(**relationship.about, meeting_id=meeting.id, host=host, handed_on_by=by))


def hand_on(relationship: Relationship, meeting: Meeting | None, person_id: UUID, to: UUID | None, now: datetime) -> Outcome:
    """Who leads the next meeting, the group's mentor or facilitator, gives the lead to another member: to the next in turn where nobody is
    named.
    """
    if meeting is None or meeting.status not in UNDECIDED or not relationship.is_group or relationship.ended_at is not None:
        return NOTHING
    when = meeting.starts_at or meeting.slots[0]
    if when <= now or not groups.may_fix(relationship, meeting, person_id):
        return NOTHING
    if to is None:
        to = next_in_turn(relationship, meeting)
    if to is None or all(m.person_id != to for m in away.there(relationship, when)):
        return NOTHING
    return named(relationship, meeting, to, by=person_id)


def next_in_turn(relationship: Relationship, meeting: Meeting) -> UUID | None:
    """Who leads it where whoever is to can't."""
    when = meeting.starts_at or meeting.slots[0]
    return turn(relationship, when, but=[meeting.host] if meeting.host else [])
