-- Whoever comes into a group is invited to the meeting that is planned.
set local lock_timeout = '5s';

create index meetings_planned on meetings (relationship_id) where state in ('proposed', 'scheduled');
