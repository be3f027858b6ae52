"""How a platform is: every part asked at once, each answer judged. Works while any of them is dead."""

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.cli import target
from deploy.cli.target import Target, Trouble
from deploy.local.ports import broker_name
from shared import clock
from shared.events import TOPICS

LAG_SECONDS = 60.0
"""Age of the oldest event that a service hasn't read."""
OUTBOX_SECONDS = 30.0
"""Age of the oldest decided event that isn't on Kafka."""
LATE_SECONDS = 60.0
"""How late the oldest due timer is."""
WAITS_SECONDS = 900.0
"""How long a held key waits for something that hasn't come. Parked ones are ill at once."""
ZIPKIN_SECONDS = 60.0
"""What the viewer of traces may take to come up beside the rest."""

SCHEMAS = """
select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = 'held_keys' and c.relkind = 'r' and has_table_privilege(c.oid, 'select') order by 1
"""
NUMBERS = """
with now as (select $1::timestamptz as at),
    o as (select count(*) as rows, min(recorded_at) as oldest from (select recorded_at from {s}.outbox order by id limit 100000) x),
    t as (select count(*) as due, min(fire_at) as oldest from {s}.timers, now where fire_at <= now.at),
    h as (
        select count(*) filter (where state = 'waits') as waits, count(*) filter (where state = 'parked') as parked,
            min(since) filter (where state = 'waits') as since
        from {s}.held_keys
    )
select o.rows, extract(epoch from now.at - o.oldest)::float8 as outbox_age, t.due, extract(epoch from now.at - t.oldest)::float8 as late,
    h.waits, h.parked, extract(epoch from now.at - h.since)::float8 as waits_age
from now, o, t, h
"""
POSITIONS = "select topic, partition, next_offset from {s}.positions"
GAUGE = re.compile(r"^(ithaca_\w+)(?:\{([^}]*)\})? ([-+0-9.eE]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Ill:
    """What is wrong with a row, and the next command."""

    what: str
    next: str


@dataclass(frozen=True)
class Copy:
    """One process of a service."""

    name: str
    address: str
    pid: int | None = None
    alive: bool = False
    ready: bool = False
    partitions: int | None = None
    relay: str = ""
    why: str = ""
    """Why it isn't ready, as it says itself."""
    gauges: dict[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Row:
    """One line of the status: a part of the platform, or a service with all its copies. None: not known now."""

    name: str
    kind: str
    address: str = ""
    pid: int | None = None
    alive: bool = False
    ready: bool = False
    lag_events: int | None = None
    lag_seconds: float | None = None
    outbox_rows: int | None = None
    outbox_seconds: float | None = None
    timers_due: int | None = None
    timers_late_seconds: float | None = None
    held_waits: int | None = None
    held_parked: int | None = None
    waits_seconds: float | None = None
    copies: tuple[Copy, ...] = ()
    note: str = ""
    ill: tuple[Ill, ...] = ()


@dataclass(frozen=True)
class Health:
    """How everything is."""

    target: Target | None
    rows: tuple[Row, ...]
    ill: tuple[Ill, ...] = ()
    """What is wrong with the whole."""

    @property
    def well(self) -> bool:
        return not self.ill and not any(row.ill for row in self.rows)

    def body(self) -> dict[str, Any]:
        """As JSON shows it. A database that the environment names is shown without its password."""
        found = self.target
        local = found.local if found else None
        addresses = dict(found.addresses) if found else {}
        if local is None and "postgres" in addresses:
            addresses["postgres"] = target.without_password(addresses["postgres"])
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            for copy in row["copies"]:
                del copy["gauges"]
        return {
            "well": self.well,
            "running": found is not None,
            "started": local.started if local else None,
            "addresses": addresses,
            "pids": {"platform": local.supervisor} | local.pids if local else {},
            "rows": rows,
            "ill": [{"row": row.name, **asdict(ill)} for row in self.rows for ill in row.ill]
            + [{"row": "platform", **asdict(ill)} for ill in self.ill],
            "limits": {
                "lag_seconds": LAG_SECONDS,
                "outbox_seconds": OUTBOX_SECONDS,
                "timers_late_seconds": LATE_SECONDS,
                "waits_seconds": WAITS_SECONDS,
                "held_parked": 0,
            },
        }


async def look() -> Health:
    """Ask everything once. Takes up to five seconds where something doesn't answer."""
    found = target.find()
    if found is None:
        return Health(None, (), (Ill("nothing runs here", "./ithaca up -d"),))
    async with Clients(found) as clients:
        kafka, (postgres, numbers, positions), viewers, copies = await asyncio.gather(
            clients.kafka(),
            clients.postgres(),
            asyncio.gather(*(clients.viewer(name) for name in ("zipkin", "mailbox") if name in found.addresses)),
            asyncio.gather(*(clients.copies(service) for service in found.services)),
        )
        lags = await clients.lags(positions) if kafka and kafka.ready else {}
    rows = [row for row in (kafka, postgres, *viewers) if row is not None]
    for service, there in zip(found.services, copies, strict=True):
        rows.append(judged(service_row(found, service, there, numbers.get(service), lags.get(service)), found))
    whole: tuple[Ill, ...] = ()
    if found.local and not found.local.ready:
        whole = (Ill("the platform is still starting", "./ithaca status --watch"),)
    unknown = [name for name in ("kafka", "postgres") if name not in found.addresses]
    if unknown:
        variables = {"kafka": "ITHACA_KAFKA", "postgres": "ITHACA_DATABASE"}
        whole = (*whole, Ill(f"it isn't known where {' and '.join(unknown)} is", f"export {variables[unknown[0]]}=…"))
    return Health(found, tuple(rows), whole)


def service_row(
    found: Target, service: str, copies: Sequence[Copy], numbers: dict[str, Any] | None, lag: tuple[int, float] | None
) -> Row:
    """A service's line: its numbers from the database and Kafka, or as its copies last told them where those are away."""
    alive = [copy for copy in copies if copy.alive]
    row = Row(
        service,
        "service",
        found.addresses[service],
        copies[0].pid if copies else None,
        alive=bool(copies) and len(alive) == len(copies),
        ready=bool(copies) and all(copy.ready for copy in copies),
        copies=tuple(copies),
    )
    told = [copy.gauges for copy in alive if copy.gauges]
    if lag is not None:
        row = replace(row, lag_events=lag[0], lag_seconds=lag[1])
    elif told:
        row = replace(row, lag_events=int(sum_of(told, "ithaca_lag_events")), lag_seconds=most(told, "ithaca_lag_seconds"))
    if numbers is not None:
        row = replace(row, **numbers)
    elif told:
        row = replace(
            row,
            outbox_rows=int(most(told, "ithaca_outbox_rows")),
            outbox_seconds=most(told, "ithaca_outbox_age_seconds"),
            timers_due=int(most(told, "ithaca_timers_due")),
            timers_late_seconds=most(told, "ithaca_timers_late_seconds"),
            held_waits=int(most(told, 'ithaca_held_keys{state="waits"}')),
            held_parked=int(most(told, 'ithaca_held_keys{state="parked"}')),
        )
    leads = next((copy.name for copy in copies if copy.relay == "leads"), None)
    many = len(copies) > 1
    return replace(row, note=f"{leads} sends" if many and leads else "")


def most(told: Sequence[dict[str, float]], name: str) -> float:
    return max(gauges.get(name, 0.0) for gauges in told)


def sum_of(told: Sequence[dict[str, float]], name: str) -> float:
    return sum(gauges.get(name, 0.0) for gauges in told)


def judged(row: Row, found: Target) -> Row:
    """With what is wrong, and for each the command to go on with."""
    ills = []
    for copy in row.copies:
        here = found.local is not None
        if not copy.alive:
            ills.append(
                Ill(f"{copy.name} isn't alive", f"./ithaca logs {copy.name}" if here else f"curl -si {copy.address}/health/live")
            )
        elif not copy.ready:
            why = f": {copy.why}" if copy.why else ""
            ills.append(
                Ill(
                    f"{copy.name} isn't ready{why}",
                    f"./ithaca logs {copy.name}" if here else f"curl -s {copy.address}/health/ready",
                )
            )
    held, logs = (
        f"./ithaca held list --service {row.name}",
        f"./ithaca logs {row.name}" if found.local else "./ithaca status --watch",
    )
    if row.lag_events and over(row.lag_seconds, LAG_SECONDS):
        ills.append(Ill(f"{row.name} is {row.lag_seconds:.0f} s behind ({row.lag_events} events)", logs))
    if over(row.outbox_seconds, OUTBOX_SECONDS):
        ills.append(
            Ill(f"{row.name} has sent nothing to Kafka for {row.outbox_seconds:.0f} s ({row.outbox_rows} events wait)", logs)
        )
    if over(row.timers_late_seconds, LATE_SECONDS):
        ills.append(Ill(f"{row.name}'s timers are {row.timers_late_seconds:.0f} s late ({row.timers_due} due)", logs))
    if row.held_parked:
        ills.append(Ill(f"{row.name} has parked {count(row.held_parked, 'key')}, which nobody tries again", held))
    if over(row.waits_seconds, WAITS_SECONDS):
        minutes = (row.waits_seconds or 0) / 60
        ills.append(Ill(f"{row.name} holds {count(row.held_waits or 0, 'key')} back, the oldest for {minutes:.0f} min", held))
    return replace(row, ill=(*row.ill, *ills))


def over(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class Clients:
    """Asks the parts of one platform. Nothing here raises: what doesn't answer is ill."""

    def __init__(self, found: Target) -> None:
        self.found = found
        self.pids = found.local.pids if found.local else {}
        self.mine = httpx.AsyncClient(timeout=3, trust_env=False)
        self.others = httpx.AsyncClient(timeout=5)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self.mine.aclose(), self.others.aclose())

    def logs(self, part: str, instead: str) -> str:
        return f"./ithaca logs {part}" if self.found.local else instead

    # -- services and viewers

    async def get(self, url: str) -> httpx.Response | None:
        try:
            return await (self.mine if target.own(url) else self.others).get(url)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None

    async def copies(self, service: str) -> list[Copy]:
        places = target.copy_addresses(self.found, service)
        return list(await asyncio.gather(*(self.copy(name, address) for name, address in places.items())))

    async def copy(self, name: str, address: str) -> Copy:
        live, ready, metrics = await asyncio.gather(
            *(self.get(f"{address}/{path}") for path in ("health/live", "health/ready", "metrics"))
        )
        report: dict[str, Any] = {}
        if ready is not None:
            with contextlib.suppress(ValueError):
                report = ready.json()
        gauges = {}
        if metrics is not None and metrics.status_code == 200:
            gauges = {f"{m[1]}{{{m[2]}}}" if m[2] else m[1]: float(m[3]) for m in GAUGE.finditer(metrics.text)}
        why = [f"{part} doesn't answer it" for part in ("postgres", "kafka") if report.get(part) is False]
        why += [f"{loop} keeps failing" for loop in report.get("failing", ())] + [str(dead) for dead in report.get("dead", ())]
        return Copy(
            name,
            address,
            self.pids.get(name),
            alive=live is not None and live.status_code == 200,
            ready=ready is not None and ready.status_code == 200,
            partitions=report.get("partitions"),
            relay=str(report.get("relay", "")),
            why=", ".join(why),
            gauges=gauges,
        )

    async def viewer(self, name: str) -> Row:
        address = self.found.addresses[name]
        answer = await self.get(f"{address}/health")
        well = answer is not None and answer.status_code == 200
        row = Row(name, "part", address, self.pids.get(name), alive=well or name in self.pids, ready=well)
        if well:
            return row
        if name == "zipkin" and self.found.local and since(self.found.local.started) < ZIPKIN_SECONDS:
            return replace(row, note="still starting")
        what = "traces can't be looked at; all else works" if name == "zipkin" else "mails can't be delivered"
        return replace(row, ill=(Ill(f"{name} doesn't answer: {what}", self.logs(name, f"curl -si {address}/health")),))

    # -- Kafka

    async def kafka(self) -> Row | None:
        address = self.found.addresses.get("kafka")
        if address is None:
            return None
        brokers = self.brokers(len(address.split(",")))
        row = Row("kafka", "part", address, next(iter(filter(None, brokers.values())), None))
        host, _, port = address.split(",")[0].rpartition(":")
        probe = self.logs("kafka", f"nc -vz {host} {port}")
        admin = None
        try:
            client = self.found.kafka().kafka_client()
            admin = AIOKafkaAdminClient(**client, request_timeout_ms=4000, client_id="ithaca-status")
            async with asyncio.timeout(5):
                await admin.start()
                topics = await admin.describe_topics()
        except Trouble as error:
            return replace(row, ill=(Ill(str(error), "env | grep ITHACA_KAFKA"),))
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            ill = Ill(f"Kafka doesn't answer at {address} ({type(error).__name__})", probe)
            return replace(row, alive=any(brokers.values()), ill=(ill,))
        finally:
            if admin is not None:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(admin.close(), 2)
        partitions = [part for topic in topics if topic["topic"] in TOPICS for part in topic["partitions"]]
        ills = [Ill(f"{name} isn't alive", f"./ithaca logs {name}") for name, pid in brokers.items() if pid is None]
        if missing := sorted(set(TOPICS) - {topic["topic"] for topic in topics}):
            command = "./ithaca down && ./ithaca up -d" if self.found.local else "./ithaca status --watch"
            ills.append(Ill(f"there is no topic {', '.join(missing)}", command))
        if leaderless := sum(part["leader"] < 0 for part in partitions):
            ills.append(Ill(f"{count(leaderless, 'partition')} without a leader", probe))
        if short := sum(len(part["isr"]) < len(part["replicas"]) for part in partitions):
            ills.append(Ill(f"{count(short, 'partition')} with fewer copies than wanted", probe))
        return replace(row, alive=True, ready=not ills, ill=tuple(ills))

    def brokers(self, many: int) -> dict[str, int | None]:
        """The brokers that should run on this machine, and their processes; none where Kafka is elsewhere."""
        names = [broker_name(number, many) for number in range(1, many + 1)] if self.found.local else []
        return {name: self.pids.get(name) for name in names}

    async def lags(self, positions: dict[str, dict[TopicPartition, int]]) -> dict[str, tuple[int, float]]:
        """(events not read, age of the oldest of them in seconds) per service, from what its database says it has read."""
        places = sorted({place for read in positions.values() for place in read})
        if not places:
            return {}
        consumer = AIOKafkaConsumer(
            **self.found.kafka().kafka_client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=16_384,
            fetch_max_wait_ms=200,
            request_timeout_ms=4000,
            client_id="ithaca-status",
        )
        try:
            async with asyncio.timeout(6):
                await consumer.start()
                ends, begins = await consumer.end_offsets(places), await consumer.beginning_offsets(places)
                found = {}
                for service, read in positions.items():
                    unread = {p: max(at, begins[p]) for p, at in read.items() if ends[p] > max(at, begins[p])}
                    events = sum(ends[place] - at for place, at in unread.items())
                    found[service] = (events, await self.oldest(consumer, unread) if events else 0.0)
                return found
        except (KafkaError, OSError, TimeoutError):
            return {}
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(consumer.stop(), 2)

    async def oldest(self, consumer: AIOKafkaConsumer, unread: dict[TopicPartition, int]) -> float:
        """Age in seconds of the oldest first unread record of these partitions, as far as one second's reading shows."""
        consumer.assign(list(unread))
        for place, at in unread.items():
            consumer.seek(place, at)
        oldest, left, until = time.time(), set(unread), time.monotonic() + 1
        while left and time.monotonic() < until:
            for place, records in (await consumer.getmany(*left, timeout_ms=250, max_records=10_000)).items():
                oldest = min(oldest, records[0].timestamp / 1000)
                left.discard(place)
        return max(0.0, time.time() - oldest)

    # -- PostgreSQL

    async def postgres(self) -> tuple[Row | None, dict[str, dict[str, Any]], dict[str, dict[TopicPartition, int]]]:
        dsn = self.found.addresses.get("postgres")
        if dsn is None:
            return None, {}, {}
        where = target.without_password(dsn)
        row = Row("postgres", "part", where, self.pids.get("postgres"))
        host, _, port = where.partition("/")[0].rpartition(":")
        try:
            connection = await target.connect(dsn, 3)
        except Trouble:
            probe = self.logs("postgres", f"pg_isready -h {host} -p {port}")
            return (
                replace(row, alive="postgres" in self.pids, ill=(Ill(f"PostgreSQL doesn't let us in at {where}", probe),)),
                {},
                {},
            )
        try:
            async with asyncio.timeout(10):
                numbers, positions = await read_numbers(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            ill = Ill(
                f"PostgreSQL doesn't answer ({type(error).__name__})", self.logs("postgres", f"pg_isready -h {host} -p {port}")
            )
            return replace(row, alive=True, ill=(ill,)), {}, {}
        finally:
            connection.terminate()
        return replace(row, alive=True, ready=True), numbers, positions


async def read_numbers(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[TopicPartition, int]]]:
    """Outbox, timers and held keys of every service that this role may see, and what each has read."""
    now = await platform_time(connection)
    numbers: dict[str, dict[str, Any]] = {}
    positions: dict[str, dict[TopicPartition, int]] = {}
    for schema in await schemas(connection):
        found = await connection.fetchrow(NUMBERS.format(s=schema), now)
        assert found is not None
        numbers[schema] = {
            "outbox_rows": found["rows"],
            "outbox_seconds": max(0.0, found["outbox_age"] or 0.0),
            "timers_due": found["due"],
            "timers_late_seconds": max(0.0, found["late"] or 0.0),
            "held_waits": found["waits"],
            "held_parked": found["parked"],
            "waits_seconds": max(0.0, found["waits_age"] or 0.0),
        }
        rows = await connection.fetch(POSITIONS.format(s=schema))
        positions[schema] = {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return numbers, positions


async def schemas(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """The services whose tables this role may read; the names are those of schemas, safe in a statement."""
    return [row[0] for row in await connection.fetch(SCHEMAS) if re.fullmatch(r"[a-z][a-z_]{0,40}", row[0])]


async def platform_time(connection: "asyncpg.Connection[asyncpg.Record]") -> datetime:
    """The platform's time, which a demo moves ahead of PostgreSQL's."""
    row = await connection.fetchrow(clock.READ)
    assert row is not None
    return clock.EPOCH + timedelta(seconds=row["wall"] + row["ahead"])


def since(moment: str) -> float:
    """Seconds since an ISO 8601 time."""
    return time.time() - datetime.fromisoformat(moment).timestamp()
