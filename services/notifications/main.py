"""Notifications: whom to tell, how and when. Everything it runs is named here."""

from pathlib import Path

from services.notifications import api, exporting, jobs
from services.notifications.handlers import HANDLERS
from services.notifications.store import TABLES
from shared.service import Service, Settings, main

MIGRATIONS = Path(__file__).parent / "migrations"


def build(settings: Settings | None = None) -> Service:
    """One copy of the service; settings come from the environment where none are given."""
    return Service(
        "notifications",
        TABLES,
        HANDLERS,
        MIGRATIONS,
        routes=[api.routes, exporting.export],
        loops=[jobs.send_mail, jobs.call_webhooks, jobs.keep_tidy],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
