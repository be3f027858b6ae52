-- Goals with steps and what members say of them, when milestones were reached, levels of skills.
set local lock_timeout = '5s';

alter table goals
    alter column person_id drop not null,
    add column measure text not null default '',
    add column why text not null default '',
    add column skills text[] not null default '{}',
    add column steps jsonb not null default '[]',
    add column said jsonb not null default '[]',
    add column attained_at timestamptz,
    add column dropped_at timestamptz,
    add column set_by uuid,
    add column writers text[] not null default '{}';
comment on column goals.person_id is 'none where it is the group''s';
comment on column goals.steps is 'with words and links, for the members alone; those of an erased writer are empty';
create index goals_writers on goals using gin (writers) with (fastupdate = off);

alter table relationships
    add column reached jsonb not null default '[]',
    add column stages text[] not null default '{}';
comment on column relationships.reached is 'when its milestones were, and what the program called its own then';

alter table people add column wanted text[] not null default '{}';
comment on column people.wanted is 'skills, from the topic people; go with their erasure';

create table assessments (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    person_id uuid not null,
    assessed_by uuid not null,
    stage text not null,
    asked_at timestamptz,
    said_at timestamptz,
    levels jsonb not null default '[]',
    revision bigint not null default 0,
    apart text[] not null default '{}'
);
create index assessments_relationship on assessments (relationship_id);
create index assessments_person on assessments (person_id);
create index assessments_assessed_by on assessments (assessed_by);

-- What the two see differently no partner sees.
alter table assessments enable row level security;
