set local lock_timeout = '5s';
create table pairs (
    id uuid primary key,
    organization text not null,
    program text not null,
    seen bigint not null constraint seen_is_counted check (seen >= 0),
    last bigint not null,
    revision bigint not null,
    said text[] not null default '{}'
);
create index pairs_program on pairs (program);
alter table pairs enable row level security;
create policy tenant on pairs for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
grant select on pairs to {service}_tenant;
