"""What a partner may post: the same facts in the partner's own words, with its own ids, forbidding whatever isn't known.

Everything is bounded and tidied here, so that behind the gate a value is either right or not there. A message says what to do
and never repeats a value.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shared.events import base, onboarding, people, reports
from shared.events.base import GATE, Format, Role

# Time zones, countries


@cache
def time_zones() -> frozenset[str]:
    """Every IANA time zone that a person may live in."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split()) - {"Factory"}


@cache
def countries() -> frozenset[str]:
    """The two letters of every country (ISO 3166-1), from the table that comes with the time zones."""
    table = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and line[0] != "#")


@cache
def _zone_words() -> tuple[dict[str, str], dict[str, str]]:
    """Zones by their whole name and by their city, in lower case. `Etc` stays out: its signs are the wrong way round."""
    names = sorted(name for name in time_zones() if "/" in name and not name.startswith("Etc/"))
    return {name.lower(): name for name in names}, {name.rpartition("/")[2].lower(): name for name in names}


@lru_cache(maxsize=4096)
def nearest_time_zone(text: str) -> str | None:
    """The time zone that was probably meant, by its whole name (`Europe/Lodnon`) or its city (`new york`), if any."""
    wanted = re.sub(r"\s+", "_", text.strip().lower()[:64])
    names, cities = _zone_words()
    city = wanted.rpartition("/")[2]
    if wanted in names or city in cities:
        return names.get(wanted) or cities[city]
    if close := difflib.get_close_matches(wanted, names, 1, 0.8):
        return names[close[0]]
    if close := difflib.get_close_matches(city, cities, 1, 0.75):
        return cities[close[0]]
    return None


# Texts


@dataclass(frozen=True, slots=True)
class _As:
    """Of the same form as an event's field, with a sentence in place of its pattern; `tidy` brings it into that form."""

    kind: Any
    say: str
    tidy: Callable[[str], str] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        fits = TypeAdapter(self.kind).validator.isinstance_python
        tidy = self.tidy

        @lru_cache(maxsize=4096)  # tags come again and again
        def check(text: str) -> str:
            tidied = tidy(text) if tidy else text
            if not fits(tidied):
                raise PydanticCustomError("form", self.say)
            return tidied

        return core_schema.no_info_after_validator_function(check, core_schema.str_schema(strict=True, max_length=200))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        say = f"{self.say[0].upper()}{self.say[1:]}."
        if self.tidy is None:
            return TypeAdapter(self.kind).json_schema() | {"description": say}
        return {"type": "string", "maxLength": 200, "description": say}


def slug(text: str) -> str:
    """A tag in its normal form: `Machine Learning` is `machine-learning`, `arts, sports` is `arts-sports`."""
    words = re.sub(r"[\s_,;()\"'’!?*|]+", "-", unicodedata.normalize("NFKC", text).lower())
    return re.sub(r"-{2,}", "-", words).strip("-:/&")


_UNPRINTABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _language(text: str) -> str:
    head, *rest = text.strip().replace("_", "-").split("-")
    return "-".join((head.lower(), *rest))


def _printable(text: str) -> str:
    """No control characters, line breaks or marks that turn the direction of writing, which can make a name look like another."""
    plain = text.isascii() and text.isprintable()
    if not plain and any(unicodedata.category(char) in _UNPRINTABLE or char in _TURNING for char in text):
        raise PydanticCustomError("control_characters", "leave out line breaks and control characters")
    return text


def _one_line(text: str) -> str:
    return _printable(text.strip())


def _time_zone(text: str) -> str:
    if text in time_zones():
        return text
    if nearest := nearest_time_zone(text):
        raise PydanticCustomError("time_zone", "unknown time zone: did you mean {nearest}?", {"nearest": nearest})
    raise PydanticCustomError("time_zone", "unknown time zone: use an IANA name such as Africa/Lagos")


def _country(text: str) -> str:
    code = text.strip().upper()
    if code not in countries():
        raise PydanticCustomError("country", "use the two letters of ISO 3166-1, such as NG")
    return code


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s<>(),;:\"\\]{1,64}@[^@\s<>(),;:\"\\]+\.[^@\s<>(),;:\"\\.]{2,}", text):
        raise PydanticCustomError("email", "this is no mail address; leave the field out where there is none")
    return text


def _own_id(text: str) -> str:
    if re.search(r"\s", text):
        raise PydanticCustomError("own_id", "an id has no spaces in it")
    return _printable(text)


def _moment(value: Any) -> Any:
    """A text alone: a bare number could be seconds or milliseconds."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value):
        raise PydanticCustomError("instant", "give a time with its offset from UTC, such as 2026-03-01T17:00:00Z")
    return value


def _of_our_time(moment: datetime) -> datetime:
    if not 2000 <= moment.year <= 2100:
        raise PydanticCustomError("instant", "give a time between the years 2000 and 2100")
    return moment


_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _weekday(value: Any) -> Any:
    day = value.strip().lower() if isinstance(value, str) else value
    if isinstance(day, str) and len(day) >= 3:
        day = next((number for number, name in enumerate(_WEEKDAYS) if name.startswith(day)), None)
    if isinstance(day, bool) or not isinstance(day, int) or not 0 <= day <= 6:
        raise PydanticCustomError("weekday", "use 0 for Monday to 6 for Sunday, or the day's English name")
    return day


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _different(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("twice", "name each one once")
    return values


OwnId = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_own_id)
]
"""What the partner calls a person. Where a person of another organization is meant: the UUID that Ithaca gave."""

Name = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_printable)
]
Title = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=120), AfterValidator(_printable)
]
Email = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, max_length=254), AfterValidator(_email)]
PublicName = Annotated[str, _As(base.PublicName, "give a name of 1 to 120 characters, without @ and line breaks", _one_line)]
Slug = Annotated[str, _As(base.Slug, "use a tag of letters, digits and - . + #, such as machine-learning", slug)]
Slugs = Annotated[tuple[Slug, ...], Field(max_length=100), AfterValidator(_once)]
Language = Annotated[str, _As(base.Language, "use a language code such as en or pt-BR", _language)]
Country = Annotated[str, StringConstraints(strict=True, max_length=10), AfterValidator(_country)]
TimeZone = Annotated[str, StringConstraints(strict=True, max_length=64), AfterValidator(_time_zone)]
Instant = Annotated[base.Instant, AfterValidator(_of_our_time), BeforeValidator(_moment)]
OrganizationId = Annotated[str, _As(base.OrganizationId, "use an organization's id, such as kestrel", str.strip)]
ProgramSlug = Annotated[str, _As(base.OrganizationId, "use lower-case letters, digits and hyphens, such as crossing", str.strip)]
"""What the owner calls a program."""
ProgramId = Annotated[str, _As(base.ProgramId, "use the program's whole id, owner first, such as northwind.crossing", str.strip)]
ProgramRef = Annotated[
    str, _As(base.ProgramId | base.OrganizationId, "use your program's slug, or owner.slug for another's", str.strip)
]
"""One's own program by its slug, another organization's by its whole id."""


class PartnerEvent(BaseModel):
    """What one CloudEvent of a partner says in its data."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    TYPE: ClassVar[str]
    """The CloudEvents type, e.g. `ithaca.PersonEnrolled`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.TYPE = f"ithaca.{cls.__name__}"

    @classmethod
    def read(cls, data: Any) -> Self:
        """The data of an event, parsed from JSON. Raises pydantic's ValidationError, which `problems` puts into sentences."""
        return cls.model_validate(data, context=GATE)


class _AtTheGate(BaseModel):
    """A part of an event, with nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Window(people.Window, _AtTheGate):
    """Hours of every week in the person's own time zone."""

    weekday: Annotated[int, Field(ge=0, le=6), BeforeValidator(_weekday)]
    """0 is Monday; `monday` will do."""
    start: Annotated[str, _As(people.Start, "write the time as HH:MM, from 00:00 to 23:59")]
    end: Annotated[str, _As(people.End, "write the time as HH:MM, from 00:01 to 24:00")]

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        if self.start >= self.end:
            raise PydanticCustomError("order", "end must be after start; write hours that pass midnight as two windows")
        return self


class Terms(onboarding.Terms, _AtTheGate):
    """What the program's agreements say unless its people change it."""

    topics: Slugs = ()
    channels: Slugs = ()


class PersonalQuestion(onboarding.PersonalQuestion, _AtTheGate):
    """Something that your program's people may say of themselves, each for themselves, in order to meet only people who said the same."""

    attribute: Slug
    answers: Annotated[tuple[Slug, ...], Field(min_length=2, max_length=20), AfterValidator(_different)]


def _asked_once(questions: tuple[PersonalQuestion, ...]) -> tuple[PersonalQuestion, ...]:
    _different(tuple(question.attribute for question in questions))
    return questions


class QuestionText(onboarding.QuestionText, _AtTheGate):
    """A question to your program's people in your own words: they stand between the greeting and the button."""


def _each_once(texts: tuple[QuestionText, ...]) -> tuple[QuestionText, ...]:
    _different(tuple(text.question for text in texts))
    return texts


class Weights(onboarding.Weights, _AtTheGate):
    """How much each soft part of a score counts."""


class PolicyOverrides(onboarding.Policy, _AtTheGate):
    """The parts of a policy in which a program differs from what it has, or from the default."""

    formats: Annotated[tuple[Format, ...], Field(min_length=1, max_length=8), AfterValidator(_once)] = (Format.one_to_one,)
    weights: Weights = Weights()
    audit: Annotated[tuple[onboarding.Audited, ...], Field(max_length=8), AfterValidator(_once)] = ()
    agreement: Terms = Terms()
    personal_rules: Annotated[tuple[PersonalQuestion, ...], Field(max_length=5), AfterValidator(_asked_once)] = ()
    texts: Annotated[tuple[QuestionText, ...], Field(max_length=10), AfterValidator(_each_once)] = ()

    @model_validator(mode="after")
    def _least_is_not_above_most(self) -> Self:
        """Left to `applied_to`: what is said here may be right only beside what was said before."""
        return self

    def applied_to(self, before: onboarding.Policy) -> onboarding.Policy:
        """The whole policy after this change. Raises ValidationError where the two don't go together."""
        whole, said = before.model_dump(), self.model_dump(exclude_unset=True)
        for nested in ("weights", "agreement"):
            said[nested] = whole[nested] | said.get(nested, {})
        return onboarding.Policy.model_validate(whole | said)


def _goes_with_the_default(policy: PolicyOverrides) -> PolicyOverrides:
    policy.applied_to(onboarding.Policy())
    return policy


class ProgramLaunched(PartnerEvent):
    """You open a program, and own it."""

    program: ProgramSlug
    name: PublicName
    policy: Annotated[PolicyOverrides, AfterValidator(_goes_with_the_default)] = PolicyOverrides()


class ProgramChanged(PartnerEvent):
    """You change a program's name or parts of its policy; what you leave out stays."""

    program: ProgramSlug
    name: PublicName | None = None
    policy: PolicyOverrides = PolicyOverrides()


class ProgramClosed(PartnerEvent):
    """You close a program: its relationships end."""

    program: ProgramSlug


class ProgramShared(PartnerEvent):
    """You invite another organization into your program, or change its seats."""

    program: ProgramSlug
    member: OrganizationId
    """The organization you invite, by its id."""
    seats: Annotated[int, Field(ge=0, le=1_000_000)]
    """How many people it may enrol."""
    visibility: onboarding.Visibility = onboarding.Visibility.own_people


class ProgramJoined(PartnerEvent):
    """You accept an invitation; from now on you may enrol people there."""

    program: ProgramId


class ProgramLeft(PartnerEvent):
    """You leave a program you had joined; your people are withdrawn from it."""

    program: ProgramId


class _Traits(PartnerEvent):
    """What may be said of a person. What is left out stays as it is."""

    person: OwnId
    """Your own id of the person."""
    name: Name | None = None
    """Your id stands in for it where there is none."""
    email: Email | None = None
    locale: Language | None = None
    time_zone: TimeZone | None = None
    """Your organization's own where there is none."""
    country: Country | None = None
    languages: Annotated[tuple[Language, ...], Field(max_length=20), AfterValidator(_once)] = ()
    """Best first."""
    skills_offered: Slugs = ()
    skills_wanted: Slugs = ()
    skills_have: Slugs = ()
    goals: Slugs = ()
    values: Slugs = ()
    interests: Slugs = ()
    roles_held: Slugs = ()
    years_experience: Annotated[float, Field(ge=0, le=80)] | None = None
    seniority: Slug | None = None
    rank: Annotated[int, Field(ge=-100, le=1000)] | None = None
    title: Title | None = None
    industry: Slug | None = None
    function: Slug | None = None
    location: Slug | None = None
    employment: Slug | None = None
    reports_to: OwnId | None = None
    """The manager, by your own id."""
    hours_per_week: Annotated[float, Field(ge=0, le=168)] | None = None
    preferred_start_hour: Annotated[int, Field(ge=0, le=23)] | None = None
    availability: Annotated[tuple[Window, ...], Field(max_length=50)] = ()
    channels: Annotated[Slugs, Field(max_length=20)] = ()

    def profile(self, before: people.Profile) -> people.Profile:
        """The person's profile after this; for a new person `before` holds only the organization's time zone."""
        said = self.model_dump(include=self.model_fields_set & people.Profile.model_fields.keys())
        if said.get("time_zone", "") is None:
            del said["time_zone"]
        return people.Profile.model_validate(before.model_dump() | said)

    def contact(self, before: people.Contact | None = None) -> people.Contact:
        """How to reach the person after this."""
        contact = (before or people.Contact(name=self.person)).model_dump()
        for field in self.model_fields_set & contact.keys():
            value = getattr(self, field)
            if value is not None or field == "email":
                contact[field] = value
        return people.Contact.model_validate(contact)


class PersonEnrolled(_Traits):
    """You enrol one of your people in a program, yours or one you joined; again, it changes role or capacity there."""

    program: ProgramRef
    role: Role
    capacity: Annotated[int, Field(ge=1, le=100)] | None = None
    """How many partners at a time; the program's default where left out."""
    hours_per_month: Annotated[float, Field(gt=0, le=200)] | None = None
    """What a mentor has for it: no more relationships are made than fit into it on the program's terms, but always one."""
    formats: Annotated[tuple[Format, ...], Field(max_length=8), AfterValidator(_once)] = ()
    """Those the person takes part in; all that the program has where left out."""


class ProfileChanged(_Traits):
    """You change what is known of one of your people; what you leave out stays, null takes it away."""


class PersonPaused(PartnerEvent):
    """One of your people takes a break: no new match, no question."""

    person: OwnId
    until: Instant | None = None
    """The break ends by itself then."""


class PersonResumed(PartnerEvent):
    """One of your people is back from a break."""

    person: OwnId


class PersonWithdrawn(PartnerEvent):
    """One of your people leaves a program, or all of them. To have someone erased, DELETE the person."""

    person: OwnId
    program: ProgramRef | None = None
    """All of them where left out."""


class MeetingReported(PartnerEvent):
    """People who are matched have met, by your calendar. Late and twice is fine."""

    program: ProgramRef
    people: Annotated[tuple[OwnId, ...], Field(min_length=2, max_length=50)]
    """Those who were there: your own ids, for people of others the UUID that Ithaca gave."""
    held_at: Instant
    minutes: base.Minutes
    meeting: UUID | None = None
    """Ithaca's id of the meeting, where you know it."""

    @model_validator(mode="after")
    def _everyone_once(self) -> Self:
        if len(set(self.people)) < len(self.people):
            raise PydanticCustomError("twice", "name each person once")
        return self


class OutcomeReported(PartnerEvent):
    """What became of one of your people."""

    person: OwnId
    kind: reports.OutcomeKind
    at: Instant
    program: ProgramRef | None = None


PARTNER: dict[str, type[PartnerEvent]] = {
    event.__name__: event
    for event in (
        ProgramLaunched,
        ProgramChanged,
        ProgramClosed,
        ProgramShared,
        ProgramJoined,
        ProgramLeft,
        PersonEnrolled,
        ProfileChanged,
        PersonPaused,
        PersonResumed,
        PersonWithdrawn,
        MeetingReported,
        OutcomeReported,
    )
}
"""What a partner may post, by the name of its type; the CloudEvents type has `ithaca.` before it."""


def partner_event(cloudevents_type: str) -> type[PartnerEvent] | None:
    """The form of what a partner posts as `ithaca.PersonEnrolled`."""
    prefix, _, name = cloudevents_type.rpartition(".")
    return PARTNER.get(name) if prefix == "ithaca" else None


# Errors


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field: its path within the data, a word for programs, a sentence for people."""

    field: str
    code: str
    text: str


_SAY = {
    "missing": "this field is needed",
    "model_type": "give an object",
    "model_attributes_type": "give an object",
    "dict_type": "give an object",
    "tuple_type": "give a list",
    "string_type": "give a text",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_parsing_size": "give a smaller number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a number",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give at least {ge}",
    "less_than_equal": "give at most {le}",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "uuid_type": "give a UUID",
    "uuid_parsing": "give a UUID",
}
"""By pydantic's type of error; the figures are the limits, never what was sent."""

_NESTED = {
    name for part in (Window, PolicyOverrides, PersonalQuestion, QuestionText, Terms, Weights) for name in part.model_fields
}


def problems(error: ValidationError, event: type[PartnerEvent]) -> list[Problem]:
    """Each error of `PartnerEvent.read` as a field and what to do about it, never with a value that was sent."""
    found = []
    for each in error.errors(include_url=False, include_context=True, include_input=False):
        code, where = each["type"], each["loc"]
        if code == "extra_forbidden":
            known = event.model_fields if len(where) == 1 else _NESTED
            close = difflib.get_close_matches(str(where[-1])[:40], list(known), 1)
            text = f"unknown field: did you mean {close[0]}?" if close else "unknown field: leave it out"
        else:
            say = _SAY.get(code)
            limits = {name: f"{limit:.15g}" for name, limit in each.get("ctx", {}).items() if isinstance(limit, int | float)}
            text = say.format_map(limits) if say else each["msg"]
        found.append(Problem(_path(where), code, text))
    return found


def _path(where: tuple[int | str, ...]) -> str:
    """`availability[2].start`; a field's name that isn't a name is not repeated."""
    path = ""
    for step in where:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            name = step if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", step) else "(a name that can't be one)"
            path += f".{name}" if path else name
    return path
