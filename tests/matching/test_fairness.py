"""The fairness report: who is counted, what is merged, and its intervals."""

from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as students

from benchmarks.matched import picture
from deploy.local.state import CHECKOUT as ROOT
from services.matching.coordinating import fairness_tables
from services.matching.domain.fairness import LEAST, Counted, counted, groups, report, student, wilson
from shared.events import Audited, Role
from tests.matching.people import mentee, mentor


def sides(**people):
    return [Counted(Role.mentee, Audited.country, value, count) for value, count in people.items()]


def shown(found):
    return [(group.value, group.merged, group.people) for group in report(found)]


@pytest.mark.parametrize(
    ("people", "lines"),
    [
        ({"NG": 9, "BR": 7}, [("NG", 1, 9), ("BR", 1, 7)]),
        ({"NG": 9, "BR": 7, "NA": 3, "NL": 2}, [("NG", 1, 9), ("BR", 1, 7), ("", 2, 5)]),
        # The one small group could be reckoned back from the total: the next larger one goes with it.
        ({"NG": 9, "BR": 7, "NA": 3}, [("NG", 1, 9), ("", 2, 10)]),
        ({"NG": 9, "BR": 7, "NA": 2, "NL": 2}, [("NG", 1, 9), ("", 3, 11)]),
        ({"NG": 9, "NA": 1}, [("", 2, 10)]),
        ({"NG": 2, "BR": 2, "NA": 2}, [("", 3, 6)]),
        ({"NG": 3, "NA": 1}, []),
        ({"NG": 4}, []),
        ({"NG": 5}, [("NG", 1, 5)]),
        ({}, []),
    ],
)
def test_groups_of_fewer_than_five_are_merged_until_none_can_be_reckoned_back(people, lines):
    assert shown(sides(**people)) == lines


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 12)))
def test_whoever_knows_the_total_reckons_no_small_group_back(people):
    lines = report(sides(**people))
    assert all(group.people >= LEAST for group in lines)
    rest = sum(people.values()) - sum(group.people for group in lines)
    assert rest == 0 or not lines
    for group in lines:
        if group.merged == 1:
            assert people[group.value] == group.people
        else:
            assert group.value == ""


def test_mentees_and_mentors_are_told_of_apart_by_each_attribute():
    people = [mentee(f"e{n}", country="NG", function="finance" if n < 5 else "sales") for n in range(10)]
    people += [mentor(f"r{n}", country="BR", function=None) for n in range(5)]
    members = groups(people, [Audited.country, Audited.function])
    found = report(counted(members, {(Role.mentee, f"e{n}"): [500_000] for n in range(4)}))
    assert [(g.role, g.attribute, g.value, g.people, g.matched) for g in found] == [
        (Role.mentee, Audited.country, "NG", 10, 4),
        (Role.mentee, Audited.function, "finance", 5, 4),
        (Role.mentee, Audited.function, "sales", 5, 0),
        (Role.mentor, Audited.country, "BR", 5, 0),
        (Role.mentor, Audited.function, "", 5, 0),
    ]
    assert (found[2].mean_score, found[2].mean_score_interval) == (None, None)


def test_counted_is_who_came_without_a_partner_and_with_a_place_free():
    people = [mentee("a"), mentee("full", places=0), mentor("more", places=2, taken=1), mentor("b", organization="kestrel")]
    assert groups(people, [Audited.organization]) == {
        (Role.mentee, Audited.organization, "northwind"): ["a"],
        (Role.mentor, Audited.organization, "kestrel"): ["b"],
    }


def test_what_is_not_said_is_a_group_and_a_first_language_has_no_country():
    people = [mentee("a", languages=("pt-BR", "en")), mentee("b", languages=("pt",)), mentee("c")]
    assert groups(people, [Audited.first_language, Audited.other]) == {
        (Role.mentee, Audited.first_language, "pt"): ["a", "b"],
        (Role.mentee, Audited.first_language, ""): ["c"],
    }


def test_several_partners_count_as_one_score_the_mean_of_theirs():
    members = {(Role.mentor, Audited.country, "NG"): list("abcde")}
    pairs = {(Role.mentor, "a"): [100, 300], (Role.mentor, "b"): [400], (Role.mentor, "c"): [600], (Role.mentee, "d"): [9_000]}
    (group,) = report(counted(members, pairs))
    assert (group.matched, group.mean_score) == (3, 400)
    half = students.ppf(0.975, 2) * stdev([200, 400, 600]) / 3**0.5
    assert group.mean_score_interval == pytest.approx((400 - half, 400 + half), rel=1e-3)


def test_of_peers_too_1_is_the_best_there_can_be():
    of = {"attribute": Audited.country, "value": "NG", "people": 5, "matched": 5, "total": 5 * 1_500_000, "squares": 5 * 1.5e6**2}
    tables = fairness_tables(report([Counted(Role.peer, **of), Counted(Role.mentee, **of)]))
    assert {title: rows[0][3] for title, rows in tables} == {
        "Peers by country": "0.75 (0.75 to 0.75)",
        "Mentees by country": "1.50 (1.50 to 1.50)",
    }


def test_one_score_has_no_interval():
    (group,) = report([Counted(Role.mentor, Audited.country, "NG", 5, 1, 300.0, 90_000.0)])
    assert (group.mean_score, group.mean_score_interval) == (300, None)


@pytest.mark.parametrize(("part", "whole"), [(0, 5), (5, 5), (3, 7), (60, 99), (1, 4000)])
def test_a_share_has_wilson_s_interval(part, whole):
    known = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    assert wilson(part, whole) == pytest.approx((known.low, known.high), abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 9, 10, 11, 15, 30, 200, 100_000])
def test_a_mean_has_student_s_quantile(freedom):
    assert student(freedom) == pytest.approx(students.ppf(0.975, freedom), abs=1e-3)


def test_the_picture_in_the_docs_is_this_version_s():
    """Drawn anew by `.ithaca/venv/bin/python -m benchmarks.matched docs/matching.svg`."""
    assert (ROOT / "docs/matching.svg").read_text("utf-8") == picture()
