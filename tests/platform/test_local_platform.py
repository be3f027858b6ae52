"""The embedded platform: real starts, real kills."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import postgres, supervisor
from deploy.local.platform import AlreadyRunning, Platform
from deploy.local.ports import Ports, free
from deploy.local.processes import PartError
from deploy.local.secrets import Secrets
from deploy.local.state import CHECKOUT, python_path, state

STANDIN = Path(__file__).parent / "standin"
WITH_STANDIN = {"PYTHONPATH": python_path({"PYTHONPATH": str(STANDIN)})}
NEEDS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Iterator[Platform]:
    """Every part, and a stand-in service."""
    home = tmp_path_factory.mktemp("whole") / "hôme with \\ spaces"
    with Platform(home, services=["echo"], extra_env=WITH_STANDIN) as platform:
        yield platform


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A home for the detached platform, whose tests follow each other."""
    return tmp_path_factory.mktemp("kept") / "home"


def eventually(what: Callable[[], object], limit: float = 15) -> None:
    until = time.monotonic() + limit
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def command_of(pid: int) -> bytes:
    """What this process runs; nothing once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def descendants(pids: set[int]) -> set[int]:
    """These processes and all that descend from them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listeners(pids: set[int]) -> set[tuple[str, int]]:
    """(address, port) of every listening TCP and every bound UDP socket of these processes."""
    sockets = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(file.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in sockets and (fields[3] == "0A" or name.startswith("udp")):
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found


async def test_every_part_answers(whole):
    admin = AIOKafkaAdminClient(bootstrap_servers=whole.addresses["kafka"])
    await admin.start()
    assert "people" in await admin.list_topics()
    await admin.close()
    connection = await asyncpg.connect(whole.addresses["postgres"])
    assert (await connection.fetchval("show server_version")).startswith("18")
    await connection.close()
    async with httpx.AsyncClient(trust_env=False) as web:
        assert (await web.get(whole.addresses["mailbox"])).status_code == 200
        assert (await web.get(whole.addresses["echo"] + "/health/ready")).status_code == 200
    whole.wait_for("zipkin")
    assert set(whole.pids) == {"kafka", "postgres", "zipkin", "mailbox", "echo-1"}


async def test_a_service_is_told_where_everything_is(whole):
    async with httpx.AsyncClient(trust_env=False) as web:
        env = (await web.get(whole.addresses["echo"] + "/env")).json()
    assert env["ITHACA_KAFKA"] == whole.addresses["kafka"]
    assert "http://" + env["ITHACA_HTTP"] == whole.addresses["echo"]
    assert json.loads(env["ITHACA_URLS"]) == {name: whole.addresses[name] for name in ("echo", "mailbox", "zipkin")}
    assert (env["OTEL_SERVICE_NAME"], env["OTEL_TRACES_EXPORTER"], env["ITHACA_COPY"]) == ("echo", "zipkin", "1")
    assert env["OTEL_EXPORTER_ZIPKIN_ENDPOINT"] == whole.addresses["zipkin"] + "/api/v2/spans"
    for name in ("ITHACA_LINK_SECRET", "ITHACA_OPERATOR_TOKEN", "ITHACA_SECRET_KEY"):
        assert len(env[name]) >= 43
    connection = await asyncpg.connect(env["ITHACA_DATABASE"])
    assert await connection.fetchval("select current_user || ' ' || current_database()") == "echo ithaca"
    await connection.close()


async def test_zipkin_survives_the_spans_of_a_large_load(whole):
    """With 40,000 kept in its memory it ran out of it and answered nobody any more."""
    whole.wait_for("zipkin")
    pid, url = whole.pids["zipkin"], whole.addresses["zipkin"]

    def batch(n: int) -> bytes:
        spans = []
        for one in range(n * 500 + 1, n * 500 + 501):
            tags = {"messaging.system": "kafka", "messaging.operation.type": "process", "messaging.destination.name": "people"}
            tags |= {
                "messaging.destination.partition.id": "7",
                "messaging.kafka.offset": str(one),
                "ithaca.organization": "northwind",
            }
            tags |= {"messaging.message.id": f"{one:036x}", "ithaca.key": f"{one:036x}", "caused_by_trace": f"{one:032x}"}
            span = {
                "traceId": f"{one:032x}",
                "id": f"{one:016x}",
                "name": "process PersonEnrolled",
                "kind": "CONSUMER",
                "tags": tags,
            }
            spans.append(
                span | {"timestamp": 1_700_000_000_000_000 + one, "duration": 1000, "localEndpoint": {"serviceName": "matching"}}
            )
        return json.dumps(spans).encode()

    async with httpx.AsyncClient(trust_env=False, timeout=20) as web:

        async def post(service: int) -> None:
            for n in range(30):
                content = batch(service * 30 + n)
                answer = await web.post(f"{url}/api/v2/spans", content=content, headers={"content-type": "application/json"})
                assert answer.status_code == 202

        await asyncio.gather(*(post(service) for service in range(5)))
        assert (await web.get(f"{url}/api/v2/trace/{75_000:032x}")).status_code == 200
    assert whole.pids["zipkin"] == pid


async def test_postgres_wants_a_password(whole):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(whole.addresses["postgres"].replace(whole.secrets.superuser, "guess"))


@NEEDS_PROC
def test_nothing_listens_beyond_this_machine(whole):
    whole.wait_for("zipkin")
    found = listeners(descendants(set(whole.pids.values())))
    # Kafka and its controller, Postgres, Zipkin, two of the mailbox, the service. Java writes IPv4 as IPv6.
    local = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert {port for address, port in found if address in local} >= set(whole.ports.taken.values())
    assert {address for address, _ in found} <= local


def test_secrets_are_for_their_owner_alone(whole):
    file = whole.home / "secrets.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert Secrets.load(whole.home) == whole.secrets


def test_a_home_runs_one_platform(whole):
    with pytest.raises(AlreadyRunning, match="already"):
        Platform(whole.home).start()
    assert "kafka" in whole.pids


def test_a_service_that_dies_is_started_again_and_waits_longer_each_time(whole):
    for _ in range(2):
        before = whole.pids["echo-1"]
        with pytest.raises(httpx.HTTPError):
            httpx.get(whole.addresses["echo"] + "/die", trust_env=False)
        eventually(lambda before=before: whole.pids.get("echo-1", before) != before)
        whole.children["echo-1"].wait_until(lambda: not free(int(whole.addresses["echo"].rpartition(":")[2])), 10)
    assert whole.deaths["echo-1"] == 2


def test_copies_come_and_go(whole):
    assert whole.add_copy("echo") == "echo-2"
    assert {"echo-1", "echo-2"} <= set(whole.pids)
    assert whole.remove_copy("echo") == "echo-2"
    time.sleep(0.5)
    assert "echo-2" not in whole.pids


def test_what_is_stopped_on_purpose_stays_down_until_restart(whole):
    whole.halt("echo-1")
    whole.kill("mailbox")
    time.sleep(0.8)
    assert not {"echo-1", "mailbox"} & set(whole.pids)
    whole.restart("echo-1")
    whole.restart("mailbox")
    assert {"echo-1", "mailbox"} <= set(whole.pids)


async def test_a_killed_postgres_comes_back_with_what_was_committed(whole):
    connection = await asyncpg.connect(whole.addresses["postgres"])
    await connection.execute("create table kept_through_a_kill as select 42 as answer")
    whole.kill("postgres")
    connection.terminate()
    whole.restart("postgres")
    connection = await asyncpg.connect(whole.addresses["postgres"])
    assert await connection.fetchval("select answer from kept_through_a_kill") == 42
    await connection.close()


def up(home: Path) -> supervisor.State:
    return supervisor.up(True, ["echo"], 1, lambda _: None, zipkin=False, extra_env=WITH_STANDIN, folder=home)


async def test_up_detached_says_where_all_is_and_a_second_up_that_it_is_up(kept):
    kept.mkdir(parents=True)
    (kept / "state.json").write_text(json.dumps({"started": "2020", "supervisor": 1, "ready": True, "addresses": {}, "pids": {}}))
    assert state(kept) is None
    assert supervisor.down(folder=kept) is False  # a stale state is no process to kill
    running = up(kept)
    assert running == state(kept)
    assert set(running.pids) == {"kafka", "postgres", "mailbox", "echo-1"}
    with pytest.raises(AlreadyRunning, match="is up since"):
        up(kept)
    assert (kept / "state.json").stat().st_mode & 0o777 == 0o600
    connection = await asyncpg.connect(running.addresses["postgres"])
    await connection.execute("create table kept as select 42 as answer")
    await connection.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=running.addresses["kafka"])
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=running.addresses["kafka"]) as producer:
        await producer.send_and_wait("kept", b"a fact")


@NEEDS_PROC
def test_a_killed_supervisor_leaves_no_process(kept):
    running = state(kept)
    assert running is not None
    processes = descendants(set(running.pids.values()))
    os.kill(running.supervisor, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in processes), 10)
    assert state(kept) is None


async def test_data_and_ports_survive_the_kill_and_down_is_quick(kept):
    before = json.loads((kept / "state.json").read_text())["addresses"]
    running = up(kept)
    assert running.addresses == before
    connection = await asyncpg.connect(running.addresses["postgres"])
    assert await connection.fetchval("select answer from kept") == 42
    await connection.close()
    async with AIOKafkaConsumer("kept", bootstrap_servers=running.addresses["kafka"], auto_offset_reset="earliest") as consumer:
        assert (await consumer.getone()).value == b"a fact"
    processes = descendants({running.supervisor, *running.pids.values()})
    began = time.monotonic()
    assert supervisor.down(folder=kept) is True
    assert time.monotonic() - began < 5
    assert not command_of(running.supervisor)  # it ended before `down` said so, not soon after
    eventually(lambda: not any(alive(pid) for pid in processes), 1)
    assert (kept / "data/postgres").exists()
    assert supervisor.down(wipe=True, folder=kept) is False
    assert not {"data", "log", "secrets.json", "state.json"} & {file.name for file in kept.iterdir()}


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path):
    told: list[str] = []
    platform = Platform(tmp_path, zipkin=False, mailbox=False, services=["absent"])
    with pytest.raises(PartError, match=r"(?s)absent-1 ended with code 1 while starting.*services\.absent"):
        platform.start(told.append)
    assert platform.pids == {}
    assert supervisor.held(tmp_path) is False


def test_ports_are_remembered_chosen_and_refused_when_taken(tmp_path, monkeypatch):
    first = Ports(tmp_path / "ports.json")
    kafka, gateway = first["kafka"], first["gateway-1"]
    again = Ports(tmp_path / "ports.json")
    assert (again["kafka"], again["gateway-1"]) == (kafka, gateway)
    other = next(port for port in range(15000, 16000) if free(port) and port not in (kafka, gateway))
    monkeypatch.setenv("ITHACA_PORT_GATEWAY", str(other))
    assert Ports(tmp_path / "ports.json")["gateway-1"] == other
    monkeypatch.setenv("ITHACA_PORT_GATEWAY", "http")
    with pytest.raises(PartError, match="ITHACA_PORT_GATEWAY=http is not a port"):
        Ports(tmp_path / "ports.json")["gateway-1"]


POSTGRES = """
import sys, time
from pathlib import Path
from deploy.local import postgres
from deploy.local.ports import Ports
home = Path(sys.argv[1])
if "setpriv" in sys.argv:
    which, postgres.shutil.which = postgres.shutil.which, lambda name: None if name == "unshare" else name
one = postgres.Postgres(home / "data/postgres", home / "postgres.log", Ports(home / "ports.json")["postgres"], "secret")
one.prepare()
one.child.start()
one.wait()
print(one.child.pid, one.prefix[:1], flush=True)
time.sleep(60)
"""


def run_postgres(home: Path, *words: str, before: list[str]) -> None:
    """Run one from a parent that is then killed; it must not outlive it."""
    command = [*before, sys.executable, "-c", POSTGRES, str(home), *words]
    parent = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
    )
    assert parent.stdout is not None
    line = parent.stdout.readline()
    parent.send_signal(signal.SIGKILL)
    _, error = parent.communicate()
    assert line, error
    eventually(lambda: not alive(int(line.split()[0])), 10)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that its owner alone may enter."""
    folder = Path(tempfile.mkdtemp(prefix="ithaca-"))
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder)


@NEEDS_ROOT
@NEEDS_PROC
@pytest.mark.parametrize("way", ["unshare", "setpriv"])
def test_root_runs_postgres_in_a_closed_home_and_it_dies_with_its_parent(closed, way):
    if shutil.which(way) is None or (way == "unshare" and postgres.unprivileged()[0] != "unshare"):
        pytest.skip(f"{way} does not work here")
    home = closed / "deeper"
    home.mkdir(mode=0o700)
    run_postgres(home, way, before=[])


@NEEDS_ROOT
@NEEDS_PROC
@pytest.mark.parametrize("user", [65534, 12345], ids=["named", "nameless"])
def test_an_unprivileged_user_runs_postgres_in_a_closed_home(closed, user):
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is needed to become another user")
    os.chown(closed, user, user)
    # Reading is allowed everywhere, or the user could not reach the interpreter in root's home; writing is not.
    read = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search"]
    before = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *read]
    if subprocess.run([*before, sys.executable, "-c", "pass"], capture_output=True, check=False, cwd="/").returncode:
        pytest.skip("another user can't run this interpreter here")
    run_postgres(closed, before=before)
