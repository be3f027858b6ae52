"""An agreement in plain words, clause by clause, and what is different between two versions."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduling.domain.model import About, Agreement
from services.scheduling.wording import Words
from shared.events import Role, Terms
from shared.words import plural

CHANNELS = {
    "video": "By video",
    "phone": "By phone",
    "in-person": "In person",
    "mail": "By mail",
    "chat": "By chat",
}
TOPICS = {
    "career": "Where to go from here",
    "skills": "Skills of the work itself",
    "leadership": "Leading others",
    "confidence": "Confidence",
    "networking": "Getting to know people",
    "applying": "Applying and interviews",
    "organization": "How things work here",
    "work-and-life": "Work and the rest of life",
}
"""Offered to everyone, beside what an agreement is about already. Codes: what people say in their own words is no topic."""
WRITTEN = {
    About.purpose: "What for",
    About.outcome: "A good outcome",
    About.boundaries: "Limits",
}

Clause = tuple[str, str]
"""What it is about, and what it says."""


@dataclass(frozen=True, slots=True)
class Change:
    """A clause that is different from the version before."""

    about: str
    was: str
    now: str


def called(code: str, known: dict[str, str]) -> str:
    return known.get(code, code.replace("-", " "))


def clauses(words: Words, terms: Terms, agreement: Agreement | None) -> list[Clause]:
    """All that these terms say, with what was written into that version."""
    often = "every week" if terms.every_weeks == 1 else f"every {terms.every_weeks} weeks"
    meet = f"We meet {often}, for {plural(terms.minutes, 'minute')}."
    told = [(label, agreement.text(about)) for about, label in WRITTEN.items()] if agreement else []
    told += [
        ("How often", f"We write to each other, at least {often}." if words.by_letter else meet),
        ("How long", f"For {plural(terms.months, 'month')}, from the day everyone has signed."),
        ("Addresses", "Once everyone has signed, we have each other’s mail addresses." if words.by_letter else ""),
        *_time(words, terms),
        ("About", ", ".join(called(topic, TOPICS) for topic in terms.topics)),
        ("Where", ", ".join(called(channel, CHANNELS) for channel in terms.channels)),
        ("Confidential", "What we say stays between us." if terms.confidential else ""),
        ("If it doesn’t work", "Each of us may end it at any time, and nobody has to explain."),
    ]
    return [(label, text) for label, text in told if text]


def _time(words: Words, terms: Terms) -> list[Clause]:
    """The hours that each side means to give."""
    sides = (("mentor_hours_per_week", mentors_label(words)), ("hours_per_week", others_label(words)))
    given = ((label, getattr(terms, field)) for field, label in sides if label)
    return [(label, f"About {hours:g} {'hour' if hours == 1 else 'hours'} a week.") for label, hours in given if hours]


def mentors_label(words: Words) -> str:
    """Whose time it is; empty where nobody mentors."""
    return "The mentor’s time" if any(m.role is Role.mentor for m in words.relationship.members) else ""


def others_label(words: Words) -> str:
    return "The mentee’s time" if mentors_label(words) else "Everyone’s time"


def changes(before: Sequence[Clause], after: Sequence[Clause]) -> list[Change]:
    """What the second says otherwise; a clause that is new was nothing before."""
    was, now = dict(before), dict(after)
    return [
        Change(about, was.get(about, ""), now.get(about, ""))
        for about in dict.fromkeys([*now, *was])
        if was.get(about) != now.get(about)
    ]
