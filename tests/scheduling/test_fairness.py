"""Whose early or late hour it is, where zones are so far apart that there is no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduling.clicks import Seen
from services.scheduling.domain import fairness, meetings, slots
from services.scheduling.domain.model import Past
from services.scheduling.picking import pick_page
from shared.links import Link
from tests.scheduling.examples import NOW, At, agreed, person, took, week
from tests.scheduling.test_slots import HALF, ZONES, member, wall

DAY = timedelta(days=1)
ACROSS = [member("Asia/Tokyo"), member("America/Sao_Paulo")]
"""Twelve hours apart all year."""


@pytest.mark.parametrize(
    ("at", "minutes", "tokyo", "sao_paulo"),
    [("2026-12-01T11:00Z", 30, 150, 60), ("2026-12-01T23:00Z", 60, 60, 180), ("2026-12-01T03:00Z", 30, 0, 540)],
)
def test_what_is_borne_is_how_early_or_late_it_is_on_ones_own_wall(at, minutes, tokyo, sao_paulo):
    assert fairness.burdens(ACROSS, datetime.fromisoformat(at), minutes) == (tokyo, sao_paulo)


def sides(times, minutes):
    """Who has the later hour, by the members' numbers."""
    return [max(range(2), key=lambda n: fairness.burdens(ACROSS, at, minutes)[n]) for at in times]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([15, 30, 45, 60]), st.integers(0, 50_000).map(lambda n: NOW + n * HALF), st.integers(1, 4))
def test_far_apart_the_evening_is_the_ones_and_then_the_others(minutes, now, every_weeks):
    """Whatever a series' hour was; what is offered behind the first leaves a choice."""
    late, since, borne = [], None, [0, 0]
    for _ in range(6):
        times = slots.next_slots(
            ACROSS, "Asia/Tokyo", minutes, every_weeks, now, since=since, rhythm=since, lead=2 * DAY, borne=borne
        )
        assert all(slots.fits(one, at, minutes) for at in times for one in ACROSS), "never in anyone's quiet hours"
        assert set(sides(times, minutes)) == {0, 1}
        late += sides(times[:1], minutes)
        since, now = times[0], times[0] + HALF
        borne = fairness.added(borne, fairness.burdens(ACROSS, since, minutes))
    assert late in ([0, 1] * 3, [1, 0] * 3)


def test_a_pair_takes_turns_by_the_meetings_they_held_and_not_by_those_they_missed():
    relationship, known = agreed(people=[person("Asia/Tokyo"), person("America/Sao_Paulo")])
    mentor, _ = (m.person_id for m in relationship.members)
    late = []
    for met in (True, True, False, False, True):
        meeting = known[relationship.meeting_id]
        outcome = meetings.pick(relationship, meeting, mentor, meeting.slots[0], At(meeting.proposed_at))
        relationship, known = took(outcome, relationship, known)
        meeting, after = known[meeting.id], At(meeting.slots[0] + HALF)
        late += sides([meeting.starts_at], 30)
        outcome = (
            meetings.say_met(relationship, meeting, mentor, 30, after) if met else meetings.miss(relationship, meeting, after)
        )
        relationship, known = took(outcome, relationship, known)
    first, second, *others = late
    assert second != first
    assert others == [first, first, first], "until that one is held"


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        (("Europe/London", "America/Los_Angeles"), ()),  # eight hours: London's late afternoon
        (("Europe/Berlin", "Asia/Tokyo"), ()),
        (("Europe/London", "Europe/London"), week("19:00", "21:00")),  # all of them bear the same
        (("Europe/London", "Europe/Berlin"), week("19:00", "20:30")),  # always Berlin's
        (("Europe/London", "Australia/Sydney"), ()),  # always Sydney's: what there is
    ],
)
def test_who_is_nearer_keeps_the_hour_of_their_series(zones, said):
    people = [member(zone, said) for zone in zones]
    (first, *_) = slots.find(people, zones[0], 30, NOW)
    (second, *_) = slots.next_slots(people, zones[0], 30, 2, first, since=first, rhythm=first, lead=2 * DAY, borne=[0, 9999])
    assert wall(second, zones[0])[-5:] == wall(first, zones[0])[-5:]


halves = st.lists(st.integers(0, 47), min_size=1, max_size=8, unique=True).map(sorted)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(ZONES), min_size=2, max_size=4),
    st.dictionaries(st.integers(0, 20), halves, min_size=1, max_size=5),
    st.data(),
)
def test_the_first_time_spares_whoever_has_borne_the_most_as_far_as_it_can_be(zones, found, data):
    people = [member(zone) for zone in zones]
    days = [[NOW + day * DAY + n * HALF for n in found[day]] for day in sorted(found)]
    borne = [data.draw(st.integers(0, 2000)) for _ in people]
    chosen = fairness.in_turn(people, days, 3, 30, borne)
    assert chosen == sorted(chosen)

    def worst_off(at):
        return max(fairness.added(borne, fairness.burdens(people, at, 30)))

    everywhere = [at for day in days for at in day]
    assert worst_off(chosen[0]) == min(worst_off(at) for day in days if day[0] - days[0][0] < 7 * DAY for at in day)
    assert len(chosen) <= min(3, len(days))
    if any(fairness.reasonable(people, at, 30) for at in everywhere):
        assert not fairness.far_apart(people, everywhere, 30), "nobody's hour moves where there is one for all"


def test_who_had_the_late_hour_thrice_by_their_own_choice_is_spared_next():
    relationship, _ = agreed(people=[person("Asia/Tokyo"), person("America/Sao_Paulo")])
    evening = datetime(2026, 12, 1, 23, tzinfo=UTC)  # 20:00 in São Paulo
    past = tuple(Past(relationship.id, evening + n * 7 * DAY, held=True) for n in range(3))
    relationship = replace(relationship, recent=past, since=past[-1].at, rhythm=past[0].at, meeting_id=None)
    _, outcome = meetings.propose(relationship, At(past[-1].at + HALF))
    assert wall(outcome.events[0].slots[0], "Asia/Tokyo")[-5:] == "20:00"


@pytest.mark.parametrize(("zones", "said"), [(("Asia/Tokyo", "America/Sao_Paulo"), True), (("Africa/Lagos", "UTC"), False)])
def test_the_page_says_so_where_they_take_turns(zones, said):
    relationship, known = agreed(people=[person(zone) for zone in zones])
    (meeting,) = known.values()
    link = Link("pick", meeting.id, relationship.members[0].person_id, 0, 0)
    service = SimpleNamespace(settings=SimpleNamespace(link_secret="secret"))
    page = pick_page(service, link, Seen(relationship, meeting, "Crossing", link.person, 0, NOW))
    assert ("whose early or late hour it is goes in turn" in page.body.decode()) == said
