"""All figures of the platform in one run: a table of what was measured beside its goal, and a picture of it."""

import asyncio
import os
import platform as this
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg

from benchmarks import growth, hop, ingest, keys, latency, later, pending, projections, relay, scheduling, start
from benchmarks.figures import Figure, number
from benchmarks.ground import Say
from benchmarks.picture import draw
from deploy.local.platform import Platform

MODULES: tuple[ModuleType, ...] = (start, hop, projections, relay, ingest, latency, growth, pending, keys, later, scheduling)
"""In the order in which they run."""
JARS = Path(__file__).parents[1] / "deploy/local/jars.lock"


@dataclass(frozen=True, slots=True)
class Machine:
    """On what the figures were made, and when."""

    cores: int
    memory_gb: int
    python: str
    kafka: str
    postgres: str
    at: datetime
    load: float
    """Of the last minute, before the run: above one half, others worked on the machine too."""

    @property
    def text(self) -> str:
        parts = f"Python {self.python}, Kafka {self.kafka}, PostgreSQL {self.postgres}"
        return f"{self.cores} cores, {self.memory_gb} GB of memory, {parts}; {self.at:%Y-%m-%d %H:%M} UTC, load {self.load:.1f} before"


@dataclass(frozen=True, slots=True)
class Found:
    """What one module measured, or why it couldn't."""

    name: str
    about: str
    figures: tuple[Figure, ...] = ()
    failure: str = ""


def modules(only: Sequence[str] = ()) -> list[ModuleType]:
    """All of them, or these alone, in order. Raises LookupError for a name that is none of them."""
    names = [module.NAME for module in MODULES]
    if unknown := sorted(set(only) - set(names)):
        raise LookupError(f"No figure is called {unknown[0]}. There are: {', '.join(names)}.")
    return [module for module in MODULES if not only or module.NAME in only]


def run(platform: Platform, chosen: Iterable[ModuleType], say: Say, *, rounds: int) -> list[Found]:
    """Each in turn; one that fails is told of, and the others go on."""
    found = []
    for module in chosen:
        say(f"── {module.NAME}: {module.ABOUT}")
        try:
            figures = module.measure(platform, say, quick=False, rounds=rounds)
            found.append(Found(module.NAME, module.ABOUT, tuple(figures)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it stands in the table
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            found.append(Found(module.NAME, module.ABOUT, failure=reason))
        for line in told(found[-1]):
            say(line)
    return found


def told(found: Found) -> list[str]:
    """For the terminal."""
    if found.failure:
        return [f"   could not be measured: {found.failure}"]
    return [f"   {figure.sentence}  {figure.detail}" for figure in found.figures]


def machine(platform: Platform) -> Machine:
    """This one, with the versions that run on it."""
    kafka = next(line.split()[1] for line in JARS.read_text().splitlines() if ":kafka_" in line)
    memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    postgres = asyncio.run(version(platform.addresses["postgres"]))
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    return Machine(cores, memory, this.python_version(), kafka.rpartition(":")[2], postgres, datetime.now(UTC), load)


async def version(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        told: str = await connection.fetchval("show server_version")
        return told
    finally:
        await connection.close()


def table(found: Iterable[Found]) -> str:
    """As Markdown: a line for each figure, and for each that could not be measured."""
    lines = ["| figure | measured | goal | | behind it |", "| --- | ---: | ---: | --- | --- |"]
    for each in found:
        if each.failure:
            lines.append(f"| {each.name} | | | **could not be measured** | {cell(each.failure)} |")
        for f in each.figures:
            verdict = "met" if f.met else "**missed**"
            lines.append(f"| {f.name} | {number(f.value)} {f.unit} | {f.wanted} | {verdict} | {cell(f.detail)} |")
    return "\n".join(lines)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def write(file: Path, found: Sequence[Found], where: Machine, command: str) -> list[Path]:
    """The table in `file` and the picture beside it; which files were written."""
    figures = [figure for each in found for figure in each.figures]
    missed, failed = sum(not figure.met for figure in figures), sum(bool(each.failure) for each in found)
    summary = f"{len(figures) - missed} of {len(figures)} goals are met" + (f"; {failed} could not be measured" if failed else "")
    picture = file.with_suffix(".svg")
    picture.write_text(draw(figures))
    abouts = "\n".join(f"- **{each.name}**: {each.about}" for each in found)
    file.write_text(
        f"# Figures\n\nMade by `{command}` on {where.text}. {summary}.\n\n![Each figure beside its goal]({picture.name})\n\n"
        f"{table(found)}\n\n{abouts}\n\nHow each is measured: benchmarks/README.md. Only figures of one run can be compared.\n"
    )
    return [file, picture]


def as_json(found: Iterable[Found], where: Machine) -> dict[str, Any]:
    return {
        "machine": asdict(where) | {"at": where.at.isoformat()},
        "figures": [asdict(figure) | {"met": figure.met} for each in found for figure in each.figures],
        "failed": {each.name: each.failure for each in found if each.failure},
    }
