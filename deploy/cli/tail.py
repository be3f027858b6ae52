"""Watch the topics: tail."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.target import kafka_at, plainly
from deploy.local.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "On this machine"
WORD = 40


def tail(
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be given several times.")] = None,
    organization: Annotated[str | None, typer.Option(help="Only what happened in this organization's programs.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only this type, such as PairCreated.")] = None,
    key: Annotated[str | None, typer.Option(help="Only records with this key, such as a relationship's id.")] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest that is kept, not with what comes now.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    show_people: Annotated[
        bool, typer.Option("--show-people", help="On `people`, show names, addresses and own ids too. They are personal data.")
    ] = False,
    kafka: Annotated[str | None, typer.Option(help="Bootstrap servers, if not on this machine.", envvar="ITHACA_KAFKA")] = None,
) -> None:
    """Show what is written to the topics, one event a line, until Ctrl-C.

    It reads beside the services and changes nothing for them: no consumer group, nothing committed. Records that can't be read are
    shown as such. Example: `./ithaca tail --topic matching --type PairCreated --from-start --count 5`.
    """
    import asyncio  # noqa: PLC0415 - heavy, as what follows

    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from shared.events import CATALOGUE, TOPICS  # noqa: PLC0415

    if unknown := sorted(set(topic or ()) - set(TOPICS)):
        raise typer.BadParameter(f"there is no topic {', '.join(unknown)}; there are {', '.join(TOPICS)}", param_hint="--topic")
    name = kind and f"ithaca.{kind.removeprefix('ithaca.')}"
    if name and name not in CATALOGUE:
        raise typer.BadParameter(_did_you_mean(kind or "", [t.removeprefix("ithaca.") for t in CATALOGUE]), param_hint="--type")
    running = None if kafka else state()
    address = kafka or (running.addresses.get("kafka") if running else None)
    if not address:
        print("ithaca: no platform runs here: start it by ./ithaca up, or say where Kafka is by ITHACA_KAFKA.", file=sys.stderr)
        raise typer.Exit(1)

    def wanted(record: Any, headers: dict[str, bytes]) -> bool:
        return (
            (name is None or headers.get("ce_type") == name.encode())
            and (organization is None or headers.get("ce_organization") == organization.encode())
            and (key is None or record.key == key.encode())
        )

    with plainly():
        client = kafka_at(address, here=running is not None).kafka_client()
    form = as_json_line if as_json else as_text
    try:
        asyncio.run(
            follow(
                client,
                topic or list(TOPICS),
                wanted,
                lambda record: form(record, show_people=show_people),
                count,
                from_start=from_start,
            )
        )
    except (KafkaError, OSError) as error:
        print(f"ithaca: Kafka can't be read at {address}: {type(error).__name__}", file=sys.stderr)
        raise typer.Exit(1) from None


def _did_you_mean(word: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - for a mistake only

    near = difflib.get_close_matches(word, known, 3, 0.5)
    return f"there is no type {word}" + (f": did you mean {' or '.join(near)}?" if near else "; docs/events.md has them all")


async def follow(
    kafka: dict[str, Any],
    topics: list[str],
    wanted: "Callable[[Any, dict[str, bytes]], bool]",
    form: "Callable[[Any], str]",
    count: int | None,
    *,
    from_start: bool,
) -> None:
    """Print records as they come; what one fetch brings is put in the order in which it was recorded."""
    import asyncio  # noqa: PLC0415
    import contextlib  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, ended.set)
    consumer = AIOKafkaConsumer(
        *topics,
        **kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_start else "latest",
    )
    await asyncio.wait_for(consumer.start(), 20)
    try:
        if not from_start:
            await consumer.seek_to_end()
        print(
            "Reading" + (" from the start" if from_start else " what comes now") + ". Ctrl-C ends it.",
            file=sys.stderr,
        )
        left = count
        while not ended.is_set() and left != 0:
            fetched = await consumer.getmany(timeout_ms=200, max_records=1000)
            records = [record for part in fetched.values() for record in part if wanted(record, dict(record.headers))]
            records.sort(key=lambda record: (record.timestamp, record.offset))
            if left is not None:
                records, left = records[:left], left - min(left, len(records))
            try:
                for record in records:
                    print(form(record))
                if records:
                    sys.stdout.flush()
            except BrokenPipeError:  # `| head` has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                return
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consumer.stop(), 5)


def _read(record: Any, *, show_people: bool) -> dict[str, Any]:
    """What may be shown of a record: of one that can't be read only where it lies, since nobody knows what stands in it."""
    import orjson  # noqa: PLC0415

    from services.analytics.domain.story import small  # noqa: PLC0415
    from shared.cloudevents import Received  # noqa: PLC0415
    from shared.events import CATALOGUE, PersonRecord  # noqa: PLC0415

    received = Received(record, CATALOGUE)
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    if received.event is None:
        named = received.type if received.type.isascii() and received.type.replace(".", "").isalnum() else ""
        return {"time": None, "type": named or None, "problem": received.problem, **place}
    data = orjson.loads(small(received.event))
    if show_people and isinstance(received.event, PersonRecord):
        data |= {"own_id": received.event.own_id} | received.event.contact.model_dump(mode="json", exclude_none=True)
    return {
        "time": received.text("ce_time"),
        "type": received.type,
        "id": str(received.id),
        "key": received.key,
        "organization": received.organization or None,
        "program": received.program or None,
        "trace": received.text("traceparent")[3:35] or None,
        **place,
        "data": data,
    }


def as_json_line(record: Any, *, show_people: bool = False) -> str:
    """The record as a JSON object."""
    import orjson  # noqa: PLC0415

    return orjson.dumps(_read(record, show_people=show_people)).decode()


def as_text(record: Any, *, show_people: bool = False) -> str:
    """`time  type  key  organization  data` in one line."""
    seen = _read(record, show_people=show_people)
    place = f"{seen['topic']}/{seen['partition']}@{seen['offset']}"
    if "problem" in seen:
        return f"{'':19}  {seen['type'] or '?':22} can't be read: {seen['problem']}  ({place})"
    repeated = {"program", "organization"}
    short = " ".join(
        f"{name}={_brief(value)}"
        for name, value in seen["data"].items()
        if name not in repeated and value != seen["key"] and value != []
    )
    where = seen["program"] or seen["organization"] or "-"
    return f"{seen['time'][:19].replace('T', ' ')}  {seen['type'].removeprefix('ithaca.'):22} {seen['key']:36}  {where}  {short}"


def _brief(value: Any) -> str:
    """A value in few characters; lists of objects by what is in them."""
    if isinstance(value, list):
        return "[" + ",".join(_brief(one) for one in value[:4]) + (f",+{len(value) - 4}" if len(value) > 4 else "") + "]"
    if isinstance(value, dict):
        return ":".join(_brief(one) for one in value.values() if not isinstance(one, list | dict))
    text = str(value)
    return text if len(text) <= WORD else f"{text[: WORD - 1]}…"


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    app.command(rich_help_panel=GROUP)(tail)
