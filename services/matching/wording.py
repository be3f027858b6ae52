"""What the pages say in words: what is known of someone, why two people fit, and where a request stands. Matching knows no names."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.matching.domain.model import Person, Program
from services.matching.domain.requests import Request, RequestStatus
from shared.events import DeclineReason, Reason, ReasonCode, Role
from shared.languages import tongue

STANDS = {
    RequestStatus.queued: "comes next, if needed",
    RequestStatus.asked: "is asked",
    RequestStatus.questioned: "would like to know more",
    RequestStatus.accepted: "said yes",
    RequestStatus.declined: "can’t take this on just now",
    RequestStatus.expired: "didn’t get to answer in time",
    RequestStatus.withdrawn: "isn’t asked any more",
}
DECLINES = {
    DeclineReason.no_time: "I don’t have the time just now",
    DeclineReason.not_my_field: "It isn’t my field",
    DeclineReason.someone_closer: "Someone else would be closer to what they want",
    DeclineReason.other: "Another reason",
}
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def ordinal(n: int) -> str:
    return ORDINALS[n - 1] if n <= len(ORDINALS) else f"{n}th"


def plain(slug: str) -> str:
    """A tag in words: `role:data-scientist` is `data scientist`."""
    return slug.rpartition(":")[2].replace("-", " ").replace("_", " ")


def upper(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]


def listed(slugs: tuple[str, ...]) -> str:
    """`a`, `a and b`, `a, b and c`"""
    words = [plain(slug) for slug in slugs]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def day(at: datetime, time_zone: str) -> str:
    """`Tuesday 1 December` on the reader's own wall."""
    try:
        wall = at.astimezone(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError):
        wall = at
    return f"{wall:%A} {wall.day} {wall:%B}"


_NAMED = {
    ReasonCode.skills: "Skills asked for and offered",
    ReasonCode.has_made_the_move: "A move already made",
    ReasonCode.goals: "Goals in common",
    ReasonCode.values: "Values you share",
    ReasonCode.interests: "Interests you share",
    ReasonCode.language: "A language in common",
    ReasonCode.industry: "The same industry",
    ReasonCode.function: "The same kind of work",
    ReasonCode.location: "The same place",
}


def reason(told: Reason) -> str:
    """Empty for one that this version can't put into words."""
    if told.code in _NAMED:
        named = listed(tuple(map(tongue, told.items)) if told.code is ReasonCode.language else told.items)
        return f"{_NAMED[told.code]}{': ' if named else ''}{named}"
    if told.code is ReasonCode.overlap_hours:
        return f"{told.number:.3g} hour{'' if told.number == 1 else 's'} a week when you are both free"
    if told.code is ReasonCode.experience:
        return f"{round(told.number)} more years of experience on the mentor’s side"
    return "Another perspective, on purpose" if told.code is ReasonCode.other_perspective else ""


@dataclass(frozen=True, slots=True)
class Described:
    """Someone in words: a heading, facts as (what, value), and why the two fit."""

    heading: str
    facts: list[tuple[str, str]]
    reasons: list[str]


def described(person: Person | None, role: Role, reasons: tuple[Reason, ...]) -> Described:
    """A mentor or mentee as the other may see them: what they do, want and offer; never a name."""
    profile = person.profile if person else None
    words = [text for text in map(reason, reasons) if text][:5]
    if person is None or profile is None:
        return Described("Someone who has left", [], words)
    heading = profile.title or (plain(profile.seniority).capitalize() + " " if profile.seniority else "") + role.value
    facts = [
        ("From", ", ".join(filter(None, (person.organization.capitalize(), plain(profile.location or "").title())))),
        ("Work", ", ".join(plain(tag) for tag in (profile.function, profile.industry) if tag)),
        ("Experience", f"{profile.years_experience:.3g} years" if profile.years_experience is not None else ""),
        ("Languages", listed(tuple(map(tongue, profile.languages)))),
    ]
    if role is Role.mentor:
        facts.append(("Offers", listed(profile.skills_offered[:8])))
    else:
        facts += [("Wants to learn", listed(profile.skills_wanted[:8])), ("Goals", listed(profile.goals[:5]))]
    return Described(upper(heading), [(what, upper(value)) for what, value in facts if value], words)


def program_name(program: Program) -> str:
    """Of `northwind.first-steps`: matching doesn't keep the name that was given."""
    return plain(program.id.partition(".")[2]).capitalize()


def stands(request: Request, time_zone: str) -> str:
    """Where a request stands, for its mentee."""
    text = STANDS.get(request.status, "")
    if request.status is RequestStatus.asked and request.closes_at:
        return f"{text}, and has until {day(request.closes_at, time_zone)} to answer"
    if request.status is RequestStatus.withdrawn and request.asked_at is None:
        return "wasn’t asked"
    return text
