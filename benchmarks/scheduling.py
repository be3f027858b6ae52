"""Scheduling itself beside a million open relationships, each with the timer that notices its silence.

look       the timers' poll when none is due
burst      timers that were all due at once, as after an outage: relationships that have gone quiet
stream     a thousand due in each second: how late each is decided
slots      times for two busy people over eight weeks
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg

from benchmarks.figures import Figure, number
from benchmarks.ground import Say, delete_topics, drop
from deploy.local.platform import Platform
from services.scheduling.domain import slots
from services.scheduling.domain.model import Member, Rules
from services.scheduling.main import build
from shared import topics
from shared.clock import CHANNEL
from shared.cloudevents import new_id
from shared.database import provision
from shared.events import SERVICES, Policy, Role, Terms, Window
from shared.service import Service, Settings

NAME = "scheduling"
ABOUT = "Relationships over time, a million of them open: the timers' poll, silence noticed at once and in a stream, times for two busy people."

LOOKS, RATE = 200, 1_000
"""Looks that are timed; timers due in each second of the stream."""
PATIENCE = 600
"""Seconds, for what was due at once."""
PAIRS = """
with made as (
  select gen_random_uuid() as id, gen_random_uuid() as mentor, gen_random_uuid() as mentee from generate_series(1, $1::int)
)
insert into relationships (id, organization, program, format, term, members, people, audience, time_zone, terms, rules, rules_revision,
  created_at, agreed_at, until, heard_at, held)
select id, 'bench', 'bench.quiet', 'one_to_one', 'long', jsonb_build_array(
    $2::jsonb || jsonb_build_object('person_id', mentor, 'role', 'mentor'), $2::jsonb || jsonb_build_object('person_id', mentee, 'role', 'mentee')),
  array[mentor::text, mentee::text], '{bench}', 'Africa/Lagos', $3::jsonb, $4::jsonb, 1,
  $5::timestamptz, $5::timestamptz, $5::timestamptz + interval '180 days', $5::timestamptz, 1
from made
"""
TIMERS = """
insert into timers (kind, key, owner, fire_at, organization, program)
select 'quiet', id::text, id::text, $1::timestamptz + interval '1 day' + row_number() over () * interval '30 ms', organization, program
from relationships
"""
"""None due today."""
DUE = """
with chosen as (
  select id, row_number() over (order by id) as n from relationships where stalled_at is null and ended_at is null order by id limit $1::int
), heard as (update relationships r set agreed_at = $2::timestamptz - interval '30 days', heard_at = $2::timestamptz - interval '30 days' from chosen c where r.id = c.id)
update timers t set fire_at = $2::timestamptz + c.n * $3::interval from chosen c where t.kind = 'quiet' and t.key = c.id::text
"""
STALLED = "select count(*) from relationships where stalled_at is not null and ended_at is null"
LEFT = "select exists (select from timers where fire_at <= $1)"
LATE = """
select extract(epoch from r.stalled_at - ($1::timestamptz + n * $2::interval))::float8 as late from (
  select id, row_number() over (order by id) as n from unnest($3::uuid[]) id
) one join relationships r using (id)
"""


@dataclass(frozen=True, slots=True)
class Size:
    few: int
    many: int
    due: int
    """At once, as many after a checkpoint, and as many in the stream: together no more than the few."""


WHOLE, QUICK = Size(10_000, 1_000_000, 3_000), Size(1_000, 2_000, 200)


@dataclass(frozen=True, slots=True)
class Found:
    """Of so many relationships."""

    look: float
    """Median seconds."""
    rate: float
    """Timers decided a second, of those that were due at once."""
    cold: float
    """The same right after a checkpoint: PostgreSQL writes each page that it changes whole, once."""
    late: Sequence[float]
    """Seconds between when each of the stream was due and when it was decided, in order."""


def told_of(member: Member) -> str:
    """What a relationship keeps of someone, without who it is."""
    return (
        f'{{"organization": "bench", "time_zone": "{member.time_zone}", "country": null, "availability": [], "paused": false, '
        f'"revision": 1, "own_id": ""}}'
    )


@asynccontextmanager
async def running(platform: Platform, passwords: dict[str, str]) -> AsyncIterator[Service]:
    """Scheduling, and the gateway's relay, which says that no partner's report is on its way: timers that heed reports wait for that."""
    host = platform.addresses["postgres"].rsplit("@", 1)[1]
    with tempfile.TemporaryDirectory() as nothing:
        async with AsyncExitStack() as stack:
            for name in ("gateway", "scheduling"):
                settings = Settings(
                    kafka=platform.addresses["kafka"],
                    database=f"postgresql://{name}:{passwords[name]}@{host}",
                    http="127.0.0.1:0",
                    urls=dict.fromkeys(SERVICES, "http://bench.test"),
                    link_secret=uuid4().hex,
                )
                alone = Service("gateway", [], [], Path(nothing), topics=["rejections"], settings=settings)
                service = build(settings) if name == "scheduling" else alone
                service.consumer.group = f"bench-{service.name}-{uuid4().hex[:8]}"
                await stack.enter_async_context(service.running())
            yield service


async def until_decided(db: "asyncpg.Connection[asyncpg.Record]", last: datetime, count: int) -> float:
    """When no timer was left that was due by then (seconds, as `perf_counter` counts); so many relationships have gone quiet."""
    end = time.monotonic() + PATIENCE
    while await db.fetchval(LEFT, last):
        if time.monotonic() > end:
            raise TimeoutError(f"timers are left after {PATIENCE} s")
        await asyncio.sleep(0.01)
    done = time.perf_counter()
    found = await db.fetchval(STALLED)  # takes a while among a million
    if found != count:
        raise ValueError(f"{found} relationships have gone quiet, not {count}")
    return done


async def found(platform: Platform, say: Say, count: int, due: int) -> Found:
    """What scheduling does beside so many relationships."""
    superuser, passwords = platform.addresses["postgres"], {"gateway": uuid4().hex, "scheduling": uuid4().hex}
    await provision(superuser, passwords)
    db = await asyncpg.connect(superuser)
    try:
        await db.execute("set search_path = scheduling")
        async with running(platform, passwords) as service:
            await fill(db, count, service.database.clock.now())
            looks = []
            for _ in range(LOOKS):
                begun = time.perf_counter()
                await service.timers.fire_due()
                looks.append(time.perf_counter() - begun)
            rate = await burst(db, due, service.database.clock.now())
            cold = await burst(db, due, service.database.clock.now(), checkpoint=True)
            late = await stream(db, due, service.database.clock.now())
        result = Found(statistics.median(looks), rate, cold, late)
        say(
            f"round 1/1  {count:,} relationships  a look {result.look * 1000:.2f} ms, {rate:,.0f}/s of {due:,} at once, p99 {p99(late) * 1000:.0f} ms late at {RATE:,}/s"
        )
        return result
    finally:
        await db.close()
        for name in passwords:
            await drop(superuser, name)


async def fill(db: "asyncpg.Connection[asyncpg.Record]", count: int, now: datetime) -> None:
    member, terms = told_of(Member(new_id(), Role.mentor, "bench", "Africa/Lagos")), Terms().model_dump_json()
    rules = json.dumps(asdict(Rules.of(Policy())))
    await db.execute(PAIRS, count, member, terms, rules, now, timeout=PATIENCE)
    await db.execute(TIMERS, now, timeout=PATIENCE)
    await db.execute("vacuum analyze relationships", timeout=PATIENCE)
    await db.execute("vacuum analyze timers", timeout=PATIENCE)


async def burst(db: "asyncpg.Connection[asyncpg.Record]", due: int, now: datetime, *, checkpoint: bool = False) -> float:
    """Timers decided a second where all of them were due a minute ago, from when the service hears that it is later."""
    last, before = now - timedelta(minutes=1), await db.fetchval(STALLED)
    await db.execute(DUE, due, last, timedelta())
    if checkpoint:
        await db.execute("checkpoint", timeout=PATIENCE)
    begun = time.perf_counter()
    await db.execute(f"notify {CHANNEL}")
    return due / (await until_decided(db, last, before + due) - begun)


async def stream(db: "asyncpg.Connection[asyncpg.Record]", due: int, now: datetime) -> list[float]:
    """How late each was of those that were due one after the other."""
    begins, apart = now + timedelta(seconds=3), timedelta(seconds=1 / RATE)
    before = {
        row["id"] for row in await db.fetch("select id from relationships where stalled_at is not null and ended_at is null")
    }
    await db.execute(DUE, due, begins, apart)
    await until_decided(db, begins + due * apart, len(before) + due)
    rows = await db.fetch("select id from relationships where stalled_at is not null and ended_at is null")
    streamed = [row["id"] for row in rows if row["id"] not in before]
    return sorted(row["late"] for row in await db.fetch(LATE, begins, apart, streamed))


def p99(late: Sequence[float]) -> float:
    return late[int(len(late) * 0.99)]


def search() -> float:
    """Median seconds of a search over eight weeks for two who have three meetings a day elsewhere and no hour in common."""
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    days = tuple(Window(weekday=day, start="09:00", end="17:00") for day in range(5))
    nights = tuple(Window(weekday=day, start="18:00", end="20:00") for day in range(5))
    one = Member(new_id(), Role.mentor, "bench", "Europe/London", "GB", days)
    other = replace(one, person_id=new_id(), time_zone="America/New_York", country="US", availability=nights)
    starts = [now + timedelta(days=day, hours=hour) for day in range(slots.HORIZON_DAYS) for hour in (4, 5, 6)]
    busy = slots.Busy([(start, start + timedelta(minutes=45)) for start in starts])
    took = []
    for _ in range(50):
        begun = time.perf_counter()
        slots.find([one, other], one.time_zone, 30, now, 60, busy=busy)
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


async def compare(platform: Platform, say: Say, size: Size) -> tuple[Found, Found]:
    made = await topics.create(platform.addresses["kafka"])
    try:
        return await found(platform, say, size.few, size.due), await found(platform, say, size.many, size.due)
    finally:
        await delete_topics(platform, made)


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:  # noqa: ARG001 - one round: filling takes minutes
    size = QUICK if quick else WHOLE
    few, many = asyncio.run(compare(platform, say, size))
    among, beside = f"{size.many:,} relationships", f"at {size.few:,}"
    return [
        Figure(f"idle look, {among}", many.look * 1000, "ms p50", 1, at_most=True, detail=f"{few.look * 1000:.2f} ms {beside}"),
        Figure(
            f"silence noticed, {among}",
            few.rate / many.rate,
            f"× the time {beside}",
            1.1,
            at_most=True,
            detail=f"{number(many.rate)}/s against {number(few.rate)}/s; {number(many.cold)}/s against {number(few.cold)}/s right after a checkpoint",
        ),
        Figure(
            f"lateness at {RATE:,} due a second, {among}",
            p99(many.late) * 1000,
            "ms p99",
            1000,
            at_most=True,
            detail=f"p50 {statistics.median(many.late) * 1000:.0f} ms; {p99(few.late) * 1000:.0f} ms p99 {beside}",
        ),
        Figure(
            "times for two busy people over eight weeks", search() * 1000, "ms p50", 5, at_most=True, detail="no hour in common"
        ),
    ]
