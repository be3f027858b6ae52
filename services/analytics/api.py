"""What analytics serves: a program's summary, and the story of any id."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from services.analytics import store
from services.analytics.domain import counts
from services.analytics.domain.anonymity import beside
from services.analytics.domain.story import subjects
from services.analytics.domain.words import sentence
from shared import web
from shared.cloudevents import rfc3339
from shared.database import Connection
from shared.errors import Rejected
from shared.events import Right
from shared.service import Service

MOST_LINES = 1000
TRACE = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: an organization by its key, or the operator, who sees all (None)."""

    organization: str | None


async def viewer(request: Request, credentials: web.Credentials) -> Viewer:
    """401 for neither; 403 for a key that may not read."""
    if credentials is None or not web.split_key(credentials.credentials)[0]:
        await web.operator(request, credentials)
        return Viewer(None)
    caller = await web.caller(request, credentials)
    if Right.read not in caller.rights:
        raise Rejected("forbidden", "This key may not read summaries and stories; it needs the right `read`.", status=403)
    return Viewer(caller.organization)


Looking = Annotated[Viewer, Depends(viewer)]


def routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1")
    database = service.database

    @router.get("/programs/{program}/summary", summary="A program's numbers")
    async def summary(request: Request, looking: Looking, program: str) -> Response:
        """For the owner's key the whole program, for a member organization's its own people.

        `scope` says which. Fewer than five people are withheld from member organizations: `withheld` is true, the numbers null.
        `totals` are the whole program's, where the owner shows them, unless the others in it are fewer than five; a number that fewer than five of theirs are in is null there. `as_of` is when Ithaca learned of the newest fact counted.
        """
        organization = looking.organization
        if organization is None:
            async with database.transaction() as connection:
                body = await _whole(connection, program)
        else:
            async with database.tenant(organization) as connection:
                known = await found(connection, program)
                owns = known["organization"] == organization
                seen = await store.summary(connection, program, own=None if owns else organization)
            people = seen.counts.enrolled
            body = _body(known, "program" if owns else "own_people", seen, withheld=not owns and counts.withheld(people))
            if not owns and organization in known["with_totals"]:
                async with database.transaction() as connection:
                    whole = (await store.summary(connection, program)).counts
                few = counts.withheld(whole.enrolled - people)
                body["totals"] = None if few else beside(store.as_numbers(whole), store.as_numbers(seen.counts))
        return tagged(request, body)

    @router.get("/story/{name:path}", summary="What happened to a person, pair, meeting, run or request, or came of an event")
    async def story(
        looking: Looking,
        name: Annotated[str, Path(max_length=200, description="an id, a trace id, or a partner's own id of a person")],
        organization: Annotated[str | None, Query(description="whose own id it is, where several have it")] = None,
        after: Annotated[UUID | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 200,
    ) -> Response:
        """In the order in which it happened. A person's story has that of their relationships in it, and each story its mails.

        An organization sees the events whose audience it is in, the operator all. Lines without personal data, for years.
        """
        ids = await _subjects(service, name, looking.organization or organization)
        opened = database.transaction() if looking.organization is None else database.tenant(looking.organization)
        async with opened as connection:
            rows = await store.lines(connection, ids, after=after, limit=limit + 1, told=TRACE.fullmatch(name) is None)
        if not rows and after is None:
            raise Rejected("not_found", "Nothing is known of this id.", status=404)
        shown = [_line(row) for row in rows[:limit]]
        following = shown[-1]["id"] if len(rows) > limit else None
        return JSONResponse({"id": name, "subjects": [str(one) for one in ids], "lines": shown, "next": following})

    return router


def tagged(request: Request, body: dict[str, Any]) -> Response:
    """The body with its ETag, or 304 for whoever has it already."""
    content = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


# ---- the summary -------------------------------------------------------------------------------------------------------


async def found(connection: Connection, program: str) -> dict[str, Any]:
    """The program, where this connection may see it. Raises Rejected."""
    known = await store.program(connection, program)
    if known is None:
        raise Rejected("not_found", "There is no such program, or your organization has no part in it.", status=404)
    return known


async def _whole(connection: Connection, program: str) -> dict[str, Any]:
    known = await found(connection, program)
    return _body(known, "program", await store.summary(connection, program))


def _body(known: dict[str, Any], scope: str, seen: store.Summary, *, withheld: bool = False) -> dict[str, Any]:
    numbers: dict[str, int | None] = dict(store.as_numbers(seen.counts))
    if withheld:
        numbers = dict.fromkeys(numbers)
    return {
        "program": known["id"],
        "organization": known["organization"],
        "name": known["name"],
        "closed": known["closed"],
        "scope": scope,
        "as_of": rfc3339(seen.as_of) if seen.as_of and not withheld else None,
        "withheld": withheld,
        **numbers,
    }


# ---- the story ---------------------------------------------------------------------------------------------------------


async def _subjects(service: Service, name: str, organization: str | None) -> list[UUID]:
    """The ids that a name stands for: itself, or the person an organization calls so; a person's relationships as well.

    Only ids come of it; which lines about them are shown is for the reader's rights to say.
    """
    async with service.database.transaction() as connection:
        called = await store.people_called(connection, name, organization)
        if len(called) > 1:
            homes = ", ".join(sorted({home for home, _ in called}))
            raise Rejected("ambiguous", f"Several have this own id; say whose: organization={homes}.", status=409)
        ids = [person for _, person in called]
        try:
            ids.append(UUID(name))
        except ValueError:
            if not ids:
                raise Rejected("not_found", "Nothing is known of this id.", status=404) from None
        return await store.with_relationships(connection, list(dict.fromkeys(ids)))


def _line(row: dict[str, Any]) -> dict[str, Any]:
    data = orjson.loads(row["data"])
    return {
        "id": str(row["id"]),
        "time": rfc3339(row["time"]),
        "recorded": rfc3339(row["recorded"]),
        "type": f"ithaca.{row['type']}",
        "what": sentence(row["type"], data),
        "subjects": subjects(data),
        "organization": row["organization"],
        "program": row["program"],
        "service": row["service"],
        "topic": row["topic"],
        "key": row["key"],
        "partition": row["log_partition"],
        "offset": row["log_offset"],
        "correlation": row["correlation"] or None,
        "causation": row["causation"] or None,
        "trace": row["trace"] or None,
        "data": data,
    }
