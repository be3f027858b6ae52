"""A small service for the core's tests: it counts what it sees of a pair and tells each step by an event numbered per pair.

`python -m tests.core.ledger TOPIC…` runs a copy of it in a process of its own, for tests that freeze or kill one.
"""

import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from shared.cloudevents import new_id
from shared.decisions import NOTHING, Action, Context, Lookup, Outcome, at, awaited, changed, new, on
from shared.errors import Rejected, TryLater
from shared.events import (
    TOPICS,
    ContactLogged,
    MatchApproved,
    MeetingHeld,
    MeetingMissed,
    MeetingReported,
    Member,
    PairCreated,
    PairEnded,
    ProgramClosed,
    Topic,
)
from shared.service import Service, Settings
from shared.tables import Table
from shared.telemetry import log_to_stderr
from shared.timers import DueTimer

PROGRAM = "acme.first"
ORGANIZATION = "acme"

MIGRATIONS = Path(__file__).parent / "migrations"

# What a meeting's minutes make the ledger do.
MET, BUG, SYSTEM_ERROR, UNSAVEABLE, TOO_SHORT, WAITS_FOR_ANOTHER = 30, 13, 14, 66, 7, 21


@dataclass(frozen=True, slots=True)
class Pair:
    id: UUID
    organization: str
    program: str
    seen: int = 0
    last: int = 0
    revision: int = 0
    said: tuple[str, ...] = ()


def told(pair: Pair) -> Outcome:
    """The pair's next revision, and the event that tells it."""
    pair = dataclasses.replace(pair, revision=pair.revision + 1)
    step = MeetingMissed(
        relationship_id=pair.id,
        program=pair.program,
        meeting_id=pair.id,
        starts_at=datetime(2026, 1, 1, tzinfo=UTC),
        absent="both_silent",
        misses_in_a_row=1,
        revision=pair.revision,
    )
    return new(pair).then(step)


def created(pair: Pair | None, event: PairCreated, context: Context) -> Outcome:
    if pair is not None:
        return NOTHING
    return new(Pair(event.relationship_id, context.organization, event.program))


def held(pair: Pair | None, event: MeetingHeld, context: Context) -> Outcome:
    """Counts; `revision` is the sequence number by which tests check the order."""
    if pair is None:
        raise TryLater(awaited(Pair, event.relationship_id))
    if event.minutes == BUG:
        raise ZeroDivisionError("private words")
    if event.minutes == SYSTEM_ERROR:
        raise IsADirectoryError("what ZoneInfo('America') raises")
    seen = pair.seen + 1 if event.minutes != UNSAVEABLE else -1_000_000
    said = pair.said if event.revision > pair.last else (*pair.said, f"{event.revision} after {pair.last}")
    return told(dataclasses.replace(pair, seen=seen, last=event.revision, said=said))


def reported(pair: Pair | None, event: MeetingReported, context: Context) -> Outcome:
    """A report arms a timer; it may be too short, or wait for a pair of which we never hear."""
    if pair is None or event.minutes == WAITS_FOR_ANOTHER:
        raise TryLater(awaited(Pair, event.relationship_id if pair is None else UUID(int=7)))
    if event.minutes == TOO_SHORT:
        raise Rejected("too_short", "A meeting takes longer.", field="minutes")
    return changed(pair, seen=pair.seen + 1).arm("quiet", pair.id, pair.id, event.held_at + timedelta(days=1))


def contacted(pair: Pair | None, event: ContactLogged, context: Context) -> Outcome:
    """We met after all: the timer is cleared."""
    assert pair is not None
    return told(dataclasses.replace(pair, said=(*pair.said, "in touch"))).clear("quiet", pair.id)


def approved(pair: Pair | None, event: MatchApproved, context: Context) -> Outcome:
    """A handler with a fault: it emits for a pair that it doesn't hold."""
    return Outcome((), told(Pair(event.relationship_id, ORGANIZATION, PROGRAM)).events)


def closed(pair: Pair | None, event: ProgramClosed, context: Context) -> Outcome:
    assert pair is not None
    return told(pair)


def ended(pair: Pair | None, event: PairEnded, context: Context) -> Outcome:
    return NOTHING if pair is None else Outcome(removed=(pair,))


def quiet(pair: Pair | None, timer: DueTimer, context: Context) -> Outcome:
    if pair is None:
        raise ZeroDivisionError("private words")
    return told(dataclasses.replace(pair, said=(*pair.said, f"quiet since {timer.fire_at:%Y-%m-%d}")))


def spoil(pair: Pair | None, timer: DueTimer, context: Context) -> Outcome:
    assert pair is not None
    return changed(pair, seen=-1)


def touched(pair: Pair | None, context: Context) -> Outcome:
    """A person's click; it arms a timer that is due at once."""
    if pair is None:
        raise Rejected("no_such_pair", "There is no such pair.", status=404)
    outcome = told(dataclasses.replace(pair, seen=pair.seen + 1))
    return outcome.arm("quiet", pair.id, pair.id, context.now).returning(pair.revision + 1)


def touch(pair: UUID) -> Action:
    return Action(Pair, pair, touched, organization=ORGANIZATION, program=PROGRAM)


TABLES = [Table(Pair, "pairs")]
OF_PROGRAM = Lookup("select program, id from pairs where program = any($1::text[]) order by id", lambda event: (event.program,))
HANDLERS = [
    on(PairCreated, Pair, by="relationship_id", do=created),
    on(MeetingHeld, Pair, by="relationship_id", do=held),
    on(MeetingReported, Pair, by="relationship_id", do=reported),
    on(ContactLogged, Pair, by="relationship_id", do=contacted),
    on(MatchApproved, Pair, by="relationship_id", do=approved),
    on(PairEnded, Pair, by="relationship_id", do=ended),
    on(ProgramClosed, Pair, by=OF_PROGRAM, do=closed),
    at("quiet", Pair, do=quiet),
    at("spoil", Pair, do=spoil),
    at("overdue", Pair, do=quiet, heeds=(MeetingReported,)),
]


def build(settings: Settings, topics: Sequence[str] = ("matching", "scheduling", "reports")) -> Service:
    """It takes scheduling's place."""
    return Service("scheduling", TABLES, HANDLERS, MIGRATIONS, topics=topics, settings=settings)


def pair_created(pair: UUID, program: str = PROGRAM) -> PairCreated:
    people = tuple(Member(person_id=new_id(), role=role, organization=ORGANIZATION) for role in ("mentor", "mentee"))
    return PairCreated(
        relationship_id=pair, program=program, format="one_to_one", term="long", score=1, members=people, reasons=()
    )


def meeting_held(pair: UUID, revision: int, minutes: int = MET) -> MeetingHeld:
    return MeetingHeld(
        relationship_id=pair,
        program=PROGRAM,
        meeting_id=new_id(),
        held_at=datetime.now(UTC),
        minutes=minutes,
        attended=(),
        revision=revision,
        corrects_missed=False,
    )


def meeting_reported(pair: UUID, minutes: int = MET, at: datetime | None = None) -> MeetingReported:
    return MeetingReported(
        relationship_id=pair,
        program=PROGRAM,
        organization=ORGANIZATION,
        report_id=f"report-{minutes}",
        report_source="https://acme.example/calendar",
        held_at=at or datetime.now(UTC),
        minutes=minutes,
        attended=(),
    )


def contact_logged(pair: UUID) -> ContactLogged:
    return ContactLogged(relationship_id=pair, program=PROGRAM, contact_id=new_id(), person_id=new_id(), at=datetime.now(UTC))


def main() -> None:
    for name in sys.argv[1:]:
        TOPICS.setdefault(name, Topic(name, "relationship", ("scheduling",), ("scheduling",)))
    log_to_stderr("scheduling")
    service = build(Settings(), sys.argv[1:])
    service.consumer.session_ms = int(os.environ.get("LEDGER_SESSION_MS", "10000"))
    service.consumer.group = os.environ.get("LEDGER_GROUP", "scheduling")
    asyncio.run(service._main())


if __name__ == "__main__":
    main()
