"""Follow-ups, and steps of goals, that are due: on the day before, whoever they are for is reminded, once, unless the reminder of a meeting says so."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduling.domain.entries import Due, Written
from services.scheduling.domain.model import Meeting, MeetingStatus, Moment, Relationship
from services.scheduling.domain.slots import at_local
from shared.decisions import NOTHING, Outcome
from shared.events import FollowUpsDue

TIMER = "follow_ups"
DAY, NOON = timedelta(days=1), timedelta(hours=12)
MEETING_NEAR = timedelta(days=2)
"""Its own reminder counts what is due."""


def remind_at(relationship: Relationship, due_on: date) -> datetime:
    """Noon of the day before, on the pair's wall."""
    return at_local(due_on - DAY, NOON // timedelta(minutes=1), ZoneInfo(relationship.time_zone))


def reminded_of(relationship: Relationship, now: datetime) -> date:
    """What is due on this day is told from noon to noon."""
    wall = now.astimezone(ZoneInfo(relationship.time_zone)).replace(tzinfo=None)
    return (wall - NOON + DAY).date()


def armed(relationship: Relationship, dues: Iterable[Due], now: datetime) -> Outcome:
    """With the timer of those that are due next, or none."""
    ahead = [at for due in dues if (at := remind_at(relationship, due.on)) > now]
    if not ahead or relationship.ended_at is not None:
        return NOTHING.clear(TIMER, relationship.id)
    return NOTHING.arm(TIMER, relationship.id, relationship.id, min(ahead))


def watched(relationship: Relationship, outcome: Outcome, moment: Moment) -> Outcome:
    """What was decided about an entry, with the timer moved where that has a day."""
    touched = {e.id for e in (*outcome.changed, *outcome.removed) if e.due_on is not None}
    if not touched:
        return outcome
    written = moment.get(Written, relationship.id) or Written(relationship.id)
    rest = [due for due in written.due if due.id not in touched]
    still = [Due(e.id, e.due_on, e.doer) for e in outcome.changed if e.due_on is not None and e.done_at is None]
    return outcome.plus(armed(relationship, [*rest, *still], moment.now))


def due(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> Outcome:
    """The day before has come. Nobody is reminded in a break, nor where it is frozen."""
    written = moment.get(Written, relationship.id) or Written(relationship.id)
    outcome = armed(relationship, written.due, moment.now)
    if relationship.ended_at is not None or relationship.frozen_at is not None or _near(meeting, moment.now):
        return outcome
    day = reminded_of(relationship, moment.now)
    doers = {d.doer for d in written.due if d.on == day}
    people = tuple(m.person_id for m in relationship.members if not m.paused and doers & {m.person_id, None})
    if not people:
        return outcome
    told = FollowUpsDue(relationship_id=relationship.id, program=relationship.program, due_on=day, people=people)
    return outcome.then(told)


def _near(meeting: Meeting | None, now: datetime) -> bool:
    if meeting is None or meeting.status is not MeetingStatus.scheduled or meeting.starts_at is None:
        return False
    return now < meeting.starts_at <= now + MEETING_NEAR
