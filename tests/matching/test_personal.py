"""People's own rules: as pure decisions, in every format of a run, and in requests; what others see says nothing of them."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.matching import handlers
from services.matching.domain import personal, proposals, runs
from services.matching.domain.formats import matched
from services.matching.domain.model import REQUESTS_OF, Against, Person, PersonalRule, Relationship, RelationshipStatus
from services.matching.domain.personal import Answer, may_meet, questions, say, together
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    Format,
    PersonErased,
    PersonPaused,
    PersonWithdrawn,
    ProfileChanged,
    ProgramChanged,
    ProgramClosed,
    Role,
    WaitlistReason,
)
from tests.matching.people import record
from tests.matching.test_formats import NOW, PROGRAM, RUN, context, mentee, mentor, person, program, run
from tests.matching.test_own_contact import name
from tests.matching.test_requests import ADA, ONE, OPENED, SIX, TWO, names, statuses, world

ASKED = [
    {"attribute": "gender", "answers": ["woman", "man", "non-binary"]},
    {"attribute": "faith", "answers": ["muslim", "jewish", "christian"]},
]
AT = program(Format.one_to_one, personal_rules=ASKED)


def told(one: Person, at=NOW, in_program=PROGRAM, **said: str) -> Person:
    """With answers; one that ends in `!` is a rule."""
    rules = tuple(
        PersonalRule(in_program, attribute, at, value.removesuffix("!"), value.endswith("!")) for attribute, value in said.items()
    )
    return replace(one, personal_rules=rules)


# ---- who may meet


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ({}, {}, True),
        ({"gender": "woman"}, {}, True),
        ({"gender": "woman"}, {"gender": "man"}, True),
        ({"gender": "woman!"}, {"gender": "woman"}, True),
        ({"gender": "woman!"}, {"gender": "woman!"}, True),
        ({"gender": "woman!"}, {"gender": "man"}, False),
        ({"gender": "woman!"}, {}, False),
        ({"gender": "woman!"}, {"faith": "muslim"}, False),
        ({"gender": "woman!", "faith": "muslim!"}, {"gender": "woman", "faith": "muslim"}, True),
        ({"gender": "woman!", "faith": "muslim!"}, {"gender": "woman"}, False),
        ({"gender": "woman!", "faith": "muslim"}, {"gender": "woman", "faith": "jewish"}, True),
        ({"gender": "woman!", "faith": "muslim"}, {"gender": "woman", "faith": "jewish!"}, False),
    ],
)
def test_two_may_meet_if_neither_s_rule_forbids_it(one, other, may):
    these = [told(mentor("a"), **one).personal(PROGRAM), told(mentee("b"), **other).personal(PROGRAM)]
    assert [may_meet(*these), may_meet(*reversed(these))] == [may, may]


def test_a_rule_counts_in_its_own_program_alone():
    one = told(mentor("a"), in_program="northwind.other", gender="woman!")
    assert together((one, mentee("b")), PROGRAM)
    assert not together((one, mentee("b")), "northwind.other")


SAYING = st.fixed_dictionaries({}, optional={"gender": st.sampled_from(["woman", "man", "woman!", "man!"]), "faith": st.sampled_from(["muslim", "jewish!"])})  # fmt: skip
FORMATS = st.sampled_from([form for form in Format if form is not Format.other])


@given(st.lists(SAYING, min_size=4, max_size=12), FORMATS)
@settings(max_examples=120, deadline=None)
def test_no_format_brings_two_together_whom_a_rule_of_theirs_keeps_apart(said, form):
    said = [*said, {}, {}, {}, {}]
    skills = {"skills_offered": ("sql", "go"), "skills_wanted": ("sql", "go")}
    roles = [Role.peer] * 2 if form in {Format.peer_pair, Format.circle} else [Role.mentor, Role.mentee]
    people = [told(person(f"p{n}", roles[n % 2], **skills), **answers) for n, answers in enumerate(said)]
    made, _, known = run(people, program(form, least_group_size=2, least_circle_size=3))
    by_name = {one.own_id: one for one in known.values()}
    assert all(together([by_name[name] for name in members], PROGRAM) for _, members, _ in made)


def test_whoever_only_may_meet_one_meets_that_one_whatever_the_score():
    best = {"skills_offered": ("sql", "go")}
    people = [
        mentor("k1", **best),
        told(mentor("k2"), gender="woman"),
        told(mentee("n1", skills_wanted=("sql", "go")), gender="woman!"),
    ]
    assert run(people, program(Format.one_to_one, least_score=0))[0] == [("one_to_one", {"k2": "mentor", "n1": "mentee"}, ())]


def test_what_is_said_brings_no_points_and_no_reason():
    people = [mentor("k1", skills_offered=("sql",)), mentee("n1", skills_wanted=("sql",), years_experience=2.0)]
    found = [
        matched(these, AT, RUN, NOW).relationships[0]
        for these in (people, [told(one, gender="woman!", faith="muslim") for one in people])
    ]
    assert found[0].score == found[1].score
    assert found[0].reasons == found[1].reasons


# ---- what others see


def left(people, at):
    return matched(people, at, RUN, NOW).left


KEPT_APART = [
    ({"gender": "woman!"}, {"gender": "man"}),
    ({}, {"gender": "man!"}),
]


@pytest.mark.parametrize(("one", "other"), KEPT_APART)
@pytest.mark.parametrize("form", [Format.one_to_one, Format.e_mentoring, Format.group, Format.multi_mentor])
def test_the_reason_why_someone_waits_is_the_same_as_for_another_rule(one, other, form):
    at = program(form, personal_rules=ASKED, least_group_size=2)
    skills = {"skills_offered": ("sql",), "skills_wanted": ("sql",)}
    by_wish = [told(mentor("k1", **skills), **one), *(told(mentee(f"n{n}", **skills), **other) for n in range(3))]
    by_language = [mentor("k1", **skills | {"languages": ("pt",)}), *(mentee(f"n{n}", **skills) for n in range(3))]
    assert left(by_wish, at) == left(by_language, at)
    assert {one.reason for one in left(by_wish, at).values()} == {WaitlistReason.nobody_to_meet}


@pytest.mark.parametrize("form", [Format.peer_pair, Format.circle])
def test_among_peers_too(form):
    at = program(form, personal_rules=ASKED, least_circle_size=3)
    some = [person(f"p{n}", Role.peer, skills_wanted=("sql",)) for n in range(3)]
    by_wish = [told(person("x", Role.peer), gender="woman!"), *some]
    by_language = [person("x", Role.peer, languages=("pt",)), *some]
    assert left(by_wish, at)[str(by_wish[0].id)] == left(by_language, at)[str(by_wish[0].id)]


@pytest.mark.parametrize("again", [False, True])
def test_a_program_that_asks_no_more_still_tells_of_no_rule_since_what_was_said_counts(again):
    at = program(Format.one_to_one, personal_rules=ASKED, least_score=0)
    for revision in range(2, 4 if again else 3):
        policy = program(Format.one_to_one, least_score=0).policy
        news = ProgramChanged(program=PROGRAM, organization="northwind", name="Crossing", policy=policy, revision=revision)
        at = handlers.learned_of_program(at, news, context()).changed[0]
    assert not at.policy.personal_rules
    people = [told(mentor("k1"), gender="woman!"), mentee("n1"), mentor("k2", languages=("pt",))]
    assert {(one.reason, one.missing) for one in left(people, at).values()} == {(WaitlistReason.nobody_to_meet, ())}
    these = [mentor("k3"), mentee("n3")]
    (found,) = matched(these, at, RUN, NOW).relationships
    pair = replace(found, status=RelationshipStatus.proposed)
    anew = proposals.Anew(pair.id, pair.scored_for, against=Against.language)
    gone = proposals.rescored(anew, pair, context(at, *these)).changed[0]
    assert (gone.status, gone.against) == (RelationshipStatus.rejected, Against.other)


def test_where_nothing_is_asked_the_rule_is_named_as_ever():
    people = [mentor("k1", languages=("pt",)), mentee("n1")]
    assert {one.reason for one in left(people, program(Format.one_to_one)).values()} == {WaitlistReason.no_common_language}


def test_what_someone_said_is_not_in_how_they_are_written_down():
    one = told(mentor("k1"), gender="woman!")
    assert "woman" not in repr(one)
    assert "woman" not in repr(one.personal_rules)


# ---- saying it


def saying(one: Person, at=AT, now=NOW, **said: str):
    answers = {attribute: Answer(value.removesuffix("!"), value.endswith("!")) for attribute, value in said.items()}
    made = context(at)
    made.now = now
    return say(PROGRAM, answers, one, made)


def after(outcome) -> dict[str, str]:
    (one,) = outcome.changed
    return {rule.attribute: rule.value + "!" * rule.only_same for rule in one.personal_rules}


def test_it_is_off_until_it_is_switched_on_and_can_be_switched_off_and_taken_back_at_any_time():
    one = mentor("k1")
    assert [question.said for question in questions(one, PROGRAM, AT.policy, NOW)] == [Answer(), Answer()]
    outcome = saying(one, gender="woman")
    assert after(outcome) == {"gender": "woman"}
    outcome = saying(outcome.changed[0], gender="woman!", faith="muslim")
    assert after(outcome) == {"gender": "woman!", "faith": "muslim"}
    outcome = saying(outcome.changed[0], gender="woman")
    assert after(outcome) == {"gender": "woman", "faith": "muslim"}
    outcome = saying(outcome.changed[0], gender="", faith="muslim")
    assert after(outcome) == {"gender": "", "faith": "muslim"}
    assert outcome.changed[0].personal(PROGRAM) == (("faith", "muslim", False),)
    assert saying(outcome.changed[0], gender="", faith="muslim") == NOTHING
    assert not outcome.events


@pytest.mark.parametrize("before", [{"gender": "woman"}, {"gender": ""}])
def test_another_answer_is_taken_after_thirty_days_only_so_that_nobody_learns_by_trying(before):
    one = told(mentor("k1"), **before)
    with pytest.raises(Rejected) as refused:
        saying(one, gender="man", now=NOW + timedelta(days=29, hours=23))
    assert (refused.value.code, refused.value.field) == ("too_soon", "gender")
    assert after(saying(one, gender="man!", now=NOW + timedelta(days=30))) == {"gender": "man!"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"gender": "dragon"}, "unknown_answer"),
        ({"gender": "muslim"}, "unknown_answer"),
        ({"gender": "!"}, "nothing_said"),
        ({"politics": "left"}, "unknown_question"),
        ({"politics": ""}, "unknown_question"),
    ],
)
def test_what_the_program_does_not_ask_is_refused(said, code):
    with pytest.raises(Rejected) as refused:
        saying(mentor("k1"), **said)
    assert (refused.value.code, refused.value.status) == (code, 422)
    assert not any(value.strip("!") in str(refused.value.text) for value in said.values() if value.strip("!"))


@pytest.mark.parametrize(
    ("one", "at"),
    [
        (None, AT),
        (mentor("k1"), None),
        (mentor("k1"), replace(AT, closed=True)),
        (replace(mentor("k1"), erased=True), AT),
        (replace(mentor("k1"), enrolments=()), AT),
    ],
)
def test_who_takes_no_part_says_nothing(one, at):
    with pytest.raises(Rejected) as refused:
        say(PROGRAM, {"gender": Answer("woman")}, one, context(*filter(None, [at])))
    assert refused.value.status == 403


def test_what_the_program_asks_no_more_counts_until_it_is_taken_back():
    one, now_closed = told(mentor("k1"), gender="woman!"), program(Format.one_to_one)
    (question,) = questions(one, PROGRAM, now_closed.policy, NOW)
    assert (question.attribute, question.answers, question.asked) == ("gender", ("woman",), False)
    people = [one, told(mentee("n1"), gender="man")]
    assert not matched(people, program(Format.one_to_one, least_score=0), RUN, NOW).relationships
    assert after(saying(one, now_closed, gender="")) == {"gender": ""}
    assert questions(saying(one, now_closed, gender="").changed[0], PROGRAM, now_closed.policy, NOW) == []


def test_one_program_s_answers_leave_another_s_alone():
    one = told(mentor("k1"), in_program="northwind.other", gender="woman!")
    (changed,) = saying(one, gender="man").changed
    assert [(rule.program, rule.value) for rule in changed.personal_rules] == [("northwind.other", "woman"), (PROGRAM, "man")]


# ---- proposals


def proposed(*people: Person, **policy):
    """A proposal of these people, and its world."""
    at = program(Format.one_to_one, match_mode="propose", personal_rules=ASKED, least_score=0, **policy)
    (found,) = matched(people, at, RUN, NOW).relationships
    outcome = runs.apply_pair(found, context(at, *people))
    return {(type(a), a.id): a for a in (at, *people, *outcome.changed)}


def test_a_rule_that_is_switched_on_has_open_proposals_looked_at_again_and_they_fall_without_a_word_of_it():
    one, other = mentor("k1"), mentee("n1")
    known = proposed(one, other)
    (pair,) = [a for (kind, _), a in known.items() if kind is Relationship]
    outcome = say(PROGRAM, {"gender": Answer("woman", only_same=True)}, known[Person, other.id], context(*known.values()))
    assert [(t.kind, t.owner, t.fire_at) for t in outcome.timers] == [("review", pair.id, NOW)]
    known[Person, other.id] = outcome.changed[0]
    with pytest.raises(Rejected) as refused:
        proposals.approve("key", pair, context(*known.values()))
    assert (refused.value.code, "wish" in refused.value.text, "rule" in refused.value.text) == ("no_longer_holds", False, False)
    fallen = handlers.review(pair, None, context(*known.values()))
    (event,) = fallen.events
    assert (type(event).__name__, event.reason) == ("MatchRejected", "no_longer_holds")
    assert all(not one.places for one in fallen.changed if isinstance(one, Person))
    known[Person, one.id] = told(one, gender="woman")
    assert handlers.review(pair, None, context(*known.values())) == NOTHING


def test_what_a_run_planned_is_dropped_where_a_rule_came_between():
    one, other = mentor("k1"), mentee("n1")
    at = program(Format.one_to_one, personal_rules=ASKED, least_score=0)
    (found,) = matched([one, other], at, RUN, NOW).relationships
    outcome = runs.apply_pair(found, context(at, told(one, gender="man!"), other))
    assert (outcome.result, outcome.events) == (False, ())


# ---- requests


def test_a_mentor_whom_a_rule_keeps_apart_can_not_be_asked():
    made = world(OPENED, told(ADA, gender="woman!"), ONE)
    with pytest.raises(Rejected) as refused:
        made.choose(ADA.id, ONE.id)
    assert refused.value.code == "no_longer_free"


@pytest.mark.parametrize("whose", [ADA, TWO])
def test_a_request_that_a_rule_came_to_stand_against_is_withdrawn_and_the_next_one_is_asked(whose):
    made = world()
    made.state[type(OPENED), OPENED.id] = replace(
        OPENED, policy=OPENED.policy.model_copy(update={"personal_rules": AT.policy.personal_rules})
    )
    for one in (ADA, ONE, TWO):
        made.state[Person, one.id] = told(one, gender="man" if one is TWO else "woman")
    made.choose(ADA.id, TWO.id, ONE.id)
    answer = {"gender": Answer("man" if whose is TWO else "woman", only_same=True)}
    outcome = made.do(partial(say, PROGRAM, answer), made.get(Person, whose.id))
    assert [t.kind for t in outcome.timers] == [REQUESTS_OF]
    made.fire()
    made.now += timedelta(seconds=1)
    made.fire()
    assert names(made.told) == ["MentorRequested", "RequestWithdrawn", "MentorRequested"]
    assert (made.told[1].mentor_id, made.told[1].reason, made.told[2].mentor_id) == (TWO.id, "other", ONE.id)
    assert statuses(made, ADA.id) == ["withdrawn", "asked"]


def test_a_yes_that_a_rule_stands_against_begins_nothing():
    made = world()
    made.choose(ADA.id, TWO.id)
    made.state[Person, ADA.id] = told(ADA, gender="woman!")
    made.accept(made.open(ADA.id))
    assert names(made.told) == ["MentorRequested", "RequestWithdrawn"]
    assert made.all(Relationship) == []


def test_a_choice_that_a_rule_keeps_apart_is_passed_over_in_silence():
    made = world()
    made.choose(ADA.id, TWO.id, SIX.id, ONE.id)
    made.state[Person, SIX.id] = told(SIX, gender="man!")
    made.accept(made.open(ADA.id), allowed=False)
    assert [(type(e).__name__, e.mentor_id) for e in made.told[1:]] == [("RequestWithdrawn", TWO.id), ("MentorRequested", ONE.id)]


@pytest.mark.parametrize(("said_yes", "reason"), [(False, "other"), (True, "not_allowed")])
@pytest.mark.parametrize(("one", "other"), KEPT_APART)
def test_a_mentor_whom_the_mentee_named_is_kept_apart_like_any_other(said_yes, reason, one, other):
    made = world(OPENED, told(ADA, **one), told(TWO, **other))
    outcome = name(made, ADA, TWO, said_yes=said_yes)
    assert [(type(e).__name__, e.reason) for e in outcome.events] == [("RequestWithdrawn", reason)]
    assert made.all(Relationship) == []


# ---- forgetting


def heard(kind, one, **more):
    event = record("k1", Role.mentor, PROGRAM, organization="northwind", kind=kind, revision=2, **more)
    return handlers.learned_of_person(one, event, context()).changed[0]


def test_it_stays_through_a_break_and_a_changed_profile_and_goes_at_withdrawal_and_erasure():
    one = told(mentor("k1"), gender="woman!")
    assert heard(ProfileChanged, one, languages=("pt",)).personal_rules == one.personal_rules
    assert heard(PersonPaused, one, status="paused").personal_rules == one.personal_rules
    assert heard(PersonWithdrawn, one, enrolled=False, status="withdrawn").personal_rules == ()
    gone = handlers.erased(one, PersonErased(person_id=one.id, revision=2, time=NOW), context()).changed[0]
    assert gone.personal_rules == ()


def test_it_goes_when_the_program_closes():
    one = told(mentor("k1"), gender="woman!")
    one = replace(one, personal_rules=(*one.personal_rules, PersonalRule("northwind.other", "gender", NOW, "woman")))
    (gone,) = personal.forgotten(one, ProgramClosed(program=PROGRAM), context()).changed
    assert [rule.program for rule in gone.personal_rules] == ["northwind.other"]
