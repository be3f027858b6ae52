-- What people say themselves: on which days their week doesn't hold, and where they meet others.
set local lock_timeout = '5s';

alter table people
    add column days jsonb not null default '[]',
    add column place jsonb;
comment on column people.place is 'for those whom they meet alone; goes with their erasure';
