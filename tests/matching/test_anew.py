"""Open proposals as a run of today would find them: what a run itself says of the same people, and which rule keeps two apart."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.anew import anew
from services.matching.domain.formats import matched
from services.matching.domain.model import Against, Person, Place, Program, Run, RunStatus, Waiting
from services.matching.domain.runs import seated
from shared.cloudevents import new_id
from shared.events import AcrossOrganizations, Enrolment, Format, PersonStatus, Policy, Role, WaitlistReason
from tests.matching.people import profile
from tests.matching.test_score import policies, said

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PROGRAM = "northwind.crossing"
RUN = Run(UUID(int=7), "northwind", PROGRAM, RunStatus.solving, 1, "", None, "", UUID(int=8), NOW)
PEER, MENTOR, MENTEE = Role.peer, Role.mentor, Role.mentee


def someone(n: int, role: Role, *, capacity=1, revision=1, formats=(), waited=None, **statements) -> Person:
    waiting = () if waited is None else (Waiting(PROGRAM, NOW - timedelta(days=waited), WaitlistReason.no_capacity),)
    return Person(
        UUID(int=100 + n), "northwind", own_id=f"p{n}", revision=revision, profile=profile(**statements), programs=(PROGRAM,),
        status=PersonStatus.active, waiting=waiting,
        enrolments=(Enrolment(program=PROGRAM, role=role, capacity=capacity, formats=formats),),
    )  # fmt: skip


def run(people, program):
    """What a run finds, and the people with all of it proposed to them."""
    found = matched(people, program, RUN, NOW).relationships
    now = {person.id: person for person in people}
    for one in found:
        now |= {p.id: p for p in seated(one, tuple(now[m.person_id] for m in one.members), program, NOW, proposed=True)}
    return found, now


def as_told(one):
    return one.score, one.reasons, one.about


people = st.lists(
    st.tuples(
        st.sampled_from([MENTOR, MENTEE, MENTEE, PEER]), st.integers(1, 3), st.one_of(st.none(), st.integers(0, 90)), said
    ),
    min_size=2, max_size=14,
).map(lambda some: [someone(n, role, capacity=c, waited=w, **s) for n, (role, c, w, s) in enumerate(some)])  # fmt: skip
PAIRS = [Format.one_to_one, Format.e_mentoring, Format.multi_mentor, Format.reverse, Format.peer_pair, Format.conversation]
SEARCHED = [Format.group, Format.circle]
"""Which take a while to be found."""
forms = st.lists(st.sampled_from(PAIRS), unique=True, min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(people, policies, forms)
def test_where_nothing_has_changed_each_proposal_is_what_the_run_found_in_every_format(everyone, policy, formats):
    as_found(everyone, policy, formats)


@settings(max_examples=8, deadline=None)
@given(people, policies, st.sampled_from(SEARCHED), st.lists(st.sampled_from(PAIRS), max_size=1))
def test_where_nothing_has_changed_each_group_and_circle_is_what_the_run_found(everyone, policy, form, before):
    as_found(everyone, policy, [*before, form])


def as_found(everyone, policy, formats):
    program = Program(PROGRAM, "northwind", policy.model_copy(update={"formats": tuple(formats)}), 3)
    found, now = run(everyone, program)
    again = {one.id: one for one in anew(found, now, program, NOW)}
    for one in found:
        assert (again[one.id].against, as_told(again[one.id])) == (None, as_told(one)), one.format
        assert again[one.id].scored_for == one.scored_for


@settings(max_examples=100, deadline=None)
@given(people, policies, st.sampled_from([form for form in PAIRS if form is not Format.multi_mentor]), st.data())
def test_where_somebody_has_changed_each_proposal_is_what_a_new_run_of_the_same_people_says(everyone, policy, form, data):
    as_a_new_run(everyone, policy, form, data)


@settings(max_examples=8, deadline=None)
@given(people, policies, st.sampled_from(SEARCHED), st.data())
def test_where_somebody_has_changed_each_group_and_circle_is_what_a_new_run_says(everyone, policy, form, data):
    as_a_new_run(everyone, policy, form, data)


def as_a_new_run(everyone, policy, form, data):
    program = Program(PROGRAM, "northwind", policy.model_copy(update={"formats": (form,)}), 3)
    found, now = run(everyone, program)
    chosen = data.draw(st.sampled_from(everyone))
    fresh = profile(**data.draw(said))
    changed = [replace(p, profile=fresh, revision=2) if p is chosen else p for p in everyone]
    now[chosen.id] = replace(now[chosen.id], profile=fresh, revision=2)
    new = {one.people: one for one in run(changed, program)[0]}
    for one, proposal in zip(anew(found, now, program, NOW), found, strict=True):
        if proposal.people in new:
            assert (one.against, as_told(one)) == (None, as_told(new[proposal.people]))
        assert one.scored_for == (*(now[m.person_id].revision for m in proposal.members), 3)


@settings(max_examples=150, deadline=None)
@given(people, policies, said, said, st.data())
def test_a_rule_is_against_a_pair_exactly_where_a_run_of_the_two_alone_finds_none(everyone, policy, one, other, data):
    """The two are the first of their roles, and a run may pair nobody else: it scores with everyone, and has places for these two."""
    program = Program(PROGRAM, "northwind", policy, 1)
    before = [someone(50, MENTOR, languages=("en",)), someone(51, MENTEE, languages=("en",))]
    open_to_all = replace(program, policy=Policy(least_score=0, least_overlap_hours=0, weights=policy.weights))
    (found,), now = run(before, open_to_all)
    full = Place(PROGRAM, UUID(int=9), UUID(int=10))
    taken = [replace(person, places=(full,)) for person in everyone if person.enrolments[0].capacity == 1]
    two = [replace(p, profile=profile(**s)) for p, s in zip(before, (one, other), strict=True)]
    now = {p.id: p for p in taken} | {p.id: replace(now[p.id], profile=p.profile) for p in two}
    (again,) = anew([found], now, program, NOW)
    new = matched([*taken, *two], program, RUN, NOW).relationships
    assert [as_told(n) for n in new] == ([as_told(again)] if again.against is None else [])


WANTS, HAS = {"skills_wanted": ("sql",), "languages": ("en",)}, {"skills_offered": ("sql",), "languages": ("en",)}


def pair(**policy):
    program = Program(PROGRAM, "northwind", Policy(**policy), 1)
    (found,), now = run([someone(0, MENTOR, **HAS), someone(1, MENTEE, **WANTS)], program)
    return program, found, now


@pytest.mark.parametrize(
    ("policy", "mentor", "mentee", "against"),
    [
        ({}, {}, {}, None),
        ({}, {"languages": ("yo",)}, {}, Against.language),
        ({}, {"skills_offered": ("law",)}, {}, Against.least_score),
        ({"most_ranks_above": 2}, {"rank": 5}, {"rank": 1}, Against.ranks),
        ({"least_years_more": 2}, {"years_experience": 5.0}, {"years_experience": 4.0}, Against.years),
        ({}, {}, {"reports_to": "p0"}, Against.kept_apart),
    ],
)
def test_the_rule_that_is_against_a_pair_is_named(policy, mentor, mentee, against):
    program, found, now = pair(**policy)
    one, other = (now[member.person_id] for member in found.members)
    now[one.id] = replace(one, profile=profile(**(HAS | mentor)))
    now[other.id] = replace(other, profile=profile(**(WANTS | mentee)))
    (again,) = anew([found], now, program, NOW)
    assert again.against is against


def test_a_rule_of_the_program_s_new_policy_is_against_a_pair_like_one_of_its_old():
    program, found, now = pair()
    for policy, against in (
        (Policy(organizations=AcrossOrganizations.only_other), Against.organizations),
        (Policy(formats=(Format.circle,)), Against.formats),
        (Policy(least_score=1.0), None),
    ):
        (again,) = anew([found], now, replace(program, policy=policy, revision=2), NOW)
        assert (again.against, again.scored_for) == (against, (1, 1, 2))


def test_who_has_fewer_places_than_have_begun_has_none_for_a_proposal_and_who_changed_sides_takes_no_part_in_it():
    program, found, now = pair()
    mentor = now[found.members[0].person_id]
    begun = Place(PROGRAM, new_id(), UUID(int=5))
    for person, against in (
        (replace(mentor, places=(*mentor.places, begun)), Against.places),
        (replace(mentor, enrolments=(Enrolment(program=PROGRAM, role=MENTEE),)), Against.takes_part),
        (replace(mentor, status=PersonStatus.paused), Against.takes_part),
    ):
        (again,) = anew([found], now | {mentor.id: person}, program, NOW)
        assert again.against is against
    assert anew([found], {mentor.id: mentor}, program, NOW) == []  # the mentee is erased


def test_of_several_mentors_the_first_found_still_holds_where_a_further_one_has_begun_before():
    program = Program(PROGRAM, "northwind", Policy(formats=(Format.multi_mentor,), least_score=0), 1)
    mentors = [someone(n, MENTOR, skills_offered=offered) for n, offered in enumerate([("sql", "go"), ("law",)])]
    found, now = run([*mentors, someone(2, MENTEE, skills_wanted=("sql", "go", "law"))], program)
    first, further = found
    assert (first.turn, further.turn) == (0, 1)
    people = seated(further, tuple(now[m.person_id] for m in further.members), program, NOW, proposed=False)
    (again,) = anew([first], now | {person.id: person for person in people}, program, NOW)
    assert (again.against, again.about) == (None, ("sql", "go"))


def test_a_circle_falls_with_the_first_two_in_it_who_may_not_meet():
    program = Program(PROGRAM, "northwind", Policy(formats=(Format.circle,)), 1)
    (found,), now = run([someone(n, PEER, **WANTS) for n in range(4)], program)
    last = now[found.members[-1].person_id]
    now[last.id] = replace(last, profile=profile(languages=("yo",)))
    (again,) = anew([found], now, program, NOW)
    assert again.against is Against.language
