"""All that a service holds of a person and is theirs, to take along: the page /export and the file behind its button.

Each service has a list of what it keeps of someone, and of the tables that it leaves out with the reason: a test holds it to all of its tables.
"""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends
from fastapi.responses import Response, StreamingResponse
from pydantic import TypeAdapter

from shared import web
from shared.links import Link
from shared.service import Service
from shared.tables import Table

ExportLink = Annotated[Link, Depends(web.link_of("export"))]
Row = dict[str, Any]

FORMAT = "ithaca-export/1"
ROWS = 500
"""Read at a time: of what somebody wrote, however much, no more than this is in memory; of all only the ids."""
HOLDERS = {
    "scheduling": "Your relationships, meetings, and what you wrote",
    "gateway": "Your profile, how we reach you, and your programs",
    "matching": "How you are matched, and whom you asked",
    "notifications": "The mails we sent you",
}
"""The services that hold something of a person, by what they hold."""
BUT = {"matching": "What you said of whom you want to meet stands on a page of its own, and in no file."}
"""What a service leaves out though it is theirs."""
OF_THE_CORE = {
    "positions": "how far the topics were read",
    "inbox": "ids of the events that were read",
    "held_keys": "what waits for others: deleted as it is worked off",
    "held": "events that wait for others: deleted as they are worked off",
    "timers": "when this service acts next",
    "outbox": "events on their way: deleted as they are sent",
    "access_keys": "organizations' keys",
    "migrations": "which changes of its tables were made",
}
"""Tables of every service in which nothing is a person's own."""
KNOWN = "select exists (select from people where id = $1 and not erased)"


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows of a table that are a person's own."""

    name: str
    """In the file."""
    table: Table[Any]
    whose: str
    """The condition, with $1 the person's id."""
    leave: frozenset[str] = frozenset()
    """Fields that are of no use to them."""
    own: Callable[[Row, str], Row] | None = None
    """Of a row in which others stand too: what is this person's."""

    @property
    def ids(self) -> str:
        """Of all rows; not in order, in which a planner might walk the whole table."""
        return f"select id from {self.table.name} where {self.whose}"  # noqa: S608 - our own words

    @property
    def rows(self) -> str:
        """Those with these ids."""
        return f"{self.table.select} where id = any($1::uuid[]) order by id"

    def told(self, adapter: TypeAdapter[Any], row: Any, person: str) -> Row:
        said: Row = adapter.dump_python(row, mode="json")
        mine = self.own(said, person) if self.own else said
        return {name: value for name, value in mine.items() if name not in self.leave}


async def pieces(service: Service, person: UUID, kept: Sequence[Kept]) -> AsyncIterator[bytes]:
    """The file, some rows at a time, each read once; no transaction is as long as the slowest reader."""
    made_at = service.database.clock.now()
    head = {"format": FORMAT, "service": service.name, "person": str(person), "made_at": made_at, "data": {}}
    yield orjson.dumps(head)[:-2]
    for n, part in enumerate(kept):
        adapter, separator = TypeAdapter(part.table.kind), b""
        yield f'{"," if n else ""}"{part.name}":['.encode()
        async with service.database.transaction() as connection:
            ids = sorted(row["id"] for row in await connection.fetch(part.ids, person))
        for first in range(0, len(ids), ROWS):
            async with service.database.transaction() as connection:
                rows = list(part.table.read_all(await connection.fetch(part.rows, ids[first : first + ROWS])))
            if rows:
                yield separator + b",".join(orjson.dumps(part.told(adapter, row, str(person))) for row in rows)
                separator = b","
        yield b"]"
    yield b"}}\n"


def routes(kept: Sequence[Kept]) -> Callable[[Service], APIRouter]:
    """The page and its file, of a service that keeps this."""

    def made(service: Service) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        hit = web.limiter("10/minute", "downloads")

        async def whose(link: Link) -> None:
            async with service.database.transaction() as connection:
                if link.object != link.person or not await connection.fetchval(KNOWN, link.person):
                    raise web.nowhere()

        @router.api_route("/export/{thing}", methods=web.SHOW)
        async def look(link: ExportLink) -> Response:
            await whose(link)
            secret, urls = service.settings.link_secret, service.urls
            others = [
                (what, link.url(urls[name], secret)) for name, what in HOLDERS.items() if name != service.name and urls.get(name)
            ]
            overview = replace(link, action="mine").url(urls["scheduling"], secret) if urls.get("scheduling") else ""
            return web.page(
                web.PAGES,
                "export.html",
                what=HOLDERS[service.name],
                but=BUT.get(service.name, ""),
                others=others,
                overview=overview,
            )

        @router.post("/export/{thing}")
        async def take(link: ExportLink) -> Response:
            await whose(link)
            hit(str(link.person))
            name = f"ithaca-{service.name}-{service.database.clock.now():%Y-%m-%d}.json"
            headers = web.PAGE_HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
            return StreamingResponse(pieces(service, link.person, kept), media_type="application/json", headers=headers)

        return router

    return made
