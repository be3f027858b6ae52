"""Links in mails: `HMAC(action, object, person, version, expiry)`, minted by notifications, checked by the object's owner.

The version makes a link single-use: once the object has moved on, following it shows how things stand and changes nothing.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID, uuid5

from shared.errors import Rejected

WISHES = UUID("5b1f3a70-2c53-5c5e-9f0e-6a2b5a7c9d14")


def wishes_id(program: str, mentee: UUID) -> UUID:
    """The object of links to a mentee's own choices in a program: there before anything was chosen."""
    return uuid5(WISHES, f"{program} {mentee}")


def personal_id(program: str, person: UUID, secret: str) -> UUID:
    """The object of links to what a person says of themselves in a program. In a trace or a log of addresses nobody can tell whose it is."""
    digest = hmac.new(secret.encode(), f"personal\n{program}\n{person}".encode(), hashlib.sha256).digest()
    return UUID(bytes=digest[:16], version=4)


@dataclass(frozen=True, slots=True)
class Link:
    """One person's right to do one thing to one version of one object, until it expires."""

    action: str
    object: UUID
    person: UUID
    version: int
    expires: int
    """Seconds since the epoch, by the platform's clock."""

    def signature(self, secret: str) -> str:
        text = "\n".join((self.action, str(self.object), str(self.person), str(self.version), str(self.expires)))
        return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:43]

    def url(self, base: str, secret: str) -> str:
        """`BASE/ACTION/OBJECT?p=…&v=…&e=…&s=…`"""
        query = urlencode({"p": self.person, "v": self.version, "e": self.expires, "s": self.signature(secret)})
        return f"{base}/{self.action}/{self.object}?{query}"


def mint(action: str, thing: UUID, person: UUID, version: int, expires: datetime) -> Link:
    return Link(action, thing, person, version, int(expires.timestamp()))


def check(link: Link, signature: str, secret: str, now: datetime) -> None:
    """Raises Rejected `altered_link` or `expired_link`; whether the version still holds is for the object's owner to see.

    Without a secret no link holds: anyone could sign.
    """
    if not secret or not hmac.compare_digest(link.signature(secret).encode(), signature.encode()):
        raise Rejected("altered_link", "This link isn't complete. Open it again from the mail, in one piece.", status=403)
    if now.timestamp() > link.expires:
        raise Rejected("expired_link", "This link has expired. The newest mail about it has one that works.", status=410)
