"""All SQL of analytics: its tables, the counts of a program, and the story by any id."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.analytics.domain.counts import Counts, Delivery, Measured, Meeting, Person, Program, Relationship, Seat
from services.analytics.domain.growth import Answer, Thing
from services.analytics.domain.story import Line
from shared.database import Connection
from shared.events import TOPICS
from shared.tables import Table

TABLES: list[Table[Any]] = [
    Table(Program, "programs"),
    Table(Person, "people"),
    Table(Relationship, "relationships"),
    Table(Meeting, "meetings"),
    Table(Delivery, "deliveries"),
    Table(Seat, "seats"),
    Table(Line, "story"),
    Table(Measured, "measured"),
    Table(Answer, "answers"),
    Table(Thing, "things"),
]

LINES = next(table for table in TABLES if table.kind is Line)

# ---- counts ------------------------------------------------------------------------------------------------------------

COUNTS = """
with taken as (
    select p.organization, s.waitlisted_at, s.placed_at, greatest(s.recorded, p.recorded) as recorded
    from seats s join people p on p.id = s.person_id
    where s.program = $1 and s.program = any(p.programs) and ($2::text is null or p.organization = $2)
), bonds as (
    select * from relationships where program = $1 and ($2::text is null or $2 = any(homes) or formed is null)
), met as (
    select * from meetings where program = $1
), mails as (
    select * from deliveries where program = $1
), paired as (
    select distinct m.person from bonds b cross join unnest(b.people, b.homes) as m(person, home)
    where b.formed is not null and not b.ended and ($2::text is null or m.home = $2)
)
select
    (select count(*) from taken) as enrolled,
    (select count(*) from paired) as matched,
    (select count(*) from taken where waitlisted_at > coalesce(placed_at, '-infinity')) as waitlisted,
    (select count(*) from bonds where agreed) as agreed,
    (select count(*) from met where scheduled) as scheduled,
    (select count(*) from met where held > 0 and held >= missed) as held,
    (select count(*) from met where missed > held) as missed,
    (select coalesce(sum(cardinality(milestones)), 0)::bigint from bonds) as milestones,
    (select count(*) from bonds where ended and formed is distinct from 'conversation') as ended,
    (select count(*) from bonds where formed = 'pair') as pairs,
    (select count(*) from bonds where formed = 'group') as groups,
    (select count(*) from bonds where formed = 'conversation') as conversations,
    (select count(*) from mails where sent) as mails_sent,
    (select count(*) from mails where failed and not sent) as mails_failed,
    greatest(
        (select max(recorded) from taken), (select max(recorded) from bonds), (select max(recorded) from met),
        (select max(recorded) from mails)
    ) as as_of
"""
"""Of a whole program, or ($2) of one organization's people; meetings and mails are then those that row-level security shows."""

PROGRAM = "select id, organization, name, members, with_totals, closed from programs where id = $1"
PROGRAMS = "select id from programs order by id"


@dataclass(frozen=True, slots=True)
class Summary:
    counts: Counts
    as_of: datetime | None
    """When Ithaca learned of the newest fact that is counted."""


async def summary(connection: Connection, program: str, *, own: str | None = None) -> Summary:
    """What this connection may see of a program, counted; `own` counts one organization's people only."""
    row = await connection.fetchrow(COUNTS, program, own)
    assert row is not None
    values = dict(row)
    as_of = values.pop("as_of")
    return Summary(Counts(**values), as_of)


async def program(connection: Connection, name: str) -> dict[str, Any] | None:
    row = await connection.fetchrow(PROGRAM, name)
    return dict(row) if row else None


async def programs(connection: Connection) -> list[str]:
    return [row["id"] for row in await connection.fetch(PROGRAMS)]


def as_numbers(counts: Counts) -> dict[str, int]:
    return asdict(counts)


# ---- the story ---------------------------------------------------------------------------------------------------------

OWN_ID = """
select id, organization from people where own_id = $1 and ($2::text is null or organization = $2) order by organization, id
"""
WITH_PARTNERS = "select id from relationships where people && $1::text[]"
STORY = """
with named as (
    select event from mentions where subject = any($1::uuid[])
    union select id from story where id = any($1::uuid[])
), further as (
    select event from mentions where $4 and subject = any(array(select event from named))
)
select id, time, recorded, type, topic, key, organization, program, data, service, correlation, causation, trace, log_partition, log_offset
from story where id = any(array(select event from named union select event from further))
and (topic = 'notifications' or id = any(array(select event from named)))
and ($2::uuid is null or (time, id) > (select a.time, a.id from story a where a.id = $2))
order by time, id limit $3
"""
"""What names any of these ids, and what notifications told of it."""


async def people_called(connection: Connection, own_id: str, organization: str | None) -> list[tuple[str, UUID]]:
    """(organization, person) of everyone who is called so by their organization."""
    return [(row["organization"], row["id"]) for row in await connection.fetch(OWN_ID, own_id, organization)]


async def with_relationships(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """These ids and, where one is a person, the relationships that the person is or was in."""
    rows = await connection.fetch(WITH_PARTNERS, [str(one) for one in ids])
    return [*ids, *(row["id"] for row in rows)]


async def lines(
    connection: Connection, ids: Sequence[UUID], *, after: UUID | None, limit: int, told: bool = True
) -> list[dict[str, Any]]:
    """Lines about these ids in the order in which it happened, from behind the line `after`; `told`: with what was told of them."""
    return [dict(row) for row in await connection.fetch(STORY, list(ids), after, limit, told)]


# ---- what was published ------------------------------------------------------------------------------------------------

LAST_MEASURED = "select measured_at from measured where id = $1"


async def last_measured(connection: Connection, program: str) -> datetime | None:
    at: datetime | None = await connection.fetchval(LAST_MEASURED, program)
    return at


# ---- generations -------------------------------------------------------------------------------------------------------

FOR_EVER = [topic.name for topic in TOPICS.values() if not topic.compacted and topic.retention_days is None]
OPEN = """
drop schema if exists analytics_before cascade;
drop schema if exists analytics_next cascade;
create schema analytics_next authorization analytics;
grant usage on schema analytics_next to analytics_tenant;
"""
STILL = "lock table analytics.positions, analytics.outbox in access exclusive mode"
MISSING = """
select count(*) from analytics.story o join analytics_next.positions p on p.topic = o.topic and p.partition = o.log_partition
where o.topic = any($1::text[]) and o.log_offset < p.next_offset
and not exists (select from analytics_next.story n where n.id = o.id)
"""
CARRY = """
insert into analytics_next.story select o.* from analytics.story o
where o.topic <> all($1::text[]) and not exists (select from analytics_next.story n where n.id = o.id)
"""
CARRY_MORE = """
insert into analytics_next.mentions select m.* from analytics.mentions m join analytics_next.story s on s.id = m.event on conflict do nothing;
insert into analytics_next.deliveries select * from analytics.deliveries on conflict do nothing;
insert into analytics_next.measured select * from analytics.measured on conflict do nothing;
insert into analytics_next.outbox overriding system value select * from analytics.outbox;
select setval(pg_get_serial_sequence('analytics_next.outbox', 'id'), nextval(pg_get_serial_sequence('analytics.outbox', 'id')));
"""
SWAP = """
alter schema analytics rename to analytics_before;
alter schema analytics_next rename to analytics;
"""


READ = "select count(*) from positions where not history"


async def partitions_read(connection: Connection) -> int:
    """How many partitions were read to their end at least once."""
    count: int = await connection.fetchval(READ)
    return count


class Missing(Exception):
    """So many lines are in the old generation and not in the new one, though it has read past them."""


async def open_generation(admin: str) -> None:
    """An empty schema for the next generation; one that was given up before, and the one kept from the last swap, go."""
    connection = await asyncpg.connect(admin, timeout=10)
    try:
        await connection.execute(OPEN)
    finally:
        await connection.close()


async def swap_generations(admin: str) -> tuple[int, int]:
    """In one transaction: nobody moves, what the log no longer holds is carried over, the names change. Raises Missing.

    Returns the number of lines, and how many were carried over.
    """
    connection = await asyncpg.connect(admin, timeout=10)
    try:
        await connection.execute("analyze analytics_next.story, analytics_next.mentions")
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '30s'")
            await connection.execute(STILL)
            if missing := await connection.fetchval(MISSING, FOR_EVER):
                raise Missing(missing)
            # the trigger's function writes into whatever schema is current
            await connection.execute("set local search_path = analytics_next; set local role analytics")
            carried = await connection.execute(CARRY, FOR_EVER)
            await connection.execute(CARRY_MORE)
            await connection.execute("reset role")
            await connection.execute(SWAP)
            lines: int = await connection.fetchval("select count(*) from analytics.story")
        return lines, int(carried.rpartition(" ")[2])
    finally:
        await connection.close()
