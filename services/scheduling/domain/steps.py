"""Steps towards a goal: what is done of them either side says. One that has its day reminds as a follow-up does."""

from dataclasses import replace
from uuid import UUID

from services.scheduling.domain import follow_ups, goals
from services.scheduling.domain.entries import Due, Written
from services.scheduling.domain.goals import Goal, Step
from services.scheduling.domain.milestones import reach
from services.scheduling.domain.model import Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import GoalProgressed, Milestone

LONGEST_TEXT = 500
MOST_STEPS = 20
"""Of one goal."""


def may(relationship: Relationship, goal: Goal | None, person_id: UUID) -> bool:
    return goal is not None and goals.workable(relationship, goal) and goals.may_help(relationship, goal, person_id)


def add(relationship: Relationship, goal: Goal | None, person_id: UUID, step: Step) -> Outcome:
    """Someone adds a step; a form that is sent twice adds one."""
    if goal is None or not may(relationship, goal, person_id) or any(known.id == step.id for known in goal.steps):
        return NOTHING
    if len(goal.steps) >= MOST_STEPS:
        raise Rejected("too_many_steps", f"There are {MOST_STEPS} steps already. Please take one away first.", status=409)
    return goals.changed_by(relationship, replace(goal, steps=(*goal.steps, step)), person_id)


def tick(relationship: Relationship, goal: Goal | None, person_id: UUID, step_id: UUID, moment: Moment, *, done: bool) -> Outcome:
    """It is done; or it isn't after all. The first one is a milestone."""
    step = _step(goal, step_id)
    if goal is None or step is None or not may(relationship, goal, person_id) or (step.done_at is not None) is done:
        return NOTHING
    after = replace(step, done_at=moment.now if done else None)
    goal = replace(goal, steps=tuple(after if s.id == step_id else s for s in goal.steps))
    progressed = GoalProgressed(
        **relationship.about,
        goal_id=goal.id,
        step_id=step_id,
        kind=step.kind,
        person_id=goal.person_id,
        said_by=person_id,
        done=done,
        steps=len(goal.steps),
        steps_done=goal.steps_done,
    )
    outcome = new(goal).then(progressed)
    if not done:
        return outcome
    relationship, first = reach(relationship, Milestone.first_step_done, moment.now, goal_id=goal.id)
    return outcome.plus(first).also(relationship) if first.events else outcome


def take_away(relationship: Relationship, goal: Goal | None, person_id: UUID, step_id: UUID) -> Outcome:
    """Whoever wrote it takes it away."""
    step = _step(goal, step_id)
    if goal is None or step is None or step.by != person_id or not may(relationship, goal, person_id):
        return NOTHING
    return goals.changed_by(relationship, replace(goal, steps=tuple(s for s in goal.steps if s.id != step_id)), person_id)


def _step(goal: Goal | None, step_id: UUID) -> Step | None:
    return next((step for step in goal.steps if step.id == step_id), None) if goal else None


def dues(goal: Goal) -> list[Due]:
    """Its open steps that have a day."""
    if not goal.is_open:
        return []
    return [Due(s.id, s.due_on, goal.person_id, goal.id) for s in goal.steps if s.done_at is None and s.due_on is not None]


def watched(relationship: Relationship, outcome: Outcome, moment: Moment) -> Outcome:
    """What was decided about a goal, with the timer of what is due next moved where that touches it."""
    touched = {goal.id: goal for goal in outcome.changed if isinstance(goal, Goal)}
    written = moment.get(Written, relationship.id) or Written(relationship.id)
    before = [due for due in written.due if due.goal in touched]
    after = [due for goal in touched.values() for due in dues(goal)]
    if sorted(before, key=str) == sorted(after, key=str):
        return outcome
    rest = [due for due in written.due if due.goal not in touched]
    return outcome.plus(follow_ups.armed(relationship, [*rest, *after], moment.now))
