"""What a mentee is shown of mentors is what a plan over everyone would reckon: the same rules, score, order and reasons."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.fits import Field, ranked, why
from services.matching.domain.plan import plan
from shared.events import Policy, Weights
from tests.matching.people import mentee, mentor
from tests.matching.test_score import MONDAY, NOW, policies, said, table_of


@settings(max_examples=150, deadline=None)
@given(st.lists(said, min_size=1, max_size=4), st.lists(said, min_size=1, max_size=5), policies)
def test_a_mentee_s_mentors_have_the_plan_s_scores_order_and_reasons(these, those, policy):
    mentees = [mentee(f"e{n}", apart=("m1",) if n == 0 else (), **s) for n, s in enumerate(these)]
    mentors = [mentor(f"m{n}", **s) for n, s in enumerate(those)]
    field = Field([*reversed(mentors), *mentees], policy, MONDAY)
    whole = table_of(mentees, mentors, policy).block(0, len(mentees)).tolist()
    found = {one.id: {r.mentor.id: r for r in ranked(one, field.mentors, field)} for one in mentees}
    for one, row in zip(mentees, whole, strict=True):
        assert list(found[one.id]) == [m for _, m in sorted((-score, m.id) for score, m in zip(row, mentors, strict=True))]
        assert [found[one.id][m.id].score for m in mentors] == row
        assert [found[one.id][m.id].allowed for m in mentors] == [score >= 0 for score in row]
    for pair in plan([*mentees, *mentors], policy, NOW).pairs:
        shown = found[pair.mentee][pair.mentor]
        one = field.mentees[pair.mentee]
        assert (shown.score, why(one, shown.mentor, field)) == (pair.score, pair.reasons)


def test_a_score_is_the_same_whoever_else_is_named_beside_it():
    people = [
        mentee("e", skills_wanted=("sql",), industry="bank"),
        mentor("m1", skills_offered=("sql",)),
        mentor("m2", skills_offered=("sql",), industry="bank"),
    ]
    field = Field(people, Policy(), MONDAY)
    alone = [ranked(people[0], [one], field)[0] for one in field.mentors]
    assert [one.score for one in alone] == [750_000, 1_000_000]
    assert ranked(people[0], field.mentors, field) == alone[::-1]


def test_the_program_s_own_line_and_least_score_hold_for_a_mentee_s_choice():
    people = [
        mentee("e", skills_wanted=("sql", "go"), reports_to="boss"),
        mentor("m1", skills_offered=("sql", "go"), own_id="boss"),
        mentor("m2", skills_offered=("sql",)),
        mentor("m3", skills_offered=("rust",)),
    ]
    policy = Policy(not_in_own_line=True, least_score=0.3, weights=Weights(skills=1))
    field = Field([replace(p, own_id=p.own_id or p.id) for p in people], policy, MONDAY)
    allowed = [one.mentor.id for one in ranked(field.mentees["e"], field.mentors, field) if one.allowed]
    assert allowed == ["m2"]
