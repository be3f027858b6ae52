"""The job of one round of a match run, in a process of its own: only here are numba and OR-tools loaded, and numpy here and in the ranker.

`python -m services.matching.job RUN ROUND PARENT`: reads the program's people in one snapshot, solves, stores what it found, ends. It
dies with the service that started it; what it has stored stays, and a round that has its result is left alone.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.matching import store
from services.matching.domain.fairness import groups
from services.matching.domain.model import (
    PEERS,
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
from services.matching.domain.plan import Left, Plan, TooLargeError, plan
from services.matching.domain.pool import Candidate, candidates
from services.matching.domain.runs import audience_of, members_of
from services.matching.domain.together import Circles, PeerPairs, circles, peer_pairs
from services.matching.parent import die_with
from shared.cloudevents import new_id
from shared.database import Database
from shared.events import Format, Member, Reason, Role


def pairs_of(found: Plan, program: Program, run_id: UUID, done: int, people: dict[str, Person]) -> list[Relationship]:
    """The plan's pairs as relationships that are still to begin; in order of their people, so that ids are too."""
    return [
        _planned(
            members_of(people[pair.mentor], people[pair.mentee]),
            pair.score,
            pair.reasons,
            Format.one_to_one,
            program,
            run_id,
            done,
        )
        for pair in found.pairs
    ]


def _planned(
    members: tuple[Member, ...], score: int, reasons: tuple[Reason, ...], form: Format, program: Program, run_id: UUID, done: int
) -> Relationship:
    return Relationship(
        id=new_id(),
        organization=program.organization,
        audience=audience_of(program.id, *(member.organization for member in members)),
        program=program.id,
        people=tuple(str(member.person_id) for member in members),
        members=members,
        status=RelationshipStatus.planned,
        score=score,
        reasons=reasons,
        run_id=run_id,
        round=done,
        format=form,
    )


@dataclass(frozen=True, slots=True)
class Together:
    """What was found of a program's peers."""

    relationships: list[Relationship]
    left: list[Left]
    score: int
    gap: int


def peers_of(
    pool: list[Candidate], program: Program, run_id: UUID, done: int, people: dict[str, Person], now: datetime
) -> Together:
    """Circles of the program's peers, or pairs where its formats name no circle."""
    peers, formats = [candidate for candidate in pool if candidate.role is Role.peer], program.policy.formats
    if not peers or not PEERS.intersection(formats):
        return Together([], [], 0, 0)
    form = Format.circle if Format.circle in formats else Format.peer_pair
    found: Circles | PeerPairs = (circles if form is Format.circle else peer_pairs)(peers, program.policy, now)
    each = found.circles if isinstance(found, Circles) else found.pairs
    relationships, score = [], 0
    for meeting in each:
        members = tuple(Member(person_id=UUID(i), role=Role.peer, organization=people[i].organization) for i in meeting.members)
        relationships.append(_planned(members, meeting.score, meeting.reasons, form, program, run_id, done))
        score += meeting.score * (len(members) * (len(members) - 1) // 2)
    return Together(relationships, found.left, score, found.gap)


def waitlist_of(found: Sequence[Left], program: Program, run: Run, people: dict[str, Person]) -> list[Waitlisted]:
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
        pool = [] if program.closed else candidates(everyone, program, now)
        found = plan(pool, program.policy, now, what_if=True)
        people = {str(person.id): person for person in everyone}
        together = peers_of(pool, program, run_id, done, people, now)
        pairs = [*pairs_of(found, program, run_id, done, people), *together.relationships]
        waiting = waitlist_of([*found.left, *together.left], program, run, people)
        async with database.transaction() as connection:
            await store.store_plan(
                connection,
                run_id,
                done,
                pairs,
                waiting,
                people=len(pool),
                score=found.score_total + together.score,
                gap=found.gap + together.gap,
                seconds=time.monotonic() - began,
                audited=groups(pool, program.policy.audit),
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
