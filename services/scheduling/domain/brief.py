"""The brief before a meeting: where in the relationship it stands, and how much is written down for it. Numbers only."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.scheduling.domain.entries import Written
from services.scheduling.domain.model import Moment, Relationship
from shared.events import Phase

ENDS_WITHIN = 2
"""Intervals before the end of the agreed months."""


def phase(relationship: Relationship, at: datetime) -> Phase:
    """Where a meeting at this time stands. The one nearest to half of the months is half time."""
    began, until = relationship.began, relationship.until
    if not relationship.held:
        return Phase.first_meeting
    if began is None or until is None:
        return Phase.early
    interval, middle = timedelta(weeks=relationship.terms.every_weeks), began + (until - began) / 2
    if at > until - ENDS_WITHIN * interval:
        return Phase.near_the_end
    if abs(at - middle) <= interval / 2:
        return Phase.half_time
    return Phase.early if at < middle else Phase.later


def numbers(relationship: Relationship, at: datetime, moment: Moment) -> dict[str, Any]:
    """What the reminder of a meeting at this time may say of what they wrote."""
    written = moment.get(Written, relationship.id) or Written(relationship.id)
    day = at.astimezone(ZoneInfo(relationship.time_zone)).date()
    return {
        "phase": phase(relationship, at),
        "goals": relationship.goals,
        "points": written.points + len(relationship.apart),
        "follow_ups": written.follow_ups,
        "follow_ups_due": sum(due.on <= day for due in written.due if due.goal is None),
        "steps": written.steps,
    }
