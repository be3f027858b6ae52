"""In which state a relationship is, and which facts lead from one to another: `docs/relationship.md` draws this table, tests hold to it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from services.scheduling.domain.model import Relationship
from shared.events import AgreementSigned, Event, PairEnded, PairFrozen, PairRecovered, PairStalled, PairWarned


class State(StrEnum):
    """Where a relationship stands."""

    drafted = "drafted"
    """Its agreement waits for signatures."""
    unsigned = "unsigned"
    """It has waited for them so long that its coordinator was told."""
    running = "running"
    """Times are proposed, meetings held or missed."""
    stalled = "stalled"
    """It has gone quiet; its people were nudged, or one of them is asked whether they go on."""
    warned = "warned"
    frozen = "frozen"
    """Nothing is proposed or asked any more."""
    ended = "ended"


TRANSITIONS: Mapping[tuple[State, type[Event]], State] = {
    (State.drafted, AgreementSigned): State.running,
    (State.drafted, PairStalled): State.unsigned,
    (State.unsigned, PairRecovered): State.drafted,
    (State.running, PairStalled): State.stalled,
    (State.stalled, PairWarned): State.warned,
    (State.warned, PairFrozen): State.frozen,
    (State.stalled, PairRecovered): State.running,
    (State.warned, PairRecovered): State.running,
    (State.frozen, PairRecovered): State.running,
    (State.drafted, PairEnded): State.ended,
    (State.unsigned, PairEnded): State.ended,
    (State.running, PairEnded): State.ended,
    (State.stalled, PairEnded): State.ended,
    (State.warned, PairEnded): State.ended,
    (State.frozen, PairEnded): State.ended,
}
"""Where a fact leads, of those that lead anywhere. A signature does so only where it is the last one missing."""

MOVES = frozenset(kind for _, kind in TRANSITIONS)


def after(state: State, event: Event) -> State:
    """The state after a fact. Raises KeyError for one that can't follow."""
    waits = isinstance(event, AgreementSigned) and (not event.complete or state is not State.drafted)
    return state if waits or type(event) not in MOVES else TRANSITIONS[state, type(event)]


def state_of(relationship: Relationship) -> State:
    """As it stands."""
    steps = (
        (relationship.ended_at, State.ended),
        (relationship.frozen_at, State.frozen),
        (relationship.warned_at, State.warned),
        (relationship.stalled_at, State.unsigned if relationship.agreed_at is None else State.stalled),
        (relationship.agreed_at, State.running),
    )
    return next((state for at, state in steps if at is not None), State.drafted)


def diagram() -> Iterator[str]:
    """The table as a Mermaid state diagram, line by line."""
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.drafted}: PairCreated, GroupCreated"
    for (before, kind), later in TRANSITIONS.items():
        yield f"    {before} --> {later}: {kind.__name__}"
    yield f"    {State.ended} --> [*]"
