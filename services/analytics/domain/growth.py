"""What is known of what people answered and did: a row for each, whichever fact about it is read first.

An answer counts as it was first given. A number that moved with one person's second thought would tell it (`anonymity.py`).
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events import EndReason

FINAL = frozenset({"attained"})
"""A state that no later fact takes back."""
PLANNED = (EndReason.completed, EndReason.goal_attained, EndReason.program_closed)
"""Reasons of an end that isn't an early one: the agreed time or the goal was reached, or the whole program closed."""
MONTHS = (1, 3, 6, 12, 24)
"""After so many months it is looked whether relationships still run or ended as planned."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person was asked in a check-in, and their first answer; or at what level they first said that a skill is."""

    id: str
    program: str
    relationship_id: UUID
    person_id: UUID
    """Who answers."""
    kind: str
    stage: str = ""
    about: UUID | None = None
    """Whose skill it is."""
    value: float | None = None
    """1 to 5; of a scale the mean of its statements."""
    word: str = ""
    asked: bool = False
    revision: int = 0
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that people did or had: a goal, a step, a piece of feedback, an opportunity, an outcome, …"""

    id: str
    program: str | None
    """None of an outcome that was reported of a person and no program."""
    relationship_id: UUID | None
    person_id: UUID | None
    kind: str
    word: str
    """Of which sort, by the event's own codes."""
    state: str
    said_at: datetime
    changed_at: datetime


def answered(known: Answer, *, revision: int, value: float | None, word: str, at: datetime) -> Answer:
    """With this answer, unless an earlier one is known."""
    if known.revision and (known.revision, known.said_at) <= (revision, at):
        return known
    return dataclasses.replace(known, revision=revision, value=value, word=word, said_at=at)


def stated(known: Thing | None, said: Thing) -> Thing:
    """What is known of it after this: the newest fact says how it stands, the oldest when it began."""
    if known is None:
        return said
    began = min(known.said_at, said.said_at)
    if said.changed_at < known.changed_at or (known.state in FINAL and said.state not in FINAL):
        return dataclasses.replace(known, said_at=began, word=known.word or said.word)
    return dataclasses.replace(said, said_at=began, word=said.word or known.word, person_id=said.person_id or known.person_id)
