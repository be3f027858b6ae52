"""Scheduling: carries each relationship through time, from the agreement to its end."""

from pathlib import Path

from services.scheduling import (
    agreeing,
    api,
    co_mentees,
    coordinating,
    introducing,
    listening,
    looking_back,
    noting,
    own,
    picking,
    renewing,
    sharing,
)
from services.scheduling.handlers import HANDLERS
from services.scheduling.store import TABLES
from shared.service import Service, Settings, main


def build(settings: Settings | None = None) -> Service:
    return Service(
        "scheduling",
        TABLES,
        HANDLERS,
        Path(__file__).parent / "migrations",
        routes=[
            api.routes,
            agreeing.routes,
            picking.routes,
            own.routes,
            noting.routes,
            renewing.routes,
            listening.routes,
            looking_back.routes,
            sharing.routes,
            introducing.routes,
            co_mentees.routes,
            coordinating.routes,
        ],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
