"""What happened to a person, pair, meeting, run or request, or came of an event: trace."""

import os
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from deploy.local.state import running_home, state

GROUP = "On this machine"
PAGE = 500


class Unanswered(Exception):
    """There is nothing to show; the message is for a person."""


def shorten(ids: Iterable[str], least: int = 4) -> dict[str, str]:
    """Each id by so many of its last characters that no two look alike. (UUIDv7 of one day all begin alike.)"""
    known = sorted(set(ids))
    size = least
    while size < 36 and len({one[-size:] for one in known}) < len(known):
        size += 1
    return {one: f"…{one[-size:]}" for one in known}


def ask(name: str, url: str | None, key: str | None, organization: str | None) -> list[dict[str, Any]]:
    """All lines of a story, page by page. Raises Unanswered."""
    import httpx  # noqa: PLC0415 - heavy

    if url is None:
        raise Unanswered("No platform runs here: start it by ./ithaca up, or say where analytics is with --url.")
    headers = {"Authorization": f"Bearer {key or token()}"}
    lines: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": PAGE} | ({"organization": organization} if organization else {})
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        while True:
            try:
                answer = client.get(f"/v1/story/{quote(name, safe='')}", params=params)
            except httpx.HTTPError as error:
                raise Unanswered(
                    f"analytics doesn't answer at {url} ({type(error).__name__}). ./ithaca status says more."
                ) from error
            if answer.status_code == 404:
                raise Unanswered(f"Nothing is known of {name}. An id, a trace id or a partner's own id of a person is needed.")
            if answer.status_code != 200:
                detail = answer.json().get("detail", "") if "json" in answer.headers.get("content-type", "") else ""
                raise Unanswered(f"analytics answers {answer.status_code}: {detail}")
            page = answer.json()
            lines += page["lines"]
            if page["next"] is None:
                return lines
            params["after"] = page["next"]


def show(lines: list[dict[str, Any]], zipkin: str | None) -> None:
    """One row for each event, a new day set off; then where each trace can be looked at."""
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(soft_wrap=not sys.stdout.isatty())
    traces = list(dict.fromkeys(line["trace"] for line in lines if line["trace"]))
    numbers = {trace: n for n, trace in enumerate(traces, 1)}
    people = {one for line in lines for ids in line["subjects"].values() for one in ids}
    short = shorten(people)
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=3)
    table.add_column("who", overflow="fold", ratio=2)
    table.add_column("by", no_wrap=True, style="dim")
    table.add_column("trace", justify="right", style="dim")
    day = None
    for line in lines:
        time = datetime.fromisoformat(line["time"])
        shown = f"{time:%d %b %Y %H:%M:%S}" if time.date() != day else f"            {time:%H:%M:%S}"
        day = time.date()
        who = ", ".join(
            f"{kind} {' '.join(short[one] for one in ids)}" for kind, ids in line["subjects"].items() if kind != "event"
        )
        mark = str(numbers[line["trace"]]) if line["trace"] else ""
        table.add_row(
            shown, f"[bold]{line['type'].removeprefix('ithaca.')}[/bold]  {escape(line['what'])}", who, line["service"], mark
        )
    console.print(table)
    console.print()
    for trace, number in numbers.items():
        where = f"{zipkin}/zipkin/traces/{trace}" if zipkin else trace
        console.print(f"[dim]trace {number:3}[/dim]  {where}", soft_wrap=True)


def trace(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A person, pair, meeting, run, request, event, trace, or an own id such as n07.")
    ],
    organization: Annotated[str | None, typer.Option(help="Whose own id it is, where several organizations have it.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Where analytics is, if not on this machine.", envvar="ITHACA_ANALYTICS")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="An API key or the operator's token; else this machine's.", envvar="ITHACA_OPERATOR_TOKEN")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as JSON, one array.")] = False,
) -> None:
    """Tell the whole story of an id, in order: what happened, to whom, which service wrote it, and in which trace.

    A person's story holds that of the relationships they were in, a pair's story the mails about it. Names and addresses are
    never shown. Examples: `./ithaca trace n07`, `./ithaca trace 0198…`, `./ithaca trace 4bf92f3577b34da6a3ce929d0e0e4736`.
    """
    running = state()
    url = url or (running.addresses.get("analytics") if running else None)
    try:
        lines = ask(name.strip(), url, key, organization)
    except Unanswered as error:
        print(f"ithaca: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        import orjson  # noqa: PLC0415 - heavy

        sys.stdout.write(orjson.dumps(lines).decode() + "\n")
        return
    show(lines, running.addresses.get("zipkin") if running else os.environ.get("ITHACA_ZIPKIN"))


def token() -> str:
    """The operator's token of the platform on this machine. Raises Unanswered."""
    from deploy.local.secrets import Secrets  # noqa: PLC0415 - makes what isn't there

    folder = running_home()
    if not (folder / "secrets.json").exists():
        raise Unanswered("No token: give an API key or the operator's token by --key or ITHACA_OPERATOR_TOKEN.")
    return Secrets.load(folder).operator_token


def register(app: typer.Typer) -> None:
    """Enter these commands."""
    app.command(rich_help_panel=GROUP)(trace)
