-- Who has signed an agreement's newest version: they aren't reminded to. Whether one held already: a later one begins nothing.
set local lock_timeout = '5s';

alter table relationships add column signed text[] not null default '{}', add column agreed boolean not null default false;
