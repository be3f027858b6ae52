"""A partner that reports a month of meetings at once: the statements of a batch don't grow with its events."""

from datetime import timedelta

import asyncpg

from services.scheduling.main import build
from shared.cloudevents import Received, new_id
from shared.events import Enrolment, MeetingReported, Member, PairCreated, PersonEnrolled, Policy, ProgramLaunched, Role
from shared.events.people import Contact, Profile
from tests.core import ledger
from tests.core.rig import Rig

PAIRS, EACH = 40, 3
MOST_STATEMENTS = 60


def enrolled(person, role):
    return PersonEnrolled(
        person_id=person, organization=ledger.ORGANIZATION, own_id=str(person), revision=1,
        profile=Profile(time_zone="Africa/Lagos"), contact=Contact(name="Nobody Knows"),
        enrolments=(Enrolment(program=ledger.PROGRAM, role=role),),
    )  # fmt: skip


async def test_reports_about_many_pairs_are_decided_in_few_statements(stage):
    see = await asyncpg.connect(stage.superuser)
    rig = await Rig(stage.settings("scheduling"), see, lambda settings, _: build(settings)).start()
    work, statements = rig.work, []

    async def decide(*events):
        async with rig.database.transaction() as connection:
            with connection.query_logger(lambda record: statements.append(record.query)):
                decided = await work.decide(
                    connection,
                    [Received(rig.record(e, n), rig.work.wanted) for n, e in enumerate(events)],
                    rig.database.clock.now(),
                )
        assert not decided.refused
        return decided

    pairs = [(new_id(), new_id(), new_id()) for _ in range(PAIRS)]
    people = [enrolled(person, role) for _, *both in pairs for person, role in zip(both, (Role.mentor, Role.mentee), strict=True)]
    await decide(
        ProgramLaunched(program=ledger.PROGRAM, organization=ledger.ORGANIZATION, name="Crossing", policy=Policy()), *people
    )
    members = [
        tuple(
            Member(person_id=p, role=r, organization=ledger.ORGANIZATION)
            for p, r in zip(both, (Role.mentor, Role.mentee), strict=True)
        )
        for _, *both in pairs
    ]
    await decide(
        *(
            PairCreated(relationship_id=pair, program=ledger.PROGRAM, members=both, score=1)
            for (pair, *_), both in zip(pairs, members, strict=True)
        )
    )
    statements.clear()
    now = rig.database.clock.now()
    reports = [
        MeetingReported(
            relationship_id=pair, program=ledger.PROGRAM, organization=ledger.ORGANIZATION, report_id=f"{pair}-{n}",
            report_source="/calendar", held_at=now - timedelta(days=30 - 2 * n), minutes=30, attended=tuple(both),
        )
        for n in range(EACH)
        for pair, *both in pairs
    ]  # fmt: skip
    decided = await decide(*reports)
    assert len(statements) < MOST_STATEMENTS, f"{len(statements)} statements for {len(reports)} reports"
    assert len(decided.rows) == PAIRS * (EACH + 1)  # held, and each pair's first milestone
    held = await see.fetch("select held from scheduling.relationships")
    assert [row["held"] for row in held] == [EACH] * PAIRS
    await rig.database.stop()
    await see.close()
