"""The best plan: equal to brute force on small programs, certified, and the same whatever the order of rows."""

import itertools
import random
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain import assign
from services.matching.domain.assign import Problem, TooLargeError, bound, prices, solve, weighed
from services.matching.domain.plan import plan
from shared.events import Aim, Policy, WaitlistReason
from tests.matching.people import mentee, mentor

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@st.composite
def problems(draw):
    rows, columns = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    score = np.array([[draw(st.integers(0, 9)) for _ in range(columns)] for _ in range(rows)], np.int32).reshape(rows, columns)
    may = np.array([[draw(st.booleans()) for _ in range(columns)] for _ in range(rows)], bool).reshape(rows, columns)
    places = np.array([draw(st.integers(0, 3)) for _ in range(columns)], np.int64)
    new = np.array([draw(st.booleans()) for _ in range(columns)], bool)
    return score, may, places, new


def plans(score, may, places):
    """Every plan there is: for each mentee a mentor or none."""
    rows, columns = score.shape
    for choice in itertools.product(range(-1, columns), repeat=rows):
        pairs = [(i, j) for i, j in enumerate(choice) if j >= 0]
        if all(may[i, j] for i, j in pairs) and all(sum(k == j for _, k in pairs) <= places[j] for j in range(columns)):
            yield pairs


def merit(pairs, score, new, aim):
    """What the aim looks at, first to last."""
    total = sum(int(score[i, j]) for i, j in pairs)
    if aim == "everyone":
        return len(pairs) + len({j for _, j in pairs if new[j]}), total
    return (len(pairs), total) if aim == "pairs" else (total,)


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from(["everyone", "pairs", "score"]))
def test_no_plan_is_better_and_the_certificate_says_so(problem, aim):
    score, may, places, new = problem
    solution = solve(weighed(score, may, places, new, aim))
    best = max(merit(pairs, score, new, aim) for pairs in plans(score, may, places))
    assert solution.pairs in list(plans(score, may, places))
    assert merit(solution.pairs, score, new, aim) == best
    assert solution.gap == 0


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from(["everyone", "pairs", "score"]), st.randoms(use_true_random=False))
def test_a_worse_plan_never_gets_a_certificate(problem, aim, dice):
    score, may, places, new = problem
    known = weighed(score, may, places, new, aim)
    best = solve(known)
    worse = dice.choice(list(plans(score, may, places)))
    gained = [(i, j) for i, j in worse if known.worth[i, j] > 0]
    worth = sum(int(known.worth[i, j]) for i, j in gained) + int(known.bonus[sorted({j for _, j in gained})].sum())
    assert bound(known, prices(known, gained)) - worth >= best.worth - worth


def test_a_thousand_people_are_solved_to_the_unit():
    numbers = np.random.default_rng(7)
    score = numbers.integers(0, 1_000_000, (800, 90)).astype(np.int32)
    known = weighed(score, numbers.random((800, 90)) < 0.4, np.full(90, 3), np.ones(90, bool), "everyone")
    solution = solve(known)
    assert (len(solution.pairs), solution.gap) == (270, 0)


def test_more_than_memory_holds_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(assign, "MOST_CELLS", 10)
    worth = np.ones((4, 3), np.int64)
    with pytest.raises(TooLargeError, match="4 mentees × 3 places"):
        solve(Problem(worth, np.ones(3, np.int64), np.zeros(3, np.int64)))


SKILLS = ["sql", "go", "law", "rust", "cloud"]


def crowd(seed: int, mentees: int = 40, mentors: int = 12):
    dice = random.Random(seed)
    some = lambda: tuple(sorted(dice.sample(SKILLS, dice.randint(1, 2))))  # noqa: E731
    people = [mentee(f"e{n:03}", skills_wanted=some(), languages=("en",)) for n in range(mentees)]
    return people + [mentor(f"m{n:03}", dice.randint(1, 3), skills_offered=some(), languages=("en",)) for n in range(mentors)]


@pytest.mark.parametrize("aim", [Aim.everyone, Aim.pairs, Aim.score])
def test_ten_shufflings_of_the_people_give_the_same_pairs_ties_included(aim):
    people = crowd(3)
    policy = Policy(aim=aim)
    first = plan(people, policy, NOW)
    for seed in range(10):
        random.Random(seed).shuffle(people)
        assert plan(people, policy, NOW) == first
    assert first.pairs
    assert first.gap == 0


def test_everyone_is_with_somebody_before_anybody_has_two():
    people = [mentor("m1", 3, skills_offered=("sql",)), mentor("m2", 3, skills_offered=("law",))]
    people += [mentee(f"e{n}", skills_wanted=("sql",)) for n in range(3)]
    pairs = {aim: {p.mentor for p in plan(people, Policy(aim=aim), NOW).pairs} for aim in (Aim.everyone, Aim.pairs)}
    assert pairs == {Aim.everyone: {"m1", "m2"}, Aim.pairs: {"m1"}}


def test_a_mentor_who_has_someone_already_is_not_preferred_for_being_alone():
    people = [mentor("m1", 2, skills_offered=("sql",)), mentor("m2", 2, skills_offered=("law",), placed=True)]
    people += [mentee(f"e{n}", skills_wanted=("sql",)) for n in range(2)]
    assert {p.mentor for p in plan(people, Policy(), NOW).pairs} == {"m1"}


def left(people, **policy):
    found = plan(people, Policy(**policy), NOW)
    return {one.id: (one.reason, one.missing, one.mentors_that_would_help) for one in found.left}


def test_each_person_left_over_is_told_what_binds():
    people = [
        mentor("m1", skills_offered=("sql",), languages=("en",)),
        mentor("m2", skills_offered=("go",), languages=("yo",)),
        mentee("e1", skills_wanted=("sql",), languages=("en",)),
        mentee("e2", skills_wanted=("sql", "go"), languages=("en",), years_experience=1.0),
        mentee("e3", skills_wanted=("security",), languages=("en",)),
        mentee("e4", skills_wanted=("security",), languages=("en",)),
        mentee("e5", skills_wanted=("sql",), languages=("pt-BR",)),
    ]
    told = left(people, aim=Aim.score)
    assert told == {
        "m2": (WaitlistReason.no_common_language, ("yo",), None),
        "e2": (WaitlistReason.no_capacity, (), None),
        "e3": (WaitlistReason.nobody_offers, ("security",), 2),
        "e4": (WaitlistReason.nobody_offers, ("security",), 2),
        "e5": (WaitlistReason.no_common_language, ("pt",), None),
    }


def test_without_mentors_there_is_nobody_to_meet():
    assert left([mentee("e1")]) == {"e1": (WaitlistReason.nobody_to_meet, (), None)}
    assert left([mentor("m1")]) == {"m1": (WaitlistReason.nobody_to_meet, (), None)}
    assert left([]) == {}


def test_nobody_is_paired_below_the_least_score_and_hears_so():
    people = [mentor("m1", skills_offered=("sql",)), mentee("e1", skills_wanted=("sql", "go", "law"))]
    assert left(people, least_score=0.2) == {}
    assert {reason for reason, _, _ in left(people, least_score=0.5).values()} == {WaitlistReason.below_least_score}


def test_a_full_mentor_takes_nobody_and_counts_as_offering():
    people = [mentor("m1", 0, skills_offered=("sql",), placed=True), mentee("e1", skills_wanted=("sql",))]
    assert left(people) == {"e1": (WaitlistReason.no_capacity, (), None)}
