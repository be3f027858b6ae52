-- Who left a group that went on: what is theirs of it stays theirs, and a mentor's year counts it. Nothing is known of those who left before this.
set local lock_timeout = '5s';

alter table relationships add column former jsonb not null default '[]';
comment on column relationships.former is 'who left while it went on, as what and when';
create index relationships_former on relationships using gin (former jsonb_path_ops) with (fastupdate = off) where former <> '[]';
