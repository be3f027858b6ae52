set local lock_timeout = '5s';
-- What can't be noted isn't sent every second: a message is begun, in writing, before it is handed over.
alter table deliveries add column begun bigint not null default 0, add column again_at timestamptz;
