"""Silence: nudged, warned, frozen and in the end over, each step undone by a sign of life; and a member who asks after the other."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import endings, meetings, signs
from services.scheduling.domain.away import later
from services.scheduling.domain.model import Meeting, MeetingStatus, Moment, Relationship
from services.scheduling.domain.signs import QUIET, UNANSWERED
from shared.decisions import NOTHING, Outcome
from shared.events import (
    ChangeReason,
    ContactLogged,
    EndReason,
    MemberAsked,
    PairFrozen,
    PairWarned,
    Side,
    StallReason,
)

SOON = timedelta(minutes=1)
ONCE = timedelta(hours=12)
"""Two taps no further apart tell of one contact."""

# The steps


def further(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> Outcome:
    """Silence comes a step further: stalled, warned, frozen, over. A meeting that is planned is waited for."""
    at = signs.due(relationship)
    if at is None:
        return NOTHING
    at = max(at, _decided_by(relationship, meeting, moment.now))
    if at > moment.now:
        return NOTHING.arm(QUIET, relationship.id, relationship.id, at)
    if relationship.frozen_at is not None:
        return endings.end(relationship, meeting, EndReason.silent, Side.both, moment)
    if relationship.warned_at is not None:
        return _freeze(relationship, meeting, moment)
    if relationship.stalled_at is not None:
        return _warn(relationship, moment)
    relationship, stalled = signs.stall(relationship, StallReason.quiet, moment)
    return stalled.also(relationship)


def _decided_by(relationship: Relationship, meeting: Meeting | None, now: datetime) -> datetime:
    """When it is known what became of the planned meeting; of one that is only proposed to a quiet pair nobody expects anything."""
    if meeting is not None and meeting.status is MeetingStatus.scheduled:
        assert meeting.ends_at is not None
        return max(meeting.ends_at + timedelta(hours=relationship.rules.grace_hours), now) + SOON
    if meeting is not None and relationship.stalled_at is None:
        return max(meeting.proposed_at + meetings.PICK_WITHIN, now) + SOON
    return now


def _warn(relationship: Relationship, moment: Moment) -> Outcome:
    relationship = replace(relationship, warned_at=moment.now)
    freezes_at = signs.due(relationship)
    assert freezes_at is not None
    warned = PairWarned(**relationship.about, quiet_since=signs.last_sign(relationship), freezes_at=freezes_at)
    return NOTHING.then(warned).plus(signs.watched(relationship)).also(relationship)


def _freeze(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> Outcome:
    """Nothing more is proposed; times that nobody has picked are taken back."""
    called_off = NOTHING if meeting is None else meetings.call_off(relationship, meeting, ChangeReason.other, moment)
    relationship = replace(relationship, frozen_at=moment.now, meeting_id=None)
    frozen = PairFrozen(**relationship.about, ends_at=signs.due(relationship))
    outcome = called_off.then(frozen).clear("propose", relationship.id)
    return outcome.plus(signs.watched(relationship)).also(relationship)


# In touch


def in_touch(relationship: Relationship, person_id: UUID, moment: Moment) -> Outcome:
    """A member says "we were in touch": a sign of life, and where they don't meet what meetings are to others. Said twice, it counts once."""
    if relationship.agreed_at is None or relationship.ended_at is not None or relationship.meets_once:
        return NOTHING
    last, waited_for = relationship.contacted_at, relationship.stalled_at is not None
    if relationship.is_group and relationship.asked is not None:
        waited_for = relationship.asked == person_id
    if not waited_for and last is not None and moment.now - last < ONCE:
        return NOTHING
    frozen, contact_id = relationship.frozen_at is not None, moment.new_id()
    logged = ContactLogged(**relationship.about, contact_id=contact_id, person_id=person_id, at=moment.now)
    relationship = replace(relationship, contacts=relationship.contacts + 1, contacted_at=moment.now)
    relationship, back = signs.heard(relationship, moment.now, moment, by=[person_id], contact_id=contact_id)
    return _going_on(relationship, NOTHING.then(logged).plus(back), moment, frozen=frozen)


def _going_on(relationship: Relationship, outcome: Outcome, moment: Moment, *, frozen: bool) -> Outcome:
    """With times for the next meeting where none were proposed while it was frozen."""
    if frozen and relationship.frozen_at is None:
        relationship, proposed = meetings.propose(relationship, moment)
        outcome = outcome.plus(proposed)
    return outcome.also(relationship)


# The other is silent


def may_say(relationship: Relationship, person_id: UUID) -> bool:
    """Whether this member may say now that they hear nothing from the other."""
    running = relationship.agreed_at is not None and relationship.ended_at is None and not relationship.meets_once
    return running and relationship.asked is None and signs.whom(relationship, person_id) is not None


def answer_by(relationship: Relationship) -> datetime | None:
    """Until when the member who is asked may answer; None where nobody is."""
    asked_at, days = relationship.asked_at, timedelta(days=relationship.rules.silent_partner_days)
    member = relationship.member(relationship.asked) if relationship.is_group and relationship.asked else None
    return None if asked_at is None else later(relationship, asked_at, days, member)


def say_silent(relationship: Relationship, person_id: UUID, moment: Moment) -> Outcome:
    """A member hears nothing from the other, who is asked once whether they go on and has some days to answer."""
    asked = signs.whom(relationship, person_id)
    if asked is None or not may_say(relationship, person_id):
        return NOTHING
    relationship, stalled = signs.stall(relationship, StallReason.said_silent, moment)
    relationship = replace(relationship, asked=asked, asked_at=moment.now)
    until = answer_by(relationship)
    assert until is not None
    asking = MemberAsked(**relationship.about, person_id=asked, answer_by=until)
    outcome = NOTHING.then(*stalled.events, asking).clear(QUIET, relationship.id)
    return outcome.arm(UNANSWERED, relationship.id, relationship.id, until).also(relationship)


def answer(relationship: Relationship, person_id: UUID, moment: Moment) -> Outcome:
    """The member who was asked goes on."""
    if relationship.ended_at is not None or relationship.asked != person_id:
        return NOTHING
    frozen = relationship.frozen_at is not None
    relationship, unasked = signs.let_off(replace(relationship, heard_at=moment.now))
    relationship, back = signs.recovered(relationship, answered_by=person_id)
    return _going_on(relationship, unasked.plus(back), moment, frozen=frozen)


def with_answer(relationship: Relationship, person_id: UUID, done: Outcome, moment: Moment) -> Outcome:
    """What a member has done, which says that they go on where they were asked."""
    after = next((a for a in reversed(done.changed) if isinstance(a, Relationship)), relationship)
    return done.plus(answer(after, person_id, moment)) if done.changed else done


def unanswered(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> Outcome:
    """No answer came: it ends, nobody blamed, and the others go first in the next match."""
    asked = relationship.asked
    if relationship.ended_at is not None or asked is None:
        return NOTHING
    rest = [m.person_id for m in relationship.members if m.person_id != asked]
    side = relationship.side(asked)
    return endings.end(relationship, meeting, EndReason.silent, side, moment, rematch_first=rest, unanswered_by=asked)
