"""The whole platform with two copies of each service, for those tests that kill them."""

from collections.abc import Iterator

import pytest

from deploy.local.platform import SERVICES, Platform


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka, PostgreSQL, the mailbox and two copies of each of the five services."""
    with Platform(tmp_path_factory.mktemp("crowd"), zipkin=False, services=SERVICES, copies=2) as running:
        yield running
