-- Whether a program's people, or some of them, only talk once: their mails then speak of nothing to agree on.
set local lock_timeout = '5s';

alter table programs add column talks boolean not null default false;
alter table people add column talks text[] not null default '{}';
