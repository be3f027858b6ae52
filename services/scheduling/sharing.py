"""The page /share of a relationship: what a mentor passes on, letters of recommendation, whom they introduce; for the members alone.

GET and HEAD show and change nothing. What goes to all mentees of a mentor is decided relationship by relationship, each under its own lock:
the same form again brings whatever is missing, and nothing twice.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response

from services.scheduling import store
from services.scheduling.clicks import Seen, act, day, decide, page, see, stands, way
from services.scheduling.domain import co_mentees, introductions, openings
from services.scheduling.domain.addresses import https
from services.scheduling.domain.introductions import LONGEST_NAME, Introduction, introduction_id
from services.scheduling.domain.model import Meeting, Person, Relationship
from services.scheduling.domain.openings import LONGEST_TEXT, Opening, OpeningState, PassedOn, ask_id, opening_id
from services.scheduling.domain.own import UNSEEN
from services.scheduling.noting import LAST_DAY, today_of
from services.scheduling.wording import OPENINGS
from shared import web
from shared.cloudevents import new_id
from shared.decisions import NOTHING, Context, Outcome
from shared.errors import Rejected
from shared.events import OpportunityKind
from shared.links import Link
from shared.service import Service

ShareLink = Annotated[Link, Depends(web.link_of("share"))]
ALL = "all"
"""To all of a mentor's mentees in the program."""
OUTSIDE = "outside"
"""Someone who isn't on the platform."""
LETTER = OpportunityKind.recommendation.value


@dataclass(frozen=True, slots=True)
class Sent:
    """What was typed or pressed on the page."""

    do: web.Text = ""
    form: web.Text = ""
    """Which showing of the page it was."""
    to: web.Text = ""
    kind: web.Text = ""
    text: web.Text = ""
    site: web.Text = ""
    last_on: web.Text = ""
    whom: web.Text = ""
    """To whom the mentee is introduced, and that one's name where they aren't on the platform."""
    name: web.Text = ""
    taken: web.Text = ""
    not_for_me: web.Text = ""
    back: web.Text = ""
    """The opening that was pressed."""
    unmake: web.Text = ""
    """The introduction that was."""

    @property
    def words(self) -> str:
        return web.lines(self.text)

    @property
    def called(self) -> str:
        return " ".join(UNSEEN.sub(" ", self.name).split())

    @property
    def url(self) -> str | None:
        return https(self.site.strip()) if self.site.strip() else ""

    @property
    def fingerprint(self) -> str:
        """Of all that was typed: a form that was changed is another one."""
        typed = (self.form, self.do, self.kind, self.words, self.site, self.last_on, self.whom, self.called)
        return "\n".join(typed)

    @property
    def pressed(self) -> UUID | None:
        try:
            return UUID(self.taken or self.not_for_me or self.back or self.unmake)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a reader of the page finds on it."""

    openings: Sequence[Opening]
    introductions: Sequence[Introduction]
    others: Sequence[Relationship]
    """The reader's other relationships in the program that run."""
    people: Mapping[UUID, Person]
    """All who are named."""

    def asked(self, mentee: UUID) -> Opening | None:
        """The letter that this mentee asked for."""
        return next(
            (o for o in self.openings if o.person_id == mentee and o.state in {OpeningState.asked, OpeningState.declined}), None
        )

    def theirs(self, reader: UUID, *, letters: bool) -> list[Opening]:
        """What the reader passed on, or got."""
        return [
            o for o in self.openings
            if reader in {o.shared_by, o.person_id} and o.is_letter is letters and o.text
        ]  # fmt: skip

    def known_to(self, reader: UUID, relationship: Relationship) -> list[tuple[UUID, str]]:
        """Whom a mentor may introduce a mentee to, by name: those whom they meet in the program, and the mentee doesn't here."""
        ids = {m.person_id for other in self.others for m in other.members} - {m.person_id for m in relationship.members}
        found = [(one, self.people[one].name) for one in ids - {reader} if one in self.people and self.people[one].name]
        return sorted(found, key=lambda known: (known[1].casefold(), str(known[0])))

    def through(self, whom: str) -> list[UUID]:
        """In which of their other relationships the reader meets somebody."""
        return [other.id for other in self.others if whom in other.people]

    def led(self, reader: UUID, relationship: Relationship) -> list[UUID]:
        """All of the reader's mentees in the program, this relationship's first."""
        led = [m.person_id for one in (relationship, *self.others) if openings.leads(one, reader) for m in openings.led(one)]
        return list(dict.fromkeys(led))


async def shelf_of(service: Service, seen: Seen) -> Shelf:
    relationship = seen.relationship
    async with service.database.transaction() as connection:
        passed_on = await store.openings_of(connection, relationship.id)
        introduced = await store.introductions_of(connection, relationship.id)
        running = await store.open_of(connection, relationship.program, seen.person)
        others = [other for other in running if other.id != relationship.id]
        named = {str(p) for i in introduced for p in i.asked} | {p for other in others for p in other.people}
        people = await store.people_of(connection, sorted(named | set(relationship.people)))
    return Shelf(passed_on, introduced, others, people)


# ---- what is wrong with a form ---------------------------------------------------------------------------------------------


def fault(sent: Sent, seen: Seen, shelf: Shelf) -> str:
    """What is to be mended before it can be done."""
    if sent.do == "ask" or (not sent.do and sent.pressed is not None):
        return ""
    if sent.do == "decline":
        return _to_fault(sent, seen)
    if sent.do == "pass_on":
        return _opening_fault(sent, seen)
    if sent.do == "letter":
        return _words_fault(sent, "Please write the letter.", LONGEST_TEXT) or _to_fault(sent, seen)
    if sent.do == "introduce":
        return _introduction_fault(sent, seen, shelf)
    return "Please use one of the buttons."


def _words_fault(sent: Sent, missing: str, longest: int) -> str:
    if not sent.words:
        return missing
    return f"Please keep it to {longest} characters." if len(sent.words) > longest else ""


def _to_fault(sent: Sent, seen: Seen) -> str:
    return "" if sent.to in {str(m.person_id) for m in openings.led(seen.relationship)} else "Please choose for whom it is."


def _opening_fault(sent: Sent, seen: Seen) -> str:
    last = day(sent.last_on) if sent.last_on else LAST_DAY
    if sent.kind not in OPENINGS or sent.kind == LETTER:
        return "Please choose what it is."
    if wrong := _words_fault(sent, "Please write what it is about.", introductions.LONGEST_TEXT):
        return wrong
    if sent.url is None:
        return "Please copy the whole link; it begins with https://."
    if last is None or not today_of(seen) <= last <= LAST_DAY:
        return "Please choose a last day from today on, or leave it empty."
    return "" if sent.to == ALL else _to_fault(sent, seen)


def _introduction_fault(sent: Sent, seen: Seen, shelf: Shelf) -> str:
    if wrong := _to_fault(sent, seen):
        return wrong
    if sent.whom not in {OUTSIDE, *(str(one) for one, _ in shelf.known_to(seen.person, seen.relationship))}:
        return "Please choose whom they should meet."
    if sent.whom == OUTSIDE and not 0 < len(sent.called) <= LONGEST_NAME:
        return f"Please write the name of whom they should meet, in {LONGEST_NAME} characters at most."
    return _words_fault(sent, "Please write why they should meet.", introductions.LONGEST_TEXT)


# ---- what is decided -------------------------------------------------------------------------------------------------------


def decided(
    link: Link, sent: Sent, through: Sequence[UUID], relationship: Relationship, _: Meeting | None, context: Context
) -> Outcome:
    """What is sent, unless whoever follows the link was erased. `through`: where they meet whom they introduce."""
    writer = context.get(Person, link.person)
    if writer is None or writer.erased:
        raise web.nowhere()
    person = link.person
    if sent.do in {"pass_on", "letter"}:
        outcome = NOTHING
        for mentee in wanted(sent, relationship):
            outcome = outcome.plus(openings.pass_on(relationship, opening(sent, relationship, person, mentee, context), context))
        return openings.few_enough(relationship, outcome, context)
    if sent.do == "introduce":
        return introductions.make(relationship, introduction(sent, relationship, person, context), context, through)
    if sent.do == "ask":
        return openings.ask_letter(relationship, person, context)
    if sent.do == "decline":
        return openings.decline_letter(
            relationship, context.get(Opening, ask_id(relationship.id, UUID(sent.to))), person, context
        )
    assert sent.pressed is not None
    if sent.unmake:
        return introductions.take_back(context.get(Introduction, sent.pressed), person, context)
    known = context.get(Opening, sent.pressed)
    if sent.back:
        return openings.take_back(relationship, known, person)
    return openings.answer(relationship, known, person, context, taken_up=bool(sent.taken))


def wanted(sent: Sent, relationship: Relationship) -> list[UUID]:
    """For which mentees of a relationship it is."""
    return [m.person_id for m in openings.led(relationship) if sent.to in {ALL, str(m.person_id)}]


def opening(sent: Sent, relationship: Relationship, mentor: UUID, mentee: UUID, context: Context) -> Opening:
    """What a form without fault passes on."""
    letter = sent.do == "letter"
    return Opening(
        opening_id(relationship.id, mentor, mentee, sent.fingerprint),
        relationship.id,
        relationship.organization,
        relationship.program,
        mentor,
        mentee,
        OpportunityKind.recommendation if letter else OpportunityKind(sent.kind),
        OpeningState.shared,
        sent.words,
        "" if letter else sent.url or "",
        None if letter else day(sent.last_on),
        context.now,
    )


def introduction(sent: Sent, relationship: Relationship, mentor: UUID, context: Context) -> Introduction:
    outside = sent.whom == OUTSIDE
    return Introduction(
        introduction_id(relationship.id, mentor, f"{sent.to}\n{sent.fingerprint}"),
        relationship.id,
        relationship.organization,
        relationship.program,
        mentor,
        UUID(sent.to),
        None if outside else UUID(sent.whom),
        sent.called if outside else "",
        sent.words,
        context.now,
    )


def reads(link: Link, sent: Sent, through: Sequence[UUID], relationship: Relationship) -> dict[type, list[UUID]]:
    """What is locked beside the relationship."""
    person: list[UUID] = [link.person]
    passed_on: list[UUID] = [ask_id(relationship.id, m.person_id) for m in openings.led(relationship)]
    introduced: list[UUID] = []
    if sent.do in {"pass_on", "letter"}:
        passed_on += [opening_id(relationship.id, link.person, one, sent.fingerprint) for one in wanted(sent, relationship)]
    elif sent.do == "introduce":
        introduced.append(introduction_id(relationship.id, link.person, f"{sent.to}\n{sent.fingerprint}"))
        person += [] if sent.whom == OUTSIDE else [UUID(sent.whom)]
    elif sent.pressed is not None:
        (introduced if sent.unmake else passed_on).append(sent.pressed)
    beside: dict[type, list[UUID]] = {Person: person, Opening: passed_on, Introduction: introduced, PassedOn: [relationship.id]}
    return beside | ({Relationship: list(through)} if through else {})


# ---- the page --------------------------------------------------------------------------------------------------------------


def share_page(service: Service, link: Link, seen: Seen, shelf: Shelf, error: str = "", sent: Sent | None = None) -> Response:
    relationship, me = seen.relationship, seen.person
    leads, valid = openings.leads(relationship, me), stands(seen.version, relationship)
    ask = shelf.asked(me)
    waiting = None if ask is None or openings.may_ask_again(ask, seen.now) else ask

    def introduced(one: Introduction) -> str:
        there = replace(link, action="introduced", object=one.id, version=1)
        return there.url("..", service.settings.link_secret)

    def download(letter: Opening) -> str:
        return f"{way(service, link, seen, 'share')}&letter={letter.id}"

    return page(
        "share.html",
        seen,
        error=error,
        sent=sent or Sent(),
        form=new_id(),
        leads=leads,
        can=valid and relationship.ended_at is None,
        letters_too=valid and openings.may_write_letters(relationship),
        kinds=[(value, label) for value, label in OPENINGS.items() if value != LETTER],
        labels=OPENINGS,
        mentees=openings.led(relationship),
        all_of_them=len(shelf.led(me, relationship)),
        known=shelf.known_to(me, relationship) if leads else [],
        openings=shelf.theirs(me, letters=False),
        letters=shelf.theirs(me, letters=True),
        asks=[o for o in shelf.openings if o.state is OpeningState.asked and o.shared_by == me],
        waiting=waiting,
        introductions=[i for i in shelf.introductions if me in {i.introduced_by, i.person_id} and i.text],
        name_of=lambda one: shelf.people[one].name if one in shelf.people and shelf.people[one].name else "someone",
        introduced=introduced,
        download=download,
        mentor=openings.mentor_of(relationship),
        see_others=way(service, link, seen, "co-mentees") if co_mentees.mentor_of(relationship, me) else "",
        notes=way(service, link, seen, "notes"),
        today=today_of(seen),
        all=ALL,
        outside=OUTSIDE,
        longest=introductions.LONGEST_TEXT,
        longest_letter=LONGEST_TEXT,
    )


def letter_text(seen: Seen, shelf: Shelf, letter: str) -> Response:
    """A letter as a text of its own, for whoever it is about and whoever wrote it."""
    found = next((o for o in shelf.theirs(seen.person, letters=True) if str(o.id) == letter), None)
    if found is None:
        raise web.nowhere()
    written, about = (shelf.people.get(one) for one in (found.shared_by, found.person_id))
    signed = f"{written.name if written else ''}\n{seen.words.day(found.shared_at.date())}".strip()
    text = f"Letter of recommendation for {about.name if about else ''}".strip() + f"\n\n{found.text}\n\n{signed}\n"
    attached = {"Content-Disposition": 'attachment; filename="letter-of-recommendation.txt"', "Cache-Control": "no-store"}
    return PlainTextResponse(text, headers=attached | {"X-Content-Type-Options": "nosniff"})


async def without_room(service: Service, request: Request, link: Link, sent: Sent, others: Sequence[Relationship]) -> int:
    """Pass it on to these as well; how many of them keep so many already that nothing more is passed on."""
    full = 0
    for other in others:
        try:
            await act(service, request, other, None, partial(decided, link, sent, []), reads(link, sent, [], other), named=True)
        except Rejected as rejected:
            if rejected.code != openings.TOO_MANY:
                raise
            full += 1
    return full


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def look(link: Link, error: str = "", sent: Sent | None = None) -> Response:
        seen = await see(service, link)
        return share_page(service, link, seen, await shelf_of(service, seen), error, sent)

    @router.api_route("/share/{thing}", methods=web.SHOW)
    async def see_share(link: ShareLink, letter: str = "") -> Response:
        if not letter:
            return await look(link)
        seen = await see(service, link)
        return letter_text(seen, await shelf_of(service, seen), letter)

    @router.post("/share/{thing}")
    async def share(request: Request, link: ShareLink, sent: Annotated[Sent, Depends()]) -> Response:
        seen = await see(service, link)
        shelf = await shelf_of(service, seen)
        wrong = fault(sent, seen, shelf)
        if wrong:
            return await look(link, wrong, sent)
        through = shelf.through(sent.whom) if sent.do == "introduce" else []
        do = partial(decided, link, sent, through)
        answer = await decide(service, request, link, do, reads(link, sent, through, seen.relationship), seen)
        if sent.do == "pass_on" and sent.to == ALL and stands(link.version, seen.relationship):
            full = await without_room(service, request, link, sent, shelf.others)
            if full:
                to = "one of your other mentees" if full == 1 else f"{full} of your other mentees"
                return await look(link, f"It is passed on, but not to {to}: no more than {openings.MOST} are kept with each.")
        return answer

    return router
