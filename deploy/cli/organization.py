"""Organizations on the platform and their keys: organization add, organization list."""

import asyncio
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.target import Target, Trouble, plain, plainly, problem, target, web
from deploy.local.state import home, running_home

if TYPE_CHECKING:
    import httpx

GROUP = "Bring people in"
LONGEST = 40

app = typer.Typer(help="Let organizations onto the platform; see who is there.", no_args_is_help=True, rich_markup_mode="rich")


def identifier(name: str, what: str) -> str:
    """`São Paulo Labs` is `sao-paulo-labs`: what an organization or program is called in events and addresses. Raises Trouble."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")
    if not found or len(found) > LONGEST:
        raise Trouble(f"{plain(name, 60)!r} can't name {what}: use up to {LONGEST} letters, digits and hyphens.", 2)
    return found


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called, such as northwind; ids in events are made from it.")],
    shown_name: Annotated[str | None, typer.Option("--name", help="The name that people see; NAME where left out.")] = None,
    country: Annotated[str | None, typer.Option(help="Two letters of ISO 3166-1, such as NG.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Of people who don't say theirs: an IANA name. UTC where left out.")
    ] = None,
    locale: Annotated[str | None, typer.Option(help="Language of its people's mails. en where left out.")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="It is there already: make one more key.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="organization, created, and key where one was made.")] = False,
) -> None:
    """Let an organization onto the platform and print its first API key, which is shown this once.

    The same again changes nothing and shows no key; --new-key makes one more, for when the first was lost. It needs the
    operator's token: that of the platform on this machine, else ITHACA_OPERATOR_TOKEN, with ITHACA_URLS naming the gateway.

    Example: `./ithaca organization add northwind --name "Northwind" --country NG --time-zone Africa/Lagos`
    """
    given = {"name": shown_name, "country": country, "time_zone": time_zone, "locale": locale}
    with plainly():
        found = target()
        answer = asyncio.run(
            added(found, name, {key: value for key, value in given.items() if value is not None}, new_key=new_key)
        )
    if as_json:
        print(json.dumps(answer))
        return
    organization = answer["organization"]["id"]
    if "key" not in answer:
        print(
            f"{organization} is there already and nothing changed. One more key: ./ithaca organization add {organization} --new-key"
        )
        return
    print(f"{organization} {'is on the platform' if answer['created'] else 'has one more key'}. Its API key, shown this once:\n")
    print(f"  {answer['key']}\n")
    print("Next, from files of people:")
    print(f"  ./ithaca load --organization {organization} --program NAME --mentors FILE --mentees FILE")
    print("or the first event, as its own systems would send it (docs/partners.md has the rest):")
    print(first_event(found.service("gateway"), organization))


def first_event(gateway: str, organization: str) -> str:
    """A command that opens a program."""
    event = {
        "specversion": "1.0",
        "id": "crossing-1",
        "source": f"/{organization}/hr",
        "type": "ithaca.ProgramLaunched",
        "data": {"program": "crossing", "name": "Crossing"},
    }
    return (
        f"  curl -s {gateway}/v1/events -H 'Authorization: Bearer KEY' \\\n"
        f"    -H 'Content-Type: application/cloudevents+json' \\\n    -d '{json.dumps(event)}'"
    )


@app.command("list")
def list_all(as_json: Annotated[bool, typer.Option("--json", help="As JSON, one list.")] = False) -> None:
    """Every organization, how many of its keys work, and the programs it owns with their people."""
    with plainly():
        found = asyncio.run(organizations(target()))
    if as_json:
        print(json.dumps(found))
        return
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    if not found:
        print("Nobody is here yet: ./ithaca organization add NAME")
        return
    table = Table(
        "organization", "name", "country", "time zone", "keys", "programs (people)", box=None, pad_edge=False, header_style="dim"
    )
    for each in found:
        programs = ", ".join(
            f"{p['program'].partition('.')[2]} ({p['people']:,}{', closed' if p['status'] == 'closed' else ''})"
            for p in each["programs"]
        )
        values = each["id"], each["name"], each["country"] or "", each["time_zone"], str(each["keys"]), programs
        table.add_row(*(escape(plain(value)) for value in values))
    Console().print(table)


async def organizations(found: Target) -> list[dict[str, Any]]:
    """All organizations, as the gateway knows them. Raises Trouble."""
    async with web(found.service("gateway"), found.operator_token(), timeout=30) as gateway:
        return await known(gateway)


async def known(gateway: "httpx.AsyncClient") -> list[dict[str, Any]]:
    answer = await gateway.get("/v1/organizations")
    if answer.status_code == 401:
        raise Trouble("the gateway doesn't take this operator's token: see ITHACA_OPERATOR_TOKEN.")
    if answer.status_code != 200:
        raise Trouble(f"the gateway answers {answer.status_code}: {problem(answer)}")
    there: list[dict[str, Any]] = answer.json()["organizations"]
    return there


async def added(found: Target, name: str, given: dict[str, str], *, new_key: bool) -> dict[str, Any]:
    """The gateway's answer, and `created`. What isn't given stays as it is where the organization is there. Raises Trouble."""
    organization = identifier(name, "an organization")
    async with web(found.service("gateway"), found.operator_token(), timeout=30) as gateway:
        there = {each["id"]: each for each in await known(gateway)}.get(organization)
        before = {key: there[key] for key in ("name", "country", "time_zone", "locale")} if there else {"name": name}
        body = {"id": organization} | before | given
        answer = await gateway.post("/v1/organizations", json=body, params={"new_key": str(new_key).lower()})
    if answer.status_code not in (200, 201):
        raise Trouble(f"{organization} was not added: {problem(answer)}")
    return {**answer.json(), "created": answer.status_code == 201}


# ---- keys that commands made for themselves ----------------------------------------------------------------------------


class Keys:
    """API keys that a command made for itself, so that its next run needs none: a file that only its owner reads."""

    def __init__(self, found: Target) -> None:
        self.file = (running_home() if found.local else home()) / "keys.json"
        self.prefix = "" if found.local else f"{found.service('gateway')} "

    def get(self, organization: str) -> str | None:
        return self._read().get(self.prefix + organization)

    def put(self, organization: str, key: str) -> None:
        keep(self.file, self._read() | {self.prefix + organization: key})

    def _read(self) -> dict[str, str]:
        try:
            read = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}


def keep(file: Path, content: dict[str, str]) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(content, opened, indent=2)
    new.replace(file)


def register(entered: typer.Typer) -> None:
    """Enter these commands."""
    entered.add_typer(app, name="organization", rich_help_panel=GROUP)
