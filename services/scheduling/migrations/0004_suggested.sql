-- Times that members suggested themselves: who did isn't who takes them.
set local lock_timeout = '5s';

alter table meetings add column suggested jsonb not null default '[]';
