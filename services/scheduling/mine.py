"""The page /mine: all that a person is in, in one place. Each other page is one tap away, and leads back.

GET and HEAD show and change nothing. POST says whether one wants to be recognised.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.clicks import PAGES
from services.scheduling.domain import co_mentees, groups, looking_back, meetings, openings, own, recognition, signs
from services.scheduling.domain.entries import Entry
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Meeting, MeetingStatus, Member, Person, Place, Relationship
from services.scheduling.domain.recognition import Recognised
from services.scheduling.domain.states import state_of
from services.scheduling.wording import ROLES, STANDS, Words, record_heading, recorded, stars
from shared import links, web
from shared.decisions import Action, Context, Outcome
from shared.events import ReasonCode, Role, Term
from shared.links import Link
from shared.reasons import reason
from shared.service import Service
from shared.words import plural

MineLink = Annotated[Link, Depends(web.link_of("mine"))]

MOST_REASONS = 5
UNSAID = frozenset({ReasonCode.fair_load, ReasonCode.waiting})
"""Reasons that are about others."""
MOST_ENDED = 5
"""That are shown at once."""

# ---- the ways to other pages ---------------------------------------------------------------------------------------------

Asked = Callable[[Relationship, UUID], bool]


def _always(_: Relationship, __: UUID) -> bool:
    return True


def _agreed(relationship: Relationship, _: UUID) -> bool:
    return relationship.agreed_at is not None and not relationship.meets_once


def _to_sign(relationship: Relationship, me: UUID) -> bool:
    return relationship.version > 0 and relationship.is_open and not relationship.has_signed(me)


@dataclass(frozen=True, slots=True)
class Way:
    """A page of a relationship to which this one leads, and when."""

    action: str
    label: str
    open: Asked
    version: Callable[[Relationship], int] = lambda relationship: relationship.version
    """Of the link."""


FIRST: Sequence[Way] = (
    Way("sign", "Read and sign your agreement", _to_sign),
    Way("renew", "Say whether you go on", lambda r, me: r.renewal is not None and me not in r.renewal.yes, lambda r: r.renewals),
    Way("silent", "Say that you go on", lambda r, me: r.asked == me),
)
"""What waits for the reader: the first that is open is the one thing to do."""
WAYS: Sequence[Way] = (
    Way("notes", "Agenda, notes and follow-ups", _always),
    Way("goals", "Goals", _agreed),
    Way("skills", "Levels of skills", lambda r, _: bool(r.stages)),
    Way("check-in", "How is it going?", _agreed),
    Way("feedback", "Feedback", _agreed),
    Way("group", "Your group", lambda r, _: r.is_group),
    Way("share", "Openings, letters, introductions", lambda r, me: _agreed(r, me) and openings.mentor_of(r) is not None),
    Way("co-mentees", "Others with the same mentor", lambda r, me: co_mentees.mentor_of(r, me) is not None),
    Way("touch", "We were in touch", _agreed),
    Way("reached", "Our goal is reached", lambda r, me: _agreed(r, me) and r.term is Term.short and r.goals > 0),
    Way("edit", "Change the agreement", lambda r, _: r.version > 0),
    Way("silent", "I hear nothing", lambda r, me: signs.whom(r, me) is not None and _agreed(r, me) and r.asked != me),
    Way("concern", "Something worries me", _always),
    Way("end", "End it", _always),
)
"""The pages of a running relationship, in the order in which they stand there."""
AFTER: Sequence[Way] = (
    Way("after", "Look back", lambda r, _: looking_back.may_look(r)),
    Way("notes", "Notes", lambda r, _: r.agreed_at is not None),
)
"""Of one that is over."""


@dataclass(frozen=True, slots=True)
class Leads:
    """Where the reader's link leads from here, as long as it holds."""

    link: Link
    secret: str

    def to(self, action: str, thing: UUID, version: int, base: str = "..") -> str:
        return replace(self.link, action=action, object=thing, version=version).url(base, self.secret)

    def ways(self, found: Iterable[Way], relationship: Relationship) -> list[tuple[str, str]]:
        """(label, address) of each that is open."""
        me = self.link.person
        return [(w.label, self.to(w.action, relationship.id, w.version(relationship))) for w in found if w.open(relationship, me)]


# ---- what is shown -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Next:
    """The meeting that is planned, in words, and the way to it."""

    says: str
    zoned: str = ""
    there: str = ""
    label: str = ""
    url: str = ""
    where: tuple[Member, Place] | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A relationship that goes on, as its member sees it."""

    heading: str
    facts: list[str]
    words: Words
    relationship: Relationship
    stands: str
    first: list[tuple[str, str]]
    next: Next | None
    reasons: list[str]
    goals: Sequence[Goal]
    follow_ups: Sequence[tuple[str, str]]
    milestones: list[str]
    ways: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Theirs:
    """All that is known of a person's mentoring."""

    person: Person
    relationships: Sequence[Relationship]
    people: Mapping[UUID, Person]
    meetings: Mapping[UUID, Meeting]
    goals: Sequence[Goal]
    follow_ups: Sequence[Entry]
    programs: Mapping[str, str]
    records: Sequence[Recognised]
    so_far: list[tuple[str, str]] = field(default_factory=list)
    """What they did as a mentor."""
    recorded: bool = False
    """Whether a program in which they did makes records of it."""
    introduced: Sequence[UUID] = ()
    """Those to whom they were introduced, the latest first."""

    def words(self, relationship: Relationship, now: datetime) -> Words:
        return Words(relationship, self.person.id, now, self.people)

    def met(self) -> list[tuple[str, str]]:
        """(name, as what) of everyone they have met, the latest first, each once."""
        found: dict[UUID, tuple[str, str]] = {}
        for relationship in self.relationships:
            for member in relationship.members if relationship.held and not relationship.left(self.person.id) else ():
                someone = self.people.get(member.person_id)
                if member.person_id != self.person.id and someone is not None and someone.name:
                    found.setdefault(member.person_id, (someone.name, ROLES.get(member.role, "partner")))
        for other in self.introduced:
            if (someone := self.people.get(other)) is not None and someone.name:
                found.setdefault(other, (someone.name, "introduced to you"))
        return list(found.values())


def goes_on(relationship: Relationship, me: UUID) -> bool:
    """For this person."""
    return relationship.ended_at is None and relationship.left(me) is None


async def whose(service: Service, link: Link) -> Theirs:
    """Raises Rejected where they are nobody any more, or it is somebody else's link."""
    async with service.database.transaction() as connection:
        person = own.known(await store.person(connection, link.object if link.object == link.person else UUID(int=0)))
        found = await store.theirs(connection, person.id)
        introduced = await store.introduced_to(connection, person.id)
        people = await store.people_of(connection, sorted({one for r in found for one in r.people} | {*map(str, introduced)}))
        running = [r for r in found if goes_on(r, person.id)]
        planned, known, open_ones = await store.beside(connection, running)
        programs = await store.program_names(connection, sorted({r.program for r in found}))
        records = await store.recognitions_of(connection, person.id)
        was = [(r.program, r.member(person.id) or r.left(person.id)) for r in found if r.held]
        as_mentor = sorted({program for program, member in was if member and member.role is Role.mentor})
        done = await store.mentored(connection, [recognition.key(person.id, program, "people") for program in as_mentor])
    totals = [sum(getattr(one, name) for one in done) for name in ("minutes", "meetings", "people", "milestones")]
    so_far = recorded(*totals) if totals[1] else []
    made = any(one.wanted for one in done)
    return Theirs(person, found, people, planned, known, open_ones, programs, records, so_far, made, introduced)


def next_meeting(leads: Leads, theirs: Theirs, relationship: Relationship, words: Words, now: datetime) -> Next | None:
    """When they meet, or that times wait to be chosen, or that it is to be said whether they met."""
    meeting = theirs.meetings.get(relationship.meeting_id) if relationship.meeting_id else None
    if meeting is None:
        return None
    pick = leads.to("pick", meeting.id, meeting.sequence)
    if meeting.status is MeetingStatus.proposed:
        return Next("Times wait to be chosen", label="Choose a time", url=pick)
    if meeting.starts_at is None or meeting.status is not MeetingStatus.scheduled:
        return None
    if meetings.begun(meeting, now):
        met = leads.to("met", meeting.id, meeting.revision)
        return Next(words.when(meeting.starts_at), label="Say whether you met", url=met)
    where = own.where(relationship, meeting, theirs.people)
    starts_at = meeting.starts_at
    zoned, there = words.zoned(starts_at), words.there(starts_at)
    return Next(words.when(starts_at), zoned, there, "Look at it, or move it", pick, where)


def running(leads: Leads, theirs: Theirs, relationship: Relationship, now: datetime) -> Running:
    """One that goes on, in words."""
    words, me = theirs.words(relationship, now), theirs.person.id
    two = len(words.others) == 1
    member = relationship.member(me)
    role = ROLES.get(member.role, "partner") if member else ""
    peers = not any(m.role is Role.mentor for m in relationship.members)
    until = f"until {words.on_day(relationship.until)}" if relationship.until and not relationship.meets_once else ""
    held = f"{plural(relationship.held, 'meeting')} held" if relationship.held else ""
    said = (reason(told, peers=peers, once=relationship.meets_once) for told in relationship.reasons if told.code not in UNSAID)
    paused = groups.stands_still(relationship)
    state = state_of(relationship)
    waits = _agreed(relationship, me) or relationship.meets_once or _to_sign(relationship, me)
    return Running(
        words.named(words.others[0]) if two else "Your group",
        list(
            filter(
                None,
                (f"{theirs.programs.get(relationship.program, '')}, you are the {role}", ", ".join(filter(None, (held, until)))),
            )
        ),
        words,
        relationship,
        "A break: nothing is proposed meanwhile"
        if paused
        else STANDS.get(state, "")
        if waits
        else "Waits for the others’ signatures",
        leads.ways(FIRST, relationship)[:1],
        next_meeting(leads, theirs, relationship, words, now),
        [text for text in said if text][:MOST_REASONS],
        [goal for goal in theirs.goals if goal.relationship_id == relationship.id and goal.dropped_at is None],
        [(e.text, _whose(words, e)) for e in theirs.follow_ups if e.relationship_id == relationship.id],
        [star.name for star in stars(relationship) if star.reached],
        leads.ways(WAYS, relationship),
    )


def _whose(words: Words, entry: Entry) -> str:
    who = words.who_is(entry.doer) if entry.doer else "everyone"
    return f"{who}, by {words.day(entry.due_on)}" if entry.due_on else who


def over(leads: Leads, theirs: Theirs, relationship: Relationship, now: datetime) -> tuple[str, str, list[tuple[str, str]]]:
    """(with whom, what of it, ways) of one that has ended, or that they left. Of that, what came afterwards isn't theirs to see."""
    words, program = theirs.words(relationship, now), theirs.programs.get(relationship.program, "")
    if left := relationship.left(theirs.person.id):
        day = words.day(left.left_at.astimezone(ZoneInfo(theirs.person.time_zone)).date())
        return "Your group", " · ".join(filter(None, (program, f"you left it on {day}"))), []
    named = [words.name(m.person_id) or words.who(m) for m in words.others]
    who = named[0] if len(named) == 1 else "Your group"
    assert relationship.ended_at is not None
    held = "You talked" if relationship.meets_once and relationship.held else plural(relationship.held, "meeting")
    said = (program, held, f"until {words.on_day(relationship.ended_at)}")
    return who, " · ".join(filter(None, said)), leads.ways(AFTER, relationship)


def elsewhere(service: Service, leads: Leads, theirs: Theirs) -> list[tuple[str, str]]:
    """What is the reader's own beside their relationships."""
    me, urls = theirs.person.id, service.urls
    found = [("Days away, and where you meet", leads.to("own", me, 1))]
    newest = theirs.relationships[0].program if theirs.relationships else ""
    if newest and urls.get("gateway"):
        outcome = leads.to("outcome", links.wishes_id(newest, me), 1, urls["gateway"])
        found.append(("Something good has happened: say so", outcome))
    if urls.get("notifications"):
        found.append(("Which mails you get", leads.to("preferences", me, 1, urls["notifications"])))
    return [*found, ("All of your data, to keep", leads.to("export", me, 1))]


def mine_page(service: Service, link: Link, theirs: Theirs, *, saved: bool) -> Response:
    now = service.database.clock.now()
    leads = Leads(link, service.settings.link_secret)
    going = [r for r in theirs.relationships if goes_on(r, link.person)]
    ended = [over(leads, theirs, r, now) for r in theirs.relationships if not goes_on(r, link.person)]
    met = theirs.met()
    return web.page(
        PAGES,
        "mine.html",
        running=[running(leads, theirs, r, now) for r in going],
        ended=ended[:MOST_ENDED],
        ended_before=ended[MOST_ENDED:],
        met=met,
        so_far=theirs.so_far,
        records=[
            (made, theirs.programs.get(made.program, made.program), leads.to("record", made.id, 1)) for made in theirs.records
        ],
        record_heading=record_heading,
        recognised=theirs.person.recognised,
        recorded=theirs.recorded,
        mentors=bool(theirs.so_far or theirs.records) or not theirs.person.recognised,
        elsewhere=elsewhere(service, leads, theirs),
        saved=saved,
    )


def routes(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/mine/{thing}", methods=web.SHOW)
    async def look(link: MineLink, saved: str = "") -> Response:
        return mine_page(service, link, await whose(service, link), saved=bool(saved))

    @router.post("/mine/{thing}")
    async def say(request: Request, link: MineLink, recognised: web.Text = "") -> Response:
        person = (await whose(service, link)).person
        if recognised in {"yes", "no"}:

            def do(person: Person | None, _: Context) -> Outcome:
                return recognition.wants(person, recognised=recognised == "yes")

            trace = web.traceparent_of(request)
            await service.work.act(Action(Person, person.id, do, organization=person.organization, traceparent=trace))
        return web.seen(f"?{request.url.include_query_params(saved='1').query}")

    return router
