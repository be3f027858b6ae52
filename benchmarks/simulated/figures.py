"""What the flags caught of a simulated program: before the end, falsely, of which cause, and at which threshold what else could be had."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.ground import Say
from benchmarks.simulated.latent import Cause
from benchmarks.simulated.play import Story, play
from services.scheduling.domain.risk import FLAGGED_FROM, POINTS, WELL_UP_TO

BEFORE = 7
"""Days before the end on which the flag has to stand."""
TRAINING, HELD_OUT = 1, 101
"""The seed on which the points were chosen, and the one on which they are measured."""
SHOWS = (0.5, 1.0, 2.0)
"""How much of what people feel shows in what they do."""
SIZE, QUICK = 5_000, 150


@dataclass(frozen=True, slots=True)
class Caught:
    """What flags from so many points on come to."""

    points: int
    early: float
    """The share of early endings before which, seven days, the flag stood."""
    false: float
    """The share of those that didn't end early which were flagged at any time."""
    wrong: float
    """The share of those flagged at any time that didn't end early."""
    days: float
    """The share of all days of those that didn't end early on which the flag stood."""
    lead: float
    """Days from the flag to the end, the median of those caught."""


def program(seed: int, size: int = SIZE, *, shows: float = 1.0, processes: int = 1) -> list[Story]:
    """All relationships of the program that this seed draws, in order."""
    tell = partial(play, seed, shows)
    if processes == 1:
        return [tell(number) for number in range(size)]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(tell, range(size), chunksize=50))


Weighed = Sequence[tuple[float, int | None]]


def weighed(story: Story) -> Weighed:
    """(day, points) of each look; None in a break."""
    points = {(sign.value, level): weight for (sign, level), weight in POINTS.items()}
    return [(look.day, None if look.paused else sum(points[at] for at in look.levels)) for look in story.looks]


def flags(looks: Weighed, flagged_from: int, well_up_to: int) -> list[tuple[float, bool]]:
    """When it would be flagged, and when not any more, with these bounds."""
    found, stands = [], False
    for day, points in looks:
        if points is not None and stands != (points > well_up_to if stands else points >= flagged_from):
            stands = not stands
            found.append((day, stands))
    return found


def stood(flags: Sequence[tuple[float, bool]], day: float) -> float | None:
    """Since when the flag stood on a day; None where it didn't."""
    last = next(((at, on) for at, on in reversed(flags) if at <= day), None)
    return last[0] if last and last[1] else None


def days_of(flags: Sequence[tuple[float, bool]], end: float) -> float:
    """On how many days the flag stood."""
    ends = [at for at, _ in flags[1:]] + [end]
    return sum(after - at for (at, on), after in zip(flags, ends, strict=True) if on) if flags else 0.0


def caught(stories: Sequence[Story], flagged_from: int = FLAGGED_FROM, looks: Sequence[Weighed] = ()) -> Caught:
    """The flags are worked out from what each look saw, as `risk.look` does: so for other bounds too than those that hold."""
    low = min(WELL_UP_TO, flagged_from - 1)
    seen = looks or [weighed(story) for story in stories]
    told = [(story, flags(each, flagged_from, low)) for story, each in zip(stories, seen, strict=True)]
    early = [(story, marks) for story, marks in told if story.early]
    since = [story.days - at for story, marks in early if (at := stood(marks, story.days - BEFORE)) is not None]
    others = [bool(marks) for story, marks in told if not story.early]
    stood_for = sum(days_of(marks, story.days) for story, marks in told if not story.early)
    ever = sum(bool(marks) for _, marks in early) + sum(others)
    return Caught(
        flagged_from,
        len(since) / max(1, len(early)),
        sum(others) / max(1, len(others)),
        sum(others) / max(1, ever),
        stood_for / max(1.0, sum(story.days for story, _ in told if not story.early)),
        median(since) if since else 0.0,
    )


def curve(stories: Sequence[Story]) -> list[Caught]:
    """From the fewest points that flag to those that hardly any relationship has."""
    looks = [weighed(story) for story in stories]
    return [caught(stories, points, looks) for points in range(1, 19)]


@dataclass(frozen=True, slots=True)
class Measured:
    """One simulated program, and what the flags came to in it."""

    seed: int
    shows: float
    stories: Sequence[Story]
    now: Caught
    curve: Sequence[Caught]

    @property
    def training(self) -> bool:
        return self.seed == TRAINING


def measured(seed: int, shows: float, size: int, processes: int) -> Measured:
    stories = program(seed, size, shows=shows, processes=processes)
    return Measured(seed, shows, stories, caught(stories), curve(stories))


def all_of(say: Say, *, size: int = SIZE, processes: int = 1) -> list[Measured]:
    """The programs of the report: held out, training, and, smaller, held out where less or more shows."""
    small = size // 5
    wanted = [(HELD_OUT, 1.0, size), (TRAINING, 1.0, size), *((HELD_OUT, shows, small) for shows in SHOWS if shows != 1)]
    found = []
    for seed, shows, many in wanted:
        found.append(measured(seed, shows, many, processes))
        now = found[-1].now
        say(f"seed {seed}, shows {shows:g}: caught {now.early:.1%}, false alarms {now.false:.1%}, wrong {now.wrong:.1%}")
    return found


def by_cause(stories: Iterable[Story]) -> Mapping[Cause, tuple[int, int]]:
    """(how many ended early of it, of how many of them the flag stood seven days before)"""
    found = dict.fromkeys(Cause, (0, 0))
    for story in stories:
        if story.early and story.cause is not None:
            there = stood(story.flags, story.days - BEFORE) is not None
            ended, seen = found[story.cause]
            found[story.cause] = ended + 1, seen + there
    return found
