"""What the two sides see differently: a talking point for both and a line for the coordinator, until it is settled."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from services.scheduling.domain import groups
from services.scheduling.domain.model import Apart, Moment, Relationship
from shared.decisions import NOTHING, Outcome
from shared.events import Misalignment, MisalignmentDetected


def detected(
    relationship: Relationship,
    kind: Misalignment,
    moment: Moment,
    *,
    steps: int | None = None,
    skill: str | None = None,
    check_ins: Iterable[UUID] = (),
) -> tuple[Relationship, Outcome]:
    """They see it differently, since now or still: told to both and, by a line, to the coordinator; to no other organization."""
    known = next((one for one in relationship.apart if one.kind is kind), None)
    since = known.since if known else moment.now
    rest = tuple(one for one in relationship.apart if one.kind is not kind)
    told = MisalignmentDetected(
        relationship_id=relationship.id,
        program=relationship.program,
        audience=(relationship.organization,),
        kind=kind,
        apart=steps,
        skill=skill,
        check_in_ids=tuple(check_ins),
    )
    return replace(relationship, apart=(*rest, Apart(kind, since, steps))), NOTHING.then(told)


def closed(relationship: Relationship, kind: Misalignment) -> Relationship:
    """They see it alike."""
    return replace(relationship, apart=tuple(one for one in relationship.apart if one.kind is not kind))


def settle(relationship: Relationship, person_id: UUID, kind: str) -> Outcome:
    """A member says that they have talked about it. Once all have said so, it is settled."""
    known = next((one for one in relationship.apart if one.kind == kind), None)
    if known is None or person_id in known.settled or relationship.ended_at is not None:
        return NOTHING
    said = replace(known, settled=(*known.settled, person_id))
    return NOTHING.also(
        talked_about(replace(relationship, apart=tuple(said if one is known else one for one in relationship.apart)))
    )


def talked_about(relationship: Relationship) -> Relationship:
    """Without what all who are waited for have talked about, where a member has said so or is waited for no longer."""
    who = groups.waited_for(relationship)
    return replace(relationship, apart=tuple(one for one in relationship.apart if not one.settled or not who <= {*one.settled}))
