"""A group through a poll, its meetings, who comes and goes, and a circle whose members lead in turn: by clicks and reports, on real Kafka."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from services.scheduling import store
from services.scheduling.domain import recognition
from shared.cloudevents import new_id
from shared.events import (
    Absent,
    EndReason,
    Format,
    GroupCreated,
    LeavingReason,
    MeetingReported,
    Member,
    MemberJoined,
    MemberLeft,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    PersonWithdrawn,
    Role,
)
from tests.producing import send
from tests.scheduling.conftest import PAGE, Scene, until
from tests.scheduling.examples import week

HOURS = week("09:00", "12:00")
DOUBT = """
insert into scheduling.check_ins (id, relationship_id, organization, program, person_id, kind, number, stage, asked_at, due_at, answered_at,
  answers, fit, tags, differs, told, revision)
select gen_random_uuid(), $1, $2, $3, who, 'fit', 1, null, $5::timestamptz, $5::timestamptz, $5::timestamptz, '[]', 'not_a_fit', '{}', false, '{}', 1
from unnest($4::uuid[]) as who
"""


@dataclass
class Group:
    """Those who meet, by what they do on pages."""

    scene: Scene
    id: UUID
    people: list[UUID]

    async def see(self, action: str, who: int, thing: UUID | None = None, version: int = 1) -> Any:
        return await self.scene.see(action, thing or self.id, self.people[who], version)

    async def do(self, action: str, who: int, thing: UUID | None = None, version: int = 1, **form: Any) -> Any:
        return await self.scene.do(action, thing or self.id, self.people[who], version, **form)

    async def came(self, meeting: UUID, who: int, came: list[int], revision: int = 0) -> Any:
        ticked = [str(self.people[n]) for n in came]
        return await self.do("met", who, meeting, revision, met="yes", minutes="50", came=ticked, revision=str(revision))

    async def wait(self, name: str, count: int = 1) -> Any:
        return await self.scene.log.wait(self.id, name, count)

    def names(self) -> list[str]:
        return self.scene.log.names(self.id)

    async def held(self, count: int, meeting: Any, came: list[int]) -> Any:
        """After a meeting someone says who came; the fact that they met."""
        await self.scene.clock_past(meeting.starts_at + timedelta(minutes=meeting.minutes))
        await self.came(meeting.meeting_id, 0, came)
        return await self.wait("MeetingHeld", count)

    async def following(self, count: int) -> Any:
        """Whoever leads sets the next meeting's first time."""
        proposed = await self.wait("MeetingProposed", count)
        host = UUID(str(await self.scene.db.fetchval("select host from scheduling.meetings where id = $1", proposed.meeting_id)))
        await self.do("pick", self.people.index(host), proposed.meeting_id, 0, slot=proposed.slots[0].isoformat())
        return await self.wait("MeetingScheduled", count)

    async def nothing_more(self, do: Callable[[], Awaitable[Any]]) -> None:
        """What is done changes nothing and tells nothing."""
        before = (self.names(), await self.rows())
        await do()
        await asyncio.sleep(0)
        assert (self.names(), await self.rows()) == before

    async def rows(self) -> Any:
        row = await self.scene.db.fetchrow("select r.* from scheduling.relationships r where id = $1", self.id)
        known = await self.scene.db.fetch("select * from scheduling.meetings where relationship_id = $1 order by id", self.id)
        return [tuple(one) for one in (row, *known)]


async def formed(
    scene: Scene, roles: tuple[Role, ...], form: Format, hours: dict[int, Any] | None = None, **policy: Any
) -> Group:
    """They are matched and all have signed."""
    everyone = [scene.person("Africa/Lagos") for _ in roles]
    await scene.launch(agreement={"every_weeks": 1}, **policy)
    said = [{"availability": (hours or {}).get(n, HOURS), "role": role} for n, role in enumerate(roles)]
    await scene.send(*(scene.record(PersonEnrolled, p, **more) for p, more in zip(everyone, said, strict=True)))
    members = tuple(Member(person_id=p, role=role, organization=scene.owner) for p, role in zip(everyone, roles, strict=True))
    created = GroupCreated(relationship_id=new_id(), program=scene.program, members=members, score=1, format=form)
    await scene.send(created)
    group = Group(scene, created.relationship_id, everyone)
    await group.wait("AgreementProposed")
    for n in range(len(roles)):
        assert (await group.do("sign", n)).status_code == 200
    return group


ONE_AND_FOUR = (Role.mentor, *[Role.mentee] * 4)


async def test_a_group_polls_meets_with_a_quorum_or_without_and_puts_right_who_came(scene):
    group = await formed(scene, ONE_AND_FOUR, Format.group, {4: week("18:00", "20:00")})
    proposed = await group.wait("MeetingProposed")
    one, two, _ = proposed.slots
    page = await group.see("pick", 1, proposed.meeting_id, 0)
    assert "When can you?" in page.text
    assert "doesn’t suit Nobody Knows" in page.text
    assert "Set the time now" not in page.text
    assert "Set the time now" in (await group.see("pick", 0, proposed.meeting_id, 0)).text
    for n, can in enumerate(([two], [two], [one, two], [one])):
        page = await group.do("pick", n, proposed.meeting_id, 0, act="vote", can=[at.isoformat() for at in can])
        assert "It is noted." in page.text
        assert "MeetingScheduled" not in group.names()
    said = {"act": "vote", "can": [one.isoformat()]}
    await group.nothing_more(lambda: group.do("pick", 3, proposed.meeting_id, 0, **said))
    assert (await group.do("pick", 4, proposed.meeting_id, 0, act="vote", can=["nonsense"])).status_code == 422
    await group.do("pick", 4, proposed.meeting_id, 0, act="vote")
    meeting = await group.wait("MeetingScheduled")
    assert (meeting.starts_at, meeting.host) == (two, group.people[0])
    await group.nothing_more(lambda: group.do("pick", 1, meeting.meeting_id, 1, slot=one.isoformat()))
    await group.nothing_more(lambda: group.do("pick", 1, meeting.meeting_id, 1, act="call_off", reason="ill"))
    page = await group.do("pick", 1, meeting.meeting_id, 1, act="stay_away")
    assert "can’t come" in page.text
    assert "As far as we know" in (await group.see("group", 0)).text
    older = "update scheduling.meetings set votes = (select jsonb_agg(vote - 'cannot') from jsonb_array_elements(votes) vote) where id = $1"
    await scene.db.execute(older, meeting.meeting_id)
    assert "can’t come" in (await group.see("group", 0)).text, "a release that doesn't keep it saved the votes"
    await group.do("pick", 1, meeting.meeting_id, 1, act="come")

    await scene.clock_past(meeting.starts_at - timedelta(hours=24))
    assert (await group.wait("ReminderDue")).host == group.people[0]
    await scene.clock_past(meeting.starts_at + timedelta(minutes=meeting.minutes))
    assert (await group.do("met", 1, meeting.meeting_id, 0, met="yes", revision="0")).status_code == 422
    page = await group.came(meeting.meeting_id, 2, [0, 2])
    assert "fewer than 2 came" in page.text
    missed = await group.wait("MeetingMissed")
    assert (missed.absent, missed.misses_in_a_row) == (Absent.too_few, 1)
    await group.do("met", 3, meeting.meeting_id, 0, met="there")
    held = await group.wait("MeetingHeld")
    assert (held.corrects_missed, held.expected, held.said_by) == (True, 5, group.people[2])
    assert set(held.attended) == {group.people[n] for n in (0, 2, 3)}
    await group.nothing_more(lambda: group.came(meeting.meeting_id, 2, [0, 2]))
    await group.do("met", 3, meeting.meeting_id, 2, met="not_there")
    assert (await group.wait("MeetingHeld", 2)).attended == tuple(group.people[n] for n in (0, 2))
    await group.do(
        "met", 0, meeting.meeting_id, 3, met="yes", minutes="60", revision="3", came=[str(group.people[n]) for n in (0, 1, 2)]
    )
    last = await group.wait("MeetingHeld", 3)
    assert (last.attended, last.minutes, last.revision) == (tuple(group.people[:3]), 60, 4)
    page = await group.see("group", 1)
    assert page.text.count("Came to 1 of 1 meeting") == 3
    assert page.text.count("Came to 0 of 1 meeting") == 2
    assert "MeetingProposed" in group.names()[-6:]


async def test_partners_report_who_came_late_twice_and_too_few(scene):
    group = await formed(scene, ONE_AND_FOUR, Format.group)
    meeting = await group.following(1)
    await scene.clock_past(meeting.starts_at + timedelta(minutes=meeting.minutes))

    def report(n: str, came: list[int], **more: Any) -> MeetingReported:
        said = {
            "relationship_id": group.id, "program": scene.program, "organization": scene.owner, "report_id": n,
            "report_source": "/calendar", "held_at": meeting.starts_at, "minutes": 45, "attended": [group.people[i] for i in came],
        }  # fmt: skip
        return MeetingReported(**(said | more))

    await scene.send(report("r1", [0, 1]))
    missed = await group.wait("MeetingMissed")
    assert missed.absent is Absent.too_few
    (cause,) = await scene.send(report("r2", [0, 1]))
    again = await group.wait("MeetingMissed", 2)
    assert again == missed
    answers = [w for w in scene.log.of(group.id) if w.name == "MeetingMissed"]
    assert str(cause) in answers[1].headers.values(), "the report is named as its cause"
    await scene.send(report("r3", [1, 2, 3]))
    held = await group.wait("MeetingHeld")
    assert (held.corrects_missed, held.said_by, held.expected, held.minutes) == (True, None, 5, 45)
    await scene.send(report("r4", [2, 3], held_at=meeting.starts_at - timedelta(days=3)))
    await scene.send(report("r5", [1], held_at=meeting.starts_at - timedelta(days=3, hours=20)))
    assert (await group.wait("MeetingHeld", 2)).number == 3
    refused = await scene.log.wait(scene.owner, "ReportRejected")
    assert (refused.report_id, refused.reason, refused.field) == ("r5", "too_few", "people")


NEXT_HOST = "select host from scheduling.meetings where relationship_id = $1 and status = 'proposed'"
BACK = "select members->2->'paused' = 'false' from scheduling.relationships where id = $1"


async def test_members_of_a_circle_lead_in_turn_over_six_meetings_with_one_on_leave(scene):
    group = await formed(scene, (Role.peer,) * 5, Format.circle)
    led = []
    for n in range(1, 7):
        if n == 3:  # whose turn it would be has a break for this one
            paused = scene.record(
                PersonPaused, group.people[2], 2, status=PersonStatus.paused, availability=HOURS, role=Role.peer
            )
            await scene.send(paused)
            assert await until(partial(_is, scene, NEXT_HOST, group.id, group.people[3]))
        meeting = await group.following(n)
        led.append(group.people.index(meeting.host))
        if n == 2:  # handed on in one tap, and back
            page = await group.see("group", 1)
            assert "Hand the lead on to" in page.text
            await group.do("group", 1, act="hand_on")
            assert (await group.wait("HostNamed")).host == group.people[2]
            await group.nothing_more(lambda: group.do("group", 1, act="hand_on"))
            await group.do("group", 2, act="hand_on", to=str(group.people[1]))
            assert (await group.wait("HostNamed", 2)).handed_on_by == group.people[2]
        came = [0, 1, 3, 4] if n == 3 else [0, 1, 2, 3]
        assert (await group.held(n, meeting, came)).expected == (4 if n == 3 else 5)
        if n == 3:
            await scene.send(scene.record(PersonResumed, group.people[2], 3, availability=HOURS, role=Role.peer))
            assert await until(partial(_is, scene, BACK, group.id, True))
    assert led == [0, 1, 3, 4, 2, 0], "who was back when the fourth was planned leads the next"
    assert "MemberAsked" in group.names(), "the fifth wasn't at three in a row"
    page = await group.see("group", 4)
    assert "Are you still with us?" in page.text
    asked = await group.wait("MemberAsked")
    assert asked.person_id == group.people[4]
    await scene.clock_past(asked.answer_by)
    went = await group.wait("MemberWentOut")
    assert (went.person_id, went.reason, went.unanswered) == (group.people[4], EndReason.silent, True)
    assert "PairEnded" not in group.names()


async def _is(scene: Scene, sql: str, key: UUID, value: Any) -> bool:
    return bool(await scene.db.fetchval(sql, key) == value)


async def test_members_join_and_leave_in_mid_course_and_what_comes_twice_changes_nothing_twice(scene):
    group = await formed(scene, ONE_AND_FOUR, Format.group)
    meeting = await group.following(1)
    newcomer = scene.person("Africa/Lagos", scene.guest)
    await scene.send(scene.record(PersonEnrolled, newcomer, availability=HOURS))
    joins = MemberJoined(
        relationship_id=group.id,
        program=scene.program,
        member=Member(person_id=newcomer, role=Role.mentee, organization=scene.guest),
    )
    await scene.send(joins, joins)
    there = "select $2 = any(people) from scheduling.relationships where id = $1"
    assert await until(lambda: scene.db.fetchval(there, group.id, str(newcomer)))
    group.people.append(newcomer)
    await group.do("sign", 5)
    signed = await group.wait("AgreementSigned", 6)
    assert (signed.person_id, signed.version, signed.complete) == (newcomer, 1, True)
    assert group.names().count("MeetingProposed") == 1

    for wrong in ({"act": "leave"}, {"act": "leave", "reason": "x"}, {"act": "x"}):
        assert (await group.do("group", 2, **wrong)).status_code == 422
    page = await group.do("group", 2, act="leave", reason="moved_on", rematch="yes")
    assert (page.status_code, "You have left this group" in page.text) == (200, True)
    went = await group.wait("MemberWentOut")
    await scene.db.execute(DOUBT, group.id, scene.owner, scene.program, [group.people[2], group.people[3]], scene.now)
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        doubts = await store.doubtful_of(scene.db, scene.program, 9)
    assert [check_in.person_id for check_in, _ in doubts] == [group.people[3]], "who has left is asked nothing more"
    assert (went.person_id, went.rematch_first, went.meeting_id) == (group.people[2], True, meeting.meeting_id)
    assert (await group.do("group", 2, act="leave", reason="moved_on")).status_code == 403
    left = MemberLeft(
        relationship_id=group.id,
        program=scene.program,
        member=Member(person_id=group.people[2], role=Role.mentee, organization=scene.owner),
        reason=LeavingReason.own_wish,
    )
    await scene.db.execute(
        "update scheduling.relationships set apart = $2 where id = $1",
        group.id,
        json.dumps([{"kind": "said_so", "since": scene.now.isoformat()}]),
    )
    await scene.db.execute(
        "update scheduling.check_ins set differs = person_id = $2 where relationship_id = $1", group.id, went.person_id
    )
    await scene.send(left, left)
    alike = "select apart = '[]' from scheduling.relationships where id = $1"
    assert await until(lambda: scene.db.fetchval(alike, group.id)), "nobody who is left said that they see it differently"
    page = await group.do("end", 3, reason="no_time")
    assert "You have left this group" in page.text
    assert (await group.wait("MemberWentOut", 2)).reason is EndReason.no_time
    await scene.send(PersonErased(person_id=group.people[4], revision=5))
    assert (await group.wait("MemberWentOut", 3)).reason is EndReason.person_erased
    held = await group.held(1, meeting, [0, 1, 5])
    assert (held.attended, held.expected) == (tuple(group.people[n] for n in (0, 1, 5)), 3)
    assert group.names().count("MemberWentOut") == 3
    stranger = await scene.http.get(scene.url("group", group.id, scene.person("UTC"), 1), headers=PAGE)
    assert ("Came to" in stranger.text, "Your next meeting" in stranger.text) == (False, False)
    await scene.send(scene.record(PersonWithdrawn, group.people[0], 7, status=PersonStatus.withdrawn, enrolments=()))
    ended = await group.wait("PairEnded")
    assert set(ended.rematch_first) == {group.people[1], newcomer}


async def test_whoever_looks_at_a_groups_pages_changes_nothing_and_a_pair_has_none(scene):
    group = await formed(scene, ONE_AND_FOUR, Format.group)
    meeting = await group.following(1)

    async def look() -> None:
        for action, thing, version in (
            ("group", group.id, 1),
            ("met", meeting.meeting_id, 0),
            ("pick", meeting.meeting_id, 1),
            ("end", group.id, 1),
        ):
            for method in ("GET", "HEAD"):
                answer = await scene.http.request(method, scene.url(action, thing, group.people[1], version), headers=PAGE)
                assert answer.status_code == 200

    await group.nothing_more(look)
    pair = await Scene(scene.stage, scene.log, scene.service, scene.db, scene.http).pair()
    assert (await scene.see("group", pair.id, pair.mentee, 1)).status_code == 404


async def test_who_has_left_keeps_what_was_theirs_and_sees_nothing_of_what_came_after(scene):
    group = await formed(scene, (Role.mentor, Role.mentor, Role.mentee, Role.mentee), Format.group)
    leaver = group.people[1]
    first = await group.following(1)
    await group.held(1, first, [0, 1, 2])
    await group.do("end", 1, reason="no_time")
    await group.wait("MemberWentOut")
    second = await group.following(2)
    await group.held(2, second, [0, 2, 3])

    page = (await scene.see("mine", leaver, leaver, 1)).text
    assert "Crossing · you left it on" in page
    assert "minutes given</dt><dd>50</dd>" in page
    assert f"/{group.id}?" not in page
    assert "People you have met" not in page
    data = (await scene.http.post(scene.url("export", leaver, leaver, 1))).json()["data"]
    (left,), (met,) = data["relationships"], data["meetings"]
    assert (left["as"], left["id"], "held" in left) == ("mentor", str(group.id), False)
    assert (met["id"], met["attended"]) == (str(first.meeting_id), True)
    async with scene.service.database.transaction() as connection:
        keys = [recognition.key(leaver, scene.program, what) for what in (first.starts_at.year, "people")]
        counted = await store.mentored(connection, keys)
    assert [(one.meetings, one.minutes, one.people) for one in counted] == [(1, 50, 1)] * 2
    reached = [w.event for w in scene.log.of(group.id) if w.name == "MilestoneReached"]
    assert {one.milestones for one in counted} == {len(reached)}
    await scene.db.execute(
        """update scheduling.relationships set milestones = milestones || '{half_time}', reached = reached || jsonb_build_array(
        jsonb_build_object('code', 'half_time', 'at', $2::timestamptz)) where id = $1""",
        group.id,
        scene.now,
    )
    async with scene.service.database.transaction() as connection:
        again = await store.mentored(connection, keys)
    assert again == counted, "what they reached afterwards"


async def test_who_left_before_a_meeting_has_left_then_though_it_is_read_after_it(scene):
    group = await formed(scene, ONE_AND_FOUR, Format.group)
    first, leaver, at = await group.following(1), group.people[4], scene.now
    await group.held(1, first, [0, 1, 2])
    left = MemberLeft(
        relationship_id=group.id,
        program=scene.program,
        member=Member(person_id=leaver, role=Role.mentee, organization=scene.owner),
        reason=LeavingReason.own_wish,
    )
    await send(scene.stage.kafka, left, organization=scene.owner, program=scene.program, at=at)
    await group.wait("MemberWentOut")
    data = (await scene.http.post(scene.url("export", leaver, leaver, 1))).json()["data"]
    assert [datetime.fromisoformat(one["left_at"]) for one in data["relationships"]] == [at]
    assert data["meetings"] == []
