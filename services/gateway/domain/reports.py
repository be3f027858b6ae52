"""Reports, put into our ids and passed on; their owners answer."""

from datetime import datetime, timedelta

from services.gateway.domain.kept import Relationship, together
from services.gateway.domain.named import Named, Posted, own_person, seen_program
from shared.decisions import Context, Outcome
from shared.errors import Rejected
from shared.events import MeetingReported, OutcomeReported, partner


def meeting_reported(said: partner.MeetingReported, named: Named, context: Context, posted: Posted) -> Outcome:
    """Passed on to scheduling, which answers, in our ids."""
    seen_program(named, context)
    assert named.program is not None
    not_to_come(said.held_at, "data.held_at", context)
    for n, person in enumerate(named.attended):
        if person is None:
            text = "you have nobody by this id; for people of other organizations give the UUID that Ithaca gave"
            raise Rejected("unknown_person", text, field=f"data.people[{n}]")
    relationship = context.get(Relationship, named.relationship) if named.relationship else None
    if relationship is None:
        raise Rejected("no_relationship", "no relationship of these people in this program is known", field="data.people")
    fact = MeetingReported(
        report_id=posted.id,
        report_source=posted.source,
        organization=named.sender.id,
        program=named.program,
        relationship_id=relationship.id,
        meeting_id=said.meeting,
        held_at=said.held_at,
        minutes=said.minutes,
        attended=tuple(person for person in named.attended if person is not None),
        audience=together(relationship.audience, named.sender.id),
    )
    return Outcome(events=(fact,))


def outcome_reported(said: partner.OutcomeReported, named: Named, context: Context, posted: Posted) -> Outcome:
    """Recorded as it was said: nobody else decides on it."""
    person = own_person(named, context)
    program = seen_program(named, context) if named.program else None
    not_to_come(said.at, "data.at", context)
    fact = OutcomeReported(
        report_id=posted.id,
        report_source=posted.source,
        organization=named.sender.id,
        program=program.id if program else None,
        person_id=person.id,
        kind=said.kind,
        at=said.at,
        audience=together(named.sender.id, program.organization if program else ()),
    )
    return Outcome(events=(fact,))


def not_to_come(moment: datetime, field: str, context: Context) -> None:
    """A minute's difference of clocks is forgiven."""
    if moment > context.now + timedelta(minutes=1):
        raise Rejected("in_the_future", "this lies in the future: report it when it has happened", field=field)
