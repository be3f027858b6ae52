"""What a run makes of a program's people: its formats one after the other, each with those who still have a place in it.

A format is an exact plan or a search of its own; whoever has found a partner in one comes to the next with a place less.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.matching.domain.left import Left
from services.matching.domain.model import (
    BESIDE,
    Person,
    Program,
    Relationship,
    RelationshipStatus,
    Run,
    revisions_of,
    role_in,
)
from services.matching.domain.plan import Help, plan
from services.matching.domain.pool import Candidate, candidates
from services.matching.domain.runs import audience_of, seated
from services.matching.domain.score import UNIT, Scoring, Spoken, reasons, weighed
from services.matching.domain.together import circles, peer_pairs
from shared.cloudevents import new_id
from shared.events import Format, Member, Policy, ReasonCode, Role, WaitlistReason, Weights

TOPICS_ALONE = Weights(**dict.fromkeys(Weights.model_fields, 0.0) | {"skills": 1.0})
ONE_TOPIC = 1 / UNIT
"""As a least score where topics alone count: at least one of them is shared."""
TOPICS = frozenset({ReasonCode.skills, ReasonCode.related_skills})
NAMED = frozenset({Format.multi_mentor, Format.reverse})
"""Formats in which each relationship is for topics of its own."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Who meets, in which role; the score of a pair in it on the average, of so many pairs, and the parts of that."""

    members: tuple[tuple[str, Role], ...]
    score: int
    pairs: int
    spoken: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What one format comes to."""

    meetings: Sequence[Meeting]
    left: Sequence[Left]
    gap: int
    helps: Sequence[Help] = ()


@dataclass(slots=True)
class Found:
    """All that one round of a run has found. `pool`: those who take part in one of the formats, by id."""

    pool: dict[str, Candidate] = field(default_factory=dict)
    relationships: list[Relationship] = field(default_factory=list)
    left: dict[str, Left] = field(default_factory=dict)
    helps: Sequence[Help] = ()
    score: int = 0
    gap: int = 0


def matched(everyone: Iterable[Person], program: Program, run: Run, now: datetime) -> Found:
    """The relationships that this round of the run would begin, and who is left without any. Raises TooLargeError.

    What keeps someone from what they came for is told before what keeps them from what is beside it, and either in the role in which they are enrolled.
    """
    people, round_, beside = {str(person.id): person for person in everyone}, Found(), Found()
    if program.closed:
        return round_
    for form in in_turn(program.policy):
        for again in range(program.policy.most_mentors if form is Format.multi_mentor else 1):
            pool = candidates(people.values(), program, now, form)
            if form is Format.multi_mentor:
                pool = [one_more(candidate, people, program.id, further=again > 0) for candidate in pool]
            part = part_of(form, pool, program.policy, now, further=again > 0)
            told = beside if form in BESIDE else round_
            told.pool = {one.id: replace(one, role=role_in(form, one.role)) for one in pool} | told.pool
            told.left = {one.id: _as_enrolled(one, form) for one in part.left} | told.left
            round_.helps = round_.helps or part.helps
            round_.gap += part.gap
            round_.score += sum(meeting.score * meeting.pairs for meeting in part.meetings)
            for relationship in (_relationship(form, again, meeting, people, program, run) for meeting in part.meetings):
                round_.relationships.append(relationship)
                members = tuple(people[who] for who in relationship.people)
                people |= {str(person.id): person for person in seated(relationship, members, program, now, proposed=False)}
            if again and not part.meetings:
                break
    round_.pool = beside.pool | round_.pool
    round_.left = beside.left | round_.left
    if program.untold:
        round_.left = {who: _untold(left) for who, left in round_.left.items()}
    _nobody_forgotten(round_, people.values(), program)
    return round_


def in_turn(policy: Policy) -> list[Format]:
    """The program's formats as a run comes to them: conversations last, so that who would be the best mentor isn't met once instead."""
    return sorted(policy.formats, key=Format.conversation.__eq__)


def _as_enrolled(left: Left, form: Format) -> Left:
    """In the role in which they are enrolled, where that is another one."""
    return replace(left, role=role_in(form, left.role), mentors_that_would_help=None) if form is Format.reverse else left


def _untold(left: Left) -> Left:
    """Where people may have rules of their own, which is nobody else's business, every rule between two looks the same."""
    rule = left.reason in {WaitlistReason.no_common_language, WaitlistReason.no_overlap}
    return replace(left, reason=WaitlistReason.nobody_to_meet, missing=()) if rule else left


def _nobody_forgotten(round_: Found, people: Iterable[Person], program: Program) -> None:
    """Who has found someone isn't left; whoever takes part in none of the program's formats is."""
    for person in people:
        who, enrolment = str(person.id), person.enrolment(program.id)
        if person.taken(program.id):
            round_.left.pop(who, None)
        elif enrolment and who not in round_.pool and person.takes_part(program.id):
            round_.left[who] = Left(who, enrolment.role, WaitlistReason.nobody_to_meet)


def of_format(form: Format, policy: Policy, *, further: bool) -> Policy:
    """The rules and weights of this format. `further`: of mentors beside one's first."""
    if form is Format.e_mentoring:  # they write when they can
        return policy.model_copy(
            update={"least_overlap_hours": 0.0, "weights": policy.weights.model_copy(update={"overlap_hours": 0.0})}
        )
    if form is Format.conversation:  # a mentor more would help as many as they may talk with in a month
        return policy.model_copy(update={"capacity": policy.conversations_per_month})
    if form is not Format.reverse and not further:
        return policy
    topics = {"weights": TOPICS_ALONE, "least_score": max(policy.least_score, ONE_TOPIC)}
    return policy.model_copy(update=topics | (_downwards(policy) if form is Format.reverse else {}))


def _downwards(policy: Policy) -> dict[str, float | None]:
    """A window of ranks and years as it looks from above."""
    turned: dict[str, float | None] = {}
    for what in ("ranks_above", "years_more"):
        least, most = getattr(policy, f"least_{what}"), getattr(policy, f"most_{what}")
        turned |= {f"least_{what}": None if most is None else -most, f"most_{what}": None if least is None else -least}
    return turned


def one_more(candidate: Candidate, people: Mapping[str, Person], program: str, *, further: bool) -> Candidate:
    """A mentee as they are for their first mentor or a further one: they want what those they have don't offer. None is sought for nothing."""
    if candidate.role is not Role.mentee:
        return candidate
    places = (place for place in people[candidate.id].places if place.program == program)
    mentors = {place.partner for place in places if place.format not in BESIDE}
    covered = {skill for one in mentors for skill in _offers(people.get(str(one)))}
    wanted = tuple(skill for skill in candidate.profile.skills_wanted if skill not in covered)
    profile = candidate.profile.model_copy(update={"skills_wanted": wanted})
    return replace(candidate, profile=profile, places=min(candidate.places, 1) if (further and wanted) or not mentors else 0)


def _offers(person: Person | None) -> Collection[str]:
    return person.profile.skills_offered if person and person.profile else ()


def part_of(form: Format, pool: Sequence[Candidate], of_program: Policy, now: datetime, *, further: bool = False) -> Part:
    """Who of the pool meets whom in this format; nobody in one that this version doesn't know. `further`: mentors beside one's first."""
    policy = of_format(form, of_program, further=further)
    if form is Format.group:
        from services.matching.domain.groups import groups  # noqa: PLC0415 - numba and scipy take seconds to load

        grouped = groups(pool, policy, now)
        return Part(
            [_group(one.mentors, one.mentees, one.score, one.spoken) for one in grouped.groups], grouped.left, grouped.gap
        )
    if form is Format.circle:
        round_ = circles(pool, policy, now)
        return Part([_peers(one.members, one.score, one.spoken) for one in round_.circles], round_.left, round_.gap)
    if form is Format.peer_pair:
        pairs = peer_pairs(pool, policy, now)
        return Part([_peers(one.members, one.score, one.spoken) for one in pairs.pairs], pairs.left, pairs.gap)
    if form is Format.other:
        return Part((), (), 0)
    # Beside what people came for everyone has as many places, whatever their enrolment says
    own = by_topics(pool, policy) if form is Format.reverse or further else None
    best = plan(pool, policy, now, own, what_if=form not in BESIDE)
    return Part([_group((p.mentor,), (p.mentee,), p.score, p.spoken) for p in best.pairs], best.left, best.gap, best.helps)


def by_topics(pool: Sequence[Candidate], policy: Policy) -> Scoring:
    """What is for topics asks for one even where nobody has named any."""
    mentees, mentors = ([person for person in pool if person.role is role] for role in (Role.mentee, Role.mentor))
    return replace(weighed(policy, mentees, mentors), least=int(policy.least_score * UNIT))


def _group(mentors: Sequence[str], mentees: Sequence[str], score: int, spoken: Sequence[Spoken]) -> Meeting:
    members = [(who, role) for some, role in ((mentors, Role.mentor), (mentees, Role.mentee)) for who in some]
    return Meeting(tuple(members), score, len(mentors) * len(mentees), tuple(spoken))


def _peers(peers: Sequence[str], score: int, spoken: Sequence[Spoken]) -> Meeting:
    return Meeting(tuple((who, Role.peer) for who in peers), score, len(peers) * (len(peers) - 1) // 2, tuple(spoken))


def _relationship(
    form: Format, turn: int, meeting: Meeting, people: Mapping[str, Person], program: Program, run: Run
) -> Relationship:
    """As it is planned; of the order in which these come their ids are."""
    members = tuple(
        Member(person_id=UUID(who), role=role, organization=people[who].organization) for who, role in meeting.members
    )
    return Relationship(
        id=new_id(),
        organization=program.organization,
        audience=audience_of(program.id, *(member.organization for member in members)),
        program=program.id,
        people=tuple(who for who, _ in meeting.members),
        members=members,
        status=RelationshipStatus.planned,
        score=meeting.score,
        reasons=reasons(meeting.spoken),
        run_id=run.id,
        round=run.round,
        format=form,
        about=about(form, meeting.spoken),
        turn=turn,
        scored_for=revisions_of([people[who] for who, _ in meeting.members], program),
    )


def about(form: Format, spoken: Sequence[Spoken]) -> tuple[str, ...]:
    """The topics of a relationship, in a format in which it has some of its own."""
    return tuple(item for part in spoken if part.code in TOPICS for item in part.items) if form in NAMED else ()
