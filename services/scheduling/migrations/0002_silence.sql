-- Signs of life and silence: from when it is counted, how far it is, who is asked; concerns, for coordinators alone.
set local lock_timeout = '5s';

alter table relationships
    add column heard_at timestamptz,
    add column contacts bigint not null default 0,
    add column contacted_at timestamptz,
    add column warned_at timestamptz,
    add column frozen_at timestamptz,
    add column asked uuid,
    add column asked_at timestamptz;
create index relationships_quiet on relationships (program, id) where stalled_at is not null and ended_at is null;

insert into timers (kind, key, owner, fire_at, organization, program)
select 'quiet', id::text, id::text, coalesce(last_held_at, agreed_at) + (terms->>'every_weeks')::int * interval '10.5 days', organization, program
from relationships where agreed_at is not null and ended_at is null and format <> 'conversation'
on conflict do nothing;

alter table people add column own_id text not null default '';

create table concerns (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    program text not null,
    person_id uuid not null,
    text text not null,
    raised_at timestamptz not null,
    seen_at timestamptz
);
comment on column concerns.text is 'for the program''s coordinators alone; empty once its writer was erased';
create index concerns_open on concerns (program, raised_at) where seen_at is null;
create index concerns_person on concerns (person_id);

-- The owner of the program alone: neither members' organizations nor anyone on a topic learns of the words.
alter table concerns enable row level security;
create policy tenant on concerns for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
grant select on concerns to {service}_tenant;
