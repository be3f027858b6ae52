"""Organizations, their programs, and which organizations share one. All emitted by the gateway."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shared.events.base import (
    Code,
    Count,
    Country,
    Event,
    Format,
    Language,
    Minutes,
    OrganizationId,
    Part,
    ProgramId,
    PublicName,
    Slug,
    Term,
    TimeZone,
)

Weight = Annotated[float, Field(ge=0, le=100)]


class MatchMode(Code):
    """Whether a coordinator approves each match, or a run's pairs begin at once."""

    propose = "propose"
    create = "create"
    other = "other"


class Aim(Code):
    """What a match run makes as large as it can, first to last."""

    everyone = "everyone"
    """Most people with a partner, then the score."""
    pairs = "pairs"
    """Most pairs, then the score."""
    score = "score"
    fair = "fair"
    """The lowest score as high as it can be, then the score."""
    other = "other"


class AcrossOrganizations(Code):
    """Which organizations a pair may come from."""

    any = "any"
    only_other = "only_other"
    only_same = "only_same"
    other = "other"


class Audited(Code):
    """What a program's fairness report may look at: something that a profile says, or the home organization."""

    country = "country"
    function = "function"
    industry = "industry"
    location = "location"
    seniority = "seniority"
    employment = "employment"
    organization = "organization"
    first_language = "first_language"
    other = "other"


class Visibility(Code):
    """What a member organization sees of a program it has joined."""

    own_people = "own_people"
    """What names its own people, the counterpart as an id."""
    own_people_and_totals = "own_people_and_totals"
    """That, and the whole program's counts."""
    other = "other"


class Composition(Code):
    """Whom peers meet: people like themselves, or unlike."""

    alike = "alike"
    """The same industry, function and location, and as many years, bring points."""
    mixed = "mixed"
    """Different ones do. What people want from each other, their goals, values and interests count the same in both."""
    other = "other"


class Terms(Part):
    """What two people agree on. What they wrote in their own words stays with scheduling."""

    every_weeks: Annotated[int, Field(ge=1, le=26)] = 2
    minutes: Minutes = 30
    months: Annotated[int, Field(ge=1, le=60)] = 6
    confidential: bool = True
    topics: tuple[Slug, ...] = ()
    channels: tuple[Slug, ...] = ()
    mentor_hours_per_week: Annotated[float, Field(ge=0.25, le=40)] | None = None
    """What each mentor means to give, meetings included."""
    hours_per_week: Annotated[float, Field(ge=0.25, le=40)] | None = None
    """What each of the others means to give."""


class PersonalQuestion(Part):
    """Something that a program's people may say of themselves, each for themselves, in order to meet only people who said the same."""

    attribute: Slug
    """Such as `gender` or `faith`."""
    answers: Annotated[tuple[Slug, ...], Field(min_length=2, max_length=20)]
    """Who means the same must find the same word here: answers are compared as they are."""


class QuestionKind(Code):
    """What people are asked by mail."""

    did_you_meet = "did_you_meet"
    in_touch = "in_touch"
    nudge = "nudge"
    warned = "warned"
    asked = "asked"
    unsigned = "unsigned"
    renewal = "renewal"
    other = "other"


class QuestionText(Part):
    """A question in a program's own words: they stand between the greeting and the button."""

    question: QuestionKind
    text: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f@]+$", max_length=1000)]


class ProgramMilestone(Part):
    """A milestone of a program's own, such as a first talk given: its people say when they have reached it, and it is celebrated."""

    code: Slug
    name: PublicName


class Weights(Part):
    """How much each soft part of a score counts against the others; 0 leaves it out."""

    skills: Weight = 3.0
    """Modest: in the counts we know, shared tags don't predict that a suggestion is taken up."""
    has_made_the_move: Weight = 3.0
    goals: Weight = 2.0
    values: Weight = 1.0
    interests: Weight = 1.0
    industry: Weight = 1.0
    function: Weight = 1.0
    experience: Weight = 2.0
    overlap_hours: Weight = 2.0
    language: Weight = 0.25
    """Little: a common language is a rule already, and speaking it must not outweigh a skill that is wanted and offered."""
    location: Weight = 0.0
    fair_load: Weight = 1.0
    """Mentors with more of their places free go before fuller ones."""
    waiting: Weight = 1.0


class Policy(Part):
    """How a program matches people and carries their relationships. Every field has a default that works."""

    formats: tuple[Format, ...] = (Format.one_to_one,)
    term: Term = Term.long
    match_mode: MatchMode = MatchMode.create
    rolling: bool = False
    """After the program's first run, whoever is new or free again is offered within seconds to those who wait. Pairs stay. Everyone is
    free for conversations again as a month begins.
    """
    aim: Aim = Aim.everyone
    capacity: Annotated[int, Field(ge=1, le=100)] = 1
    """Of an enrolment that doesn't say."""
    least_score: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Nobody is paired below it, what waiting and room bring left out: with the default not for a common language alone. Groups and circles
    take everyone.
    """
    least_overlap_hours: Annotated[float, Field(ge=0, le=40)] = 1.0
    """Of both sides' availability in a week, where both have said theirs."""
    common_language: bool = True
    organizations: AcrossOrganizations = AcrossOrganizations.any
    not_in_own_line: bool = True
    """Nobody is paired with their manager, or their manager's."""
    least_ranks_above: Annotated[int, Field(ge=-20, le=20)] | None = None
    most_ranks_above: Annotated[int, Field(ge=-20, le=20)] | None = None
    least_years_more: Annotated[float, Field(ge=-80, le=80)] | None = None
    most_years_more: Annotated[float, Field(ge=-80, le=80)] | None = None
    personal_rules: Annotated[tuple[PersonalQuestion, ...], Field(max_length=5)] = ()
    """What people may say on a page of their own, where each may switch on to meet only people who said the same. What anyone said is
    on no topic. From then on nobody is told in the program whether a rule on language, hours or anything else is what keeps someone
    from everyone.
    """
    no_repeat_months: Annotated[int, Field(ge=0, le=120)] = 12
    least_group_size: Annotated[int, Field(ge=2, le=50)] = 3
    """Mentees in a group."""
    most_group_size: Annotated[int, Field(ge=2, le=50)] = 10
    most_mentors: Annotated[int, Field(ge=2, le=5)] = 3
    """Of one mentee, in the format `multi_mentor`: each for a topic that the others don't cover."""
    least_circle_size: Annotated[int, Field(ge=3, le=20)] = 4
    most_circle_size: Annotated[int, Field(ge=3, le=20)] = 6
    composition: Composition = Composition.alike
    """Of peer pairs and circles."""
    conversations_per_month: Annotated[int, Field(ge=1, le=50)] = 2
    """Of each person: at most so many begin in a month, by the calendar in UTC."""
    by_request: bool = False
    """Mentees may choose mentors and ask them, beside match runs."""
    requests_at_a_time: Annotated[int, Field(ge=1, le=20)] = 3
    """Mentors whom a mentee may name at once; they are asked one after the other. As many may be named by mail address."""
    request_window_days: Annotated[int, Field(ge=1, le=60)] = 7
    """What a mentor has to answer, before the next one is asked."""
    weights: Weights = Weights()
    audit: tuple[Audited, ...] = ()
    """By what each run's fairness report counts who found a partner; none of it enters a score by this."""
    agreement: Terms = Terms()
    unsigned_reminder_days: Annotated[tuple[Annotated[int, Field(ge=1, le=90)], ...], Field(max_length=10)] = (3, 7)
    """After so many days of an agreement that waits for signatures, those missing are reminded."""
    unsigned_days_before_stalled: Annotated[int, Field(ge=1, le=180)] = 10
    """Then its coordinator hears of it."""
    unsigned_days_before_end: Annotated[int, Field(ge=2, le=365)] = 14
    """Then it ends, and who did sign goes first in the next match. Time in which somebody has a break isn't counted."""
    grace_hours: Annotated[int, Field(ge=1, le=336)] = 24
    """After a meeting's end, before it counts as missed."""
    misses_before_stalled: Annotated[int, Field(ge=1, le=10)] = 2
    quiet_intervals_before_stalled: Annotated[float, Field(ge=1, le=10)] = 1.5
    """In units of the agreed interval between meetings."""
    stalled_days_before_warned: Annotated[int, Field(ge=1, le=90)] = 7
    warned_days_before_frozen: Annotated[int, Field(ge=1, le=90)] = 7
    frozen_days_before_end: Annotated[int, Field(ge=1, le=365)] = 14
    silent_partner_days: Annotated[int, Field(ge=1, le=30)] = 3
    """What a partner who is said to be silent has to answer."""
    days_between_asks: Annotated[int, Field(ge=0, le=60)] = 7
    """At most one mail with questions to a person in this time, unless a meeting or the last day for an answer is within 48 hours."""
    asks: bool = True
    """False pauses the program's questions, and nobody's silence counts meanwhile; not what belongs to a meeting or what people asked for."""
    texts: Annotated[tuple[QuestionText, ...], Field(max_length=10)] = ()
    """What questions say in the program's own words, instead of ours."""
    changes_before_relief: Annotated[int, Field(ge=1, le=50)] = 3
    """So many meetings moved or called off and requests declined in thirty days, and more than in those before: less is offered to a mentor."""
    quorum: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The part of a group or circle, its mentor aside, that must have come for a meeting to count as held; two at least."""
    milestones: Annotated[tuple[ProgramMilestone, ...], Field(max_length=20)] = ()
    """Of its own, beside those that every relationship has."""
    first_check_in_days: Annotated[int, Field(ge=1, le=365)] = 30
    check_in_every_days: Annotated[int, Field(ge=7, le=365)] = 60
    recognition: bool = True

    @model_validator(mode="after")
    def _least_is_not_above_most(self) -> Self:
        for least, most, what in (
            (self.least_group_size, self.most_group_size, "group_size"),
            (self.least_circle_size, self.most_circle_size, "circle_size"),
            (self.least_ranks_above, self.most_ranks_above, "ranks_above"),
            (self.least_years_more, self.most_years_more, "years_more"),
        ):
            if least is not None and most is not None and least > most:
                raise PydanticCustomError("order", "least_{what} is above most_{what}", {"what": what})
        return self


class OrganizationOnboarded(Event):
    """The operators have let an organization onto the platform; it has its first key. Emitted by the gateway."""

    topic: ClassVar[str] = "onboarding"
    key_field: ClassVar[str] = "organization"

    organization: OrganizationId
    name: PublicName
    country: Country | None = None
    time_zone: TimeZone = "UTC"
    locale: Language = "en"


class ProgramRecord(Event):
    """A program as of now."""

    topic: ClassVar[str] = "onboarding"
    key_field: ClassVar[str] = "program"

    program: ProgramId
    organization: OrganizationId
    """The owner."""
    name: PublicName
    policy: Policy = Policy()
    revision: Annotated[int, Field(ge=1)] = 1


class ProgramLaunched(ProgramRecord):
    """An organization has opened a program, which it owns. Emitted by the gateway."""


class ProgramChanged(ProgramRecord):
    """The owner has changed a program's name or policy; both are here in full. Emitted by the gateway."""


class ProgramClosed(Event):
    """The owner has closed a program: its relationships end, nobody new comes in. Emitted by the gateway."""

    topic: ClassVar[str] = "onboarding"
    key_field: ClassVar[str] = "program"

    program: ProgramId


class ProgramShared(Event):
    """The owner has invited another organization into a program. It may enrol people once it has joined.

    Emitted by the gateway, again where seats or visibility change.
    """

    topic: ClassVar[str] = "onboarding"
    key_field: ClassVar[str] = "program"

    program: ProgramId
    member: OrganizationId
    """The organization invited."""
    seats: Count
    """How many people it may enrol."""
    visibility: Visibility = Visibility.own_people


class ProgramJoined(Event):
    """An invited organization has accepted, by its own key. Emitted by the gateway."""

    topic: ClassVar[str] = "onboarding"
    key_field: ClassVar[str] = "program"

    program: ProgramId
    member: OrganizationId


class ProgramLeft(Event):
    """A member organization has left a program; its people are withdrawn from it. Emitted by the gateway."""

    topic: ClassVar[str] = "onboarding"
    key_field: ClassVar[str] = "program"

    program: ProgramId
    member: OrganizationId
