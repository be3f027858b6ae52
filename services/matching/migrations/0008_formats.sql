-- Formats beside one-to-one: what a relationship is about, and what a rolling program offers.
set local lock_timeout = '5s';
alter table relationships add column about text[] not null default '{}';
create or replace view rolling as
    select id, ran and not closed and coalesce((policy ->> 'rolling')::boolean, false) as on_now, policy from programs;
