"""What mentors are recognised for: a record a year, of each way gone to its end and of round numbers; the certificate that anyone can check."""

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from services.scheduling import store
from services.scheduling.domain import endings, meetings, recognition, rollcall
from services.scheduling.domain.model import Held, Person
from services.scheduling.domain.recognition import Mentored, Recognised
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import EndReason, OrganizationOnboarded, PersonErased, Recognition, Role, Side
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.examples import NOW, At, took
from tests.scheduling.test_groups import scheduled as a_group
from tests.scheduling.test_rules import scheduled

MENTOR = Person(UUID(int=7), "northwind", time_zone="Africa/Lagos", revision=1, name="Ada Obi")
PROGRAM = "northwind.crossing"


class Counted(At):
    """A moment at which this was counted, and these records are there."""

    def get(self, kind, key):
        return self.planned.get((kind, key)) if kind in {Mentored, Recognised} else super().get(kind, key)


def looked(what, person=MENTOR, known=(), **more):
    key = recognition.key(person.id, PROGRAM, what)
    counted = {"meetings": 6, "minutes": 275, "people": 2, "milestones": 3} | more
    wanted = counted.pop("wanted", True)
    there = {(Mentored, key): Mentored(key, "northwind", wanted, **counted)} | {(Recognised, one.id): one for one in known}
    return recognition.recognise(person, key, Counted(datetime(2027, 1, 8, 8, 0, tzinfo=UTC), there))


# ---- by the rules


def test_a_year_with_a_meeting_becomes_a_record_once():
    outcome = looked(2026)
    (made,) = outcome.changed
    (told,) = outcome.events
    assert (told.kind, told.year, told.meetings, told.minutes, told.people, told.milestones) == ("year", 2026, 6, 275, 2, 3)
    assert (told.recognition_id, told.person_id, told.audience) == (made.id, MENTOR.id, ("northwind",))
    assert (made.code, made.learned) == (None, "")
    assert looked(2026, known=[made]) == NOTHING
    assert looked(2027, known=[made]).changed[0].id != made.id


@pytest.mark.parametrize(
    ("person", "more"),
    [
        (replace(MENTOR, recognised=False), {}),
        (replace(MENTOR, erased=True), {}),
        (MENTOR, {"wanted": False}),
        (MENTOR, {"meetings": 0}),
    ],
)
def test_there_is_none_for_who_does_not_want_it_and_where_nobody_met(person, more):
    assert looked(2026, person, **more) == NOTHING
    assert looked("people", person, people=5, **more) == NOTHING


@pytest.mark.parametrize(("met", "celebrated"), [(4, 0), (5, 5), (9, 5), (10, 10), (24, 10), (25, 25), (200, 100)])
def test_round_numbers_of_people_are_celebrated_once_each(met, celebrated):
    outcome = looked("people", people=met)
    assert [told.people for told in outcome.events] == ([celebrated] if celebrated else [])
    assert looked("people", known=outcome.changed, people=met) == NOTHING


def held(**more):
    relationship, meeting = scheduled(**more)
    moment = At(meeting.starts_at + timedelta(hours=1))
    return meetings.say_met(relationship, meeting, relationship.members[1].person_id, 45, moment), relationship, meeting


def test_a_meeting_held_arms_the_end_of_the_mentors_own_year_and_the_first_one_the_count_of_people():
    outcome, relationship, meeting = held()
    mentor = relationship.members[0]
    timers = {t.key.rpartition(" ")[2]: t for t in outcome.timers if t.kind == recognition.TIMER}
    assert {t.owner for t in timers.values()} == {mentor.person_id}
    assert set(timers) == {str(meeting.starts_at.year), "people"}
    year = timers[str(meeting.starts_at.year)].fire_at
    assert timedelta(hours=8) <= year - datetime(meeting.starts_at.year + 1, 1, 8, tzinfo=UTC) <= timedelta(hours=12)
    again = took(outcome, relationship)[0]
    assert "people" not in {t.key.rpartition(" ")[2] for t in recognition.looked_at(replace(again, held=2), meeting, At()).timers}


def test_who_was_not_there_and_who_is_no_mentor_is_not_looked_at():
    outcome, relationship, meeting = held()
    (decided,) = [a for a in outcome.changed if a.id == meeting.id]
    alone = replace(decided, held=Held(decided.starts_at, 45, (relationship.members[1].person_id,)))
    assert recognition.looked_at(relationship, alone, At()) == NOTHING
    assert recognition.TIMER not in {t.kind for t in held(roles=(Role.peer, Role.peer))[0].timers}


def test_each_meeting_of_a_group_may_be_somebodys_first_and_who_is_put_on_its_list_later_is_looked_at():
    relationship, meeting, _ = a_group()
    mentor, *rest = (m.person_id for m in relationship.members)
    moment = At(meeting.ends_at)

    def whom(outcome):
        return {(t.owner, t.key.rpartition(" ")[2]) for t in outcome.timers if t.kind == recognition.TIMER}

    without = rollcall.tell(replace(relationship, held=7), meeting, rest[0], rest, 60, moment)
    assert whom(without) == set()
    after, known = took(without, relationship, {meeting.id: meeting})
    there = rollcall.attend(after, known[meeting.id], mentor, moment, there=True)
    assert whom(there) == {(mentor, str(meeting.starts_at.year)), (mentor, "people")}
    assert whom(rollcall.tell(replace(relationship, held=7), meeting, mentor, [mentor, *rest], 60, moment)) == whom(there)


@pytest.mark.parametrize(
    ("reason", "looked_at"), [(EndReason.completed, True), (EndReason.goal_attained, True), (EndReason.no_time, False)]
)
def test_a_way_gone_to_its_end_is_looked_at(reason, looked_at):
    outcome, relationship, _ = held()
    relationship, _ = took(outcome, relationship)
    ended = endings.end(relationship, None, reason, Side.platform, At())
    assert [t.key.endswith(str(relationship.id)) for t in ended.timers if t.kind == recognition.TIMER] == [True] * looked_at
    made = looked(relationship.id).changed[0]
    assert (made.kind, made.year) == (Recognition.relationship, 2027)


def test_a_certificate_is_shown_and_taken_back_and_what_was_learned_is_kept_for_oneself():
    (made,) = looked(2026).changed
    (shown,) = recognition.show(made, "code", At()).changed
    assert (shown.code, shown.shown_at) == ("code", NOW)
    assert recognition.show(shown, "another", At()) == NOTHING
    (back,) = recognition.withdraw(shown).changed
    assert (back, recognition.withdraw(back)) == (made, NOTHING)
    (said,) = recognition.say_learned(made, "To listen.", shows=False).changed
    assert (said.learned, said.shows_learned) == ("To listen.", False)
    assert recognition.say_learned(said, "To listen.", shows=False) == NOTHING
    assert not recognition.say_learned(said, "", shows=True).changed[0].shows_learned
    with pytest.raises(Rejected):
        recognition.own(made, new_id())


# ---- through Kafka, HTTP and PostgreSQL


async def recognised(scene, mentor):
    """What was told of their year; of the way that ended as planned meanwhile there is a record of its own."""

    async def years():
        return [w.event for w in scene.log.of(mentor) if w.name == "MentorRecognised" and w.event.kind == "year"]

    found = await until(years)
    assert found, scene.log.names(mentor)
    return found[0]


def once_each(scene, mentor):
    """Whether each record was told of by one event, however often the relay sent that."""
    told = {w.headers["ce_id"]: w.event.recognition_id for w in scene.log.of(mentor) if w.name == "MentorRecognised"}
    return len(set(told.values())) == len(told)


async def year_over(scene, pair):
    """A meeting is held, and the year goes by; its record as it was told."""
    meeting = await pair.scheduled()
    await scene.clock_past(meeting.starts_at)
    await scene.do("met", meeting.meeting_id, pair.mentee, 0, met="yes", minutes="45")
    await scene.log.wait(pair.id, "MeetingHeld")
    fires = "select fire_at from scheduling.timers where kind = 'recognise' and owner = $1"
    await scene.clock_past(await scene.db.fetchval(fires, str(pair.mentor)))
    return await recognised(scene, pair.mentor)


async def test_a_year_of_meetings_becomes_a_record_a_certificate_and_nothing_once_it_is_taken_back(scene):
    await scene.send(OrganizationOnboarded(organization=scene.owner, name="Northwind & Sons"))
    pair = await scene.pair(quiet_intervals_before_stalled=10)
    told = await year_over(scene, pair)
    assert (told.kind, told.meetings, told.minutes, told.people) == ("year", 1, 45, 1)
    where = ("record", told.recognition_id, pair.mentor, 1)
    for method in ("GET", "HEAD"):
        assert (await scene.http.request(method, scene.url(*where), headers=PAGE)).status_code == 200
    assert await scene.db.fetchval("select code is null from scheduling.recognitions where id = $1", told.recognition_id)
    for wrong in ({}, {"act": "x"}, {"act": "learned", "learned": "x" * 2001}):
        assert (await scene.do(*where, **wrong)).status_code == 422
    assert (await scene.do("record", told.recognition_id, pair.mentee, 1, act="show")).status_code == 404

    page = await scene.do(*where, act="learned", learned="How to <listen>.", shows="yes")
    assert "How to &lt;listen&gt;." in page.text
    for _ in range(2):
        page = await scene.do(*where, act="show")
    (code,) = set(re.findall(r"/certificate/([\w-]+)", page.text))
    assert len(code) >= 22, "128 bits"
    certificate = await scene.http.get(f"/certificate/{code}", headers=PAGE)
    assert "Nobody Knows" in certificate.text
    assert "How to &lt;listen&gt;." in certificate.text
    assert certificate.headers["x-robots-tag"] == "noindex"
    found = (await scene.http.get(f"/certificate/{code}", headers={"Accept": "application/json"})).json()
    assert found["organization"] == "Northwind & Sons"
    assert (found["name"], found["program"], found["meetings"], found["hours"]) == ("Nobody Knows", "Crossing", 1, 0.8)
    assert (found["year"], found["people"], found["learned"]) == (told.year, 1, "How to <listen>.")
    assert not {str(pair.mentor), str(pair.mentee), str(told.recognition_id)} & set(re.findall(r"[\w-]{36}", json.dumps(found)))
    assert "listen" not in "".join(written.body for written in scene.log.of(pair.mentor))

    assert (await scene.http.get(f"/certificate/{code}x", headers=PAGE)).status_code == 404
    page = await scene.do(*where, act="withdraw")
    assert "Make my certificate" in page.text
    gone = await scene.http.get(f"/certificate/{code}", headers=PAGE)
    assert (gone.status_code, "no certificate at this address" in gone.text) == (404, True)
    (other,) = set(re.findall(r"/certificate/([\w-]+)", (await scene.do(*where, act="show")).text))
    assert other != code
    await scene.send(PersonErased(person_id=pair.mentor, revision=9))

    async def nowhere():
        return (await scene.http.get(f"/certificate/{other}")).status_code == 404

    assert await until(nowhere)
    assert (await scene.see(*where)).status_code == 404
    assert not await scene.db.fetchval("select exists (select from scheduling.recognitions where person_id = $1)", pair.mentor)
    assert once_each(scene, pair.mentor)


async def test_a_year_that_is_looked_at_again_and_cut_off_in_between_is_recognised_once(scene):
    """Its transaction is killed when it has begun, several times; then the timer comes twice more."""
    pair = await scene.pair(quiet_intervals_before_stalled=10)
    meeting = await pair.scheduled()
    await scene.clock_past(meeting.starts_at)
    await scene.do("met", meeting.meeting_id, pair.mentee, 0, met="yes", minutes="45")
    await scene.log.wait(pair.id, "MeetingHeld")
    holder = await asyncpg.connect(scene.stage.superuser)
    kill = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where wait_event_type = 'Lock' and pid <> pg_backend_pid() and datname = current_database()
    """
    try:
        await holder.execute("begin")
        await holder.execute("select from scheduling.people where id = $1 for update", pair.mentor)
        fires = "select fire_at from scheduling.timers where kind = 'recognise' and owner = $1"
        await scene.clock_past(await scene.db.fetchval(fires, str(pair.mentor)))
        for _ in range(3):
            assert await until(lambda: scene.db.fetchval(kill))
    finally:
        await holder.execute("rollback")
        await holder.close()
    told = await recognised(scene, pair.mentor)
    again = """
    insert into scheduling.timers (kind, key, owner, fire_at, organization, program, correlation, traceparent)
    values ('recognise', $1, $2, $3, '', '', $4, '')
    """
    for _ in range(2):
        key = recognition.key(pair.mentor, scene.program, told.year)
        await scene.db.execute(again, key, str(pair.mentor), scene.now, new_id())

        async def looked_at():
            return not await scene.timers(pair.mentor)

        assert await until(looked_at)
    assert once_each(scene, pair.mentor)
    made = await scene.db.fetch("select kind from scheduling.recognitions where person_id = $1", pair.mentor)
    assert sorted(row["kind"] for row in made) in (["year"], ["relationship", "year"])


MENTORS = 200
"""Each with a hundred meetings; with 1,000 of them counting takes as long."""
MANY = """
insert into relationships select (jsonb_populate_record(r, jsonb_build_object(
  'id', md5('r' || n)::uuid, 'people', jsonb_build_array(md5('p' || n % {mentors})::uuid, md5('e' || n)::uuid), 'meeting_id', null,
  'members', jsonb_build_array(
    r.members -> 0 || jsonb_build_object('person_id', md5('p' || n % {mentors})::uuid),
    r.members -> 1 || jsonb_build_object('person_id', md5('e' || n)::uuid))
))).* from relationships r, generate_series(1, 4 * {mentors}) n where r.id = $1
"""
HELD = """
insert into meetings (id, relationship_id, organization, number, status, minutes, time_zone, proposed_at, starts_at, held)
select md5('m' || n || ' ' || k)::uuid, md5('r' || n)::uuid, 'x', k, 'held', 30, 'UTC', now(), timestamptz '2025-01-15' + k * interval '20 days',
  jsonb_build_object('held_at', timestamptz '2025-01-15' + k * interval '20 days', 'minutes', 45, 'corrects_missed', false,
    'attended', jsonb_build_array(md5('p' || n % {mentors})::uuid, md5('e' || n)::uuid))
from generate_series(1, 4 * {mentors}) n, generate_series(0, 24) k
"""
WHO = "insert into people select (jsonb_populate_record(p, jsonb_build_object('id', md5('p' || n)::uuid))).* from people p, generate_series(0, {mentors} - 1) n where p.id = $1"


async def test_among_many_meetings_a_mentors_year_is_counted_by_index(scene):
    """A mentor of four with 25 meetings each, many times: three milliseconds for each."""
    pair = await scene.pair()
    undone = scene.db.transaction()
    await undone.start()
    try:
        await scene.db.execute("set local search_path to scheduling")
        for sql, value in ((WHO, [pair.mentor]), (MANY, [pair.id]), (HELD, [])):
            await scene.db.execute(sql.format(mentors=MENTORS), *value)
        await scene.db.execute("analyze relationships")
        await scene.db.execute("analyze meetings")
        people = [
            row["id"]
            for row in await scene.db.fetch(f"select md5('p' || n)::uuid as id from generate_series(0, {MENTORS - 1}) n")
        ]
        keys = [recognition.key(person, scene.program, 2025) for person in people]
        began = time.perf_counter()
        found = list(store.MENTORED.read_all(await scene.db.fetch(store.MENTORED.load, keys)))
        took = time.perf_counter() - began
        plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {store.MENTORED.load}", keys[:1]))
        assert {(one.meetings, one.minutes, one.people) for one in found} == {(72, 72 * 45, 4)}
        for index in ("relationships_people", "relationships_former", "meetings_relationship", "recognitions_person"):
            assert index in plan
        assert "Seq Scan on meetings" not in plan
        assert "Seq Scan on relationships" not in plan
        assert took / len(keys) < 0.05
        assert await scene.db.fetchval("select count(*) from meetings where organization = 'x'") == 100 * MENTORS
    finally:
        await undone.rollback()
