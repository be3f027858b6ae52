"""The topics: who writes each, who reads it, and how long it is kept."""

from dataclasses import dataclass

GATEWAY, MATCHING, SCHEDULING, NOTIFICATIONS, ANALYTICS = "gateway", "matching", "scheduling", "notifications", "analytics"
SERVICES = (GATEWAY, MATCHING, SCHEDULING, NOTIFICATIONS, ANALYTICS)

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic. `retention_days` None means kept for ever; `key` says by what its records are ordered."""

    name: str
    key: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    compacted: bool = False
    retention_days: int | None = None
    partitions: int = 12

    def config(self) -> dict[str, str]:
        """The topic's settings for Kafka's admin API; replication is the cluster's business."""
        if self.compacted:
            day = str(DAY_MS)
            return {"cleanup.policy": "compact", "segment.ms": day, "max.compaction.lag.ms": day}
        retention = -1 if self.retention_days is None else self.retention_days * DAY_MS
        return {"cleanup.policy": "delete", "retention.ms": str(retention), "retention.bytes": "-1"}


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("people", "person", (GATEWAY,), (GATEWAY, MATCHING, SCHEDULING, NOTIFICATIONS, ANALYTICS), compacted=True),
        Topic("access", "API key", (GATEWAY,), SERVICES, compacted=True),
        Topic("onboarding", "organization or program", (GATEWAY,), (MATCHING, SCHEDULING, NOTIFICATIONS, ANALYTICS)),
        Topic("reports", "relationship or person", (GATEWAY,), (MATCHING, SCHEDULING, NOTIFICATIONS, ANALYTICS)),
        Topic("rejections", "organization", SERVICES, (GATEWAY, NOTIFICATIONS, ANALYTICS)),
        Topic("matching", "relationship, request, run or person", (MATCHING,), (GATEWAY, SCHEDULING, NOTIFICATIONS, ANALYTICS)),
        Topic("scheduling", "relationship or person", (SCHEDULING,), (GATEWAY, MATCHING, NOTIFICATIONS, ANALYTICS)),
        Topic("notifications", "person or organization", (NOTIFICATIONS,), (ANALYTICS,), retention_days=30),
        Topic("analytics", "program", (ANALYTICS,), (NOTIFICATIONS, ANALYTICS), retention_days=30),
    )
}

WATERMARKS = Topic("watermarks", "service", (GATEWAY,), (SCHEDULING,), retention_days=1, partitions=1)
"""Not events: up to which moment all that a service had committed is on its topics (`shared/watermarks.py`)."""
