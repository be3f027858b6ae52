"""Who may join a group or circle that has begun, best first: by the rules, scores and reasons of a run, with each who is there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.matching.domain.anew import Field, field_among
from services.matching.domain.joining import Newcomer, compared_with, not_for, seats, with_whom
from services.matching.domain.model import Against, Person, Program, Relationship
from services.matching.domain.pool import Candidate, candidate, candidates
from services.matching.domain.score import reasons


def newcomers(
    group: Relationship, people: Mapping[UUID, Person], program: Program, now: datetime, named: Sequence[UUID] = ()
) -> list[Newcomer]:
    """Those who may join, the best first, equals in the order of their ids; or those named, whether they may or not.

    `people`: all that are enrolled. Whoever has no seat left in their role isn't among them, named or not.
    """
    there = {member.person_id for member in group.members}
    members = with_whom([people[one] for one in there if one in people], program.id)
    members.sort(key=lambda person: group.people.index(str(person.id)))
    chosen = (people[one] for one in named if one in people) if named else people.values()
    roles = seats(group, program.policy)
    field, seated = among(group, members, people.values(), program, now)
    found = []
    for person in chosen:
        enrolment = person.enrolment(program.id)
        if person.id in there or enrolment is None or enrolment.role not in roles:
            continue
        basis = compared_with(members, person, program)
        one = Newcomer(person.id, enrolment.role, *basis, against=not_for(person, group, members, program, now))
        if one.against is None:
            one = compared(one, field, seated)
        if named or one.against is None:
            found.append(one)
    return sorted(found, key=lambda one: (-one.score, one.person_id))


def among(
    group: Relationship, members: Sequence[Person], people: Iterable[Person], program: Program, now: datetime
) -> tuple[Field, list[Candidate]]:
    """Everyone who takes part in such groups, and those who are in this one, whether they have a break or not."""
    seated = [one for person in members if (one := candidate(person, program, now, group.format)) is not None]
    ids = {one.id for one in seated}
    others = [one for one in candidates(people, program, now, group.format) if one.id not in ids]
    return field_among([*seated, *others], program.policy, group.format, now), seated


def compared(one: Newcomer, field: Field, seated: Sequence[Candidate]) -> Newcomer:
    """With each who is there; who has said nothing of themselves yet can't be."""
    candidate = field.people.get(str(one.person_id))
    found = field.joining(candidate, seated) if candidate else Against.takes_part
    if isinstance(found, Against):
        return replace(one, against=found)
    score, spoken = found
    return replace(one, score=score, reasons=reasons(spoken))
