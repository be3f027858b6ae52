"""The way of a pair through Kafka, HTTP and PostgreSQL, on a clock that tests move."""

import re
from datetime import timedelta

import pytest

from shared.cloudevents import new_id
from shared.events import (
    EndReason,
    PersonEnrolled,
    PersonErased,
    PersonStatus,
    PersonWithdrawn,
    ProgramChanged,
    ProgramClosed,
    ProgramLaunched,
)
from tests.scheduling.conftest import PAGE, Pair, until

DAY = timedelta(days=1)


async def test_from_match_to_the_next_meeting(scene):
    pair = await scene.pair()
    drafted = await scene.log.wait(pair.id, "AgreementProposed")
    assert drafted.version == 1
    assert {m.person_id for m in drafted.members} == {pair.mentor, pair.mentee}

    page = await scene.see("sign", pair.id, pair.mentor, 1)
    assert "We meet every 2 weeks, for 30 minutes." in page.text
    assert "Your mentee: not yet" in page.text
    assert "I agree" in page.text
    page = await scene.do("sign", pair.id, pair.mentor, 1)
    assert "You: signed" in page.text
    assert "I agree" not in page.text
    await scene.do("sign", pair.id, pair.mentor, 1)  # again changes nothing
    await scene.do("sign", pair.id, pair.mentee, 1)

    proposed = await scene.log.wait(pair.id, "MeetingProposed")
    page = await scene.see("pick", proposed.meeting_id, pair.mentee, 0)
    assert "São Paulo time, UTC−3" in page.text
    assert len(re.findall(r"for your mentor \(Lagos time, UTC\+1\)", page.text)) == 3
    first, second, third = (slot.isoformat() for slot in proposed.slots)
    page = await scene.do("pick", proposed.meeting_id, pair.mentee, 0, slot=second)
    assert "You meet on" in page.text
    scheduled = await scene.log.wait(pair.id, "MeetingScheduled")
    assert (scheduled.sequence, scheduled.starts_at) == (1, proposed.slots[1])

    await scene.do("pick", proposed.meeting_id, pair.mentor, 0, slot=first)  # the other's page was from before: nothing
    await scene.do("pick", proposed.meeting_id, pair.mentor, 1, slot=third)
    moved = await scene.log.wait(pair.id, "MeetingRescheduled")
    assert (moved.sequence, moved.was_at, moved.starts_at) == (2, proposed.slots[1], proposed.slots[2])
    assert moved.rescheduled_by == pair.mentor

    await scene.clock_past(moved.starts_at - DAY)
    await scene.log.wait(pair.id, "ReminderDue")
    page = await scene.see("met", proposed.meeting_id, pair.mentor, 0)
    assert "still to come" in page.text
    await scene.do("met", proposed.meeting_id, pair.mentor, 0, met="yes")  # not yet: nothing

    await scene.clock_past(moved.starts_at + timedelta(minutes=31))
    page = await scene.do("met", proposed.meeting_id, pair.mentee, 0, met="yes", minutes="45")
    assert "45 minutes" in page.text
    page = await scene.do("met", proposed.meeting_id, pair.mentor, 0, met="no")
    assert "45 minutes" in page.text, "the second sees what the first said"
    held = await scene.log.wait(pair.id, "MeetingHeld")
    assert (held.minutes, held.said_by, held.revision) == (45, pair.mentee, 1)
    following = await scene.log.wait(pair.id, "MeetingProposed", 2)
    assert following.slots[0] - moved.starts_at == 14 * DAY
    assert scene.log.names(pair.id) == [
        "AgreementProposed",
        "AgreementSigned",
        "AgreementSigned",
        "MeetingProposed",
        "MeetingScheduled",
        "MeetingRescheduled",
        "ReminderDue",
        "MeetingHeld",
        "MilestoneReached",
        "MeetingProposed",
    ]
    for written in scene.log.of(pair.id):
        assert written.headers["ce_organization"] == scene.owner
        assert written.headers["ce_program"] == scene.program
        assert set(written.event.audience) == {scene.owner, scene.guest}


async def test_a_match_waits_for_its_people_and_its_program(scene):
    mentor, mentee = scene.person("Europe/London"), scene.person("Asia/Kolkata")
    match = scene.match(mentor, mentee)
    await scene.send(match)
    await scene.send(scene.record(PersonEnrolled, mentor))

    async def waiting():
        return await scene.db.fetchval("select count(*) from scheduling.held_keys where key = $1", str(match.relationship_id))

    assert await until(waiting) == 1
    await scene.launch()
    await scene.send(scene.record(PersonEnrolled, mentee))
    await scene.log.wait(match.relationship_id, "AgreementProposed")


async def test_nobody_picks_nobody_says_and_then_someone_does(scene):
    pair = await scene.pair()
    proposed = await pair.signed()
    await scene.clock_past(scene.now + 3 * DAY)
    scheduled = await scene.log.wait(pair.id, "MeetingScheduled")
    assert scheduled.starts_at in proposed.slots
    await scene.clock_past(scheduled.starts_at + timedelta(minutes=30) + DAY)
    missed = await scene.log.wait(pair.id, "MeetingMissed")
    assert (missed.misses_in_a_row, missed.revision) == (1, 1)

    page = await scene.do("met", scheduled.meeting_id, pair.mentee, 0, met="yes")
    assert "counted as missed" in page.text, "the old link shows how things stand"
    page = await scene.do("met", scheduled.meeting_id, pair.mentee, 1, met="yes", minutes="20")
    assert "You met" in page.text
    held = await scene.log.wait(pair.id, "MeetingHeld")
    assert (held.revision, held.corrects_missed) == (2, True)
    names = scene.log.names(pair.id)
    assert names.count("MeetingProposed") == 2
    row = await scene.db.fetchrow("select held, missed, misses from scheduling.relationships where id = $1", pair.id)
    assert tuple(row) == (1, 0, "[]")


async def test_reports_are_answered_each(scene):
    pair = await scene.pair()
    scheduled = await pair.scheduled()
    await scene.clock_past(scheduled.starts_at + timedelta(hours=2))
    at = scheduled.starts_at + timedelta(hours=1)
    first, second = await scene.send(pair.report(at), pair.report(at))
    await scene.log.wait(pair.id, "MeetingHeld", 2)
    held = [w for w in scene.log.of(pair.id) if w.name == "MeetingHeld"]
    assert [w.headers["ce_causationid"] for w in held] == [str(first), str(second)]
    assert held[0].event == held[1].event
    assert (held[0].event.meeting_id, held[0].event.minutes) == (scheduled.meeting_id, 40)
    assert scene.log.names(pair.id).count("MilestoneReached") == 1

    wrong = pair.report(at, organization=scene.stage.link_secret[:12], report_id="wrong")
    await scene.send(wrong, organization=wrong.organization)
    refused = await scene.log.wait(wrong.organization, "ReportRejected")
    assert (refused.reason, refused.field, refused.report_id) == ("not_yours", "people", "wrong")


async def test_a_report_that_came_before_its_pair_waits(scene):
    mentor, mentee = scene.person("Europe/London"), scene.person("Asia/Kolkata")
    match = scene.match(mentor, mentee)
    pair = Pair(scene, match.relationship_id, mentor, mentee)
    await scene.send(pair.report(scene.now - DAY))
    await scene.launch()
    await scene.send(*(scene.record(PersonEnrolled, p) for p in (mentor, mentee)))
    await scene.send(match)
    await scene.log.wait(pair.id, "MeetingHeld")
    assert scene.log.names(pair.id) == ["AgreementProposed", "MeetingHeld", "MilestoneReached"]


async def everything(pair):
    """All of a pair that decisions can change, as text, with the transaction that wrote it."""
    rows = "select t::text || t.xmin::text from scheduling"
    return [
        await pair.scene.db.fetch(f"{rows}.{table} t where {field}::text = $1 order by 1", str(pair.id))
        for table, field in (
            ("relationships", "id"),
            ("meetings", "relationship_id"),
            ("goals", "relationship_id"),
            ("entries", "relationship_id"),
            ("timers", "owner"),
            ("outbox", "key"),
            ("check_ins", "relationship_id"),
            ("feedback", "relationship_id"),
        )
    ]


async def test_looking_changes_nothing(scene):
    pair = await scene.pair()
    scheduled = await pair.scheduled()
    await scene.clock_past(scheduled.starts_at + timedelta(hours=1))

    async def quiet():
        kinds = await scene.timers(pair.id)
        return kinds == {"missed", "end", "half_time", "renewal", "quiet", "check_in", "risk"} and not await scene.db.fetchval(
            "select count(*) from scheduling.outbox"
        )

    assert await until(quiet)
    before = await everything(pair)
    links = [
        *((action, pair.id, 1) for action in ("sign", "goals", "end")),
        ("pick", scheduled.meeting_id, 1),
        ("met", scheduled.meeting_id, 0),
    ]
    for action, thing, version in links:
        for person in (pair.mentor, pair.mentee):
            url = scene.url(action, thing, person, version)
            for method in ("GET", "HEAD") * 2:
                answer = await scene.http.request(method, url, headers=PAGE)
                assert answer.status_code == 200, (action, method, answer.text)
                assert answer.headers["cache-control"] == "no-store"
    assert await everything(pair) == before


async def test_links_that_cant_be_followed_say_so(scene):
    pair = await scene.pair()
    proposed = await pair.signed()
    stranger = new_id()
    for action, thing, version in (("sign", pair.id, 1), ("pick", proposed.meeting_id, 0), ("end", pair.id, 1)):
        for answer in (await scene.see(action, thing, stranger, version), await scene.do(action, thing, stranger, version)):
            if action != "sign" and answer.status_code == 422:
                continue  # the form was empty; below it isn't
            assert answer.status_code == 403
            assert "Nothing was changed" in answer.text
    ended = await scene.do("end", pair.id, stranger, 1, reason="other")
    assert ended.status_code == 403
    assert (await scene.see("sign", pair.id, pair.mentor, 1, days=-1)).status_code == 410
    altered = scene.url("sign", pair.id, pair.mentor, 1).replace("v=1", "v=2")
    assert (await scene.http.post(altered, headers=PAGE)).status_code == 403
    assert (await scene.see("sign", new_id(), pair.mentor, 1)).status_code == 404
    assert (await scene.see("met", new_id(), pair.mentor, 0)).status_code == 404
    stale = await scene.do("end", pair.id, pair.mentor, 0, reason="other")
    assert stale.status_code == 200
    assert "newest mail" in stale.text
    assert scene.log.names(pair.id)[-1] == "MeetingProposed"
    for slot in ("", "tomorrow", "2026-01-01T00:00:00"):
        answer = await scene.do("pick", proposed.meeting_id, pair.mentor, 0, slot=slot)
        assert answer.status_code == 422
        assert "Please choose one of the times" in answer.text
    elsewhere = await scene.do("pick", proposed.meeting_id, pair.mentor, 0, slot="2030-01-01T00:00:00Z")
    assert elsewhere.status_code == 409


async def test_goals_are_told_without_their_words(scene):
    pair = await scene.pair()
    await pair.signed()
    page = await scene.do("goals", pair.id, pair.mentee, 1, kind="technical", text="Learn <b>sailing</b>", due_on="2040-01-02")
    assert "Learn &lt;b&gt;sailing&lt;/b&gt;" in page.text
    assert "2 January 2040" in page.text
    was_set = await scene.log.wait(pair.id, "GoalSet")
    reached = await scene.log.wait(pair.id, "MilestoneReached")
    assert (was_set.person_id, str(was_set.due_on)) == (pair.mentee, "2040-01-02")
    assert (reached.milestone, reached.goal_id) == ("goals_set", was_set.goal_id)
    assert all("sailing" not in w.body for w in scene.log.of(pair.id))
    page = await scene.see("goals", pair.id, pair.mentor, 1)
    assert "sailing" in page.text
    assert "Set this goal" not in page.text
    assert (await scene.do("goals", pair.id, pair.mentor, 1, kind="technical", text="x")).status_code == 403
    for form in ({"text": "x"}, {"kind": "technical"}, {"kind": "technical", "text": "x", "due_on": "soon"}):
        assert (await scene.do("goals", pair.id, pair.mentee, 1, **form)).status_code == 422

    await scene.send(PersonErased(person_id=pair.mentee, revision=9))
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side) == (EndReason.person_erased, "mentee")
    row = await scene.db.fetchrow("select text, due_on from scheduling.goals where relationship_id = $1", pair.id)
    assert tuple(row) == ("", None)
    row = await scene.db.fetchrow("select erased, time_zone, availability from scheduling.people where id = $1", pair.mentee)
    assert tuple(row) == (True, "UTC", "[]")
    late = scene.record(PersonEnrolled, pair.mentee, 99)
    marker = scene.person("UTC")
    await scene.send(late, scene.record(PersonEnrolled, marker))

    async def read_on():
        return await scene.db.fetchval("select count(*) from scheduling.people where id = $1", marker)

    assert await until(read_on)
    assert await scene.db.fetchval("select erased from scheduling.people where id = $1", pair.mentee)


@pytest.mark.parametrize(
    ("how", "reason", "side"),
    [
        ("link", "no_time", "mentor"),
        ("withdrawn", "person_withdrawn", "mentor"),
        ("closed", "program_closed", "coordinator"),
        ("months", "completed", "platform"),
    ],
)
async def test_every_end_clears_the_timers(scene, how, reason, side):
    pair = await scene.pair(agreement={"months": 1, "every_weeks": 3})
    scheduled = await pair.scheduled()
    if how == "link":
        page = await scene.do("end", pair.id, pair.mentor, 1, reason="no_time", rematch="yes")
        assert "This has ended" in page.text
    elif how == "withdrawn":
        gone = scene.record(PersonWithdrawn, pair.mentor, 2, program=scene.program, enrolments=(), status=PersonStatus.withdrawn)
        await scene.send(gone, organization=scene.guest)
    elif how == "closed":
        await scene.send(ProgramClosed(program=scene.program))
    else:
        await scene.clock_past(scheduled.starts_at + timedelta(minutes=30))
        await scene.do("met", scheduled.meeting_id, pair.mentor, 0, met="yes")
        await scene.clock_past(scene.now + 32 * DAY)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side) == (reason, side)
    assert await scene.timers(pair.id) == set()
    if how != "months":
        assert scene.log.names(pair.id)[-2:] == ["MeetingCancelled", "PairEnded"]
    wrote = {w.headers["ce_organization"] for w in scene.log.of(pair.id)}
    assert wrote == {scene.owner}, "whoever's record caused it"
    if how == "link":
        assert ended.rematch_first == (pair.mentee, pair.mentor)
        page = await scene.see("pick", scheduled.meeting_id, pair.mentee, 1)
        assert "This has ended" in page.text


async def test_a_pair_whose_program_closed_or_whose_people_left_meanwhile_ends_at_once(scene):
    pair = await scene.pair()
    await scene.send(scene.record(PersonWithdrawn, pair.mentee, 2, program=scene.program, enrolments=()))
    await scene.log.wait(pair.id, "PairEnded")
    again = scene.match(pair.mentor, pair.mentee)
    await scene.send(again)
    ended = await scene.log.wait(again.relationship_id, "PairEnded")
    assert (ended.reason, ended.rematch_first) == ("person_withdrawn", ())
    await scene.send(ProgramClosed(program=scene.program))
    third, other = scene.person("UTC"), scene.person("UTC")
    await scene.send(*(scene.record(PersonEnrolled, p) for p in (third, other)))

    async def closed():
        return await scene.db.fetchval("select closed_at from scheduling.programs where id = $1", scene.program)

    assert await until(closed)
    late = scene.match(third, other)
    await scene.send(late)
    assert (await scene.log.wait(late.relationship_id, "PairEnded")).reason == "program_closed"


async def test_a_changed_policy_reaches_open_relationships(scene):
    pair = await scene.pair(grace_hours=24)
    change = {"program": scene.program, "organization": scene.owner, "name": "Crossing 2", "revision": 2}
    await scene.send(ProgramChanged(policy={"grace_hours": 72}, **change))

    async def known():
        rules = await scene.db.fetchval("select rules from scheduling.relationships where id = $1", pair.id)
        return '"grace_hours": 72' in rules

    assert await until(known)
    await scene.send(ProgramLaunched(policy={}, **(change | {"revision": 1})))  # late, and older
    scheduled = await pair.scheduled()
    await scene.clock_past(scheduled.starts_at + 2 * DAY)
    page = await scene.see("met", scheduled.meeting_id, pair.mentor, 0)
    assert "Crossing 2" in page.text
    assert "Yes, we met" in page.text


async def test_partners_see_what_names_their_people(scene):
    pair = await scene.pair()
    await pair.scheduled()
    own = await scene.key(scene.owner, "read")
    guest = await scene.key(scene.guest, "coordinate")
    stranger = await scene.key(f"{scene.owner}-x", "read")
    sender = await scene.key(scene.owner, "send")
    one, several = f"/v1/relationships/{pair.id}", f"/v1/programs/{scene.program}/relationships"
    for headers in (own, guest):
        seen = (await scene.http.get(one, headers=headers)).json()
        assert {m["person_id"] for m in seen["members"]} == {str(pair.mentor), str(pair.mentee)}
        assert [m["status"] for m in seen["meetings"]] == ["scheduled"]
        listed = (await scene.http.get(several, headers=headers)).json()
        assert [r["relationship_id"] for r in listed["relationships"]] == [str(pair.id)]
        assert listed["next"] is None
    assert (await scene.http.get(one, headers=stranger)).status_code == 404
    assert (await scene.http.get(several, headers=stranger)).json()["relationships"] == []
    assert (await scene.http.get(one, headers=sender)).status_code == 403
    assert (await scene.http.get(one)).status_code == 401
    page = (await scene.http.get(several, params={"limit": 1, "state": "open"}, headers=own)).json()
    assert page["next"] == str(pair.id)
    assert (await scene.http.get(several, params={"after": page["next"]}, headers=own)).json()["relationships"] == []
