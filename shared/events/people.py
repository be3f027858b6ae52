"""The people: the one topic with personal data. Each record is the whole person as of then; its type says what changed.

The topic is compacted, so that the last record of a person is kept for ever and the earlier ones go within a day or two.
"""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import (
    Code,
    Count,
    Country,
    Event,
    Format,
    Instant,
    Language,
    OrganizationId,
    Part,
    ProgramId,
    Role,
    Slug,
    TimeZone,
)

Start = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""HH:MM, local."""

End = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
"""HH:MM, local, 24:00 being the end of the day."""


class PersonStatus(Code):
    """Whether someone takes part at all, in any program."""

    active = "active"
    paused = "paused"
    withdrawn = "withdrawn"
    invited = "invited"
    """A mentee has given their address, and they haven't answered: nobody but the gateway and notifications knows of them."""
    other = "other"


class Window(Part):
    """Hours of every week in the person's own time zone; one that passes midnight is written as two."""

    weekday: Annotated[int, Field(ge=0, le=6)]
    """0 is Monday."""
    start: Start
    end: End
    """After `start`; 24:00 is the end of the day."""


class Profile(Part):
    """What matching and scheduling may know of a person. Nothing here says who it is."""

    time_zone: TimeZone
    """The organization's own where the partner didn't say."""
    country: Country | None = None
    languages: tuple[Language, ...] = ()
    """Best first."""
    skills_offered: tuple[Slug, ...] = ()
    skills_wanted: tuple[Slug, ...] = ()
    skills_have: tuple[Slug, ...] = ()
    goals: tuple[Slug, ...] = ()
    """Such as `role:data-scientist`."""
    values: tuple[Slug, ...] = ()
    interests: tuple[Slug, ...] = ()
    roles_held: tuple[Slug, ...] = ()
    """Roles the person has or had, in the words that goals use after `role:`."""
    years_experience: float | None = None
    seniority: Slug | None = None
    rank: int | None = None
    """A number for the grade, higher is more senior, comparable within one program."""
    title: str | None = None
    industry: Slug | None = None
    function: Slug | None = None
    location: Slug | None = None
    employment: Slug | None = None
    reports_to: str | None = None
    """The manager, by the organization's own id: nobody is paired with someone in their own line."""
    hours_per_week: float | None = None
    preferred_start_hour: Annotated[int, Field(ge=0, le=23)] | None = None
    """Local time."""
    availability: tuple[Window, ...] = ()
    """Empty means not said, not never."""
    channels: tuple[Slug, ...] = ()


class Contact(Part):
    """Who it is, and how to reach them. Only the gateway and notifications keep it; scheduling keeps the name."""

    name: str
    email: str | None = None
    locale: Language = "en"


class Enrolment(Part):
    """A person's place in one program."""

    program: ProgramId
    role: Role
    capacity: Annotated[int, Field(ge=1)] = 1
    """How many partners at a time: mentees for a mentor, mentors for a mentee."""
    revision: Annotated[int, Field(ge=1)] = 1
    """Counts the changes of this enrolment, so that "match after what I sent" can be told."""
    since: Instant | None = None
    hours_per_month: float | None = None
    formats: tuple[Format, ...] = ()
    """Those the person takes part in; empty means all that the program has."""


class PersonRecord(Event):
    """A person as of now: what every record on `people` but the last one of an erased person looks like."""

    topic: ClassVar[str] = "people"
    key_field: ClassVar[str] = "person_id"

    person_id: UUID
    organization: OrganizationId
    """The home organization."""
    own_id: str
    """What that organization calls the person; unique there."""
    status: PersonStatus = PersonStatus.active
    paused_until: Instant | None = None
    """When a pause ends by itself, where that was said."""
    profile: Profile
    contact: Contact
    enrolments: tuple[Enrolment, ...] = ()
    """All that hold now."""
    revision: Annotated[int, Field(ge=1)]
    """Counts the records of this person; a lower one than known is old news."""
    program: ProgramId | None = None
    """The enrolment that this record is about, where it is about one."""


class PersonEnrolled(PersonRecord):
    """The gateway has enrolled a person in a program, or changed the role or capacity they have in it."""


class ProfileChanged(PersonRecord):
    """The gateway has taken over a change of a person's profile or contact, from their organization or from themselves."""


class PersonPaused(PersonRecord):
    """A person takes a break: no new match, no question, until resumed. Emitted by the gateway."""


class PersonResumed(PersonRecord):
    """A person is back from a break, by word or because its time was over. Emitted by the gateway."""


class PersonWithdrawn(PersonRecord):
    """A person has left the program named in `program`, or all of them where none is named. Emitted by the gateway."""


class PersonInvited(PersonRecord):
    """A mentee has named someone whom their organization doesn't know as the mentor they would like; the gateway asks them by mail.

    They take part in nothing until they say yes, which enrols them; a no, or none until `closes_at`, erases them.
    """

    program: ProgramId
    invited_by: UUID
    """The mentee."""
    closes_at: Instant


class PersonErased(Event):
    """The gateway has erased a person on request: the last record with this key, kept for ever.

    Services forget the person, remember the id as erased and ignore late facts about it.
    """

    topic: ClassVar[str] = "people"
    key_field: ClassVar[str] = "person_id"

    person_id: UUID
    revision: Count
