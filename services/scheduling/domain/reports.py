"""What partners report: that people met, perhaps late, twice or out of order."""

from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter

from services.scheduling.domain import groups, meetings, rollcall
from services.scheduling.domain.model import Held, Meeting, MeetingStatus, Moment, Past, Relationship
from shared.decisions import NOTHING, Outcome
from shared.errors import Rejected
from shared.events import MeetingReported

TOLERANCE = timedelta(hours=1)
"""By which a partner's clock may be ahead."""


def report(relationship: Relationship, event: MeetingReported, read: meetings.ReadMeeting, moment: Moment) -> Outcome:
    """A partner says that they met, perhaps late, twice or out of order.

    Of a meeting known as held the answer is that fact again, in the same revision; a meeting that we didn't plan is entered. Of a group's
    planned meeting to which too few came the answer is that it was missed. Raises Rejected where the report is wrong.
    """
    check(relationship, event, moment)
    meeting = reported_meeting(relationship, event, read)
    if meeting is not None and meeting.status is MeetingStatus.held:
        return NOTHING.then(meetings.held_event(relationship, meeting))
    held = Held(event.held_at, event.minutes, event.attended)
    if meeting is not None and relationship.is_group:
        return rollcall.reported(relationship, meeting, event, moment)
    if meeting is not None:
        return meetings.hold(relationship, meeting, held, moment)
    if relationship.is_group and not groups.enough(relationship, event.attended):
        raise rollcall.too_few()
    number = relationship.meetings + 1
    meeting = Meeting(
        id=moment.new_id(),
        relationship_id=relationship.id,
        organization=relationship.organization,
        number=number,
        status=MeetingStatus.scheduled,
        minutes=event.minutes,
        time_zone=relationship.time_zone,
        proposed_at=moment.now,
        starts_at=event.held_at,
    )
    relationship = replace(relationship, meetings=number)
    if relationship.is_group:
        return rollcall.reported(relationship, meeting, event, moment)
    return meetings.hold(relationship, meeting, held, moment)


def check(relationship: Relationship, event: MeetingReported, moment: Moment) -> None:
    """Raises Rejected with the field, as the partner calls it, that is wrong. That all who met were in it the gateway saw when it took the
    report: by now some may have left, or we have yet to read that they joined.
    """
    if event.organization not in relationship.audience:
        raise Rejected("not_yours", "None of your people is in this relationship.", field="people")
    if event.program != relationship.program:
        raise Rejected("other_program", "These people meet in another program.", field="program")
    if event.held_at > moment.now + TOLERANCE:
        raise Rejected("in_the_future", "Report a meeting once it was held.", field="held_at")
    if relationship.ended_at is not None and event.held_at > relationship.ended_at:
        raise Rejected("relationship_ended", "This relationship had ended by then.", field="held_at")


def reported_meeting(relationship: Relationship, event: MeetingReported, read: meetings.ReadMeeting) -> Meeting | None:
    """The meeting that a report is about: the one it names, or one held at that time, or the nearest planned one within half the
    interval, whatever the time where they meet once; none where we know of no such meeting.
    """
    if event.meeting_id is not None:
        named = read(event.meeting_id)
        if named is None or named.relationship_id != relationship.id:
            raise Rejected("unknown_meeting", "We know of no such meeting of theirs.", field="meeting")
        return named
    at = event.held_at
    if len(relationship.recent) == meetings.REMEMBERED and at < relationship.recent[0].at:
        raise Rejected("too_long_ago", "This is older than what we can compare it with.", field="held_at")
    known = [
        (_apart(p, meeting, at), p.held, meeting) for p in relationship.recent if (meeting := read(p.meeting_id)) is not None
    ]
    same = [(apart, meeting) for apart, held, meeting in known if held and (apart <= meetings.SAME or relationship.meets_once)]
    if same:
        return min(same, key=itemgetter(0))[1]
    planned = meetings.current(relationship, read)
    near = [(apart, meeting) for apart, held, meeting in known if not held]
    if planned is not None and planned.starts_at is not None:
        near.append((abs(planned.starts_at - at), planned))
    within = timedelta.max if relationship.meets_once else timedelta(weeks=relationship.terms.every_weeks) / 2
    near = [(apart, meeting) for apart, meeting in near if apart <= within]
    if near:
        return min(near, key=itemgetter(0))[1]
    if (
        planned is not None
        and planned.status is MeetingStatus.proposed
        and (relationship.since is None or at > relationship.since)
    ):
        return planned
    return None


def _apart(past: Past, meeting: Meeting, at: datetime) -> timedelta:
    """From when it was planned, or from when it was held, which a report may have said to be another day."""
    planned = abs(past.at - at)
    return planned if meeting.held is None else min(planned, abs(meeting.held.held_at - at))
