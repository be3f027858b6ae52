"""A circle that co-mentees of one mentor agreed on by their own word: nobody is scored, and it takes nobody's place."""

from uuid import UUID

from services.matching.domain.model import Person, Program, Relationship, RelationshipStatus
from services.matching.domain.runs import audience_of, match_fact
from shared.decisions import NOTHING, Context, Outcome, awaited, new
from shared.errors import TryLater
from shared.events import CircleAgreed, Format, GroupCreated, MatchRejected, Member, RejectionReason, Role

LEAST = 3


def circle_agreed(known: Relationship | None, event: CircleAgreed, context: Context) -> Outcome:
    """It begins with those who still take part; where they are too few it comes to nothing, and those who are left are told. Once for a
    circle, however often the fact comes.
    """
    if known is not None:
        return NOTHING
    program = context.get(Program, event.program)
    if program is None:
        raise TryLater(awaited(Program, event.program))
    people = [person for one in event.people if (person := _known(one, context)).takes_part(program.id)]
    members = tuple(Member(person_id=p.id, role=Role.peer, organization=p.organization) for p in people)
    begins = len(members) >= LEAST and not program.closed
    circle = Relationship(
        id=event.circle_id,
        organization=program.organization,
        audience=audience_of(program.id, *(p.organization for p in people)),
        program=program.id,
        people=tuple(str(p.id) for p in people),
        members=members,
        status=RelationshipStatus.active if begins else RelationshipStatus.rejected,
        score=0,
        reasons=(),
        run_id=None,
        round=0,
        format=Format.circle,
    )
    if begins:
        return new(circle).then(match_fact(GroupCreated, circle, program))
    told = MatchRejected(
        relationship_id=circle.id,
        program=program.id,
        reason=RejectionReason.no_longer_holds,
        people=tuple(p.id for p in people),
        audience=circle.audience,
    )
    return new(circle).then(told)


def _known(person_id: UUID, context: Context) -> Person:
    person = context.get(Person, person_id)
    if person is None:
        raise TryLater(awaited(Person, person_id))
    return person
