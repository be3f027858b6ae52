"""A mentor who declines and moves more and more is offered less: the rule as plain functions, and the way through Kafka and the page."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest

from services.matching.domain import relief
from services.matching.domain.model import Person, Relief, Rolling
from shared import links
from shared.cloudevents import new_id
from shared.events import Enrolment, MeetingCancelled, MeetingRescheduled, Policy, Role
from shared.timers import DueTimer
from tests.matching.conftest import until
from tests.matching.test_flow import people
from tests.matching.test_requests import NOW, PROGRAM

DAY = timedelta(days=1)
MENTOR = Person(
    new_id(), "northwind", programs=(PROGRAM,), enrolments=(Enrolment(program=PROGRAM, role=Role.mentor, capacity=3),)
)
ROLLING = Rolling(PROGRAM, on_now=False, policy=Policy())


def at(now=NOW):
    loaded = {(Rolling, PROGRAM): ROLLING}
    return SimpleNamespace(now=now, get=lambda kind, key: loaded.get((kind, key)))


def moved(mentor, now, **more):
    said = {"relationship_id": new_id(), "program": PROGRAM, "meeting_id": new_id(), "time_zone": "UTC", "sequence": 2}
    event = MeetingRescheduled(**said, starts_at=now, was_at=now, minutes=30, rescheduled_by=mentor.id, **more)
    outcome = relief.changed_plans(mentor, event, at(now))
    return (outcome.changed[0] if outcome.changed else mentor), [event.changes for event in outcome.events]


@pytest.mark.parametrize(
    ("days", "offers"),
    [
        ((0, 5, 10), [3]),
        ((0, 5), []),
        ((0, 5, 40), []),  # no three in a month
        (range(0, 100, 10), [3]),  # three a month, month after month: nothing is rising
        ((0, 5, 10, 15, 20), [3]),  # not again soon
        ((0, 5, 10, 75, 80, 85), [3, 3]),
    ],
)
def test_relief_is_offered_where_changes_become_more(days, offers):
    mentor, told = MENTOR, []
    for n in days:
        mentor, said = moved(mentor, NOW + n * DAY)
        told += said
    assert told == offers


def test_nobody_else_and_nothing_else_counts():
    mentee = replace(MENTOR, enrolments=(Enrolment(program=PROGRAM, role=Role.mentee),))
    for someone, more in ((mentee, {}), (MENTOR, {"reason": "ill"}), (replace(MENTOR, erased=True), {})):
        assert moved(someone, NOW, **more) == (someone, [])
    by_nobody = MeetingCancelled(relationship_id=new_id(), program=PROGRAM, meeting_id=new_id())
    assert relief.changed_plans(None, by_nobody, at()).changed == ()
    resting = replace(MENTOR, unavailable=(PROGRAM,), relief=(Relief(PROGRAM, (NOW, NOW)),))
    assert moved(resting, NOW + DAY)[1] == [], "who takes nobody isn't asked"


def test_fewer_places_and_a_rest_that_ends_by_itself():
    (fewer,) = relief.at_most(PROGRAM, 1, MENTOR, at()).changed
    assert (MENTOR.places_left(PROGRAM, Policy()), fewer.places_left(PROGRAM, Policy())) == (3, 1)
    outcome = relief.rest_until(PROGRAM, NOW + 9 * DAY, fewer, at())
    (resting,) = outcome.changed
    assert resting.places_left(PROGRAM, Policy()) == 0
    (timer,) = (t for t in outcome.timers if t.kind == relief.BACK)
    due = DueTimer(timer.kind, timer.key, timer.owner, timer.fire_at, "northwind", "", new_id(), "", new_id())
    assert relief.back(resting, due, at(NOW + 8 * DAY)).changed == ()
    (there,) = relief.back(resting, due, at(NOW + 9 * DAY)).changed
    assert there.places_left(PROGRAM, Policy()) == 1
    assert relief.back(resting.away(PROGRAM, gone=True), due, at(NOW + 9 * DAY)).changed == (), "away since, for another reason"
    (as_before,) = relief.at_most(PROGRAM, None, resting, at()).changed
    assert (as_before.places_left(PROGRAM, Policy()), as_before.relief) == (3, ())


@pytest.mark.platform
async def test_a_mentor_who_moves_meetings_is_offered_less_and_chooses_by_the_link(town):
    await town.open(least_score=0)
    await town.send(*people(town, mentors=1, mentees=2)[:3])
    async with town.running() as client:
        await town.match(client, {"people": 3, "revisions": 3})
        pair = (await town.told("PairCreated"))[0]
        mentor = next(m["person_id"] for m in pair["members"] if m["role"] == "mentor")
        for n in range(3):
            await town.send(
                MeetingCancelled(
                    relationship_id=pair["relationship_id"],
                    program=town.program,
                    meeting_id=new_id(),
                    cancelled_by=mentor,
                    sequence=n,
                )
            )
        (offer,) = await until(lambda: town.told("ReliefOffered"))
        assert (offer["person_id"], offer["changes"], offer["audience"]) == (mentor, 3, [])

        clock, page = town.service().database.clock, {"Accept": "text/html"}
        who = UUID(mentor)
        link = links.mint("lighter", links.wishes_id(town.program, who), who, 1, clock.now() + 9 * DAY)
        url = link.url("", town.stage.link_secret)
        places = "select relief from matching.people where id = $1"
        before = await town.see.fetchval(places, who)
        assert "How much is right for you?" in (await client.get(url, headers=page)).text
        assert await town.see.fetchval(places, who) == before, "looking changes nothing"
        for wrong in ({"wish": "rest", "until": "yesterday"}, {"wish": "rest", "until": "2020-01-01"}, {"wish": "99"}, {}):
            assert (await client.post(url, headers=page, data=wrong)).status_code == 422
        until_day = (clock.now() + 20 * DAY).date()
        rest = {"wish": "rest", "until": until_day.isoformat()}
        for _ in range(2):
            assert (await client.post(url, headers=page, data=rest)).status_code == 303
        assert "Nobody new comes to you until" in (await client.get(url, headers=page)).text
        away = "select unavailable from matching.people where id = $1"
        assert await town.see.fetchval(away, who) == [town.program]
        await town.stage.move_clock(22 * DAY)
        assert await until(lambda: town.see.fetchval("select unavailable = '{}' from matching.people where id = $1", who))
        assert (await client.get(url, headers=page)).status_code == 410, "the link has expired"
