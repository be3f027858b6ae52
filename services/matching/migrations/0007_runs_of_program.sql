-- A program's runs, the newest first: the page that its coordinators open.
set local lock_timeout = '5s';
create index runs_of_program on runs (program, id);
