"""What mentors are recognised for: each year of a program in which they met someone, each way gone to its end, and round numbers of people.

Timers look at it, one row of a person at a time, and count what was held then. A mentor may make a certificate of it that anyone can check.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from services.scheduling.domain.model import AS_PLANNED, Meeting, Member, Moment, Person, Relationship
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected
from shared.events import MentorRecognised, Recognition, Role

TIMER = "recognise"
ROUND = (5, 10, 25, 50, 100)
"""So many people with whom a mentor has met in a program are celebrated."""
SETTLED = timedelta(days=7, hours=9)
"""After the turn of the year a late report may still come; then it is nine in the morning on the mentor's own wall."""
WITHIN = 4 * 60
"""Minutes over which the records of a year are spread, so that they don't come at one moment."""
LONGEST_TEXT = 2000
NAMESPACE = UUID("0d6cfb1e-6f0c-5d0a-9a44-1f2f8a3c7e10")


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a mentor has done, as it was when the record was made. Its words leave this service in no event."""

    id: UUID
    person_id: UUID
    organization: str
    """The program's owner."""
    program: str
    kind: Recognition
    year: int
    made_at: datetime
    meetings: int = 0
    minutes: int = 0
    people: int = 0
    """Whom they met, other mentors left out."""
    milestones: int = 0
    """That these reached; of a year, since the record before."""
    learned: str = ""
    """In the mentor's own words: for them alone, unless they put it on the certificate."""
    shows_learned: bool = False
    code: str | None = None
    """Of the certificate's address, while anyone may see it."""
    shown_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Mentored:
    """What is counted when a timer is due, by its key: what was held of a year, of one relationship, or of all."""

    id: str
    organization: str
    wanted: bool
    """Whether the program has records."""
    meetings: int = 0
    minutes: int = 0
    people: int = 0
    milestones: int = 0


# ---- when it is looked at ------------------------------------------------------------------------------------------------


def key(person_id: UUID, program: str, what: object) -> str:
    """`PERSON PROGRAM 2026`, `PERSON PROGRAM people` or `PERSON PROGRAM RELATIONSHIP`"""
    return f"{person_id} {program} {what}"


def looked_at(relationship: Relationship, meeting: Meeting, moment: Moment) -> Outcome:
    """A meeting was held: the year of each mentor who was there is looked at when it is over; and how many they have met, of a pair with the
    first, of a group with each, since somebody may have come for the first time.
    """
    outcome = NOTHING
    attended = meeting.held.attended if meeting.held else ()
    for member in relationship.members:
        if member.role is not Role.mentor or member.person_id not in attended or meeting.starts_at is None:
            continue
        year = meeting.starts_at.astimezone(ZoneInfo(member.time_zone)).year
        outcome = _arm(outcome, relationship, member, year, year_over(member, year))
        if relationship.held == 1 or relationship.is_group:
            outcome = _arm(outcome, relationship, member, "people", moment.now)
    return outcome


def ended(relationship: Relationship, moment: Moment) -> Outcome:
    """A way was gone to its end: what its mentors did is looked at."""
    outcome = NOTHING
    if relationship.end_reason not in AS_PLANNED or relationship.meets_once or not relationship.held:
        return outcome
    for member in relationship.members:
        if member.role is Role.mentor:
            outcome = _arm(outcome, relationship, member, relationship.id, moment.now)
    return outcome


def _arm(outcome: Outcome, relationship: Relationship, member: Member, what: object, at: datetime) -> Outcome:
    return outcome.arm(TIMER, key(member.person_id, relationship.program, what), member.person_id, at)


def year_over(member: Member, year: int) -> datetime:
    """When a mentor's year is looked at: in the morning of 8 January on their own wall."""
    turn = datetime(year + 1, 1, 1, tzinfo=ZoneInfo(member.time_zone)).astimezone(UTC)
    return turn + SETTLED + timedelta(minutes=member.person_id.int % WITHIN)


# ---- what comes of it ----------------------------------------------------------------------------------------------------


def ids(due: str) -> list[UUID]:
    """Of the records that may come of a timer with this key."""
    person, program, what = due.split(" ")
    if what == "people":
        return [_id(person, program, f"people {number}") for number in ROUND]
    return [_id(person, program, what)]


def _id(person: str, program: str, what: str) -> UUID:
    return uuid5(NAMESPACE, key(UUID(person), program, what))


def recognise(person: Person | None, due: str, moment: Moment) -> Outcome:
    """A record, once, for a mentor who wants one in a program that makes them; nothing where they have met nobody."""
    found = moment.get(Mentored, due)
    if person is None or person.erased or not person.recognised or found is None or not found.wanted or not found.meetings:
        return NOTHING
    _, program, what = due.split(" ")
    kind, at, year = Recognition.year, 0, moment.now.astimezone(ZoneInfo(person.time_zone)).year
    if what == "people":
        reached = [n for n, number in enumerate(ROUND) if number <= found.people]
        if not reached:
            return NOTHING
        kind, at = Recognition.people, reached[-1]
    elif "-" in what:
        kind = Recognition.relationship
    else:
        year = int(what)
    made = Recognised(
        ids(due)[at],
        person.id,
        found.organization,
        program,
        kind,
        year,
        moment.now,
        found.meetings,
        found.minutes,
        ROUND[at] if kind is Recognition.people else found.people,
        found.milestones,
    )
    return NOTHING if moment.get(Recognised, made.id) is not None else new(made).then(_told(person, made))


def _told(person: Person, made: Recognised) -> MentorRecognised:
    return MentorRecognised(
        person_id=person.id,
        program=made.program,
        recognition_id=made.id,
        kind=made.kind,
        year=made.year,
        meetings=made.meetings,
        minutes=made.minutes,
        people=made.people,
        milestones=made.milestones,
        audience=tuple(sorted({made.organization, person.organization})),
    )


# ---- what a mentor does with it ------------------------------------------------------------------------------------------


def own(made: Recognised | None, person_id: UUID) -> Recognised:
    """Whose record it is. Raises Rejected where it isn't there, or is somebody else's."""
    if made is None or made.person_id != person_id:
        raise Rejected("not_found", "There is nothing at this address.", status=404)
    return made


def say_learned(made: Recognised, text: str, *, shows: bool) -> Outcome:
    """What they learned, in their own words, and whether the certificate shows it."""
    said = replace(made, learned=text, shows_learned=shows and bool(text))
    return NOTHING if said == made else new(said)


def show(made: Recognised, code: str, moment: Moment) -> Outcome:
    """Anyone who has the address may see the certificate. `code` is new, and nobody can guess it."""
    return NOTHING if made.code is not None else new(replace(made, code=code, shown_at=moment.now))


def withdraw(made: Recognised) -> Outcome:
    """There is no certificate any more; another one has another address."""
    return NOTHING if made.code is None else new(replace(made, code=None, shown_at=None))


def wants(person: Person | None, *, recognised: bool) -> Outcome:
    """Whether records are made of what they do; those that are there stay theirs."""
    if person is None or person.erased:
        raise Rejected("not_found", "There is nothing at this address.", status=404)
    return NOTHING if person.recognised is recognised else new(replace(person, recognised=recognised))
