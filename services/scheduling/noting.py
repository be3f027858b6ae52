"""The page /notes of a relationship: the brief before a meeting, its agenda, follow-ups and notes, for the members alone.

GET and HEAD show and change nothing. POST decides under the relationship's lock and leads back to the part of the page it was about.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.asking import DOUBTS, POINTS
from services.scheduling.checking_in import fit_of, newest
from services.scheduling.clicks import Seen, day, decide, page, see, stands, way
from services.scheduling.domain import apart, brief, co_mentees, entries, follow_ups, goals, openings
from services.scheduling.domain.check_ins import CheckIn
from services.scheduling.domain.entries import LONGEST_TEXT, Entry, EntryKind, Written
from services.scheduling.domain.feedback import Feedback
from services.scheduling.domain.meetings import begun
from services.scheduling.domain.model import Meeting, MeetingStatus, Person, Relationship
from shared import web
from shared.cloudevents import new_id
from shared.decisions import Context, Outcome
from shared.links import Link
from shared.prompts import prompts
from shared.service import Service

NotesLink = Annotated[Link, Depends(web.link_of("notes"))]
ASKED = {
    EntryKind.point: "Please write what you want to talk about.",
    EntryKind.follow_up: "Please write what is to be done.",
    EntryKind.note: "Please write your note.",
}
EVERYONE = "everyone"
LAST_DAY = date(2100, 1, 1)
DOUBTS_STAY = timedelta(days=42)
"""A doubt is a thought for the weeks after the question about it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was typed or pressed on the page."""

    add: web.Text = ""
    """Of which kind the new entry is."""
    form: web.Text = ""
    """Which showing of the page it was: the same form sent twice adds one entry."""
    text: web.Text = ""
    doer: web.Text = ""
    due_on: web.Text = ""
    own: web.Text = ""
    done: web.Text = ""
    again: web.Text = ""
    away: web.Text = ""
    """The entry that was pressed."""
    settled: web.Text = ""
    """What the two see differently, and have talked about."""

    @property
    def words(self) -> str:
        return web.lines(self.text)

    def wrong(self, relationship: Relationship, today: date) -> str:
        """What is to be mended before an entry can be added."""
        if self.add not in set(EntryKind):
            return "Please use one of the buttons."
        if not self.words:
            return ASKED[EntryKind(self.add)]
        if len(self.words) > LONGEST_TEXT:
            return f"Please keep it to {LONGEST_TEXT} characters."
        if self.add == EntryKind.follow_up:
            if self.doer not in {EVERYONE, *relationship.people}:
                return "Please choose who does it."
            due = day(self.due_on) if self.due_on else today
            if due is None or not today <= due <= LAST_DAY:
                return "Please choose a day from today on, or leave it empty."
        return ""

    def entry(self, about: UUID, relationship: Relationship, writer: UUID, now: datetime) -> Entry:
        """The new entry of a form without fault."""
        kind = EntryKind(self.add)
        follows = kind is EntryKind.follow_up
        return Entry(
            about,
            relationship.id,
            relationship.organization,
            writer,
            kind,
            self.words,
            now,
            own=kind is EntryKind.note and self.own == "yes",
            doer=UUID(self.doer) if follows and self.doer != EVERYONE else None,
            due_on=day(self.due_on) if follows else None,
        )


def entry_of(sent: Sent, relationship_id: UUID, writer: UUID) -> UUID | None:
    """Which entry it is about; None where that is none."""
    if sent.add:
        what = (sent.form, sent.add, sent.words, sent.doer, sent.due_on, sent.own)
        return entries.entry_id(relationship_id, writer, "\n".join(what))
    try:
        return UUID(sent.done or sent.again or sent.away)
    except ValueError:
        return None


# ---- the page ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """What was written, sorted for the page."""

    known: Sequence[Entry]

    def open(self, kind: EntryKind) -> list[Entry]:
        """What is due first stands first."""
        return sorted((e for e in self.known if e.kind is kind and e.done_at is None), key=lambda e: e.due_on or LAST_DAY)

    @property
    def done(self) -> list[Entry]:
        return sorted((e for e in self.known if e.done_at is not None), key=lambda e: str(e.done_at), reverse=True)


def today_of(seen: Seen) -> date:
    """On the reader's own wall."""
    return seen.now.astimezone(ZoneInfo(seen.words.zone)).date()


@dataclass(frozen=True, slots=True)
class Beside:
    """What else the reader finds in the brief."""

    check_ins: Sequence[CheckIn] = ()
    """Theirs."""
    feedback: Sequence[Feedback] = ()
    """What they got and haven't read."""

    def talk(self, seen: Seen) -> dict[str, Any]:
        """Points for both, a thought for the one who doubts, what is asked of them and what was said to them."""
        relationship, fit = seen.relationship, fit_of(self.check_ins)
        over = relationship.ended_at is not None
        doubt = DOUBTS.get(fit.fit) if fit and fit.fit and fit.is_open(seen.now - DOUBTS_STAY) else None
        asked = [one for one in newest(one for one in self.check_ins if one.is_open(seen.now)) if one.answered_at is None]
        return {
            "apart": [] if over else [(one, POINTS[one.kind], seen.person in one.settled) for one in relationship.apart],
            "doubt": "" if over or not doubt else doubt,
            "asked": not over and bool(asked),
            "feedback": self.feedback,
        }


def notes_page(
    service: Service,
    link: Link,
    seen: Seen,
    known: Sequence[Entry],
    beside: Beside,
    error: str = "",
    sent: Sent | None = None,
) -> Response:
    relationship, meeting = seen.relationship, seen.meeting
    member = relationship.member(seen.person)
    assert member is not None
    scheduled = meeting is not None and meeting.status is MeetingStatus.scheduled
    ahead = meeting.starts_at if meeting is not None and scheduled and not begun(meeting, seen.now) else None
    over = relationship.ended_at is not None
    once = relationship.meets_once
    may = stands(seen.version, relationship) and entries.may_write(relationship, seen.now)
    held = {past.meeting_id: past.at for past in relationship.recent}
    if meeting is not None and meeting.starts_at is not None:
        held[meeting.id] = meeting.starts_at
    written = Listed(known)
    return page(
        "notes.html",
        seen,
        error=error,
        sent=sent or Sent(),
        form=new_id(),
        can=may,
        ahead=ahead,
        goals=[goal for goal in seen.goals if goal.text and goal.is_open],
        goals_way="" if once else way(service, link, seen, "goals"),
        set_goal=way(service, link, seen, "goals") if not over and not once and goals.may_set(relationship, seen.person) else "",
        share=way(service, link, seen, "share") if openings.mentor_of(relationship) and not once else "",
        see_others=way(service, link, seen, "co-mentees") if co_mentees.mentor_of(relationship, seen.person) and not over else "",
        prompts=() if over else prompts(brief.phase(relationship, ahead or seen.now), member.role, once=once),
        points=written.open(EntryKind.point),
        follow_ups=written.open(EntryKind.follow_up),
        notes=written.open(EntryKind.note)[::-1],
        done=written.done,
        held=held,
        today=today_of(seen),
        longest=LONGEST_TEXT,
        everyone=EVERYONE,
        edit=way(service, link, seen, "edit"),
        check_in=way(service, link, seen, "check-in"),
        give=way(service, link, seen, "feedback"),
        **beside.talk(seen),
    )


def decided(
    link: Link, sent: Sent, about: UUID, relationship: Relationship, meeting: Meeting | None, context: Context
) -> Outcome:
    """What is sent, unless whoever follows the link was erased."""
    writer, entry = context.get(Person, link.person), context.get(Entry, about)
    if writer is None or writer.erased:
        raise web.nowhere()
    if sent.add:
        added = sent.entry(about, relationship, link.person, context.now)
        outcome = entries.add(relationship, meeting, entry, added, context)
    elif sent.away:
        outcome = entries.take_away(relationship, entry, link.person)
    else:
        outcome = entries.tick(relationship, entry, context, done=bool(sent.done))
    return follow_ups.watched(relationship, outcome, context)


def routes(service: Service) -> APIRouter:
    router = APIRouter()

    async def look(link: Link, error: str = "", sent: Sent | None = None) -> Response:
        seen = await see(service, link, with_goals=True)
        async with service.database.transaction() as connection:
            known = await store.entries_of(connection, seen.relationship.id, link.person)
            asked = await store.check_ins_of(connection, seen.relationship.id)
            told = await store.feedback_of(connection, seen.relationship.id, link.person)
        beside = Beside(
            [one for one in asked if one.person_id == link.person],
            [one for one in told if one.receiver == link.person and one.given_at and not one.read_at],
        )
        return notes_page(service, link, seen, known, beside, error, sent)

    @router.api_route("/notes/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_notes(link: NotesLink) -> Response:
        return await look(link)

    @router.post("/notes/{thing}", include_in_schema=False)
    async def write(request: Request, link: NotesLink, sent: Annotated[Sent, Depends()]) -> Response:
        if sent.settled:
            await decide(service, request, link, lambda r, _, __: apart.settle(r, link.person, sent.settled))
            return web.seen(f"?{request.url.query}")
        about = entry_of(sent, link.object, link.person)
        seen = await see(service, link)
        fault = sent.wrong(seen.relationship, today_of(seen)) if about is None or sent.add else ""
        if about is None or fault:
            return await look(link, fault or "Please use one of the buttons.", sent)
        # the person too: who is erased, or is so at this moment, leaves no words behind
        reads: dict[type, list[UUID]] = {Entry: [about], Person: [link.person], Written: [link.object]}
        await decide(service, request, link, partial(decided, link, sent, about), reads, seen)
        return web.seen(f"?{request.url.query}#{sent.add or 'open'}")

    return router
