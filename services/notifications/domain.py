"""Whom to tell what, whether it is still wanted, and when to try again: values and rules, no I/O, no clock.

A delivery holds ids, codes, numbers and times only; names and addresses are looked up when it is sent, and stand nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from shared.events import (
    Channel,
    Failure,
    Format,
    Member,
    PersonStatus,
    ProgramMilestone,
    QuestionText,
    Reason,
    Role,
    Term,
    Terms,
    owner_of,
)

NAMESPACE = UUID("7a0c1a5e-6f1d-5b8e-9c57-1f9d3d2f6a10")


# ---- what we know ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization's public name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program's public name."""

    id: str
    organization: str
    name: str
    revision: int
    by_request: bool = False
    """Whether mentees may choose mentors."""
    personal_rules: bool = False
    """Whether it asks, or has asked, what people have a page of their own for: whom they meet."""
    talks: bool = False
    """Whether conversations are all there is."""
    asks: bool = True
    """Whether it asks its people anything by itself."""
    days_between_asks: int = 7
    texts: tuple[QuestionText, ...] = ()
    """Questions in its own words."""
    milestones: tuple[ProgramMilestone, ...] = ()
    """Its own, those that it has no more included: they may be told of still."""

    def milestone(self, code: str) -> str:
        """What it calls one of its own."""
        return next((one.name for one in self.milestones if one.code == code), "")

    def text(self, template: str) -> str:
        return next((said.text for said in self.texts if said.question == template), "")


@dataclass(frozen=True, slots=True)
class Waiting:
    """That a person was told why they wait, so that they aren't told the same again and again."""

    program: str
    why: str
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Who someone is, how to reach them, and what they don't want. After erasure only the id, home and revision are left."""

    id: UUID
    organization: str
    """The home organization."""
    revision: int
    status: PersonStatus = PersonStatus.active
    name: str = ""
    email: str | None = None
    locale: str = "en"
    time_zone: str = "UTC"
    erased: bool = False
    unsubscribed_at: datetime | None = None
    """Since when they want no mail at all."""
    muted: tuple[str, ...] = ()
    """Those of `OPTIONAL` they don't want."""
    welcomed: tuple[str, ...] = ()
    """Programs in which they were welcomed."""
    talks: tuple[str, ...] = ()
    """Programs in which they asked for conversations alone."""
    waiting: tuple[Waiting, ...] = ()
    asked_at: datetime | None = None
    """When the last mail with questions went to them."""


@dataclass(frozen=True, slots=True)
class Relationship:
    """Who is in it, why, and on what they agreed."""

    id: UUID
    organization: str
    """The program's owner."""
    program: str
    audience: tuple[str, ...]
    members: tuple[Member, ...]
    reasons: tuple[Reason, ...] = ()
    agreement: int = 0
    """The newest agreement's version; 0 where there is none, or not yet."""
    terms: Terms | None = None
    ended: bool = False
    format: Format = Format.one_to_one
    quiet: bool = False
    """It has gone quiet and hasn't recovered."""
    asked: UUID | None = None
    """Who is asked whether they go on."""
    signed: tuple[str, ...] = ()
    """Who has signed that version."""
    agreed: bool = False
    """Whether all have signed one."""
    term: Term = Term.long
    frozen: bool = False
    """Quiet for so long that nothing is asked any more."""
    settled: tuple[str, ...] = ()
    """Goals that are reached or given up."""
    beside: bool = False
    """Whether it is a circle that co-mentees agreed on, beside what its members came for: how they are matched doesn't hang on it."""

    @property
    def is_group(self) -> bool:
        return self.format in {Format.group, Format.circle} or len(self.members) > 2

    @property
    def meets_once(self) -> bool:
        """Whether it is one conversation, without an agreement."""
        return self.format is Format.conversation


class MeetingState(StrEnum):
    """Where a meeting stands."""

    proposed = "proposed"
    scheduled = "scheduled"
    cancelled = "cancelled"
    held = "held"
    missed = "missed"
    other = "other"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting as its newest fact left it."""

    id: UUID
    organization: str
    relationship_id: UUID
    state: MeetingState
    starts_at: datetime | None
    minutes: int
    sequence: int = 0
    revision: int = 0
    number: int = 1
    fact_id: UUID | None = None
    """The event that gave it its time, and that event's type."""
    fact_type: str = ""

    @property
    def ends_at(self) -> datetime | None:
        return None if self.starts_at is None else self.starts_at + timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which meeting of a relationship is proposed or scheduled. The id is the relationship's."""

    id: UUID
    meeting_id: UUID


# ---- messages to people ------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Where a message stands."""

    to_ask = "to_ask"
    """A question whose time hasn't come: it goes with others."""
    joined = "joined"
    """Part of another message's mail."""
    waits = "waits"
    sent = "sent"
    failed = "failed"
    dropped = "dropped"
    other = "other"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one person about one fact."""

    id: UUID
    organization: str
    """The program's owner."""
    audience: tuple[str, ...]
    """The owner and the person's home organization: who may see that it was sent."""
    person_id: UUID
    program: str
    template: str
    channel: Channel
    fact_id: UUID
    fact_type: str
    relationship_id: UUID | None
    meeting_id: UUID | None
    data: dict[str, Any]
    """What the fact said: codes, numbers and times."""
    state: State
    attempts: int
    created_at: datetime
    due_at: datetime
    correlation: UUID
    traceparent: str
    failure: Failure | None = None
    finished_at: datetime | None = None
    begun: int = 0
    """How often a copy began to hand it over and hasn't noted what became of it, this time included."""
    again_at: datetime | None = None
    """When it may be begun again, should the copy that began it not live to tell."""
    joins: UUID | None = None
    """The message in whose mail it goes."""


def message_id(fact: UUID, template: str, person: UUID, channel: Channel) -> UUID:
    """The same for the same fact, recipient and channel, so that nothing can be told twice."""
    return uuid5(NAMESPACE, f"{fact} {template} {person} {channel}")


def check_in_page(kind: str) -> str:
    """The action of the link at which a check-in of this kind is answered: skills have a page of their own."""
    return "skills" if kind == "skills" else "check-in"


OPTIONAL: Mapping[str, frozenset[str]] = {
    "reminders": frozenset({"reminder", "follow_ups", "did_you_meet", "missed", "in_touch"}),
    "celebrations": frozenset({"milestone", "recognised"}),
    "news": frozenset({"welcome", "waiting"}),
}
"""What a person may switch off. The rest asks them to act, or changes their calendar: it stops only with all mail."""

ABSENT_PERSON_PATIENCE = timedelta(hours=1)


def obstacle(
    delivery: Delivery, person: Person | None, relationship: Relationship | None, meeting: Meeting | None, now: datetime
) -> Failure | None:
    """Why a message isn't sent after all; None where it is."""
    if person is None:
        return Failure.other
    if person.erased:
        return Failure.gone
    if person.unsubscribed_at is not None or any(delivery.template in OPTIONAL.get(kind, ()) for kind in person.muted):
        return Failure.unsubscribed
    if not person.email:
        return Failure.no_address
    return Failure.other if outdated(delivery, relationship, meeting, now) else None


def outdated(delivery: Delivery, relationship: Relationship | None, meeting: Meeting | None, now: datetime) -> bool:
    """Whether what it says or asks no longer holds: a newer message says how things stand."""
    match delivery.template:
        case (
            "introduction"
            | "unsigned"
            | "revised"
            | "write"
            | "nudge"
            | "warned"
            | "frozen"
            | "asked"
            | "in_touch"
            | "answered"
            | "follow_ups"
            | "misaligned"
            | "goal_reached"
            | "joined"
            | "introduction_asked"
        ):
            return relationship is None or relationship.ended or _went_on(delivery, relationship)
        case "choose_time" | "conversation":
            return meeting is None or meeting.state is not MeetingState.proposed
        case "suggested":
            return not _still_wanted(delivery, meeting, now)
        case "invitation" | "moved":
            return meeting is None or meeting.sequence > delivery.data["sequence"] or meeting.state is MeetingState.cancelled
        case "reminder" | "host":
            return not _near(delivery, meeting, now)
        case "did_you_meet":
            return meeting is None or meeting.state is not MeetingState.scheduled or meeting.sequence > delivery.data["sequence"]
        case "request" | "request_question" | "invited" | "circle_asked":
            return datetime.fromisoformat(delivery.data.get("closes_at") or delivery.data["answer_by"]) <= now
        case "renewal" | "check_in" | "feedback_asked":
            return relationship is None or relationship.ended or _too_late(delivery, now)
        case "missed":
            return meeting is None or meeting.state is not MeetingState.missed
        case _:
            return False


def _went_on(delivery: Delivery, relationship: Relationship) -> bool:
    """Whether a relationship is further than a message about it."""
    match delivery.template:
        case "nudge" | "warned" | "in_touch":
            return relationship.frozen or (delivery.template != "in_touch" and not relationship.quiet)
        case "frozen":
            return not relationship.quiet
        case "asked":
            return relationship.asked != delivery.person_id
        case "answered" | "follow_ups" | "misaligned" | "joined" | "introduction_asked":
            return False
        case "goal_reached":
            return delivery.data["goal"] in relationship.settled
        case _:
            return _settled(delivery, relationship)


def _too_late(delivery: Delivery, now: datetime) -> bool:
    """Whether the last day for an answer is over, or it was given."""
    answer_by = delivery.data.get("until") or delivery.data.get("due_at")
    return "answered" in delivery.data or (answer_by is not None and datetime.fromisoformat(answer_by) <= now)


def _settled(delivery: Delivery, relationship: Relationship) -> bool:
    """Whether the agreement that it speaks of is another one by now, or need not be signed by its reader any more."""
    version = delivery.data.get("version", relationship.agreement)
    reminds = delivery.template == "unsigned"
    return relationship.agreement > version or (reminds and str(delivery.person_id) in relationship.signed)


def _still_wanted(delivery: Delivery, meeting: Meeting | None, now: datetime) -> bool:
    """Whether the time suggested can still be taken."""
    if meeting is None or meeting.state not in {MeetingState.proposed, MeetingState.scheduled}:
        return False
    return meeting.sequence <= delivery.data["sequence"] and datetime.fromisoformat(delivery.data["suggested_at"]) > now


def _near(delivery: Delivery, meeting: Meeting | None, now: datetime) -> bool:
    """Whether the meeting of a reminder still stands at that time, and is ahead."""
    if meeting is None or meeting.starts_at is None or meeting.state is not MeetingState.scheduled:
        return False
    return meeting.starts_at.isoformat() == delivery.data["starts_at"] and meeting.starts_at > now


MAIL_DELAYS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 240, 480, 720, 960, 1200))
"""Before each further try of a mail that was refused for now: about two and a half days in all."""


def after_try(attempts: int, delays: tuple[timedelta, ...]) -> timedelta | None:
    """How long to wait after so many tries; None where it is given up."""
    return delays[attempts - 1] if attempts <= len(delays) else None


def both(*organizations: str) -> tuple[str, ...]:
    """An audience: sorted, each once."""
    return tuple(sorted(set(organizations)))


def others(relationship: Relationship, person: UUID) -> tuple[Member, ...]:
    return tuple(member for member in relationship.members if member.person_id != person)


def role_of(relationship: Relationship, person: UUID) -> Role:
    return next((m.role for m in relationship.members if m.person_id == person), Role.other)


# ---- webhooks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a partner wants to hear of events. Its secret is derived, never stored."""

    id: UUID
    organization: str
    url: str
    types: tuple[str, ...]
    """Those it wants; empty means all."""
    created_at: datetime
    failing_since: datetime | None = None
    """Since when nothing got through."""
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """An endpoint as far as events are matched against it."""

    id: UUID
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An organization's enabled endpoints; a view, so that reading it locks nothing."""

    id: str
    hooks: tuple[Hook, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One event on its way to one endpoint."""

    id: UUID
    organization: str
    endpoint_id: UUID
    person_id: UUID | None
    """Whom its body describes, for events of the people topic: erasure deletes it."""
    fact_id: UUID
    fact_type: str
    program: str
    body: dict[str, Any] | None
    """The CloudEvent in structured form; nothing once it is finished."""
    state: State
    attempts: int
    created_at: datetime
    due_at: datetime
    correlation: UUID
    traceparent: str
    status: int | None = None
    failure: Failure | None = None
    finished_at: datetime | None = None

    @property
    def is_test(self) -> bool:
        return self.fact_type == TEST_TYPE


TEST_TYPE = "ithaca.WebhookTest"
HOOK_DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=h) for h in (2, 5, 10, 14, 20, 24)),
)
"""Between the tries of a call, as Standard Webhooks advises: a little over three days in all."""
ENDPOINTS_EACH = 20
"""At most so many endpoints an organization."""


def call_id(fact: UUID, endpoint: UUID) -> UUID:
    return uuid5(NAMESPACE, f"{fact} {endpoint}")


FAILING_FOR = timedelta(days=3)


def given_up(endpoint: Endpoint, now: datetime) -> bool:
    """Whether an endpoint is disabled when a call has used up its tries: nothing else got through meanwhile either."""
    return endpoint.failing_since is not None and now - endpoint.failing_since >= FAILING_FOR


def shown_to(organization: str, program: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data as a partner gets them: why a match was made goes to the program's owner alone."""
    if "reasons" in data and program and owner_of(program) != organization:
        return {name: value for name, value in data.items() if name != "reasons"}
    return dict(data)
