"""Files in, pairs out: what a CSV may hold, what is wrong with one, and the command `match`."""

import csv
import gzip
import json

import pytest
from typer.testing import CliRunner

from deploy.cli.match import app
from deploy.cli.people_csv import BadCsvError, profile_of, read_people
from shared.events.partner import PersonEnrolled

HEADER = "id,country,time_zone,languages,skills,skills_have,years_experience,title,organization,shoe_size\n"
GOOD = HEADER + "a1,NA,,en|pt,sql|sql server,,3,,partner-b,44\na2,,Africa/Lagos,,,,0.5,,,\n"


@pytest.fixture
def write(tmp_path):
    def written(text, name="people.csv"):
        path = tmp_path / name
        raw = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return written


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz"])
def test_a_row_becomes_what_a_partner_would_post(write, name):
    found = read_people(write(GOOD, name), "mentor", 3)
    assert found.people == [
        {"person": "a1", "role": "mentor", "capacity": 3, "country": "NA", "languages": ["en", "pt"],
         "skills_offered": ["sql", "sql server"], "years_experience": 3},
        {"person": "a2", "role": "mentor", "capacity": 3, "time_zone": "Africa/Lagos", "years_experience": 0.5},
    ]  # fmt: skip
    assert (found.ignored, found.without_mail, found.bad) == (("organization", "shoe_size"), 2, [])
    for data in found.people:
        PersonEnrolled.read(data | {"program": "crossing"})


def test_mentees_want_their_skills_and_a_capacity_in_the_file_goes_first(write):
    (mentee,) = read_people(write("id,skills,capacity\nb1,go,2\n"), "mentee", 1).people
    assert (mentee["skills_wanted"], mentee["capacity"]) == (["go"], 2)
    assert profile_of(mentee).skills_wanted == ("go",)
    assert profile_of(mentee).time_zone == "UTC"


def test_a_long_title_is_cut_where_its_list_allows(write):
    title = "|".join(["database administrator"] * 9)
    (one,) = read_people(write(f"id,title\na1,{title}\n"), "mentor").people
    assert one["title"] == "|".join(["database administrator"] * 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,time_zone\na1,UTC\na2,Europe/Lodnon\n",
            "people.csv: row 3, time_zone: unknown time zone: did you mean Europe/London?",
        ),
        ("id,years_experience\na1,many\n", "people.csv: row 2, years_experience: give a number"),
        ("id,country\na1,XX\n", "people.csv: row 2, country: use the two letters of ISO 3166-1, such as NG"),
        ("id,skills\na1,go\na1,go\n", "people.csv: row 3, id: the same id as row 2"),
        ("id,skills\na1\n", "people.csv: row 2: 1 fields where the header has 2"),
        ("name,skills\nx,go\n", "people.csv: the header has no column id"),
        ("id,id\nx,go\n", "people.csv: the header names the column id twice"),
        ("", "people.csv: the header has no column id"),
        (b"id,title\na1,\xff\n", "people.csv: row 2: this isn't UTF-8"),
        ('id,title\na1,"x\n', "people.csv: row 2: unexpected end of data"),
        (b"\x1f\x8bnothing", "people.csv: this is a broken gzip file"),
        ("id,email\na1,nobody\n", "people.csv: row 2, email: this is no mail address; leave the field out where there is none"),
    ],
)
def test_what_is_wrong_is_said_with_row_and_column_and_never_with_the_value(write, text, message):
    with pytest.raises(BadCsvError) as wrong:
        read_people(write(text), "mentor")
    assert str(wrong.value) == message


def test_wrong_rows_can_be_left_out(write):
    found = read_people(write("id,country\na1,NA\na2,Namibia\na3\na4,NG\n"), "mentor", skip_bad=True)
    assert [p["person"] for p in found.people] == ["a1", "a4"]
    assert [(bad.row, bad.column) for bad in found.bad] == [(3, "country"), (4, "")]


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(BadCsvError, match="No such file"):
        read_people(tmp_path / "people.csv", "mentor")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_match_prints_pairs_and_writes_them(write, tmp_path):
    mentors = write("id,skills,languages\nm1,sql|go,en\nm2,law,en\n", "mentors.csv")
    mentees = write("id,skills,languages\ne1,sql,en\ne2,law,en\ne3,sql|cobol,en\ne4,security,yo\n", "mentees.csv")
    out = tmp_path / "pairs.csv"
    shown = run("--mentors", mentors, "--mentees", mentees, "--out", out)
    assert shown.exit_code == 0, shown.output
    assert "2 pairs" in shown.output
    assert "no better plan exists (gap 0)" in shown.output
    assert "1 mentees wait: no common language" in shown.output
    rows = list(csv.DictReader(out.open()))
    assert [(r["mentor_id"], r["mentee_id"], r["reasons"]) for r in rows] == [
        ("m1", "e1", "skills sql | language en"),
        ("m2", "e2", "skills law | language en"),
    ]
    told = json.loads(run("--mentors", mentors, "--mentees", mentees, "--capacity", 2, "--json").output.splitlines()[-1])
    assert (told["pairs"], told["gap"], told["mentees_matched"], told["mentors_matched"]) == (3, 0, 3, 2)
    assert told["unmatched"] == {"mentee:no_common_language": 1}


def test_match_refuses_a_broken_file_in_one_line(write):
    good, bad = write("id\nm1\n", "mentors.csv"), write("id,country\ne1,Q\n", "mentees.csv")
    shown = run("--mentors", good, "--mentees", bad)
    assert (shown.exit_code, shown.stderr) == (
        1,
        "ithaca match: mentees.csv: row 2, country: use the two letters of ISO 3166-1, such as NG\n",
    )
