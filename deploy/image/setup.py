"""Runs once before the services: makes the topics, and for each service its login role and schema. It alone knows the superuser."""

import asyncio
import os
import sys

import asyncpg
from aiokafka.errors import KafkaError

from shared import topics
from shared.database import provision
from shared.errors import describe
from shared.events import SERVICES


async def setup(kafka: str, superuser: str, passwords: dict[str, str], replication: int) -> list[str]:
    """Safe to run again; returns the topics that were made. Raises what Kafka or PostgreSQL refused with."""
    await provision(superuser, passwords)
    return await topics.create(kafka, replication=replication)


def main() -> None:
    """Read the environment: ITHACA_KAFKA, ITHACA_SUPERUSER, a password per service, ITHACA_REPLICATION."""
    try:
        superuser = os.environ["ITHACA_SUPERUSER"]
        passwords = {name: os.environ[f"ITHACA_PASSWORD_{name.upper()}"] for name in SERVICES}
    except KeyError as missing:
        sys.exit(f"ithaca: settings: {missing.args[0]} is missing")
    kafka, replication = os.environ.get("ITHACA_KAFKA", "127.0.0.1:9092"), int(os.environ.get("ITHACA_REPLICATION", "1"))
    try:
        made = asyncio.run(setup(kafka, superuser, passwords, replication))
    except (KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        sys.exit(f"ithaca: setup: {describe(error)}")
    print(f"roles and schemas: {', '.join(SERVICES)}; topics made: {', '.join(made) or 'none, all are there'}")


if __name__ == "__main__":
    main()
