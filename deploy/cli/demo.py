"""`./ithaca demo`: everything on this machine, and a story that shows it at work."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.local.state import State, demo_home, state

if TYPE_CHECKING:
    from deploy.demo.around import Around

TITLE = "Ithaca demo", "two employers share one mentoring program."


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, to look around.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one last line of JSON with what happened.")] = False,
    compose: Annotated[bool, typer.Option("--compose", help="In containers, those of docker-compose.yml; needs Docker.")] = False,
    scale: Annotated[list[str] | None, typer.Option(help="With --compose: so many copies, such as matching=3.")] = None,
) -> None:
    """Start everything on this machine, play seven weeks of a mentoring program in seconds, and say what happened.

    Needs nothing but Python: Kafka, PostgreSQL, Zipkin and a mailbox are brought along. Its data lie apart from those of
    [bold]./ithaca up[/bold] and are deleted when it starts again. With --keep, [bold]status[/bold], [bold]trace[/bold] and
    [bold]tail[/bold] look at it, and [bold]./ithaca down[/bold] ends it. With --compose the same happens in containers.
    """
    failure, result = in_containers(keep, scale or []) if compose else on_this_machine(keep)
    if failure:
        print(f"ithaca: {failure}", file=sys.stderr)
    if as_json:
        print(json.dumps(result))
    if failure:
        raise typer.Exit(1)


def on_this_machine(keep: bool) -> tuple[str, dict[str, object]]:
    """The story on the embedded platform: what went wrong, if anything did, and its result."""
    import asyncio  # noqa: PLC0415 - heavy, for the commands only

    from deploy.cli.platform import explained  # noqa: PLC0415
    from deploy.local import supervisor  # noqa: PLC0415
    from deploy.local.secrets import Secrets  # noqa: PLC0415
    from shared.events.topics import SERVICES  # noqa: PLC0415

    if state() is not None:
        print("ithaca: the platform is up. End it first: ./ithaca down", file=sys.stderr)
        raise typer.Exit(1)
    folder = demo_home()
    say(*TITLE, wide=True)
    began = time.monotonic()
    with explained():
        supervisor.down(wipe=True, folder=folder)
        services = len(SERVICES)
        running = supervisor.up(detached=True, folder=folder, progress=progress)
    clear()
    say("platform", f"Kafka, PostgreSQL, Zipkin, mailbox, {services} services    up in {time.monotonic() - began:.1f} s")
    result: dict[str, object] = {}
    failure = ""
    try:
        result, failure = asyncio.run(play(running, Secrets.load(folder).operator_token))
        say(
            "",
            "./ithaca trace n14       one person's whole story"
            if keep
            else "./ithaca demo --keep     leaves it up to look around",
        )
    finally:
        if not keep:
            supervisor.down(folder=folder)
    return failure, result


def in_containers(keep: bool, scale: list[str]) -> tuple[str, dict[str, object]]:
    """The same in containers, which are a compose project of their own, begun afresh each time."""
    import asyncio  # noqa: PLC0415 - heavy

    from deploy.cli.platform import explained  # noqa: PLC0415
    from deploy.compose.stack import Containers, Stack  # noqa: PLC0415
    from deploy.local.state import home  # noqa: PLC0415

    stack = Stack("ithaca-demo", home())
    result: dict[str, object] = {}
    with explained():
        stack.prepare()
        say(*TITLE, wide=True)
        stack.down()
        began = time.monotonic()
        progress("Building the image")
        stack.build()
        clear()
        say("image", f"one for all services    built in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        try:
            running = stack.up(scale, progress)
            clear()
            say("platform", f"{len(stack.running())} containers    up in {time.monotonic() - began:.1f} s")
            result, failure = asyncio.run(play(running, stack.secrets.operator_token, Containers(stack)))
            result["up_to_end_seconds"] = round(time.monotonic() - began, 1)
            say("", f"from `docker compose up` to here: {result['up_to_end_seconds']} s")
        finally:
            if not keep:
                stack.down()
    if keep:
        say("", f"docker compose -p {stack.project} down -v     ends it")
    return failure, result


async def play(running: State, operator_token: str, around: "Around | None" = None) -> tuple[dict[str, object], str]:
    """The story's result, and what went wrong, if anything did."""
    import httpx  # noqa: PLC0415 - heavy

    from deploy.demo.outside import StoryError  # noqa: PLC0415
    from deploy.demo.story import Story  # noqa: PLC0415

    story = Story(running, operator_token, say, around)
    try:
        return await story.play(), ""
    except (StoryError, TimeoutError, httpx.HTTPError) as error:
        return story.result, str(error) or type(error).__name__


def say(label: str, text: str, *, wide: bool = False) -> None:
    if text:
        print(f"{label}: {text}" if wide else f"{label:9} {text}")


def progress(text: str) -> None:
    """One line that changes, on a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {text[:100]}", end="", flush=True)


def clear() -> None:
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(demo)
