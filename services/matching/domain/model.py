"""The aggregates of matching: people, programs, relationships, runs, and who waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from shared.events import (
    Audited,
    Enrolment,
    Format,
    Member,
    PersonStatus,
    Policy,
    Profile,
    Reason,
    Role,
    Roster,
    Terms,
    WaitlistReason,
)

ROUNDS = 5
"""A run whose pairs no longer held when they were to begin matches those people again, at most so many times."""

TOO_LARGE = 3
"""The exit code of a job whose program is larger than this version can hold in memory."""

MONTH = timedelta(days=30.44)
WEEKS = 4
"""In a month of which someone says how many hours they have."""

PEERS = frozenset({Format.peer_pair, Format.circle})
"""The formats in which nobody is senior."""
GUIDED = frozenset(
    {Format.one_to_one, Format.multi_mentor, Format.e_mentoring, Format.group, Format.reverse, Format.conversation}
)
"""Those in which mentors meet mentees."""
BESIDE = frozenset({Format.reverse, Format.conversation})
"""Those that take no place from what people came for: each may have them beside it."""

GROUP_MENTORS = 2
"""In a group, at most."""

SWAPPED = {Role.mentor: Role.mentee, Role.mentee: Role.mentor}

REQUESTS_OF = "requests_of"
"""The timer at which all open requests of a person, to them or from them, are looked at again."""
REVIEW_PROPOSAL = "review"
"""The timer at which it is looked whether a proposal still holds, as far as its people and program alone tell."""
RESCORE = "rescore"
"""The timer at which proposals of a program, whose people or policy have changed, are scored anew."""


class Against(StrEnum):
    """Why a run of today wouldn't propose this match."""

    closed = "closed"
    takes_part = "takes_part"
    """Someone no longer does, or not in this format or role."""
    formats = "formats"
    """The program makes none of this format any more."""
    places = "places"
    kept_apart = "kept_apart"
    """Oneself, one's own line, a recent partner."""
    organizations = "organizations"
    ranks = "ranks"
    years = "years"
    language = "language"
    overlap = "overlap"
    least_score = "least_score"
    other = "other"


def kind(form: Format) -> Format:
    """What people come for is of one kind, whatever the format; each that is beside it is of its own."""
    return form if form in BESIDE else Format.one_to_one


def role_in(form: Format, role: Role) -> Role:
    """As what someone of this enrolment meets others: in reverse mentoring the program's mentees mentor its mentors."""
    return SWAPPED.get(role, role) if form is Format.reverse else role


def within_hours(enrolment: Enrolment, terms: Terms) -> int:
    """How many relationships on these terms fit into the hours that the person gives: a month is four weeks; one always does."""
    if enrolment.hours_per_month is None:
        return enrolment.capacity
    return max(1, int(enrolment.hours_per_month * 60 * terms.every_weeks / (terms.minutes * WEEKS)))


@dataclass(frozen=True, slots=True)
class Place:
    """Someone whom a person meets in a program, by a relationship or a proposal of one. A circle has one of these for each other member."""

    program: str
    relationship_id: UUID
    partner: UUID
    proposed: bool = False
    format: Format = Format.one_to_one
    turn: int = 0
    """That of the relationship."""
    began: datetime | None = None
    """Of a conversation, which counts in the month of that day: when it was proposed, and once it has begun when it did."""


@dataclass(frozen=True, slots=True)
class Met:
    """Someone with whom it is over."""

    program: str
    partner: UUID
    until: datetime
    first: bool = False
    """They want a new partner and go first in the next match."""
    format: Format = Format.one_to_one
    began: datetime | None = None
    """Of a conversation that counts in its month."""
    talked: bool = False
    """It was a conversation, and took place: they may still meet for more."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run left the person without a partner."""

    program: str
    since: datetime
    reason: WaitlistReason


@dataclass(frozen=True, slots=True)
class PersonalRule:
    """What someone says of themselves in a program, for nothing but whom they meet there. Once taken back, only the time is left."""

    program: str
    attribute: str
    said_at: datetime
    value: str = field(default="", repr=False)
    only_same: bool = field(default=False, repr=False)
    """They meet only people who said the same."""


Personal = tuple[tuple[str, str, bool], ...]
"""Of one person in one program (attribute, what they say, whether they meet only people who said the same), in order."""


@dataclass(frozen=True, slots=True)
class Relief:
    """How much a mentor takes upon themselves in a program, less than their enrolment says."""

    program: str
    changes: tuple[datetime, ...] = ()
    """When they lately declined, moved or called off."""
    offered_at: datetime | None = None
    """When they were last asked whether less would be right."""
    most: int | None = None
    """How many they take at most, by their own word."""
    until: datetime | None = None
    """Until when they take nobody new, if they named a day."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone as matching knows them: never by name or address. An erased one is remembered by id alone."""

    id: UUID
    organization: str
    audience: tuple[str, ...] = ()
    own_id: str = ""
    status: PersonStatus = PersonStatus.active
    revision: int = 0
    erased: bool = False
    profile: Profile | None = None
    programs: tuple[str, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    places: tuple[Place, ...] = ()
    met: tuple[Met, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    unavailable: tuple[str, ...] = ()
    """Programs in which they take nobody until they say so."""
    personal_rules: tuple[PersonalRule, ...] = field(default=(), repr=False)
    """Theirs alone: granted to no tenant, part of no event."""
    relief: tuple[Relief, ...] = ()

    def enrolment(self, program: str) -> Enrolment | None:
        return next((e for e in self.enrolments if e.program == program), None)

    def personal(self, program: str) -> Personal:
        rules = (rule for rule in self.personal_rules if rule.program == program and rule.value)
        return tuple(sorted((rule.attribute, rule.value, rule.only_same) for rule in rules))

    def takes_part(self, program: str, form: Format | None = None) -> bool:
        """Enrolled, active, and willing to meet in this format; where none is named, in any that is for their role."""
        enrolment = self.enrolment(program)
        if self.erased or self.status is not PersonStatus.active or enrolment is None:
            return False
        fit = PEERS if enrolment.role is Role.peer else GUIDED if enrolment.role in SWAPPED else frozenset()
        wanted = fit.intersection(enrolment.formats) if enrolment.formats else fit
        return bool(wanted) if form is None else form in wanted

    def _taken(self, program: str) -> dict[UUID, Format]:
        """The relationships in which they have a place; a circle is one."""
        return {place.relationship_id: place.format for place in self.places if place.program == program}

    def taken(self, program: str) -> int:
        """How many of their places; what each does beside what they came for takes none."""
        return sum(form not in BESIDE for form in self._taken(program).values())

    def conversations(self, program: str, now: datetime) -> int:
        """How many they have begun this month, by the calendar in UTC."""
        begun = [place.began for place in self.places if place.program == program]
        begun += [met.began for met in self.met if met.program == program]
        return sum(at is not None and (at.year, at.month) == (now.year, now.month) for at in begun)

    def taken_in(self, program: str, form: Format, now: datetime) -> int:
        """What they have already of what a run of this format gives: of conversations, this month's."""
        if form is Format.conversation:
            return self.conversations(program, now)
        return 0 if form in BESIDE else self.taken(program)

    def room(self, program: str, policy: Policy, form: Format, now: datetime) -> int:
        """How many relationships of this format may begin now: of conversations the rest of this month's, of others the places left."""
        if form is not Format.conversation:
            return self.places_left(program, policy, form)
        if not self.takes_part(program, form) or program in self.unavailable:
            return 0
        return max(0, policy.conversations_per_month - self.conversations(program, now))

    def seeks_more(self, program: str, policy: Policy) -> bool:
        """Whether they came for more than what is beside it."""
        return any(self.takes_part(program, form) for form in policy.formats if form not in BESIDE)

    def places_left(self, program: str, policy: Policy, form: Format = Format.one_to_one) -> int:
        """How many relationships of this format more, of one that lasts.

        A mentor has as many as the enrolment says, whatever the formats, and no more than fit into their hours but one. Anyone else has
        one, or one of each format that they asked for by name; of several mentors, so many. In reverse mentoring both have one.
        """
        enrolment = self.enrolment(program)
        if enrolment is None or not self.takes_part(program, form) or program in self.unavailable:
            return 0
        taken = self._taken(program)
        if enrolment.role is Role.mentor and form is not Format.reverse:
            most = self.relief_in(program).most
            places = min(enrolment.capacity, within_hours(enrolment, policy.agreement))
            return max(0, (places if most is None else min(places, most)) - self.taken(program))
        each = form is Format.reverse or enrolment.formats
        limit = policy.most_mentors if form is Format.multi_mentor else 1
        return max(0, limit - (sum(other is form for other in taken.values()) if each else self.taken(program)))

    def partners(self, program: str, form: Format = Format.one_to_one) -> frozenset[UUID]:
        """Whom they meet, so that nothing of this format begins beside it. A conversation keeps nobody from more than that."""
        talk = form is Format.conversation
        return frozenset(p.partner for p in self.places if p.program == program and (talk or p.format is not Format.conversation))

    def apart(self, program: str, since: datetime, form: Format = Format.one_to_one) -> frozenset[UUID]:
        """Those with whom no pair of this format is made: present partners, and past ones of after `since`.

        Who has talked once isn't brought together to talk once more, and may be for more than that.
        """
        past = (met for met in self.met if met.program == program and met.until > since)
        return self.partners(program, form) | {met.partner for met in past if not met.talked or form is Format.conversation}

    def goes_first(self, program: str, form: Format = Format.one_to_one) -> bool:
        """Released by the other side, and nobody else found yet."""
        return any(met.first for met in self.met if met.program == program and kind(met.format) is kind(form))

    def proposals(self, program: str) -> tuple[UUID, ...]:
        """The relationships there that are proposed and no more."""
        return tuple(dict.fromkeys(p.relationship_id for p in self.places if p.proposed and p.program == program))

    def begun(self) -> "Person":
        """As if nothing were proposed to them."""
        return replace(self, places=tuple(place for place in self.places if not place.proposed))

    def with_place(self, *place: Place, settled: bool = True) -> "Person":
        """With this place taken, of one relationship. Unless it is only proposed, they go first no more, and no longer wait where it
        settles what they came for.
        """
        relationship, program, form = place[0].relationship_id, place[0].program, kind(place[0].format)
        others = tuple(p for p in self.places if p.relationship_id != relationship)
        if place[0].proposed:
            return replace(self, places=(*others, *place))
        waiting = tuple(w for w in self.waiting if w.program != program or not settled)
        met = tuple(replace(m, first=False) if m.program == program and kind(m.format) is form else m for m in self.met)
        return replace(self, places=(*others, *place), waiting=waiting, met=met)

    def without_place(
        self,
        relationship_id: UUID,
        until: datetime,
        *,
        first: bool = False,
        counts: bool = False,
        talked: bool = False,
        apart: bool = True,
        beside: UUID | None = None,
    ) -> "Person":
        """With the place of this relationship free again, or with `beside` the one beside that partner alone.

        The partner is remembered as met, and kept apart for a while, unless `apart` is false. `first`: they go first in the next match.
        Of a conversation, `counts`: in the month in which it began; `talked`: it took place.
        """
        gone = [p for p in self.places if p.relationship_id == relationship_id and beside in (None, p.partner)]
        places = tuple(p for p in self.places if p not in gone)
        met = gone if apart else ()
        over = (Met(p.program, p.partner, until, first, p.format, p.began if counts else None, talked) for p in met)
        return replace(self, places=places, met=() if self.erased else (*self.met, *over))

    def away(self, program: str, gone: bool) -> "Person":
        """Taking nobody there until they say so, if they are gone."""
        if not gone or self.erased:
            return self
        away = replace(self, unavailable=tuple(sorted({*self.unavailable, program})))
        return away.with_relief(replace(self.relief_in(program), until=None))

    def there(self, program: str) -> "Person":
        """Taking people there again."""
        there = replace(self, unavailable=tuple(p for p in self.unavailable if p != program))
        return there.with_relief(replace(self.relief_in(program), until=None))

    def relief_in(self, program: str) -> Relief:
        return next((relief for relief in self.relief if relief.program == program), Relief(program))

    def with_relief(self, relief: Relief) -> "Person":
        others = tuple(known for known in self.relief if known.program != relief.program)
        return replace(self, relief=others if relief == Relief(relief.program) else (*others, relief))


@dataclass(frozen=True, slots=True)
class Program:
    """A program, its policy, who is in it, and the runs that wait and work for it: at most one of each."""

    id: str
    organization: str
    policy: Policy
    revision: int
    members: tuple[str, ...] = ()
    closed: bool = False
    waiting_run: UUID | None = None
    waits_for: Roster | None = None
    """The roster that the waiting run wants to have seen."""
    current_run: UUID | None = None
    ran: bool = False
    """A run has finished here."""
    rescore_at: datetime | None = None
    """Proposals of before then may have to be scored anew; None where all have been looked at."""
    asked_before: bool = False
    """An earlier policy asked what people may have rules of their own for: what they said then counts."""

    @property
    def untold(self) -> bool:
        """Whether nobody is told which rule keeps two people apart, since one of their own would stand out."""
        return self.asked_before or bool(self.policy.personal_rules)


@dataclass(frozen=True, slots=True)
class Rolling:
    """Whether whoever is new or free in a program is matched without being asked; a view, so that reading it locks nothing."""

    id: str
    on_now: bool
    policy: Policy

    def wants(self, person: Person, now: datetime) -> bool:
        """Whether something of a format of the program may begin for this person."""
        return self.on_now and any(person.room(self.id, self.policy, form, now) for form in self.policy.formats)


class RelationshipStatus(StrEnum):
    """How far a relationship has come, as far as matching is concerned."""

    planned = "planned"
    """A run has found it and hasn't come to it yet."""
    dropped = "dropped"
    """It no longer held when the run came to it."""
    proposed = "proposed"
    rejected = "rejected"
    active = "active"
    ended = "ended"
    other = "other"


@dataclass(frozen=True, slots=True)
class Relationship:
    """Who meets whom, with what score and why."""

    id: UUID
    organization: str
    audience: tuple[str, ...]
    program: str
    people: tuple[str, ...]
    """The members' ids, for look-ups."""
    members: tuple[Member, ...]
    status: RelationshipStatus
    score: int
    reasons: tuple[Reason, ...]
    run_id: UUID | None
    round: int
    format: Format = Format.one_to_one
    about: tuple[str, ...] = ()
    """The topics that it is meant for, where its format has them named."""
    turn: int = 0
    """In which its run found it, where a mentee has several mentors: 0 is the first, and later ones are for topics alone."""
    scored_for: tuple[int, ...] = ()
    """The revisions of its members, in their order, and of the program for which score and reasons hold; empty where nobody knows."""
    proposed_score: int | None = None
    """The score with which it was proposed, where it has been scored anew since."""
    rescored_at: datetime | None = None
    """When it was last scored anew and something had changed."""
    against: Against | None = None
    """Why it was withdrawn, where nobody rejected it."""

    def partner_of(self, person_id: UUID) -> UUID:
        return next(member.person_id for member in self.members if member.person_id != person_id)


def revisions_of(people: Sequence[Person], program: Program) -> tuple[int, ...]:
    """Of these and of the program: what is reckoned of them holds as long as none has moved."""
    return (*(person.revision for person in people), program.revision)


class RunStatus(StrEnum):
    """Where a run stands."""

    waiting_for_roster = "waiting_for_roster"
    solving = "solving"
    applying = "applying"
    finished = "finished"
    failed = "failed"
    other = "other"


@dataclass(frozen=True, slots=True)
class Helping:
    """What one place more of this mentor would have brought: people with a partner, pairs, and the change of the score."""

    mentor: UUID
    people: int
    pairs: int
    score: int


Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AuditedGroup:
    """A line of a run's fairness report. Scores are in points, as those of the pairs; intervals are of 95 %."""

    role: Role
    attribute: Audited
    value: str
    """Empty for those who didn't say, and where several groups were merged."""
    merged: int
    """How many groups this one was made of; 1 is a group of its own."""
    people: int
    matched: int
    rate: float
    rate_interval: Interval
    mean_score: float | None
    """None where nobody of them has a partner; no interval where only one has."""
    mean_score_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Run:
    """A match run of a program."""

    id: UUID
    organization: str
    program: str
    status: RunStatus
    round: int
    requested_by: str
    after: Roster | None
    traceparent: str
    correlation: UUID
    requested_at: datetime
    started_at: datetime | None = None
    started_wall: float = 0.0
    """PostgreSQL's own time, in seconds since the epoch: a run's seconds are not the platform's."""
    finished_at: datetime | None = None
    attempts: int = 0
    problem: str | None = None
    people: int = 0
    planned: int = 0
    """Pairs found, over all rounds."""
    planned_score: int = 0
    """Of the first round's plan."""
    gap: int = 0
    pairs: int = 0
    groups: int = 0
    waitlisted: int = 0
    score_total: int = 0
    seconds: float = 0.0
    solver_seconds: float = 0.0
    helps: tuple[Helping, ...] = ()
    """Whose one place more would help most, the best first; of the first round."""
    fairness: tuple[AuditedGroup, ...] = ()
    """By what its program audits."""


class WaitlistState(StrEnum):
    """Whether a run has told that this person waits."""

    planned = "planned"
    told = "told"
    void = "void"
    """No longer so when the run came to it."""
    other = "other"


@dataclass(frozen=True, slots=True)
class Waitlisted:
    """What a run found of a person it left over."""

    id: UUID
    organization: str
    audience: tuple[str, ...]
    run_id: UUID
    program: str
    person_id: UUID
    home: str
    role: Role
    reason: WaitlistReason
    missing: tuple[str, ...]
    mentors_that_would_help: int | None
    state: WaitlistState


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came with an Idempotency-Key: what it asked, and the run it was given."""

    id: str
    organization: str
    program: str
    run_id: UUID
    body: str
    asked_at: datetime
