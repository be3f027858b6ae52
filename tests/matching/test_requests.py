"""Requests as pure decisions: tables for each, and a random life of a small program in which nobody gets too many partners."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.matching.domain import requests
from services.matching.domain.model import REQUESTS_OF, Person, Place, Program, Relationship
from services.matching.domain.requests import OPEN, REVIEW, WINDOW, Fit, Request, RequestStatus, Wishes
from services.matching.handlers import learned_of_person
from shared.cloudevents import new_id
from shared.decisions import NOTHING, Action, Context
from shared.errors import Raced, Rejected
from shared.events import (
    DeclineReason,
    MentorNominated,
    PersonPaused,
    PersonResumed,
    Policy,
    Reason,
    ReasonCode,
    Role,
    WithdrawalReason,
)
from shared.links import wishes_id
from tests.matching.people import record

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PROGRAM = "northwind.crossing"
OPENED = Program(PROGRAM, "northwind", Policy(by_request=True, requests_at_a_time=3, request_window_days=7), 1)
WHY = (Reason(code=ReasonCode.skills, number=1, items=("sql",)),)


class World:
    """What is kept, and what was told; decisions are applied to it as the core applies them."""

    def __init__(self, *aggregates) -> None:
        self.state = {(type(a), a.id): a for a in aggregates}
        self.told, self.timers, self.now = [], {}, NOW

    def get(self, kind, key):
        return self.state.get((kind, key))

    def all(self, kind):
        return [aggregate for (known, _), aggregate in self.state.items() if known is kind]

    def do(self, decide, *arguments):
        outcome = decide(*arguments, Context(Action(Wishes, None, lambda *_: NOTHING), self.now, self.state, {}))
        ids = [a.id for a in outcome.changed]
        assert len(set(ids)) == len(ids), "each is decided once"
        for event in outcome.events:
            key = getattr(event, event.key_field)
            assert key in ids, "the transaction holds the row of the event's key"
        self.state |= {(type(a), a.id): a for a in outcome.changed}
        self.told += outcome.events
        for cleared in outcome.cleared:
            self.timers.pop(cleared, None)
        self.timers |= {(t.kind, t.key): t for t in outcome.timers}
        return outcome

    # -- what people do

    def fit(self, mentee, mentor, *, allowed=True):
        one, other = self.get(Person, mentee), self.get(Person, mentor)
        return Fit(mentor, other.revision, one.revision, self.get(Program, PROGRAM).revision, allowed, 700_000, WHY)

    def wishes(self, mentee):
        return self.get(Wishes, wishes_id(PROGRAM, mentee))

    def choose(self, mentee, *mentors, version=None):
        wishes = self.wishes(mentee)
        at = version if version is not None else wishes.version if wishes else 0
        fits = [self.fit(mentee, mentor) for mentor in mentors]
        return self.do(partial(requests.choose, PROGRAM, mentee, fits, at), wishes)

    def open(self, mentee):
        wishes = self.wishes(mentee)
        found = [self.get(Request, r) for r in map(UUID, wishes.requests)] if wishes else []
        return next((r for r in found if r.status in OPEN), None)

    def answer(self, request, decide, version=None):
        at = request.version if version is None else version
        return self.do(partial(requests.on_request, request.id, at, decide), self.get(Wishes, request.wishes_id))

    def accept(self, request, **more):
        return self.answer(request, partial(requests.accept, self.fit(request.mentee_id, request.mentor_id, **more)))

    def fire(self):
        """The timers that are due, and those that they arm for now."""
        while due := [t for t in self.timers.values() if t.fire_at <= self.now]:
            for timer in due:
                del self.timers[timer.kind, timer.key]
                kinds = {WINDOW: requests.window_closed, REVIEW: requests.review}
                if timer.kind in kinds:
                    self.do(kinds[timer.kind], self.get(Wishes, timer.owner), SimpleNamespace(key=timer.key))
                elif timer.kind == REQUESTS_OF:
                    for request in self.all(Request):
                        if request.status in OPEN and timer.owner in {request.mentor_id, request.mentee_id}:
                            self.do(requests.look_again, request, timer)


def person(name, role, **said) -> Person:
    known = record(name, role, PROGRAM, organization="northwind", **said)
    return learned_of_person(None, known, Context(Action(Person, None, lambda *_: NOTHING), NOW, {}, {})).changed[0]


ADA, BEN = person("ada", Role.mentee), person("ben", Role.mentee)
ONE, TWO, SIX = (person(name, Role.mentor) for name in ("one", "two", "six"))


def world(*more) -> World:
    return World(*(more or (OPENED, ADA, BEN, ONE, TWO, SIX)))


def names(events):
    return [type(event).__name__ for event in events]


def statuses(world, mentee):
    return [world.get(Request, UUID(r)).status for r in world.wishes(mentee).requests]


def asked():
    """Ada has named two and then one; two is asked."""
    made = world()
    made.choose(ADA.id, TWO.id, ONE.id)
    return made, made.open(ADA.id)


# ---- choosing


def test_the_first_choice_is_asked_and_the_others_wait_unheard_of():
    made = world()
    outcome = made.choose(ADA.id, TWO.id, ONE.id)
    (event,) = outcome.events
    assert (event.mentor_id, event.mentee_id, event.choice, event.reasons) == (TWO.id, ADA.id, 1, WHY)
    assert event.closes_at == NOW + timedelta(days=7)
    assert statuses(made, ADA.id) == ["asked", "queued"]
    assert [(t.kind, t.key, t.fire_at) for t in outcome.timers] == [(WINDOW, str(event.request_id), event.closes_at)]


def test_the_same_choice_sent_twice_or_from_an_old_page_changes_nothing():
    made, _ = asked()
    assert made.choose(ADA.id, TWO.id, ONE.id, version=0) == NOTHING
    assert made.choose(ADA.id, SIX.id) == NOTHING, "one round at a time"


@pytest.mark.parametrize(
    ("people", "mentors", "code"),
    [
        ([replace(OPENED, policy=Policy()), ADA, ONE], [ONE], "not_open"),
        ([replace(OPENED, closed=True), ADA, ONE], [ONE], "not_open"),
        ([OPENED, replace(ADA, status="paused"), ONE], [ONE], "not_seeking"),
        ([OPENED, replace(ADA, places=(Place(PROGRAM, new_id(), TWO.id),)), ONE], [ONE], "not_seeking"),
        ([OPENED, ONE, TWO], [TWO], "not_seeking"),
        ([OPENED, ADA, replace(ONE, unavailable=(PROGRAM,))], [ONE], "no_longer_free"),
        ([OPENED, ADA, replace(ONE, places=(Place(PROGRAM, new_id(), BEN.id),))], [ONE], "no_longer_free"),
        ([OPENED, ADA, BEN], [BEN], "no_longer_free"),
        ([OPENED, ADA, ONE], [ONE, ONE], "too_many"),
        ([replace(OPENED, policy=Policy(by_request=True, requests_at_a_time=1)), ADA, ONE, TWO], [ONE, TWO], "too_many"),
        ([OPENED, ADA], [], "too_many"),
    ],
)
def test_what_can_not_be_asked_is_refused_in_words(people, mentors, code):
    made = world(*people)
    mentee = ADA.id if made.get(Person, ADA.id) else ONE.id
    with pytest.raises(Rejected) as refused:
        made.choose(mentee, *(m.id for m in mentors))
    assert refused.value.code == code


def test_a_round_that_began_after_we_looked_is_looked_at_again():
    made, request = asked()
    for gone in made.wishes(ADA.id).requests:
        del made.state[Request, UUID(gone)]
    answer = made.answer(request, partial(requests.decline, DeclineReason.no_time))
    assert answer.result is Raced


# ---- answering


def test_yes_makes_a_pair_with_score_and_reasons_and_withdraws_the_rest_in_silence():
    made, request = asked()
    outcome = made.accept(request)
    accepted, pair = outcome.events
    assert names(outcome.events) == ["RequestAccepted", "PairCreated"]
    assert (accepted.relationship_id, pair.request_id, pair.run_id) == (pair.relationship_id, request.id, None)
    assert (pair.score, pair.reasons, [m.person_id for m in pair.members]) == (700_000, WHY, [TWO.id, ADA.id])
    assert statuses(made, ADA.id) == ["accepted", "withdrawn"]
    assert made.get(Relationship, pair.relationship_id).status == "active"
    assert [made.get(Person, p.id).places_left(PROGRAM, Policy()) for p in (ADA, TWO)] == [0, 0]
    assert made.accept(request) == NOTHING, "again: the same"
    assert (WINDOW, str(request.id)) not in made.timers


def test_what_was_compared_must_be_what_is_so_now():
    made, request = asked()
    stale = replace(made.fit(ADA.id, TWO.id), mentor_revision=0)
    assert made.answer(request, partial(requests.accept, stale)).result is Raced
    assert made.open(ADA.id) == request


def test_a_pair_that_the_rules_no_longer_allow_does_not_begin_and_the_next_is_asked():
    made, request = asked()
    outcome = made.accept(request, allowed=False)
    assert names(outcome.events) == ["RequestWithdrawn", "MentorRequested"]
    assert (outcome.events[0].last, outcome.events[1].mentor_id) == (False, ONE.id)


def test_two_yeses_of_one_mentor_with_one_place_make_one_pair_and_the_other_mentee_s_next_is_asked():
    made = world()
    made.choose(ADA.id, TWO.id, ONE.id)
    made.choose(BEN.id, TWO.id, SIX.id)
    first, second = made.open(ADA.id), made.open(BEN.id)
    made.accept(first)
    outcome = made.accept(second)
    assert names(outcome.events) == ["RequestWithdrawn", "MentorRequested"]
    assert (outcome.events[0].reason, outcome.events[1].mentor_id) == (WithdrawalReason.no_capacity, SIX.id)


def test_whoever_else_waits_for_a_mentor_who_is_full_goes_on_at_once():
    made = world()
    made.choose(ADA.id, TWO.id)
    made.choose(BEN.id, TWO.id, SIX.id)
    made.accept(made.open(ADA.id))
    made.fire()
    assert (made.open(BEN.id).mentor_id, statuses(made, BEN.id)) == (SIX.id, ["withdrawn", "asked"])


def test_no_asks_the_next_and_says_when_it_was_the_last():
    made, request = asked()
    outcome = made.answer(request, partial(requests.decline, DeclineReason.no_time))
    assert names(outcome.events) == ["RequestDeclined", "MentorRequested"]
    assert (outcome.events[0].reason, outcome.events[0].last, outcome.events[1].choice) == (DeclineReason.no_time, False, 2)
    outcome = made.answer(made.open(ADA.id), partial(requests.decline, DeclineReason.not_my_field))
    assert (names(outcome.events), outcome.events[0].last) == (["RequestDeclined"], True)
    assert statuses(made, ADA.id) == ["declined", "declined"]
    assert names(made.choose(ADA.id, SIX.id).events) == ["MentorRequested"], "another round may begin"


def test_no_to_everyone_closes_the_mentor_s_other_requests_too_until_they_say_so():
    made, request = asked()
    made.choose(BEN.id, TWO.id)
    outcome = made.answer(request, partial(requests.decline, DeclineReason.unavailable, unavailable=True))
    assert outcome.events[0].now_unavailable
    made.fire()
    assert made.open(BEN.id) is None
    assert made.told[-1].reason is WithdrawalReason.no_capacity
    assert made.get(Person, TWO.id).places_left(PROGRAM, Policy()) == 0
    made.do(partial(requests.available, PROGRAM), made.get(Person, TWO.id))
    assert made.get(Person, TWO.id).places_left(PROGRAM, Policy()) == 1


def test_being_back_from_a_break_means_being_available():
    away = replace(TWO, unavailable=(PROGRAM,))
    back = record("two", Role.mentor, PROGRAM, organization="northwind", revision=2, kind=PersonResumed)
    assert (
        learned_of_person(away, back, Context(Action(Person, None, lambda *_: NOTHING), NOW, {}, {})).changed[0].unavailable == ()
    )


def test_a_question_and_its_answer_give_a_whole_window_each_and_are_forgotten_at_the_end():
    made, request = asked()
    made.now += timedelta(days=6)
    outcome = made.answer(request, partial(requests.question, "Why data?"))
    assert names(outcome.events) == ["RequestQuestioned"]
    assert "Why data?" not in outcome.events[0].model_dump_json()
    assert outcome.events[0].closes_at == made.now + timedelta(days=7)
    questioned = made.open(ADA.id)
    assert made.answer(questioned, partial(requests.question, "And?")) == NOTHING
    made.now += timedelta(days=6)
    outcome = made.answer(questioned, partial(requests.reply, "Because."))
    assert (names(outcome.events), outcome.events[0].told_more) == (["MentorRequested"], True)
    assert "Because." not in outcome.events[0].model_dump_json()
    again = made.open(ADA.id)
    assert (again.question, again.reply, again.closes_at) == ("Why data?", "Because.", made.now + timedelta(days=7))
    made.accept(again)
    closed = made.get(Request, request.id)
    assert (closed.question, closed.reply) == ("", "")


def test_a_click_on_a_page_of_before_changes_nothing():
    made, request = asked()
    made.answer(request, partial(requests.question, "Why?"))
    assert made.answer(request, partial(requests.decline, DeclineReason.no_time), version=request.version) == NOTHING


# ---- time, and what happens elsewhere


def test_silence_asks_the_next_when_the_window_closes():
    made, request = asked()
    made.now += timedelta(days=7)
    made.fire()
    assert names(made.told)[1:] == ["RequestExpired", "MentorRequested"]
    assert statuses(made, ADA.id) == ["expired", "asked"]
    assert made.accept(request) == NOTHING


def test_next_choices_who_can_not_any_more_are_passed_over():
    made = world()
    made.choose(ADA.id, TWO.id, ONE.id, SIX.id)
    made.state[Person, ONE.id] = replace(ONE, status="paused")
    made.answer(made.open(ADA.id), partial(requests.decline, DeclineReason.no_time))
    assert (statuses(made, ADA.id), made.open(ADA.id).choice) == (["declined", "withdrawn", "asked"], 3)
    assert names(made.told) == ["MentorRequested", "RequestDeclined", "MentorRequested"]


@pytest.mark.parametrize(
    ("change", "reason", "goes_on"),
    [
        (replace(OPENED, closed=True), WithdrawalReason.program_closed, False),
        (replace(ADA, status="paused"), WithdrawalReason.person_left, False),
        (replace(ADA, erased=True), WithdrawalReason.person_left, False),
        (replace(ADA, places=(Place(PROGRAM, new_id(), SIX.id),)), WithdrawalReason.another_accepted, False),
        (replace(TWO, status="paused"), WithdrawalReason.no_capacity, True),
        (replace(TWO, places=(Place(PROGRAM, new_id(), BEN.id),)), WithdrawalReason.no_capacity, True),
        (replace(ADA, revision=2), None, True),
    ],
)
def test_a_request_falls_with_what_it_stood_on(change, reason, goes_on):
    made, request = asked()
    made.state[type(change), change.id] = change
    made.do(requests.look_again, request, None)
    made.fire()
    if reason is None:
        assert made.open(ADA.id) == request
        return
    withdrawn = made.told[1]
    assert (withdrawn.reason, withdrawn.last) == (reason, not goes_on)
    assert statuses(made, ADA.id) == ["withdrawn", "asked" if goes_on else "withdrawn"]


def test_who_stops_taking_part_has_their_requests_looked_at():
    away = record("two", Role.mentor, PROGRAM, organization="northwind", revision=2, status="paused", kind=PersonPaused)
    timers = learned_of_person(TWO, away, Context(Action(Person, None, lambda *_: NOTHING), NOW, {}, {})).timers
    assert [(t.kind, t.owner) for t in timers] == [(REQUESTS_OF, TWO.id)]


def test_a_mentee_may_take_it_all_back():
    made, request = asked()
    outcome = made.do(partial(requests.take_back, made.wishes(ADA.id).version), made.wishes(ADA.id))
    assert [(type(e).__name__, e.reason) for e in outcome.events] == [("RequestWithdrawn", WithdrawalReason.changed_mind)]
    assert statuses(made, ADA.id) == ["withdrawn", "withdrawn"]
    assert made.do(partial(requests.take_back, 1), made.wishes(ADA.id)) == NOTHING
    assert made.accept(request) == NOTHING


# ---- a random life

MENTORS = [person(f"k{n}", Role.mentor, capacity=1 + n % 2) for n in range(4)]
MENTEES = [person(f"n{n}", Role.mentee) for n in range(5)]
PEOPLE = [*MENTORS, *MENTEES]


class Life(RuleBasedStateMachine):
    """Anyone does anything at any time, also what is stale by now."""

    def __init__(self):
        super().__init__()
        self.world = World(OPENED, *PEOPLE)
        self.stale = []

    @rule(mentee=st.sampled_from(MENTEES), mentors=st.lists(st.sampled_from(MENTORS), min_size=1, max_size=3, unique=True))
    def choose(self, mentee, mentors):
        with suppress(Rejected):  # one of them may have no place by now
            self.world.choose(mentee.id, *(m.id for m in mentors))

    @rule(n=st.integers(0, 30), what=st.sampled_from(["accept", "accept", "decline", "pause", "question", "reply", "forbid"]))
    def answer(self, n, what):
        found = [r for r in self.world.all(Request) if r.status is not RequestStatus.queued]
        if not found:
            return
        request = found[n % len(found)]
        self.stale.append(request)
        match what:
            case "accept":
                self.world.accept(request)
            case "forbid":
                self.world.accept(request, allowed=False)
            case "decline":
                self.world.answer(request, partial(requests.decline, DeclineReason.no_time))
            case "pause":
                self.world.answer(request, partial(requests.decline, DeclineReason.unavailable, unavailable=True))
            case "question":
                self.world.answer(request, partial(requests.question, "Why?"))
            case "reply":
                self.world.answer(request, partial(requests.reply, "So."))

    @rule(n=st.integers(0, 30))
    def answer_again(self, n):
        if self.stale:
            before = len(self.world.told)
            request = self.stale[n % len(self.stale)]
            self.world.accept(request)
            if self.world.get(Request, request.id).version > request.version + 1:
                assert len(self.world.told) == before, "a stale click tells nothing"

    @rule(mentee=st.sampled_from(MENTEES))
    def take_back(self, mentee):
        if wishes := self.world.wishes(mentee.id):
            self.world.do(partial(requests.take_back, wishes.version), wishes)

    @rule(someone=st.sampled_from(PEOPLE), status=st.sampled_from(["paused", "active", "active"]))
    def break_or_back(self, someone, status):
        known = self.world.get(Person, someone.id)
        role = Role.mentor if someone in MENTORS else Role.mentee
        kind = PersonPaused if status == "paused" else PersonResumed
        capacity = someone.enrolments[0].capacity
        said = record(
            known.own_id, role, PROGRAM, organization="northwind", revision=known.revision + 1, status=status, kind=kind,
            capacity=capacity,
        )  # fmt: skip
        self.world.do(learned_of_person, known, said)

    @rule(mentee=st.sampled_from(MENTEES), mentor=st.sampled_from(MENTORS), said_yes=st.booleans())
    def name_someone(self, mentee, mentor, said_yes):
        event = MentorNominated(program=PROGRAM, mentee_id=mentee.id, mentor_id=mentor.id, mentor_revision=1, said_yes=said_yes)
        self.world.do(requests.nominated, self.world.wishes(mentee.id), event)

    @rule(days=st.integers(1, 9))
    def time_goes_by(self, days):
        self.world.now += timedelta(days=days)
        self.world.fire()

    @rule()
    def timers_fire(self):
        self.world.fire()

    @invariant()
    def nobody_has_too_many(self):
        for someone in PEOPLE:
            taken = self.world.get(Person, someone.id).taken(PROGRAM)
            assert taken <= (someone.enrolments[0].capacity if someone in MENTORS else 1)

    @invariant()
    def each_round_is_in_order_and_comes_to_one_partner_at_most(self):
        rounds = [w for w in self.world.all(Wishes) if w.requests]
        for wishes in rounds:
            found = [self.world.get(Request, UUID(r)) for r in wishes.requests]
            counts = Counter(r.status for r in found)
            pending = [r for r in found if r.status in OPEN]
            assert counts["accepted"] + len(pending) <= 1
            assert not (counts["accepted"] and counts["queued"])
            assert all((WINDOW, str(r.id)) in self.world.timers for r in pending)
            assert not counts["queued"] or (pending and all(r.choice > pending[0].choice for r in found if r.status == "queued"))
            turns = [r.asked_at for r in found if r.asked_at]
            assert turns == sorted(turns)
            assert all(not (r.question or r.reply) for r in found if r.status not in OPEN)

    @invariant()
    def what_was_told_is_what_is_kept(self):
        told = Counter(type(e).__name__ for e in self.world.told)
        pairs = self.world.all(Relationship)
        assert told["PairCreated"] == told["RequestAccepted"] == len(pairs)
        first = {e.request_id for e in self.world.told if type(e).__name__ == "MentorRequested"}
        ends = ("RequestAccepted", "RequestDeclined", "RequestExpired", "RequestWithdrawn")
        over = [e.request_id for e in self.world.told if type(e).__name__ in ends and e.request_id in first]
        assert len(over) == len(set(over))
        assert len(first) == len(over) + sum(r.status in OPEN for r in self.world.all(Request))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
