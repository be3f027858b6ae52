"""Where a program stands, in numbers. Emitted by analytics, kept 30 days."""

from typing import ClassVar

from shared.events.base import Count, Event, Instant, ProgramId


class ProgramMeasured(Event):
    """A program's counts as of now. Emitted by analytics when one of them changed, at most once a minute."""

    topic: ClassVar[str] = "analytics"
    key_field: ClassVar[str] = "program"

    program: ProgramId
    as_of: Instant
    enrolled: Count
    """People."""
    matched: Count
    """People who are in a relationship now."""
    waitlisted: Count
    """People who wait now."""
    agreed: Count
    """Agreements signed by all."""
    scheduled: Count
    """Meetings."""
    held: Count
    missed: Count
    """Those not corrected since."""
    milestones: Count
    ended: Count
    """Relationships, conversations aside."""
