-- What people said themselves became of them, so that each is counted once.
set local lock_timeout = '5s';

alter table people add column outcomes text[] not null default '{}';
comment on column people.outcomes is 'kind and month, such as promotion 2026-11; goes with their erasure';
