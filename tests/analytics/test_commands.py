"""`./ithaca trace` and `./ithaca tail` against the running parts."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from deploy.cli.trace import shorten
from shared.cloudevents import new_id
from tests.analytics.conftest import Analytics
from tests.analytics.samples import DAY, SECRET, Crossing
from tests.producing import send

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def command(name: str, *words: object, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One command of the command line, as a process of its own."""
    code = f"import typer; from deploy.cli.{name} import register; app = typer.Typer(); register(app); app(prog_name='./ithaca {name}')"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *map(str, words),
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ITHACA_HOME": "/nonexistent", "COLUMNS": "200", "NO_COLOR": "1", **env},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(name: str, *words: object, **env: str) -> tuple[int, str, str]:
    async with command(name, *words, **env) as process:
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


def where(analytics: Analytics) -> tuple[str, ...]:
    return "--url", str(analytics.client.base_url), "--key", analytics.stage.operator_token


async def test_trace_tells_a_persons_story_in_order_and_in_words(analytics: Analytics, crossing: Crossing) -> None:
    pair = crossing.pair(0)
    ids = await analytics.send([*crossing.onboarding(), *crossing.people(), pair, *crossing.signatures(0)], at=DAY)
    await analytics.read([*ids, *await analytics.send(crossing.mail(0, ids[-3]))])
    code, out, err = await run("trace", "n01", "--organization", crossing.owner, *where(analytics))
    assert code == 0, err
    kinds = [
        word
        for line in out.splitlines()
        for word in line.split()
        if word in {"PersonEnrolled", "PairCreated", "AgreementSigned", "NotificationSent"}
    ]
    assert kinds == ["PersonEnrolled", "PairCreated", "AgreementSigned", "AgreementSigned", "NotificationSent"]
    assert "02 Mar 2026 09:00:00" in out
    assert "Signed the agreement (version 1): all have signed, it holds." in out
    assert f"person …{str(crossing.mentees[0])[-4:]}" in out
    assert SECRET not in out
    code, out, err = await run("trace", pair.relationship_id, "--json", *where(analytics))
    lines = json.loads(out)
    assert len(lines) == 4
    code, out, err = await run("trace", lines[0]["trace"], *where(analytics), ITHACA_ZIPKIN="http://zipkin.test")
    assert code == 0
    assert f"http://zipkin.test/zipkin/traces/{lines[0]['trace']}" in out
    assert out.count("PairCreated") == 1


async def test_trace_of_an_unknown_id_says_so(analytics: Analytics) -> None:
    for name in (new_id(), "nobody-99", "f" * 32, "a/b?c"):
        code, out, err = await run("trace", name, *where(analytics))
        assert (code, out) == (1, "")
        assert f"Nothing is known of {name}" in err
    code, _, err = await run("trace", "n01", "--url", "http://127.0.0.1:1", "--key", "x")
    assert code == 1
    assert "doesn't answer" in err
    code, _, err = await run("trace", "n01")
    assert code == 1
    assert "No platform runs here" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("ids", "short"),
    [
        (["0000aaaa", "1111aaaa"], ["…0aaaa", "…1aaaa"]),
        (["1234abcd"], ["…abcd"]),
        ([], []),
        (["12345678", "12345678"], ["…5678", "…5678"]),
    ],
)
def test_ids_are_shortened_but_not_to_the_same(ids: list[str], short: list[str]) -> None:
    assert [shorten(ids)[one] for one in ids] == short


async def test_tail_shows_what_was_asked_for_and_no_personal_data(stage, crossing: Crossing) -> None:
    await send(
        stage.kafka,
        [*crossing.onboarding(), *crossing.people(), crossing.pair(0)],
        organization=crossing.owner,
        program=crossing.program,
    )
    about = ("--organization", crossing.owner, "--from-start")
    code, out, err = await run("tail", *about, "--topic", "people", "--count", 12, ITHACA_KAFKA=stage.kafka)
    assert code == 0, err
    assert len(out.splitlines()) == 12
    assert "PersonEnrolled" in out
    assert crossing.program in out
    for hidden in (SECRET, "n01", "@"):
        assert hidden not in out
    code, out, _ = await run("tail", *about, "--topic", "people", "--count", 12, "--show-people", ITHACA_KAFKA=stage.kafka)
    assert SECRET in out
    code, out, _ = await run("tail", *about, "--type", "PairCreated", "--json", "--count", 1, ITHACA_KAFKA=stage.kafka)
    seen = json.loads(out)
    assert seen["type"] == "ithaca.PairCreated"
    assert seen["key"] == str(crossing.pairs[0])
    assert seen["data"]["score"] == 820_000
    code, out, _ = await run("tail", "--key", crossing.mentees[3], "--from-start", "--count", 1, ITHACA_KAFKA=stage.kafka)
    assert str(crossing.mentees[3]) in out


async def test_tail_follows_what_comes_shows_what_it_cannot_read_and_ends_by_ctrl_c(stage, crossing: Crossing) -> None:
    async with command("tail", "--topic", "matching", "--topic", "people", ITHACA_KAFKA=stage.kafka) as process:
        assert process.stdout
        assert process.stderr
        assert b"Ctrl-C" in await asyncio.wait_for(process.stderr.readline(), 30)
        producer = AIOKafkaProducer(bootstrap_servers=stage.kafka)
        await producer.start()
        try:
            await producer.send_and_wait("people", f"\x00{SECRET}".encode(), key=b"\xff")
            headers = [("ce_type", b"ithaca.Unheard"), ("ce_id", str(new_id()).encode()), ("ce_x", b"\xff\xfe")]
            await producer.send_and_wait("matching", b"{}", key=crossing.owner.encode(), headers=headers)
        finally:
            await producer.stop()
        await send(stage.kafka, crossing.pair(0), organization=crossing.owner, program=crossing.program)
        lines = ""
        while "PairCreated" not in lines:
            lines += (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert "can't be read: unreadable: no header 'ce_type'" in lines
        assert "ithaca.Unheard" in lines
        assert "unknown type" in lines
        assert SECRET not in lines
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        assert b"Traceback" not in err


async def test_tail_names_what_it_does_not_know() -> None:
    code, _, err = await run("tail", "--type", "PairCreate", ITHACA_KAFKA="127.0.0.1:1")
    assert code == 2
    assert "PairCreated" in err
    code, _, err = await run("tail", "--topic", "matchings", ITHACA_KAFKA="127.0.0.1:1")
    assert code == 2
    assert "matching" in err
    code, _, err = await run("tail", ITHACA_KAFKA="127.0.0.1:1")
    assert code == 1
    assert "Kafka can't be read at 127.0.0.1:1" in err
    assert "Traceback" not in err
