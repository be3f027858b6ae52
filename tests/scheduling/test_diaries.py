"""Nobody is asked to be in two meetings at once: what is offered, what is taken, and who comes first where two click together."""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import asyncpg
import pytest

from services.scheduling import store
from services.scheduling.domain import meetings
from services.scheduling.domain.diaries import Diary, Engagement, Turn
from services.scheduling.domain.model import Meeting, MeetingStatus, Relationship
from services.scheduling.handlers import HANDLERS
from shared.cloudevents import new_id
from shared.errors import Raced, Rejected
from shared.events import Format, PersonEnrolled
from tests.scheduling.conftest import PAGE, Pair, until
from tests.scheduling.examples import At, agreed, names, person, took, windows

DAY = timedelta(days=1)
HALF = timedelta(minutes=30)


def engaged(starts_at=None, offered=(), minutes=30):
    return Engagement(new_id(), new_id(), minutes, starts_at, tuple(offered))


def clear(found, *engagements):
    """Whether no time of half an hour overlaps what is planned elsewhere."""
    spans = [span for one in engagements for span in (*one.taken, *one.offered)]
    return all(at + HALF <= begins or ends <= at for at in found for begins, ends in spans)


# ---- what is offered


def test_times_offered_are_beside_what_anybody_has_planned_or_is_offered_elsewhere():
    people = [person(), person("America/Sao_Paulo", organization="kestrel")]
    _, known = agreed(people=people)
    (before,) = known.values()
    scheduled, proposed = engaged(before.slots[0], minutes=60), engaged(offered=before.slots[1:])
    _, known = agreed(At(planned={people[0].id: [scheduled], people[1].id: [proposed]}), people=people)
    (meeting,) = known.values()
    assert len(meeting.slots) == 3
    assert clear(meeting.slots, scheduled, proposed)


def test_what_others_are_only_offered_is_offered_too_where_there_is_nothing_else():
    people = [person(availability=windows((1, "10:00", "10:30"))), person("Europe/London")]
    alone = agreed(people=people)[1]
    (before,) = alone.values()
    proposed = engaged(offered=[before.slots[0] + n * 7 * DAY for n in range(8)])
    _, known = agreed(At(planned={people[0].id: [proposed]}), people=people)
    (meeting,) = known.values()
    assert len(meeting.slots) == 3
    assert not clear(meeting.slots, proposed)
    taken = [engaged(slot, minutes=60) for slot in before.slots]
    _, known = agreed(At(planned={people[0].id: taken}), people=people)
    assert all(clear(meeting.slots, *taken) for meeting in known.values())


def test_a_series_makes_way_for_once_and_goes_on_at_its_own_hour():
    relationship, known = agreed()
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    relationship, known = took(meetings.pick(relationship, meeting, mentor, meeting.slots[0], At()), relationship, known)
    first = known[meeting.id]
    held = At(first.ends_at, {mentor: [engaged(first.starts_at + 14 * DAY, minutes=45)]})
    relationship, known = took(meetings.say_met(relationship, first, mentor, 30, held), relationship, known)
    second = known[relationship.meeting_id]
    assert first.starts_at + 14 * DAY not in second.slots
    moment = held.later(hours=1)
    relationship, known = took(meetings.pick(relationship, second, mentor, second.slots[0], moment), relationship, known)
    second = known[second.id]
    assert relationship.rhythm == first.starts_at, "an exception, not another series"
    outcome = meetings.say_met(relationship, second, mentor, 30, At(second.ends_at))
    assert outcome.events[-1].slots[0] == first.starts_at + 28 * DAY


# ---- what is taken


def test_a_time_that_is_taken_meanwhile_cant_be_picked_and_the_others_can():
    relationship, known = agreed()
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    moment = At(planned={mentor: [engaged(meeting.slots[0] - HALF, minutes=45)]})
    with pytest.raises(Rejected) as refused:
        meetings.pick(relationship, meeting, relationship.members[1].person_id, meeting.slots[0], moment)
    assert refused.value.code == "time_taken"
    assert names(meetings.pick(relationship, meeting, mentor, meeting.slots[1], moment)) == ["MeetingScheduled"]
    chosen = meetings.unpicked(relationship, meeting, moment)
    assert chosen.events[0].starts_at == meeting.slots[1]
    next_door = At(planned={mentor: [engaged(meeting.slots[0] - HALF), engaged(meeting.slots[0] + HALF)]})
    assert names(meetings.pick(relationship, meeting, mentor, meeting.slots[0], next_door)) == ["MeetingScheduled"]


@pytest.mark.parametrize("by_timer", [True, False])
def test_where_all_are_taken_new_ones_are_offered(by_timer):
    relationship, known = agreed()
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    taken = [engaged(slot) for slot in meeting.slots]
    moment = At(planned={mentor: taken})
    if by_timer:
        outcome = meetings.unpicked(relationship, meeting, moment)
    else:
        outcome = meetings.pick(relationship, meeting, mentor, meeting.slots[1], moment)
    assert names(outcome) == ["MeetingCancelled", "MeetingProposed"]
    assert clear(outcome.events[1].slots, *taken)
    assert outcome.events[1].number == meeting.number
    assert outcome.result == outcome.events[1].meeting_id


def test_a_meeting_stays_where_it_is_when_the_time_to_move_it_to_is_taken():
    relationship, known = agreed()
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    relationship, known = took(meetings.pick(relationship, meeting, mentor, meeting.slots[0], At()), relationship, known)
    taken = At(planned={mentor: [engaged(meeting.slots[1])]})
    with pytest.raises(Rejected) as refused:
        meetings.pick(relationship, known[meeting.id], mentor, meeting.slots[1], taken)
    assert refused.value.code == "time_taken"


def test_what_the_same_transaction_has_decided_counts_more_than_what_the_diary_said():
    relationship, known = agreed()
    (meeting,) = known.values()
    mentor = relationship.members[0].person_id
    other = replace(meeting, id=new_id(), relationship_id=new_id(), starts_at=None)

    class Same(At):
        def get(self, kind, key):
            return self.meanwhile if kind is Meeting and key == other.id else super().get(kind, key)

    moment = Same(planned={mentor: [Engagement(other.id, other.relationship_id, 30, None, other.slots)]})
    moment.meanwhile = replace(other, status=MeetingStatus.scheduled, starts_at=meeting.slots[0])
    assert meetings.unpicked(relationship, meeting, moment).events[0].starts_at == meeting.slots[1]
    moment.meanwhile = replace(other, status=MeetingStatus.cancelled, starts_at=meeting.slots[0])
    assert meetings.unpicked(relationship, meeting, moment).events[0].starts_at == meeting.slots[0]


def test_no_time_is_taken_of_someone_whose_turn_it_isnt():
    relationship, known = agreed()
    (meeting,) = known.values()

    class Joined(At):
        def get(self, kind, key):
            return None if kind is Turn and key == relationship.members[1].person_id else super().get(kind, key)

    for taking in (
        lambda: meetings.pick(relationship, meeting, relationship.members[0].person_id, meeting.slots[0], Joined()),
        lambda: meetings.unpicked(relationship, meeting, Joined()),
    ):
        with pytest.raises(Raced):
            taking()


def test_whatever_may_propose_or_take_a_time_has_read_the_diaries():
    """A handler that forgets to would offer what is taken."""
    without = {h.do.__name__ for h in HANDLERS if h.kind is Relationship and Diary not in {kind for kind, _ in h.reads}}
    steps = {"unsigned_so_far", "half_time", "renewal_due", "quieter", "unanswered", "apart_without_left"}
    assert without == {"reminder", "follow_ups_due", "check_in_due", "at_risk", "skills_due", "months_over", "caught_up", *steps}


# ---- for real


async def mentor_of(scene, count, form=Format.one_to_one, **policy):
    """Pairs of one mentor with so many mentees, all of the same few hours a week, signed and with times proposed."""
    few = windows((1, "10:00", "12:00"), (2, "10:00", "12:00"))
    mentor, mentees = scene.person("Africa/Lagos"), [scene.person("Africa/Lagos", scene.guest) for _ in range(count)]
    await scene.launch(**policy)
    await scene.send(*(scene.record(PersonEnrolled, p, availability=few) for p in (mentor, *mentees)))
    matches = [scene.match(mentor, mentee, form=form) for mentee in mentees]
    await scene.send(*matches)
    return [Pair(scene, match.relationship_id, mentor, mentee) for match, mentee in zip(matches, mentees, strict=True)]


async def planned_of(scene, person):
    """(starts_at, minutes) of what stands, in order."""
    rows = await scene.db.fetch(
        """select m.starts_at, m.minutes from scheduling.meetings m join scheduling.relationships r on r.id = m.relationship_id
        where r.people @> array[$1::text] and m.status = 'scheduled' order by m.starts_at""",
        str(person),
    )
    return [(row["starts_at"], row["starts_at"] + timedelta(minutes=row["minutes"])) for row in rows]


async def test_two_who_click_together_never_have_their_mentor_at_once(scene):
    """Offered the same hours before either was taken, as by an older version; then both mentees click the same one at one moment."""
    pairs = await mentor_of(scene, 6)
    proposed = []
    for pair in pairs:
        await scene.log.wait(pair.id, "AgreementProposed")
        proposed.append(await pair.signed())
    offered = [slot for meeting in proposed for slot in meeting.slots]
    assert len(set(offered[:6])) == 6, "the second is offered what the first isn't, while there is enough"
    same = proposed[0].slots
    await scene.db.execute(
        "update scheduling.meetings set slots = $1 where id = any($2)",
        "[" + ", ".join(f'"{slot.isoformat()}"' for slot in same) + "]",
        [meeting.meeting_id for meeting in proposed],
    )

    async def click(pair, meeting, slot):
        url = scene.url("pick", meeting.meeting_id, pair.mentee, 0)
        return await scene.http.post(url, data={"slot": slot.isoformat()}, headers=PAGE)

    answers = []
    for slot in same:
        answers += await asyncio.gather(*(click(p, m, slot) for p, m in zip(pairs, proposed, strict=True)))
    assert Counter(a.status_code for a in answers)[409] >= 2
    refused = next(a.text for a in answers if a.status_code == 409)
    assert "Someone can’t make that time any more" in refused
    assert len(re.findall(r'name="slot"', refused)) >= 1, "with the times that are left"
    await until_settled(scene)
    stands = await planned_of(scene, pairs[0].mentor)
    assert [start for start, _ in stands] == sorted(same), "each of the three went to one"
    for pair in pairs:
        told = scene.log.names(pair.id)
        assert told.count("MeetingScheduled") <= 1
        if "MeetingScheduled" not in told:  # the last one to ask for a time found none left
            assert told[-2:] == ["MeetingCancelled", "MeetingProposed"] or told[-1] == "MeetingProposed"


async def until_settled(scene):
    async def settled():
        return not await scene.db.fetchval("select count(*) from scheduling.outbox")

    assert await until(settled)
    await asyncio.sleep(0.2)


async def test_where_none_is_left_the_click_leads_to_new_times(scene):
    first, second = await mentor_of(scene, 2)
    for pair in (first, second):
        await scene.log.wait(pair.id, "AgreementProposed")
    offered, other = await first.signed(), await second.signed()
    await scene.db.execute(
        "update scheduling.meetings set slots = jsonb_build_array($1::text) where id = any($2)",
        offered.slots[0].isoformat(),
        [offered.meeting_id, other.meeting_id],
    )
    await scene.do("pick", offered.meeting_id, first.mentor, 0, slot=offered.slots[0].isoformat())
    page = await scene.see("pick", other.meeting_id, second.mentee, 0)
    assert "None of these times suits everyone any more" in page.text
    page = await scene.do("pick", other.meeting_id, second.mentee, 0, slot=offered.slots[0].isoformat())
    assert page.status_code == 200
    assert "When do you meet?" in page.text
    renewed = await scene.log.wait(second.id, "MeetingProposed", 2)
    assert str(page.url).split("/pick/")[1].startswith(str(renewed.meeting_id))
    assert offered.slots[0] not in renewed.slots
    page = await scene.do("pick", renewed.meeting_id, second.mentor, 0, slot=renewed.slots[0].isoformat())
    assert "You meet on" in page.text


async def test_times_that_nobody_picks_in_time_never_meet_either(scene):
    pairs = await mentor_of(scene, 5, Format.conversation)
    proposed = [await scene.log.wait(pair.id, "MeetingProposed") for pair in pairs]
    await scene.db.execute(
        "update scheduling.meetings set slots = (select slots from scheduling.meetings where id = $1) where id = any($2)",
        proposed[0].meeting_id,
        [meeting.meeting_id for meeting in proposed],
    )
    await scene.clock_past(scene.now + 3 * DAY)  # all their timers are due at once, in one transaction

    async def decided():
        return all(
            "MeetingScheduled" in scene.log.names(p.id) or scene.log.names(p.id).count("MeetingProposed") > 1 for p in pairs
        )

    assert await until(decided)
    stands = await planned_of(scene, pairs[0].mentor)
    assert stands
    assert all(end <= start for (_, end), (start, _) in pairwise(stands))


async def test_diaries_are_read_by_index_however_many_relationships_there_are(scene):
    """20,000 of strangers, each with a meeting: the plans touch those of the people asked for alone."""
    db = await asyncpg.connect(scene.stage.superuser)
    try:
        await db.execute("set search_path = scheduling")
        await db.execute("begin")
        await db.execute(
            """
            with made as (
              insert into relationships (id, organization, program, format, term, members, people, audience, time_zone, terms, rules,
                rules_revision, created_at, meeting_id)
              select gen_random_uuid(), 'o', 'o.p', 'one_to_one', 'long', '[]', array[gen_random_uuid()::text, gen_random_uuid()::text],
                '{}', 'UTC', '{}', '{}', 1, '2026-01-01', gen_random_uuid() from generate_series(1, 20000) returning id, meeting_id
            )
            insert into meetings (id, relationship_id, organization, number, status, minutes, time_zone, proposed_at)
            select meeting_id, id, 'o', 1, 'scheduled', 30, 'UTC', '2026-01-01' from made
            """
        )
        await db.execute(
            "insert into people (id, organization, status, time_zone) "
            "select unnest(people)::uuid, 'o', 'active', 'UTC' from relationships on conflict do nothing"
        )
        await db.execute("analyze relationships, meetings, people")
        one = [await db.fetchval("select id from relationships limit 1")]
        for sql in (store.DIARIES.load, store.TURNS.load):
            plan = "\n".join(row[0] for row in await db.fetch(f"explain {sql}", one))
            assert "Seq Scan" not in plan, plan
        await db.execute("set jit = off")
        (plan,) = await db.fetchrow(f"explain (analyze, format json) {store.DIARIES.load}", one)
        took_ms = float(re.search(r'"Execution Time": ([\d.]+)', plan)[1])
        assert took_ms < 10, f"{took_ms} ms for one relationship"
    finally:
        await db.close()
