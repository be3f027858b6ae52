"""A program of two organizations as its events, and one event of every type."""

import types
import typing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from annotated_types import Ge
from pydantic import BaseModel

from shared.cloudevents import new_id
from shared.events import (
    AgreementSigned,
    Code,
    Contact,
    Enrolment,
    Event,
    MeetingHeld,
    MeetingMissed,
    MeetingScheduled,
    Member,
    MilestoneReached,
    NotificationSent,
    PairCreated,
    PairEnded,
    PersonEnrolled,
    PersonRecord,
    PersonWaitlisted,
    Profile,
    ProgramJoined,
    ProgramLaunched,
    ProgramShared,
)

DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = "Adaeze Confidential"


@dataclass
class Crossing:
    """`owner`'s program, which `member` has joined: mentees n01… of the owner, mentors k01… of the member."""

    owner: str
    member: str
    size: int = 6
    program: str = field(init=False)
    mentees: list[UUID] = field(init=False)
    mentors: list[UUID] = field(init=False)
    pairs: list[UUID] = field(init=False)

    def __post_init__(self) -> None:
        self.program = f"{self.owner}.crossing"
        self.mentees, self.mentors, self.pairs = ([new_id() for _ in range(self.size)] for _ in range(3))

    @property
    def audience(self) -> tuple[str, ...]:
        return tuple(sorted({self.owner, self.member}))

    def onboarding(self, visibility: str = "own_people") -> list[Event]:
        return [
            ProgramLaunched(program=self.program, organization=self.owner, name="Crossing", audience=(self.owner,)),
            ProgramShared(program=self.program, member=self.member, seats=50, visibility=visibility, audience=self.audience),
            ProgramJoined(program=self.program, member=self.member, audience=self.audience),
        ]

    def person(self, n: int, side: str, kind: type[PersonRecord] = PersonEnrolled, **changes: Any) -> PersonRecord:
        mentee = side == "mentee"
        home = self.owner if mentee else self.member
        values: dict[str, Any] = {
            "person_id": (self.mentees if mentee else self.mentors)[n],
            "organization": home,
            "own_id": f"{'n' if mentee else 'k'}{n + 1:02}",
            "profile": Profile(time_zone="Africa/Lagos"),
            "contact": Contact(name=SECRET, email=f"secret{n}@{home}.example"),
            "enrolments": (Enrolment(program=self.program, role=side),),
            "revision": 1,
            "program": self.program,
            "audience": tuple(sorted({home, self.owner})),
        }
        return kind(**(values | changes))

    def people(self) -> list[Event]:
        return [self.person(n, side) for n in range(self.size) for side in ("mentee", "mentor")]

    def members(self, n: int) -> tuple[Member, ...]:
        return (
            Member(person_id=self.mentees[n], role="mentee", organization=self.owner),
            Member(person_id=self.mentors[n], role="mentor", organization=self.member),
        )

    def pair(self, n: int) -> PairCreated:
        return PairCreated(
            relationship_id=self.pairs[n],
            program=self.program,
            members=self.members(n),
            score=820_000,
            reasons=({"code": "skills", "number": 2, "items": ("cloud",)},),
            audience=self.audience,
        )

    def about(self, n: int, **more: Any) -> dict[str, Any]:
        return {"relationship_id": self.pairs[n], "program": self.program, "audience": self.audience, **more}

    def waits(self, n: int, side: str = "mentee") -> PersonWaitlisted:
        person = (self.mentees if side == "mentee" else self.mentors)[n]
        home = self.owner if side == "mentee" else self.member
        return PersonWaitlisted(
            person_id=person,
            program=self.program,
            role=side,
            reason="nobody_offers",
            missing=("security",),
            audience=tuple(sorted({home, self.owner})),
        )

    def meeting(self, n: int) -> tuple[MeetingScheduled, MeetingHeld, MeetingMissed]:
        """One meeting: scheduled; missed; held after all."""
        about = self.about(n, meeting_id=new_id())
        at = DAY + timedelta(days=9)
        return (
            MeetingScheduled(**about, starts_at=at, minutes=30, time_zone="Africa/Lagos"),
            MeetingHeld(
                **about, held_at=at, minutes=30, attended=(self.mentees[n], self.mentors[n]), revision=2, corrects_missed=True
            ),
            MeetingMissed(**about, starts_at=at, absent="both_silent", misses_in_a_row=1, revision=1),
        )

    def signatures(self, n: int) -> list[Event]:
        return [
            AgreementSigned(**self.about(n), version=1, person_id=self.mentees[n], complete=False),
            AgreementSigned(**self.about(n), version=1, person_id=self.mentors[n], complete=True),
        ]

    def milestone(self, n: int, name: str = "first_meeting") -> MilestoneReached:
        return MilestoneReached(**self.about(n), milestone=name)

    def end(self, n: int) -> PairEnded:
        return PairEnded(**self.about(n), reason="completed", side="both", meetings_held=1)

    def mail(self, n: int, fact: UUID) -> NotificationSent:
        return NotificationSent(
            person_id=self.mentees[n],
            delivery_id=new_id(),
            program=self.program,
            template="pair_created",
            fact_id=fact,
            fact_type="ithaca.PairCreated",
            audience=(self.owner,),
        )


# ---- one of every type -------------------------------------------------------------------------------------------------

TEXTS = {
    "organization": "northwind", "program": "northwind.crossing", "member": "kestrel", "own_id": "n07", "time_zone": "Africa/Lagos",
    "name": "Crossing", "fact_type": "ithaca.PairCreated", "template": "pair_created", "start": "09:00", "end": "17:00",
    "sha256": "0" * 64, "email": f"{SECRET}@northwind.example",
}  # fmt: skip


def sample(model: type[BaseModel], *, whole: bool) -> Any:
    """An event of this type: with every field (`whole`), or with those alone that it needs."""
    values = {}
    for name, info in model.model_fields.items():
        if whole or info.is_required():
            least = next((int(m.ge) for m in info.metadata if isinstance(m, Ge)), 0)
            values[name] = _value(name, info.annotation, least=max(least, 1), whole=whole)
    return model.model_validate(values)


def _value(name: str, hint: Any, *, least: int, whole: bool) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _value(name, arguments[0], least=least, whole=whole)
    if origin in (types.UnionType, typing.Union):
        return _value(name, next(a for a in arguments if a is not type(None)), least=least, whole=whole)
    if origin is tuple:
        return tuple(_value(name, arguments[0], least=least, whole=whole) for _ in range(2))
    if isinstance(hint, type) and issubclass(hint, Code):
        return next(iter(hint))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return sample(hint, whole=whole)
    simple: dict[Any, Any] = {
        bool: True,
        int: max(least, 2000 if name == "year" else 200 if name == "status" else least),
        float: 1.0,
    }
    if hint in simple:
        return simple[hint]
    if hint is UUID:
        return new_id()
    if hint is datetime:
        return DAY
    if hint is date:
        return DAY.date()
    return TEXTS.get(name, "en" if "lang" in name or name == "locale" else "NG" if name == "country" else "northwind")
