-- Relationships at risk: what is counted for it, the signs that their coordinator was told of, and whether somebody has written to them.
set local lock_timeout = '5s';

alter table relationships
    add column changes jsonb not null default '[]',
    add column picks jsonb not null default '[]',
    add column risk text[] not null default '{}',
    add column flagged_at timestamptz,
    add column written_at timestamptz;
create index relationships_at_risk on relationships (program, flagged_at desc, id)
    where flagged_at is not null and written_at is null and stalled_at is null and ended_at is null;

-- Each is looked at soon, and from then on at a moment of its own within the day, as new ones are.
insert into timers (kind, key, owner, fire_at, organization, program)
select 'risk', id::text, id::text, created_at + interval '1 day'
  + (abs(hashtext(id::text)::bigint) % 86400) * interval '1 second', organization, program
from relationships where ended_at is null and format <> 'conversation'
on conflict do nothing;
