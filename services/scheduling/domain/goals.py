"""Goals: what a mentee works towards. The first one set is a milestone of the relationship."""

from dataclasses import replace
from datetime import date
from uuid import UUID

from services.scheduling.domain.meetings import reach
from services.scheduling.domain.model import Goal, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import GoalKind, GoalSet, Milestone, Role

LONGEST_TEXT = 2000
MOST_GOALS = 20


def may_set(relationship: Relationship, person_id: UUID) -> bool:
    """A mentee sets goals, and among peers everybody; without a mentee in it, whoever is."""
    member = relationship.member(person_id)
    return member is not None and member.role is not Role.mentor and member.role is not Role.facilitator


def set_goal(
    relationship: Relationship, person_id: UUID, kind: GoalKind, due_on: date | None, text: str, moment: Moment
) -> Outcome:
    """A goal in the mentee's own words, which stay here; the event says its kind and day."""
    if relationship.ended_at is not None:
        return NOTHING
    if not may_set(relationship, person_id):
        raise Rejected("not_the_mentee", "Goals are set by the mentee. You can see here what was set.", status=403)
    if relationship.goals >= MOST_GOALS:
        raise Rejected("too_many_goals", f"There are {MOST_GOALS} goals already.", status=409)
    goal = Goal(moment.new_id(), relationship.id, relationship.organization, person_id, kind, text, due_on, moment.now)
    relationship = replace(relationship, goals=relationship.goals + 1)
    was_set = GoalSet(**relationship.about, goal_id=goal.id, person_id=person_id, kind=kind, due_on=due_on)
    relationship, reached = reach(relationship, Milestone.goals_set, goal_id=goal.id)
    return new(goal, relationship).then(was_set).plus(reached).returning(goal.id)


def forget(goal: Goal) -> Outcome:
    """Its writer was erased: the words go, that there was a goal stays."""
    return NOTHING if not goal.text and goal.due_on is None else new(replace(goal, text="", due_on=None))
