"""All SQL of matching: its tables, look-ups, what the job reads and writes, and the queries behind the API."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from services.matching.domain.fairness import Counted, Key, report
from services.matching.domain.model import Asked, Helping, Person, Program, Relationship, Rolling, Run, Waitlisted
from services.matching.domain.requests import Request, Wishes
from services.matching.domain.runs import Totals
from shared.database import Connection
from shared.decisions import Lookup
from shared.events import Audited, Role, Roster
from shared.tables import Table, View, array

PROGRAMS = Table(Program, "programs")
RUNS = Table(Run, "runs")
RELATIONSHIPS = Table(Relationship, "relationships")
PEOPLE = Table(Person, "people")
WAITLISTED = Table(Waitlisted, "waitlisted")

WISHES = Table(Wishes, "wishes")
REQUESTS = Table(Request, "requests")

TABLES: list[Table[Any]] = [
    View(Rolling, "rolling"),
    WISHES,
    Table(Asked, "asked"),
    PROGRAMS,
    RUNS,
    RELATIONSHIPS,
    PEOPLE,
    WAITLISTED,
    REQUESTS,
]
"""Locks are taken in this order."""

# ---- which aggregates an event concerns --------------------------------------------------------------------------------

MEMBERS = "select r.id, p::uuid from relationships r, unnest(r.people) p where r.id = any($1::uuid[])"

PEOPLE_OF_ENDED = Lookup(MEMBERS, of=lambda event: (event.relationship_id,))
PEOPLE_OF_DUE = Lookup(MEMBERS, of=lambda due: (due.owner,))
PROGRAM_OF_DUE = Lookup("select id, program from relationships where id = any($1::uuid[])", of=lambda due: (due.owner,))
PROPOSED_IN_PROGRAM = Lookup(
    "select program, id from relationships where status = 'proposed' and program = any($1::text[])",
    of=lambda event: (event.program,),
)

PERSONAL_IN_PROGRAM = Lookup(
    """
    select u.program, p.id from unnest($1::text[]) u(program)
    join people p on p.programs @> array[u.program] and p.personal_rules @> jsonb_build_array(jsonb_build_object('program', u.program))
    """,
    of=lambda event: (event.program,),
)

OPEN_IN_PROGRAM = Lookup(
    "select program, id from requests where status in ('asked', 'questioned') and program = any($1::text[])",
    of=lambda event: (event.program,),
)
OPEN_OF_PERSON = Lookup(
    """
    select u.person, r.id from unnest($1::uuid[]) u(person) cross join lateral (
      select id from requests where mentor_id = u.person and status in ('asked', 'questioned')
      union all select id from requests where mentee_id = u.person and status in ('asked', 'questioned')) r
    """,
    of=lambda due: (due.owner,),
)
"""The requests, of one side or the other, that wait for an answer."""


def round_of_wishes(of: Callable[[Any], Iterable[UUID]]) -> Lookup:
    """The requests of the newest round of the wishes that an event or timer is about."""
    return Lookup("select w.id, q::uuid from wishes w, unnest(w.requests) q where w.id = any($1::uuid[])", of)


OF_WISHES: dict[type, Lookup] = {
    Program: Lookup("select id, program from wishes where id = any($1::uuid[])", of=lambda due: (due.owner,)),
    Person: Lookup(
        """
        select id, mentee_id from wishes where id = any($1::uuid[])
        union all select w.id, r.mentor_id from wishes w, unnest(w.requests) q join requests r on r.id = q::uuid
        where w.id = any($1::uuid[])
        """,
        of=lambda due: (due.owner,),
    ),
    Request: round_of_wishes(lambda due: (due.owner,)),
}
"""All that a decision on a mentee's wishes looks at."""

# ---- runs --------------------------------------------------------------------------------------------------------------

OPEN_RUNS = "select id, status from runs where status in ('waiting_for_roster', 'solving', 'applying') order by id"
STARTABLE = """
select r.id, r.program, p.waits_for from runs r join programs p on p.waiting_run = r.id
where r.status = 'waiting_for_roster' and p.current_run is null order by r.id
"""
ROSTER = """
select count(*) as people, coalesce(sum((e ->> 'revision')::bigint), 0)::bigint as revisions
from people, jsonb_array_elements(enrolments) e where programs @> array[$1::text] and e ->> 'program' = $1
"""
DRIVES = "select pg_try_advisory_lock(hashtext('ithaca match run'), hashtext($1::text))"
"""Of a run, or of a program whose proposals are scored anew."""
FORGET_ASKED = "delete from asked where asked_at < $1"


async def open_runs(connection: Connection) -> list[tuple[UUID, str]]:
    """(id, status) of the runs that aren't over."""
    return [(row["id"], row["status"]) for row in await connection.fetch(OPEN_RUNS)]


async def startable(connection: Connection) -> list[UUID]:
    """The waiting runs whose roster has arrived and whose program has no other run at work."""
    ready = []
    for row in await connection.fetch(STARTABLE):
        asked = None if row["waits_for"] is None else Roster.model_validate_json(row["waits_for"])
        if asked is None or reached(await roster(connection, row["program"]), asked):
            ready.append(row["id"])
    return ready


async def roster(connection: Connection, program: str) -> Roster:
    """How far the program's people are known here."""
    row = await connection.fetchrow(ROSTER, program)
    assert row is not None
    return Roster(people=row["people"], revisions=row["revisions"])


def reached(known: Roster, asked: Roster) -> bool:
    """Whether what is known includes what was asked for; more may have come since."""
    return known.people >= asked.people and known.revisions >= asked.revisions


async def run_of(connection: Connection, run_id: UUID) -> Run | None:
    row = await connection.fetchrow(f"{RUNS.select} where id = $1", run_id)
    return None if row is None else RUNS.read(tuple(row))


async def program_of(connection: Connection, program: str) -> Program | None:
    row = await connection.fetchrow(f"{PROGRAMS.select} where id = $1", program)
    return None if row is None else PROGRAMS.read(tuple(row))


# ---- the job -----------------------------------------------------------------------------------------------------------

SNAPSHOT = f"{PEOPLE.select} where programs @> array[$1::text] and not erased order by id"
HELPS = TypeAdapter(list[Helping])
TAKE_ROUND = "select 1 from runs where id = $1 and status = 'solving' and round = $2 for update"
SOLVED = """
update runs set status = 'applying', attempts = 0, people = $3, planned = planned + $4, solver_seconds = solver_seconds + $7,
  planned_score = case when round = 1 then $5 else planned_score end, gap = case when round = 1 then $6 else gap end,
  helps = case when round = 1 then $8 else helps end
where id = $1 and round = $2
"""


async def snapshot(connection: Connection, program: str) -> list[Person]:
    """Everyone enrolled there; read in one repeatable-read transaction with the program."""
    await connection.execute("set transaction isolation level repeatable read, read only")
    return [PEOPLE.read(tuple(row)) for row in await connection.fetch(SNAPSHOT, program)]


async def store_plan(
    connection: Connection,
    run_id: UUID,
    done: int,
    pairs: Sequence[Relationship],
    waiting: Sequence[Waitlisted],
    *,
    people: int,
    score: int,
    gap: int,
    seconds: float,
    helps: Sequence[Helping] = (),
    audited: Mapping[Key, Sequence[str]] | None = None,
) -> bool:
    """Keep what the job found for this round of the run; False where the round has its result already."""
    if await connection.fetchval(TAKE_ROUND, run_id, done) is None:
        return False
    await connection.execute("delete from waitlisted where run_id = $1 and state = 'planned'", run_id)
    await connection.execute(RELATIONSHIPS.insert, *RELATIONSHIPS.arrays(pairs))
    await connection.execute(WAITLISTED.insert, *WAITLISTED.arrays(waiting))
    if audited and done == 1:
        rows = [(role, attribute, value, array(people)) for (role, attribute, value), people in audited.items()]
        await connection.execute(AUDITED, run_id, *map(list, zip(*rows, strict=True)))
    await connection.execute(SOLVED, run_id, done, people, len(pairs), score, gap, seconds, HELPS.dump_json(list(helps)).decode())
    return True


# ---- what a run found, as it is applied --------------------------------------------------------------------------------

PLANNED = "select id, people from relationships where run_id = $1 and status = 'planned' order by id limit $2"
TO_TELL = "select id, person_id from waitlisted where run_id = $1 and state = 'planned' order by id limit $2"
TO_TELL_COUNT = "select count(*) from waitlisted where run_id = $1 and state = 'planned'"
DROPPED = "select count(*) from relationships where run_id = $1 and status = 'dropped' and round = $2"
AUDITED = """
insert into audited (run_id, role, attribute, value, people) select $1, u.role, u.attribute, u.value, u.people::uuid[]
from unnest($2::text[], $3::text[], $4::text[], $5::text[]) u(role, attribute, value, people)
"""
FORGET_AUDITED = "delete from audited where run_id not in (select id from runs where status in ('solving', 'applying'))"
COUNTED = """
with scored as (
  select p::uuid as person, avg(score)::float8 as score from relationships, unnest(people) p
  where run_id = $1 and status not in ('planned', 'dropped') group by 1)
select role, attribute, value, count(*) as people, count(score) as matched, coalesce(sum(score), 0) as total,
  coalesce(sum(score * score), 0) as squares
from audited a cross join unnest(a.people) u(person) left join scored using (person)
where run_id = $1 group by role, attribute, value
"""
TOTALS = """
select count(*) filter (where size = 2) as pairs, count(*) filter (where size > 2) as groups,
  coalesce(sum(score * case when mentors > 0 then mentors * (size - mentors) else size * (size - 1) / 2 end), 0)::bigint as score_total,
  (select count(*) from waitlisted where run_id = $1 and state = 'told') as waitlisted
from (
  select score, cardinality(people) as size, jsonb_array_length(jsonb_path_query_array(members, '$[*] ? (@.role == "mentor")')) as mentors
  from relationships where run_id = $1 and status not in ('planned', 'dropped')) r
"""


async def planned(connection: Connection, run_id: UUID, limit: int) -> list[tuple[UUID, list[UUID]]]:
    """(relationship, its people) that the run has found and not come to yet."""
    rows = await connection.fetch(PLANNED, run_id, limit)
    return [(row["id"], [UUID(person) for person in row["people"]]) for row in rows]


async def to_tell(connection: Connection, run_id: UUID, limit: int) -> list[tuple[UUID, UUID]]:
    """(waitlisted, person) that the run hasn't told yet."""
    return [(row["id"], row["person_id"]) for row in await connection.fetch(TO_TELL, run_id, limit)]


async def totals(connection: Connection, run_id: UUID) -> Totals:
    row = await connection.fetchrow(TOTALS, run_id)
    assert row is not None
    found = [
        Counted(Role(r["role"]), Audited(r["attribute"]), r["value"], r["people"], r["matched"], r["total"], r["squares"])
        for r in await connection.fetch(COUNTED, run_id)
    ]
    return Totals(row["pairs"], row["groups"], row["waitlisted"], row["score_total"], tuple(report(found)))


async def forget_audited(connection: Connection) -> None:
    """Who belonged to which group is kept while a run works, and no longer."""
    await connection.execute(FORGET_AUDITED)


# ---- the API -----------------------------------------------------------------------------------------------------------

WAITING_FOR = "select waits_for from programs where waiting_run = $1"
WAITLIST = f"{WAITLISTED.select} where run_id = $1 and state = 'told' and id > $2 order by id limit $3"
START = UUID(int=0)


async def waits_for(connection: Connection, run_id: UUID) -> Roster | None:
    """The roster that a waiting run wants to have seen."""
    stored = await connection.fetchval(WAITING_FOR, run_id)
    return None if stored is None else Roster.model_validate_json(stored)


async def waitlist_of(connection: Connection, run_id: UUID, after: UUID | None, limit: int) -> list[Waitlisted]:
    return [WAITLISTED.read(tuple(row)) for row in await connection.fetch(WAITLIST, run_id, after or START, limit)]


async def relationship_of(connection: Connection, relationship_id: UUID) -> Relationship | None:
    row = await connection.fetchrow(f"{RELATIONSHIPS.select} where id = $1", relationship_id)
    return None if row is None else RELATIONSHIPS.read(tuple(row))


PROGRAMS_SHOWN = f"{PROGRAMS.select} order by closed, id"
RUNS_OF = f"{RUNS.select} where program = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"
STATES_OF = "select run_id, status, count(*) from relationships where run_id = any($1::uuid[]) group by run_id, status"
WAITING_OF = """
select run_id, role, reason, count(*) from waitlisted where run_id = any($1::uuid[]) and state = 'told' group by run_id, role, reason
order by count(*) desc, role, reason
"""
PAIRS_THAT_ARE = f"{RELATIONSHIPS.select} where run_id = $1 and status = any($2::text[]) and id > $3 order by id limit $4"
RELATIONSHIPS_CALLED = f"{RELATIONSHIPS.select} where run_id = $1 and id = any($2::uuid[]) order by id"


async def programs_shown(connection: Connection) -> list[Program]:
    """All that the tenant owns, those that are open first."""
    return [PROGRAMS.read(tuple(row)) for row in await connection.fetch(PROGRAMS_SHOWN)]


async def runs_of(connection: Connection, program: str, before: UUID | None, limit: int) -> list[Run]:
    """The newest first."""
    return [RUNS.read(tuple(row)) for row in await connection.fetch(RUNS_OF, program, before, limit)]


async def states_of(connection: Connection, runs: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """How many relationships of each run are in which status."""
    found: dict[UUID, dict[str, int]] = {run: {} for run in runs}
    for row in await connection.fetch(STATES_OF, runs):
        found[row["run_id"]][row["status"]] = row["count"]
    return found


async def waiting_of(connection: Connection, runs: Sequence[UUID]) -> dict[UUID, dict[tuple[str, str], int]]:
    """How many each run has told that they wait, by role and reason, the most first."""
    found: dict[UUID, dict[tuple[str, str], int]] = {run: {} for run in runs}
    for row in await connection.fetch(WAITING_OF, runs):
        found[row["run_id"]][row["role"], row["reason"]] = row["count"]
    return found


async def pairs_that_are(
    connection: Connection, run_id: UUID, statuses: Sequence[str], after: UUID | None, limit: int
) -> list[Relationship]:
    rows = await connection.fetch(PAIRS_THAT_ARE, run_id, statuses, after or START, limit)
    return [RELATIONSHIPS.read(tuple(row)) for row in rows]


async def relationships_called(connection: Connection, run_id: UUID, ids: Sequence[UUID]) -> list[Relationship]:
    """Of these those that are the run's."""
    return [RELATIONSHIPS.read(tuple(row)) for row in await connection.fetch(RELATIONSHIPS_CALLED, run_id, ids)]


async def forget_asked(connection: Connection, before: datetime) -> None:
    await connection.execute(FORGET_ASKED, before)


# ---- proposals that are scored anew ------------------------------------------------------------------------------------

TO_RESCORE = "select id, rescore_at from programs where rescore_at is not null order by rescore_at"
OUT_OF_DATE = f"""{RELATIONSHIPS.select} r
where program = $1 and status = 'proposed' and id > $2 and scored_for is distinct from (
  select jsonb_agg(p.revision order by n) || (select to_jsonb(g.revision) from programs g where g.id = r.program)
  from jsonb_array_elements(r.members) with ordinality m(member, n) join people p on p.id = (m.member ->> 'person_id')::uuid)
and not exists(select from programs g where g.current_run = r.run_id and g.id = r.program)
order by id limit $3
"""  # noqa: S608 - names come from our own classes
"""Proposals whose people or program have moved since they were scored; those of a run at work are looked at when it is over."""
PROPOSALS = f"{RELATIONSHIPS.select} where id = any($1::uuid[]) and status = 'proposed' order by id"


async def to_rescore(connection: Connection) -> list[tuple[str, datetime]]:
    """Programs in which proposals may have to be scored anew, and the moment before which that was found."""
    return [(row["id"], row["rescore_at"]) for row in await connection.fetch(TO_RESCORE)]


async def out_of_date(connection: Connection, program: str, after: UUID | None, limit: int) -> list[Relationship]:
    """Proposals of the program that are to be scored anew."""
    return [RELATIONSHIPS.read(tuple(row)) for row in await connection.fetch(OUT_OF_DATE, program, after or START, limit)]


async def proposals_of(connection: Connection, ids: Sequence[UUID]) -> list[Relationship]:
    """Of these those that are proposals."""
    return [RELATIONSHIPS.read(tuple(row)) for row in await connection.fetch(PROPOSALS, ids)]


# ---- requests ----------------------------------------------------------------------------------------------------------

OF_ROUND = f"{REQUESTS.select} where id = any($1::uuid[]) order by choice"
ENROLLED = "select id, xmin::text as version from people where programs @> array[$1::text] and not erased"
"""With the transaction that last wrote each row, which tells whether it is still the one that was read."""
PEOPLE_SHOWN = PEOPLE.select.replace("personal_rules", "'[]' as personal_rules") + " where id = any($1::uuid[])"
DECLINED_BY = "select mentor_id from requests where wishes_id = $1 and status = 'declined'"
REQUESTS_OF_PROGRAM = """
select id, program, mentee_id, mentor_id, choice, status, score, asked_at, closes_at, relationship_id from requests
where program = $1 and status <> 'queued' and ($2::uuid is null or mentee_id = $2) and id > $3 order by id limit $4
"""


async def person_of(connection: Connection, person_id: UUID) -> Person | None:
    row = await connection.fetchrow(f"{PEOPLE.select} where id = $1", person_id)
    return None if row is None else PEOPLE.read(tuple(row))


async def people_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Person]:
    rows = await connection.fetch(f"{PEOPLE.select} where id = any($1::uuid[])", ids)
    return {person.id: person for person in (PEOPLE.read(tuple(row)) for row in rows)}


async def people_shown(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Person]:
    """As a tenant may see them: without their own rules."""
    rows = await connection.fetch(PEOPLE_SHOWN, ids)
    return {person.id: person for person in (PEOPLE.read(tuple(row)) for row in rows)}


async def enrolled(connection: Connection, program: str) -> dict[UUID, str]:
    """Everyone enrolled there, each with a version that changes with the person's row."""
    return {row["id"]: row["version"] for row in await connection.fetch(ENROLLED, program)}


async def wishes_of(connection: Connection, wishes_id: UUID) -> Wishes | None:
    row = await connection.fetchrow(f"{WISHES.select} where id = $1", wishes_id)
    return None if row is None else WISHES.read(tuple(row))


async def request_of(connection: Connection, request_id: UUID) -> Request | None:
    row = await connection.fetchrow(f"{REQUESTS.select} where id = $1", request_id)
    return None if row is None else REQUESTS.read(tuple(row))


async def round_of(connection: Connection, wishes: Wishes | None) -> list[Request]:
    """The requests of a mentee's newest round, in their order."""
    ids = [UUID(request) for request in wishes.requests] if wishes else []
    return [REQUESTS.read(tuple(row)) for row in await connection.fetch(OF_ROUND, ids)]


async def declined_by(connection: Connection, wishes_id: UUID) -> list[UUID]:
    """Mentors who have said no to this mentee in this program: they aren't suggested again."""
    return [row["mentor_id"] for row in await connection.fetch(DECLINED_BY, wishes_id)]


async def requests_of(
    connection: Connection, program: str, mentee: UUID | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """What came to a mentor's turn, as partners may see it: never what was written, nor why someone said no."""
    return [dict(row) for row in await connection.fetch(REQUESTS_OF_PROGRAM, program, mentee, after or START, limit)]
