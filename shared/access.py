"""API keys as every service knows them: learned from the `access` topic, so that each checks a key by itself."""

from dataclasses import dataclass

from shared.decisions import NOTHING, Context, Outcome, new, on
from shared.events import AccessKeyIssued, AccessKeyRevoked
from shared.events.access import AccessKey as Record
from shared.tables import Table


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What is known of a key: never its secret."""

    id: str
    sha256: str
    organization: str
    rights: tuple[str, ...]
    revoked: bool


def learned(known: AccessKey | None, event: Record, _: Context) -> Outcome:
    """The record is the whole key as of then; a revoked key stays revoked."""
    if known is not None and known.revoked:
        return NOTHING
    return new(AccessKey(event.key_id, event.sha256, event.organization, tuple(event.rights), event.revoked))


TABLES = [Table(AccessKey, "access_keys")]
HANDLERS = [
    on(AccessKeyIssued, AccessKey, by="key_id", do=learned),
    on(AccessKeyRevoked, AccessKey, by="key_id", do=learned),
]
