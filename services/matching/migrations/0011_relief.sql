-- What a mentor takes upon themselves in a program, less than their enrolment says, and what it was offered for.
set local lock_timeout = '5s';
alter table people add column relief jsonb not null default '[]';
grant select (relief) on people to {service}_tenant;
