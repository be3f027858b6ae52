"""The page /pick: a meeting's times, one of which is taken; another one suggested; the meeting called off."""

# ruff: noqa: FAST003 - `thing` is the link's, which `web.link_of` reads

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from services.scheduling.clicks import Seen, day, decide, instant, page, see
from services.scheduling.domain import best_times, changes, diaries, fairness, groups, meetings, polls, slots
from services.scheduling.domain.model import Meeting, MeetingStatus, Relationship
from services.scheduling.wording import CHANGES
from shared import web
from shared.decisions import Context, Outcome
from shared.errors import Rejected
from shared.events import ChangeReason
from shared.links import Link
from shared.service import Service

PickLink = Annotated[Link, Depends(web.link_of("pick"))]
CLOCK = re.compile(r"([01]?\d|2[0-3])[:.]([0-5]\d)")
ON_THIS_PAGE = frozenset({"time_taken", "own_suggestion", "time_is_past", "too_far_ahead", "does_not_fit"})
"""What is refused beside the other times, since there is something else to choose."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was chosen on the page, as it was typed."""

    act: web.Text = ""
    """Nothing for a pick, `vote`, `come`, `stay_away`, `suggest` or `call_off`."""
    slot: web.Text = ""
    date: web.Text = ""
    time: web.Text = ""
    reason: web.Text = ""
    can: Annotated[tuple[str, ...], Form(max_length=20)] = ()
    """In a group, the times at which the reader can."""

    @property
    def wrong(self) -> str:
        """What to mend before anything can be decided."""
        if self.act == "call_off":
            return "" if self.reason in CHANGES else "Please choose what comes closest."
        if self.act == "suggest":
            return "" if self.at("UTC") else "Please choose a day and a time, such as 14:30."
        if self.act in {"come", "stay_away"}:
            return ""
        if self.act == "vote":
            return "" if all(map(instant, self.can)) else "Please choose among the times."
        return "" if instant(self.slot) else "Please choose one of the times."

    def at(self, time_zone: str) -> datetime | None:
        """The instant at which a wall there shows the day and time; None where that is none."""
        on, clock = day(self.date), CLOCK.fullmatch(self.time.strip())
        if on is None or clock is None or not 2000 < on.year < 3000:
            return None
        return slots.at_local(on, int(clock[1]) * 60 + int(clock[2]), ZoneInfo(time_zone))

    def decided(self, relationship: Relationship, meeting: Meeting, person: UUID, context: Context) -> Outcome:
        member = relationship.member(person)
        assert member is not None
        if self.act == "call_off":
            return changes.call_off(relationship, meeting, person, ChangeReason(self.reason), context)
        if self.act in {"come", "stay_away"}:
            return polls.come(relationship, meeting, person, context, can=self.act == "come")
        if self.act == "vote":
            return polls.say(relationship, meeting, person, [at for at in map(instant, self.can) if at], context)
        at = self.at(member.time_zone) if self.act == "suggest" else instant(self.slot)
        assert at is not None
        if self.act != "suggest" and not groups.may_fix(relationship, meeting, person):
            return polls.say(relationship, meeting, person, [at], context)
        decide_on = changes.suggest if self.act == "suggest" else meetings.pick
        return decide_on(relationship, meeting, person, at, context)


def routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.api_route("/pick/{thing}", methods=web.SHOW, include_in_schema=False)
    async def see_slots(link: PickLink) -> Response:
        return pick_page(service, link, await see(service, link))

    @router.post("/pick/{thing}", include_in_schema=False)
    async def pick(request: Request, link: PickLink, wish: Annotated[Wish, Depends()]) -> Response:
        if wish.wrong:
            return pick_page(service, link, await see(service, link), wish.wrong, wish=wish)

        def decided(relationship: Relationship, meeting: Meeting | None, context: Context) -> Outcome:
            assert meeting is not None
            return wish.decided(relationship, meeting, link.person, context)

        try:
            return await decide(service, request, link, decided)
        except Rejected as refused:
            if refused.code not in ON_THIS_PAGE:
                raise
            seen = await see(service, link)
            text = refused.text
            if isinstance(refused, changes.DoesNotFit):
                text = f"That time doesn’t fit {seen.words.all_of(refused.who)}. Please try another one."
            return pick_page(service, link, seen, text, refused.status, wish)

    return router


def pick_page(service: Service, link: Link, seen: Seen, error: str = "", status: int = 0, wish: Wish | None = None) -> Response:
    """What is still open; `gone` where nothing is any more, so that asking for it brings new times."""
    meeting, relationship = seen.meeting, seen.relationship
    assert meeting is not None
    current = seen.version == meeting.sequence and relationship.ended_at is None
    can = current and meetings.changeable(meeting, seen.now)
    ahead = [slot for slot in meeting.slots if can and slot > seen.now and slot != meeting.starts_at]
    open_ones = diaries.still_open(relationship, meeting, seen.now, seen)
    left = [slot for slot in ahead if slot in open_ones]
    mine = [slot for slot in left if meeting.suggested_by(slot) == link.person]
    fix = groups.may_fix(relationship, meeting, link.person)
    following = relationship.meeting_id if meeting.status is MeetingStatus.cancelled else None
    return page(
        "pick.html",
        seen,
        error=error,
        status=status,
        offered=[slot for slot in left if slot not in mine or (relationship.is_group and fix)],
        mine=mine if not relationship.is_group or meeting.starts_at else [],
        open_ones=left,
        fix=fix,
        cannot=polls.cannot(relationship, meeting),
        until=meeting.proposed_at + meetings.PICK_WITHIN,
        voted=next((v for v in meeting.votes if v.person_id == link.person), None),
        votes=polls.count(relationship, meeting),
        missing={slot: best_times.who_cannot(relationship, meeting, slot, seen) for slot in left if relationship.is_group},
        gone=ahead[0] if ahead and not left and meeting.starts_at is None else None,
        current=current,
        can=can,
        changes=CHANGES,
        turns=fairness.far_apart(relationship.members, left, meeting.minutes),
        typed=wish or Wish(),
        following=replace(link, object=following, version=0).url("..", service.settings.link_secret) if following else None,
    )
