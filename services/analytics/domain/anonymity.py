"""What may be told of few people: the rules of every count that an organization is shown.

What people *answer* (check-ins, skills, feedback, concerns, outcomes) is nobody's to read, so that it is counted **in fives**: of each
cell the first five who said so, the first ten, …, never one more. For an organization that isn't the owner its own people's fives are made
apart from the others', and the program's count is both. So all such counts are multiples of five, and no subtraction of any two (a total
and its cells, a program and one organization's people, today and yesterday) leaves fewer than five. There is no total besides the sum of
its cells, from which a hidden one could be reckoned.

What *happened* (goals, milestones, ends) the owner reads one by one in the stream of events. Its totals are exact; cells of fewer than five
people are merged (complementary suppression), and so is the next larger one where the merged would still be too small. People may stand in
several cells, so that their numbers don't add up; of how many the merged one is at least, `merged` says. For an organization beside whose own
people the whole is told, which could subtract what it knows, a total is told where five others are behind it, in fives.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.analytics.domain.counts import LEAST_GROUP, withheld

MERGED = "other"


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and of how many people; both withheld where those are too few."""

    people: int | None = None
    mean: float | None = None
    withheld: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """One sort of something: how many, and of them done; by so many people."""

    what: str
    count: int
    done: int
    people: int
    """Different ones; of the merged cell at least so many."""


@dataclass(frozen=True, slots=True)
class Kind:
    """All of a kind, by sort: of so many different people in all, and of them others than those of the organization that asks."""

    cells: tuple[Cell, ...] = ()
    people: int = 0
    others: int = 0
    others_done: int = 0
    """Those of the others with whom it came about."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Relationships begun in these months, and the share of them that were still there so many months later."""

    since: date
    until: date
    """The first days of the first and the last month."""
    relationships: int
    after: dict[int, float] = field(default_factory=dict)
    """By months; only where all of them are that old."""


@dataclass(frozen=True, slots=True)
class Month:
    """Relationships begun in a month: by age in months, how many are that old, and how many of those were still there."""

    first: date
    begun: int
    ages: dict[int, tuple[int, int]]


def in_fives(number: int) -> int:
    """The multiple of five that it reaches."""
    return number - number % LEAST_GROUP


def among(number: int, others: int) -> int | None:
    """A whole in fives, for an organization that knows its own people's part, where enough others are behind the rest."""
    return None if withheld(others) else in_fives(number)


def beside(whole: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int | None]:
    """A program's numbers for an organization that knows its own: none from which it could reckon fewer than five of the others."""
    return {name: None if 0 < number - own[name] < LEAST_GROUP else number for name, number in whole.items()}


def mean(people: int, value: float | None) -> Mean:
    """To one decimal."""
    if value is None or withheld(people):
        return Mean()
    return Mean(people, round(value, 1) + 0.0, withheld=False)


def together(means: Iterable[Mean]) -> Mean:
    """One mean of several that are shown: of nothing besides."""
    shown = [(one.people, one.mean) for one in means if one.people and one.mean is not None]
    people = sum(of for of, _ in shown)
    return mean(people, sum(of * value for of, value in shown) / people if people else None)


def merged(kind: Kind) -> list[Cell]:
    """The largest first, the merged one last; none where all of them together are of too few.

    The merged one is of as many people as its largest part, or as all of a kind without those of the cells shown, whichever is more. Neither is
    ever too much, though people stand in several cells, and where none do it is exact; a sum would take three people with two goals each for six.
    """
    shown = sorted(kind.cells, key=lambda one: (one.what != MERGED, one.people, one.what), reverse=True)
    rest: list[Cell] = []
    people = 0
    while shown and (withheld(shown[-1].people) or shown[-1].what == MERGED or (rest and withheld(people))):
        rest.append(shown.pop())
        people = max(kind.people - sum(one.people for one in shown), *(one.people for one in rest))
    if withheld(people):
        return shown
    return [*shown, Cell(MERGED, sum(one.count for one in rest), sum(one.done for one in rest), people)]


def cohorts(months: Sequence[Month], today: date) -> list[Cohort]:
    """Months that are over, each with those before it that were too few alone. What is left over waits for the months to come: a cohort once
    told of doesn't change.
    """
    found: list[Cohort] = []
    held: list[Month] = []
    for month in sorted(months, key=lambda one: one.first):
        if (month.first.year, month.first.month) >= (today.year, today.month):
            break
        held.append(month)
        begun = sum(one.begun for one in held)
        if not withheld(begun):
            found.append(Cohort(held[0].first, month.first, begun, _kept(held, begun)))
            held = []
    return found


def _kept(months: Sequence[Month], begun: int) -> dict[int, float]:
    shares = {}
    for age in months[0].ages:
        old, kept = (sum(one.ages[age][n] for one in months) for n in (0, 1))
        if old == begun:
            shares[age] = round(kept / begun, 3)
    return shares
