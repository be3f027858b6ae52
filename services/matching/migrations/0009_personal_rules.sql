-- What people say of themselves for nothing but whom they meet. It is theirs: no tenant may read it, whatever rows they see.
set local lock_timeout = '5s';
alter table people add column personal_rules jsonb not null default '[]';
comment on column people.personal_rules is 'read by the person''s own page and by the rules alone; granted to nobody';
alter table programs add column asked_before boolean not null default false;

revoke select on people from {service}_tenant;
grant select (id, organization, audience, own_id, status, revision, erased, profile, programs, enrolments, places, met, waiting, unavailable)
    on people to {service}_tenant;
