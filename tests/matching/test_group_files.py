"""`./ithaca match --format group`: mentors and mentees in, groups out, and what `verify` finds in them."""

import csv
import json

import pytest
from typer.testing import CliRunner

from deploy.cli.match import app

MENTORS = "id,skills,languages\nm1,sql|go,en\nm2,law|hr,en\n"
MENTEES = "id,skills,languages\n" + "".join(f"e{n},{skill},en\n" for n, skill in enumerate(["sql", "law", "go", "hr", "sql", "law", "go"])) + "x,sql,yo\n"  # fmt: skip


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def made(tmp_path):
    """Files of people, the groups that `match` makes of them, and what it says."""
    for name, text in (("mentors.csv", MENTORS), ("mentees.csv", MENTEES)):
        (tmp_path / name).write_text(text)
    words = ["--mentors", tmp_path / "mentors.csv", "--mentees", tmp_path / "mentees.csv", "--format", "group"]
    out = tmp_path / "groups.csv"
    told = run(*words, "--out", out, "--json")
    assert told.exit_code == 0, told.output
    return words, out, json.loads(told.output)


def test_groups_are_told_written_and_verified(made):
    words, out, told = made
    assert (told["groups"], told["sizes"], told["mentees_matched"], told["mentors_matched"]) == (2, {"3": 1, "4": 1}, 7, 2)
    assert told["unmatched"] == {"mentee:no_common_language": 1}
    assert told["score"] <= told["bound"]
    rows = list(csv.DictReader(out.open()))
    assert {row["person_id"]: row["group"] for row in rows if row["role"] == "mentee"} == {
        "e0": "1", "e2": "1", "e4": "1", "e6": "1", "e1": "2", "e3": "2", "e5": "2"
    }  # fmt: skip
    assert run("verify", out, *words).exit_code == 0
    shown = run(*words, "--explain").output
    assert "e0, e2, e4 and e6 for m1 (1)" in shown
    assert "They want to learn go and sql, which you offer." in shown


def test_a_policy_may_ask_for_groups_and_an_earlier_round_keeps_people_apart(made, tmp_path):
    words, out, _ = made
    policy = tmp_path / "policy.toml"
    policy.write_text('formats = ["group"]\nleast_group_size = 2\nmost_group_size = 3\n')
    assert json.loads(run(*words[:4], "--policy", policy, "--json").output)["mentees_matched"] == 6
    assert "the policy keeps these two apart" in run("verify", out, *words, "--before", out).stderr
    told = run(*words, "--format", "circle")
    assert "mentors and mentees meet one-to-one, by group" in told.output


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("1,mentee,e0", "2,mentee,e0"), "score: 1 where it is"),
        (("1,mentee,e0", "1,mentee,x"), "these two have no common language"),
        (("1,mentee,e0", "1,mentee,e2"), "the same person as in row"),
        (("1,mentee,e0", "1,mentee,q"), "nobody has this id"),
        (("1,mentor,m1", "2,mentor,m1"), "group 1: 0 mentors where one or two lead it"),
        (("1,mentor,m1", "1,leader,m1"), "role: leader where it is mentor or mentee"),
        (("1,mentee", "2,mentee"), "where the policy has from 3 to 10"),
    ],
)
def test_verify_finds_what_is_wrong_with_groups(made, fault, message):
    words, out, _ = made
    out.write_text(out.read_text().replace(*fault) if fault[0] != "1,mentee" else out.read_text().replace(*fault, 2))
    told = run("verify", out, *words)
    assert told.exit_code == 1
    assert message in told.stderr


def test_verify_finds_a_mentee_who_was_dropped(made):
    words, out, _ = made
    out.write_text("".join(line for line in out.read_text().splitlines(keepends=True) if ",e6," not in line))
    assert "e6 is in no group, and could be in group 1" in run("verify", out, *words).stderr


def test_too_few_mentees_for_a_group_are_said_so(made, tmp_path):
    words, _, _ = made
    (tmp_path / "mentees.csv").write_text("id,skills,languages\ne0,sql,en\ne1,sql,en\n")
    told = run(*words)
    assert told.exit_code == 1
    assert "nobody can be matched: a group needs a mentor and 3 mentees who may all meet" in told.stderr
