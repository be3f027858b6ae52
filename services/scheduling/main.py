"""Scheduling: carries each relationship through time, from the agreement to its end."""

from pathlib import Path

from services.scheduling import agreeing, api, coordinating, gathering, listening, looking_back, noting, own, picking, renewing
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
            renewing.routes,
            listening.routes,
            looking_back.routes,
            coordinating.routes,
        ],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
