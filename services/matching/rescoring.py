"""Scores proposals anew whose people, or whose program's policy, have changed since they were made.

What is to be done is in the database: a timer marks the program, and a proposal is out of date while the revisions for which it was
scored aren't today's. So whichever copy comes to it goes on where another was killed, and two at once do no harm.
"""

import asyncio
import logging
import time
from datetime import datetime
from functools import partial
from uuid import UUID

from services.matching import store
from services.matching.domain.model import Person, Program, Relationship, Rolling
from services.matching.domain.proposals import Anew, looked_at, rescored
from services.matching.ranking import Proposals, Ranking
from shared.clock import rung
from shared.decisions import Action
from shared.errors import PASSING, describe
from shared.service import Service
from shared.work import Decided

log = logging.getLogger("ithaca.matching.rescoring")

CHUNK = 250
"""Proposals in one question and one transaction."""
REST_SECONDS = 1.0
FAILED_SECONDS = 5.0
"""Before a program is looked at again where that failed."""


class Rescoring:
    """The programs that this copy looks at, one after the other, and when each last failed."""

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking
        self.failed: dict[str, float] = {}

    async def proposals(self, service: Service) -> None:
        """A loop of the service."""
        wake = asyncio.Event()

        def committed(decided: Decided) -> None:
            if any(kind is Program for kind, _ in decided.saved):
                wake.set()

        service.work.committed.append(committed)
        try:
            while True:
                wake.clear()
                async with service.database.transaction() as connection:
                    marked = await store.to_rescore(connection)
                for program, until in marked:
                    if time.monotonic() - self.failed.get(program, 0.0) > FAILED_SECONDS:
                        await self._supervised(service, program, until)
                await rung(wake, REST_SECONDS)
        finally:
            service.work.committed.remove(committed)

    async def _supervised(self, service: Service, program: str, until: datetime) -> None:
        """One program's failure doesn't stop the others; it is tried again later."""
        self.failed.pop(program, None)
        try:
            await self._look_at(service, program, until)
        except PASSING as error:
            self.failed[program] = time.monotonic()
            log.warning("proposals wait to be scored anew: %s", describe(error), extra={"ids": {"program": program}})
        except Exception as error:  # noqa: BLE001 - a bug
            self.failed[program] = time.monotonic()
            log.error("proposals can't be scored anew: %s", describe(error), extra={"ids": {"program": program}})  # noqa: TRY400

    async def _look_at(self, service: Service, program: str, until: datetime) -> None:
        """Score what is out of date in this program, unless another copy does."""
        connection = await service.database.connect()
        try:
            if not await connection.fetchval(store.DRIVES, program):
                return
            after: UUID | None = None
            while found := await self._out_of_date(service, program, after):
                after = found[-1].id
                asked = Proposals(program=program, proposals=tuple(proposal.id for proposal in found))
                anew = {one.id: one for one in await self.ranking.anew(asked)}
                actions = [_action(anew[proposal.id], proposal) for proposal in found if proposal.id in anew]
                for outcome in await service.work.act_all(actions, seconds=30):
                    if isinstance(outcome, Exception):
                        raise outcome
            await service.work.act(Action(Program, program, partial(looked_at, until), program=program))
        finally:
            connection.terminate()

    async def _out_of_date(self, service: Service, program: str, after: UUID | None) -> list[Relationship]:
        async with service.database.transaction() as connection:
            return await store.out_of_date(connection, program, after, CHUNK)


def _action(anew: Anew, found: Relationship) -> Action:
    return Action(
        Relationship,
        found.id,
        partial(rescored, anew),
        organization=found.organization,
        program=found.program,
        reads={Program: (found.program,), Rolling: (found.program,), Person: [member.person_id for member in found.members]},
    )
