"""What the pages say in words: what is known of someone, why two people fit, and where a request stands. Matching knows no names."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.matching.domain.model import Helping, Person, Program, Relationship, RelationshipStatus, Run, RunStatus
from services.matching.domain.proposals import no_longer
from services.matching.domain.requests import Request, RequestStatus
from shared.events import Audited, DeclineReason, Format, Reason, RejectionReason, Role, WaitlistReason
from shared.languages import tongue
from shared.places import day
from shared.reasons import listed, reason
from shared.words import plain, upper

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
    if role in (Role.mentor, Role.peer):
        facts.append(("Offers", listed(profile.skills_offered[:8])))
    if role is not Role.mentor:
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


# ---- for coordinators --------------------------------------------------------------------------------------------------

UNIT = 1_000_000
"""Points of a score of 1."""
RUNS = {
    RunStatus.waiting_for_roster: "Waits until everyone it was asked for has arrived",
    RunStatus.solving: "Finds the best pairs",
    RunStatus.applying: "Puts its pairs into effect",
    RunStatus.finished: "Finished",
    RunStatus.failed: "Failed",
}
PROBLEMS = {
    "too_many_people": "there are more people than this aim can take",
    "job_failed": "it ended without a result, again and again",
}
PAIRS = {
    RelationshipStatus.proposed: "Proposed",
    RelationshipStatus.active: "Begun",
    RelationshipStatus.ended: "Over",
    RelationshipStatus.rejected: "Rejected",
}
REJECTIONS = {
    RejectionReason.not_suitable: "They don’t suit each other",
    RejectionReason.known_conflict: "There is a conflict that we know of",
    RejectionReason.declined_by_member: "One of them doesn’t want it",
}
"""Those that a person gives."""


def moment(at: datetime) -> str:
    """`Tuesday 1 December, 14:05 UTC`"""
    return f"{day(at, 'UTC')}, {at:%H:%M} UTC"


def many(count: int, one: str, more: str = "") -> str:
    """`1 pair`, `2,000 pairs`"""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def score(points: int, *, peers: bool = False) -> str:
    """In the program's own units, where 1 is the best there can be: two peers' is the sum of both directions."""
    return f"{points / (2 * UNIT if peers else UNIT):,.2f}"


def run_stands(run: Run) -> str:
    text = RUNS.get(run.status, "Under way")
    return f"{text}: {PROBLEMS[run.problem]}" if run.problem in PROBLEMS else text


def certainty(run: Run) -> str:
    """How much better a plan could have been; empty while there is none."""
    if run.status is not RunStatus.finished:
        return ""
    return "No better plan exists" if run.gap == 0 else f"No plan could score more than {run.gap / UNIT:,.2g} above this one"


def pair_stands(pair: Relationship) -> str:
    if pair.against is not None:
        return f"{no_longer(pair.against)} It was withdrawn, and its people are free for others."
    return PAIRS.get(pair.status, "")


def scored_anew(pair: Relationship) -> str:
    """How the score of a proposal has changed since it was proposed; empty where it hasn't been scored anew."""
    if pair.rescored_at is None or pair.proposed_score is None or pair.status is not RelationshipStatus.proposed:
        return ""
    before, now = (score(points, peers=are_peers(pair)) for points in (pair.proposed_score, pair.score))
    told = f"{before} → {now}" if before != now else f"Still {now}"
    return f"{told}: scored anew on {moment(pair.rescored_at)}, since someone in it or the program’s policy has changed"


def gain(help_: Helping) -> str:
    """What one place more of this mentor would have brought."""
    if help_.people:
        return f"{many(help_.people, 'person', 'people')} more with a partner"
    return f"{many(help_.pairs, 'pair')} more" if help_.pairs else f"a score higher by {score(help_.score)}"


def waits(role: Role, why: WaitlistReason, missing: tuple[str, ...] = ()) -> str:
    """What keeps someone from a partner."""
    match why:
        case WaitlistReason.nobody_offers:
            return f"Nobody offers {listed(missing) if missing else 'what they want to learn'}"
        case WaitlistReason.no_capacity if role is Role.mentor:
            return "Every mentee who fits has a mentor"
        case WaitlistReason.no_capacity:
            return "Every mentor who fits has as many mentees as they can take"
        case WaitlistReason.no_overlap:
            return "Nobody who fits is free when they are"
        case WaitlistReason.no_common_language:
            return f"Nobody who fits speaks {listed(tuple(map(tongue, missing))) if missing else 'a language of theirs'}"
        case WaitlistReason.below_least_score:
            return "Nobody fits as well as the program asks"
        case WaitlistReason.nobody_to_meet:
            return "There is nobody whom they may meet and haven’t met"
    return "Nobody fits"


def remedy(role: Role, why: WaitlistReason, mentors: int | None) -> str:
    """What would change it; empty where that hangs on too much."""
    match why:
        case WaitlistReason.nobody_offers if mentors:
            return f"{many(mentors, 'mentor')} more who {'offers' if mentors == 1 else 'offer'} it would be enough for all who want just that"
        case WaitlistReason.no_capacity:
            return "One mentee more" if role is Role.mentor else "One mentor more, or one place more of a mentor"
        case WaitlistReason.no_overlap:
            return "Other hours"
    return ""


@dataclass(frozen=True, slots=True)
class Shown:
    """Someone as the program's owner sees them: by the id that their organization gave, and never by name."""

    name: str
    organization: str
    title: str
    lines: list[str]
    """What they do; what they offer or want."""


def audited(attribute: Audited, value: str) -> str:
    """A group of the fairness report."""
    if not value:
        return "Not said"
    if attribute is Audited.country:
        return value
    return tongue(value) if attribute is Audited.first_language else upper(plain(value))


_DOES = {"Work", "Experience", "Languages"}


def shown(person: Person | None, role: Role) -> Shown:
    if person is None or person.erased:
        return Shown("someone who was erased", "", "", [])
    known = described(person, role, ())
    does = [f"{value} of experience" if what == "Experience" else value for what, value in known.facts if what in _DOES]
    wants = [f"{what}: {value}" for what, value in known.facts if what not in {"From", *_DOES}]
    lines = [line for line in (" · ".join(does), *wants) if line]
    return Shown(person.own_id, person.organization.capitalize(), known.heading, lines)


def are_peers(relationship: Relationship) -> bool:
    return all(member.role is Role.peer for member in relationship.members)


def why_together(relationship: Relationship) -> list[str]:
    return why(relationship.reasons, peers=are_peers(relationship), once=relationship.format is Format.conversation)


def why(reasons: Iterable[Reason], *, peers: bool, once: bool = False) -> list[str]:
    """What speaks for people, to someone who isn't one of them."""
    return [text for text in (reason(told, of_others=True, peers=peers, once=once) for told in reasons) if text]
