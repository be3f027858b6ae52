"""Scores: the whole table and the single pair agree to the unit, and reasons say what weighs most."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.pool import free_spans, monday_of, overlap_minutes
from services.matching.domain.score import UNIT, parts, reasons, score_of, scores
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
weight = st.floats(0, 5).map(lambda w: round(w, 2))


def spoken(one, other, weights=POLICY.weights):
    return parts(one.profile, other.profile, weights, (free_spans(one.profile, MONDAY), free_spans(other.profile, MONDAY)))


def table(mentees, mentors, weights=POLICY.weights):
    minutes = overlap_minutes(*[[free_spans(p.profile, MONDAY) for p in side] for side in (mentees, mentors)])
    return scores(mentees, mentors, weights, minutes)


@settings(max_examples=200)
@given(
    st.lists(said, min_size=1, max_size=4),
    st.lists(said, min_size=1, max_size=4),
    st.builds(Weights, skills=weight, language=weight, experience=weight, overlap_hours=weight, location=weight),
)
def test_the_table_of_scores_holds_each_pair_s_own_score(these, those, weights):
    mentees = [mentee(f"e{n}", **s) for n, s in enumerate(these)]
    mentors = [mentor(f"m{n}", **s) for n, s in enumerate(those)]
    found = table(mentees, mentors, weights)
    assert found.tolist() == [[score_of(spoken(e, m, weights), weights) for m in mentors] for e in mentees]
    assert 0 <= found.min() <= found.max() <= UNIT


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, 0),
        ({"languages": ("en",)}, {"languages": ("en",)}, 235_294),  # alone it can't speak for a whole pair
        ({"skills_wanted": ("sql", "go")}, {"skills_offered": ("sql",)}, 352_941),
        ({"skills_wanted": ("sql",), "goals": ("a",)}, {"skills_offered": ("sql",), "goals": ("a",)}, 1_000_000),
        ({"skills_wanted": ("sql",), "goals": ("a",)}, {"skills_offered": ("sql",), "goals": ("b",)}, 600_000),
        ({"skills_wanted": ("sql",), "goals": ("a",)}, {"skills_offered": ("sql",)}, 705_882),
    ],
)
def test_only_what_both_said_counts_and_little_said_is_no_perfect_match(one, other, expected):
    assert table([mentee("e", **one)], [mentor("m", **other)])[0, 0] == expected


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
