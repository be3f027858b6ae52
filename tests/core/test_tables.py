"""How aggregates become rows, as PostgreSQL reads them."""

import asyncpg
import pytest

from shared.tables import array


@pytest.mark.parametrize(
    "texts", [(), ("",), ("a", "b"), ('say "hi"', "back\\slash", "{a,b}", "NULL", " comma, ", "new\nline", "é ✓", "'")]
)
async def test_texts_come_back_from_an_array_as_they_were(stage, texts):
    connection = await asyncpg.connect(stage.superuser)
    try:
        assert tuple(await connection.fetchval("select $1::text::text[]", array(texts))) == texts
    finally:
        await connection.close()
