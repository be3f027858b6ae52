-- Who says at which times they can says of the others that they can't: of those that stand to choice, and of the one that holds.
set local lock_timeout = '5s';

update meetings set votes = (
    select jsonb_agg(vote || jsonb_build_object('cannot', (
        select coalesce(jsonb_agg(slot order by slot), '[]')
        from (select slot from jsonb_array_elements_text(slots) as s(slot) union select to_jsonb(starts_at) #>> '{}' where starts_at is not null) offered
        where slot::timestamptz not in (select can::timestamptz from jsonb_array_elements_text(vote -> 'slots') as c(can))
    )) order by place)
    from jsonb_array_elements(votes) with ordinality as v(vote, place)
) where votes <> '[]' and status in ('proposed', 'scheduled');
