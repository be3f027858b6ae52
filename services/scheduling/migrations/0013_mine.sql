-- One's own mentoring: why people were matched, and what mentors are recognised for.
set local lock_timeout = '5s';

alter table relationships add column reasons jsonb not null default '[]';
comment on column relationships.reasons is 'codes with numbers, from the match; none of those matched before this';

alter table people add column recognised boolean not null default true;

create table recognitions (
    id uuid primary key,
    person_id uuid not null,
    organization text not null,
    program text not null,
    kind text not null,
    year bigint not null,
    made_at timestamptz not null,
    meetings bigint not null default 0,
    minutes bigint not null default 0,
    people bigint not null default 0,
    milestones bigint not null default 0,
    learned text not null default '',
    shows_learned boolean not null default false,
    code text,
    shown_at timestamptz
);
comment on column recognitions.learned is 'the mentor''s own words: for them alone, unless they put them on the certificate; the row goes when they are erased';
comment on column recognitions.code is 'of the certificate''s address, while anyone may see it';
create index recognitions_person on recognitions (person_id, program, year);
create unique index recognitions_code on recognitions (code) where code is not null;

-- Of those let onto the platform before this only the id is known.
create table organizations (
    id text primary key,
    name text not null
);

-- What is a mentor's own no partner sees.
alter table recognitions enable row level security;
alter table organizations enable row level security;
