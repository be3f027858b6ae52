"""Under what head a message is written, and all that it may speak of."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from uuid import UUID

from services.notifications.domain import Delivery, Meeting, Person, Relationship


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who sends, and where its links lead."""

    mail_from: str
    link_secret: str
    scheduling: str
    """Public address of the service that owns what is signed, picked and met."""
    notifications: str
    matching: str
    """Of the one that owns requests."""
    gateway: str
    """Of the one that owns who is named and invited."""

    @property
    def address(self) -> str:
        return parseaddr(self.mail_from)[1]

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2] or "localhost"


@dataclass(frozen=True, slots=True)
class Occasion:
    """A message and what it is about, as things stand now."""

    delivery: Delivery
    reader: Person
    program: str
    owner: str
    """Names of the program and of the organization it belongs to."""
    relationship: Relationship | None
    meeting: Meeting | None
    people: Mapping[UUID, Person]
    """The relationship's members as far as they are known."""
    organizations: Mapping[str, str]
    """Names by id."""
    by_request: bool = False
    """Whether the program's mentees may choose mentors."""
    personal_rules: bool = False
    """Whether its people may say on a page of their own whom they meet."""
    talks: bool = False
    """Whether in the program people only talk once."""
    own_words: str = ""
    """Of the program, for this question."""
    own_milestone: str = ""
    """What the program calls it, where one of its own is reached."""
    others: "tuple[Occasion, ...]" = ()
    """Further questions to the reader, in the same mail."""
