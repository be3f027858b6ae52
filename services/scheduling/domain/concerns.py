"""Concerns: what worries someone about a relationship goes to the program's coordinators, and to nobody else."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

from services.scheduling.domain.model import Concern, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import ConcernRaised

LONGEST_TEXT = 4000


def concern_id(relationship_id: UUID, person_id: UUID, text: str) -> UUID:
    """The same for the same words, so that a form that is sent twice raises one concern."""
    return uuid5(relationship_id, f"{person_id} {text}")


def raise_concern(relationship: Relationship, known: Concern | None, person_id: UUID, text: str, moment: Moment) -> Outcome:
    """A member's words for the coordinators, also after the end. The event only says that there is a concern."""
    if known is not None:
        return NOTHING
    concern = Concern(
        concern_id(relationship.id, person_id, text),
        relationship.id,
        relationship.organization,
        relationship.program,
        person_id,
        text,
        moment.now,
    )
    return new(concern).then(ConcernRaised(**relationship.about, concern_id=concern.id))


def see(concern: Concern | None, at: datetime) -> Outcome:
    """A coordinator takes care of it."""
    return NOTHING if concern is None or concern.seen_at is not None else new(replace(concern, seen_at=at))


def forget(concern: Concern) -> Outcome:
    """Its writer was erased: the words go, that there was a concern stays."""
    return NOTHING if not concern.text else new(replace(concern, text=""))
