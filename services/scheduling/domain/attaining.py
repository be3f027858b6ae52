"""A goal is reached once both sides say so: one says it, and the others are asked whether they see it so too."""

from dataclasses import replace
from uuid import UUID

from services.scheduling.domain import goals
from services.scheduling.domain.goals import Goal, Word
from services.scheduling.domain.milestones import reach
from services.scheduling.domain.model import Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import AttainmentAsked, GoalAttained, Milestone


def sides(relationship: Relationship, goal: Goal) -> list[set[UUID]]:
    """Of each of these somebody has to say so: whose goal it is, and one of those who mentor them; among peers, and of a goal of all, each
    who is still in it.
    """
    guides = set(goals.guides_of(relationship))
    if goal.person_id is None or not guides:
        return [{member.person_id} for member in relationship.members]
    return [{goal.person_id}, guides]


def may_say(relationship: Relationship, goal: Goal, person_id: UUID) -> bool:
    return relationship.member(person_id) is not None and person_id in set().union(*sides(relationship, goal))


def by(goal: Goal) -> set[UUID]:
    """Who says that it is reached."""
    return {word.person_id for word in goal.said if word.reached}


def missing(relationship: Relationship, goal: Goal) -> tuple[UUID, ...]:
    """Those of whom one, or each, has still to say so."""
    waited_for = set().union(*(side for side in sides(relationship, goal) if not side & by(goal)))
    return tuple(m.person_id for m in relationship.members if m.person_id in waited_for)


def agreed(relationship: Relationship, goal: Goal) -> bool:
    return all(side & by(goal) for side in sides(relationship, goal))


def say(relationship: Relationship, goal: Goal | None, person_id: UUID, moment: Moment, *, reached: bool) -> Outcome:
    """A member says that it is reached, or not yet. The first of them to say so has the others asked; with the last it is attained."""
    if goal is None or not goals.workable(relationship, goal) or not may_say(relationship, goal, person_id):
        return NOTHING
    said = next((word.reached for word in goal.said if word.person_id == person_id), None)
    if said is reached:
        return NOTHING
    first = all(relationship.member(who) is None for who in by(goal))
    words = tuple(word for word in goal.said if word.person_id != person_id)
    goal = replace(goal, said=(*words, Word(person_id, reached, moment.now)))
    if not reached:
        return new(goal)
    if agreed(relationship, goal):
        return attained(relationship, goal, moment)
    if not first:
        return new(goal)
    asked = AttainmentAsked(
        relationship_id=relationship.id,
        program=relationship.program,
        goal_id=goal.id,
        person_id=goal.person_id,
        said_by=person_id,
        people=missing(relationship, goal),
    )
    return new(goal).then(asked)


def attained(relationship: Relationship, goal: Goal, moment: Moment) -> Outcome:
    """It is reached, for good; the first one is a milestone."""
    told = GoalAttained(**relationship.about, goal_id=goal.id, person_id=goal.person_id)
    outcome = new(replace(goal, attained_at=moment.now)).then(told)
    relationship, first = reach(relationship, Milestone.first_goal_attained, moment.now, goal_id=goal.id)
    return outcome.plus(first).also(relationship) if first.events else outcome


def somebody_left(relationship: Relationship, goal: Goal, moment: Moment) -> Outcome:
    """Whoever has left isn't waited for: where all others had said so, it is reached."""
    if not goals.workable(relationship, goal) or not by(goal) or not agreed(relationship, goal):
        return NOTHING
    return attained(relationship, goal, moment)
