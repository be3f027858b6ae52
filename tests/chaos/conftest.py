"""The whole platform with two copies of each service, for those tests that kill them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.platform import Platform
from shared.events import SERVICES


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Platform]:
    """Kafka, PostgreSQL, the mailbox and two copies of each of the five services."""
    with Platform(tmp_path / "crowd", zipkin=False, services=SERVICES, copies=2) as running:
        yield running
