"""The generated documents are up to date, and the catalogue keeps what its golden copy promises."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deploy import documents
from deploy.cli import docs
from shared.events import CATALOGUE, TOPICS
from shared.events.compatibility import breaks, describe
from shared.events.partner import PARTNER

ROOT = Path(__file__).resolve().parents[2]


def test_the_documents_are_up_to_date() -> None:
    assert documents.stale(ROOT) == [], "run ./ithaca docs make"


def test_the_catalogue_keeps_its_promises() -> None:
    assert documents.broken(ROOT) == []


@pytest.fixture
def shapes() -> tuple[Any, Any]:
    now = describe()
    return now, copy.deepcopy(now)


def test_what_is_added_breaks_nothing(shapes: tuple[Any, Any]) -> None:
    golden, now = shapes
    held = now["events"]["MeetingHeld"]["fields"]
    held["mood"] = {"type": "string", "required": False}
    held["place"] = {"type": "object", "required": False, "null": True}
    held["place.code"] = {"type": "string", "required": True}
    held["tags"] = {"type": "array", "required": False}
    held["tags[]"] = {"type": "string", "required": True}
    now["events"]["PairEnded"]["fields"]["reason"]["enum"].append("new")
    now["events"]["New"] = {"topic": "people", "key": "person_id", "fields": {"person_id": {"type": "uuid", "required": True}}}
    assert breaks(golden, now) == []


def test_a_removed_event_breaks(shapes: tuple[Any, Any]) -> None:
    golden, now = shapes
    del now["events"]["MeetingHeld"], now["partner"]["PersonPaused"]
    assert breaks(golden, now) == ["MeetingHeld is gone", "partner PersonPaused is gone"]


def change_field(now: Any, path: str, **shape: Any) -> None:
    now["events"]["MeetingHeld"]["fields"].setdefault(path, {}).update(shape)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda now: now["events"]["MeetingHeld"]["fields"].pop("said_by"), "MeetingHeld.said_by is gone"),
        (lambda now: now["events"]["PairCreated"]["fields"].pop("members[].role"), "PairCreated.members[].role is gone"),
        (lambda now: change_field(now, "number", required=True), "MeetingHeld.number has become required"),
        (
            lambda now: change_field(now, "mood", type="string", required=True),
            "MeetingHeld.mood is new and required: give it a default",
        ),
        (
            lambda now: now["events"]["PairCreated"]["fields"].update({"members[].age": {"type": "integer", "required": True}}),
            "PairCreated.members[].age is new and required: give it a default",
        ),
        (lambda now: change_field(now, "minutes", type="number"), "MeetingHeld.minutes: type was integer, is number"),
        (lambda now: change_field(now, "minutes", null=True), "MeetingHeld.minutes: null was False, is True"),
        (lambda now: change_field(now, "minutes", maximum=100), "MeetingHeld.minutes: maximum was 1440, is 100"),
        (lambda now: now["events"]["PairEnded"]["fields"]["side"]["enum"].remove("both"), "PairEnded.side no longer has both"),
        (lambda now: now["events"]["PairEnded"].update(key="pair_id"), "PairEnded: key was relationship_id, is pair_id"),
        (lambda now: now["partner"]["PersonEnrolled"]["fields"].pop("email"), "partner PersonEnrolled.email is gone"),
    ],
)
def test_what_is_taken_away_breaks(shapes: tuple[Any, Any], change: Any, said: str) -> None:
    golden, now = shapes
    change(now)
    assert breaks(golden, now) == [said]


def test_asyncapi_names_every_topic_event_and_service() -> None:
    page = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
    assert page["asyncapi"].startswith("3.")
    assert set(page["channels"]) == set(TOPICS)
    assert set(page["components"]["messages"]) == {event.__name__ for event in CATALOGUE.values()}
    assert sum(len(channel["messages"]) for channel in page["channels"].values()) == len(CATALOGUE)
    assert {"gateway.send.people", "matching.receive.people", "notifications.send.rejections"} < set(page["operations"])
    assert "matching.send.people" not in page["operations"]


def test_every_reference_in_asyncapi_leads_somewhere() -> None:
    page = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())

    def references(value: Any) -> list[str]:
        if isinstance(value, list):
            return [ref for item in value for ref in references(item)]
        if not isinstance(value, dict):
            return []
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for item in value.values() for ref in references(item)]

    for reference in references(page):
        place = page
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_schemas_stand_alone_and_say_what_their_event_is() -> None:
    for name in [*(event.__name__ for event in CATALOGUE.values()), *(f"partner/{name}" for name in PARTNER)]:
        schema = json.loads((ROOT / f"docs/schemas/{name}.json").read_text())
        assert schema["description"]
        assert schema["title"] == f"ithaca.{name.removeprefix('partner/')}"
        assert ('"other"' in json.dumps(schema)) is False or not name.startswith("partner/")


def test_links_within_the_page_lead_somewhere() -> None:
    page = (ROOT / "docs/events.md").read_text()
    anchors = {
        line.lstrip("#").strip().lower().replace(",", "").replace(" ", "-") for line in page.splitlines() if line.startswith("#")
    }
    links = {part.partition(")")[0] for part in page.split("](#")[1:]}
    assert links <= anchors


def test_the_command_makes_refuses_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    run = CliRunner()
    assert run.invoke(docs.app, ["check"]).exit_code == 1
    assert run.invoke(docs.app, ["make"]).exit_code == 0
    assert run.invoke(docs.app, ["check"]).exit_code == 0

    golden = tmp_path / documents.GOLDEN
    promised = json.loads(golden.read_text())
    promised["events"]["PairEnded"]["fields"]["why"] = {"type": "string", "required": False}
    golden.write_text(json.dumps(promised))
    for command in ("check", "make"):
        result = run.invoke(docs.app, [command])
        assert result.exit_code == 1
        assert "PairEnded.why is gone" in result.output
    assert run.invoke(docs.app, ["make", "--break"]).exit_code == 0
    assert run.invoke(docs.app, ["check"]).exit_code == 0
