"""Whoever takes their data along takes all of it: each table of a service is in its file, or left out with a reason."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from services.gateway import exporting as gateway
from services.matching import exporting as matching
from services.notifications import exporting as notifications
from services.scheduling import exporting as scheduling
from shared.exports import HOLDERS, OF_THE_CORE

ROOT = Path(__file__).resolve().parents[2]
CREATED = re.compile(r"^create table (?:if not exists )?(\w+) ?\(", re.MULTILINE)
SERVICES = {"gateway": gateway, "matching": matching, "notifications": notifications, "scheduling": scheduling}


def tables(folder: Path) -> set[str]:
    """Those that the migrations make, partitions left out."""
    return {name for path in folder.glob("*.sql") for name in CREATED.findall(path.read_text())}


@pytest.mark.parametrize(("service", "exporting"), SERVICES.items())
def test_every_table_of_a_service_is_in_the_file_or_left_out_with_a_reason(service: str, exporting: ModuleType) -> None:
    """A new table belongs into `KEPT` of the service's exporting.py, or into `LEFT_OUT` there."""
    kept = {part.table.name for part in exporting.KEPT}
    assert tables(ROOT / "services" / service / "migrations") == kept | set(exporting.LEFT_OUT)
    assert not kept & set(exporting.LEFT_OUT)
    assert all(exporting.LEFT_OUT.values())
    assert len({part.name for part in exporting.KEPT}) == len(exporting.KEPT)


def test_of_the_core_nothing_is_anybodys_own() -> None:
    assert tables(ROOT / "shared" / "migrations") <= set(OF_THE_CORE)


def test_each_service_that_holds_something_is_named_on_the_page() -> None:
    assert set(HOLDERS) == set(SERVICES)
