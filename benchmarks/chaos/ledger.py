"""The ledger kept outside: what was acknowledged, and whether topics, databases and mailbox agree with it."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared import clock
from shared.events import SERVICES, TOPICS

SHOWN = 12
"""Disagreements of one kind that are named; more are only counted."""


@dataclass(frozen=True)
class Pair:
    """A relationship as its match run's answer names it."""

    id: str
    people: tuple[str, str]
    """Mentor and mentee, by our ids."""
    own_ids: tuple[str, str]


@dataclass
class Ledger:
    """What the platform has acknowledged to those outside, of one program or of several together."""

    program: str = "harbour"
    """By its owner's own name."""
    closed: bool = False
    people: dict[str, int] = field(default_factory=dict)
    """Per person: how often their record was written, the enrolment included."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Per person who has one."""
    pairs: dict[str, Pair] = field(default_factory=dict)
    reports: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Per relationship: the ids that the reports were given, in the order in which they were answered."""
    own_ids: dict[str, str] = field(default_factory=dict)
    """Per report: the partner's own id of it."""
    reported_at: dict[str, float] = field(default_factory=dict)
    """Per report: when it was acknowledged (`time.time()`)."""
    clicked: set[str] = field(default_factory=set)
    """Relationships of which someone clicked "we met"."""
    silent: set[str] = field(default_factory=set)
    """Relationships of which nobody said anything about one meeting."""

    def held(self, pair: str) -> int:
        return len(self.reports[pair]) + (pair in self.clicked)

    def milestones(self, pair: str) -> list[str]:
        """Those that a pair's meetings bring, in order."""
        return [name for name, least in (("first_meeting", 1), ("fifth_meeting", 5)) if self.held(pair) >= least]

    def __or__(self, other: "Ledger") -> "Ledger":
        """Both programs' facts in one."""
        mine, theirs = vars(self), vars(other)
        both = {name: mine[name] | theirs[name] for name in mine if name not in {"program", "closed"}}
        return Ledger(f"{self.program}, {other.program}", self.closed and other.closed, **both)


@dataclass(frozen=True)
class Fact:
    """A record of a topic."""

    topic: str
    partition: int
    offset: int
    key: str
    id: str
    type: str
    causation: str
    program: str
    value: bytes
    written: float
    """When it was first sent to Kafka (seconds since the epoch)."""

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(self.value)
        return data


POISON = "chaos"
"""The header of records that nobody can read. Its value says whether every reader parks them, or only those who want the type."""


@dataclass(frozen=True)
class Poison:
    """A record that was put onto a topic to be parked: under a key that ends with its place, for it must block nothing."""

    topic: str
    place: str
    everyone: bool


@dataclass
class Log:
    """All that stands on the topics, each partition in its order."""

    facts: list[Fact] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)

    def take(self, record: Any) -> None:
        """A record goes where it belongs."""
        marks = [value for name, value in record.headers if name == POISON]
        if marks:
            self.poison.append(Poison(record.topic, f"{record.partition}:{record.offset}", marks[0] == b"everyone"))
        else:
            self.facts.append(_fact(record))


async def read_topics(kafka: str) -> Log:
    """Every record of every topic."""
    places = [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        log = Log()
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    log.take(record)
        return log
    finally:
        await consumer.stop()


def _fact(record: Any) -> Fact:
    headers = {name: (value or b"").decode() for name, value in record.headers}
    return Fact(
        record.topic,
        record.partition,
        record.offset,
        record.key.decode(),
        headers["ce_id"],
        headers["ce_type"].removeprefix("ithaca."),
        headers.get("ce_causationid", ""),
        headers.get("ce_program", ""),
        record.value,
        record.timestamp / 1000,
    )


def once(facts: Iterable[Fact]) -> list[Fact]:
    """What a subscriber sees who de-duplicates by id."""
    first: dict[str, Fact] = {}
    for fact in facts:
        first.setdefault(fact.id, fact)
    return list(first.values())


# ---- quiet -------------------------------------------------------------------------------------------------------------

RESTLESS = """
select (select count(*) from {s}.outbox) as outbox, (select count(*) from {s}.timers where fire_at <= $1) as timers,
    (select count(*) from {s}.held_keys where state = 'waits') as waiting,
    (select count(*) from {s}.held_keys where state = 'parked') as parked
"""
WAITING_MAIL = "select count(*) from notifications.deliveries where state = 'waits'"
WAITING_CALLS = "select count(*) from notifications.calls where state = 'waits'"


async def unrest(database: str, kafka: str) -> tuple[dict[str, int], int]:
    """What is still to be done, by its name; and how many records were ever written."""
    places = [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]
    connection = await asyncpg.connect(database)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    try:
        await consumer.start()
        row = await connection.fetchrow(clock.READ)
        assert row is not None
        now = clock.EPOCH + timedelta(seconds=row["wall"] + row["ahead"])
        found: dict[str, int] = {
            "mails": await connection.fetchval(WAITING_MAIL),
            "webhooks": await connection.fetchval(WAITING_CALLS),
        }
        for service in SERVICES:
            counts = await connection.fetchrow(RESTLESS.format(s=service), now)
            assert counts is not None
            found |= {f"{service} {name}": count for name, count in dict(counts).items()}
        ends = await consumer.end_offsets(places)
        for service in SERVICES:
            rows = await connection.fetch(f"select topic, partition, next_offset from {service}.positions")
            known = {(r["topic"], r["partition"]): r["next_offset"] for r in rows}
            read = [place for place in places if service in TOPICS[place.topic].readers]
            found[f"{service} lag"] = sum(ends[place] - known.get((place.topic, place.partition), 0) for place in read)
        return {name: count for name, count in found.items() if count}, sum(ends.values())
    finally:
        await consumer.stop()
        await connection.close()


async def quiet(database: str, kafka: str, seconds: float, *, poisoned: bool = False) -> None:
    """Wait until nothing is to be done any more, seen twice with nothing written between: what is read last makes work for what
    was looked at first. Fails with what is left, and at once where something is parked, unless poison was given.
    """
    until = asyncio.get_running_loop().time() + seconds
    before = -1
    while True:
        left, written = await unrest(database, kafka)
        if poisoned:
            left = {name: count for name, count in left.items() if not name.endswith("parked")}
        if not left and written == before:
            return
        before = -1 if left else written
        parked = {name: count for name, count in left.items() if name.endswith("parked")}
        assert not parked, f"parked: {await held(database)}"
        assert asyncio.get_running_loop().time() < until, f"not quiet after {seconds:.0f} s: {left} {await held(database)}"
        await asyncio.sleep(0.5)


async def held(database: str) -> list[dict[str, Any]]:
    """Every held key with its reason."""
    connection = await asyncpg.connect(database)
    try:
        return [
            {"service": service} | dict(row)
            for service in SERVICES
            for row in await connection.fetch(f"select topic, key, state, attempts, reason from {service}.held_keys limit 20")
        ]
    finally:
        await connection.close()


# ---- agreement ---------------------------------------------------------------------------------------------------------


class Disagreements(dict[str, list[str]]):
    """What doesn't agree, by kind; the first few of a kind in words."""

    def note(self, kind: str, what: object, *, when: bool = True) -> None:
        if when:
            self.setdefault(kind, []).append(str(what))

    def __str__(self) -> str:
        return "\n".join(f"{kind}: {len(several)}\n  " + "\n  ".join(several[:SHOWN]) for kind, several in sorted(self.items()))


def rises_by_one(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(1, len(numbers) + 1))


def rises(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(numbers))


def compare_topics(ledger: Ledger, facts: Sequence[Fact], wrong: Disagreements) -> None:
    """Each acknowledged event took effect once, in order per key."""
    seen: dict[str, Fact] = {}
    partitions: dict[tuple[str, str], int] = {}
    for fact in facts:
        first = seen.setdefault(fact.id, fact)
        wrong.note("one id, two contents", fact, when=(first.value, first.type, first.key) != (fact.value, fact.type, fact.key))
        partition = partitions.setdefault((fact.topic, fact.key), fact.partition)
        wrong.note("a key on two partitions", fact, when=partition != fact.partition)
        wrong.note("on rejections", fact.data, when=fact.topic == "rejections")
    by_key: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in seen.values():
        by_key[fact.topic, fact.key].append(fact)
    for person, records in ledger.people.items():
        revisions = list(dict.fromkeys(f.data["revision"] for f in by_key["people", person]))
        wrong.note("revisions of a person", f"{person} {revisions}, {records} told", when=revisions != [*range(1, records + 1)])
    for pair in ledger.pairs.values():
        _compare_pair(ledger, pair, by_key, wrong)
    pairs = [f.data["relationship_id"] for f in seen.values() if f.type == "PairCreated"]
    wrong.note("PairCreated", f"{len(pairs)} of {len(ledger.pairs)}", when=sorted(pairs) != sorted(ledger.pairs))
    sent = Counter(f.data["delivery_id"] for f in seen.values() if f.type == "NotificationSent")
    wrong.note("NotificationSent twice", [d for d, n in sent.items() if n > 1], when=any(n > 1 for n in sent.values()))


def _compare_pair(ledger: Ledger, pair: Pair, by_key: dict[tuple[str, str], list[Fact]], wrong: Disagreements) -> None:
    """A relationship's whole life on the topics."""
    reports = [f.id for f in by_key["reports", pair.id]]
    told = ledger.reports[pair.id]
    wrong.note("reports on the topic", f"{pair.id} {len(reports)} of {len(told)}", when=reports != told)
    life: dict[str, list[Fact]] = defaultdict(list)
    for fact in by_key["scheduling", pair.id]:
        life[fact.type].append(fact)
    held, missed = life["MeetingHeld"], life["MeetingMissed"]
    answers = [f.causation for f in held if f.causation in ledger.own_ids]
    wrong.note("reports answered in order, once", f"{pair.id} {len(answers)} of {len(told)}", when=answers != told)
    wrong.note("meetings held", f"{pair.id} {len(held)} of {ledger.held(pair.id)}", when=len(held) != ledger.held(pair.id))
    numbers = [f.data["number"] for f in held]
    wrong.note("numbers of MeetingHeld", f"{pair.id} {numbers}", when=not rises_by_one(numbers))
    wrong.note("false MeetingMissed", f"{pair.id} {missed}", when=bool(missed) and pair.id not in ledger.silent)
    wrong.note("MeetingMissed", f"{pair.id} {len(missed)}", when=pair.id in ledger.silent and len(missed) != 1)
    wrong.note("corrected", pair.id, when=any(f.data["corrects_missed"] for f in held))
    proposed = [f.data["number"] for f in life["MeetingProposed"]]
    wrong.note("numbers of MeetingProposed", f"{pair.id} {proposed}", when=not rises_by_one(proposed))
    signed = [(f.data["person_id"], f.data["complete"]) for f in life["AgreementSigned"]]
    both = sorted(person for person, _ in signed) == sorted(pair.people) and [done for _, done in signed] == [False, True]
    wrong.note("signatures", f"{pair.id} {signed}", when=not both or len(life["AgreementProposed"]) != 1)
    milestones = [f.data["milestone"] for f in life["MilestoneReached"]]
    wrong.note("milestones", f"{pair.id} {milestones}", when=milestones != ledger.milestones(pair.id))
    for name, kinds in (
        ("sequence", ("MeetingScheduled", "MeetingRescheduled", "MeetingCancelled")),
        ("revision", ("MeetingHeld", "MeetingMissed")),
    ):
        rising: dict[str, list[int]] = defaultdict(list)
        for fact in by_key["scheduling", pair.id]:
            if fact.type in kinds:
                rising[fact.data["meeting_id"]].append(fact.data[name])
        for meeting, values in rising.items():
            wrong.note(f"{name} of a meeting", f"{meeting} {values}", when=not rises(values))


async def compare_mails(ledger: Ledger, facts: Sequence[Fact], database: str, mailbox: str, wrong: Disagreements) -> int:
    """Every delivery that is sent has its mail, and none that was due is missing; returns how many came twice."""
    async with httpx.AsyncClient(timeout=60) as http:
        listed = (await http.get(f"{mailbox}/api/messages")).json()
    there = Counter(mail["message_id"].strip("<>").partition("@")[0] for mail in listed)
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "select id::text, coalesce(joins, id)::text as mail, person_id::text, template, state, attempts from notifications.deliveries"
        )
    finally:
        await connection.close()
    sent = {row["id"] for row in rows if row["state"] == "sent"}
    for delivery in {row["mail"] for row in rows if row["state"] == "sent"} - there.keys():
        wrong.note("sent without a mail", delivery)
    # No longer true when the copy that came after a killed one looked: what the killed one had begun it may have sent.
    begun = {row["id"] for row in rows if row["state"] == "dropped" and row["attempts"] > 0}
    for delivery in there.keys() - sent - begun:
        wrong.note("a mail of no delivery that is sent", delivery)
    told = {f.data["delivery_id"] for f in facts if f.type == "NotificationSent"}
    for delivery in told ^ sent:
        wrong.note("sent and not told, or told and not sent", delivery)
    wrong.note("states of deliveries", Counter(row["state"] for row in rows), when=any(r["state"] == "failed" for r in rows))
    # What nothing makes obsolete must have gone to everyone who has an address, once.
    members = {person for pair in ledger.pairs.values() for person in pair.people}
    celebrated = [person for pair in ledger.pairs.values() for person in pair.people for _ in ledger.milestones(pair.id)]
    missed = {person for pair in ledger.silent for person in ledger.pairs[pair].people}
    for template, people in (
        ("welcome", set(ledger.people)),
        ("introduction", members),
        ("milestone", celebrated),
        ("missed", missed),
    ):
        to = Counter(row["person_id"] for row in rows if row["template"] == template and row["state"] == "sent")
        due = Counter(person for person in people if person in ledger.addresses)
        wrong.note(f"mails {template}", f"{to.total()} of {due.total()}", when=to != due)
    # One message a fact, person and channel: however often the fact was read.
    asked = Counter(row["template"] for row in rows)["choose_time"]
    proposals = 2 * len({f.id for f in facts if f.type == "MeetingProposed"})
    wrong.note("deliveries choose_time", f"{asked} of {proposals}", when=asked != proposals)
    return there.total() - len(there)


SERVICE_STATES = {
    "scheduling": "select id::text, held, missed from scheduling.relationships",
    "gateway": "select id::text, status from gateway.intakes where type like '%MeetingReported'",
}


async def compare_states(ledger: Ledger, database: str, wrong: Disagreements) -> None:
    """What the services know: scheduling's state, the gateway's word on each report."""
    connection = await asyncpg.connect(database)
    try:
        known = {r["id"]: (r["held"], r["missed"]) for r in await connection.fetch(SERVICE_STATES["scheduling"])}
        status = {r["id"]: r["status"] for r in await connection.fetch(SERVICE_STATES["gateway"])}
    finally:
        await connection.close()
    for pair in ledger.pairs:
        told = (ledger.held(pair), int(pair in ledger.silent))
        wrong.note("scheduling's state", f"{pair} {known.get(pair)}, told {told}", when=known.get(pair) != told)
    reports = {report for several in ledger.reports.values() for report in several}
    wrong.note("reports at the gateway", f"{len(status)} of {len(reports)}", when=status.keys() != reports)
    wrong.note("not applied", Counter(status.values()), when=set(status.values()) - {"applied"} != set())


def compare_numbers(ledger: Ledger, summary: dict[str, Any], facts: Sequence[Fact], program: str, wrong: Disagreements) -> None:
    """Analytics' numbers of one program."""
    mine = [fact for fact in facts if fact.program == program]
    planned = {f.data["meeting_id"] for f in mine if f.type == "MeetingScheduled"}
    pairs = len(ledger.pairs)
    expected = {
        "enrolled": len(ledger.people), "matched": 0 if ledger.closed else 2 * pairs, "waitlisted": 0, "pairs": pairs,
        "agreed": pairs, "scheduled": len(planned), "held": sum(map(ledger.held, ledger.pairs)),
        "missed": len(ledger.silent), "milestones": sum(len(ledger.milestones(pair)) for pair in ledger.pairs),
        "ended": pairs if ledger.closed else 0, "mails_sent": len({f.id for f in mine if f.type == "NotificationSent"}),
    }  # fmt: skip
    for name, count in expected.items():
        wrong.note("analytics", f"{program}: {name} {summary[name]}, told {count}", when=summary[name] != count)


async def compare_held(log: Log, database: str, wrong: Disagreements) -> None:
    """Nothing is held but the poison, and all of it by those who must."""
    connection = await asyncpg.connect(database)
    try:
        for service in SERVICES:
            rows = await connection.fetch(f"select topic, key from {service}.held_keys")
            parked = {(row["topic"], row["key"].rpartition("@")[2]) for row in rows}
            may = {(p.topic, p.place) for p in log.poison if service in TOPICS[p.topic].readers}
            must = {(p.topic, p.place) for p in log.poison if service in TOPICS[p.topic].readers and p.everyone}
            wrong.note("held, and no poison", f"{service} {parked - may}", when=bool(parked - may))
            wrong.note("poison that isn't held", f"{service} {must - parked}", when=bool(must - parked))
    finally:
        await connection.close()


def compare_webhooks(facts: Sequence[Fact], types: Iterable[str], received: Iterable[str], wrong: Disagreements) -> None:
    """The partner's endpoint has heard of every fact of these types, and of nothing else."""
    wanted = {fact.id for fact in facts if fact.type in types}
    heard = set(received)
    wrong.note("webhooks missing", f"{len(wanted - heard)} of {len(wanted)}", when=bool(wanted - heard))
    wrong.note("webhooks of no fact", heard - wanted, when=bool(heard - wanted))
