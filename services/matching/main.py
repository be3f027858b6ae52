"""Matching: who with whom, and why. The one composition root."""

from pathlib import Path

from services.matching import api, jobs
from services.matching.handlers import HANDLERS
from services.matching.store import TABLES
from shared.service import Service, Settings, main


def build(settings: Settings | None = None) -> Service:
    """The service, not yet connected to anything; settings come from the environment where none are given."""
    return Service(
        "matching",
        TABLES,
        HANDLERS,
        Path(__file__).parent / "migrations",
        routes=[api.runs, api.proposals],
        loops=[jobs.runs],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
