"""The catalogue: complete, readable by old and new versions, and without personal data where none belongs."""

import importlib
import inspect
import json
import pkgutil
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import shared.events
from benchmarks.fuzz.schema import of_schema
from shared.events import (
    CATALOGUE,
    GATE,
    SERVICES,
    TOPICS,
    Code,
    EndReason,
    Event,
    MatchRunFinished,
    MeetingHeld,
    MeetingReported,
    Member,
    PersonErased,
    Policy,
    ReminderDue,
    ReportRejected,
    Role,
    owner_of,
)
from shared.events.compatibility import fields

NAMES = [
    "OrganizationOnboarded",
    "ProgramLaunched",
    "ProgramChanged",
    "ProgramClosed",
    "ProgramShared",
    "ProgramJoined",
    "ProgramLeft",
    "PersonEnrolled",
    "ProfileChanged",
    "PersonPaused",
    "PersonResumed",
    "PersonWithdrawn",
    "PersonInvited",
    "PersonErased",
    "MeetingReported",
    "OutcomeReported",
    "MentorNominated",
    "NominationEnded",
    "MatchRunRequested",
    "MatchRunFinished",
    "MentorRequested",
    "RequestQuestioned",
    "RequestAccepted",
    "RequestDeclined",
    "RequestWithdrawn",
    "RequestExpired",
    "MatchProposed",
    "MatchApproved",
    "MatchRejected",
    "PairCreated",
    "GroupCreated",
    "MemberJoined",
    "MemberLeft",
    "PersonWaitlisted",
    "ReliefOffered",
    "AgreementProposed",
    "AgreementSigned",
    "SignaturesAwaited",
    "AgreementRevised",
    "RenewalOffered",
    "MeetingProposed",
    "MeetingScheduled",
    "MeetingRescheduled",
    "MeetingCancelled",
    "ReminderDue",
    "FollowUpsDue",
    "HostNamed",
    "MemberWentOut",
    "MeetingHeld",
    "MeetingMissed",
    "ContactLogged",
    "CheckInAsked",
    "CheckInAnswered",
    "MisalignmentDetected",
    "GoalSet",
    "MilestoneReached",
    "GoalProgressed",
    "GoalDropped",
    "AttainmentAsked",
    "GoalAttained",
    "SkillAssessed",
    "FeedbackAsked",
    "FeedbackGiven",
    "IntroductionMade",
    "OpportunityShared",
    "RecommendationAsked",
    "CircleProposed",
    "CircleAgreed",
    "PairFlagged",
    "ConcernRaised",
    "PairStalled",
    "MemberAsked",
    "PairWarned",
    "PairRecovered",
    "PairFrozen",
    "PairEnded",
    "AddressesShared",
    "MentorRecognised",
    "NotificationSent",
    "NotificationFailed",
    "WebhookDelivered",
    "WebhookDisabled",
    "ProgramMeasured",
    "ReportRejected",
    "AccessKeyIssued",
    "AccessKeyRevoked",
]

PAIR = UUID("0198c0de-1111-7222-8333-444455556666")
MEETING = UUID("0198c0de-1111-7222-8333-444455556667")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def every_event() -> list[type[Event]]:
    return list(CATALOGUE.values())


def every_part() -> list[type[BaseModel] | type[Code]]:
    modules = [importlib.import_module(f"shared.events.{m.name}") for m in pkgutil.iter_modules(shared.events.__path__)]
    return [
        thing
        for module in modules
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, BaseModel | Code) and thing.__module__ == module.__name__
    ]


def test_every_name_is_an_event_and_nothing_else_is() -> None:
    assert sorted(event.__name__ for event in every_event()) == sorted(NAMES)
    assert all(kind == f"ithaca.{event.__name__}" == event.type() for kind, event in CATALOGUE.items())


def test_every_event_that_is_defined_anywhere_in_the_package_is_in_the_catalogue_or_a_base_of_one() -> None:
    bases = {base for event in every_event() for base in event.__mro__[1:]}
    assert {p for p in every_part() if issubclass(p, Event)} == {*every_event(), *(b for b in bases if issubclass(b, Event))}


@pytest.mark.parametrize("part", every_part(), ids=lambda part: f"{part.__module__.rpartition('.')[2]}.{part.__name__}")
def test_everything_says_what_it_is(part: type) -> None:
    assert len(part.__dict__.get("__doc__") or "") > 10


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.__name__)
def test_an_event_says_who_emits_it(event: type[Event]) -> None:
    writers = TOPICS[event.topic].writers
    assert any(service in (event.__doc__ or "") for service in writers) or writers == SERVICES


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.__name__)
def test_an_event_has_a_topic_and_a_key_that_is_never_missing(event: type[Event]) -> None:
    assert event.topic in TOPICS
    key = fields(event)[event.key_field]
    assert key["required"]
    assert "null" not in key


def test_topics_have_twelve_partitions_and_the_retention_that_was_promised() -> None:
    assert {topic.partitions for topic in TOPICS.values()} == {12}
    assert {name for name, topic in TOPICS.items() if topic.compacted} == {"people", "access"}
    assert {name for name, topic in TOPICS.items() if topic.retention_days} == {"notifications", "analytics"}
    assert TOPICS["people"].config() == {
        "cleanup.policy": "compact",
        "segment.ms": "86400000",
        "max.compaction.lag.ms": "86400000",
    }
    assert TOPICS["matching"].config()["retention.ms"] == "-1"
    assert TOPICS["analytics"].config()["retention.ms"] == "2592000000"


def test_only_its_owner_writes_a_topic_except_rejections() -> None:
    assert {name for name, topic in TOPICS.items() if len(topic.writers) != 1} == {"rejections"}
    assert {service for topic in TOPICS.values() for service in (*topic.writers, *topic.readers)} == set(SERVICES)


# Round trips: any valid event is read back as it was written


EVENTS = {event: event.model_json_schema() for event in every_event()}
STRATEGIES = {event: of_schema(schema, schema.get("$defs", {})) for event, schema in EVENTS.items()}


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_whatever_is_written_is_read_back_the_same(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(every_event()))
    raw = data.draw(STRATEGIES[event])
    try:
        first = event.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        assert event.topic == "onboarding" and {e["type"] for e in error.errors()} == {"order"}  # noqa: PT017, PT018
        return
    again = event.model_validate_json(first.model_dump_json())
    assert again == first
    assert again.model_dump_json() == first.model_dump_json()
    assert first.key
    assert event.model_validate(first.model_dump()) == first


def held(**changes: object) -> dict:
    whole = {
        "relationship_id": str(PAIR),
        "program": "northwind.crossing",
        "meeting_id": str(MEETING),
        "held_at": "2026-03-01T13:00:00+01:00",
        "minutes": 30,
        "attended": [],
    }
    return whole | changes


def test_a_field_that_a_later_version_added_is_ignored() -> None:
    assert MeetingHeld.model_validate(held(mood="good")) == MeetingHeld.model_validate(held())


def test_a_value_that_a_later_version_added_is_read_as_other() -> None:
    assert Member.model_validate({"person_id": PAIR, "role": "oracle", "organization": "kestrel"}).role is Role.other


@pytest.mark.parametrize("value", ["oracle", "other", "", 5, None, ["mentor"]])
def test_at_the_gate_only_the_words_we_know_pass(value: object) -> None:
    with pytest.raises(ValidationError, match="use one of mentor, mentee, peer, facilitator"):
        Member.model_validate({"person_id": PAIR, "role": value, "organization": "kestrel"}, context=GATE)


def test_every_list_of_words_has_other() -> None:
    assert all("other" in part.__members__ for part in every_part() if issubclass(part, Code) and part is not Code)


def test_times_are_utc_whatever_their_offset() -> None:
    assert MeetingHeld.model_validate(held()).held_at == NOON
    assert MeetingHeld.model_validate(held()).held_at.utcoffset() == timedelta(0)
    assert '"2026-03-01T12:00:00Z"' in MeetingHeld.model_validate(held()).model_dump_json()


@pytest.mark.parametrize("naive", ["2026-03-01T13:00:00", datetime(2026, 3, 1)])  # noqa: DTZ001
def test_a_time_without_its_offset_is_refused(naive: object) -> None:
    with pytest.raises(ValidationError, match="offset from UTC"):
        MeetingHeld.model_validate(held(held_at=naive))


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_for_which_utc_has_no_year_is_refused(moment: str) -> None:
    with pytest.raises(ValidationError, match="offset from UTC"):
        MeetingHeld.model_validate(held(held_at=moment))


def test_an_event_cannot_be_changed() -> None:
    event = ReminderDue(relationship_id=PAIR, program="northwind.crossing", meeting_id=MEETING, starts_at=NOON)
    with pytest.raises(ValidationError, match="frozen"):
        event.starts_at = NOON  # type: ignore[misc]
    assert event.key == str(PAIR)


def test_the_owner_of_a_program_stands_in_its_id() -> None:
    assert owner_of("northwind.crossing") == "northwind"


def test_a_policy_whose_least_is_above_its_most_is_refused() -> None:
    with pytest.raises(ValidationError, match="least_group_size is above most_group_size"):
        Policy(least_group_size=12)


# Privacy

SENTENCES = ("Ann Mbeki is often late", "I'd rather not say", "ann.mbeki@example.org", "line\nbreak")


@pytest.mark.parametrize("event", [e for e in every_event() if e.topic != "people"], ids=lambda event: event.__name__)
def test_no_text_outside_people_can_hold_what_somebody_wrote(event: type[Event]) -> None:
    for path, field in fields(event).items():
        if field["type"] != "string" or "enum" in field:
            continue
        # an organization's or a program's own name, and a program's own words for what it asks
        public = event.topic == "onboarding" and path in {"name", "policy.texts[].text", "policy.milestones[].name"}
        pattern = field["pattern"].removesuffix("$") + r"\Z"
        refused = SENTENCES[2:] if public else SENTENCES
        assert not [text for text in refused if re.search(pattern, text)], f"{event.__name__}.{path}"


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.__name__)
def test_an_error_never_shows_the_value(event: type[Event]) -> None:
    secret = {name: {"secret": "Ann Mbeki"} for name in event.model_fields}
    with pytest.raises(ValidationError) as raised:
        event.model_validate_json(json.dumps(secret))
    assert "Mbeki" not in str(raised.value)


def test_what_is_kept_of_an_erased_person_is_an_id() -> None:
    assert set(PersonErased.model_fields) == {"audience", "person_id", "revision"}


def test_a_report_without_a_program_is_only_an_outcome() -> None:
    assert MeetingReported.model_fields["program"].is_required()
    assert not ReportRejected.ordered
    assert MatchRunFinished.key_field == "run_id"
    assert EndReason("completed") is EndReason.completed
