"""Who is signed in to pages: a signed cookie that names an access key until it expires. Each request looks whether the key still holds.

The cookie is HttpOnly and SameSite=Strict; a form must carry a token made from it besides, since another port of the same host is the same
site to a browser. Neither holds a key's secret.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fastapi import Request, Response

from shared import web
from shared.errors import Rejected
from shared.events import Right

if TYPE_CHECKING:
    from shared.service import Service

COOKIE = "ithaca_session"
LASTS = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whoever looks at a page, by their key, and the token that their forms carry."""

    caller: web.Caller
    token: str

    def check(self, token: str) -> None:
        """Raises Rejected where a form isn't one of this session's pages."""
        if not hmac.compare_digest(self.token.encode(), token.encode()):
            raise Rejected(
                "old_form", "This page is from before you signed in. Open it again, and repeat what you did.", status=403
            )


def _signed(secret: str, *words: str) -> str:
    """Made of other words than any link's signature is (`shared/links.py`), under the same secret."""
    return hmac.new(secret.encode(), "\n".join(words).encode(), hashlib.sha256).hexdigest()[:43]


def sealed(key_id: str, expires: int, secret: str) -> str:
    """What the cookie holds: `KEY.EXPIRES.SIGNATURE`, expiry in seconds since the epoch by the platform's clock."""
    return f"{key_id}.{expires}.{_signed(secret, 'session', key_id, str(expires))}"


def opened(cookie: str, secret: str, now: datetime) -> str | None:
    """The key's id of a cookie that holds; None for one that is forged, altered or too old, and for all where there is no secret."""
    key_id, _, rest = cookie.partition(".")
    expires = rest.partition(".")[0]
    if not secret or not expires.isascii() or not expires.isdigit() or len(expires) > 12:
        return None
    genuine = hmac.compare_digest(sealed(key_id, int(expires), secret).encode(), cookie.encode())
    return key_id if genuine and now.timestamp() < int(expires) else None


def begin(service: "Service", caller: web.Caller, response: Response, path: str) -> None:
    """Sign in: the cookie goes with requests to this path."""
    expires = service.database.clock.now() + LASTS
    value = sealed(caller.key_id, int(expires.timestamp()), service.settings.link_secret)
    response.set_cookie(COOKIE, value, httponly=True, samesite="strict", path=path, secure=_is_secure(service))


def end(service: "Service", response: Response, path: str) -> None:
    """Sign out."""
    response.delete_cookie(COOKIE, path=path, httponly=True, samesite="strict", secure=_is_secure(service))


def _is_secure(service: "Service") -> bool:
    return service.urls.get(service.name, "").startswith("https:")


def signed_in(right: Right, sign_in: str, of: str = "") -> Callable[[Request], Awaitable[SignedIn]]:
    """A dependency that gives who is signed in with a key that has this right; whoever isn't is led to `sign_in`, of
    another service where `of` names it.
    """

    async def looked(request: Request) -> SignedIn:
        service = web.service_of(request)
        cookie, secret = request.cookies.get(COOKIE, ""), service.settings.link_secret
        key_id = opened(cookie, secret, service.database.clock.now())
        caller = await web.holder(service, key_id) if key_id else None
        if caller is None or right not in caller.rights:
            raise web.ElsewhereError(service.urls.get(of, "") + sign_in)
        return SignedIn(caller, _signed(secret, "form", cookie))

    return looked


def check_origin(request: Request) -> None:
    """Raises Rejected where a browser says that another site's page has sent this form; for those that no token can guard yet."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Rejected("other_site", "This form was sent from another site. Open the page itself, and sign in there.", status=403)
