-- The agreement over time. How long it has waited for its signatures. Those drafted before are counted from their timer's first call, at once.
set local lock_timeout = '5s';

alter table relationships add column unsigned jsonb;

insert into timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
select 'unsigned', id::text, id::text, created_at, organization, program, id, '' from relationships
where agreed_at is null and ended_at is null
on conflict do nothing;

-- The months are renewed from their end on, as often as all say yes. Half time and the offer of those that run already: where it is late
-- for them, the timer's call says nothing.
alter table relationships
    add column renewed_from timestamptz,
    add column renewals bigint not null default 0,
    add column renewal jsonb;

insert into timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
select kind, r.id::text, r.id::text, at, organization, program, r.id, '' from relationships r
cross join lateral (values
    ('half_time', agreed_at + (until - agreed_at) / 2),
    ('renewal', until - least((until - agreed_at) / 2, interval '1 month'))
) as t(kind, at)
where agreed_at is not null and ended_at is null and version > 0 and (kind = 'half_time' or term = 'long')
on conflict do nothing;

-- Versions, from the first change of a draft on, with what members wrote into them; and the one that waits beside the one that holds.
alter table relationships add column revised jsonb;

create table agreements (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    version bigint not null,
    terms jsonb not null,
    made_at timestamptz not null,
    reason text,
    revised_by uuid,
    written jsonb not null default '[]',
    writers text[] not null default '{}',
    unique (relationship_id, version)
);
comment on column agreements.written is 'for the members alone; what someone wrote goes when they are erased';
create index agreements_writers on agreements using gin (writers) with (fastupdate = off);

-- What members write to each other no partner sees.
alter table agreements enable row level security;
