"""What every event is made of: a frozen model in the past tense that knows its topic and its key, and the few field types
that may stand in one. A text outside `people` is an id, a code or a slug: each type here has a pattern, none takes free text.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

GATE = {"gate": True}
"""The validation context for what comes from outside: unknown codes are errors, where a reader takes them as `other`."""


class Code(StrEnum):
    """A closed list of words that may grow: a value this version doesn't know is read as `other`.

    Every subclass has a member `other`. At the gate (validation context `GATE`) an unknown value is an error that names
    the ones allowed, and `other` is not among them.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        known = [member for member in cls if member != "other"]
        other = cls("other")

        def unknown(value: Any, info: core_schema.ValidationInfo) -> Any:
            if not isinstance(value, str) or (info.context and info.context.get("gate")):
                raise ValueError
            return other

        # A known value never leaves Rust (0.2 µs); only an unknown one calls Python.
        return core_schema.union_schema(
            [core_schema.literal_schema(known), core_schema.with_info_plain_validator_function(unknown)],
            mode="left_to_right",
            custom_error_type="code",
            custom_error_message="use one of " + ", ".join(known),
            serialization=core_schema.simple_ser_schema("str"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": [member.value for member in cls]}


class _Utc:
    """A moment in UTC, whatever the offset it came with; one that came in UTC never leaves Rust (0.25 µs instead of 0.95)."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def utc(moment: datetime) -> datetime:
            try:
                return moment.astimezone(UTC)
            except OverflowError:
                raise ValueError from None

        aware = core_schema.datetime_schema(tz_constraint="aware")
        return core_schema.union_schema(
            [core_schema.datetime_schema(tz_constraint=0), core_schema.no_info_after_validator_function(utc, aware)],
            mode="left_to_right",
            custom_error_type="instant",
            custom_error_message="give a time with its offset from UTC, such as 2026-03-01T17:00:00Z",
            serialization=core_schema.simple_ser_schema("datetime"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": "date-time"}


Instant = Annotated[datetime, _Utc]
"""A moment: aware, and in UTC."""

_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"

OrganizationId = Annotated[str, Field(pattern=rf"^{_NAME}$", max_length=40)]
"""Readable and chosen once, such as `northwind`."""

ProgramId = Annotated[str, Field(pattern=rf"^{_NAME}\.{_NAME}$", max_length=81)]
"""The owner's id, a dot, and the program's slug: `northwind.crossing`."""

Slug = Annotated[str, Field(pattern=r"^[\w.#+][\w.#+&:/-]*$", max_length=80)]
"""A tag in its normal form: lower case, no spaces, such as `machine-learning`, `c++` or `role:data-scientist`."""

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=60)]
"""A code of our own making whose list is kept elsewhere, such as a template's name or a reason."""

Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
"""An id of a key, or of whoever acted with it."""

EventType = Annotated[str, Field(pattern=r"^ithaca\.[A-Z][A-Za-z]+$", max_length=60)]
"""A CloudEvents type, such as `ithaca.PairCreated`."""

PartnerEventId = Annotated[str, Field(pattern=r"^[!-?A-~]+$", max_length=200)]
"""The `id` of a partner's own event: printable ASCII without spaces and, so that no mail address gets in, without `@`."""

PartnerSource = Annotated[str, Field(pattern=r"^[!-?A-~]+$", max_length=200)]
"""The `source` of a partner's own event, a URI reference; the same characters as its id."""

PublicName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f@]+$", max_length=120)]
"""What an organization or a program calls itself in public. Never a person's name."""

TimeZone = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$", max_length=64)]
"""An IANA time zone, such as `Africa/Lagos`."""

Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2; Namibia is `NA`."""

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
"""A language tag (BCP 47), mostly the two letters of ISO 639-1: `en`, `pt-BR`."""

Count = Annotated[int, Field(ge=0)]

Minutes = Annotated[int, Field(ge=1, le=1440)]


class Role(Code):
    """What someone is to the others in a relationship or program."""

    mentor = "mentor"
    mentee = "mentee"
    peer = "peer"
    facilitator = "facilitator"
    other = "other"


class Format(Code):
    """How many meet, and as what."""

    one_to_one = "one_to_one"
    multi_mentor = "multi_mentor"
    group = "group"
    peer_pair = "peer_pair"
    circle = "circle"
    reverse = "reverse"
    e_mentoring = "e_mentoring"
    conversation = "conversation"
    """One meeting of a mentor and a mentee, without an agreement."""
    other = "other"


class Term(Code):
    """A short relationship ends when its one goal is attained, a long one when its months are over."""

    short = "short"
    long = "long"
    other = "other"


def owner_of(program: str) -> str:
    """The organization that owns a program, which its id begins with."""
    return program.partition(".")[0]


class Part(BaseModel):
    """A value inside an event."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)


as_text = lru_cache(maxsize=4096)(str)
"""A key as text: a batch writes the same ones again and again, and a UUID is dear to write."""


class Event(Part):
    """A fact that its owner has decided, or a partner's report.

    `topic` is where it is written and `key_field` names the field by which it is ordered there.
    """

    topic: ClassVar[str]
    key_field: ClassVar[str]
    ordered: ClassVar[bool] = True
    """False where facts of one key are independent of each other, so that their writer need not hold the key's row."""

    TYPE: ClassVar[str]
    """The CloudEvents type, e.g. `ithaca.PairCreated`."""

    NAMES_ORGANIZATION: ClassVar[bool] = False
    NAMES_PROGRAM: ClassVar[bool] = False

    audience: tuple[OrganizationId, ...] = ()
    """The organizations that may see it: the program's owner and the home organizations of the people it names."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.TYPE = f"ithaca.{cls.__name__}"
        cls.NAMES_ORGANIZATION, cls.NAMES_PROGRAM = "organization" in cls.model_fields, "program" in cls.model_fields

    @property
    def key(self) -> str:
        """The key of its records."""
        return as_text(getattr(self, self.key_field))

    @classmethod
    def type(cls) -> str:
        """The CloudEvents type, e.g. `ithaca.PairCreated`."""
        return cls.TYPE
