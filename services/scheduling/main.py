"""Scheduling: carries each relationship through time, from the agreement to its end."""

from pathlib import Path

from services.scheduling import (
    agreeing,
    api,
    checking_in,
    co_mentees,
    coordinating,
    exporting,
    gathering,
    giving,
    goals,
    introducing,
    listening,
    looking_back,
    mine,
    noting,
    own,
    picking,
    recognising,
    renewing,
    sharing,
    skills,
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
            gathering.routes,
            own.routes,
            noting.routes,
            goals.routes,
            skills.routes,
            renewing.routes,
            listening.routes,
            looking_back.routes,
            checking_in.routes,
            giving.routes,
            mine.routes,
            recognising.routes,
            exporting.export,
            sharing.routes,
            introducing.routes,
            co_mentees.routes,
            coordinating.routes,
        ],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
