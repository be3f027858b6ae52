"""The gateway: who may speak, and the people, organizations and programs of whom partners speak."""

from pathlib import Path

from services.gateway import api, exporting, jobs, mentoring, nominating, outcomes
from services.gateway.handlers import HANDLERS
from services.gateway.store import TABLES
from shared.service import Service, Settings, main


def build(settings: Settings | None = None) -> Service:
    return Service(
        "gateway",
        TABLES,
        HANDLERS,
        Path(__file__).parent / "migrations",
        routes=[api.routes, nominating.routes, mentoring.routes, outcomes.routes, exporting.export],
        loops=[jobs.forget_intakes, jobs.keep_compacting],
        settings=settings or Settings(),
    )


if __name__ == "__main__":
    main(build)
