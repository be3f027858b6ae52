"""A small service for the core's tests: it counts what it sees of a pair and answers each event with one of its own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from shared.errors import Rejected, TryLater
from shared.events import ContactLogged, MeetingHeld, MeetingMissed, MeetingReported, PairCreated, PairStalled
from shared.service import Service, Settings
from shared.work import NOTHING, Context, Outcome, Table, at, awaited, changed, new, on


@dataclass(frozen=True, slots=True)
class Pair:
    id: UUID
    organization: str
    seen: int = 0
    last: int = 0
    said: tuple[str, ...] = ()


def created(pair: Pair | None, event: PairCreated, context: Context) -> Outcome:
    if pair is not None:
        return NOTHING
    return new(Pair(event.relationship_id, context.organization))


def held(pair: Pair | None, event: MeetingHeld, context: Context) -> Outcome:
    """Counts; `revision` is the sequence number that tests check the order by."""
    if pair is None:
        raise TryLater(awaited(Pair, event.relationship_id))
    if event.minutes == 13:
        raise ZeroDivisionError("a bug")
    said = (*pair.said, f"out of order: {event.revision} after {pair.last}") if event.revision != pair.last + 1 else pair.said
    follows = MeetingMissed(
        relationship_id=pair.id, program=event.program, meeting_id=event.meeting_id, starts_at=event.held_at,
        absent="both_silent", misses_in_a_row=1, revision=event.revision,
    )
    return changed(pair, seen=pair.seen + 1, last=event.revision, said=said).then(follows)


def reported(pair: Pair | None, event: MeetingReported, context: Context) -> Outcome:
    if pair is None:
        raise TryLater(awaited(Pair, event.relationship_id))
    if event.minutes == 7:
        raise Rejected("too_short", field="minutes")
    return changed(pair, seen=pair.seen + 1).arm("quiet", pair.id, pair.id, event.held_at + timedelta(days=1))


def quiet(pair: Pair | None, timer: object, context: Context) -> Outcome:
    assert pair is not None
    stalled = PairStalled(relationship_id=pair.id, program="a.b", reason="quiet", misses_in_a_row=0)
    return changed(pair, said=(*pair.said, f"quiet {context.now:%Y-%m-%d}")).then(stalled)


TABLES = [Table(Pair, "pairs")]
HANDLERS = [
    on(PairCreated, Pair, by="relationship_id", do=created),
    on(MeetingHeld, Pair, by="relationship_id", do=held),
    on(MeetingReported, Pair, by="relationship_id", do=reported),
    at("quiet", Pair, do=quiet),
]


def build(settings: Settings) -> Service:
    """It takes scheduling's place, and reads what scheduling would."""
    return Service(
        "scheduling", TABLES, HANDLERS, Path(__file__).parent / "migrations", topics=["matching", "scheduling", "reports"], settings=settings
    )
