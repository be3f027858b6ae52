-- What every service keeps for the promises: positions, inbox, held events, timers, outbox, and the API keys it honours.
set local lock_timeout = '5s';

create table positions (
    topic text not null,
    partition int not null,
    next_offset bigint not null default 0,
    read_until timestamptz not null default '-infinity',
    history boolean not null default true,
    primary key (topic, partition)
) with (fillfactor = 20);
comment on column positions.read_until is 'everything recorded on this partition before then has been read';
comment on column positions.history is 'true until the first time lag was 0: older events than the inbox keeps are then expected';

create table inbox (event_id uuid primary key) partition by range (event_id);
create table inbox_history partition of inbox default;

create table held_keys (
    topic text not null,
    key text not null,
    state text not null check (state in ('waits', 'parked')),
    since timestamptz not null,
    due_at timestamptz not null,
    awaits text,
    attempts int not null default 0,
    reason text not null,
    primary key (topic, key)
);
create index held_keys_due on held_keys (due_at) where state = 'waits';
create index held_keys_awaits on held_keys (awaits) where state = 'waits' and awaits is not null;

create table held (
    seq bigint generated always as identity primary key,
    topic text not null,
    key text not null,
    partition int not null,
    "offset" bigint not null,
    event_id uuid,
    type text,
    headers bytea not null,
    body bytea,
    foreign key (topic, key) references held_keys on delete cascade
);
create index held_in_order on held (topic, key, seq);

create table timers (
    kind text not null,
    key text not null,
    owner text not null,
    fire_at timestamptz not null,
    organization text,
    program text,
    correlation uuid,
    traceparent text,
    primary key (kind, key)
);
create index timers_due on timers (fire_at);

create table outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null,
    topic text not null,
    key text not null,
    headers bytea not null,
    payload bytea not null,
    recorded_at timestamptz not null
);

create table access_keys (
    id text primary key,
    sha256 text not null,
    organization text not null,
    rights text[] not null,
    revoked boolean not null
);
