"""What a person says themselves became of them: told once for each kind and month, to be counted, and to no partner."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

from services.gateway.domain.kept import Person
from shared.decisions import NOTHING, Context, Outcome, new
from shared.errors import Rejected
from shared.events import OutcomeKind, OutcomeReported, PersonStatus

SOURCE = "/ithaca/person"
"""Of whoever speaks for themselves, where a partner's report has the partner's own."""
BY_THEMSELVES = (OutcomeKind.promotion, OutcomeKind.new_role, OutcomeKind.education, OutcomeKind.move)
MONTHS = 24
"""So far back it may be."""
MOST = 100
"""That are kept of one person."""


def months(now: datetime) -> list[datetime]:
    """Those that may be chosen, by their first day: this one and those before."""
    first = now.year * 12 + now.month - 1
    return [datetime((first - n) // 12, (first - n) % 12 + 1, 1, tzinfo=UTC) for n in range(MONTHS)]


def code(kind: OutcomeKind, month: datetime) -> str:
    return f"{kind.value} {month:%Y-%m}"


def said(person: Person) -> Sequence[tuple[OutcomeKind, datetime]]:
    """What they have said, the latest month first."""
    found = [
        (OutcomeKind(kind), datetime.fromisoformat(f"{month}-01T00:00:00+00:00"))
        for kind, month in map(str.split, person.outcomes)
    ]
    return sorted(found, key=lambda one: one[1], reverse=True)


def say(program: str, kind: OutcomeKind, month: datetime, person: Person | None, context: Context) -> Outcome:
    """A person says it themselves; the same again is nothing new."""
    if person is None or person.erased or person.status is PersonStatus.invited:
        raise Rejected("not_found", "There is nothing at this address.", status=404)
    if kind not in BY_THEMSELVES or month not in months(context.now):
        raise Rejected("outcome", "Please choose what it is, and the month.")
    if code(kind, month) in person.outcomes:
        return NOTHING
    if len(person.outcomes) >= MOST:
        raise Rejected("too_many", "That is a lot of good news. Please tell your coordinator the rest.", status=409)
    fact = OutcomeReported(
        report_id=str(report_id(person.id, kind, month)),
        report_source=SOURCE,
        organization=person.organization,
        program=program,
        person_id=person.id,
        kind=kind,
        at=month,
        said_by_person=True,
    )
    return new(dataclasses.replace(person, outcomes=(*person.outcomes, code(kind, month)))).then(fact)


def report_id(person_id: UUID, kind: OutcomeKind, month: datetime) -> UUID:
    """The same for the same word."""
    return uuid5(person_id, code(kind, month))
