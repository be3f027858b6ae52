"""The public holidays of countries, on which nobody is asked to meet."""

from datetime import date
from functools import lru_cache

import holidays
import holidays.countries  # now, and not half a second in the midst of the first decision


@lru_cache(maxsize=2048)
def holidays_of(country: str, year: int) -> frozenset[date]:
    """Those of the whole country (ISO 3166-1), with the days given in their stead; none where the library doesn't know it."""
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()


def is_off(country: str | None, day: date) -> bool:
    """Whether it is a public holiday there; never where it isn't known where."""
    return country is not None and day in holidays_of(country, day.year)
