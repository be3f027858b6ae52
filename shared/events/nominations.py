"""Mentees who name someone they know as their mentor, by mail address. The address stays with the gateway, which emits all of these."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import Code, Event, ProgramId


class NominationEnd(Code):
    """Why nothing comes of a nomination."""

    declined = "declined"
    expired = "expired"
    """No answer came within 30 days."""
    not_invited = "not_invited"
    """Their own organization knows them and hasn't made them a mentor there: that is for it to decide."""
    other = "other"


class Nomination(Event):
    """A mentee of a program that goes by request has named whom they would like as a mentor."""

    topic: ClassVar[str] = "reports"
    key_field: ClassVar[str] = "mentee_id"

    program: ProgramId
    mentee_id: UUID


class MentorNominated(Nomination):
    """A mentee named someone who is a mentor of the program: was one already, or became one with a yes to the invitation.

    Emitted by the gateway; matching asks the mentor, or makes the pair where they have said yes.
    """

    mentor_id: UUID
    mentor_revision: Annotated[int, Field(ge=1)]
    """Of the record that says that they are one: a reader who knows an older one waits for it."""
    said_yes: bool = False
    """To this mentee, whose invitation they had."""


class NominationEnded(Nomination):
    """Nobody comes of whom a mentee named; the mentee is told kindly. Emitted by the gateway."""

    reason: NominationEnd
