"""An agreement that waits to be signed: reminders, a word to the coordinator, and an end that blames nobody."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduling import store
from services.scheduling.domain import agreement, people, reports, unsigned
from services.scheduling.domain.model import Rules
from services.scheduling.domain.unsigned import Step, steps
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.events import (
    EndReason,
    Format,
    GroupCreated,
    Member,
    PersonEnrolled,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Policy,
    ProgramChanged,
    Role,
    Side,
    StallReason,
)
from tests.scheduling.conftest import until
from tests.scheduling.examples import NOW, PROGRAM, At, armed, cleared, names, pair, person, took
from tests.scheduling.test_rules import record, report

DAY = timedelta(days=1)
SPREAD = timedelta(hours=1)


def drafted(**more):
    """A relationship that waits for signatures, and when it is looked at next."""
    outcome = agreement.begun(pair(**more), At())
    relationship, _ = took(outcome, None)
    return relationship, armed(outcome)["unsigned"]


def waited(relationship, at):
    """All that comes of nobody doing anything: (days since the beginning, names, relationship after it)."""
    told = []
    while at is not None and relationship.ended_at is None:
        outcome = unsigned.due(relationship, At(at))
        relationship, _ = took(outcome, relationship)
        told.append(((at - NOW).days, names(outcome), outcome))
        at = armed(outcome).get("unsigned")
    return relationship, told


def signed_by(relationship, *which):
    for n in which:
        relationship, _ = took(agreement.sign(relationship, relationship.members[n].person_id, At()), relationship)
    return relationship


# ---- nobody signs, or only some do -----------------------------------------------------------------------------------------


def test_reminders_then_the_coordinator_then_an_end_that_blames_nobody():
    relationship, at = drafted()
    assert NOW + 3 * DAY <= at < NOW + 3 * DAY + SPREAD
    relationship, told = waited(relationship, at)
    assert [(days, what) for days, what, _ in told] == [
        (3, ["SignaturesAwaited"]),
        (7, ["SignaturesAwaited"]),
        (10, ["PairStalled"]),
        (14, ["PairEnded"]),
    ]
    first, _, stalled, ended = [outcome.events[0] for _, _, outcome in told]
    assert (first.people, first.days, first.version) == (tuple(m.person_id for m in relationship.members), 3, 1)
    assert stalled.reason is StallReason.unsigned
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.never_signed, Side.both, ())
    assert "unsigned" in cleared(told[-1][2])
    assert agreement.sign(relationship, relationship.members[0].person_id, At(NOW + 15 * DAY)) == NOTHING


@pytest.mark.parametrize(
    ("roles", "signed", "side"),
    [
        ((Role.mentor, Role.mentee), (0,), Side.mentee),
        ((Role.mentor, Role.mentee), (1,), Side.mentor),
        ((Role.peer, Role.peer), (0,), Side.other),
        ((Role.peer, Role.peer), (), Side.both),
        ((Role.mentor, Role.mentee, Role.mentee), (0, 1), Side.mentee),
        ((Role.mentor, Role.mentee, Role.mentee), (1, 2), Side.mentor),
        ((Role.mentor, Role.mentee, Role.mentee), (1,), Side.both),
    ],
)
def test_only_those_missing_are_reminded_and_who_signed_goes_first(roles, signed, side):
    relationship, at = drafted(people=[person() for _ in roles], roles=roles)
    relationship = signed_by(relationship, *signed)
    ids = [m.person_id for m in relationship.members]
    _, told = waited(relationship, at)
    assert told[0][2].events[0].people == tuple(p for n, p in enumerate(ids) if n not in signed)
    ended = told[-1][2].events[0]
    assert (ended.side, ended.rematch_first) == (side, tuple(ids[n] for n in signed))


def test_signed_by_all_nothing_waits_and_who_stood_still_is_alive():
    relationship, at = drafted()
    for _ in range(3):
        outcome = unsigned.due(relationship, At(at))
        relationship, _ = took(outcome, relationship)
        at = armed(outcome)["unsigned"]
    assert relationship.stalled_at is not None
    relationship = signed_by(relationship, 0)
    last = agreement.sign(relationship, relationship.members[1].person_id, At(NOW + 12 * DAY))
    assert names(last) == ["PairRecovered", "AgreementSigned", "MeetingProposed"]
    assert "unsigned" in cleared(last)
    relationship, _ = took(last, relationship)
    assert (relationship.unsigned, relationship.stalled_at) == (None, None)
    assert unsigned.due(relationship, At(at)) == NOTHING, "a timer that was read before is nothing"


def test_who_meets_without_having_signed_is_neither_stalled_nor_ended():
    relationship, at = drafted()
    event = report(relationship, NOW)
    relationship, _ = took(reports.report(relationship, event, lambda _: None, At(NOW + DAY)), relationship)
    relationship, told = waited(relationship, at)
    assert [what for _, what, _ in told] == [["SignaturesAwaited"], ["SignaturesAwaited"], [], []]
    assert relationship.ended_at is None


def test_a_break_is_not_counted():
    someone = person()
    relationship, at = drafted(people=[person(), someone])
    stopped = people.told(relationship, None, record(PersonPaused, someone, status=PersonStatus.paused), At(NOW + DAY))
    assert "unsigned" in cleared(stopped)
    relationship, _ = took(stopped, relationship)
    assert unsigned.due(relationship, At(at)) == NOTHING
    again = people.told(relationship, None, record(PersonResumed, someone, 3), At(NOW + 21 * DAY))
    assert armed(again)["unsigned"] == at + 20 * DAY
    _, told = waited(took(again, relationship)[0], armed(again)["unsigned"])
    assert [days for days, _, _ in told] == [23, 27, 30, 34]


def test_days_count_while_one_who_has_signed_has_a_break_and_stop_for_one_who_has_not():
    everyone = [person() for _ in range(3)]
    relationship, at = drafted(people=everyone, roles=(Role.mentor, Role.mentee, Role.mentee), form=Format.group)
    relationship = signed_by(relationship, 0)
    first, second = (record(PersonPaused, p, status=PersonStatus.paused) for p in everyone[:2])
    assert "unsigned" not in cleared(people.told(relationship, None, first, At(NOW + DAY)))
    stopped = people.told(relationship, None, second, At(NOW + DAY))
    assert "unsigned" in cleared(stopped)
    relationship, _ = took(stopped, relationship)
    signed = agreement.sign(relationship, everyone[1].id, At(NOW + 5 * DAY))
    assert armed(signed)["unsigned"] == at + 4 * DAY, "nobody waits for them any more"
    left = people.leave(relationship, None, everyone[1].id, EndReason.moved_on, At(NOW + 5 * DAY))
    assert armed(left)["unsigned"] == at + 4 * DAY
    newcomer = replace(relationship.members[1], person_id=new_id())
    joined, _ = took(people.join(took(signed, relationship)[0], newcomer, At(NOW + 6 * DAY)), relationship)
    assert joined.unsigned.stopped_at == NOW + 6 * DAY, "a newcomer with a break is waited for like others"


def test_who_begins_with_a_break_is_not_waited_for_in_it():
    someone = person(status=PersonStatus.paused)
    outcome = agreement.begun(pair(people=[person(), someone]), At())
    assert "unsigned" not in armed(outcome)
    relationship, _ = took(outcome, None)
    again = people.told(relationship, None, record(PersonResumed, someone), At(NOW + 9 * DAY))
    assert (armed(again)["unsigned"] - NOW).days == 12


def test_after_an_outage_one_step_at_a_time():
    relationship, _ = drafted()
    _, told = waited(relationship, NOW + 20 * DAY)
    assert [(days, what) for days, what, _ in told] == [
        (20, ["SignaturesAwaited"]),
        (24, ["SignaturesAwaited"]),
        (27, ["PairStalled"]),
        (31, ["PairEnded"]),
    ]


def test_a_changed_program_moves_what_is_to_come():
    relationship, at = drafted()
    relationship, _ = took(unsigned.due(relationship, At(at)), relationship)
    policy = {"unsigned_reminder_days": (2, 5), "unsigned_days_before_stalled": 20, "unsigned_days_before_end": 30}
    event = ProgramChanged(program=PROGRAM, organization="northwind", name="C", policy=policy, revision=2)
    outcome = people.caught_up(relationship, None, people.program_after(None, event), At(NOW + 4 * DAY))
    _, told = waited(took(outcome, relationship)[0], armed(outcome)["unsigned"])
    assert [days for days, _, _ in told] == [5, 20, 30]


def test_one_that_was_drafted_before_days_were_counted_begins_to_be_counted():
    relationship = replace(drafted()[0], unsigned=None)
    outcome = unsigned.due(relationship, At(NOW + 40 * DAY))
    assert names(outcome) == []
    assert (armed(outcome)["unsigned"] - NOW).days == 43


@given(
    reminders=st.lists(st.integers(1, 90), max_size=10),
    stalled=st.integers(1, 180),
    end=st.integers(2, 365),
)
def test_whatever_a_program_says_the_end_is_last(reminders, stalled, end):
    policy = Policy(unsigned_reminder_days=reminders, unsigned_days_before_stalled=stalled, unsigned_days_before_end=end)
    found = steps(Rules.of(policy), holds=False)
    assert found == sorted(found)
    assert found[-1] == (end, Step.end)
    assert [step for _, step in found].count(Step.end) == 1
    assert {step for _, step in steps(Rules.of(policy), holds=True)} <= {Step.remind}


# ---- through Kafka, HTTP and PostgreSQL -------------------------------------------------------------------------------------


async def test_an_agreement_that_only_one_signs_ends_after_reminders_and_the_page_says_so_kindly(scene):
    pair = await scene.pair()
    began = scene.now
    await scene.do("sign", pair.id, pair.mentee, 1)
    for days, name, count in ((3, "SignaturesAwaited", 1), (7, "SignaturesAwaited", 2), (10, "PairStalled", 1)):
        await scene.clock_past(began + days * DAY + SPREAD)
        event = await scene.log.wait(pair.id, name, count)
        if name == "SignaturesAwaited":
            assert event.people == (pair.mentor,)
    assert event.reason is StallReason.unsigned
    assert await scene.timers(pair.id) == {"unsigned", "risk"}
    key = await scene.key(scene.owner, "coordinate")
    seen = (await scene.http.get(f"/v1/relationships/{pair.id}", headers=key)).json()
    assert seen["stalled_at"] is not None
    await scene.clock_past(began + 14 * DAY + 2 * SPREAD)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.never_signed, Side.mentor, (pair.mentee,))
    assert await scene.timers(pair.id) == set()
    late = await scene.do("sign", pair.id, pair.mentor, 1)
    assert "There is nothing left to sign" in late.text
    assert "nobody is blamed" in late.text
    assert "you come first" in (await scene.see("sign", pair.id, pair.mentee, 1)).text
    assert scene.log.names(pair.id)[-1] == "PairEnded"


async def test_the_last_signature_clears_the_timer_and_a_group_is_told_of_its_missing(scene):
    pair = await scene.pair()
    assert await scene.timers(pair.id) == {"unsigned", "risk"}
    await pair.signed()
    assert "unsigned" not in await scene.timers(pair.id)

    people = [scene.person("Africa/Lagos") for _ in range(3)]
    await scene.send(*(scene.record(PersonEnrolled, p) for p in people))
    roles = (Role.mentor, Role.mentee, Role.mentee)
    members = tuple(Member(person_id=p, role=r, organization=scene.owner) for p, r in zip(people, roles, strict=True))
    group = GroupCreated(relationship_id=new_id(), program=scene.program, members=members, score=1, format=Format.group)
    await scene.send(group)
    await scene.log.wait(group.relationship_id, "AgreementProposed")
    for person_id in people[:2]:
        await scene.do("sign", group.relationship_id, person_id, 1)
    await scene.clock_past(scene.now + 3 * DAY + SPREAD)
    assert (await scene.log.wait(group.relationship_id, "SignaturesAwaited")).people == (people[2],)


async def test_a_pair_that_was_drafted_before_the_migration_is_counted_from_now(scene):
    pair = await scene.pair()
    await scene.db.execute("update scheduling.relationships set unsigned = null where id = $1", pair.id)
    await scene.db.execute("delete from scheduling.timers where owner = $1", str(pair.id))
    sql = (Path(store.__file__).parent / "migrations/0003_agreement.sql").read_text()
    insert = sql[sql.index("insert into timers") : sql.index("on conflict")] + "on conflict do nothing"
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        await scene.db.execute(insert)

    async def counted():
        return await scene.db.fetchval("select unsigned is not null from scheduling.relationships where id = $1", pair.id)

    assert await until(counted)
    assert await scene.timers(pair.id) == {"unsigned"}
    assert scene.log.names(pair.id) == ["AgreementProposed"]
