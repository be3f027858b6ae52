"""The best plan: equal to brute force on small programs, certified, and the same whatever the order of rows."""

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from services.matching.domain import assign
from services.matching.domain.assign import Matrix, Prices, bound, problem, solve
from services.matching.domain.kernels import FAR, NEAR
from services.matching.domain.kernels import bounds as bounded
from services.matching.domain.plan import TooLargeError, plan
from services.matching.domain.rules import alike
from services.matching.domain.scan import Scan
from shared.events import Aim, Policy, WaitlistReason
from tests.matching.people import free, mentee, mentor
from tests.matching.test_score import table_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


AIMS = ["everyone", "pairs", "score", "fair"]


@st.composite
def problems(draw):
    rows, columns = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    cell = st.sampled_from([-1, 0, 1, 2, 5, 9])
    score = np.array([[draw(cell) for _ in range(columns)] for _ in range(rows)], np.int32).reshape(rows, columns)
    places = [np.array([draw(st.integers(0, 3)) for _ in range(side)], np.int64) for side in (rows, columns)]
    new = [np.array([draw(st.booleans()) for _ in range(side)], bool) for side in (rows, columns)]
    return score, tuple(places), tuple(new)


def plans(score, places):
    """Every plan there is: each set of allowed pairs within everyone's places."""
    cells = [(i, j) for i, j in np.ndindex(score.shape) if score[i, j] >= 0]
    for count in range(len(cells) + 1):
        for pairs in itertools.combinations(cells, count):
            if all(sum(p[side] == n for p in pairs) <= most for side in (0, 1) for n, most in enumerate(places[side])):
                yield list(pairs)


def merit(pairs, score, new, aim):
    """What the aim looks at, first to last."""
    total, lowest = sum(int(score[p]) for p in pairs), min((int(score[p]) for p in pairs), default=0)
    people = sum(len({p[side] for p in pairs if new[side][p[side]]}) for side in (0, 1))
    return {"everyone": (people, total), "pairs": (len(pairs), total), "score": (total,), "fair": (people, lowest, total)}[aim]


def solved(pairs, places, new, aim):
    if aim == "fair":
        return assign.fairest(pairs, places, new)
    return solve(pairs, problem(places, new, aim, pairs.most))


class Bidding(Matrix):
    """Plans are found as a scan's are: by an auction that begins with the last one."""

    best = staticmethod(Scan.best)
    repaired = Scan.repaired

    def of(self, mentees, mentors):
        return type(self)(super().of(mentees, mentors).score)

    def at_least(self, score):
        return type(self)(super().at_least(score).score)


@settings(max_examples=500, deadline=None)
@given(problems(), st.sampled_from(AIMS), st.sampled_from(["all at once", "few at first", "bidding", "mended"]))
def test_no_plan_is_better_and_the_certificate_says_so(known, aim, how):
    score, places, new = known
    with pytest.MonkeyPatch.context() as patch:
        if how != "all at once":  # as if there were too many pairs to begin with all
            patch.setattr(Matrix, "FEW", 0)
            for name in ("PER_MENTEE", "PER_MENTOR", "PER_CHEAP", "JOINING"):
                patch.setattr(assign, name, 1)
        if how in {"bidding", "mended"}:
            patch.setattr(assign, "REPAIRED", 1000 if how == "mended" else -1)
        solution = solved((Bidding if how in {"bidding", "mended"} else Matrix)(score), places, new, aim)
    pairs = list(zip(solution.mentees.tolist(), solution.mentors.tolist(), strict=True))
    every = list(plans(score, places))
    assert pairs in every
    assert merit(pairs, score, new, aim) == max(merit(plan, score, new, aim) for plan in every)
    assert solution.gap == 0


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(AIMS[:3]), st.randoms(use_true_random=False))
def test_no_prices_bound_less_than_the_best_plan_is_worth(known, aim, dice):
    score, places, new = known
    pairs = Matrix(score)
    what = problem(places, new, aim, pairs.most)
    sides = [
        np.array([dice.choice([-1, 0, 1]) * (what.whole // 2) + dice.randint(-9, 9) for _ in own], np.int64)
        for own in what.places
    ]
    prices = Prices(*sides, what.pair, what.whole)
    assert bound(prices, pairs.above(prices, 1)[1], what) >= solve(pairs, what).worth


def people_at_random(mentees, mentors, seed=7):
    """Who wants and offers some of thirty skills, and is of some years, languages and free hours."""
    dice = random.Random(seed)
    some = lambda most: tuple(sorted(dice.sample([f"skill-{n}" for n in range(30)], dice.randint(1, most))))  # noqa: E731

    def said():
        hour = dice.randint(6, 16)
        return {
            "years_experience": float(dice.randint(0, 30)),
            "languages": tuple(dice.sample(["en", "pt", "yo"], dice.randint(0, 2))),
            "availability": free((dice.randint(0, 2), f"{hour:02}:00", f"{hour + 5:02}:00")) if dice.random() < 0.5 else (),
        }

    people = [mentee(f"e{n:05}", dice.randint(1, 2), skills_wanted=some(4), **said()) for n in range(mentees)]
    return people + [mentor(f"m{n:05}", dice.randint(1, 3), skills_offered=some(8), **said()) for n in range(mentors)]


@pytest.mark.parametrize("aim", ["everyone", "pairs", "score"])
@pytest.mark.parametrize("way", ["best", "repaired"])
def test_a_plan_found_from_the_last_one_is_worth_what_one_made_anew_is(monkeypatch, aim, way):
    monkeypatch.setattr(Matrix, "FEW", 0)
    monkeypatch.setattr(assign, "REPAIRED", 1000 if way == "repaired" else -1)
    for name in ("PER_MENTEE", "PER_MENTOR", "PER_CHEAP", "JOINING"):
        monkeypatch.setattr(assign, name, 1)
    numbers = np.random.default_rng(3)
    found = []
    change = getattr(Bidding, way)
    kept = lambda *given: found.append(change(*given)) or found[-1]  # noqa: E731
    monkeypatch.setattr(Bidding, way, staticmethod(kept) if way == "best" else kept)
    for _ in range(20):
        rows, columns = numbers.integers(20, 90, 2)
        score = numbers.integers(-200, 300, (rows, columns)).astype(np.int32)
        places = numbers.integers(0, 4, rows), numbers.integers(0, 5, columns)
        known = problem(places, (places[0] > 1, places[1] > 1), aim, 300)
        changed, anew = solve(Bidding(score), known), solve(Matrix(score), known)
        assert (changed.worth, changed.gap, anew.gap) == (anew.worth, 0, 0)
    assert len(found) > 20


@pytest.mark.parametrize("aim", [Aim.everyone, Aim.pairs, Aim.score])
def test_the_scan_of_all_pairs_finds_what_the_matrix_finds(monkeypatch, aim):
    people = people_at_random(300, 250)
    policy = Policy(aim=aim, least_score=0.1)
    whole = plan(people, policy, NOW)
    monkeypatch.setattr("services.matching.domain.plan.MATRIX", 0)
    monkeypatch.setattr(assign, "SAMPLED_FROM", 100)
    scanned = plan(people, policy, NOW)
    random.Random(1).shuffle(people)
    assert plan(people, policy, NOW) == scanned
    assert (whole.gap, scanned.gap) == (0, 0)
    assert (len(scanned.pairs), scanned.score_total) == (len(whole.pairs), whole.score_total)
    assert {one.id for one in scanned.left if one.reason is WaitlistReason.no_overlap} == {
        one.id for one in whole.left if one.reason is WaitlistReason.no_overlap
    }


@pytest.mark.parametrize("aim", [Aim.everyone, Aim.pairs, Aim.score])
@pytest.mark.parametrize("places", [(0, 1), (1, 0), (0, 0)], ids=str)
def test_a_scan_of_people_of_whom_nobody_has_a_place_left_finds_nobody(monkeypatch, aim, places):
    monkeypatch.setattr("services.matching.domain.plan.MATRIX", 0)
    people = [mentee(f"e{n}", places[0], taken=1, skills_wanted=("sql",)) for n in range(3)]
    people += [mentor(f"m{n}", places[1], taken=1, skills_offered=("sql",)) for n in range(4)]
    found = plan(people, Policy(aim=aim), NOW)
    assert (found.pairs, found.gap) == ([], 0)


@pytest.mark.parametrize("whole", [0, 2_000_000_000])
def test_look_after_look_at_all_pairs_finds_what_the_matrix_finds(whole):
    """Prices rise and fall, and places go and come again: the last mentor is the only one in their part of what is remembered."""
    people = people_at_random(40, NEAR + 1)
    found = table_of(people[:40], people[40:], Policy(least_score=0.1))
    scanned, matrix, dice = Scan(found), Matrix.of_table(found), np.random.default_rng(11)
    sides = [dice.integers(-50_000, 300_000, count) for count in found.shape]
    for look in range(40):
        sides = [side + dice.integers(-20_000, 20_000, len(side)) for side in sides]
        mine, theirs = (np.where(dice.random(len(side)) < 0.1, side - whole // 2, side) for side in sides)
        for price in (mine, theirs):
            price[dice.random(len(price)) < 0.1 * (look % 2)] = assign.NEVER_PRICE
        row = dice.choice(np.flatnonzero((matrix.score[:, -1] >= 0) & (mine < assign.NEVER_PRICE)))
        theirs[-1] = assign.NEVER_PRICE if look % 3 else matrix.score[row, -1] - mine[row] - 1  # by so little it is above
        prices = Prices(mine, theirs, 0, whole)
        keys, excess = scanned.above(prices, NEAR + 1)
        others, more = matrix.above(prices, NEAR + 1)
        assert (keys.tolist(), excess) == (others.tolist(), more)


def test_stretches_of_mentors_whom_the_rules_keep_away_are_not_looked_at_and_nobody_is_missed(monkeypatch):
    monkeypatch.setattr(Matrix, "FEW", 0)
    people, policy = people_at_random(90, 3 * NEAR + 40), Policy(least_score=0.1)
    mentees, mentors = alike(people[:90], policy), alike(people[90:], policy)
    found = table_of(mentees, mentors, policy)
    scanned, matrix, dice = Scan(found), Matrix.of_table(found), np.random.default_rng(12)
    score, hours, rule, _ = scanned.arrays
    bounds = bounded(score, hours, rule, scanned.tops, 0, len(mentees))
    for n, most in enumerate(bounds.T):
        highest = matrix.score[:, n * NEAR : (n + 1) * NEAR].max(axis=1)
        assert ((most >= highest) | (highest < 0)).all()
    assert 0.05 < (bounds < FAR).mean() < 0.5
    for each in (1, 7):
        mine, theirs = (dice.integers(0, 200_000, count) for count in found.shape)
        for price in (0 * theirs, theirs):
            keys = [pairs.nearest(price, each) for pairs in (scanned, matrix)]
            left = [sorted(matrix.scores(k) - price[k % len(mentors)]) for k in keys]
            assert left[0] == left[1]  # of equals either
        for price in (0 * mine, mine):
            keys = [pairs.nearest_mentees(price, each) for pairs in (scanned, matrix)]
            left = [sorted(matrix.scores(k) - price[k // len(mentors)]) for k in keys]
            assert left[0] == left[1]


def test_one_to_one_it_is_what_scipy_finds():
    numbers = np.random.default_rng(7)
    score = numbers.integers(0, 1_000_000, (700, 600)).astype(np.int32)
    rows, columns = linear_sum_assignment(score, maximize=True)
    places = np.ones(700, np.int64), np.ones(600, np.int64)
    solution = solve(Matrix(score), problem(places, (places[0] > 0, places[1] > 0), "score", 1_000_000))
    assert (solution.worth, solution.gap) == (int(score[rows, columns].sum()), 0)


def test_fair_is_for_few_enough_people_and_says_so(monkeypatch):
    monkeypatch.setattr("services.matching.domain.plan.FAIR_PEOPLE", 5)
    with pytest.raises(TooLargeError, match="for 5 people at most, and these are 7"):
        plan(people_at_random(4, 3), Policy(aim=Aim.fair), NOW)


SKILLS = ["sql", "go", "law", "rust", "cloud"]


def crowd(seed: int, mentees: int = 40, mentors: int = 12):
    dice = random.Random(seed)
    some = lambda: tuple(sorted(dice.sample(SKILLS, dice.randint(1, 2))))  # noqa: E731
    people = [mentee(f"e{n:03}", skills_wanted=some(), languages=("en",)) for n in range(mentees)]
    return people + [mentor(f"m{n:03}", dice.randint(1, 3), skills_offered=some(), languages=("en",)) for n in range(mentors)]


@pytest.mark.parametrize("aim", [Aim.everyone, Aim.pairs, Aim.score, Aim.fair])
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
    pairs = {
        aim: {p.mentor for p in plan(people, Policy(aim=aim, least_score=0), NOW).pairs} for aim in (Aim.everyone, Aim.pairs)
    }
    assert pairs == {Aim.everyone: {"m1", "m2"}, Aim.pairs: {"m1"}}


def test_a_mentor_who_has_someone_already_is_not_preferred_for_being_alone():
    people = [mentor("m1", 2, skills_offered=("sql",)), mentor("m2", 2, skills_offered=("law",), taken=1)]
    people += [mentee(f"e{n}", skills_wanted=("sql",)) for n in range(2)]
    assert {p.mentor for p in plan(people, Policy(), NOW).pairs} == {"m1"}


@pytest.mark.parametrize(
    ("patience", "gets"),
    [
        ({}, "e1"),
        ({"e2": {"waited": 30}}, "e2"),
        ({"e2": {"waited": 30}, "e3": {"first": True}}, "e3"),
        ({"e2": {"waited": 0}}, "e1"),
    ],
)
def test_the_only_place_goes_to_whom_was_released_then_to_who_waits_longest(patience, gets):
    people = [replace(mentee(f"e{n}", skills_wanted=("sql",)), **patience.get(f"e{n}", {})) for n in (1, 2, 3)]
    (pair,) = plan([mentor("m1", skills_offered=("sql",)), *people], Policy(), NOW).pairs
    assert pair.mentee == gets
    assert pair.score == sum(part.points for part in pair.spoken)


@pytest.mark.parametrize("aim", [Aim.everyone, Aim.pairs, Aim.score])
def test_where_no_mentor_has_a_place_one_is_worth_most_with_whom_they_would_help(aim):
    people = [mentor("m1", 0, skills_offered=("sql",)), mentor("m2", 0, skills_offered=("law",))]
    people += [mentee("e1", skills_wanted=("sql",)), mentee("e2", skills_wanted=("sql", "law", "art"), taken=1)]
    found = plan(people, Policy(aim=aim, least_score=0.1), NOW, what_if=True)
    assert [(h.mentor, h.people, h.pairs) for h in found.helps] == [("m1", 2, 1), ("m2", 1, 1)]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([Aim.everyone, Aim.pairs, Aim.score]))
def test_where_one_place_more_helps_most_is_what_a_plan_with_it_says(data, aim):
    skills = st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple)
    people = [
        mentor(f"m{n}", data.draw(st.integers(0, 2)), skills_offered=data.draw(skills))
        for n in range(data.draw(st.integers(1, 4)))
    ]
    people += [mentee(f"e{n}", skills_wanted=data.draw(skills)) for n in range(data.draw(st.integers(1, 6)))]
    policy = Policy(aim=aim, least_score=0.1)
    best = plan(people, policy, NOW, what_if=True)

    def gain(who):
        more = plan([replace(p, places=p.places + 1) if p.id == who else p for p in people], policy, NOW)
        one, other = (
            (len({p.mentor for p in f.pairs} | {p.mentee for p in f.pairs}), len(f.pairs), f.score_total) for f in (more, best)
        )
        people_, pairs, score = (a - b for a, b in zip(one, other, strict=True))
        return {Aim.everyone: (people_, score), Aim.pairs: (pairs, score), Aim.score: (score,)}[aim]

    gains = sorted((gain(p.id) for p in people if p.id.startswith("m")), reverse=True)
    wanted = [g for g in gains if g > (0,) * len(g)][:3] if best.left else []
    told = {
        Aim.everyone: lambda h: (h.people, h.score),
        Aim.pairs: lambda h: (h.pairs, h.score),
        Aim.score: lambda h: (h.score,),
    }[aim]
    assert [told(h) for h in best.helps] == wanted
    assert all(gain(h.mentor) == told(h) for h in best.helps)


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


def test_a_common_language_alone_makes_no_pair_unless_nobody_has_said_more():
    speak = {"languages": ("en",)}
    people = [mentor("m1", skills_offered=("sql",), **speak), mentee("e1", skills_wanted=("law",), **speak)]
    people += [mentor("m2", skills_offered=("law",)), mentee("e2", skills_wanted=("sql",))]
    found = plan(people, Policy(), NOW)
    assert {(p.mentor, p.mentee) for p in found.pairs} == {("m1", "e2"), ("m2", "e1")}
    found = plan(people[:2], Policy(), NOW)
    assert [left.reason for left in found.left] == [WaitlistReason.nobody_offers, WaitlistReason.below_least_score]
    for silent in ([mentor("m1"), mentee("e1")], [mentor("m1", **speak), mentee("e1", **speak)]):
        assert len(plan(silent, Policy(), NOW).pairs) == 1


def test_neither_waiting_nor_room_makes_a_pair_that_fits_too_little():
    people = [mentor("m1", 2, skills_offered=("sql",), taken=1), mentor("m2", 2, skills_offered=("go",))]
    waits = replace(mentee("e1", skills_wanted=("law",)), waited=90)
    found = plan([*people, waits, mentee("e2", skills_wanted=("sql", "law", "go"))], Policy(), NOW)
    assert [(pair.mentor, pair.mentee) for pair in found.pairs] == [("m2", "e2")]
    assert [left.id for left in found.left] == ["e1"]


def test_nobody_is_paired_below_the_least_score_and_hears_so():
    people = [mentor("m1", skills_offered=("sql",)), mentee("e1", skills_wanted=("sql", "go", "law"))]
    assert left(people, least_score=0.2) == {}
    assert {reason for reason, _, _ in left(people, least_score=0.5).values()} == {WaitlistReason.below_least_score}


def test_a_full_mentor_takes_nobody_and_counts_as_offering():
    people = [mentor("m1", 0, skills_offered=("sql",), taken=1), mentee("e1", skills_wanted=("sql",))]
    assert left(people) == {"e1": (WaitlistReason.no_capacity, (), None)}
