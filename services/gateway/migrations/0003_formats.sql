-- Whom someone mentors in reverse is no mentor of theirs.
set local lock_timeout = '5s';

alter table relationships add column format text not null default 'one_to_one';
