-- Whether a program's people have a page on which to say whom they meet: their mails then have a link to it.
set local lock_timeout = '5s';

alter table programs add column personal_rules boolean not null default false;
