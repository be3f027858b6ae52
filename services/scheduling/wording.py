"""What the pages say in words: who is who to the reader, and times on the reader's own wall with their zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.scheduling.domain.endings import BY_MEMBERS
from services.scheduling.domain.milestones import OF_MEETINGS, ON_THE_WAY, still_to_reach
from services.scheduling.domain.model import Days, Meeting, Member, Person, Relationship
from services.scheduling.domain.recognition import Recognised
from services.scheduling.domain.states import State
from shared.events import ChangeReason, EndReason, Format, GoalKind, Milestone, OpportunityKind, Recognition, Role, StepKind
from shared.places import city, day
from shared.words import plural

GOAL_KINDS = {
    GoalKind.technical.value: "A skill of the work itself",
    GoalKind.interpersonal.value: "Working with people",
    GoalKind.industry.value: "Knowing the field, or finding a way in it",
    GoalKind.other.value: "Something else",
}

STEP_KINDS = {
    StepKind.practice.value: "Practice",
    StepKind.project.value: "A project",
    StepKind.reading.value: "Something to read or watch",
    StepKind.conversation.value: "A conversation",
    StepKind.other.value: "Something else",
}

LEVELS = {
    1: "Never done it",
    2: "With help",
    3: "On my own",
    4: "Others ask me about it",
    5: "I could teach it",
}
"""What each level of a skill means, as its owner would say it."""

MILESTONES = {
    Milestone.goals_set.value: "A goal is set",
    Milestone.first_meeting.value: "You met",
    Milestone.first_step_done.value: "A first step is done",
    Milestone.fifth_meeting.value: "Five meetings",
    Milestone.half_time.value: "Half of the way",
    Milestone.first_goal_attained.value: "A goal is reached",
    Milestone.completed.value: "The whole way",
}

REASONS = {
    EndReason.goal_attained: "We reached what we wanted",
    EndReason.not_a_fit: "We aren’t a good fit",
    EndReason.no_time: "I don’t have the time",
    EndReason.silent: "I don’t hear from the other side",
    EndReason.moved_on: "I have moved on, to another job or another aim",
    EndReason.other: "Another reason",
    EndReason.completed: "The agreed time is over",
    EndReason.never_signed: "The agreement wasn’t signed",
    EndReason.released: "The coordinator ended it",
    EndReason.person_withdrawn: "Someone left the program",
    EndReason.person_erased: "Someone left the program",
    EndReason.program_closed: "The program has closed",
}

CHANGES = {
    ChangeReason.ill.value: "I’m not well",
    ChangeReason.work.value: "Work leaves me no time",
    ChangeReason.away.value: "I’m away",
    ChangeReason.asked.value: "We have agreed to skip it",
    ChangeReason.other.value: "Another reason",
}

WORTH = {"5": "Very much", "4": "Yes", "3": "Partly", "2": "Hardly", "1": "No"}
AGAIN = {"yes": "Yes", "maybe": "Maybe", "no": "No"}

STANDS = {
    State.unsigned: "Not signed by everyone yet",
    State.stalled: "It has gone quiet",
    State.warned: "It has gone quiet",
    State.frozen: "Nothing is proposed while it is quiet",
}

OPENINGS = {
    OpportunityKind.job.value: "A job",
    OpportunityKind.project.value: "A project",
    OpportunityKind.event.value: "An event",
    OpportunityKind.course.value: "A course",
    OpportunityKind.recommendation.value: "A letter of recommendation",
    OpportunityKind.other.value: "Something else",
}

BEFORE_TALKING = (EndReason.no_time, EndReason.not_a_fit, EndReason.other)

ROLES = {Role.mentor: "mentor", Role.mentee: "mentee", Role.peer: "partner", Role.facilitator: "facilitator"}


def zone_name(time_zone: str, at: datetime) -> str:
    """`São Paulo time, UTC−3`: the zone's city, and its offset at that time."""
    offset = at.astimezone(ZoneInfo(time_zone)).utcoffset() or timedelta()
    total = int(offset.total_seconds()) // 60
    if time_zone.partition("/")[0] in {"UTC", "Etc", "GMT"} and not total:
        return "UTC"
    sign, total = ("−", -total) if total < 0 else ("+", total)
    shown = f"UTC{sign}{total // 60}" + (f":{total % 60:02d}" if total % 60 else "") if total else "UTC"
    return f"{city(time_zone)} time, {shown}"


def day_and_time(at: datetime, time_zone: str) -> str:
    """`Tuesday 1 December, 17:00`"""
    wall = at.astimezone(ZoneInfo(time_zone))
    return f"{day(at, time_zone)}, {wall:%H:%M}"


def long_day(day: date) -> str:
    """`Thursday 24 December 2026`"""
    return f"{day:%A} {day.day} {day:%B %Y}"


def days_of(days: Days) -> tuple[str, str]:
    """What somebody said of some days, and which: `away`, `Thursday 24 December 2026`."""
    clocks = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in days.hours or ()]
    which = long_day(days.first) + (f" to {long_day(days.last)}" if days.last > days.first else "")
    return f"free from {' to '.join(clocks)}" if clocks else "away", which


def time_given(minutes: int) -> tuple[str, str]:
    """(`90`, `minutes`), from two hours on (`12`, `hours`), rounded to the nearest."""
    return (str((minutes + 30) // 60), "hours") if minutes >= 120 else (str(minutes), "minutes")


def recorded(minutes: int, meetings: int, people: int, milestones: int) -> list[tuple[str, str]]:
    """What a mentor did, as (what, how much): `hours given`, `12`"""
    given, unit = time_given(minutes)
    said = [(f"{unit} given", given), ("meeting" if meetings == 1 else "meetings", str(meetings))]
    said.append(("person" if people == 1 else "people", str(people)))
    return [*said, *([("milestone reached" if milestones == 1 else "milestones reached", str(milestones))] if milestones else [])]


def record_heading(made: Recognised, program: str) -> str:
    """`2026 in Crossing`, `25 people in Crossing`, `The whole way in Crossing`"""
    what = {Recognition.year: str(made.year), Recognition.people: f"{made.people} people"}.get(made.kind, "The whole way")
    return f"{what} in {program}"


@dataclass(frozen=True, slots=True)
class Star:
    """A milestone as the page shows it."""

    name: str
    reached: bool
    at: datetime | None = None
    """None where it wasn't kept."""
    next: bool = False
    own: str = ""
    """The program's code of one that its people say they have reached."""


def stars(relationship: Relationship) -> list[Star]:
    """What they have reached, in order, then what comes; nothing more after an end. The program's own have its names."""
    when = {reached.code: reached for reached in relationship.reached}
    own = {f"{Milestone.of_the_program}:{one.code}": one.name for one in relationship.rules.milestones}
    own |= {reached.code: own.get(reached.code) or reached.name for reached in relationship.reached if reached.name}
    got = [
        Star(MILESTONES.get(code) or own.get(code, code), True, when[code].at if code in when else None)
        for code in relationship.milestones
    ]
    if relationship.ended_at is not None:
        return got
    by_letter = relationship.format is Format.e_mentoring
    ahead = [m for m in ON_THE_WAY if m.value not in relationship.milestones and not (by_letter and m in OF_MEETINGS)]
    on_the_way = [Star(MILESTONES[m.value], False, next=n == 0) for n, m in enumerate(ahead)]
    return got + on_the_way + [Star(one.name, False, own=one.code) for one in still_to_reach(relationship)]


@dataclass(frozen=True, slots=True)
class Words:
    """A relationship put into words for one of its members."""

    relationship: Relationship
    reader: UUID
    now: datetime
    people: Mapping[UUID, Person] = field(default_factory=dict)
    """The members, as far as they are known."""

    @property
    def zone(self) -> str:
        member = self.relationship.member(self.reader)
        return member.time_zone if member else "UTC"

    @property
    def others(self) -> list[Member]:
        return [m for m in self.relationship.members if m.person_id != self.reader]

    def who(self, member: Member) -> str:
        """`you`, `your mentor`; of several `Ada Obi`, or `mentee 2` while the name isn't known; to a mentee `the other mentee`"""
        if member.person_id == self.reader:
            return "you"
        role = ROLES.get(member.role, "partner")
        alike = [m for m in self.others if m.role == member.role]
        if len(alike) > 1:
            return self.name(member.person_id) or f"{role} {alike.index(member) + 1}"
        reader = self.relationship.member(self.reader)
        beside = role in {"mentor", "mentee"} and reader is not None and reader.role == member.role
        return f"the other {role}" if beside else f"your {role}"

    def name(self, person_id: UUID) -> str:
        """`Ada Obi`; nothing where it isn't known."""
        person = self.people.get(person_id)
        return person.name if person else ""

    def named(self, member: Member) -> str:
        """`Ada Obi, your mentor`"""
        name, who = self.name(member.person_id), self.who(member)
        return f"{name}, {who}" if name and who not in {name, "you"} else who

    def whose(self, member: Member) -> str:
        """`your own`, `your mentor’s`"""
        return "your own" if member.person_id == self.reader else f"{self.who(member)}’s"

    def who_is(self, person_id: UUID | None) -> str:
        member = self.relationship.member(person_id) if person_id else None
        return self.who(member) if member else "someone"

    def all_of(self, people: Sequence[UUID]) -> str:
        """`you and your mentor`"""
        who = [self.who(m) for m in self.relationship.members if m.person_id in people]
        return " and ".join(filter(None, (", ".join(who[:-1]), *who[-1:])))

    def listed(self, people: Sequence[UUID]) -> str:
        """`you, Ada Obi and Bola Ade`: of a group, each by name"""
        who = [self.name(p) if self.name(p) and p != self.reader else self.who_is(p) for p in people]
        return " and ".join(filter(None, (", ".join(who[:-1]), *who[-1:])))

    def leads(self, person_id: UUID) -> str:
        """`you lead`, `Ada Obi leads`"""
        return "you lead" if person_id == self.reader else f"{self.name(person_id) or self.who_is(person_id)} leads"

    @property
    def by_letter(self) -> bool:
        """Whether they write to each other and don't meet."""
        return self.relationship.format is Format.e_mentoring

    @property
    def begins(self) -> str:
        """How it begins once everyone has signed."""
        if (
            self.relationship.held
            or self.relationship.revised is not None
            or (self.relationship.agreed_at is not None and self.relationship.version > 1)
        ):
            return "this is what holds between you"
        return "the address to write to comes by mail" if self.by_letter else "times for the first meeting come by mail"

    @property
    def partner(self) -> str:
        """`your mentor`, or `your group`"""
        return "your group" if len(self.others) != 1 or self.relationship.is_group else self.who(self.others[0])

    def when(self, at: datetime) -> str:
        return day_and_time(at, self.zone)

    def zoned(self, at: datetime) -> str:
        return zone_name(self.zone, at)

    def there(self, at: datetime) -> str:
        """The same time on the others' walls, where those differ: `13:00 for your mentor (São Paulo time, UTC−3)`"""
        mine = at.astimezone(ZoneInfo(self.zone))
        told = []
        for member in self.others:
            wall = at.astimezone(ZoneInfo(member.time_zone))
            if wall.utcoffset() == mine.utcoffset():
                continue
            shown = f"{wall:%H:%M}" if wall.date() == mine.date() else f"{wall:%A} {wall:%H:%M}"
            told.append(f"{shown} for {self.who(member)} ({zone_name(member.time_zone, at)})")
        return "; ".join(told)

    def rfc3339(self, at: datetime) -> str:
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def day(self, day: date) -> str:
        return f"{day.day} {day:%B %Y}"

    def on_day(self, at: datetime) -> str:
        return self.day(at.astimezone(ZoneInfo(self.zone)).date())

    def days(self, count: int) -> str:
        return plural(count, "day")

    def meetings(self, count: int) -> str:
        return plural(count, "meeting")

    def length(self, meeting: Meeting) -> str:
        return plural(meeting.held.minutes if meeting.held else meeting.minutes, "minute")

    @property
    def reason(self) -> str:
        """Why it ended; nothing where a member gave the reason, which isn't for the others to read, or where it was for once."""
        reason, once = self.relationship.end_reason, self.relationship.meets_once
        unsaid = {*BY_MEMBERS, EndReason.completed} if once else BY_MEMBERS
        return REASONS[reason] if reason in REASONS and reason not in unsaid else ""

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """What a member may give as the reason, with its code; of one conversation not what takes time to be found."""
        return [(r.value, REASONS[r]) for r in (BEFORE_TALKING if self.relationship.meets_once else BY_MEMBERS)]
