"""What a participant writes stays with the service that shows the page: no topic, no outbox, no mail and no log ever holds a word of it.

A program is played through the real parts until its relationships are over. Somebody opens every page that a mail leads to, and whatever
these lead to, and writes a word of their own into every field that takes words. A page that is made later is found in the same way, and
may not hide: each action of a mail's link must have been seen, and each field must have kept its word at least once.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.chaos import load as chaos
from benchmarks.chaos.outside import go_to
from benchmarks.fuzz.ground import PAIRS, World, furnished
from deploy.demo.outside import Mails, click
from deploy.local.platform import Platform
from services.notifications.letters import LINK_DAYS
from shared import links
from shared.events import CATALOGUE, SERVICES
from tests.end_to_end.writing import WORDS, Writer, Written

pytestmark = [pytest.mark.platform, pytest.mark.timeout(300)]

LATER = frozenset({"end", "silent"})
"""What ends a relationship is written last."""
NAMES = frozenset({"name", "email", "skills"})
"""Fields of a profile: who somebody is, how to reach them, and tags of what they can help with. These, and nothing else, are on the topic
`people`, and known to the services that read it.
"""
NOT_KEPT: dict[str, str] = {}
"""SERVICE /ACTION: FIELD → why a word that was written there is kept nowhere."""
NOT_SEEN = {"group": "those who play here are pairs; the page has no field to write into"}
"""Actions of links whose page isn't opened here, and why."""
FAR = 4_000_000_000
"""When a link expires, in seconds since the epoch."""
DAYS = (8, 25, 40, 40, 40, 45)
"""How the time goes on after the first meeting, beyond the six months that were agreed."""


@dataclass
class Played:
    """What was written, and where all that is to be searched is found."""

    platform: Platform
    writer: Writer
    records: list[tuple[str, str]] = field(default_factory=list)
    """(topic, key, headers and value) of every record."""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    """(service, table, row) of every row that holds a word."""
    logs: list[tuple[str, str]] = field(default_factory=list)
    mails: list[tuple[str, str]] = field(default_factory=list)
    worth: dict[str, Any] = field(default_factory=dict)
    """What its owner is told that the program is worth."""

    @property
    def names(self) -> set[str]:
        return {one.word.lower() for one in self.writer.written if one.field in NAMES}

    def said(self, text: str) -> set[str]:
        """The words that stand in a text, in small letters."""
        return set(re.findall(rf"{WORDS}\d+x\d+".lower(), text.lower()))


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Played]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chaos, "LETTERBOXES", 2)
        with Platform(tmp_path_factory.mktemp("words"), zipkin=False, services=SERVICES) as platform:
            async with httpx.AsyncClient(timeout=30) as http:
                services = {name: platform.addresses[name] for name in SERVICES}
                here = Played(platform, Writer(http, services, LATER))
                await play(here, await furnished(platform), Mails(http, platform.addresses["mailbox"]))
                await search(here)
                yield here


# ---- the play -----------------------------------------------------------------------------------------------------------


async def play(here: Played, world: World, mails: Mails) -> None:
    """Everything is written at every stage: before the first meeting, after it, as the months go by, and at the end."""
    writer = here.writer
    await pass_days(here, 0)
    await writer.walk(await minted(here, world))
    await look(here)
    await meet(here, world)
    await everything(here, mails)
    for days in DAYS:
        await sign_of_life(here, world)
        await pass_days(here, days)
        await everything(here, mails)
    writer.later = frozenset()
    writer.taken.clear()
    writer.tries.clear()
    await writer.walk(await minted(here, world))
    await everything(here, mails)
    await settled(here.platform)
    await mails.read()
    (program, *_), key = [name for name in world.known["program"] if "." in name], world.keys["owner"]
    url = f"{writer.addresses['analytics']}/v1/programs/{program}/worth"
    here.worth = (await writer.http.get(url, headers={"Authorization": f"Bearer {key}"})).json()


async def everything(here: Played, mails: Mails) -> None:
    """All that stands in mails by now, the newest first."""
    await settled(here.platform)
    await mails.read()
    found = {link: None for several in mails.links.values() for link in reversed(several)}
    await here.writer.walk(found)
    await look(here)


async def minted(here: Played, world: World) -> list[str]:
    """A link of each action for whatever exists, as mails have them."""
    found = []
    for action, those in ((action, those) for action, those in world.links.items() if action not in NOT_SEEN):
        made = [links.Link(action, UUID(thing), UUID(person), 1, FAR) for thing, person in those[:4]]
        base = await served_by(here, made)
        found += [link.url(base, here.platform.secrets.link_secret) for link in made if base]
    return found


async def served_by(here: Played, made: Sequence[links.Link]) -> str:
    """The address of the service whose page it is; nothing where it is of something that isn't there yet, to which a mail leads later."""
    for base in here.writer.addresses.values():
        for link in made:
            answer = await here.writer.http.get(link.url(base, here.platform.secrets.link_secret))
            if answer.status_code != 404:
                return base
    return ""


async def meet(here: Played, world: World) -> None:
    """Each pair takes a time, and once it is over says that they met; or that they did after all, where it was counted as missed."""
    http, base, secret = here.writer.http, here.platform.addresses["scheduling"], here.platform.secrets.link_secret
    meetings = dict(world.links["pick"])

    def link(action: str, meeting: str, person: str, version: int = 0) -> str:
        return links.Link(action, UUID(meeting), UUID(person), version, FAR).url(base, secret)

    for meeting, person in meetings.items():
        await click(http, link("pick", meeting, person), slot="first")
    await pass_days(here, 15)
    for meeting, person in meetings.items():
        for version in (0, 1):
            await http.post(link("met", meeting, person, version), data={"met": "yes", "minutes": "30"})


async def sign_of_life(here: Played, world: World) -> None:
    """They were in touch, so that it goes on."""
    base, secret = here.platform.addresses["scheduling"], here.platform.secrets.link_secret
    for thing, person in world.links["touch"]:
        url = links.Link("touch", UUID(thing), UUID(person), 1, FAR).url(base, secret)
        await here.writer.http.post(url, data={})


async def pass_days(here: Played, days: int) -> None:
    postgres = here.platform.addresses["postgres"]
    then = await go_to(postgres, None) + timedelta(days=days)
    await go_to(postgres, then)
    here.writer.day = f"{then + timedelta(days=10):%Y-%m-%d}"


QUIET = """
select (select count(*) from {0}.outbox) + (select count(*) from {0}.timers where fire_at <= $1)
"""


async def settled(platform: Platform) -> None:
    """Nothing is due and nothing waits to be sent, for a while."""
    connection = await asyncpg.connect(platform.addresses["postgres"])
    try:
        still = 0
        for _ in range(300):
            now = await go_to(platform.addresses["postgres"], None)
            left = sum([await connection.fetchval(QUIET.format(name), now) for name in SERVICES])
            still = 0 if left else still + 1
            if still == 4:
                return
            await asyncio.sleep(0.15)
    finally:
        await connection.close()


# ---- the search ---------------------------------------------------------------------------------------------------------


async def search(here: Played) -> None:
    here.records = await records(here.platform.addresses["kafka"])
    await look(here)
    here.logs = logs(here.platform.home)
    mailbox, http = here.platform.addresses["mailbox"], here.writer.http
    for one in (await http.get(f"{mailbox}/api/messages")).json():
        mail = (await http.get(f"{mailbox}/api/messages/{one['id']}")).text
        if WORDS.lower() in mail.lower():
            here.mails.append((one["subject"], mail))


async def look(here: Played) -> None:
    """What the tables hold just now, beside what they held before: some of it is kept for days only."""
    here.rows += [row for row in await rows(here.platform.addresses["postgres"]) if row not in here.rows]


async def records(kafka: str) -> list[tuple[str, str]]:
    """Every record of every topic from its beginning, as it stands there: (topic, all of it as text)."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        topics = await admin.describe_topics()
    finally:
        await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    found: list[tuple[str, str]] = []
    try:
        places = [TopicPartition(topic["topic"], part["partition"]) for topic in topics for part in topic["partitions"]]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, several in (await consumer.getmany(timeout_ms=500)).items():
                found += [(place.topic, f"{one.key!r} {one.headers!r} {one.value!r}") for one in several]
    finally:
        await consumer.stop()
    return found


TABLES = """
select table_schema, table_name from information_schema.tables where table_schema = any($1) and table_type = 'BASE TABLE'
"""


async def rows(postgres: str) -> list[tuple[str, str, str]]:
    """Every row of every service's tables that holds a word."""
    connection = await asyncpg.connect(postgres)
    try:
        found = []
        for schema, table in await connection.fetch(TABLES, list(SERVICES)):
            asked = f'select t::text as row from "{schema}"."{table}" t where t::text ilike $1'
            found += [(schema, table, one["row"]) for one in await connection.fetch(asked, f"%{WORDS}%")]
        return found
    finally:
        await connection.close()


def logs(home: Path) -> list[tuple[str, str]]:
    lines = (
        (path.name, line)
        for path in sorted((home / "log").glob("*.log"))
        for line in path.read_text(errors="replace").splitlines()
    )
    return [(name, line) for name, line in lines if WORDS.lower() in line.lower()]


def told(here: Played, found: Iterable[tuple[Any, ...]], *, names: bool = False) -> list[str]:
    """What of it holds words that may not stand there; `names` and addresses may."""
    may = here.names if names else set()
    return [
        str(one)[:400] for one in found if here.said(str(one[-1])) - may or (not names and WORDS.lower() in str(one[-1]).lower())
    ]


# ---- what is found ------------------------------------------------------------------------------------------------------


def test_every_action_of_a_links_page_was_opened(played: Played):
    assert set(LINK_DAYS) - played.writer.visited.keys() == NOT_SEEN.keys()


def test_every_field_that_takes_words_kept_one(played: Played):
    """Else the search would find nothing since nothing was written."""
    kept = {word for _, _, row in played.rows for word in played.said(row)}
    places: dict[str, list[Written]] = {}
    for one in (one for one in played.writer.written if one.place not in played.writer.numbers):
        places.setdefault(one.place, []).append(one)
    empty = {
        place: [one.status for one in several]
        for place, several in places.items()
        if not kept & {w.word.lower() for w in several}
    }
    print(f"{len(played.writer.written)} words, {len(kept)} kept, in {len(places)} fields: {', '.join(sorted(places))}")
    assert empty.keys() == NOT_KEPT.keys(), "\n".join(f"{place}: {statuses}" for place, statuses in empty.items())


def test_no_topic_holds_a_word_but_people_names_and_addresses(played: Played):
    assert len(played.records) > 100
    assert told(played, [one for one in played.records if one[0] != "people"]) == []
    assert told(played, [one for one in played.records if one[0] == "people"], names=True) == []


def test_what_was_done_is_counted_though_no_word_of_it_is_known(played: Played):
    worth = played.worth
    assert worth["goals"]["count"] >= 1
    assert worth["milestones"]["count"] >= PAIRS
    assert worth["minutes"] == PAIRS * 30


FOR_NOBODY = [
    kind.TYPE
    for kind in CATALOGUE.values()
    if re.search(r"no partner('s audience| is in its audience)", " ".join((kind.__doc__ or "").split()))
]


def test_what_is_for_no_partner_names_none(played: Played):
    """What people answer goes to no organization, by webhook or story."""
    assert len(FOR_NOBODY) > 5
    for kind in FOR_NOBODY:
        found = [text for _, text in played.records if f"b'{kind}'" in text]
        assert [text[:400] for text in found if '"audience":[]' not in text.replace(" ", "")] == []


def test_a_word_stands_in_the_tables_of_the_service_whose_page_it_is_and_in_no_outbox(played: Played):
    owner = {one.word.lower(): one.service for one in played.writer.written}
    wrong = [
        (schema, table, row[:300])
        for schema, table, row in played.rows
        for word in played.said(row)
        if table in {"outbox", "deliveries", "webhooks", "story"} or (owner[word] != schema and word not in played.names)
    ]
    assert wrong == []
    assert {schema for schema, _, row in played.rows if played.said(row) & played.names} <= {
        "gateway",
        "matching",
        "notifications",
        "scheduling",
    }


def test_no_log_holds_a_word_and_no_mail_but_names(played: Played):
    assert told(played, played.logs) == []
    assert told(played, played.mails, names=True) == []


async def test_a_word_on_a_topic_in_an_outbox_or_in_a_log_is_found(played: Played, tmp_path: Path):
    """So the search does see."""
    word = next(one.word for one in played.writer.written if one.field not in NAMES)
    kafka = played.platform.addresses["kafka"]
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for n, (value, header) in enumerate([(json.dumps({"text": word}), b""), ("{}", word.encode()), ("{}", b"")]):
            key = word.encode() if n == 2 else b"planted"
            await producer.send_and_wait("analytics", value.encode(), key=key, headers=[("ce_subject", header)])
    finally:
        await producer.stop()
    assert len(told(played, [one for one in await records(kafka) if one[0] != "people"])) == 3
    (tmp_path / "log").mkdir()
    (tmp_path / "log/planted.log").write_text(f"so somebody wrote {word}\n")
    assert len(told(played, logs(tmp_path))) == 1
    planted = ("scheduling", "outbox", word)
    played.rows.append(planted)
    with pytest.raises(AssertionError):
        test_a_word_stands_in_the_tables_of_the_service_whose_page_it_is_and_in_no_outbox(played)
    played.rows.remove(planted)
