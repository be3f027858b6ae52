"""Someone leaves a group or circle that goes on without them: their place is free, and theirs beside the others."""

from dataclasses import replace

from services.matching.domain.model import Met, Person, Relationship, RelationshipStatus
from services.matching.domain.runs import offered
from shared.decisions import NOTHING, Context, Outcome, new
from shared.events import EndReason, LeavingReason, MemberLeft, MemberWentOut

REASONS = {
    EndReason.person_withdrawn: LeavingReason.person_withdrawn,
    EndReason.person_erased: LeavingReason.person_erased,
    EndReason.released: LeavingReason.removed,
}


def went_out(relationship: Relationship | None, event: MemberWentOut, context: Context) -> Outcome:
    """Scheduling says so; it is passed on, once, to all who know a group's members by matching. They aren't matched with each other for a
    while; whoever didn't answer takes nobody until they say so.
    """
    if relationship is None or relationship.status is not RelationshipStatus.active:
        return NOTHING
    member = next((m for m in relationship.members if m.person_id == event.person_id), None)
    if member is None:
        return NOTHING
    rest = tuple(m for m in relationship.members if m is not member)
    stays = replace(relationship, members=rest, people=tuple(str(m.person_id) for m in rest))
    told = MemberLeft(
        relationship_id=relationship.id,
        program=relationship.program,
        member=member,
        reason=REASONS.get(event.reason, LeavingReason.own_wish),
        audience=relationship.audience,
    )
    free = []
    leaver = context.get(Person, member.person_id)
    if leaver is not None:
        without = leaver.without_place(relationship.id, context.now, first=event.rematch_first)
        free.append(without.away(relationship.program, event.unanswered))
    for one in rest:
        person = context.get(Person, one.person_id)
        if person is not None:
            free.append(_beside(person, relationship, member.person_id, context))
    return offered(new(stays).also(*free).then(told), free, (relationship.program,), context)


def _beside(person: Person, relationship: Relationship, leaver: object, context: Context) -> Person:
    """Of someone who stays, without the place beside the leaver."""
    gone = [p for p in person.places if p.relationship_id == relationship.id and p.partner == leaver]
    places = tuple(p for p in person.places if p not in gone)
    over = tuple(Met(p.program, p.partner, context.now, False, p.format) for p in gone)
    return replace(person, places=places, met=() if person.erased else (*person.met, *over))
