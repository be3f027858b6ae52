"""All SQL of what a program is worth. Answers are counted in fives as `domain/anonymity.py` says: less than that leaves the database never.

No organization may read these rows, so that they are counted for it: $1 is the program, $2 the organization whose people alone are
counted, or null for the whole program. (Answers are counted of its people and of the others, apart.)
"""

from datetime import date, datetime
from typing import Any

from services.analytics.domain.anonymity import Cell, Kind, Month
from services.analytics.domain.counts import LEAST_GROUP
from services.analytics.domain.growth import MONTHS, PLANNED
from services.analytics.domain.worth import Counted
from shared.database import Connection

OURS = "coalesce(p.organization = $2, $2 is null)"
SAID = f"""
with bonds as (
    select id, mentors, coalesce($2 = any(homes), true) as ours from relationships where program = $1 and formed is not null
), given as (
    select a.kind, a.stage, a.person_id, a.relationship_id, coalesce(a.about, a.person_id) as about, a.value, a.word, a.said_at,
        {OURS} as ours, case when a.person_id::text = any(b.mentors) then 'mentors' else 'mentees' end as side
    from answers a join bonds b on b.id = a.relationship_id left join people p on p.id = a.person_id
    where a.program = $1 and a.revision > 0
), rounds as (
    select side, person_id, ours, said_at, value,
        row_number() over (partition by person_id, relationship_id order by said_at, value) as round
    from given where kind = 'quality' and value is not null
), staged as (
    select kind, side, stage, person_id, relationship_id, about, ours, said_at, avg(value) as value
    from (
        select *, rank() over (partition by kind, stage, person_id, relationship_id, about order by said_at) as nth
        from given where kind in ('confidence', 'belonging', 'skill') and value is not null
    ) first where nth = 1 group by kind, side, stage, person_id, relationship_id, about, ours, said_at
), said (figure, cell, unit, ours, said_at, value) as (
    select 'quality_' || side, round::text, person_id, ours, said_at, value from rounds
    union all select 'fit', word, person_id, ours, said_at, null from given where kind = 'fit' and word <> ''
    union all select kind || '_' || side, stage, person_id, ours, said_at, value from staged
    union all
    select kind || '_' || side, 'change', person_id, ours, max(said_at) filter (where stage = 'end'),
        max(value) filter (where stage = 'end') - max(value) filter (where stage = 'start')
    from staged where stage in ('start', 'end') group by kind, side, person_id, relationship_id, about, ours
    having count(distinct stage) = 2
    union all
    select 'feedback', t.kind, t.person_id, {OURS}, t.said_at, null from things t left join people p on p.id = t.person_id
    where t.program = $1 and t.kind in ('feedback_asked', 'feedback_given')
    union all
    select 'outcomes', t.word, t.person_id, {OURS}, t.said_at, null
    from seats s join things t on t.person_id = s.person_id and t.kind = 'outcome' left join people p on p.id = t.person_id
    where s.program = $1 and (t.program = $1 or t.program is null)
    union all
    select t.kind || 's', t.word, t.relationship_id, b.ours, t.said_at, null from things t join bonds b on b.id = t.relationship_id
    where t.program = $1 and t.kind in ('misalignment', 'concern')
), once as (
    select distinct on (figure, cell, unit) * from said order by figure, cell, unit, said_at, value
), placed as (
    select *, row_number() over (partition by figure, cell, ours order by said_at, unit) as place,
        count(*) over (partition by figure, cell, ours) as many
    from once
)
select figure, cell, ours, count(*) as people, sum(value) as total
from placed where place <= many - many % {LEAST_GROUP} group by figure, cell, ours
"""  # noqa: S608 - numbers and text of our own
"""Each person counts once in a cell, with what they said first; `ours`: of the organization's people, or of the others.

`quality`: the 1st, 2nd, … answer in a relationship; `skill`: the mean of those told of at the same time; `change`: from start to end.
"""

ANSWERED = """
select count(*) filter (where a.asked) as asked, count(*) filter (where a.revision > 0) as answered,
    count(distinct a.person_id) filter (where a.revision > 0) as people
from answers a left join people p on p.id = a.person_id
where a.program = $1 and a.kind <> 'skill' and ($2::text is null or p.organization = $2)
"""

BONDS = """
with bonds as (
    select id, homes, formed, milestones, begun_at, ended, ended_at, reason, side from relationships
    where program = $1 and formed in ('pair', 'group') and ($2::text is null or $2 = any(homes))
)"""
TOLD = f"""{BONDS}, things_told as (
    select t.kind, t.word, t.state, coalesce(t.person_id, t.relationship_id) as whose,
        coalesce(case when t.relationship_id is null then p.organization = $4 else $4 = any(b.homes) end, true) as ours
    from things t left join bonds b on b.id = t.relationship_id left join people p on p.id = t.person_id
    where t.program = $1 and t.kind in ('goal', 'step', 'introduction', 'opportunity', 'recognition', 'renewed', 'flag')
    and ($2::text is null or case when t.relationship_id is null then p.organization = $2 else b.id is not null end)
    and (t.kind <> 'flag' or not b.ended)
), early as (
    select id, reason, side, coalesce($4 = any(homes), true) as ours from bonds where ended and reason <> all($3::text[])
), told (kind, word, whose, ours, done) as (
    select kind, word, whose, ours, state in ('attained', 'done', 'accepted', 'taken_up', 'flagged') from things_told
    union all select 'circle', '', b.id, coalesce($4 = any(b.homes), true), false
        from bonds b join things t on t.id = 'circle/' || b.id where b.formed = 'group'
    union all select 'dropped', '', whose, ours, false from things_told where kind = 'goal' and state = 'dropped'
    union all select 'milestone', m, id, coalesce($4 = any(homes), true), false from bonds cross join unnest(milestones) as m
    union all select 'reason', reason, id, ours, false from early
    union all select 'side', side, id, ours, false from early
)
select kind, word as what, grouping(word) = 1 as all_of_it, count(*) as count, count(*) filter (where done) as done,
    count(distinct whose) as people, count(distinct whose) filter (where not ours) as others,
    count(distinct whose) filter (where done and not ours) as others_done
from told group by grouping sets ((kind, word), (kind))
"""  # noqa: S608 - text of our own
"""By kind and sort, and by kind alone, since whoever stands in several sorts is one person. A circle that was agreed on counts once it has
begun. Whatever isn't known to be of others than the people
of $4, beside whom the whole program is told, counts as these people's.
"""
MET = f"""{BONDS}
select coalesce(sum(m.minutes), 0)::bigint as minutes,
    coalesce(sum(cardinality(m.attended)) filter (where b.formed = 'group' and m.expected > 0), 0)::bigint as attended,
    coalesce(sum(m.expected) filter (where b.formed = 'group'), 0)::bigint as expected
from meetings m join bonds b on b.id = m.relationship_id where m.program = $1 and m.held > 0 and m.held >= m.missed
"""  # noqa: S608 - text of our own
KEPT = f"""{BONDS}
select date_trunc('month', begun_at at time zone 'UTC')::date as first, age, count(*) as begun,
    count(*) filter (where begun_at + make_interval(months => age) <= $5) as old,
    count(*) filter (where begun_at + make_interval(months => age) <= $5
        and (not ended or reason = any($3::text[]) or ended_at >= begun_at + make_interval(months => age))) as kept
from bonds cross join unnest($4::int[]) as age where begun_at is not null group by 1, 2 order by 1, 2
"""  # noqa: S608 - text of our own
WAITS = """
with taken as (
    select s.person_id, s.enrolled_at, s.first_placed_at from seats s left join people p on p.id = s.person_id
    where s.program = $1 and s.enrolled_at is not null and ($2::text is null or p.organization = $2)
), met as (
    select came as person, min(held_at) as at from meetings m cross join unnest(m.attended) as came
    where m.program = $1 and m.held > 0 and m.held >= m.missed group by came
), waited as (
    select 'match' as what, first_placed_at - enrolled_at as time from taken where first_placed_at >= enrolled_at
    union all select 'meeting', m.at - t.enrolled_at from taken t join met m on m.person = t.person_id::text where m.at >= t.enrolled_at
)
select what, count(*) as people, percentile_cont(0.5) within group (order by extract(epoch from time) / 86400) as days
from waited group by what
"""


async def worth(connection: Connection, program: str, now: datetime, *, own: str | None = None, of: str | None = None) -> Counted:
    """Count a whole program, or one organization's `own` people in it; or the whole `of` an organization's people and the others, whom that
    organization may tell apart.
    """
    planned = list(PLANNED)
    said = await connection.fetch(SAID, program, own or of)
    answered = await connection.fetchrow(ANSWERED, program, own)
    told = await connection.fetch(TOLD, program, own, planned, of)
    met = await connection.fetchrow(MET, program, own)
    kept = await connection.fetch(KEPT, program, own, planned, list(MONTHS), now)
    waits = await connection.fetch(WAITS, program, own)
    assert answered is not None
    assert met is not None
    return Counted(
        said=_said(said, both=own is None),
        asked=answered["asked"],
        answered=answered["answered"],
        answering=answered["people"],
        told=_kinds(told),
        **dict(met),
        months=_months(kept),
        waits={row["what"]: (row["people"], row["days"]) for row in waits},
    )


def _said(rows: list[Any], *, both: bool) -> dict[tuple[str, str], tuple[int, float | None]]:
    """(figure, cell) → people and their mean; of one organization's people, or of `both` them and the others."""
    found: dict[tuple[str, str], tuple[int, float | None]] = {}
    for row in rows:
        if both or row["ours"]:
            before, mean = found.get((row["figure"], row["cell"]), (0, None))
            people = before + row["people"]
            total = None if row["total"] is None else row["total"] + before * (mean or 0.0)
            found[row["figure"], row["cell"]] = people, None if total is None else total / people
    return found


def _kinds(rows: list[Any]) -> dict[str, Kind]:
    cells: dict[str, list[Cell]] = {}
    for row in rows:
        if not row["all_of_it"]:
            cells.setdefault(row["kind"], []).append(Cell(row["what"], row["count"], row["done"], row["people"]))
    return {
        row["kind"]: Kind(tuple(cells[row["kind"]]), row["people"], row["others"], row["others_done"])
        for row in rows
        if row["all_of_it"]
    }


def _months(rows: list[Any]) -> list[Month]:
    found: dict[date, Month] = {}
    for row in rows:
        month = found.setdefault(row["first"], Month(row["first"], row["begun"], {}))
        month.ages[row["age"]] = (row["old"], row["kept"])
    return list(found.values())
