-- A circle counts once it began, for those in it: what was only agreed on may have been refused.
set local lock_timeout = '5s';

delete from things t
where kind = 'circle' and not exists (select from relationships r where r.id = split_part(t.id, '/', 2)::uuid and r.formed = 'group');
update things set relationship_id = split_part(id, '/', 2)::uuid, person_id = null where kind = 'circle';
