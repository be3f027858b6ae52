-- What programs call their own milestones; goals of which nobody is asked any more whether they are reached.
set local lock_timeout = '5s';

alter table programs add column milestones jsonb not null default '[]';
alter table relationships add column settled text[] not null default '{}';
