"""An embedded platform on which measurements run small."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.ground import embedded
from deploy.local.platform import Platform


@pytest.fixture(scope="package")
def ground() -> Iterator[Platform]:
    with embedded() as platform:
        yield platform


def left_behind(platform) -> tuple[set[str], set[str]]:
    """Schemas and roles, and topics, that somebody made."""

    async def look() -> tuple[set[str], set[str]]:
        connection = await asyncpg.connect(platform.addresses["postgres"])
        schemas = {row[0] for row in await connection.fetch("select nspname from pg_namespace where nspname !~ '^pg_'")}
        roles = {row[0] for row in await connection.fetch("select rolname from pg_roles where rolname !~ '^pg_'")}
        await connection.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=platform.addresses["kafka"])
        await admin.start()
        topics = set(await admin.list_topics())
        await admin.close()
        return schemas | roles, topics

    schemas, topics = asyncio.run(look())
    return schemas - {"information_schema", "public", "ithaca"}, {topic for topic in topics if not topic.startswith("__")}
