"""All SQL of the gateway."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.gateway.domain import Intake, Key, Nominations, Organization, Person, Program, Relationship
from shared.database import Connection, Database
from shared.decisions import Lookup
from shared.events import ReportRejected
from shared.tables import Table

ORGANIZATIONS = Table(Organization, "organizations")
KEYS = Table(Key, "keys")
PEOPLE = Table(Person, "people")
PROGRAMS = Table(Program, "programs")
RELATIONSHIPS = Table(Relationship, "relationships")
INTAKES = Table(Intake, "intakes")
NOMINATIONS = Table(Nominations, "nominations")

TABLES: list[Table[Any]] = [ORGANIZATIONS, KEYS, PEOPLE, PROGRAMS, RELATIONSHIPS, INTAKES, NOMINATIONS]

PROGRAMS_OF_PERSON = """
select p.id, e ->> 'program' from people p, jsonb_array_elements(p.enrolments) e where p.id = any($1::uuid[])
"""

INTAKE_OF_REPORT = """
select v.value, i.id from unnest($1::text[]) as v (value) join intakes i
on i.organization = split_part(v.value, E'\\n', 1) and i.source = split_part(v.value, E'\\n', 2) and i.own_id = split_part(v.value, E'\\n', 3)
"""


def _report(event: ReportRejected) -> Iterable[str]:
    return (f"{event.organization}\n{event.report_source}\n{event.report_id}",)


REPORT = Lookup(INTAKE_OF_REPORT, _report)


# ---- what a request's events name --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Questions:
    """What the events of one request name, in the partner's words."""

    intakes: set[tuple[str, str]] = field(default_factory=set)
    """(source, id)"""
    people: set[str] = field(default_factory=set)
    """Own ids."""
    met: set[str] = field(default_factory=set)
    """UUIDs of people of other organizations who are said to have met."""
    meetings: bool = False
    organizations: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    """Programs."""


@dataclass(frozen=True, slots=True)
class Found:
    """A person as far as a request needs it."""

    id: UUID
    own_id: str
    programs: tuple[str, ...]
    revision: int


@dataclass(slots=True)
class Known:
    """The answers, seen as the partner may see them. They may be old by the time of the decision, which then looks again."""

    sender: Organization
    intakes: dict[tuple[str, str], Intake]
    people: dict[str, Found]
    relationships: list[Relationship] = field(default_factory=list)
    organizations: set[str] = field(default_factory=set)
    leaving: dict[str, list[Found]] = field(default_factory=dict)


FIND_INTAKES = f"""
{INTAKES.select} where organization = $1 and (source, own_id) in (select * from unnest($2::text[], $3::text[]))
"""  # noqa: S608 - names come from our own classes
FIND_PEOPLE = """
select id, own_id, array(select e ->> 'program' from jsonb_array_elements(enrolments) e) as programs, revision from people
where organization = $1 and own_id = any($2::text[])
"""
FIND_LEAVING = """
select id, own_id, array(select e ->> 'program' from jsonb_array_elements(enrolments) e) as programs, revision from people
where organization = $1 and not erased and enrolments @> jsonb_build_array(jsonb_build_object('program', $2::text))
"""
FIND_RELATIONSHIPS = f"{RELATIONSHIPS.select} where people && $1::text[]"
FIND_ORGANIZATIONS = "select id from organizations where id = any($1::text[])"


async def known(database: Database, organization: str, questions: Questions) -> Known:
    """Look up what a request's events name. Raises LookupError where the organization itself isn't known."""
    async with database.tenant(organization) as connection:
        row = await connection.fetchrow(f"{ORGANIZATIONS.select} where id = $1", organization)
        if row is None:
            raise LookupError("an API key of an organization that isn't here")
        sources, ids = [source for source, _ in questions.intakes], [own_id for _, own_id in questions.intakes]
        intakes = [INTAKES.read(r) for r in await connection.fetch(FIND_INTAKES, organization, sources, ids)]
        people = await _people(connection, FIND_PEOPLE, organization, list(questions.people)) if questions.people else []
        found = Known(
            ORGANIZATIONS.read(row), {(i.source, i.own_id): i for i in intakes}, {person.own_id: person for person in people}
        )
        if questions.meetings:
            met = [str(person.id) for person in people] + list(questions.met)
            found.relationships = [RELATIONSHIPS.read(r) for r in await connection.fetch(FIND_RELATIONSHIPS, met)]
        for program in questions.leaving:
            found.leaving[program] = await _people(connection, FIND_LEAVING, organization, program)
    if questions.organizations:
        async with database.transaction() as connection:
            rows = await connection.fetch(FIND_ORGANIZATIONS, list(questions.organizations))
        found.organizations = {r["id"] for r in rows}
    return found


async def _people(connection: Connection, sql: str, organization: str, names: str | Sequence[str]) -> list[Found]:
    rows = await connection.fetch(sql, organization, names)
    return [Found(r["id"], r["own_id"], tuple(r["programs"]), r["revision"]) for r in rows]


# ---- reads for a partner: each under the tenant's own role --------------------------------------------------------------


async def programs(connection: Connection, ids: Sequence[str]) -> list[Program]:
    return [PROGRAMS.read(r) for r in await connection.fetch(f"{PROGRAMS.select} where id = any($1::text[])", ids)]


async def programs_seen(connection: Connection, organization: str) -> list[Program]:
    sql = f"{PROGRAMS.select} where $1 = any(audience) order by id"
    return [PROGRAMS.read(r) for r in await connection.fetch(sql, organization)]


async def organization(connection: Connection, name: str) -> Organization | None:
    row = await connection.fetchrow(f"{ORGANIZATIONS.select} where id = $1", name)
    return None if row is None else ORGANIZATIONS.read(row)


async def person(connection: Connection, organization: str, own_id: str, person_id: UUID | None) -> Person | None:
    """By the organization's own id, else by ours; of whoever is only invited it doesn't hear."""
    sql = f"""
    {PEOPLE.select} where organization = $1 and (own_id = $2 or id = $3) and status <> 'invited'
    order by (own_id = $2) desc nulls last limit 1
    """
    row = await connection.fetchrow(sql, organization, own_id, person_id)
    return None if row is None else PEOPLE.read(row)


async def intakes_about(connection: Connection, organization: str, person_id: UUID) -> list[UUID]:
    rows = await connection.fetch("select id from intakes where organization = $1 and person = $2", organization, person_id)
    return [r["id"] for r in rows]


async def intakes(
    connection: Connection, organization: str, own_id: str, source: str | None, event_id: UUID | None
) -> list[Intake]:
    """A posted event by the partner's own id, else by the id it has here; several where sources share the id."""
    sql = f"""
    {INTAKES.select} where organization = $1 and (own_id = $2 or id = $4) and ($3::text is null or source = $3)
    order by (own_id = $2) desc, id desc limit 20
    """
    return [INTAKES.read(r) for r in await connection.fetch(sql, organization, own_id, source, event_id)]


async def keys(connection: Connection, organization: str) -> list[Key]:
    sql = f"{KEYS.select} where organization = $1 order by issued_at, id"
    return [KEYS.read(r) for r in await connection.fetch(sql, organization)]


# ---- reads for the operators: all organizations --------------------------------------------------------------------------

COUNT_KEYS = "select organization, count(*) as keys from keys where revoked_at is null group by organization"


async def organizations(database: Database) -> list[tuple[Organization, list[Program], int]]:
    """Every organization with the programs it owns and how many of its keys work."""
    async with database.transaction() as connection:
        rows = await connection.fetch(f"{ORGANIZATIONS.select} order by id")
        owned = [PROGRAMS.read(r) for r in await connection.fetch(f"{PROGRAMS.select} order by id")]
        working = {r["organization"]: r["keys"] for r in await connection.fetch(COUNT_KEYS)}
    found = [ORGANIZATIONS.read(r) for r in rows]
    return [(o, [p for p in owned if p.organization == o.id], working.get(o.id, 0)) for o in found]


# ---- reads for the pages of people --------------------------------------------------------------------------------------

ADDRESSED = """
select id from people where not erased and status <> 'invited' and lower(contact ->> 'email') = lower($1)
and (organization = $2 or enrolments @> jsonb_build_array(jsonb_build_object('program', $3::text, 'role', 'mentor')))
order by id limit 20
"""
"""Those whom the mentee's organization knows by this address, and the program's mentors."""
MATCHED = """
select exists (select from relationships where people && array[$1::text] and program = $2 and not ended
  and format not in ('reverse', 'conversation'))
"""


async def someone(connection: Connection, person_id: UUID) -> Person | None:
    row = await connection.fetchrow(f"{PEOPLE.select} where id = $1", person_id)
    return None if row is None else PEOPLE.read(row)


async def nominations(connection: Connection, mentee: UUID) -> Nominations | None:
    row = await connection.fetchrow(f"{NOMINATIONS.select} where id = $1", mentee)
    return None if row is None else NOMINATIONS.read(row)


async def addressed(connection: Connection, email: str, organization: str, program: str) -> list[UUID]:
    return [row["id"] for row in await connection.fetch(ADDRESSED, email, organization, program)]


async def matched(connection: Connection, person_id: UUID, program: str) -> bool:
    """Whether they are in a relationship of the program, as far as it is known here; reverse mentoring and conversations are beside what they came for."""
    return bool(await connection.fetchval(MATCHED, str(person_id), program))


# ---- chores ------------------------------------------------------------------------------------------------------------

FORGET_INTAKES = "delete from intakes where id in (select id from intakes where id < $1 order by id limit 5000)"
BEGIN_CHORE = """
insert into chores (name, done_at) values ($1, $2)
on conflict (name) do update set done_at = excluded.done_at where chores.done_at <= $3 returning name
"""
SOME_PEOPLE = "select id from people where status <> 'invited' order by id desc limit 3000"
SOME_KEYS = "select id from keys order by issued_at desc limit 3000"


async def forget_intakes(database: Database, before: UUID) -> int:
    """Delete some of the intakes whose ids are older; how many went."""
    async with database.transaction() as connection:
        done = await connection.execute(FORGET_INTAKES, before)
    return int(done.rsplit(" ", 1)[1])


async def begin_chore(database: Database, name: str, now: datetime, last_before: datetime) -> bool:
    """Whether the chore is due and ours: of several copies one gets it."""
    async with database.transaction() as connection:
        return await connection.fetchval(BEGIN_CHORE, name, now, last_before) is not None


async def some_ids(database: Database) -> tuple[list[UUID], list[str]]:
    """Ids of people and of keys, newest first: enough to find one for each partition that has any."""
    async with database.transaction() as connection:
        people = [r["id"] for r in await connection.fetch(SOME_PEOPLE)]
        return people, [r["id"] for r in await connection.fetch(SOME_KEYS)]
