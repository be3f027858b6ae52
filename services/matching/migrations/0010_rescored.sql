-- Proposals are scored anew when their people or policy change.
set local lock_timeout = '5s';
alter table relationships
    add column turn bigint not null default 0,
    add column scored_for jsonb not null default '[]',
    add column proposed_score bigint,
    add column rescored_at timestamptz,
    add column against text;
alter table programs add column rescore_at timestamptz;
create index programs_to_rescore on programs (id) where rescore_at is not null;
