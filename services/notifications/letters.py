"""Puts a message into words, in the reader's language and time, as text, HTML and calendar file. Nothing is sent or stored here."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.charset import QP, Charset
from email.header import Header
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, formataddr
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

from icalendar import Alarm, Calendar, Event, vCalAddress, vText
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notifications.domain import Person, check_in_page, others, role_of
from services.notifications.occasions import Letterhead, Occasion
from services.notifications.wording import day, hours, paragraphs, short_when, when, zone_of
from shared import links
from shared.events import Format, Phase, Reason, Role, Term
from shared.languages import tongue
from shared.prompts import HOST, prompts
from shared.words import join_and, plain, upper

WIRE = compat32.clone(linesep="\r\n", max_line_length=0)
"""Headers aren't folded: one without a space would come out as encoded words, which breaks `List-Unsubscribe`."""
UTF8 = Charset("utf-8")
UTF8.body_encoding = QP
ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")
"""ASCII without spaces; a name beyond ASCII before the @ needs a relay that knows SMTPUTF8, and is refused here."""
MAILS = Path(__file__).parent / "mails"
LANGUAGES = ("en",)
"""Those that have a folder of templates, the first for everyone else."""
LINK_DAYS = {
    "sign": 60,
    "edit": 180,
    "renew": 45,
    "reached": 180,
    "pick": 45,
    "met": 30,
    "goals": 180,
    "skills": 90,
    "notes": 180,
    "group": 180,
    "end": 180,
    "touch": 60,
    "silent": 180,
    "concern": 180,
    "own": 180,
    "mine": 180,
    "record": 365,
    "outcome": 365,
    "where": 90,
    "after": 90,
    "check-in": 90,
    "feedback": 180,
    "share": 180,
    "introduced": 60,
    "co-mentees": 180,
    "choose": 180,
    "request": 180,
    "nominate": 180,
    "mentor": 365,
    "invited": 30,
    "again": 365,
    "lighter": 90,
    "personal": 365,
    "preferences": 365,
    "unsubscribe": 365,
}
NAMED = {"invited": "who", "request": "request", "record": "recognition", "introduced": "introduction", "co-mentees": "circle"}
"""The links whose object stands in what the message says, and by which name."""
MOMENTS = (
    "starts_at",
    "was_at",
    "closes_at",
    "until",
    "renewed_until",
    "since",
    "freezes_at",
    "ends_at",
    "answer_by",
    "suggested_at",
    "due_at",
)
"""Of what a message says, those that are times."""
NOT_RUNNING = frozenset({"asked", "ended", "left", "introduction_asked", "introduced", "not_now"})
"""In which nobody is told how to say that they hear nothing: who is asked, who reads that it is over, for all or for them, and who may not be in it."""
TEMPLATES = (
    "welcome",
    "waiting",
    "introduction",
    "unsigned",
    "revised",
    "renewal",
    "renewed",
    "choose_time",
    "suggested",
    "conversation",
    "write",
    "invitation",
    "moved",
    "cancelled",
    "reminder",
    "follow_ups",
    "did_you_meet",
    "missed",
    "milestone",
    "goal_reached",
    "in_touch",
    "nudge",
    "warned",
    "frozen",
    "asked",
    "answered",
    "ended",
    "stay_in_touch",
    "recognised",
    "joined",
    "newcomer",
    "went_out",
    "left",
    "host",
    "opportunity",
    "letter_asked",
    "introduction_asked",
    "introduced",
    "not_now",
    "circle_asked",
    "circle_off",
    "lighter",
    "check_in",
    "misaligned",
    "feedback_asked",
    "feedback_given",
    "request",
    "request_question",
    "request_accepted",
    "request_onwards",
    "request_withdrawn",
    "invited",
    "nomination_ended",
)


@lru_cache(maxsize=2)
def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(MAILS),
        autoescape=autoescape,  # noqa: S701 - texts aren't HTML; the frame that is has it on
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters |= {"join_and": join_and, "plain": plain, "hours": hours, "language": tongue, "paragraphs": paragraphs}
    return environment


def language_of(locale: str) -> str:
    """The folder of templates for a reader: the language, or English until there is one."""
    wanted = locale.partition("-")[0].lower()
    return wanted if wanted in LANGUAGES else LANGUAGES[0]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in words."""

    subject: str
    text: str
    html: str
    unsubscribe_url: str


class Writer:
    """Writes letters under one letterhead."""

    def __init__(self, letterhead: Letterhead) -> None:
        self.head = letterhead

    def link(self, occasion: Occasion, now: datetime, action: str) -> str:
        """The reader's own link to do this one thing."""
        delivery, head = occasion.delivery, self.head
        person, data = delivery.person_id, delivery.data
        agreement = occasion.relationship.agreement if occasion.relationship else 0
        base = head.scheduling
        thing: UUID | None
        match action:
            case "sign" | "renew":
                thing, version = delivery.relationship_id, data["version" if action == "sign" else "renewals"]
            case (
                "goals"
                | "skills"
                | "notes"
                | "end"
                | "edit"
                | "reached"
                | "touch"
                | "silent"
                | "concern"
                | "after"
                | "check-in"
                | "feedback"
                | "group"
                | "share"
            ):
                thing, version = delivery.relationship_id, agreement
            case "pick" | "where":
                thing, version = delivery.meeting_id, data.get("sequence", 0)
            case "met":
                thing, version = delivery.meeting_id, data.get("revision", occasion.meeting.revision if occasion.meeting else 0)
            case "choose" | "again" | "lighter":
                base, thing, version = head.matching, links.wishes_id(delivery.program, person), 1
            case "personal":
                base, thing, version = head.matching, links.personal_id(delivery.program, person, head.link_secret), 1
            case "nominate" | "mentor" | "outcome":
                base, thing, version = head.gateway, links.wishes_id(delivery.program, person), 1
            case "invited" | "request" | "record" | "introduced" | "co-mentees":
                base = {"invited": head.gateway, "request": head.matching}.get(action, base)
                thing, version = UUID(data[NAMED[action]]), 1
            case _:
                base, thing, version = head.scheduling if action in {"own", "mine"} else head.notifications, person, 1
        assert thing is not None
        expires = now + timedelta(days=LINK_DAYS[action])
        return links.mint(action, thing, person, version, expires).url(base, head.link_secret)

    def write(self, occasion: Occasion, now: datetime) -> Letter:
        """Text and HTML in the reader's language."""
        language = language_of(occasion.reader.locale)
        texts = _environment(False)
        said = self._said(occasion, now)
        view = self._view(occasion, now)
        footer = texts.get_template(f"{language}/footer.jinja").make_module(view)
        lead, facts = said["lead"], said["facts"]
        parts: dict[str, Any] = view | {
            **said,
            "lang": language,
            "preview": lead[1] if len(lead) > 1 else lead[0],
            "lead": "\n\n".join(map(upper, lead)),
            "width": max((len(str(what)) + 1 for what, _ in facts), default=0),
            "more": "\n\n".join(said["more"]),
            "further": self._further(occasion, now),
            "footer": footer,
            "preferences_url": self.link(occasion, now, "preferences"),
            "unsubscribe_url": self.link(occasion, now, "unsubscribe"),
        }
        text = texts.get_template("mail.txt").render(parts)
        html = _environment(True).get_template("mail.html").render(parts)
        return Letter(parts["subject"], text, html, parts["unsubscribe_url"])

    def _said(self, occasion: Occasion, now: datetime) -> dict[str, Any]:
        """What the message's own template says; `lead` and `more` by paragraph."""
        name = f"{language_of(occasion.reader.locale)}/{occasion.delivery.template}.jinja"
        said: Any = _environment(False).get_template(name).make_module(self._view(occasion, now))
        greeting, *lead = paragraphs(str(said.lead))
        return {
            "subject": " ".join(str(said.subject).split()),
            "heading": str(said.heading),
            "lead": [greeting, *(paragraphs(occasion.own_words) or lead)],
            "points": list(getattr(said, "points", ())),
            "facts": list(getattr(said, "facts", ())),
            "action": getattr(said, "action", None),
            "more": paragraphs(str(getattr(said, "more", ""))),
            "also": list(getattr(said, "also", ())),
            "symbol": getattr(said, "symbol", ""),
        }

    def _further(self, occasion: Occasion, now: datetime) -> list[dict[str, Any]]:
        """The further questions: without the greeting, which was said, and each relationship with its own ways to say how it goes."""
        footer = _environment(False).get_template(f"{language_of(occasion.reader.locale)}/footer.jinja")
        found, known = [], {occasion.delivery.relationship_id}
        for other in occasion.others:
            said, about = self._said(other, now), other.delivery.relationship_id
            ways: Any = () if about in known else footer.make_module(self._view(other, now)).ways  # type: ignore[attr-defined]
            known.add(about)
            lead, more = "\n\n".join(map(upper, said["lead"][1:])), "\n\n".join(said["more"])
            found.append(said | {"lead": lead, "more": more, "also": [*said["also"], *ways]})
        return found

    def _view(self, occasion: Occasion, now: datetime) -> dict[str, Any]:
        """What templates may speak of."""
        delivery, reader, relationship = occasion.delivery, occasion.reader, occasion.relationship
        data, zone = delivery.data, reader.time_zone
        rest = others(relationship, reader.id) if relationship else ()
        roles = [member.role.value for member in relationship.members] if relationship else ["mentor", "mentee"]
        known = [occasion.people.get(member.person_id) for member in rest]
        zones = [person.time_zone for person in known if person is not None and not person.erased]
        member = relationship is not None and any(m.person_id == reader.id for m in relationship.members)
        role = role_of(relationship, reader.id) if relationship and member else data.get("role")
        names = [_name(person, member.role) for person, member in zip(known, rest, strict=True)]
        shown_role = role.value if isinstance(role, Role) else role
        homes = [occasion.organizations.get(member.organization, member.organization.capitalize()) for member in rest]
        moments = {key: datetime.fromisoformat(data[key]) for key in MOMENTS if data.get(key)}
        by = UUID(data["by"]) if data.get("by") else None
        host = UUID(data["host"]) if data.get("host") else None
        return {
            **moments,
            "template": delivery.template,
            "me": str(reader.id),
            "you": reader.name,
            "role": shown_role,
            "program": occasion.program,
            "owner": occasion.owner,
            "data": MappingProxyType(data),
            "others": [
                {"name": name, "role": member.role.value, "organization": home}
                for name, member, home in zip(names, rest, homes, strict=True)
            ],
            "addresses": [f"{person.name}: {person.email}" for person in known if person and person.email and not person.erased],
            "once": relationship is not None and relationship.meets_once,
            "running": relationship is not None
            and relationship.agreed
            and not relationship.ended
            and delivery.template not in NOT_RUNNING,
            "ran": relationship is not None and relationship.agreed and not relationship.meets_once,
            "by_letter": relationship is not None and relationship.format is Format.e_mentoring,
            "names": join_and(names),
            "with_whom": join_and(f"{name} ({home})" for name, home in zip(names, homes, strict=True)),
            "by": reader.name
            if by == reader.id
            else next((n for n, m in zip(names, rest, strict=True) if m.person_id == by), None),
            "mine": by == reader.id,
            "group": relationship is not None and relationship.is_group,
            "beside": relationship is not None and relationship.beside,
            "i_lead": host == reader.id,
            "leads": next(
                (n for n, m in zip(names, rest, strict=True) if m.person_id == host), reader.name if host == reader.id else ""
            ),
            "host_prompts": HOST,
            "has_meeting": delivery.meeting_id is not None,
            "who": _name(occasion.people.get(UUID(data["who"])), Role.other, "Someone") if "who" in data else None,
            "who_address": _address(occasion.people.get(UUID(data["who"]))) if "who" in data else "",
            "by_request": occasion.by_request,
            "personal_rules": occasion.personal_rules,
            "talks": occasion.talks,
            "reasons": self._reasons(self._why(occasion), language_of(reader.locale), roles),
            "terms": relationship.terms if relationship else None,
            "slots": [when(datetime.fromisoformat(slot), zone, zones) for slot in data.get("slots", ())],
            "check_in_page": check_in_page(data.get("kind", "")),
            "own_milestone": occasion.own_milestone,
            "due_on": day(date.fromisoformat(data["due_on"])) if "due_on" in data else "",
            "prompts": self._prompts(occasion),
            "first_in_line": str(reader.id) in data.get("first", ()),
            "when": partial(when, zone=zone, elsewhere=zones),
            "date": lambda moment: day(moment.astimezone(zone_of(zone))),
            "short": relationship is not None and relationship.term is Term.short,
            "short_when": partial(short_when, zone=zone),
            "link": partial(self.link, occasion, now),
        }

    @staticmethod
    def _prompts(occasion: Occasion) -> Sequence[str]:
        """What the reader may think about before the meeting that a message is about."""
        delivery, relationship = occasion.delivery, occasion.relationship
        if relationship is None or not delivery.data.get("phase"):
            return ()
        role = role_of(relationship, occasion.reader.id)
        return prompts(Phase(delivery.data["phase"]), role, once=relationship.meets_once)

    @staticmethod
    def _why(occasion: Occasion) -> Sequence[Reason]:
        """Of the relationship, or of what the fact itself gives reasons for."""
        if occasion.relationship is not None:
            return occasion.relationship.reasons
        return [Reason.model_validate(told) for told in occasion.delivery.data.get("reasons", ())]

    def _reasons(self, reasons: Sequence[Reason], language: str, roles: Sequence[str]) -> list[str]:
        words: Any = _environment(False).get_template(f"{language}/words.jinja").module
        say: Callable[..., str] = words.reason
        said = (str(say(r.code.value, r.number, r.items, roles, r.near)).strip() for r in reasons)
        return [text for text in said if text][:5]

    # -- as a mail

    def mail(self, occasion: Occasion, now: datetime) -> bytes:
        """The whole message, as it goes over the wire. Raises ValueError where the reader's address can't stand in a header."""
        delivery, reader, head = occasion.delivery, occasion.reader, self.head
        letter = self.write(occasion, now)
        words = MIMEMultipart("alternative", None, [_text(letter.text, "plain"), _text(letter.html, "html")])
        message = words
        calendar = self.calendar(occasion, now)
        if calendar is not None:
            method, ics = calendar
            event = _text(ics, "calendar")
            event.set_param("method", method)
            words.attach(event)
            file = MIMEApplication(ics.encode(), "ics")
            file.add_header("Content-Disposition", "attachment", filename="invite.ics")
            message = MIMEMultipart("mixed", None, [words, file])
        if not ADDRESS.fullmatch(reader.email or ""):
            raise ValueError("no address for a header")
        message["From"] = formataddr((_header(occasion.program), head.address))
        message["To"] = formataddr((_header(reader.name), reader.email or ""))
        message["Subject"] = letter.subject if letter.subject.isascii() else Header(letter.subject, "utf-8").encode()
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{delivery.joins or delivery.id}@{head.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["List-Unsubscribe"] = f"<{letter.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["Feedback-ID"] = f"{delivery.template}:{delivery.program}:ithaca"
        return message.as_bytes(policy=WIRE)

    def calendar(self, occasion: Occasion, now: datetime) -> tuple[str, str] | None:
        """(METHOD, iCalendar text) for the reader's calendar, where the message changes it (RFC 5545, RFC 5546)."""
        delivery, meeting, relationship = occasion.delivery, occasion.meeting, occasion.relationship
        if delivery.template not in ("invitation", "moved", "cancelled", "left") or meeting is None or relationship is None:
            return None
        cancelled = delivery.template in ("cancelled", "left")
        method, data = ("CANCEL" if cancelled else "REQUEST"), delivery.data
        starts_at = datetime.fromisoformat(data["starts_at"])
        members = [occasion.people.get(member.person_id) for member in relationship.members]
        if delivery.template == "left":  # it stays in the others' calendars
            members = [occasion.reader]
        attendees = [person for person in members if person is not None and person.email and not person.erased]
        names = join_and(person.name for person in attendees)
        event = Event()
        event.add("uid", f"{meeting.id}@{self.head.domain}")
        event.add("sequence", data["sequence"])
        event.add("dtstamp", now)
        event.add("dtstart", starts_at)
        event.add("dtend", starts_at + timedelta(minutes=data["minutes"]))
        event.add("summary", f"{occasion.program}: {names}")
        event.add("description", f"{occasion.program}, {occasion.owner}")
        if not cancelled:
            # where it is, scheduling knows alone: whoever follows the link sees it, and changes nothing
            event.add("location", self.link(occasion, now, "where"))
            event.add("url", self.link(occasion, now, "where"))
        event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
        organizer = vCalAddress(f"mailto:{self.head.address}")
        organizer.params["CN"] = vText(occasion.program)
        event["organizer"] = organizer
        for person in attendees:
            attendee = vCalAddress(f"mailto:{person.email}")
            attendee.params["CN"] = vText(person.name)
            attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
            attendee.params["PARTSTAT"] = vText("ACCEPTED")
            attendee.params["RSVP"] = vText("FALSE")
            event.add("attendee", attendee, encode=False)
        if not cancelled:
            alarm = Alarm()
            alarm.add("action", "DISPLAY")
            alarm.add("description", f"{occasion.program}: {names}")
            alarm.add("trigger", timedelta(minutes=-15))
            event.add_component(alarm)
        calendar = Calendar()
        calendar.add("prodid", "-//Ithaca//Notifications//EN")
        calendar.add("version", "2.0")
        calendar.add("calscale", "GREGORIAN")
        calendar.add("method", method)
        calendar.add_component(event)
        return method, calendar.to_ical().decode()


def _text(body: str, subtype: str) -> MIMENonMultipart:
    """A part of text in UTF-8, quoted-printable."""
    part = MIMENonMultipart("text", subtype)
    part.set_payload(body, UTF8)
    return part


def _name(person: Person | None, role: Role, unknown: str = "your partner") -> str:
    if person is not None and person.name and not person.erased:
        return person.name
    return {Role.mentor: "your mentor", Role.mentee: "your mentee"}.get(role, unknown)


def _address(person: Person | None) -> str:
    return person.email or "" if person is not None and not person.erased else ""


def _header(text: str) -> str:
    """Safe in a header: one line, no characters that end a display name."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f<>\"\\]", " ", text).split())
