"""How the demo's weeks pass: whoever meets meanwhile says so on the same day."""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from deploy.demo.outside import click
from deploy.demo.sample import NORTHWIND

if TYPE_CHECKING:
    from deploy.demo.story import Pair, Story

Planned: TypeAlias = "tuple[Pair, dict[str, Any]]"
"""Whose meeting, and the meeting."""
SILENT = 2
"""So many pairs, the last, don't say whether they met a second time."""
SAYS = timedelta(minutes=10)
"""After a meeting its mentee says that they met."""


async def meetings(story: "Story", number: int) -> dict[str, dict[str, Any]]:
    """Wait until every pair's meeting of this number has its time, which may be over; relationship → meeting."""

    async def all_there() -> dict[str, dict[str, Any]] | None:
        there = {pair.id: meeting for pair, meeting in await with_a_time(story) if meeting["number"] == number}
        return there if len(there) == len(story.pairs) else None

    found: dict[str, dict[str, Any]] = await story.until(f"{len(story.pairs)} meetings with a time", all_there)
    return found


async def with_a_time(story: "Story") -> list[Planned]:
    """Every meeting of the pairs that is scheduled or over."""
    paths = [f"/v1/relationships/{pair.id}" for pair in story.pairs]
    known = await asyncio.gather(*(story.call("GET", "scheduling", path, story.keys[NORTHWIND.id]) for path in paths))
    return [
        (pair, meeting)
        for pair, relationship in zip(story.pairs, known, strict=True)
        for meeting in relationship["meetings"]
        if meeting["status"] in {"scheduled", "held", "missed"}
    ]


async def diary(story: "Story") -> list[list[Planned]]:
    """Meetings that will take place or have just done so, by day, for those who say so."""
    return by_day(
        [
            (pair, meeting)
            for pair, meeting in await with_a_time(story)
            if meeting["status"] == "scheduled" and not (meeting["number"] == 2 and pair in story.pairs[-SILENT:])
        ]
    )


async def live(story: "Story", until: datetime) -> None:
    """Let the platform's time pass until then; who meets meanwhile says so on the same day."""
    for today in await diary(story):
        over = max(end_of(meeting) for _, meeting in today) + SAYS
        if over <= until:
            await story.go_to(over)
            await asyncio.gather(*(click(story.http, link, met="yes", minutes="30") for link in await links_of(story, today)))
            story.ledger.held += len(today)
    await story.go_to(until)


async def links_of(story: "Story", today: list[Planned]) -> list[str]:
    """The links by which the mentees of these meetings say that they met."""
    things = {pair.mentee: meeting["meeting_id"] for pair, meeting in today}
    links = await story.mailed(list(things), "met", things.__getitem__)
    return list(links.values())


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def end_of(meeting: dict[str, Any]) -> datetime:
    return moment(meeting["starts_at"]) + timedelta(minutes=meeting["minutes"])


def by_day(planned: list[Planned]) -> list[list[Planned]]:
    """Those that end within twelve hours of each other, in order of time."""
    found: list[list[Planned]] = []
    for one in sorted(planned, key=lambda one: end_of(one[1])):
        if not found or end_of(one[1]) - end_of(found[-1][0][1]) > timedelta(hours=12):
            found.append([])
        found[-1].append(one)
    return found
