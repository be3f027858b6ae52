"""All SQL of notifications."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from services.notifications.asks import Questions
from services.notifications.domain import (
    Call,
    Delivery,
    Endpoint,
    Meeting,
    Organization,
    Person,
    Plan,
    Program,
    Relationship,
    Subscriber,
    obstacle,
)
from shared.database import Connection
from shared.decisions import Lookup
from shared.events import Failure, FeedbackGiven
from shared.tables import Aggregate, Table, View

A = TypeVar("A", bound=Aggregate)


PEOPLE, PROGRAMS, ORGANIZATIONS = Table(Person, "people"), Table(Program, "programs"), Table(Organization, "organizations")
RELATIONSHIPS, MEETINGS, DELIVERIES = (
    Table(Relationship, "relationships"),
    Table(Meeting, "meetings"),
    Table(Delivery, "deliveries"),
)
QUESTIONS = View(Questions, "deliveries")
QUESTIONS.load = """
select d.person_id, jsonb_agg(jsonb_build_object('delivery_id', d.id, 'paused', not coalesce(p.asks, true),
  'days', coalesce(p.days_between_asks, 7), 'meets_at', m.at) order by d.created_at, d.id)
from deliveries d left join programs p on p.id = d.program left join lateral (
  select min(starts_at) as at from meetings where relationship_id = d.relationship_id and state = 'scheduled'
) m on true
where d.state = 'to_ask' and d.person_id = any($1::uuid[]) group by d.person_id order by d.person_id
"""
"""What these people are to be asked, with what their programs say of it now."""
PLANS = View(Plan, "meetings")
PLANS.load = """
select relationship_id as id, (array_agg(id order by number desc))[1] as meeting_id
from meetings where relationship_id = any($1::uuid[]) and state in ('proposed', 'scheduled') group by relationship_id order by id
"""
ENDPOINTS, CALLS = Table(Endpoint, "endpoints"), Table(Call, "calls")
TABLES: list[Table[Any]] = [
    View(Subscriber, "subscribers"),
    ORGANIZATIONS,
    PROGRAMS,
    PEOPLE,
    QUESTIONS,
    RELATIONSHIPS,
    PLANS,
    MEETINGS,
    ENDPOINTS,
    CALLS,
    DELIVERIES,
]

QUESTIONS_OF = Lookup(
    "select person_id, id from deliveries where state = 'to_ask' and person_id = any($1::uuid[])", lambda due: (due.owner,)
)
ASKED_ABOUT = Lookup(
    """
    select distinct person_id, relationship_id from deliveries
    where state = 'to_ask' and person_id = any($1::uuid[]) and relationship_id is not null
    """,
    lambda due: (due.owner,),
)
"""The relationships that they are asked about."""
STILL_TO_ASK = Lookup(
    """
    select u.value, d.id from unnest($1::text[]) as u(value) join deliveries d
    on d.state = 'to_ask' and d.person_id = split_part(u.value, ' ', 1)::uuid and d.data ->> 'about' = split_part(u.value, ' ', 2)
    """,
    lambda event: (
        f"{event.given_by} {event.feedback_id}" if isinstance(event, FeedbackGiven) else f"{event.person_id} {event.check_in_id}",
    ),
)
"""Questions that wait to be asked and are answered with this."""
PLANNED_OF = Lookup(
    "select relationship_id, id from meetings where relationship_id = any($1::uuid[]) and state in ('proposed', 'scheduled')",
    lambda event: (event.relationship_id,),
)


# ---- mail --------------------------------------------------------------------------------------------------------------

PATIENT = "set local idle_in_transaction_session_timeout = '90s'"
"""A sender holds its rows while a mail server thinks."""
BEGIN = """
update deliveries set begun = begun + 1, again_at = $1 + make_interval(secs => least(2 ^ (begun + 1), 300)) where id in (
    select id from deliveries where state = 'waits' and due_at <= $1 and (again_at is null or again_at <= $1)
    order by due_at, fact_id limit $2 for update skip locked
) returning id
"""
BEGUN = f"{DELIVERIES.select} where id = any($1::uuid[]) and state = 'waits' order by due_at, fact_id for update skip locked"


async def begin_due(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Begin messages whose time has come. Where this copy doesn't live to note what became of them, or can't, they are begun again
    after 2 s, then 4, 8, … 300.
    """
    return [row[0] for row in await connection.fetch(BEGIN, now, limit)]


async def hold_begun(connection: Connection, ids: Iterable[UUID]) -> list[Delivery]:
    """These messages, held until the transaction ends; those that another copy holds are left out."""
    await connection.execute(PATIENT)
    return [DELIVERIES.read(row) for row in await connection.fetch(BEGUN, list(ids))]


JOINED = f"{DELIVERIES.select} where joins = any($1::uuid[]) and state = 'joined' order by created_at, id"


async def joined(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, list[Delivery]]:
    """What else goes in these messages' mails."""
    found: dict[UUID, list[Delivery]] = {}
    for delivery in map(DELIVERIES.read, await connection.fetch(JOINED, list(ids))):
        assert delivery.joins is not None
        found.setdefault(delivery.joins, []).append(delivery)
    return found


async def leave(connection: Connection, ids: Iterable[UUID]) -> None:
    """These weren't handed over after all."""
    await connection.execute("update deliveries set begun = begun - 1, again_at = null where id = any($1::uuid[])", list(ids))


@dataclass(frozen=True, slots=True)
class World:
    """What a set of messages is about, as things stand now. Read without locks."""

    people: Mapping[UUID, Person]
    relationships: Mapping[UUID, Relationship]
    meetings: Mapping[UUID, Meeting]
    programs: Mapping[str, Program]
    organizations: Mapping[str, Organization]

    def obstacle(self, delivery: Delivery, now: datetime) -> Failure | None:
        """Why a message isn't sent after all; None where it is."""
        relationship = self.relationships.get(delivery.relationship_id) if delivery.relationship_id else None
        meeting = self.meetings.get(delivery.meeting_id) if delivery.meeting_id else None
        return obstacle(delivery, self.people.get(delivery.person_id), relationship, meeting, now)


async def _read(connection: Connection, table: Table[A], ids: Iterable[Any]) -> dict[Any, A]:
    wanted = sorted(set(ids) - {None})
    if not wanted:
        return {}
    rows = await connection.fetch(f"{table.select} where id = any($1::{table.id_type}[])", wanted)
    return {found.id: found for found in map(table.read, rows)}


async def world(connection: Connection, deliveries: Iterable[Delivery]) -> World:
    """Everything that is needed to say what these messages say."""
    todo = list(deliveries)
    relationships = await _read(connection, RELATIONSHIPS, (d.relationship_id for d in todo))
    members = {member.person_id for r in relationships.values() for member in r.members}
    named = {UUID(d.data["who"]) for d in todo if "who" in d.data}
    people = await _read(connection, PEOPLE, {d.person_id for d in todo} | members | named)
    return World(
        people,
        relationships,
        await _read(connection, MEETINGS, (d.meeting_id for d in todo)),
        await _read(connection, PROGRAMS, (d.program for d in todo)),
        await _read(connection, ORGANIZATIONS, (d.organization for d in todo)),
    )


PERSONAL = f"{PROGRAMS.select} where id = any($1::text[]) and personal_rules order by id"


async def personal_programs(connection: Connection, programs: Iterable[str]) -> list[Program]:
    """Those of these in which people may say whom they meet."""
    return [PROGRAMS.read(row) for row in await connection.fetch(PERSONAL, list(programs))]


async def person(connection: Connection, person_id: UUID) -> Person | None:
    return (await _read(connection, PEOPLE, [person_id])).get(person_id)


SHOWN = (
    "id, person_id, program, template, channel, fact_id, fact_type, relationship_id, meeting_id, state, failure, attempts, "
    "created_at, due_at, finished_at"
)
LIST = f"""
select {SHOWN} from deliveries
where ($1::uuid is null or person_id = $1) and ($2::text is null or program = $2) and ($3::text is null or state = $3)
  and ($4::text is null or template = $4) and ($5::uuid is null or fact_id = $5) and ($6::uuid is null or relationship_id = $6)
  and ($7::timestamptz is null or (created_at, id) < ($7, $8::uuid))
order by created_at desc, id desc limit $9
"""  # noqa: S608 - a constant


async def list_deliveries(
    connection: Connection,
    *,
    person_id: UUID | None,
    program: str | None,
    state: str | None,
    template: str | None,
    fact_id: UUID | None,
    relationship_id: UUID | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Newest first, `before` a place in that order; never what a message said or to which address it went."""
    moment, last = before or (None, None)
    rows = await connection.fetch(LIST, person_id, program, state, template, fact_id, relationship_id, moment, last, limit)
    return [dict(row) for row in rows]


# ---- webhooks ----------------------------------------------------------------------------------------------------------

TAKE_CALLS = """
update calls set attempts = attempts + 1, due_at = $2, status = null, failure = null where id in (
    select due.id from endpoints e cross join lateral (
        select c.id from calls c where c.endpoint_id = e.id and c.state = 'waits' and c.due_at <= $1
        order by c.due_at limit case when e.failing_since is null then $4::int else 1 end for update skip locked
    ) due where e.id = any($3::uuid[])
) returning id
"""
CALLS_TAKEN = f"{CALLS.select} where id = any($1::uuid[]) order by endpoint_id, created_at, id"
ENDPOINTS_DUE = """
select e.id from endpoints e where e.disabled_at is null and not e.id = any($2::uuid[])
  and exists(select from calls c where c.endpoint_id = e.id and c.state = 'waits' and c.due_at <= $1) order by e.id limit $3
"""


async def take_calls(
    connection: Connection, now: datetime, again_at: datetime, *, busy: Iterable[UUID], each: int, endpoints: int
) -> dict[UUID, list[Call]]:
    """Calls whose time has come, by endpoint, so many each and one where nothing gets through; due again at `again_at` should
    we not live to tell how they went. Endpoints that are `busy` are left out.
    """
    ready = [row[0] for row in await connection.fetch(ENDPOINTS_DUE, now, list(busy), endpoints)]
    taken: dict[UUID, list[Call]] = {}
    if ready:
        ids = [row[0] for row in await connection.fetch(TAKE_CALLS, now, again_at, ready, each)]
        for row in await connection.fetch(CALLS_TAKEN, ids):
            call = CALLS.read(row)
            taken.setdefault(call.endpoint_id, []).append(call)
    return taken


async def endpoints(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Endpoint]:
    return await _read(connection, ENDPOINTS, ids)


async def endpoints_of(connection: Connection, organization: str) -> list[Endpoint]:
    rows = await connection.fetch(f"{ENDPOINTS.select} where organization = $1 order by created_at, id", organization)
    return [ENDPOINTS.read(row) for row in rows]


CALL_SHOWN = "id, fact_id, fact_type, program, state, attempts, status, failure, created_at, due_at, finished_at"
LIST_CALLS = f"""
select {CALL_SHOWN} from calls where endpoint_id = $1 and ($2::text is null or state = $2) order by created_at desc, id desc limit $3
"""  # noqa: S608 - a constant
ONE_CALL = f"select {CALL_SHOWN} from calls where id = $1"  # noqa: S608 - a constant


async def list_calls(connection: Connection, endpoint: UUID, state: str | None, limit: int) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(LIST_CALLS, endpoint, state, limit)]


async def one_call(connection: Connection, call: UUID) -> dict[str, Any] | None:
    row = await connection.fetchrow(ONE_CALL, call)
    return dict(row) if row else None


OLD_DELIVERIES = "delete from deliveries where id in (select id from deliveries where finished_at < $1 limit 5000)"
OLD_CALLS = """
delete from calls where id in (
    select c.id from calls c left join endpoints e on e.id = c.endpoint_id where e.id is null or c.created_at < $1 limit 5000
)
"""


async def prune(connection: Connection, *, calls_before: datetime, deliveries_before: datetime) -> None:
    """Forget what was finished, or given up, long ago, and what was for an endpoint that is gone."""
    await connection.execute(OLD_CALLS, calls_before)
    await connection.execute(OLD_DELIVERIES, deliveries_before)
