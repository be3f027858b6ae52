"""Goals: what a mentee works towards, or a group. The first one set is a milestone of the relationship."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID, uuid5

from services.scheduling.domain import skills
from services.scheduling.domain.entries import Written
from services.scheduling.domain.milestones import reach
from services.scheduling.domain.model import GUIDES, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import Format, GoalDropped, GoalKind, GoalSet, Milestone, StepKind

LONGEST_TEXT = 2000
MOST_GOALS = 20
MOST_EVER = 100
"""Those given up included."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step towards a goal. Its words and link are for the members alone."""

    id: UUID
    kind: StepKind
    text: str
    by: UUID
    """Who wrote it."""
    link: str = ""
    due_on: date | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """What a member says of a goal: that it is reached, or not yet."""

    person_id: UUID
    reached: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """A goal as it was typed: one sentence and its kind are enough."""

    text: str
    kind: GoalKind
    due_on: date | None = None
    measure: str = ""
    """How they will know that it is reached."""
    why: str = ""
    """It matters."""
    skills: tuple[str, ...] = ()
    of_group: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """What someone works towards. Its words are for the members alone and leave this service in no event."""

    id: UUID
    relationship_id: UUID
    organization: str
    person_id: UUID | None
    """Whose; None where it is the group's."""
    kind: GoalKind
    text: str
    due_on: date | None
    set_at: datetime
    revision: int = 1
    measure: str = ""
    why: str = ""
    skills: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    said: tuple[Word, ...] = ()
    """The last of each who said whether it is reached."""
    attained_at: datetime | None = None
    dropped_at: datetime | None = None
    set_by: UUID | None = None
    writers: tuple[str, ...] = ()
    """Whose words are in it, to be found by."""

    @property
    def is_open(self) -> bool:
        return self.attained_at is None and self.dropped_at is None

    @property
    def steps_done(self) -> int:
        return sum(step.done_at is not None for step in self.steps)


def goal_id(relationship_id: UUID, person_id: UUID, form: str) -> UUID:
    """The same for the same form, so that one that is sent twice sets one goal."""
    return uuid5(relationship_id, f"goal {person_id} {form}")


# ---- who may -------------------------------------------------------------------------------------------------------------


def may_set(relationship: Relationship, person_id: UUID) -> bool:
    """A mentee sets goals, and among peers everybody; without a mentee in it, whoever is."""
    member = relationship.member(person_id)
    return member is not None and member.role not in GUIDES


def has_group(relationship: Relationship) -> bool:
    """Whether there may be goals of all of them."""
    return relationship.format in {Format.group, Format.circle}


def may_change(relationship: Relationship, goal: Goal, person_id: UUID) -> bool:
    """Its words are its owner's to change; the group's anybody's in it."""
    return relationship.member(person_id) is not None and goal.person_id in {None, person_id}


def may_help(relationship: Relationship, goal: Goal, person_id: UUID) -> bool:
    """Who adds steps and says that they are done: its owner, whoever mentors them, and in a pair the other."""
    member = relationship.member(person_id)
    if member is None:
        return False
    return may_change(relationship, goal, person_id) or member.role in GUIDES or len(relationship.members) == 2


def guides_of(relationship: Relationship) -> tuple[UUID, ...]:
    return tuple(m.person_id for m in relationship.members if m.role in GUIDES)


def workable(relationship: Relationship, goal: Goal | None) -> bool:
    """Whether anything can still come of it."""
    return goal is not None and goal.relationship_id == relationship.id and goal.is_open and relationship.ended_at is None


# ---- set, revised, given up ----------------------------------------------------------------------------------------------


def set_goal(relationship: Relationship, person_id: UUID, draft: Draft, moment: Moment, about: UUID | None = None) -> Outcome:
    """A goal in their own words, which stay here; the event says its kind, skills and day. `about`: the id of the form's goal."""
    if relationship.ended_at is not None or (about is not None and moment.get(Goal, about) is not None):
        return NOTHING
    of_group = draft.of_group and has_group(relationship)
    if not of_group and not may_set(relationship, person_id):
        raise Rejected("not_the_mentee", "Goals are set by the mentee. You can see here what was set.", status=403)
    written = moment.get(Written, relationship.id)
    if relationship.goals >= MOST_GOALS or (written is not None and written.goals >= MOST_EVER):
        raise Rejected("too_many_goals", f"There are {MOST_GOALS} goals already.", status=409)
    goal = Goal(
        id=about or moment.new_id(),
        relationship_id=relationship.id,
        organization=relationship.organization,
        person_id=None if of_group else person_id,
        kind=draft.kind,
        text=draft.text,
        due_on=draft.due_on,
        set_at=moment.now,
        measure=draft.measure,
        why=draft.why,
        skills=draft.skills,
        set_by=person_id,
        writers=(str(person_id),),
    )
    relationship = replace(relationship, goals=relationship.goals + 1)
    relationship, reached = reach(relationship, Milestone.goals_set, moment.now, goal_id=goal.id)
    relationship, asked = _asked_of_skills(relationship, goal, moment)
    return new(goal).then(was_set(relationship, goal)).plus(reached).plus(asked).also(relationship).returning(goal.id)


def revise(relationship: Relationship, goal: Goal | None, person_id: UUID, draft: Draft, moment: Moment) -> Outcome:
    """Its words are others now. What was said of it, that it is reached, was said of those before."""
    if goal is None or not workable(relationship, goal) or not may_change(relationship, goal, person_id):
        return NOTHING
    after = replace(
        goal,
        kind=draft.kind,
        text=draft.text,
        due_on=draft.due_on,
        measure=draft.measure,
        why=draft.why,
        skills=draft.skills,
    )
    if after == goal:
        return NOTHING
    after = replace(_by(after, person_id), set_by=person_id, revision=goal.revision + 1, said=())
    relationship, asked = _asked_of_skills(relationship, after, moment)
    outcome = new(after).then(was_set(relationship, after)).plus(asked)
    return outcome.also(relationship) if asked.events else outcome


def drop(relationship: Relationship, goal: Goal | None, person_id: UUID, moment: Moment) -> Outcome:
    """It isn't worked on any more, and nobody is asked why."""
    if goal is None or not workable(relationship, goal) or not may_change(relationship, goal, person_id):
        return NOTHING
    dropped = GoalDropped(**relationship.about, goal_id=goal.id, person_id=goal.person_id, said_by=person_id)
    relationship = replace(relationship, goals=max(0, relationship.goals - 1))
    return new(replace(goal, dropped_at=moment.now), relationship).then(dropped)


def changed_by(relationship: Relationship, goal: Goal, person_id: UUID) -> Outcome:
    """It has other steps than before."""
    goal = replace(_by(goal, person_id), revision=goal.revision + 1)
    return new(goal).then(was_set(relationship, goal))


def was_set(relationship: Relationship, goal: Goal) -> GoalSet:
    return GoalSet(
        **relationship.about,
        goal_id=goal.id,
        person_id=goal.person_id,
        kind=goal.kind,
        skills=tuple(dict.fromkeys(map(skills.told_as, goal.skills))),
        steps=len(goal.steps),
        due_on=goal.due_on,
        revision=goal.revision,
    )


def _by(goal: Goal, person_id: UUID) -> Goal:
    return replace(goal, writers=tuple(sorted({*goal.writers, str(person_id)})))


def _asked_of_skills(relationship: Relationship, goal: Goal, moment: Moment) -> tuple[Relationship, Outcome]:
    """With the first skill that someone's goals name, both sides are asked at what level they see it."""
    if goal.person_id is None or not goal.skills:
        return relationship, NOTHING
    return skills.begin(relationship, goal.person_id, moment)


def forget(goal: Goal, person_id: UUID) -> Outcome:
    """Someone was erased: their words go, of their own goal all that was written; that there was a goal stays."""
    own = goal.person_id == person_id
    after = replace(
        goal,
        steps=tuple(replace(s, text="", link="") if own or s.by == person_id else s for s in goal.steps),
        said=tuple(w for w in goal.said if w.person_id != person_id),
        writers=() if own else tuple(w for w in goal.writers if w != str(person_id)),
    )
    if own or goal.set_by == person_id:
        after = replace(after, text="", measure="", why="", skills=(), due_on=None)
    return NOTHING if after == goal else new(after)
