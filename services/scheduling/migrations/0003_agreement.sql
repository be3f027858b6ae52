-- How long an agreement has waited for its signatures. Those drafted before are counted from their timer's first call, at once.
set local lock_timeout = '5s';

alter table relationships add column unsigned jsonb;

insert into timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
select 'unsigned', id::text, id::text, created_at, organization, program, id, '' from relationships
where agreed_at is null and ended_at is null
on conflict do nothing;
