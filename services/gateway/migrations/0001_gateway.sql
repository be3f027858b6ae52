set local lock_timeout = '5s';

create table organizations (
    id text primary key,
    name text not null,
    country text,
    time_zone text not null,
    locale text not null,
    onboarded_at timestamptz not null
);

create table keys (
    id text primary key,
    organization text not null,
    rights text[] not null default '{}',
    issued_at timestamptz not null,
    revoked_at timestamptz
);
create index keys_of on keys (organization, issued_at);

create table people (
    id uuid primary key,
    organization text not null,
    own_id text,
    status text not null,
    paused_until timestamptz,
    profile jsonb,
    contact jsonb,
    enrolments jsonb not null default '[]',
    revision bigint not null,
    erased boolean not null default false
);
create unique index people_own_id on people (organization, own_id);
comment on column people.own_id is 'null once the person is erased, so that the same id means a new person from then on';

create table programs (
    id text primary key,
    organization text not null,
    name text not null,
    policy jsonb not null,
    revision bigint not null,
    closed boolean not null default false,
    members jsonb not null default '[]',
    audience text[] not null default '{}',
    people bigint not null default 0,
    revisions bigint not null default 0
) with (fillfactor = 50);
create index programs_audience on programs using gin (audience);

create table relationships (
    id uuid primary key,
    organization text not null,
    program text not null,
    people text[] not null default '{}',
    audience text[] not null default '{}',
    ended boolean not null default false
);
create index relationships_people on relationships using gin (people);

create table intakes (
    id uuid primary key,
    organization text not null,
    source text not null,
    own_id text not null,
    type text not null,
    sha256 text not null,
    status text not null,
    caused text[] not null default '{}',
    reason text,
    field text,
    person uuid,
    program text,
    received_at timestamptz not null
);
create unique index intakes_own_id on intakes (organization, source, own_id);
create index intakes_by_own_id on intakes (organization, own_id);
create index intakes_person on intakes (person) where person is not null;
comment on column intakes.sha256 is 'of type, time and data as posted; empty once the person it is about is erased';

create table chores (
    name text primary key,
    done_at timestamptz not null
);

alter table organizations enable row level security;
create policy tenant on organizations for select to {service}_tenant using (id = current_setting('ithaca.organization', true));
alter table keys enable row level security;
create policy tenant on keys for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table people enable row level security;
create policy tenant on people for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table programs enable row level security;
create policy tenant on programs for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
alter table relationships enable row level security;
create policy tenant on relationships for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
alter table intakes enable row level security;
create policy tenant on intakes for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
grant select on organizations, keys, people, programs, relationships, intakes to {service}_tenant;
