-- Which relationships are quiet is kept beside them: an index on `stalled_at` would have every silence write to all indexes of a
-- relationship, random pages of a million (five times the WAL; `./ithaca bench scheduling`).
set local lock_timeout = '5s';

create table quiet (
    program text not null,
    relationship_id uuid not null,
    primary key (program, relationship_id)
);
alter table quiet enable row level security;
create policy tenant on quiet for select to {service}_tenant
    using (split_part(program, '.', 1) = current_setting('ithaca.organization', true));
grant select on quiet to {service}_tenant;

create function keep_quiet() returns trigger language plpgsql set search_path from current as $$
begin
    if new.stalled_at is not null and new.ended_at is null then
        insert into quiet values (new.program, new.id) on conflict do nothing;
    else
        delete from quiet where program = new.program and relationship_id = new.id;
    end if;
    return null;
end $$;
create trigger keep_quiet after update of stalled_at, ended_at on relationships for each row
    when ((old.stalled_at is null or old.ended_at is not null) <> (new.stalled_at is null or new.ended_at is not null))
    execute function keep_quiet();

insert into quiet select program, id from relationships where stalled_at is not null and ended_at is null;
drop index relationships_quiet;
drop index relationships_at_risk;
create index relationships_at_risk on relationships (program, flagged_at desc, id)
    where flagged_at is not null and written_at is null and ended_at is null;
