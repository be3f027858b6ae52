"""`./ithaca load` and `./ithaca organization`, as a newcomer and as a partner would use them."""

import csv
import gzip
import json
import stat

import pytest

from tests.conftest import unique

COLUMNS = ["id", "name", "email", "time_zone", "languages", "skills", "organization", "shoe_size"]


def write(path, rows):
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def mentor(n, **more):
    return {
        "id": f"m{n}",
        "name": f"Mentor {n}",
        "email": f"m{n}@example.org",
        "time_zone": "Africa/Lagos",
        "skills": "cloud|sql",
    } | more


def mentee(n, **more):
    return {"id": f"e{n}", "time_zone": "Africa/Lagos", "languages": "en", "skills": "sql", "organization": "elsewhere"} | more


@pytest.fixture
def files(tmp_path):
    """Two mentors with two places each, five mentees of whom one wants what nobody offers."""
    mentees = [mentee(n) for n in range(4)] + [mentee(4, skills="weaving")]
    return write(tmp_path / "mentors.csv", [mentor(0), mentor(1)]), write(tmp_path / "mentees.csv.gz", mentees)


@pytest.fixture
def words(files):
    """The command for an organization of its own."""
    mentors, mentees = files
    return [
        "load",
        "--organization",
        unique("load"),
        "--program",
        "Crossing",
        "--mentors",
        mentors,
        "--mentees",
        mentees,
        "--capacity",
        2,
    ]


def test_people_of_two_files_are_in_matched_and_told_of(ithaca, words):
    done = ithaca(*words, "--json")
    assert json.loads(done.stdout)["people"] == 7  # and nothing else is there
    text = done.stderr
    assert "ignored: organization, shoe_size" in text
    assert f"{words[2]}.crossing is open." in text
    assert "7 people are in, 7 of them new." in text
    assert "5 have no mail address" in text
    assert "4 pairs:" in text
    assert "skills sql" in text
    assert "nobody offers what they want to learn" in text
    assert "Trace  " in text


def test_a_second_run_changes_nothing_and_says_so(ithaca, words):
    first = ithaca.json(*words)
    assert {"people": 7, "new": 7, "pairs": 4, "waitlisted": 1, "refused": 0, "launched": True}.items() <= first.items()
    assert first["waitlisted_by_reason"] == {"nobody_offers": 1}
    assert first["seconds"] > 0
    assert len(first["trace_id"]) == 32
    again = ithaca.json(*words)
    assert {"people": 7, "new": 0, "changed": False, "pairs": 4, "launched": False}.items() <= again.items()
    assert again["run_id"] == first["run_id"]
    assert "nothing new" in ithaca(*words).output
    # the key it made for itself is kept where only its owner reads it
    assert stat.S_IMODE((ithaca.home / "keys.json").stat().st_mode) == 0o600
    (organization,) = [each for each in ithaca.json("organization", "list") if each["id"] == words[2]]
    assert organization["keys"] == 1
    assert organization["programs"][0]["people"] == 7


def test_what_differs_is_taken_over_and_so_is_the_way_back(ithaca, words, files):
    write(files[1], [mentee(n) for n in range(5)])
    first = ithaca.json(*words)
    with_room = ithaca.json(*words[:-1], 3)
    assert with_room["changed"] is True
    assert with_room["pairs"] == 1  # of this run: the one who waited
    write(files[0], [mentor(0), mentor(1), mentor(2)])
    back = ithaca.json(*words)
    assert back["changed"] is True
    assert back["new"] == 1
    assert len({each["run_id"] for each in (first, with_room, back)}) == 3


def test_a_broken_row_ends_it_before_anything_is_sent(ithaca, words, files):
    write(files[1], [mentee(0), mentee(1, time_zone="Europe/Lodnon"), mentee(2, id="")])
    done = ithaca(*words, code=1)
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("ithaca: mentees.csv.gz: row 3, time_zone: unknown time zone: did you mean Europe/London? (1 more")
    assert "--skip-bad" in error
    assert not [each for each in ithaca.json("organization", "list") if each["id"] == words[2]]


def test_skip_bad_leaves_broken_rows_out_and_names_them(ithaca, words, files):
    write(files[1], [mentee(0), mentee(1, time_zone="Europe/Lodnon"), mentee(2)])
    done = ithaca(*words, "--skip-bad", "--json")
    told = json.loads(done.stdout)
    assert told["people"] == 4
    assert told["refused"] == 1
    reason = "unknown time zone: did you mean Europe/London?"
    assert told["refusals"] == [{"file": "mentees.csv.gz", "row": "3", "field": "time_zone", "reason": reason}]
    assert told["pairs"] == 2
    assert "mentees.csv.gz row 3, time_zone: unknown" in done.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--mentors": "/nonexistent/mentors.csv"}, "mentors.csv: No such file"),
        ({"--organization": "…"}, "can't name an organization"),
        ({"--api": "http://127.0.0.1:9"}, "--api needs --key"),
        ({"--api": "http://127.0.0.1:9", "--key": "ith_a_b"}, "127.0.0.1:9 doesn't answer"),
    ],
)
def test_mistakes_are_told_in_one_line(ithaca, words, change, says):
    given = dict(zip(words[1::2], words[2::2], strict=True)) | change
    done = ithaca("load", *(word for pair in given.items() for word in pair), code=None)
    assert done.exit_code in (1, 2)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ithaca: ")
    assert says in last


def test_one_id_in_both_files_is_refused(ithaca, words, files):
    write(files[1], [mentee(0), mentee(1, id="m1")])
    assert "are in both files" in ithaca(*words, code=1).stderr


def test_a_partner_uses_its_own_key_at_an_address(ithaca, nowhere, words):
    made = ithaca.json("organization", "add", words[2], "--country", "NG", "--time-zone", "Africa/Lagos")
    gateway = ithaca.state.addresses["gateway"]
    wrong = ithaca(*words, "--api", gateway, "--key", "ith_0_0", code=1)
    assert "doesn't take this key" in wrong.stderr
    told = ithaca.json(*words, "--api", gateway, "--key", made["key"])
    assert told["pairs"] == 4
    # by the environment too, from a place where nothing runs
    urls = json.dumps({name: ithaca.state.addresses[name] for name in ("gateway", "matching")})
    assert nowhere.json(*words, ITHACA_URLS=urls, ITHACA_KEY=made["key"])["new"] == 0


def test_an_organizations_first_key_is_shown_once(ithaca):
    name = unique("org")
    first = ithaca("organization", "add", name, "--name", "Northwind", "--time-zone", "Africa/Lagos").output
    assert first.count("ith_") == 1
    assert "./ithaca load" in first
    again = ithaca("organization", "add", name).output
    assert "ith_" not in again
    assert "--new-key" in again
    more = ithaca.json("organization", "add", name, "--new-key")
    assert more["key"].startswith("ith_")
    assert more["created"] is False
    assert "other details" in ithaca("organization", "add", name, "--name", "Southwind", code=1).stderr
    assert (
        "did you mean Europe/London"
        in ithaca("organization", "add", unique("org"), "--time-zone", "Europe/Lodnon", code=1).stderr
    )
    (listed,) = [each for each in ithaca.json("organization", "list") if each["id"] == name]
    assert listed["keys"] == 2
    assert "Northwind" in ithaca("organization", "list").output
