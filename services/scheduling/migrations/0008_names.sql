-- People are called by their names among those whom they meet: in a group nobody knows who the second mentee is.
set local lock_timeout = '5s';

alter table people add column name text not null default '';
comment on column people.name is 'from the topic people, for the members of their relationships alone; goes with their erasure';
