-- Whom mentees ask, one mentor after the other.
set local lock_timeout = '5s';

alter table people add column unavailable text[] not null default '{}';

create table wishes (
    id uuid primary key,
    organization text not null,
    program text not null,
    mentee_id uuid not null,
    version bigint not null,
    requests text[] not null default '{}'
);
comment on table wishes is 'a mentee in a program: the requests of the newest round, in the order of the mentee''s wishes';

create table requests (
    id uuid primary key,
    organization text not null,
    audience text[] not null default '{}',
    program text not null,
    wishes_id uuid not null,
    mentee_id uuid not null,
    mentor_id uuid not null,
    choice bigint not null,
    status text not null,
    version bigint not null,
    score bigint not null,
    reasons jsonb not null,
    asked_at timestamptz,
    closes_at timestamptz,
    question text not null,
    reply text not null,
    relationship_id uuid
) with (fillfactor = 70);
create index requests_open_of_mentor on requests (mentor_id) where status in ('asked', 'questioned');
create index requests_open_of_mentee on requests (mentee_id) where status in ('asked', 'questioned');
create index requests_open_in_program on requests (program) where status in ('asked', 'questioned');
create index requests_of_wishes on requests (wishes_id);
create index requests_of_program on requests (program, id);
comment on column requests.question is 'what the mentor and the mentee wrote to each other: kept while the request is open, for these two alone';

alter table wishes enable row level security;
create policy tenant on wishes for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
alter table requests enable row level security;
create policy tenant on requests for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true)
        or (status <> 'queued' and current_setting('ithaca.organization', true) = any (audience)));
grant select (id, organization, audience, program, mentee_id, mentor_id, choice, status, score, asked_at, closes_at, relationship_id)
    on requests to {service}_tenant;
