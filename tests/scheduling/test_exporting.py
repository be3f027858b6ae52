"""A person takes along all that scheduling holds of them and is theirs: nothing is forgotten, and nothing of others goes with it."""

import json

from services.scheduling import exporting
from shared.events import PersonErased
from tests.scheduling.conftest import PAGE, until


async def taken(scene, person):
    answer = await scene.http.post(scene.url("export", person, person, 1))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith('attachment; filename="ithaca-scheduling-')
    return json.loads(answer.text)["data"]


async def test_what_one_wrote_and_did_is_in_the_file_and_nothing_that_others_wrote(scene):
    pair = await scene.pair(quiet_intervals_before_stalled=10)
    text = {"purpose": "To find my feet", "every_weeks": "2", "minutes": "30", "months": "6", "confidential": "yes"}
    await scene.do("edit", pair.id, pair.mentee, 1, **text)
    await scene.log.wait(pair.id, "AgreementRevised")
    for person in (pair.mentor, pair.mentee):
        await scene.do("sign", pair.id, person, 2)
    meeting = await scene.log.wait(pair.id, "MeetingProposed")
    await scene.do("goals", pair.id, pair.mentee, 2, kind="technical", text="Give a talk", due_on="")
    goal_id = (await scene.log.wait(pair.id, "GoalSet")).goal_id
    here = {"do": "step", "kind": "practice", "url": "", "due_on": ""}
    for person, words in ((pair.mentor, "of the mentor"), (pair.mentee, "of the mentee")):
        step = here | {"text": f"A step {words}", "form": words}
        url = f"{scene.url('goals', pair.id, person, 2)}&goal={goal_id}"
        assert (await scene.http.post(url, data=step, headers=PAGE)).status_code == 303
        follow_up = {"add": "follow_up", "text": f"A task {words}", "doer": str(pair.mentor), "form": "two"}
        await scene.do("notes", pair.id, person, 2, **follow_up)
        entry = {"add": "note", "own": "yes", "text": f"A note {words}", "form": "one"}
        await scene.do("notes", pair.id, person, 2, **entry)
        await scene.do("concern", pair.id, person, 2, text=f"A worry {words}")
        await scene.do("own", person, person, 1, act="place", kind="address", text=f"A house {words}")
    await scene.do("pick", meeting.meeting_id, pair.mentor, 0, slot=meeting.slots[0].isoformat())
    await scene.clock_past(meeting.slots[0])
    await scene.do("met", meeting.meeting_id, pair.mentor, 0, met="yes", minutes="40")
    await scene.log.wait(pair.id, "MeetingHeld")

    data = await taken(scene, pair.mentee)
    assert set(data) == {part.name for part in exporting.KEPT}
    (profile,), (relationship,), (held, *_) = data["profile"], data["relationships"], data["meetings"]
    assert (profile["id"], profile["name"], profile["place"]["text"]) == (
        str(pair.mentee),
        "Nobody Knows",
        "A house of the mentee",
    )
    assert (relationship["as"], relationship["with"], relationship["held"]) == ("mentee", ["mentor"], 1)
    assert (held["status"], held["attended"], held["minutes_held"], held["said"]) == ("held", True, 40, [])
    assert sorted(one["text"] for part in ("goals", "entries", "concerns") for one in data[part]) == [
        "A note of the mentee", "A task of the mentee", "A worry of the mentee", "Give a talk",
    ]  # fmt: skip
    assert [one["wrote"] for one in data["agreements"]] == [{"purpose": "To find my feet"}]
    whole = json.dumps(data)
    assert "of the mentor" not in whole
    assert str(pair.mentor) not in whole
    other = await taken(scene, pair.mentor)
    assert "of the mentee" not in json.dumps(other)
    assert (other["agreements"], other["meetings"][0]["said"][0]["met"]) == ([], True)
    assert [step.get("text") for step in data["goals"][0]["steps"]] == ["A step of the mentee", None]
    (goal,) = other["goals"]
    assert (set(goal), [step["text"] for step in goal["steps"]]) == (
        {"id", "relationship_id", "steps", "said"},
        ["A step of the mentor"],
    )
    assert "Give a talk" not in json.dumps(other)
    assert [[one["text"] for one in part["entries"] if one["mine_to_do"]] for part in (data, other)] == [
        [],
        ["A task of the mentor"],
    ]


async def test_the_page_has_a_button_and_is_for_oneself_alone(scene):
    pair = await scene.pair()
    page = await scene.see("export", pair.mentee, pair.mentee, 1)
    assert "Download the file" in page.text
    for thing, who in ((pair.mentee, pair.mentor), (pair.id, pair.mentee)):
        url = scene.url("export", thing, who, 1)
        assert (await scene.http.post(url, headers=PAGE)).status_code == 404
        assert (await scene.http.get(url, headers=PAGE)).status_code == 404
    expired = scene.url("export", pair.mentee, pair.mentee, 1, days=-1)
    assert (await scene.http.post(expired)).status_code == 410
    for _ in range(9):
        await taken(scene, pair.mentee)
    answers = [await scene.http.post(scene.url("export", pair.mentee, pair.mentee, 1)) for _ in range(3)]
    assert 429 in {answer.status_code for answer in answers}
    await scene.send(PersonErased(person_id=pair.mentor, revision=9))

    async def gone():
        return (await scene.http.post(scene.url("export", pair.mentor, pair.mentor, 1))).status_code == 404

    assert await until(gone)


async def test_rows_are_read_by_an_index_some_at_a_time(scene):
    pair = await scene.pair()
    await scene.db.execute("set search_path to scheduling")
    await scene.db.execute(
        """insert into entries (id, relationship_id, organization, person_id, kind, text, written_at)
        select gen_random_uuid(), $1, 'x', $2, 'point', 'point ' || n, now() from generate_series(1, 1234) n""",
        pair.id,
        pair.mentee,
    )  # fmt: skip
    data = await taken(scene, pair.mentee)
    assert len({one["text"] for one in data["entries"]}) == 1234
    await scene.db.execute("set enable_seqscan = off")
    for part in exporting.KEPT:
        plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {part.ids}", pair.mentee))
        assert "Seq Scan" not in plan, part.name
        assert ("relationships_former" in plan) == (part.name in {"relationships", "meetings"})
        page = "\n".join(row[0] for row in await scene.db.fetch(f"explain {part.rows}", [pair.mentee]))
        assert f"{part.table.name}_pkey" in page, "each page reads its own rows alone"
    await scene.db.execute("reset enable_seqscan")
    await scene.db.execute("reset search_path")
