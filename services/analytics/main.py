"""Analytics: reads everything, decides nothing but what the numbers are; tells the story of any id."""

from pathlib import Path

from services.analytics import api, jobs, worth
from services.analytics.handlers import HANDLERS
from services.analytics.store import TABLES
from shared.service import Service, Settings, main


def build(settings: Settings | None = None) -> Service:
    """All of it, wired; settings come from the environment where none are given."""
    return Service(
        "analytics",
        TABLES,
        HANDLERS,
        Path(__file__).parent / "migrations",
        routes=[api.routes, worth.routes],
        loops=[jobs.measure],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
