"""Reading a request's body: every attribute is checked, and nothing that was sent is repeated."""

import contextlib
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway import posted
from services.gateway.posted import Posted, Refused
from shared.errors import Rejected

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = {
    "specversion": "1.0",
    "id": "n07-1",
    "source": "/northwind/hr",
    "type": "ithaca.PersonEnrolled",
    "data": {"person": "n07", "program": "crossing", "role": "mentee"},
}


def read(event):
    return posted.read_event(0, event, "northwind", NOW)


def test_a_good_event_is_read():
    event = read(
        GOOD | {"time": "2026-02-01T10:00:00+01:00", "subject": "x", "traceparent": "y", "datacontenttype": "application/json"}
    )
    assert isinstance(event, Posted)
    assert event.time == datetime(2026, 2, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": None}, "id"),
        ({"id": "ada@northwind.example"}, "id"),
        ({"id": "two words"}, "id"),
        ({"id": 7}, "id"),
        ({"source": ""}, "source"),
        ({"type": "PersonEnrolled"}, "type"),
        ({"type": "ithaca.PairCreated"}, "type"),
        ({"type": ["ithaca.PersonEnrolled"]}, "type"),
        ({"time": 1750000000}, "time"),
        ({"time": "2026-03-05T00:00:00Z"}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"organization": "kestrel"}, "organization"),
        ({"Type": "x"}, "(an attribute)"),
        ({"data": []}, "data"),
        ({"data": None}, "data"),
        ({"data": {"person": "n07", "program": "crossing"}}, "data.role"),
        (
            {"data": GOOD["data"] | {"availability": [{"weekday": 9, "start": "9", "end": "10:00"}]}},
            "data.availability[0].weekday",
        ),
    ],
)
def test_what_is_wrong_is_named(change, field):
    refused = read(GOOD | change)
    assert isinstance(refused, Refused)
    assert field in [e.field for e in refused.errors]
    assert all(e.detail for e in refused.errors)


def test_everything_that_is_wrong_is_named_at_once():
    refused = read({"id": "a b", "type": "ithaca.PersonEnrolled", "data": {"person": "x", "time_zone": "Mars"}})
    assert {e.field for e in refused.errors} == {"specversion", "id", "source", "data.program", "data.role", "data.time_zone"}


def test_the_same_words_in_another_order_are_the_same_event():
    turned = dict(reversed(GOOD.items())) | {"data": dict(reversed(GOOD["data"].items()))}
    assert read(turned).sha256 == read(GOOD).sha256
    assert read(GOOD | {"data": GOOD["data"] | {"role": "mentor"}}).sha256 != read(GOOD).sha256


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*GOOD, "time", "datacontenttype", "data_base64", "Ünknown"]), JSON) | JSON)
def test_whatever_is_sent_is_read_or_refused(event):
    found = read({**GOOD, **event} if isinstance(event, dict) else event)
    assert isinstance(found, Posted | Refused)
    if isinstance(found, Refused):
        assert found.errors


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from([posted.STRUCTURED, posted.BATCH, posted.BINARY, "", "a/b; charset=\x00", "text/html"]),
)
def test_garbage_is_an_answer_never_a_crash(body, kind):
    with contextlib.suppress(Rejected):
        posted.read({"content-type": kind, "ce-id": "1", "ce-specversion": "1.0"}, body, "northwind", NOW)


def test_no_answer_repeats_what_was_sent():
    secret = "Zq7Secret"
    event = GOOD | {
        "type": f"ithaca.{secret}",
        "specversion": secret,
        "time": secret,
        "datacontenttype": secret,
        secret: 1,
        "organization": secret,
    }
    shown = orjson.dumps([[e.field, e.detail] for e in read(event).errors]).decode()
    data = dict.fromkeys(("role", "time_zone", "country", "email", "availability", "languages", "program", secret), secret)
    shown += orjson.dumps([[e.field, e.detail] for e in read(GOOD | {"data": data}).errors]).decode()
    assert secret not in shown.replace(f"data.{secret}", "")
