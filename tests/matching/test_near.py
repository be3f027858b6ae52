"""What is near what: learned from what people say, worth half, and told with what stands in its place."""

from collections import Counter
from itertools import combinations
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.fits import Field, ranked, why
from services.matching.domain.near import Near, Nearby, learned, near_enough
from services.matching.domain.peer_score import peer_parts, peers_scoring
from services.matching.domain.plan import plan
from services.matching.domain.score import Share, Spoken, reasons, score_of, weighed
from services.matching.domain.together import added
from shared.events import Policy, Weights
from tests.matching.people import mentee, mentor
from tests.matching.test_score import MONDAY, NOW, free_of, nearby, nears, room, said, table_of

CROWD = [mentee(f"x{n:02}", 0, skills_wanted=("sql", "mysql") if n < 12 else ("law",)) for n in range(36)]
"""People by whom sql and mysql are near each other; they have a mentor."""


@pytest.mark.parametrize(
    ("people", "cosine", "lift", "near"),
    [(10, 0.6, 2.0, True), (9, 0.9, 9.0, False), (90, 0.59, 9.0, False), (90, 0.9, 1.9, False)],
)
def test_skills_are_near_where_enough_people_have_both_and_more_than_by_chance(people, cosine, lift, near):
    assert near_enough(people, cosine, lift) is near


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=4).map(tuple), max_size=6), st.integers(1, 30))
def test_what_is_learned_is_what_counting_every_pair_of_skills_gives_in_whatever_order(lists, times):
    lists = lists * times
    known = learned(lists)
    each, both = Counter(), Counter()
    for tags in lists:
        each.update(set(tags))
        both.update(combinations(sorted(set(tags)), 2))
    filled = sum(map(bool, lists))
    expected = {
        pair
        for pair, count in both.items()
        if near_enough(
            count,
            count / sqrt(each[pair[0]] * each[pair[1]]),
            count * filled / (each[pair[0]] * each[pair[1]]),
        )
    }
    assert {(one, other) for one, others in known.tags.items() for other in others if one < other} == expected
    assert learned(lists[::-1]) == known


def test_the_nearest_stands_first():
    lists = [("a", "b")] * 30 + [("a", "c")] * 12 + [("b",)] * 2 + [("z",)] * 90
    both = [("a", "b", "c")] * 20
    assert learned([*lists, *both]).tags["a"][0] == "b"
    assert Near.of([("a", "b"), ("c", "a")]).tags == {"a": ("b", "c"), "b": ("a",), "c": ("a",)}


def test_few_people_have_no_skills_near_each_other():
    assert learned([("sql", "mysql")] * 9 + [("law",)] * 90).tags == {}


def test_a_skill_near_an_offered_one_brings_half_and_is_told_so():
    one, other = mentee("e", skills_wanted=("sql", "go", "law")), mentor("m", skills_offered=("mysql", "go"))
    scoring = weighed(Policy(), [one], [other], near=Nearby(Near.of([("sql", "mysql")])))
    spoken = scoring.parts[0].spoken(one, other), scoring.parts[1].spoken(one, other)
    assert spoken == (
        Spoken("skills", 333_333, 1, ("go",)),
        Spoken("related_skills", 166_666, 1, ("sql",), ("mysql",)),
    )
    assert [(r.code.value, r.items, r.near) for r in reasons([part for part in spoken if part])] == [
        ("skills", ("go",), ()),
        ("related_skills", ("sql",), ("mysql",)),
    ]


def test_a_role_beside_the_wanted_one_counts_half_and_the_wanted_one_in_full():
    one = mentee("e", goals=("role:pm", "role:cto", "grow"))
    other = mentor("m", roles_held=("cto", "project-lead"))
    scoring = weighed(Policy(), [one], [other], near=Nearby(roles=Near.of([("pm", "project-lead"), ("cto", "pm")])))
    told = [part.spoken(one, other) for part in scoring.parts]
    assert told == [
        Spoken("has_made_the_move", 500_000, 1, ("cto",)),
        Spoken("adjacent_role", 250_000, 1, ("pm",), ("project-lead",)),
    ]


def test_what_is_offered_itself_is_not_counted_again_for_being_near():
    one, other = mentee("e", skills_wanted=("sql", "mysql")), mentor("m", skills_offered=("sql", "mysql"))
    scoring = weighed(Policy(), [one], [other], near=Nearby(Near.of([("sql", "mysql")])))
    assert [part.code for part in scoring.parts] == ["skills"]


@settings(max_examples=200, deadline=None)
@given(said, said, nears)
def test_both_parts_of_skills_together_bring_no_more_than_skills_alone_could(one, other, near):
    wants, has = mentee("e", **one), mentor("m", **other)
    parts = [p for p in weighed(Policy(), [wants], [has], near=Nearby(near)).parts if isinstance(p, Share) and "skills" in p.code]
    spoken = [found for part in parts if (found := part.spoken(wants, has))]
    assert score_of(spoken) <= max((part.points for part in parts), default=0)
    for part in spoken:
        assert all(item in near.tags[instead] for item, instead in zip(part.items, part.near, strict=False))
        assert set(part.near) <= set(has.profile.skills_offered)


def test_a_plan_and_a_mentee_s_choice_learn_alike_from_the_program_s_own_people():
    people = [*CROWD, mentee("e", skills_wanted=("sql",)), mentor("m1", skills_offered=("art",))]
    people.append(mentor("m2", skills_offered=("mysql",)))
    (pair,) = plan(people, Policy(), NOW).pairs
    assert (pair.mentor, pair.score) == ("m2", 500_000)
    field = Field(people, Policy(), MONDAY)
    found = ranked(field.mentees["e"], field.mentors, field)
    assert [(one.mentor.id, one.score) for one in found] == [("m2", 500_000), ("m1", -1)]
    assert why(field.mentees["e"], found[0].mentor, field) == pair.reasons
    assert pair.reasons[0].near == ("mysql",)
    without = plan(people, Policy(weights=Weights(skills=0)), NOW).pairs
    assert [part.code for pair in without for part in pair.spoken] == []


@settings(max_examples=100, deadline=None)
@given(st.lists(said, min_size=1, max_size=4), st.lists(st.tuples(said, room), min_size=1, max_size=4), nearby)
def test_with_what_is_near_the_best_plan_of_all_is_found(these, those, near):
    mentees = [mentee(f"e{n}", **s) for n, s in enumerate(these)]
    mentors = [mentor(f"m{n}", places, taken=taken, **s) for n, (s, (places, taken)) in enumerate(those)]
    policy = Policy(aim="score")
    scores = table_of(mentees, mentors, policy, near).block(0, len(mentees)).tolist()

    def best(row: int, places: tuple[int, ...]) -> int:
        if row == len(mentees):
            return 0
        found = best(row + 1, places)
        for column, free in enumerate(places):
            if free and scores[row][column] >= 0:
                left = (*places[:column], free - 1, *places[column + 1 :])
                found = max(found, scores[row][column] + best(row + 1, left))
        return found

    scoring = weighed(policy, mentees, mentors, near=near)
    found = plan([*mentees, *mentors], policy, NOW, scoring)
    assert (found.score_total, found.gap) == (best(0, tuple(m.places for m in mentors)), 0)
    assert all(score_of(pair.spoken) == pair.score for pair in found.pairs)


def test_of_peers_each_tells_what_the_other_has_instead():
    one = mentee("a", skills_wanted=("sql", "go"), skills_have=("swift",))
    other = mentee("b", skills_wanted=("ios",), skills_offered=("mysql",))
    near = Near.of([("sql", "mysql"), ("ios", "swift")])
    scoring = peers_scoring(Policy(), [one, other], Nearby(near))
    (part,) = [part for part in peer_parts(one, other, scoring, free_of(one, other)) if part.code == "related_skills"]
    assert (part.points, part.number, part.items, part.near) == (750_000, 2, ("sql", "ios"), ("mysql", "swift"))
    (back,) = [part for part in peer_parts(other, one, scoring, free_of(other, one)) if part.code == "related_skills"]
    assert (back.points, dict(zip(back.items, back.near, strict=True))) == (750_000, {"sql": "mysql", "ios": "swift"})


def test_of_several_pairs_what_comes_up_most_often_is_told_with_what_is_near_it():
    pairs = [
        [Spoken("related_skills", 10, 1, (item,), (near,))] for item, near in (("c", "b"), ("sql", "mysql"), ("sql", "mysql"))
    ]
    (part,) = added(pairs, 3)
    assert (part.points, part.items, part.near) == (10, ("sql", "c"), ("mysql", "b"))
