"""The gateway's aggregates, and what it decides on each fact that a partner posts. Pure: no I/O, no clock."""

from services.gateway.domain.access import FIRST_RIGHTS, Minted, Onboarded, issued, key_again, onboard, revoke
from services.gateway.domain.index import REPORTS, RULES, take
from services.gateway.domain.kept import (
    MOST_CAUSED,
    PAUSE_ENDS,
    Intake,
    IntakeStatus,
    Key,
    Membership,
    Organization,
    Person,
    Program,
    Relationship,
    together,
)
from services.gateway.domain.named import Named, Posted
from services.gateway.domain.people import (
    erase,
    person_again,
    person_enrolled,
    person_paused,
    person_resumed,
    person_withdrawn,
    profile_changed,
    resumed,
)
from services.gateway.domain.programs import program_left

__all__ = [
    "FIRST_RIGHTS",
    "MOST_CAUSED",
    "PAUSE_ENDS",
    "REPORTS",
    "RULES",
    "Intake",
    "IntakeStatus",
    "Key",
    "Membership",
    "Minted",
    "Named",
    "Onboarded",
    "Organization",
    "Person",
    "Posted",
    "Program",
    "Relationship",
    "erase",
    "issued",
    "key_again",
    "onboard",
    "person_again",
    "person_enrolled",
    "person_paused",
    "person_resumed",
    "person_withdrawn",
    "profile_changed",
    "program_left",
    "resumed",
    "revoke",
    "take",
    "together",
]
