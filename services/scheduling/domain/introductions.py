"""Introductions: a mentor brings their mentee together with someone. Who is asked says yes or not now; names and words are in no event."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from services.scheduling.domain.model import GUIDES, Moment, Person, Relationship
from services.scheduling.domain.openings import leads
from services.scheduling.domain.people import gone
from shared.decisions import NOTHING, Outcome, new
from shared.events import IntroductionMade

LONGEST_TEXT = 1000
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Introduction:
    """One introduction: it takes the yes of the mentee, and of whoever they are introduced to where that is someone of the platform."""

    id: UUID
    relationship_id: UUID
    organization: str
    program: str
    introduced_by: UUID
    person_id: UUID
    """The mentee."""
    to_person_id: UUID | None
    to_name: str
    """Of someone who isn't on the platform."""
    text: str
    """Why they should meet, for both of them."""
    made_at: datetime
    yes: tuple[str, ...] = ()
    """Who has said it."""
    accepted: bool | None = None
    """None until all have said yes, or one not now."""
    over_at: datetime | None = None
    """When it was answered, taken back, or one of them erased."""

    @property
    def asked(self) -> tuple[UUID, ...]:
        return (self.person_id,) if self.to_person_id is None else (self.person_id, self.to_person_id)

    def waits_for(self, person_id: UUID) -> bool:
        return self.over_at is None and person_id in self.asked and str(person_id) not in self.yes


def introduction_id(relationship_id: UUID, mentor: UUID, form: str) -> UUID:
    """The same for the same form, so that one that is sent twice introduces once."""
    return uuid5(relationship_id, f"introduction {mentor} {form}")


def make(relationship: Relationship, introduction: Introduction, moment: Moment, through: Iterable[UUID] = ()) -> Outcome:
    """A mentor introduces a mentee to someone whom they meet in the program, or to someone from outside. `through`: the relationships in
    which they meet them.
    """
    if moment.get(Introduction, introduction.id) is not None or relationship.ended_at is not None:
        return NOTHING
    mentee = relationship.member(introduction.person_id)
    if mentee is None or mentee.role in GUIDES or not leads(relationship, introduction.introduced_by):
        return NOTHING
    to = moment.get(Person, introduction.to_person_id) if introduction.to_person_id else None
    if introduction.to_person_id is not None and (to is None or gone(to, relationship.program) is not None):
        return NOTHING
    if introduction.to_person_id is not None and relationship.member(introduction.to_person_id) is not None:
        return NOTHING
    if introduction.to_person_id is not None and not any(_meet(moment.get(Relationship, one), introduction) for one in through):
        return NOTHING
    return new(introduction).then(_told(relationship, introduction))


def _meet(other: Relationship | None, introduction: Introduction) -> bool:
    """Whether the mentor and whoever it is are in a relationship that runs."""
    both = {introduction.introduced_by, introduction.to_person_id}
    return other is not None and other.ended_at is None and both <= {m.person_id for m in other.members}


def answer(relationship: Relationship, introduction: Introduction, person_id: UUID, moment: Moment, *, yes: bool) -> Outcome:
    """One who is asked says yes or not now. With the yes of all it is accepted; who said not now is told to nobody."""
    left = relationship.member(introduction.person_id) is None
    if relationship.ended_at is not None or left or not introduction.waits_for(person_id):
        return NOTHING
    if yes:
        introduction = replace(introduction, yes=(*introduction.yes, str(person_id)))
    if yes and any(introduction.waits_for(one) for one in introduction.asked):
        return new(introduction)
    introduction = replace(introduction, accepted=yes, over_at=moment.now)
    return new(introduction).then(_told(relationship, introduction))


def take_back(introduction: Introduction | None, person_id: UUID, moment: Moment) -> Outcome:
    """The mentor takes it back while nobody has answered."""
    if introduction is None or introduction.introduced_by != person_id or introduction.over_at is not None or introduction.yes:
        return NOTHING
    return new(replace(introduction, text="", to_name="", over_at=moment.now))


def forget(introduction: Introduction, moment: Moment) -> Outcome:
    """One of them was erased: names and words go, and nobody is asked any more."""
    return new(replace(introduction, text="", to_name="", over_at=introduction.over_at or moment.now))


def _told(relationship: Relationship, introduction: Introduction) -> IntroductionMade:
    return IntroductionMade(
        **relationship.about,
        introduction_id=introduction.id,
        introduced_by=introduction.introduced_by,
        person_id=introduction.person_id,
        to_person_id=introduction.to_person_id,
        accepted=introduction.accepted,
    )
