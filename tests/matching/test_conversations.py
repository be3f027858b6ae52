"""Conversations: so many a month for each, beside what people came for, and not the same two again for a while."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.matching.coordinating import pair_line
from services.matching.domain.formats import matched
from services.matching.domain.model import (
    REVIEW_PROPOSAL,
    Person,
    Relationship,
    RelationshipStatus,
    Rolling,
    Run,
    RunStatus,
    Waiting,
)
from services.matching.domain.proposals import approve, reject, review
from services.matching.domain.requests import can_take, seeks
from services.matching.domain.runs import (
    NEW_MONTH,
    ROLL,
    Totals,
    apply_pair,
    finish_run,
    next_month,
    offered,
    roll,
)
from services.matching.handlers import ended
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    EndReason,
    Format,
    MatchMode,
    PairCreated,
    PairEnded,
    Policy,
    Reason,
    RejectionReason,
    Role,
    Side,
    WaitlistReason,
)
from tests.matching.conftest import until
from tests.matching.people import record
from tests.matching.test_formats import NOW, PROGRAM, RUN, context, mentee, mentor, program, run
from tests.matching.test_survives import process

TALK, LASTING = Format.conversation, Format.one_to_one
LATER = NOW + timedelta(days=10)  # in December


def begun(people, at=None, now=NOW):
    """What a run makes of them: its relationships as they have begun, and the people after it, by their own id."""
    at, known = at or program(TALK), {person.id: person for person in people}
    made = []
    for relationship in matched(people, at, RUN, now).relationships:
        outcome = apply_pair(relationship, context(at, *known.values(), now=now))
        assert outcome.result is True
        known |= {one.id: one for one in outcome.changed if isinstance(one, Person)}
        made += [one for one in outcome.changed if isinstance(one, Relationship)]
    return made, {person.own_id: person for person in known.values()}


def over(relationship, people, now=NOW, *, reason=EndReason.completed, side=Side.platform, held=1, first=()):
    """The people after its end, by their own id."""
    event = PairEnded(
        relationship_id=relationship.id, program=PROGRAM, reason=reason, side=side, meetings_held=held, rematch_first=first
    )
    outcome = ended(relationship, event, context(*people.values(), now=now))
    return people | {one.own_id: one for one in outcome.changed if isinstance(one, Person)}


def pairs(people, at=None, now=NOW):
    names = {person.id: person.own_id for person in people}
    found = matched(people, at or program(TALK), RUN, now)
    return sorted(tuple(names[m.person_id] for m in relationship.members) for relationship in found.relationships)


def test_each_has_so_many_in_a_month_and_everyone_s_first_goes_before_anyone_s_second():
    people = [mentor("k1", skills_offered=("sql",)), mentor("k2"), *(mentee(f"n{n}", skills_wanted=("sql",)) for n in range(3))]
    made, left, known = run(people, program(TALK, least_score=0))
    assert {form for form, _, _ in made} == {"conversation"}
    of = [sum(name in members for _, members, _ in made) for name in ("k1", "k2", "n0", "n1", "n2")]
    assert of[:2] == [2, 2]
    assert sorted(of[2:]) == [1, 1, 2]
    assert not left
    assert all(person.taken(PROGRAM) == 0 for person in known.values())


def test_neither_capacity_nor_a_long_relationship_bounds_it_and_it_takes_no_place():
    people = [mentor("k1", capacity=1), *(mentee(f"n{n}") for n in range(4))]
    at = program(LASTING, TALK, least_score=0, conversations_per_month=3)
    made, left, known = run(people, at)
    assert [form for form, _, _ in made] == ["one_to_one", *["conversation"] * 3]
    assert len({name for _, members, _ in made for name in members}) == 5  # not with whom one meets already
    assert len(left) == 3  # they still wait for a mentor
    assert known[people[0].id].places_left(PROGRAM, at.policy) == 0


@pytest.mark.parametrize("formats", [(LASTING, TALK), (TALK, LASTING)])
def test_the_best_mentor_is_not_met_once_instead(formats):
    people = [mentor("k1", skills_offered=("sql",)), mentor("k2"), mentee("n1", skills_wanted=("sql",))]
    made, _, _ = run(people, program(*formats, least_score=0, aim="score"))
    assert [(form, set(members)) for form, members, _ in made] == [("one_to_one", {"k1", "n1"}), ("conversation", {"k2", "n1"})]


def test_only_those_take_part_whose_enrolment_names_it_or_nothing():
    people = [mentor("k1", LASTING), mentor("k2", TALK), mentee("n1", LASTING), mentee("n2")]
    made, _, _ = run(people, program(TALK, least_score=0))
    assert [set(members) for _, members, _ in made] == [{"k2", "n2"}]


def test_a_mentor_who_takes_nobody_just_now_talks_with_nobody():
    away = replace(mentor("k1"), unavailable=(PROGRAM,))
    assert pairs([away, mentee("n1")], program(TALK, least_score=0)) == []


def test_a_further_run_in_the_month_makes_what_is_left_of_it_and_one_in_the_next_begins_anew():
    at = program(TALK, least_score=0, conversations_per_month=1)
    people = [mentor("k1"), mentor("k2"), mentee("n1"), mentee("n2")]
    made, known = begun(people, at)
    assert len(made) == 2
    assert pairs(known.values(), at) == []
    for relationship in made:
        known = over(relationship, known)
    assert pairs(known.values(), at) == []
    (first, second) = pairs(known.values(), at, LATER)
    before = {tuple(sorted(m.person_id.hex for m in r.members)) for r in made}
    after = {tuple(sorted(known[name].id.hex for name in pair)) for pair in (first, second)}
    assert not before & after


def test_who_has_talked_talks_with_that_one_again_only_after_the_months_without_a_repeat():
    at = program(TALK, least_score=0)
    (made,), known = begun([mentor("k1"), mentee("n1")], at)
    assert pairs(known.values(), at, LATER) == []  # while it goes on
    known = over(made, known)
    assert pairs(known.values(), at, LATER) == []
    assert pairs(known.values(), at, NOW + timedelta(days=364)) == []
    assert pairs(known.values(), at, NOW + timedelta(days=370)) == [("k1", "n1")]
    assert pairs(known.values(), program(TALK, least_score=0, no_repeat_months=0), LATER) == [("k1", "n1")]


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ({}, True),
        ({"held": 0}, False),
        ({"held": 0, "reason": EndReason.not_a_fit, "side": Side.mentee}, False),
        ({"reason": EndReason.not_a_fit, "side": Side.mentee}, False),
    ],
)
def test_who_has_talked_may_have_each_other_for_more_by_a_run_or_by_request(said, more):
    (made,), known = begun([mentor("k1"), mentee("n1")], program(TALK, least_score=0))
    lasting = program(LASTING, by_request=True, least_score=0)
    assert pairs(known.values(), lasting) == [("k1", "n1")]  # they are about to talk
    assert seeks(known["n1"], lasting)
    assert can_take(known["k1"], known["n1"], lasting, NOW)
    known = over(made, known, **said)
    assert bool(pairs(known.values(), lasting)) is more
    assert can_take(known["k1"], known["n1"], lasting, NOW) is more


@pytest.mark.parametrize(
    ("said", "mentor_counts", "mentee_counts"),
    [
        ({}, 1, 1),
        ({"reason": EndReason.no_time}, 1, 1),  # they were to find a time, and didn't
        ({"reason": EndReason.no_time, "side": Side.mentor, "first": "n1"}, 1, 0),
        ({"reason": EndReason.no_time, "side": Side.mentee}, 0, 1),
        ({"reason": EndReason.not_a_fit, "side": Side.mentee, "first": "n1"}, 0, 0),
        ({"reason": EndReason.person_withdrawn, "side": Side.mentor, "first": "n1"}, 1, 0),
        ({"reason": EndReason.no_time, "side": Side.mentor, "held": 1}, 1, 1),
    ],
)
def test_one_that_did_not_take_place_counts_for_whoever_would_not_have_it(said, mentor_counts, mentee_counts):
    (made,), known = begun([mentor("k1"), mentee("n1")], program(TALK, least_score=0))
    first = (known[said["first"]].id,) if "first" in said else ()
    known = over(made, known, **({"held": 0} | said | {"first": first}))
    assert [known[name].conversations(PROGRAM, NOW) for name in ("k1", "n1")] == [mentor_counts, mentee_counts]
    assert [known[name].conversations(PROGRAM, LATER) for name in ("k1", "n1")] == [0, 0]
    assert known["n1"].goes_first(PROGRAM, TALK) is bool(first)
    assert not known["n1"].goes_first(PROGRAM)  # for a mentor they wait like anyone


def test_who_is_released_goes_first_until_another_conversation_is_found():
    (made,), known = begun([mentor("k1"), mentee("n1")], program(TALK, least_score=0))
    known = over(made, known, reason=EndReason.no_time, side=Side.mentor, held=0, first=(known["n1"].id,))
    at = program(TALK, least_score=0, conversations_per_month=1)
    crowd = [*known.values(), mentor("k2"), *(mentee(f"a{n}") for n in range(5))]
    assert pairs(crowd, at) == [("k2", "n1")]
    _, known = begun(crowd, at)
    assert not known["n1"].goes_first(PROGRAM, TALK)


def test_a_proposal_counts_in_its_month_then_in_that_of_its_approval_and_not_at_all_where_it_is_rejected():
    at = program(TALK, least_score=0, match_mode=MatchMode.propose)
    (made,), known = begun([mentor("k1"), mentee("n1")], at)
    assert made.status is RelationshipStatus.proposed
    outcome = approve("key", made, context(at, *known.values(), now=LATER))
    assert [type(event) for event in outcome.events][1] is PairCreated
    people = [one for one in outcome.changed if isinstance(one, Person)]
    assert [p.conversations(PROGRAM, NOW) for p in known.values()] == [1, 1]
    assert [(p.conversations(PROGRAM, NOW), p.conversations(PROGRAM, LATER)) for p in people] == [(0, 1)] * 2
    outcome = reject(RejectionReason.known_conflict, "key", made, context(at, *known.values()))
    people = {one.own_id: one for one in outcome.changed if isinstance(one, Person)}
    assert [p.conversations(PROGRAM, NOW) for p in people.values()] == [0, 0]
    assert not can_take(people["k1"], people["n1"], program(LASTING), NOW)  # of more there is nothing either


def test_what_was_proposed_in_two_months_and_is_approved_in_one_does_not_give_it_too_many():
    at = program(TALK, least_score=0, match_mode=MatchMode.propose, conversations_per_month=1)
    (old,), known = begun([mentor("k1"), mentor("k2"), mentee("n1")], at)
    (new,), known = begun(known.values(), at, LATER)
    outcome = approve("key", old, context(at, *known.values(), now=LATER))
    assert [(timer.kind, timer.owner) for timer in outcome.timers] == [(REVIEW_PROPOSAL, new.id)]
    known |= {one.own_id: one for one in outcome.changed if isinstance(one, Person)}
    with pytest.raises(Rejected, match="no place left"):
        approve("key", new, context(at, *known.values(), now=LATER))
    fallen = review(new, None, context(at, *known.values(), now=LATER))
    (other,) = (name for name, one in known.items() if name != "n1" and one.id in {m.person_id for m in new.members})
    left = {one.own_id: one.conversations(PROGRAM, LATER) for one in fallen.changed if isinstance(one, Person)}
    assert left == {other: 0, "n1": 1}


@pytest.mark.parametrize(
    ("formats", "enrolled", "waits"), [((TALK,), (), 0), ((LASTING, TALK), (), 1), ((LASTING, TALK), (TALK,), 0)]
)
def test_who_has_one_no_longer_waits_where_they_came_for_nothing_else(formats, enrolled, waits):
    waiting = (Waiting(PROGRAM, NOW - timedelta(days=40), WaitlistReason.no_capacity),)
    people = [mentor("k1", TALK), replace(mentee("n1", *enrolled), waiting=waiting)]
    _, known = begun(people, program(*formats, least_score=0))
    assert len(known["n1"].places) == 1
    assert len(known["n1"].waiting) == waits


def test_who_finds_nobody_to_talk_with_is_told_why_and_what_mentors_would_help():
    people = [mentor("k1", skills_offered=("sql",)), *(mentee(f"n{n}", skills_wanted=("go",)) for n in range(3))]
    found = matched(people, program(TALK, least_score=0.5), RUN, NOW)
    mentees = [left for left in found.left.values() if left.role is Role.mentee]
    assert {left.reason for left in mentees} == {WaitlistReason.nobody_offers}
    assert {left.mentors_that_would_help for left in mentees} == {2}  # each talks with two in a month


# ---- over Kafka and PostgreSQL -----------------------------------------------------------------------------------------


def crowd(town, mentors, mentees):
    sides = (("k", Role.mentor, mentors, "skills_offered"), ("n", Role.mentee, mentees, "skills_wanted"))
    return [
        record(f"{side}{n:03}", role, town.program, organization=town.organization, **{what: ("sql",)})
        for side, role, count, what in sides
        for n in range(count)
    ]


@pytest.mark.platform
@pytest.mark.alone
async def test_a_service_killed_while_conversations_begin_goes_on_and_nobody_has_too_many(town, unused_tcp_port):
    await town.open(formats=["conversation"], conversations_per_month=2)
    await town.send(*crowd(town, 20, 50))
    begun = "select count(*) from matching.relationships where status = 'active'"

    async def some():
        return await town.see.fetchval(begun) >= 6

    async with town.client(unused_tcp_port) as client:
        async with town.see.transaction():  # until the kill it can't end
            with process(town, unused_tcp_port) as service:
                await town.known()
                assert await until(lambda: up(client))
                after = {"people": 70, "revisions": 70}
                run_id = (await client.post("/v1/programs/crossing/match-runs", json={"after": after})).json()["run_id"]
                assert await until(lambda: town.see.fetchval(HOLD_THE_LAST))
                assert await until(some)
                service.kill()
        with process(town, unused_tcp_port):
            assert await until(lambda: up(client))
            run = await town.finished(client, run_id)
    facts = await town.told("PairCreated")
    of = Counter(member["person_id"] for fact in facts for member in fact["members"])
    assert len({fact["relationship_id"] for fact in facts}) == len(facts) == run["pairs"] == 40
    assert len({frozenset(member["person_id"] for member in fact["members"]) for fact in facts}) == 40
    assert max(of.values()) == 2
    assert run["gap"] == 0


HOLD_THE_LAST = "select id from matching.relationships where status = 'planned' order by id desc limit 1 for update"


async def up(client):
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.platform
@pytest.mark.alone
async def test_a_rolling_program_brings_the_next_ones_when_the_month_begins_and_an_end_is_heard_once(town):
    if next_month(datetime.now(UTC)) - datetime.now(UTC) < timedelta(minutes=10):
        await town.stage.move_clock(timedelta(hours=1))
    await town.open(formats=["conversation"], conversations_per_month=1, rolling=True)
    await town.send(*crowd(town, 2, 2))
    async with town.running() as client:
        assert (await town.match(client, {"people": 4, "revisions": 4}))["pairs"] == 2
        facts = await town.told("PairCreated")
        assert {fact["format"] for fact in facts} == {"conversation"}
        ends = [
            PairEnded(
                relationship_id=fact["relationship_id"],
                program=town.program,
                reason="completed",
                side="platform",
                meetings_held=1,
            )
            for fact in facts
        ]
        await town.send(*ends, *ends)
        over = "select count(*) = 4 from matching.people where places = '[]' and jsonb_array_length(met) = 1"
        assert await until(lambda: town.see.fetchval(over))
        assert (await town.match(client))["pairs"] == 0  # this month's are used up

        await town.stage.move_clock(timedelta(days=32))

        async def more():
            return len(await town.told("PairCreated")) == 4

        assert await until(more)
    both = [frozenset(m["person_id"] for m in fact["members"]) for fact in await town.told("PairCreated")]
    assert len(set(both)) == 4  # others than before


def test_a_coordinator_who_decides_on_one_reads_that_it_is_for_once():
    (made,), known = begun([mentor("k1"), mentee("n1")], program(TALK, least_score=0, match_mode=MatchMode.propose))
    people = {person.id: person for person in known.values()}
    made = replace(made, reasons=(Reason(code="fair_load", number=1),))
    assert pair_line(made, people, None).called == "n1 with k1, to talk once"
    assert pair_line(made, people, None).reasons == ["Room for 1 more conversation on the mentor’s side"]
    assert pair_line(replace(made, format=LASTING), people, None).called == "n1 with k1"


# ---- rolling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (NOW, datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_month_begins_by_the_calendar(now, then):
    assert next_month(now) == then


@pytest.mark.parametrize(
    ("rolling", "formats", "arms"), [(True, (LASTING, TALK), True), (False, (TALK,), False), (True, (LASTING,), False)]
)
def test_after_a_run_a_rolling_program_looks_again_when_the_next_month_begins(rolling, formats, arms):
    at = replace(program(*formats, rolling=rolling), current_run=RUN.id)
    outcome = finish_run(Totals(1, 0, 0, 1), 0.0, replace(RUN, status=RunStatus.applying), context(at))
    armed = [timer.fire_at for timer in outcome.timers if timer.kind == NEW_MONTH]
    assert armed == ([next_month(NOW)] if arms else [])
    if arms:
        after = next(one for one in outcome.changed if type(one) is type(at))
        (asked,) = [one for one in roll(after, None, context(after, now=next_month(NOW))).changed if isinstance(one, Run)]
        assert asked.requested_by == ""


def test_whom_a_month_has_left_nothing_is_offered_to_nobody_until_the_next():
    view = Rolling(PROGRAM, on_now=True, policy=Policy(formats=(TALK,), conversations_per_month=1))
    (made,), known = begun([mentor("k1"), mentee("n1")], program(TALK, least_score=0))
    people = over(made, known)
    for now, arms in ((NOW, []), (LATER, [ROLL])):
        outcome = offered(NOTHING, [people["n1"]], (PROGRAM,), context(view, now=now))
        assert [timer.kind for timer in outcome.timers] == arms


def test_what_is_told_twice_changes_nothing():
    (made,), known = begun([mentor("k1"), mentee("n1")], program(TALK, least_score=0))
    assert apply_pair(made, context(program(TALK), *known.values())) == NOTHING
    event = PairEnded(relationship_id=made.id, program=PROGRAM, reason=EndReason.completed, side=Side.platform, meetings_held=1)
    outcome = ended(made, event, context(*known.values()))
    (after,) = [one for one in outcome.changed if isinstance(one, Relationship)]
    assert ended(after, event, context(*known.values())) == NOTHING
