"""A run makes each of its program's formats, and nobody gets more places than they have."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching.domain.formats import matched
from services.matching.domain.model import BESIDE, Person, Program, Run, RunStatus, role_in
from services.matching.domain.runs import apply_pair, everyone
from services.matching.handlers import learned_of_person
from shared.decisions import NOTHING, Action, Context
from shared.events import Enrolment, Format, Policy, Role, WaitlistReason, Window
from tests.matching.people import record

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PROGRAM = "northwind.crossing"
RUN = Run(UUID(int=7), "northwind", PROGRAM, RunStatus.solving, 1, "key", None, "", UUID(int=8), NOW)
MORNING = (Window(weekday=1, start="08:00", end="10:00"),)
EVENING = (Window(weekday=1, start="18:00", end="20:00"),)


def context(*aggregates, now=NOW) -> Context:
    return Context(Action(Person, None, lambda *_: NOTHING), now, {(type(a), a.id): a for a in aggregates}, {})


def person(name: str, role: Role, *formats: Format, capacity: int = 1, **said) -> Person:
    news = record(name, role, PROGRAM, organization="northwind", **({"languages": ("en",)} | said))
    enrolment = Enrolment(program=PROGRAM, role=role, capacity=capacity, formats=formats, revision=1)
    return learned_of_person(None, news.model_copy(update={"enrolments": (enrolment,)}), context()).changed[0]


def mentor(name: str, *formats: Format, capacity: int = 1, **said) -> Person:
    return person(name, Role.mentor, *formats, capacity=capacity, **said)


def mentee(name: str, *formats: Format, **said) -> Person:
    return person(name, Role.mentee, *formats, **said)


def program(*formats: Format, **policy) -> Program:
    return Program(PROGRAM, "northwind", Policy(formats=formats, **policy), 1)


def run(people, at: Program):
    """What a run finds, with names for ids, and what stands when all of it was applied."""
    found = matched(people, at, RUN, NOW)
    names = {person.id: person.own_id for person in people}
    known = {person.id: person for person in people}
    made = []
    for relationship in found.relationships:
        world = context(at, *known.values())
        assert len(everyone(relationship, world)) == len(relationship.members)
        outcome = apply_pair(relationship, world)
        assert outcome.result is True
        known |= {one.id: one for one in outcome.changed if isinstance(one, Person)}
        members = {names[member.person_id]: member.role.value for member in relationship.members}
        made.append((relationship.format.value, members, relationship.about))
    return made, {names[UUID(who)]: left.reason for who, left in found.left.items()}, known


def test_in_groups_a_mentor_has_several_mentees_at_once():
    people = [mentor("k1", skills_offered=("sql",)), mentor("k2", skills_offered=("go",))]
    people += [mentee(f"n{n}", skills_wanted=(("sql", "go")[n % 2],)) for n in range(8)]
    made, left, _ = run(people, program(Format.group))
    assert [form for form, _, _ in made] == ["group", "group"]
    assert sorted(Counter(members.values()).items() for _, members, _ in made) == [{"mentor": 1, "mentee": 4}.items()] * 2
    assert not left


def test_who_mentors_by_letter_needs_no_hour_in_common():
    people = [mentor("k1", availability=MORNING), mentee("n1", availability=EVENING)]
    assert run(people, program(Format.one_to_one))[1] == {"k1": WaitlistReason.no_overlap, "n1": WaitlistReason.no_overlap}
    assert run(people, program(Format.e_mentoring))[0] == [("e_mentoring", {"k1": "mentor", "n1": "mentee"}, ())]


def test_in_reverse_the_mentees_mentor_the_mentors_on_named_topics():
    senior = {"skills_wanted": ("ai", "video"), "rank": 5}
    people = [mentor("k1", **senior), mentor("k2", skills_wanted=("welding",), rank=5)]
    people += [mentee("n1", skills_offered=("video", "go"), rank=1), mentee("n2", skills_offered=("go",), rank=1)]
    made, left, _ = run(people, program(Format.reverse, least_ranks_above=2))
    assert made == [("reverse", {"n1": "mentor", "k1": "mentee"}, ("video",))]
    assert set(left) == {"k2", "n2"}


@pytest.mark.parametrize("formats", [(Format.reverse, Format.one_to_one), (Format.reverse,)])
def test_who_waits_is_told_what_they_came_for_and_in_the_role_in_which_they_are_enrolled(formats):
    people = [
        mentor("k1", skills_wanted=("ai",), skills_offered=("sql",)),
        mentee("n1", skills_wanted=("go",), skills_offered=("law",)),
    ]
    found = matched(people, program(*formats, least_score=0.5), RUN, NOW)
    k1, n1 = (found.left[str(one.id)] for one in people)
    assert (k1.role, n1.role) == (Role.mentor, Role.mentee)
    assert (k1.missing, n1.missing) == (((), ("go",)) if Format.one_to_one in formats else (("ai",), ()))
    assert {one.own_id: one.role.value for one in found.pool.values()} == {"k1": "mentor", "n1": "mentee"}


def test_of_nobody_it_is_said_that_a_place_more_to_mentor_in_reverse_would_help():
    people = [*(mentor(f"k{n}", skills_wanted=("ai",)) for n in range(3)), mentee("n1", skills_offered=("ai",))]
    found = matched(people, program(Format.reverse), RUN, NOW)
    assert (len(found.relationships), list(found.helps)) == (1, [])


def test_reverse_mentoring_takes_no_place_from_what_people_came_for():
    people = [mentor("k1", skills_wanted=("ai",), skills_offered=("sql",))]
    people += [mentee("n1", skills_offered=("ai",), skills_wanted=("sql",)), mentee("n2", skills_wanted=("sql",))]
    made, left, known = run(people, program(Format.reverse, Format.one_to_one))
    assert made[0] == ("reverse", {"n1": "mentor", "k1": "mentee"}, ("ai",))
    assert made[1:] == [("one_to_one", {"k1": "mentor", "n2": "mentee"}, ())]  # those two meet already
    assert left == {"n1": WaitlistReason.nobody_to_meet}
    assert [one.taken(PROGRAM) for one in known.values()] == [1, 0, 1]


def test_a_mentee_with_several_mentors_has_one_for_each_topic():
    people = [
        mentor("k1", capacity=2, skills_offered=("sql", "go")),
        mentor("k2", capacity=2, skills_offered=("go", "law")),
        mentor("k3", capacity=2, skills_offered=("sql",)),
        mentee("n1", skills_wanted=("sql", "go", "law")),
        mentee("n2", skills_wanted=("sql",)),
    ]
    made, left, _ = run(people, program(Format.multi_mentor, aim="score"))
    mine = [about for _, members, about in made if "n1" in members]
    assert mine in ([("sql", "go"), ("law",)], [("go", "law"), ("sql",)])
    assert sum("n2" in members for _, members, _ in made) == 1  # a second one would have nothing left to cover
    assert set(left) <= {"k3"}


def test_what_is_for_topics_is_not_made_where_nobody_has_named_one():
    people = [mentor("k1"), mentor("k2"), mentee("n1", skills_wanted=("sql", "go"))]
    made, left, _ = run(people, program(Format.multi_mentor))
    assert [form for form, _, _ in made] == ["multi_mentor"]
    assert len(left) == 1
    for said in ({}, {"skills_wanted": ("sql",)}):
        made, left, _ = run([mentor("k1", **said), mentee("n1")], program(Format.reverse))
        assert (made, set(left)) == ([], {"k1", "n1"})


def test_a_later_run_adds_nobody_without_a_topic_that_is_not_covered():
    people = [mentor("k1", skills_offered=("sql",)), mentee("n1", skills_wanted=("sql", "go"), industry="bank")]
    _, _, known = run(people, program(Format.multi_mentor))
    made, left, _ = run([*known.values(), mentor("k2", skills_offered=("law",), industry="bank")], program(Format.multi_mentor))
    assert (made, set(left)) == ([], {"k2"})


def test_whom_someone_mentors_in_reverse_is_no_mentor_of_theirs():
    people = [
        mentor("k1", skills_offered=("sql",), skills_wanted=("ai",)),
        mentor("k2", skills_offered=("sql",)),
        mentee("n1", skills_wanted=("sql",), skills_offered=("ai",)),
    ]
    made, _, _ = run(people, program(Format.reverse, Format.multi_mentor))
    assert [members for form, members, _ in made if form == "multi_mentor"] == [{"k2": "mentor", "n1": "mentee"}]


def test_a_later_run_adds_a_mentor_for_what_is_not_covered_and_no_more_than_the_most():
    people = [mentor("k1", skills_offered=("sql",)), mentee("n1", skills_wanted=("sql", "go", "law", "ai"))]
    at = program(Format.multi_mentor, most_mentors=2)
    _, _, known = run(people, at)
    people = [*known.values(), mentor("k2", skills_offered=("sql", "go")), mentor("k3", skills_offered=("law",))]
    made, left, known = run(people, at)
    assert [about for _, _, about in made] in ([("go",)], [("law",)])
    assert len(left) == 1
    assert known[people[1].id].places_left(PROGRAM, at.policy, Format.multi_mentor) == 0


def test_who_names_two_formats_may_have_one_of_each_and_who_names_none_has_one_in_all():
    both = Format.one_to_one, Format.e_mentoring
    people = [mentor("k1", capacity=4), mentor("k2", capacity=4), mentee("n1", *both), mentee("n2")]
    made, _, _ = run(people, program(*both))
    of = Counter(name for _, members, _ in made for name in members)
    assert (of["n1"], of["n2"]) == (2, 1)


def test_whom_no_format_of_the_program_takes_is_told_so():
    made, left, _ = run([mentor("k1"), mentee("n1", Format.e_mentoring)], program(Format.circle))
    assert len(left) == 2
    assert not made
    assert set(left.values()) == {WaitlistReason.nobody_to_meet}


def test_a_run_of_pairs_waits_for_no_library_that_it_does_not_need():
    """Loaded for each run: numba and scipy's solvers would cost it three seconds of CPU."""
    code = "import sys, services.matching.job; sys.exit(bool({'numba', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_made_in_a_closed_program():
    people = [mentor("k1"), mentee("n1")]
    assert run(people, replace(program(Format.one_to_one), closed=True))[:2] == ([], {})


FORMATS = st.sampled_from([f for f in Format if f is not Format.other])


@st.composite
def programs(draw):
    """A program of some formats, and people who take part in some of them."""
    skills = st.lists(st.sampled_from(["sql", "go", "law", "ai"]), max_size=3, unique=True).map(tuple)
    chosen = st.lists(FORMATS, max_size=2, unique=True)
    people = []
    for n in range(draw(st.integers(2, 14))):
        role = draw(st.sampled_from([Role.mentor, Role.mentee, Role.mentee, Role.peer]))
        said = {"skills_offered": draw(skills), "skills_wanted": draw(skills)}
        people.append(person(f"p{n:02}", role, *draw(chosen), capacity=draw(st.integers(1, 3)), **said))
    formats = draw(st.lists(FORMATS, min_size=1, max_size=4, unique=True))
    return program(*formats, least_group_size=2, least_circle_size=3), people


@settings(max_examples=60, deadline=None)
@given(programs())
def test_all_that_a_run_finds_can_begin_and_nobody_is_forgotten(scene):
    at, people = scene
    made, left, known = run(people, at)  # which asks of each that it begins
    met = Counter(frozenset((one, other)) for _, members, _ in made for one in members for other in members if one < other)
    assert max(met.values(), default=1) == 1
    policy = at.policy
    for before in people:
        after = known[before.id]
        mine = [form for form, members, _ in made if before.own_id in members]
        if before.enrolment(PROGRAM).role is Role.mentor:
            assert sum(Format(form) not in BESIDE for form in mine) <= before.enrolment(PROGRAM).capacity
        assert mine.count("conversation") <= policy.conversations_per_month
        assert mine.count("multi_mentor") <= policy.most_mentors or before.enrolment(PROGRAM).role is Role.mentor
        assert set(mine) <= {form.value for form in policy.formats}
        wanted = before.enrolment(PROGRAM).formats
        assert not wanted or {Format(form) for form in mine} <= set(wanted)
        if any(before.room(PROGRAM, policy, form, NOW) for form in policy.formats):
            assert mine or before.own_id in left
        assert after.taken(PROGRAM) == len({p.relationship_id for p in after.places if p.format not in BESIDE})
    for form, members, _ in made:
        for name, role in members.items():
            enrolled = next(one for one in people if one.own_id == name).enrolment(PROGRAM).role
            assert role_in(Format(form), enrolled).value == role
