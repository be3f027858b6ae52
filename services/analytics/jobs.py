"""ProgramMeasured: once a minute at most, the numbers of each program whose numbers changed."""

import asyncio
import logging
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.analytics import store
from services.analytics.domain.counts import MEASURED_EVERY, Counts, Measured
from shared.decisions import NOTHING, Action, Context, Outcome, new
from shared.events import Event, ProgramId, ProgramMeasured, owner_of
from shared.service import Service
from shared.work import Decided

log = logging.getLogger("ithaca.analytics")

LOOK_SECONDS = 1.0
LOOK_AT_ALL_SECONDS = 600.0
"""A copy that dies forgets which programs changed; so all are looked at now and then."""

PROGRAM = TypeAdapter[str](ProgramId)
PUBLISHED = tuple(name for name in ProgramMeasured.model_fields if name in Counts.__dataclass_fields__)


def measured(known: Measured | None, program: str, counts: Counts, context: Context) -> Outcome:
    """Publish numbers that differ from those published last, unless that was less than a minute ago; the result says if it's done."""
    numbers = published(counts)
    if known is not None and published(known.counts) == numbers:
        return NOTHING.returning(True)
    if known is not None and context.now < known.measured_at + MEASURED_EVERY:
        return NOTHING.returning(False)
    owner = owner_of(program)
    event = ProgramMeasured(program=program, as_of=context.now, audience=(owner,), **numbers)
    return new(Measured(program, owner, context.now, counts)).then(event).returning(True)


def published(counts: Counts) -> dict[str, int]:
    """The numbers that ProgramMeasured has."""
    return {name: getattr(counts, name) for name in PUBLISHED}


class Changed:
    """The programs whose events this copy has stored since they were last measured."""

    def __init__(self) -> None:
        self.programs: set[str] = set()

    def committed(self, decided: Decided) -> None:
        named = {item.program for item in decided.items if isinstance(item.event, Event)}
        self.programs.update(filter(is_program, named))


def is_program(name: str) -> bool:
    """A header may say anything."""
    try:
        PROGRAM.validate_python(name)
    except ValidationError:
        return False
    return True


async def measure(service: Service) -> None:
    """Look once a second whether a program that changed is due."""
    changed = Changed()
    service.work.committed.append(changed.committed)
    try:
        clock = asyncio.get_running_loop().time
        all_at = 0.0
        while True:
            if clock() >= all_at:
                async with service.database.transaction() as connection:
                    changed.programs.update(await store.programs(connection))
                all_at = clock() + LOOK_AT_ALL_SECONDS
            for program in sorted(changed.programs):
                if await measure_one(service, program):
                    changed.programs.discard(program)
            await asyncio.sleep(LOOK_SECONDS)  # what is due is a matter of time
    finally:
        service.work.committed.remove(changed.committed)


async def measure_one(service: Service, program: str) -> bool:
    """Count and publish one program if it is due; False where it was published less than a minute ago."""
    now = service.database.clock.now()
    async with service.database.transaction() as connection:
        known = await store.last_measured(connection, program)
        if known is not None and now < known + MEASURED_EVERY:
            return False
        counted = await store.summary(connection, program)

    def decide(before: Any, context: Context) -> Outcome:
        return measured(before, program, counted.counts, context)

    done = await service.work.act(Action(Measured, program, decide, organization=owner_of(program), program=program))
    return bool(done)
