"""The index of what partners may post, and what each comes to."""

from collections.abc import Callable
from typing import Any

from services.gateway.domain.kept import Intake, IntakeStatus, Person
from services.gateway.domain.named import Named, Posted
from services.gateway.domain.people import person_enrolled, person_paused, person_resumed, person_withdrawn, profile_changed
from services.gateway.domain.programs import (
    program_changed,
    program_closed,
    program_joined,
    program_launched,
    program_left,
    program_shared,
)
from services.gateway.domain.reports import meeting_reported, outcome_reported
from shared.decisions import Context, Outcome
from shared.errors import Rejected
from shared.events import PersonStatus, partner

Rule = Callable[[Any, Named, Context], Outcome]

RULES: dict[type[partner.PartnerEvent], Rule] = {
    partner.ProgramLaunched: program_launched,
    partner.ProgramChanged: program_changed,
    partner.ProgramClosed: program_closed,
    partner.ProgramShared: program_shared,
    partner.ProgramJoined: program_joined,
    partner.ProgramLeft: program_left,
    partner.PersonEnrolled: person_enrolled,
    partner.ProfileChanged: profile_changed,
    partner.PersonPaused: person_paused,
    partner.PersonResumed: person_resumed,
    partner.PersonWithdrawn: person_withdrawn,
}
REPORTS: dict[type[partner.PartnerEvent], Callable[[Any, Named, Context, Posted], Outcome]] = {
    partner.MeetingReported: meeting_reported,
    partner.OutcomeReported: outcome_reported,
}


def take(posted: Posted, named: Named, context: Context) -> Outcome:
    """Decide on a posted event, and remember what it was and what became of it. Returns its intake."""
    kind = type(posted.said)
    person = context.get(Person, named.person) if named.person else None
    if person is not None and person.status is PersonStatus.invited:
        raise Rejected(
            "not_enrolled", "this id belongs to someone who has yet to say whether they take part", field="data.person"
        )
    outcome = RULES[kind](posted.said, named, context) if kind in RULES else REPORTS[kind](posted.said, named, context, posted)
    intake = Intake(
        id=context.id,
        organization=named.sender.id,
        source=posted.source,
        own_id=posted.id,
        type=kind.TYPE,
        sha256=posted.sha256,
        status=IntakeStatus.waiting if kind is partner.MeetingReported else IntakeStatus.applied,
        caused=(str(context.id),) if outcome.events else (),
        reason=None,
        field=None,
        person=named.person,
        program=named.program,
        received_at=context.now,
    )
    return outcome.also(intake).returning(intake)
