-- What matching knows: people (ids and profiles, no contact), programs, relationships, runs and who waits.
set local lock_timeout = '5s';

create table people (
    id uuid primary key,
    organization text not null,
    audience text[] not null default '{}',
    own_id text not null,
    status text not null,
    revision bigint not null,
    erased boolean not null,
    profile jsonb,
    programs text[] not null default '{}',
    enrolments jsonb not null,
    places jsonb not null,
    met jsonb not null,
    waiting jsonb not null
) with (fillfactor = 70);  -- each row is written again when it is matched or told to wait: room on its page spares the index
create index people_of_program on people using gin (programs);

create table programs (
    id text primary key,
    organization text not null,
    policy jsonb not null,
    revision bigint not null,
    members text[] not null default '{}',
    closed boolean not null,
    waiting_run uuid,
    waits_for jsonb,
    current_run uuid
);

create table relationships (
    id uuid primary key,
    organization text not null,
    audience text[] not null default '{}',
    program text not null,
    people text[] not null default '{}',
    members jsonb not null,
    status text not null,
    score bigint not null,
    reasons jsonb not null,
    run_id uuid,
    round bigint not null
) with (fillfactor = 70);
create index relationships_of_run on relationships (run_id, status, id);
create index relationships_proposed on relationships (program) where status = 'proposed';

create table runs (
    id uuid primary key,
    organization text not null,
    program text not null,
    status text not null,
    round bigint not null,
    requested_by text not null,
    after jsonb,
    traceparent text not null,
    correlation uuid not null,
    requested_at timestamptz not null,
    started_at timestamptz,
    started_wall float8 not null,
    finished_at timestamptz,
    attempts bigint not null,
    problem text,
    people bigint not null,
    planned bigint not null,
    planned_score bigint not null,
    gap bigint not null,
    pairs bigint not null,
    waitlisted bigint not null,
    score_total bigint not null,
    seconds float8 not null,
    solver_seconds float8 not null
);
create index runs_open on runs (status) where status in ('waiting_for_roster', 'solving', 'applying');

create table waitlisted (
    id uuid primary key,
    organization text not null,
    audience text[] not null default '{}',
    run_id uuid not null,
    program text not null,
    person_id uuid not null,
    home text not null,
    role text not null,
    reason text not null,
    missing text[] not null default '{}',
    mentors_that_would_help bigint,
    state text not null
) with (fillfactor = 70);
create index waitlisted_of_run on waitlisted (run_id, state, id);

create table asked (
    id text primary key,
    organization text not null,
    program text not null,
    run_id uuid not null,
    body text not null,
    asked_at timestamptz not null
);
create index asked_by_age on asked (asked_at);
comment on table asked is 'requests that came with an Idempotency-Key, kept for 30 days';

alter table people enable row level security;
create policy tenant on people for select to {service}_tenant
    using (current_setting('ithaca.organization', true) = any (audience));
alter table programs enable row level security;
create policy tenant on programs for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
alter table relationships enable row level security;
create policy tenant on relationships for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true)
        or (status in ('active', 'ended') and current_setting('ithaca.organization', true) = any (audience)));
alter table runs enable row level security;
create policy tenant on runs for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
alter table waitlisted enable row level security;
create policy tenant on waitlisted for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
alter table asked enable row level security;
create policy tenant on asked for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
grant select on people, programs, relationships, runs, waitlisted, asked to {service}_tenant;
