-- Those who mentor by letter are told where to write, and of no meetings.
set local lock_timeout = '5s';

alter table relationships add column format text not null default 'one_to_one';
