"""What the page of a program's worth says in words and draws."""

from dataclasses import dataclass
from datetime import date

from services.analytics.domain.anonymity import MERGED, Cell, Cohort, Mean
from services.analytics.domain.worth import STAGES, Days, Sorts, Worth
from shared.words import plain, plural, upper

FIT = {"good": "A good fit", "unsure": "Not sure yet", "not_a_fit": "Not a fit"}
OUTCOMES = {
    "promotion": "Promoted",
    "new_role": "A new role",
    "education": "Went on to learn",
    "move": "Moved within the organization",
    "retained_6_months": "Still there after 6 months",
    "retained_12_months": "Still there after 12 months",
    "retained_24_months": "Still there after 24 months",
}
APART = {
    "scores": "How well it goes",
    "first_goals": "What they want first",
    "skill_levels": "The level of a skill",
    "said_so": "Someone said so",
}
MILESTONES = {
    "first_meeting": "First meeting",
    "goals_set": "Goals set",
    "first_step_done": "First step done",
    "fifth_meeting": "Fifth meeting",
    "half_time": "Half of the time",
    "first_goal_attained": "First goal reached",
    "completed": "Completed",
}
ENDS = {
    "not_a_fit": "Not a fit",
    "no_time": "No time",
    "silent": "Nobody was heard of",
    "never_signed": "Never signed",
    "moved_on": "Moved on",
    "released": "Ended by a coordinator",
    "person_withdrawn": "Somebody left the program",
    "person_erased": "Somebody was erased",
    "platform": "The platform, after long silence",
    "both": "Both",
    "mentor": "The mentor",
    "mentee": "The mentee",
    "coordinator": "A coordinator",
}
SCALES = {
    "confidence": "Mentees’ confidence",
    "belonging": "Mentees’ sense of belonging",
    "skills_by_mentees": "Mentees’ skills, as they see them",
    "skills_by_mentors": "Mentees’ skills, as their mentors see them",
}
AT = dict(zip(STAGES, ("At the start", "Half-way", "At the end", ""), strict=True))
MOST = 5
"""The highest of a scale, whose lowest is 1."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A line with a bar: what, the value in words, its share of the whole bar (0 to 100), and of how many."""

    what: str
    value: str
    share: float
    of: str


@dataclass(frozen=True, slots=True)
class Big:
    """A large number, what it is, and of how many."""

    number: str
    what: str
    of: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A cohort: its months, how many, the share after each age in words, and the line through them in a box of 100 by 30."""

    months: str
    relationships: int
    after: dict[int, str]
    line: str


def people(number: int) -> str:
    return f"{number:,} people"


def of_mean(what: str, one: Mean) -> Bar | None:
    if one.mean is None or one.people is None:
        return None
    return Bar(what, f"{one.mean:.1f}", (one.mean - 1) / (MOST - 1) * 100, people(one.people))


def scale(stages: dict[str, Mean]) -> list[Bar]:
    """From start to end; the change is said beside."""
    return [bar for stage, what in AT.items() if what and (bar := of_mean(what, stages[stage]))]


def change(one: Mean) -> str:
    if one.mean is None:
        return "Too few answered both at the start and at the end."
    if one.mean == 0:
        return f"No change among the {one.people:,} who answered both at the start and at the end."
    more = "Up" if one.mean > 0 else "Down"
    return f"{more} by {abs(one.mean):.1f} among the {one.people:,} who answered both at the start and at the end."


def over_time(means: list[Mean]) -> list[Bar]:
    """The first answer in a relationship comes after a month, each next one two months later."""
    return [bar for n, one in enumerate(means) if (bar := of_mean(f"After {plural(1 + 2 * n, 'month')}", one))]


def shares(cells: dict[str, int], names: dict[str, str], unit: str = "people") -> list[Bar]:
    """Each cell of all that are shown."""
    whole = sum(cells.values())
    ordered = sorted(cells.items(), key=lambda one: (list(names).index(one[0]) if one[0] in names else len(names), one[0]))
    return [Bar(names.get(what, named(what)), f"{number:,} {unit}", number / whole * 100, "") for what, number in ordered]


def sorts(cells: list[Cell], names: dict[str, str], done: str = "") -> list[Bar]:
    """Beside the most frequent; `done` says what came about of some. Nothing where all kinds are merged into one."""
    if [one.what for one in cells] == [MERGED]:
        return []
    whole = max((one.count for one in cells), default=0)
    return [
        Bar(
            names.get(one.what, named(one.what)),
            f"{one.count:,}",
            one.count / whole * 100,
            f"{one.done:,} {done}" if done and one.done else "",
        )
        for one in cells
    ]


def big(worth: Worth) -> list[Big]:
    """What a sponsor asks first; nothing that is withheld."""
    found = []
    for side, one in worth.quality.items():
        if one.mean is not None and one.people is not None:
            found.append(Big(f"{one.mean:.1f}", f"of 5: how well it goes, say {side}", f"{one.people:,} answers"))
    grown = worth.scales["confidence"]["change"]
    if grown.mean is not None and grown.people is not None:
        found.append(Big(f"{grown.mean:+.1f}", "mentees’ confidence, from start to end", people(grown.people)))
    found += _happened("goal reached", "goals reached", worth.goals, "of {:,} set")
    if worth.minutes:
        found.append(Big(f"{round(worth.minutes / 60):,}", "hours mentored", "of meetings held"))
    found += _happened("opportunity taken up", "opportunities taken up", worth.opportunities, "of {:,} passed on")
    return found


def _happened(one: str, many: str, sorts: Sorts, of: str) -> list[Big]:
    if not sorts.done:
        return []
    return [Big(f"{sorts.done:,}", one if sorts.done == 1 else many, of.format(sorts.count))]


def facts(worth: Worth) -> list[tuple[str, str]]:
    """What happened, in numbers; nothing of what is withheld."""
    said = [
        ("Check-ins answered", worth.answered and f"about {worth.answered:,} of {worth.asked:,}"),
        ("Steps done", worth.steps.done),
        ("Goals given up", worth.goals_dropped),
        ("People who asked for feedback", worth.feedback.get("asked")),
        ("People who gave feedback", worth.feedback.get("given")),
        ("Introductions", _of(worth.introductions, "{:,} accepted of {:,}")),
        ("Circles that formed", worth.circles),
        ("Recognitions of mentors", worth.recognised),
        ("Renewed for as long again", worth.renewals),
        ("In groups, came to meetings", worth.attendance and f"{worth.attendance:.0%}"),
        ("Concerns", worth.concerns and f"of about {worth.concerns:,} relationships"),
        ("At risk now", worth.at_risk),
        ("Ended early", worth.ended_early),
        ("From enrolment to a match", _days(worth.days_to_match)),
        ("From enrolment to the first meeting", _days(worth.days_to_meeting)),
    ]
    return [(what, f"{value:,}" if isinstance(value, int) else str(value)) for what, value in said if value]


def _of(one: Sorts, words: str) -> str:
    return words.format(one.done, one.count) if one.count else ""


def _days(one: Days) -> str:
    if one.median is None or not one.people:
        return ""
    return f"{f'{one.median:g} days' if one.median >= 1 else 'within a day'}, for half of {people(one.people)}"


def curve(cohort: Cohort) -> Curve:
    ages = {0: 1.0, **cohort.after}  # all begin whole
    oldest = max(*ages, 1)
    line = " ".join(f"{age / oldest * 100:.0f},{30 - share * 30:.1f}" for age, share in ages.items())
    return Curve(
        months(cohort.since, cohort.until),
        cohort.relationships,
        {age: f"{share:.0%}" for age, share in cohort.after.items()},
        line,
    )


def months(since: date, until: date) -> str:
    """`March 2026`, `March to May 2026`"""
    if since == until:
        return f"{since:%B %Y}"
    return f"{since:%B} to {until:%B %Y}" if since.year == until.year else f"{since:%B %Y} to {until:%B %Y}"


def named(code: str) -> str:
    """`of_the_program:exhibition` is `Exhibition`."""
    words = plain(code)
    return "Other" if words in ("", "other") else upper(words)
