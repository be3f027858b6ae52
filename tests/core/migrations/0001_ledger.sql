set local lock_timeout = '5s';
create table pairs (
    id uuid primary key,
    organization text not null,
    seen bigint not null,
    last bigint not null,
    said text[] not null default '{}'
);
