"""Asks the ranker, which it starts at the first question and again where it is gone."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from services.matching.domain.joining import Newcomer
from services.matching.domain.proposals import Anew
from services.matching.domain.requests import Fit

if TYPE_CHECKING:
    from shared.service import Service  # the ranker reads this file, too, and starts half a second sooner without it

ROOT = Path(__file__).parents[2]
SECONDS = 30.0
"""For an answer. In a program of 40,000 people the first takes three seconds of CPU, the next ones less than one."""
LONGEST_ANSWER = 2**22

FITS: TypeAdapter[list[Fit]] = TypeAdapter(list[Fit])
ANEW: TypeAdapter[list[Anew]] = TypeAdapter(list[Anew])
NEWCOMERS: TypeAdapter[list[Newcomer]] = TypeAdapter(list[Newcomer])


class Question(BaseModel):
    """Which of these mentors fit this mentee; where none is named, which of all fit best, so many at most."""

    program: str
    mentee: UUID
    mentors: tuple[UUID, ...] = ()
    without: tuple[UUID, ...] = ()
    most: int = 5
    known: bool = False
    """The mentee named this mentor by themselves: the least score isn't asked."""


class Proposals(BaseModel):
    """What a run of today would say of these proposals of a program."""

    program: str
    proposals: tuple[UUID, ...]


class Joining(BaseModel):
    """How these people would fit into a group that has begun; where none is named, who may join and fits best, so many at most."""

    program: str
    group: UUID
    named: tuple[UUID, ...] = ()
    most: int = 20


QUESTIONS: TypeAdapter[Question | Proposals | Joining] = TypeAdapter(Question | Proposals | Joining)


class Ranking:
    """One ranker a copy of the service, a question at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn, self._turn = dsn, asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self.one_joins = asyncio.Lock()
        """Whoever is let into a group makes comparisons with it stale: one after another, each of those here compares once."""

    async def ask(self, question: Question) -> list[Fit]:
        """Raises ConnectionError where no answer can be had."""
        return FITS.validate_json(await self._answer(question))

    async def anew(self, proposals: Proposals) -> list[Anew]:
        """Those that are still open, with everyone in them enrolled. Raises ConnectionError where no answer can be had."""
        return ANEW.validate_json(await self._answer(proposals))

    async def newcomers(self, joining: Joining) -> list[Newcomer]:
        """Raises ConnectionError where no answer can be had."""
        return NEWCOMERS.validate_json(await self._answer(joining))

    async def _answer(self, question: BaseModel) -> bytes:
        async with self._turn:
            for _ in range(2):  # the first may have ended just when it was to be asked
                answer = b""
                try:
                    answer = await self._asked(question.model_dump_json().encode() + b"\n")
                except (OSError, TimeoutError):
                    pass
                finally:
                    if not answer:
                        await self._end()
                if answer:
                    return answer
        raise ConnectionError("the ranker gives no answer")

    async def _asked(self, line: bytes) -> bytes:
        if self._process is None:
            environment = os.environ | {
                "ITHACA_DATABASE": self._dsn,
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
            }
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.matching.ranker", str(os.getpid()), env=environment, cwd=ROOT,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LONGEST_ANSWER,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line)
        await self._process.stdin.drain()
        return await asyncio.wait_for(self._process.stdout.readline(), SECONDS)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def until_stopped(self, _: "Service") -> None:
        """A loop of the service: the ranker ends with it."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._end()
