"""Streams whose keys come in another order, and whose records come twice, end in the same state: order holds within a key and no further."""

import json
import os
import random
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from services.scheduling.domain import agreement, goals, meetings, silence
from services.scheduling.domain.diaries import Diary, Turn
from services.scheduling.domain.model import Meeting, Relationship
from services.scheduling.main import build
from shared.cloudevents import new_id, rfc3339
from shared.decisions import Action
from shared.events import (
    Contact,
    Enrolment,
    Format,
    GoalKind,
    GroupCreated,
    MeetingReported,
    Member,
    MemberJoined,
    MemberLeft,
    PairCreated,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    PersonWithdrawn,
    Policy,
    Profile,
    ProfileChanged,
    ProgramChanged,
    ProgramClosed,
    ProgramLaunched,
    Role,
)
from shared.held import StoredRecord
from tests.core.rig import Rig
from tests.producing import encoded
from tests.scheduling.examples import week

ORDERS = int(os.environ.get("ITHACA_ROUNDS", "6"))
BEGINS = datetime(2026, 11, 23, 9, 0, 30, tzinfo=UTC)
"""Half a minute past: what is decided within seconds is of the same minute."""
FAR = datetime(2100, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OWNER, GUEST = "northwind", "kestrel"
OPEN, CLOSING = f"{OWNER}.crossing", f"{OWNER}.harbour"
TABLES = ("people", "programs", "relationships", "meetings", "goals", "concerns", "agreements", "timers")

MENTORS = A, B, C, D = [new_id() for _ in range(4)]
MENTEES = K, L, M, N, P, Q, R, S = [new_id() for _ in range(8)]
PAIR, SECOND, GROUP, TALK, LETTERS, CLOSED = (UUID(int=new_id().int // 3600 * 3600) for _ in range(6))
"""What is spread over an hour by these ids isn't put off."""
HOMES = {person: GUEST if n % 3 == 2 else OWNER for n, person in enumerate([*MENTORS, *MENTEES])}
KNOWN = {str(known) for known in (*HOMES, PAIR, SECOND, GROUP, TALK, LETTERS, CLOSED)}


def role(person):
    return Role.mentor if person in MENTORS else Role.mentee


def told(kind, person, revision, *, hours=(), zone="Africa/Lagos", programs=(OPEN, CLOSING), **more):
    return kind(
        person_id=person, organization=HOMES[person], own_id=str(person)[-6:], revision=revision,
        profile=Profile(time_zone=zone, availability=hours), contact=Contact(name="Nobody Knows"),
        enrolments=tuple(Enrolment(program=program, role=role(person)) for program in programs), **more,
    )  # fmt: skip


def member(person):
    return Member(person_id=person, role=role(person), organization=HOMES[person])


def matched(relationship, *people, program=OPEN, form=Format.one_to_one):
    kind = GroupCreated if len(people) > 2 else PairCreated
    return kind(relationship_id=relationship, program=program, members=tuple(map(member, people)), score=1, format=form)


def reported(n, relationship, at, *people, by=OWNER, **more):
    return MeetingReported(
        relationship_id=relationship, program=OPEN, organization=by, report_id=f"r{n}", report_source="/calendar",
        held_at=at, minutes=40, attended=people, **more,
    )  # fmt: skip


def program(kind, name, revision, **policy):
    return kind(program=name, organization=OWNER, name="Crossing", policy=Policy(**policy), revision=revision)


PAUSED, GONE = {"status": PersonStatus.paused}, {"status": PersonStatus.withdrawn, "programs": ()}


def begin():
    """Two programs, their people, six relationships; some leave, join and have breaks before anybody has signed."""
    return [
        program(ProgramLaunched, OPEN, 1),
        program(ProgramLaunched, CLOSING, 1),
        *(told(PersonEnrolled, person, 1) for person in HOMES),
        matched(PAIR, A, K),
        matched(SECOND, B, L),
        matched(GROUP, C, M, N, P, form=Format.group),
        matched(TALK, D, R, form=Format.conversation),
        matched(LETTERS, D, Q, form=Format.e_mentoring),
        matched(CLOSED, B, S, program=CLOSING),
        reported(1, PAIR, BEGINS - 2 * DAY, A, K),
        reported(2, PAIR, BEGINS - 2 * DAY + timedelta(hours=1), K),
        reported(3, PAIR, BEGINS + 2 * DAY, A, K),
        reported(4, GROUP, BEGINS - 3 * DAY, C, M, N, by=GUEST),
        reported(5, GROUP, BEGINS - 3 * DAY, C, M, by="stranger"),
        told(ProfileChanged, A, 2, hours=week("09:00", "15:00")),
        told(PersonPaused, Q, 2, **PAUSED),
        told(PersonPaused, L, 2, **PAUSED),
        told(PersonResumed, L, 3),
        told(PersonWithdrawn, N, 2, program=OPEN, programs=(CLOSING,)),
        MemberLeft(relationship_id=GROUP, program=OPEN, member=member(N), reason="person_withdrawn"),
        MemberJoined(relationship_id=GROUP, program=OPEN, member=member(S)),
        reported(6, GROUP, BEGINS - DAY, C, M, S),
        program(ProgramChanged, OPEN, 2, grace_hours=72, silent_partner_days=4),
    ]


def report(planned):
    """Of all but one what became of their meeting is reported, late and twice; somebody is erased, rules change."""
    at = {which: meeting["starts_at"] for which, meeting in planned.items()}
    return [
        reported(11, PAIR, at[PAIR], A, K),
        reported(12, PAIR, at[PAIR], A, K, meeting_id=planned[PAIR]["id"]),
        reported(13, SECOND, at[SECOND] + timedelta(hours=2), B, L),
        reported(14, TALK, at[TALK], D, R),
        PersonErased(person_id=P, revision=2),
        MemberLeft(relationship_id=GROUP, program=OPEN, member=member(P), reason="person_erased"),
        told(ProfileChanged, Q, 3, zone="America/Sao_Paulo", **PAUSED),
        program(ProgramChanged, CLOSING, 2, grace_hours=48),
        program(ProgramChanged, OPEN, 3, grace_hours=96, stalled_days_before_warned=3),
    ]


def leave():
    """Breaks begin and end, people leave, a program closes."""
    return [
        told(PersonPaused, A, 3, hours=week("09:00", "15:00"), **PAUSED),
        told(PersonResumed, A, 4, hours=week("09:00", "12:00")),
        told(PersonResumed, Q, 4, zone="America/Sao_Paulo"),
        told(PersonWithdrawn, B, 2, **GONE),
        PersonErased(person_id=N, revision=3),
        ProgramClosed(program=CLOSING),
    ]


def record(event, event_id):
    key, headers, payload = encoded(event, organization=OWNER, program=getattr(event, "program", None) or OPEN, event_id=event_id)
    return StoredRecord(event.topic, 0, 0, key, payload, headers)


def in_order(events, _):
    return [record(event, new_id()) for event in events]


def shuffled(events, dice):
    """Each key's events in their order, and the keys in any; now and then some that follow each other come again, by a relay's resend under
    the same ids, or told anew under others.
    """
    queues = {}
    for event in events:
        queues.setdefault((event.topic, event.key), []).append((event, new_id()))
    for queue in queues.values():
        for _ in range(dice.choice([0, 0, 1, 2])):
            first = dice.randrange(len(queue))
            last = dice.randrange(first, len(queue)) + 1
            queue[last:last] = [(event, dice.choice([event_id, new_id()])) for event, event_id in queue[first:last]]
    turns = [key for key, queue in queues.items() for _ in queue]
    dice.shuffle(turns)
    coming = {key: iter(queue) for key, queue in queues.items()}
    return [record(*next(coming[key])) for key in turns]


class Story:
    """One way in which scheduling is told it all, from empty tables on."""

    def __init__(self, rig, arrange, dice):
        self.rig, self.arrange, self.dice, self.now = rig, arrange, dice, BEGINS

    def set_clock(self, seconds=0):
        clock = self.rig.database.clock
        clock._ahead += (self.now + timedelta(seconds=seconds) - clock.now()).total_seconds()

    async def play(self):
        """What it came to after each part."""
        tables = ", ".join(f"scheduling.{table}" for table in (*TABLES, "inbox", "held_keys", "held", "outbox"))
        await self.rig.see.execute(f"truncate {tables} cascade")
        yield await self.reads(begin())
        await self.clicks()
        yield await self.goes_on(6)
        yield await self.reads(report(await self.meetings()))
        await self.goes_on(1)
        yield await self.reads(leave())
        yield await self.goes_on(30)

    async def reads(self, events):
        """In batches of any size; what waits for something is tried again now and then, and in the end until nothing comes of it."""
        records = self.arrange(events, self.dice)
        while records:
            size = self.dice.choice([1, 2, 5, 20, 100])
            batch, records = records[:size], records[size:]
            self.set_clock()
            await self.rig.give(*batch)
            if self.dice.random() < 0.2:
                await self.rig.retry()
        waiting = -1
        while waiting != (waiting := await self.rig.see.fetchval("select count(*) from scheduling.held")):
            await self.rig.retry()
        assert not waiting
        return await self.goes_on(0)

    async def goes_on(self, days):
        """Day by day, all that is due, and at another time of each, so that nothing is due just then."""
        for day in [DAY + timedelta(minutes=17)] * days or [0 * DAY]:
            self.now += day
            self.set_clock(10)
            while await self.rig.timers.fire_due():
                pass
        return await self.came_to()

    async def clicks(self):
        """All sign, two pick a time, one sets a goal, one says that they were in touch."""
        self.set_clock()
        for row in await self.rig.see.fetch("select id, people from scheduling.relationships where version > 0 order by id"):
            for person in row["people"]:
                await self.click(row["id"], lambda r, c, person=person: agreement.sign(r, UUID(person), c))
        await self.click(PAIR, lambda r, c: goals.set_goal(r, K, goals.Draft("words", GoalKind.technical), c))
        await self.click(SECOND, lambda r, c: silence.in_touch(r, L, c))
        for which, meeting in (await self.meetings()).items():
            if which in {PAIR, TALK}:
                slot = min(datetime.fromisoformat(slot) for slot in json.loads(meeting["slots"]))

                def pick(relationship, context, meeting=meeting["id"], slot=slot):
                    member = relationship.members[0].person_id
                    return meetings.pick(relationship, context.get(Meeting, meeting), member, slot, context)

                await self.click(which, pick, {Meeting: [meeting["id"]]})

    async def click(self, relationship, do, reads=None):
        reads = {Diary: [relationship], Turn: [relationship], **(reads or {})}
        await self.rig.work.act(Action(Relationship, relationship, do, organization=OWNER, program=OPEN, reads=reads))

    async def meetings(self):
        """The newest of each relationship that isn't held."""
        rows = await self.rig.see.fetch("select * from scheduling.meetings where status <> 'held' order by number")
        return {row["relationship_id"]: row for row in rows}

    async def came_to(self):
        """All tables, and the facts of each key in their order, each once, for a report that comes again is answered again: without what
        differs by chance, and without who was in it when something was said, or when someone went out.
        """
        names = {}
        for row in await self.rig.see.fetch("select id, relationship_id, number from scheduling.meetings"):
            names[str(row["id"])] = f"meeting {row['number']} of {row['relationship_id']}"
        found = {}
        for table in TABLES:
            rows = await self.rig.see.fetch(
                f"select to_jsonb(t) - '{{correlation,traceparent}}'::text[] from scheduling.{table} t"
            )
            for row in rows:
                values = json.loads(alike(row[0], names))
                for past in values.get("recent") or ():
                    del past["absent"]
                if values.get("held") and table == "meetings":
                    del values["held"]["expected"]
                if values.get("ended_at"):
                    del values["rules"], values["rules_revision"]  # of what is over no rule is asked any more
                place = values.get("id") or f"{values['kind']} {values['key']}"
                found |= {f"{table} {place} {name}": value for name, value in values.items()}
        for row in await self.rig.see.fetch("select key, headers, payload from scheduling.outbox order by id"):
            kind, said = orjson.loads(row["headers"])["ce_type"], orjson.loads(row["payload"])
            fact = alike(
                json.dumps([kind, {k: v for k, v in said.items() if k not in {"members", "audience", "expected"}}]), names
            )
            told = found.setdefault(f"{'went out' if kind.endswith('MemberWentOut') else 'facts'} {row['key']}", [])
            if fact not in told:
                told.append(fact)
        return found


A_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)")
AN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def alike(text, names):
    """With times to the minute, and names for the ids that were drawn."""
    return AN_ID.sub(lambda found: found[0] if found[0] in KNOWN else names.get(found[0], "drawn"), A_TIME.sub(r"\1", text))


async def test_streams_in_another_order_and_with_doubles_end_in_the_same_state(stage):
    see = await asyncpg.connect(stage.superuser)
    rig = await Rig(stage.settings("scheduling"), see, lambda settings, _: build(settings)).start()
    await rig.read_until(FAR)
    rig.timers.watermarks.hear(b"gateway", rfc3339(FAR).encode())
    expected = [part async for part in Story(rig, in_order, random.Random(0)).play()]
    said = " ".join(fact for key, facts in expected[-1].items() if key.startswith("facts") for fact in facts)
    for name in ("MeetingHeld", "MeetingMissed", "MeetingCancelled", "PairStalled", "PairWarned", "PairEnded", "ReportRejected"):
        assert name in said, "a rich story"
    for seed in range(ORDERS):
        story = Story(rig, shuffled, random.Random(seed)).play()
        for number, before in enumerate(expected):
            now = await anext(story)
            differs = {
                place: (before.get(place), now.get(place)) for place in before | now if before.get(place) != now.get(place)
            }
            assert not differs, f"seed {seed}, after part {number}"
    await rig.database.stop()
    await see.close()
