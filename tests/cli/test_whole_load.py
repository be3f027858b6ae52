"""The main job on real input: 8,720 people of whom each has a partner or a reason, in less than a minute."""

import json
import os

from tests.conftest import unique


def test_real_people_in_less_than_a_minute(ithaca, data):
    organization = unique("real")
    people = ["--mentors", data / "mentors.csv", "--mentees", data / "mentees.csv.gz"]
    told = ithaca.json("load", "--organization", organization, "--program", "crossing", *people)
    print(json.dumps(told))
    assert told["people"] == 307 + 8413
    assert told["pairs"] == 906
    assert told["gap"] == 0
    assert told["refused"] == 0
    # everyone has a partner or a reason
    assert told["pairs"] + told["waitlisted"] == 8413 + 5  # mentors with whom nobody has more in common than a language
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert told["seconds"] < 60 * max(1.0, busy / 2), "on a machine that has something else to do, accordingly longer"
