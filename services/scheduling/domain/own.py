"""What a person says of themselves on a page of their own: on which days their week doesn't hold, and where they meet others."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.scheduling.domain.addresses import https
from services.scheduling.domain.model import (
    GUIDES,
    Days,
    Meeting,
    MeetingStatus,
    Member,
    Moment,
    Person,
    Place,
    PlaceKind,
    Relationship,
)
from shared.decisions import NOTHING, Outcome, new
from shared.errors import Rejected

DAYS = "days"
"""The timer at which somebody's relationships take over what they said of their days."""
MOST_DAYS = 50
"""That are kept of one person and not over yet."""
A_YEAR = timedelta(days=366)
"""So far ahead may days lie; so long are they kept, since silence is counted by them."""
LONGEST_PLACE = 300
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn what is written around."""
PHONE = re.compile(r"\+?[0-9(][0-9 ()/.-]{4,28}[0-9]")


def today(person: Person, moment: Moment) -> date:
    return moment.now.astimezone(ZoneInfo(person.time_zone)).date()


def known(person: Person | None) -> Person:
    """Whose page it is. Raises Rejected where they aren't known, or were erased."""
    if person is None or person.erased:
        raise Rejected("not_found", "There is nothing at this address.", status=404)
    return person


def still_to_come(days: Iterable[Days], since: date) -> list[Days]:
    return [said for said in days if said.last >= since]


def say_days(person: Person | None, days: Days, moment: Moment) -> Outcome:
    """They are away, or can at other hours than their week's. Raises Rejected with the field that is wrong."""
    person = known(person)
    now = today(person, moment)
    if days in person.days:
        return NOTHING
    if days.last < days.first:
        raise Rejected("days", "The last day comes after the first, or leave it empty.", field="last")
    if days.last < now:
        raise Rejected("days", "That is past already. Please choose a day from today on.", field="first")
    if days.last > now + A_YEAR:
        raise Rejected("days", "That is more than a year ahead. Please say it when it is nearer.", field="last")
    if days.hours is not None and days.hours[0] >= days.hours[1]:
        raise Rejected("hours", "The end comes after the beginning, on the same day.", field="end")
    if len(still_to_come(person.days, now)) >= MOST_DAYS:
        raise Rejected("too_many_days", "That is a lot of days. Please take some of them back first.", status=409)
    kept = still_to_come(person.days, now - A_YEAR)
    return _said(person, sorted([*kept, days], key=lambda said: (said.first, said.last, said.hours or (0, 0))), moment)


def take_back(person: Person | None, days: Days, moment: Moment) -> Outcome:
    """Their week holds again on these days; nothing where they hadn't said otherwise."""
    person = known(person)
    return NOTHING if days not in person.days else _said(person, [said for said in person.days if said != days], moment)


def _said(person: Person, days: Iterable[Days], moment: Moment) -> Outcome:
    return new(replace(person, days=tuple(days))).arm(DAYS, person.id, person.id, moment.now)


def say_place(person: Person | None, place: Place | None) -> Outcome:
    """Where they meet others; nowhere of their own with None."""
    person = known(person)
    return NOTHING if person.place == place else new(replace(person, place=place))


def place(kind: str, text: str) -> Place | None:
    """What was typed, or None where nothing was. Raises Rejected with what is wrong with it."""
    words = UNSEEN.sub("", " ".join(text.split()))
    if not words:
        return None
    if kind not in {k.value for k in PlaceKind}:
        raise Rejected("place", "Please choose what it is.", field="kind")
    if len(words) > LONGEST_PLACE:
        raise Rejected("place", f"Please keep it to {LONGEST_PLACE} characters.", field="text")
    if kind == PlaceKind.room:
        words = _room(words)
    if kind == PlaceKind.phone and not PHONE.fullmatch(words):
        raise Rejected("place", "Please write the number in digits, with its country, such as +234 1 234 5678.", field="text")
    return Place(PlaceKind(kind), words)


def _room(text: str) -> str:
    link = https(text)
    if link is None:
        raise Rejected("place", "Please copy the whole link of the room; it begins with https://.", field="text")
    return link


def where(relationship: Relationship, meeting: Meeting | None, people: Mapping[UUID, Person]) -> tuple[Member, Place] | None:
    """Where a meeting that has its time takes place: at the mentor's or facilitator's, else at the first other member's who said where."""
    if meeting is None or meeting.status is not MeetingStatus.scheduled or relationship.ended_at is not None:
        return None
    said = [(m, p.place) for m in relationship.members if (p := people.get(m.person_id)) is not None and p.place is not None]
    return min(said, key=lambda one: one[0].role not in GUIDES, default=None)
