"""API keys, so that every service can tell who speaks without asking the gateway. Compacted: each record is the whole key."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.events.base import Code, Event, Instant, OrganizationId, Reference


class Right(Code):
    """What the holder of a key may do, always within what its organization may see."""

    send = "send"
    """Post events and ask what became of them."""
    read = "read"
    """Read summaries, stories and exports."""
    coordinate = "coordinate"
    """Start match runs, approve pairs, pause and erase people, register webhooks."""
    operate = "operate"
    """Work on the platform itself, across organizations."""
    other = "other"


class AccessKey(Event):
    """A key as of now."""

    topic: ClassVar[str] = "access"
    key_field: ClassVar[str] = "key_id"

    key_id: Reference
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the key's secret, which has 256 random bits and is shown once and kept nowhere."""
    organization: OrganizationId
    rights: tuple[Right, ...]
    expires_at: Instant | None = None
    revoked: bool = False


class AccessKeyIssued(AccessKey):
    """The gateway has made an API key for an organization. From now on each service lets its holder in."""


class AccessKeyRevoked(AccessKey):
    """The gateway has withdrawn an API key: its organization asked, or it leaked. Each service refuses it from now on."""

    revoked: bool = True
