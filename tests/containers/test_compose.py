"""The whole of docker-compose.yml: the demo's story played in it, with matching three times over.

Only where ITHACA_TEST_PLATFORM=containers: it takes a minute or two, and needs the images of all parts.
"""

import json
import os
import subprocess
from collections import Counter

import asyncpg
import httpx
import pytest

from deploy.compose.stack import PUBLISHED, run
from deploy.local.ports import Ports
from deploy.local.secrets import Secrets
from deploy.local.state import CHECKOUT
from shared.events import SERVICES, TOPICS
from tests.cli.conftest import until
from tests.containers.test_files import alerts
from tests.story import STORY

pytestmark = [
    pytest.mark.platform,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        os.environ.get("ITHACA_TEST_PLATFORM") != "containers", reason="only with ITHACA_TEST_PLATFORM=containers"
    ),
]
PROJECT = "ithaca-demo"


class Played:
    """The containers after the story."""

    def __init__(self, home, said, result):
        self.home, self.said, self.result = home, said, result
        self.secrets = Secrets.load(home / "compose")
        ports = Ports(home / f"compose/{PROJECT}-ports.json")
        self.ports = {name: ports.remembered[name] for name in PUBLISHED}

    def containers(self, service):
        words = ["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}"]
        return run([*words, "--filter", f"label=com.docker.compose.service={service}"], {}, 30).split()

    def inspect(self, service):
        return json.loads(run(["docker", "inspect", *self.containers(service)], {}, 30))

    def prometheus(self, path, **query):
        answer = httpx.get(f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}", params=query, trust_env=False)
        return answer.raise_for_status().json()["data"]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    home = tmp_path_factory.mktemp("compose-home")
    env = {**os.environ, "ITHACA_HOME": str(home)}
    command = [str(CHECKOUT / "ithaca"), "demo", "--compose", "--keep", "--json", "--scale", "matching=3"]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        *said, last = done.stdout.splitlines()
        yield Played(home, "\n".join(said), json.loads(last))
    finally:
        subprocess.run(
            ["docker", "compose", "-p", PROJECT, "down", "-v"],
            cwd=CHECKOUT,
            env=env | {"ITHACA_COMPOSE_SECRETS": str(home / "compose")},
            capture_output=True,
            check=False,
        )


def test_the_demos_story_is_the_same_in_containers(played):
    assert {name: played.result[name] for name in STORY} == STORY
    assert played.result["trace_services"] == list(SERVICES)
    assert "lost 0, twice 0" in played.said
    assert played.result["up_to_end_seconds"] < 180
    print(played.said)


def test_three_copies_of_matching_share_its_partitions(played):
    ports = [one["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"] for one in played.inspect("matching")]
    reports = [httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).json() for port in ports]
    assert len({report["copy"] for report in reports}) == 3
    assert all(report["well"] and report["partitions"] for report in reports)
    partitions = sum(topic.partitions for topic in TOPICS.values() if "matching" in topic.readers)
    assert sum(report["partitions"] for report in reports) == partitions


def test_what_was_killed_came_back_by_itself(played):
    (scheduling,) = played.inspect("scheduling")
    assert scheduling["RestartCount"] == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_nobody_and_can_write_nowhere_but_tmp(played, service):
    container = played.containers(service)[0]
    inside = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/app', os.W_OK), os.access('/tmp', os.W_OK))"
    assert run(["docker", "exec", container, "python", "-c", inside], {}, 30).split() == ["10001", "False", "False", "True"]
    assert played.inspect(service)[0]["HostConfig"]["ReadonlyRootfs"]


@pytest.mark.parametrize("service", SERVICES)
def test_its_health_is_asked_for_and_it_is_well(played, service):
    """Also the one that the story killed, once its new container was asked."""
    assert until(lambda: all(one["State"]["Health"]["Status"] == "healthy" for one in played.inspect(service)), 60, 0.5)


def test_no_secret_is_in_the_image(played):
    shown = run(["docker", "image", "inspect", "ithaca:local"], {}, 30) + run(
        ["docker", "history", "--no-trunc", "ithaca:local"], {}, 30
    )
    known = [
        played.secrets.superuser,
        played.secrets.operator_token,
        played.secrets.link_secret,
        *played.secrets.databases.values(),
    ]
    assert not [secret for secret in known if secret in shown]


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_knows_its_own_database_role_only(played, service):
    (env, *_) = [one["Config"]["Env"] for one in played.inspect(service)]
    told = "\n".join(env)
    assert told.count("postgresql://") == 1
    assert f"postgresql://{service}:" in told
    assert played.secrets.superuser not in told


async def test_its_password_opens_no_other_role_and_no_other_schema(played):
    at = f"127.0.0.1:{played.ports['postgres']}/ithaca"
    password = played.secrets.databases["gateway"]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://scheduling:{password}@{at}")
    connection = await asyncpg.connect(f"postgresql://gateway:{password}@{at}")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from scheduling.relationships")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("set role scheduling")
    finally:
        await connection.close()


def test_prometheus_reaches_every_copy_and_knows_the_alerts(played):
    def copies():
        found = played.prometheus("query", query='up{job="ithaca"} == 1')["result"]
        return Counter(service for service, _ in {(one["metric"]["service"], one["metric"]["instance"]) for one in found})

    wanted = {name: 3 if name == "matching" else 1 for name in SERVICES}
    until(lambda: copies() == wanted, 60, 0.5)  # the one that the story killed is asked again within a scrape or two
    assert copies() == wanted
    rules = [rule["name"] for group in played.prometheus("rules")["groups"] for rule in group["rules"]]
    assert rules == [rule["alert"] for rule in alerts()]
    assert not played.prometheus("query", query='ALERTS{alertstate="firing"}')["result"]


def test_the_collector_counts_the_spans_it_handed_on(played):
    found = played.prometheus("query", query='count by (service_name) ({__name__=~"ithaca_spans_calls.*"})')["result"]
    assert {series["metric"]["service_name"] for series in found} == set(SERVICES)
