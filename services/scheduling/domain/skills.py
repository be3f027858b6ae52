"""Levels of skills, 1 to 5, as mentee and mentor see the mentee's, at the start, half way and at the end. Where they are far apart it is
something to talk about.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import product
from uuid import UUID, uuid5

from services.scheduling.domain import away, entries, groups, stages
from services.scheduling.domain.apart import detected
from services.scheduling.domain.model import GUIDES, Moment, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.events import (
    CheckInAnswered,
    CheckInAsked,
    CheckInKind,
    Misalignment,
    SkillAssessed,
    Stage,
)

STAGES = (Stage.start, Stage.middle, Stage.end)
OWN = "own:"
"""Before a skill that somebody typed."""
MOST = 5
"""Skills of one person that are looked at."""
LEVELS = range(1, 6)
APART = 2
"""So many levels between the two are worth a talk."""
ANSWER_WITHIN = entries.AFTER_END


@dataclass(frozen=True, slots=True)
class Level:
    skill: str
    level: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """How one sees someone's skills at one stage; the id is that of the check-in."""

    id: UUID
    relationship_id: UUID
    organization: str
    person_id: UUID
    """Whose skills."""
    assessed_by: UUID
    stage: Stage
    asked_at: datetime | None = None
    said_at: datetime | None = None
    levels: tuple[Level, ...] = ()
    revision: int = 0
    """How often it was answered."""
    apart: tuple[str, ...] = ()
    """Skills of which it was told, with this answer, that they see them differently."""

    def level(self, skill: str) -> int | None:
        return next((said.level for said in self.levels if said.skill == skill), None)


def own(skill: str, known: Collection[str]) -> str:
    """A skill as it is kept: one that their profile doesn't name is in words of their own, which no event has."""
    return skill if skill in known or skill.startswith(OWN) else OWN + skill


def told_as(skill: str) -> str:
    """A skill as events call it."""
    return OWN.removesuffix(":") if skill.startswith(OWN) else skill


def check_in_id(relationship_id: UUID, person_id: UUID, by: UUID, stage: Stage) -> UUID:
    return uuid5(relationship_id, f"skills {person_id} {by} {stage}")


# ---- whose, and who says -------------------------------------------------------------------------------------------------


def assessed(relationship: Relationship) -> tuple[UUID, ...]:
    """Whose skills are looked at: those of mentees and peers."""
    return tuple(m.person_id for m in relationship.members if m.role not in GUIDES)


def assessors(relationship: Relationship, person_id: UUID) -> tuple[UUID, ...]:
    """Who says at what level someone's skills are: they, and whoever mentors them; of two peers the other."""
    if person_id not in assessed(relationship):
        return ()
    guides = [m.person_id for m in relationship.members if m.role in GUIDES]
    pair = len(relationship.members) == 2
    return (person_id, *(guides or [m.person_id for m in relationship.members if pair and m.person_id != person_id]))


def check_ins(relationship: Relationship, people: Iterable[UUID]) -> list[UUID]:
    """All that there may be about these people, for whoever decides about them."""
    return [
        check_in_id(relationship.id, person, by, stage)
        for person in people
        for by, stage in product(assessors(relationship, person), STAGES)
    ]


def looked_at(named: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """The skills that someone's goals name, and then those that they want to learn."""
    return tuple(dict.fromkeys((*named, *wanted)))[:MOST]


def stage_of(relationship: Relationship, person_id: UUID, by: UUID, known: Callable[[UUID], Assessment | None]) -> Stage:
    """The last at which one was asked about someone's skills; of whoever wasn't asked yet, at which that person was."""
    asked = (s for one in (by, person_id) for s in reversed(STAGES) if known(check_in_id(relationship.id, person_id, one, s)))
    return next(asked, Stage.start)


# ---- asked ---------------------------------------------------------------------------------------------------------------


def begin(relationship: Relationship, person_id: UUID, moment: Moment) -> tuple[Relationship, Outcome]:
    """A first goal with a skill was set: both sides are asked where they stand, unless their program asks nothing."""
    if relationship.meets_once or not relationship.rules.asks or person_id not in assessed(relationship):
        return relationship, NOTHING
    if moment.get(Assessment, check_in_id(relationship.id, person_id, person_id, Stage.start)) is not None:
        return relationship, NOTHING
    there = _there(relationship, moment)
    asked = _ask(relationship, person_id, Stage.start, there | {person_id}, moment)  # whoever sets a goal is there
    if relationship.stages:
        return relationship, asked.plus(stages.looked_at_again(relationship, moment.now))
    relationship = replace(relationship, stages=(Stage.start.value,))
    return relationship, asked.plus(_armed(relationship, moment, waits=len(there) < len(relationship.members)))


def _there(relationship: Relationship, moment: Moment) -> set[UUID]:
    return {m.person_id for m in away.there(relationship, moment.now)}


def _armed(relationship: Relationship, moment: Moment, *, waits: bool) -> Outcome:
    """With the timer of the next stage; where somebody isn't there, of the next look whether they are back."""
    return (stages.looked_at_again if waits else stages.armed)(relationship, moment.now)


def _missing(relationship: Relationship, person_id: UUID, stage: Stage, moment: Moment) -> list[UUID]:
    """Who hasn't been asked about someone's skills at a stage, nor said anything of them."""
    everyone = assessors(relationship, person_id)
    return [by for by in everyone if moment.get(Assessment, check_in_id(relationship.id, person_id, by, stage)) is None]


def _ask(relationship: Relationship, person_id: UUID, stage: Stage, there: Collection[UUID], moment: Moment) -> Outcome:
    """Those who are there are asked, each once."""
    outcome, answer_by = NOTHING, (relationship.ended_at or moment.now) + ANSWER_WITHIN
    for by in _missing(relationship, person_id, stage, moment):
        if by not in there:
            continue
        about = check_in_id(relationship.id, person_id, by, stage)
        asked = Assessment(about, relationship.id, relationship.organization, person_id, by, stage, asked_at=moment.now)
        told = CheckInAsked(
            relationship_id=relationship.id,
            program=relationship.program,
            check_in_id=about,
            person_id=by,
            kind=CheckInKind.skills,
            stage=stage,
            due_at=answer_by,
        )
        outcome = outcome.plus(new(asked).then(told))
    return outcome


def due(relationship: Relationship, moment: Moment) -> Outcome:
    """A stage has come: it is asked about those of whom it was at the start, and not within these days. Who has a break or is away is asked
    once they are back, of the stage that it is by then, after the end as long as they may answer; it is over when all have been.
    """
    over = relationship.ended_at is not None
    stage = Stage.end if over else stages.due(relationship, moment.now)
    if (over and Stage.end.value in relationship.stages) or not entries.may_write(relationship, moment.now):
        return NOTHING
    if not over and (not relationship.rules.asks or relationship.frozen_at or groups.stands_still(relationship)):
        return _armed(relationship, moment, waits=True)
    there, outcome, waits = _there(relationship, moment), NOTHING, False
    for person_id in assessed(relationship):
        at = _stage_to_ask(relationship, person_id, stage, moment)
        if at is not None:
            outcome = outcome.plus(_ask(relationship, person_id, at, there, moment))
            waits = waits or not there.issuperset(_missing(relationship, person_id, at, moment))
    if stage is not None and not waits:
        relationship = replace(relationship, stages=(*relationship.stages, stage.value))
        outcome = outcome.also(relationship)
    return outcome.plus(_armed(relationship, moment, waits=waits))


def _stage_to_ask(relationship: Relationship, person_id: UUID, stage: Stage | None, moment: Moment) -> Stage | None:
    """At which it is asked about someone: the one that has come, or the last, of which some may not have been asked yet; None where it
    never was.
    """
    last = _last_asked(relationship, person_id, stage, moment)
    if last is None:
        return None
    if stage is not None and moment.now - last >= stages.BEFORE_END:
        return stage
    return stage_of(relationship, person_id, person_id, partial(moment.get, Assessment))


def _last_asked(relationship: Relationship, person_id: UUID, but: Stage | None, moment: Moment) -> datetime | None:
    others = (stage for stage in STAGES if stage is not but)
    found = (moment.get(Assessment, check_in_id(relationship.id, person_id, person_id, stage)) for stage in others)
    return max((one.asked_at for one in found if one is not None and one.asked_at is not None), default=None)


# ---- said ----------------------------------------------------------------------------------------------------------------


def say(relationship: Relationship, person_id: UUID, by: UUID, levels: Mapping[str, int], moment: Moment) -> Outcome:
    """What someone says, or says anew, of a person's skills. Of those of which the two sides are far apart it is told, once a stage."""
    if not entries.may_write(relationship, moment.now) or by not in assessors(relationship, person_id):
        return NOTHING
    stage = stage_of(relationship, person_id, by, partial(moment.get, Assessment))
    about = check_in_id(relationship.id, person_id, by, stage)
    known = moment.get(Assessment, about) or Assessment(about, relationship.id, relationship.organization, person_id, by, stage)
    said = [Level(skill, level) for skill, level in levels.items() if known.level(skill) != level]
    if not said:
        return NOTHING
    after = {one.skill: one for one in (*known.levels, *said)}
    told = {"relationship_id": relationship.id, "program": relationship.program}
    mine = replace(known, levels=tuple(after.values()), said_at=moment.now, revision=known.revision + 1)
    answered = CheckInAnswered(
        **told, check_in_id=about, person_id=by, kind=CheckInKind.skills, stage=stage, revision=mine.revision
    )
    each = [
        SkillAssessed(**told, person_id=person_id, assessed_by=by, skill=told_as(one.skill), level=one.level, stage=stage)
        for one in said
    ]
    mine, apart = _apart(relationship, mine, moment)
    return new(mine).then(*each, answered).plus(apart)


def _apart(relationship: Relationship, mine: Assessment, moment: Moment) -> tuple[Assessment, Outcome]:
    """Of which skills it is to be told now that they are seen differently: by the person themselves and by one who mentors them."""
    everyone = assessors(relationship, mine.person_id)
    stage = [moment.get(Assessment, check_in_id(relationship.id, mine.person_id, by, mine.stage)) for by in everyone]
    found, before = NOTHING, relationship
    for other in stage:
        if other is None or other.id == mine.id or mine.person_id not in {mine.assessed_by, other.assessed_by}:
            continue
        for said in mine.levels:
            theirs = other.level(said.skill)
            told = {skill for one in stage if one and one.id != mine.id for skill in one.apart} | {*mine.apart}
            if theirs is None or abs(said.level - theirs) < APART or said.skill in told:
                continue
            mine = replace(mine, apart=(*mine.apart, said.skill))
            relationship, told_now = detected(
                relationship,
                Misalignment.skill_levels,
                moment,
                steps=abs(said.level - theirs),
                skill=told_as(said.skill),
                check_ins=(mine.id, other.id),
            )
            found = found.plus(told_now)
    return mine, found if relationship is before else found.also(relationship)


def forget(assessment: Assessment) -> Outcome:
    """Whose skills they were, or who said so, was erased."""
    return NOTHING.forget(assessment)
