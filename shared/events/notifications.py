"""What was sent to whom and how it went; never what it said. All emitted by notifications, kept 30 days."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.events.base import Code, Event, EventType, Instant, OrganizationId, ProgramId, Word


class Channel(Code):
    """By which way a person was reached."""

    mail = "mail"
    chat = "chat"
    push = "push"
    sms = "sms"
    other = "other"


class Failure(Code):
    """Why something could not be delivered. Replies of servers are not passed on: they quote addresses."""

    no_address = "no_address"
    unsubscribed = "unsubscribed"
    refused = "refused"
    unreachable = "unreachable"
    timed_out = "timed_out"
    bad_status = "bad_status"
    gone = "gone"
    other = "other"


class Notification(Event):
    """One message to one person about one fact."""

    topic: ClassVar[str] = "notifications"
    key_field: ClassVar[str] = "person_id"
    ordered: ClassVar[bool] = False

    person_id: UUID
    delivery_id: UUID
    program: ProgramId | None = None
    template: Word
    channel: Channel = Channel.mail
    fact_id: UUID
    """The event it tells of."""
    fact_type: EventType
    attempt: Annotated[int, Field(ge=1)] = 1


class NotificationSent(Notification):
    """A message was handed over to the server that takes it on. Emitted by notifications."""


class NotificationFailed(Notification):
    """A message couldn't be handed over. Emitted by notifications for each try that failed."""

    failure: Failure
    final: bool
    """No further try."""


class WebhookDelivered(Event):
    """A partner's endpoint took an event, answering 2xx. Emitted by notifications."""

    topic: ClassVar[str] = "notifications"
    key_field: ClassVar[str] = "organization"
    ordered: ClassVar[bool] = False

    organization: OrganizationId
    endpoint_id: UUID
    delivery_id: UUID
    fact_id: UUID
    fact_type: EventType
    attempt: Annotated[int, Field(ge=1)] = 1
    status: Annotated[int, Field(ge=100, le=599)]
    """Of the HTTP answer."""


class WebhookDisabled(Event):
    """A partner's endpoint failed for too long, or said 410: nothing more is sent there until it is enabled again.

    Emitted by notifications.
    """

    topic: ClassVar[str] = "notifications"
    key_field: ClassVar[str] = "organization"
    ordered: ClassVar[bool] = False

    organization: OrganizationId
    endpoint_id: UUID
    fact_id: UUID | None = None
    """The event at which it was given up."""
    failure: Failure
    attempts: Annotated[int, Field(ge=1)]
    failing_since: Instant | None = None
