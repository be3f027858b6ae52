"""`./ithaca status`: well, ill, and while parts are dead."""

import json
import os
import signal
import time

from shared.events import SERVICES
from tests.cli.conftest import until


def rows(told):
    return {row["name"]: row for row in told["rows"]}


def settle(ithaca):
    """All well again, whatever a test did before."""
    assert until(lambda: ithaca("status", code=None).exit_code == 0, 40), ithaca("status", code=None).output


def test_all_is_well_and_each_service_has_its_line(ithaca):
    settle(ithaca)
    told = ithaca.json("status")
    assert told["well"] is True
    assert set(rows(told)) == {"kafka", "postgres", "mailbox", *SERVICES}
    for service in SERVICES:
        row = rows(told)[service]
        assert row["alive"] is row["ready"] is True
        assert row["outbox_rows"] is not None
        assert row["held_parked"] == row["held_waits"] == 0
        assert row["lag_events"] is not None
        assert row["lag_seconds"] < told["limits"]["lag_seconds"]
    assert told["addresses"]["kafka"] == ithaca.state.addresses["kafka"]
    assert told["addresses"]["postgres"].startswith("postgresql://")
    assert {f"{service}-1" for service in SERVICES} | {"kafka", "postgres", "platform"} <= set(told["pids"])
    text = ithaca("status").output
    assert "All is well." in text
    assert "limit" in text


def test_each_of_two_copies_is_shown_with_its_partitions(ithaca):
    settle(ithaca)
    copies = rows(ithaca.json("status"))["analytics"]["copies"]
    assert [copy["name"] for copy in copies] == ["analytics-1", "analytics-2"]
    assert all(copy["pid"] and copy["partitions"] for copy in copies)
    assert sorted(copy["relay"] for copy in copies) == ["leads", "stands by"]
    assert "analytics-2" in ithaca("status").output


def test_a_killed_service_is_ill_with_the_next_command_until_it_is_back(ithaca):
    settle(ithaca)
    os.kill(ithaca.state.pids["matching-1"], signal.SIGKILL)
    told = ithaca.json("status", code=1)
    assert rows(told)["matching"]["alive"] is False
    assert rows(told)["gateway"]["alive"] is True
    # its numbers come from its database and Kafka
    assert rows(told)["matching"]["lag_events"] is not None
    assert rows(told)["matching"]["outbox_rows"] == 0
    assert {"row": "matching", "what": "matching-1 isn't alive", "next": "./ithaca logs matching-1"} in told["ill"]
    settle(ithaca)


def test_one_dead_copy_of_two_is_ill(ithaca):
    settle(ithaca)
    ithaca.stop("analytics-2")
    try:
        text = ithaca("status", code=1).output
    finally:
        ithaca.go_on("analytics-2")
    assert "1 of 2" in text
    assert "analytics-2 isn't alive" in text
    assert "./ithaca logs analytics-2" in text


def test_it_answers_while_kafka_stands_still(ithaca):
    settle(ithaca)
    ithaca.stop("kafka")
    began = time.monotonic()
    try:
        told = ithaca.json("status", code=1)
    finally:
        ithaca.go_on("kafka")
    assert time.monotonic() - began < 20
    assert rows(told)["kafka"]["ready"] is False
    assert rows(told)["postgres"]["ready"] is True
    assert rows(told)["gateway"]["alive"] is True
    assert any(ill["next"] == "./ithaca logs kafka" for ill in told["ill"])


def test_it_answers_while_postgresql_stands_still_with_what_the_services_last_measured(ithaca):
    settle(ithaca)
    ithaca.stop("postgres")
    try:
        told = ithaca.json("status", code=1)
    finally:
        ithaca.go_on("postgres")
    assert rows(told)["postgres"]["ready"] is False
    assert rows(told)["scheduling"]["outbox_rows"] == 0
    assert rows(told)["scheduling"]["lag_events"] == 0
    assert any(ill["next"] == "./ithaca logs postgres" for ill in told["ill"])
    settle(ithaca)


def test_where_nothing_runs_it_says_how_to_start(nowhere):
    assert "./ithaca up -d" in nowhere("status", code=1).output
    told = nowhere.json("status", code=1)
    assert told["running"] is False
    assert told["rows"] == []


def test_the_environment_points_it_at_a_cluster(nowhere, ithaca):
    settle(ithaca)
    there = ithaca.state.addresses
    urls = {name: there[name] for name in SERVICES}
    env = {"ITHACA_KAFKA": there["kafka"], "ITHACA_DATABASE": there["postgres"], "ITHACA_URLS": json.dumps(urls)}
    told = nowhere.json("status", **env)
    assert set(rows(told)) == {"kafka", "postgres", *SERVICES}
    assert told["pids"] == {}
    assert "@" not in told["addresses"]["postgres"]
    # one service's address leads nowhere
    dead = nowhere.json("status", code=1, **(env | {"ITHACA_URLS": json.dumps(urls | {"gateway": "http://127.0.0.1:9"})}))
    assert [ill["next"] for ill in dead["ill"]] == ["curl -si http://127.0.0.1:9/health/live"]
    assert rows(dead)["gateway"]["outbox_rows"] == 0


def test_addresses_that_arent_json_are_told_in_one_line(nowhere):
    done = nowhere("status", code=1, ITHACA_URLS="gateway=http://x")
    assert done.stderr.startswith("ithaca: ITHACA_URLS isn't JSON")
    assert len(done.stderr.splitlines()) == 1
