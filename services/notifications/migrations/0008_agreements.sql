-- Who has signed an agreement's newest version: they aren't reminded to. Whether one held already: a later one begins nothing.
-- And whether it is for one goal, which may be reached.
set local lock_timeout = '5s';

alter table relationships
    add column signed text[] not null default '{}',
    add column agreed boolean not null default false,
    add column term text not null default 'long';
