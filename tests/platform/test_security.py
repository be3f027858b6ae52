"""A cluster that asks who one is: SCRAM over TLS, one principal per service, and rules for exactly the table of writers and readers."""

import asyncio
import contextlib
import json
import secrets
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError
from typer.testing import CliRunner

from deploy import acls
from deploy.cli import main
from deploy.local.kafka import ADMIN, Security
from deploy.local.platform import Platform
from shared.database import Database
from shared.events import SERVICES, TOPICS, WATERMARKS
from shared.kafka import KafkaSettings
from tests.core.rig import until

EVERY = {topic.name: topic for topic in (*TOPICS.values(), WATERMARKS)}


def test_the_rules_are_the_table_and_nothing_else():
    found = acls.rules()
    on_topics = {(rule.principal, rule.operation, rule.name) for rule in found if rule.resource == "TOPIC"}
    assert on_topics == {(name, "WRITE", t.name) for t in EVERY.values() for name in t.writers} | {
        (name, "READ", t.name) for t in EVERY.values() for name in t.readers
    }
    groups = {(rule.principal, rule.name, rule.prefixed) for rule in found if rule.resource == "GROUP"}
    assert groups == {(name, name, False) for name in SERVICES} | {("analytics", "analytics-rebuild-", True)}
    assert [r.principal for r in found if r.name == "people" and r.operation == "WRITE"] == ["gateway"]
    assert [r.principal for r in found if r.name == "scheduling" and r.operation == "WRITE"] == ["scheduling"]


def test_rules_that_nobody_asked_for_are_found():
    stray = acls.Rule("matching", "WRITE", "TOPIC", "scheduling")
    other = acls.Rule("billing", "READ", "TOPIC", "invoices")
    assert acls.superfluous([*acls.rules(), stray, other], acls.rules()) == [stray]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kafka_user": "matching"}, "go together"),
        ({"kafka_certificate": "a.pem"}, "go together"),
        ({"kafka_user": "m", "kafka_password": "hidden", "kafka_mechanism": "PLAIN"}, "as it is"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(given, said):
    with pytest.raises(ValidationError, match=said) as refused:
        KafkaSettings(**given)
    assert "hidden" not in str(refused.value)


def test_a_ca_that_is_no_file_is_named_and_no_traceback():
    with pytest.raises(ValueError, match="ITHACA_KAFKA_CA"):
        KafkaSettings(kafka_ca="/nowhere/ca.pem").kafka_client()


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> Security:
    """Certificates and passwords, as they would be handed to us."""
    folder, ca = tmp_path_factory.mktemp("papers"), trustme.CA()
    issued = ca.issue_cert("127.0.0.1", "localhost")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    (folder / "keystore.pem").write_bytes(key + chain)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other-ca.pem"))
    users = {name: secrets.token_urlsafe(24) for name in (ADMIN, *SERVICES)}
    return Security(folder / "keystore.pem", folder / "ca.pem", users)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, papers) -> Iterator[Platform]:
    """All five services on a cluster that lets each do what it must and no more."""
    with Platform(tmp_path_factory.mktemp("guarded"), zipkin=False, services=SERVICES, security=papers) as platform:
        yield platform


async def test_the_whole_platform_works_with_these_rules(guarded):
    """An organization's onboarding goes through the gateway's outbox to `onboarding`; every reader of it handles it."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as web:
        answer = await web.post(
            f"{guarded.addresses['gateway']}/v1/organizations",
            json={"id": "northwind", "name": "Northwind"},
            headers={"Authorization": f"Bearer {guarded.secrets.operator_token}"},
        )
        assert answer.status_code < 300, answer.text

        async def well() -> bool:
            ready = [(await web.get(f"{guarded.addresses[name]}/health/ready")).json() for name in SERVICES]
            return all(one["well"] and one["partitions"] for one in ready)

        assert await until(well, 30)
    connection = await asyncpg.connect(guarded.addresses["postgres"])
    for reader in TOPICS["onboarding"].readers:
        read = f"select sum(next_offset) > 0 from {reader}.positions where topic = 'onboarding'"
        assert await until(lambda read=read: connection.fetchval(read), 30), reader
    await connection.close()


async def reads(guarded: Platform, service: str, topic: str) -> bool:
    """Does this principal get an answer from there?"""
    consumer = AIOKafkaConsumer(topic, **guarded.kafka_settings(service).kafka_client(), fetch_max_wait_ms=20)
    try:
        await consumer.start()
        place = TopicPartition(topic, 0)

        async def answered() -> bool:
            await consumer.getmany(place, timeout_ms=20)
            return consumer.highwater(place) is not None

        return bool(await until(answered, 10))
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()


async def writes(guarded: Platform, service: str, topic: str) -> bool:
    """May this principal write there? The record says nothing; readers set it apart."""
    async with AIOKafkaProducer(**guarded.kafka_settings(service).kafka_client(), enable_idempotence=True) as producer:
        try:
            await producer.send_and_wait(topic, b"{}", key=b"none")
        except TopicAuthorizationFailedError:
            return False
        return True


async def test_each_service_reads_exactly_its_topics(guarded):
    async def of(service: str) -> set[str]:
        return {name for name in EVERY if await reads(guarded, service, name)}

    found = dict(zip(SERVICES, await asyncio.gather(*map(of, SERVICES)), strict=True))
    assert found == {name: {topic.name for topic in EVERY.values() if name in topic.readers} for name in SERVICES}


async def test_each_service_writes_exactly_its_topics(guarded):
    assert not await writes(guarded, "matching", "scheduling")
    assert not any([await writes(guarded, name, "people") for name in SERVICES if name != "gateway"])

    async def of(service: str) -> set[str]:
        return {name for name in EVERY if await writes(guarded, service, name)}

    found = dict(zip(SERVICES, await asyncio.gather(*map(of, SERVICES)), strict=True))
    assert found == {name: {topic.name for topic in EVERY.values() if name in topic.writers} for name in SERVICES}


async def test_a_group_is_its_services_own(guarded):
    client = guarded.kafka_settings("matching").kafka_client()
    with pytest.raises(KafkaError, match="GroupAuthorizationFailed"):
        async with AIOKafkaConsumer("people", **client, group_id="gateway") as consumer:
            await asyncio.wait_for(consumer.getone(), 10)


@pytest.mark.parametrize(
    "wrong", [{"kafka_password": "guessed"}, {"kafka_ca": "other-ca.pem"}, {"kafka_ca": "", "kafka_tls": True}]
)
async def test_a_wrong_password_or_authority_gets_nowhere(guarded, papers, wrong):
    given = guarded.kafka_access("matching") | wrong
    if given["kafka_ca"] == "other-ca.pem":
        given["kafka_ca"] = str(papers.ca.with_name("other-ca.pem"))
    consumer = AIOKafkaConsumer(**KafkaSettings(**given).kafka_client())
    try:
        with pytest.raises(KafkaError):
            await asyncio.wait_for(consumer.start(), 20)
    finally:
        await consumer.stop()


@pytest.fixture
def as_admin(guarded, monkeypatch) -> CliRunner:
    """The commands, pointed at the cluster by the environment."""
    for key, value in guarded.kafka_access(ADMIN).items():
        monkeypatch.setenv(f"ITHACA_{key.upper()}", value)
    monkeypatch.setenv("ITHACA_DATABASE", guarded.addresses["postgres"])
    monkeypatch.setenv("ITHACA_URLS", json.dumps({name: guarded.addresses[name] for name in SERVICES}))
    if not main.app.registered_commands:
        main.register()
    return CliRunner()


def test_commands_make_a_cluster_ready_and_say_what_is_too_much(guarded, as_admin, tmp_path):
    done = as_admin.invoke(main.app, ["cluster", "topics"])
    assert (done.exit_code, done.output) == (0, "All topics are there.\n")
    done = as_admin.invoke(main.app, ["cluster", "acls"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        0,
        f"{len(acls.rules())} rules: 0 missing, 0 more about our services and topics.",
    )
    acls.apply(guarded.kafka_settings(ADMIN), [acls.Rule("billing", "READ", "TOPIC", "people")])
    done = as_admin.invoke(main.app, ["cluster", "acls"])
    assert done.exit_code == 1
    assert "? billing        READ   topic  people" in done.output
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps({name: guarded.secrets.database(name) for name in SERVICES}))
    for command in ("users", "roles"):
        done = as_admin.invoke(main.app, ["cluster", command, str(passwords)])
        assert done.exit_code == 0, done.output
    changed = guarded.kafka_access("matching") | {"kafka_password": guarded.secrets.database("matching")}
    assert acls._admin(KafkaSettings(**changed)).list_topics(timeout=10).topics.keys() == {
        t.name for t in EVERY.values() if "matching" in (*t.readers, *t.writers)
    }


def test_status_and_tail_read_it_too(as_admin):
    done = as_admin.invoke(main.app, ["status", "--json"])
    kafka = next(row for row in json.loads(done.output)["rows"] if row["name"] == "kafka")
    assert (kafka["alive"], kafka["ready"]) == (True, True), done.output
    done = as_admin.invoke(main.app, ["tail", "--topic", "onboarding", "--from-start", "--count", "1", "--json"])
    assert done.exit_code == 0, done.output


@asynccontextmanager
async def tls_before(dsn: str, papers: Security) -> AsyncIterator[int]:
    """The port of a server that speaks PostgreSQL's TLS and nothing else, and hands on to the embedded one, whose build has none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(papers.keystore)
    host, port = dsn.rpartition("@")[2].partition("/")[0].split(":")

    async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            assert await reader.readexactly(8) == struct.pack("!II", 8, 80_877_103), "it asks for TLS first"
            writer.write(b"S")
            await writer.start_tls(context)
            there, to = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pour(reader, to), pour(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_postgres_is_reached_over_tls_that_the_dsn_asks_for(guarded, papers):
    dsn = f"postgresql://matching:{guarded.secrets.database('matching')}@127.0.0.1"
    async with tls_before(guarded.addresses["postgres"], papers) as port:
        by_tls = f"{dsn}:{port}/ithaca?sslmode=verify-full&sslrootcert="
        database = Database(f"{by_tls}{papers.ca}", "matching")
        await database.start()
        async with database.transaction() as connection:
            assert await connection.fetchval("select current_user") == "matching"
        await database.stop()
        with pytest.raises(ssl.SSLCertVerificationError):
            await Database(f"{by_tls}{papers.ca.with_name('other-ca.pem')}", "matching").connect()
    plain = guarded.addresses["postgres"].rpartition(":")[2]
    with pytest.raises(ConnectionError):  # the embedded server refuses TLS, and we refuse to go on without
        await Database(f"{dsn}:{plain}?sslmode=verify-full&sslrootcert={papers.ca}", "matching").connect()
