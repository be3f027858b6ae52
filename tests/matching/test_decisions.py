"""What matching makes of what it learns: pure functions, by tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.matching.domain.model import (
    Against,
    Met,
    Person,
    Place,
    Program,
    Relationship,
    RelationshipStatus,
    Rolling,
    Run,
    RunStatus,
    Waiting,
    Waitlisted,
    WaitlistState,
)
from services.matching.domain.proposals import Anew, approve, looked_at, no_longer, reject, rescored, review, score_anew
from services.matching.domain.runs import (
    Request,
    Totals,
    apply_pair,
    fail_run,
    finish_run,
    members_of,
    next_round,
    request_run,
    roll,
    rolls_at,
    start_run,
    tell_waiting,
)
from services.matching.handlers import ended, erased, learned_of_person, learned_of_program
from services.matching.store import reached
from shared.cloudevents import new_id
from shared.decisions import NOTHING, Action, Context
from shared.errors import Rejected, TryLater
from shared.events import (
    EndReason,
    Enrolment,
    Format,
    MatchMode,
    Member,
    PairEnded,
    PersonErased,
    PersonPaused,
    PersonWithdrawn,
    Policy,
    ProgramChanged,
    ProgramLaunched,
    RejectionReason,
    Role,
    Roster,
    Side,
    WaitlistReason,
)
from tests.matching.people import person_id, record

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PROGRAM = "northwind.crossing"
RUN = UUID(int=7)


def context(*aggregates) -> Context:
    return Context(Action(Person, None, lambda *_: NOTHING), NOW, {(type(a), a.id): a for a in aggregates}, {})


def person(name: str, role: Role, **said) -> Person:
    return learned_of_person(None, record(name, role, PROGRAM, organization="northwind", **said), context()).changed[0]


MENTOR, MENTEE = person("k03", Role.mentor, capacity=2), person("n07", Role.mentee)
OPEN = Program(PROGRAM, "northwind", Policy(), 1)
PROPOSING = replace(OPEN, policy=Policy(match_mode=MatchMode.propose))
FOUND = Relationship(
    UUID(int=1), "northwind", ("northwind",), PROGRAM, (str(MENTOR.id), str(MENTEE.id)), members_of(MENTOR, MENTEE),
    RelationshipStatus.planned, 870_000, (), RUN, 1,
)  # fmt: skip
SEAT = Place(PROGRAM, FOUND.id, MENTEE.id)


def told(outcome) -> list[str]:
    return [type(event).__name__ for event in outcome.events]


def of(outcome, kind):
    return [aggregate for aggregate in outcome.changed if isinstance(aggregate, kind)]


# ---- people and programs


def test_old_news_of_a_person_changes_nothing_and_new_news_replaces_all_but_what_matching_decided():
    known = replace(MENTOR, revision=5, places=(SEAT,))
    assert (
        learned_of_person(known, record("k03", Role.mentor, PROGRAM, organization="northwind", revision=5), context()) == NOTHING
    )
    fresh = record("k03", Role.mentor, PROGRAM, organization="northwind", revision=6, capacity=4, skills_offered=("go",))
    after = learned_of_person(known, fresh, context()).changed[0]
    assert (after.revision, after.places, after.places_left(PROGRAM, Policy())) == (6, (SEAT,), 3)
    assert after.profile.skills_offered == ("go",)


def test_an_erased_person_leaves_an_id_and_late_facts_are_ignored():
    gone = erased(replace(MENTEE, places=(SEAT,)), PersonErased(person_id=MENTEE.id, revision=9), context()).changed[0]
    assert gone == Person(MENTEE.id, "", revision=9, erased=True, places=(SEAT,))
    assert gone.places_left(PROGRAM, Policy()) == 0
    late = record("n07", Role.mentee, PROGRAM, organization="northwind", revision=10)
    assert learned_of_person(gone, late, context()) == NOTHING
    unknown = person_id("northwind", "x")
    assert erased(None, PersonErased(person_id=unknown, revision=1), context()).changed[0].erased


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({}, 2),
        ({"status": "paused", "kind": PersonPaused}, 0),
        ({"enrolled": False, "kind": PersonWithdrawn}, 0),
    ],
)
def test_only_who_is_enrolled_and_active_has_places(said, left):
    assert person("k03", Role.mentor, capacity=2, **said).places_left(PROGRAM, Policy()) == left


def test_a_mentee_has_one_mentor_at_a_time_whatever_the_capacity():
    assert person("n07", Role.mentee, capacity=3).places_left(PROGRAM, Policy()) == 1


@pytest.mark.parametrize(("hours", "places"), [(None, 5), (20, 5), (4, 4), (3.9, 3), (1, 1), (0.25, 1)])
def test_a_mentor_has_no_more_mentees_than_fit_into_their_hours_but_one(hours, places):
    """Half an hour every two weeks is an hour a month."""
    mentor = person("k03", Role.mentor, capacity=5)
    enrolment = mentor.enrolments[0].model_copy(update={"hours_per_month": hours})
    assert replace(mentor, enrolments=(enrolment,)).places_left(PROGRAM, Policy()) == places
    assert replace(mentor, enrolments=(enrolment,), places=(SEAT,)).places_left(PROGRAM, Policy()) == places - 1


def test_who_stops_taking_part_has_their_proposals_reviewed():
    known = replace(MENTEE, places=(replace(SEAT, proposed=True), Place("northwind.other", UUID(int=2), MENTOR.id)))
    away = record("n07", Role.mentee, PROGRAM, organization="northwind", revision=2, status="paused", kind=PersonPaused)
    timers = learned_of_person(known, away, context()).timers
    assert [(t.kind, t.owner, t.fire_at) for t in timers] == [("review", FOUND.id, NOW), ("requests_of", MENTEE.id, NOW)]


def test_a_program_s_policy_is_that_of_its_newest_revision():
    launched = ProgramLaunched(program=PROGRAM, organization="northwind", name="Crossing")
    known = learned_of_program(None, launched, context()).changed[0]
    news = ProgramChanged(program=PROGRAM, organization="northwind", name="Crossing", policy=Policy(capacity=3), revision=2)
    known = learned_of_program(known, news, context()).changed[0]
    assert (known.policy.capacity, known.revision) == (3, 2)
    assert learned_of_program(known, news, context()) == NOTHING


# ---- runs

WISH = Request(PROGRAM, "northwind", "key1", None, "")


@pytest.mark.parametrize(
    ("program", "wish", "error"),
    [
        (None, WISH, "unknown_program"),
        (OPEN, replace(WISH, organization="kestrel"), "not_yours"),
        (replace(OPEN, closed=True), WISH, "program_closed"),
    ],
)
def test_a_run_is_refused_for_a_program_that_is_unknown_another_s_or_closed(program, wish, error):
    with pytest.raises(Rejected) as refused:
        request_run(wish, program, context())
    assert refused.value.code == error


def test_a_program_that_must_be_on_its_way_is_awaited():
    with pytest.raises(TryLater):
        request_run(replace(WISH, after=Roster(people=1, revisions=1)), None, context())


def test_a_second_request_joins_the_run_that_waits_and_follows_the_one_that_works():
    outcome = request_run(WISH, OPEN, context())
    program, run = outcome.changed
    assert told(outcome) == ["MatchRunRequested"]
    again = request_run(replace(WISH, after=Roster(people=5, revisions=6)), program, context())
    assert (again.result, told(again), again.changed[0].waits_for.revisions) == (run.id, [], 6)
    started = start_run(1.0, run, context(program))
    program, run = started.changed
    assert (run.status, run.round, program.waiting_run, program.current_run) == (RunStatus.solving, 1, None, run.id)
    follower = request_run(WISH, program, context())
    assert follower.result not in (None, run.id)
    program, waiting = follower.changed
    assert start_run(1.0, waiting, context(program)) == NOTHING


def test_the_same_key_gives_the_same_run_and_another_body_is_refused():
    wish = replace(WISH, asked_id="k", body="{}")
    first = request_run(wish, OPEN, context())
    program, run, asked = first.changed
    assert request_run(wish, replace(program, waiting_run=None, current_run=run.id), context(asked)).result == run.id
    with pytest.raises(Rejected, match="another body"):
        request_run(replace(wish, body="{...}"), program, context(asked))


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [((3, 3), (3, 3), True), ((3, 2), (3, 3), False), ((2, 9), (3, 3), False), ((4, 9), (3, 3), True), ((0, 0), (0, 0), True)],
)
def test_a_roster_has_arrived_when_as_many_people_and_revisions_are_known(known, asked, expected):
    assert reached(*(Roster(people=p, revisions=r) for p, r in (known, asked))) is expected


RUNNING = Run(RUN, "northwind", PROGRAM, RunStatus.applying, 1, "key1", None, "", new_id(), NOW, NOW, 100.0, people=26,
              planned=12, planned_score=9_000_000, gap=0)  # fmt: skip


def test_a_finished_run_says_so_once_and_counts_what_was_lost_of_its_plan_as_gap():
    program = replace(OPEN, current_run=RUN)
    outcome = finish_run(Totals(11, 0, 3, 8_200_000), 102.5, RUNNING, context(program))
    event = outcome.events[0]
    assert (event.pairs, event.waitlisted, event.gap, event.seconds, event.people) == (11, 3, 800_000, 2.5, 26)
    assert of(outcome, Program)[0].current_run is None
    assert finish_run(Totals(11, 0, 3, 8_200_000), 102.5, of(outcome, Run)[0], context(program)) == NOTHING


def test_pairs_that_no_longer_held_get_another_round_but_not_for_ever():
    assert next_round(1, RUNNING, context(OPEN)).changed[0].round == 2
    for outcome in (
        next_round(2, RUNNING, context(OPEN)),
        next_round(5, replace(RUNNING, round=5), context(OPEN)),
        next_round(1, RUNNING, context(replace(OPEN, closed=True))),
    ):
        assert (outcome.changed, outcome.result) == ((), False)


def test_a_job_that_keeps_failing_fails_its_run_and_frees_the_program():
    run, program = replace(RUNNING, status=RunStatus.solving), replace(OPEN, current_run=RUN)
    run = fail_run("job_failed", 2, run, context(program)).changed[0]
    assert (run.status, run.attempts) == (RunStatus.solving, 1)
    run, program = fail_run("job_failed", 2, run, context(program)).changed
    assert (run.status, run.problem, program.current_run) == (RunStatus.failed, "job_failed", None)


# ---- pairs


def test_a_pair_begins_once_and_takes_a_place_of_both():
    waiting = replace(MENTEE, waiting=(Waiting(PROGRAM, NOW, WaitlistReason.no_capacity),))
    outcome = apply_pair(FOUND, context(OPEN, MENTOR, waiting))
    assert told(outcome) == ["PairCreated"]
    assert [m.role for m in outcome.events[0].members] == [Role.mentor, Role.mentee]
    begun, one, other = outcome.changed
    assert (begun.status, one.places_left(PROGRAM, Policy()), other.places_left(PROGRAM, Policy()), other.waiting) == (
        "active",
        1,
        0,
        (),
    )
    assert apply_pair(begun, context(OPEN, one, other)) == NOTHING


@pytest.mark.parametrize(
    "now",
    [
        [replace(OPEN, closed=True), MENTOR, MENTEE],
        [OPEN, MENTOR],
        [OPEN, replace(MENTOR, status="paused"), MENTEE],
        [OPEN, MENTOR, replace(MENTEE, enrolments=())],
        [OPEN, MENTOR, replace(MENTEE, erased=True)],
        [OPEN, MENTOR, replace(MENTEE, places=(Place(PROGRAM, UUID(int=9), UUID(int=8)),))],
        [OPEN, replace(MENTOR, places=(replace(SEAT, relationship_id=UUID(int=9)),)), MENTEE],
    ],
)
def test_what_no_longer_holds_is_dropped_without_a_word(now):
    outcome = apply_pair(FOUND, context(*now))
    assert (told(outcome), outcome.changed) == ([], (replace(FOUND, status=RelationshipStatus.dropped),))


def proposal():
    outcome = apply_pair(FOUND, context(PROPOSING, MENTOR, MENTEE))
    assert told(outcome) == ["MatchProposed"]
    return outcome.changed


def test_a_proposal_that_is_approved_begins_once():
    proposed, one, other = proposal()
    outcome = approve("key1", proposed, context(PROPOSING, one, other))
    assert told(outcome) == ["MatchApproved", "PairCreated"]
    begun, *people = outcome.changed
    assert [p.places for p in people] == [(Place(PROGRAM, FOUND.id, q.id),) for q in (other, one)]
    again = approve("key1", begun, context(PROPOSING, *people))
    assert (again.result, told(again)) == ("active", [])
    with pytest.raises(Rejected):
        reject(RejectionReason.not_suitable, "key1", begun, context(PROPOSING, *people))


def test_a_proposal_that_is_rejected_frees_both_and_keeps_them_apart_for_a_while():
    proposed, one, other = proposal()
    outcome = reject(RejectionReason.not_suitable, "key1", proposed, context(PROPOSING, one, other))
    assert told(outcome) == ["MatchRejected"]
    gone, one, other = outcome.changed
    assert (one.places, other.met) == ((), (Met(PROGRAM, one.id, NOW),))
    assert other.apart(PROGRAM, NOW - timedelta(days=1)) == {one.id}
    assert other.apart(PROGRAM, NOW + timedelta(days=1)) == frozenset()
    assert reject(RejectionReason.not_suitable, "key1", gone, context(PROPOSING, one, other)).events == ()
    with pytest.raises(Rejected):
        approve("key1", gone, context(PROPOSING, one, other))


def test_a_proposal_falls_with_a_person_who_left_and_stands_otherwise():
    proposed, one, other = proposal()
    assert review(proposed, None, context(PROPOSING, one, other)) == NOTHING
    outcome = review(proposed, None, context(PROPOSING, one, replace(other, enrolments=())))
    assert (told(outcome), outcome.events[0].reason) == (["MatchRejected"], RejectionReason.no_longer_holds)


@pytest.mark.parametrize(
    ("program", "mentor", "against"),
    [
        (replace(PROPOSING, closed=True), {}, Against.closed),
        (replace(PROPOSING, policy=Policy(formats=(Format.circle,))), {}, Against.formats),
        (PROPOSING, {"enrolments": ()}, Against.takes_part),
        (PROPOSING, {"enrolments": (Enrolment(program=PROGRAM, role=Role.mentee),)}, Against.takes_part),
        (PROPOSING, {"enrolments": (Enrolment(program=PROGRAM, role=Role.mentor, formats=(Format.group,)),)}, Against.takes_part),
        (PROPOSING, {"places": tuple(Place(PROGRAM, UUID(int=n), UUID(int=n)) for n in (8, 9))}, Against.places),
        (PROPOSING, {"unavailable": (PROGRAM,)}, Against.places),
    ],
)
def test_a_proposal_that_can_t_begin_is_withdrawn_with_the_reason_and_not_approved_and_keeps_nobody_apart(
    program, mentor, against
):
    proposed, one, other = proposal()
    world = context(program, replace(one, **mentor), other)
    with pytest.raises(Rejected) as refused:
        approve("key1", proposed, world)
    assert (refused.value.code, refused.value.text) == ("no_longer_holds", no_longer(against))
    outcome = review(proposed, None, world)
    gone, free = of(outcome, Relationship)[0], of(outcome, Person)[-1]
    assert (gone.status, gone.against, free.places, free.met) == ("rejected", against, (), ())
    with pytest.raises(Rejected, match=no_longer(against)):
        approve("key1", gone, world)


def test_who_offers_fewer_places_than_are_proposed_gets_no_more_than_they_offer():
    """Each of two proposals could begin; when one has, the other falls."""
    proposed, one, other = proposal()
    second = Place(PROGRAM, UUID(int=2), UUID(int=3), proposed=True)
    fewer = person("k03", Role.mentor, capacity=1)
    one = replace(one, places=(*one.places, second), enrolments=fewer.enrolments)
    assert review(proposed, None, context(PROPOSING, one, other)) == NOTHING
    outcome = approve("key1", proposed, context(PROPOSING, one, other))
    assert [(t.kind, t.owner) for t in outcome.timers] == [("review", second.relationship_id)]
    left = replace(FOUND, id=UUID(int=2), status=RelationshipStatus.proposed)
    assert of(review(left, None, context(PROPOSING, of(outcome, Person)[0], other)), Relationship)[0].against is Against.places


def test_who_is_proposed_to_somebody_waits_until_that_begins():
    waiting = (Waiting(PROGRAM, NOW, WaitlistReason.no_capacity),)
    released = replace(MENTEE, waiting=waiting, met=(Met(PROGRAM, UUID(int=9), NOW, first=True),))
    proposed, one, other = apply_pair(FOUND, context(PROPOSING, MENTOR, released)).changed
    assert (other.waiting, other.goes_first(PROGRAM)) == (waiting, True)
    begun = of(approve("key1", proposed, context(PROPOSING, one, other)), Person)[1]
    assert (begun.waiting, begun.goes_first(PROGRAM)) == ((), False)
    rejected = of(reject(RejectionReason.not_suitable, "key1", proposed, context(PROPOSING, one, other)), Person)[1]
    assert (rejected.waiting, rejected.goes_first(PROGRAM)) == (waiting, True)


# ---- proposals that are scored anew


def test_a_change_of_someone_with_a_proposal_and_of_the_policy_arms_one_timer_a_program_and_any_other_change_none():
    seats = tuple(Place(PROGRAM, UUID(int=n), UUID(int=n), proposed=True) for n in (1, 2))
    begun = Place("northwind.other", UUID(int=3), UUID(int=3))
    for places, armed in (((), set()), ((begun,), set()), ((*seats, begun), {("rescore", PROGRAM, PROGRAM, rolls_at(NOW))})):
        news = record("k03", Role.mentor, PROGRAM, organization="northwind", revision=2, skills_offered=("go",))
        timers = learned_of_person(replace(MENTOR, places=places), news, context()).timers
        assert {(t.kind, t.key, t.owner, t.fire_at) for t in timers} == armed
    changed = ProgramChanged(program=PROGRAM, organization="northwind", name="Crossing", policy=Policy(capacity=3), revision=2)
    assert [t.kind for t in learned_of_program(OPEN, changed, context()).timers] == ["rescore"]


def test_a_program_stays_marked_until_all_that_had_changed_by_then_was_seen():
    marked = score_anew(OPEN, None, context()).changed[0]
    assert marked.rescore_at == NOW
    assert looked_at(NOW - timedelta(seconds=9), marked, context()) == NOTHING
    assert looked_at(NOW, marked, context()).changed == (OPEN,)
    assert score_anew(None, None, context()) == score_anew(replace(OPEN, closed=True), None, context()) == NOTHING


ANEW = Anew(FOUND.id, (1, 1, 1), 640_000)


def test_a_proposal_gets_the_score_of_today_and_tells_of_the_one_before_and_of_the_first():
    proposed, one, other = proposal()
    outcome = rescored(ANEW, proposed, context(PROPOSING, one, other))
    (fresh,) = outcome.changed
    assert (told(outcome), outcome.events[0].score, outcome.events[0].score_before) == (["MatchProposed"], 640_000, 870_000)
    assert (fresh.score, fresh.proposed_score, fresh.rescored_at, fresh.scored_for) == (640_000, 870_000, NOW, (1, 1, 1))
    assert rescored(ANEW, fresh, context(PROPOSING, one, other)) == NOTHING  # another copy's answer
    again = rescored(replace(ANEW, score=700_000), fresh, context(PROPOSING, one, other))
    assert (again.events[0].score_before, again.changed[0].proposed_score) == (640_000, 870_000)
    same = rescored(replace(ANEW, score=870_000), proposed, context(PROPOSING, one, other))
    assert (told(same), same.changed) == ([], (replace(proposed, scored_for=(1, 1, 1)),))


@pytest.mark.parametrize("against", [Against.language, Against.least_score, Against.kept_apart])
def test_a_proposal_that_no_run_of_today_would_make_is_withdrawn(against):
    proposed, one, other = proposal()
    outcome = rescored(replace(ANEW, against=against), proposed, context(PROPOSING, one, other))
    assert (told(outcome), outcome.events[0].reason) == (["MatchRejected"], RejectionReason.no_longer_holds)
    gone = outcome.changed[0]
    assert (gone.against, gone.score) == (against, 870_000)
    with pytest.raises(Rejected) as refused:  # else who says that they must never meet would think it noted
        reject(RejectionReason.known_conflict, "key1", gone, context(PROPOSING, one, other))
    assert (refused.value.code, refused.value.status) == ("no_longer_holds", 409)


def test_an_answer_on_a_proposal_that_was_decided_or_whose_people_or_program_have_changed_meanwhile_is_dropped():
    proposed, one, other = proposal()
    forbids = replace(ANEW, against=Against.language)
    for status in RelationshipStatus:
        if status is not RelationshipStatus.proposed:
            assert rescored(forbids, replace(proposed, status=status), context(PROPOSING, one, other)) == NOTHING
    for world in (
        (PROPOSING, replace(one, revision=2), other),
        (PROPOSING, one, replace(other, revision=2)),
        (replace(PROPOSING, revision=2), one, other),
        (replace(PROPOSING, closed=True), one, other),
        (PROPOSING, one),
    ):
        assert rescored(forbids, proposed, context(*world)) == NOTHING
    assert rescored(forbids, None, context()) == NOTHING


def test_a_proposal_is_not_approved_by_a_score_of_before_the_last_change():
    proposed, one, other = proposal()
    before = replace(proposed, scored_for=(1, 1, 1))
    with pytest.raises(Rejected) as refused:
        approve("key1", before, context(PROPOSING, one, replace(other, revision=2)))
    assert refused.value.code == "scored_anew"
    assert approve("key1", before, context(PROPOSING, one, other)).result == "active"


def test_the_end_of_a_pair_frees_both_once():
    begun, one, other = apply_pair(FOUND, context(OPEN, MENTOR, MENTEE)).changed
    fact = PairEnded(relationship_id=FOUND.id, program=PROGRAM, reason=EndReason.completed, side=Side.both)
    outcome = ended(begun, fact, context(one, other))
    over, one, other = outcome.changed
    assert (over.status, one.places, other.places, told(outcome)) == ("ended", (), (), [])
    assert ended(over, fact, context(one, other)) == NOTHING
    assert ended(None, fact, context()) == NOTHING


# ---- who waits

LEFT = Waitlisted(UUID(int=3), "northwind", ("northwind",), RUN, PROGRAM, MENTEE.id, "northwind", Role.mentee,
                  WaitlistReason.nobody_offers, ("security",), 1, WaitlistState.planned)  # fmt: skip


def test_who_waits_is_told_once_and_keeps_the_day_they_began_to_wait():
    before = NOW - timedelta(days=30)
    outcome = tell_waiting(LEFT, context(OPEN, replace(MENTEE, waiting=(Waiting(PROGRAM, before, WaitlistReason.no_capacity),))))
    assert (told(outcome), outcome.events[0].missing) == (["PersonWaitlisted"], ("security",))
    row, waiting = outcome.changed
    assert waiting.waiting == (Waiting(PROGRAM, before, WaitlistReason.nobody_offers),)
    assert tell_waiting(row, context(OPEN, waiting)) == NOTHING


@pytest.mark.parametrize(
    "now",
    [
        [OPEN, replace(MENTEE, status="paused")],
        [OPEN, replace(MENTEE, places=(SEAT,))],
        [OPEN, replace(MENTEE, erased=True)],
        [replace(OPEN, closed=True), MENTEE],
    ],
)
def test_who_left_or_found_someone_meanwhile_is_not_told_that_they_wait(now):
    outcome = tell_waiting(LEFT, context(*now))
    assert (told(outcome), outcome.changed) == ([], (replace(LEFT, state=WaitlistState.void),))


# ---- rolling


ON, OFF = (Rolling(PROGRAM, on, Policy()) for on in (True, False))
ROLLS = replace(OPEN, policy=Policy(rolling=True), ran=True)


@pytest.mark.parametrize(
    ("rolling", "said", "arms"), [(ON, {}, 1), (OFF, {}, 0), (ON, {"status": "paused", "kind": PersonPaused}, 0)]
)
def test_who_has_a_place_is_offered_where_a_program_rolls(rolling, said, arms):
    news = record("k03", Role.mentor, PROGRAM, organization="northwind", **said)
    timers = learned_of_person(None, news, context(rolling)).timers
    assert [(t.kind, t.key, t.fire_at) for t in timers] == [("roll", PROGRAM, rolls_at(NOW))] * arms


def test_all_who_come_within_ten_seconds_share_a_run_and_later_ones_dont_put_it_off():
    moments = [NOW + timedelta(seconds=n / 2) for n in range(20)]
    assert {rolls_at(moment) for moment in moments} == {NOW + timedelta(seconds=10)}
    assert all(moment < rolls_at(moment) for moment in moments)


def test_whom_the_other_side_released_goes_first_until_somebody_is_found():
    seated = [replace(p, places=(Place(PROGRAM, FOUND.id, other.id),)) for p, other in ((MENTOR, MENTEE), (MENTEE, MENTOR))]
    over = PairEnded(
        relationship_id=FOUND.id, program=PROGRAM, reason=EndReason.no_time, side=Side.mentor, rematch_first=(MENTEE.id,)
    )
    outcome = ended(replace(FOUND, status=RelationshipStatus.active), over, context(*seated, ON))
    assert [timer.kind for timer in outcome.timers] == ["roll"]
    assert {p.id: p.goes_first(PROGRAM) for p in of(outcome, Person)} == {MENTOR.id: False, MENTEE.id: True}
    (released,) = [p for p in of(outcome, Person) if p.id == MENTEE.id]
    assert not released.with_place(SEAT).goes_first(PROGRAM)


def test_a_rolling_program_asks_for_a_run_by_itself_once():
    outcome = roll(ROLLS, None, context())
    (run,), (program,) = of(outcome, Run), of(outcome, Program)
    assert (run.requested_by, program.waiting_run, told(outcome)) == ("", run.id, ["MatchRunRequested"])
    assert outcome.events[0].requested_by is None
    for other in (None, program, OPEN, replace(ROLLS, ran=False), replace(ROLLS, closed=True)):
        assert roll(other, None, context()) == NOTHING


# ---- circles

PEERS = tuple(person(f"p{n}", Role.peer) for n in range(4))
CIRCLE = replace(
    FOUND,
    people=tuple(str(peer.id) for peer in PEERS),
    members=tuple(Member(person_id=peer.id, role=Role.peer, organization="northwind") for peer in PEERS),
    format=Format.circle,
)


def test_a_circle_takes_one_place_of_each_and_they_all_count_as_met_when_it_is_over():
    outcome = apply_pair(CIRCLE, context(OPEN, *PEERS))
    circle, *seated = outcome.changed
    assert (told(outcome), outcome.events[0].format, circle.status) == (["GroupCreated"], "circle", "active")
    assert [(p.taken(PROGRAM), p.places_left(PROGRAM, Policy(), Format.circle), len(p.places)) for p in seated] == [(1, 0, 3)] * 4
    fact = PairEnded(relationship_id=CIRCLE.id, program=PROGRAM, reason=EndReason.completed, side=Side.both)
    _, *free = ended(circle, fact, context(*seated)).changed
    others = {peer.id for peer in PEERS}
    assert all(p.places == () and p.apart(PROGRAM, NOW - timedelta(days=1)) == others - {p.id} for p in free)


def test_a_circle_is_dropped_whole_where_one_is_taken_or_two_meet_already():
    taken = replace(PEERS[3], places=(Place(PROGRAM, UUID(int=9), UUID(int=8)),))
    assert apply_pair(CIRCLE, context(OPEN, *PEERS[:3], taken)).changed[0].status == "dropped"
    assert apply_pair(CIRCLE, context(OPEN, *PEERS[:3])).changed[0].status == "dropped"
