create table tallies (
    id uuid primary key,
    meetings bigint not null,
    minutes bigint not null,
    last bigint not null
) with (fillfactor = 50);
