"""Long work: a run waits for its roster, is solved by a process of its own, and is applied in chunks under locks.

All state is in the database: whichever copy holds a run's advisory lock drives it, and takes it up where another left it. The lock
only saves work; two drivers at once would do no harm, since each step looks at the run and its rows under their locks.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from opentelemetry.trace import SpanKind

from services.matching import store
from services.matching.domain.model import TOO_LARGE, Person, Program, Relationship, Run, RunStatus, Waitlisted
from services.matching.domain.runs import apply_pair, fail_run, finish_run, next_round, start_run, tell_waiting
from shared.clock import rung
from shared.decisions import Action
from shared.errors import PASSING, describe
from shared.service import Service
from shared.telemetry import SMALL_FAN_OUT
from shared.work import Decided

log = logging.getLogger("ithaca.matching.jobs")

ROOT = Path(__file__).parents[2]
CHUNK = 250
"""Pairs in one transaction: 500 people locked for about a tenth of a second."""
ATTEMPTS = 5
REST_SECONDS = 1.0
BREATH_SECONDS = 0.25
"""Between two looks at a roster that is still arriving."""
LOCKED_SECONDS = 5.0
"""Before asking again for a run that another copy drives."""
KEEP_ASKED = timedelta(days=30)


async def runs(service: Service) -> None:
    """Start the runs whose roster has arrived, and drive those that work."""
    wake = asyncio.Event()

    def committed(decided: Decided) -> None:
        if any(kind in (Run, Program, Person) for kind, _ in decided.saved):
            wake.set()

    service.work.committed.append(committed)
    drivers = Drivers(service)
    cleaned = 0.0
    try:
        while True:
            wake.clear()
            waiting = await drivers.look()
            if time.monotonic() - cleaned > 3600:
                cleaned = time.monotonic()
                async with service.database.transaction() as connection:
                    await store.forget_asked(connection, service.database.clock.now() - KEEP_ASKED)
                    await store.forget_audited(connection)
            await asyncio.sleep(BREATH_SECONDS if waiting else BREATH_SECONDS / 5)
            await rung(wake, REST_SECONDS)
    finally:
        service.work.committed.remove(committed)
        await drivers.stop()


class Drivers:
    """The runs that this copy drives, a task each; one solves at a time."""

    def __init__(self, service: Service) -> None:
        self.service, self.database = service, service.database
        self.tasks: dict[UUID, asyncio.Task[None]] = {}
        self.locked: dict[UUID, float] = {}
        self.solver = asyncio.Semaphore(1)

    async def look(self) -> bool:
        """Start what can start and drive what is at work; whether any run still waits."""
        async with self.database.transaction() as connection:
            ready = await store.startable(connection)
            found = await store.open_runs(connection)
        for run_id in ready:
            await self._start(run_id)
        at_work = [run_id for run_id, status in found if status != RunStatus.waiting_for_roster]
        now = time.monotonic()
        for run_id in [*at_work, *ready]:
            task = self.tasks.get(run_id)
            if (task is None or task.done()) and now - self.locked.get(run_id, 0.0) > LOCKED_SECONDS:
                self.tasks[run_id] = asyncio.create_task(self._supervised(run_id), name=f"run {run_id}")
        self.tasks = {run_id: task for run_id, task in self.tasks.items() if not task.done()}
        self.locked = {run_id: at for run_id, at in self.locked.items() if run_id in at_work}
        return len(at_work) + len(ready) < len(found)

    async def stop(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def _start(self, run_id: UUID) -> None:
        run = await self._read(run_id)
        if run is not None:
            start = partial(start_run, self.database.clock.wall())
            await self.service.work.act(self._on_run(run, start))

    async def _supervised(self, run_id: UUID) -> None:
        """Drive; what fails is logged and taken up again by a later look."""
        try:
            await self._drive(run_id)
        except PASSING as error:
            log.warning("a match run waits: %s", describe(error), extra={"ids": {"run": str(run_id)}})
        except Exception as error:  # noqa: BLE001 - one run's bug must not stop the others
            self.locked[run_id] = time.monotonic()
            log.error("a match run stands: %s", describe(error), extra={"ids": {"run": str(run_id)}})  # noqa: TRY400

    async def _drive(self, run_id: UUID) -> None:
        connection = await self.database.connect()
        try:
            if not await connection.fetchval(store.DRIVES, str(run_id)):
                self.locked[run_id] = time.monotonic()
                return
            while (run := await self._read(run_id)) is not None:
                if run.status is RunStatus.solving:
                    async with self.solver:
                        await self._solve(run)
                elif run.status is RunStatus.applying:
                    await self._apply(run)
                else:
                    return
        finally:
            connection.terminate()

    async def _read(self, run_id: UUID) -> Run | None:
        async with self.database.transaction() as connection:
            return await store.run_of(connection, run_id)

    def _on_run(self, run: Run, do: Any) -> Action:
        return Action(
            Run,
            run.id,
            do,
            organization=run.organization,
            program=run.program,
            traceparent=run.traceparent,
            correlation=run.correlation,
            reads={Program: (run.program,)},
        )

    # -- solving

    async def _solve(self, run: Run) -> None:
        """The job reads, solves and stores by itself; here we only see how it ended."""
        attributes: dict[str, str | int] = {"ithaca.key": str(run.id), "ithaca.round": run.round}
        span, _ = self.service.telemetry.start("solve", SpanKind.INTERNAL, run.traceparent, attributes)
        try:
            code = await self._job(run)
        finally:
            if span is not None:
                span.end()
        after = await self._read(run.id)
        if after is None or after.status is not RunStatus.solving or after.round != run.round:
            return
        problem, attempts = ("too_many_people", 1) if code == TOO_LARGE else ("job_failed", ATTEMPTS)
        log.error("the job of a match run gave no result", extra={"ids": {"run": str(run.id), "code": code}})
        await self.service.work.act(self._on_run(run, partial(fail_run, problem, attempts)))
        await asyncio.sleep(0.2 * 2**run.attempts)

    async def _job(self, run: Run) -> int:
        """Run the job's process to its end; it dies with us."""
        environment = os.environ | {
            "ITHACA_DATABASE": self.database.dsn,
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.matching.job", str(run.id), str(run.round), str(os.getpid()),
            env=environment, cwd=ROOT, stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    # -- applying

    async def _apply(self, run: Run) -> None:
        """Pairs, then perhaps another round for those that no longer held, then the waitlist, then the end."""
        own_traces = run.planned > SMALL_FAN_OUT
        while pairs := await self._fetch(store.planned, run.id):
            await self._act([self._pair(run, pair, people, own_traces) for pair, people in pairs])
        async with self.database.transaction() as connection:
            dropped = await connection.fetchval(store.DROPPED, run.id, run.round)
        if dropped and await self.service.work.act(self._on_run(run, partial(next_round, run.round))):
            return
        async with self.database.transaction() as connection:
            own_traces = await connection.fetchval(store.TO_TELL_COUNT, run.id) > SMALL_FAN_OUT
        while waiting := await self._fetch(store.to_tell, run.id):
            await self._act([self._waiting(run, row, person, own_traces) for row, person in waiting])
        async with self.database.transaction() as connection:
            totals = await store.totals(connection, run.id)
        finish = partial(finish_run, totals, self.database.clock.wall())
        await self.service.work.act(self._on_run(run, finish))
        async with self.database.transaction() as connection:
            await store.forget_audited(connection)

    async def _fetch(self, query: Any, run_id: UUID) -> Any:
        async with self.database.transaction() as connection:
            return await query(connection, run_id, CHUNK)

    async def _act(self, actions: Sequence[Action]) -> None:
        for outcome in await self.service.work.act_all(actions, seconds=30):
            if isinstance(outcome, Exception):
                raise outcome

    def _pair(self, run: Run, relationship_id: UUID, people: list[UUID], own_trace: bool) -> Action:
        return Action(
            Relationship,
            relationship_id,
            apply_pair,
            organization=run.organization,
            program=run.program,
            traceparent=self._trace(run, "PairCreated", relationship_id, own_trace),
            correlation=run.correlation,
            reads={Program: (run.program,), Person: people},
        )

    def _waiting(self, run: Run, row: UUID, person: UUID, own_trace: bool) -> Action:
        return Action(
            Waitlisted,
            row,
            tell_waiting,
            organization=run.organization,
            program=run.program,
            traceparent=self._trace(run, "PersonWaitlisted", person, own_trace),
            correlation=run.correlation,
            reads={Program: (run.program,), Person: (person,)},
        )

    def _trace(self, run: Run, what: str, key: UUID, own: bool) -> str:
        """Few effects continue the run's trace; of many each starts its own, with a link."""
        if not own:
            return run.traceparent
        span, traceparent = self.service.telemetry.start(
            f"create {what}", SpanKind.PRODUCER, "", {"ithaca.key": str(key)}, cause=run.traceparent
        )
        if span is not None:
            span.end()
        return traceparent
