"""Who may do what on Kafka: the rules that follow from the catalogue's table of writers and readers, and how a cluster is given them.

Kafka has no rule that forbids here: what isn't allowed is refused (`allow.everyone.if.no.acl.found=false` on the brokers).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shared.events.topics import ANALYTICS, SERVICES, TOPICS, WATERMARKS

if TYPE_CHECKING:
    from confluent_kafka.admin import AclBinding, AdminClient

    from shared.kafka import KafkaSettings

SECONDS = 30.0


@dataclass(frozen=True, order=True)
class Rule:
    """One principal may do this with that topic or consumer group; a `prefixed` name stands for all that begin so.

    To read or write includes to describe. No rule for idempotent producers is needed: who may write some topic may be one.
    """

    principal: str
    operation: Literal["READ", "WRITE"]
    resource: Literal["TOPIC", "GROUP"]
    name: str
    prefixed: bool = False


def rules() -> list[Rule]:
    """Exactly what the design's table says: each service writes its topics, reads what it reads, in its own group."""
    topics = (*TOPICS.values(), WATERMARKS)
    return sorted(
        {
            *(Rule(writer, "WRITE", "TOPIC", topic.name) for topic in topics for writer in topic.writers),
            *(Rule(reader, "READ", "TOPIC", topic.name) for topic in topics for reader in topic.readers),
            *(Rule(service, "READ", "GROUP", service) for service in SERVICES),
            # A rebuild reads the log from its beginning, in a group of its own each time.
            Rule(ANALYTICS, "READ", "GROUP", f"{ANALYTICS}-rebuild-", prefixed=True),
        }
    )


def superfluous(there: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Rules of our services, or about our topics, that stand on a cluster and follow from no table."""
    ours = {topic.name for topic in (*TOPICS.values(), WATERMARKS)}
    return sorted({rule for rule in there if rule.principal in SERVICES or rule.name in ours} - set(wanted))


def apply(kafka: "KafkaSettings", wanted: Sequence[Rule]) -> None:
    """Give a cluster these rules; those that are there already change nothing. Raises KafkaException where it refuses."""
    admin = _admin(kafka)
    for future in admin.create_acls([_binding(rule) for rule in wanted], request_timeout=SECONDS).values():
        future.result(SECONDS)


def make_users(kafka: "KafkaSettings", passwords: Mapping[str, str]) -> None:
    """Give each of these users a password (SCRAM-SHA-512). Raises KafkaException where the cluster refuses."""
    from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion  # noqa: PLC0415 - heavy

    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    wanted: list[Any] = [UserScramCredentialUpsertion(user, how, password.encode()) for user, password in passwords.items()]
    admin = _admin(kafka)
    for future in admin.alter_user_scram_credentials(wanted, request_timeout=SECONDS).values():
        future.result(SECONDS)


def read(kafka: "KafkaSettings") -> list[Rule]:
    """The rules of this kind that a cluster has. Raises KafkaException where it refuses."""
    from confluent_kafka.admin import (  # noqa: PLC0415 - heavy
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    whatever: Any = None
    every = AclBindingFilter(
        ResourceType.ANY, whatever, ResourcePatternType.ANY, whatever, whatever, AclOperation.ANY, AclPermissionType.ALLOW
    )
    admin = _admin(kafka)
    found = admin.describe_acls(every, request_timeout=SECONDS).result(SECONDS)
    return sorted(
        Rule(
            one.principal.removeprefix("User:"),
            one.operation.name,
            one.restype.name,
            one.name,
            one.resource_pattern_type == ResourcePatternType.PREFIXED,
        )
        for one in found
    )


def _binding(rule: Rule) -> "AclBinding":
    from confluent_kafka.admin import (  # noqa: PLC0415 - heavy
        AclBinding,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    pattern = ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL
    operation, kind = AclOperation[rule.operation], ResourceType[rule.resource]
    return AclBinding(kind, rule.name, pattern, f"User:{rule.principal}", "*", operation, AclPermissionType.ALLOW)


def _admin(kafka: "KafkaSettings") -> "AdminClient":
    """A client of the same cluster: the services' own has no calls for access rules. What is asked of it fails once nobody holds it."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - heavy

    given = {
        "bootstrap.servers": kafka.kafka,
        "security.protocol": kafka.kafka_client().get("security_protocol", "PLAINTEXT"),
        "sasl.mechanism": kafka.kafka_mechanism if kafka.kafka_user else "",
        "sasl.username": kafka.kafka_user,
        "sasl.password": kafka.kafka_password,
        "ssl.ca.location": kafka.kafka_ca,
        "ssl.certificate.location": kafka.kafka_certificate,
        "ssl.key.location": kafka.kafka_key,
    }
    return AdminClient({name: value for name, value in given.items() if value})
