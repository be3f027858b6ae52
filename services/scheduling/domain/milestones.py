"""Milestones: steps that are celebrated, once in each relationship. Every one has the same, and those of its program besides."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.scheduling.domain.model import Moment, Reached, Relationship
from shared.decisions import NOTHING, Outcome
from shared.events import Milestone, MilestoneReached, ProgramMilestone

FIFTH = 5
"""So many meetings are a milestone."""
ON_THE_WAY = (
    Milestone.goals_set,
    Milestone.first_meeting,
    Milestone.first_step_done,
    Milestone.fifth_meeting,
    Milestone.half_time,
    Milestone.first_goal_attained,
    Milestone.completed,
)
"""In the order in which they are mostly reached."""
OF_MEETINGS = frozenset({Milestone.first_meeting, Milestone.fifth_meeting})
"""Not to be reached where people write to each other."""


def code_of(milestone: Milestone, own: ProgramMilestone | None = None) -> str:
    """Under which it is kept: `first_meeting`, `of_the_program:first-talk`"""
    return f"{milestone.value}:{own.code}" if own else milestone.value


def reach(
    relationship: Relationship,
    milestone: Milestone,
    at: datetime,
    *,
    meeting_id: UUID | None = None,
    goal_id: UUID | None = None,
    own: ProgramMilestone | None = None,
) -> tuple[Relationship, Outcome]:
    """A step worth celebrating, once, on a way that goes on."""
    code = code_of(milestone, own)
    if relationship.meets_once or code in relationship.milestones:
        return relationship, NOTHING
    told = MilestoneReached(
        **relationship.about, milestone=milestone, own=own.code if own else None, meeting_id=meeting_id, goal_id=goal_id
    )
    reached = Reached(code, at, own.name if own else "")
    milestones = (*relationship.milestones, code)
    return replace(relationship, milestones=milestones, reached=(*relationship.reached, reached)), NOTHING.then(told)


def say_own(relationship: Relationship, code: str, moment: Moment) -> Outcome:
    """A member says that they have reached one of the program's own milestones."""
    own = next((own for own in relationship.rules.milestones if own.code == code), None)
    if own is None or relationship.ended_at is not None:
        return NOTHING
    relationship, reached = reach(relationship, Milestone.of_the_program, moment.now, own=own)
    return reached.also(relationship) if reached.events else NOTHING


def still_to_reach(relationship: Relationship) -> list[ProgramMilestone]:
    """The program's own that they haven't reached."""
    own = relationship.rules.milestones
    return [one for one in own if code_of(Milestone.of_the_program, one) not in relationship.milestones]
