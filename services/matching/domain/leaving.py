"""Someone leaves a group or circle that goes on without them: their place is free, and theirs beside the others."""

from services.matching.domain.model import Person, Relationship, RelationshipStatus
from services.matching.domain.runs import audience_of, offered, with_members
from shared.decisions import NOTHING, Context, Outcome, new
from shared.events import EndReason, LeavingReason, MemberLeft, MemberWentOut

REASONS = {
    EndReason.person_withdrawn: LeavingReason.person_withdrawn,
    EndReason.person_erased: LeavingReason.person_erased,
    EndReason.released: LeavingReason.removed,
}


def went_out(relationship: Relationship | None, event: MemberWentOut, context: Context) -> Outcome:
    """Scheduling says so; it is passed on, once, to all who know a group's members by matching. They aren't matched with each other for a
    while; whoever didn't answer takes nobody until they say so, unless they have no place by it, as in a circle of co-mentees.
    """
    if relationship is None or relationship.status is not RelationshipStatus.active:
        return NOTHING
    member = next((m for m in relationship.members if m.person_id == event.person_id), None)
    if member is None:
        return NOTHING
    rest = tuple(m for m in relationship.members if m is not member)
    stays = with_members(relationship, rest)
    told = MemberLeft(
        relationship_id=relationship.id,
        program=relationship.program,
        member=member,
        reason=REASONS.get(event.reason, LeavingReason.own_wish),
        audience=audience_of(relationship.program, *(m.organization for m in relationship.members)),
    )
    free = []
    leaver = context.get(Person, member.person_id)
    if leaver is not None:
        without = leaver.without_place(relationship.id, context.now, first=event.rematch_first)
        free.append(without.away(relationship.program, event.unanswered and without.places != leaver.places))
    staying = (context.get(Person, one.person_id) for one in rest)
    free += [p.without_place(relationship.id, context.now, beside=member.person_id) for p in staying if p is not None]
    return offered(new(stays).also(*free).then(told), free, (relationship.program,), context)
