"""`./ithaca bench match`: matching against a dense assignment (scipy) and against mentor-match, each run in a process of its own."""

import csv
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from deploy.locks import uv
from services.matching.domain.assign import Matrix
from services.matching.domain.plan import plan
from services.matching.domain.pool import Candidate
from services.matching.domain.rules import Lines
from services.matching.domain.score import weighed
from services.matching.domain.table import table as scores
from shared.events import Aim, Policy, Profile, Role

ROOT = Path(__file__).parents[1]
SIZES = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
DENSE_UP_TO = 5_000
"""scipy's time grows with the third power: at 20,000 it outlasts patience."""
PEER_PEOPLE = 500
RUNS = 3
"""Of each, of which one counts."""
PEER = "mentor-match==7.0.1"
SEED = 20261125
Say = Callable[[str], None]
Row = dict[str, Any]


# ---- people --------------------------------------------------------------------------------------------------------------


def people(size: int, places: bool) -> list[Any]:
    """So many mentees and mentors by a seed: skills and languages as unevenly spread as in surveys, years, organizations."""

    dice = random.Random(SEED)
    skills = [f"skill-{n}" for n in range(200)]
    spread = [1 / (n + 1) ** 0.8 for n in range(len(skills))]
    spoken = ["en", "pt", "es", "fr", "sw", "yo", "hi", "de", "ar", "zh"]
    often = [1 / (n + 1) ** 1.5 for n in range(len(spoken))]
    found = []
    for role, field, years, most in ((Role.mentee, "skills_wanted", 8, 2), (Role.mentor, "skills_offered", 30, 3)):
        for n in range(size):
            wanted = dict.fromkeys(dice.choices(skills, spread, k=dice.randint(1, 7)))
            profile = Profile.model_construct(
                time_zone="UTC",
                languages=tuple(dict.fromkeys(dice.choices(spoken, often, k=dice.randint(1, 3)))),
                years_experience=float(dice.randint(0, years)),
                **{field: tuple(wanted)},
            )
            own = dice.randint(1, most) if places else 1
            found.append(Candidate(f"{role.value}-{n:06}", f"home-{dice.randint(1, 8)}", role, profile, own))
    return found


def peer_files(folder: Path, size: int) -> None:
    """Two files as mentor-match's own users write them."""
    dice = random.Random(SEED)
    grades = ["AA", "AO", "EO", "HEO", "SEO", "Grade 7", "Grade 6", "SCS1", "SCS2", "SCS3", "SCS4"]
    traits = ["Gay", "Lesbian", "Non-binary", "Transgender", "Bisexual or pansexual", "Asexual or aromantic"]
    for role, lowest in (("mentor", 2), ("mentee", 0)):
        with (folder / f"{role}s.csv").open("w", newline="", encoding="utf-8") as file:
            own = "characteristics" if role == "mentor" else "identity to match"
            writer = csv.writer(file)
            writer.writerow(["email address", "grade", "organisation", "profession", own])
            for n in range(size):
                some = dice.sample(traits, dice.randint(0, 3)) if role == "mentor" else dice.sample(traits, 1)
                where = f"Department {dice.randint(1, 6)}"
                what = dice.choice(["Policy", "HR", "DDaT", "Security", "Operations"])
                grade = dice.choice(grades[lowest : lowest + 9])
                writer.writerow([f"{role}.{n:04}@example.org", grade, where, what, ", ".join(some)])


# ---- one run, in a process of its own ------------------------------------------------------------------------------------


def ours(size: int, places: bool) -> Row:
    """From people to certified pairs, without their reasons."""

    crowd = people(size, places)
    policy = Policy(aim=Aim.everyone if places else Aim.score, organizations="only_other")
    began, cpu = time.perf_counter(), time.process_time()
    found = plan(crowd, policy, datetime.now(UTC))
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "pairs": len(found.pairs),
        "score": found.score_total / found.unit,
        "bound": (found.score_total + found.gap) / found.unit,
    }


def dense(size: int) -> Row:
    """The same scores as one matrix, and scipy's assignment of it."""

    crowd = people(size, places=False)
    policy = Policy(organizations="only_other")
    began, cpu = time.perf_counter(), time.process_time()
    sides = [[p for p in crowd if p.role is role] for role in (Role.mentee, Role.mentor)]
    nothing: tuple[list[Any], list[Any]] = ([()] * size, [()] * size)
    score = Matrix.of_table(scores(*sides, policy, weighed(policy, *sides), Lines(crowd), nothing)).score
    worth = np.maximum(score, 0).astype(np.float64)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    chosen = worth[rows, columns]
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "pairs": int((chosen > 0).sum()),
        "score": float(chosen.sum()) / 1e6,
        "bound": None,
    }


def child(name: str, *words: str) -> Row:
    """Run one of these in a new process; its most memory beside what it found."""
    command = [sys.executable, "-m", "benchmarks.match", name, *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ---- mentor-match --------------------------------------------------------------------------------------------------------

PEER_SCRIPT = """
import csv, json, sys, time, resource
from matching.mentee import Mentee
from matching.mentor import Mentor
from matching.process import process_data
from matching.rules.rule import Disqualify, Equivalent, Generic, Grade, UnmatchedBonus
import operator
GRADES = ["AA", "AO", "EO", "HEO", "SEO", "Grade 7", "Grade 6", "SCS1", "SCS2", "SCS3", "SCS4"]
def read(kind, path, own):
    people = []
    for row in csv.DictReader(open(path)):
        one = kind(**{"email": row["email address"], "grade": GRADES.index(row["grade"]), "organisation": row["organisation"],
                      "profession": row["profession"], "first name": "", "last name": "", "role": ""})
        one.traits = {t.strip() for t in row[own].split(",") if t.strip()}
        people.append(one)
    return people
began, cpu = time.perf_counter(), time.process_time()
mentors = read(Mentor, sys.argv[1] + "/mentors.csv", "characteristics")
mentees = read(Mentee, sys.argv[1] + "/mentees.csv", "identity to match")
def never(m):
    return m.mentor.organisation == m.mentee.organisation or not 1 <= m.mentor.grade - m.mentee.grade <= 2
rules = [Disqualify(never), Grade(1, operator.eq, {True: 9, False: 0}), Grade(2, operator.eq, {True: 12, False: 0}),
         Equivalent("profession", {True: 10, False: 0}),
         Generic({True: 6, False: 0}, lambda m: bool(m.mentee.traits & m.mentor.traits)), UnmatchedBonus(6)]
solving = time.perf_counter()
process_data(mentors, mentees, [rules] * 3)
solved = time.perf_counter() - solving
def worth(mentor, mentee):
    step = mentor.grade - mentee.grade
    return {1: 9, 2: 12}[step] + 10 * (mentor.profession == mentee.profession) + 6 * bool(mentor.traits & mentee.traits)
pairs = [(a, b) for a in mentors for b in a.mentees]
print(json.dumps({"seconds": time.perf_counter() - began, "solving": solved, "cpu": time.process_time() - cpu, "pairs": len(pairs),
    "score": sum(worth(*p) for p in pairs), "bound": None, "mentees": len({b.email for _, b in pairs}),
    "mentors": len({a.email for a, _ in pairs}), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def peer(folder: Path) -> Row:
    """mentor-match on these files, in an environment of its own. Raises OSError or CalledProcessError where it can't be had."""

    command = [uv(), "run", "--no-project", "--isolated", "--quiet", "--with", PEER, "python", "-c", PEER_SCRIPT, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ours_by_its_rules(folder: Path) -> Row:
    """The whole command on these files, from start to written pairs."""
    words = ["--policy", str(ROOT / "examples/policies/mentor-match.toml"), "--mentors", str(folder / "mentors.csv")]
    words += ["--mentees", str(folder / "mentees.csv"), "--out", str(folder / "pairs.csv"), "--json"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "match", *words],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    row = {name: told[name] for name in ("pairs", "score", "bound", "peak_mb")}
    people_placed = {"mentees": told["mentees_matched"], "mentors": told["mentors_matched"]}
    return row | people_placed | {"seconds": time.perf_counter() - began, "solving": told["solving_seconds"], "cpu": cpu}


# ---- side by side --------------------------------------------------------------------------------------------------------


def measure(sizes: list[int], say: Say) -> tuple[list[Row], list[Row], str]:
    """Rows of ours and scipy by size; rows by mentor-match's rules; and why mentor-match has no row, if so."""
    for size in (50, 4_000):  # what numba compiles the first time is kept: of matrices, and of the scan
        child("ours", str(size), "")
    absent = ""
    with tempfile.TemporaryDirectory(prefix="ithaca-match-") as name:
        folder = Path(name)
        peer_files(folder, PEER_PEOPLE)
        theirs = [{"people": PEER_PEOPLE, "solver": "ours"} | least(lambda: ours_by_its_rules(folder))]
        try:
            theirs.append({"people": PEER_PEOPLE, "solver": PEER} | least(lambda: peer(folder)))
        except (OSError, subprocess.CalledProcessError) as error:
            absent = f"{PEER} could not be installed and run: {type(error).__name__}"
    for row in theirs:
        say(line(row))
    rows: list[Row] = []
    for size in sizes:
        for name, words, allowed in (
            ("ours", ["ours", str(size), ""], True),
            ("dense scipy", ["dense", str(size)], size <= DENSE_UP_TO),
            ("ours, places 1–3, wishes 1–2", ["ours", str(size), "places"], True),
        ):
            if allowed:
                rows.append({"people": size, "solver": name} | least(partial(child, *words)))
                say(line(rows[-1]))
    return rows, theirs, absent


def least(run: Callable[[], Row]) -> Row:
    """Of some runs the one that whatever else the machine did held up least (as in Python's `timeit`)."""
    return min((run() for _ in range(RUNS)), key=lambda row: float(row.get("solving", row["cpu"])))


def line(row: Row) -> str:
    return f"{row['people']:>7,}  {row['solver']:30} {row['score']:>14,.3f}  {row['seconds']:8.2f} s  {row['cpu']:8.2f} s of CPU"


def table(rows: list[Row], theirs: list[Row], absent: str) -> str:
    """Markdown."""
    lines = [
        f"Of {RUNS} runs each the one that took least CPU; beside mentor-match the one that solved fastest.",
        "",
        "| mentees × mentors | solver | pairs | score | bound | seconds | CPU | peak MB |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        bound = "" if row["bound"] is None else f"{row['bound']:,.6f}"
        lines.append(
            f"| {row['people']:,} × {row['people']:,} | {row['solver']} | {row['pairs']:,} | {row['score']:,.6f} | {bound} "
            f"| {row['seconds']:.2f} | {row['cpu']:.2f} | {row['peak_mb']} |"
        )
    lines += ["", "Growth of CPU from one size to the next, as the exponent of the number of people on each side:", ""]
    lines += growth(rows)
    lines += [
        "",
        f"By mentor-match's rules, {PEER_PEOPLE} + {PEER_PEOPLE} people drawn by a seed; ours is the whole command:",
        "",
    ]
    lines += [
        "| solver | pairs | score | mentees / mentors placed | whole seconds | solving | CPU | peak MB |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in theirs:
        lines.append(
            f"| {row['solver']} | {row['pairs']:,} | {row['score']:,g} | {row['mentees']} / {row['mentors']} | {row['seconds']:.2f} "
            f"| {row['solving']:.3f} | {row['cpu']:.2f} | {row['peak_mb']} |"
        )
    if absent:
        lines += ["", absent]
    elif len(theirs) == 2:
        whole, solving = (theirs[1][name] / theirs[0][name] for name in ("seconds", "solving"))
        lines += ["", f"Ours is {whole:.0f} × faster as a whole, and solves {solving:.0f} × faster."]
    return "\n".join(lines)


def growth(rows: list[Row]) -> list[str]:
    found = []
    for name in dict.fromkeys(row["solver"] for row in rows):
        own = [row for row in rows if row["solver"] == name]
        steps = [
            f"{a['people']:,} → {b['people']:,}: {math.log(b['cpu'] / a['cpu']) / math.log(b['people'] / a['people']):.2f}"
            for a, b in pairwise(own)
        ]
        if steps:
            found.append(f"- {name}: {'; '.join(steps)}")
    return found


if __name__ == "__main__":
    name, count, *more = sys.argv[1:]
    result = dense(int(count)) if name == "dense" else ours(int(count), places=bool(more and more[0]))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps(result | {"peak_mb": int(peak.split()[1]) // 1024}))
