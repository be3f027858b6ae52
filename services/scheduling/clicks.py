"""What a click on a mail's link does, for every page about a relationship: what is seen, what is decided and under which lock, what is shown.

GET and HEAD show and change nothing. POST decides under the relationship's lock and then leads to the page that shows how things
stand. A link of an earlier version shows the same and changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response

from services.scheduling import store
from services.scheduling.domain import own, silence
from services.scheduling.domain.diaries import Diary, Turn
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.model import Agreement, Meeting, Member, Person, Place, Relationship
from services.scheduling.wording import Words
from shared import web
from shared.decisions import NOTHING, Action, Context, Outcome
from shared.errors import Raced, Rejected
from shared.links import Link
from shared.service import Service
from shared.tables import A

PAGES = Path(__file__).parent / "pages"
TRIES = 5

ALWAYS = frozenset({"touch", "silent", "concern", "after", "check-in", "feedback", "group"})
"""What may be said whatever has been agreed since (`services/scheduling/listening.py`)."""
OF_MEETINGS = frozenset({"pick", "met", "where"})
"""What the links of one meeting are for."""
ANSWERS = frozenset({"pick", "met", "sign", "goals", "skills", "renew"})
"""Whoever does one of these needn't say that they go on, should they be asked."""
Decide = Callable[[Relationship, Meeting | None, Context], Outcome]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page shows: the relationship, the meeting it is about or that is planned, and who is reading."""

    relationship: Relationship
    meeting: Meeting | None
    program: str
    person: UUID
    version: int
    now: datetime
    goals: Sequence[Goal] = ()
    versions: Sequence[Agreement] = ()
    """Of the agreement, in order; none where it was never changed."""
    diaries: Mapping[UUID, Diary] = field(default_factory=dict)
    people: Mapping[UUID, Person] = field(default_factory=dict)
    """The members."""
    overview: str = ""
    """The way to the reader's own mentoring."""

    def get(self, kind: type[A], key: UUID) -> A | None:
        """What was read beside: diaries."""
        found: A | None = self.diaries.get(key) if kind is Diary else None  # type: ignore[assignment]
        return found

    @property
    def words(self) -> Words:
        return Words(self.relationship, self.person, self.now, self.people)

    @property
    def where(self) -> tuple[Member, Place] | None:
        return own.where(self.relationship, self.meeting, self.people)


def member_only(relationship: Relationship, link: Link) -> None:
    if relationship.member(link.person) is None:
        raise Rejected("not_a_member", "This link belongs to someone who isn’t part of this any more.", status=403)


async def see(service: Service, link: Link, *, with_goals: bool = False, with_versions: bool = False) -> Seen:
    """What a link is about, as it stands now. Raises Rejected where it isn't there or isn't this person's."""
    async with service.database.transaction() as connection:
        meeting = None
        relationship_id = link.object
        if link.action in OF_MEETINGS:
            meeting = await store.meeting(connection, link.object)
            if meeting is None:
                raise web.nowhere()
            relationship_id = meeting.relationship_id
        relationship = await store.relationship(connection, relationship_id)
        if relationship is None:
            raise web.nowhere()
        member_only(relationship, link)
        if meeting is None and relationship.meeting_id is not None:
            meeting = await store.meeting(connection, relationship.meeting_id)
        program = await store.program_name(connection, relationship.program)
        known = await store.goals_of(connection, relationship.id) if with_goals else ()
        versions = await store.agreements_of(connection, relationship.id) if with_versions else ()
        diaries = await store.diaries_of(connection, relationship.id) if link.action == "pick" else {}
        people = await store.people_of(connection, relationship.people)
    now = service.database.clock.now()
    overview = overview_of(service, link)
    return Seen(relationship, meeting, program, link.person, link.version, now, known, versions, diaries, people, overview)


async def decide(
    service: Service,
    request: Request,
    link: Link,
    do: Decide,
    reads: Mapping[type, Iterable[UUID]] | None = None,
    seen: Seen | None = None,
) -> Response:
    """Decide under the lock, with the meeting that the link names or that is planned and with what else `reads` names; then show how
    things stand. `do` is asked only where the link's version still holds. Where a pick answers the id of another meeting, that one is shown.
    `seen`: what was read already, so that it isn't read again.
    """

    def decided(relationship: Relationship, meeting: Meeting | None, context: Context) -> Outcome:
        member_only(relationship, link)
        if not holds(link, relationship, meeting):
            return NOTHING
        done = do(relationship, meeting, context)
        return silence.with_answer(relationship, link.person, done, context) if link.action in ANSWERS else done

    result: Any = None
    for _ in range(TRIES):
        seen = seen or await see(service, link)
        turn: dict[type, Iterable[UUID]] = {Turn: [seen.relationship.id]} if link.action == "pick" else {}
        named = link.action in {"pick", "met"}
        result = await act(service, request, seen.relationship, seen.meeting, decided, {**turn, **(reads or {})}, named=named)
        if result is not Raced:
            break
        seen = None
    if link.action == "pick" and isinstance(result, UUID):
        onwards = replace(link, object=result, version=0)
        return web.seen(onwards.url("..", service.settings.link_secret))
    return web.seen(f"?{request.url.query}")


async def act(
    service: Service,
    request: Request,
    seen: Relationship,
    meeting: Meeting | None,
    do: Decide,
    reads: Mapping[type, Iterable[UUID]],
    *,
    named: bool = False,
) -> Any:
    """Decide about a relationship under its lock; what that answers, or `Raced` and nothing done where another meeting is planned than
    the one seen.

    `named`: it is about this meeting, whichever is planned.
    """
    planned = None if meeting is None else meeting.id

    def decided(relationship: Relationship | None, context: Context) -> Outcome:
        if relationship is None:
            raise web.nowhere()
        if not named and relationship.meeting_id not in {None, planned}:
            return NOTHING.returning(Raced)
        return do(relationship, None if planned is None else context.get(Meeting, planned), context)

    action = Action(
        Relationship,
        seen.id,
        decided,
        organization=seen.organization,
        program=seen.program,
        traceparent=web.traceparent_of(request),
        reads={**reads, **({Meeting: [planned]} if planned else {}), Diary: [seen.id]},
    )
    return await service.work.act(action)


def holds(link: Link, relationship: Relationship, meeting: Meeting | None) -> bool:
    """Whether what the link was made for is still as it was then."""
    if link.action in {"pick", "met"} and meeting is None:
        return False
    if link.action == "pick" and meeting is not None:
        return link.version == meeting.sequence
    if link.action == "met" and meeting is not None and relationship.is_group:
        return link.version <= meeting.revision  # each may say of themselves whether they came, whatever was told before
    if link.action == "met" and meeting is not None:
        return link.version == meeting.revision
    if link.action in ALWAYS:
        return True
    if link.action == "renew":
        return link.version == relationship.renewals
    if link.action == "sign":
        return link.version == relationship.version
    return stands(link.version, relationship)


def stands(version: int, relationship: Relationship) -> bool:
    """Whether a link of this version of the agreement still leads to goals and the end: a change of it takes neither away."""
    return min(1, relationship.version) <= version <= relationship.version


def instant(text: str) -> datetime | None:
    """A time with its offset as the page's radio buttons send it; None where it isn't one."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def way(service: Service, link: Link, seen: Seen, action: str) -> str:
    """The way to another page of the relationship, as things stand and as long as this link holds."""
    there = replace(link, action=action, object=seen.relationship.id, version=seen.relationship.version)
    return there.url("..", service.settings.link_secret)


def overview_of(service: Service, link: Link) -> str:
    """The way to whoever follows the link's own mentoring; none from what stands in calendars, which others may see."""
    if link.action == "where":
        return ""
    return replace(link, action="mine", object=link.person, version=1).url("..", service.settings.link_secret)


def page(name: str, seen: Seen, *, error: str = "", status: int = 0, **more: Any) -> Response:
    """A page about a relationship; with an error it says what to mend, and has that status where none is given: 422."""
    values = {
        "relationship": seen.relationship,
        "meeting": seen.meeting,
        "program": seen.program,
        "words": seen.words,
        "me": seen.person,
        "where": seen.where,
        "overview": seen.overview,
        "error": error,
    }
    return web.page(PAGES, name, status=status or (422 if error else 200), **(values | more))
