"""Where a time zone is: the city it is named after, as its people write it, and what day it is there."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_WRITTEN = {"Sao Paulo": "São Paulo", "Bogota": "Bogotá", "Asuncion": "Asunción", "Cordoba": "Córdoba", "Reunion": "Réunion"}


def city(zone: str) -> str:
    """`São Paulo` of America/Sao_Paulo."""
    name = zone.rpartition("/")[2].replace("_", " ")
    return _WRITTEN.get(name, name)


def day(at: datetime, time_zone: str) -> str:
    """`Tuesday 1 December` on the wall there; of a zone that this machine doesn't know, on the wall that `at` has."""
    try:
        wall = at.astimezone(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError):
        wall = at
    return f"{wall:%A} {wall.day} {wall:%B}"
