"""Where the two sides see something differently, in the answers of a round or because one of them says so."""

from collections.abc import Sequence
from dataclasses import replace

from services.scheduling.domain import groups
from services.scheduling.domain.apart import closed, detected
from services.scheduling.domain.check_ins import ON_OTHERS, Answers, CheckIn
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import CheckInKind, GoalKind, Misalignment, Role

FAR = 2
"""Steps of five from which on answers are apart."""
KINDS_OF_GROWTH = frozenset({GoalKind.technical, GoalKind.interpersonal, GoalKind.industry})


def compared(
    relationship: Relationship, mine: CheckIn, others: Sequence[CheckIn], goals: Sequence[Goal], moment: Moment
) -> tuple[Relationship, CheckIn, Outcome]:
    """What a member has just answered, beside what the other side did in the same round. Each round is told of once."""
    outcome = NOTHING
    same = [one for one in others if one.round == mine.round and one.answered_at is not None]
    told = {*mine.told, *(kind for one in same for kind in one.told)}
    beside = [one for one in same if relationship.member(one.person_id) is not None]
    for kind, steps, is_apart in _seen(relationship, mine, beside, goals):
        if is_apart is None:
            continue
        if not is_apart:
            relationship = closed(relationship, kind)
        elif kind not in told:
            mine = replace(mine, told=(*mine.told, kind.value))
            known = next((one for one in relationship.apart if one.kind is kind), None)
            if known is None or mine.asked_at > known.since:  # else it is what another question of the same days has shown
                ids = () if kind is Misalignment.said_so else sorted([mine.id, *(one.id for one in beside)])
                relationship, found = detected(relationship, kind, moment, steps=steps, check_ins=ids)
                outcome = outcome.plus(found)
    return relationship, mine, outcome


def somebody_left(relationship: Relationship, answers: Answers) -> Outcome:
    """Whoever has left sees nothing differently any more: where nobody of the others says so in their last answer, it is closed."""
    said = [one for one in answers.check_ins if one.kind in ON_OTHERS and one.answered_at is not None]
    last = {one.person_id: one for one in said if relationship.member(one.person_id) is not None}
    after = closed(relationship, Misalignment.said_so)
    if relationship.ended_at is not None or after == relationship or any(one.differs for one in last.values()):
        return NOTHING
    return new(after)


def _seen(
    relationship: Relationship, mine: CheckIn, beside: Sequence[CheckIn], goals: Sequence[Goal]
) -> list[tuple[Misalignment, int | None, bool | None]]:
    """In what, how far, and whether they are apart; None where that can't be told yet."""
    all_said = groups.waited_for(relationship) <= {one.person_id for one in [mine, *beside]}
    differs = mine.differs or any(one.differs for one in beside)
    seen: list[tuple[Misalignment, int | None, bool | None]] = [
        (Misalignment.said_so, None, True if differs else False if all_said else None)
    ]
    if len(relationship.members) != 2:
        return seen
    other = beside[0] if beside else None
    if mine.kind is CheckInKind.quality and other is not None and mine.score is not None and other.score is not None:
        steps = abs(mine.score - other.score)
        seen.append((Misalignment.scores, steps, steps >= FAR))
    first = _first_goals(relationship, [mine, *beside], goals)
    if first <= KINDS_OF_GROWTH and first:
        seen.append((Misalignment.first_goals, None, len(first) > 1))
    return seen


def _first_goals(relationship: Relationship, said: Sequence[CheckIn], goals: Sequence[Goal]) -> set[GoalKind]:
    """What comes first to each side; nothing where one hasn't said so. A mentee who hasn't has by the first goal they set."""
    found = []
    for member in relationship.members:
        answers = [one.first_goal for one in said if one.person_id == member.person_id and one.first_goal is not None]
        if not answers and member.role is Role.mentee:
            answers = [
                goal.kind
                for goal in sorted(goals, key=lambda g: g.set_at)
                if goal.person_id == member.person_id and goal.dropped_at is None
            ][:1]
        found += answers[:1]
    return set(found) if len(found) == len(relationship.members) else set()
