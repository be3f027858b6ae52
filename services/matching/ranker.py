"""Says which mentors fit a mentee, best first, what open proposals are worth today, and who may join a group, in a process of its own:
only here and in the job is numpy loaded.

`python -m services.matching.ranker PARENT`: a question a line on standard input, an answer a line on standard output. It ends with
the service that started it, or when nobody has asked for a while.
"""

import asyncio
import gc
import os
import select
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from uuid import UUID

from services.matching import store
from services.matching.domain.anew import anew
from services.matching.domain.fits import Field, Ranked, ranked, why
from services.matching.domain.model import Person, Program
from services.matching.domain.newcomers import newcomers
from services.matching.domain.pool import Candidate, candidates, monday_of
from services.matching.domain.requests import Fit
from services.matching.parent import killed_with
from services.matching.ranking import ANEW, FITS, NEWCOMERS, QUESTIONS, Joining, Proposals, Question
from shared.database import Connection, Database
from shared.events import Policy, Reason, ReasonCode, Role

IDLE_SECONDS = 300.0


def fits(people: Mapping[UUID, Person], field: Field, program: Program, question: Question, now: datetime) -> list[Fit]:
    """The mentors that are asked about, allowed or not; or, where none is named, the best that are allowed and have a place."""
    asking = candidates([people[question.mentee]] if question.mentee in people else [], program, now)
    mentee = next((p for p in asking if p.role is Role.mentee), None)
    named, without = set(map(str, question.mentors)), set(map(str, question.without))
    mentors = [p for p in field.mentors if (p.id in named if named else p.places > 0) and p.id not in without]
    if mentee is None or not mentors:
        return []
    found, other = ranked(mentee, mentors, field, any_score=question.known), None
    if not named:
        found, other = with_another_view(mentee, [one for one in found if one.allowed], question.most)
    return [
        Fit(
            mentor_id=(person := people[UUID(one.mentor.id)]).id,
            mentor_revision=person.revision,
            mentee_revision=people[question.mentee].revision,
            program_revision=program.revision,
            allowed=one.allowed,
            score=max(one.score, 0),
            reasons=why(mentee, one.mentor, field) + ((ANOTHER_VIEW,) if one is other else ()),
        )
        for one in found
    ]


ANOTHER_VIEW = Reason(code=ReasonCode.other_perspective, number=1)


def with_another_view(mentee: Candidate, found: Sequence[Ranked], most: int) -> tuple[list[Ranked], Ranked | None]:
    """The first `most`, and which of them is from elsewhere; where none would be, the last place is for the best who is."""

    def elsewhere(one: Ranked) -> bool:
        function, own = one.mentor.profile.function, mentee.profile.function
        return one.mentor.organization != mentee.organization or bool(function and own and function != own)

    chosen = list(found[:most])
    if all(map(elsewhere, chosen)):
        return chosen, None  # nothing to mark where everyone is
    other = next(filter(elsewhere, chosen), None)
    if other is None:
        other = next(filter(elsewhere, found[most:]), None)
        if other is not None:
            chosen[-1] = other
    return chosen, other


@contextmanager
def lasting() -> Iterator[None]:
    """What is made inside is there to stay, so that the collector of cycles needn't go through it: that took longer than an answer."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Known:
    """The program that was asked about last: only those whose rows have changed since are read again."""

    def __init__(self) -> None:
        self.basis: tuple[str, Policy, date] | None = None
        self.versions: dict[UUID, str] = {}
        self.people: dict[UUID, Person] = {}
        self.field = Field((), Policy(), date.min)

    async def of(self, connection: Connection, program: Program, now: datetime) -> tuple[Mapping[UUID, Person], Field]:
        """Everyone who is enrolled, and those of them who take part."""
        basis = program.id, program.policy, monday_of(now)
        versions = await store.enrolled(connection, program.id)
        before = self.versions if self.basis and self.basis[0] == program.id else {}
        changed = [person for person, version in versions.items() if before.get(person) != version]
        if changed or len(before) != len(versions) or basis != self.basis:
            with lasting():
                read = await store.people_of(connection, changed)
                self.people = {person: read.get(person) or self.people[person] for person in versions}
                self.field = Field(candidates(self.people.values(), program, now), program.policy, basis[2])
                self.basis, self.versions = basis, versions
        return self.people, self.field


async def answer(database: Database, known: Known, question: Question | Proposals | Joining) -> bytes:
    """As things stand in one snapshot. What a score is made of hangs on everyone, so two people alone can't be compared."""
    async with database.transaction() as connection:
        await connection.execute("set transaction isolation level repeatable read, read only")
        program = await store.program_of(connection, question.program)
        if program is None or program.closed:
            return b"[]"
        now = database.clock.now()
        people, field = await known.of(connection, program, now)
        if isinstance(question, Proposals):
            proposals = await store.proposals_of(connection, question.proposals)
            return ANEW.dump_json(anew(proposals, people, program, now))
        if isinstance(question, Joining):
            group = await store.relationship_of(connection, question.group)
            found = newcomers(group, people, program, now, question.named, question.most) if group else []
            return NEWCOMERS.dump_json(found)
    return FITS.dump_json(fits(people, field, program, question, now))


async def serve(database: Database) -> None:
    """Answer until nobody asks any more."""
    await database.start()
    known = Known()
    try:
        while (await asyncio.to_thread(select.select, [0], [], [], IDLE_SECONDS))[0] and (line := sys.stdin.buffer.readline()):
            sys.stdout.buffer.write(await answer(database, known, QUESTIONS.validate_json(line)) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        await database.stop()


def main() -> None:
    killed_with(int(sys.argv[1]))
    os.nice(5)  # the service's own events go first
    asyncio.run(serve(Database(os.environ["ITHACA_DATABASE"], "matching", size=2)))


if __name__ == "__main__":
    main()
