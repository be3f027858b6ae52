"""Peers: pairs as good as brute force finds them, circles that keep every rule, and the same for any order of rows."""

import itertools
import random
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain import peers
from services.matching.domain.circles import mended, seated, sizes
from services.matching.domain.peer_score import peer_parts, peers_scoring
from services.matching.domain.peers import best_pairs
from services.matching.domain.pool import Candidate
from services.matching.domain.score import score_of
from services.matching.domain.together import TooLargeError, circles, crowd, peer_pairs
from shared.events import Aim, Policy, Role, WaitlistReason
from tests.matching.people import free, profile

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def peer(name, *, organization="northwind", apart=(), places=1, **said):
    return Candidate(name, organization, Role.peer, profile(**said), places, own_id=name, apart=frozenset(apart))


@st.composite
def scored(draw, most=7, cells=(-1, -1, 0, 1, 2, 5, 9)):
    """Symmetric scores of a few people."""
    count = draw(st.integers(0, most))
    found = np.full((count, count), -1, np.int32)
    for i, j in itertools.combinations(range(count), 2):
        found[i, j] = found[j, i] = draw(st.sampled_from(cells))
    return found


def matchings(scores):
    """Every set of allowed pairs in which nobody is twice."""

    def some(people):
        if not people:
            yield []
            return
        first, *rest = people
        yield from some(rest)
        for other in rest:
            if scores[first, other] >= 0:
                yield from ([(first, other), *more] for more in some([p for p in rest if p != other]))

    return some(list(range(len(scores))))


@settings(max_examples=400, deadline=None)
@given(scored(), st.booleans(), st.booleans())
def test_no_pairs_of_peers_are_better_and_the_gap_says_so(scores, pairs_first, few):
    found = few_at_first(scores, pairs_first) if few else best_pairs(scores, pairs_first=pairs_first)
    pairs = list(zip(found.one.tolist(), found.other.tolist(), strict=True))
    assert all(i < j and scores[i, j] == score >= 0 for (i, j), score in zip(pairs, found.scores, strict=True))
    assert len({n for pair in pairs for n in pair}) == 2 * len(pairs)

    def merit(plan):
        total = sum(int(scores[pair]) for pair in plan)
        return (len(plan), total) if pairs_first else (total,)

    assert merit(pairs) == max(map(merit, matchings(scores)))
    assert found.gap == 0


def few_at_first(scores, pairs_first):
    """With few pairs to begin with, so that the proof has to ask for more."""
    before, peers.NEAREST = peers.NEAREST, 0
    try:
        return best_pairs(scores, pairs_first=pairs_first)
    finally:
        peers.NEAREST = before


@settings(max_examples=150, deadline=None)
@given(scored(), st.booleans())
def test_where_the_time_is_short_the_gap_still_holds(scores, pairs_first):
    before = peers.NEAREST, peers.EXACT, peers.MOST_WORK
    peers.NEAREST, peers.EXACT, peers.MOST_WORK = 0, 0, 0
    try:
        found = best_pairs(scores, pairs_first=pairs_first)
    finally:
        peers.NEAREST, peers.EXACT, peers.MOST_WORK = before
    best = max(
        ((len(plan) if pairs_first else 0, sum(int(scores[p]) for p in plan)) for plan in matchings(scores)), default=(0, 0)
    )
    assert int(found.scores.sum()) + found.gap >= best[1]
    assert found.gap >= 0


def test_two_islands_of_three_leave_one_person_on_each_and_still_prove_it():
    scores = np.full((6, 6), -1, np.int32)
    for island in ((0, 1, 2), (3, 4, 5)):
        for i, j in itertools.permutations(island, 2):
            scores[i, j] = 10 + i + j
    found = best_pairs(scores, pairs_first=True)
    assert (found.one.tolist(), found.other.tolist(), found.gap) == ([1, 4], [2, 5], 0)


# ---- circles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "expected"),
    [(3, []), (4, [4]), (5, [5]), (7, [7]), (8, [4, 4]), (9, [5, 4]), (10, [5, 5]), (11, [6, 5]), (23, [5, 5, 5, 4, 4]), (1000, [5] * 200)],
)  # fmt: skip
def test_sizes_differ_by_one_at_most_and_nobody_is_dropped(people, expected):
    assert sizes(people, 4, 6) == expected


def partitions(people, allowed):
    """Every way to seat everyone in circles of these sizes."""
    if not people:
        yield []
        return
    first, *rest = people
    for size in sorted(set(allowed)):
        fewer = list(allowed)
        fewer.remove(size)
        for others in itertools.combinations(rest, size - 1):
            circle = (first, *others)
            yield from ([circle, *more] for more in partitions([p for p in rest if p not in others], fewer))


def worth(scores, seating):
    return sum(int(scores[pair]) for circle in seating for pair in itertools.combinations(circle, 2))


@settings(max_examples=60, deadline=None)
@given(scored(most=9, cells=(0, 1, 2, 5, 9)))
def test_circles_place_everyone_below_a_bound_that_no_seating_exceeds(scores):
    found = seated(scores, 3, 4)
    expected = sizes(len(scores), 3, 4)
    assert sorted(map(len, found.circles), reverse=True) == expected
    assert sorted(n for circle in found.circles for n in circle) == (list(range(len(scores))) if expected else [])
    assert found.score == worth(scores, found.circles) <= found.bound
    best = (
        max((worth(scores, seating) for seating in partitions(list(range(len(scores))), expected)), default=0) if expected else 0
    )
    assert found.score <= best <= found.bound


@settings(max_examples=60, deadline=None)
@given(scored(most=9))
def test_no_circle_breaks_a_rule_and_whoever_is_left_fits_nowhere(scores):
    found = seated(scores, 3, 4)
    for circle in found.circles:
        assert len(circle) >= 3
        assert all(scores[pair] >= 0 for pair in itertools.combinations(circle, 2))
    placed = [n for circle in found.circles for n in circle]
    assert sorted([*placed, *found.left]) == list(range(len(scores)))
    for person in found.left:
        assert not any(len(circle) < 4 and all(scores[person, n] >= 0 for n in circle) for circle in found.circles)
    assert found.score <= found.bound


def test_on_twelve_people_the_search_finds_the_best_circles():
    dice = np.random.default_rng(3)
    half = np.triu(dice.integers(0, 100, (12, 12)), 1).astype(np.int32)
    scores = half + half.T
    np.fill_diagonal(scores, -1)
    found = seated(scores, 4, 4)
    assert found.score == max(worth(scores, seating) for seating in partitions(list(range(12)), [4, 4, 4]))


def test_a_circle_with_a_breach_gives_someone_to_another_or_is_broken_up():
    scores = np.zeros((7, 7), np.int32)
    np.fill_diagonal(scores, -1)
    scores[0, 1:4] = scores[1:4, 0] = -1
    assert mended(scores, [[0, 1, 2, 3], [4, 5, 6]], 3, 4) == [[1, 2, 3], [0, 4, 5, 6]]
    scores[0, 4] = scores[4, 0] = -1
    assert mended(scores, [[0, 1, 2, 3], [4, 5, 6]], 3, 4) == [[1, 2, 3], [4, 5, 6]]
    assert mended(scores, [[0, 1, 2], [4, 5, 6]], 3, 4) == [[1, 4, 5, 6]]


# ---- people --------------------------------------------------------------------------------------------------------------


def town(count=40, seed=1):
    dice = random.Random(seed)
    skills = [f"skill-{n}" for n in range(8)]
    return [
        peer(
            f"p{n:02}",
            organization=f"o{dice.randint(1, 3)}",
            skills_have=dice.sample(skills, 3),
            skills_wanted=dice.sample(skills, 2),
            languages=dice.sample(["en", "pt", "yo"], 2),
            years_experience=float(dice.randint(0, 9)),
            function=dice.choice(["hr", "it", "law"]),
            availability=free(*((day, "09:00", "12:00") for day in dice.sample(range(5), 3))),
        )
        for n in range(count)
    ]


def test_two_peers_score_the_same_in_either_order_and_as_the_parts_say():
    known = crowd(town(), Policy(), NOW)
    assert (known.scores == known.scores.T).all()
    for i, j in itertools.combinations(range(12), 2):
        if known.scores[i, j] >= 0:
            assert score_of(known.spoken(i, j)) == known.scores[i, j]
            there = {(p.code, p.points, p.number) for p in known.spoken(i, j)}
            assert there == {(p.code, p.points, p.number) for p in known.spoken(j, i)}


@pytest.mark.parametrize("solve", [peer_pairs, circles])
def test_any_order_of_rows_gives_the_same(solve):
    people = town()
    first = solve(people, Policy(), NOW)
    for seed in range(3):
        shuffled = random.Random(seed).sample(people, len(people))
        assert solve(shuffled, Policy(), NOW) == first


def test_what_one_wants_and_the_other_only_has_counts_and_said_offers_go_first():
    one, other = peer("a", skills_wanted=["go"]), peer("b", skills_have=["go"], skills_wanted=["law"])
    scoring = peers_scoring(Policy(), [one, other])
    (part,) = peer_parts(one, other, scoring, ((), ()))
    assert (part.code, part.points, part.items) == ("skills", 1_000_000, ("go",))
    silent = peer("b", skills_have=["go"], skills_offered=["sql"])
    assert score_of(peer_parts(one, silent, peers_scoring(Policy(), [one, silent]), ((), ()))) == 0


def test_mixed_wants_the_unlike_and_alike_the_like():
    people = [peer(f"p{n}", function=function, years_experience=years)
              for n, (function, years) in enumerate([("hr", 1.0), ("hr", 1.0), ("it", 13.0), ("it", 13.0)])]  # fmt: skip
    alike = peer_pairs(people, Policy(), NOW)
    mixed = peer_pairs(people, Policy(composition="mixed"), NOW)
    assert [pair.members for pair in alike.pairs] == [("p0", "p1"), ("p2", "p3")]
    assert {pair.members for pair in mixed.pairs} in ({("p0", "p2"), ("p1", "p3")}, {("p0", "p3"), ("p1", "p2")})
    assert alike.score_total == mixed.score_total == 2 * alike.unit


def test_rules_hold_in_both_directions_and_earlier_partners_stay_apart():
    people = [peer("a", rank=1), peer("b", rank=3), peer("c", rank=2, apart=["a"]), peer("d", rank=2)]
    found = peer_pairs(people, Policy(most_ranks_above=1), NOW)
    assert [pair.members for pair in found.pairs] == [("a", "d"), ("b", "c")]
    (left,) = peer_pairs([peer("a", rank=1), peer("b", rank=3), peer("c", rank=3)], Policy(most_ranks_above=1), NOW).left
    assert (left.id, left.reason) == ("a", WaitlistReason.nobody_to_meet)


def test_with_an_odd_number_one_waits_and_it_is_the_one_who_costs_least():
    people = [peer(f"p{n}", function="hr" if n != 3 else "it") for n in range(5)]
    found = peer_pairs(people, Policy(least_score=0), NOW)
    assert (len(found.pairs), [left.id for left in found.left], found.gap) == (2, ["p3"], 0)
    assert found.left[0].reason is WaitlistReason.no_capacity


def test_the_aim_score_makes_no_pair_that_brings_nothing():
    people = [peer("a", function="hr"), peer("b", function="hr"), peer("c", function="it"), peer("d", function="law")]
    assert len(peer_pairs(people, Policy(aim="score"), NOW).pairs) == 1
    assert len(peer_pairs(people, Policy(aim="pairs", least_score=0), NOW).pairs) == 2
    with pytest.raises(TooLargeError, match="fair"):
        peer_pairs(people, Policy(aim=Aim.fair), NOW)


def test_circles_never_mix_those_without_a_common_language_and_say_why_someone_is_left():
    people = [peer(f"en{n}", languages=["en"]) for n in range(9)] + [peer(f"pt{n}", languages=["pt"]) for n in range(5)]
    found = circles([*people, peer("yo", languages=["yo"])], Policy(), NOW)
    assert [circle.members[0][:2] for circle in found.circles] == ["en", "en", "pt"]
    assert all(len({member[:2] for member in circle.members}) == 1 for circle in found.circles)
    assert [(left.id, left.reason) for left in found.left] == [("yo", WaitlistReason.no_common_language)]


def test_a_second_round_of_circles_repeats_no_meeting():
    people = town(30)
    first = circles(people, Policy(), NOW)
    apart = {member: set(circle.members) for circle in first.circles for member in circle.members}
    again = [peer(p.id, organization=p.organization, apart=apart[p.id], **p.profile.model_dump()) for p in people]
    second = circles(again, Policy(), NOW)
    met = {frozenset(two) for circle in first.circles for two in itertools.combinations(circle.members, 2)}
    assert second.left == []
    assert not met & {frozenset(two) for circle in second.circles for two in itertools.combinations(circle.members, 2)}


def test_a_circle_s_reasons_are_what_its_members_have_in_common():
    people = [peer(f"p{n}", function="hr", interests=["chess"] if n < 3 else ["go"], years_experience=4.0) for n in range(4)]
    (circle,) = circles(people, Policy(), NOW).circles
    said = {reason.code.value: (reason.number, reason.items) for reason in circle.reasons}
    assert said == {"function": (1.0, ("hr",)), "experience": (0.0, ()), "interests": (0.5, ("chess",))}
    assert circle.score == sum(part.points for part in circle.spoken)
