-- Points for the agenda, notes and follow-ups, for the members of a relationship alone.
set local lock_timeout = '5s';

create table entries (
    id uuid primary key,
    relationship_id uuid not null references relationships,
    organization text not null,
    person_id uuid not null,
    kind text not null,
    text text not null,
    written_at timestamptz not null,
    meeting_id uuid,
    own boolean not null default false,
    doer uuid,
    due_on date,
    done_at timestamptz
);
comment on column entries.text is 'for the members alone, or its writer alone; the row goes when its writer is erased';
create index entries_relationship on entries (relationship_id);
create index entries_person on entries (person_id);

-- What members write to each other no partner sees.
alter table entries enable row level security;
