"""The job of one round of a match run, in a process of its own: only here are numpy, numba and OR-tools loaded.

`python -m services.matching.job RUN ROUND PARENT`: reads the program's people in one snapshot, solves, stores what it found, ends. It
dies with the service that started it; what it has stored stays, and a round that has its result is left alone.
"""

import asyncio
import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from services.matching import store
from services.matching.domain.model import (
    MONTH,
    TOO_LARGE,
    Person,
    Program,
    Relationship,
    RelationshipStatus,
    RunStatus,
    Waitlisted,
    WaitlistState,
)
from services.matching.domain.plan import Candidate, Plan, TooLargeError, plan
from services.matching.domain.runs import audience_of, members_of
from shared.cloudevents import new_id
from shared.database import Database


def candidates(people: Iterable[Person], program: Program, since: datetime) -> list[Candidate]:
    """Those who take part, as the solver sees them. `since`: past partners of after then stay apart."""
    found = []
    for person in people:
        enrolment = person.enrolment(program.id)
        if enrolment is None or person.profile is None or not person.takes_part(program.id):
            continue
        found.append(
            Candidate(
                id=str(person.id),
                organization=person.organization,
                role=enrolment.role,
                profile=person.profile,
                places=person.places_left(program.id),
                placed=person.taken(program.id) > 0,
                own_id=person.own_id,
                apart=frozenset(map(str, person.apart(program.id, since))),
            )
        )
    return found


def pairs_of(found: Plan, program: Program, run_id: UUID, done: int, people: dict[str, Person]) -> list[Relationship]:
    """The plan's pairs as relationships that are still to begin; in order of their people, so that ids are too."""
    relationships = []
    for pair in found.pairs:
        mentor, mentee = people[pair.mentor], people[pair.mentee]
        relationships.append(
            Relationship(
                id=new_id(),
                organization=program.organization,
                audience=audience_of(program.id, mentor.organization, mentee.organization),
                program=program.id,
                people=(pair.mentor, pair.mentee),
                members=members_of(mentor, mentee),
                status=RelationshipStatus.planned,
                score=pair.score,
                reasons=pair.reasons,
                run_id=run_id,
                round=done,
            )
        )
    return relationships


def waitlist_of(found: Plan, program: Program, run_id: UUID, people: dict[str, Person]) -> list[Waitlisted]:
    return [
        Waitlisted(
            id=new_id(),
            organization=program.organization,
            audience=audience_of(program.id, people[left.id].organization),
            run_id=run_id,
            program=program.id,
            person_id=UUID(left.id),
            home=people[left.id].organization,
            role=left.role,
            reason=left.reason,
            missing=left.missing,
            mentors_that_would_help=left.mentors_that_would_help,
            state=WaitlistState.planned,
        )
        for left in found.left
    ]


async def solve(run_id: UUID, done: int) -> None:
    """One round, from the snapshot to the stored plan."""
    began = time.monotonic()
    database = Database(os.environ["ITHACA_DATABASE"], "matching", size=2)
    await database.start()
    try:
        async with database.transaction() as connection:
            run = await store.run_of(connection, run_id)
        if run is None or run.status is not RunStatus.solving or run.round != done:
            return
        async with database.transaction() as connection:
            everyone = await store.snapshot(connection, run.program)
            program = await store.program_of(connection, run.program)
        assert program is not None
        now = database.clock.now()
        pool = [] if program.closed else candidates(everyone, program, now - program.policy.no_repeat_months * MONTH)
        found = plan(pool, program.policy, now)
        people = {str(person.id): person for person in everyone}
        pairs, waiting = pairs_of(found, program, run_id, done, people), waitlist_of(found, program, run_id, people)
        async with database.transaction() as connection:
            await store.store_plan(
                connection,
                run_id,
                done,
                pairs,
                waiting,
                people=len(pool),
                score=found.score_total,
                gap=found.gap,
                seconds=time.monotonic() - began,
            )
    finally:
        await database.stop()


def killed_with(parent: int) -> None:
    """Be killed when the service that started us ends, where the system can do that: also in the midst of a long call of the solver."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != parent:
        sys.exit(1)


def die_with(parent: int) -> None:
    """End when the service that started us ends, however it ends: its end of our standard input is then closed."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    killed_with(parent)
    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Solve the round that the arguments name."""
    run_id, done, parent = UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    die_with(parent)
    os.nice(5)  # the service's own events go first
    try:
        asyncio.run(solve(run_id, done))
    except TooLargeError as error:
        sys.stderr.write(f"matching job: {error}\n")
        sys.exit(TOO_LARGE)


if __name__ == "__main__":
    main()
