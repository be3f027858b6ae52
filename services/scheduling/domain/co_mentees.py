"""Mentees of one mentor in a program: who wants to sees the others who want to, and may propose a circle of them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from services.scheduling.domain.model import Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import CircleAgreed, CircleProposed, Format, Role

TIMER = "circle"
CO_MENTEES = UUID("3f0c7d52-8a4e-5b7d-9a55-6b1e0f2c4d83")
LEAST = 3
"""In a circle."""
DAYS_TO_ANSWER = 14
PROPOSED_AGAIN = timedelta(days=30)
"""So long after a proposal that too few wanted there is none."""
APART = frozenset({Format.group, Format.circle, Format.peer_pair, Format.conversation})
"""The formats whose members see each other anyway, or that are too short for it."""


class Came(StrEnum):
    """What came of a proposal."""

    agreed = "agreed"
    """Matching makes the circle."""
    too_few = "too_few"
    fell_through = "fell_through"
    """Enough had agreed, and too few of them could still come."""
    other = "other"


@dataclass(frozen=True, slots=True)
class Proposal:
    """That a circle be formed, and who has said what to it."""

    circle_id: UUID
    by: UUID
    people: tuple[UUID, ...]
    """Who proposed it and who is asked."""
    yes: tuple[UUID, ...]
    no: tuple[UUID, ...]
    proposed_at: datetime
    answer_by: datetime
    came: Came | None = None

    def waits_for(self, person_id: UUID) -> bool:
        return self.came is None and person_id in self.people and person_id not in (*self.yes, *self.no)

    def without(self, person_id: UUID) -> "Proposal":
        """As if this one had never been asked."""
        rest = [tuple(p for p in people if p != person_id) for people in (self.people, self.yes, self.no)]
        return replace(self, people=rest[0], yes=rest[1], no=rest[2])


@dataclass(frozen=True, slots=True)
class CoMentees:
    """The mentees of one mentor in a program who want to be seen by each other, and the last circle that one of them proposed."""

    id: UUID
    organization: str
    program: str
    mentor_id: UUID
    people: tuple[str, ...] = ()
    """Who wants to be seen."""
    circles: tuple[str, ...] = ()
    """The ids of all that were proposed, to be found by."""
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Mentees:
    """Who has this mentor now, by the relationships as they stand: read without a lock. The id is that of their `CoMentees`."""

    id: UUID
    people: tuple[str, ...] = ()


def co_mentees_id(program: str, mentor: UUID) -> UUID:
    return uuid5(CO_MENTEES, f"{program} {mentor}")


def mentor_of(relationship: Relationship, person_id: UUID) -> UUID | None:
    """Whose mentee someone is by this relationship, where it is one whose mentees may see each other."""
    member = relationship.member(person_id)
    if relationship.format in APART or member is None or member.role is not Role.mentee:
        return None
    return next((m.person_id for m in relationship.members if m.role is Role.mentor), None)


def opt_in(co: CoMentees, person_id: UUID) -> Outcome:
    """A mentee wants to see the others, and to be seen by them."""
    person = str(person_id)
    return NOTHING if person in co.people else new(replace(co, people=(*co.people, person)))


def opt_out(co: CoMentees, person_id: UUID) -> Outcome:
    """Not any more; a circle that is proposed goes on without them."""
    person = str(person_id)
    if person not in co.people:
        return NOTHING
    co = replace(co, people=tuple(p for p in co.people if p != person))
    if co.proposal is None or co.proposal.came is not None:
        return new(co)
    return _settled(replace(co, proposal=co.proposal.without(person_id)))


def others(co: CoMentees, mentees: Mentees | None, person_id: UUID) -> tuple[UUID, ...]:
    """Whom someone sees: those who have the mentor and want to be seen; nobody, unless they want to be seen themselves."""
    now = mentees.people if mentees else ()
    if str(person_id) not in co.people:
        return ()
    return tuple(UUID(p) for p in co.people if p in now and p != str(person_id))


def may_propose(co: CoMentees, mentees: Mentees | None, circle: Relationship | None, person_id: UUID, now: datetime) -> bool:
    """Enough of them, none proposed now or lately, and none that runs."""
    if 1 + len(others(co, mentees, person_id)) < LEAST:
        return False
    last = co.proposal
    if last is None:
        return True
    if circle is not None:
        return circle.ended_at is not None
    return last.came is Came.fell_through or (last.came is not None and now >= last.proposed_at + PROPOSED_AGAIN)


def propose(co: CoMentees, circle: Relationship | None, person_id: UUID, form: str, moment: Moment) -> Outcome:
    """One would like a circle: each of the others is asked. `circle`: what came of the last proposal, if it came about."""
    mentees, circle_id = moment.get(Mentees, co.id), uuid5(co.id, f"{person_id} {form}")
    if str(circle_id) in co.circles or not may_propose(co, mentees, circle, person_id, moment.now):
        return NOTHING
    asked = others(co, mentees, person_id)
    answer_by = moment.now + timedelta(days=DAYS_TO_ANSWER)
    proposal = Proposal(circle_id, person_id, (person_id, *asked), (person_id,), (), moment.now, answer_by)
    told = CircleProposed(
        mentor_id=co.mentor_id,
        program=co.program,
        circle_id=circle_id,
        proposed_by=person_id,
        people=asked,
        answer_by=answer_by,
    )
    co = replace(co, proposal=proposal, circles=(*co.circles, str(circle_id)))
    return new(co).then(told).arm(TIMER, circle_id, co.id, answer_by)


def answer(co: CoMentees, circle_id: UUID, person_id: UUID, moment: Moment, *, yes: bool) -> Outcome:
    """One who is asked says whether they would be part of it."""
    proposal = co.proposal
    if proposal is None or proposal.circle_id != circle_id or not proposal.waits_for(person_id):
        return NOTHING
    if moment.now >= proposal.answer_by:
        return NOTHING
    said = replace(proposal, yes=(*proposal.yes, person_id)) if yes else replace(proposal, no=(*proposal.no, person_id))
    return _settled(replace(co, proposal=said))


def time_is_up(co: CoMentees | None, circle_id: UUID) -> Outcome:
    """Nobody is waited for any longer."""
    if co is None or co.proposal is None or co.proposal.circle_id != circle_id or co.proposal.came is not None:
        return NOTHING
    return _settled(co, over=True)


def fell_through(co: CoMentees, circle_id: UUID) -> Outcome:
    """Too few of them could still come."""
    if co.proposal is None or co.proposal.circle_id != circle_id or co.proposal.came is not Came.agreed:
        return NOTHING
    return new(replace(co, proposal=replace(co.proposal, came=Came.fell_through)))


def forget(co: CoMentees, person_id: UUID) -> Outcome:
    """One was erased: a mentee is seen no more; without their mentor there are no co-mentees."""
    if person_id == co.mentor_id:
        outcome = new(replace(co, people=(), proposal=None))
        return outcome.clear(TIMER, co.proposal.circle_id) if co.proposal else outcome
    return opt_out(co, person_id)


def _settled(co: CoMentees, *, over: bool = False) -> Outcome:
    """The state as given; and once all have answered, or the time is up, what comes of it."""
    proposal = co.proposal
    assert proposal is not None
    if not over and any(proposal.waits_for(person) for person in proposal.people):
        return new(co)
    enough = len(proposal.yes) >= LEAST
    co = replace(co, proposal=replace(proposal, came=Came.agreed if enough else Came.too_few))
    outcome = new(co).clear(TIMER, proposal.circle_id)
    if not enough:
        return outcome
    agreed = CircleAgreed(mentor_id=co.mentor_id, program=co.program, circle_id=proposal.circle_id, people=proposal.yes)
    return outcome.then(agreed)
