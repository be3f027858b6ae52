"""The ways out: a mail relay over kept connections, and partners' endpoints over HTTP that can't be led into our own network."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpcore
import orjson
from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from standardwebhooks import Webhook

from shared.errors import Rejected
from shared.events import Failure

# ---- mail --------------------------------------------------------------------------------------------------------------

MAIL_SECONDS = 20.0
"""Within which a relay must have taken a mail."""
IDLE_SECONDS = 45.0
"""After which a kept connection is made anew: relays close idle ones, some without a word."""


@dataclass(frozen=True, slots=True)
class Handed:
    """How handing over went: taken, refused for now (`final` False), or for good. Never what the server said: it quotes addresses."""

    failure: Failure | None = None
    final: bool = False


TAKEN = Handed()


class RelayAway(Exception):
    """The relay can't be reached, or wants nothing from us: no message's fault, all of them wait."""


class Mailer:
    """One kept connection to the relay. Messages go one after another."""

    def __init__(self, relay: str, sender: str, user: str = "", password: str = "") -> None:
        self.host, _, port = relay.rpartition(":")
        self.port, self.sender, self.user, self.password = int(port), sender, user, password
        self._client: SMTP | None = None
        self._used = 0.0

    async def ready(self) -> SMTP:
        """A connection that can be used now; TLS where the relay offers it. Raises RelayAway."""
        now = asyncio.get_running_loop().time()
        client = self._client
        if client is not None and client.is_connected and now - self._used < IDLE_SECONDS:
            return client
        self.close()
        client = SMTP(
            hostname=self.host, port=self.port, username=self.user or None, password=self.password or None, timeout=MAIL_SECONDS
        )
        try:
            async with asyncio.timeout(MAIL_SECONDS):
                await client.connect()
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            raise RelayAway(type(error).__name__) from None
        self._client, self._used = client, now
        return client

    async def send(self, recipient: str, message: bytes) -> Handed:
        """Hand one message over. Raises RelayAway where there is no relay to hand it to."""
        for fresh in (False, True):
            client = await self.ready()
            self._used = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(MAIL_SECONDS):
                    return await self._hand_over(client, recipient, message)
            except TimeoutError:
                self.close()
                return Handed(Failure.timed_out)
            except (SMTPServerDisconnected, ConnectionError):
                self.close()  # a kept connection may have been closed meanwhile: once more on a new one
                if fresh:
                    break
        return Handed(Failure.unreachable)

    async def _hand_over(self, client: SMTP, recipient: str, message: bytes) -> Handed:
        """Whatever happens once the text is on its way is this message's own failure: it may have arrived."""
        try:
            await client.mail(self.sender)
            await client.rcpt(recipient)
        except SMTPResponseException as error:
            await self._reset(client)
            if error.code == 421:
                raise SMTPServerDisconnected("421") from None
            return Handed(Failure.refused, final=error.code >= 500)
        except (ValueError, UnicodeError):
            await self._reset(client)
            return Handed(Failure.refused, final=True)
        try:
            await client.data(message)
        except SMTPResponseException as error:
            await self._reset(client)
            return Handed(Failure.refused, final=error.code >= 500)
        except TimeoutError:
            raise
        except (SMTPException, OSError):
            self.close()
            return Handed(Failure.unreachable)
        return TAKEN

    async def _reset(self, client: SMTP) -> None:
        try:
            await client.rset()
        except (SMTPException, OSError, TimeoutError):
            self.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


# ---- webhooks ----------------------------------------------------------------------------------------------------------

CALL_SECONDS = 10.0
"""Within which an endpoint must have answered."""
MOST_BODY = 65_536
"""Bytes of an answer that are read; what it says isn't looked at."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SHARED = tuple(ipaddress.ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
"""IPv6 that carries an IPv4 address along, by which a private one could be reached."""


def networks(text: str) -> tuple[Network, ...]:
    """`127.0.0.0/8,10.1.0.0/16`. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def secret_of(endpoint: UUID, secret_key: str) -> str:
    """An endpoint's signing secret, `whsec_…`: derived from the platform's key (HMAC-SHA-256 as PRF), so that no database holds it."""
    try:
        key = base64.b64decode(secret_key, validate=True)
    except (binascii.Error, ValueError):
        key = secret_key.encode()
    if len(key) < 16:
        raise Rejected("no_secret_key", "Webhooks need ITHACA_SECRET_KEY, 32 random bytes in base64.", status=503)
    digest = hmac.new(key, b"ithaca webhook 1\n" + endpoint.bytes, hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


class Unreachable(Exception):
    """An address we may not or can't connect to."""


class Guard(httpcore.AsyncNetworkBackend):
    """Connects only to addresses of the public internet, or of networks that the settings name.

    The name is looked up here and the connection goes to the very address that was checked, so that a name which changes its
    address between check and use leads nowhere else.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self.allowed = allowed
        self._network = httpcore.AnyIOBackend()

    def named(self, address: str) -> bool:
        """Whether the settings name this address."""
        found = _unwrapped(address)
        return any(found.version == network.version and found in network for network in self.allowed)

    def may(self, address: str) -> bool:
        found = _unwrapped(address)
        if self.named(address):
            return True
        return found.is_global and not found.is_multicast and not any(found.version == n.version and found in n for n in SHARED)

    async def lookup(self, host: str, port: int) -> list[str]:
        """Every address of a host. Raises Unreachable where it has none or one of them is out of bounds."""
        try:
            async with asyncio.timeout(5):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
        except (OSError, TimeoutError, UnicodeError):
            raise Unreachable("unknown host") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not addresses or not all(map(self.may, addresses)):
            raise Unreachable("an address inside a private network")
        return addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        last: Exception = Unreachable("no address")
        for address in await self.lookup(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _unwrapped(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one call."""

    status: int | None = None
    failure: Failure | None = None


class Caller:
    """Posts signed events to endpoints: HTTPS, no redirects, no proxies, a few kept connections."""

    def __init__(self, allowed: str, secret_key: str) -> None:
        self.guard = Guard(networks(allowed))
        self.secret_key = secret_key
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def check(self, url: str) -> str:
        """The URL if events may go there. Raises Rejected that says why not."""

        def wrong(text: str) -> Rejected:
            return Rejected("webhook_url", text, field="url")

        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise wrong("This is no URL.") from None
        host = parts.hostname
        if parts.scheme not in ("https", "http") or not host or not url.isascii() or any(c.isspace() for c in url):
            raise wrong("Give a URL such as https://example.com/ithaca, in ASCII.")
        if parts.username or parts.password or parts.fragment:
            raise wrong("Leave user, password and fragment out: a call is known by its signature.")
        try:
            addresses = await self.guard.lookup(host, port or (443 if parts.scheme == "https" else 80))
        except Unreachable as error:
            raise wrong(f"Events can't be sent there: {error}.") from None
        if parts.scheme == "http" and not all(map(self.guard.named, addresses)):
            raise wrong("Use https: events may be read on the way.")
        return url

    def signed(self, endpoint: UUID, call: UUID, body: bytes, wall: float) -> list[tuple[str, str]]:
        """The headers of Standard Webhooks. `wall` is real time: receivers refuse a timestamp that is five minutes off."""
        moment = datetime.fromtimestamp(int(wall), UTC)  # the library signs wrongly with another zone
        signature = Webhook(secret_of(endpoint, self.secret_key)).sign(str(call), moment, body.decode())
        return [
            ("content-type", "application/cloudevents+json; charset=utf-8"),
            ("user-agent", "Ithaca-Webhooks/1"),
            ("webhook-id", str(call)),
            ("webhook-timestamp", str(int(wall))),
            ("webhook-signature", signature),
        ]

    async def post(self, url: str, endpoint: UUID, call: UUID, event: dict[str, Any], wall: float) -> Answer:
        """Send one event. A redirect is a wrong status: where events go is for the partner to say, not for a server."""
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=ssl.create_default_context(),
                max_connections=64,
                max_keepalive_connections=32,
                keepalive_expiry=15,
                network_backend=self.guard,
            )
        body = orjson.dumps(event)
        headers = self.signed(endpoint, call, body, wall)
        limits = dict.fromkeys(("connect", "read", "write", "pool"), CALL_SECONDS)
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._pool.stream("POST", url, headers=headers, content=body, extensions={"timeout": limits}) as response,
            ):
                read = 0
                async for chunk in response.aiter_stream():
                    read += len(chunk)
                    if read > MOST_BODY:
                        break
                status = int(response.status)
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(failure=Failure.timed_out)
        except (Unreachable, httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError):
            return Answer(failure=Failure.unreachable)
        if 200 <= status < 300:
            return Answer(status)
        return Answer(status, Failure.gone if status == 410 else Failure.bad_status)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None
