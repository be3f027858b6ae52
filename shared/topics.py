"""Makes the catalogue's topics on a cluster. Their number of partitions is never changed in place."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

from shared.events import TOPICS, WATERMARKS, Topic


async def create(kafka: str | Mapping[str, Any], topics: Iterable[Topic] | None = None, *, replication: int = 1) -> list[str]:
    """Create the topics that are missing; returns their names. Raises KafkaError where the cluster refuses.

    `kafka`: bootstrap servers, or what a client is given. With several copies a write counts once all but one have it.
    """
    wanted = list((*TOPICS.values(), WATERMARKS) if topics is None else topics)
    safe = {"min.insync.replicas": str(replication - 1)} if replication > 1 else {}
    admin = AIOKafkaAdminClient(**({"bootstrap_servers": kafka} if isinstance(kafka, str) else kafka))
    await admin.start()
    try:
        there = set(await admin.list_topics())
        missing = [t for t in wanted if t.name not in there]
        if not missing:
            return []
        answer = await admin.create_topics(
            [NewTopic(t.name, t.partitions, replication, topic_configs=t.config() | safe) for t in missing], timeout_ms=30_000
        )
        for name, code, *_ in answer.topic_errors:
            error: type[KafkaError] = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {name}")
        return [t.name for t in missing]
    finally:
        await admin.close()


def partition_of(topic: Topic, key: str) -> int:
    """Where Kafka's clients put a record of this key."""
    return hash_of(key) % topic.partitions


@lru_cache(maxsize=10_000)  # 10 µs each, and the same keys come again
def hash_of(key: str) -> int:
    """By whose remainder Kafka's clients choose the partition."""
    hashed: int = murmur2(key.encode()) & 0x7FFFFFFF
    return hashed
