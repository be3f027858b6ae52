"""The secrets of the containers of docker-compose.yml."""

import typer


def secrets() -> None:
    """Make the passwords and keys that docker-compose.yml needs, once: under .ithaca/compose, readable by you alone.

    What was made before stays. Afterwards: [bold]docker compose up --build --wait --scale matching=3[/bold]
    """
    from deploy.cli.platform import explained  # noqa: PLC0415 - heavy
    from deploy.compose.secrets import folder, write  # noqa: PLC0415
    from deploy.local.state import home  # noqa: PLC0415

    with explained():
        write(home())
    print(f"Secrets of the containers: {folder(home())}")
    print("Next: docker compose up --build --wait --scale matching=3")


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="On this machine")(secrets)
