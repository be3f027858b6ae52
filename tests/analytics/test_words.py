"""The story's lines: what they keep, what they leave out, and how they read."""

import orjson
import pytest

from services.analytics.domain.story import ids_named, left_out, small, subjects, trace_of
from services.analytics.domain.words import WORDS, sentence
from shared.events import CATALOGUE, AccessKeyIssued, CheckInAnswered, Event, GroupCreated, MeetingHeld, PersonRecord
from tests.analytics.samples import SECRET, Crossing, sample

EVERY = sorted(CATALOGUE.values(), key=lambda event: event.__name__)


def test_every_type_has_a_sentence_and_no_sentence_is_for_nothing() -> None:
    assert set(WORDS) == {event.__name__ for event in EVERY}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "least"])
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_a_sentence_reads_well_with_all_fields_and_with_the_least(kind: type[Event], whole: bool) -> None:
    text = sentence(kind.__name__, orjson.loads(small(sample(kind, whole=whole))))
    assert text.endswith(".")
    assert text[0].isupper() or text[0].isdigit() or text.startswith(("northwind", "kestrel"))  # an organization's id
    for wrong in ("None", "{", "_", "  ", " .", "ithaca.", "..", SECRET):
        if not (wrong == "_" and kind.topic == "notifications"):  # a template's name
            assert wrong not in text, text


def test_a_type_without_words_is_named() -> None:
    assert sentence("SomethingNew", {}) == "SomethingNew."


@pytest.mark.parametrize("kind", [k for k in EVERY if issubclass(k, PersonRecord)], ids=lambda kind: kind.__name__)
def test_of_a_person_a_line_keeps_ids_status_and_programs_alone(kind: type[Event]) -> None:
    kept = orjson.loads(small(sample(kind, whole=True)))
    assert set(kept) - {"invited_by"} == {"person_id", "organization", "status", "revision", "program", "programs"}
    assert SECRET not in str(kept)
    assert "n07" not in str(kept)


def test_a_line_keeps_no_answer_no_policy_and_no_key() -> None:
    assert {"score", "answers", "fit", "tags", "audience"} <= left_out(CheckInAnswered)
    assert "sha256" not in orjson.loads(small(sample(AccessKeyIssued, whole=True)))
    for kind in EVERY:
        assert "policy" not in orjson.loads(small(sample(kind, whole=True)))


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_a_line_is_found_by_every_uuid_that_stands_in_its_data(kind: type[Event]) -> None:
    event = sample(kind, whole=True)
    named = {str(one) for one in ids_named(event)}
    stands = {text for text in _texts(orjson.loads(small(event))) if len(text) == 36 and text.count("-") == 4}
    assert stands == named


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def test_a_line_says_whom_it_is_about() -> None:
    crossing = Crossing("north", "kes")
    _, held, _ = crossing.meeting(0)
    assert subjects(orjson.loads(small(held))) == {
        "person": [str(crossing.mentees[0]), str(crossing.mentors[0])],
        "relationship": [str(crossing.pairs[0])],
        "meeting": [str(held.meeting_id)],
    }
    group = sample(GroupCreated, whole=True)
    assert subjects(orjson.loads(small(group)))["person"] == [str(m.person_id) for m in group.members]


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("", ""),
        ("00-nonsense", ""),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ""),
    ],
)
def test_only_a_traceparent_has_a_trace(traceparent: str, trace: str) -> None:
    assert trace_of(traceparent) == trace


def test_sentences_say_what_happened() -> None:
    crossing = Crossing("north", "kes")
    _, held, missed = crossing.meeting(0)
    assert isinstance(held, MeetingHeld)
    said = {
        type(e).__name__: sentence(type(e).__name__, orjson.loads(small(e)))
        for e in (crossing.pair(0), held, missed, crossing.waits(0))
    }
    assert said == {
        "PairCreated": "Matched: mentee (north) and mentor (kes), score 0.82: skills.",
        "MeetingHeld": "Met on Wed 11 Mar 2026 09:00 UTC, 30 min; it had been counted as missed.",
        "MeetingMissed": "The meeting on Wed 11 Mar 2026 09:00 UTC was missed: both silent, 1 in a row.",
        "PersonWaitlisted": "Waits for a partner as mentee: nobody offers (security).",
    }
