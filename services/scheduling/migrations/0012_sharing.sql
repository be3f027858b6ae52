-- What a mentor passes on, whom they introduce, and co-mentees who see each other. No partner and no coordinator reads any of it.
set local lock_timeout = '5s';

create table openings (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    program text not null,
    shared_by uuid not null,
    person_id uuid not null,
    kind text not null,
    state text not null,
    text text not null,
    link text not null,
    last_on date,
    shared_at timestamptz not null,
    answered_at timestamptz
);
comment on column openings.text is 'for the two alone; empty once it was taken back, or one of them erased';
create index openings_relationship on openings (relationship_id);
create index openings_person on openings (person_id);
create index openings_shared_by on openings (shared_by);

create table introductions (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    program text not null,
    introduced_by uuid not null,
    person_id uuid not null,
    to_person_id uuid,
    to_name text not null,
    text text not null,
    made_at timestamptz not null,
    yes text[] not null,
    accepted boolean,
    over_at timestamptz
);
comment on column introductions.to_name is 'of someone who isn''t on the platform; empty once one of them was erased';
create index introductions_relationship on introductions (relationship_id);
create index introductions_person on introductions (person_id);
create index introductions_introduced_by on introductions (introduced_by);
create index introductions_to_person on introductions (to_person_id) where to_person_id is not null;

create table co_mentees (
    id uuid primary key,
    organization text not null,
    program text not null,
    mentor_id uuid not null,
    people text[] not null,
    circles text[] not null,
    proposal jsonb
);
comment on column co_mentees.people is 'who wants to be seen by the others';
create index co_mentees_mentor on co_mentees (mentor_id);
create index co_mentees_people on co_mentees using gin (people) with (fastupdate = off);
create index co_mentees_circles on co_mentees using gin (circles) with (fastupdate = off);

-- What people pass on to each other no partner sees.
alter table openings enable row level security;
alter table introductions enable row level security;
alter table co_mentees enable row level security;
