"""All SQL of scheduling: its tables in the order in which they are locked, how events find their aggregates, what pages read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from services.scheduling.domain.check_ins import Answers, CheckIn
from services.scheduling.domain.co_mentees import CoMentees, Mentees
from services.scheduling.domain.diaries import Diary, Turn
from services.scheduling.domain.entries import Entry, Written
from services.scheduling.domain.feedback import Feedback
from services.scheduling.domain.goals import Goal
from services.scheduling.domain.introductions import Introduction
from services.scheduling.domain.looking_back import LookBack
from services.scheduling.domain.model import Agreement, Concern, Meeting, Organization, Person, Program, Relationship
from services.scheduling.domain.openings import Opening, PassedOn
from services.scheduling.domain.recognition import Mentored, Recognised
from services.scheduling.domain.skills import Assessment
from shared.database import Connection
from shared.decisions import Lookup
from shared.tables import Table, View


def ever_in(person: str) -> str:
    """The condition, by index, for a relationship that somebody is in, or was before they left it; `person` is SQL for their id."""
    left = f"former <> '[]' and former @> jsonb_build_array(jsonb_build_object('person_id', {person}))"
    return f"(people @> array[{person}::text] or {left})"


PEOPLE = Table(Person, "people")
PROGRAMS = Table(Program, "programs")
ORGANIZATIONS = Table(Organization, "organizations")
RELATIONSHIPS = Table(Relationship, "relationships")
MEETINGS = Table(Meeting, "meetings")
GOALS = Table(Goal, "goals")
CONCERNS = Table(Concern, "concerns")
LOOKS_BACK = Table(LookBack, "looks_back")
CHECK_INS = Table(CheckIn, "check_ins")
FEEDBACK = Table(Feedback, "feedback")
AGREEMENTS = Table(Agreement, "agreements")
ENTRIES = Table(Entry, "entries")
ASSESSMENTS = Table(Assessment, "assessments")
OPENINGS = Table(Opening, "openings")
INTRODUCTIONS = Table(Introduction, "introductions")
CO_MENTEES = Table(CoMentees, "co_mentees")
MENTEES = View(Mentees, "co_mentees")
MENTEES.load = """
select c.id, array_agg(distinct m ->> 'person_id') as people from co_mentees c
join relationships r on r.people @> array[c.mentor_id::text] and r.program = c.program and r.ended_at is null
  and r.format not in ('group', 'circle', 'peer_pair', 'conversation')
join lateral jsonb_array_elements(r.members) m on m ->> 'role' = 'mentee'
where c.id = any($1::uuid[]) and exists(select from jsonb_array_elements(r.members) l
  where l ->> 'role' = 'mentor' and l ->> 'person_id' = c.mentor_id::text)
group by c.id order by c.id
"""
"""Whose mentees may see each other, as relationships stand."""
TURNS = Table(Turn, "people")
TURNS.load = """
select id from people where id in (select unnest(people)::uuid from relationships where id = any($1::uuid[])) order by id for update
"""
"""The turns of all members of these relationships."""
DIARIES = View(Diary, "meetings")
DIARIES.load = """
select w.id, (
  select coalesce(jsonb_agg(jsonb_build_object('meeting_id', m.id, 'relationship_id', r.id, 'minutes', m.minutes,
    'starts_at', m.starts_at, 'slots', m.slots)), '[]')
  from relationships r cross join lateral (select * from meetings where id = r.meeting_id limit 1) m
  where r.people @> array[w.id::text] and r.ended_at is null and m.status in ('proposed', 'scheduled')
) as planned
from (
  select unnest($1::uuid[]) as id union select unnest(people)::uuid from relationships where id = any($1::uuid[])
) w order by w.id
"""
"""The diaries of these people, and of all members of these relationships: one statement, read when turns and relationships are held."""
WRITTEN = View(Written, "entries")
WRITTEN.load = """
select r.id, e.entries, e.points, e.follow_ups, e.due || s.due as due, g.goals, s.steps from unnest($1::uuid[]) as r(id)
cross join lateral (
  select count(*) as entries, count(*) filter (where kind = 'point' and done_at is null) as points,
    count(*) filter (where kind = 'follow_up' and done_at is null) as follow_ups,
    coalesce(jsonb_agg(jsonb_build_object('id', id, 'on', due_on, 'doer', doer))
      filter (where kind = 'follow_up' and done_at is null and due_on is not null), '[]') as due
  from entries where relationship_id = r.id
) e
cross join lateral (select count(*) as goals from goals where relationship_id = r.id) g
cross join lateral (
  select count(*) as steps, coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'on', s.due_on, 'doer', o.person_id, 'goal', o.id))
    filter (where s.due_on is not null), '[]') as due
  from goals o cross join lateral jsonb_to_recordset(o.steps) as s(id uuid, due_on date, done_at timestamptz)
  where o.relationship_id = r.id and o.attained_at is null and o.dropped_at is null and s.done_at is null
) s
order by r.id
"""
ANSWERS = View(Answers, "check_ins")
ANSWERS.load = """
select relationship_id as id, jsonb_agg(jsonb_build_object('id', id, 'person_id', person_id, 'kind', kind, 'number', number,
  'stage', stage, 'asked_at', asked_at, 'due_at', due_at, 'answered_at', answered_at, 'score', score, 'fit', fit, 'differs', differs)
  order by asked_at, number, id) as check_ins
from check_ins where relationship_id = any($1::uuid[]) group by relationship_id order by id
"""
PASSED_ON = View(PassedOn, "openings")
PASSED_ON.load = """
select relationship_id as id, count(*) as openings from openings where relationship_id = any($1::uuid[]) group by relationship_id order by id
"""
RECOGNITIONS = Table(Recognised, "recognitions")
MENTORED = View(Mentored, "meetings")
MENTORED.load = f"""
with asked as (
  select k.id, p.id::text as person, p.time_zone, g.id as program, g.organization,
    coalesce((g.policy ->> 'recognition')::boolean, true) as wanted, split_part(k.id, ' ', 3) as what
  from unnest($1::text[]) as k(id)
  join people p on p.id = split_part(k.id, ' ', 1)::uuid join programs g on g.id = split_part(k.id, ' ', 2)
)
select a.id, a.organization, a.wanted, h.meetings, h.minutes, h.people, h.milestones - case when what ~ '^[0-9]{{4}}$' then (
    select coalesce(sum(milestones), 0)::bigint from recognitions
    where person_id = a.person::uuid and program = a.program and kind = 'year' and year < what::int
  ) else 0 end as milestones
from asked a cross join lateral (
  with held as materialized (
    select r.id, r.members || r.former as members, (m.held ->> 'minutes')::bigint as minutes, m.held -> 'attended' as attended
    from relationships r join meetings m on m.relationship_id = r.id
    where {ever_in("a.person")} and r.program = a.program and m.status = 'held' and m.held -> 'attended' ? a.person
      and (r.members || r.former) @> jsonb_build_array(jsonb_build_object('person_id', a.person, 'role', 'mentor'))
      and case when what = 'people' then true when what ~ '^[0-9]{{4}}$' then
        m.starts_at >= make_timestamptz(what::int, 1, 1, 0, 0, 0, a.time_zone)
        and m.starts_at < make_timestamptz(what::int + 1, 1, 1, 0, 0, 0, a.time_zone) else r.id::text = what end
  )
  select count(*) as meetings, coalesce(sum(minutes), 0)::bigint as minutes,
    (select count(distinct who) from held cross join lateral jsonb_array_elements_text(attended) who
     where not members @> jsonb_build_array(jsonb_build_object('person_id', who, 'role', 'mentor'))) as people,
    (select coalesce(sum(cardinality(r.milestones) - (
      select count(*) from jsonb_to_recordset(r.former) as f(person_id text, left_at timestamptz)
      join jsonb_to_recordset(r.reached) as x(at timestamptz) on x.at > f.left_at
      where f.person_id = a.person and not r.people @> array[a.person]
    )), 0)::bigint from relationships r where r.id in (select id from held)) as milestones
  from held
) h order by a.id
"""  # noqa: S608 - our own words
"""What a mentor has done in a program: in a year of their own wall, in one relationship, or in all; until they left, where they did."""
TABLES: list[Table[Any]] = [
    TURNS,
    PEOPLE,
    PROGRAMS,
    ORGANIZATIONS,
    RELATIONSHIPS,
    MEETINGS,
    GOALS,
    CONCERNS,
    LOOKS_BACK,
    CHECK_INS,
    FEEDBACK,
    AGREEMENTS,
    ENTRIES,
    ASSESSMENTS,
    OPENINGS,
    INTRODUCTIONS,
    CO_MENTEES,
    MENTEES,
    WRITTEN,
    ANSWERS,
    PASSED_ON,
    DIARIES,
    RECOGNITIONS,
    MENTORED,
]

CHUNK = 500
"""Relationships that take over a change of their program in one transaction."""

# ---- how an event or timer finds what it concerns ----------------------------------------------------------------------

OF_PERSON = Lookup(
    """
    select u.person, r.id from unnest($1::uuid[]) as u(person)
    join relationships r on r.people @> array[u.person::text] and r.ended_at is null
    """,
    lambda event: (event.person_id,),
)
DIARIES_OF_PERSON = Lookup(OF_PERSON.sql, OF_PERSON.of)
"""Of all with whom a person is in a relationship: by the relationship."""
MEETING_OF_PERSON = Lookup(
    """
    select u.person, r.meeting_id from unnest($1::uuid[]) as u(person)
    join relationships r on r.people @> array[u.person::text] and r.ended_at is null and r.meeting_id is not null
    """,
    lambda event: (event.person_id,),
)
OF_OWNER = Lookup(OF_PERSON.sql, lambda due: (due.owner,))
DIARIES_OF_OWNER = Lookup(OF_OWNER.sql, OF_OWNER.of)
MEETING_OF_THEIRS = Lookup(MEETING_OF_PERSON.sql, lambda due: (due.owner,))
"""Of the person who owns a timer: their relationships, all who are in these, and what is planned in them."""
EVER_OF_PERSON = Lookup(
    """
    select u.person, r.id from unnest($1::uuid[]) as u(person)
    join relationships r on r.people @> array[u.person::text]
    """,
    lambda event: (event.person_id,),
)
GOALS_OF_PERSON = Lookup(
    """
    select u.person, g.id from unnest($1::uuid[]) as u(person) join goals g on g.person_id = u.person
    union select u.person, g.id from unnest($1::uuid[]) as u(person) join goals g on g.writers @> array[u.person::text]
    """,
    lambda event: (event.person_id,),
)
GOALS_OF_RELATIONSHIP = Lookup(
    "select relationship_id, id from goals where relationship_id = any($1::uuid[])", lambda event: (event.relationship_id,)
)
ASSESSMENTS_OF_PERSON = Lookup(
    """
    select u.person, a.id from unnest($1::uuid[]) as u(person) join assessments a on a.person_id = u.person
    union select u.person, a.id from unnest($1::uuid[]) as u(person) join assessments a on a.assessed_by = u.person
    """,
    lambda event: (event.person_id,),
)
ASSESSMENTS_OF_OWNER = Lookup(
    "select relationship_id, id from assessments where relationship_id = any($1::uuid[])", lambda due: (due.owner,), own=True
)
CONCERNS_OF_PERSON = Lookup(
    "select u.person, c.id from unnest($1::uuid[]) as u(person) join concerns c on c.person_id = u.person",
    lambda event: (event.person_id,),
)
ENTRIES_OF_PERSON = Lookup(
    "select u.person, e.id from unnest($1::uuid[]) as u(person) join entries e on e.person_id = u.person",
    lambda event: (event.person_id,),
)
LOOKS_BACK_OF_PERSON = Lookup(
    "select u.person, l.id from unnest($1::uuid[]) as u(person) join looks_back l on l.person_id = u.person",
    lambda event: (event.person_id,),
)
CHECK_INS_OF_PERSON = Lookup(
    "select u.person, c.id from unnest($1::uuid[]) as u(person) join check_ins c on c.person_id = u.person",
    lambda event: (event.person_id,),
)
FEEDBACK_OF_PERSON = Lookup(
    """
    select u.person, f.id from unnest($1::uuid[]) as u(person) join feedback f on f.giver = u.person
    union select u.person, f.id from unnest($1::uuid[]) as u(person) join feedback f on f.receiver = u.person
    """,
    lambda event: (event.person_id,),
)
OPENINGS_OF_PERSON = Lookup(
    """
    select u.person, o.id from unnest($1::uuid[]) as u(person) cross join lateral (
      select id from openings where person_id = u.person union select id from openings where shared_by = u.person) o
    """,
    lambda event: (event.person_id,),
)
INTRODUCTIONS_OF_PERSON = Lookup(
    """
    select u.person, i.id from unnest($1::uuid[]) as u(person) cross join lateral (
      select id from introductions where person_id = u.person union select id from introductions where introduced_by = u.person
      union select id from introductions where to_person_id = u.person) i
    """,
    lambda event: (event.person_id,),
)
CO_MENTEES_OF_PERSON = Lookup(
    """
    select u.person, c.id from unnest($1::uuid[]) as u(person) cross join lateral (
      select id from co_mentees where people @> array[u.person::text] union select id from co_mentees where mentor_id = u.person) c
    """,
    lambda event: (event.person_id,),
)
CO_MENTEES_OF_CIRCLE = Lookup(
    "select u.circle, c.id from unnest($1::uuid[]) as u(circle) join co_mentees c on c.circles @> array[u.circle::text]",
    lambda event: (event.relationship_id,),
)
WRITTEN_BY_PERSON = Lookup(
    "select u.person, a.id from unnest($1::uuid[]) as u(person) join agreements a on a.writers @> array[u.person::text]",
    lambda event: (event.person_id,),
)
RECOGNITIONS_OF_PERSON = Lookup(
    "select u.person, r.id from unnest($1::uuid[]) as u(person) join recognitions r on r.person_id = u.person",
    lambda event: (event.person_id,),
)
MEETING_OF_RELATIONSHIP = Lookup(
    "select r.id, r.meeting_id from relationships r where r.id = any($1::uuid[]) and r.meeting_id is not null",
    lambda event: (event.relationship_id,),
    own=True,
)
MEETING_OF_OWNER = Lookup(MEETING_OF_RELATIONSHIP.sql, lambda due: (due.owner,), own=True)
REPORTED = Lookup(
    """
    select u.value, m.id from unnest($1::text[]) as u(value)
    cross join lateral (select split_part(u.value, ' ', 1)::uuid as relationship_id, split_part(u.value, ' ', 2)::timestamptz as at,
      nullif(split_part(u.value, ' ', 3), '')::uuid as named) v
    cross join lateral (
      (select id from meetings where relationship_id = v.relationship_id and starts_at is not null
       order by abs(extract(epoch from starts_at - v.at)) limit 6)
      union (select meeting_id from relationships where id = v.relationship_id and meeting_id is not null)
      union (select id from meetings where id = v.named)
    ) m
    """,
    lambda event: (f"{event.relationship_id} {event.held_at.isoformat()} {event.meeting_id or ''}",),
    own=True,
)
"""What a report may be about: the meetings nearest to it, the one that is planned, the one it names."""

_BEHIND = """
    from unnest($1::text[]) as u(program) join programs p on p.id = u.program
    cross join lateral (select id, meeting_id from relationships where program = p.id and ended_at is null
      and (p.closed_at is not null or rules_revision < p.revision) order by id limit {chunk}) r
"""
BEHIND = Lookup(f"select u.program, r.id {_BEHIND.format(chunk=CHUNK)}", lambda due: (due.owner,))
MEETING_BEHIND = Lookup(
    f"select u.program, r.meeting_id {_BEHIND.format(chunk=CHUNK)} where r.meeting_id is not null",
    lambda due: (due.owner,),
)
"""The next relationships that haven't taken over their program's change, or its end."""

# ---- what pages and partners read ---------------------------------------------------------------------------------------

PAGE = 100
QUIET = """where id in (select relationship_id from quiet where program = $1 and relationship_id > $3 order by relationship_id limit $4)
and organization = $2 order by id"""
"""Which those are a trigger keeps: see migration 0015."""
AT_RISK = """where program = $1 and organization = $2 and flagged_at is not null and written_at is null and stalled_at is null
and ended_at is null order by flagged_at desc, id limit $3"""


async def relationship(connection: Connection, relationship_id: UUID) -> Relationship | None:
    row = await connection.fetchrow(f"{RELATIONSHIPS.select} where id = $1", relationship_id)
    return None if row is None else RELATIONSHIPS.read(tuple(row))


async def meeting(connection: Connection, meeting_id: UUID) -> Meeting | None:
    row = await connection.fetchrow(f"{MEETINGS.select} where id = $1", meeting_id)
    return None if row is None else MEETINGS.read(tuple(row))


async def meetings_of(connection: Connection, relationship_id: UUID) -> list[Meeting]:
    """All of a relationship's, in order."""
    rows = await connection.fetch(f"{MEETINGS.select} where relationship_id = $1 order by number, id", relationship_id)
    return [MEETINGS.read(tuple(row)) for row in rows]


async def diaries_of(connection: Connection, relationship_id: UUID) -> dict[UUID, Diary]:
    """What each member of a relationship has planned."""
    return {diary.id: diary for diary in DIARIES.read_all(await connection.fetch(DIARIES.load, [relationship_id]))}


async def person(connection: Connection, person_id: UUID) -> Person | None:
    row = await connection.fetchrow(f"{PEOPLE.select} where id = $1", person_id)
    return None if row is None else PEOPLE.read(tuple(row))


async def people_of(connection: Connection, people: Sequence[str]) -> dict[UUID, Person]:
    rows = await connection.fetch(f"{PEOPLE.select} where id = any($1::uuid[])", people)
    return {person.id: person for person in PEOPLE.read_all(rows)}


async def planned_of(connection: Connection, person_id: UUID, now: datetime) -> list[tuple[Relationship, Meeting]]:
    """A person's meetings that have their time and are ahead, each with its relationship, in order."""
    rows = await connection.fetch(f"{RELATIONSHIPS.select} where people @> array[$1::text] and ended_at is null", str(person_id))
    theirs = {r.id: r for r in RELATIONSHIPS.read_all(rows)}
    planned = await connection.fetch(
        f"{MEETINGS.select} where id = any($1::uuid[]) and status = 'scheduled' and starts_at > $2 order by starts_at",
        [r.meeting_id for r in theirs.values()],
        now,
    )
    return [(theirs[meeting.relationship_id], meeting) for meeting in MEETINGS.read_all(planned)]


async def theirs(connection: Connection, person_id: UUID) -> list[Relationship]:
    """All relationships that a person is or was in, the newest first."""
    rows = await connection.fetch(f"{RELATIONSHIPS.select} where {ever_in('$1::uuid')} order by created_at desc, id", person_id)
    return list(RELATIONSHIPS.read_all(rows))


async def beside(
    connection: Connection, relationships: Sequence[Relationship]
) -> tuple[dict[UUID, Meeting], list[Goal], list[Entry]]:
    """Of these: their meetings to come, by id; their goals; their open follow-ups."""
    known = [r.id for r in relationships]
    planned = [r.meeting_id for r in relationships if r.meeting_id]
    meetings = await connection.fetch(f"{MEETINGS.select} where id = any($1::uuid[])", planned)
    goals = await connection.fetch(
        f"{GOALS.select} where relationship_id = any($1::uuid[]) and text <> '' order by set_at, id", known
    )
    open_ones = await connection.fetch(
        f"""{ENTRIES.select} where relationship_id = any($1::uuid[]) and kind = 'follow_up' and done_at is null
        order by due_on nulls last, written_at, id""",
        known,
    )
    by_id = {meeting.id: meeting for meeting in MEETINGS.read_all(meetings)}
    return by_id, list(GOALS.read_all(goals)), list(ENTRIES.read_all(open_ones))


async def program_names(connection: Connection, programs: Sequence[str]) -> dict[str, str]:
    rows = await connection.fetch("select id, name from programs where id = any($1::text[])", programs)
    return {row["id"]: row["name"] for row in rows}


async def mentored(connection: Connection, keys: Sequence[str]) -> list[Mentored]:
    return list(MENTORED.read_all(await connection.fetch(MENTORED.load, keys)))


async def recognitions_of(connection: Connection, person_id: UUID) -> list[Recognised]:
    """A mentor's records, the newest first."""
    rows = await connection.fetch(f"{RECOGNITIONS.select} where person_id = $1 order by made_at desc, id", person_id)
    return list(RECOGNITIONS.read_all(rows))


async def recognition(connection: Connection, made: UUID) -> Recognised | None:
    row = await connection.fetchrow(f"{RECOGNITIONS.select} where id = $1", made)
    return None if row is None else RECOGNITIONS.read(tuple(row))


async def certificate(connection: Connection, code: str) -> Recognised | None:
    """The record that anyone with this code may see."""
    row = await connection.fetchrow(f"{RECOGNITIONS.select} where code = $1", code)
    return None if row is None else RECOGNITIONS.read(tuple(row))


async def goals_of(connection: Connection, relationship_id: UUID) -> list[Goal]:
    rows = await connection.fetch(f"{GOALS.select} where relationship_id = $1 order by set_at, id", relationship_id)
    return [GOALS.read(tuple(row)) for row in rows]


async def assessments_of(connection: Connection, relationship_id: UUID) -> list[Assessment]:
    rows = await connection.fetch(f"{ASSESSMENTS.select} where relationship_id = $1 order by id", relationship_id)
    return [ASSESSMENTS.read(tuple(row)) for row in rows]


async def entries_of(connection: Connection, relationship_id: UUID, reader: UUID) -> list[Entry]:
    """All that a member may read, as it was written; notes of others' own aren't among it."""
    rows = await connection.fetch(
        f"{ENTRIES.select} where relationship_id = $1 and (not own or person_id = $2) order by written_at, id",
        relationship_id,
        reader,
    )
    return [ENTRIES.read(tuple(row)) for row in rows]


async def quiet_of(connection: Connection, program: str, owner: str, after: UUID | None, limit: int) -> list[Relationship]:
    """A program's relationships that have gone quiet and are open, in the order of their ids."""
    rows = await connection.fetch(f"{RELATIONSHIPS.select} {QUIET}", program, owner, after or UUID(int=0), limit)
    return [RELATIONSHIPS.read(tuple(row)) for row in rows]


async def at_risk_of(connection: Connection, program: str, owner: str, limit: int) -> list[Relationship]:
    """A program's relationships at risk to whom no coordinator has written about it, the latest first; those that have gone quiet are
    listed as such.
    """
    rows = await connection.fetch(f"{RELATIONSHIPS.select} {AT_RISK}", program, owner, limit)
    return [RELATIONSHIPS.read(tuple(row)) for row in rows]


async def concerns_of(connection: Connection, program: str, limit: int) -> list[tuple[Concern, Relationship]]:
    """A program's concerns that no coordinator has taken care of yet, the oldest first, each with the relationship it is about."""
    rows = await connection.fetch(
        f"{CONCERNS.select} where program = $1 and seen_at is null order by raised_at limit $2", program, limit
    )
    return await _with_theirs(connection, [CONCERNS.read(tuple(row)) for row in rows])


async def unread_of(connection: Connection, program: str, limit: int) -> list[tuple[LookBack, Relationship]]:
    """What people of a program wrote when it was over and no coordinator has read, the oldest first."""
    rows = await connection.fetch(
        f"{LOOKS_BACK.select} where program = $1 and seen_at is null and text <> '' order by said_at limit $2",
        program,
        limit,
    )
    return await _with_theirs(connection, [LOOKS_BACK.read(tuple(row)) for row in rows])


async def looks_of(connection: Connection, relationship_id: UUID) -> list[LookBack]:
    rows = await connection.fetch(f"{LOOKS_BACK.select} where relationship_id = $1", relationship_id)
    return [LOOKS_BACK.read(tuple(row)) for row in rows]


async def check_ins_of(connection: Connection, relationship_id: UUID) -> list[CheckIn]:
    """All that was asked in a relationship, in its order."""
    rows = await connection.fetch(f"{CHECK_INS.select} where relationship_id = $1 order by asked_at, number, id", relationship_id)
    return [CHECK_INS.read(tuple(row)) for row in rows]


async def feedback_of(connection: Connection, relationship_id: UUID, reader: UUID) -> list[Feedback]:
    """What a member asked for, was asked for, gave and got, in order."""
    rows = await connection.fetch(
        f"{FEEDBACK.select} where relationship_id = $1 and $2 in (giver, receiver) order by coalesce(given_at, asked_at), id",
        relationship_id,
        reader,
    )
    return [FEEDBACK.read(tuple(row)) for row in rows]


async def apart_of(connection: Connection, program: str, owner: str, limit: int) -> list[Relationship]:
    """A program's open relationships in which the sides see something differently."""
    rows = await connection.fetch(
        f"""{RELATIONSHIPS.select} where program = $1 and organization = $2 and apart <> '[]' and ended_at is null
        order by id limit $3""",
        program,
        owner,
        limit,
    )
    return [RELATIONSHIPS.read(tuple(row)) for row in rows]


async def openings_of(connection: Connection, relationship_id: UUID) -> list[Opening]:
    """All that was passed on in a relationship, the newest first."""
    rows = await connection.fetch(f"{OPENINGS.select} where relationship_id = $1 order by shared_at desc, id", relationship_id)
    return [OPENINGS.read(tuple(row)) for row in rows]


async def introductions_of(connection: Connection, relationship_id: UUID) -> list[Introduction]:
    rows = await connection.fetch(f"{INTRODUCTIONS.select} where relationship_id = $1 order by made_at desc, id", relationship_id)
    return [INTRODUCTIONS.read(tuple(row)) for row in rows]


async def introduced_to(connection: Connection, person_id: UUID) -> list[UUID]:
    """Whom somebody was introduced to, with everybody's yes; the latest first."""
    rows = await connection.fetch(
        """
        select case when person_id = $1 then to_person_id else person_id end as other from introductions
        where (person_id = $1 or to_person_id = $1) and accepted and to_person_id is not null order by made_at desc
        """,
        person_id,
    )
    return [row["other"] for row in rows]


async def introduction(connection: Connection, introduction_id: UUID) -> Introduction | None:
    row = await connection.fetchrow(f"{INTRODUCTIONS.select} where id = $1", introduction_id)
    return None if row is None else INTRODUCTIONS.read(tuple(row))


async def open_of(connection: Connection, program: str, person_id: UUID) -> list[Relationship]:
    """A person's relationships in a program that run, in the order of their ids."""
    rows = await connection.fetch(
        f"{RELATIONSHIPS.select} where people @> array[$1::text] and program = $2 and ended_at is null order by id",
        str(person_id),
        program,
    )
    return [RELATIONSHIPS.read(tuple(row)) for row in rows]


async def doubtful_of(connection: Connection, program: str, limit: int) -> list[tuple[CheckIn, Relationship]]:
    """Who isn't sure that it fits, or says that it doesn't, in what goes on with them, and no coordinator takes care of it yet; the oldest
    first.
    """
    rows = await connection.fetch(
        f"""{CHECK_INS.select} where program = $1 and fit in ('unsure', 'not_a_fit') and seen_at is null
        and exists (select from relationships r where r.id = relationship_id and r.ended_at is null and r.people @> array[person_id::text])
        order by answered_at limit $2""",
        program,
        limit,
    )
    return await _with_theirs(connection, [CHECK_INS.read(tuple(row)) for row in rows])


async def co_mentees(connection: Connection, co_id: UUID) -> tuple[CoMentees | None, Mentees | None]:
    """Who wants to be seen, and who has the mentor."""
    row = await connection.fetchrow(f"{CO_MENTEES.select} where id = $1", co_id)
    now = await connection.fetchrow(MENTEES.load, [co_id])
    return CO_MENTEES.read(tuple(row)) if row else None, MENTEES.read(tuple(now)) if now else None


async def of_circle(connection: Connection, circle_id: UUID) -> CoMentees | None:
    """Those among whom this circle was proposed."""
    row = await connection.fetchrow(f"{CO_MENTEES.select} where circles @> array[$1::text]", str(circle_id))
    return None if row is None else CO_MENTEES.read(tuple(row))


Told = TypeVar("Told", Concern, LookBack, CheckIn)


async def _with_theirs(connection: Connection, told: Sequence[Told]) -> list[tuple[Told, Relationship]]:
    """Each with the relationship that it is about."""
    about = await connection.fetch(f"{RELATIONSHIPS.select} where id = any($1::uuid[])", [one.relationship_id for one in told])
    by_id = {r.id: r for r in RELATIONSHIPS.read_all(tuple(row) for row in about)}
    return [(one, by_id[one.relationship_id]) for one in told if one.relationship_id in by_id]


async def agreements_of(connection: Connection, relationship_id: UUID) -> list[Agreement]:
    """All versions as kept, in order; none where it was never changed."""
    rows = await connection.fetch(f"{AGREEMENTS.select} where relationship_id = $1 order by version", relationship_id)
    return [AGREEMENTS.read(tuple(row)) for row in rows]


async def program_name(connection: Connection, program: str) -> str:
    name: str | None = await connection.fetchval("select name from programs where id = $1", program)
    return name or program


async def organization_name(connection: Connection, organization: str) -> str:
    """What it calls itself; of one whose name never came, its id in words: `Acme Labs` of `acme-labs`."""
    name: str | None = await connection.fetchval("select name from organizations where id = $1", organization)
    return name or organization.replace("-", " ").title()


async def relationships_of(
    connection: Connection, program: str, *, after: UUID | None, state: str, limit: int
) -> Sequence[Relationship]:
    """A program's relationships in the order of their ids; `state` is open, ended or any."""
    rows = await connection.fetch(
        f"""{RELATIONSHIPS.select} where program = $1 and id > $2
        and ($3 = 'any' or ($3 = 'ended') = (ended_at is not null)) order by id limit $4""",
        program,
        after or UUID(int=0),
        state,
        limit,
    )
    return [RELATIONSHIPS.read(tuple(row)) for row in rows]
