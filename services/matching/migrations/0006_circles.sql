-- Peers: relationships of other formats than one-to-one, and how many groups a run made.
set local lock_timeout = '5s';
alter table relationships add column format text not null default 'one_to_one';
alter table runs add column groups bigint not null default 0;
