"""The mailbox: real mails over SMTP, read as pages and as JSON."""

import os
import smtplib
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import Ports, listening
from deploy.local.processes import Child, stop_together
from deploy.local.state import python_path

INVITATION = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"


class Box:
    """One mailbox process and its addresses."""

    def __init__(self, folder: Path) -> None:
        ports = Ports(folder / "ports.json")
        self.folder, self.smtp, self.http = folder / "mail", ports["smtp"], ports["mailbox"]
        words = ["--folder", str(self.folder), "--smtp", f"127.0.0.1:{self.smtp}", "--http", f"127.0.0.1:{self.http}"]
        env = {**os.environ, "PYTHONPATH": python_path(os.environ)}
        command = [sys.executable, "-m", "deploy.local.mailbox", *words]
        self.child = Child("mailbox", command, folder / "mailbox.log", env, cwd=folder)
        self.web = httpx.Client(base_url=f"http://127.0.0.1:{self.http}", trust_env=False)

    def start(self) -> None:
        self.child.start()
        self.child.wait_until(lambda: listening(self.http), 30)

    def send(self, message: EmailMessage, to: str = "mentee@example.org") -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=10) as server:
            server.send_message(message, "ithaca@example.org", [to])


@pytest.fixture(scope="module")
def box(tmp_path_factory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("box"))
    box.start()
    yield box
    box.web.close()
    stop_together([box.child], 3)


@pytest.fixture(autouse=True)
def empty(box):
    box.web.delete("/api/messages")


def mail(subject="Your mentor wrote", html: str | None = None, text="Bonjour, Zoë: https://example.org/link?a=1&b=2.\n"):
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "Ithaca <ithaca@example.org>", "mentee@example.org"
    message["Message-ID"] = "<one@ithaca.example>"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def test_a_mail_is_kept_and_read_with_its_parts(box):
    message = mail("Réunion à 10 h", html="<p>Hello <a href='https://example.org'>you</a></p>")
    message.add_attachment(INVITATION.encode(), maintype="text", subtype="calendar", filename="meeting.ics")
    box.send(message)
    (summary,) = box.web.get("/api/messages").json()
    assert (summary["subject"], summary["to"], summary["message_id"]) == (
        "Réunion à 10 h",
        ["mentee@example.org"],
        "<one@ithaca.example>",
    )
    full = box.web.get(f"/api/messages/{summary['id']}").json()
    assert "Zoë" in full["text"]
    assert "<p>Hello" in full["html"]
    (invitation,) = full["attachments"]
    assert (invitation["filename"], invitation["content_type"]) == ("meeting.ics", "text/calendar")
    assert "METHOD:REQUEST" in invitation["text"]
    assert "X-Ithaca-To" not in full["headers"]


def test_the_list_is_narrowed_by_recipient_number_and_time(box):
    box.send(mail("first"), to="Ada@example.org")
    first = box.web.get("/api/messages").json()[0]
    time.sleep(0.01)
    box.send(mail("second"), to="bo@example.org")

    def subjects(**query):
        return [each["subject"] for each in box.web.get("/api/messages", params=query).json()]

    assert subjects() == ["second", "first"]
    assert subjects(to="ada@example.org") == ["first"]
    assert subjects(since=first["id"]) == ["second"]
    assert subjects(since=first["received"]) == ["second"]
    answer = box.web.get("/api/messages", params={"since": "yesterday"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_mails_outlive_the_process_and_numbers_go_on(box):
    box.send(mail("before"))
    number = box.web.get("/api/messages").json()[0]["id"]
    stop_together([box.child], 3)
    box.start()
    box.send(mail("after"))
    assert [each["id"] for each in box.web.get("/api/messages").json()] == [number + 1, number]
    assert (box.folder / f"{number:06}.eml").stat().st_mode & 0o077 == 0


def test_a_mails_markup_is_shut_in(box):
    box.send(mail("<script>alert(1)</script>", html="<script>alert(2)</script><form action='/clear'></form><p>hello</p>"))
    number = box.web.get("/api/messages").json()[0]["id"]
    shown = box.web.get(f"/messages/{number}")
    assert "<script" not in shown.text
    assert f'<iframe src="/messages/{number}/html" sandbox="allow-popups allow-popups-to-escape-sandbox"' in shown.text
    framed = box.web.get(f"/messages/{number}/html")
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy


def test_pages_show_links_invitations_and_files(box):
    message = mail(text="Say when: https://example.org/pick?a=1&b=2. Thank you.\n")
    message.add_attachment(INVITATION.encode(), maintype="text", subtype="calendar", filename="meeting.ics")
    box.send(message)
    number = box.web.get("/api/messages").json()[0]["id"]
    shown = box.web.get(f"/messages/{number}").text
    assert '<a href="https://example.org/pick?a=1&amp;b=2" target="_blank"' in shown
    assert "METHOD:REQUEST" in shown
    file = box.web.get(f"/messages/{number}/files/0/meeting.ics")
    assert file.headers["content-disposition"].startswith("attachment")
    assert b"VCALENDAR" in file.content
    assert "width=device-width" in shown
    assert "light dark" in shown
    assert "Your mentor wrote" in box.web.get("/").text
    assert box.web.get("/messages/99999").status_code == 404


def test_some_addresses_are_refused_to_try_what_happens(box):
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        box.send(mail(), to="refuse.me@example.org")
    assert refused.value.recipients["refuse.me@example.org"][0] == 550
    with pytest.raises(smtplib.SMTPRecipientsRefused) as later:
        box.send(mail(), to="later@example.org")
    assert later.value.recipients["later@example.org"][0] == 451
    assert box.web.get("/api/messages").json() == []


def test_foreign_pages_can_neither_read_nor_delete(box):
    box.send(mail())
    assert box.web.get("/api/messages", headers={"Host": "evil.example"}).status_code == 400
    assert box.web.post("/clear", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert len(box.web.get("/api/messages").json()) == 1
    assert box.web.post("/clear").status_code == 303
    assert box.web.get("/api/messages").json() == []


def test_a_broken_mail_is_kept_and_shown(box):
    with smtplib.SMTP("127.0.0.1", box.smtp, timeout=10) as server:
        broken = b"Subject: =?utf-8?q?=ff?=\r\nContent-Type: text/html; charset=nonsense\r\nTo: @@\r\n\r\n\xff\xfe<p>"
        server.sendmail("", ["x@example.org"], broken)
    number = box.web.get("/api/messages").json()[0]["id"]
    for path in (f"/api/messages/{number}", f"/messages/{number}", f"/messages/{number}/html", f"/messages/{number}/source", "/"):
        assert box.web.get(path).status_code == 200, path
