-- Check-ins, what the two sides see differently, and feedback to each other.
set local lock_timeout = '5s';

create table check_ins (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    program text not null,
    person_id uuid not null,
    kind text not null,
    number bigint not null,
    stage text,
    asked_at timestamptz not null,
    due_at timestamptz not null,
    answered_at timestamptz,
    score bigint,
    answers jsonb not null,
    fit text,
    tags text[] not null,
    first_goal text,
    differs boolean not null,
    told text[] not null,
    revision bigint not null,
    seen_at timestamptz
);
comment on column check_ins.told is 'in what this round was found to be apart, so that it is told once';
create index check_ins_relationship on check_ins (relationship_id);
create index check_ins_person on check_ins (person_id);
create index check_ins_doubtful on check_ins (program, answered_at) where fit in ('unsure', 'not_a_fit') and seen_at is null;

-- The owner of the program alone, and of it only that someone doubts.
alter table check_ins enable row level security;
create policy tenant on check_ins for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true) and fit in ('unsure', 'not_a_fit'));
grant select on check_ins to {service}_tenant;

alter table relationships add column apart jsonb not null default '[]';
create index relationships_apart on relationships (program, id) where apart <> '[]' and ended_at is null;

create table feedback (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    giver uuid not null,
    receiver uuid not null,
    meeting_id uuid,
    goal_id uuid,
    step_id uuid,
    asked_at timestamptz,
    given_at timestamptz,
    tags text[] not null,
    text text not null,
    read_at timestamptz,
    thanked boolean not null,
    revision bigint not null
);
comment on column feedback.text is 'for giver and receiver alone; the row goes when one of them is erased';
create index feedback_relationship on feedback (relationship_id);
create index feedback_giver on feedback (giver);
create index feedback_receiver on feedback (receiver);

-- Those who are in the midst of it are looked at at once, and asked at the next of their times that is ahead, each at their own.
insert into timers (kind, key, owner, fire_at, organization, program)
select 'check_in', id::text, id::text,
    agreed_at + interval '30 days', organization, program
from relationships where agreed_at is not null and ended_at is null and format <> 'conversation'
on conflict do nothing;
