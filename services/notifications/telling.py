"""A message to be sent: one about this fact for each who shall read it."""

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.notifications.asks import ASK, ASKS
from services.notifications.domain import Delivery, Relationship, State, both, message_id
from shared.decisions import Context, Outcome, awaited, new
from shared.errors import TryLater
from shared.events import (
    Channel,
    owner_of,
)


def known_one(relationship: Relationship | None, relationship_id: UUID) -> Relationship:
    """Facts of scheduling may come before matching's; they wait for the relationship."""
    if relationship is None:
        raise TryLater(awaited(Relationship, relationship_id))
    return relationship


def tell(
    context: Context,
    relationship: Relationship,
    template: str,
    data: Mapping[str, Any],
    *,
    meeting: UUID | None = None,
    fact: tuple[UUID, str] | None = None,
    to: Container[UUID] | None = None,
) -> Outcome:
    """A message about this fact to every member, or to those of them. A question waits for what else is to be asked of them."""
    told = new(
        *(
            replace(
                message(context, member.person_id, member.organization, relationship.program, template, data, fact),
                relationship_id=relationship.id,
                meeting_id=meeting,
            )
            for member in relationship.members
            if to is None or member.person_id in to
        )
    )
    return asking(told, context) if template in ASKS else told


def asking(outcome: Outcome, context: Context) -> Outcome:
    """These messages as questions: each waits for what else is to be asked of its reader."""
    outcome = outcome._replace(changed=tuple(replace(one, state=State.to_ask) for one in outcome.changed))
    for asked in outcome.changed:
        outcome = outcome.arm(ASK, asked.person_id, asked.person_id, context.now)
    return outcome


def message(
    context: Context,
    person: UUID,
    home: str,
    program: str,
    template: str,
    data: Mapping[str, Any],
    fact: tuple[UUID, str] | None = None,
) -> Delivery:
    fact_id, fact_type = fact or (context.id, context.text("ce_type"))
    owner = owner_of(program)
    return Delivery(
        id=message_id(fact_id, template, person, Channel.mail),
        organization=owner,
        audience=both(owner, home),
        person_id=person,
        program=program,
        template=template,
        channel=Channel.mail,
        fact_id=fact_id,
        fact_type=fact_type,
        relationship_id=None,
        meeting_id=None,
        data=dict(data),
        state=State.waits,
        attempts=0,
        created_at=context.now,
        due_at=context.now,
        correlation=context.correlation,
        traceparent=context.traceparent,
    )
