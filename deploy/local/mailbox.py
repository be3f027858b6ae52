"""An SMTP server that delivers nothing: mails are kept as .eml files and read in the browser or as JSON.

Run as a process: `python -m deploy.local.mailbox --folder F --smtp 127.0.0.1:2525 --http 127.0.0.1:8025`.
"""

import argparse
import asyncio
import base64
import binascii
import contextlib
import html
import mimetypes
import os
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.utils import getaddresses
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

LARGEST = 20_000_000  # bytes of one mail
# A mail's own markup gets no script, no form, no request to anywhere but pictures within the mail; its links open outside.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
MAIL_POLICY = (
    f"sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Mail:
    """A received mail: its number, when it came, from and to whom (as the SMTP envelope says), and the parsed message."""

    number: int
    received: datetime
    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The subject, or a word for none."""
        return header(self.message, "Subject") or "(no subject)"

    def body(self, kind: str) -> str | None:
        """The text of its `plain` or `html` part."""
        part = self.message.get_body((kind,))
        return None if part is None else text_of(part)

    def attachments(self) -> list[EmailMessage]:
        """Every part that is neither the text nor the HTML: files, invitations, pictures."""
        bodies = [self.message.get_body(("plain",)), self.message.get_body(("html",))]
        parts = [part for part in self.message.walk() if not part.is_multipart() and part not in bodies]
        return [part for part in parts if isinstance(part, EmailMessage)]

    def summary(self) -> dict[str, Any]:
        """What the list shows."""
        return {
            "id": self.number,
            "received": self.received.isoformat(),
            "from": header(self.message, "From") or self.sender,
            "to": self.recipients,
            "subject": self.subject,
            "message_id": header(self.message, "Message-ID"),
        }

    def full(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            **self.summary(),
            "headers": {name: [str(value) for value in self.message.get_all(name, [])] for name in dict(self.message.items())},
            "text": self.body("plain"),
            "html": self.body("html"),
            "attachments": [
                {
                    "filename": filename(part, index),
                    "content_type": part.get_content_type(),
                    "size": len(bytes_of(part)),
                    "content": base64.b64encode(bytes_of(part)).decode(),
                    "text": text_of(part) if part.get_content_maintype() == "text" else None,
                }
                for index, part in enumerate(self.attachments())
            ],
        }


def header(message: EmailMessage, name: str) -> str:
    """A header as text on one line; nothing where it is missing or broken."""
    try:
        return " ".join(str(message.get(name, "")).split())
    except (MessageError, ValueError, IndexError):
        return ""


def text_of(part: MIMEPart) -> str:
    """A part's text, whatever its charset claims to be."""
    try:
        return str(part.get_content())
    except (LookupError, ValueError, KeyError):
        return bytes_of(part).decode(errors="replace")


def bytes_of(part: MIMEPart) -> bytes:
    """A part's bytes, decoded."""
    try:
        content = part.get_payload(decode=True)
    except (binascii.Error, ValueError):
        return b""
    return content if isinstance(content, bytes) else part.as_bytes()


def filename(part: MIMEPart, index: int) -> str:
    """A part's name; one made up where it has none."""
    name = Path(part.get_filename() or "").name
    return name or f"part-{index + 1}{mimetypes.guess_extension(part.get_content_type()) or ''}"


class Mailbox:
    """The folder of mails: `000001.eml` and so on, with the envelope in `X-Ithaca-` headers on top."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.mails: dict[int, Mail] = {}
        for file in sorted(folder.glob("*.eml")):
            with contextlib.suppress(ValueError, OSError):
                number = int(file.stem)
                self.mails[number] = parse(number, file.read_bytes())
        self.last = max(self.mails, default=0)

    def keep(self, sender: str, recipients: list[str], content: bytes) -> int:
        """Write a mail to its file, whole or not at all, and return its number."""
        with self.lock:
            number = self.last + 1
            envelope = (
                f"X-Ithaca-Received: {datetime.now(UTC).isoformat()}\r\n"
                f"X-Ithaca-From: {ascii_line(sender)}\r\nX-Ithaca-To: {', '.join(map(ascii_line, recipients))}\r\n"
            )
            whole = envelope.encode("ascii") + content
            file = self.folder / f"{number:06}.eml"
            new = file.with_suffix(".new")
            new.write_bytes(whole)
            new.chmod(0o600)
            new.replace(file)
            self.mails[number] = parse(number, whole)
            self.last = number
            return number

    def find(self, to: str = "", since: str = "") -> list[Mail]:
        """Mails, the newest first: to this address (or a part of it), and after this number or this time (ISO 8601)."""
        mails = [
            mail for mail in list(self.mails.values()) if not to or any(to.lower() in each.lower() for each in mail.recipients)
        ]
        if since.isdecimal():
            mails = [mail for mail in mails if mail.number > int(since)]
        elif since:
            # A plus sign in a query is a space.
            after = datetime.fromisoformat(since.replace(" ", "+"))
            after = after if after.tzinfo else after.replace(tzinfo=UTC)
            mails = [mail for mail in mails if mail.received > after]
        return sorted(mails, key=lambda mail: -mail.number)

    def clear(self) -> int:
        """Delete all mails; numbers go on from where they were."""
        with self.lock:
            count = len(self.mails)
            for number in list(self.mails):
                (self.folder / f"{number:06}.eml").unlink(missing_ok=True)
                del self.mails[number]
            return count


def ascii_line(address: str) -> str:
    """An address that is safe in a header; one beyond ASCII in percent signs."""
    return quote(address, safe="@.+-_=!#$&'*/?^`{|}~ ")


def parse(number: int, content: bytes) -> Mail:
    """A file of the folder as a mail."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    received = datetime.fromisoformat(header(message, "X-Ithaca-Received"))
    recipients = [each for each in header(message, "X-Ithaca-To").split(", ") if each]
    sender = header(message, "X-Ithaca-From")
    for name in ("X-Ithaca-Received", "X-Ithaca-From", "X-Ithaca-To"):
        del message[name]
    if not recipients:
        recipients = [address for _, address in getaddresses([header(message, "To")])]
    return Mail(number, received, sender, recipients, message)


class Receiver:
    """What the SMTP server does with a mail. An address that starts with `refuse` is refused, to try what happens then."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _peer: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Refuse for good what starts with `refuse`, for now what starts with `later`; take all else."""
        if address.lower().startswith("refuse"):
            return "550 5.1.1 no such mailbox"
        if address.lower().startswith("later"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _peer: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep it before saying so."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        number = await asyncio.to_thread(self.mailbox.keep, envelope.mail_from or "", list(envelope.rcpt_tos), content)
        return f"250 OK kept as {number}"


PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --link: light-dark(#0b57d0, #8ab4f8); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 50rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
  background: Canvas; color: CanvasText; }
a { color: var(--link); } h1 { font-size: 1.4rem; margin: .5rem 0; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; justify-content: space-between; }
input, button { font: inherit; padding: .4rem .7rem; min-height: 2.75rem; border: 1px solid var(--line); border-radius: .4rem; }
form { display: flex; gap: .5rem; } ul { list-style: none; padding: 0; }
li a.mail { display: block; padding: .7rem .2rem; border-top: 1px solid var(--line); text-decoration: none; color: inherit; }
li a.mail:hover, li a.mail:focus { background: var(--soft); } .subject { font-weight: 600; display: block; }
small { opacity: .75; } dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem 1rem; } dt { opacity: .75; } dd { margin: 0; }
iframe { width: 100%; height: 65vh; border: 1px solid var(--line); border-radius: .4rem; background: white padding-box; }
pre { white-space: pre-wrap; font: inherit; padding: 1rem; border: 1px solid var(--line); border-radius: .4rem; }
pre.file { font: .85rem/1.4 ui-monospace, monospace; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
@media (max-width: 30rem) { dl { display: block; } dd + dt { margin-top: .4rem; } }
</style></head><body>$body</body></html>
""")


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    """One of our pages; the body is markup already."""
    text = PAGE.substitute(title=html.escape(title), body=body)
    return HTMLResponse(text, status, {"Content-Security-Policy": PAGE_POLICY, **PRIVATE})


PRIVATE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")


def linked(text: str) -> str:
    """Plain text as markup, its links to click on."""
    pieces, at = [], 0
    for found in LINK.finditer(text):
        url = html.escape(found.group())
        pieces += [html.escape(text[at : found.start()]), f'<a href="{url}" target="_blank" rel="noopener noreferrer">{url}</a>']
        at = found.end()
    return "".join([*pieces, html.escape(text[at:])])


class Pages:
    """The mailbox over HTTP: pages for people, JSON for tests."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def application(self) -> Starlette:
        """The web application. Only names of this machine are answered, so that no foreign page reads it by a DNS trick."""
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        return Starlette(
            routes=[
                Route("/", self.index),
                Route("/messages/{number:int}", self.show),
                Route("/messages/{number:int}/html", self.markup),
                Route("/messages/{number:int}/source", self.source),
                Route("/messages/{number:int}/files/{index:int}/{name:path}", self.file),
                Route("/clear", self.clear, methods=["POST"]),
                Route("/api/messages", self.api_list, methods=["GET"]),
                Route("/api/messages", self.api_clear, methods=["DELETE"]),
                Route("/api/messages/{number:int}", self.api_one),
                Route("/health", self.health),
            ],
            middleware=[hosts],
        )

    def mail(self, request: Request) -> Mail | None:
        return self.mailbox.mails.get(request.path_params["number"])

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "messages": len(self.mailbox.mails)})

    async def api_list(self, request: Request) -> Response:
        try:
            mails = self.mailbox.find(request.query_params.get("to", ""), request.query_params.get("since", ""))
        except ValueError:
            problem = {"title": "since: give the number of a message or a time as ISO 8601", "status": 400}
            return JSONResponse(problem, 400, media_type="application/problem+json")
        return JSONResponse([mail.summary() for mail in mails], headers=PRIVATE)

    async def api_one(self, request: Request) -> Response:
        if (mail := self.mail(request)) is None:
            return JSONResponse({"title": "no such message", "status": 404}, 404, media_type="application/problem+json")
        return JSONResponse(mail.full(), headers=PRIVATE)

    async def api_clear(self, _request: Request) -> Response:
        return JSONResponse({"deleted": self.mailbox.clear()})

    async def clear(self, request: Request) -> Response:
        # A form on a foreign page could send this too.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return page("Refused", "<main><h1>Refused</h1><p>This was sent from another page.</p></main>", 403)
        self.mailbox.clear()
        return RedirectResponse("/", 303)

    async def index(self, request: Request) -> Response:
        to = request.query_params.get("to", "")
        rows = [
            f'<li><a class="mail" href="/messages/{mail.number}"><span class="subject">{html.escape(mail.subject)}</span>'
            f"<small>to {html.escape(', '.join(mail.recipients))} · {mail.received:%Y-%m-%d %H:%M:%S} UTC</small></a></li>"
            for mail in self.mailbox.find(to)[:500]
        ]
        none = "No mail to such an address." if to else "No mail yet."
        body = f"""<header><h1>Mailbox</h1>
<form action="/" role="search"><input name="to" type="search" value="{html.escape(to)}" placeholder="Address" aria-label="Address">
<button>Show</button></form><form action="/clear" method="post"><button>Delete all</button></form></header>
<main><p>Mails sent by the platform on this machine. None of them leaves it.</p>
<ul>{"".join(rows) or f"<li>{none}</li>"}</ul></main>"""
        return page("Mailbox", body)

    async def show(self, request: Request) -> Response:
        if (mail := self.mail(request)) is None:
            body = '<main><h1>No such mail</h1><p>It was deleted, or never came. <a href="/">All mails</a></p></main>'
            return page("No such mail", body, 404)
        at = f"/messages/{mail.number}"
        lines = {"From": header(mail.message, "From") or mail.sender, "To": ", ".join(mail.recipients)}
        lines |= {name: value for name in ("Reply-To", "List-Unsubscribe") if (value := header(mail.message, name))}
        lines["Received"] = f"{mail.received:%Y-%m-%d %H:%M:%S} UTC"
        rows = "".join(f"<dt>{name}</dt><dd>{linked(value)}</dd>" for name, value in lines.items())
        text = mail.body("plain")
        parts = []
        if mail.body("html") is not None:
            parts.append(f'<iframe src="{at}/html" sandbox="{SANDBOX}" title="The mail"></iframe>')
            if text is not None:
                parts.append(f"<details><summary>As plain text</summary><pre>{linked(text)}</pre></details>")
        elif text is not None:
            parts.append(f"<pre>{linked(text)}</pre>")
        for index, part in enumerate(mail.attachments()):
            name = filename(part, index)
            url = f"{at}/files/{index}/{quote(name, safe='')}"
            size = len(bytes_of(part))
            parts.append(f'<p>Attached: <a href="{url}" download>{html.escape(name)}</a> <small>{size} bytes</small></p>')
            if part.get_content_type() == "text/calendar":
                parts.append(f'<pre class="file">{html.escape(text_of(part))}</pre>')
        body = f"""<header><a href="/">← All mails</a> <a href="{at}/source">Source</a></header>
<main><h1>{html.escape(mail.subject)}</h1><dl>{rows}</dl>{"".join(parts)}</main>"""
        return page(mail.subject, body)

    async def markup(self, request: Request) -> Response:
        mail = self.mail(request)
        if mail is None or (markup := mail.body("html")) is None:
            return Response(status_code=404)
        # Links open outside the frame; a picture inside the mail is shown, one from elsewhere is not fetched.
        text = '<base target="_blank">' + with_pictures(markup, mail)
        return HTMLResponse(text, headers={"Content-Security-Policy": MAIL_POLICY, **PRIVATE})

    async def source(self, request: Request) -> Response:
        if (mail := self.mail(request)) is None:
            return Response(status_code=404)
        content = mail.message.as_bytes()
        return Response(
            content, media_type="text/plain; charset=utf-8", headers={"Content-Security-Policy": "sandbox", **PRIVATE}
        )

    async def file(self, request: Request) -> Response:
        mail = self.mail(request)
        if mail is None or not 0 <= (index := request.path_params["index"]) < len(parts := mail.attachments()):
            return Response(status_code=404)
        name = quote(filename(parts[index], index), safe="")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}", "Content-Security-Policy": "sandbox", **PRIVATE}
        return Response(bytes_of(parts[index]), media_type=parts[index].get_content_type(), headers=headers)


def with_pictures(markup: str, mail: Mail) -> str:
    """The markup with `cid:` pictures put in from the mail's own parts."""
    pictures = {
        str(part["Content-ID"]).strip().strip("<>"): part
        for part in mail.attachments()
        if part["Content-ID"] and part.get_content_maintype() == "image"
    }

    def put(found: re.Match[str]) -> str:
        part = pictures.get(found.group(1))
        if part is None:
            return found.group()
        return f"data:{part.get_content_type()};base64,{base64.b64encode(bytes_of(part)).decode()}"

    return re.sub(r"cid:([^\"'\s>)]+)", put, markup)


def address(text: str) -> tuple[str, int]:
    """`host:port` in two."""
    host, _, port = text.rpartition(":")
    return host, int(port)


async def serve(folder: Path, smtp: tuple[str, int], web: tuple[str, int]) -> None:
    """Serve both until a signal ends it."""
    mailbox = Mailbox(folder)
    receiver = Receiver(mailbox)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(receiver, hostname="mailbox.localhost", data_size_limit=LARGEST, enable_SMTPUTF8=True), *smtp
    )
    config = uvicorn.Config(Pages(mailbox).application(), host=web[0], port=web[1], log_level="warning", lifespan="off")
    try:
        await uvicorn.Server(config).serve()
    finally:
        server.close()


def main() -> None:
    """Read the command line and serve."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--smtp", type=address, required=True)
    options.add_argument("--http", type=address, required=True)
    given = options.parse_args()
    os.umask(0o077)
    asyncio.run(serve(given.folder, given.smtp, given.http))


if __name__ == "__main__":
    main()
