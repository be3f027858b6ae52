"""The people of a run as the solver sees them, and what can be counted between all of them at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shared.events import Profile, Role, Window

WEEK = 7 * 24 * 60
"""Minutes."""
SEGMENTS = 1024
"""Pieces of the week looked at together: bounds the memory of `overlap_minutes`."""

Span = tuple[int, int]
Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Someone who takes part, in one role. `places`: partners they may still get; `placed`: whether they have one already."""

    id: str
    organization: str
    role: Role
    profile: Profile
    places: int = 1
    placed: bool = False
    own_id: str = ""
    apart: frozenset[str] = frozenset()
    """Those with whom no pair is made: present and recent partners."""


def shared_tags(these: Sequence[Collection[str]], those: Sequence[Collection[str]]) -> Counts:
    """How many tags each of `these` has in common with each of `those`: an array (len(these), len(those)).

    Collections must hold each tag once.
    """
    known: set[str] = set().union(*those)
    vocabulary = {tag: n for n, tag in enumerate(sorted(known.intersection(*[set().union(*these)])))}
    if not vocabulary:
        return np.zeros((len(these), len(those)), np.float32)
    dense = np.zeros((len(vocabulary), len(those)), np.float32)
    for column, tags in enumerate(those):
        for tag in tags:
            if tag in vocabulary:
                dense[vocabulary[tag], column] = 1
    rows = [[vocabulary[tag] for tag in tags if tag in vocabulary] for tags in these]
    starts = np.cumsum([0, *map(len, rows)])
    flat = np.fromiter((n for row in rows for n in row), np.int32, int(starts[-1]))
    sparse = csr_array((np.ones(len(flat), np.float32), flat, starts), shape=(len(these), len(vocabulary)))
    return np.asarray(sparse @ dense, np.float32)


def base_language(tag: str) -> str:
    """`pt` of `pt-BR`: a common language is one that both can speak, whatever the country."""
    return tag.partition("-")[0].lower()


def languages(profile: Profile) -> tuple[str, ...]:
    """The person's languages without countries, best first, each once."""
    return tuple(dict.fromkeys(map(base_language, profile.languages)))


def monday_of(now: datetime) -> date:
    """The first day of the reference week: the one that `now` lies in, so that offsets from UTC are today's."""
    day = now.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


@lru_cache(maxsize=8192)
def _spans(time_zone: str, windows: tuple[Window, ...], monday: date) -> tuple[Span, ...]:
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ()
    origin = datetime.combine(monday, time(), UTC)
    found: list[Span] = []
    for window in windows:
        day = monday + timedelta(days=window.weekday)
        start, end = _minute(day, window.start, zone, origin), _minute(day, window.end, zone, origin)
        if end <= start:
            continue
        begin, length = start % WEEK, min(end - start, WEEK)
        found.append((begin, min(begin + length, WEEK)))
        if begin + length > WEEK:  # the week is a ring
            found.append((0, begin + length - WEEK))
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _minute(day: date, local: str, zone: ZoneInfo, origin: datetime) -> int:
    """Minutes from `origin` to this local time."""
    hour, minute = int(local[:2]), int(local[3:])
    if hour == 24:
        day, hour = day + timedelta(days=1), 0
    moment = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
    return int((moment - origin).total_seconds()) // 60


def free_spans(profile: Profile, monday: date) -> tuple[Span, ...]:
    """When the person is free, as spans of minutes of the week in UTC: in order, apart from each other, 0 being Monday 00:00.

    Empty where they didn't say, or the time zone is one this machine doesn't know.
    """
    return _spans(profile.time_zone, profile.availability, monday) if profile.availability else ()


def overlap_minutes(these: Sequence[tuple[Span, ...]], those: Sequence[tuple[Span, ...]]) -> Counts:
    """Minutes a week when both are free: an array (len(these), len(those)), to the minute."""
    total = np.zeros((len(these), len(those)), np.float32)
    rows = [n for n, spans in enumerate(these) if spans]
    columns = [n for n, spans in enumerate(those) if spans]
    if not rows or not columns:
        return total
    sides = [these[n] for n in rows], [those[n] for n in columns]
    cuts = np.array(sorted({point for side in sides for spans in side for span in spans for point in span}))
    found = np.zeros((len(rows), len(columns)), np.float32)
    for first in range(0, len(cuts) - 1, SEGMENTS):
        part = cuts[first : first + SEGMENTS + 1]
        lengths = np.diff(part).astype(np.float32)
        found += _presence(sides[0], part) @ (_presence(sides[1], part) * lengths).T
    total[np.ix_(rows, columns)] = found
    return total


def _presence(side: Sequence[tuple[Span, ...]], cuts: NDArray[np.int64]) -> Counts:
    """1 where the person is free between two cuts."""
    present = np.zeros((len(side), len(cuts) - 1), np.float32)
    for row, spans in enumerate(side):
        for start, end in spans:
            a, b = np.searchsorted(cuts, (start, end))
            present[row, a:b] = 1
    return present


def spans_overlap(one: tuple[Span, ...], other: tuple[Span, ...]) -> int:
    """Minutes a week when these two are free."""
    return sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in one for b in other)
