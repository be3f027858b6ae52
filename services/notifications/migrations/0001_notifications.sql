-- Whom we know, what we told them, and where partners hear of events. Names and addresses stand in `people` alone.
set local lock_timeout = '5s';

create table organizations (
    id text primary key,
    organization text not null generated always as (id) stored,
    name text not null
);

create table programs (
    id text primary key,
    organization text not null,
    name text not null,
    revision bigint not null
);

create table people (
    id uuid primary key,
    organization text not null,
    revision bigint not null,
    status text not null,
    name text not null,
    email text,
    locale text not null,
    time_zone text not null,
    erased boolean not null,
    unsubscribed_at timestamptz,
    muted text[] not null default '{}',
    welcomed text[] not null default '{}',
    waiting jsonb not null
);

create table relationships (
    id uuid primary key,
    organization text not null,
    program text not null,
    audience text[] not null,
    members jsonb not null,
    reasons jsonb not null,
    agreement bigint not null,
    terms jsonb,
    ended boolean not null
);

create table meetings (
    id uuid primary key,
    organization text not null,
    relationship_id uuid not null,
    state text not null,
    starts_at timestamptz,
    minutes bigint not null,
    sequence bigint not null,
    revision bigint not null,
    number bigint not null,
    fact_id uuid,
    fact_type text not null
);

create table deliveries (
    id uuid primary key,
    organization text not null,
    audience text[] not null,
    person_id uuid not null,
    program text not null,
    template text not null,
    channel text not null,
    fact_id uuid not null,
    fact_type text not null,
    relationship_id uuid,
    meeting_id uuid,
    data jsonb not null,
    state text not null,
    attempts bigint not null,
    created_at timestamptz not null,
    due_at timestamptz not null,
    correlation uuid not null,
    traceparent text not null,
    failure text,
    finished_at timestamptz
);
create index deliveries_due on deliveries (due_at) where state = 'waits';
create index deliveries_of_person on deliveries (person_id, created_at desc, id desc);
create index deliveries_of_program on deliveries (organization, created_at desc, id desc);
create index deliveries_finished on deliveries (finished_at) where finished_at is not null;

create table endpoints (
    id uuid primary key,
    organization text not null,
    url text not null,
    types text[] not null default '{}',
    created_at timestamptz not null,
    failing_since timestamptz,
    disabled_at timestamptz
);
create index endpoints_of on endpoints (organization);

-- What an event is matched against: read without a lock, so that the copies don't wait for each other at an organization's row.
create view subscribers as
    select organization as id, jsonb_agg(jsonb_build_object('id', id, 'types', to_jsonb(types)) order by id) as hooks
    from endpoints where disabled_at is null group by organization;

create table calls (
    id uuid primary key,
    organization text not null,
    endpoint_id uuid not null,
    person_id uuid,
    fact_id uuid not null,
    fact_type text not null,
    program text not null,
    body jsonb,
    state text not null,
    attempts bigint not null,
    created_at timestamptz not null,
    due_at timestamptz not null,
    correlation uuid not null,
    traceparent text not null,
    status bigint,
    failure text,
    finished_at timestamptz
);
create index calls_due on calls (endpoint_id, due_at) where state = 'waits';
create index calls_about on calls (person_id) where state = 'waits' and person_id is not null;
create index calls_of on calls (endpoint_id, created_at desc, id desc);
create index calls_finished on calls (finished_at) where finished_at is not null;

alter table organizations enable row level security;
create policy tenant on organizations for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table programs enable row level security;
create policy tenant on programs for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table people enable row level security;
create policy tenant on people for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table relationships enable row level security;
create policy tenant on relationships for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
alter table meetings enable row level security;
create policy tenant on meetings for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table deliveries enable row level security;
create policy tenant on deliveries for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
alter table endpoints enable row level security;
create policy tenant on endpoints for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
alter table calls enable row level security;
create policy tenant on calls for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));

grant select on deliveries, endpoints to {service}_tenant;
grant select (id, organization, endpoint_id, fact_id, fact_type, program, state, attempts, created_at, due_at, status, failure, finished_at)
    on calls to {service}_tenant;
