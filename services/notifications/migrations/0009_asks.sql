-- Questions to a person: those that are due go together in one mail, and seldom. A program can pause them.
set local lock_timeout = '5s';

alter table programs
    add column asks boolean not null default true,
    add column days_between_asks bigint not null default 7,
    add column texts jsonb not null default '[]';
alter table people add column asked_at timestamptz;
alter table relationships add column frozen boolean not null default false;
alter table deliveries add column joins uuid;
create index deliveries_to_ask on deliveries (person_id) where state = 'to_ask';
create index deliveries_joined on deliveries (joins) where state = 'joined';
create index meetings_scheduled on meetings (relationship_id) where state = 'scheduled';
