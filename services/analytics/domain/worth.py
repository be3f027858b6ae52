"""What a program is worth, as it is shown: every number that may be told, and none that may not."""

from dataclasses import dataclass
from datetime import date

from services.analytics.domain import anonymity
from services.analytics.domain.anonymity import Cell, Cohort, Kind, Mean, Month, in_fives
from services.analytics.domain.counts import withheld

SCALES = {
    "confidence": "confidence_mentees",
    "belonging": "belonging_mentees",
    "skills_by_mentees": "skill_mentees",
    "skills_by_mentors": "skill_mentors",
}
KINDS = (
    "goal", "dropped", "step", "milestone", "introduction", "opportunity", "circle", "recognition", "renewed", "flag", "reason", "side",
)  # fmt: skip
STAGES = ("start", "middle", "end", "change")
ROUNDS = 12
"""Answers about match quality that are told apart: the last of them is two years after the first."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the database counted. Of what people said (`said`: (figure, cell) → people, mean) it told fives only."""

    said: dict[tuple[str, str], tuple[int, float | None]]
    asked: int
    answered: int
    answering: int
    """People who answered a check-in."""
    told: dict[str, Kind]
    minutes: int
    attended: int
    expected: int
    months: list[Month]
    waits: dict[str, tuple[int, float]]
    """Median days from enrolment: to the first `match`, to the first `meeting`; of how many people."""


@dataclass(frozen=True, slots=True)
class Sorts:
    """A total, of which so many came about, and by sort where enough people are behind each."""

    count: int | None
    done: int | None
    by: list[Cell]


@dataclass(frozen=True, slots=True)
class Days:
    """A median in days, and of how many people."""

    people: int | None
    median: float | None
    withheld: bool


@dataclass(frozen=True, slots=True)
class Worth:
    """In the order in which it is read. None is withheld: too few people, or not for whoever asks.

    Counted in fives are the fields up to `outcomes`; by people, but misalignments and concerns by relationships.
    """

    asked: int | None
    answered: int | None
    """Check-ins."""
    fit: dict[str, int]
    quality: dict[str, Mean]
    """Of `mentees` and `mentors`: the mean of all answers below, and of how many answers."""
    quality_over_time: dict[str, list[Mean]]
    scales: dict[str, dict[str, Mean]]
    """By scale, at the start, in the middle, at the end; and the change of those who answered first and last."""
    feedback: dict[str, int]
    """People who `asked` and who gave (`given`)."""
    misalignments: dict[str, int]
    concerns: int | None
    outcomes: dict[str, int]
    goals: Sorts
    goals_dropped: int | None
    steps: Sorts
    milestones: Sorts
    introductions: Sorts
    opportunities: Sorts
    circles: int | None
    recognised: int | None
    renewals: int | None
    at_risk: int | None
    ended_early: int | None
    ended_by_reason: list[Cell]
    ended_by_side: list[Cell]
    minutes: int | None
    """Of meetings held."""
    attendance: float | None
    """In groups: of those who could have come to a meeting, the share who did."""
    retention: list[Cohort]
    days_to_match: Days
    days_to_meeting: Days


def shown(found: Counted, today: date, *, owner: bool = True, whole: bool = True) -> Worth:
    """`owner`: for whom each fact of the program is meant anyway. A `whole` program that is shown to another organization beside its own
    people's numbers is told in fives throughout, of what five others did, and its relationships not at all.
    """
    coarse = whole and not owner
    told = {name: total(found.told.get(name, Kind()), coarse=coarse) for name in KINDS}
    rounds = {side: _rounds(found, side) for side in ("mentees", "mentors")}
    few = coarse or not in_fives(found.answering)  # beside their own people's a whole would tell of few others
    reasons = told["reason"]
    return Worth(
        asked=None if few else in_fives(found.asked),
        answered=None if few else in_fives(found.answered),
        fit=_people(found, "fit"),
        quality={side: anonymity.together(means) for side, means in rounds.items()},
        quality_over_time=rounds,
        scales={name: {stage: _mean(found, figure, stage) for stage in STAGES} for name, figure in SCALES.items()},
        feedback={name.removeprefix("feedback_"): people for name, people in _people(found, "feedback").items()},
        misalignments=_people(found, "misalignments"),
        concerns=_people(found, "concerns").get("raised"),
        outcomes=_people(found, "outcomes"),
        goals=told["goal"],
        goals_dropped=told["dropped"].count,
        steps=told["step"],
        milestones=told["milestone"],
        introductions=told["introduction"],
        opportunities=told["opportunity"],
        circles=told["circle"].count,
        recognised=told["recognition"].count,
        renewals=told["renewed"].count,
        at_risk=told["flag"].done if owner else None,
        ended_early=reasons.count,
        ended_by_reason=reasons.by,
        ended_by_side=told["side"].by,
        minutes=None if coarse else found.minutes,
        attendance=round(found.attended / found.expected, 2) if found.expected and not coarse else None,
        retention=[] if coarse else anonymity.cohorts(found.months, today),
        days_to_match=_days(found, "match", hidden=coarse),
        days_to_meeting=_days(found, "meeting", hidden=coarse),
    )


def total(kind: Kind, *, coarse: bool = False) -> Sorts:
    count, done = sum(one.count for one in kind.cells), sum(one.done for one in kind.cells)
    if coarse:
        return Sorts(anonymity.among(count, kind.others), anonymity.among(done, kind.others_done), [])
    return Sorts(count, done, anonymity.merged(kind))


def _people(found: Counted, figure: str) -> dict[str, int]:
    """By cell; a cell that isn't there may be of nobody or of four."""
    return {cell: people for (name, cell), (people, _) in sorted(found.said.items()) if name == figure and people}


def _mean(found: Counted, figure: str, cell: str) -> Mean:
    return anonymity.mean(*found.said.get((figure, cell), (0, None)))


def _rounds(found: Counted, side: str) -> list[Mean]:
    """Up to the last that is shown."""
    means = [_mean(found, f"quality_{side}", str(n)) for n in range(1, ROUNDS + 1)]
    while means and means[-1].withheld:
        means.pop()
    return means


def _days(found: Counted, what: str, *, hidden: bool) -> Days:
    people, days = found.waits.get(what, (0, 0.0))
    if hidden or withheld(people):
        return Days(None, None, withheld=True)
    return Days(people, round(days, 1), withheld=False)
