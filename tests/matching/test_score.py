"""Scores: the whole table and the single pair agree to the unit, and reasons say what weighs most."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.near import LEARNED, Near, Nearby
from services.matching.domain.pool import free_spans, monday_of
from services.matching.domain.rules import Broken, Lines, broken, kept_from
from services.matching.domain.scan import Scan
from services.matching.domain.score import UNIT, fit_of, parts, reasons, score_of, weighed
from services.matching.domain.table import table
from shared.events import Policy, Weights
from tests.matching.people import free, mentee, mentor

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MONDAY = monday_of(NOW)
POLICY = Policy()

tags = st.lists(st.sampled_from(["sql", "go", "rust", "law", "role:pm", "role:cto"]), unique=True, max_size=4).map(tuple)
window = st.tuples(st.integers(0, 6), st.integers(0, 11), st.integers(12, 23)).map(
    lambda w: (w[0], f"{w[1]:02}:30", f"{w[2]:02}:00")
)
said = st.fixed_dictionaries(
    {},
    optional={
        "skills_wanted": tags,
        "skills_offered": tags,
        "goals": tags,
        "values": tags,
        "interests": tags,
        "roles_held": st.lists(st.sampled_from(["pm", "cto"]), unique=True).map(tuple),
        "languages": st.lists(st.sampled_from(["en", "pt-BR", "pt", "yo"]), unique=True, max_size=3).map(tuple),
        "industry": st.sampled_from(["bank", "health"]),
        "function": st.sampled_from(["sales", "it"]),
        "years_experience": st.floats(0, 40).map(lambda years: round(years, 1)),
        "time_zone": st.sampled_from(["Africa/Lagos", "America/Sao_Paulo", "Asia/Tokyo"]),
        "availability": st.lists(window, max_size=4).map(lambda windows: free(*windows)),
    },
)
room = st.tuples(st.integers(0, 3), st.integers(0, 3))
nears = st.lists(st.lists(st.sampled_from(["sql", "go", "rust", "law"]), min_size=2, max_size=2, unique=True)).map(Near.of)
near_roles = st.booleans().map(lambda near: Near.of([("pm", "cto")] if near else []))
nearby = st.builds(Nearby, nears, near_roles)
weight = st.floats(0, 5).map(lambda w: round(w, 2))


def free_of(*people):
    return tuple(free_spans(p.profile, MONDAY) for p in people)


def table_of(mentees, mentors, policy=POLICY, near=LEARNED):
    scoring = weighed(policy, mentees, mentors, near=near)
    return table(mentees, mentors, policy, scoring, Lines([*mentees, *mentors]), (free_of(*mentees), free_of(*mentors)))


def spoken(one, other, policy=POLICY, among=None, near=LEARNED):
    mentees, mentors = among or ([one], [other])
    return parts(one, other, weighed(policy, mentees, mentors, near=near), free_of(one, other))


def expected(one, other, policy, among, near):
    """What the pair is worth by itself; -1 where a rule is broken."""
    lines = Lines([*among[0], *among[1]])
    if broken(one, other, policy, kept_from(one, policy, lines), free_of(one, other)) is not Broken.none:
        return -1
    said = spoken(one, other, policy, among, near)
    scoring = weighed(policy, *among, near=near)
    return score_of(said) if fit_of(said, scoring) >= scoring.least else -1


policies = st.builds(
    Policy,
    weights=st.builds(
        Weights, skills=weight, language=weight, experience=weight, overlap_hours=weight, location=weight, fair_load=weight
    ),
    least_score=st.sampled_from([0.0, 0.3]),
    least_overlap_hours=st.sampled_from([0, 1.0, 2.25]),
    common_language=st.booleans(),
    least_years_more=st.sampled_from([None, 2.0]),
    most_years_more=st.sampled_from([None, 10.5]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(said, min_size=1, max_size=4), st.lists(st.tuples(said, room), min_size=1, max_size=4), policies, nearby)
def test_the_table_holds_each_pair_s_own_score_and_rules_in_whatever_way_it_is_read(these, those, policy, near):
    mentees = [mentee(f"e{n}", **s) for n, s in enumerate(these)]
    mentors = [mentor(f"m{n}", places, taken=taken, **s) for n, (s, (places, taken)) in enumerate(those)]
    mentees.append(mentee("m0", apart=("m1",)))
    found = table_of(mentees, mentors, policy, near)
    single = [[expected(e, m, policy, (mentees, mentors), near) for m in mentors] for e in mentees]
    assert found.block(0, len(mentees)).tolist() == single
    assert Scan(found).scores(np.arange(len(mentees) * len(mentors))).reshape(found.shape).tolist() == single
    assert max(map(max, single)) <= min(found.most, UNIT)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, 0),
        ({"languages": ("en",)}, {"languages": ("en",)}, 1_000_000),
        ({"skills_wanted": ("sql", "go")}, {"skills_offered": ("sql",)}, 500_000),
        ({"skills_wanted": ("sql",), "goals": ("a",)}, {"skills_offered": ("sql",), "goals": ("a",)}, 1_000_000),
        ({"skills_wanted": ("sql",), "goals": ("a",)}, {"skills_offered": ("sql",), "goals": ("b",)}, 600_000),
        ({"skills_wanted": ("sql",), "goals": ("a",)}, {"skills_offered": ("sql",)}, 1_000_000),
    ],
)
def test_only_parts_of_which_both_sides_said_something_count(one, other, expected):
    assert table_of([mentee("e", **one)], [mentor("m", **other)]).block(0, 1)[0, 0] == expected


def test_to_say_more_never_lowers_a_score_and_among_equals_those_who_said_more_go_first():
    among = (
        [mentee("e1", skills_wanted=("sql",), industry="bank"), mentee("e2", skills_wanted=("sql",))],
        [
            mentor("m1", skills_offered=("sql",), industry="bank"),
            mentor("m2", skills_offered=("sql",)),
        ],
    )
    assert table_of(*among).block(0, 2).tolist() == [[1_000_000, 750_000], [750_000, 750_000]]


@pytest.mark.parametrize(
    ("rooms", "scores"),
    [
        ([(2, 0), (1, 0)], [1_000_000, 1_000_000]),  # nobody has anyone yet
        ([(0, 1), (1, 0)], [1_000_000, 1_000_000]),  # a full mentor takes nobody anyway
        ([(2, 0), (1, 1), (2, 1), (0, 2)], [1_000_000, 875_000, 916_666, 750_000]),
    ],
)
def test_a_mentor_with_more_places_free_goes_first_where_another_has_someone(rooms, scores):
    mentors = [mentor(f"m{n}", places, taken=taken, skills_offered=("sql",)) for n, (places, taken) in enumerate(rooms)]
    assert table_of([mentee("e", skills_wanted=("sql",))], mentors).block(0, 1).tolist() == [scores]
    told = [(r.code.value, r.number) for r in reasons(spoken(mentee("e"), mentors[0], among=([mentee("e")], mentors)))]
    assert told == ([("fair_load", 2.0)] if len(set(scores)) > 1 else [])


def test_reasons_name_what_weighs_most_first_with_numbers_and_items():
    one = mentee(
        "e",
        skills_wanted=("cloud", "leadership", "law"),
        languages=("pt", "en"),
        years_experience=2.0,
        time_zone="Africa/Lagos",
        availability=free((2, "17:00", "19:00")),
        industry="bank",
    )
    other = mentor(
        "m",
        skills_offered=("leadership", "cloud"),
        languages=("en",),
        years_experience=8.0,
        time_zone="America/Sao_Paulo",
        availability=free((2, "12:00", "14:30")),
        industry="health",
    )
    told = [(r.code.value, r.number, r.items) for r in reasons(spoken(one, other))]
    assert told == [
        ("experience", 6.0, ()),
        ("skills", 2.0, ("cloud", "leadership")),
        ("overlap_hours", 1.5, ()),
        ("language", 1.0, ("en",)),
    ]
