"""What a run of chaos tells: the faults with their stalls, what the load came to, and whether the ledger agrees."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.chaos.draw import Faults, Strike
from benchmarks.chaos.ledger import Fact, Ledger
from benchmarks.chaos.load import Calls

BEFORE_SECONDS, AFTER_SECONDS = 1.0, 2.0
"""What began so shortly before a fault, or after its end, may have met it."""


@dataclass(frozen=True)
class Chain:
    """A report from its acknowledgement to the fact that scheduling decided on it, in `time.time()`."""

    began: float
    seconds: float


def chains(ledger: Ledger, facts: Sequence[Fact]) -> list[Chain]:
    """Of each report that was answered."""
    decided: dict[str, float] = {}
    for fact in facts:
        if fact.type == "MeetingHeld" and fact.causation in ledger.reported_at:
            decided.setdefault(fact.causation, fact.written)
    return [Chain(began, max(0.0, decided[report] - began)) for report, began in ledger.reported_at.items() if report in decided]


@dataclass(frozen=True)
class Stall:
    """What one kind of fault cost those outside. Faults overlap: a figure may hold another's share, never less than its own."""

    times: int
    call: float
    """The longest that a call waited for its answer, tries included."""
    chain: float
    """The longest from a report's acknowledgement to its decided fact on Kafka; 0 where no report was under way."""


def stalls(faults: Faults, calls: Calls, reported: Sequence[Chain]) -> dict[str, Stall]:
    """By kind of fault."""
    ordered = sorted(reported, key=lambda chain: chain.began)
    found = {}
    for name, strikes in faults.done.items():
        waits = [end - began for strike in strikes for began, end, _ in calls.waits if meets(strike, began, end)]
        found[name] = Stall(len(strikes), max(waits, default=0.0), max(longest_chain(strike, ordered) for strike in strikes))
    return found


def meets(strike: Strike, began: float, ended: float) -> bool:
    return began < strike.ended + strike.felt + AFTER_SECONDS and ended > strike.began


def longest_chain(strike: Strike, reported: Sequence[Chain]) -> float:
    begin, end = strike.began - BEFORE_SECONDS, strike.ended + strike.felt + AFTER_SECONDS
    return max((chain.seconds for chain in reported if begin < chain.began < end), default=0.0)


def longest(reported: Sequence[Chain]) -> str:
    """The longest of all, and when it began, to be found among the faults and in the logs."""
    worst = max(reported, key=lambda chain: chain.seconds, default=Chain(0.0, 0.0))
    return f"{worst.seconds:.1f} s from {datetime.fromtimestamp(worst.began, UTC):%H:%M:%S}, of {len(reported)} reports"


def fault_table(found: dict[str, Stall]) -> str:
    lines = [
        "| fault | times | longest wait for an answer, s | longest from report to decision, s |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {name} | {s.times} | {s.call:.1f} | {s.chain:.1f} |" for name, s in found.items()]
    return "\n".join(lines)


def summary(calls: Calls, facts: Sequence[Fact], doubled: int) -> str:
    """What the load came to, in three lines."""
    topics = Counter(fact.topic for fact in facts)
    again = len(facts) - len({fact.id for fact in facts})
    seconds, what = calls.stall
    stall = f"longest stall {seconds:.1f} s ({what})"
    return "\n".join(
        (
            f"{'events':14} {len(facts)}: " + ", ".join(f"{topic} {count}" for topic, count in topics.most_common()),
            f"{'sent again':14} {again} events, {doubled} mails with the same Message-ID",
            f"{'outside':14} {calls.answered} calls answered, {calls.tries - calls.answered} tried again; {stall}",
        )
    )


def short_table(faults: Faults) -> str:
    """The faults of a short run by what they struck."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, strikes in faults.done.items():
        found[name.partition(" ")[0].removesuffix("'s")].append(f"{name} × {len(strikes)}")
    return "\n".join(f"{what:14} {', '.join(how)}" for what, how in found.items())
