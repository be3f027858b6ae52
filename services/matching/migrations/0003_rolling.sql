-- Rolling re-match: programs in which whoever is new or free is matched without being asked.
set local lock_timeout = '5s';
alter table programs add column ran boolean not null default false;
update programs p set ran = true where exists(select from runs r where r.program = p.id and r.status = 'finished');

-- Read without a lock by everything that frees somebody, so that people don't wait for each other at their program's row.
create view rolling as
    select id, ran and not closed and coalesce((policy ->> 'rolling')::boolean, false) as on_now from programs;
