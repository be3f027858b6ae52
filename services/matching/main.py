"""Matching: who with whom, and why. The one composition root."""

from functools import partial
from pathlib import Path

from services.matching import api, asking, coordinating, exporting, jobs, joining, lighter, personal, resting
from services.matching.handlers import HANDLERS
from services.matching.ranking import Ranking
from services.matching.rescoring import Rescoring
from services.matching.store import TABLES
from shared.service import Service, Settings, main


def build(settings: Settings | None = None) -> Service:
    """The service, not yet connected to anything; settings come from the environment where none are given."""
    settings = settings or Settings()
    ranking = Ranking(settings.database)
    return Service(
        "matching",
        TABLES,
        HANDLERS,
        Path(__file__).parent / "migrations",
        routes=[
            api.runs,
            api.proposals,
            partial(asking.routes, ranking),
            coordinating.routes,
            partial(joining.api, ranking),
            partial(joining.pages, ranking),
            personal.routes,
            resting.routes,
            lighter.routes,
            exporting.export,
        ],
        loops=[jobs.runs, Rescoring(ranking).proposals, ranking.until_stopped],
        settings=settings,
    )


if __name__ == "__main__":
    main(build)
