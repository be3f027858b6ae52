"""Times for a group: such as suit all; where there are none soon, those at which most can come, and never fewer than the quorum."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.scheduling.domain import diaries, fairness, groups, slots
from services.scheduling.domain.model import Meeting, Member, Moment, Relationship

COUNT = 3
"""Times to choose from."""
APART = timedelta(hours=12)
"""Between the series' own time and the others."""


def next_times(
    relationship: Relationship, host: UUID | None, moment: Moment, *, since: datetime | None, lead: timedelta
) -> tuple[datetime, ...]:
    """Times for the next meeting, first the one that holds if nobody picks.

    In order of time where they suit all who have no break. Where none does within an interval, of a group the series' own time if it suits
    the quorum, then those at which most can come, whoever leads among them; of as many the most reasonable, then the earliest.
    """
    there = relationship
    if relationship.is_group:
        there = replace(relationship, members=tuple(groups.active(relationship)))
    terms, now = there.terms, moment.now
    found = slots.next_slots(
        there.members,
        there.time_zone,
        terms.minutes,
        terms.every_weeks,
        now,
        since=since,
        rhythm=there.rhythm,
        lead=lead,
        busy=diaries.busy(there, moment),
        borne=fairness.borne(there),
    )
    interval = timedelta(weeks=terms.every_weeks)
    earliest = now + lead if since is None else max(since + interval - timedelta(days=2), now + lead)
    if not relationship.is_group or (found and found[0] <= earliest + interval):
        return found
    must = {m.person_id for m in groups.leaders(there)} | ({host} if host else set())
    usual: tuple[datetime, ...] = ()
    if since is not None and there.rhythm is not None:
        own = slots.in_rhythm(there.rhythm, there.time_zone, terms.every_weeks, max(since + interval / 2, now + lead))
        if _suffices(there, who_can(there, own, terms.minutes, moment), must):
            usual, earliest = (own,), own + APART
    return (*usual, *_best(there, must, earliest, COUNT - len(usual), moment)) or found


def who_can(relationship: Relationship, start: datetime, minutes: int, known: diaries.Known) -> list[UUID]:
    """Those without a break whose hours a time suits and who have nothing else then."""
    engaged = diaries.engaged(relationship, start, minutes, known)
    return [m.person_id for m in groups.active(relationship) if m.person_id not in engaged and slots.suits(m, start, minutes)]


def who_cannot(relationship: Relationship, meeting: Meeting, start: datetime, known: diaries.Known) -> list[UUID]:
    """Those whom a time of a meeting doesn't suit, and whoever has a break."""
    can = who_can(relationship, start, meeting.minutes, known)
    return [m.person_id for m in relationship.members if m.person_id not in can]


def suits_the_series(relationship: Relationship, usual: datetime, minutes: int) -> bool:
    """Whether the series' own time lies within the weeks of all, of a group of enough."""
    members = groups.active(relationship) if relationship.is_group else relationship.members
    fits = [m.person_id for m in members if slots.fits(m, usual, minutes)]
    return groups.can_meet(relationship, fits) if relationship.is_group else len(fits) == len(members)


def _suffices(relationship: Relationship, who: Sequence[UUID], must: set[UUID]) -> bool:
    return must <= set(who) and groups.can_meet(relationship, who)


def _best(relationship: Relationship, must: set[UUID], earliest: datetime, count: int, moment: Moment) -> tuple[datetime, ...]:
    """Up to so many times, the best attended first, on different days where that can be."""
    minutes, zone = relationship.terms.minutes, ZoneInfo(relationship.time_zone)
    for unsaid in (slots.OFFICE, slots.AWAKE):
        for days in (slots.FIRST_LOOK_DAYS, slots.HORIZON_DAYS):
            within = earliest, earliest + timedelta(days=days)
            free = {m.person_id: _free(relationship, m, unsaid, within, moment) for m in relationship.members}
            starts = {at for spans in free.values() for span in spans for at in slots.starts_in(span, minutes, zone)}
            found = []
            for at in starts:
                whole = at, at + timedelta(minutes=minutes)
                who = [one for one, spans in free.items() if slots.common([whole], spans) == [whole]]
                if _suffices(relationship, who, must):
                    found.append((-len(who), max(fairness.burdens(relationship.members, at, minutes)), at))
            if found:
                return _on_days(sorted(found), zone, count)
    return ()


def _free(
    relationship: Relationship, member: Member, unsaid: slots.Hours, within: slots.Span, moment: Moment
) -> list[slots.Span]:
    taken = [span for one in diaries.elsewhere(relationship, member.person_id, moment) for span in one.taken]
    return slots.without(slots.free(member, unsaid, *within), taken)


def _on_days(found: Sequence[tuple[int, int, datetime]], zone: ZoneInfo, count: int) -> tuple[datetime, ...]:
    """The best of each day first, then, where there are too few days, others."""
    best, days = [], set()
    for _, _, at in found:
        if at.astimezone(zone).date() not in days:
            days.add(at.astimezone(zone).date())
            best.append(at)
    rest = [at for _, _, at in found if at not in best]
    chosen = set([*best, *rest][:count])
    return tuple(at for _, _, at in found if at in chosen)
