"""What a group's meeting has beside that of a pair: who can at which time, and who came."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Vote:
    """At which of the times offered a member can and can't; of one that was offered later they have said neither."""

    person_id: UUID
    slots: tuple[datetime, ...] = ()
    cannot: tuple[datetime, ...] | None = None
    """None where that wasn't kept, as a release that knows only `slots` leaves it: then it follows from the times that stood to choice."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Who came, as one person, or a partner, told it for all."""

    came: tuple[UUID, ...]
    minutes: int
    by: UUID | None = None
    """None where a partner reported it."""
    misses: int = 0
    """In a row with this one, where too few came: a partner who reports it again reads the same."""
