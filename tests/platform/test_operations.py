"""docs/operations.md names what there is and nothing else."""

import re

from prometheus_client import generate_latest

from deploy import documents
from deploy.local.state import CHECKOUT
from shared.service import Settings
from shared.telemetry import Metrics

PAGE = (CHECKOUT / documents.OPERATIONS).read_text("utf-8")
OWN = {"ITHACA_API", "ITHACA_KEY", "ITHACA_ANALYTICS", "ITHACA_DATA", "ITHACA_SEED", "ITHACA_ROUNDS", "ITHACA_ZIPKIN"}
"""Of examples, tests and benchmarks."""


def test_every_variable_that_the_code_reads_is_explained():
    used = set()
    for folder in ("shared", "services", "deploy"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            used |= set(re.findall(r"\bITHACA_[A-Z_]*[A-Z]\b", file.read_text("utf-8")))
    used |= set(re.findall(r"\bITHACA_[A-Z_]*[A-Z]\b", (CHECKOUT / "ithaca").read_text("utf-8")))
    explained = set(re.findall(r"\bITHACA_[A-Z_]*[A-Z]\b", PAGE))
    assert {name for name in used - explained - OWN if not name.startswith("ITHACA_PORT")} == set()


def test_the_table_is_that_of_the_settings():
    table = documents.settings_table()
    assert table in PAGE, "run ./ithaca docs make"
    assert table.count("\n") == len(Settings.model_fields) + 2
    assert all(field.description for field in Settings.model_fields.values())


def test_every_metric_that_an_alert_asks_for_is_told():
    told = generate_latest(Metrics().registry).decode()
    for name in set(re.findall(r"\bithaca_[a-z_]+", PAGE)):
        assert f"# TYPE {name} " in told, name
