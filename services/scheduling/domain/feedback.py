"""Feedback either way, asked for or offered, on a meeting, a goal or a step of one: for its giver and its receiver alone."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from services.scheduling.domain.entries import may_write
from services.scheduling.domain.model import Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import FeedbackAsked, FeedbackGiven, FeedbackTag

LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class About:
    """What it is on; on nothing of these, it is on how they work together."""

    meeting_id: UUID | None = None
    goal_id: UUID | None = None
    step_id: UUID | None = None

    @property
    def fields(self) -> dict[str, UUID | None]:
        return {"meeting_id": self.meeting_id, "goal_id": self.goal_id, "step_id": self.step_id}


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one says to another about one thing, or is asked to say. Its words leave this service in no event."""

    id: UUID
    relationship_id: UUID
    organization: str
    giver: UUID
    receiver: UUID
    meeting_id: UUID | None = None
    goal_id: UUID | None = None
    step_id: UUID | None = None
    asked_at: datetime | None = None
    """None where it was offered."""
    given_at: datetime | None = None
    tags: tuple[str, ...] = ()
    text: str = ""
    read_at: datetime | None = None
    thanked: bool = False
    revision: int = 0

    @property
    def about(self) -> About:
        return About(self.meeting_id, self.goal_id, self.step_id)


def feedback_id(relationship_id: UUID, giver: UUID, receiver: UUID, about: About) -> UUID:
    """One for each thing that somebody may say something on to somebody."""
    return uuid5(relationship_id, f"feedback {giver} {receiver} {about.meeting_id} {about.goal_id} {about.step_id}")


def may_speak(relationship: Relationship, moment: Moment) -> bool:
    """As long as notes may be written; after one conversation there is nothing to go on with."""
    return may_write(relationship, moment.now) and not relationship.meets_once


def ask(relationship: Relationship, known: Feedback | None, asker: UUID, giver: UUID, about: About, moment: Moment) -> Outcome:
    """A member asks another for feedback; asked for already, or given, it isn't asked for again."""
    if known is not None or asker == giver or not may_speak(relationship, moment):
        return NOTHING
    _both_in(relationship, asker, giver)
    asked = Feedback(
        feedback_id(relationship.id, giver, asker, about),
        relationship.id,
        relationship.organization,
        giver,
        asker,
        about.meeting_id,
        about.goal_id,
        about.step_id,
        asked_at=moment.now,
    )
    told = FeedbackAsked(
        relationship_id=relationship.id,
        program=relationship.program,
        feedback_id=asked.id,
        asked_by=asker,
        person_id=giver,
        **about.fields,
    )
    return new(asked).then(told)


def give(
    relationship: Relationship,
    known: Feedback | None,
    giver: UUID,
    receiver: UUID,
    about: About,
    tags: tuple[FeedbackTag, ...],
    text: str,
    moment: Moment,
) -> Outcome:
    """A member says something to another, or says it anew until it was read."""
    if giver == receiver or not may_speak(relationship, moment):
        return NOTHING
    _both_in(relationship, giver, receiver)
    if known is not None and known.read_at is not None:
        raise Rejected("already_read", "They have read what you said on this. Say more when you meet.", status=409)
    chosen = tuple(tag.value for tag in tags)
    if known is not None and known.given_at is not None and (known.tags, known.text) == (chosen, text):
        return NOTHING
    told = known or Feedback(
        feedback_id(relationship.id, giver, receiver, about),
        relationship.id,
        relationship.organization,
        giver,
        receiver,
        about.meeting_id,
        about.goal_id,
        about.step_id,
    )
    first = told.given_at is None
    told = replace(told, given_at=told.given_at or moment.now, tags=chosen, text=text, revision=told.revision + 1)
    if not first:
        return new(told)
    given = FeedbackGiven(
        relationship_id=relationship.id,
        program=relationship.program,
        feedback_id=told.id,
        given_by=giver,
        person_id=receiver,
        tags=tags,
        asked_for=told.asked_at is not None,
        **about.fields,
    )
    return new(told).then(given)


def read(known: Feedback | None, person_id: UUID, moment: Moment, *, thanks: bool) -> Outcome:
    """Whoever got it has read it, and says thanks where they like."""
    if known is None or known.receiver != person_id or known.given_at is None:
        return NOTHING
    after = replace(known, read_at=known.read_at or moment.now, thanked=known.thanked or thanks)
    return NOTHING if after == known else new(after)


def take_away(known: Feedback | None, person_id: UUID) -> Outcome:
    """Whoever gave it takes it away until it was read; whoever asked for it needn't have it any more. A question that was answered so stays."""
    if known is None or known.read_at is not None:
        return NOTHING
    if known.given_at is None:
        return NOTHING.forget(known) if person_id in (known.receiver, known.giver) else NOTHING
    if person_id != known.giver:
        return NOTHING
    if known.asked_at is None:
        return NOTHING.forget(known)
    return new(replace(known, given_at=None, tags=(), text=""))


def forget(feedback: Feedback) -> Outcome:
    """Its giver or its receiver was erased."""
    return NOTHING.forget(feedback)


def _both_in(relationship: Relationship, *people: UUID) -> None:
    if any(relationship.member(person_id) is None for person_id in people):
        raise Rejected("not_a_member", "Feedback is for those who are in this with you.", status=403)
