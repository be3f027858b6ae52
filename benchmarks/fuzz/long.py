"""The long run: calls and records by two processes until there were enough, a table of how all of it ended, and what was wrong."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from benchmarks.fuzz.api import Api, Tally
from benchmarks.fuzz.ground import World, world
from benchmarks.fuzz.topics import Topics
from shared.events import SERVICES, TOPICS

PROCESSES = 2
CALLS, RECORDS = 240, 1000
"""Of one route, or onto one topic, at a time."""
TELL_SECONDS = 15.0


@dataclass(frozen=True)
class Task:
    """So many calls of one of a service's routes, or so many records onto a topic, drawn by `number`."""

    where: str
    route: int | None
    count: int
    number: int


@dataclass
class Done:
    """What a task came to."""

    name: str
    tally: Tally
    wrong: str = ""
    held: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Result:
    """How a run ended."""

    calls: int
    seconds: float
    text: str
    wrong: list[str]


class Hands:
    """What one process fuzzes with."""

    api: Api
    topics: Topics

    @classmethod
    def begin(cls, fuzzed: World) -> None:
        cls.api, cls.topics = Api(fuzzed), Topics(fuzzed)

    @classmethod
    def do(cls, task: Task) -> Done:
        return cls.put(task) if task.route is None else cls.call(task, task.route)

    @classmethod
    def call(cls, task: Task, route: int) -> Done:
        operation = cls.api.operations[task.where][route]
        name = f"{task.where} {operation.label}"
        cls.api.tallies.pop(name, None)
        failure = cls.api.fuzz(task.where, operation, task.count, task.number)
        return Done(name, cls.api.tallies[name], failure.text if failure else "")

    @classmethod
    def put(cls, task: Task) -> Done:
        before, reasons = cls.topics.held[task.where].total(), cls.topics.reasons.copy()
        cls.topics.seconds.pop(task.where, None)
        records = cls.topics.records[task.where]
        wrong = asyncio.run(cls.topics.fuzz(task.where, task.count, task.number))
        tally = Tally(cls.topics.records[task.where] - records, slowest=cls.topics.seconds[task.where])
        held = cls.topics.held[task.where].total() - before
        return Done(f"topic {task.where}", tally, str(wrong), held, cls.topics.reasons - reasons)


def tasks(routes: dict[str, int], number: int) -> Iterator[Task]:
    """Round by round every route once, and every topic as often as makes as many records as calls."""
    each = [(service, route) for service in SERVICES for route in range(routes[service])]
    topics = itertools.cycle(sorted(TOPICS))
    owed = 0
    for n in itertools.count():
        for where, route in each:
            yield Task(where, route, CALLS, number + n)
            owed += CALLS
            if owed >= RECORDS:
                owed -= RECORDS
                yield Task(next(topics), None, RECORDS, number + n)


def run(home: Path, calls: int, number: int, say: Callable[[str], None]) -> Result:
    """Fuzz until so many calls were made and records sent; a route or topic that failed is left alone from then on."""
    with world(home) as fuzzed:
        say("All services run; fuzzing")
        began = time.monotonic()
        done = Run(calls, number, say, began)
        context = get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=Hands.begin, initargs=(fuzzed,)) as pool:
            done.all(pool, {service: len(routes) for service, routes in Api(fuzzed).operations.items()})
        told = fuzzed.told_in_logs()
        if told:
            done.wrong["logs"] = "values of a person in logs:\n" + "\n".join(told[:12])
        seconds = time.monotonic() - began
    return Result(done.count, seconds, done.table(), [f"{name}\n{text}" for name, text in done.wrong.items()])


@dataclass
class Run:
    """How far it has come."""

    calls: int
    number: int
    say: Callable[[str], None]
    told: float
    count: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    def all(self, pool: ProcessPoolExecutor, routes: dict[str, int]) -> None:
        began, left = time.monotonic(), tasks(routes, self.number)
        places: dict[tuple[str, int | None], str] = {}
        under_way: dict[Future[Done], Task] = {}
        while self.count < self.calls or under_way:
            while self.count < self.calls and len(under_way) <= PROCESSES:
                task = next(task for task in left if places.get((task.where, task.route)) not in self.wrong)
                under_way[pool.submit(Hands.do, task)] = task
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                task, done = under_way.pop(future), future.result()
                places[task.where, task.route] = done.name
                self.take(done)
            if time.monotonic() - self.told > TELL_SECONDS:
                self.told = time.monotonic()
                self.say(f"{self.count:,} of {self.calls:,} in {self.told - began:.0f} s; {len(self.wrong)} failed")

    def take(self, done: Done) -> None:
        tally = self.tallies.setdefault(done.name, Tally())
        tally.add(done.tally)
        self.count += done.tally.calls
        self.held[done.name] += done.held
        self.reasons += done.reasons
        if done.wrong and done.name not in self.wrong:
            self.wrong[done.name] = done.wrong
            self.say(f"{done.name}\n{done.wrong}")

    def table(self) -> str:
        """By route and topic, in Markdown."""
        lines = [
            "| route or topic | calls | 2xx, 3xx | 4xx | 5xx | slowest, s | held |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        whole = Tally()
        for name in sorted(self.tallies, key=lambda name: (name.startswith("topic "), name)):
            tally = self.tallies[name]
            whole.add(tally)
            if topic := name.removeprefix("topic ") if name.startswith("topic ") else "":
                readers = tally.calls * len(TOPICS[topic].readers)
                lines.append(f"| {name} | {tally.calls} | | | | {tally.slowest:.1f} | {self.held[name]} of {readers} |")
            else:
                lines.append(f"| {name} | {tally.calls} | {counts(tally)} | {tally.slowest:.2f} | |")
        lines.append(f"| **all** | {whole.calls} | {counts(whole)} | | {self.held.total()} |")
        return "\n".join(lines)


def counts(tally: Tally) -> str:
    return f"{tally.of(2) + tally.of(3)} | {tally.of(4)} | {tally.of(5)}"
