"""When levels of skills are asked for: at the start, which a first goal is, half way, and shortly before the end."""

from datetime import datetime, timedelta

from services.scheduling.domain.model import AS_PLANNED, Relationship
from shared.decisions import NOTHING, Outcome
from shared.events import EndReason, Stage

TIMER = "skills"
BEFORE_END = timedelta(days=14)
"""So long before it the last levels are asked for; nobody is asked twice in as long."""
LATER = timedelta(days=1)
"""It is looked again where just then nothing is asked, somebody isn't there, or it isn't known who is missing."""


def middle(relationship: Relationship) -> datetime:
    """Half of the agreed months."""
    began, until = relationship.began, relationship.until
    assert began is not None
    assert until is not None
    return began + (until - began) / 2


def times(relationship: Relationship) -> list[tuple[datetime, Stage]]:
    """When which stages come that weren't asked about yet. In few weeks there is no middle."""
    if relationship.until is None or Stage.end.value in relationship.stages:
        return []
    half, last = middle(relationship), relationship.until - BEFORE_END
    halves = [(half, Stage.middle)] if Stage.middle.value not in relationship.stages and last - half >= BEFORE_END else []
    return [*halves, (last, Stage.end)]


def due(relationship: Relationship, now: datetime) -> Stage | None:
    """The stage whose time has come, the latest of several."""
    return next((stage for at, stage in reversed(times(relationship)) if at <= now), None)


def armed(relationship: Relationship, now: datetime) -> Outcome:
    """With the timer of the next stage, or none, where nobody is waited for."""
    ahead = _ahead(relationship, now)
    if not ahead or relationship.ended_at is not None:
        return NOTHING.clear(TIMER, relationship.id)
    return NOTHING.arm(TIMER, relationship.id, relationship.id, min(ahead))


def looked_at_again(relationship: Relationship, now: datetime) -> Outcome:
    """With the timer of a look at who wasn't asked yet, which arms that of the next stage once nobody is waited for."""
    return NOTHING.arm(TIMER, relationship.id, relationship.id, min([now + LATER, *_ahead(relationship, now)]))


def _ahead(relationship: Relationship, now: datetime) -> list[datetime]:
    return [at for at, _ in times(relationship) if at > now]


def at_the_end(relationship: Relationship, reason: EndReason, now: datetime) -> Outcome:
    """No timer any more; where it ends as was planned, and sooner than its months, what is asked before an end is asked at it."""
    if relationship.stages and Stage.end.value not in relationship.stages and reason in AS_PLANNED:
        return NOTHING.arm(TIMER, relationship.id, relationship.id, now)
    return NOTHING.clear(TIMER, relationship.id)
