-- Circles that co-mentees agreed on: whoever leaves one goes on with their mentor, and is matched as before.
set local lock_timeout = '5s';

alter table relationships add column beside boolean not null default false;
