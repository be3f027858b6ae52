"""What a partner may post: precise errors, nothing unknown, and no value repeated."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.events import CATALOGUE, Contact, Policy, Profile
from shared.events.partner import (
    PARTNER,
    MeetingReported,
    PartnerEvent,
    PersonEnrolled,
    ProfileChanged,
    ProgramChanged,
    countries,
    nearest_time_zone,
    partner_event,
    problems,
    slug,
    time_zones,
)

PERSON = {"person": "n07", "name": "Ann Mbeki", "program": "crossing", "role": "mentor"}
MET = {"program": "crossing", "people": ["n07", "k03"], "held_at": "2026-03-01T17:00:00Z", "minutes": 30}


def refused(form: type[PartnerEvent], data: object) -> dict[str, str]:
    """Field → what is said about it."""
    with pytest.raises(ValidationError) as raised:
        form.read(data)
    return {problem.field: problem.text for problem in problems(raised.value, form)}


def test_what_a_partner_may_post_becomes_an_event_of_the_same_name() -> None:
    assert {f"ithaca.{name}" for name in PARTNER} < set(CATALOGUE)
    assert partner_event("ithaca.PersonEnrolled") is PersonEnrolled is PARTNER["PersonEnrolled"]
    assert PersonEnrolled.TYPE == "ithaca.PersonEnrolled"


@pytest.mark.parametrize("kind", ["PersonEnrolled", "ithaca.PairCreated", "other.PersonEnrolled", "", "ithaca."])
def test_a_partner_may_post_nothing_else(kind: str) -> None:
    assert partner_event(kind) is None


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"time_zone": "Europe/Lodnon"}, "time_zone", "unknown time zone: did you mean Europe/London?"),
        ({"time_zone": "Zzz"}, "time_zone", "unknown time zone: use an IANA name such as Africa/Lagos"),
        ({"role": "wizard"}, "role", "use one of mentor, mentee, peer, facilitator"),
        ({"role": "other"}, "role", "use one of mentor, mentee, peer, facilitator"),
        ({"person": None}, "person", "give a text"),
        ({"person": "n 07"}, "person", "an id has no spaces in it"),
        ({"name": "Ann\nBcc: x"}, "name", "leave out line breaks and control characters"),
        ({"name": "Ann\u202eibekM"}, "name", "leave out line breaks and control characters"),
        ({"name": "x" * 201}, "name", "give at most 200 characters"),
        ({"email": "ann"}, "email", "this is no mail address; leave the field out where there is none"),
        ({"email": "ann@example.org\r\nBcc: x@y.zz"}, "email", "this is no mail address; leave the field out where there is none"),
        ({"country": "Nigeria"}, "country", "use the two letters of ISO 3166-1, such as NG"),
        ({"country": "XX"}, "country", "use the two letters of ISO 3166-1, such as NG"),
        ({"languages": ["english"]}, "languages[0]", "use a language code such as en or pt-BR"),
        ({"languages": "en"}, "languages", "give a list"),
        ({"skills_offered": ["a", "<script>"]}, "skills_offered[1]", "use a tag of letters, digits and - . + #, such as machine-learning"),
        ({"skills_offered": ["ann@example.org"]}, "skills_offered[0]", "use a tag of letters, digits and - . + #, such as machine-learning"),
        ({"skills_offered": ["a"] * 101}, "skills_offered", "give at most 100"),
        ({"capacity": 0}, "capacity", "give at least 1"),
        ({"capacity": "many"}, "capacity", "give a whole number"),
        ({"hours_per_week": 1000}, "hours_per_week", "give at most 168"),
        ({"program": "Crossing!"}, "program", "use your program's slug, or owner.slug for another's"),
        ({"timezone": "UTC"}, "timezone", "unknown field: did you mean time_zone?"),
        ({"shoe_size": 44}, "shoe_size", "unknown field: leave it out"),
        ({"availability": [{"weekday": 7, "start": "09:00", "end": "10:00"}]}, "availability[0].weekday", "use 0 for Monday to 6 for Sunday, or the day's English name"),
        ({"availability": [{"weekday": 0, "start": "9:00", "end": "10:00"}]}, "availability[0].start", "write the time as HH:MM, from 00:00 to 23:59"),
        ({"availability": [{"weekday": 0, "start": "09:00", "end": "24:01"}]}, "availability[0].end", "write the time as HH:MM, from 00:01 to 24:00"),
        ({"availability": [{"weekday": 0, "start": "22:00", "end": "02:00"}]}, "availability[0]", "end must be after start; write hours that pass midnight as two windows"),
        ({"availability": [{"weekday": 0, "start": "09:00", "ends": "10:00", "end": "10:00"}]}, "availability[0].ends", "unknown field: did you mean end?"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_what_to_do(change: dict, field: str, text: str) -> None:
    assert refused(PersonEnrolled, PERSON | change) == {field: text}


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"held_at": "2026-03-01T17:00:00"}, "held_at", "give a time with its offset from UTC, such as 2026-03-01T17:00:00Z"),
        ({"held_at": "yesterday"}, "held_at", "give a time with its offset from UTC, such as 2026-03-01T17:00:00Z"),
        ({"held_at": 1772384400}, "held_at", "give a time with its offset from UTC, such as 2026-03-01T17:00:00Z"),
        ({"held_at": "0026-03-01T17:00:00Z"}, "held_at", "give a time between the years 2000 and 2100"),
        ({"people": ["n07"]}, "people", "give at least 2"),
        ({"people": ["n07", "n07"]}, "", "name each person once"),
        ({"meeting": "m1"}, "meeting", "give a UUID"),
    ],
)
def test_a_wrong_report_is_named_with_what_to_do(change: dict, field: str, text: str) -> None:
    assert refused(MeetingReported, MET | change) == {field: text}


@pytest.mark.parametrize("data", [None, [], "x", 5])
@pytest.mark.parametrize("form", PARTNER.values(), ids=PARTNER)
def test_data_must_be_an_object(form: type[PartnerEvent], data: object) -> None:
    assert refused(form, data) == {"": "give an object"}


def test_what_is_missing_is_named() -> None:
    assert refused(MeetingReported, {}) == dict.fromkeys(["program", "people", "held_at", "minutes"], "this field is needed")


def test_a_policy_is_checked_to_its_depth() -> None:
    launched = {"program": "crossing", "name": "Crossing"}
    wrong = {"aim": "luck", "agreement": {"every_weeks": 0, "every_week": 2}, "formats": [], "audit": ["country", "gender"]}
    assert refused(PARTNER["ProgramLaunched"], launched | {"policy": wrong}) == {
        "policy.aim": "use one of everyone, pairs, score, fair",
        "policy.agreement.every_weeks": "give at least 1",
        "policy.agreement.every_week": "unknown field: did you mean every_weeks?",
        "policy.formats": "give at least 1",
        "policy.audit[1]": "use one of country, function, industry, location, seniority, employment, organization, first_language",
    }
    assert refused(PARTNER["ProgramLaunched"], launched | {"policy": {"least_group_size": 20}}) == {
        "policy": "least_group_size is above most_group_size"
    }


@pytest.mark.parametrize(
    ("asked", "where", "what"),
    [
        ([{"attribute": "gender", "answers": ["woman"]}], "[0].answers", "give at least 2"),
        ([{"attribute": "gender", "answers": ["woman", "Woman"]}], "[0].answers", "name each one once"),
        ([{"attribute": "gender", "answers": ["a", "b"]}] * 2, "", "name each one once"),
        ([{"attribute": "gender", "answer": ["a", "b"]}], "[0].answer", "unknown field: did you mean answers?"),
        ([{"attribute": n, "answers": ["a", "b"]} for n in "abcdef"], "", "give at most 5"),
    ],
)
def test_what_a_program_asks_its_people_for_themselves_is_checked(asked, where, what):
    launched = {"program": "crossing", "name": "Crossing", "policy": {"personal_rules": asked}}
    assert refused(PARTNER["ProgramLaunched"], launched)[f"policy.personal_rules{where}"] == what


def test_a_policy_is_changed_where_it_was_said_and_nowhere_else() -> None:
    before = Policy(capacity=3, most_group_size=30)
    changed = ProgramChanged.read({"program": "crossing", "policy": {"least_group_size": 20, "agreement": {"minutes": 45}}})
    after = changed.policy.applied_to(before)
    assert (after.capacity, after.least_group_size, after.agreement.minutes, after.agreement.every_weeks) == (3, 20, 45, 2)
    assert type(after) is Policy
    assert type(after.agreement) is type(before.agreement)


def test_texts_are_tidied() -> None:
    person = PersonEnrolled.read(
        PERSON | {"name": "  Ann  ", "country": "ng", "languages": ["EN", "pt_BR", "en"], "skills_offered": ["C#", "Machine Learning", "machine  learning"]}
    )  # fmt: skip
    assert (person.name, person.country, person.languages) == ("Ann", "NG", ("en", "pt-BR"))
    assert person.skills_offered == ("c#", "machine-learning")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("SQL Server", "sql-server"),
        ("arts, entertainment, sports, or media", "arts-entertainment-sports-or-media"),
        ("role:Data_Scientist", "role:data-scientist"),
        (".NET", ".net"),
        ("Gestão", "gestão"),
        ("CI/CD", "ci/cd"),
    ],
)
def test_a_tag_has_one_form(text: str, tag: str) -> None:
    assert slug(text) == tag == slug(tag)


def test_a_day_may_be_named() -> None:
    window = {"weekday": "Tue", "start": "09:00", "end": "24:00"}
    assert PersonEnrolled.read(PERSON | {"availability": [window]}).availability[0].weekday == 1


def test_a_time_of_any_offset_is_taken() -> None:
    met = MeetingReported.read(MET | {"held_at": "2026-03-01T17:00:00+05:30"})
    assert met.held_at == datetime(2026, 3, 1, 11, 30, tzinfo=UTC)


def test_a_change_of_profile_leaves_what_it_does_not_name() -> None:
    before = Profile(time_zone="Africa/Lagos", country="NG", skills_wanted=("cloud",), title="Analyst")
    contact = Contact(name="Ann", email="ann@example.org", locale="pt")
    change = ProfileChanged.read({"person": "n07", "skills_wanted": ["sql"], "title": None, "time_zone": None, "email": None})
    assert change.profile(before) == Profile(time_zone="Africa/Lagos", country="NG", skills_wanted=("sql",))
    assert change.contact(contact) == Contact(name="Ann", email=None, locale="pt")


def test_a_new_person_needs_neither_name_nor_zone_nor_address() -> None:
    person = PersonEnrolled.read({"person": "n07", "program": "northwind.crossing", "role": "mentee"})
    assert person.contact() == Contact(name="n07")
    assert person.profile(Profile(time_zone="Africa/Lagos")) == Profile(time_zone="Africa/Lagos")


def test_windows_of_a_profile_are_those_of_events() -> None:
    person = PersonEnrolled.read(PERSON | {"availability": [{"weekday": 0, "start": "09:00", "end": "10:00"}]})
    profile = person.profile(Profile(time_zone="UTC"))
    assert Profile.model_validate_json(profile.model_dump_json()) == profile


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Europe/Lodnon", "Europe/London"),
        ("europe/london", "Europe/London"),
        ("new york", "America/New_York"),
        ("Afrika/Lagos", "Africa/Lagos"),
        ("São Paulo", "America/Sao_Paulo"),
        ("GMT+2", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_the_nearest_time_zone_is_found(text: str, zone: str | None) -> None:
    assert nearest_time_zone(text) == zone


def test_the_tables_of_zones_and_countries_are_whole() -> None:
    assert len(time_zones()) > 500
    assert {"NG", "NA", "BR", "GB"} < countries()
    assert len(countries()) > 240


SECRET = "Zq7 Mbeki"
nonsense = st.recursive(
    st.sampled_from(
        [None, True, -1, 10**30, 1.5, float("nan"), SECRET, f"{SECRET}@{SECRET}", f"2026-01-01T00:00 {SECRET}", "\x00"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["weekday", "start", "agreement", "aim"]), inner),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_nonsense_breaks_the_gate_and_no_error_repeats_it(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(list(PARTNER.values())))
    sent = data.draw(st.dictionaries(st.sampled_from([*form.model_fields, "extra"]), nonsense, min_size=1))
    told: list[str] = []
    try:
        form.read(sent)
    except ValidationError as error:
        told = [str(error), *(text for p in problems(error, form) for text in (p.field, p.code, p.text))]
    assert not any("zq7" in text.lower() or "mbeki" in text.lower() for text in told)
    assert told or "extra" not in sent


def test_a_field_whose_name_is_no_name_is_not_repeated() -> None:
    assert "(a name that can't be one)" in refused(PersonEnrolled, PERSON | {SECRET: 1})
