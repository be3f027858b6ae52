"""The passwords and keys of one embedded platform: made once, kept in a file that only its owner reads."""

import base64
import contextlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.processes import PartError


@dataclass
class Secrets:
    """What is secret, and the file it is kept in."""

    file: Path
    link_secret: str
    operator_token: str
    secret_key: str  # 32 bytes in base64: encrypts the keys of webhooks in the database
    superuser: str
    databases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Path) -> "Secrets":
        """Those of a home folder; made where there are none. Raises PartError when the file is broken."""
        file = home / "secrets.json"
        try:
            return cls(file, **json.loads(file.read_text()))
        except FileNotFoundError:
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            made = cls(file, new(), new(), key, new())
            made.save()
            return made
        except (ValueError, TypeError) as error:
            message = (
                f"{file} can't be read ({type(error).__name__}): put back a copy, or start afresh with `./ithaca down --wipe`."
            )
            raise PartError(message) from error

    def database(self, service: str) -> str:
        """The database password of a service, made at the first call."""
        if service not in self.databases:
            self.databases[service] = new()
            self.save()
        return self.databases[service]

    def save(self) -> None:
        """Write the file, whole or not at all, readable by its owner alone."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(f".{os.getpid()}.new")
        content = {name: value for name, value in vars(self).items() if name != "file"}
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file, indent=2)
        temporary.replace(self.file)


def new() -> str:
    """256 bits, safe in an address."""
    return secrets.token_urlsafe(32)
