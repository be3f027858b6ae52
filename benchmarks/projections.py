"""Analytics' projections, side by side in one run: the real handlers and tables, on the events of whole mentoring relationships.

raw     aiokafka: fetch, decode headers and data, commit; no database
ours    analytics' handlers through the core, traces at 10 %
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from benchmarks.figures import Figure, ratio
from benchmarks.ground import Say, collector, rates
from benchmarks.meetings import Record, record
from benchmarks.reading import emptied, ours, prepared, raw
from deploy.local.platform import Platform
from services import analytics
from services.analytics.handlers import HANDLERS
from services.analytics.store import TABLES
from shared.cloudevents import Cause, new_id, new_text_id, outbox_row
from shared.events import (
    AgreementProposed,
    AgreementSigned,
    CheckInAnswered,
    CheckInAsked,
    Contact,
    Enrolment,
    Event,
    GoalSet,
    MatchApproved,
    MatchProposed,
    MeetingHeld,
    MeetingMissed,
    MeetingProposed,
    MeetingRescheduled,
    MeetingScheduled,
    Member,
    MilestoneReached,
    NotificationFailed,
    NotificationSent,
    PairCreated,
    PairEnded,
    PersonEnrolled,
    PersonPaused,
    PersonResumed,
    PersonWaitlisted,
    Profile,
    ProfileChanged,
    ProgramJoined,
    ProgramLaunched,
    ProgramShared,
    ReminderDue,
    Terms,
)
from shared.service import spare_the_collector
from shared.telemetry import new_traceparent

NAME = "projections"
ABOUT = "Analytics' handlers and tables on the events of whole relationships, a tenth of the traces written."

ROLE, PARTITIONS = "bench_projections", 12
TOPICS = {name: f"bench-{name}" for name in ("onboarding", "people", "matching", "scheduling", "notifications")}
WHOLE, QUICK = (600, 20_000, 40_000, 1_000), (20, 1_000, 1_000, 100)
"""Relationships, events that ours reads, that raw reads, of a batch."""
PROGRAMS = 6
KEPT = ("story", "mentions", "people", "seats", "relationships", "meetings", "deliveries", "programs", "measured")
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
SKILLS = ("python", "sql", "negotiation", "cloud", "writing", "statistics", "leadership", "security")


def opening(program: str, member: str) -> Iterator[Event]:
    owner = program.partition(".")[0]
    both = (owner, member)
    yield ProgramLaunched(program=program, organization=owner, name="Crossing", audience=(owner,))
    yield ProgramShared(program=program, member=member, seats=500, visibility="own_people", audience=both)
    yield ProgramJoined(program=program, member=member, audience=both)


class Life:
    """What happens to two people from their enrolment to the end of their half year, some 90 events, in order."""

    def __init__(self, random: Random, number: int, program: str, member: str) -> None:
        self.random, self.number, self.program = random, number, program
        self.owner = program.partition(".")[0]
        self.homes = (self.owner, member)
        self.people = (new_id(), new_id())
        self.pair = new_id()
        self.about = {"relationship_id": self.pair, "program": program, "audience": self.homes}
        self.members = tuple(
            Member(person_id=person, role=role, organization=home)
            for person, role, home in zip(self.people, ("mentee", "mentor"), self.homes, strict=True)
        )

    def events(self) -> Iterator[Event]:
        yield from self.enrolled()
        yield from self.matched()
        for n in range(1, 7):
            yield from self.meeting(n, START + timedelta(days=30 * n))
        yield PairEnded(**self.about, reason="completed", side="both", meetings_held=5)
        yield from self.told("ended", "PairEnded")

    def told(self, template: str, fact: str, who: tuple[int, ...] = (0, 1)) -> Iterator[Event]:
        """A mail to each; one in a hundred fails first."""
        for n in who:
            about = {
                "person_id": self.people[n],
                "delivery_id": new_id(),
                "program": self.program,
                "template": template,
                "fact_id": new_id(),
                "fact_type": f"ithaca.{fact}",
                "audience": (self.owner,),
            }
            if self.random.random() < 0.01:
                yield NotificationFailed(**about, failure="unreachable", final=False)
            yield NotificationSent(**about)

    def enrolled(self) -> Iterator[Event]:
        for n, (role, home) in enumerate(zip(("mentee", "mentor"), self.homes, strict=True)):
            skills = tuple(self.random.sample(SKILLS, 3))
            record = {
                "person_id": self.people[n],
                "organization": home,
                "own_id": f"{role[3]}{self.number}",
                "profile": Profile(time_zone="Africa/Lagos", languages=("en",), skills_wanted=skills, skills_offered=skills),
                "contact": Contact(name="Nobody Real", email=f"{role}{self.number}@{home}.example"),
                "enrolments": (Enrolment(program=self.program, role=role),),
                "audience": self.homes,
            }
            yield PersonEnrolled(**record, revision=1, program=self.program)
            yield from self.told("welcome", "PersonEnrolled", (n,))
            if self.random.random() < 0.25:
                yield ProfileChanged(**record, revision=2)
            if self.random.random() < 0.05:
                yield PersonPaused(**record, revision=3, status="paused")
                yield PersonResumed(**record, revision=4)
        if self.random.random() < 0.2:
            yield PersonWaitlisted(
                person_id=self.people[0], program=self.program, role="mentee", reason="no_capacity", audience=(self.owner,)
            )
            yield from self.told("waiting", "PersonWaitlisted", (0,))

    def matched(self) -> Iterator[Event]:
        reasons = ({"code": "skills", "number": 2, "items": SKILLS[:2]}, {"code": "overlap_hours", "number": 12})
        match = {**self.about, "members": self.members, "score": 820_000, "reasons": reasons}
        yield MatchProposed(**match)
        yield MatchApproved(**self.about)
        yield PairCreated(**match)
        yield AgreementProposed(**self.about, version=1, members=self.members, terms=Terms())
        yield from self.told("introduction", "PairCreated")
        for n, person in enumerate(self.people):
            yield AgreementSigned(**self.about, version=1, person_id=person, complete=n == 1)
        yield GoalSet(**self.about, goal_id=new_id(), person_id=self.people[0], kind="technical", skills=SKILLS[:1], steps=3)
        yield MilestoneReached(**self.about, milestone="goals_set")

    def meeting(self, n: int, at: datetime) -> Iterator[Event]:
        about = {**self.about, "meeting_id": new_id()}
        when = {"starts_at": at, "minutes": 30, "time_zone": "Africa/Lagos", "number": n}
        slots = tuple(at + timedelta(hours=hours) for hours in range(3))
        yield MeetingProposed(**about, slots=slots, minutes=30, time_zone="Africa/Lagos", number=n)
        yield from self.told("choose_time", "MeetingProposed", (0,))
        yield MeetingScheduled(**about, **when)
        yield from self.told("invitation", "MeetingScheduled")
        if self.random.random() < 0.15:
            yield MeetingRescheduled(**about, **when, sequence=1, was_at=at)
            yield from self.told("moved", "MeetingRescheduled")
        yield ReminderDue(**about, starts_at=at)
        yield from self.told("reminder", "ReminderDue")
        yield from self.told("did_you_meet", "MeetingScheduled")
        if self.random.random() < 0.15:
            yield MeetingMissed(**about, starts_at=at, absent="both_silent", misses_in_a_row=1)
            yield from self.told("missed", "MeetingMissed")
            return
        yield MeetingHeld(**about, held_at=at, minutes=30, attended=self.people, said_by=self.people[0], number=n)
        if n in {1, 5}:
            yield MilestoneReached(**self.about, milestone="first_meeting" if n == 1 else "fifth_meeting")
            yield from self.told("milestone", "MilestoneReached")
        if n in {1, 3}:
            for person in self.people:
                asked = {**self.about, "check_in_id": new_id(), "person_id": person, "kind": "fit" if n == 1 else "quality"}
                yield CheckInAsked(**asked)
                yield CheckInAnswered(**asked | {"audience": ()}, score=4)


def records(pairs: int) -> list[Record]:
    """Of so many relationships that go on side by side, in order per key."""
    random = Random(pairs)
    programs = [(f"owner-{n}.crossing", f"member-{n}") for n in range(PROGRAMS)]
    found = [told(event, 0) for program, member in programs for event in opening(program, member)]
    lives = [Life(random, n, *programs[n % PROGRAMS]).events() for n in range(pairs)]
    minute = 0
    while lives:
        going = []
        for life in lives:
            event = next(life, None)
            if event is not None:
                minute += 1
                found.append(told(event, minute))
                going.append(life)
        lives = going
    return found


WRITERS = {"people": "gateway", "onboarding": "gateway"}


def told(event: Event, minute: int) -> Record:
    program = getattr(event, "program", "") or ""
    now = START + timedelta(minutes=minute)
    source = f"/ithaca/{WRITERS.get(event.topic, event.topic)}"
    cause = Cause(source, program.partition(".")[0] or "owner-0", program, new_id(), new_id(), new_traceparent(sampled=True))
    topic, key, value, headers = record(outbox_row(new_text_id(), event, cause.of(event), now, now))
    return TOPICS[topic], key, value, headers


async def compare(
    platform: Platform, say: Say, rounds: int, pairs: int, read: int, read_raw: int, batch: int
) -> dict[str, float]:
    """Median events per second of each way."""
    spare_the_collector()
    migrations, topics = Path(analytics.__file__).parent / "migrations", list(TOPICS.values())
    with collector() as address:
        async with prepared(platform, ROLE, migrations, topics, PARTITIONS, batch, address) as (lane, db):
            written = records(pairs)
            await lane.fill(written)
            say(f"{len(written)} events of {pairs} relationships lie on {len(topics)} topics")

            async def through_core() -> float:
                await emptied(db, *KEPT)
                found = await ours(lane, TABLES, HANDLERS, read, 0.1)
                counts = await db.fetchrow(
                    "select (select count(*) from story), (select count(*) from inbox), (select count(*) from held)"
                )
                assert counts is not None
                assert counts[0] == counts[1] >= found.got, f"the story doesn't agree with the inbox: {counts}"
                assert counts[2] == 0, f"{counts[2]} events are held"
                return found.rate

            async def unhandled() -> float:
                return (await raw(lane, read_raw)).rate

            return await rates({"raw": unhandled, "ours": through_core}, rounds, say)


def measure(platform: Platform, say: Say, *, quick: bool, rounds: int) -> list[Figure]:
    rate = asyncio.run(compare(platform, say, rounds, *(QUICK if quick else WHOLE)))
    return [ratio(f"{NAME}, traces 10 %", "raw", rate["ours"], rate["raw"], 0.3)]
