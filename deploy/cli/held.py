"""Events that can't be handled now: look at them, have them tried again, or drop them: held list, show, replay, drop."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from deploy.cli.target import Trouble, connect, plain, plainly, target

if TYPE_CHECKING:
    import asyncpg

GROUP = "Look after it"
PEOPLE = "people"
KNOWN = {"content-type", "traceparent", "tracestate"} | {
    f"ce_{name}"
    for name in (
        "specversion", "id", "type", "source", "time", "recordedtime", "organization", "program", "correlationid", "causationid", "partitionkey",
    )
}  # fmt: skip
MOST_BODY = 4000
WATCHED_SECONDS = 8.0

app = typer.Typer(
    help="Events that a service can't handle now: see them, have them tried again, drop them.",
    epilog="A key's events are handled in order, so those behind one that fails wait with it. Keys that wait are tried again by "
    "themselves; parked ones aren't, until you replay or drop them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Service = Annotated[str | None, typer.Option(help="Only this service's.")]
Key = Annotated[
    str, typer.Argument(metavar="KEY", help="As ./ithaca held list shows it; so many of its first letters as are needed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Event = Annotated[str | None, typer.Option(help="Only this event: its id, or PARTITION:OFFSET as held show says.")]

KEYS = """
select k.topic, k.key, k.state, k.since, k.due_at, k.awaits, k.attempts, k.reason, count(h.seq) as events,
    array_agg(distinct h.type) filter (where h.type <> '') as types
from {s}.held_keys k left join {s}.held h using (topic, key)
where $1::text is null or starts_with(k.key, $1) group by k.topic, k.key order by k.since, k.topic, k.key
"""
EVENTS = """
select seq, partition, "offset", event_id, type, headers, body from {s}.held where topic = $1 and key = $2 order by seq limit $3
"""
LOCK = "select key from {s}.held_keys where topic = $1 and key = $2 for update"
AGAIN = "update {s}.held_keys set state = 'waits', due_at = $3, attempts = 0 where topic = $1 and key = $2"
DROP_ONE = "delete from {s}.held where seq = $1"
LEFT = "select exists (select from {s}.held where topic = $1 and key = $2)"
DROP_KEY = "delete from {s}.held_keys where topic = $1 and key = $2"
STILL = "select state, attempts, reason, due_at from {s}.held_keys where topic = $1 and key = $2"


@dataclass(frozen=True)
class HeldKey:
    """One key of one topic that a service holds."""

    service: str
    topic: str
    key: str
    state: str
    since: datetime
    due_at: datetime
    awaits: str | None
    attempts: int
    reason: str
    events: int
    types: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "topic": self.topic,
            "key": self.key,
            "state": self.state,
            "since": self.since.isoformat(),
            "due_at": self.due_at.isoformat(),
            "awaits": self.awaits,
            "attempts": self.attempts,
            "reason": self.reason,
            "events": self.events,
            "types": list(self.types),
        }

    @property
    def place(self) -> tuple[str, str]:
        return self.topic, self.key


@app.command("list")
def list_held(service: Service = None, as_json: AsJson = False) -> None:
    """Which keys are held, where, since when, how often they were tried, and why."""
    with plainly():
        found = asyncio.run(everything(service))
    if as_json:
        print(json.dumps([each.body() for each in found]))
        return
    if not found:
        print("Nothing is held.")
        return
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(
        "service", "topic", "key", "state", "since (UTC)", "tries", "events", "why", box=None, pad_edge=False, header_style="dim"
    )
    for each in found:
        state = f"[red]{each.state}[/red]" if each.state == "parked" else each.state
        why = escape(plain(each.reason, 120))
        types = escape(plain(", ".join(one.removeprefix("ithaca.") for one in each.types), 80))
        values = f"{each.since:%d %b %H:%M:%S}", str(each.attempts), str(each.events), f"{why}  [dim]{types}[/dim]"
        table.add_row(each.service, each.topic, escape(plain(each.key, 80)), state, *values)
    console = Console() if sys.stdout.isatty() else Console(width=220)
    console.print(table)
    console.print("[dim]./ithaca held show KEY · replay KEY, when the cause is mended · drop KEY[/dim]")


@app.command("show")
def show(
    key: Key,
    service: Service = None,
    show_people: Annotated[
        bool, typer.Option("--show-people", help="On the topic `people`, print what is personal too: names, addresses, profiles.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many of its events, oldest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """A key's events with their headers and bodies, in order; the first is the one that the others wait behind.

    Personal data on the topic `people` isn't printed, and of what can't be read there only the size.
    """
    with plainly():
        told = asyncio.run(details(key, service, limit, show_people=show_people))
    if as_json:
        print(json.dumps(told))
        return
    for each in told:
        tries = f"{each['attempts']} tries" if each["attempts"] != 1 else "1 try"
        print(
            f"{each['service']}  {each['topic']}  {plain(each['key'])}  {each['state']} since {each['since'][:19]}Z after {tries}"
        )
        print(f"why  {plain(each['reason'])}" + (f"\nawaits  {plain(each['awaits'])}" if each["awaits"] else ""))
        for event in each["shown"]:
            print(f"\n{plain(event['type']) or '(no type)'}  {event['event'] or '(no id)'}  at {event['at']}")
            for name, value in event["headers"]:
                print(f"  {plain(name, 60)}: {plain(value)}")
            print(f"  {event['body'] if isinstance(event['body'], str) else json.dumps(event['body'], ensure_ascii=False)}")
        if each["events"] > len(each["shown"]):
            print(f"\n… and {each['events'] - len(each['shown'])} more (--limit {each['events']})")
        print()


@app.command("replay")
def replay(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="As ./ithaca held list shows it.")] = None,
    service: Service = None,
    everyone: Annotated[bool, typer.Option("--all", help="All parked keys, or those of --service.")] = False,
    wait: Annotated[bool, typer.Option(help="Say what became of it, for up to 8 seconds.")] = True,
    as_json: AsJson = False,
) -> None:
    """Have a key's events tried again, now and in order. When the cause is mended they go through; else they are held again.

    Nothing is lost and nothing happens twice: an event is taken off only with what it does. Exit code 1 if it is still held.
    """
    if (key is None) == (not everyone):
        raise typer.BadParameter("give a KEY, or --all for all parked keys", param_hint="KEY")
    with plainly():
        before, after = asyncio.run(replayed(key, service, wait=wait))
    left = {(each.service, *each.place): each for each in after}
    if as_json:
        print(
            json.dumps({"replayed": len(before), "held": [each.body() for each in after]} if wait else {"replayed": len(before)})
        )
    elif not before:
        print("Nothing is parked.")
    else:
        for each in before[:20]:
            name = f"{each.service}  {each.topic}  {plain(each.key)}"
            if not wait:
                print(f"{name}: is tried again.")
            elif (still := left.get((each.service, *each.place))) is None:
                print(f"{name}: handled, {each.events} event{'s' * (each.events != 1)}.")
            elif not still.attempts:
                print(f"{name}: not tried yet. ./ithaca status says whether {each.service} works.")
            else:
                print(f"{name}: still held, {still.state} after {still.attempts} tries: {plain(still.reason)}")
        if len(before) > 20:
            print(f"… and {len(before) - 20} more, of which {max(0, len(after) - 20)} are still held.")
    if after:
        raise typer.Exit(1)


@app.command("drop")
def drop(
    key: Key,
    service: Service = None,
    event: Event = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give up on a key's events, or on one of them with --event: the service will never have seen them.

    What waits behind a dropped event is kept and tried at once. The events stay on Kafka for as long as their topic keeps them;
    other services aren't concerned.
    """
    with plainly():
        where, lost = asyncio.run(to_drop(key, service, event))
        if not yes:
            ask(where, lost)
        kept = asyncio.run(dropped(where, lost))
    if as_json:
        print(json.dumps({"dropped": [each["event"] or each["at"] for each in lost], "kept": kept}))
        return
    behind = f" Kept, and tried now: {kept}." if kept else ""
    print(f"Dropped {len(lost)} event{'s' * (len(lost) != 1)} of {where.service}, {where.topic}, {plain(where.key)}.{behind}")


def ask(where: HeldKey, lost: Sequence[dict[str, Any]]) -> None:
    """Say what is lost, and stop unless that is wanted. Raises Trouble."""
    print(f"{where.service} will never handle:", file=sys.stderr)
    for each in lost[:20]:
        what = plain(each["type"]).removeprefix("ithaca.") or "something without a type"
        print(f"  {what}  {each['event'] or '(no id)'}  at {each['at']}  {each['time']}", file=sys.stderr)
    if len(lost) > 20:
        print(f"  … and {len(lost) - 20} more", file=sys.stderr)
    if len(lost) < where.events:
        print(f"The other {where.events - len(lost)} of this key are kept.", file=sys.stderr)
    if not sys.stdin.isatty():
        raise Trouble("nothing was dropped: nobody is there to ask. Add --yes.")
    if not typer.confirm("Drop?", err=True):
        raise Trouble("nothing was dropped.")


# ---- the tables --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def database() -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await connect(target().database)
    try:
        yield connection
    finally:
        connection.terminate()


async def services(connection: "asyncpg.Connection[asyncpg.Record]", service: str | None) -> list[str]:
    """The schemas to look into. Raises Trouble."""
    from deploy.cli.health import schemas  # noqa: PLC0415 - heavy

    there = await schemas(connection)
    if not there:
        raise Trouble(
            "there are no services' tables in this database that we may read: has ./ithaca up run, is it a superuser's?"
        )
    if service is None:
        return there
    if service not in there:
        raise Trouble(f"there is no service {plain(service, 40)}: there are {', '.join(there)}.", 2)
    return [service]


async def read_keys(
    connection: "asyncpg.Connection[asyncpg.Record]", service: str | None, begins: str | None = None
) -> list[HeldKey]:
    """Held keys, oldest first; `begins`: those that begin so."""
    found: list[HeldKey] = []
    for schema in await services(connection, service):
        rows = await connection.fetch(KEYS.format(s=schema), begins)
        found += [HeldKey(schema, **{**dict(row), "types": tuple(row["types"] or ())}) for row in rows]
    return sorted(found, key=lambda each: each.since)


async def everything(service: str | None) -> list[HeldKey]:
    async with database() as connection:
        return await read_keys(connection, service)


async def meant(connection: "asyncpg.Connection[asyncpg.Record]", key: str, service: str | None) -> list[HeldKey]:
    """The keys that KEY names: the one it is, in whichever services hold it, else the one that begins so. Raises Trouble."""
    found = await read_keys(connection, service, key)
    exact = [each for each in found if each.key == key]
    named = exact or found
    if not named:
        where = f"in {service} " if service else ""
        raise Trouble(f"nothing is held {where}under {plain(key, 80)}: ./ithaca held list shows all.")
    if len({each.key for each in named}) > 1:
        raise Trouble(f"{len(named)} held keys begin with {plain(key, 80)}: give more of it.", 2)
    return named


async def details(key: str, service: str | None, limit: int, *, show_people: bool) -> list[dict[str, Any]]:
    async with database() as connection:
        told = []
        for each in await meant(connection, key, service):
            rows = await connection.fetch(EVENTS.format(s=each.service), *each.place, limit)
            told.append(each.body() | {"shown": [shown(each.topic, row, show_people=show_people) for row in rows]})
        return told


async def replayed(key: str | None, service: str | None, *, wait: bool) -> tuple[list[HeldKey], list[HeldKey]]:
    """The keys that were made due, and those of them that are still held."""
    from deploy.cli.health import platform_time  # noqa: PLC0415 - heavy

    async with database() as connection:
        if key is None:
            before = [each for each in await read_keys(connection, service) if each.state == "parked"]
        else:
            before = await meant(connection, key, service)
        now = await platform_time(connection)
        for each in before:
            await connection.execute(AGAIN.format(s=each.service), *each.place, now)
        if not wait:
            return before, []
        return before, await watched(connection, before, now)


async def watched(connection: "asyncpg.Connection[asyncpg.Record]", keys: Sequence[HeldKey], now: datetime) -> list[HeldKey]:
    """Those that are still held when each was tried, or when it took too long."""
    from dataclasses import replace  # noqa: PLC0415 - here only

    until = time.monotonic() + WATCHED_SECONDS
    while True:
        left = []
        tried = True
        for each in keys:
            row = await connection.fetchrow(STILL.format(s=each.service), *each.place)
            if row is not None:
                tried &= row["due_at"] > now
                left.append(replace(each, state=row["state"], attempts=row["attempts"], reason=row["reason"]))
        if not left or tried or time.monotonic() > until:
            return left
        await asyncio.sleep(0.1)


async def to_drop(key: str, service: str | None, event: str | None) -> tuple[HeldKey, list[dict[str, Any]]]:
    """The key, and what of it shall go. Raises Trouble where that isn't one thing."""
    async with database() as connection:
        named = await meant(connection, key, service)
        if len(named) > 1:
            places = ", ".join(f"{each.service} ({each.topic})" for each in named)
            raise Trouble(f"several hold {plain(key, 80)}: {places}. Say which with --service.", 2)
        where = named[0]
        rows = await connection.fetch(EVENTS.format(s=where.service), *where.place, None)
    lost = [shown(where.topic, row, show_people=False) | {"seq": row["seq"]} for row in rows]
    if event is not None:
        lost = [each for each in lost if event in (each["event"], each["at"])]
        if not lost:
            raise Trouble(
                f"{plain(event, 80)} isn't held under this key: ./ithaca held show {plain(where.key, 80)} has its events."
            )
    return where, lost


async def dropped(where: HeldKey, lost: Iterable[dict[str, Any]]) -> int:
    """Take them off; how many of the key's events are left, which are then tried at once. Raises Trouble."""
    from deploy.cli.health import platform_time  # noqa: PLC0415 - heavy

    s = where.service
    async with database() as connection, connection.transaction():
        if await connection.fetchrow(LOCK.format(s=s), *where.place) is None:
            raise Trouble("it isn't held any more: it was handled meanwhile.")
        for each in lost:
            if await connection.execute(DROP_ONE.format(s=s), each["seq"]) != "DELETE 1":
                raise Trouble("what is held has changed meanwhile: look again with ./ithaca held show.")
        kept = await connection.fetch(EVENTS.format(s=s), *where.place, None)
        if kept:
            await connection.execute(AGAIN.format(s=s), *where.place, await platform_time(connection))
        else:
            await connection.execute(DROP_KEY.format(s=s), *where.place)
        return len(kept)


# ---- what may be shown -------------------------------------------------------------------------------------------------


def shown(topic: str, row: "asyncpg.Record", *, show_people: bool) -> dict[str, Any]:
    """An event with its headers and body, without what is personal."""
    from shared.cloudevents import load_headers  # noqa: PLC0415 - heavy

    safe = topic != PEOPLE or show_people
    headers = [
        (name, text(value)) if safe or name in KNOWN else ("(a header)", f"({len(value or b'')} bytes)")
        for name, value in load_headers(row["headers"])
    ]
    times = [value for name, value in headers if name == "ce_time"]
    identity: UUID | None = row["event_id"]
    return {
        "event": str(identity) if identity else None,
        "at": f"{row['partition']}:{row['offset']}",
        "type": row["type"] or "",
        "time": plain(times[0], 40) if times else "",
        "headers": headers,
        "body": readable(topic, row["body"], show_people=show_people),
    }


def readable(topic: str, body: bytes | None, *, show_people: bool) -> Any:
    """The body as JSON, without what is personal; of what isn't JSON its size and, where no person can be in it, its beginning."""
    if body is None:
        return "(empty: a tombstone)"
    if topic == PEOPLE and not show_people:
        return redacted(body)
    with contextlib.suppress(ValueError):
        if len(body) <= MOST_BODY:
            return json.loads(body)
    return f"({len(body)} bytes) {plain(text(body))}"


SAFE = ("person_id", "organization", "status", "paused_until", "enrolments", "revision", "program")
"""What a record on `people` says besides who it is and what they are like."""


def redacted(body: bytes) -> dict[str, Any] | str:
    """A record on `people` without what is personal. Of what isn't such a record nobody knows what stands where."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    from shared.events import PersonErased, PersonRecord  # noqa: PLC0415

    for kind in (PersonRecord, PersonErased):
        try:
            read = kind.model_validate_json(body).model_dump(mode="json")
        except ValidationError:
            continue
        return {name: read[name] if name in SAFE else "(personal: --show-people)" for name in read}
    return f"({len(body)} bytes, no person's record; --show-people prints them)"


def text(value: bytes | None) -> str:
    return (value or b"")[:MOST_BODY].decode(errors="replace")


def register(entered: typer.Typer) -> None:
    """Enter these commands."""
    entered.add_typer(app, name="held", rich_help_panel=GROUP)
