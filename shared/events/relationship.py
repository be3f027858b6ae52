"""The relationship over time: agreement, meetings, silence, goals, growth and the end. All emitted by scheduling.

The topic is `scheduling`, ordered by relationship. What people write to each other stays with scheduling: here are ids, codes,
numbers and times.
"""

from datetime import date
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import Code, Count, Event, Instant, Minutes, ProgramId, Role, Slug, TimeZone
from shared.events.matching import Member
from shared.events.onboarding import Terms

Number = Annotated[int, Field(ge=1)]


class RevisionReason(Code):
    """Why an agreement was opened again."""

    edited = "edited"
    half_time = "half_time"
    misalignment = "misalignment"
    renewed = "renewed"
    other = "other"


class ChangeReason(Code):
    """Why a meeting was moved or called off."""

    asked = "asked"
    ill = "ill"
    work = "work"
    away = "away"
    pair_ended = "pair_ended"
    person_paused = "person_paused"
    other = "other"


class Absent(Code):
    """Who wasn't there, by what both sides said."""

    mentor = "mentor"
    mentee = "mentee"
    both_silent = "both_silent"
    too_few = "too_few"
    """Fewer of a group than its quorum."""
    disputed = "disputed"
    other = "other"


class Phase(Code):
    """Where in a relationship a meeting stands."""

    first_meeting = "first_meeting"
    early = "early"
    half_time = "half_time"
    later = "later"
    near_the_end = "near_the_end"
    other = "other"


class StallReason(Code):
    """How a relationship was seen to have gone quiet."""

    misses = "misses"
    quiet = "quiet"
    said_silent = "said_silent"
    unsigned = "unsigned"
    other = "other"


class EndReason(Code):
    """Why a relationship ended; nobody is blamed in it."""

    completed = "completed"
    goal_attained = "goal_attained"
    not_a_fit = "not_a_fit"
    no_time = "no_time"
    silent = "silent"
    never_signed = "never_signed"
    moved_on = "moved_on"
    released = "released"
    person_withdrawn = "person_withdrawn"
    person_erased = "person_erased"
    program_closed = "program_closed"
    other = "other"


class Side(Code):
    """From which side something came."""

    mentor = "mentor"
    mentee = "mentee"
    both = "both"
    coordinator = "coordinator"
    platform = "platform"
    other = "other"


class RelationshipEvent(Event):
    """A fact of one relationship."""

    topic: ClassVar[str] = "scheduling"
    key_field: ClassVar[str] = "relationship_id"

    relationship_id: UUID
    program: ProgramId


# The agreement


class AgreementProposed(RelationshipEvent):
    """A draft from the program's defaults waits for all members to sign. Emitted by scheduling when a pair is created; a conversation
    needs none.
    """

    version: Number
    members: tuple[Member, ...]
    terms: Terms


class AgreementSigned(RelationshipEvent):
    """A member signed this version; with the last one it is complete and holds. Emitted by scheduling."""

    version: Number
    person_id: UUID
    complete: bool


class SignaturesAwaited(RelationshipEvent):
    """An agreement has waited for these members' signatures for some days: it is time to remind them. Emitted by scheduling's timer."""

    version: Number
    people: tuple[UUID, ...]
    days: Number


class AgreementRevised(RelationshipEvent):
    """The terms were changed and wait for signatures anew; until then the version before holds. Where they were `renewed` all have said yes:
    the version that holds goes on to hold, until a later day. Emitted by scheduling.
    """

    version: Number
    terms: Terms
    reason: RevisionReason = RevisionReason.edited
    revised_by: UUID | None = None
    until: Instant | None = None
    """The end of the months, where they were renewed."""


class RenewalOffered(RelationshipEvent):
    """The agreed months of a long relationship are nearly over: all are asked whether they go on for as long again. Without a yes of each it
    ends as agreed. Emitted by scheduling's timer.
    """

    renewals: Count
    """How often it was renewed before."""
    months: Number
    until: Instant
    renewed_until: Instant


# Meetings


class Meeting(RelationshipEvent):
    """A fact of one meeting."""

    meeting_id: UUID


class MeetingProposed(Meeting):
    """Times for the next meeting, inside everyone's availability, wait for someone to pick one. Emitted by scheduling; of a conversation
    when its pair is created; of the same meeting again where a member suggests another time.
    """

    slots: tuple[Instant, ...]
    minutes: Minutes
    time_zone: TimeZone
    """The pair's: a series keeps its hour on this zone's wall."""
    number: Number = 1
    """Of the meeting within the relationship."""
    proposed_by: UUID | None = None
    """The member who suggested the first of these times, for the others to take; until then a meeting that has its time keeps it."""
    sequence: Count = 0
    """Of the calendar invitation as it stands; 0 while no time was picked."""


class MeetingScheduled(Meeting):
    """A time was picked: the meeting stands, its reminder and its question "did you meet?" are armed. Emitted by scheduling."""

    starts_at: Instant
    minutes: Minutes
    time_zone: TimeZone
    sequence: Count = 0
    """Of the calendar invitation (RFC 5545 SEQUENCE): rises with each change."""
    number: Number = 1
    """Of the meeting within the relationship."""
    host: UUID | None = None
    """Who leads it, in a group: its facilitator, or whose turn it is."""


class MeetingRescheduled(Meeting):
    """A scheduled meeting was moved; everything that hangs on its time moves with it. Emitted by scheduling."""

    starts_at: Instant
    minutes: Minutes
    time_zone: TimeZone
    sequence: Count
    number: Number = 1
    was_at: Instant
    rescheduled_by: UUID | None = None
    reason: ChangeReason = ChangeReason.asked
    host: UUID | None = None
    """Who leads it, in a group."""


class MeetingCancelled(Meeting):
    """A meeting was called off; no reminder and no question comes of it. Emitted by scheduling."""

    starts_at: Instant | None = None
    """None where no time had been picked yet."""
    sequence: Count = 0
    cancelled_by: UUID | None = None
    reason: ChangeReason = ChangeReason.asked


class HostNamed(Meeting):
    """A group's meeting is led by someone else than was said: handed on, or since whoever was to lead it left or has a break. Emitted by
    scheduling.
    """

    host: UUID
    handed_on_by: UUID | None = None
    """None where it came of itself."""


class ReminderDue(Meeting):
    """A meeting is near: it is time to remind its people. Emitted by scheduling's timer; one for the past is dropped.

    Of what they wrote down for it there are numbers only.
    """

    starts_at: Instant
    host: UUID | None = None
    phase: Phase | None = None
    goals: Count = 0
    points: Count = 0
    """On the agenda."""
    follow_ups: Count = 0
    """Those that are open."""
    follow_ups_due: Count = 0
    """Those of them that are due by the day of the meeting."""
    steps: Count = 0
    """Of their goals: those that are open."""


class FollowUpsDue(RelationshipEvent):
    """Follow-ups of these members, or steps of their goals, are due on this day, the next one; what they are stays with the relationship. Emitted by scheduling's timer,
    unless a meeting is near; no partner is in its audience.
    """

    due_on: date
    people: tuple[UUID, ...]


class MeetingHeld(Meeting):
    """They met: somebody said so, or a partner reported it. Emitted by scheduling, again with a higher revision if corrected."""

    held_at: Instant
    minutes: Minutes
    attended: tuple[UUID, ...]
    expected: Count = 0
    """How many could have come; 0 where nobody counted."""
    said_by: UUID | None = None
    """None where a partner reported it."""
    number: Number = 1
    revision: Number = 1
    """Of what is known about this meeting; the highest holds."""
    corrects_missed: bool = False
    """It had been counted as missed; that MeetingMissed no longer holds."""


class MeetingMissed(Meeting):
    """Nobody said "we met" within the grace after a meeting, or someone said that it didn't take place.

    Emitted by scheduling's timer once every report up to then was read; a MeetingHeld may still correct it.
    """

    starts_at: Instant
    absent: Absent
    misses_in_a_row: Number
    revision: Number = 1


class ContactLogged(RelationshipEvent):
    """Someone said "we were in touch" without a meeting; where the format needs none, it counts as one. Emitted by scheduling."""

    contact_id: UUID
    person_id: UUID
    at: Instant
    channel: Slug | None = None


class ConcernRaised(RelationshipEvent):
    """Someone raised a concern. Who and what goes to the coordinator alone: here is only that it exists. Emitted by scheduling."""

    concern_id: UUID


# Silence and the end


class PairStalled(RelationshipEvent):
    """A relationship has gone quiet, or was never begun since nobody signs; its coordinator hears of it once. Emitted by scheduling."""

    reason: StallReason = StallReason.misses
    misses: Count = 0
    """In a row."""
    quiet_since: Instant | None = None


class MemberAsked(RelationshipEvent):
    """Someone said that they hear nothing from this member, who is asked whether they go on. Emitted by scheduling.

    Without an answer it ends, nobody blamed. Who said so isn't told.
    """

    person_id: UUID
    answer_by: Instant


class MemberWentOut(RelationshipEvent):
    """A member left a group that goes on without them, by their own wish or since they are gone. Emitted by scheduling; matching frees their
    place and says so with MemberLeft.
    """

    person_id: UUID
    role: Role
    reason: EndReason
    rematch_first: bool = False
    """They want a new partner and go first in the next match."""
    unanswered: bool = False
    """They were asked whether they go on and didn't answer."""
    meeting_id: UUID | None = None
    """The meeting that is planned, in whose invitation they are no more."""


class PairWarned(RelationshipEvent):
    """The nudge had no answer: without a sign of life the relationship is frozen at `freezes_at`. Emitted by scheduling."""

    quiet_since: Instant | None = None
    freezes_at: Instant


class PairRecovered(RelationshipEvent):
    """A stalled or frozen relationship is alive again. Emitted by scheduling on the meeting, contact, answer or last signature that did it."""

    meeting_id: UUID | None = None
    contact_id: UUID | None = None
    answered_by: UUID | None = None
    """Who was asked whether they go on, and said that they do."""


class PairFrozen(RelationshipEvent):
    """Nudge and warning had no answer: nothing more is asked, and without a sign it ends at `ends_at`. Emitted by scheduling."""

    ends_at: Instant | None = None


class PairEnded(RelationshipEvent):
    """A relationship, of two or of many, is over: as planned, early, or because its people or program went. Emitted by scheduling."""

    reason: EndReason
    side: Side
    rematch_first: tuple[UUID, ...] = ()
    """Those who want a new partner and go first in the next match."""
    unanswered_by: UUID | None = None
    """Who was asked whether they go on and didn't answer: nobody new is matched with them until they say that they are there again."""
    meetings_held: Count = 0


class AddressesShared(RelationshipEvent):
    """It is over, and both have said that they want to stay in touch: each is given the other's address. Emitted by scheduling; no partner is in
    its audience.
    """

    people: tuple[UUID, ...]
