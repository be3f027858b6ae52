"""What partners report and what is answered when a report is wrong.

A report isn't yet a decided fact: the owner answers each with a fact that names it as its cause, or with ReportRejected.
"""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import Code, Event, Instant, Minutes, OrganizationId, PartnerEventId, PartnerSource, ProgramId, Word


class OutcomeKind(Code):
    """What came of it."""

    promotion = "promotion"
    new_role = "new_role"
    education = "education"
    move = "move"
    retained_6_months = "retained_6_months"
    retained_12_months = "retained_12_months"
    retained_24_months = "retained_24_months"
    other = "other"


class Report(Event):
    """What a partner says has happened, passed on by the gateway with the ids put into ours."""

    topic: ClassVar[str] = "reports"

    report_id: PartnerEventId
    """The partner's own id of the event it posted."""
    report_source: PartnerSource
    organization: OrganizationId
    """Who reports."""
    program: ProgramId | None = None


class MeetingReported(Report):
    """A partner that keeps its own calendar says that two or more people met. It may come late, twice and out of order.

    Passed on by the gateway; scheduling answers with MeetingHeld.
    """

    key_field: ClassVar[str] = "relationship_id"

    program: ProgramId
    relationship_id: UUID
    meeting_id: UUID | None = None
    """The meeting that scheduling planned, where the partner knows it."""
    held_at: Instant
    minutes: Minutes
    attended: tuple[UUID, ...]


class OutcomeReported(Report):
    """A partner, or the person, says what became of someone. Passed on by the gateway."""

    key_field: ClassVar[str] = "person_id"

    person_id: UUID
    kind: OutcomeKind
    at: Instant
    said_by_person: bool = False
    """Whether it is the person's own word; `organization` is then their home, and no partner is in its audience."""


class ReportRejected(Event):
    """The owner of what a report is about can't accept it: why, and which field. Emitted by whichever service owns it."""

    topic: ClassVar[str] = "rejections"
    key_field: ClassVar[str] = "organization"
    ordered: ClassVar[bool] = False

    organization: OrganizationId
    """Who reported."""
    report_id: PartnerEventId
    report_source: PartnerSource
    reason: Word
    field: Annotated[str, Field(pattern=r"^[a-z_]+(\[\d+\]|\.[a-z_]+)*$", max_length=120)] | None = None
