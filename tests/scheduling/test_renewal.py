"""What the agreed months bring: half time, an offer to go on, a goal that is reached."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.scheduling import store
from services.scheduling.domain import agreement, people, renewal
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.events import (
    EndReason,
    Format,
    Milestone,
    RevisionReason,
    Role,
    Side,
    Term,
)
from tests.scheduling.examples import NOW, At, armed, cleared, names, pair, person, took
from tests.scheduling.test_unsigned import drafted
from tests.scheduling.test_versions import changed

DAY = timedelta(days=1)


def running(term=Term.long, **more):
    """A relationship whose agreement holds, and the timers of its months."""
    relationship = replace(pair(**more), term=term)
    relationship, _ = took(agreement.begun(relationship, At()), None)
    for member in relationship.members:
        outcome = agreement.sign(relationship, member.person_id, At())
        relationship, _ = took(outcome, relationship)
    return relationship, armed(outcome)


@pytest.mark.parametrize(("months", "half", "offer"), [(6, 90, 151), (12, 182, 334), (3, 46, 61), (2, 30, 54), (1, 15, 23)])
def test_half_time_and_the_offer_hang_on_the_end(months, half, offer):
    relationship, timers = running(agreement={"months": months})
    assert timers["end"] == relationship.until
    assert ((timers["half_time"] - NOW).days, (timers["renewal"] - NOW).days) == (half, offer)
    assert "renewal" not in running(Term.short, agreement={"months": months})[1]


def test_the_offer_waits_while_the_program_asks_nothing():
    relationship, timers = running()
    paused, at = replace(relationship, rules=replace(relationship.rules, asks=False)), timers["renewal"]
    assert armed(renewal.offer(paused, At(at))) == {"renewal": at + DAY}
    assert names(renewal.offer(relationship, At(at + DAY))) == ["RenewalOffered"]


def test_half_time_is_celebrated_once_and_not_long_after():
    relationship, timers = running()
    outcome = renewal.half_time(relationship, At(timers["half_time"]))
    assert [e.milestone for e in outcome.events] == [Milestone.half_time]
    reached, _ = took(outcome, relationship)
    assert names(renewal.half_time(reached, At(timers["half_time"]))) == []
    assert renewal.half_time(relationship, At(timers["half_time"] + 60 * DAY)) == NOTHING
    assert renewal.half_time(replace(relationship, ended_at=NOW), At(timers["half_time"])) == NOTHING
    changed_then, _, _ = changed(reached, 0, At(timers["half_time"] + 3 * DAY), every_weeks=4)
    assert changed_then.events[0].reason is RevisionReason.half_time
    changed_later, _, _ = changed(reached, 0, At(timers["half_time"] + 30 * DAY), every_weeks=4)
    assert changed_later.events[0].reason is RevisionReason.edited


def test_those_who_all_say_yes_go_on_for_as_long_again():
    relationship, timers = running()
    until, (mentor, mentee) = relationship.until, (m.person_id for m in relationship.members)
    assert renewal.renew(relationship, mentor, At()) == NOTHING, "before it was offered"
    offered = renewal.offer(relationship, At(timers["renewal"]))
    (event,) = offered.events
    assert (event.renewals, event.months, event.until) == (0, 6, until)
    relationship, _ = took(offered, relationship)
    assert renewal.offer(relationship, At(timers["renewal"])) == NOTHING
    one = renewal.renew(relationship, mentor, At(timers["renewal"]))
    assert names(one) == []
    relationship, _ = took(one, relationship)
    assert renewal.renew(relationship, mentor, At(timers["renewal"])) == NOTHING
    both = renewal.renew(relationship, mentee, At(timers["renewal"]))
    assert names(both)[0] == "AgreementRevised"
    revised = both.events[0]
    assert (revised.reason, revised.version, revised.until) == (RevisionReason.renewed, 1, event.renewed_until)
    relationship, _ = took(both, relationship)
    assert (relationship.until, relationship.renewals, relationship.renewal) == (event.renewed_until, 1, None)
    assert (relationship.until.month, relationship.until.year) == (11, 2027)
    assert armed(both)["end"] == relationship.until
    assert until < armed(both)["renewal"] < relationship.until
    assert renewal.renew(relationship, mentee, At(timers["renewal"])) == NOTHING
    _, relationship, _ = changed(relationship, 0, At(until), months=9)
    relationship, _ = took(agreement.sign(relationship, mentee, At(until)), relationship)
    assert (relationship.until.month, relationship.until.year) == (2, 2028), "months are counted from where they were renewed"


def test_going_on_leaves_a_change_that_waits_as_it_is():
    relationship, timers = running()
    _, relationship, _ = changed(relationship, 0, every_weeks=4)
    relationship, _ = took(renewal.offer(relationship, At(timers["renewal"])), relationship)
    for member in relationship.members:
        outcome = renewal.renew(relationship, member.person_id, At(timers["renewal"]))
        relationship, _ = took(outcome, relationship)
    assert (outcome.events[0].version, outcome.events[0].terms.every_weeks) == (1, 2)
    assert (relationship.newest.every_weeks, relationship.version, relationship.is_open) == (4, 2, True)


def test_in_a_group_who_leaves_is_not_waited_for():
    trio, timers = running(people=[person(), person(), person()], roles=(Role.mentor, Role.mentee, Role.mentee))
    trio, _ = took(renewal.offer(trio, At(timers["renewal"])), trio)
    at, gone = At(timers["renewal"]), trio.members[2].person_id
    early = people.leave(replace(trio, meeting_id=None), None, gone, EndReason.person_withdrawn, at)
    assert names(early) == ["MemberWentOut", "MeetingProposed"], "nobody has said yes yet, and it goes on as it was"
    for member in trio.members[:2]:
        trio, _ = took(renewal.renew(trio, member.person_id, At(timers["renewal"])), trio)
    left = people.leave(trio, None, gone, EndReason.person_withdrawn, at)
    assert names(left)[:2] == ["MemberWentOut", "AgreementRevised"]


def test_a_reached_goal_ends_a_short_relationship_with_a_celebration():
    relationship, _ = running(Term.short)
    mentor, mentee = (m.person_id for m in relationship.members)
    outcome = renewal.reached(relationship, None, mentee, At(NOW + 30 * DAY))
    assert names(outcome) == ["MilestoneReached", "PairEnded"]
    milestone, ended = outcome.events
    assert milestone.milestone is Milestone.completed
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.goal_attained, Side.mentee, ())
    assert {"end", "half_time", "renewal", "unsigned"} <= cleared(outcome)
    over, _ = took(outcome, relationship)
    assert renewal.reached(over, None, mentor, At(NOW + 31 * DAY)) == NOTHING
    assert renewal.reached(running(Term.long)[0], None, mentee, At()) == NOTHING
    assert renewal.reached(replace(drafted()[0], term=Term.short), None, mentee, At()) == NOTHING


# ---- through Kafka, HTTP and PostgreSQL -------------------------------------------------------------------------------------


async def test_half_way_they_are_asked_to_look_again_and_at_the_end_whether_they_go_on(scene):
    pair = await scene.pair(form=Format.e_mentoring, agreement={"months": 3, "every_weeks": 4}, quiet_intervals_before_stalled=10)
    for person_id in (pair.mentor, pair.mentee):
        await scene.do("sign", pair.id, person_id, 1)
    assert await scene.timers(pair.id) == {"end", "half_time", "renewal", "quiet", "check_in", "risk"}
    early = await scene.see("renew", pair.id, pair.mentor, 0)
    assert "You go on with your mentee" in early.text
    await scene.clock_past(scene.now + 47 * DAY)
    assert (await scene.log.wait(pair.id, "MilestoneReached")).milestone is Milestone.half_time
    await scene.clock_past(scene.now + 17 * DAY)
    offer = await scene.log.wait(pair.id, "RenewalOffered")
    page = await scene.see("renew", pair.id, pair.mentor, 0)
    assert "Yes, let’s go on" in page.text
    page = await scene.do("renew", pair.id, pair.mentor, 0)
    assert "You said yes." in page.text
    await scene.do("renew", pair.id, pair.mentor, 0)
    page = await scene.do("renew", pair.id, pair.mentee, 0)
    assert "You go on with your mentor" in page.text
    revised = await scene.log.wait(pair.id, "AgreementRevised")
    assert (revised.reason, revised.until) == (RevisionReason.renewed, offer.renewed_until)
    page = await scene.do("renew", pair.id, pair.mentor, 0)
    assert "You go on with your mentee" in page.text
    row = await scene.db.fetchrow("select until, renewals from scheduling.relationships where id = $1", pair.id)
    assert tuple(row) == (offer.renewed_until, 1)
    assert (await scene.see("renew", pair.id, new_id(), 1)).status_code == 403
    await scene.clock_past(offer.until + DAY)
    assert "PairEnded" not in scene.log.names(pair.id)
    await scene.clock_past(offer.renewed_until - 20 * DAY)
    await scene.log.wait(pair.id, "RenewalOffered", 2)
    await scene.clock_past(offer.renewed_until + DAY)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert ended.reason is EndReason.completed, "it was offered again, and nobody said yes"
    assert "This has ended" in (await scene.do("renew", pair.id, pair.mentee, 1)).text


async def test_a_goal_that_is_reached_ends_what_was_for_it(scene):
    pair = await scene.pair(term=Term.short)
    page = await scene.do("reached", pair.id, pair.mentee, 1)
    assert "Once everyone has signed" in page.text
    scheduled = await pair.scheduled()
    assert "renewal" not in await scene.timers(pair.id)
    assert "Yes, our goal is reached" in (await scene.see("reached", pair.id, pair.mentee, 1)).text
    page = await scene.do("reached", pair.id, pair.mentee, 1)
    assert "You reached your goal" in page.text
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side) == (EndReason.goal_attained, Side.mentee)
    assert scene.log.names(pair.id)[-3:] == ["MilestoneReached", "MeetingCancelled", "PairEnded"]
    assert await scene.timers(pair.id) == set()
    assert "You reached your goal" in (await scene.do("reached", pair.id, pair.mentor, 1)).text
    assert "This has ended" in (await scene.see("pick", scheduled.meeting_id, pair.mentor, 1)).text


async def test_what_held_before_the_migration_has_its_half_time_and_its_offer_too(scene):
    pair = await scene.pair()
    await pair.signed()
    read = "select kind, fire_at from scheduling.timers where owner = $1 and kind in ('half_time', 'renewal')"
    before = dict(await scene.db.fetch(read, str(pair.id)))
    await scene.db.execute("delete from scheduling.timers where owner = $1 and kind in ('half_time', 'renewal')", str(pair.id))
    sql = (Path(store.__file__).parent / "migrations/0003_agreement.sql").read_text()
    insert = sql[sql.rindex("insert into timers") :].partition(";")[0]
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        await scene.db.execute(insert)
    after = dict(await scene.db.fetch(read, str(pair.id)))
    assert after.keys() == before.keys() == {"half_time", "renewal"}
    assert all(abs(after[kind] - before[kind]) < 2 * DAY for kind in after)
