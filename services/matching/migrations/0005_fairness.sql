-- Fairness reports: by what a program audits, how many found a partner, and with what score.
set local lock_timeout = '5s';
alter table runs add column fairness jsonb not null default '[]';

create table audited (
    run_id uuid not null,
    role text not null,
    attribute text not null,
    value text not null,
    people uuid[] not null,
    primary key (run_id, role, attribute, value)
);
comment on table audited is 'who belonged to which group as a run began, until it is over: for its report, and shown to nobody';
alter table audited enable row level security;
