"""The hard rules, by tables."""

from datetime import UTC, datetime

import pytest

from services.matching.domain.pool import (
    WEEK,
    free_spans,
    monday_of,
    spans_overlap,
)
from services.matching.domain.rules import Broken, Lines, broken, kept_from
from shared.events import AcrossOrganizations, Policy
from tests.matching.people import free, mentee, mentor, profile

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MONDAY = monday_of(NOW)
MORNING = free((0, "09:00", "12:00"))


def rule(one, other, **policy) -> Broken:
    chosen = Policy(**policy)
    free = free_spans(one.profile, MONDAY), free_spans(other.profile, MONDAY)
    return broken(one, other, chosen, kept_from(one, chosen, Lines([one, other])), free)


@pytest.mark.parametrize(
    ("one", "other", "policy", "expected"),
    [
        (mentee("a"), mentor("b"), {}, Broken.none),
        (mentee("a"), mentor("a"), {}, Broken.apart),
        (mentee("a", apart=("b",)), mentor("b"), {}, Broken.apart),
        (mentee("a", languages=("pt",)), mentor("b", languages=("en",)), {}, Broken.language),
        (mentee("a", languages=("pt-BR",)), mentor("b", languages=("en", "pt-PT")), {}, Broken.none),
        (mentee("a", languages=("pt",)), mentor("b"), {}, Broken.none),
        (mentee("a", languages=("pt",)), mentor("b", languages=("en",)), {"common_language": False}, Broken.none),
        (mentee("a", availability=MORNING), mentor("b", availability=free((0, "13:00", "17:00"))), {}, Broken.overlap),
        (mentee("a", availability=MORNING), mentor("b", availability=free((0, "11:00", "17:00"))), {}, Broken.none),
        (mentee("a", availability=MORNING), mentor("b", availability=free((0, "11:01", "17:00"))), {}, Broken.overlap),
        (mentee("a", availability=MORNING), mentor("b"), {}, Broken.none),
        (
            mentee("a", availability=MORNING),
            mentor("b", availability=free((0, "13:00", "17:00"))),
            {"least_overlap_hours": 0},
            Broken.none,
        ),
        (mentee("a"), mentor("b"), {"organizations": AcrossOrganizations.only_other}, Broken.apart),
        (mentee("a"), mentor("b", organization="kestrel"), {"organizations": AcrossOrganizations.only_other}, Broken.none),
        (mentee("a"), mentor("b", organization="kestrel"), {"organizations": AcrossOrganizations.only_same}, Broken.apart),
        (mentee("a", rank=3), mentor("b", rank=4), {"least_ranks_above": 2}, Broken.apart),
        (mentee("a", rank=3), mentor("b", rank=5), {"least_ranks_above": 2}, Broken.none),
        (mentee("a", rank=3), mentor("b"), {"least_ranks_above": 2}, Broken.none),
        (mentee("a", years_experience=1.0), mentor("b", years_experience=30.0), {"most_years_more": 20}, Broken.apart),
    ],
)
def test_a_pair_breaks_the_rule_that_the_policy_names(one, other, policy, expected):
    assert rule(one, other, **policy) is expected


def test_nobody_meets_anyone_of_their_own_line_but_others_of_the_same_manager():
    boss, middle = mentor("p1", own_id="boss"), mentor("p2", own_id="middle", reports_to="boss")
    peer, low = mentor("p3", own_id="peer", reports_to="middle"), mentee("p4", own_id="low", reports_to="middle")
    stranger = mentor("p5", organization="kestrel", own_id="boss")
    lines = Lines([boss, middle, peer, stranger, low])
    assert kept_from(low, Policy(), lines) == {"p1", "p2", "p4"}
    assert kept_from(low, Policy(not_in_own_line=False), lines) == {"p4"}


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Africa/Lagos", datetime(2026, 11, 25, tzinfo=UTC), (8 * 60, 11 * 60)),
        ("America/Sao_Paulo", datetime(2026, 11, 25, tzinfo=UTC), (12 * 60, 15 * 60)),
        ("Europe/Berlin", datetime(2026, 1, 14, tzinfo=UTC), (8 * 60, 11 * 60)),
        ("Europe/Berlin", datetime(2026, 7, 15, tzinfo=UTC), (7 * 60, 10 * 60)),
        ("Atlantis/Deep", datetime(2026, 7, 15, tzinfo=UTC), None),
    ],
)
def test_free_hours_are_those_of_the_week_in_question_in_utc(zone, day, expected):
    spans = free_spans(profile(time_zone=zone, availability=MORNING), monday_of(day))
    assert spans == ((expected,) if expected else ())


def test_a_window_may_lie_across_the_end_of_the_week_and_windows_may_overlap():
    spans = free_spans(profile(time_zone="Asia/Tokyo", availability=free((0, "08:00", "10:00"), (0, "09:00", "11:00"))), MONDAY)
    assert spans == ((0, 120), (WEEK - 60, WEEK))
    sunday = free_spans(profile(time_zone="America/New_York", availability=free((6, "18:00", "24:00"))), MONDAY)
    assert spans_overlap(spans, sunday) == 60 + 120
