"""The end: planned, by a member's wish, or because a person or the program went. Timers go, ids stay."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.scheduling.domain import check_ins, follow_ups, meetings, recognition, risk, signs, stages
from services.scheduling.domain.milestones import reach
from services.scheduling.domain.model import Meeting, MeetingStatus, Moment, Relationship, side_of
from shared.decisions import NOTHING, Outcome
from shared.events import ChangeReason, EndReason, Milestone, PairEnded, Role, Side

BY_MEMBERS = (
    EndReason.goal_attained,
    EndReason.not_a_fit,
    EndReason.no_time,
    EndReason.silent,
    EndReason.moved_on,
    EndReason.other,
)
"""What a member may give as the reason."""


def end(
    relationship: Relationship,
    meeting: Meeting | None,
    reason: EndReason,
    side: Side,
    moment: Moment,
    *,
    rematch_first: Sequence[UUID] = (),
    unanswered_by: UUID | None = None,
) -> Outcome:
    """It is over: a meeting that hasn't begun is called off, one that has begun may still be answered."""
    if relationship.ended_at is not None:
        return NOTHING
    outcome = NOTHING
    if meeting is not None:
        for kind in ("reminder", "missed", "unpicked"):
            outcome = outcome.clear(kind, meeting.id)
        outcome = outcome.plus(meetings.call_off(relationship, meeting, ChangeReason.pair_ended, moment))
    for kind in (
        "end",
        "propose",
        "unsigned",
        "half_time",
        "renewal",
        signs.QUIET,
        signs.UNANSWERED,
        follow_ups.TIMER,
        check_ins.TIMER,
        risk.TIMER,
    ):
        outcome = outcome.clear(kind, relationship.id)
    outcome = outcome.plus(stages.at_the_end(relationship, reason, moment.now))
    ended = PairEnded(
        **relationship.about,
        reason=reason,
        side=side,
        rematch_first=tuple(rematch_first),
        unanswered_by=unanswered_by,
        meetings_held=relationship.held,
    )
    relationship = replace(relationship, ended_at=moment.now, end_reason=reason, end_side=side)
    return outcome.then(ended).also(relationship).plus(recognition.ended(relationship, moment))


def complete(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> Outcome:
    """The agreed months are over, or their one meeting. Where the last meeting has begun and isn't decided, the end waits for its answer."""
    if relationship.ended_at is not None:
        return NOTHING
    if meeting is not None and meeting.status is MeetingStatus.scheduled and meetings.begun(meeting, moment.now):
        assert meeting.ends_at is not None
        answered = meeting.ends_at + timedelta(hours=relationship.rules.grace_hours, minutes=1)
        return NOTHING.arm("end", relationship.id, relationship.id, max(answered, moment.now + timedelta(minutes=1)))
    if relationship.meets_once and not relationship.through:
        return end(relationship, meeting, EndReason.no_time, Side.platform, moment)
    completed = NOTHING
    if relationship.held or relationship.contacts:
        relationship, completed = reach(relationship, Milestone.completed, moment.now)
    return completed.plus(end(relationship, meeting, EndReason.completed, Side.platform, moment))


def end_by(
    relationship: Relationship, meeting: Meeting | None, person_id: UUID, reason: EndReason, moment: Moment, *, rematch: bool
) -> Outcome:
    """A member ends it. Mentees who didn't ask for it go first in the next match; the one who did, if they wish. Who is said to be
    silent is matched with nobody new until they say that they are there.
    """
    member = relationship.member(person_id)
    silent = signs.whom(relationship, person_id) if reason is EndReason.silent else None
    first = [m.person_id for m in relationship.members if m.role is Role.mentee and m.person_id not in {person_id, silent}]
    if rematch:
        first.append(person_id)
    side = side_of(member.role if member else None)
    return end(relationship, meeting, reason, side, moment, rematch_first=first, unanswered_by=silent)
