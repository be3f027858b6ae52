"""What the tests of scheduling begin with: two people, their relationship, and a clock one can set."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.scheduling.domain import agreement, recognition
from services.scheduling.domain.diaries import Diary, Turn
from services.scheduling.domain.model import Meeting, Person, Program, Relationship
from shared.cloudevents import new_id
from shared.events import Format, Member, PairCreated, Policy, Role, Window

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PROGRAM = "northwind.crossing"


@dataclass
class At:
    """A moment for pure decisions."""

    now: datetime = NOW

    planned: dict = field(default_factory=dict)
    """What people have planned with others, by person."""

    @property
    def time(self) -> datetime:
        return self.now

    def new_id(self) -> UUID:
        return new_id()

    def get(self, kind, key):
        """Everybody's turn and diary, as `reads` loads them; other meetings weren't touched."""
        if kind is Diary:
            return Diary(key, tuple(self.planned.get(key, ())))
        return Turn(key) if kind is Turn else None

    def later(self, **by: float) -> "At":
        return At(self.now + timedelta(**by), self.planned)


def windows(*days_and_hours):
    return tuple(Window(weekday=day, start=start, end=end) for day, start, end in days_and_hours)


def week(start="09:00", end="17:00", days=range(5)):
    return windows(*((day, start, end) for day in days))


def person(time_zone="Africa/Lagos", availability=(), organization="northwind", **more):
    return Person(new_id(), organization, time_zone=time_zone, availability=availability, revision=1, **more)


def pair(moment=None, people=None, roles=(Role.mentor, Role.mentee), form=Format.one_to_one, **policy) -> Relationship:
    """A relationship whose agreement waits for signatures; a conversation before its times are proposed."""
    people = people or [person(), person("America/Sao_Paulo", organization="kestrel")]
    members = tuple(Member(person_id=p.id, role=role, organization=p.organization) for p, role in zip(people, roles, strict=True))
    event = PairCreated(relationship_id=new_id(), program=PROGRAM, members=members, score=1, format=form)
    program = Program(PROGRAM, "northwind", "Crossing", Policy(**policy), 1)
    return agreement.draft(event, program, people, moment or At())


def took(outcome, relationship, meetings=None):
    """(relationship, meetings by id) after an outcome."""
    meetings = dict(meetings or {})
    for aggregate in outcome.changed:
        if isinstance(aggregate, Relationship):
            relationship = aggregate
        elif isinstance(aggregate, Meeting):
            meetings[aggregate.id] = aggregate
    return relationship, meetings


def agreed(moment=None, **more):
    """A relationship that all have signed, and its meetings: the first one is proposed."""
    moment = moment or At()
    relationship, meetings = pair(moment, **more), {}
    for member in relationship.members:
        outcome = agreement.sign(relationship, member.person_id, moment)
        relationship, meetings = took(outcome, relationship, meetings)
    return relationship, meetings


def names(outcome):
    return [type(event).__name__ for event in outcome.events]


def armed(outcome):
    """Of the relationship and its meetings; what mentors are recognised for is looked at by timers of theirs."""
    return {timer.kind: timer.fire_at for timer in outcome.timers if timer.kind != recognition.TIMER}


def cleared(outcome):
    return {kind for kind, _ in outcome.cleared}
