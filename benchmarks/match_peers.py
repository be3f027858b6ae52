"""Peers for `./ithaca bench match`: pairs of 1,000 and of 5,000, circles of five of 1,000, each run in a process of its own."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.matching.domain.pool import Candidate
from services.matching.domain.together import circles, peer_pairs
from shared.events import Policy, Profile, Role

ROOT = Path(__file__).parents[1]
RUNS = (("pairs", 1_000), ("pairs", 5_000), ("circles", 1_000))
SEED = 20261125
FIELDS, SKILLS = 12, 20
"""Fields of work, and the skills of each: peers know most of one field, and want to learn some more of it and a little of others."""
Row = dict[str, Any]


def peers(size: int) -> list[Candidate]:
    """So many peers by a seed."""
    dice = random.Random(SEED)
    every = [f"skill-{field}-{n}" for field in range(FIELDS) for n in range(SKILLS)]
    spread = [1 / (n + 1) ** 0.8 for n in range(SKILLS)]
    spoken, often = ["en", "pt", "es", "fr", "sw"], [1 / (n + 1) ** 1.5 for n in range(5)]

    def some(field: int, count: int, elsewhere: float) -> tuple[str, ...]:
        own = [f"skill-{field}-{n}" for n in dice.choices(range(SKILLS), spread, k=count)]
        return tuple(dict.fromkeys(dice.choice(every) if dice.random() < elsewhere else skill for skill in own))

    found = []
    for n in range(size):
        field = dice.randrange(FIELDS)
        profile = Profile.model_construct(
            time_zone="UTC",
            languages=tuple(dict.fromkeys(dice.choices(spoken, often, k=dice.randint(1, 3)))),
            skills_have=some(field, dice.randint(2, 10), 0.1),
            skills_wanted=some(field, dice.randint(1, 6), 0.3),
            function=f"field-{field}",
            years_experience=float(dice.randint(0, 12)),
        )
        found.append(Candidate(f"peer-{n:06}", f"home-{dice.randint(1, 8)}", Role.peer, profile))
    return found


def run(name: str, size: int) -> Row:
    """From people to pairs or circles with their reasons."""
    crowd, policy = peers(size), Policy(least_circle_size=4, most_circle_size=6)
    began, cpu = time.perf_counter(), time.process_time()
    found = (peer_pairs if name == "pairs" else circles)(crowd, policy, datetime.now(UTC))
    return {
        "people": size,
        "solver": "peer pairs" if name == "pairs" else "circles of five",
        "placed": size - len(found.left),
        "score": found.score_total / found.unit,
        "bound": (found.score_total + found.gap) / found.unit,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
    }


def child(name: str, size: int) -> Row:
    """The same in a new process, with its most memory."""
    command = [sys.executable, "-m", "benchmarks.match_peers", name, str(size)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(say: Callable[[str], None], runs: Sequence[tuple[str, int]] = RUNS) -> list[Row]:
    """A row of each; once before without being counted, since compiling is done once for all."""
    child("circles", 50)
    rows = []
    for name, size in runs:
        rows.append(child(name, size))
        say(f"{size:>7,}  {rows[-1]['solver']:30} {rows[-1]['score']:>14,.3f}  {rows[-1]['seconds']:8.2f} s")
    return rows


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "Peers, drawn by a seed; the score of circles is that of all pairs who share one, and the bound what no plan exceeds:",
        "",
        "| people | what | placed | score | bound | gap | seconds | CPU | peak MB |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        gap = 1 - row["score"] / row["bound"] if row["bound"] else 0.0
        lines.append(
            f"| {row['people']:,} | {row['solver']} | {row['placed']:,} | {row['score']:,.6f} | {row['bound']:,.6f} | {gap:.3%} "
            f"| {row['seconds']:.2f} | {row['cpu']:.2f} | {row['peak_mb']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    from deploy.cli.match_files import peak_mb

    print(json.dumps(run(sys.argv[1], int(sys.argv[2])) | {"peak_mb": peak_mb()}))
