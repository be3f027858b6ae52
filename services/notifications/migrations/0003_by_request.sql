-- Whether a program's mentees may choose mentors: their mails then have a link to do so.
set local lock_timeout = '5s';

alter table programs add column by_request boolean not null default false;
