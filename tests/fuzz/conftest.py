"""All five services with a small program in them, for everything that is bad."""

from collections.abc import Iterator

import pytest

from benchmarks.fuzz.ground import World, world
from shared.events import SERVICES


@pytest.fixture(scope="package")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A platform of its own; whatever was planted in it, its logs may not tell."""
    with world(tmp_path_factory.mktemp("fuzz")) as made:
        yield made
        assert {name.partition("-")[0] for name, _ in made.log_lines()} >= set(SERVICES)
        assert made.told_in_logs() == []
