-- Whom mentees have named as their mentor, by mail address. An address itself stands with a person alone.
set local lock_timeout = '5s';

create table nominations (
    id uuid primary key,
    organization text not null,
    named jsonb not null default '[]'
);
comment on column nominations.id is 'the mentee''s; the organization is their home';
comment on column nominations.named is 'addresses as keyed digests: they tell the same address again, and nothing else';

create index people_email on people (lower(contact ->> 'email')) where not erased;

alter table nominations enable row level security;
create policy tenant on nominations for select to {service}_tenant using (organization = current_setting('ithaca.organization', true));
