"""When it is over each looks back: whether it was worth it, would they do it again, why it ended, and whether they stay in touch."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from services.scheduling.domain.model import AS_PLANNED, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import AddressesShared, CheckInAnswered, CheckInKind, EndReason

LONGEST_TEXT = 2000


class Again(StrEnum):
    """Whether someone would do it again."""

    yes = "yes"
    maybe = "maybe"
    no = "no"
    other = "other"


@dataclass(frozen=True, slots=True)
class Said:
    """What someone chose and wrote."""

    worth: int
    """Their time: 1, not at all, to 5."""
    again: Again
    why: EndReason | None = None
    """It ended early, as they see it."""
    stay: bool = False
    """They want to stay in touch."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class LookBack:
    """A member's look back. Its words are for the program's coordinators and leave this service in no event."""

    id: UUID
    relationship_id: UUID
    organization: str
    program: str
    person_id: UUID
    worth: int
    again: Again
    why: EndReason | None
    stay: bool
    text: str
    said_at: datetime
    revision: int = 1
    seen_at: datetime | None = None
    """When a coordinator said that they have read it."""

    @property
    def said(self) -> Said:
        return Said(self.worth, self.again, self.why, self.stay, self.text)


def look_id(relationship_id: UUID, person_id: UUID) -> UUID:
    return uuid5(relationship_id, f"look back {person_id}")


def may_look(relationship: Relationship) -> bool:
    """Whether it is over, and had begun: a conversation needs no look back."""
    return relationship.ended_at is not None and relationship.agreed_at is not None and not relationship.meets_once


def planned(relationship: Relationship) -> bool:
    return relationship.end_reason in AS_PLANNED


def may_stay(relationship: Relationship) -> bool:
    """Whether the two can be given each other's address."""
    return len(relationship.members) == 2


def look_back(relationship: Relationship, person_id: UUID, said: Said, moment: Moment) -> Outcome:
    """What a member says, or says anew. With the second who wants to stay in touch both are given each other's address."""
    known = moment.get(LookBack, look_id(relationship.id, person_id))
    said = replace(
        said,
        why=None if planned(relationship) else said.why,
        stay=said.stay and may_stay(relationship),
    )
    if not may_look(relationship) or (known is not None and known.said == said):
        return NOTHING
    look = LookBack(
        look_id(relationship.id, person_id),
        relationship.id,
        relationship.organization,
        relationship.program,
        person_id,
        said.worth,
        said.again,
        said.why,
        said.stay,
        said.text,
        moment.now,
        known.revision + 1 if known else 1,
    )
    outcome = new(look).then(_answered(relationship, look))
    newly = said.stay and not (known is not None and known.stay)
    others = [
        moment.get(LookBack, look_id(relationship.id, m.person_id)) for m in relationship.members if m.person_id != person_id
    ]
    if newly and all(other is not None and other.stay for other in others):
        people = tuple(m.person_id for m in relationship.members)
        outcome = outcome.then(AddressesShared(relationship_id=relationship.id, program=relationship.program, people=people))
    return outcome


def _answered(relationship: Relationship, look: LookBack) -> CheckInAnswered:
    tags = [f"again:{look.again}", *([f"why:{look.why}"] if look.why else [])]
    return CheckInAnswered(
        relationship_id=relationship.id,
        program=relationship.program,
        check_in_id=look.id,
        person_id=look.person_id,
        kind=CheckInKind.end,
        score=look.worth,
        tags=tuple(tags),
        revision=look.revision,
    )


def read(look: LookBack | None, at: datetime) -> Outcome:
    """A coordinator has read it."""
    return NOTHING if look is None or look.seen_at is not None else new(replace(look, seen_at=at))


def forget(look: LookBack) -> Outcome:
    """Its writer was erased: the words go, and nobody is given an address; what was counted stays."""
    return NOTHING if not look.text and not look.stay else new(replace(look, text="", stay=False))
