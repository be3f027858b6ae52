-- What it is worth: what people answered and what they did, a row for each. No organization reads these rows: they are counted for it.
set local lock_timeout = '5s';

create table answers (
    id text primary key,
    program text not null,
    relationship_id uuid not null,
    person_id uuid not null,
    kind text not null,
    stage text not null default '',
    about uuid,
    value double precision,
    word text not null default '',
    asked boolean not null default false,
    revision bigint not null default 0,
    said_at timestamptz
);
comment on column answers.revision is 'the lowest seen: an answer counts as it was first given; 0 where there is none yet';
create index answers_program on answers (program);

create table things (
    id text primary key,
    program text,
    relationship_id uuid,
    person_id uuid,
    kind text not null,
    word text not null default '',
    state text not null default '',
    said_at timestamptz not null,
    changed_at timestamptz not null
);
create index things_program on things (program, kind);
create index things_person on things (person_id) where program is null;

alter table seats
    add column enrolled_at timestamptz,
    add column first_placed_at timestamptz;

alter table relationships
    add column mentors text[] not null default '{}',
    add column begun_at timestamptz,
    add column ended_at timestamptz,
    add column reason text not null default '',
    add column side text not null default '';

alter table meetings
    add column relationship_id uuid,
    add column held_at timestamptz,
    add column minutes bigint not null default 0,
    add column attended text[] not null default '{}',
    add column expected bigint not null default 0;
