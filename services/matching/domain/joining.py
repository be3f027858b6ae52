"""Someone comes into a group or circle that has begun: they take a place in it as everyone there has, and the others have one beside them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.matching.domain.model import (
    GROUP_MENTORS,
    MONTH,
    REQUESTS_OF,
    Against,
    Person,
    Place,
    Program,
    Relationship,
    RelationshipStatus,
    revisions_of,
)
from services.matching.domain.personal import may_meet
from services.matching.domain.proposals import RULES, told_of
from services.matching.domain.runs import everyone, settles, with_members
from shared.decisions import NOTHING, Context, Outcome, new
from shared.errors import Raced, Rejected
from shared.events import Format, Member, MemberJoined, Policy, Reason, Role

OF_ONE = RULES | {
    Against.takes_part: "they don’t take part in this way just now",
    Against.places: "they have no place left, or one is proposed to them",
}
"""What keeps someone from joining, in words."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Someone who might join, as they compare with those who are there."""

    person_id: UUID
    role: Role
    members: tuple[UUID, ...]
    """With whom they were compared."""
    scored_for: tuple[int, ...]
    """The revisions of these, of the newcomer and of the program."""
    score: int = 0
    """Of the newcomer with each of the others, or each on the other side of a group, on the average."""
    reasons: tuple[Reason, ...] = ()
    against: Against | None = None
    """Why they may not, where a rule keeps them from someone."""


def seats(group: Relationship, policy: Policy) -> tuple[Role, ...]:
    """The roles in which one more may join; none where it is over or full, its format is the program's no more, or co-mentees agreed on it
    among themselves.
    """
    if group.status is not RelationshipStatus.active or group.run_id is None or group.format not in policy.formats:
        return ()
    most: dict[Role, int] = {}
    if group.format is Format.circle:
        most = {Role.peer: policy.most_circle_size}
    elif group.format is Format.group:
        most = {Role.mentee: policy.most_group_size, Role.mentor: GROUP_MENTORS}
    there = Counter(member.role for member in group.members)
    return tuple(role for role, count in most.items() if there[role] < count)


def without_seats(group: Relationship, program: Program) -> str:
    """Why nobody may join, in words; empty where somebody may."""
    if program.closed or group.format not in program.policy.formats:
        return RULES[Against.closed if program.closed else Against.formats]
    return "" if seats(group, program.policy) else "it is full, over, or was agreed on by its members among themselves"


def with_whom(members: Sequence[Person], program: str) -> list[Person]:
    """Those of a group with whom whoever joins is compared: who has left the program is about to leave the group."""
    return [person for person in members if person.enrolment(program) is not None]


def compared_with(members: Sequence[Person], person: Person, program: Program) -> tuple[tuple[UUID, ...], tuple[int, ...]]:
    """What a comparison of this person with these holds for: `Newcomer.members` and `scored_for`."""
    return tuple(member.id for member in members), revisions_of([*members, person], program)


def not_for(person: Person, group: Relationship, members: Sequence[Person], program: Program, now: datetime) -> Against | None:
    """What keeps someone from this group, as far as program and people by themselves tell; None where nothing does."""
    enrolment, form = person.enrolment(program.id), group.format
    if enrolment is None or not person.takes_part(program.id, form):
        return Against.takes_part
    if not person.room(program.id, program.policy, form, now):
        return Against.places
    if person.apart(program.id, now - program.policy.no_repeat_months * MONTH, form) & {member.id for member in members}:
        return Against.kept_apart
    own = person.personal(program.id)
    return None if all(may_meet(own, member.personal(program.id)) for member in members) else Against.other


def join(person_id: UUID, found: Newcomer | None, group: Relationship | None, context: Context) -> Outcome:
    """A coordinator lets someone of the program join. There already: nothing. Answers the group as it is then.

    `found`: how they compare with those who are there. Answers Raced, and changes nothing, where it is of other people, or of before their
    last change. Raises Rejected where they may not join.
    """
    if group is None:
        raise Rejected("not_found", "There is no such group.", status=404)
    if any(member.person_id == person_id for member in group.members):
        return NOTHING.returning(group)
    program, people, person = context.get(Program, group.program), everyone(group, context), context.get(Person, person_id)
    if program is None or not people:
        return NOTHING.returning(Raced)
    enrolment = person.enrolment(group.program) if person else None
    if person is None or enrolment is None:
        raise Rejected("unknown_person", "Nobody in this program has this id.", field="person_id")
    if program.closed or enrolment.role not in seats(group, program.policy):
        text, why = f"There is no seat for one more {enrolment.role.value} here", without_seats(group, program)
        raise Rejected("no_seat", f"{text}: {why}." if why else f"{text}.", status=409)
    members = with_whom(people, program.id)
    against = not_for(person, group, members, program, context.now)
    if against is None:
        if found is None or (found.members, found.scored_for) != compared_with(members, person, program):
            return NOTHING.returning(Raced)
        against = found.against
    if against is not None:
        raise Rejected("may_not_join", f"They can’t join: {OF_ONE[told_of(against, program)]}.", status=409)
    return _seated(person, enrolment.role, group, people, program, context)


def _seated(
    person: Person, role: Role, group: Relationship, people: Sequence[Person], program: Program, context: Context
) -> Outcome:
    member = Member(person_id=person.id, role=role, organization=person.organization)
    after = with_members(group, (*group.members, member))
    places = (Place(program.id, group.id, other.id, format=group.format, turn=group.turn) for other in people)
    seated = person.with_place(*places, settled=settles(group.format, person, program))
    beside = Place(program.id, group.id, person.id, format=group.format, turn=group.turn)
    others = (replace(other, places=(*other.places, beside)) for other in people)
    told = MemberJoined(relationship_id=group.id, program=program.id, member=member, audience=after.audience)
    outcome = new(after, seated, *others).then(told).returning(after)
    if program.policy.by_request:  # those who wait for them are not kept waiting
        outcome = outcome.arm(REQUESTS_OF, person.id, person.id, context.now)
    return outcome
