-- Whether a program's people only talk once: their mails then speak of nothing to agree on.
set local lock_timeout = '5s';

alter table programs add column talks boolean not null default false;
