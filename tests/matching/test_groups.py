"""Groups: mentors with several mentees each, everyone placed, no rule broken, below a bound."""

import itertools
import random
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.groups import Shape, grouped, groups, shape
from shared.events import Policy, WaitlistReason
from tests.matching.people import mentee, mentor

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("mentees", "mentors", "expected"),
    [(12, 3, (3, 4, 1)), (12, 9, (4, 3, 2)), (13, 2, (2, 7, 1)), (50, 2, (2, 10, 1)), (2, 5, (0, 0, 1)), (7, 0, (0, 0, 1))],
)
def test_there_are_as_many_groups_as_mentors_unless_they_would_be_too_small(mentees, mentors, expected):
    assert shape(mentees, mentors, 3, 10) == Shape(*expected)


@st.composite
def classes(draw):
    """Scores of some mentees with some mentors, and which mentees, and which mentors, may share a group."""
    mentees, mentors = draw(st.integers(0, 8)), draw(st.integers(0, 4))
    cell = st.sampled_from([-1, 0, 1, 5, 9, 9])
    taught = np.array([[draw(cell) for _ in range(mentors)] for _ in range(mentees)], np.int32).reshape(mentees, mentors)
    together = np.ones((mentees, mentees), bool)
    for i, j in itertools.combinations(range(mentees), 2):
        together[i, j] = together[j, i] = draw(st.sampled_from([True] * 6 + [False]))
    np.fill_diagonal(together, False)
    leading = np.full((mentors, mentors), draw(st.booleans()))
    np.fill_diagonal(leading, False)
    return taught, (together, leading)


@settings(max_examples=150, deadline=None)
@given(classes())
def test_no_group_breaks_a_rule_or_is_of_the_wrong_size(known):
    taught, equals = known
    together, leading = equals
    found = grouped(taught, equals, shape(*taught.shape, 2, 4), 2, 4)
    for mentees, mentors in found:
        assert 2 <= len(mentees) <= 4
        assert 1 <= len(mentors) <= shape(*taught.shape, 2, 4).mentors
        assert all(together[pair] for pair in itertools.combinations(mentees, 2))
        assert all(leading[pair] for pair in itertools.combinations(mentors, 2))
        assert (taught[np.ix_(mentees, mentors)] >= 0).all()
    for side in (0, 1):
        placed = [n for group in found for n in group[side]]
        assert len(placed) == len(set(placed))


def test_on_eight_mentees_and_two_mentors_the_search_finds_the_best_groups():
    taught = np.random.default_rng(4).integers(0, 100, (8, 2)).astype(np.int32)
    found = grouped(taught, (~np.eye(8, dtype=bool), ~np.eye(2, dtype=bool)), Shape(2, 4, 1), 3, 10)
    total = sum(int(taught[np.ix_(*group)].sum()) for group in found)
    halves = itertools.combinations(range(8), 4)
    assert total == max(int(taught[list(h), 0].sum() + np.delete(taught[:, 1], list(h)).sum()) for h in halves)


def town(mentees=23, mentors=4, seed=1):
    dice = random.Random(seed)
    skills = [f"skill-{n}" for n in range(6)]
    return [
        *(mentor(f"m{n}", skills_offered=dice.sample(skills, 3), languages=["en"]) for n in range(mentors)),
        *(mentee(f"e{n:02}", skills_wanted=dice.sample(skills, 2), languages=["en"]) for n in range(mentees)),
    ]


def test_everyone_has_a_group_and_sizes_differ_by_one_at_most_below_a_bound():
    found = groups(town(), Policy(), NOW)
    assert sorted(len(group.mentees) for group in found.groups) == [5, 6, 6, 6]
    assert [len(group.mentors) for group in found.groups] == [1, 1, 1, 1]
    assert (found.left, found.gap >= 0) == ([], True)
    assert found.score_total >= 0.9 * (found.score_total + found.gap)
    for group in found.groups:
        assert group.scores == tuple(sum(part.points for part in parts) for parts in group.spoken_of)


def test_mentors_beyond_the_groups_join_as_second_ones_and_any_order_of_rows_gives_the_same():
    people = town(9, 5)
    found = groups(people, Policy(), NOW)
    assert sorted(len(group.mentors) for group in found.groups) == [1, 2, 2]
    assert groups(random.Random(2).sample(people, len(people)), Policy(), NOW) == found


def test_where_mentors_are_too_few_the_rest_waits_for_a_place():
    found = groups(town(23, 2), Policy(), NOW)
    assert sorted(len(group.mentees) for group in found.groups) == [10, 10]
    assert {left.reason for left in found.left} == {WaitlistReason.no_capacity}
    assert len(found.left) == 3


def test_mentees_without_a_common_language_share_no_group():
    people = [mentor("m1", languages=["en", "pt"]), mentor("m2", languages=["en", "pt"])]
    people += [mentee(f"en{n}", languages=["en"]) for n in range(4)] + [mentee(f"pt{n}", languages=["pt"]) for n in range(3)]
    found = groups([*people, mentee("yo", languages=["yo"])], Policy(), NOW)
    assert [sorted({name[:2] for name in group.mentees}) for group in found.groups] in ([["en"], ["pt"]], [["pt"], ["en"]])
    assert [(left.id, left.reason) for left in found.left] == [("yo", WaitlistReason.no_common_language)]


def test_two_mentors_without_a_common_language_share_no_group():
    people = [mentor("m1", languages=["en"]), mentor("m2", languages=["pt"])]
    people += [mentee(f"e{n}", languages=["en", "pt"]) for n in range(4)]
    found = groups(people, Policy(), NOW)
    assert [group.mentors for group in found.groups] in ([("m1",)], [("m2",)])
    assert len(found.left) == 1
