"""How aggregates become rows, as PostgreSQL reads them."""

from dataclasses import dataclass, replace

import asyncpg
import pytest

from shared.tables import Table, array


@pytest.mark.parametrize(
    "texts", [(), ("",), ("a", "b"), ('say "hi"', "back\\slash", "{a,b}", "NULL", " comma, ", "new\nline", "é ✓", "'")]
)
async def test_texts_come_back_from_an_array_as_they_were(stage, texts):
    connection = await asyncpg.connect(stage.superuser)
    try:
        assert tuple(await connection.fetchval("select $1::text::text[]", array(texts))) == texts
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Boat:
    id: str
    name: str = ""
    crew: tuple[str, ...] = ()
    rig: dict[str, int] | None = None


def test_only_columns_that_changed_are_written():
    table = Table(Boat, "boats")
    one, other = Boat("a", "Argo", ("Jason",), {"masts": 1}), Boat("b", "Naglfar")
    renamed, again = replace(one, name="Arga"), replace(other)
    assert table.changes([(other, again)]) is None
    statement, arrays = table.changes([(one, renamed), (other, again)])
    assert statement == "update boats as t set name = u.name from unnest($1::text[], $2::text[]) as u(id, name) where t.id = u.id"
    assert arrays == [["a", "b"], ["Arga", "Naglfar"]]
    _, arrays = table.changes([(one, replace(one, crew=("Medea",), rig={"masts": 2}))])
    assert arrays == [["a"], ['{"Medea"}'], ['{"masts":2}']]


def test_a_row_is_read_as_it_was_written():
    table = Table(Boat, "boats")
    rows = [("a", "Argo", ["Jason"], '{"masts": 1}'), ("b", "Argo", None, '{"masts": 1}'), ("c", "", [], None)]
    expected = [Boat("a", "Argo", ("Jason",), {"masts": 1}), Boat("b", "Argo", (), {"masts": 1}), Boat("c")]
    assert list(table.read_all(rows)) == [table.read(row) for row in rows] == expected
