"""A member of a group leaves it by their own wish, or since they didn't answer; the others go on where they can."""

from uuid import UUID

from services.scheduling.domain import endings, people, silence
from services.scheduling.domain.model import Meeting, Moment, Relationship
from shared.decisions import NOTHING, Outcome
from shared.events import EndReason


def goes_on(relationship: Relationship, person_id: UUID) -> bool:
    """Whether it is a group that goes on without this member."""
    return relationship.is_group and people.goes_on_without(relationship, person_id)


def go(
    relationship: Relationship, meeting: Meeting | None, person_id: UUID, reason: EndReason, moment: Moment, *, rematch: bool
) -> Outcome:
    """A member ends it for themselves: a pair is over, and a group without its only mentor or with fewer than two; another group goes on."""
    if relationship.ended_at is not None or relationship.member(person_id) is None:
        return NOTHING
    if goes_on(relationship, person_id):
        return people.leave(relationship, meeting, person_id, reason, moment, rematch=rematch)
    return endings.end_by(relationship, meeting, person_id, reason, moment, rematch=rematch)


def unanswered(relationship: Relationship, meeting: Meeting | None, moment: Moment) -> Outcome:
    """No answer came of a member who was asked whether they go on: a group that can goes on without them; else it ends, nobody blamed."""
    asked = relationship.asked
    if asked is None or not goes_on(relationship, asked):
        return silence.unanswered(relationship, meeting, moment)
    if relationship.ended_at is not None:
        return NOTHING
    return people.leave(relationship, meeting, asked, EndReason.silent, moment, unanswered=True)
