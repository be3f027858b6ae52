"""The secrets of the containers: made once, kept under .ithaca/compose, one file a container, each with no more than it needs."""

import os
from pathlib import Path

from deploy.local.secrets import Secrets
from shared.events.topics import SERVICES


def folder(home: Path) -> Path:
    """Where docker-compose.yml looks for them."""
    return home / "compose"


def write(home: Path) -> Secrets:
    """Write an environment file for each container, which its owner alone reads. What was made before stays as it is."""
    secrets = Secrets.load(folder(home))
    for container, variables in files(secrets).items():
        keep(folder(home) / f"{container}.env", variables)
    return secrets


def files(secrets: Secrets) -> dict[str, dict[str, str]]:
    """Variables by container. A service is given its own database role's password and no other."""
    passwords = {name: secrets.database(name) for name in SERVICES}
    made = {name: service(secrets, name, password) for name, password in passwords.items()}
    made["postgres"] = {"POSTGRES_PASSWORD": secrets.superuser}
    made["setup"] = {"ITHACA_SUPERUSER": f"postgresql://ithaca:{secrets.superuser}@postgres:5432/ithaca"}
    made["setup"] |= {f"ITHACA_PASSWORD_{name.upper()}": password for name, password in passwords.items()}
    return made


def service(secrets: Secrets, name: str, password: str) -> dict[str, str]:
    """What one service is given."""
    variables = {
        "ITHACA_DATABASE": f"postgresql://{name}:{password}@postgres:5432/ithaca",
        "ITHACA_OPERATOR_TOKEN": secrets.operator_token,
        "ITHACA_LINK_SECRET": secrets.link_secret,
    }
    if name == "notifications":
        variables["ITHACA_SECRET_KEY"] = secrets.secret_key
    return variables


def keep(file: Path, variables: dict[str, str]) -> None:
    """Write one file, whole or not at all, readable by its owner alone."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.writelines(f"{name}={value}\n" for name, value in variables.items())
    new.replace(file)
