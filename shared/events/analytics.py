"""Where a program stands, in numbers. Emitted by analytics, kept 30 days."""

from typing import ClassVar

from shared.events.base import Count, Event, Instant, ProgramId


class ProgramMeasured(Event):
    """A program's counts since it was launched, as of the end of a day. Emitted by analytics once a day where they changed."""

    topic: ClassVar[str] = "analytics"
    key_field: ClassVar[str] = "program"

    program: ProgramId
    as_of: Instant
    enrolled: Count
    """People."""
    matched: Count
    """People who have, or had, a partner."""
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
    """Relationships."""
