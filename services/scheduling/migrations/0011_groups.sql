-- A group's meeting: who leads it, who can at which of its times, and who came.
set local lock_timeout = '5s';

alter table meetings
    add column host uuid,
    add column votes jsonb not null default '[]',
    add column roll jsonb;
