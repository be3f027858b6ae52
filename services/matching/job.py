"""The job of one round of a match run, in a process of its own: only here are numba and OR-tools loaded, and numpy here and in the ranker.

`python -m services.matching.job RUN ROUND PARENT`: reads the program's people in one snapshot, solves, stores what it found, ends. It
dies with the service that started it; what it has stored stays, and a round that has its result is left alone.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable
from uuid import UUID

from services.matching import store
from services.matching.domain.fairness import groups
from services.matching.domain.formats import matched
from services.matching.domain.left import Left
from services.matching.domain.model import TOO_LARGE, Helping, Person, Program, Run, RunStatus, Waitlisted, WaitlistState
from services.matching.domain.plan import TooLargeError
from services.matching.domain.runs import audience_of
from services.matching.parent import die_with
from shared.cloudevents import new_id
from shared.database import Database


def waitlist_of(found: Iterable[Left], program: Program, run: Run, people: dict[str, Person]) -> list[Waitlisted]:
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
        for left in found
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
        found = matched(everyone, program, run, now)
        waiting = waitlist_of(found.left.values(), program, run, {str(person.id): person for person in everyone})
        async with database.transaction() as connection:
            await store.store_plan(
                connection,
                run_id,
                done,
                found.relationships,
                waiting,
                people=len(found.pool),
                score=found.score,
                gap=found.gap,
                seconds=time.monotonic() - began,
                audited=groups(found.pool.values(), program.policy.audit),
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
