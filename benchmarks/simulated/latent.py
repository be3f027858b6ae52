"""Why people stay or go: what happens in two people's lives, which only shows in what they do.

Nothing in here is known to the platform. What drives a relationship, each drawn from the seed (N is the normal distribution):

- chemistry of the two, N(0, 1); in one relationship of five their aims don't match, which weighs as 1.2 of it. Both are felt as they meet.
- each one's load of other work, around a level of their own, N(0, 0.6), from week to week by an AR(1) with 0.85 and deviation 1; mentors' weighs more.
- each one's motivation, alike, with 0.92; a mentee's weighs more.
- each one's way of answering, quick or slow, N(0, 1), and of judging, mild or severe, N(0, 0.4): neither has to do with how it goes on.
- what happens in a life: in a year 12 of 100 change or lose their job, move, have a child. Of these 45 in 100 leave the program, 20 end it, 35 go on
  under more load for eight weeks. Six of ten know of it 2 to 8 weeks before, have more load until then; four of ten don't.
- in a year 4 of 100 have a break of 3 to 8 weeks; a quarter of them don't come back from it.

What one feels about going on (`Someone.feels`) is the sum; strain is its opposite, smoothed over three weeks. With strain rises the hazard of deciding to stop.
Who has decided
puts the talk off (14 days on average) and then says so, or, every second one, says nothing and fades: does nothing any more. Whoever has decided, or knows that
they will leave, cares less until then. The two hazards' levels are chosen so
that about 30 % end early, two thirds of them from the mentor's side: in 6,468 matches of youth programs 38 % closed early (Kupersmidt and others 2017,
doi 10.1002/ajcp.12124), in others 30 to 50 % (DeWit and others 2016, doi 10.1002/ajcp.12023), at work less; life, dissatisfaction on either
side, drifting apart and being left are the reasons named (Spencer and others 2014, doi 10.1177/0044118X14535416).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp
from random import Random

YEAR = 365.0
EVENTS_A_YEAR, BREAKS_A_YEAR = 0.12, 0.04
STRAIN_DAYS, PUT_OFF_DAYS = 21, 14
NEVER = 10_000.0


class Cause(StrEnum):
    """Why it ended early."""

    load = "too much other work"
    chemistry = "little chemistry"
    aims = "aims that don’t match"
    motivation = "motivation lost"
    life_told = "a change in life, foreseen"
    life_sudden = "a change in life, sudden"


class Fate(StrEnum):
    """What a change in life leads to."""

    leaves = "leaves"
    ends = "ends"
    stays = "stays"


class Manner(StrEnum):
    """How somebody who has decided to stop does so."""

    says = "says"
    fades = "fades"


@dataclass
class Change:
    """Something that happens in a life."""

    day: float
    fate: Fate
    known_from: float
    """The day from which it throws its shadow; its own day where it is sudden."""

    @property
    def sudden(self) -> bool:
        return self.known_from == self.day

    def load(self, day: float) -> float:
        after = self.fate is Fate.stays and self.day <= day < self.day + 56
        return 1.2 if self.known_from <= day < self.day or after else 0.0


@dataclass
class Someone:
    """One side, as it is inside."""

    mentors: bool
    chance: Random
    quick: float = 0
    mild: float = 0
    usual_load: float = 0
    usual_drive: float = 0
    load: float = 0
    drive: float = 0
    strain: float = -1.0
    changes: list[Change] = field(default_factory=list)
    breaks: list[tuple[float, float, bool]] = field(default_factory=list)
    """(from, to, whether they come back)"""
    decided: float = NEVER
    acts: float = NEVER
    manner: Manner = Manner.says
    cause: Cause | None = None

    @classmethod
    def drawn(cls, chance: Random, *, mentors: bool) -> "Someone":
        one = cls(mentors, chance, chance.gauss(0, 1), chance.gauss(0, 0.4), chance.gauss(0, 0.6), chance.gauss(0, 0.6))
        one.load, one.drive = one.usual_load + chance.gauss(0, 1), one.usual_drive + chance.gauss(0, 1)
        day = chance.expovariate(EVENTS_A_YEAR / YEAR)
        while day < 2 * YEAR:
            fate = chance.choices(list(Fate), (45, 20, 35))[0]
            known = day - chance.uniform(14, 56) if chance.random() < 0.6 else day
            one.changes.append(Change(day, fate, known))
            day += chance.expovariate(EVENTS_A_YEAR / YEAR)
        start = chance.expovariate(BREAKS_A_YEAR / YEAR)
        one.breaks.append((start, start + chance.uniform(21, 56), chance.random() < 0.75))
        return one

    def week(self) -> None:
        """Load and motivation move on."""
        self.load = _moved(self.load, self.usual_load, 0.85, self.chance)
        self.drive = _moved(self.drive, self.usual_drive, 0.92, self.chance)

    def loaded(self, day: float) -> float:
        """With other work, and what happens in their life."""
        return self.load + sum(change.load(day) for change in self.changes)

    def parts(self, between: "Between", day: float, held: int) -> dict[Cause, float]:
        """What adds to feeling well about it, and what takes from it."""
        felt = min(1.0, 0.4 + 0.2 * held)
        load = self.loaded(day)
        return {
            Cause.load: -(0.8 if self.mentors else 0.35) * load,
            Cause.chemistry: 0.55 * between.chemistry * felt,
            Cause.aims: -0.66 * between.apart * felt,
            Cause.motivation: (0.35 if self.mentors else 0.7) * self.drive,
        }

    def feels(self, between: "Between", day: float, held: int) -> float:
        if self.faded(day):
            return -6.0
        leaves = self.decided <= day or any(c.known_from <= day and c.fate is not Fate.stays for c in self.changes)
        return 1.0 + sum(self.parts(between, day, held).values()) - (1.0 if leaves else 0.0)

    def judges(self, between: "Between", day: float, held: int) -> float:
        """How much better or worse than usual they would say that they are matched."""
        parts = self.parts(between, day, held)
        match = parts[Cause.chemistry] + parts[Cause.aims]
        return 0.9 * match + 0.3 * (parts[Cause.load] + parts[Cause.motivation]) + self.mild

    def faded(self, day: float) -> bool:
        return self.manner is Manner.fades and self.acts <= day

    def lives(self, between: "Between", day: float, held: int) -> None:
        """A day: strain builds up or passes, and perhaps they decide to stop."""
        self.strain += (-self.feels(between, day, held) - self.strain) / STRAIN_DAYS
        if self.decided < NEVER:
            return
        if self.chance.random() < exp((-6.65 if self.mentors else -8.15) + 1.7 * min(self.strain, 2.0)):
            self.decided = day
            self.manner = self.chance.choice(list(Manner))
            self.acts = day + self.chance.expovariate(1 / PUT_OFF_DAYS)
            self.cause = self.why(between, day, held)

    def why(self, between: "Between", day: float, held: int) -> Cause:
        """What weighs most."""
        known = [change for change in self.changes if change.load(day) and change.day > day]
        parts = self.parts(between, day, held)
        cause = min(parts, key=lambda part: parts[part])
        return Cause.life_told if known and cause is Cause.load else cause


@dataclass
class Between:
    """What is between the two."""

    chemistry: float
    apart: bool

    @classmethod
    def drawn(cls, chance: Random) -> "Between":
        return cls(chance.gauss(0, 1), chance.random() < 0.2)


def _moved(value: float, usual: float, keeps: float, chance: Random) -> float:
    return usual + keeps * (value - usual) + chance.gauss(0, (1 - keeps**2) ** 0.5)


def likely(score: float) -> float:
    """A probability from a sum: the logistic function."""
    return 1 / (1 + exp(-score))


def most_strained(people: Iterable[Someone]) -> Someone:
    return max(people, key=lambda one: one.strain)
