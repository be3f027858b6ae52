"""`./ithaca demo`, as a newcomer runs it, and what it leaves behind: records that others can read, nobody named where nobody may be."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator, FormatChecker

from deploy.demo import sample
from deploy.local.processes import LINUX
from deploy.local.state import CHECKOUT, State, state
from shared.events import SERVICES, TOPICS
from tests.story import STORY

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

WRITTEN = ("Run my first project on my own", "Ask whether I may lead the retrospective")
"""What the story's people write."""
AN_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}")


NOT_OURS = shutil.ignore_patterns(".git", ".ithaca", "__pycache__", ".*_cache")


@dataclass
class Lived:
    """A copy of this checkout that nobody else writes to, in which the demo has played and left all running."""

    checkout: Path
    home: Path
    before: dict[str, tuple[int, int]]
    said: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    def ithaca(self, *words: str) -> str:
        """What a command says; it must do well and complain of nothing."""
        done = self.run(*words)
        said = done.stdout[-3000:] + done.stderr[-3000:]
        assert done.returncode == 0, said + "".join(self.run(*ask).stdout for ask in (("status",), ("held", "list"), ("logs",)))
        assert not done.stderr, done.stderr
        return done.stdout

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.checkout / "ithaca"), *words],
            cwd=self.home.parent,
            env={**os.environ, "ITHACA_HOME": str(self.home), "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    @property
    def demo(self) -> Path:
        return self.home / "demo"

    @property
    def state(self) -> State:
        found = state(self.demo)
        assert found is not None
        return found


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and when it was written (ns)."""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def processes_with(home: Path) -> list[str]:
    """Processes that know of this home, by their environment, command or working directory."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            told = (
                (process / "environ").read_bytes()
                + (process / "cmdline").read_bytes()
                + os.fsencode((process / "cwd").readlink())
            )
        except OSError:
            continue  # it has just ended, or is someone else's
        if os.fsencode(home) in told:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """The story, played once; all but the last test only look."""
    folder = tmp_path_factory.mktemp("lived")
    checkout, home = folder / "checkout", folder / "home"
    home.mkdir()
    shutil.copytree(CHECKOUT, checkout, ignore=NOT_OURS, symlinks=True)
    (checkout / ".ithaca").symlink_to(CHECKOUT / ".ithaca")
    made = Lived(checkout, home, listing(checkout))
    try:
        made.said, _, last = made.ithaca("demo", "--keep", "--json").rstrip().rpartition("\n")
        made.result = json.loads(last)
        yield made
    finally:
        if state(made.demo) is not None:
            made.ithaca("down")


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads((CHECKOUT / "docs/schemas" / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    formats = FormatChecker(["uuid"])
    formats.checks("date-time", raises=ValueError)(
        lambda said: not isinstance(said, str) or bool(datetime.fromisoformat(said).tzinfo)
    )
    return Draft202012Validator(schema, format_checker=formats)


@cache
def telling() -> re.Pattern[str]:
    """Whatever says who someone is: the sample's names, whole and in parts, their addresses, and what they wrote."""
    people = [data for _, data in sample.people()] + [sample.late_joiner()]
    words = {part for data in people for part in (data["name"], *data["name"].split(), data["email"])}
    return re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(words | {*WRITTEN}, key=len, reverse=True)))


def found_in(text: str) -> list[str]:
    return telling().findall(text) + AN_ADDRESS.findall(text)


@pytest.fixture(scope="module")
async def records(lived: Lived) -> list[ConsumerRecord]:
    """Every record of every topic."""
    places = [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=lived.state.addresses["kafka"], enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        read: list[ConsumerRecord] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            read += [record for several in (await consumer.getmany(timeout_ms=500)).values() for record in several]
    finally:
        await consumer.stop()
    written = {record.topic for record in read}
    assert written == TOPICS.keys() - {"rejections"}, written
    assert len(read) > 500
    return read


def parts(record: ConsumerRecord) -> Iterator[tuple[str, str]]:
    """Everything in a record that is text."""
    yield "key", (record.key or b"").decode()
    yield "value", (record.value or b"").decode()
    for name, value in record.headers:
        yield name, (value or b"").decode()


def test_the_demo_plays_its_story(lived):
    assert {name: lived.result[name] for name in STORY} == STORY
    assert lived.result["trace_services"] == list(SERVICES)
    # One way is gone to its end; where it plays over new year, the year of each pair's mentor is over as well.
    assert 1 <= lived.result["recognised"] <= 1 + STORY["pairs"]
    assert lived.result["mails"] > 150
    assert lived.result["webhooks"] > 100
    assert len(lived.result["trace_id"]) == 32
    for words in ("26 in, 1 refused", "did you mean Europe/London?", "lost 0, twice 0", "every count equals what was sent"):
        assert words in lived.said, lived.said


def test_every_record_is_a_cloudevent_that_fits_its_schema(records):
    faults = []
    for record in records:
        event = from_kafka(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value), JSONFormat())
        assert event.get_specversion() == "1.0"
        assert event.get_datacontenttype() == "application/json"
        assert isinstance(event.get_time(), datetime)
        assert event.get_source().rpartition("/")[2] in SERVICES
        assert event.get_extension("partitionkey") == record.key.decode()
        fits = validator(event.get_type().removeprefix("ithaca."))
        faults += [f"{event.get_type()} {fault.json_path}: {fault.validator}" for fault in fits.iter_errors(event.get_data())]
    assert not faults, faults[:10]


def test_nobody_is_named_on_any_topic_but_people(records):
    told = [
        f"{record.topic}/{record.partition}@{record.offset} {where}: {words[:3]}"
        for record in records
        if record.topic != "people"
        for where, text in parts(record)
        if (words := found_in(text))
    ]
    assert not told, told[:10]


def test_people_are_named_on_people_in_the_value_alone(records):
    """Which shows too that the search finds what there is."""
    on_people = [record for record in records if record.topic == "people"]
    named = {word for record in on_people for where, text in parts(record) if where == "value" for word in found_in(text)}
    everybody = [data for _, data in sample.people() if data["time_zone"] != "Europe/Lodnon"] + [sample.late_joiner()]
    assert {data["name"] for data in everybody} <= named
    assert {data["email"] for data in everybody} <= named
    assert not [text for record in on_people for where, text in parts(record) if where != "value" and found_in(text)]


def test_nobody_is_named_in_any_log(lived):
    told, lines = [], 0
    for log in sorted((lived.demo / "log").glob("*.log")):
        for number, line in enumerate(log.read_text(errors="replace").splitlines(), 1):
            lines += 1
            if words := found_in(line):
                told.append(f"{log.name}:{number}: {words[:3]}")
    assert lines > 50
    assert not told, told[:10]


async def test_one_trace_leads_through_all_five_services(lived, http):
    zipkin = lived.state.addresses["zipkin"]
    spans: list[dict[str, Any]] = (await http.get(f"{zipkin}/api/v2/trace/{lived.result['trace_id']}")).json()
    assert {span["localEndpoint"]["serviceName"] for span in spans} == set(SERVICES)
    assert lived.result["trace_services"] == list(SERVICES)
    known = {span["id"] for span in spans}
    roots = [span for span in spans if span.get("parentId") not in known]
    assert [span["name"] for span in roots] == ["post /v1/events"]


async def test_nobody_is_named_in_any_span(lived, http):
    zipkin = lived.state.addresses["zipkin"]
    told, seen = [], 0
    for service in SERVICES:
        asked = {"serviceName": service, "limit": 10_000, "lookback": 86_400_000}
        for trace in (await http.get(f"{zipkin}/api/v2/traces", params=asked)).json():
            for span in trace:
                seen += 1
                if words := found_in(json.dumps(span, ensure_ascii=False)):
                    told.append(f"{span['localEndpoint']['serviceName']} {span['name']}: {words[:3]}")
    assert seen > 500
    assert not told, told[:10]


def test_ended_it_leaves_nothing_behind(lived):
    lived.ithaca("down")
    if LINUX:
        assert not processes_with(lived.home)
    assert listing(lived.checkout) == lived.before
    assert {path.name for path in lived.home.iterdir()} == {"demo"}
