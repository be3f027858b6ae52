-- Which relationships have gone quiet, and who is asked whether they go on: a mail that no longer holds isn't sent.
set local lock_timeout = '5s';

alter table relationships
    add column quiet boolean not null default false,
    add column asked uuid;
