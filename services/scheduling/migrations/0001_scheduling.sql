-- People and programs as far as meetings need them; relationships with their agreement and counters; meetings; goals.
set local lock_timeout = '5s';

create table people (
    id uuid primary key,
    organization text not null,
    status text not null,
    time_zone text not null,
    country text,
    availability jsonb not null default '[]',
    withdrawn_from text[] not null default '{}',
    revision bigint not null default 0,
    erased boolean not null default false
);

create table programs (
    id text primary key,
    organization text not null,
    name text not null,
    policy jsonb not null,
    revision bigint not null,
    closed_at timestamptz
);

create table relationships (
    id uuid primary key,
    organization text not null,
    program text not null,
    format text not null,
    term text not null,
    members jsonb not null,
    people text[] not null,
    audience text[] not null,
    time_zone text not null,
    terms jsonb not null,
    rules jsonb not null,
    rules_revision bigint not null,
    created_at timestamptz not null,
    version bigint not null default 1,
    signatures jsonb not null default '[]',
    agreed_at timestamptz,
    until timestamptz,
    meeting_id uuid,
    meetings bigint not null default 0,
    held bigint not null default 0,
    missed bigint not null default 0,
    rhythm timestamptz,
    since timestamptz,
    last_held_at timestamptz,
    misses jsonb not null default '[]',
    recent jsonb not null default '[]',
    stalled_at timestamptz,
    milestones text[] not null default '{}',
    goals bigint not null default 0,
    ended_at timestamptz,
    end_reason text,
    end_side text
) with (fillfactor = 70);
comment on column relationships.organization is 'the program''s owner';
comment on column relationships.members is 'with a copy of what decisions need of each person, kept up to date by their records';
create index relationships_people on relationships using gin (people) with (fastupdate = off);
create index relationships_program on relationships (program, id);
create index relationships_open on relationships (program, rules_revision, id) where ended_at is null;

create table meetings (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    number bigint not null,
    status text not null,
    minutes bigint not null,
    time_zone text not null,
    proposed_at timestamptz not null,
    slots jsonb not null default '[]',
    starts_at timestamptz,
    sequence bigint not null default 0,
    revision bigint not null default 0,
    said jsonb not null default '[]',
    held jsonb
) with (fillfactor = 70);
create index meetings_relationship on meetings (relationship_id, number);

create table goals (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    person_id uuid not null,
    kind text not null,
    text text not null,
    due_on date,
    set_at timestamptz not null,
    revision bigint not null default 1
);
comment on column goals.text is 'for the members alone; empty once its writer was erased';
create index goals_relationship on goals (relationship_id);
create index goals_person on goals (person_id);

-- The owner of a program and the home organizations of its members see a relationship; people and goals' words no partner sees.
alter table people enable row level security;
alter table programs enable row level security;
alter table relationships enable row level security;
alter table meetings enable row level security;
alter table goals enable row level security;

create policy tenant on relationships for select to {service}_tenant
    using (audience @> array[current_setting('ithaca.organization', true)]);
grant select on relationships to {service}_tenant;

create policy tenant on meetings for select to {service}_tenant
    using (exists (select from relationships r where r.id = relationship_id));
grant select on meetings to {service}_tenant;
