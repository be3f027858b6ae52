"""Words, numbers and times as mails have them."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.places import city


def hours(number: float) -> str:
    return f"{number:.3g} hour{'' if number == 1 else 's'}"


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """The time zone, or UTC for a name that this machine doesn't know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def day(moment: date) -> str:
    """`Thursday 12 March 2026`; English, whatever the machine's locale."""
    return f"{moment:%A} {moment.day} {moment:%B} {moment.year}"


def when(moment: datetime, zone: str, elsewhere: Sequence[str] = ()) -> str:
    """`Thursday 12 March 2026, 17:00 in Lagos (13:00 in São Paulo)`"""
    here = moment.astimezone(zone_of(zone))
    text = f"{day(here)}, {here:%H:%M} in {city(zone_of(zone).key)}"
    there = []
    for other in dict.fromkeys(elsewhere):
        local = moment.astimezone(zone_of(other))
        if local.utcoffset() != here.utcoffset():
            there.append(f"{f'{local:%A} ' if local.date() != here.date() else ''}{local:%H:%M} in {city(zone_of(other).key)}")
    return f"{text} ({'; '.join(there)})" if there else text


def short_when(moment: datetime, zone: str) -> str:
    """`Thu 12 March, 17:00`, for a subject."""
    here = moment.astimezone(zone_of(zone))
    return f"{here:%a} {here.day} {here:%B}, {here:%H:%M}"


def paragraphs(text: str) -> list[str]:
    """What stands between blank lines, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
