"""The figures of matching, on few people: what is compared finds the same, and the tables hold it."""

from benchmarks import match, match_peers


def test_ours_and_a_dense_assignment_find_the_same_score():
    ours, dense = match.child("ours", "60", ""), match.child("dense", "60")
    assert abs(ours["score"] - dense["score"]) < 1e-9
    assert ours["bound"] == ours["score"]
    rows = [{"people": size, "solver": "ours"} | ours for size in (60, 120)]
    text = match.table(rows, [], "mentor-match is not here")
    assert "| 60 × 60 | ours |" in text
    assert "- ours: 60 → 120: 0.00" in text
    assert text.endswith("mentor-match is not here")


def test_by_mentor_match_s_rules_the_command_runs_on_files_of_its_kind(tmp_path):
    match.peer_files(tmp_path, 40)
    found = match.ours_by_its_rules(tmp_path)
    assert found["score"] == found["bound"] > 0


def test_peers_are_paired_exactly_and_circles_stay_below_their_bound():
    rows = match_peers.measure(print, (("pairs", 60), ("circles", 60)))
    assert [(row["solver"], row["placed"]) for row in rows] == [("peer pairs", 60), ("circles of five", 60)]
    assert rows[0]["score"] == rows[0]["bound"]
    assert rows[1]["score"] <= rows[1]["bound"]
    text = match_peers.table(rows)
    assert "| 60 | peer pairs | 60 |" in text
    assert "| 0.000% |" in text
