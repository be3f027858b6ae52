"""Says which mentors fit a mentee, best first, in a process of its own: only here and in the job are numpy and scipy loaded.

`python -m services.matching.ranker PARENT`: a question a line on standard input, an answer a line on standard output. It ends with
the service that started it, or when nobody has asked for a while.
"""

import asyncio
import os
import select
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.matching import store
from services.matching.domain.model import MONTH, Person, Program
from services.matching.domain.plan import compared
from services.matching.domain.pool import Candidate, free_spans, monday_of
from services.matching.domain.requests import Fit
from services.matching.domain.rules import Broken, Lines
from services.matching.domain.score import parts, reasons
from services.matching.job import candidates, killed_with
from services.matching.ranking import FITS, Question
from shared.database import Connection, Database
from shared.events import Profile, Reason, ReasonCode, Role

IDLE_SECONDS = 300.0


def fits(everyone: Sequence[Person], program: Program, question: Question, now: datetime) -> list[Fit]:
    """The mentors that are asked about, allowed or not; or, where none is named, the best that are allowed and have a place."""
    pool = candidates(everyone, program, now - program.policy.no_repeat_months * MONTH)
    mentee = next((p for p in pool if p.id == str(question.mentee) and p.role is Role.mentee), None)
    named, without = set(map(str, question.mentors)), set(map(str, question.without))
    mentors = sorted((p for p in pool if p.role is Role.mentor and p.id not in without), key=lambda p: p.id)
    mentors = [p for p in mentors if p.id in named] if named else [p for p in mentors if p.places > 0]
    if mentee is None or not mentors:
        return []
    score, kept = compared([mentee], mentors, program.policy, now, Lines(pool))
    allowed = [bool(rule == Broken.none) for rule in kept[0]]
    places = [n for n in range(len(mentors)) if allowed[n] or named]
    places.sort(key=lambda n: (-int(score[0, n]), mentors[n].id))
    other = None
    if not named:
        places, other = with_another_view(mentee.profile, mentee.organization, mentors, places, question.most)
    monday, known = monday_of(now), {str(person.id): person for person in everyone}
    found = []
    for n in places:
        mentor = mentors[n].profile
        spoken = parts(
            mentee.profile, mentor, program.policy.weights, (free_spans(mentee.profile, monday), free_spans(mentor, monday))
        )
        person = known[mentors[n].id]
        fit = Fit(
            mentor_id=person.id,
            mentor_revision=person.revision,
            mentee_revision=known[mentee.id].revision,
            program_revision=program.revision,
            allowed=allowed[n],
            score=int(score[0, n]),
            reasons=reasons(spoken),
        )
        if n == other:
            fit = replace(fit, reasons=(*fit.reasons, Reason(code=ReasonCode.other_perspective, number=1)))
        found.append(fit)
    return found


def with_another_view(
    profile: Profile, organization: str, mentors: Sequence[Candidate], places: list[int], most: int
) -> tuple[list[int], int | None]:
    """The first `most`, and which of them is from elsewhere; where none would be, the last place is for the best who is."""

    def elsewhere(n: int) -> bool:
        mentor = mentors[n]
        function = mentor.profile.function
        return mentor.organization != organization or bool(function and profile.function and function != profile.function)

    chosen = places[:most]
    if all(map(elsewhere, chosen)):
        return chosen, None  # nothing to mark where everyone is
    other = next((n for n in chosen if elsewhere(n)), None)
    if other is None:
        other = next((n for n in places[most:] if elsewhere(n)), None)
        if other is not None:
            chosen[-1] = other
    return chosen, other


class Known:
    """The people of the program that was asked about last: only those whose rows have changed since are read again."""

    def __init__(self) -> None:
        self.program = ""
        self.versions: dict[UUID, str] = {}
        self.people: dict[UUID, Person] = {}

    async def of(self, connection: Connection, program: str) -> list[Person]:
        versions = await store.enrolled(connection, program)
        before = self.versions if program == self.program else {}
        kept = {person: self.people[person] for person, version in versions.items() if before.get(person) == version}
        read = await store.people_of(connection, [person for person in versions if person not in kept])
        self.program, self.versions, self.people = program, versions, kept | read
        return list(self.people.values())


async def answer(database: Database, known: Known, question: Question) -> list[Fit]:
    """As things stand in one snapshot. Two people are enough to compare them, unless one of them has a line of managers."""
    async with database.transaction() as connection:
        await connection.execute("set transaction isolation level repeatable read, read only")
        program = await store.program_of(connection, question.program)
        if program is None or program.closed:
            return []
        people = list((await store.people_of(connection, [question.mentee, *question.mentors])).values())
        lines = program.policy.not_in_own_line and any(p.profile and p.profile.reports_to for p in people)
        if not question.mentors or lines:
            people = await known.of(connection, question.program)
    return fits(people, program, question, database.clock.now())


async def serve(database: Database) -> None:
    """Answer until nobody asks any more."""
    await database.start()
    known = Known()
    try:
        while (await asyncio.to_thread(select.select, [0], [], [], IDLE_SECONDS))[0] and (line := sys.stdin.buffer.readline()):
            found = await answer(database, known, Question.model_validate_json(line))
            sys.stdout.buffer.write(FITS.dump_json(found) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        await database.stop()


def main() -> None:
    killed_with(int(sys.argv[1]))
    os.nice(5)  # the service's own events go first
    asyncio.run(serve(Database(os.environ["ITHACA_DATABASE"], "matching", size=2)))


if __name__ == "__main__":
    main()
