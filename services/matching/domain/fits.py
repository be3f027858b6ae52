"""Which mentors fit one mentee: the row of this mentee in the plan's table, with the plan's score, rules and reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from services.matching.domain.pool import Candidate, free_spans
from services.matching.domain.rules import Lines
from services.matching.domain.score import Scoring, parts, reasons, weighed
from services.matching.domain.table import table
from shared.events import Policy, Reason, Role


class Field:
    """Everyone of a program who takes part. What a score is made of hangs on all of them; a row of scores on one mentee."""

    def __init__(self, people: Sequence[Candidate], policy: Policy, monday: date) -> None:
        self.policy, self.monday = policy, monday
        everyone = sorted(people, key=lambda person: person.id)
        self.mentees = {p.id: p for p in everyone if p.role is Role.mentee}
        self.mentors = [p for p in everyone if p.role is Role.mentor]
        self.scoring: Scoring = weighed(policy, list(self.mentees.values()), self.mentors)
        self.lines = Lines(everyone)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A mentor as a mentee's table has them; a score below 0 where a rule keeps the two apart."""

    mentor: Candidate
    score: int

    @property
    def allowed(self) -> bool:
        return self.score >= 0


def ranked(mentee: Candidate, mentors: Sequence[Candidate], field: Field, *, any_score: bool = False) -> list[Ranked]:
    """These mentors, the best first, equals in the order of their ids. `any_score`: the least score isn't asked."""
    scoring = replace(field.scoring, least=0) if any_score else field.scoring
    free = [free_spans(mentee.profile, field.monday)], [free_spans(mentor.profile, field.monday) for mentor in mentors]
    row = table([mentee], mentors, field.policy, scoring, field.lines, free).block(0, 1)[0].tolist()
    return sorted(map(Ranked, mentors, row), key=lambda one: (-one.score, one.mentor.id))


def why(mentee: Candidate, mentor: Candidate, field: Field) -> tuple[Reason, ...]:
    """What speaks for these two, the weightiest first."""
    free = free_spans(mentee.profile, field.monday), free_spans(mentor.profile, field.monday)
    return reasons(parts(mentee, mentor, field.scoring, free))
