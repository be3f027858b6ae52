"""Real people's statements: as fast, as small and as good as promised. Skipped where the data isn't there."""

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.match import app
from deploy.cli.people_csv import profile_of, read_people
from shared.events import Contact, Enrolment, PersonEnrolled
from tests.matching.people import person_id

ROOT = Path(__file__).parents[2]


def test_all_mentees_and_mentors_are_matched_exactly_within_time_and_memory(data):
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli.match", "--mentors", data / "mentors.csv", "--mentees", data / "mentees.csv.gz",
         "--capacity", "3", "--json"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    told = json.loads(done.stdout)
    print(told)
    assert (told["mentors"], told["mentees"], told["pairs"], told["gap"]) == (307, 8413, 906, 0)
    assert set(told["unmatched"]) == {"no_capacity", "nobody_offers", "below_least_score"}
    assert (
        sum(told["unmatched"].values()) == 8413 - 906 + 5
    )  # and five mentors, with whom nobody has more in common than a language
    assert told["solving_seconds"] < 15
    assert told["peak_mb"] < 400


ENOUGH = {"everyone": 34_048, "pairs": 34_033, "score": 34_051}


@pytest.mark.parametrize("aim", list(ENOUGH))
def test_mentor_match_s_own_files_and_rules_are_matched_as_well_as_can_be(data, tmp_path, aim):
    folder, out = data / "mentor_match/large", tmp_path / "pairs.csv"
    words = ["--policy", ROOT / "examples/policies/mentor-match.toml", "--mentors", folder / "mentors.csv"]
    words += ["--mentees", folder / "mentees.csv"]
    shown = CliRunner().invoke(app, [*map(str, words), "--aim", aim, "--out", str(out), "--json"])
    told = json.loads(shown.output)
    assert (told["score"], told["bound"], told["gap"]) == (ENOUGH[aim], ENOUGH[aim], 0)
    if aim == "everyone":
        assert (told["mentees_matched"], told["mentors_matched"]) == (500, 500)
    if aim == "pairs":
        assert told["pairs"] == 1452
    assert CliRunner().invoke(app, ["verify", str(out), *map(str, words)]).exit_code == 0


@pytest.mark.platform
async def test_a_run_over_all_of_them_leaves_nobody_out(data, town):
    """8,720 people through the topic; the run is applied in chunks and its ledger agrees."""
    await town.open()
    files = ((read_people(data / "mentors.csv", "mentor", 3), 3), (read_people(data / "mentees.csv.gz", "mentee"), 1))
    events = [
        PersonEnrolled(
            person_id=person_id(town.organization, one["person"]),
            organization=town.organization,
            own_id=one["person"],
            profile=profile_of(one),
            contact=Contact(name=one["person"]),
            enrolments=(Enrolment(program=town.program, role=one["role"], capacity=capacity),),
            revision=1,
            program=town.program,
        )
        for file, capacity in files
        for one in file.people
    ]
    async with town.running() as client:
        sent = time.perf_counter()
        await town.send(*events)
        run = await town.match(client, {"people": len(events), "revisions": len(events)})
        print(f"from topic to the end of the run: {time.perf_counter() - sent:.1f} s, {run}")
        assert (run["people"], run["pairs"], run["gap"]) == (8720, 906, 0)
        assert set(run["waitlisted"]) == {"no_capacity", "nobody_offers", "below_least_score"}
        waiting = sum(run["waitlisted"].values())
        assert waiting == 8413 - 906 + 5
        worst = 0.0
        page: dict[str, str] = {}
        seen = 0
        while True:
            asked = time.perf_counter()
            found = (await client.get(f"/v1/match-runs/{run['run_id']}/waitlist", params={"limit": 1000, **page})).json()
            worst = max(worst, time.perf_counter() - asked)
            seen += len(found["waitlist"])
            if found["next"] is None:
                break
            page = {"after": found["next"]}
        assert seen == waiting
        assert worst < 5
    assert len({f["person_id"] for f in await town.told("PersonWaitlisted")}) == waiting


PEERS = '[columns]\nskills_offered = "skills_have"\nskills_wanted = "skills_want"\n'


def first_peers(data, folder, count):
    """The first of the survey as a file of their own, in a temporary place, and a policy that reads it."""
    with gzip.open(data / "people_so2019.csv.gz", "rt", encoding="utf-8") as file:
        (folder / "people.csv").write_text("".join(itertools.islice(file, count + 1)), encoding="utf-8")
    (folder / "policy.toml").write_text(PEERS)
    return ["--people", str(folder / "people.csv"), "--policy", str(folder / "policy.toml")]


@pytest.fixture(scope="module")
def thousand(data, tmp_path_factory):
    return first_peers(data, tmp_path_factory.mktemp("peers"), 1000)


@pytest.mark.parametrize("aim", ["everyone", "score"])
def test_a_thousand_real_people_are_paired_exactly(thousand, tmp_path, aim):
    out = tmp_path / "pairs.csv"
    told = json.loads(CliRunner().invoke(app, [*thousand, "--aim", aim, "--out", str(out), "--json"]).output)
    print(told)
    assert (told["people"], told["gap"], told["score"]) == (1000, 0, told["bound"])
    if aim == "everyone":
        assert (told["people_matched"], sum(told["unmatched"].values())) == (992, 8)  # who want nothing that anyone left has
        assert CliRunner().invoke(app, ["verify", str(out), *thousand]).exit_code == 0


def test_a_thousand_real_people_sit_in_circles_of_five_at_nine_tenths_of_the_bound(thousand, tmp_path):
    out = tmp_path / "circles.csv"
    words = [*thousand, "--format", "circle"]
    told = json.loads(CliRunner().invoke(app, [*words, "--out", str(out), "--json"]).output)
    print(told)
    assert (told["people_matched"], told["sizes"]) == (1000, {"5": 200})
    assert told["score"] >= 0.9 * told["bound"]
    assert CliRunner().invoke(app, ["verify", str(out), *words]).exit_code == 0


def test_five_thousand_real_people_are_paired_within_a_hundredth_of_the_bound(data, tmp_path):
    told = json.loads(CliRunner().invoke(app, [*first_peers(data, tmp_path, 5000), "--json"]).output)
    print(told)
    assert told["people_matched"] >= 0.99 * 5000
    assert told["gap"] <= 0.01 * told["score"]


def test_ten_shufflings_of_a_thousand_real_people_give_the_same_pairs_and_circles(thousand, tmp_path):
    header, *rows = Path(thousand[1]).read_text(encoding="utf-8").splitlines(keepends=True)
    shuffled, out = tmp_path / "shuffled.csv", tmp_path / "out.csv"
    for form, times in (("peer_pair", 10), ("circle", 2)):
        found = set()
        for seed in range(times):
            shuffled.write_text("".join([header, *random.Random(seed).sample(rows, len(rows))]), encoding="utf-8")
            words = ["--people", str(shuffled), *thousand[2:], "--format", form, "--out", str(out), "--json"]
            assert CliRunner().invoke(app, words).exit_code == 0
            found.add(out.read_text())
        assert len(found) == 1
