"""Groups and circles: who leads, how many make a quorum, and when one member's break stops them all."""

from collections.abc import Collection
from math import ceil
from uuid import UUID

from services.scheduling.domain.model import Meeting, Member, Relationship
from shared.events import Role

LEADS = (Role.facilitator, Role.mentor)
TWO = 2
"""Fewer never make a meeting."""
NEARLY = 1e-9
"""What a product such as 0.07 * 100 may be too large by."""


def leaders(relationship: Relationship) -> list[Member]:
    """Those who lead by their role, facilitators first; in a circle perhaps nobody."""
    return sorted((m for m in relationship.members if m.role in LEADS), key=lambda m: LEADS.index(m.role))


def active(relationship: Relationship) -> list[Member]:
    """Those who have no break."""
    return [m for m in relationship.members if not m.paused]


def waited_for(relationship: Relationship) -> set[UUID]:
    """Whose word it takes where all are to say something: of a group theirs who have no break, of a pair both's."""
    return {m.person_id for m in (active(relationship) if relationship.is_group else relationship.members)}


def needed(relationship: Relationship, came: Collection[UUID] = ()) -> int:
    """How many must come, the mentor aside: the quorum of those who have no break, and of whoever came though they aren't known to be in it."""
    members = {m.person_id for m in active(relationship)} | set(came)
    return max(1, ceil(relationship.rules.quorum * len(members - mentors(relationship)) - NEARLY))


def enough(relationship: Relationship, came: Collection[UUID]) -> bool:
    """Whether those who came make it a meeting of the group: the quorum, and two in all."""
    there = set(came)
    return len(there) >= TWO and len(there - mentors(relationship)) >= needed(relationship, there)


def mentors(relationship: Relationship) -> set[UUID]:
    return {m.person_id for m in relationship.members if m.role is Role.mentor}


def can_meet(relationship: Relationship, there: Collection[UUID]) -> bool:
    """Whether a meeting is worth planning for these: the quorum, and a mentor where the group has one."""
    led_by = mentors(relationship)
    return enough(relationship, there) and (not led_by or not led_by.isdisjoint(there))


def stands_still(relationship: Relationship) -> bool:
    """Whether breaks stop it: of a pair anyone's, of a group its only mentor's, or so many that fewer than two are left."""
    if not relationship.is_group:
        return any(m.paused for m in relationship.members)
    there = active(relationship)
    led_by = mentors(relationship)
    return len(there) < TWO or (bool(led_by) and led_by.isdisjoint(m.person_id for m in there))


def may_fix(relationship: Relationship, meeting: Meeting, person_id: UUID) -> bool:
    """Whether this member may set, move or call off a meeting by themselves: of a pair either, of a group who leads it or this meeting."""
    if not relationship.is_group or meeting.host == person_id:
        return True
    return any(m.person_id == person_id for m in leaders(relationship))
