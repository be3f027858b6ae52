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
    assert rows == [
        {"mentor_id": "m1", "mentee_id": "e1", "score": "1", "skills": "0.923076", "language": "0.076924"},
        {"mentor_id": "m2", "mentee_id": "e2", "score": "1", "skills": "0.923076", "language": "0.076924"},
    ]
    told = json.loads(run("--mentors", mentors, "--mentees", mentees, "--capacity", 2, "--json").output.splitlines()[-1])
    assert (told["pairs"], told["gap"], told["mentees_matched"], told["mentors_matched"]) == (3, 0, 3, 2)
    assert told["unmatched"] == {"no_common_language": 1}
    asked = run("--mentors", mentors, "--mentees", mentees, "--what-if").output
    assert "One place more of m1: 1 more matched, score +0.5385" in asked


def test_match_refuses_a_broken_file_in_one_line(write):
    good, bad = write("id\nm1\n", "mentors.csv"), write("id,country\ne1,Q\n", "mentees.csv")
    shown = run("--mentors", good, "--mentees", bad)
    assert (shown.exit_code, shown.stderr) == (
        1,
        "ithaca match: mentees.csv: row 2, country: use the two letters of ISO 3166-1, such as NG\n",
    )


def test_conversations_are_as_many_for_each_as_a_month_allows_and_verify_agrees(write, tmp_path):
    files = [
        "--mentors", write("id,skills,capacity\nm1,sql,1\nm2,go,9\n", "mentors.csv"),
        "--mentees", write("id,skills\ne1,sql|go\ne2,sql\ne3,go\ne4,sql\n", "mentees.csv"),
    ]  # fmt: skip
    policy = write('formats = ["conversation"]\nconversations_per_month = 2\n', "policy.toml")
    out = tmp_path / "pairs.csv"
    told = json.loads(run(*files, "--policy", policy, "--out", out, "--json").output.splitlines()[-1])
    assert (told["pairs"], told["mentees_matched"], told["mentors_matched"], told["gap"]) == (4, 4, 2, 0)
    assert run("verify", out, *files, "--policy", policy).exit_code == 0
    fewer = write('formats = ["conversation"]\nconversations_per_month = 1\n', "fewer.toml")
    found = run("verify", out, *files, "--policy", fewer)
    assert found.exit_code == 1
    assert "more partners than the 1 that this one has places for" in found.stderr
    again = run(*files, "--format", "conversation", "--before", out)  # whom they haven't met yet
    assert "e1 + m1" in again.output
    assert "1 pairs" in again.output


PEOPLE = (
    "id,skills,languages,organization\nm1,sql|go,en,a\nm2,law,en,b\n",
    "id,skills,languages,organization\ne1,sql,en,a\ne2,law,en,a\ne3,sql|cobol,en,b\n",
)


@pytest.fixture
def solved(write, tmp_path):
    """Files of people, and the pairs that `match` makes of them."""
    files = ["--mentors", write(PEOPLE[0], "mentors.csv"), "--mentees", write(PEOPLE[1], "mentees.csv")]
    pairs = tmp_path / "pairs.csv"
    assert run(*files, "--capacity", 2, "--out", pairs, "--json").exit_code == 0
    return files, pairs


def test_verify_agrees_with_what_match_has_written(solved):
    files, pairs = solved
    told = run("verify", pairs, *files, "--capacity", 2, "--json")
    assert (told.exit_code, json.loads(told.output)) == (0, {"pairs": 3, "score": 2.538462, "differences": 0})


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("m1,e1,1,", "m1,e1,0.9,"), "row 2, score: 0.9 where it is 1"),
        (("m1,e1,1,0.923076,", "m1,e1,1,0.9,"), "row 2, skills: 0.9 where it is 0.923076"),
        (("m2,e2", "m2,e9"), "mentee_id: nobody has this id"),
        (("m2,e2", "m1,e1"), "row 3: the same pair as row 2"),
        (("m2,e2", "m1,e2"), "more partners than the 2 that this one has places for"),
        (("m1,e3", "m2,e2"), "the same pair as row"),
        (("score", "points"), "the header is not mentor_id,mentee_id,score,skills,language"),
        (("m1,e1,1,0.923076,0.076924", "m1,e1"), "row 2: 2 fields where the header has 5"),
    ],
)
def test_verify_finds_what_is_wrong_and_ends_with_1(solved, fault, message):
    files, pairs = solved
    pairs.write_text(pairs.read_text().replace(*fault))
    told = run("verify", pairs, *files, "--capacity", 2)
    assert told.exit_code == 1
    assert message in told.stderr


def test_verify_finds_rules_that_are_broken(solved, write):
    files, pairs = solved
    policy = write('organizations = "only_other"\nleast_score = 0.7\ncapacity = 2\n', "policy.toml")
    told = run("verify", pairs, *files, "--policy", policy)
    assert told.exit_code == 1
    assert told.stderr.count("the policy keeps these two apart") == 1
    assert told.stderr.count("the score is below the policy's least") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[weights]\nskils = 3\n", "weights.skils: unknown: did you mean skills?"),
        ("[weights]\nskills = -1\n", "weights.skills: give a number from 0 on"),
        ("capacity = 0\n", "capacity: give a number from 1 on"),
        ("wishes = 1.5\n", "wishes: give a whole number"),
        ('aim = "most"\n', "aim: use one of everyone, pairs, score, fair"),
        (
            'audit = ["gender"]\n',
            "audit.0: use one of country, function, industry, location, seniority, employment, organization",
        ),
        ("aims = 1\n", "aims: unknown: did you mean aim?"),
        ("least_ranks_above = 3\nmost_ranks_above = 1\n", "least_ranks_above is above most_ranks_above"),
        ('[columns]\nskils = "Skills"\n', "columns.skils: unknown: did you mean skills?"),
        ('[columns]\nskills = "x"\nid = "x"\n', "columns: x can't stand for two things"),
        ('[[parts]]\nname = "a"\n', "parts.0: give either steps, or points with a mentee's and a mentor's column"),
        ('[[parts]]\nname = "a"\npoints = -3\n', "parts.0.points: give a number above 0"),
        ('[[parts]]\nname = "a"\npoints = 3\nmentee = "x"\n', "parts.0: points need the columns to compare: mentee and mentor"),
        ('[related]\nskils = "x"\n', "related.skils: unknown: did you mean skills?"),
        ('[related]\ntitles = "x"\n', "related: titles name the codes of a file of roles: name that, too"),
        (
            '[related]\nskills = "x"\n[[parts]]\nname = "a"\nsteps = { 1 = 2 }\n',
            "parts of the policy's own compare what is the same: leave related out",
        ),
        ("aim = \n", "policy.toml: Invalid value"),
        (
            '[[personal_rules]]\nattribute = "gender"\nanswers = ["woman", "man"]\n',
            "personal_rules: leave this out: what people say here is theirs alone, and stands in no file",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_its_key_and_what_is_allowed(write, text, message):
    files = ["--mentors", write(PEOPLE[0], "mentors.csv"), "--mentees", write(PEOPLE[1], "mentees.csv")]
    told = run(*files, "--policy", write(text, "policy.toml"))
    assert told.exit_code == 1
    assert told.stderr.startswith("ithaca match: policy.toml: ")
    assert message in told.stderr


def test_a_policy_may_be_json_and_name_columns_ranks_and_points_of_its_own(write, tmp_path):
    policy = {
        "aim": "score",
        "wishes": 2,
        "least_ranks_above": 1,
        "columns": {"id": "mail", "rank": "grade"},
        "order": {"rank": ["junior", "senior", "principal"]},
        "parts": [
            {"name": "grade", "steps": {"1": 2.5, "2": 4}},
            {"name": "hobby", "points": 3, "mentee": "likes", "mentor": "does"},
        ],
    }
    mentors = write("mail,grade,does\nm1,senior,chess|go\nm2,principal,go\n", "mentors.csv")
    mentees = write("mail,grade,likes\ne1,junior,chess|go\n", "mentees.csv")
    words = ["--mentors", mentors, "--mentees", mentees, "--policy", write(json.dumps(policy), "policy.json")]
    out = tmp_path / "pairs.csv"
    told = json.loads(run(*words, "--out", out, "--json").output)
    assert (told["pairs"], told["score"], told["bound"], told["gap"]) == (2, 11.0, 11.0, 0.0)
    assert list(csv.reader(out.open()))[1:] == [["m1", "e1", "5.5", "2.5", "3"], ["m2", "e1", "5.5", "4", "1.5"]]
    assert run("verify", out, *words).exit_code == 0
    told = run("--mentors", mentors, "--mentees", write("mail,grade\ne1,boss\n", "mentees.csv"), *words[4:])
    assert told.stderr == "ithaca match: mentees.csv: the header has no column likes, which the policy compares\n"
    told = run("--mentors", mentors, "--mentees", write("mail,grade,likes\ne1,boss,\n", "mentees.csv"), *words[4:])
    assert told.stderr == "ithaca match: mentees.csv: row 2, grade: use one of junior, senior, principal\n"


NEAR = (
    "skill_a,skill_b,people_with_a,people_with_b,people_with_both,cosine,lift\nMySQL,sql,90,80,60,0.7,3.1\ngo,sql,90,80,9,0.9,3\n"
)


@pytest.mark.parametrize("name", ["level", "waiting", "fair_load"])
def test_a_part_of_a_policy_s_own_counts_towards_the_least_score_whatever_its_name(write, tmp_path, name):
    mentors = write("id,rank,languages\nk1,3,en\nk2,1,en\n", "mentors.csv")
    mentees = write("id,rank,languages\nn1,1,en\nn2,0,en\n", "mentees.csv")
    policy = write(f'least_score = 0.5\n[[parts]]\nname = "{name}"\nsteps = {{ 1 = 1, 2 = 1 }}\n', "policy.toml")
    words = "--mentors", str(mentors), "--mentees", str(mentees), "--policy", str(policy), "--out", str(tmp_path / "pairs.csv")
    result = run(*words, "--json")
    assert (result.exit_code, json.loads(result.output)["pairs"]) == (0, 2)


def test_a_policy_may_name_a_file_of_skills_that_are_near_each_other(write, tmp_path):
    """As it lies beside the policy, wherever the command is called. Go has too few people who know both."""
    write(NEAR, "near.csv.gz")
    files = ["--policy", write('[related]\nskills = "near.csv.gz"\n', "policy.toml")]
    files += ["--mentors", write("id,skills\nm1,mysql|law\nm2,go|art\n", "mentors.csv")]
    files += ["--mentees", write("id,skills\ne1,sql|law\ne2,art|sql\n", "mentees.csv")]
    out = tmp_path / "pairs.csv"
    shown = run(*files, "--explain", "--out", out).output
    assert "  - They want to learn law, which you offer. (+0.5)" in shown
    assert "  - They want to learn sql; close to that, you offer mysql. (+0.25)" in shown
    assert out.read_text().splitlines() == [
        "mentor_id,mentee_id,score,skills,related_skills",
        "m1,e1,0.75,0.5,0.25",
        "m2,e2,0.5,0.5,",
    ]
    assert run("verify", out, *files).exit_code == 0
    out.write_text(out.read_text().replace("0.75,0.5,0.25", "1,0.5,0.5"))
    told = run("verify", out, *files)
    assert told.exit_code == 1
    assert "row 2, score: 1 where it is 0.75" in told.stderr
    assert "row 2, related_skills: 0.5 where it is 0.25" in told.stderr
    out.write_text(out.read_text().replace("m2,e2,0.5,0.5,", "m2,e2,0.75,0.5,0.25"))
    assert "row 3, related_skills: 0.25 where it is 0" in run("verify", out, *files).stderr


ROLES = "soc,related_soc,tier,rank\n15-1254.00,15-1255.00,Primary-Short,1\n15-1254.00,13-1161.01,Primary-Long,7\n"
TITLES = (
    "soc,alternate_title,short_title\n15-1254.00,Web Developer,\n15-1254.00,Webmaster (WM),WM\n15-1255.00,Web Designer,\n"
    "13-1161.01,Search Marketer,\n"
)
MOVERS = (
    "id,roles_held\nm1,Web Designer\nm2,search marketer\nm3,wm\nm4,web developer\nm5,15-1254.00\n",
    "id,goals\n" + "".join(f"e{n},role:web developer\n" for n in range(5)),
)


def test_a_policy_may_name_files_of_roles_that_are_adjacent_and_of_what_they_are_called(write, tmp_path):
    """One occupation under two titles is adjacent, too, and what stands far down O*NET's lists isn't."""
    write(ROLES, "roles.csv")
    write(TITLES, "titles.csv")
    files = ["--policy", write('[related]\nroles = "roles.csv"\ntitles = "titles.csv"\n', "policy.toml")]
    files += ["--mentors", write(MOVERS[0], "mentors.csv"), "--mentees", write(MOVERS[1], "mentees.csv")]
    out = tmp_path / "pairs.csv"
    shown = run(*files, "--explain", "--out", out).output
    assert "  - They want to become web-developer; close to that, you are or were web-designer. (+0.5)" in shown
    assert "  - They want to become web-developer, which you are or were. (+1)" in shown
    rows = {
        row["mentor_id"]: (row["score"], row["has_made_the_move"], row["adjacent_role"]) for row in csv.DictReader(out.open())
    }
    assert rows == {
        "m1": ("0.5", "0", "0.5"),
        "m3": ("0.5", "0", "0.5"),
        "m4": ("1", "1", "0"),
        "m5": ("0.5", "0", "0.5"),
    }
    assert run("verify", out, *files).exit_code == 0
    out.write_text(out.read_text().replace("0.5,0,0.5", "0.5,0,0.25", 1))
    told = run("verify", out, *files)
    assert (told.exit_code, "adjacent_role: 0.25 where it is 0.5" in told.stderr) == (1, True)


@pytest.mark.parametrize(
    ("roles", "titles", "message"),
    [
        ("soc,related_soc,rank\n", TITLES, "roles.csv: the header has no column tier"),
        (ROLES.replace("Primary-Long", "Secondary"), TITLES,
         "roles.csv: row 3, tier: use one of Primary-Short, Primary-Long, Supplemental"),
        (ROLES.replace(",7", ",last"), TITLES, "roles.csv: row 3, rank: give a number from 0 on"),
        (ROLES.replace("15-1255.00", "15-1254.00"), TITLES, "roles.csv: row 2, related_soc: the same as soc"),
        (ROLES.replace("13-1161.01", "15-1255.00"), TITLES, "roles.csv: row 3, related_soc: the same two as in row 2"),
        (ROLES, "soc,name\n", "titles.csv: the header has none of the columns title, alternate_title, short_title"),
        (ROLES, TITLES.replace("15-1255.00", ""),
         "titles.csv: row 4, soc: use a tag of letters, digits and - . + #, such as machine-learning"),
    ],
)  # fmt: skip
def test_files_of_roles_are_refused_with_their_row_and_column(write, roles, titles, message):
    write(roles, "roles.csv")
    write(titles, "titles.csv")
    policy = write('[related]\nroles = "roles.csv"\ntitles = "titles.csv"\n', "policy.toml")
    files = ["--mentors", write(MOVERS[0], "mentors.csv"), "--mentees", write(MOVERS[1], "mentees.csv")]
    told = run(*files, "--policy", policy)
    assert (told.exit_code, told.stderr) == (1, f"ithaca match: {message}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skill_a,skill_b,cosine,lift\n", "the header has no column people_with_both"),
        (NEAR.replace("0.7", "often"), "row 2, cosine: give a number from 0 to 1"),
        (NEAR.replace("0.7", "1.7"), "row 2, cosine: give a number from 0 to 1"),
        (NEAR.replace("60", "-60"), "row 2, people_with_both: give a number from 0 on"),
        (NEAR.replace("3.1", "inf"), "row 2, lift: give a number from 0 on"),
        (NEAR.replace("MySQL", "!"), "row 2, skill_a: use a tag of letters, digits and - . + #, such as machine-learning"),
        (NEAR.replace("go,sql", "sql,SQL"), "row 3, skill_b: the same as skill_a"),
        (NEAR.replace("go,sql", "sql,mysql"), "row 3, skill_b: the same two skills as row 2"),
        (NEAR.replace(",3.1", ""), "row 2: 6 fields where the header has 7"),
        (b"\xff", "row 1: this isn't UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_of_what_is_near_is_refused_with_its_row_and_column(write, text, message):
    files = ["--mentors", write(PEOPLE[0], "mentors.csv"), "--mentees", write(PEOPLE[1], "mentees.csv")]
    if text is not None:
        write(text, "near.csv")
    told = run(*files, "--policy", write('[related]\nskills = "near.csv"\n', "policy.toml"))
    assert (told.exit_code, told.stderr) == (1, f"ithaca match: near.csv: {message}\n")


def test_explain_says_what_one_would_tell_a_mentor(solved):
    files, _ = solved
    shown = run(*files, "--explain").output
    assert "  - They want to learn sql, which you offer. (+0.9231)" in shown
    assert "  - You both speak en. (+0.07692)" in shown


def test_where_nobody_can_be_paired_it_says_why(write):
    mentors = write("id,languages\nm1,en\n", "mentors.csv")
    told = run("--mentors", mentors, "--mentees", write("id,languages\ne1,yo\n", "mentees.csv"))
    assert told.exit_code == 1
    assert "nobody can be paired: 1 mentees wait: no common language; 1 mentors wait: no common language" in told.stderr


WISHES = {"residents": {"a": ["x", "y"], "b": ["x"], "c": ["y", "x"]}, "hospitals": {"x": ["b", "a"], "y": ["a", "c"]}}


def test_preferences_are_matched_by_deferred_acceptance(write):
    told = run("--preferences", write(json.dumps(WISHES), "wishes.json"), "--json")
    result = json.loads(told.output)
    assert result["matches"] == {"a": "y", "b": "x", "c": None}
    assert (result["pairs"], result["dropped"], result["blocking_pairs"], result["unmatched"]) == (2, 1, 0, ["c"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacities": {"x": 0}}, "capacities.x: Input should be greater than or equal to 1"),
        ({"capacities": {"z": 1}}, "capacities.z: there is no such hospital"),
        ({"residents": {"a": ["x", "x"]}}, "residents.a: x is named twice"),
        ({"residents": {"a": ["q"]}}, "residents.a: nobody is called q"),
        ({"wishes": {}}, "wishes: Extra inputs are not permitted"),
    ],
)
def test_preferences_that_cannot_be_are_refused_in_words(write, change, message):
    told = run("--preferences", write(json.dumps(WISHES | {"hospitals": {"x": [], "y": []}} | change), "wishes.json"))
    assert told.exit_code == 1
    assert message in told.stderr


COUNTRIES = (
    "id,skills,country\n" + "".join(f"m{n},sql,{'NG' if n < 6 else 'BR'}\n" for n in range(12)),
    "id,skills,country\n" + "".join(f"e{n},sql,{('NG', 'BR', 'NA')[(n > 8) + (n > 13)]}\n" for n in range(16)),
)


def test_fairness_is_told_by_what_the_command_names_or_the_policy_audits(write):
    files = ["--mentors", write(COUNTRIES[0], "mentors.csv"), "--mentees", write(COUNTRIES[1], "mentees.csv")]
    told = json.loads(run(*files, "--fairness", "country", "--json").output)["fairness"]
    assert [(g["role"], g["value"], g["merged"], g["people"]) for g in told] == [
        ("mentee", "NG", 1, 9),
        ("mentee", "", 2, 7),
        ("mentor", "BR", 1, 6),
        ("mentor", "NG", 1, 6),
    ]
    assert sum(g["matched"] for g in told) == 24
    assert all(g["rate_interval"][0] <= g["rate"] <= g["rate_interval"][1] for g in told)
    assert told == json.loads(run(*files, "--policy", write('audit = ["country"]\n', "p.toml"), "--json").output)["fairness"]
    shown = run(*files, "--fairness", "country,function").output
    assert "mentees   country   others (2 groups)       7" in shown
    assert "mentors   function  not said" in shown
    assert "fairness" not in run(*files, "--json").output
    wrong = run(*files, "--fairness", "gender")
    assert wrong.exit_code == 2
    assert "Invalid value for --fairness: use country, function," in wrong.output
