"""The job of one round of a match run, in a process of its own: only here are numba and OR-tools loaded, and numpy here and in the ranker.

`python -m services.matching.job RUN ROUND PARENT`: reads the program's people in one snapshot, solves, stores what it found, ends. It
dies with the service that started it; what it has stored stays, and a round that has its result is left alone.
"""

import asyncio
import os
import sys
import time
from uuid import UUID

from services.matching import store
from services.matching.domain.model import (
    TOO_LARGE,
    Helping,
    Person,
    Program,
    Relationship,
    RelationshipStatus,
    Run,
    RunStatus,
    Waitlisted,
    WaitlistState,
)
from services.matching.domain.plan import Plan, TooLargeError, plan
from services.matching.domain.pool import candidates
from services.matching.domain.runs import audience_of, members_of
from services.matching.parent import die_with
from shared.cloudevents import new_id
from shared.database import Database


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


def waitlist_of(found: Plan, program: Program, run: Run, people: dict[str, Person]) -> list[Waitlisted]:
    """Who is left. A run that nobody asked for tells only those for whom it is news."""
    told = (
        set()
        if run.requested_by
        else {
            (str(person.id), waiting.reason)
            for person in people.values()
            for waiting in person.waiting
            if waiting.program == program.id
        }
    )
    return [
        Waitlisted(
            id=new_id(),
            organization=program.organization,
            audience=audience_of(program.id, people[left.id].organization),
            run_id=run.id,
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
        if (left.id, left.reason) not in told
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
        pool = [] if program.closed else candidates(everyone, program, now)
        found = plan(pool, program.policy, now, what_if=True)
        people = {str(person.id): person for person in everyone}
        pairs, waiting = pairs_of(found, program, run_id, done, people), waitlist_of(found, program, run, people)
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
                helps=[Helping(UUID(h.mentor), h.people, h.pairs, h.score) for h in found.helps],
            )
    finally:
        await database.stop()


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
