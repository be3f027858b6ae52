"""Make ready a cluster that isn't ours: topics, access rules, the services' users and roles."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.target import Trouble, plainly, target

if TYPE_CHECKING:
    from deploy.acls import Rule

GROUP = "For a cluster of your own"

app = typer.Typer(
    help="Make Kafka and PostgreSQL ready for the services: topics, access rules, users, roles. Each may be run again.",
    no_args_is_help=True,
)

Passwords = Annotated[
    Path, typer.Argument(help='A JSON file with a password for each service: {"gateway": "…", "matching": "…", …}', exists=True)
]


@app.command()
def topics(
    replication: Annotated[
        int, typer.Option(min=1, max=7, help="Copies of each record; a write counts once all but one have it.")
    ] = 3,
) -> None:
    """Make the topics that are missing."""
    import asyncio  # noqa: PLC0415 - heavy, as what follows

    from shared.topics import create  # noqa: PLC0415

    made = asked(lambda: asyncio.run(create(target().kafka().kafka_client(), replication=replication)))
    print(f"Made {', '.join(made)}." if made else "All topics are there.")


@app.command()
def acls(
    apply: Annotated[bool, typer.Option("--apply", help="Give the cluster the rules that it lacks.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The rules that should be, as JSON, for other tools; asks no cluster.")
    ] = False,
) -> None:
    """Compare the cluster's access rules with those that the table of writers and readers asks for; code 1 where they differ."""
    from dataclasses import asdict  # noqa: PLC0415 - rarely wanted

    from deploy import acls as access  # noqa: PLC0415 - heavy

    wanted = access.rules()
    if as_json:
        print(json.dumps([asdict(rule) for rule in wanted], indent=2))
        return
    there = asked(lambda: access.read(target().kafka()))
    missing, more = sorted(set(wanted) - set(there)), access.superfluous(there, wanted)
    if apply and missing:
        asked(lambda: access.apply(target().kafka(), missing))
    for rule in wanted:
        print(f"{'+' if rule in missing else ' '} {line(rule)}")
    for rule in more:
        print(f"? {line(rule)}   follows from no table: take it away unless you know what for")
    print(
        f"{len(wanted)} rules: {len(missing)} {'added' if apply else 'missing'}, {len(more)} more about our services and topics."
    )
    if more or (missing and not apply):
        raise typer.Exit(1)


@app.command()
def users(passwords: Passwords) -> None:
    """Give each service its user at Kafka (SCRAM-SHA-512), or its new password."""
    from deploy import acls as access  # noqa: PLC0415 - heavy

    found = read_passwords(passwords)
    asked(lambda: access.make_users(target().kafka(), found))
    print(f"Users {', '.join(found)}.")


@app.command()
def roles(passwords: Passwords) -> None:
    """Give each service its role and schema in PostgreSQL, or its new password. ITHACA_DATABASE is a superuser's."""
    import asyncio  # noqa: PLC0415 - heavy, as what follows

    from shared.database import provision  # noqa: PLC0415

    found = read_passwords(passwords)
    asked(lambda: asyncio.run(provision(target().database, found)))
    print(f"Roles {', '.join(found)}.")


def asked(what: Callable[[], Any]) -> Any:
    """The answer; what the cluster refuses ends the command with one line."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415 - heavy
    from confluent_kafka import KafkaException  # noqa: PLC0415

    with plainly():
        try:
            return what()
        except KafkaError as error:
            raise Trouble(f"Kafka refuses: {type(error).__name__}") from None
        except KafkaException as error:
            raise Trouble(f"Kafka refuses: {error.args[0].str()}") from None


def read_passwords(file: Path) -> dict[str, str]:
    """A password per service. Ends the command where the file isn't as it should be; never prints what is in it."""
    from shared.events.topics import SERVICES  # noqa: PLC0415 - heavy

    with plainly():
        try:
            given = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise Trouble(f"{file} isn't JSON that can be read ({type(error).__name__}).") from None
        if (
            not isinstance(given, dict)
            or set(given) != set(SERVICES)
            or not all(isinstance(one, str) and one for one in given.values())
        ):
            raise Trouble(f"{file} should hold a password for each of {', '.join(SERVICES)} and nothing else.")
        return given


def line(rule: "Rule") -> str:
    """A rule for a person."""
    return f"{rule.principal:14} {rule.operation:6} {rule.resource.lower():6} {rule.name}{'*' if rule.prefixed else ''}"


def register(entered: typer.Typer) -> None:
    """Enter these commands."""
    entered.add_typer(app, name="cluster", rich_help_panel=GROUP)
