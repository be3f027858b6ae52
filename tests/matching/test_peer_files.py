"""`./ithaca match --people`: peers' files in, pairs or circles out, and what `verify` finds in them."""

import csv
import json

import pytest
from typer.testing import CliRunner

from deploy.cli.match import app

ROWS = [
    ("a", "sql|go", "law", "en", "3", "hr"),
    ("b", "law", "sql", "en|pt", "5", "it"),
    ("c", "go", "cobol", "pt", "4", "it"),
    ("d", "cobol", "go", "pt|en", "9", "hr"),
    ("e", "chess", "sql", "yo", "1", "it"),
    ("f", "law", "go", "en", "2", "ops"),
    ("g", "go", "law|chess", "en", "2", "ops"),
]
HEADER = "id,skills,skills_wanted,languages,years_experience,function\n"
PEOPLE = HEADER + "".join(",".join(row) + "\n" for row in ROWS)


@pytest.fixture
def write(tmp_path):
    def written(text, name="people.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_peer_pairs_are_printed_written_and_verified(write, tmp_path):
    people, out = write(PEOPLE), tmp_path / "pairs.csv"
    shown = run("--people", people, "--out", out, "--explain")
    assert shown.exit_code == 0, shown.output
    assert "  - What one of you wants to learn, another can do: law and sql. (+0.48)" in shown.output
    assert "3 pairs, score 2.373332; no better plan exists (gap 0)" in shown.output
    assert "1 peers wait: no common language" in shown.output
    rows = list(csv.DictReader(out.open()))
    assert [(row["person_id"], row["partner_id"], row["score"]) for row in rows] == [
        ("a", "b", "0.786666"), ("c", "d", "0.706666"), ("f", "g", "0.88")
    ]  # fmt: skip
    told = run("verify", out, "--people", people, "--json")
    assert (told.exit_code, json.loads(told.output)) == (0, {"pairs": 3, "score": 2.373332, "differences": 0})


def test_the_last_line_of_json_holds_the_counts(write):
    told = json.loads(run("--people", write(PEOPLE), "--json").output.splitlines()[-1])
    assert (told["people"], told["pairs"], told["people_matched"], told["gap"]) == (7, 3, 6, 0)
    assert told["score"] == told["bound"] == 2.373332
    assert told["unmatched"] == {"peer:no_common_language": 1}
    assert {"seconds", "solving_seconds", "peak_mb"} <= set(told)


SPEAKERS = HEADER + "".join(f"p{n},go,law,en,{n},hr\n" for n in range(9)) + "x,go,law,yo,3,hr\n"


@pytest.fixture
def circles(write, tmp_path):
    """A file of people, and the circles that `match` makes of them."""
    people, out = write(SPEAKERS), tmp_path / "circles.csv"
    told = run("--people", people, "--format", "circle", "--out", out, "--json")
    assert told.exit_code == 0, told.output
    return people, out, json.loads(told.output)


def test_circles_are_told_with_their_sizes_bound_and_gap(circles):
    people, out, told = circles
    assert (told["people"], told["circles"], told["sizes"], told["people_matched"]) == (10, 2, {"4": 1, "5": 1}, 9)
    assert told["score"] <= told["bound"]
    assert told["gap"] == pytest.approx(told["bound"] - told["score"])
    assert told["unmatched"] == {"peer:no_common_language": 1}
    assert run("verify", out, "--people", people, "--format", "circle").exit_code == 0
    shown = run("--people", people, "--format", "circle", "--explain").output
    assert "You work in hr." in shown
    assert "2 circles (1 of 4, 1 of 5)" in shown


def test_a_second_round_keeps_those_apart_who_have_met(write, tmp_path):
    people = write(HEADER + "".join(f"p{n:02},go,law,en,{n},hr\n" for n in range(25)))
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    words = ["--people", people, "--format", "circle"]
    assert run(*words, "--out", first).exit_code == 0
    assert run("verify", first, *words, "--before", first).exit_code == 1
    assert run(*words, "--before", first, "--out", second).exit_code == 0
    assert run("verify", second, *words, "--before", first).exit_code == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("a,b,0.786666", "a,b,0.8"), "row 2, score: 0.8 where it is 0.786666"),
        (("a,b,0.786666,0.48", "a,b,0.786666,0.47"), "row 2, skills: 0.47 where it is 0.48"),
        (("c,d", "c,e"), "row 3: these two have no common language"),
        (("c,d", "c,a"), "row 3, partner_id: the same person as in row 2"),
        (("c,d", "c,q"), "row 3, partner_id: nobody has this id"),
        (("f,g", "f,f"), "row 4: the policy keeps these two apart"),
        (("person_id,", "person,"), "the header is not person_id,partner_id,score,skills,language,function,experience"),
    ],
)
def test_verify_finds_what_is_wrong_with_pairs(write, tmp_path, fault, message):
    people, out = write(PEOPLE), tmp_path / "pairs.csv"
    assert run("--people", people, "--out", out).exit_code == 0
    out.write_text(out.read_text().replace(*fault))
    told = run("verify", out, "--people", people)
    assert told.exit_code == 1
    assert message in told.stderr


def test_verify_finds_a_pair_that_is_missing(write, tmp_path):
    people, out = write(PEOPLE), tmp_path / "pairs.csv"
    assert run("--people", people, "--out", out).exit_code == 0
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:-1]))
    assert "f and g are in no pair, and could be one" in run("verify", out, "--people", people).stderr


def test_verify_finds_what_is_wrong_with_circles(circles):
    people, out, _ = circles
    good = out.read_text()
    lines = good.splitlines(keepends=True)
    words = ["--people", people, "--format", "circle"]
    for text, message in (
        (good.replace(",0.", ",0.9", 1), "score: "),
        ("".join(lines[:-1]), "could be in circle 1" if lines[-1].startswith("2") else "circle"),
        ("".join([*lines[:-1], lines[-1].replace(lines[-1].split(",")[1], "x")]), "these two have no common language"),
        ("".join([*lines, lines[1]]), "the same person as in row 2"),
        ("".join([*lines[:-1], lines[-1].replace(lines[-1].split(",")[1], "q")]), "nobody has this id"),
    ):
        out.write_text(text)
        told = run("verify", out, *words)
        assert told.exit_code == 1
        assert message in told.stderr
    out.write_text("".join(lines[:4]))
    assert "circle 1: 3 members are fewer than the policy's 4" in run("verify", out, *words).stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("least_ranks_above = 1\n", "policy.toml: least_ranks_above: of two peers each would have to be above the other"),
        ("most_years_more = -1\n", "policy.toml: most_years_more: of two peers each would have to be above the other"),
        ('formats = ["one_to_one"]\n', "policy.toml: formats: peers meet in peer_pair or circle"),
        ('composition = "odd"\n', "policy.toml: composition: use one of alike, mixed"),
        ('aim = "fair"\n', "the aim fair is not for peers: use everyone, pairs or score"),
        ("least_circle_size = 7\n", "policy.toml: least_circle_size is above most_circle_size"),
        ('[columns]\nskills_wanted = "wishes"\n', "policy.toml: columns: people.csv has no column wishes"),
        (
            '[[parts]]\nname = "x"\npoints = 3\nmentee = "skills"\nmentor = "function"\n',
            "policy.toml: parts.0: of peers, mentee and mentor are the same column",
        ),
    ],
)
def test_a_policy_that_cannot_be_for_peers_is_refused_in_words(write, text, message):
    told = run("--people", write(PEOPLE), "--policy", write(text, "policy.toml"))
    assert told.exit_code == 1
    assert told.stderr.startswith(f"ithaca match: {message}")


def test_parts_of_a_policy_s_own_count_in_both_directions(write, tmp_path):
    policy = write(
        'composition = "mixed"\n[[parts]]\nname = "hobby"\npoints = 3\nmentee = "likes"\nmentor = "likes"\n', "own.toml"
    )
    people = write("id,likes\na,chess|go\nb,go\nc,ski\nd,ski\n")
    out = tmp_path / "pairs.csv"
    told = json.loads(run("--people", people, "--policy", policy, "--out", out, "--json").output)
    assert (told["pairs"], told["score"], told["gap"]) == (2, 5.25, 0)
    assert list(csv.reader(out.open()))[1:] == [["a", "b", "2.25", "2.25"], ["c", "d", "3", "3"]]
    assert run("verify", out, "--people", people, "--policy", policy).exit_code == 0


def test_what_does_not_go_together_is_said(write):
    people = write(PEOPLE)
    assert "either a file of peers" in run("--people", people, "--mentors", people).output
    assert "use one of peer_pair, circle" in run("--people", people, "--format", "square").output
    told = run("--people", write("id,languages\na,en\nb,yo\n"))
    assert (told.exit_code, "nobody can be matched: 2 peers wait: no common language" in told.stderr) == (1, True)
    told = run("--people", write("id\na\nb\nc\n"), "--format", "circle")
    assert told.exit_code == 1
    assert "nobody can be matched: a circle needs 4 who may all meet" in told.stderr
    told = run("--people", people, "--before", write("x,y\n1,2\n", "before.csv"))
    assert told.stderr == "ithaca match: before.csv: the header names neither circle and person_id nor person_id and partner_id\n"
