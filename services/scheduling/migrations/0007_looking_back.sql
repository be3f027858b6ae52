-- What people say when it is over: whether it was worth it, whether they would do it again, whether they want to stay in touch.
set local lock_timeout = '5s';

create table looks_back (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    program text not null,
    person_id uuid not null,
    worth bigint not null,
    again text not null,
    why text,
    stay boolean not null,
    text text not null,
    said_at timestamptz not null,
    revision bigint not null,
    seen_at timestamptz
);
comment on column looks_back.text is 'for the program''s coordinators alone; empty once its writer was erased';
create index looks_back_open on looks_back (program, said_at) where seen_at is null;
create index looks_back_person on looks_back (person_id);

-- The owner of the program alone, as of concerns.
alter table looks_back enable row level security;
create policy tenant on looks_back for select to {service}_tenant
    using (organization = current_setting('ithaca.organization', true));
grant select on looks_back to {service}_tenant;
