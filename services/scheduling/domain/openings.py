"""What a mentor passes on: openings, and letters of recommendation. Words and links are for the two alone and leave this service in no event."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from services.scheduling.domain.model import AS_PLANNED, GUIDES, Member, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import OpportunityKind, OpportunityShared, RecommendationAsked

LONGEST_TEXT = 3000
MOST = 300
"""In one relationship."""
TOO_MANY = "too_many_openings"
ASK_AGAIN = timedelta(days=90)
"""After a "not now" a letter may be asked for again."""


class OpeningState(StrEnum):
    """Where something that was passed on stands; of a letter also that it was asked for."""

    asked = "asked"
    declined = "declined"
    shared = "shared"
    taken_up = "taken_up"
    not_for_me = "not_for_me"
    taken_back = "taken_back"
    other = "other"


ANSWERABLE = frozenset({OpeningState.shared, OpeningState.taken_up, OpeningState.not_for_me})


@dataclass(frozen=True, slots=True)
class Opening:
    """Something that a mentor passed on to one mentee, or a letter that the mentee asked for."""

    id: UUID
    relationship_id: UUID
    organization: str
    program: str
    shared_by: UUID
    """The mentor, who is asked where it is a letter not yet written."""
    person_id: UUID
    kind: OpportunityKind
    state: OpeningState
    text: str
    link: str
    last_on: date | None
    shared_at: datetime
    answered_at: datetime | None = None

    @property
    def is_letter(self) -> bool:
        return self.kind is OpportunityKind.recommendation


@dataclass(frozen=True, slots=True)
class PassedOn:
    """How much was passed on in a relationship, whose id it has: read under its lock, in which all of it is changed."""

    id: UUID
    openings: int = 0


def opening_id(relationship_id: UUID, mentor: UUID, mentee: UUID, form: str) -> UUID:
    """The same for the same form, so that one that is sent again passes on nothing twice, to one mentee or to many."""
    return uuid5(relationship_id, f"opening {mentor} {mentee} {form}")


def ask_id(relationship_id: UUID, mentee: UUID) -> UUID:
    """Of the letter that a mentee asked for."""
    return uuid5(relationship_id, f"letter {mentee}")


def leads(relationship: Relationship, person_id: UUID) -> bool:
    member = relationship.member(person_id)
    return member is not None and member.role in GUIDES


def led(relationship: Relationship) -> tuple[Member, ...]:
    """Those to whom something can be passed on."""
    return tuple(m for m in relationship.members if m.role not in GUIDES)


def may_write_letters(relationship: Relationship) -> bool:
    """Also when it went to its end: that is when a letter is needed."""
    return relationship.ended_at is None or relationship.end_reason in AS_PLANNED


def may_pass_on(relationship: Relationship, kind: OpportunityKind) -> bool:
    return may_write_letters(relationship) if kind is OpportunityKind.recommendation else relationship.ended_at is None


def pass_on(relationship: Relationship, opening: Opening, moment: Moment) -> Outcome:
    """A mentor passes something on; nothing where the same form came before. A letter answers the mentee who asked for one."""
    if moment.get(Opening, opening.id) is not None or not may_pass_on(relationship, opening.kind):
        return NOTHING
    to = relationship.member(opening.person_id)
    if to is None or to.role in GUIDES or not leads(relationship, opening.shared_by):
        return NOTHING
    outcome = new(opening).then(_told(relationship, opening))
    asked = moment.get(Opening, ask_id(relationship.id, opening.person_id)) if opening.is_letter else None
    return outcome.forget(asked) if asked is not None else outcome


def answer(relationship: Relationship, opening: Opening | None, person_id: UUID, moment: Moment, *, taken_up: bool) -> Outcome:
    """The mentee says whether it is something for them, or says so anew; for a letter there is only a thank you."""
    if opening is None or not _of(opening, relationship) or opening.person_id != person_id:
        return NOTHING
    state = OpeningState.taken_up if taken_up else OpeningState.not_for_me
    if opening.state not in ANSWERABLE or opening.state is state or (opening.is_letter and not taken_up):
        return NOTHING
    if not may_pass_on(relationship, opening.kind):
        return NOTHING
    opening = replace(opening, state=state, answered_at=moment.now)
    return new(opening).then(_told(relationship, opening, taken_up=taken_up))


def take_back(relationship: Relationship, opening: Opening | None, person_id: UUID) -> Outcome:
    """The mentor takes it back while nobody has answered. That it was there is remembered, so that an old form doesn't bring it again."""
    if opening is None or not _of(opening, relationship) or opening.shared_by != person_id:
        return NOTHING
    return _emptied(opening) if opening.state is OpeningState.shared else NOTHING


def ask_letter(relationship: Relationship, mentee: UUID, moment: Moment) -> Outcome:
    """A mentee asks for a letter of recommendation, again only some time after a "not now"."""
    member, mentor = relationship.member(mentee), mentor_of(relationship)
    known = moment.get(Opening, ask_id(relationship.id, mentee))
    if member is None or member.role in GUIDES or mentor is None or not may_write_letters(relationship):
        return NOTHING
    if known is not None and not may_ask_again(known, moment.now):
        return NOTHING
    asked = Opening(
        ask_id(relationship.id, mentee),
        relationship.id,
        relationship.organization,
        relationship.program,
        mentor.person_id,
        mentee,
        OpportunityKind.recommendation,
        OpeningState.asked,
        "",
        "",
        None,
        moment.now,
    )
    told = RecommendationAsked(
        relationship_id=relationship.id, program=relationship.program, asked_by=mentee, person_id=mentor.person_id
    )
    return new(asked).then(told)


def may_ask_again(asked: Opening, now: datetime) -> bool:
    return asked.state is OpeningState.declined and asked.answered_at is not None and now >= asked.answered_at + ASK_AGAIN


def decline_letter(relationship: Relationship, asked: Opening | None, person_id: UUID, moment: Moment) -> Outcome:
    """The mentor won't write one now."""
    if asked is None or not _of(asked, relationship) or asked.shared_by != person_id or asked.state is not OpeningState.asked:
        return NOTHING
    return new(replace(asked, state=OpeningState.declined, answered_at=moment.now))


def mentor_of(relationship: Relationship) -> Member | None:
    return next((m for m in relationship.members if m.role in GUIDES), None)


def few_enough(relationship: Relationship, outcome: Outcome, moment: Moment) -> Outcome:
    """What is passed on. Raises Rejected where the relationship would have more than it may."""
    known = moment.get(PassedOn, relationship.id) or PassedOn(relationship.id)
    more = len(outcome.changed) - len(outcome.removed)
    if more > 0 and known.openings + more > MOST:
        raise Rejected(TOO_MANY, f"There are no more than {MOST} kept, and with this there were.", status=409)
    return outcome


def forget(opening: Opening) -> Outcome:
    """One of the two was erased: the words go, that something was passed on stays; a letter not yet written isn't asked for any more."""
    if opening.state in {OpeningState.asked, OpeningState.declined}:
        return NOTHING.forget(opening)
    if opening.state is OpeningState.shared:
        return _emptied(opening)
    return NOTHING if not opening.text and not opening.link else new(replace(opening, text="", link=""))


def _emptied(opening: Opening) -> Outcome:
    return new(replace(opening, state=OpeningState.taken_back, text="", link=""))


def _of(opening: Opening, relationship: Relationship) -> bool:
    return opening.relationship_id == relationship.id


def _told(relationship: Relationship, opening: Opening, *, taken_up: bool | None = None) -> OpportunityShared:
    return OpportunityShared(
        **relationship.about,
        opportunity_id=opening.id,
        shared_by=opening.shared_by,
        person_id=opening.person_id,
        kind=opening.kind,
        taken_up=taken_up,
    )
