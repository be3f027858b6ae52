"""What docker-compose.yml mounts and names, checked without an engine."""

import json
import re
import stat

import pytest
import yaml

from deploy.compose import secrets
from deploy.local.state import CHECKOUT
from shared.events import SERVICES
from shared.telemetry import Metrics
from tests.containers.parts import KAFKA, POSTGRES

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
PARTS = CHECKOUT / "deploy/compose"


def our_metrics():
    """Every name under which a service shows something."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {metric.name + end for metric in Metrics().registry.collect() for end in ends[metric.type]}


def alerts():
    return [rule for group in yaml.safe_load((PARTS / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


def panels():
    return json.loads((PARTS / "dashboard.json").read_text())["panels"]


@pytest.mark.parametrize("text", [rule["expr"] for rule in alerts()] + [p["targets"][0]["expr"] for p in panels()])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(text):
    assert set(re.findall(r"\bithaca_\w+", text)) <= our_metrics()


def test_every_alert_says_what_to_do():
    assert all(rule["annotations"]["do"] and rule["annotations"]["summary"] for rule in alerts())


def test_a_service_is_given_its_own_database_role_and_no_other(tmp_path):
    made = secrets.write(tmp_path)
    for service in SERVICES:
        text = (tmp_path / f"compose/{service}.env").read_text()
        assert text.count("postgresql://") == 1
        assert f"postgresql://{service}:{made.databases[service]}@" in text
        others = [made.databases[name] for name in SERVICES if name != service]
        assert not any(secret in text for secret in [made.superuser, *others])
        assert "ITHACA_LINK_SECRET=" in text, "each has pages behind links or a sign-in"


def test_secrets_are_for_their_owner_alone_and_stay_what_they_were(tmp_path):
    secrets.write(tmp_path)
    before = {file.name: file.read_text() for file in (tmp_path / "compose").iterdir()}
    secrets.write(tmp_path)
    assert {file.name: file.read_text() for file in (tmp_path / "compose").iterdir()} == before
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in (tmp_path / "compose").iterdir())


def test_every_service_runs_from_the_one_image_with_nothing_to_write_to():
    for name in (*SERVICES, "setup"):
        service = COMPOSE[name]
        assert service["image"] == "ithaca:local"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["env_file"] == ["${ITHACA_COMPOSE_SECRETS:-.ithaca/compose}/" + name + ".env"]
    assert not [name for name in COMPOSE if any(not port.startswith("127.0.0.1:") for port in COMPOSE[name].get("ports", []))]


def test_tests_and_compose_use_the_same_images():
    assert (COMPOSE["kafka"]["image"], COMPOSE["postgres"]["image"]) == (KAFKA, POSTGRES)
