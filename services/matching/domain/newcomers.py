"""Who may join a group or circle that has begun, best first: by the rules, scores and reasons of a run, with each who is there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from services.matching.domain.anew import Field, field_among
from services.matching.domain.assign import Matrix
from services.matching.domain.joining import Newcomer, compared_with, not_for, seats, with_whom
from services.matching.domain.model import PEERS, Against, Person, Program, Relationship
from services.matching.domain.pool import Candidate, candidate, candidates, free_spans
from services.matching.domain.rules import among_equals
from services.matching.domain.score import NO_POINTS, Scoring, reasons
from services.matching.domain.table import table
from shared.events import Policy, Role


def newcomers(
    group: Relationship,
    people: Mapping[UUID, Person],
    program: Program,
    now: datetime,
    named: Sequence[UUID] = (),
    most: int | None = None,
) -> list[Newcomer]:
    """Those who may join, the best first, equals in the order of their ids, so many at most; or those named, whether they may or not.

    `people`: all that are enrolled. Whoever has no seat left in their role isn't among them, named or not. Of 20,000 peers it takes 2.6 s of
    CPU to find twenty, where it took 19 s to compare each of them by themselves; of 2,000, 0.2 s and 1.7 s.
    """
    there = {member.person_id for member in group.members}
    members = with_whom([people[one] for one in there if one in people], program.id)
    members.sort(key=lambda person: group.people.index(str(person.id)))
    chosen = [people[one] for one in named if one in people] if named else people.values()
    roles = seats(group, program.policy)
    coming = [p for p in chosen if p.id not in there and (at := p.enrolment(program.id)) is not None and at.role in roles]
    against = {person.id: not_for(person, group, members, program, now) for person in coming}
    field, seated = among(group, members, people.values(), program, now)
    if not named:
        allowed = [field.people[str(one.id)] for one in coming if against[one.id] is None and str(one.id) in field.people]
        coming = [people[UUID(one.id)] for one in best(allowed, field, seated)[:most]]
    found = []
    for person in coming:
        enrolment = person.enrolment(program.id)
        assert enrolment is not None
        one = Newcomer(person.id, enrolment.role, *compared_with(members, person, program), against=against[person.id])
        found.append(one if one.against is not None else compared(one, field, seated))
    return sorted(found, key=lambda one: (-one.score, one.person_id))


def best(coming: Sequence[Candidate], field: Field, seated: Sequence[Candidate]) -> list[Candidate]:
    """Those of them whom no rule keeps from anyone seated, the best first, equals in the order of their ids."""
    ranked: list[tuple[int, Candidate]] = []
    for role in Role:
        side = [one for one in coming if one.role is role]
        ranked += zip(scores(side, role, field, seated).tolist(), side, strict=True)
    return [one for score, one in sorted(ranked, key=lambda each: (-each[0], each[1].id)) if score >= 0]


def scores(coming: Sequence[Candidate], role: Role, field: Field, seated: Sequence[Candidate]) -> NDArray[np.int64]:
    """What `Field.joining` scores each of one role, by the tables of a run; negative where a rule keeps them from someone."""
    scoring = replace(field.scoring, least=0)
    equals, across = [one for one in seated if one.role is role], [one for one in seated if one.role is not role]
    if field.form in PEERS:
        each = _both_ways(coming, equals, field.policy, scoring, field)
        kept = each
    else:
        mentors = role is Role.mentor
        each = (
            _table(across, coming, field.policy, scoring, field).T
            if mentors
            else _table(coming, across, field.policy, scoring, field)
        )
        kept = _both_ways(coming, equals, among_equals(field.policy), NO_POINTS, field)
    apart = (each < 0).any(axis=1) | (kept < 0).any(axis=1)
    return np.where(apart, -1, each.sum(axis=1) // max(each.shape[1], 1))


def _both_ways(
    ones: Sequence[Candidate], others: Sequence[Candidate], policy: Policy, scoring: Scoring, field: Field
) -> NDArray[np.int64]:
    there, back = _table(ones, others, policy, scoring, field), _table(others, ones, policy, scoring, field).T
    return np.where((there < 0) | (back < 0), -1, there + back)


def _table(
    mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: Policy, scoring: Scoring, field: Field
) -> NDArray[np.int64]:
    """(mentees, mentors)"""
    if not mentees or not mentors:
        return np.zeros((len(mentees), len(mentors)), np.int64)
    free = [free_spans(one.profile, field.monday) for one in mentees], [free_spans(one.profile, field.monday) for one in mentors]
    return Matrix.of_table(table(mentees, mentors, policy, scoring, field.lines, free)).score.astype(np.int64)


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
