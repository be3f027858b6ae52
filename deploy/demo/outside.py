"""What stands outside the platform in the demo: people who read their mail and click, and a partner's webhook."""

import asyncio
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Self

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

LINK = re.compile(r"https?://[^\s<>\"]+")
SLOT = re.compile(r'name="slot"\s+value="([^"]+)"|value="([^"]+)"[^>]*name="slot"')


class StoryError(Exception):
    """Something the story waited for did not come, or a count is wrong."""


@dataclass
class Mails:
    """Everybody's mail, read over the mailbox's own interface; each message once."""

    http: httpx.AsyncClient
    url: str
    subjects: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    links: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Per address, newest last."""
    seen: set[Any] = field(default_factory=set)
    message_ids: dict[str, int] = field(default_factory=dict)

    async def read(self) -> int:
        """Read what is new; the number of messages so far."""
        listed = (await self.http.get(f"{self.url}/api/messages")).json()
        for message in reversed(listed):
            if message["id"] not in self.seen:
                whole = (await self.http.get(f"{self.url}/api/messages/{message['id']}")).json()
                self.keep(message["id"], whole["message_id"], message["to"], message["subject"], whole["text"])
        return len(self.seen)

    def keep(self, number: Any, message_id: str, to: list[str], subject: str, text: str) -> None:
        """Note one message."""
        self.seen.add(number)
        self.message_ids[message_id] = self.message_ids.get(message_id, 0) + 1
        for address in to:
            self.subjects[address].append(subject)
            self.links[address] += [unescape(link) for link in LINK.findall(text)]

    def link(self, address: str, action: str, thing: str = "") -> str | None:
        """The newest link in someone's mail that does this."""
        for link in reversed(self.links[address]):
            if f"/{action}/{thing}" in link:
                return link
        return None


@dataclass
class MaildevMails(Mails):
    """The same from maildev, whose list holds whole messages."""

    async def read(self) -> int:
        """Read what is new; the number of messages so far."""
        listed = (await self.http.get(f"{self.url}/api/email", params={"skip": len(self.seen)})).json()
        for mail in sorted(listed, key=lambda mail: str(mail["time"])):
            if mail["id"] not in self.seen:
                to = [one["address"] for one in mail["envelope"]["to"]]
                self.keep(mail["id"], mail["headers"]["message-id"], to, mail["subject"], mail["text"])
        return len(self.seen)


async def click(http: httpx.AsyncClient, link: str, patience: float = 30.0, **form: str) -> str:
    """Open a page as a person would, fill in its form and send it; try again where the service is away. Returns the page after it.

    `slot="first"` chooses the first time the page offers.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        try:
            shown = await http.get(link, headers={"Accept": "text/html"})
            if shown.status_code < 500:
                if form.get("slot") == "first" and (found := SLOT.search(shown.text)):
                    form["slot"] = found.group(1) or found.group(2)
                answer = await http.post(link, data=form, headers={"Accept": "text/html"}, follow_redirects=True)
                if answer.status_code < 500:
                    answer.raise_for_status()
                    return answer.text
        except httpx.TransportError:
            pass
        if loop.time() > end:
            raise TimeoutError(f"{link.partition('?')[0]} didn't answer within {patience:.0f} s")
        await asyncio.sleep(0.05)  # a person tries again; there is nothing else to wait on


class Receiver:
    """A partner's endpoint: takes webhooks and checks the signature of each."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.webhook: Webhook | None = None
        self.events: dict[str, dict[str, Any]] = {}
        self.refused = 0
        app = FastAPI()

        @app.post("/ithaca")
        async def take(request: Request) -> Response:
            body = await request.body()
            if self.webhook is None:
                return Response(status_code=503)
            try:
                self.webhook.verify(body, dict(request.headers))
            except WebhookVerificationError:
                self.refused += 1
                return Response(status_code=401)
            event = json.loads(body)
            self.events[event["id"]] = event
            return Response(status_code=204)

        self.server = uvicorn.Server(uvicorn.Config(app, host=host, port=0, log_level="warning", access_log=False))
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.server._serve())  # noqa: SLF001 - serve() would take our signals
        while not self.server.started:  # noqa: ASYNC110 - uvicorn tells by a flag only
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.should_exit = True
        if self.task is not None:
            await self.task

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server.servers[0].sockets[0].getsockname()[1]}/ithaca"
