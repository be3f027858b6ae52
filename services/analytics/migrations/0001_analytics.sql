-- The story, and the state that the numbers are counted from. Whoever an event's audience names may see it; the rest is for operators.
set local lock_timeout = '5s';

create table story (
    id uuid primary key,
    time timestamptz not null,
    recorded timestamptz not null,
    type text not null,
    topic text not null,
    key text not null,
    organization text not null,
    program text,
    audience text[] not null default '{}',
    ids text[] not null default '{}',
    data text not null,
    service text not null,
    correlation text not null,
    causation text not null,
    trace text not null,
    log_partition bigint not null,
    log_offset bigint not null
) with (fillfactor = 100);
comment on column story.trace is '32 hex digits; the same digits stand among the ids';

-- By any id, as a b-tree of its own: under row-level security an index on the array could not be used, since only leakproof
-- operators may run before the policy, and `=` on uuid is one while `@>` isn't. Filled by the trigger, set by set.
create table mentions (
    subject uuid not null,
    event uuid not null,
    primary key (subject, event)
);
comment on table mentions is 'ids only; what an organization may see is for the policy on story to say';

create function mention() returns trigger language plpgsql as $$
begin
    insert into mentions (subject, event) select distinct unnest(ids)::uuid, id from lines order by 1, 2;
    return null;
end
$$;
create trigger mention after insert on story referencing new table as lines for each statement execute function mention();

create table people (
    id uuid primary key,
    organization text not null,
    own_id text,
    programs text[] not null default '{}',
    audience text[] not null default '{}',
    revision bigint not null,
    erased boolean not null,
    recorded timestamptz not null
);
create index people_own_id on people (own_id, organization) where own_id is not null;

create table seats (
    id text primary key,
    person_id uuid not null,
    program text not null,
    organization text not null,
    audience text[] not null default '{}',
    waitlisted_at timestamptz,
    placed_at timestamptz,
    recorded timestamptz not null
);
create index seats_program on seats (program);

create table relationships (
    id uuid primary key,
    program text not null,
    organization text not null,
    audience text[] not null default '{}',
    formed text,
    people text[] not null default '{}',
    homes text[] not null default '{}',
    agreed boolean not null,
    milestones text[] not null default '{}',
    ended boolean not null,
    recorded timestamptz not null
);
create index relationships_program on relationships (program);
create index relationships_people on relationships using gin (people);

create table meetings (
    id uuid primary key,
    program text not null,
    organization text not null,
    audience text[] not null default '{}',
    scheduled boolean not null,
    held bigint not null,
    missed bigint not null,
    recorded timestamptz not null
);
create index meetings_program on meetings (program);

create table deliveries (
    id uuid primary key,
    program text not null,
    organization text not null,
    audience text[] not null default '{}',
    sent boolean not null,
    failed boolean not null,
    recorded timestamptz not null
);
create index deliveries_program on deliveries (program);

create table programs (
    id text primary key,
    organization text not null,
    name text not null,
    invited text[] not null default '{}',
    members text[] not null default '{}',
    with_totals text[] not null default '{}',
    closed boolean not null
);

create table measured (
    id text primary key,
    organization text not null,
    measured_at timestamptz not null,
    counts jsonb not null
);

alter table story enable row level security;
create policy tenant on story for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
grant select on story to {service}_tenant;
grant select on mentions to {service}_tenant;

alter table people enable row level security;
create policy tenant on people for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
-- not the own id: the owner of a program counts others' people, but doesn't learn what they are called at home
grant select (id, organization, programs, audience, erased, recorded) on people to {service}_tenant;

alter table seats enable row level security;
create policy tenant on seats for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
grant select on seats to {service}_tenant;

alter table relationships enable row level security;
create policy tenant on relationships for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
grant select on relationships to {service}_tenant;

alter table meetings enable row level security;
create policy tenant on meetings for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
grant select on meetings to {service}_tenant;

alter table deliveries enable row level security;
create policy tenant on deliveries for select to {service}_tenant using (current_setting('ithaca.organization', true) = any (audience));
grant select on deliveries to {service}_tenant;

alter table programs enable row level security;
create policy tenant on programs for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true) or current_setting('ithaca.organization', true) = any (members));
grant select on programs to {service}_tenant;

alter table measured enable row level security;
create policy tenant on measured for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
grant select on measured to {service}_tenant;
